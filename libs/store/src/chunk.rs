//! A chunk: the records of one batch and one day as Arrow columns, before they are in a segment.
//!
//! [`BatchBuilder`] takes records from a decoder and appends them to columns without copying them first.
//! Rows keep the order in which they came; `record_seq` is filled in when the journal has given the batch
//! its place.

use std::collections::BTreeSet;
use std::sync::Arc;

use ahash::AHashMap;
use arrow::array::{
    Array, ArrayBuilder, ArrayRef, BooleanBuilder, DictionaryArray, FixedSizeBinaryBuilder,
    Float64Builder, Int32Array, Int32Builder, Int64Builder, RecordBatch, StringArray,
    StringBuilder, TimestampNanosecondBuilder, UInt8Builder, UInt32Builder, UInt64Array,
    UInt64Builder,
};
use arrow::compute::kernels::aggregate;
use arrow::datatypes::{DataType, Field, Int32Type, Schema};
use record::{NANOS_PER_DAY, RecordRef, ValueRef};

use crate::schema::{self, ATTRIBUTE_COLUMNS_MAX, AttributeType};

/// Days of one batch that get a chunk of their own; further days share the late one.
pub(crate) const DAYS_PER_BATCH_MAX: usize = 64;

/// The UTC day of a part, or the late part of days beyond the bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum PartDay {
    Day(i64),
    Late,
}

/// Columns of some records; immutable once in a view.
#[derive(Clone, Debug)]
pub struct Chunk {
    /// Fixed columns, attribute columns, overflow.
    pub batch: RecordBatch,
    /// Attribute names that stand in the overflow column.
    pub overflow_names: Arc<BTreeSet<String>>,
    /// Smallest and largest timestamp.
    pub time_range: (i64, i64),
    /// Latest receive time, which retention looks at.
    pub received_at_max: i64,
    /// Memory of the columns.
    pub bytes: usize,
}

impl Chunk {
    pub(crate) fn rows(&self) -> usize {
        self.batch.num_rows()
    }

    pub(crate) fn new(
        batch: RecordBatch,
        overflow_names: Arc<BTreeSet<String>>,
        received_at_max: i64,
    ) -> Self {
        let times = batch
            .column(0)
            .as_any()
            .downcast_ref::<arrow::array::TimestampNanosecondArray>()
            .expect("the first column is the timestamp");
        let time_range = (aggregate::min(times).unwrap_or(0), aggregate::max(times).unwrap_or(0));
        let bytes = batch.get_array_memory_size();
        Self { batch, overflow_names, time_range, received_at_max, bytes }
    }
}

/// A decoded batch before it has its place: a chunk a day, each with the ordinals of its rows.
#[derive(Debug)]
pub struct DecodedBatch {
    pub(crate) chunks: Vec<(PartDay, Chunk, Arc<arrow::array::UInt32Array>)>,
    pub(crate) records: u32,
}

impl DecodedBatch {
    /// Records in it.
    pub fn records(&self) -> u32 {
        self.records
    }

    /// Gives the rows their sequence numbers, from `first_record_seq` on in the order in which they came.
    pub(crate) fn place(self, first_record_seq: u64) -> impl Iterator<Item = (PartDay, Chunk)> {
        self.chunks.into_iter().map(move |(day, mut chunk, ordinals)| {
            let seqs: UInt64Array = ordinals
                .values()
                .iter()
                .map(|ordinal| first_record_seq + u64::from(*ordinal))
                .collect();
            let mut columns = chunk.batch.columns().to_vec();
            columns[1] = Arc::new(seqs);
            chunk.batch = RecordBatch::try_new(chunk.batch.schema(), columns)
                .expect("a column of the same type and length");
            (day, chunk)
        })
    }
}

/// Collects the records of one batch.
#[derive(Debug)]
pub struct BatchBuilder {
    received_at: i64,
    records: u32,
    days: Vec<(PartDay, ChunkBuilder)>,
    /// Index into `days` of the last record's day.
    last_day: usize,
    rows_expected: usize,
}

impl BatchBuilder {
    /// `rows_expected` sizes the first allocation only.
    pub fn new(received_at: record::Timestamp, rows_expected: usize) -> Self {
        Self {
            received_at: received_at.0,
            records: 0,
            days: Vec::new(),
            last_day: 0,
            rows_expected,
        }
    }

    /// Appends a record.
    pub fn push(&mut self, record: &RecordRef<'_>) {
        let day = PartDay::Day(record.timestamp.0.div_euclid(NANOS_PER_DAY));
        if self.days.get(self.last_day).is_none_or(|(last, _)| *last != day) {
            self.last_day = self.day_index(day);
        }
        self.days[self.last_day].1.push(record, self.records);
        self.records += 1;
    }

    fn day_index(&mut self, day: PartDay) -> usize {
        let find = |days: &[(PartDay, ChunkBuilder)], day| {
            days.iter().position(|(known, _)| *known == day)
        };
        if let Some(index) = find(&self.days, day) {
            return index;
        }
        let day = if self.days.len() < DAYS_PER_BATCH_MAX { day } else { PartDay::Late };
        find(&self.days, day).unwrap_or_else(|| {
            let rows = if self.days.is_empty() { self.rows_expected } else { 16 };
            self.days.push((day, ChunkBuilder::new(rows)));
            self.days.len() - 1
        })
    }

    /// Ends the batch.
    pub fn finish(self) -> DecodedBatch {
        let received_at = self.received_at;
        let chunks: Vec<_> = self
            .days
            .into_iter()
            .map(|(day, builder)| {
                let (chunk, ordinals) = builder.finish(received_at);
                (day, chunk, ordinals)
            })
            .collect();
        DecodedBatch { chunks, records: self.records }
    }
}

#[derive(Debug)]
struct ChunkBuilder {
    rows: usize,
    timestamp: TimestampNanosecondBuilder,
    ordinals: UInt32Builder,
    observed_timestamp: TimestampNanosecondBuilder,
    severity: UInt8Builder,
    severity_text: DictionaryColumn,
    service: DictionaryColumn,
    host: DictionaryColumn,
    correlation_id: StringBuilder,
    trace_id: FixedSizeBinaryBuilder,
    span_id: FixedSizeBinaryBuilder,
    message: StringBuilder,
    event_name: DictionaryColumn,
    source_agent: DictionaryColumn,
    source_path: DictionaryColumn,
    source_offset: UInt64Builder,
    attributes: Attributes,
}

impl ChunkBuilder {
    fn new(rows: usize) -> Self {
        Self {
            rows: 0,
            timestamp: TimestampNanosecondBuilder::with_capacity(rows),
            ordinals: UInt32Builder::with_capacity(rows),
            observed_timestamp: TimestampNanosecondBuilder::with_capacity(rows),
            severity: UInt8Builder::with_capacity(rows),
            severity_text: DictionaryColumn::default(),
            service: DictionaryColumn::default(),
            host: DictionaryColumn::default(),
            correlation_id: StringBuilder::with_capacity(rows, rows * 24),
            trace_id: FixedSizeBinaryBuilder::with_capacity(rows, 16),
            span_id: FixedSizeBinaryBuilder::with_capacity(rows, 8),
            message: StringBuilder::with_capacity(rows, rows * 80),
            event_name: DictionaryColumn::default(),
            source_agent: DictionaryColumn::default(),
            source_path: DictionaryColumn::default(),
            source_offset: UInt64Builder::with_capacity(rows),
            attributes: Attributes::default(),
        }
    }

    fn push(&mut self, record: &RecordRef<'_>, ordinal: u32) {
        self.timestamp.append_value(record.timestamp.0);
        self.ordinals.append_value(ordinal);
        self.observed_timestamp.append_value(record.observed_timestamp.0);
        self.severity.append_value(record.severity.number());
        self.severity_text.push(record.severity_text);
        self.service.push(record.service);
        self.host.push(record.host);
        self.correlation_id.append_option(record.correlation_id);
        match record.trace_id {
            Some(id) => self.trace_id.append_value(id.0).expect("16 bytes"),
            None => self.trace_id.append_null(),
        }
        match record.span_id {
            Some(id) => self.span_id.append_value(id.0).expect("8 bytes"),
            None => self.span_id.append_null(),
        }
        self.message.append_value(record.message);
        self.event_name.push(record.event_name);
        self.source_agent.push(record.source.agent);
        self.source_path.push(record.source.path);
        self.source_offset.append_option(record.source.offset);
        self.attributes.push(self.rows, record.attributes);
        self.rows += 1;
    }

    fn finish(mut self, received_at: i64) -> (Chunk, Arc<arrow::array::UInt32Array>) {
        let rows = self.rows;
        let utc = |array: arrow::array::TimestampNanosecondArray| {
            Arc::new(array.with_timezone("UTC")) as ArrayRef
        };
        let ordinals = Arc::new(self.ordinals.finish());
        let mut columns: Vec<ArrayRef> = vec![
            utc(self.timestamp.finish()),
            Arc::new(UInt64Array::from(vec![0; rows])),
            utc(self.observed_timestamp.finish()),
            Arc::new(self.severity.finish()),
            self.severity_text.finish(),
            self.service.finish(),
            self.host.finish(),
            Arc::new(self.correlation_id.finish()),
            Arc::new(self.trace_id.finish()),
            Arc::new(self.span_id.finish()),
            Arc::new(self.message.finish()),
            self.event_name.finish(),
            self.source_agent.finish(),
            self.source_path.finish(),
            Arc::new(self.source_offset.finish()),
        ];
        let mut fields = schema::fixed_fields();
        let overflow_names = self.attributes.finish(rows, &mut fields, &mut columns);
        let batch = RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)
            .expect("columns as their fields say");
        (Chunk::new(batch, Arc::new(overflow_names), received_at), ordinals)
    }
}

/// Text of few values: each is stored once, rows hold its number.
#[derive(Debug, Default)]
struct DictionaryColumn {
    keys: Int32Builder,
    values: StringBuilder,
    numbers: AHashMap<Box<str>, i32>,
    last: Option<(Box<str>, i32)>,
}

impl DictionaryColumn {
    fn push(&mut self, text: Option<&str>) {
        let Some(text) = text else {
            self.keys.append_null();
            return;
        };
        let number = match &self.last {
            Some((last, number)) if **last == *text => *number,
            _ => self.number(text),
        };
        self.keys.append_value(number);
    }

    fn number(&mut self, text: &str) -> i32 {
        let number = match self.numbers.get(text) {
            Some(number) => *number,
            None => {
                let number = self.numbers.len() as i32;
                self.values.append_value(text);
                self.numbers.insert(text.into(), number);
                number
            }
        };
        self.last = Some((text.into(), number));
        number
    }

    fn finish(mut self) -> ArrayRef {
        dictionary(self.keys.finish(), self.values.finish())
    }
}

/// A dictionary column from its parts.
pub(crate) fn dictionary(keys: Int32Array, values: StringArray) -> ArrayRef {
    Arc::new(
        DictionaryArray::<Int32Type>::try_new(keys, Arc::new(values))
            .expect("keys are places in the values"),
    )
}

/// The attribute columns of a chunk, found by position first and by hash if that fails.
#[derive(Debug, Default)]
struct Attributes {
    columns: Vec<AttributeColumn>,
    places: AHashMap<(AttributeType, Box<str>), usize>,
    /// The column of each attribute of the record before: loggers repeat themselves.
    last_places: Vec<usize>,
    overflow: Option<StringBuilder>,
    overflow_names: BTreeSet<String>,
}

#[derive(Debug)]
struct AttributeColumn {
    name: Box<str>,
    values: AttributeValues,
}

#[derive(Debug)]
enum AttributeValues {
    String(StringBuilder),
    I64(Int64Builder),
    F64(Float64Builder),
    Bool(BooleanBuilder),
}

impl Attributes {
    fn push(&mut self, row: usize, attributes: &[(&str, ValueRef<'_>)]) {
        let mut overflow: Option<serde_json::Map<String, serde_json::Value>> = None;
        for (index, (name, value)) in attributes.iter().enumerate() {
            let guess = self
                .last_places
                .get(index)
                .copied()
                .filter(|place| self.columns[*place].is(name, *value));
            let place = guess.or_else(|| self.place(name, *value));
            match place {
                Some(place) => {
                    self.columns[place].append(row, *value);
                    if self.last_places.len() == index {
                        self.last_places.push(place);
                    } else if let Some(last) = self.last_places.get_mut(index) {
                        *last = place;
                    }
                }
                None => {
                    if !self.overflow_names.contains(*name) {
                        self.overflow_names.insert((*name).to_owned());
                    }
                    overflow.get_or_insert_default().insert((*name).to_owned(), to_json(*value));
                }
            }
        }
        if let Some(object) = overflow {
            let column = self.overflow.get_or_insert_default();
            column.append_nulls(row - ArrayBuilder::len(column));
            column.append_value(serde_json::Value::Object(object).to_string());
        }
    }

    /// The column for this name and type, made if there is room.
    fn place(&mut self, name: &str, value: ValueRef<'_>) -> Option<usize> {
        let attribute_type = type_of(value);
        let key = (attribute_type, Box::from(name));
        if let Some(place) = self.places.get(&key) {
            return Some(*place);
        }
        if self.columns.len() == ATTRIBUTE_COLUMNS_MAX {
            return None;
        }
        let values = match attribute_type {
            AttributeType::String => AttributeValues::String(StringBuilder::new()),
            AttributeType::I64 => AttributeValues::I64(Int64Builder::new()),
            AttributeType::F64 => AttributeValues::F64(Float64Builder::new()),
            AttributeType::Bool => AttributeValues::Bool(BooleanBuilder::new()),
        };
        self.columns.push(AttributeColumn { name: key.1.clone(), values });
        self.places.insert(key, self.columns.len() - 1);
        Some(self.columns.len() - 1)
    }

    fn finish(
        mut self,
        rows: usize,
        fields: &mut Vec<Field>,
        columns: &mut Vec<ArrayRef>,
    ) -> BTreeSet<String> {
        // By name, so that chunks of the same attributes have the same schema.
        self.columns
            .sort_by(|a, b| (&a.name, a.attribute_type()).cmp(&(&b.name, b.attribute_type())));
        for mut column in self.columns {
            fields.push(Field::new(
                column.attribute_type().column(&column.name),
                column.data_type(),
                true,
            ));
            columns.push(column.finish(rows));
        }
        if let Some(mut overflow) = self.overflow {
            overflow.append_nulls(rows - ArrayBuilder::len(&overflow));
            fields.push(Field::new(schema::OVERFLOW, DataType::Utf8, true));
            columns.push(Arc::new(overflow.finish()));
        }
        self.overflow_names
    }
}

impl AttributeColumn {
    fn is(&self, name: &str, value: ValueRef<'_>) -> bool {
        *self.name == *name && self.attribute_type() == type_of(value)
    }

    fn attribute_type(&self) -> AttributeType {
        match self.values {
            AttributeValues::String(_) => AttributeType::String,
            AttributeValues::I64(_) => AttributeType::I64,
            AttributeValues::F64(_) => AttributeType::F64,
            AttributeValues::Bool(_) => AttributeType::Bool,
        }
    }

    fn data_type(&self) -> DataType {
        match self.values {
            AttributeValues::String(_) => DataType::Utf8,
            AttributeValues::I64(_) => DataType::Int64,
            AttributeValues::F64(_) => DataType::Float64,
            AttributeValues::Bool(_) => DataType::Boolean,
        }
    }

    /// Appends the value for `row`; rows left out since the last one are null.
    fn append(&mut self, row: usize, value: ValueRef<'_>) {
        macro_rules! put {
            ($builder:expr, $value:expr) => {{
                if $builder.len() < row {
                    $builder.append_nulls(row - $builder.len());
                }
                // A second value of one row would shift all others; names are unique, so there is none.
                debug_assert_eq!($builder.len(), row, "attribute names are unique");
                if $builder.len() == row {
                    $builder.append_value($value);
                }
            }};
        }
        match (&mut self.values, value) {
            (AttributeValues::String(builder), ValueRef::String(text)) => put!(builder, text),
            (AttributeValues::I64(builder), ValueRef::I64(number)) => put!(builder, number),
            (AttributeValues::F64(builder), ValueRef::F64(number)) => put!(builder, number),
            (AttributeValues::Bool(builder), ValueRef::Bool(flag)) => put!(builder, flag),
            _ => debug_assert!(false, "a value goes to the column of its type"),
        }
    }

    fn finish(&mut self, rows: usize) -> ArrayRef {
        macro_rules! pad {
            ($builder:expr) => {{
                $builder.append_nulls(rows - $builder.len());
                Arc::new($builder.finish()) as ArrayRef
            }};
        }
        match &mut self.values {
            AttributeValues::String(builder) => pad!(builder),
            AttributeValues::I64(builder) => pad!(builder),
            AttributeValues::F64(builder) => pad!(builder),
            AttributeValues::Bool(builder) => pad!(builder),
        }
    }
}

fn type_of(value: ValueRef<'_>) -> AttributeType {
    match value {
        ValueRef::String(_) => AttributeType::String,
        ValueRef::I64(_) => AttributeType::I64,
        ValueRef::F64(_) => AttributeType::F64,
        ValueRef::Bool(_) => AttributeType::Bool,
    }
}

/// An attribute value in the overflow column.
pub(crate) fn to_json(value: ValueRef<'_>) -> serde_json::Value {
    match value {
        ValueRef::String(text) => text.into(),
        ValueRef::I64(number) => number.into(),
        ValueRef::F64(number) => number.into(),
        ValueRef::Bool(flag) => flag.into(),
    }
}

/// An attribute value back from the overflow column.
pub(crate) fn from_json(value: &serde_json::Value) -> Option<ValueRef<'_>> {
    match value {
        serde_json::Value::String(text) => Some(ValueRef::String(text)),
        serde_json::Value::Bool(flag) => Some(ValueRef::Bool(*flag)),
        serde_json::Value::Number(number) => {
            number.as_i64().map(ValueRef::I64).or_else(|| number.as_f64().map(ValueRef::F64))
        }
        _ => None,
    }
}
