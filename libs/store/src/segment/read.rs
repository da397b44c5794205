//! Reads rows of a segment: selects those that match a filter, and fetches columns for some rows.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{AsArray, BooleanArray, RecordBatch};
use arrow::compute::{concat_batches, filter_record_batch};
use arrow::datatypes::TimestampNanosecondType;
use bytes::Bytes;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder, RowSelection,
    RowSelector,
};
use parquet::file::metadata::PageIndexPolicy;
use ql::{Field, Filter, Leaf};

use super::{RECORDS_SUFFIX, Segment, footer};
use crate::error::{Result, StoreError};
use crate::evaluate::{Columns, Rows, evaluate};
use crate::sender::{Sender, SenderState};

/// Rows read at first when only the newest are wanted; doubled until enough match.
const NEWEST_WINDOW_ROWS: u32 = 8_192;

/// Rows of one source, ascending.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RowSet {
    /// A run of rows.
    Range(Range<u32>),
    /// Single rows.
    List(Vec<u32>),
}

impl RowSet {
    /// How many.
    pub fn len(&self) -> usize {
        match self {
            RowSet::Range(range) => range.len(),
            RowSet::List(rows) => rows.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The last `count` of them, or all.
    fn newest(self, count: Option<usize>) -> Self {
        let Some(count) = count.filter(|count| *count < self.len()) else { return self };
        match self {
            RowSet::Range(range) => RowSet::Range(range.end - count as u32..range.end),
            RowSet::List(mut rows) => RowSet::List(rows.split_off(rows.len() - count)),
        }
    }

    /// The row at a place.
    pub fn row(&self, place: usize) -> u32 {
        match self {
            RowSet::Range(range) => range.start + place as u32,
            RowSet::List(rows) => rows[place],
        }
    }
}

impl Segment {
    /// The rows that match and whose time lies in `from..until`; with `newest`, at least the newest that
    /// many of them, and not many more.
    ///
    /// # Errors
    /// When a file is damaged or cannot be read.
    pub fn select(
        &self,
        filter: &Filter,
        time: Range<i64>,
        newest: Option<usize>,
    ) -> Result<RowSet> {
        let range = self.rows_within(time)?;
        if range.is_empty() {
            return Ok(RowSet::Range(0..0));
        }
        let narrowed = self.narrow(filter)?;
        if narrowed.exact {
            return Ok(match narrowed.rows {
                None => RowSet::Range(range).newest(newest),
                Some(rows) => RowSet::List(rows.rows_in(range)).newest(newest),
            });
        }
        let columns = Columns::of_filter(filter);
        let mut found: Vec<u32> = Vec::new();
        let mut end = range.end;
        let mut window = if newest.is_some() { NEWEST_WINDOW_ROWS } else { u32::MAX };
        while end > range.start {
            let start = end.saturating_sub(window).max(range.start);
            let candidates = match &narrowed.rows {
                None => RowSet::Range(start..end),
                Some(rows) => RowSet::List(rows.rows_in(start..end)),
            };
            if !candidates.is_empty() {
                let batch = self.read(&candidates, &columns)?;
                let mask = evaluate(
                    filter,
                    Rows { batch: &batch, overflow_names: &self.meta.overflow_names },
                );
                let mut matching: Vec<u32> =
                    mask.set_indices().map(|place| candidates.row(place)).collect();
                matching.append(&mut found);
                found = matching;
            }
            if newest.is_some_and(|newest| found.len() >= newest) {
                break;
            }
            end = start;
            window = window.saturating_mul(2);
        }
        Ok(RowSet::List(found).newest(newest))
    }

    /// How many rows match, without naming them where the index knows.
    ///
    /// # Errors
    /// When a file is damaged or cannot be read.
    pub fn count(&self, filter: &Filter, time: Range<i64>) -> Result<usize> {
        if time.start <= self.meta.time_range.0
            && self.meta.time_range.1 < time.end
            && let Some(count) = self.count_by_index(filter)?
        {
            return Ok(count);
        }
        Ok(self.select(filter, time, None)?.len())
    }

    /// The counts of matching records by minute, service and severity, without reading a row: a batch of
    /// `timestamp`, `service`, `severity`, and how many records each row stands for. `None` if the segment
    /// has no roll-up, is only partly in `time`, or the filter asks for more than service and severity.
    pub fn roll_up(&self, filter: &Filter, time: Range<i64>) -> Option<(RecordBatch, Vec<u32>)> {
        let whole = time.start <= self.meta.time_range.0 && self.meta.time_range.1 < time.end;
        let mut answerable = whole;
        filter.for_each_leaf(&mut |leaf| {
            answerable &=
                matches!(leaf, Leaf::Field { field: Field::Service | Field::Severity, .. });
        });
        let roll_up = self.meta.roll_up.as_ref().filter(|_| answerable)?;
        let (batch, counts) = self.roll_up.get_or_init(|| roll_up.rows());
        if *filter == Filter::All {
            return Some((batch.clone(), counts.clone()));
        }
        let mask = evaluate(filter, Rows { batch, overflow_names: &self.meta.overflow_names });
        let counts = mask.set_indices().map(|row| counts[row]).collect();
        let batch = filter_record_batch(batch, &BooleanArray::new(mask, None)).ok()?;
        Some((batch, counts))
    }

    /// Columns of some rows, in row order. Columns that the segment does not have are left out.
    ///
    /// # Errors
    /// When the file is damaged or cannot be read.
    pub fn read(&self, rows: &RowSet, columns: &Columns) -> Result<RecordBatch> {
        let (bytes, metadata) = self.records()?;
        let schema = metadata.schema();
        let names = schema.fields().iter().map(|field| field.name().as_str()).enumerate();
        let leaves: Vec<usize> = names
            .filter(|(_, name)| columns.includes(name, &self.meta.overflow_names))
            .map(|(leaf, _)| leaf)
            .collect();
        if leaves.is_empty() {
            let options = arrow::array::RecordBatchOptions::new().with_row_count(Some(rows.len()));
            let none = Arc::new(arrow::datatypes::Schema::empty());
            return RecordBatch::try_new_with_options(none, vec![], &options)
                .map_err(StoreError::segment("read"));
        }
        let mask = ProjectionMask::leaves(metadata.parquet_schema(), leaves);
        let reader =
            ParquetRecordBatchReaderBuilder::new_with_metadata(bytes.clone(), metadata.clone())
                .with_projection(mask)
                .with_row_selection(selection(rows))
                .with_batch_size(rows.len().max(1))
                .build()
                .map_err(|error| self.unreadable(error.into()))?;
        let schema = arrow::array::RecordBatchReader::schema(&reader);
        let mut batches =
            reader.collect::<Result<Vec<_>, _>>().map_err(|error| self.unreadable(error.into()))?;
        let batch = match batches.len() {
            1 => batches.remove(0),
            _ => concat_batches(&schema, &batches).map_err(StoreError::segment("read"))?,
        };
        if batch.num_rows() != rows.len() {
            let detail = format!("asked for {} rows, got {}", rows.len(), batch.num_rows());
            return Err(StoreError::corrupt(
                &self.folder.join(super::file_name(self.meta.id, RECORDS_SUFFIX)),
                detail,
            ));
        }
        Ok(batch)
    }

    /// What its footer tells of senders.
    pub(crate) fn senders(&self) -> Result<Vec<(Sender, SenderState)>> {
        Ok(footer::senders(&self.records()?.1))
    }

    /// Why columns could not be decoded: the file may have changed since it was opened.
    fn unreadable(&self, error: Box<dyn std::error::Error + Send + Sync>) -> StoreError {
        match self.map(RECORDS_SUFFIX) {
            Err(damaged @ StoreError::Corrupt { .. }) => damaged,
            _ => StoreError::Segment { action: "read", source: error },
        }
    }

    /// The run of rows whose time lies in `from..until`.
    fn rows_within(&self, time: Range<i64>) -> Result<Range<u32>> {
        let (first, last) = self.meta.time_range;
        if time.start <= first && last < time.end {
            return Ok(0..self.meta.rows);
        }
        if time.end <= first || last < time.start {
            return Ok(0..0);
        }
        let columns = Columns::Fields([Field::Timestamp].into());
        let batch = self.read(&RowSet::Range(0..self.meta.rows), &columns)?;
        let times = batch.column(0).as_primitive::<TimestampNanosecondType>().values();
        let start = times.partition_point(|time_of_row| *time_of_row < time.start);
        let end = times.partition_point(|time_of_row| *time_of_row < time.end);
        Ok(start as u32..end as u32)
    }

    pub(crate) fn records(&self) -> Result<&(Bytes, ArrowReaderMetadata)> {
        if let Some(records) = self.records.get() {
            return Ok(records);
        }
        let bytes = Bytes::from_owner(self.map(RECORDS_SUFFIX)?);
        let options = ArrowReaderOptions::new().with_page_index_policy(PageIndexPolicy::Optional);
        let metadata =
            ArrowReaderMetadata::load(&bytes, options).map_err(StoreError::segment("open"))?;
        Ok(self.records.get_or_init(|| (bytes, metadata)))
    }
}

fn selection(rows: &RowSet) -> RowSelection {
    let mut selectors = Vec::new();
    let mut at = 0_u32;
    let mut select = |range: Range<u32>| {
        if range.start > at {
            selectors.push(RowSelector::skip((range.start - at) as usize));
        }
        selectors.push(RowSelector::select(range.len()));
        at = range.end;
    };
    match rows {
        RowSet::Range(range) => select(range.clone()),
        RowSet::List(list) => {
            for run in list.chunk_by(|a, b| a + 1 == *b) {
                select(run[0]..run[run.len() - 1] + 1);
            }
        }
    }
    RowSelection::from(selectors)
}
