//! Writes sorted rows as the two files of a segment, in memory first.

use std::collections::BTreeSet;
use std::sync::Arc;

use ahash::AHashMap;
use arrow::array::{Array, ArrayRef, AsArray, Int32Builder, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::file::metadata::KeyValue;
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterPropertiesBuilder};
use parquet::schema::types::ColumnPath;

use super::footer;
use super::index::{IndexWriter, IndexedRows, exact_hash};
use super::meta::{FOOTER_KEY, SEGMENT_VERSION, SENDERS_KEY, SegmentId, SegmentMeta, Summary};
use crate::chunk;
use crate::error::{Result, StoreError};
use crate::schema::{self, AttributeType};
use crate::sender::{Sender, SenderState};

/// Rows of a Parquet row group.
const ROW_GROUP_ROWS: usize = 131_072;
/// Rows of a page: a point read decodes one of each column.
const PAGE_ROWS: usize = 1_024;
/// A text attribute with more different values than this share of its rows goes to the index.
const SELECTIVE_SHARE: usize = 8;
/// … if it has more different values than this.
const DICTIONARY_VALUES_FEW: usize = 64;

/// The bytes of a segment's files.
#[derive(Debug)]
pub(crate) struct SegmentFiles {
    pub(crate) meta: SegmentMeta,
    pub(crate) records: Vec<u8>,
    pub(crate) index: Vec<u8>,
}

/// What a new segment is called and whose it is.
#[derive(Clone, Debug)]
pub(crate) struct SegmentName {
    pub(crate) id: SegmentId,
    pub(crate) tenant: String,
    pub(crate) signal: String,
    pub(crate) received_at_max: i64,
    pub(crate) journal_end: u64,
    pub(crate) replaces: Vec<SegmentId>,
    /// Senders whose states are to be found should the catalog be lost.
    pub(crate) senders: Vec<(Sender, SenderState)>,
}

/// Builds both files from rows sorted by (timestamp, record_seq). CPU-bound.
pub(crate) fn build(
    name: SegmentName,
    batch: RecordBatch,
    overflow_names: BTreeSet<String>,
) -> Result<SegmentFiles> {
    let (batch, indexed_attributes) = choose_encodings(batch);
    let mut builder = SegmentBuilder::new(name, &batch.schema(), indexed_attributes)?;
    builder.add(&batch, overflow_names)?;
    builder.finish()
}

/// Builds a segment from batches of one schema that follow one another in order.
pub(crate) struct SegmentBuilder {
    name: SegmentName,
    columns: Vec<String>,
    indexed_attributes: BTreeSet<String>,
    overflow_names: BTreeSet<String>,
    summary: Summary,
    records: ArrowWriter<Vec<u8>>,
    index: IndexWriter,
}

impl SegmentBuilder {
    /// Text attributes that are no dictionaries in `schema` must be among `indexed_attributes`, or stay
    /// without an index.
    pub(crate) fn new(
        name: SegmentName,
        schema: &SchemaRef,
        indexed_attributes: BTreeSet<String>,
    ) -> Result<Self> {
        let properties = properties(schema).build();
        let records =
            ArrowWriter::try_new(Vec::with_capacity(8 << 20), Arc::clone(schema), Some(properties))
                .map_err(StoreError::segment("write"))?;
        Ok(Self {
            name,
            columns: schema.fields().iter().map(|field| field.name().clone()).collect(),
            indexed_attributes,
            overflow_names: BTreeSet::new(),
            summary: Summary::default(),
            records,
            index: IndexWriter::new()?,
        })
    }

    pub(crate) fn add(
        &mut self,
        batch: &RecordBatch,
        overflow_names: BTreeSet<String>,
    ) -> Result<()> {
        self.summary.add(batch);
        self.overflow_names.extend(overflow_names);
        self.index.add(indexed_rows(batch, &self.indexed_attributes))?;
        self.records.write(batch).map_err(StoreError::segment("write"))
    }

    pub(crate) fn finish(mut self) -> Result<SegmentFiles> {
        let index = self.index.finish()?;
        let (services, roll_up) = self.summary.finish();
        let mut meta = SegmentMeta {
            version: SEGMENT_VERSION,
            id: self.name.id,
            tenant: self.name.tenant,
            signal: self.name.signal,
            rows: self.summary.rows,
            time_range: self.summary.time_range,
            seq_range: self.summary.seq_range,
            received_at_max: self.name.received_at_max,
            journal_end: self.name.journal_end,
            replaces: self.name.replaces,
            tokenizer: record::tokenizer::VERSION,
            severities: self.summary.severities,
            services,
            overflow_names: self.overflow_names,
            indexed_attributes: self.indexed_attributes,
            columns: self.columns,
            index_file: (index.len() as u64, crc32c::crc32c(&index)),
            records_file: (0, 0),
            roll_up,
        };
        let footer = serde_json::to_string(&meta).map_err(StoreError::segment("describe"))?;
        self.records.append_key_value_metadata(KeyValue::new(FOOTER_KEY.to_owned(), footer));
        if !self.name.senders.is_empty() {
            let senders = footer::senders_to_json(&self.name.senders)?;
            self.records.append_key_value_metadata(KeyValue::new(SENDERS_KEY.to_owned(), senders));
        }
        let records = self.records.into_inner().map_err(StoreError::segment("write"))?;
        meta.records_file = (records.len() as u64, crc32c::crc32c(&records));
        Ok(SegmentFiles { meta, records, index })
    }
}

/// Text attributes of few values become dictionaries; the names of the others are returned, to be indexed.
fn choose_encodings(batch: RecordBatch) -> (RecordBatch, BTreeSet<String>) {
    let mut indexed = BTreeSet::new();
    let mut fields = Vec::with_capacity(batch.num_columns());
    let mut columns = Vec::with_capacity(batch.num_columns());
    for (field, column) in batch.schema_ref().fields().iter().zip(batch.columns()) {
        let text = match AttributeType::of_column(field.name()) {
            Some((AttributeType::String, name)) => {
                column.as_string_opt::<i32>().map(|texts| (name, texts))
            }
            _ => None,
        };
        match text.map(|(name, texts)| (name, to_dictionary(texts))) {
            Some((_, Some(dictionary))) => {
                fields.push(Field::new(field.name(), schema::dictionary_type(), true));
                columns.push(dictionary);
            }
            other => {
                indexed.extend(other.map(|(name, _)| name.to_owned()));
                fields.push(field.as_ref().clone());
                columns.push(Arc::clone(column));
            }
        }
    }
    let batch = RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)
        .expect("columns as their fields say");
    (batch, indexed)
}

/// A dictionary, if the values are few; gives up as soon as they are not.
fn to_dictionary(texts: &StringArray) -> Option<ArrayRef> {
    let filled = texts.len() - texts.null_count();
    let values_max = DICTIONARY_VALUES_FEW.max(filled / SELECTIVE_SHARE);
    let mut numbers: AHashMap<&str, i32> = AHashMap::new();
    let mut values: Vec<&str> = Vec::new();
    let mut keys = Int32Builder::with_capacity(texts.len());
    let mut seen = 0;
    for text in texts {
        let Some(text) = text else {
            keys.append_null();
            continue;
        };
        seen += 1;
        let number = *numbers.entry(text).or_insert_with(|| {
            values.push(text);
            values.len() as i32 - 1
        });
        // A column of ids shows itself early.
        if values.len() > values_max || (seen == 2_048 && values.len() > 1_024) {
            return None;
        }
        keys.append_value(number);
    }
    Some(chunk::dictionary(keys.finish(), StringArray::from(values)))
}

fn indexed_rows(batch: &RecordBatch, indexed_attributes: &BTreeSet<String>) -> IndexedRows {
    let column = |name: &str| batch.column_by_name(name).expect("a fixed column");
    let messages = column(schema::MESSAGE).as_string::<i32>().clone();
    let correlations = column(schema::CORRELATION_ID).as_string::<i32>();
    let traces = column(schema::TRACE_ID).as_fixed_size_binary();
    let attributes: Vec<(&str, &StringArray)> = indexed_attributes
        .iter()
        .map(|name| {
            let column = batch
                .column_by_name(&AttributeType::String.column(name))
                .expect("chosen from the columns");
            (name.as_str(), column.as_string::<i32>())
        })
        .collect();
    let mut scratch = Vec::new();
    let mut hashes = Vec::with_capacity(batch.num_rows() * (2 + attributes.len()));
    let mut ends = Vec::with_capacity(batch.num_rows());
    for row in 0..batch.num_rows() {
        if correlations.is_valid(row) {
            hashes.push(exact_hash(
                schema::CORRELATION_ID,
                correlations.value(row).as_bytes(),
                &mut scratch,
            ));
        }
        if traces.is_valid(row) {
            hashes.push(exact_hash(schema::TRACE_ID, traces.value(row), &mut scratch));
        }
        for (name, texts) in &attributes {
            if texts.is_valid(row) {
                hashes.push(exact_hash(name, texts.value(row).as_bytes(), &mut scratch));
            }
        }
        ends.push(hashes.len() as u32);
    }
    IndexedRows { messages, hashes, ends }
}

/// Encodings by column: times and numbers as deltas, few-valued text by dictionary, other text with its
/// lengths apart, ids as they are.
fn properties(schema: &Schema) -> WriterPropertiesBuilder {
    let mut properties = WriterProperties::builder()
        .set_created_by("logq".to_owned())
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(1).expect("a level of zstd")))
        .set_dictionary_enabled(false)
        .set_statistics_enabled(EnabledStatistics::None)
        .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
        .set_data_page_row_count_limit(PAGE_ROWS)
        .set_write_batch_size(PAGE_ROWS)
        .set_column_index_truncate_length(Some(64));
    for field in schema.fields() {
        let path = ColumnPath::new(vec![field.name().clone()]);
        properties = match field.data_type() {
            DataType::Dictionary(..) => properties
                .set_column_dictionary_enabled(path.clone(), true)
                .set_column_statistics_enabled(path, EnabledStatistics::Chunk),
            DataType::Timestamp(..) | DataType::UInt64 | DataType::Int64 => properties
                .set_column_encoding(path.clone(), Encoding::DELTA_BINARY_PACKED)
                .set_column_statistics_enabled(path, EnabledStatistics::Page),
            DataType::UInt8 => properties
                .set_column_dictionary_enabled(path.clone(), true)
                .set_column_statistics_enabled(path, EnabledStatistics::Page),
            DataType::Float64 => {
                properties.set_column_statistics_enabled(path, EnabledStatistics::Page)
            }
            DataType::Utf8 => {
                properties.set_column_encoding(path, Encoding::DELTA_LENGTH_BYTE_ARRAY)
            }
            DataType::FixedSizeBinary(_) => {
                properties.set_column_compression(path, Compression::UNCOMPRESSED)
            }
            _ => properties,
        };
    }
    properties
}
