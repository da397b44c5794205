//! What flows between stages: records in their columns, or rows that a stage made.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, FixedSizeBinaryArray, Float64Array, Int64Array,
    RecordBatch, StringArray, TimestampNanosecondArray, UInt8Array, UInt64Array,
};
use arrow::datatypes::{
    DataType, Float64Type, Int32Type, Int64Type, TimestampNanosecondType, UInt8Type, UInt64Type,
};
use ql::Field;
use record::{Severity, Timestamp};
use store::schema::{AttributeType, OVERFLOW};

use crate::cell::Cell;
use crate::error::QueryError;
use crate::stages::Flow;

/// Some of a query's data on its way through the stages.
#[derive(Clone, Debug)]
pub enum Batch {
    /// Records as they are stored.
    Records(Records),
    /// Rows that a stage made.
    Rows(Rows),
}

/// Records from one or more sources.
#[derive(Clone, Debug, Default)]
pub struct Records {
    /// Columns, source by source.
    pub pieces: Vec<Piece>,
    /// (piece, row) in order; `None` is all rows of all pieces, in any order.
    pub order: Option<Vec<(u32, u32)>>,
}

/// Records that lie together.
#[derive(Clone, Debug)]
pub struct Piece {
    /// The columns asked for, as far as the source has them.
    pub batch: RecordBatch,
    /// Attributes that may stand in the overflow column.
    pub overflow_names: Arc<BTreeSet<String>>,
    /// Fields that stages made, with a value for every row; they stand before those of the record.
    pub(crate) made: Vec<(Field, Arc<[Cell]>)>,
}

/// Rows of named cells.
#[derive(Clone, Debug, Default)]
pub struct Rows {
    /// The columns' names.
    pub names: Arc<[String]>,
    /// The cells, as many as names in each.
    pub rows: Vec<Vec<Cell>>,
}

impl Batch {
    /// How many records or rows.
    pub fn len(&self) -> usize {
        match self {
            Batch::Records(records) => records.len(),
            Batch::Rows(rows) => rows.rows.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Memory that it holds, about.
    pub(crate) fn memory_bytes(&self) -> usize {
        match self {
            Batch::Records(records) => records.memory_bytes(),
            Batch::Rows(rows) => rows
                .rows
                .iter()
                .map(|row| {
                    size_of::<Vec<Cell>>() + row.iter().map(Cell::memory_bytes).sum::<usize>()
                })
                .sum(),
        }
    }

    /// Keeps the first `count`.
    pub fn truncate(&mut self, count: usize) {
        match self {
            Batch::Records(records) => {
                if count < records.len() {
                    let mut order: Vec<_> = records.places().collect();
                    order.truncate(count);
                    records.order = Some(order);
                }
            }
            Batch::Rows(rows) => rows.rows.truncate(count),
        }
    }

    /// Gives it away in blocks of at most `rows`, until whoever takes them has enough.
    pub(crate) fn in_blocks(
        self,
        rows: usize,
        take: &mut dyn FnMut(Batch) -> Result<Flow, QueryError>,
    ) -> Result<Flow, QueryError> {
        match self {
            Batch::Records(Records { pieces, order: Some(order) }) if order.len() > rows => {
                for block in order.chunks(rows) {
                    let order = Some(block.to_vec());
                    let records = Records { pieces: pieces.clone(), order };
                    if take(Batch::Records(records))? == Flow::Enough {
                        return Ok(Flow::Enough);
                    }
                }
                Ok(Flow::More)
            }
            whole => take(whole),
        }
    }

    /// Reads one field of every record or row, in order.
    pub fn column(&self, field: &Field) -> Vec<Cell> {
        match self {
            Batch::Records(records) => {
                let readers: Vec<_> =
                    records.pieces.iter().map(|piece| piece.reader(field)).collect();
                records
                    .places()
                    .map(|(piece, row)| readers[piece as usize].cell(row as usize))
                    .collect()
            }
            Batch::Rows(rows) => {
                let place = rows.place(field);
                rows.rows
                    .iter()
                    .map(|row| place.map_or(Cell::Null, |place| row[place].clone()))
                    .collect()
            }
        }
    }
}

impl Batch {
    /// A field of all rows, also of those of its pieces that are not in the batch; see [`Batch::make`].
    pub(crate) fn whole_column(&self, field: &Field) -> Vec<Cell> {
        let Batch::Records(records) = self else { return self.column(field) };
        let columns = records.pieces.iter().flat_map(|piece| {
            let reader = piece.reader(field);
            (0..piece.batch.num_rows()).map(move |row| reader.cell(row))
        });
        columns.collect()
    }

    /// Puts a field in, before what was there under that name: a cell for every row, as in [`Batch::whole_column`].
    pub(crate) fn make(&mut self, field: &Field, cells: Vec<Cell>) {
        match self {
            Batch::Records(records) => {
                let mut cells = cells.into_iter();
                for piece in &mut records.pieces {
                    let of_piece = cells.by_ref().take(piece.batch.num_rows()).collect();
                    piece.make(field.clone(), of_piece);
                }
            }
            Batch::Rows(rows) => rows.make(field, cells),
        }
    }

    /// Keeps those for which it is so.
    pub(crate) fn retain(&mut self, keep: &[bool]) {
        let mut keep = keep.iter().copied();
        let mut next = move || keep.next().unwrap_or(false);
        match self {
            Batch::Records(records) => {
                records.order = Some(records.places().filter(|_| next()).collect());
            }
            Batch::Rows(rows) => rows.rows.retain(|_| next()),
        }
    }

    /// Leaves the first `count` out.
    pub(crate) fn skip(&mut self, count: usize) {
        match self {
            Batch::Records(records) => records.order = Some(records.places().skip(count).collect()),
            Batch::Rows(rows) => {
                rows.rows.drain(..count.min(rows.rows.len()));
            }
        }
    }
}

impl Records {
    /// How many.
    pub fn len(&self) -> usize {
        match &self.order {
            Some(order) => order.len(),
            None => self.pieces.iter().map(|piece| piece.batch.num_rows()).sum(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Memory that it holds, about.
    pub(crate) fn memory_bytes(&self) -> usize {
        let order = self.order.as_ref().map_or(0, |order| size_of_val(order.as_slice()));
        order + self.pieces.iter().map(Piece::memory_bytes).sum::<usize>()
    }

    /// (piece, row) of each, in order.
    pub fn places(&self) -> Box<dyn Iterator<Item = (u32, u32)> + '_> {
        match &self.order {
            Some(order) => Box::new(order.iter().copied()),
            None => Box::new(self.pieces.iter().enumerate().flat_map(|(piece, columns)| {
                (0..columns.batch.num_rows()).map(move |row| (piece as u32, row as u32))
            })),
        }
    }
}

impl Records {
    /// The same records, copied out of their pieces where those hold much that is not wanted.
    pub(crate) fn compacted(self) -> Self {
        let Some(order) = &self.order else { return self };
        let all: usize = self.pieces.iter().map(|piece| piece.batch.num_rows()).sum();
        if order.len() * 2 >= all {
            return self;
        }
        let mut wanted: Vec<Vec<u32>> = vec![Vec::new(); self.pieces.len()];
        for (piece, row) in order {
            wanted[*piece as usize].push(*row);
        }
        for rows in &mut wanted {
            rows.sort_unstable();
            rows.dedup();
        }
        let order = order.iter().map(|(piece, row)| {
            (*piece, wanted[*piece as usize].partition_point(|other| other < row) as u32)
        });
        let order = Some(order.collect());
        let pieces = self.pieces.iter().zip(&wanted).map(|(piece, rows)| {
            let made = piece.made.iter().map(|(field, cells)| {
                (field.clone(), rows.iter().map(|row| cells[*row as usize].clone()).collect())
            });
            let made = made.collect();
            let rows = arrow::array::UInt32Array::from(rows.clone());
            let batch =
                arrow::compute::take_record_batch(&piece.batch, &rows).expect("rows of the batch");
            Piece { batch, overflow_names: Arc::clone(&piece.overflow_names), made }
        });
        Self { pieces: pieces.collect(), order }
    }
}

impl Rows {
    /// The column of a field, by its canonical name or as an alias wrote it.
    pub fn place(&self, field: &Field) -> Option<usize> {
        self.names
            .iter()
            .position(|name| name == field.name())
            .or_else(|| self.names.iter().position(|name| Field::resolve(name) == *field))
    }
}

impl Rows {
    fn make(&mut self, field: &Field, cells: Vec<Cell>) {
        match self.place(field) {
            Some(place) => {
                for (row, cell) in self.rows.iter_mut().zip(cells) {
                    row[place] = cell;
                }
            }
            None => {
                self.names = self.names.iter().cloned().chain([field.name().to_owned()]).collect();
                for (row, cell) in self.rows.iter_mut().zip(cells) {
                    row.push(cell);
                }
            }
        }
    }

    /// Gives a column another name; one that had it goes.
    pub(crate) fn rename(&mut self, from: &Field, to: &Field) {
        let Some(place) = self.place(from) else { return };
        let mut names = self.names.to_vec();
        let gone = self.place(to).filter(|gone| *gone != place);
        names[place] = to.name().to_owned();
        if let Some(gone) = gone {
            names.remove(gone);
            self.rows.iter_mut().for_each(|row| {
                row.remove(gone);
            });
        }
        self.names = names.into();
    }
}

impl Piece {
    pub(crate) fn new(batch: RecordBatch, overflow_names: Arc<BTreeSet<String>>) -> Self {
        Self { batch, overflow_names, made: Vec::new() }
    }

    /// Puts a field in, before what the record has under that name.
    pub(crate) fn make(&mut self, field: Field, cells: Vec<Cell>) {
        debug_assert_eq!(cells.len(), self.batch.num_rows());
        self.made.retain(|(other, _)| *other != field);
        self.made.push((field, cells.into()));
    }

    /// The rows for which it is so.
    pub(crate) fn filtered(&self, keep: &[bool]) -> Self {
        let mask = BooleanArray::from(keep.to_vec());
        let batch = arrow::compute::filter_record_batch(&self.batch, &mask)
            .expect("a mask as long as the batch");
        let made = self.made.iter().map(|(field, cells)| {
            let kept = cells.iter().zip(keep).filter(|(_, keep)| **keep);
            (field.clone(), kept.map(|(cell, _)| cell.clone()).collect())
        });
        let overflow_names = Arc::clone(&self.overflow_names);
        Self { batch, overflow_names, made: made.collect() }
    }

    fn memory_bytes(&self) -> usize {
        let made = self.made.iter().flat_map(|(_, cells)| cells.iter());
        memory_of(&self.batch) + made.map(Cell::memory_bytes).sum::<usize>()
    }

    /// Prepares reading a field.
    pub fn reader(&self, field: &Field) -> FieldReader {
        if let Some((_, cells)) = self.made.iter().find(|(made, _)| made == field) {
            return FieldReader { columns: vec![Column::Made(Arc::clone(cells))] };
        }
        let mut columns = Vec::new();
        match field {
            Field::Attribute(name) => {
                for attribute_type in AttributeType::ALL {
                    columns.extend(
                        self.batch.column_by_name(&attribute_type.column(name)).map(Column::new),
                    );
                }
                if self.overflow_names.contains(name) {
                    let overflow = self
                        .batch
                        .column_by_name(OVERFLOW)
                        .map(|column| column.as_string::<i32>().clone());
                    columns.extend(overflow.map(|column| Column::Overflow(column, name.clone())));
                }
            }
            Field::Severity => {
                let column = self.batch.column_by_name(store::fixed_column(field));
                columns
                    .extend(column.map(|column| {
                        Column::Severity(column.as_primitive::<UInt8Type>().clone())
                    }));
            }
            fixed => columns
                .extend(self.batch.column_by_name(store::fixed_column(fixed)).map(Column::new)),
        }
        FieldReader { columns }
    }
}

/// Reads one field of one piece; an attribute may be spread over columns of several types.
#[derive(Clone, Debug)]
pub struct FieldReader {
    columns: Vec<Column>,
}

/// A typed column.
#[derive(Clone, Debug)]
pub enum Column {
    /// Text of few values: keys and values.
    Dictionary(arrow::array::Int32Array, StringArray),
    /// Text.
    Text(StringArray),
    /// Integers.
    I64(Int64Array),
    /// Unsigned integers.
    U64(UInt64Array),
    /// Floats.
    F64(Float64Array),
    /// Booleans.
    Bool(BooleanArray),
    /// Times.
    Time(TimestampNanosecondArray),
    /// Severity numbers, read as their level.
    Severity(UInt8Array),
    /// Trace and span ids, read as hex.
    Id(FixedSizeBinaryArray),
    /// One name of the overflow objects.
    Overflow(StringArray, String),
    /// What a stage made.
    Made(Arc<[Cell]>),
}

impl FieldReader {
    /// Reads one column.
    pub(crate) fn of(column: &ArrayRef) -> Self {
        Self { columns: vec![Column::new(column)] }
    }

    /// The value of a row; nothing if the record does not have the field.
    pub fn cell(&self, row: usize) -> Cell {
        for column in &self.columns {
            let cell = column.cell(row);
            if !cell.is_null() {
                return cell;
            }
        }
        Cell::Null
    }

    /// The value of a row as a text; nothing if the record does not have the field.
    pub(crate) fn text(&self, row: usize) -> Option<Cow<'_, str>> {
        self.columns.iter().find_map(|column| column.text(row))
    }

    /// The one column of the field, if it is not spread.
    pub fn single(&self) -> Option<&Column> {
        match self.columns.as_slice() {
            [column] => Some(column),
            _ => None,
        }
    }
}

impl Column {
    fn new(column: &ArrayRef) -> Self {
        match column.data_type() {
            DataType::Dictionary(..) => {
                let dictionary = column.as_dictionary::<Int32Type>();
                Column::Dictionary(
                    dictionary.keys().clone(),
                    dictionary.values().as_string::<i32>().clone(),
                )
            }
            DataType::Int64 => Column::I64(column.as_primitive::<Int64Type>().clone()),
            DataType::UInt64 => Column::U64(column.as_primitive::<UInt64Type>().clone()),
            DataType::Float64 => Column::F64(column.as_primitive::<Float64Type>().clone()),
            DataType::Boolean => Column::Bool(column.as_boolean().clone()),
            DataType::Timestamp(..) => {
                Column::Time(column.as_primitive::<TimestampNanosecondType>().clone())
            }
            DataType::FixedSizeBinary(_) => Column::Id(column.as_fixed_size_binary().clone()),
            _ => Column::Text(column.as_string::<i32>().clone()),
        }
    }

    /// The value of a row as a text, borrowed where it is one.
    fn text(&self, row: usize) -> Option<Cow<'_, str>> {
        match self {
            Column::Dictionary(keys, values) => {
                keys.is_valid(row).then(|| values.value(keys.value(row) as usize).into())
            }
            Column::Text(texts) => texts.is_valid(row).then(|| texts.value(row).into()),
            other => match other.cell(row) {
                Cell::Null => None,
                cell => Some(cell.to_string().into()),
            },
        }
    }

    /// The value of a row.
    pub fn cell(&self, row: usize) -> Cell {
        macro_rules! valid {
            ($array:expr, $cell:expr) => {
                if $array.is_valid(row) { $cell } else { Cell::Null }
            };
        }
        match self {
            Column::Dictionary(keys, values) => {
                valid!(keys, Cell::text(values.value(keys.value(row) as usize)))
            }
            Column::Text(texts) => valid!(texts, Cell::text(texts.value(row))),
            Column::I64(numbers) => valid!(numbers, Cell::I64(numbers.value(row))),
            Column::U64(numbers) => valid!(numbers, from_u64(numbers.value(row))),
            Column::F64(numbers) => valid!(numbers, Cell::F64(numbers.value(row))),
            Column::Bool(flags) => valid!(flags, Cell::Bool(flags.value(row))),
            Column::Time(times) => valid!(times, Cell::Time(Timestamp(times.value(row)))),
            Column::Severity(numbers) => severity(numbers.value(row)),
            Column::Id(ids) => valid!(ids, hex(ids.value(row))),
            Column::Overflow(objects, name) => valid!(objects, overflow(objects.value(row), name)),
            Column::Made(cells) => cells[row].clone(),
        }
    }
}

/// Memory of a batch's rows. Of a slice only the slice: the rest is another's.
pub(crate) fn memory_of(batch: &RecordBatch) -> usize {
    let sizes = batch.columns().iter().map(|column| {
        let data = column.to_data();
        data.get_slice_memory_size().unwrap_or_else(|_| column.get_array_memory_size())
    });
    sizes.sum()
}

pub(crate) fn severity(number: u8) -> Cell {
    match Severity::from_number(number.into()).map(Severity::name) {
        None | Some("") => Cell::Null,
        Some(name) => Cell::text(name),
    }
}

fn from_u64(number: u64) -> Cell {
    i64::try_from(number).map_or_else(|_| Cell::text(&number.to_string()), Cell::I64)
}

pub(crate) fn hex(bytes: &[u8]) -> Cell {
    let text = match (<[u8; 16]>::try_from(bytes), <[u8; 8]>::try_from(bytes)) {
        (Ok(trace), _) => record::TraceId(trace).to_string(),
        (_, Ok(span)) => record::SpanId(span).to_string(),
        _ => return Cell::Null,
    };
    Cell::text(&text)
}

fn overflow(object: &str, name: &str) -> Cell {
    let object: serde_json::Map<String, serde_json::Value> =
        serde_json::from_str(object).unwrap_or_default();
    object.get(name).map(cell_of_json).unwrap_or_default()
}

/// The value of a member of an overflow object.
pub(crate) fn cell_of_json(value: &serde_json::Value) -> Cell {
    match value {
        serde_json::Value::String(text) => Cell::text(text),
        serde_json::Value::Bool(flag) => Cell::Bool(*flag),
        serde_json::Value::Number(number) => number
            .as_i64()
            .map(Cell::I64)
            .or_else(|| number.as_f64().map(Cell::float))
            .unwrap_or_default(),
        _ => Cell::Null,
    }
}
