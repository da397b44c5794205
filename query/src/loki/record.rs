//! A record as a line with labels.
//!
//! ```text
//! stream     service_name (unknown_service if none), level (of six names; none if unspecified), host
//! metadata   detected_level (the level, or unknown), correlation_id, trace_id, span_id, event_name, severity_text,
//!            source_agent, source_path, and each attribute under its name, other signs than letters and digits as _
//! ```

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Range;

use arrow::array::{Array, AsArray, StringArray};
use arrow::datatypes::{Int32Type, TimestampNanosecondType, UInt8Type};
use logql::Labels;
use logql::pipeline::{Needs, sanitized};
use ql::Field;
use record::{Severity, Signal};
use serde_json::{Map, Value};
use store::schema::{self, AttributeType};
use store::{Columns, View};

use crate::UNKNOWN_SERVICE;
use crate::batch::{FieldReader, Piece, cell_of_json};
use crate::cell::Cell;

pub(super) const SERVICE_NAME: &str = "service_name";
pub(super) const LEVEL: &str = "level";
pub(super) const HOST: &str = "host";
pub(super) const DETECTED_LEVEL: &str = "detected_level";
/// The labels of a stream with the fields that they are.
pub(super) const STREAM_LABELS: [(&str, Field); 3] =
    [(HOST, Field::Host), (LEVEL, Field::Severity), (SERVICE_NAME, Field::Service)];
/// The detected level of records of no known severity.
pub(super) const UNKNOWN_LEVEL: &str = "unknown";
/// Fixed fields that come with a line.
pub(super) const FIXED: [(&str, Field); 7] = [
    ("correlation_id", Field::CorrelationId),
    ("event_name", Field::EventName),
    ("severity_text", Field::SeverityText),
    ("source_agent", Field::SourceAgent),
    ("source_path", Field::SourcePath),
    ("span_id", Field::SpanId),
    ("trace_id", Field::TraceId),
];

/// Which attributes of a tenant's records have which label; two of them may have the same.
#[derive(Debug, Default)]
pub(super) struct Attributes(BTreeMap<String, Vec<String>>);

impl Attributes {
    /// Those of records in a time.
    pub(super) fn of(view: &View, tenant: &str, time: Range<i64>) -> Self {
        let (sources, _) = view.sources(tenant, Signal::Logs.name(), time);
        let mut names = BTreeSet::new();
        sources.iter().for_each(|source| source.add_attribute_names(&mut names));
        let mut labels: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for name in names {
            if let Some(label) = sanitized(&name) {
                labels.entry(label).or_default().push(name);
            }
        }
        Self(labels)
    }

    /// Whether an attribute has this label.
    pub(super) fn have(&self, label: &str) -> bool {
        self.0.contains_key(label)
    }

    /// The fields that come with a line under this label.
    pub(super) fn fields(&self, label: &str) -> Vec<Field> {
        let fixed = FIXED.iter().filter(|(name, _)| *name == label).map(|(_, field)| field.clone());
        let named = self.0.get(label).into_iter().flatten();
        fixed.chain(named.map(|name| Field::Attribute(name.clone()))).collect()
    }

    /// The columns to be read where only so much is looked at.
    pub(super) fn columns(&self, needs: &Needs) -> Columns {
        let Some(labels) = &needs.labels else { return Columns::All };
        let mut fields = BTreeSet::from([Field::Timestamp]);
        if needs.line {
            fields.insert(Field::Message);
        }
        let of_stream = STREAM_LABELS.iter().filter(|(name, _)| needs.of_stream(name));
        fields.extend(of_stream.map(|(_, field)| field.clone()));
        for label in labels {
            if label == DETECTED_LEVEL {
                fields.insert(Field::Severity);
            }
            fields.extend(self.fields(label));
        }
        Columns::Fields(fields)
    }
}

/// The name of a severity's level, if it has one.
pub(super) fn level_name(number: u8) -> Option<&'static str> {
    Some(Severity::from_number(number.into())?.level()?.name())
}

/// What the labels of a stream depend on: places in dictionaries, none where nothing is, and the severity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct StreamKey {
    service: Option<i32>,
    host: Option<i32>,
    severity: u8,
}

/// The records of one piece as lines.
pub(super) struct Lines<'p> {
    times: &'p [i64],
    messages: Option<&'p StringArray>,
    service: Option<Dictionary<'p>>,
    host: Option<Dictionary<'p>>,
    severities: Option<&'p [u8]>,
    tells_level: bool,
    /// Labels in their order.
    metadata: Vec<(String, FieldReader)>,
    overflow: Option<&'p StringArray>,
    needs: &'p Needs,
}

type Dictionary<'p> = (&'p arrow::array::Int32Array, &'p StringArray);

impl<'p> Lines<'p> {
    /// As far as it is looked at.
    pub(super) fn new(piece: &'p Piece, needs: &'p Needs) -> Self {
        let batch = &piece.batch;
        let wants = |label: &str| needs.of_line(label);
        let times = batch.column_by_name(schema::TIMESTAMP);
        let dictionary = |name: &str| {
            let array = batch.column_by_name(name)?.as_dictionary_opt::<Int32Type>()?;
            Some((array.keys(), array.values().as_string::<i32>()))
        };
        let mut metadata: Vec<(String, FieldReader)> = FIXED
            .iter()
            .filter(|(label, _)| wants(label))
            .map(|(label, field)| ((*label).to_owned(), piece.reader(field)))
            .collect();
        // A column without a value here is of other rows.
        let columns = batch.schema_ref().fields().iter().zip(batch.columns());
        let filled = columns.filter(|(_, column)| column.null_count() < column.len());
        let names: BTreeSet<&str> = filled
            .filter_map(|(field, _)| Some(AttributeType::of_column(field.name())?.1))
            .collect();
        for name in names {
            if let Some(label) = sanitized(name).filter(|label| wants(label)) {
                metadata.push((label, piece.reader(&Field::Attribute(name.to_owned()))));
            }
        }
        metadata.sort_by(|left, right| left.0.cmp(&right.0));
        let severities = batch.column_by_name(schema::SEVERITY);
        let overflow = batch.column_by_name(schema::OVERFLOW);
        Self {
            times: times
                .map_or(&[], |times| times.as_primitive::<TimestampNanosecondType>().values()),
            messages: batch.column_by_name(schema::MESSAGE).map(|column| column.as_string::<i32>()),
            service: dictionary(schema::SERVICE),
            host: dictionary(schema::HOST),
            severities: severities.map(|column| &**column.as_primitive::<UInt8Type>().values()),
            tells_level: wants(DETECTED_LEVEL),
            metadata,
            overflow: overflow.and_then(|column| column.as_string_opt::<i32>()),
            needs,
        }
    }

    pub(super) fn rows(&self) -> usize {
        self.times.len()
    }

    /// Nanoseconds.
    pub(super) fn time(&self, row: usize) -> i64 {
        self.times[row]
    }

    /// The message, if it was read.
    pub(super) fn line(&self, row: usize) -> &'p str {
        self.messages.map_or("", |messages| messages.value(row))
    }

    pub(super) fn stream_key(&self, row: usize) -> StreamKey {
        let place = |dictionary: &Option<Dictionary<'_>>| {
            let (keys, _) = (*dictionary)?;
            keys.is_valid(row).then(|| keys.value(row))
        };
        let severity = self.severities.map_or(0, |severities| severities[row]);
        StreamKey { service: place(&self.service), host: place(&self.host), severity }
    }

    /// The labels of a stream, as far as they were read.
    pub(super) fn stream(&self, key: StreamKey) -> Labels {
        let text = |dictionary: Option<Dictionary<'p>>, place: Option<i32>| -> Option<&'p str> {
            Some(dictionary?.1.value(place? as usize))
        };
        let mut labels = Labels::new();
        if let Some(host) = text(self.host, key.host) {
            labels.set(HOST, host);
        }
        if let Some(level) = level_name(key.severity) {
            labels.set(LEVEL, level);
        }
        if self.service.is_some() {
            labels.set(SERVICE_NAME, text(self.service, key.service).unwrap_or(UNKNOWN_SERVICE));
        }
        labels
    }

    /// The labels that come with lines of a stream, all of them alike.
    pub(super) fn metadata_of_stream(&self, key: StreamKey) -> Labels {
        let mut labels = Labels::new();
        if self.tells_level && self.severities.is_some() {
            labels.set(DETECTED_LEVEL, level_name(key.severity).unwrap_or(UNKNOWN_LEVEL));
        }
        labels
    }

    /// Whether lines of a stream have the same labels.
    pub(super) fn streams_say_all(&self) -> bool {
        self.metadata.is_empty() && self.overflow.is_none()
    }

    /// The labels that come with a line.
    pub(super) fn metadata(&self, row: usize) -> Labels {
        let mut labels = self.metadata_of_stream(self.stream_key(row));
        for (label, reader) in &self.metadata {
            // Of two attributes with one label the first counts.
            if let Some(text) = reader.text(row)
                && labels.get(label).is_none()
            {
                labels.set(label.as_str(), text);
            }
        }
        if let Some(objects) = self.overflow.filter(|objects| objects.is_valid(row)) {
            self.add_overflow(objects.value(row), &mut labels);
        }
        labels
    }

    fn add_overflow(&self, object: &str, labels: &mut Labels) {
        let members: Map<String, Value> = serde_json::from_str(object).unwrap_or_default();
        for (name, value) in members {
            let Some(label) = sanitized(&name) else { continue };
            if self.needs.of_line(&label)
                && labels.get(&label).is_none()
                && let Some(text) = text_of(&value)
            {
                labels.set(label, text);
            }
        }
    }
}

/// As a column of its own would have it.
fn text_of(value: &Value) -> Option<String> {
    match cell_of_json(value) {
        Cell::Null => None,
        cell => Some(cell.to_string()),
    }
}

/// Labels of streams, made once for each.
#[derive(Debug, Default)]
pub(super) struct Streams(HashMap<StreamKey, Labels>);

impl Streams {
    pub(super) fn labels(&mut self, lines: &Lines<'_>, key: StreamKey) -> &Labels {
        self.0.entry(key).or_insert_with(|| lines.stream(key))
    }
}
