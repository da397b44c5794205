//! `ExportLogsServiceRequest` and `ExportTraceServiceRequest` in OTLP's JSON mapping to records.
//!
//! More tolerant than the specification, because senders are: 64-bit integers as strings or numbers, ids as
//! hex of any case or as base64, floats as `"NaN"`, enums as numbers or names, lists that are null, unknown
//! members. The envelope is cut into records first (see [`super::json_envelope`]); a record is then read as a tree of
//! its own. What is a span's alone stands in [`super::decode_json_span`].

use std::borrow::Cow;

use base64::Engine;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use record::{RecordRef, Severity, Signal, SpanId, Timestamp, TraceId};

use super::json_envelope;
use super::json_tree::Tree;
use super::reading::Reading;
use crate::builder::{Emit, Scalar, Text};
use crate::json_text::{push, push_f64, push_string};
use crate::{DecodeError, Decoded, Limits, RejectReason};

const BASE64: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

pub(crate) fn decode(
    signal: Signal,
    body: &[u8],
    received_at: Timestamp,
    limits: &Limits,
    sink: &mut dyn FnMut(&RecordRef<'_>),
) -> Result<Decoded, DecodeError> {
    let text = String::from_utf8_lossy(body);
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    let groups = json_envelope::read(signal, text).map_err(|error| {
        // The text up to "expected" may quote a value of the body.
        let whole = error.to_string();
        let what = whole
            .rsplit_once(", expected")
            .map_or(whole.clone(), |(_, expected)| format!("expected{expected}"));
        DecodeError::Malformed { what: "OTLP JSON", detail: what }
    })?;
    let decoded = Decoded::default();
    let mut to = Emit { received_at, limits, record_bytes_max: None, decoded, sink };
    let mut decoder = Decoder { reading: Reading::new(signal, limits) };
    for group in groups {
        decoder.reading.begin_resource();
        decoder.attributes(group.resource.take("attributes"));
        decoder.reading.end_resource()?;
        for (scope, records) in group.scopes {
            decoder.scope(scope)?;
            for raw in records {
                decoder.record(signal, raw.get(), limits);
                decoder.reading.end_record(&mut to);
            }
        }
    }
    Ok(to.decoded)
}

pub(super) struct Decoder<'b> {
    pub(super) reading: Reading<'b>,
}

impl<'b> Decoder<'b> {
    fn scope(&mut self, scope: Tree<'b>) -> Result<(), DecodeError> {
        self.reading.begin_scope();
        for (key, value) in scope.members() {
            match (&*key, value) {
                ("name", Tree::String(name)) => {
                    let name = self.text(name);
                    self.reading.scope_name(name);
                }
                ("version", Tree::String(version)) => {
                    let version = self.text(version);
                    self.reading.scope_version(version);
                }
                ("attributes", attributes) => self.attributes(attributes),
                _ => {}
            }
        }
        self.reading.end_scope()
    }

    fn record(&mut self, signal: Signal, raw: &'b str, limits: &Limits) {
        if raw.len() > limits.flattened_bytes_max {
            self.reading.builder.fault = Some(RejectReason::TooLarge);
            return;
        }
        match serde_json::from_str::<Tree<'b>>(raw) {
            Ok(Tree::Object(members)) => {
                for (key, value) in members {
                    match signal {
                        Signal::Logs => self.field(&key, value),
                        Signal::Spans => self.span_field(&key, value),
                    }
                }
            }
            Ok(_) => self.reading.builder.fault = Some(RejectReason::NotAnObject),
            // The envelope was well-formed: what is left is serde_json's own bound, a number beyond all
            // range, and half a surrogate pair.
            Err(error) if error.to_string().starts_with("recursion") => {
                self.reading.builder.fault = Some(RejectReason::TooDeep);
            }
            Err(_) => self.reading.builder.fault = Some(RejectReason::Malformed),
        }
    }

    fn field(&mut self, key: &str, value: Tree<'b>) {
        match (key, value) {
            (_, Tree::Null) => {}
            ("timeUnixNano", value) => self.time(value),
            ("observedTimeUnixNano", value) => match unsigned(&value) {
                Some(nanos) => self.reading.observed_time(nanos),
                None => {
                    if let Some(scalar) = self.scalar(value) {
                        self.reading.unread_observed_time(scalar);
                    }
                }
            },
            ("severityNumber", value) => self.severity_number(value),
            ("severityText", Tree::String(text)) => {
                let text = self.text(text);
                self.reading.severity_text(text);
            }
            ("body", value) => self.body(value),
            ("attributes", attributes) => self.attributes(attributes),
            ("droppedAttributesCount", value) => {
                self.reading.dropped_attributes(unsigned(&value).unwrap_or(0));
            }
            ("traceId", Tree::String(id)) => self.trace_id(id),
            ("spanId", Tree::String(id)) => self.span_id(id),
            ("eventName", Tree::String(name)) => {
                let name = self.text(name);
                self.reading.event_name(name);
            }
            _ => {}
        }
    }

    pub(super) fn time(&mut self, value: Tree<'b>) {
        match unsigned(&value) {
            Some(nanos) => self.reading.time(nanos),
            None => {
                if let Some(scalar) = self.scalar(value) {
                    self.reading.unread_time(scalar);
                }
            }
        }
    }

    pub(super) fn trace_id(&mut self, id: Cow<'b, str>) {
        match trace_id_bytes(&id) {
            Some(bytes) => self.reading.trace_id(&bytes),
            None => self.odd_id("trace_id", id),
        }
    }

    pub(super) fn span_id(&mut self, id: Cow<'b, str>) {
        match span_id_bytes(&id) {
            Some(bytes) => self.reading.span_id(&bytes),
            None => self.odd_id("span_id", id),
        }
    }

    fn severity_number(&mut self, value: Tree<'b>) {
        let named = |name: &str| match name.strip_prefix("SEVERITY_NUMBER_") {
            Some("UNSPECIFIED") => Some(0),
            Some(level) => Severity::from_text(level).map(|severity| i64::from(severity.number())),
            None => name.trim().parse().ok(),
        };
        let number = match &value {
            Tree::I64(number) => Some(*number),
            Tree::String(name) => named(name),
            _ => None,
        };
        match (number, value) {
            (Some(number), _) => self.reading.severity_number(number),
            (None, value) => {
                if let Some(scalar) = self.scalar(value) {
                    self.reading.builder.attribute(Text::Body("severity_number"), scalar);
                }
            }
        }
    }

    fn body(&mut self, value: Tree<'b>) {
        let value = any(value);
        match value {
            Tree::Null => {}
            Tree::Array(_) | Tree::Object(_) => {
                let text = self.json(value, 1);
                self.reading.body(Scalar::Json(text));
            }
            value => {
                if let Some(scalar) = self.scalar(value) {
                    self.reading.body(scalar);
                }
            }
        }
    }

    /// A list of `{"key", "value"}`.
    pub(super) fn attributes(&mut self, list: Tree<'b>) {
        for attribute in list.elements() {
            let (key, value) = key_and_value(attribute);
            self.key_value(None, key, value, 1);
        }
    }

    /// One attribute; a map becomes as many as it has members.
    fn key_value(
        &mut self,
        parent: Option<Text<'b>>,
        key: Cow<'b, str>,
        value: Tree<'b>,
        depth: usize,
    ) {
        if value == Tree::Null {
            return;
        }
        let builder = &mut self.reading.builder;
        let name = match key {
            Cow::Borrowed(key) => builder.name(parent, key),
            Cow::Owned(key) => builder.name_of_transient(parent, &key),
        };
        match value {
            Tree::Object(_) if depth >= builder.depth_max => {
                builder.fault = Some(RejectReason::TooDeep);
            }
            Tree::Object(members) => {
                for (key, value) in members {
                    self.key_value(Some(name), key, any(value), depth + 1);
                }
            }
            Tree::Array(_) => {
                let text = self.json(value, depth);
                self.reading.attribute(name, Scalar::Json(text));
            }
            value => {
                if let Some(scalar) = self.scalar(value) {
                    self.reading.attribute(name, scalar);
                }
            }
        }
    }

    /// The value, unless it is null, an array or an object.
    pub(super) fn scalar(&mut self, value: Tree<'b>) -> Option<Scalar<'b>> {
        Some(match value {
            Tree::Bool(flag) => Scalar::Bool(flag),
            Tree::I64(number) => Scalar::I64(number),
            Tree::U64(number) => self.reading.builder.u64(number),
            Tree::F64(number) => self.reading.builder.f64(number),
            Tree::String(text) => Scalar::Text(self.text(text)),
            Tree::Null | Tree::Array(_) | Tree::Object(_) => return None,
        })
    }

    pub(super) fn text(&mut self, text: Cow<'b, str>) -> Text<'b> {
        match text {
            Cow::Borrowed(text) => Text::Body(text),
            Cow::Owned(text) => self.reading.builder.write(&text),
        }
    }

    pub(super) fn odd_id(&mut self, name: &'static str, id: Cow<'b, str>) {
        // Nothing and zeros are how senders say that there is no id.
        if !id.bytes().all(|digit| digit == b'0') {
            let id = self.text(id);
            self.reading.builder.attribute(Text::Body(name), Scalar::Text(id));
        }
    }

    fn json(&mut self, value: Tree<'b>, depth: usize) -> Text<'b> {
        let start = self.reading.builder.scratch.len();
        self.write_json(value, depth);
        self.reading.builder.written(start)
    }

    /// A value whose own level is unwrapped already, see [`any`].
    pub(super) fn write_json(&mut self, value: Tree<'b>, depth: usize) {
        let deep = depth >= self.reading.builder.depth_max;
        let out = &mut self.reading.builder.scratch;
        match value {
            Tree::Array(_) | Tree::Object(_) if deep => {
                self.reading.builder.fault = Some(RejectReason::TooDeep);
            }
            Tree::Null => out.push_str("null"),
            Tree::Bool(flag) => push(out, format_args!("{flag}")),
            Tree::I64(number) => push(out, format_args!("{number}")),
            Tree::U64(number) => push(out, format_args!("{number}")),
            Tree::F64(number) => push_f64(out, number),
            Tree::String(text) => push_string(out, &text),
            Tree::Array(elements) => {
                out.push('[');
                for (index, element) in elements.into_iter().enumerate() {
                    if index > 0 {
                        self.reading.builder.scratch.push(',');
                    }
                    self.write_json(any(element), depth + 1);
                }
                self.reading.builder.scratch.push(']');
            }
            Tree::Object(members) => {
                out.push('{');
                for (index, (key, value)) in members.into_iter().enumerate() {
                    let out = &mut self.reading.builder.scratch;
                    if index > 0 {
                        out.push(',');
                    }
                    push_string(out, &key);
                    out.push(':');
                    self.write_json(any(value), depth + 1);
                }
                self.reading.builder.scratch.push('}');
            }
        }
    }
}

fn key_and_value<'b>(attribute: Tree<'b>) -> (Cow<'b, str>, Tree<'b>) {
    let (mut name, mut held) = (Cow::Borrowed(""), Tree::Null);
    for (key, value) in attribute.members() {
        match (&*key, value) {
            ("key", Tree::String(text)) => name = text,
            ("value", value) => held = any(value),
            _ => {}
        }
    }
    (name, held)
}

/// Unwraps an AnyValue by one level: an array's elements are AnyValues still, and so are the values of an
/// object, whose members are those of the `kvlistValue`. A plain JSON scalar stands for itself.
fn any(value: Tree<'_>) -> Tree<'_> {
    let Tree::Object(members) = value else {
        return if matches!(value, Tree::Array(_)) { Tree::Null } else { value };
    };
    let mut held = Tree::Null;
    for (key, value) in members {
        held = match (&*key, value) {
            (_, Tree::Null) => continue,
            ("stringValue" | "boolValue" | "bytesValue", value) => value,
            ("intValue", value) => integer(value),
            ("doubleValue", value) => double(value),
            ("arrayValue", value) => Tree::Array(value.take("values").elements()),
            ("kvlistValue", value) => {
                let members = value.take("values").elements();
                Tree::Object(members.into_iter().map(raw_key_and_value).collect())
            }
            _ => continue,
        };
    }
    held
}

/// As [`key_and_value`], the value still wrapped.
pub(super) fn raw_key_and_value<'b>(attribute: Tree<'b>) -> (Cow<'b, str>, Tree<'b>) {
    let (mut name, mut held) = (Cow::Borrowed(""), Tree::Null);
    for (key, value) in attribute.members() {
        match (&*key, value) {
            ("key", Tree::String(text)) => name = text,
            ("value", value) => held = value,
            _ => {}
        }
    }
    (name, held)
}

/// An integer as string or number; what is none stays what it is.
fn integer(value: Tree<'_>) -> Tree<'_> {
    match &value {
        Tree::String(text) => match text.trim().parse() {
            Ok(number) => Tree::I64(number),
            Err(_) => value,
        },
        Tree::F64(number) if number.fract() == 0.0 && number.abs() < 9e15 => {
            Tree::I64(*number as i64)
        }
        _ => value,
    }
}

/// A float as number or as one of the names `NaN`, `Infinity`, `-Infinity`; what is none stays what it is.
fn double(value: Tree<'_>) -> Tree<'_> {
    match &value {
        Tree::I64(number) => Tree::F64(*number as f64),
        Tree::U64(number) => Tree::F64(*number as f64),
        Tree::String(text) => match text.trim().parse() {
            Ok(number) => Tree::F64(number),
            Err(_) => value,
        },
        _ => value,
    }
}

/// A time or count as string or number.
pub(super) fn unsigned(value: &Tree<'_>) -> Option<u64> {
    match value {
        Tree::I64(number) => u64::try_from(*number).ok(),
        Tree::U64(number) => Some(*number),
        // Written by something that has floats only.
        Tree::F64(number) if (0.0..1.8e19).contains(number) => Some(*number as u64),
        Tree::String(text) => text.trim().parse().ok(),
        _ => None,
    }
}

/// An id as hex of any case or as base64.
pub(super) fn trace_id_bytes(text: &str) -> Option<[u8; 16]> {
    TraceId::from_hex(text).map(|id| id.0).or_else(|| base64_id(text))
}

/// As [`trace_id_bytes`].
pub(super) fn span_id_bytes(text: &str) -> Option<[u8; 8]> {
    SpanId::from_hex(text).map(|id| id.0).or_else(|| base64_id(text))
}

fn base64_id<const N: usize>(text: &str) -> Option<[u8; N]> {
    BASE64.decode(text).ok()?.try_into().ok()
}
