//! The records of a kept data folder, made from their numbers alone: as they are sent, in every format, and as a query
//! has to show them. What is here must never change, or the folders that are kept do not fit any more.

use std::io::Write;

use flate2::Compression;
use flate2::write::{GzEncoder, ZlibEncoder};
use serde_json::{Map, Value, json};

/// 2026-11-02T00:00:00Z.
const FIRST_DAY_SECONDS: u64 = 1_793_577_600;
const DAY_SECONDS: u64 = 86_400;
/// Days that the records are spread over.
pub(crate) const DAYS: u64 = 3;
/// Names of attributes that each of the wide records has for itself.
const WIDE_NAMES: u64 = 100;
/// Together they have more names than a segment has columns.
const WIDE: std::ops::Range<u64> = 3..7;

/// How a body is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    JsonLines,
    OtlpJson,
    OtlpProtobuf,
}

pub(crate) const FORMATS: [Format; 3] = [Format::JsonLines, Format::OtlpJson, Format::OtlpProtobuf];
/// The values of `Content-Encoding`; the first is none.
pub(crate) const ENCODINGS: [&str; 4] = ["identity", "gzip", "zstd", "deflate"];

impl Format {
    pub(crate) fn path(self) -> &'static str {
        match self {
            Format::JsonLines => "/ingest/jsonl",
            Format::OtlpJson | Format::OtlpProtobuf => "/v1/logs",
        }
    }

    pub(crate) fn content_type(self) -> &'static str {
        match self {
            Format::JsonLines | Format::OtlpJson => "application/json",
            Format::OtlpProtobuf => "application/x-protobuf",
        }
    }

    pub(crate) fn body(self, records: &[Record]) -> Vec<u8> {
        match self {
            Format::JsonLines => records
                .iter()
                .map(|record| format!("{}\n", record.json_line()))
                .collect::<String>()
                .into(),
            Format::OtlpJson => {
                let resources: Vec<Value> = records.iter().map(Record::otlp_json).collect();
                json!({"resourceLogs": resources}).to_string().into()
            }
            Format::OtlpProtobuf => {
                records.iter().flat_map(|record| field(1, &record.otlp_protobuf())).collect()
            }
        }
    }
}

pub(crate) fn encode(encoding: &str, body: &[u8]) -> Vec<u8> {
    match encoding {
        "gzip" => {
            let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
            encoder.write_all(body).unwrap();
            encoder.finish().unwrap()
        }
        "deflate" => {
            let mut encoder = ZlibEncoder::new(Vec::new(), Compression::fast());
            encoder.write_all(body).unwrap();
            encoder.finish().unwrap()
        }
        "zstd" => zstd::encode_all(body, 1).unwrap(),
        _ => body.to_vec(),
    }
}

/// One record, told by its number and its day.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Record {
    pub(crate) number: u64,
    pub(crate) day: u64,
}

impl Record {
    fn nanos(&self) -> u64 {
        let seconds = FIRST_DAY_SECONDS + self.day * DAY_SECONDS + self.number * 11 % DAY_SECONDS;
        // Nine digits that do not end with a zero.
        seconds * 1_000_000_000 + (self.number % 9 + 1) * 100_000_000 + self.number * 10 + 1
    }

    fn time(&self, later_nanos: u64) -> String {
        let nanos = i128::from(self.nanos() + later_nanos);
        jiff::Timestamp::from_nanosecond(nanos).unwrap().to_string()
    }

    fn severity(&self) -> (&'static str, u64) {
        [("debug", 5), ("info", 9), ("warn", 13), ("error", 17)][(self.number % 4) as usize]
    }

    fn service(&self) -> String {
        format!("service-{}", self.number % 3)
    }

    fn host(&self) -> String {
        format!("host-{}.example", self.number % 2)
    }

    fn correlation_id(&self) -> Option<String> {
        (!self.number.is_multiple_of(5)).then(|| format!("c-{}", self.number / 4))
    }

    fn ids(&self) -> Option<(String, String)> {
        let number = self.number + 1;
        self.number.is_multiple_of(6).then(|| (format!("{number:032x}"), format!("{number:016x}")))
    }

    fn message(&self) -> String {
        format!("record {} of a folder that is kept, \"grüße\" aus 日本", self.number)
    }

    fn attributes(&self) -> Vec<(String, Value)> {
        let number = self.number;
        let mixed = match number % 4 {
            0 => json!(number),
            1 => json!(format!("text {number}")),
            2 => json!(number as f64 + 0.25),
            _ => json!(number.is_multiple_of(3)),
        };
        let mut attributes = vec![
            ("number".to_owned(), json!(number)),
            ("mixed".to_owned(), mixed),
            ("duration_ms".to_owned(), json!(number as f64 + 0.5)),
            ("url.path".to_owned(), json!(format!("/orders/{number}"))),
        ];
        if WIDE.contains(&number) {
            attributes
                .extend((0..WIDE_NAMES).map(|name| (format!("wide.{number}.{name}"), json!(name))));
        }
        attributes
    }

    /// As a query shows it, but for its place in the journal.
    pub(crate) fn shown(&self) -> Value {
        let (severity, severity_number) = self.severity();
        let mut shown = json!({
            "timestamp": self.time(0),
            "observed_timestamp": self.time(1_000_000_000),
            "severity": severity,
            "severity_number": severity_number,
            "severity_text": severity,
            "service": self.service(),
            "host": self.host(),
            "message": self.message(),
            "attributes": self.attributes().into_iter().collect::<Map<_, _>>(),
        });
        if let Some(id) = self.correlation_id() {
            shown["correlation_id"] = id.into();
        }
        if let Some((trace, span)) = self.ids() {
            (shown["trace_id"], shown["span_id"]) = (trace.into(), span.into());
        }
        shown
    }

    fn json_line(&self) -> Value {
        let mut line = self.shown();
        let members = line.as_object_mut().unwrap();
        members.retain(|name, _| !["severity", "severity_number", "attributes"].contains(&&**name));
        members.extend(self.attributes());
        line
    }

    fn otlp_json(&self) -> Value {
        let value = |value: &Value| match value {
            Value::String(text) => json!({"stringValue": text}),
            Value::Bool(flag) => json!({"boolValue": flag}),
            Value::Number(number) if number.is_f64() => json!({"doubleValue": number}),
            number => json!({"intValue": number.to_string()}),
        };
        let attributes = self.correlation_id().map(|id| ("correlation_id".to_owned(), id.into()));
        let attributes: Vec<Value> = attributes
            .into_iter()
            .chain(self.attributes())
            .map(|(key, of)| json!({"key": key, "value": value(&of)}))
            .collect();
        let mut record = json!({
            "timeUnixNano": self.nanos().to_string(),
            "observedTimeUnixNano": (self.nanos() + 1_000_000_000).to_string(),
            "severityNumber": self.severity().1,
            "severityText": self.severity().0,
            "body": {"stringValue": self.message()},
            "attributes": attributes,
        });
        if let Some((trace, span)) = self.ids() {
            (record["traceId"], record["spanId"]) = (trace.into(), span.into());
        }
        json!({
            "resource": {"attributes": [
                {"key": "service.name", "value": {"stringValue": self.service()}},
                {"key": "host.name", "value": {"stringValue": self.host()}},
            ]},
            "scopeLogs": [{"logRecords": [record]}],
        })
    }

    /// `ResourceLogs`.
    fn otlp_protobuf(&self) -> Vec<u8> {
        let resource = [("service.name", self.service()), ("host.name", self.host())]
            .map(|(key, value)| field(1, &attribute(key, &value.into())))
            .concat();
        let mut record = fixed64(1, self.nanos());
        record.extend(varint_field(2, self.severity().1));
        record.extend(field(3, self.severity().0.as_bytes()));
        record.extend(field(5, &field(1, self.message().as_bytes())));
        if let Some(id) = self.correlation_id() {
            record.extend(field(6, &attribute("correlation_id", &id.into())));
        }
        for (key, value) in self.attributes() {
            record.extend(field(6, &attribute(&key, &value)));
        }
        if let Some((trace, span)) = self.ids() {
            let bytes = |id: &str, length: usize| {
                u128::from_str_radix(id, 16).unwrap().to_be_bytes()[16 - length..].to_vec()
            };
            record.extend(field(9, &bytes(&trace, 16)));
            record.extend(field(10, &bytes(&span, 8)));
        }
        record.extend(fixed64(11, self.nanos() + 1_000_000_000));
        let scope_logs = field(2, &record);
        [field(1, &resource), field(2, &scope_logs)].concat()
    }
}

/// `KeyValue`.
fn attribute(key: &str, value: &Value) -> Vec<u8> {
    let value = match value {
        Value::String(text) => field(1, text.as_bytes()),
        Value::Bool(flag) => varint_field(2, u64::from(*flag)),
        Value::Number(number) if number.is_f64() => fixed64(4, number.as_f64().unwrap().to_bits()),
        number => varint_field(3, number.as_u64().unwrap()),
    };
    [field(1, key.as_bytes()), field(2, &value)].concat()
}

fn varint(mut number: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
    bytes
}

fn field(number: u64, content: &[u8]) -> Vec<u8> {
    [varint(number << 3 | 2), varint(content.len() as u64), content.to_vec()].concat()
}

fn varint_field(number: u64, value: u64) -> Vec<u8> {
    [varint(number << 3), varint(value)].concat()
}

fn fixed64(number: u64, value: u64) -> Vec<u8> {
    [varint(number << 3 | 1), value.to_le_bytes().to_vec()].concat()
}
