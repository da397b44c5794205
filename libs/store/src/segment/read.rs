//! Reads rows of a segment: selects those that match a filter, and fetches columns for some rows.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{AsArray, BooleanArray, RecordBatch};
use arrow::compute::filter_record_batch;
use arrow::datatypes::{SchemaRef, TimestampNanosecondType};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder, RowSelection,
    RowSelector,
};
use parquet::file::metadata::PageIndexPolicy;
use ql::{Field, Filter, Leaf};

use super::narrow::Narrowed;
use super::opened::{Footer, PagesOf};
use super::widths::widths;
use super::{RECORDS_SUFFIX, Segment, footer};
use crate::allowance::{Allowance, Held};
use crate::batches::{Batches, block_rows};
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
    /// When a file is damaged or cannot be read, or the allowance ends.
    pub fn select(
        &self,
        filter: &Filter,
        time: Range<i64>,
        newest: Option<usize>,
        allowance: &Arc<dyn Allowance>,
    ) -> Result<RowSet> {
        self.not_known_damaged()?;
        let range = self.rows_within(time, allowance)?;
        if range.is_empty() {
            return Ok(RowSet::Range(0..0));
        }
        let _bitmap = Held::take(allowance, self.meta.rows as usize / 8)?;
        let narrowed = match self.narrow(filter, allowance) {
            // Without its index the columns alone decide, until it is built again.
            Err(StoreError::Corrupt { .. }) if self.damaged_records().is_none() => {
                Narrowed::UNKNOWN
            }
            narrowed => narrowed?,
        };
        if narrowed.exact {
            return Ok(match narrowed.rows {
                None => RowSet::Range(range).newest(newest),
                Some(rows) => RowSet::List(rows.rows_in(range)).newest(newest),
            });
        }
        let mut found: Vec<u32> = Vec::new();
        let mut held = Held::nothing(allowance);
        let mut end = range.end;
        let mut window = if newest.is_some() { NEWEST_WINDOW_ROWS } else { u32::MAX };
        while end > range.start {
            let start = end.saturating_sub(window).max(range.start);
            let candidates = match &narrowed.rows {
                None => RowSet::Range(start..end),
                Some(rows) => RowSet::List(rows.rows_in(start..end)),
            };
            let mut matching = self.matching(filter, &candidates, allowance)?;
            matching.append(&mut found);
            found = matching;
            held.set(found.capacity() * size_of::<u32>())?;
            if newest.is_some_and(|newest| found.len() >= newest) {
                break;
            }
            end = start;
            window = window.saturating_mul(2);
        }
        Ok(RowSet::List(found).newest(newest))
    }

    /// Those of the rows that match, by their columns, block by block.
    pub(super) fn matching(
        &self,
        filter: &Filter,
        candidates: &RowSet,
        allowance: &Arc<dyn Allowance>,
    ) -> Result<Vec<u32>> {
        let mut matching = Vec::new();
        if candidates.is_empty() {
            return Ok(matching);
        }
        let mut held = Held::nothing(allowance);
        let mut first = 0;
        for batch in self.batches(candidates, &Columns::of_filter(filter), allowance)? {
            let batch = batch?;
            let mask =
                evaluate(filter, Rows { batch: &batch, overflow_names: &self.meta.overflow_names });
            matching.extend(mask.set_indices().map(|place| candidates.row(first + place)));
            held.set(matching.capacity() * size_of::<u32>() + batch.get_array_memory_size())?;
            first += batch.num_rows();
        }
        Ok(matching)
    }

    /// How many rows match, without naming them where the index knows.
    ///
    /// # Errors
    /// When a file is damaged or cannot be read, or the allowance ends.
    pub fn count(
        &self,
        filter: &Filter,
        time: Range<i64>,
        allowance: &Arc<dyn Allowance>,
    ) -> Result<usize> {
        self.not_known_damaged()?;
        if time.start <= self.meta.time_range.0
            && self.meta.time_range.1 < time.end
            && let Ok(Some(count)) = self.count_by_index(filter, allowance)
        {
            return Ok(count);
        }
        Ok(self.select(filter, time, None, allowance)?.len())
    }

    /// The counts of matching records by minute, service and severity, without reading a row: a batch of
    /// `timestamp`, `service`, `severity`, and how many records each row stands for. `None` if the segment
    /// has no roll-up, is only partly in `time`, or the filter asks for more than service and severity.
    pub fn roll_up(&self, filter: &Filter, time: Range<i64>) -> Option<(RecordBatch, Vec<u32>)> {
        let whole = time.start <= self.meta.time_range.0 && self.meta.time_range.1 < time.end;
        let mut answerable = whole && self.damaged_records().is_none();
        filter.for_each_leaf(&mut |leaf| {
            answerable &=
                matches!(leaf, Leaf::Field { field: Field::Service | Field::Severity, .. });
        });
        let roll_up = self.meta.roll_up.as_ref().filter(|_| answerable)?;
        let (batch, counts) = match self.home.roll_ups.get(self.meta.id) {
            Some(open) => open,
            None => {
                let (batch, counts) = roll_up.rows();
                let bytes = batch.get_array_memory_size() + counts.len() * size_of::<u32>();
                let open: (RecordBatch, Arc<[u32]>) = (batch, counts.into());
                self.home.roll_ups.keep(self.meta.id, open.clone(), bytes);
                open
            }
        };
        if *filter == Filter::All {
            return Some((batch, counts.to_vec()));
        }
        let rows = Rows { batch: &batch, overflow_names: &self.meta.overflow_names };
        let mask = evaluate(filter, rows);
        let counts = mask.set_indices().map(|row| counts[row]).collect();
        let batch = filter_record_batch(&batch, &BooleanArray::new(mask, None)).ok()?;
        Some((batch, counts))
    }

    /// Columns of some rows, in row order, as one batch. Columns that the segment does not have are left out.
    ///
    /// # Errors
    /// When the file is damaged or cannot be read, or the allowance ends.
    pub fn read(
        &self,
        rows: &RowSet,
        columns: &Columns,
        allowance: &Arc<dyn Allowance>,
    ) -> Result<RecordBatch> {
        self.batches(rows, columns, allowance)?.together()
    }

    /// The same, block by block.
    ///
    /// # Errors
    /// When the file is damaged or cannot be read, or the allowance ends.
    pub fn batches(
        &self,
        rows: &RowSet,
        columns: &Columns,
        allowance: &Arc<dyn Allowance>,
    ) -> Result<Batches> {
        let Footer { metadata, widths } = self.footer()?;
        let leaves = self.leaves(&metadata, columns);
        if leaves.is_empty() {
            return Ok(Batches::of_nothing(rows.len(), allowance));
        }
        let row_bytes = leaves.iter().map(|leaf| widths[*leaf].row_bytes).sum();
        let pages = leaves.iter().map(|leaf| widths[*leaf].page_bytes).sum();
        let pages = Held::take(allowance, pages)?;
        let mask = ProjectionMask::leaves(metadata.parquet_schema(), leaves);
        let reader = ParquetRecordBatchReaderBuilder::new_with_metadata(self.pages()?, metadata)
            .with_projection(mask)
            .with_row_selection(selection(rows))
            .with_batch_size(block_rows(row_bytes, &**allowance).min(rows.len().max(1)))
            .build()
            .map_err(StoreError::segment("read"))?;
        Ok(Batches::of_segment(reader, rows.len(), allowance, pages))
    }

    /// The memory that a row takes in these columns, where rows are the widest.
    ///
    /// # Errors
    /// When the file is damaged or cannot be read.
    pub fn row_bytes(&self, columns: &Columns) -> Result<usize> {
        let Footer { metadata, widths } = self.footer()?;
        Ok(self.leaves(&metadata, columns).iter().map(|leaf| widths[*leaf].row_bytes).sum())
    }

    fn leaves(&self, metadata: &ArrowReaderMetadata, columns: &Columns) -> Vec<usize> {
        let names = metadata.schema().fields().iter().map(|field| field.name().as_str());
        let wanted =
            names.enumerate().filter(|(_, name)| columns.includes(name, &self.meta.overflow_names));
        wanted.map(|(leaf, _)| leaf).collect()
    }

    /// What its footer tells of senders.
    pub(crate) fn senders(&self) -> Result<Vec<(Sender, SenderState)>> {
        Ok(footer::senders(&self.footer()?.metadata))
    }

    /// What cannot be read is not counted either, although its footer tells the count.
    fn not_known_damaged(&self) -> Result<()> {
        match self.damaged_records() {
            None => Ok(()),
            Some(damage) => {
                let name = super::file_name(self.meta.id, RECORDS_SUFFIX);
                Err(StoreError::corrupt(&self.home.path.join(name), damage))
            }
        }
    }

    /// The run of rows whose time lies in `from..until`.
    fn rows_within(&self, time: Range<i64>, allowance: &Arc<dyn Allowance>) -> Result<Range<u32>> {
        let (first, last) = self.meta.time_range;
        if time.start <= first && last < time.end {
            return Ok(0..self.meta.rows);
        }
        if time.end <= first || last < time.start {
            return Ok(0..0);
        }
        let columns = Columns::Fields([Field::Timestamp].into());
        let (mut start, mut end) = (0, 0);
        for batch in self.batches(&RowSet::Range(0..self.meta.rows), &columns, allowance)? {
            let batch = batch?;
            let times = batch.column(0).as_primitive::<TimestampNanosecondType>().values();
            start += times.partition_point(|time_of_row| *time_of_row < time.start) as u32;
            let before_end = times.partition_point(|time_of_row| *time_of_row < time.end);
            end += before_end as u32;
            if before_end < times.len() {
                break;
            }
        }
        Ok(start..end)
    }

    /// The columns that its file has.
    pub(crate) fn schema(&self) -> Result<SchemaRef> {
        Ok(Arc::clone(self.footer()?.metadata.schema()))
    }

    fn footer(&self) -> Result<Footer> {
        if let Some(footer) = self.home.footers.get(self.meta.id) {
            return Ok(footer);
        }
        // Rows are chosen by their numbers; what is the smallest and largest of a page, nobody asks.
        let options = ArrowReaderOptions::new()
            .with_offset_index_policy(PageIndexPolicy::Optional)
            .with_column_index_policy(PageIndexPolicy::Skip);
        let metadata = ArrowReaderMetadata::load(&self.pages()?, options)
            .map_err(StoreError::segment("open"))?;
        let bytes = metadata.metadata().memory_size();
        let footer = Footer { widths: widths(&metadata).into(), metadata };
        self.home.footers.keep(self.meta.id, footer.clone(), bytes);
        Ok(footer)
    }

    /// The column file, whose checksum is right.
    fn pages(&self) -> Result<PagesOf> {
        self.check_once(RECORDS_SUFFIX)?;
        let path = self.path(RECORDS_SUFFIX);
        let reader = self.home.fs.open_read(&path).map_err(StoreError::io("open", &path))?;
        Ok(PagesOf { reader, length: self.meta.records_file.0 })
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
