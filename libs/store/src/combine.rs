//! Brings chunks into one order and one schema: rows by (timestamp, record_seq), the union of columns.
//!
//! Used by flush (many small chunks) and by compaction (segments whose times overlap). Columns are
//! gathered for one range of rows at a time, so that a large part is never copied whole.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;

use ahash::AHashMap;
use arrow::array::{
    Array, ArrayRef, AsArray, DictionaryArray, Int32Array, RecordBatch, StringArray, StringBuilder,
    new_null_array,
};
use arrow::compute::interleave;
use arrow::datatypes::{DataType, Field, Int32Type, Schema, TimestampNanosecondType, UInt64Type};
use arrow::error::ArrowError;

use crate::chunk::{self, Chunk};
use crate::schema::{self, ATTRIBUTE_COLUMNS_MAX, AttributeType};

/// Chunks with the order of their rows and the schema that they share.
#[derive(Debug)]
pub(crate) struct Combined<'a> {
    chunks: &'a [Arc<Chunk>],
    /// (chunk, row) in (timestamp, record_seq) order.
    order: Vec<(usize, usize)>,
    fields: Vec<Field>,
    /// Names that have no column of their own in the result.
    overflow_names: BTreeSet<String>,
}

impl<'a> Combined<'a> {
    pub(crate) fn new(chunks: &'a [Arc<Chunk>]) -> Self {
        let (fields, overflow_names) = union_fields(chunks);
        Self { chunks, order: sorted_order(chunks), fields, overflow_names }
    }

    /// As [`Combined::new`], with the attribute columns given; attributes without one go to overflow.
    pub(crate) fn with_fields(chunks: &'a [Arc<Chunk>], schema: &Schema) -> Self {
        let fields: Vec<Field> = schema
            .fields()
            .iter()
            .filter(|field| field.name() != schema::OVERFLOW)
            .map(|field| match AttributeType::of_column(field.name()) {
                Some((AttributeType::String, _)) => Field::new(field.name(), DataType::Utf8, true),
                _ => field.as_ref().clone(),
            })
            .collect();
        let (_, mut overflow_names) = union_fields(chunks);
        for chunk in chunks {
            for field in chunk.batch.schema_ref().fields() {
                if let Some((_, name)) = AttributeType::of_column(field.name())
                    && !fields.iter().any(|kept| kept.name() == field.name())
                {
                    overflow_names.insert(name.to_owned());
                }
            }
        }
        Self { chunks, order: sorted_order(chunks), fields, overflow_names }
    }

    pub(crate) fn rows(&self) -> usize {
        self.order.len()
    }

    /// The rows of a range, as one batch of the shared schema, with the names in its overflow column.
    ///
    /// # Errors
    /// When the rows hold more than 2 GiB of one text column.
    pub(crate) fn batch(
        &self,
        rows: Range<usize>,
    ) -> Result<(RecordBatch, BTreeSet<String>), ArrowError> {
        let order = &self.order[rows];
        let mut columns = Vec::with_capacity(self.fields.len() + 1);
        for field in &self.fields {
            columns.push(self.gather(field, order)?);
        }
        let mut fields = self.fields.clone();
        let mut names = BTreeSet::new();
        if !self.overflow_names.is_empty() {
            fields.push(Field::new(schema::OVERFLOW, DataType::Utf8, true));
            columns.push(self.gather_overflow(order, &mut names));
        }
        Ok((RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)?, names))
    }

    fn gather(&self, field: &Field, order: &[(usize, usize)]) -> Result<ArrayRef, ArrowError> {
        let sources: Vec<ArrayRef> = self
            .chunks
            .iter()
            .map(|chunk| match chunk.batch.column_by_name(field.name()) {
                Some(column) => Arc::clone(column),
                None => new_null_array(field.data_type(), chunk.rows()),
            })
            .collect();
        if *field.data_type() == schema::dictionary_type() {
            return Ok(gather_dictionary(&sources, order));
        }
        // Attribute text may be plain in one chunk and a dictionary in another.
        let sources: Vec<ArrayRef> =
            sources.iter().map(|column| plain(column)).collect::<Result<_, _>>()?;
        let sources: Vec<&dyn Array> = sources.iter().map(AsRef::as_ref).collect();
        match order {
            [] => Ok(new_null_array(field.data_type(), 0)),
            _ => interleave(&sources, order),
        }
    }

    /// Overflow objects of the rows, with what lost its column added.
    fn gather_overflow(&self, order: &[(usize, usize)], names: &mut BTreeSet<String>) -> ArrayRef {
        let demoted: Vec<Vec<(&str, ArrayRef)>> = self
            .chunks
            .iter()
            .map(|chunk| {
                let schema = chunk.batch.schema_ref();
                let columns = schema.fields().iter().zip(chunk.batch.columns());
                columns
                    .filter(|(field, _)| {
                        !self.fields.iter().any(|kept| kept.name() == field.name())
                    })
                    .filter_map(|(field, column)| {
                        let (_, name) = AttributeType::of_column(field.name())?;
                        let name = self.overflow_names.get(name)?.as_str();
                        Some((name, plain(column).ok()?))
                    })
                    .collect()
            })
            .collect();
        let mut column = StringBuilder::new();
        for (chunk, row) in order {
            let mut object = overflow_object(&self.chunks[*chunk].batch, *row);
            for (name, values) in &demoted[*chunk] {
                if let Some(value) = value_at(values, *row) {
                    object.get_or_insert_default().insert((*name).to_owned(), value);
                }
            }
            match object {
                Some(object) => {
                    names.extend(object.keys().cloned());
                    column.append_value(serde_json::Value::Object(object).to_string());
                }
                None => column.append_null(),
            }
        }
        Arc::new(column.finish())
    }
}

/// The overflow object of a row, if it has one.
pub(crate) fn overflow_object(
    batch: &RecordBatch,
    row: usize,
) -> Option<serde_json::Map<String, serde_json::Value>> {
    let column = batch.column_by_name(schema::OVERFLOW)?.as_string_opt::<i32>()?;
    if column.is_null(row) {
        return None;
    }
    serde_json::from_str(column.value(row)).ok()
}

fn value_at(column: &ArrayRef, row: usize) -> Option<serde_json::Value> {
    use arrow::datatypes::{Float64Type, Int64Type};
    if column.is_null(row) {
        return None;
    }
    match column.data_type() {
        DataType::Utf8 => Some(column.as_string::<i32>().value(row).into()),
        DataType::Int64 => Some(column.as_primitive::<Int64Type>().value(row).into()),
        DataType::Float64 => Some(column.as_primitive::<Float64Type>().value(row).into()),
        DataType::Boolean => Some(column.as_boolean().value(row).into()),
        _ => None,
    }
}

/// A dictionary column as plain text; others as they are.
fn plain(column: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    match column.as_dictionary_opt::<Int32Type>() {
        Some(dictionary) => arrow::compute::take(dictionary.values(), dictionary.keys(), None),
        None => Ok(Arc::clone(column)),
    }
}

fn gather_dictionary(sources: &[ArrayRef], order: &[(usize, usize)]) -> ArrayRef {
    let mut values: Vec<&str> = Vec::new();
    let mut numbers: AHashMap<&str, i32> = AHashMap::new();
    let sources: Vec<&DictionaryArray<Int32Type>> =
        sources.iter().map(|source| source.as_dictionary::<Int32Type>()).collect();
    let renumbered: Vec<Vec<i32>> = sources
        .iter()
        .map(|source| {
            source
                .values()
                .as_string::<i32>()
                .iter()
                .map(|value| {
                    let value = value.unwrap_or_default();
                    *numbers.entry(value).or_insert_with(|| {
                        values.push(value);
                        values.len() as i32 - 1
                    })
                })
                .collect()
        })
        .collect();
    let keys: Int32Array = order
        .iter()
        .map(|(chunk, row)| {
            let keys = sources[*chunk].keys();
            (!keys.is_null(*row)).then(|| renumbered[*chunk][keys.value(*row) as usize])
        })
        .collect();
    chunk::dictionary(keys, StringArray::from(values))
}

/// Rows of all chunks by (timestamp, record_seq); nothing is sorted when they lie in order already.
fn sorted_order(chunks: &[Arc<Chunk>]) -> Vec<(usize, usize)> {
    let rows: usize = chunks.iter().map(|chunk| chunk.rows()).sum();
    let mut keys: Vec<(i64, u64, u32, u32)> = Vec::with_capacity(rows);
    for (index, chunk) in chunks.iter().enumerate() {
        let times = chunk.batch.column(0).as_primitive::<TimestampNanosecondType>().values();
        let seqs = chunk.batch.column(1).as_primitive::<UInt64Type>().values();
        keys.extend(
            times
                .iter()
                .zip(seqs)
                .enumerate()
                .map(|(row, (time, seq))| (*time, *seq, index as u32, row as u32)),
        );
    }
    if !keys.is_sorted() {
        keys.sort_unstable();
    }
    keys.into_iter().map(|(_, _, chunk, row)| (chunk as usize, row as usize)).collect()
}

/// The union of the chunks' columns within the budget; the names that lost theirs or never had one.
fn union_fields(chunks: &[Arc<Chunk>]) -> (Vec<Field>, BTreeSet<String>) {
    let mut overflow_names: BTreeSet<String> = BTreeSet::new();
    let mut filled: BTreeMap<(&str, AttributeType), (usize, &Arc<Field>)> = BTreeMap::new();
    for chunk in chunks {
        overflow_names.extend(chunk.overflow_names.iter().cloned());
        for (field, column) in chunk.batch.schema_ref().fields().iter().zip(chunk.batch.columns()) {
            if let Some((attribute_type, name)) = AttributeType::of_column(field.name()) {
                filled.entry((name, attribute_type)).or_insert((0, field)).0 +=
                    column.len() - column.null_count();
            }
        }
    }
    if filled.len() > ATTRIBUTE_COLUMNS_MAX {
        let mut counts: Vec<_> = filled.iter().map(|(key, (count, _))| (*count, *key)).collect();
        counts.sort_unstable_by(|a, b| b.cmp(a));
        for (_, key) in &counts[ATTRIBUTE_COLUMNS_MAX..] {
            overflow_names.insert(key.0.to_owned());
            filled.remove(key);
        }
    }
    let mut fields = schema::fixed_fields();
    fields.extend(filled.into_iter().map(|((name, attribute_type), (_, field))| {
        let data_type = match field.data_type() {
            DataType::Dictionary(..) => DataType::Utf8,
            other => other.clone(),
        };
        Field::new(attribute_type.column(name), data_type, true)
    }));
    (fields, overflow_names)
}
