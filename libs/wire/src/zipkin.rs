//! Spans of Zipkin's API version 2 (<https://zipkin.io/zipkin-api/>), JSON, to records.
//!
//! ```text
//! [{ "traceId": hex, "id": hex, "parentId": hex, "name": text, "kind": "CLIENT" | "SERVER" | "PRODUCER" | "CONSUMER",
//!    "timestamp": µs, "duration": µs, "localEndpoint": {…}, "remoteEndpoint": {…}, "tags": {name: text},
//!    "annotations": [{ "timestamp": µs, "value": text }], "debug": bool, "shared": bool }]
//! endpoint = { "serviceName": text, "ipv4": text, "ipv6": text, "port": number }
//! ```
//!
//! | Zipkin | record |
//! |---|---|
//! | `localEndpoint.serviceName` | service; its address `network.local.address`, `network.local.port` |
//! | `remoteEndpoint` | `peer.service`, `network.peer.address`, `network.peer.port` |
//! | `tags` | attributes of the span, with the meaning that they have in OTLP |
//! | tag `error` | status error; its text, unless it says no more than `true`, the status message |
//! | `annotations` | events |
//! | ids of fewer digits | filled up with zeros at their left |
//!
//! The body is an array or refused; a bad span in it is rejected alone.

use std::borrow::Cow;

use record::{RecordRef, Signal, SpanId, Timestamp, TraceId, span};
use serde_json::value::RawValue;

use crate::builder::{Emit, Scalar, Text};
use crate::json_text::{push, push_string};
use crate::otlp::json_tree::{Tree, push_tree};
use crate::otlp::reading::Reading;
use crate::{DecodeError, Decoded, Limits, RejectReason};

/// OpenTelemetry's number of the status error.
const STATUS_ERROR: i64 = 2;
const NANOS_PER_MICRO: i64 = 1_000;

pub(crate) fn decode(
    body: &[u8],
    received_at: Timestamp,
    limits: &Limits,
    sink: &mut dyn FnMut(&RecordRef<'_>),
) -> Result<Decoded, DecodeError> {
    let text = String::from_utf8_lossy(body);
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    // What the parser says of another value may quote it.
    let malformed = |error: serde_json::Error| DecodeError::Malformed {
        what: "Zipkin JSON",
        detail: format!(
            "expected an array of spans at line {} column {}",
            error.line(),
            error.column()
        ),
    };
    let spans: Vec<&RawValue> = serde_json::from_str(text).map_err(malformed)?;
    let decoded = Decoded::default();
    let mut to = Emit { received_at, limits, record_bytes_max: None, decoded, sink };
    let mut decoder = Decoder { reading: Reading::new(Signal::Spans, limits) };
    decoder.reading.begin_resource();
    decoder.reading.end_resource()?;
    decoder.reading.begin_scope();
    decoder.reading.end_scope()?;
    for raw in spans {
        decoder.span(raw.get(), limits);
        decoder.reading.end_record(&mut to);
    }
    Ok(to.decoded)
}

struct Decoder<'b> {
    reading: Reading<'b>,
}

impl<'b> Decoder<'b> {
    fn span(&mut self, raw: &'b str, limits: &Limits) {
        if raw.len() > limits.flattened_bytes_max {
            self.reading.builder.fault = Some(RejectReason::TooLarge);
            return;
        }
        match serde_json::from_str::<Tree<'b>>(raw) {
            Ok(Tree::Object(members)) => {
                for (key, value) in members {
                    self.field(&key, value);
                }
            }
            Ok(_) => self.reading.builder.fault = Some(RejectReason::NotAnObject),
            Err(error) if error.to_string().starts_with("recursion") => {
                self.reading.builder.fault = Some(RejectReason::TooDeep);
            }
            Err(_) => self.reading.builder.fault = Some(RejectReason::Malformed),
        }
    }

    fn field(&mut self, key: &str, value: Tree<'b>) {
        match (key, value) {
            (_, Tree::Null) => {}
            ("traceId", Tree::String(id)) => {
                match padded::<32>(&id).and_then(|id| TraceId::from_hex(&id)) {
                    Some(id) => self.reading.trace_id(&id.0),
                    None => self.odd_id("trace_id", id),
                }
            }
            ("id", Tree::String(id)) => match span_id(&id) {
                Some(id) => self.reading.span_id(&id.0),
                None => self.odd_id("span_id", id),
            },
            ("parentId", Tree::String(id)) => match span_id(&id) {
                Some(id) => self.reading.parent_span_id(&id.0),
                None => self.odd_id("attribute.parent_span_id", id),
            },
            ("name", Tree::String(name)) => {
                let name = self.text(name);
                self.reading.body(Scalar::Text(name));
            }
            ("kind", value) => self.kind(value),
            ("timestamp", value) => match nanos(&value) {
                Some(nanos) if nanos >= 0 => self.reading.time(nanos as u64),
                _ => {
                    let value = self.value(value);
                    self.reading.unread_time(value);
                }
            },
            ("duration", value) => match nanos(&value) {
                Some(nanos) => self.reading.duration(nanos),
                None => {
                    let value = self.value(value);
                    self.reading.not_a_field(span::DURATION, value);
                }
            },
            ("localEndpoint", endpoint) => self.endpoint(
                endpoint,
                ["service.name", "network.local.address", "network.local.port"],
            ),
            ("remoteEndpoint", endpoint) => self
                .endpoint(endpoint, ["peer.service", "network.peer.address", "network.peer.port"]),
            ("annotations", list) => self.annotations(list),
            ("tags", tags) => {
                for (name, value) in tags.members() {
                    self.tag(name, value);
                }
            }
            ("debug", Tree::Bool(true)) => self.flag("zipkin.debug"),
            ("shared", Tree::Bool(true)) => self.flag("zipkin.shared"),
            _ => {}
        }
    }

    fn kind(&mut self, value: Tree<'b>) {
        let known = match &value {
            Tree::String(name) => {
                span::KINDS.iter().position(|kind| kind.eq_ignore_ascii_case(name))
            }
            _ => None,
        };
        match known {
            Some(index) => self.reading.kind(index as i64 + 1),
            None => {
                let value = self.value(value);
                self.reading.not_a_field(span::KIND, value);
            }
        }
    }

    fn endpoint(&mut self, endpoint: Tree<'b>, [service, address, port]: [&'static str; 3]) {
        let mut addressed = false;
        for (key, value) in endpoint.members() {
            let name = match (&*key, &value) {
                ("serviceName", Tree::String(text)) if !text.is_empty() => service,
                // Of two addresses the first is the one; the other is kept beside it.
                ("ipv4" | "ipv6", Tree::String(text)) if !text.is_empty() => {
                    match (std::mem::replace(&mut addressed, true), &*key) {
                        (false, _) => address,
                        (true, "ipv4") => "zipkin.ipv4",
                        (true, _) => "zipkin.ipv6",
                    }
                }
                ("port", Tree::I64(number)) if *number > 0 => port,
                _ => continue,
            };
            let value = self.value(value);
            self.reading.attribute(Text::Body(name), value);
        }
    }

    fn tag(&mut self, name: Cow<'b, str>, value: Tree<'b>) {
        if value == Tree::Null {
            return;
        }
        if name == "error" {
            self.reading.status(STATUS_ERROR);
            if let Tree::String(text) = &value
                && !matches!(&**text, "" | "true")
            {
                let Scalar::Text(text) = self.value(value) else { return };
                self.reading.status_message(text);
            }
            return;
        }
        let name = match name {
            Cow::Borrowed(name) => self.reading.builder.name(None, name),
            Cow::Owned(name) => self.reading.builder.name_of_transient(None, &name),
        };
        let value = self.value(value);
        self.reading.attribute(name, value);
    }

    fn annotations(&mut self, list: Tree<'b>) {
        let start = self.reading.builder.scratch.len();
        let mut separator = '[';
        for annotation in list.elements() {
            if !matches!(annotation, Tree::Object(_)) {
                continue;
            }
            let (mut time, mut text) = (0, Cow::Borrowed(""));
            for (key, value) in annotation.members() {
                match (&*key, value) {
                    ("timestamp", value) => time = nanos(&value).unwrap_or(0).max(0),
                    ("value", Tree::String(value)) => text = value,
                    _ => {}
                }
            }
            let out = &mut self.reading.builder.scratch;
            out.push(std::mem::replace(&mut separator, ','));
            push(out, format_args!("{{\"time\":{time},\"name\":"));
            push_string(out, &text);
            out.push_str(",\"attributes\":{}}");
        }
        if separator == ',' {
            self.reading.builder.scratch.push(']');
            let json = self.reading.builder.written(start);
            self.reading.events(json);
        }
    }

    fn flag(&mut self, name: &'static str) {
        self.reading.attribute(Text::Body(name), Scalar::Bool(true));
    }

    /// Any value; a list or object, which Zipkin has not, as its JSON text.
    fn value(&mut self, value: Tree<'b>) -> Scalar<'b> {
        match value {
            Tree::Bool(flag) => Scalar::Bool(flag),
            Tree::I64(number) => Scalar::I64(number),
            Tree::U64(number) => self.reading.builder.u64(number),
            Tree::F64(number) => self.reading.builder.f64(number),
            Tree::String(text) => Scalar::Text(self.text(text)),
            Tree::Null | Tree::Array(_) | Tree::Object(_) => {
                if value.depth() >= self.reading.builder.depth_max {
                    self.reading.builder.fault = Some(RejectReason::TooDeep);
                }
                let start = self.reading.builder.scratch.len();
                push_tree(&mut self.reading.builder.scratch, &value);
                Scalar::Json(self.reading.builder.written(start))
            }
        }
    }

    fn text(&mut self, text: Cow<'b, str>) -> Text<'b> {
        match text {
            Cow::Borrowed(text) => Text::Body(text),
            Cow::Owned(text) => self.reading.builder.write(&text),
        }
    }

    fn odd_id(&mut self, name: &'static str, id: Cow<'b, str>) {
        // Nothing and zeros are no id.
        if !id.bytes().all(|digit| digit == b'0') {
            let id = self.text(id);
            self.reading.builder.attribute(Text::Body(name), Scalar::Text(id));
        }
    }
}

/// Microseconds, as number or in quotes, to nanoseconds.
fn nanos(value: &Tree<'_>) -> Option<i64> {
    let micros = match value {
        Tree::I64(number) => *number,
        Tree::F64(number) if number.fract() == 0.0 && number.abs() < 9e15 => *number as i64,
        Tree::String(text) => text.trim().parse().ok()?,
        _ => return None,
    };
    micros.checked_mul(NANOS_PER_MICRO)
}

fn span_id(text: &str) -> Option<SpanId> {
    padded::<16>(text).and_then(|id| SpanId::from_hex(&id))
}

/// As many digits as an id has.
fn padded<const DIGITS: usize>(text: &str) -> Option<String> {
    (!text.is_empty() && text.len() <= DIGITS).then(|| format!("{text:0>DIGITS$}"))
}
