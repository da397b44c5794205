//! Records to `ExportLogsServiceRequest` or `ExportTraceServiceRequest`, protobuf.
//!
//! Records keep their order; each run of the same service and host is one `ResourceLogs` or `ResourceSpans`. A message's
//! length stands before it, so a run is gathered in a buffer of its own and written when it ends.

use record::{RecordRef, Signal, ValueRef, span};

use super::encode_protobuf_span::write_span;
use super::native::{self, SCOPE_NAME, SCOPE_VERSION};
use crate::protobuf::{
    bytes_field_len, push_bytes_field, push_fixed64_field, push_head, push_varint_field, varint_len,
};

/// Bytes of tags and lengths around a run of records, at most, without the resource's attributes.
const RUN_OVERHEAD_BYTES: usize = 128;

/// Gathers records into one request.
#[derive(Debug, Default)]
pub struct OtlpEncoder {
    signal: Signal,
    /// Finished `ResourceLogs` or `ResourceSpans`.
    done: Vec<u8>,
    /// The `log_records` or `spans` fields of the open run.
    run: Vec<u8>,
    /// The record being written.
    record: Vec<u8>,
    service: Option<String>,
    host: Option<String>,
    records: usize,
}

impl OtlpEncoder {
    /// An empty request of log records.
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty request of this signal. Of a span, severity and event name, which no span has, are left out.
    pub fn of(signal: Signal) -> Self {
        Self { signal, ..Self::default() }
    }

    /// Adds a record.
    pub fn push(&mut self, record: &RecordRef<'_>) {
        if self.service.as_deref() != record.service || self.host.as_deref() != record.host {
            self.close_run();
            self.service = record.service.map(str::to_owned);
            self.host = record.host.map(str::to_owned);
        }
        self.record.clear();
        match self.signal {
            Signal::Logs => write_record(&mut self.record, record),
            Signal::Spans => write_span(&mut self.record, record),
        }
        push_bytes_field(&mut self.run, 2, &self.record);
        self.records += 1;
    }

    /// The size of the request in bytes if it was finished now, or a little more.
    pub fn len(&self) -> usize {
        let names = [&self.service, &self.host].map(|name| name.as_ref().map_or(0, String::len));
        let open = if self.run.is_empty() { 0 } else { RUN_OVERHEAD_BYTES + names[0] + names[1] };
        self.done.len() + self.run.len() + open
    }

    /// Whether nothing was pushed.
    pub fn is_empty(&self) -> bool {
        self.records == 0
    }

    /// How many records were pushed.
    pub fn records(&self) -> usize {
        self.records
    }

    /// What a record takes at most in a request: its texts, and tags, lengths and names of fixed fields.
    pub fn bytes_max(record: &RecordRef<'_>) -> usize {
        const RECORD_OVERHEAD: usize = 512;
        const ATTRIBUTE_OVERHEAD: usize = 48;
        let texts = [
            Some(record.message),
            record.severity_text,
            record.service,
            record.host,
            record.correlation_id,
            record.event_name,
            record.source.agent,
            record.source.path,
        ];
        let texts: usize = texts.into_iter().flatten().map(str::len).sum();
        let attribute = |(name, value): &(&str, ValueRef<'_>)| {
            let text = match value {
                // A list in JSON, of which a value takes two bytes there and four in a request of spans.
                ValueRef::String(text) if matches!(*name, span::EVENTS | span::LINKS) => {
                    3 * text.len()
                }
                ValueRef::String(text) => text.len(),
                _ => 0,
            };
            ATTRIBUTE_OVERHEAD + name.len() + text
        };
        RECORD_OVERHEAD + texts + record.attributes.iter().map(attribute).sum::<usize>()
    }

    /// The request's bytes.
    pub fn finish(mut self) -> Vec<u8> {
        self.close_run();
        self.done
    }

    /// Writes the open run as one `ResourceLogs` or `ResourceSpans`, whose numbers are the same: `{ resource, scope_logs { scope, log_records } }`.
    fn close_run(&mut self) {
        if self.run.is_empty() {
            return;
        }
        let mut resource = Vec::new();
        for (name, value) in [(native::SERVICE, &self.service), (native::HOST, &self.host)] {
            if let Some(value) = value {
                write_attribute(&mut resource, 1, "", name, ValueRef::String(value));
            }
        }
        let mut scope = Vec::new();
        push_bytes_field(&mut scope, 1, SCOPE_NAME.as_bytes());
        push_bytes_field(&mut scope, 2, SCOPE_VERSION.as_bytes());

        let scope_logs_len = bytes_field_len(scope.len()) + self.run.len();
        let resource_logs_len = bytes_field_len(resource.len()) + bytes_field_len(scope_logs_len);
        self.done.reserve(resource_logs_len + 12);
        push_head(&mut self.done, 1, resource_logs_len);
        push_bytes_field(&mut self.done, 1, &resource);
        push_head(&mut self.done, 2, scope_logs_len);
        push_bytes_field(&mut self.done, 1, &scope);
        self.done.append(&mut self.run);
    }
}

/// One request of these log records.
pub fn encode_otlp<'r, 'a: 'r>(records: impl IntoIterator<Item = &'r RecordRef<'a>>) -> Vec<u8> {
    let mut encoder = OtlpEncoder::new();
    records.into_iter().for_each(|record| encoder.push(record));
    encoder.finish()
}

fn write_record(out: &mut Vec<u8>, record: &RecordRef<'_>) {
    if let Some(nanos) = native::unix_nano(record.timestamp) {
        push_fixed64_field(out, 1, nanos);
    }
    if record.severity.number() != 0 {
        push_varint_field(out, 2, u64::from(record.severity.number()));
    }
    if let Some(text) = record.severity_text {
        push_bytes_field(out, 3, text.as_bytes());
    }
    if !record.message.is_empty() {
        push_head(out, 5, bytes_field_len(record.message.len()));
        push_bytes_field(out, 1, record.message.as_bytes());
    }
    native::for_each_attribute(record, |prefix, name, value| {
        write_attribute(out, 6, prefix, name, value);
    });
    if let Some(id) = record.trace_id {
        push_bytes_field(out, 9, &id.0);
    }
    if let Some(id) = record.span_id {
        push_bytes_field(out, 10, &id.0);
    }
    if let Some(nanos) = native::unix_nano(record.observed_timestamp) {
        push_fixed64_field(out, 11, nanos);
    }
    if let Some(name) = record.event_name {
        push_bytes_field(out, 12, name.as_bytes());
    }
}

/// A field that holds `KeyValue { key, value: AnyValue }`.
pub(super) fn write_attribute(
    out: &mut Vec<u8>,
    number: u8,
    prefix: &str,
    name: &str,
    value: ValueRef<'_>,
) {
    let key_len = prefix.len() + name.len();
    let value_len = match value {
        ValueRef::String(text) => bytes_field_len(text.len()),
        ValueRef::Bool(_) => 2,
        ValueRef::I64(integer) => 1 + varint_len(integer as u64),
        ValueRef::F64(_) => 9,
    };
    push_head(out, number, bytes_field_len(key_len) + bytes_field_len(value_len));
    push_head(out, 1, key_len);
    out.extend_from_slice(prefix.as_bytes());
    out.extend_from_slice(name.as_bytes());
    push_head(out, 2, value_len);
    match value {
        ValueRef::String(text) => push_bytes_field(out, 1, text.as_bytes()),
        ValueRef::Bool(flag) => push_varint_field(out, 2, u64::from(flag)),
        ValueRef::I64(integer) => push_varint_field(out, 3, integer as u64),
        ValueRef::F64(float) => push_fixed64_field(out, 4, float.to_bits()),
    }
}
