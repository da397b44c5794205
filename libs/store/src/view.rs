//! The view: one immutable snapshot of segments and parts that a query holds from start to end.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::{TimestampNanosecondType, UInt64Type};
use ql::{Field, Filter};

use crate::allowance::{Allowance, BLOCK_ROWS, Held};
use crate::batches::Batches;
use crate::chunk::{Chunk, PartDay};
use crate::damage::Quarantined;
use crate::deletes::{ActiveDelete, screened};
use crate::error::{Result, StoreError};
use crate::evaluate::{Columns, Rows, evaluate};
use crate::schema::AttributeType;
use crate::segment::{RowSet, Segment};

/// Which part a record belongs to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct PartKey {
    pub(crate) tenant: Arc<str>,
    pub(crate) signal: &'static str,
    pub(crate) day: PartDay,
}

/// Records in memory: durable in the journal, not yet in a segment.
#[derive(Clone, Debug)]
pub(crate) struct Part {
    pub(crate) key: PartKey,
    pub(crate) chunks: Vec<Arc<Chunk>>,
}

impl Part {
    pub(crate) fn rows(&self) -> usize {
        self.chunks.iter().map(|chunk| chunk.rows()).sum()
    }

    pub(crate) fn bytes(&self) -> usize {
        self.chunks.iter().map(|chunk| chunk.bytes).sum()
    }
}

/// A snapshot of everything that can be found.
#[derive(Debug, Default)]
pub struct View {
    pub(crate) segments: Vec<Arc<Segment>>,
    /// Sealed ones first, then those that still grow.
    pub(crate) parts: Vec<Arc<Part>>,
    /// Deletes that are not done, whose records are hidden; by id.
    pub(crate) deletes: Vec<Arc<ActiveDelete>>,
    /// Segments that cannot be read.
    pub(crate) quarantined: Vec<Arc<Quarantined>>,
}

impl View {
    /// Rows in parts.
    pub fn part_rows(&self) -> u64 {
        self.parts.iter().map(|part| part.rows() as u64).sum()
    }

    /// Rows in segments.
    pub fn segment_rows(&self) -> u64 {
        self.segments.iter().map(|segment| u64::from(segment.meta().rows)).sum()
    }

    /// Segments that are set apart because they cannot be read.
    pub fn quarantined(&self) -> usize {
        self.quarantined.len()
    }

    /// All segments.
    pub fn segments(&self) -> &[Arc<Segment>] {
        &self.segments
    }

    /// Segments of a tenant and signal with records in `time` that were set apart because they cannot be read, and the
    /// rows in them.
    pub fn unreadable(&self, tenant: &str, signal: &str, time: Range<i64>) -> (usize, u64) {
        let apart = self.quarantined.iter().map(|segment| &segment.meta);
        let concerned: Vec<u64> = apart
            .filter(|meta| meta.tenant == tenant && meta.signal == signal)
            .filter(|meta| meta.time_range.0 < time.end && meta.time_range.1 >= time.start)
            .map(|meta| u64::from(meta.rows))
            .collect();
        (concerned.len(), concerned.iter().sum())
    }

    /// The sources of a tenant's records of one signal, and how many of them lie wholly outside of
    /// `time` and are left out. What is deleted cannot be found in them.
    pub fn sources(&self, tenant: &str, signal: &str, time: Range<i64>) -> (Vec<Source>, usize) {
        self.sources_without(tenant, signal, time, |_| true)
    }

    /// As [`View::sources`], without the records of some of the deletes only.
    pub(crate) fn sources_without(
        &self,
        tenant: &str,
        signal: &str,
        time: Range<i64>,
        hides: impl Fn(&ActiveDelete) -> bool,
    ) -> (Vec<Source>, usize) {
        let segments = self
            .segments
            .iter()
            .filter(|segment| segment.meta().tenant == tenant && segment.meta().signal == signal);
        let chunks = self
            .parts
            .iter()
            .filter(|part| &*part.key.tenant == tenant && part.key.signal == signal)
            .flat_map(|part| &part.chunks);
        let mut sources: Vec<Source> = segments
            .cloned()
            .map(Source::Segment)
            .chain(chunks.cloned().map(Source::Chunk))
            .collect();
        let all = sources.len();
        sources.retain(|source| {
            let (first, last) = source.time_range();
            first < time.end && last >= time.start
        });
        let pruned = all - sources.len();
        let deletes: Vec<&Arc<ActiveDelete>> = self
            .deletes
            .iter()
            .filter(|delete| delete.tenant == tenant && delete.signal == signal && hides(delete))
            .collect();
        if !deletes.is_empty() {
            let screen = |source| screened(source, deletes.iter().copied());
            sources = sources.into_iter().map(screen).collect();
        }
        (sources, pruned)
    }
}

/// Rows that lie together: a segment, sorted, or a chunk of a part, as it came.
#[derive(Clone, Debug)]
pub enum Source {
    /// On disk.
    Segment(Arc<Segment>),
    /// In memory.
    Chunk(Arc<Chunk>),
    /// One of the others of which deletes hide some rows, and what all rows match that they do not hide.
    Screened(Box<Source>, Arc<Filter>),
}

impl Source {
    /// Smallest and largest timestamp.
    pub fn time_range(&self) -> (i64, i64) {
        match self {
            Source::Segment(segment) => segment.meta().time_range,
            Source::Chunk(chunk) => chunk.time_range,
            Source::Screened(source, _) => source.time_range(),
        }
    }

    /// Whether it is a segment.
    pub fn is_segment(&self) -> bool {
        self.segment_bytes().is_some()
    }

    /// Bytes on the disk, of a segment.
    pub fn segment_bytes(&self) -> Option<u64> {
        match self {
            Source::Segment(segment) => Some(segment.meta().bytes()),
            Source::Chunk(_) => None,
            Source::Screened(source, _) => source.segment_bytes(),
        }
    }

    /// How many rows can match, at most, as far as is known without reading columns; and whether all of them do.
    ///
    /// # Errors
    /// When a file is damaged or cannot be read, or the allowance ends.
    pub fn estimate(
        &self,
        filter: &Filter,
        allowance: &Arc<dyn Allowance>,
    ) -> Result<(usize, bool)> {
        match self {
            Source::Segment(segment) => segment.estimate(filter, allowance),
            Source::Chunk(chunk) => Ok((chunk.rows(), *filter == Filter::All)),
            Source::Screened(source, shown) => source.estimate(&both(filter, shown), allowance),
        }
    }

    /// Adds the names of all attributes that its records have.
    pub fn add_attribute_names(&self, names: &mut BTreeSet<String>) {
        let mut add = |column: &str| {
            names.extend(AttributeType::of_column(column).map(|(_, name)| name.to_owned()));
        };
        match self {
            Source::Segment(segment) => segment.meta().columns.iter().for_each(|name| add(name)),
            Source::Chunk(chunk) => {
                chunk.batch.schema_ref().fields().iter().for_each(|field| add(field.name()));
            }
            Source::Screened(source, _) => return source.add_attribute_names(names),
        }
        names.extend(self.overflow_names().iter().cloned());
    }

    /// Smallest and largest record_seq.
    pub fn seq_range(&self) -> (u64, u64) {
        match self {
            Source::Segment(segment) => segment.meta().seq_range,
            Source::Chunk(chunk) => chunk.seq_range(),
            Source::Screened(source, _) => source.seq_range(),
        }
    }

    /// How many rows.
    pub fn rows(&self) -> usize {
        match self {
            Source::Segment(segment) => segment.meta().rows as usize,
            Source::Chunk(chunk) => chunk.rows(),
            Source::Screened(source, _) => source.rows(),
        }
    }

    /// The rows that match and whose time lies in `time`; with `newest`, at least the newest that many.
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
        match self {
            Source::Segment(segment) => segment.select(filter, time, newest, allowance),
            Source::Chunk(chunk) => chunk.select(filter, time, allowance),
            Source::Screened(source, shown) => {
                source.select(&both(filter, shown), time, newest, allowance)
            }
        }
    }

    /// How many rows match.
    ///
    /// # Errors
    /// When a file is damaged or cannot be read, or the allowance ends.
    pub fn count(
        &self,
        filter: &Filter,
        time: Range<i64>,
        allowance: &Arc<dyn Allowance>,
    ) -> Result<usize> {
        match self {
            Source::Segment(segment) => segment.count(filter, time, allowance),
            Source::Chunk(chunk) => Ok(chunk.select(filter, time, allowance)?.len()),
            Source::Screened(source, shown) => source.count(&both(filter, shown), time, allowance),
        }
    }

    /// Counts by minute, service and severity without reading a row; see [`Segment::roll_up`].
    pub fn roll_up(&self, filter: &Filter, time: Range<i64>) -> Option<(RecordBatch, Vec<u32>)> {
        match self {
            Source::Segment(segment) => segment.roll_up(filter, time),
            Source::Chunk(_) => None,
            Source::Screened(source, shown) => source.roll_up(&both(filter, shown), time),
        }
    }

    /// Columns of some rows as one batch. Columns that the source does not have are left out.
    ///
    /// # Errors
    /// When a file is damaged or cannot be read, or the allowance ends.
    pub fn read(
        &self,
        rows: &RowSet,
        columns: &Columns,
        allowance: &Arc<dyn Allowance>,
    ) -> Result<RecordBatch> {
        match (self, rows) {
            // A slice is one batch without a copy.
            (Source::Chunk(chunk), RowSet::Range(range)) => {
                Ok(chunk.columns(columns)?.slice(range.start as usize, range.len()))
            }
            _ => self.batches(rows, columns, allowance)?.together(),
        }
    }

    /// The same, block by block.
    ///
    /// # Errors
    /// When a file is damaged or cannot be read, or the allowance ends.
    pub fn batches(
        &self,
        rows: &RowSet,
        columns: &Columns,
        allowance: &Arc<dyn Allowance>,
    ) -> Result<Batches> {
        match self {
            Source::Segment(segment) => segment.batches(rows, columns, allowance),
            Source::Chunk(chunk) => {
                let (row_bytes, columns) = (chunk.row_bytes(), chunk.columns(columns)?);
                Ok(Batches::of_chunk(columns, row_bytes, rows.clone(), allowance))
            }
            Source::Screened(source, _) => source.batches(rows, columns, allowance),
        }
    }

    /// The memory that a row takes in these columns, about.
    ///
    /// # Errors
    /// When a file is damaged or cannot be read.
    pub fn row_bytes(&self, columns: &Columns) -> Result<usize> {
        match self {
            Source::Segment(segment) => segment.row_bytes(columns),
            Source::Chunk(chunk) => Ok(chunk.row_bytes()),
            Source::Screened(source, _) => source.row_bytes(columns),
        }
    }

    /// After a read failed: what is wrong with its files, if they are not what was written. The store sets them apart
    /// soon.
    pub fn damage(&self) -> Option<String> {
        match self {
            Source::Segment(segment) => {
                segment.verify();
                segment.damage()
            }
            Source::Chunk(_) => None,
            Source::Screened(source, _) => source.damage(),
        }
    }

    /// The columns that [`Source::keys_of`] wants.
    pub fn key_columns() -> Columns {
        Columns::Fields([Field::Timestamp, Field::RecordSeq].into())
    }

    /// Timestamp and record_seq of a batch of [`Source::key_columns`].
    pub fn keys_of(batch: &RecordBatch) -> impl Iterator<Item = (i64, u64)> {
        let times = batch.column(0).as_primitive::<TimestampNanosecondType>().values();
        let seqs = batch.column(1).as_primitive::<UInt64Type>().values();
        times.iter().copied().zip(seqs.iter().copied())
    }

    /// Timestamp and record_seq of some rows.
    ///
    /// # Errors
    /// When a file is damaged or cannot be read, or the allowance ends.
    pub fn keys(&self, rows: &RowSet, allowance: &Arc<dyn Allowance>) -> Result<Vec<(i64, u64)>> {
        let batch = self.read(rows, &Self::key_columns(), allowance)?;
        Ok(Self::keys_of(&batch).collect())
    }

    /// Attribute names that stand in the overflow column.
    pub fn overflow_names(&self) -> &BTreeSet<String> {
        match self {
            Source::Segment(segment) => &segment.meta().overflow_names,
            Source::Chunk(chunk) => &chunk.overflow_names,
            Source::Screened(source, _) => source.overflow_names(),
        }
    }

    /// Whether deletes hide rows of it, as far as is known.
    pub fn is_screened(&self) -> bool {
        matches!(self, Source::Screened(..))
    }
}

fn both(filter: &Filter, shown: &Filter) -> Filter {
    Filter::and(vec![filter.clone(), shown.clone()])
}

impl Chunk {
    fn select(
        &self,
        filter: &Filter,
        time: Range<i64>,
        allowance: &Arc<dyn Allowance>,
    ) -> Result<RowSet> {
        let (first, last) = self.time_range;
        let whole = time.start <= first && last < time.end;
        if whole && *filter == Filter::All {
            return Ok(RowSet::Range(0..self.rows() as u32));
        }
        let times = self.batch.column(0).as_primitive::<TimestampNanosecondType>().values();
        let mut found = Vec::new();
        let mut held = Held::nothing(allowance);
        for start in (0..self.rows()).step_by(BLOCK_ROWS) {
            allowance.check()?;
            let block = self.batch.slice(start, BLOCK_ROWS.min(self.rows() - start));
            let rows = Rows { batch: &block, overflow_names: &self.overflow_names };
            let matching = evaluate(filter, rows);
            let matching = matching.set_indices().map(|row| start + row);
            let within = matching.filter(|row| whole || time.contains(&times[*row]));
            found.extend(within.map(|row| row as u32));
            held.set(found.capacity() * size_of::<u32>())?;
        }
        Ok(RowSet::List(found))
    }

    /// Rows stand in the order in which they came.
    fn seq_range(&self) -> (u64, u64) {
        let seqs = self.batch.column_by_name(crate::schema::RECORD_SEQ);
        let seqs = seqs.map(|column| column.as_primitive::<UInt64Type>().values());
        let ends = seqs.and_then(|seqs| seqs.first().copied().zip(seqs.last().copied()));
        ends.unwrap_or((u64::MAX, 0))
    }

    /// Memory of a row, about.
    fn row_bytes(&self) -> usize {
        self.bytes / self.rows().max(1)
    }

    fn columns(&self, columns: &Columns) -> Result<RecordBatch> {
        let schema = self.batch.schema_ref();
        let wanted: Vec<usize> = (0..schema.fields().len())
            .filter(|index| columns.includes(schema.field(*index).name(), &self.overflow_names))
            .collect();
        self.batch.project(&wanted).map_err(StoreError::segment("read"))
    }
}
