//! Spans to the `spans` of an `ExportTraceServiceRequest` in OTLP's JSON mapping.

use record::RecordRef;

use super::encode_json::write_attribute;
use super::json_tree::Tree;
use super::native;
use super::span_parts::{Members, SpanParts};
use crate::json_text::{push, push_f64, push_string};

pub(super) fn write_span(out: &mut String, record: &RecordRef<'_>) {
    let parts = SpanParts::of(record);
    out.push('{');
    if let Some(id) = record.trace_id {
        push(out, format_args!("\"traceId\":\"{id}\","));
    }
    if let Some(id) = record.span_id {
        push(out, format_args!("\"spanId\":\"{id}\","));
    }
    push_text(out, "traceState", parts.trace_state);
    if let Some(id) = parts.parent {
        push(out, format_args!("\"parentSpanId\":\"{id}\","));
    }
    push_text(out, "name", record.message);
    if parts.kind != 0 {
        push(out, format_args!("\"kind\":{},", parts.kind));
    }
    for (name, nanos) in
        [("startTimeUnixNano", native::unix_nano(record.timestamp)), ("endTimeUnixNano", parts.end)]
    {
        if let Some(nanos) = nanos {
            push(out, format_args!("\"{name}\":\"{nanos}\","));
        }
    }
    for (index, event) in parts.events.iter().enumerate() {
        out.push_str(if index == 0 { "\"events\":[{" } else { ",{" });
        push(out, format_args!("\"timeUnixNano\":\"{}\",", event.time));
        push_text(out, "name", &event.name);
        push_end(out, &event.attributes, event.dropped);
    }
    out.push_str(if parts.events.is_empty() { "" } else { "]," });
    for (index, link) in parts.links.iter().enumerate() {
        out.push_str(if index == 0 { "\"links\":[{" } else { ",{" });
        if let Some(id) = link.trace_id {
            push(out, format_args!("\"traceId\":\"{id}\","));
        }
        if let Some(id) = link.span_id {
            push(out, format_args!("\"spanId\":\"{id}\","));
        }
        push_text(out, "traceState", &link.trace_state);
        push_end(out, &link.attributes, link.dropped);
    }
    out.push_str(if parts.links.is_empty() { "" } else { "]," });
    out.push_str("\"status\":{");
    push_text(out, "message", parts.status_message);
    push(out, format_args!("\"code\":{}}},\"attributes\":[", parts.status));
    let mut first = true;
    native::for_each_span_attribute(record, &parts, |prefix, name, value| {
        write_attribute(out, &mut first, prefix, name, value);
    });
    out.push_str("]}");
}

/// A member and the comma behind it, unless the text is empty.
fn push_text(out: &mut String, name: &str, text: &str) {
    if !text.is_empty() {
        push(out, format_args!("\"{name}\":"));
        push_string(out, text);
        out.push(',');
    }
}

/// The end of an event or link.
fn push_end(out: &mut String, attributes: &Members<'_>, dropped: u32) {
    if dropped > 0 {
        push(out, format_args!("\"droppedAttributesCount\":{dropped},"));
    }
    out.push_str("\"attributes\":[");
    push_members(out, attributes);
    out.push_str("]}");
}

fn push_members(out: &mut String, members: &Members<'_>) {
    for (index, (key, value)) in members.iter().enumerate() {
        out.push_str(if index == 0 { "{\"key\":" } else { ",{\"key\":" });
        push_string(out, key);
        out.push_str(",\"value\":");
        push_any(out, value);
        out.push('}');
    }
}

fn push_any(out: &mut String, value: &Tree<'_>) {
    match value {
        // `SpanParts` has none beyond `i64`.
        Tree::Null | Tree::U64(_) => out.push('{'),
        Tree::Bool(flag) => push(out, format_args!("{{\"boolValue\":{flag}")),
        Tree::I64(number) => push(out, format_args!("{{\"intValue\":\"{number}\"")),
        Tree::F64(number) => {
            out.push_str("{\"doubleValue\":");
            push_f64(out, *number);
        }
        Tree::String(text) => {
            out.push_str("{\"stringValue\":");
            push_string(out, text);
        }
        Tree::Array(elements) => {
            out.push_str("{\"arrayValue\":{\"values\":[");
            for (index, element) in elements.iter().enumerate() {
                out.push_str(if index == 0 { "" } else { "," });
                push_any(out, element);
            }
            out.push_str("]}");
        }
        Tree::Object(members) => {
            out.push_str("{\"kvlistValue\":{\"values\":[");
            push_members(out, members);
            out.push_str("]}");
        }
    }
    out.push('}');
}
