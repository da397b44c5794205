//! Records to `ExportLogsServiceRequest` or `ExportTraceServiceRequest` in OTLP's JSON mapping: lowerCamelCase, ids as hex, 64-bit
//! integers as strings. Laid out as [`super::encode_protobuf`] does it.

use record::{RecordRef, Signal, ValueRef};

use super::encode_json_span::write_span;
use super::native::{self, SCOPE_NAME, SCOPE_VERSION};
use crate::json_text::{push, push_f64, push_string};

/// Gathers records into one request.
#[derive(Debug, Default)]
pub struct OtlpJsonEncoder {
    signal: Signal,
    /// Everything written so far; a run of records is left open at its end.
    text: String,
    service: Option<String>,
    host: Option<String>,
    records: usize,
}

impl OtlpJsonEncoder {
    /// An empty request of log records.
    pub fn new() -> Self {
        Self::default()
    }

    /// As [`super::OtlpEncoder::of`].
    pub fn of(signal: Signal) -> Self {
        Self { signal, ..Self::default() }
    }

    /// Adds a record.
    pub fn push(&mut self, record: &RecordRef<'_>) {
        let same = self.service.as_deref() == record.service && self.host.as_deref() == record.host;
        if self.records > 0 && same {
            self.text.push(',');
        } else {
            self.text.push_str(match self.signal {
                _ if self.records > 0 => "]}]},",
                Signal::Logs => "{\"resourceLogs\":[",
                Signal::Spans => "{\"resourceSpans\":[",
            });
            self.service = record.service.map(str::to_owned);
            self.host = record.host.map(str::to_owned);
            self.open_run();
        }
        match self.signal {
            Signal::Logs => write_record(&mut self.text, record),
            Signal::Spans => write_span(&mut self.text, record),
        }
        self.records += 1;
    }

    /// The size of the request in bytes if it was finished now, or a little more.
    pub fn len(&self) -> usize {
        self.text.len() + "]}]}]}".len()
    }

    /// Whether nothing was pushed.
    pub fn is_empty(&self) -> bool {
        self.records == 0
    }

    /// How many records were pushed.
    pub fn records(&self) -> usize {
        self.records
    }

    /// The request's text.
    pub fn finish(mut self) -> String {
        if self.records == 0 {
            return "{}".to_owned();
        }
        self.text.push_str("]}]}]}");
        self.text
    }

    fn open_run(&mut self) {
        self.text.push_str("{\"resource\":{\"attributes\":[");
        let mut first = true;
        for (name, value) in [(native::SERVICE, &self.service), (native::HOST, &self.host)] {
            if let Some(value) = value {
                write_attribute(&mut self.text, &mut first, "", name, ValueRef::String(value));
            }
        }
        let (scopes, records) = match self.signal {
            Signal::Logs => ("scopeLogs", "logRecords"),
            Signal::Spans => ("scopeSpans", "spans"),
        };
        push(
            &mut self.text,
            format_args!(
                "]}},\"{scopes}\":[{{\"scope\":{{\"name\":\"{SCOPE_NAME}\",\"version\":\"{SCOPE_VERSION}\"}},\"{records}\":["
            ),
        );
    }
}

/// One request of these log records.
pub fn encode_otlp_json<'r, 'a: 'r>(
    records: impl IntoIterator<Item = &'r RecordRef<'a>>,
) -> String {
    let mut encoder = OtlpJsonEncoder::new();
    records.into_iter().for_each(|record| encoder.push(record));
    encoder.finish()
}

fn write_record(out: &mut String, record: &RecordRef<'_>) {
    out.push('{');
    if let Some(nanos) = native::unix_nano(record.timestamp) {
        push(out, format_args!("\"timeUnixNano\":\"{nanos}\","));
    }
    if let Some(nanos) = native::unix_nano(record.observed_timestamp) {
        push(out, format_args!("\"observedTimeUnixNano\":\"{nanos}\","));
    }
    if record.severity.number() != 0 {
        push(out, format_args!("\"severityNumber\":{},", record.severity.number()));
    }
    if let Some(text) = record.severity_text {
        out.push_str("\"severityText\":");
        push_string(out, text);
        out.push(',');
    }
    if !record.message.is_empty() {
        out.push_str("\"body\":{\"stringValue\":");
        push_string(out, record.message);
        out.push_str("},");
    }
    if let Some(id) = record.trace_id {
        push(out, format_args!("\"traceId\":\"{id}\","));
    }
    if let Some(id) = record.span_id {
        push(out, format_args!("\"spanId\":\"{id}\","));
    }
    if let Some(name) = record.event_name {
        out.push_str("\"eventName\":");
        push_string(out, name);
        out.push(',');
    }
    out.push_str("\"attributes\":[");
    let mut first = true;
    native::for_each_attribute(record, |prefix, name, value| {
        write_attribute(out, &mut first, prefix, name, value);
    });
    out.push_str("]}");
}

pub(super) fn write_attribute(
    out: &mut String,
    first: &mut bool,
    prefix: &'static str,
    name: &str,
    value: ValueRef<'_>,
) {
    if !std::mem::take(first) {
        out.push(',');
    }
    out.push_str("{\"key\":");
    let key_at = out.len();
    push_string(out, name);
    // The prefix needs no escaping; it goes behind the opening quote.
    out.insert_str(key_at + 1, prefix);
    out.push_str(",\"value\":{");
    match value {
        ValueRef::String(text) => {
            out.push_str("\"stringValue\":");
            push_string(out, text);
        }
        ValueRef::Bool(flag) => push(out, format_args!("\"boolValue\":{flag}")),
        ValueRef::I64(integer) => push(out, format_args!("\"intValue\":\"{integer}\"")),
        ValueRef::F64(float) => {
            out.push_str("\"doubleValue\":");
            push_f64(out, float);
        }
    }
    out.push_str("}}");
}
