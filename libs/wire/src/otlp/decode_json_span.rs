//! The spans of an `ExportTraceServiceRequest` in OTLP's JSON mapping, read with the same tolerance as log records.

use std::borrow::Cow;

use record::span;

use super::decode_json::{Decoder, raw_key_and_value, span_id_bytes, trace_id_bytes, unsigned};
use super::decode_protobuf_span::ATTRIBUTES_DEPTH;
use super::json_tree::Tree;
use crate::builder::{Scalar, Text};
use crate::json_text::{push, push_string};

impl<'b> Decoder<'b> {
    pub(super) fn span_field(&mut self, key: &str, value: Tree<'b>) {
        match (key, value) {
            (_, Tree::Null) => {}
            ("traceId", Tree::String(id)) => self.trace_id(id),
            ("spanId", Tree::String(id)) => self.span_id(id),
            ("parentSpanId", Tree::String(id)) => match span_id_bytes(&id) {
                Some(bytes) => self.reading.parent_span_id(&bytes),
                None => self.odd_id("attribute.parent_span_id", id),
            },
            ("traceState", Tree::String(text)) => {
                let text = self.text(text);
                self.reading.trace_state(text);
            }
            ("name", Tree::String(name)) => {
                let name = self.text(name);
                self.reading.body(Scalar::Text(name));
            }
            ("kind", value) => self.enumeration(span::KIND, value),
            ("startTimeUnixNano", value) => self.time(value),
            ("endTimeUnixNano", value) => match unsigned(&value) {
                Some(nanos) => self.reading.end_time(nanos),
                None => {
                    if let Some(scalar) = self.scalar(value) {
                        self.reading.unread_end_time(scalar);
                    }
                }
            },
            ("attributes", attributes) => self.attributes(attributes),
            ("droppedAttributesCount", value) => {
                self.reading.dropped_attributes(unsigned(&value).unwrap_or(0));
            }
            ("droppedEventsCount", value) => {
                let count = unsigned(&value).unwrap_or(0);
                self.reading.dropped("otel.dropped_events_count", count);
            }
            ("droppedLinksCount", value) => {
                let count = unsigned(&value).unwrap_or(0);
                self.reading.dropped("otel.dropped_links_count", count);
            }
            ("events", list) => {
                if let Some(json) = self.list(list, Self::write_event) {
                    self.reading.events(json);
                }
            }
            ("links", list) => {
                if let Some(json) = self.list(list, Self::write_link) {
                    self.reading.links(json);
                }
            }
            ("status", status) => self.status(status),
            _ => {}
        }
    }

    fn status(&mut self, status: Tree<'b>) {
        for (key, value) in status.members() {
            match (&*key, value) {
                (_, Tree::Null) => {}
                ("message", Tree::String(text)) => {
                    let text = self.text(text);
                    self.reading.status_message(text);
                }
                ("code", value) => self.enumeration(span::STATUS, value),
                _ => {}
            }
        }
    }

    /// A kind or status as its number, the number in quotes, or its name.
    fn enumeration(&mut self, field: &'static str, value: Tree<'b>) {
        let number = match &value {
            Tree::I64(number) => Some(*number),
            Tree::String(name) => number_named(field, name),
            _ => None,
        };
        match number {
            Some(number) if field == span::KIND => self.reading.kind(number),
            Some(number) => self.reading.status(number),
            None => {
                if let Some(scalar) = self.scalar(value) {
                    self.reading.not_a_field(field, scalar);
                }
            }
        }
    }

    /// The JSON array of a list that is not empty. What is no object among its elements says nothing.
    fn list(&mut self, list: Tree<'b>, write: fn(&mut Self, Tree<'b>)) -> Option<Text<'b>> {
        let start = self.reading.builder.scratch.len();
        let mut separator = '[';
        for element in list.elements() {
            if matches!(element, Tree::Object(_)) {
                self.reading.builder.scratch.push(separator);
                separator = ',';
                write(self, element);
            }
        }
        if separator == '[' {
            return None;
        }
        self.reading.builder.scratch.push(']');
        Some(self.reading.builder.written(start))
    }

    fn write_event(&mut self, event: Tree<'b>) {
        let (mut time, mut name, mut attributes, mut dropped) = (0, Cow::Borrowed(""), vec![], 0);
        for (key, value) in event.members() {
            match (&*key, value) {
                ("timeUnixNano", value) => time = unsigned(&value).unwrap_or(0),
                ("name", Tree::String(text)) => name = text,
                ("attributes", list) => attributes = list.elements(),
                ("droppedAttributesCount", value) => dropped = unsigned(&value).unwrap_or(0),
                _ => {}
            }
        }
        let out = &mut self.reading.builder.scratch;
        push(out, format_args!("{{\"time\":{time},\"name\":"));
        push_string(out, &name);
        self.write_attributes(attributes, dropped);
    }

    fn write_link(&mut self, link: Tree<'b>) {
        let (mut trace_id, mut span_id) = (String::new(), String::new());
        let (mut trace_state, mut attributes, mut dropped) = (Cow::Borrowed(""), vec![], 0);
        for (key, value) in link.members() {
            match (&*key, value) {
                ("traceId", Tree::String(id)) => {
                    trace_id = trace_id_bytes(&id).map_or(id.into_owned(), |bytes| hex(&bytes));
                }
                ("spanId", Tree::String(id)) => {
                    span_id = span_id_bytes(&id).map_or(id.into_owned(), |bytes| hex(&bytes));
                }
                ("traceState", Tree::String(text)) => trace_state = text,
                ("attributes", list) => attributes = list.elements(),
                ("droppedAttributesCount", value) => dropped = unsigned(&value).unwrap_or(0),
                _ => {}
            }
        }
        let out = &mut self.reading.builder.scratch;
        for (before, text) in [
            ("{\"trace_id\":", &*trace_id),
            (",\"span_id\":", &*span_id),
            (",\"trace_state\":", &*trace_state),
        ] {
            out.push_str(before);
            push_string(out, text);
        }
        self.write_attributes(attributes, dropped);
    }

    /// The end of an event or link.
    fn write_attributes(&mut self, attributes: Vec<Tree<'b>>, dropped: u64) {
        self.reading.builder.scratch.push_str(",\"attributes\":");
        let members = attributes.into_iter().map(raw_key_and_value).collect();
        self.write_json(Tree::Object(members), ATTRIBUTES_DEPTH);
        let out = &mut self.reading.builder.scratch;
        if dropped > 0 {
            push(out, format_args!(",\"dropped_attributes_count\":{dropped}"));
        }
        out.push('}');
    }
}

/// `SPAN_KIND_SERVER`, `STATUS_CODE_ERROR`, their ends in any case, or a number.
fn number_named(field: &str, name: &str) -> Option<i64> {
    let (prefix, names, first) = if field == span::KIND {
        ("SPAN_KIND_", &span::KINDS[..], 1)
    } else {
        ("STATUS_CODE_", &span::STATUSES[..], 0)
    };
    let word = name.strip_prefix(prefix).unwrap_or(name).trim();
    if word.eq_ignore_ascii_case("unspecified") {
        return Some(0);
    }
    match names.iter().position(|known| known.eq_ignore_ascii_case(word)) {
        Some(index) => Some(index as i64 + first),
        None => word.parse().ok(),
    }
}

fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2);
    bytes.iter().for_each(|byte| push(&mut text, format_args!("{byte:02x}")));
    text
}
