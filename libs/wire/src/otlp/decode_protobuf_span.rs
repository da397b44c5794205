//! The spans of an `ExportTraceServiceRequest`, protobuf.
//!
//! ```text
//! ExportTraceServiceRequest { 1: resource_spans* }
//! ResourceSpans             { 1: resource, 2: scope_spans* }
//! ScopeSpans                { 1: scope, 2: spans* }
//! Span   { 1: trace_id, 2: span_id, 3: trace_state, 4: parent_span_id, 5: name, 6: kind,
//!          7: start_time_unix_nano fixed64, 8: end_time_unix_nano fixed64, 9: attributes*,
//!          10: dropped_attributes_count, 11: events*, 12: dropped_events_count, 13: links*,
//!          14: dropped_links_count, 15: status }
//! Event  { 1: time_unix_nano fixed64, 2: name, 3: attributes*, 4: dropped_attributes_count }
//! Link   { 1: trace_id, 2: span_id, 3: trace_state, 4: attributes*, 5: dropped_attributes_count }
//! Status { 2: message, 3: code }
//! ```
//!
//! A span whose bytes are at fault is rejected alone: its length says where the next one begins.

use super::decode_protobuf::{Decoder, bytes, fixed64, for_each, varint};
use crate::RejectReason;
use crate::builder::{Scalar, Text};
use crate::json_text::{push, push_string};
use crate::protobuf::{Fault, Reader};

/// How deep the attributes of an event lie in the span: list, event, attributes.
pub(super) const ATTRIBUTES_DEPTH: usize = 3;

impl<'b> Decoder<'b, '_> {
    pub(super) fn span(&mut self, message: &'b [u8]) {
        if self.span_fields(message).is_err() {
            self.reading.builder.fault = Some(RejectReason::Malformed);
        }
    }

    fn span_fields(&mut self, message: &'b [u8]) -> Result<(), Fault> {
        let (mut events, mut links) = (false, false);
        let mut fields = Reader::new(message);
        while let Some((number, field)) = fields.next()? {
            match number {
                1 => self.reading.trace_id(bytes(field)?),
                2 => self.reading.span_id(bytes(field)?),
                3 => {
                    let text = self.text(bytes(field)?);
                    self.reading.trace_state(text);
                }
                4 => self.reading.parent_span_id(bytes(field)?),
                5 => {
                    let name = self.text(bytes(field)?);
                    self.reading.body(Scalar::Text(name));
                }
                6 => self.reading.kind(varint(field)? as i64),
                7 => self.reading.time(fixed64(field)?),
                8 => self.reading.end_time(fixed64(field)?),
                9 => self.key_value(None, bytes(field)?, 1)?,
                10 => self.reading.dropped_attributes(varint(field)?),
                11 => events = true,
                12 => self.reading.dropped("otel.dropped_events_count", varint(field)?),
                13 => links = true,
                14 => self.reading.dropped("otel.dropped_links_count", varint(field)?),
                15 => self.status(bytes(field)?)?,
                _ => {}
            }
        }
        if events {
            let json = self.array(message, 11, Self::write_event)?;
            self.reading.events(json);
        }
        if links {
            let json = self.array(message, 13, Self::write_link)?;
            self.reading.links(json);
        }
        Ok(())
    }

    fn status(&mut self, message: &'b [u8]) -> Result<(), Fault> {
        let mut fields = Reader::new(message);
        while let Some((number, field)) = fields.next()? {
            match number {
                2 => {
                    let text = self.text(bytes(field)?);
                    self.reading.status_message(text);
                }
                3 => self.reading.status(varint(field)? as i64),
                _ => {}
            }
        }
        Ok(())
    }

    /// The JSON array of all fields of this number.
    fn array(
        &mut self,
        message: &'b [u8],
        number: u32,
        write: fn(&mut Self, &'b [u8]) -> Result<(), Fault>,
    ) -> Result<Text<'b>, Fault> {
        let start = self.reading.builder.scratch.len();
        let mut separator = '[';
        for_each(message, number, |element| {
            self.reading.builder.scratch.push(separator);
            separator = ',';
            write(self, element)
        })?;
        self.reading.builder.scratch.push(']');
        Ok(self.reading.builder.written(start))
    }

    fn write_event(&mut self, message: &'b [u8]) -> Result<(), Fault> {
        let (mut time, mut name, mut dropped) = (0, &[][..], 0);
        let mut fields = Reader::new(message);
        while let Some((number, field)) = fields.next()? {
            match number {
                1 => time = fixed64(field)?,
                2 => name = bytes(field)?,
                4 => dropped = varint(field)?,
                _ => {}
            }
        }
        let out = &mut self.reading.builder.scratch;
        push(out, format_args!("{{\"time\":{time},\"name\":"));
        push_string(out, &String::from_utf8_lossy(name));
        self.write_attributes(message, 3, dropped)
    }

    fn write_link(&mut self, message: &'b [u8]) -> Result<(), Fault> {
        let (mut trace_id, mut span_id, mut trace_state, mut dropped) =
            (&[][..], &[][..], &[][..], 0);
        let mut fields = Reader::new(message);
        while let Some((number, field)) = fields.next()? {
            match number {
                1 => trace_id = bytes(field)?,
                2 => span_id = bytes(field)?,
                3 => trace_state = bytes(field)?,
                5 => dropped = varint(field)?,
                _ => {}
            }
        }
        let out = &mut self.reading.builder.scratch;
        for (before, id) in [("{\"trace_id\":\"", trace_id), ("\",\"span_id\":\"", span_id)] {
            out.push_str(before);
            id.iter().for_each(|byte| push(out, format_args!("{byte:02x}")));
        }
        out.push_str("\",\"trace_state\":");
        push_string(out, &String::from_utf8_lossy(trace_state));
        self.write_attributes(message, 4, dropped)
    }

    /// The end of an event or link: its attributes, which are the fields of this number.
    fn write_attributes(
        &mut self,
        message: &'b [u8],
        number: u32,
        dropped: u64,
    ) -> Result<(), Fault> {
        self.reading.builder.scratch.push_str(",\"attributes\":");
        self.write_json_members(message, number, ['{', '}'], ATTRIBUTES_DEPTH)?;
        let out = &mut self.reading.builder.scratch;
        if dropped > 0 {
            push(out, format_args!(",\"dropped_attributes_count\":{dropped}"));
        }
        out.push('}');
        Ok(())
    }
}
