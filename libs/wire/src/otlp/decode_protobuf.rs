//! `ExportLogsServiceRequest` and `ExportTraceServiceRequest`, protobuf, to records without copying.
//!
//! ```text
//! ExportLogsServiceRequest { 1: resource_logs* }
//! ResourceLogs             { 1: resource, 2: scope_logs* }
//! Resource                 { 1: attributes* }
//! ScopeLogs                { 1: scope, 2: log_records* }
//! InstrumentationScope     { 1: name, 2: version, 3: attributes* }
//! LogRecord { 1: time_unix_nano fixed64, 2: severity_number, 3: severity_text, 5: body, 6: attributes*,
//!             7: dropped_attributes_count, 8: flags, 9: trace_id, 10: span_id,
//!             11: observed_time_unix_nano fixed64, 12: event_name }
//! KeyValue                 { 1: key, 2: value }
//! AnyValue  { 1: string, 2: bool, 3: int, 4: double fixed64, 5: array { 1: values* },
//!             6: kvlist { 1: values* of KeyValue }, 7: bytes }
//! ```
//!
//! Fields may come in any order, so a message is read twice where its first part must be known before its
//! second. Other fields are skipped; one of these with another wire type is a fault. A string that is not
//! UTF-8 is read with U+FFFD for what is broken. The request for spans has the same envelope, with spans in
//! the place of log records: see [`super::decode_protobuf_span`].

use record::{RecordRef, Signal, Timestamp};

use super::reading::Reading;
use crate::builder::{Emit, Scalar, Text};
use crate::json_text::{push, push_base64, push_f64, push_string};
use crate::protobuf::{Fault, Field, Reader};
use crate::{DecodeError, Decoded, Limits, RejectReason};

/// A value, unpacked by one step.
#[derive(Clone, Copy)]
enum Any<'b> {
    Nothing,
    String(&'b [u8]),
    Bool(bool),
    Int(i64),
    Double(f64),
    Array(&'b [u8]),
    Map(&'b [u8]),
    Bytes(&'b [u8]),
}

pub(crate) fn decode(
    signal: Signal,
    body: &[u8],
    received_at: Timestamp,
    limits: &Limits,
    sink: &mut dyn FnMut(&RecordRef<'_>),
) -> Result<Decoded, DecodeError> {
    let decoded = Decoded::default();
    let mut to = Emit { received_at, limits, record_bytes_max: None, decoded, sink };
    let mut decoder = Decoder { reading: Reading::new(signal, limits), signal, limits };
    let mut request = Reader::new(body);
    while let Some((number, field)) = request.next()? {
        if number == 1 {
            decoder.resource_records(bytes(field)?, &mut to)?;
        }
    }
    Ok(to.decoded)
}

impl From<Fault> for DecodeError {
    fn from(fault: Fault) -> Self {
        Self::Malformed { what: "OTLP protobuf", detail: fault.to_string() }
    }
}

pub(super) struct Decoder<'b, 'l> {
    pub(super) reading: Reading<'b>,
    signal: Signal,
    limits: &'l Limits,
}

impl<'b> Decoder<'b, '_> {
    fn resource_records(
        &mut self,
        message: &'b [u8],
        to: &mut Emit<'_, '_>,
    ) -> Result<(), DecodeError> {
        self.reading.begin_resource();
        for_each(message, 1, |resource| {
            for_each(resource, 1, |attribute| self.key_value(None, attribute, 1))
        })?;
        self.reading.end_resource()?;
        let mut fields = Reader::new(message);
        while let Some((number, field)) = fields.next()? {
            if number == 2 {
                self.scope_records(bytes(field)?, to)?;
            }
        }
        Ok(())
    }

    fn scope_records(
        &mut self,
        message: &'b [u8],
        to: &mut Emit<'_, '_>,
    ) -> Result<(), DecodeError> {
        self.reading.begin_scope();
        for_each(message, 1, |scope| self.scope(scope))?;
        self.reading.end_scope()?;
        let mut fields = Reader::new(message);
        while let Some((number, field)) = fields.next()? {
            if number != 2 {
                continue;
            }
            let record = bytes(field)?;
            match self.signal {
                _ if record.len() > self.limits.flattened_bytes_max => {
                    self.reading.builder.fault = Some(RejectReason::TooLarge);
                }
                Signal::Logs => self.log_record(record)?,
                Signal::Spans => self.span(record),
            }
            self.reading.end_record(to);
        }
        Ok(())
    }

    fn scope(&mut self, message: &'b [u8]) -> Result<(), Fault> {
        let mut fields = Reader::new(message);
        while let Some((number, field)) = fields.next()? {
            match number {
                1 => {
                    let name = self.text(bytes(field)?);
                    self.reading.scope_name(name);
                }
                2 => {
                    let version = self.text(bytes(field)?);
                    self.reading.scope_version(version);
                }
                3 => self.key_value(None, bytes(field)?, 1)?,
                _ => {}
            }
        }
        Ok(())
    }

    fn log_record(&mut self, message: &'b [u8]) -> Result<(), Fault> {
        let mut fields = Reader::new(message);
        while let Some((number, field)) = fields.next()? {
            match number {
                1 => self.reading.time(fixed64(field)?),
                2 => self.reading.severity_number(varint(field)? as i64),
                3 => {
                    let text = self.text(bytes(field)?);
                    self.reading.severity_text(text);
                }
                5 => self.body(bytes(field)?)?,
                6 => self.key_value(None, bytes(field)?, 1)?,
                7 => self.reading.dropped_attributes(varint(field)?),
                9 => self.reading.trace_id(bytes(field)?),
                10 => self.reading.span_id(bytes(field)?),
                11 => self.reading.observed_time(fixed64(field)?),
                12 => {
                    let name = self.text(bytes(field)?);
                    self.reading.event_name(name);
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn body(&mut self, message: &'b [u8]) -> Result<(), Fault> {
        let value = any(message)?;
        if let Some(scalar) = self.scalar(value) {
            self.reading.body(scalar);
        } else if !matches!(value, Any::Nothing) {
            let text = self.json(value, 1)?;
            self.reading.body(Scalar::Json(text));
        }
        Ok(())
    }

    /// One attribute; a map becomes as many as it has members.
    pub(super) fn key_value(
        &mut self,
        parent: Option<Text<'b>>,
        message: &'b [u8],
        depth: usize,
    ) -> Result<(), Fault> {
        let (key, value) = key_and_value(message)?;
        if matches!(value, Any::Nothing) {
            return Ok(());
        }
        let builder = &mut self.reading.builder;
        let name = match std::str::from_utf8(key) {
            Ok(key) => builder.name(parent, key),
            Err(_) => builder.name_of_transient(parent, &String::from_utf8_lossy(key)),
        };
        if let Some(scalar) = self.scalar(value) {
            self.reading.attribute(name, scalar);
        } else if let Any::Map(members) = value {
            if depth >= self.reading.builder.depth_max {
                self.reading.builder.fault = Some(RejectReason::TooDeep);
                return Ok(());
            }
            for_each(members, 1, |member| self.key_value(Some(name), member, depth + 1))?;
        } else {
            let text = self.json(value, depth)?;
            self.reading.attribute(name, Scalar::Json(text));
        }
        Ok(())
    }

    /// The value, unless it is nothing, an array or a map.
    fn scalar(&mut self, value: Any<'b>) -> Option<Scalar<'b>> {
        Some(match value {
            Any::String(text) => Scalar::Text(self.text(text)),
            Any::Bool(flag) => Scalar::Bool(flag),
            Any::Int(number) => Scalar::I64(number),
            Any::Double(number) => self.reading.builder.f64(number),
            Any::Bytes(bytes) => Scalar::Text(self.reading.builder.write_base64(bytes)),
            Any::Nothing | Any::Array(_) | Any::Map(_) => return None,
        })
    }

    pub(super) fn text(&mut self, bytes: &'b [u8]) -> Text<'b> {
        match std::str::from_utf8(bytes) {
            Ok(text) => Text::Body(text),
            Err(_) => self.reading.builder.write(&String::from_utf8_lossy(bytes)),
        }
    }

    /// The value's JSON text in the scratch.
    fn json(&mut self, value: Any<'b>, depth: usize) -> Result<Text<'b>, Fault> {
        let start = self.reading.builder.scratch.len();
        self.write_json(value, depth)?;
        Ok(self.reading.builder.written(start))
    }

    fn write_json(&mut self, value: Any<'b>, depth: usize) -> Result<(), Fault> {
        let out = &mut self.reading.builder.scratch;
        match value {
            Any::Nothing => out.push_str("null"),
            Any::String(text) => push_string(out, &String::from_utf8_lossy(text)),
            Any::Bool(flag) => push(out, format_args!("{flag}")),
            Any::Int(number) => push(out, format_args!("{number}")),
            Any::Double(number) => push_f64(out, number),
            Any::Bytes(bytes) => {
                out.push('"');
                push_base64(out, bytes);
                out.push('"');
            }
            Any::Array(members) => return self.write_json_members(members, 1, ['[', ']'], depth),
            Any::Map(members) => return self.write_json_members(members, 1, ['{', '}'], depth),
        }
        Ok(())
    }

    /// An array or object of the fields of this number.
    pub(super) fn write_json_members(
        &mut self,
        members: &'b [u8],
        number: u32,
        [open, close]: [char; 2],
        depth: usize,
    ) -> Result<(), Fault> {
        if depth >= self.reading.builder.depth_max {
            self.reading.builder.fault = Some(RejectReason::TooDeep);
            return Ok(());
        }
        self.reading.builder.scratch.push(open);
        let mut first = true;
        for_each(members, number, |member| {
            let out = &mut self.reading.builder.scratch;
            if !std::mem::take(&mut first) {
                out.push(',');
            }
            let value = if open == '[' {
                any(member)?
            } else {
                let (key, value) = key_and_value(member)?;
                push_string(out, &String::from_utf8_lossy(key));
                out.push(':');
                value
            };
            self.write_json(value, depth + 1)
        })?;
        self.reading.builder.scratch.push(close);
        Ok(())
    }
}

/// Calls `use_it` with each field of this number.
pub(super) fn for_each<'b>(
    message: &'b [u8],
    wanted: u32,
    mut use_it: impl FnMut(&'b [u8]) -> Result<(), Fault>,
) -> Result<(), Fault> {
    let mut fields = Reader::new(message);
    while let Some((number, field)) = fields.next()? {
        if number == wanted {
            use_it(bytes(field)?)?;
        }
    }
    Ok(())
}

#[inline]
fn key_and_value(message: &[u8]) -> Result<(&[u8], Any<'_>), Fault> {
    let (mut key, mut value) = (&[][..], Any::Nothing);
    let mut fields = Reader::new(message);
    while let Some((number, field)) = fields.next()? {
        match number {
            1 => key = bytes(field)?,
            2 => value = any(bytes(field)?)?,
            _ => {}
        }
    }
    Ok((key, value))
}

/// Of several values in one message the last counts.
#[inline]
fn any(message: &[u8]) -> Result<Any<'_>, Fault> {
    let mut value = Any::Nothing;
    let mut fields = Reader::new(message);
    while let Some((number, field)) = fields.next()? {
        value = match number {
            1 => Any::String(bytes(field)?),
            2 => Any::Bool(varint(field)? != 0),
            3 => Any::Int(varint(field)? as i64),
            4 => Any::Double(f64::from_bits(fixed64(field)?)),
            5 => Any::Array(bytes(field)?),
            6 => Any::Map(bytes(field)?),
            7 => Any::Bytes(bytes(field)?),
            _ => value,
        };
    }
    Ok(value)
}

#[inline]
pub(super) fn bytes(field: Field<'_>) -> Result<&[u8], Fault> {
    match field {
        Field::Bytes(bytes) => Ok(bytes),
        other => Err(other.unexpected()),
    }
}

#[inline]
pub(super) fn varint(field: Field<'_>) -> Result<u64, Fault> {
    match field {
        Field::Varint(number) => Ok(number),
        other => Err(other.unexpected()),
    }
}

#[inline]
pub(super) fn fixed64(field: Field<'_>) -> Result<u64, Fault> {
    match field {
        Field::Fixed64(number) => Ok(number),
        other => Err(other.unexpected()),
    }
}
