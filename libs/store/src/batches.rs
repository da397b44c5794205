//! Rows of one source as a run of batches, none larger than the reader's allowance wants a block to be.

use std::sync::Arc;

use arrow::array::{RecordBatch, RecordBatchOptions, UInt32Array};
use arrow::compute::{concat_batches, take_record_batch};
use arrow::datatypes::{Schema, SchemaRef};
use parquet::arrow::arrow_reader::ParquetRecordBatchReader;

use crate::allowance::{Allowance, Held};
use crate::error::{Result, StoreError};
use crate::segment::RowSet;

/// The batches of some rows, in row order.
#[derive(Debug)]
pub struct Batches {
    from: From,
    schema: SchemaRef,
    rows_left: usize,
    allowance: Arc<dyn Allowance>,
    /// Pages that a segment's reader holds unpacked.
    _pages: Held,
}

enum From {
    Segment(ParquetRecordBatchReader),
    Chunk {
        columns: RecordBatch,
        rows: RowSet,
        at: usize,
        step: usize,
    },
    /// No column is read: the number of rows is all there is.
    Nothing,
}

impl std::fmt::Debug for From {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            From::Segment(_) => "Segment",
            From::Chunk { .. } => "Chunk",
            From::Nothing => "Nothing",
        })
    }
}

/// Rows of a block whose rows take about `row_bytes`.
pub(crate) fn block_rows(row_bytes: usize, allowance: &dyn Allowance) -> usize {
    let (rows, bytes) = allowance.block();
    (bytes / row_bytes.max(1)).clamp(1, rows)
}

impl Batches {
    pub(crate) fn of_segment(
        reader: ParquetRecordBatchReader,
        rows: usize,
        allowance: &Arc<dyn Allowance>,
        pages: Held,
    ) -> Self {
        let schema = arrow::array::RecordBatchReader::schema(&reader);
        Self::new(From::Segment(reader), schema, rows, allowance, pages)
    }

    pub(crate) fn of_chunk(
        columns: RecordBatch,
        row_bytes: usize,
        rows: RowSet,
        allowance: &Arc<dyn Allowance>,
    ) -> Self {
        if columns.num_columns() == 0 {
            return Self::of_nothing(rows.len(), allowance);
        }
        let (schema, count) = (columns.schema(), rows.len());
        let step = match &rows {
            // Slices take no memory.
            RowSet::Range(_) => allowance.block().0,
            RowSet::List(_) => block_rows(row_bytes, &**allowance),
        };
        let from = From::Chunk { columns, rows, at: 0, step };
        Self::new(from, schema, count, allowance, Held::nothing(allowance))
    }

    pub(crate) fn of_nothing(rows: usize, allowance: &Arc<dyn Allowance>) -> Self {
        let schema = Arc::new(Schema::empty());
        Self::new(From::Nothing, schema, rows, allowance, Held::nothing(allowance))
    }

    fn new(
        from: From,
        schema: SchemaRef,
        rows: usize,
        allowance: &Arc<dyn Allowance>,
        pages: Held,
    ) -> Self {
        let allowance = Arc::clone(allowance);
        Self { from, schema, rows_left: rows, allowance, _pages: pages }
    }

    /// All of them as one batch.
    pub(crate) fn together(mut self) -> Result<RecordBatch> {
        let (schema, allowance) = (Arc::clone(&self.schema), Arc::clone(&self.allowance));
        let mut held = Held::nothing(&allowance);
        let mut batches = Vec::new();
        for batch in &mut self {
            let batch = batch?;
            held.grow(batch.get_array_memory_size())?;
            batches.push(batch);
        }
        match batches.len() {
            1 => Ok(batches.remove(0)),
            _ => concat_batches(&schema, &batches).map_err(StoreError::segment("read")),
        }
    }

    fn next_batch(&mut self) -> Result<Option<RecordBatch>> {
        self.allowance.check()?;
        let batch = match &mut self.from {
            From::Segment(reader) => match reader.next() {
                Some(batch) => batch.map_err(StoreError::segment("read"))?,
                None if self.rows_left == 0 => return Ok(None),
                None => {
                    let detail = format!("{} rows are not there", self.rows_left);
                    return Err(StoreError::segment("read")(detail));
                }
            },
            _ if self.rows_left == 0 => return Ok(None),
            From::Chunk { columns, rows, at, step } => {
                let count = (*step).min(self.rows_left);
                let start = *at;
                *at += count;
                match rows {
                    RowSet::Range(range) => columns.slice(range.start as usize + start, count),
                    RowSet::List(rows) => {
                        let rows = UInt32Array::from(rows[start..start + count].to_vec());
                        take_record_batch(columns, &rows).map_err(StoreError::segment("read"))?
                    }
                }
            }
            From::Nothing => {
                let options = RecordBatchOptions::new().with_row_count(Some(self.rows_left));
                RecordBatch::try_new_with_options(Arc::clone(&self.schema), vec![], &options)
                    .map_err(StoreError::segment("read"))?
            }
        };
        match self.rows_left.checked_sub(batch.num_rows()) {
            Some(left) => self.rows_left = left,
            None => {
                let detail = "there are more rows than were asked for".to_owned();
                return Err(StoreError::segment("read")(detail));
            }
        }
        Ok(Some(batch))
    }
}

impl Iterator for Batches {
    type Item = Result<RecordBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        self.next_batch().transpose()
    }
}
