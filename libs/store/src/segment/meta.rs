//! What is known of a segment without opening its files: it stands in the catalog and, in JSON under the
//! key `logq`, in the Parquet footer, so that the catalog can be made again from the segments.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, RecordBatch, StringArray, TimestampNanosecondArray, UInt8Array,
};
use arrow::datatypes::{
    DataType, Field, Int32Type, Schema, TimestampNanosecondType, UInt8Type, UInt64Type,
};
use serde::{Deserialize, Serialize};

use crate::chunk;
use crate::schema;

/// Version of the pair of files; readers accept all up to theirs.
pub(crate) const SEGMENT_VERSION: u32 = 1;
/// Key of this in the Parquet footer.
pub(crate) const FOOTER_KEY: &str = "logq";
/// Key of the senders of a cut in the footer of its first segment of a tenant.
pub(crate) const SENDERS_KEY: &str = "logq.senders";
/// Cells of a roll-up; a segment spread over more minutes has none.
const ROLL_UP_CELLS_MAX: usize = 50_000;
const NANOS_PER_MINUTE: i64 = 60 * record::NANOS_PER_SECOND;
/// Services listed; a segment of more lists none and is never pruned by service.
const SERVICES_MAX: usize = 1_000;

/// Names a segment; grows by one with each, never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SegmentId(pub u64);

/// What is known of a segment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SegmentMeta {
    /// [`SEGMENT_VERSION`] of the writer.
    pub version: u32,
    /// Its name.
    pub id: SegmentId,
    /// Whose records.
    pub tenant: String,
    /// `logs` or `spans`.
    pub signal: String,
    /// How many rows.
    pub rows: u32,
    /// Smallest and largest timestamp, ns.
    pub time_range: (i64, i64),
    /// Smallest and largest record_seq.
    pub seq_range: (u64, u64),
    /// Latest receive time, ns; retention looks at the smaller of this and the largest timestamp.
    pub received_at_max: i64,
    /// Every row's journal entry lies in a file below this id.
    pub journal_end: u64,
    /// The segments whose rows these are, after compaction.
    pub replaces: Vec<SegmentId>,
    /// [`record::tokenizer::VERSION`] of the index.
    pub tokenizer: u32,
    /// Bit n is set when a row has severity number n.
    pub severities: u32,
    /// The services, if they are not too many; an absent service is the empty text.
    pub services: Option<BTreeSet<String>>,
    /// Attribute names in the overflow column.
    pub overflow_names: BTreeSet<String>,
    /// Text attributes whose values are in the index.
    pub indexed_attributes: BTreeSet<String>,
    /// All columns of the Parquet file.
    pub columns: Vec<String>,
    /// Length and crc32c of `index.tantivy`.
    pub index_file: (u64, u32),
    /// Length and crc32c of `records.parquet`; zeros in the footer, which cannot know them.
    pub records_file: (u64, u32),
    /// Counts by minute, service and severity, if there are not too many.
    pub roll_up: Option<RollUp>,
}

impl SegmentMeta {
    /// Bytes of both files.
    pub fn bytes(&self) -> u64 {
        self.index_file.0 + self.records_file.0
    }
}

/// Counts by minute, service and severity number: any histogram over whole minutes without reading rows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RollUp {
    /// The services, by their place in the cells; `None` is a record without.
    pub services: Vec<Option<String>>,
    /// (minute since the epoch, place of the service, severity number, rows).
    pub cells: Vec<(i64, u32, u8, u32)>,
}

impl RollUp {
    /// The cells as rows: the start of the minute, the service, the severity; and how many records each is.
    pub(crate) fn rows(&self) -> (RecordBatch, Vec<u32>) {
        let names: Vec<&str> =
            self.services.iter().map(|name| name.as_deref().unwrap_or_default()).collect();
        let minutes = self.cells.iter().map(|cell| cell.0.saturating_mul(NANOS_PER_MINUTE));
        let services = self.cells.iter().map(|cell| {
            let named = self.services.get(cell.1 as usize).is_some_and(Option::is_some);
            named.then_some(cell.1 as i32)
        });
        let severities = self.cells.iter().map(|cell| cell.2);
        let columns: Vec<ArrayRef> = vec![
            Arc::new(TimestampNanosecondArray::from_iter_values(minutes).with_timezone("UTC")),
            chunk::dictionary(services.collect(), StringArray::from(names)),
            Arc::new(UInt8Array::from_iter_values(severities)),
        ];
        let fields = vec![
            Field::new(schema::TIMESTAMP, schema::time_type(), false),
            Field::new(schema::SERVICE, schema::dictionary_type(), true),
            Field::new(schema::SEVERITY, DataType::UInt8, false),
        ];
        let batch = RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)
            .expect("columns as their fields say");
        (batch, self.cells.iter().map(|cell| cell.3).collect())
    }
}

/// Collects what rows tell about themselves, batch after batch in time order.
#[derive(Debug)]
pub(super) struct Summary {
    pub(super) rows: u32,
    pub(super) time_range: (i64, i64),
    pub(super) seq_range: (u64, u64),
    pub(super) severities: u32,
    services: Vec<Option<String>>,
    cells: Vec<(i64, u32, u8, u32)>,
    /// The cells of the minute that the last row fell in.
    minute: (i64, BTreeMap<(u32, u8), u32>),
}

impl Default for Summary {
    fn default() -> Self {
        Self {
            rows: 0,
            time_range: (i64::MAX, i64::MIN),
            seq_range: (u64::MAX, 0),
            severities: 0,
            services: Vec::new(),
            cells: Vec::new(),
            minute: (i64::MIN, BTreeMap::new()),
        }
    }
}

impl Summary {
    pub(super) fn add(&mut self, batch: &RecordBatch) {
        let times = batch.column(0).as_primitive::<TimestampNanosecondType>().values();
        let seqs = batch.column(1).as_primitive::<UInt64Type>().values();
        let severity = batch
            .column_by_name(schema::SEVERITY)
            .expect("a fixed column")
            .as_primitive::<UInt8Type>()
            .values();
        let service = batch
            .column_by_name(schema::SERVICE)
            .expect("a fixed column")
            .as_dictionary::<Int32Type>();
        let (keys, names) = (service.keys(), service.values().as_string::<i32>());
        // Places in `self.services`, found when first used; the last is for records without a service.
        let mut places: Vec<Option<u32>> = vec![None; names.len() + 1];
        for row in 0..batch.num_rows() {
            let key = if keys.is_null(row) { names.len() } else { keys.value(row) as usize };
            let place = match places[key] {
                Some(place) => place,
                None => {
                    let place = self.place((key < names.len()).then(|| names.value(key)));
                    *places[key].insert(place)
                }
            };
            self.severities |= 1 << severity[row];
            let minute = times[row].div_euclid(NANOS_PER_MINUTE);
            if minute != self.minute.0 {
                self.end_minute();
                self.minute.0 = minute;
            }
            *self.minute.1.entry((place, severity[row])).or_default() += 1;
        }
        self.rows += batch.num_rows() as u32;
        if let (Some(first), Some(last)) = (times.first(), times.last()) {
            self.time_range = (self.time_range.0.min(*first), self.time_range.1.max(*last));
        }
        for seq in seqs {
            self.seq_range = (self.seq_range.0.min(*seq), self.seq_range.1.max(*seq));
        }
    }

    fn place(&mut self, service: Option<&str>) -> u32 {
        let place =
            self.services.iter().position(|known| known.as_deref() == service).unwrap_or_else(
                || {
                    self.services.push(service.map(str::to_owned));
                    self.services.len() - 1
                },
            );
        place as u32
    }

    fn end_minute(&mut self) {
        let (minute, cells) = (self.minute.0, std::mem::take(&mut self.minute.1));
        if self.cells.len() <= ROLL_UP_CELLS_MAX {
            self.cells.extend(
                cells
                    .into_iter()
                    .map(|((service, severity), rows)| (minute, service, severity, rows)),
            );
        }
    }

    /// The services, if they are not too many, and the roll-up, if it is not too large.
    pub(super) fn finish(&mut self) -> (Option<BTreeSet<String>>, Option<RollUp>) {
        self.end_minute();
        if self.services.len() > SERVICES_MAX {
            return (None, None);
        }
        let services =
            self.services.iter().map(|service| service.clone().unwrap_or_default()).collect();
        let roll_up = (self.cells.len() <= ROLL_UP_CELLS_MAX).then(|| RollUp {
            services: std::mem::take(&mut self.services),
            cells: std::mem::take(&mut self.cells),
        });
        (Some(services), roll_up)
    }
}
