//! Spans to the `spans` of an `ExportTraceServiceRequest`, protobuf; its messages are drawn in
//! [`super::decode_protobuf_span`].

use record::RecordRef;

use super::encode_protobuf::write_attribute;
use super::json_tree::Tree;
use super::native;
use super::span_parts::{Members, SpanParts};
use crate::protobuf::{push_bytes_field, push_fixed64_field, push_varint_field};

pub(super) fn write_span(out: &mut Vec<u8>, record: &RecordRef<'_>) {
    let parts = SpanParts::of(record);
    if let Some(id) = record.trace_id {
        push_bytes_field(out, 1, &id.0);
    }
    if let Some(id) = record.span_id {
        push_bytes_field(out, 2, &id.0);
    }
    push_text(out, 3, parts.trace_state);
    if let Some(id) = parts.parent {
        push_bytes_field(out, 4, &id.0);
    }
    push_text(out, 5, record.message);
    if parts.kind != 0 {
        push_varint_field(out, 6, u64::from(parts.kind));
    }
    for (number, nanos) in [(7, native::unix_nano(record.timestamp)), (8, parts.end)] {
        if let Some(nanos) = nanos {
            push_fixed64_field(out, number, nanos);
        }
    }
    native::for_each_span_attribute(record, &parts, |prefix, name, value| {
        write_attribute(out, 9, prefix, name, value);
    });
    let mut inner = Vec::new();
    for event in &parts.events {
        inner.clear();
        push_fixed64_field(&mut inner, 1, event.time);
        push_text(&mut inner, 2, &event.name);
        push_members(&mut inner, 3, &event.attributes);
        push_count(&mut inner, 4, event.dropped);
        push_bytes_field(out, 11, &inner);
    }
    for link in &parts.links {
        inner.clear();
        if let Some(id) = link.trace_id {
            push_bytes_field(&mut inner, 1, &id.0);
        }
        if let Some(id) = link.span_id {
            push_bytes_field(&mut inner, 2, &id.0);
        }
        push_text(&mut inner, 3, &link.trace_state);
        push_members(&mut inner, 4, &link.attributes);
        push_count(&mut inner, 5, link.dropped);
        push_bytes_field(out, 13, &inner);
    }
    inner.clear();
    push_text(&mut inner, 2, parts.status_message);
    push_count(&mut inner, 3, parts.status.into());
    if !inner.is_empty() {
        push_bytes_field(out, 15, &inner);
    }
}

fn push_text(out: &mut Vec<u8>, number: u8, text: &str) {
    if !text.is_empty() {
        push_bytes_field(out, number, text.as_bytes());
    }
}

fn push_count(out: &mut Vec<u8>, number: u8, count: u32) {
    if count > 0 {
        push_varint_field(out, number, count.into());
    }
}

/// Fields of this number that hold `KeyValue { key, value: AnyValue }`.
fn push_members(out: &mut Vec<u8>, number: u8, members: &Members<'_>) {
    for (key, value) in members {
        let (mut member, mut any) = (Vec::new(), Vec::new());
        push_any(&mut any, value);
        push_bytes_field(&mut member, 1, key.as_bytes());
        push_bytes_field(&mut member, 2, &any);
        push_bytes_field(out, number, &member);
    }
}

/// The inside of an `AnyValue`.
fn push_any(out: &mut Vec<u8>, value: &Tree<'_>) {
    let mut inner = Vec::new();
    match value {
        // `SpanParts` has none beyond `i64`.
        Tree::Null | Tree::U64(_) => {}
        Tree::String(text) => push_bytes_field(out, 1, text.as_bytes()),
        Tree::Bool(flag) => push_varint_field(out, 2, u64::from(*flag)),
        Tree::I64(number) => push_varint_field(out, 3, *number as u64),
        Tree::F64(number) => push_fixed64_field(out, 4, number.to_bits()),
        Tree::Array(elements) => {
            for element in elements {
                let mut any = Vec::new();
                push_any(&mut any, element);
                push_bytes_field(&mut inner, 1, &any);
            }
            push_bytes_field(out, 5, &inner);
        }
        Tree::Object(members) => {
            push_members(&mut inner, 1, members);
            push_bytes_field(out, 6, &inner);
        }
    }
}
