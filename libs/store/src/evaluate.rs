//! The column evaluator: which rows of a batch match a filter.
//!
//! It walks the filter as [`ql::matches`] does and asks the same [`ql::Test`] functions; only the way to
//! the values differs. A dictionary column is asked once a value, not once a row. Expensive tests look
//! only at rows that the cheap ones have left over.

use std::collections::BTreeSet;

use arrow::array::{Array, ArrayRef, AsArray, BooleanBufferBuilder, RecordBatch};
use arrow::buffer::{BooleanBuffer, NullBuffer};
use arrow::datatypes::{
    DataType, Float64Type, Int32Type, Int64Type, TimestampNanosecondType, UInt8Type, UInt64Type,
};
use ql::{AnyTest, Field, Filter, Leaf, Test};
use record::{Severity, SpanId, Timestamp, TraceId};

use crate::chunk::from_json;
use crate::schema::{self, AttributeType};

/// Rows to be looked at: their columns, and the attribute names that may stand in the overflow column.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rows<'a> {
    pub(crate) batch: &'a RecordBatch,
    pub(crate) overflow_names: &'a BTreeSet<String>,
}

/// Which rows match.
pub(crate) fn evaluate(filter: &Filter, rows: Rows<'_>) -> BooleanBuffer {
    let all = BooleanBuffer::new_set(rows.batch.num_rows());
    evaluate_among(filter, rows, &all)
}

/// Which of the rows in `among` match; the bits of others are unset.
fn evaluate_among(filter: &Filter, rows: Rows<'_>, among: &BooleanBuffer) -> BooleanBuffer {
    match filter {
        Filter::All => among.clone(),
        Filter::And(members) => {
            let mut members: Vec<_> = members.iter().collect();
            members.sort_by_key(|member| cost(member));
            let mut left = among.clone();
            for member in members {
                if left.count_set_bits() == 0 {
                    break;
                }
                left = evaluate_among(member, rows, &left);
            }
            left
        }
        Filter::Or(members) => {
            let mut found = BooleanBuffer::new_unset(among.len());
            for member in members {
                let open = among & &!&found;
                found = &found | &evaluate_among(member, rows, &open);
            }
            found
        }
        Filter::Not(inner) => among & &!&evaluate_among(inner, rows, among),
        Filter::Test(leaf) => evaluate_leaf(leaf, rows, among),
    }
}

/// Cheap tests first: numbers and dictionaries, then ids, then what reads messages.
fn cost(filter: &Filter) -> u8 {
    let mut worst = 0;
    filter.for_each_leaf(&mut |leaf| {
        worst = worst.max(match leaf {
            Leaf::Field { field: Field::Message, .. } | Leaf::Word(_) => 2,
            Leaf::Any(_) => 3,
            Leaf::Field { field: Field::CorrelationId | Field::Attribute(_), .. } => 1,
            Leaf::Field { .. } => 0,
        });
    });
    worst
}

fn evaluate_leaf(leaf: &Leaf, rows: Rows<'_>, among: &BooleanBuffer) -> BooleanBuffer {
    match leaf {
        Leaf::Word(word) => {
            let message =
                rows.batch.column_by_name(schema::MESSAGE).map(|column| column.as_string::<i32>());
            let correlation = rows
                .batch
                .column_by_name(schema::CORRELATION_ID)
                .map(|column| column.as_string::<i32>());
            let trace = rows
                .batch
                .column_by_name(schema::TRACE_ID)
                .map(|column| column.as_fixed_size_binary());
            collect(among, |row| {
                let id = correlation
                    .filter(|column| column.is_valid(row))
                    .map(|column| column.value(row));
                let trace = trace
                    .filter(|column| column.is_valid(row))
                    .and_then(|column| trace_id(column.value(row)));
                word.matches(message.map_or("", |column| column.value(row)), id, trace)
            })
        }
        Leaf::Field { field, test } => evaluate_field(field, test, rows, among),
        Leaf::Any(any) => evaluate_any(any, rows, among),
    }
}

fn evaluate_field(
    field: &Field,
    test: &Test,
    rows: Rows<'_>,
    among: &BooleanBuffer,
) -> BooleanBuffer {
    match field {
        Field::Attribute(name) => evaluate_attribute(name, test, rows, among),
        fixed => match rows.batch.column_by_name(fixed_column(fixed)) {
            Some(column) => evaluate_column(fixed, column, test, among),
            None => BooleanBuffer::new_unset(among.len()),
        },
    }
}

fn evaluate_column(
    field: &Field,
    column: &ArrayRef,
    test: &Test,
    among: &BooleanBuffer,
) -> BooleanBuffer {
    match field {
        Field::Timestamp | Field::ObservedTimestamp => {
            let times = column.as_primitive::<TimestampNanosecondType>().values();
            collect(among, |row| test.matches_timestamp(Timestamp(times[row])))
        }
        Field::Severity => {
            let by_number: Vec<bool> = (0..=u8::MAX)
                .map(|number| {
                    Severity::from_number(number.into())
                        .is_some_and(|severity| test.matches_severity(severity))
                })
                .collect();
            let numbers = column.as_primitive::<UInt8Type>().values();
            collect(among, |row| by_number[usize::from(numbers[row])])
        }
        Field::Message => {
            let messages = column.as_string::<i32>();
            collect(among, |row| test.matches_message(messages.value(row)))
        }
        Field::TraceId => {
            let ids = column.as_fixed_size_binary();
            collect_valid(column.nulls(), among, |row| {
                trace_id(ids.value(row)).is_some_and(|id| test.matches_trace_id(id))
            })
        }
        Field::SpanId => {
            let ids = column.as_fixed_size_binary();
            collect_valid(column.nulls(), among, |row| {
                span_id(ids.value(row)).is_some_and(|id| test.matches_span_id(id))
            })
        }
        Field::SourceOffset | Field::RecordSeq => {
            let numbers = column.as_primitive::<UInt64Type>().values();
            collect_valid(column.nulls(), among, |row| test.matches_u64(numbers[row]))
        }
        _ => evaluate_text(column, test, among),
    }
}

/// A text column, plain or as a dictionary.
fn evaluate_text(column: &ArrayRef, test: &Test, among: &BooleanBuffer) -> BooleanBuffer {
    if let Some(dictionary) = column.as_dictionary_opt::<Int32Type>() {
        let (keys, values) = (dictionary.keys(), dictionary.values().as_string::<i32>());
        if values.len() > among.count_set_bits() {
            // More values than rows that ask for one.
            return collect_valid(keys.nulls(), among, |row| {
                test.matches_str(values.value(keys.value(row) as usize))
            });
        }
        let by_key: Vec<bool> =
            values.iter().map(|value| value.is_some_and(|value| test.matches_str(value))).collect();
        return collect_valid(keys.nulls(), among, |row| by_key[keys.value(row) as usize]);
    }
    let texts = column.as_string::<i32>();
    collect_valid(column.nulls(), among, |row| test.matches_str(texts.value(row)))
}

fn evaluate_attribute(
    name: &str,
    test: &Test,
    rows: Rows<'_>,
    among: &BooleanBuffer,
) -> BooleanBuffer {
    let mut found = BooleanBuffer::new_unset(among.len());
    for attribute_type in AttributeType::ALL {
        if let Some(column) = rows.batch.column_by_name(&attribute_type.column(name)) {
            found = &found | &evaluate_attribute_column(column, test, among);
        }
    }
    if rows.overflow_names.contains(name) {
        let in_overflow = evaluate_overflow(rows, among, |attributes| {
            attributes.get(name).and_then(from_json).is_some_and(|value| test.matches_value(value))
        });
        found = &found | &in_overflow;
    }
    found
}

fn evaluate_attribute_column(
    column: &ArrayRef,
    test: &Test,
    among: &BooleanBuffer,
) -> BooleanBuffer {
    match column.data_type() {
        DataType::Int64 => {
            let numbers = column.as_primitive::<Int64Type>().values();
            collect_valid(column.nulls(), among, |row| test.matches_i64(numbers[row]))
        }
        DataType::Float64 => {
            let numbers = column.as_primitive::<Float64Type>().values();
            collect_valid(column.nulls(), among, |row| test.matches_f64(numbers[row]))
        }
        DataType::Boolean => {
            let flags = column.as_boolean();
            collect_valid(column.nulls(), among, |row| test.matches_bool(flags.value(row)))
        }
        _ => evaluate_text(column, test, among),
    }
}

fn evaluate_overflow(
    rows: Rows<'_>,
    among: &BooleanBuffer,
    matches: impl Fn(&serde_json::Map<String, serde_json::Value>) -> bool,
) -> BooleanBuffer {
    let Some(column) = rows
        .batch
        .column_by_name(schema::OVERFLOW)
        .and_then(|column| column.as_string_opt::<i32>())
    else {
        return BooleanBuffer::new_unset(among.len());
    };
    collect_valid(column.nulls(), among, |row| {
        serde_json::from_str(column.value(row)).is_ok_and(|attributes| matches(&attributes))
    })
}

fn evaluate_any(any: &AnyTest, rows: Rows<'_>, among: &BooleanBuffer) -> BooleanBuffer {
    let mut found = match &any.message {
        Some(test) => evaluate_field(&Field::Message, test, rows, among),
        None => BooleanBuffer::new_unset(among.len()),
    };
    const TEXTS: [Field; 9] = [
        Field::SeverityText,
        Field::Service,
        Field::Host,
        Field::CorrelationId,
        Field::EventName,
        Field::SourceAgent,
        Field::SourcePath,
        Field::TraceId,
        Field::SpanId,
    ];
    for field in TEXTS {
        found = &found | &evaluate_field(&field, &any.value, rows, among);
    }
    for (field, column) in rows.batch.schema_ref().fields().iter().zip(rows.batch.columns()) {
        if AttributeType::of_column(field.name()).is_some() {
            found = &found | &evaluate_attribute_column(column, &any.value, among);
        }
    }
    if !rows.overflow_names.is_empty() {
        let in_overflow = evaluate_overflow(rows, among, |attributes| {
            attributes.values().filter_map(from_json).any(|value| any.value.matches_value(value))
        });
        found = &found | &in_overflow;
    }
    found
}

fn collect(among: &BooleanBuffer, matches: impl Fn(usize) -> bool) -> BooleanBuffer {
    // Few rows left: visit only those.
    if among.count_set_bits() * 8 < among.len() {
        let mut found = BooleanBufferBuilder::new(among.len());
        found.append_n(among.len(), false);
        for row in among.set_indices() {
            if matches(row) {
                found.set_bit(row, true);
            }
        }
        return found.finish();
    }
    BooleanBuffer::collect_bool(among.len(), |row| among.value(row) && matches(row))
}

fn collect_valid(
    nulls: Option<&NullBuffer>,
    among: &BooleanBuffer,
    matches: impl Fn(usize) -> bool,
) -> BooleanBuffer {
    match nulls {
        Some(nulls) => collect(&(among & nulls.inner()), matches),
        None => collect(among, matches),
    }
}

pub(crate) fn trace_id(bytes: &[u8]) -> Option<TraceId> {
    bytes.try_into().ok().and_then(TraceId::from_bytes)
}

pub(crate) fn span_id(bytes: &[u8]) -> Option<SpanId> {
    bytes.try_into().ok().and_then(SpanId::from_bytes)
}

/// The column of a fixed field.
pub fn fixed_column(field: &Field) -> &'static str {
    match field {
        Field::Timestamp => schema::TIMESTAMP,
        Field::ObservedTimestamp => schema::OBSERVED_TIMESTAMP,
        Field::Severity => schema::SEVERITY,
        Field::SeverityText => schema::SEVERITY_TEXT,
        Field::Service => schema::SERVICE,
        Field::Host => schema::HOST,
        Field::CorrelationId => schema::CORRELATION_ID,
        Field::TraceId => schema::TRACE_ID,
        Field::SpanId => schema::SPAN_ID,
        Field::Message => schema::MESSAGE,
        Field::EventName => schema::EVENT_NAME,
        Field::SourceAgent => schema::SOURCE_AGENT,
        Field::SourcePath => schema::SOURCE_PATH,
        Field::SourceOffset => schema::SOURCE_OFFSET,
        Field::RecordSeq => schema::RECORD_SEQ,
        Field::Attribute(_) => schema::OVERFLOW,
    }
}

/// Which columns to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Columns {
    /// All there are.
    All,
    /// Those of these names that exist, and overflow where one of the attributes stands there.
    Fields(BTreeSet<Field>),
}

impl Columns {
    /// The columns that evaluating a filter reads.
    pub fn of_filter(filter: &Filter) -> Self {
        let mut fields = BTreeSet::new();
        let mut all = false;
        filter.for_each_leaf(&mut |leaf| match leaf {
            Leaf::Word(_) => fields.extend([Field::Message, Field::CorrelationId, Field::TraceId]),
            Leaf::Field { field, .. } => {
                fields.insert(field.clone());
            }
            Leaf::Any(_) => all = true,
        });
        if all { Columns::All } else { Columns::Fields(fields) }
    }

    /// Whether a column is among them.
    pub(crate) fn includes(&self, column: &str, overflow_names: &BTreeSet<String>) -> bool {
        match self {
            Columns::All => true,
            Columns::Fields(fields) => match AttributeType::of_column(column) {
                Some((_, name)) => fields.contains(&Field::Attribute(name.to_owned())),
                None if column == schema::OVERFLOW => fields.iter().any(|field| {
                    field.attribute().is_some_and(|name| overflow_names.contains(name))
                }),
                None => fields
                    .iter()
                    .any(|field| field.attribute().is_none() && fixed_column(field) == column),
            },
        }
    }
}
