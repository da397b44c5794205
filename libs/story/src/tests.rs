//! Constructed spans and records for each rule of order, clock, outcome and hole.

mod holes;
mod outcomes;
mod trees;

use record::{Signal, TraceId};
use serde_json::{Map, Value, json};

use crate::entry::Entry;
use crate::story::{Story, Telling};
use crate::trace::{Trace, TraceRow};

/// When all of these begin: 2026-11-28T09:00:00Z.
const BEGIN: i64 = 1_795_856_400_000_000_000;
const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(object) => object,
        other => panic!("{other}"),
    }
}

/// A span of `service`, from `at` for `ms` milliseconds.
fn span(id: u64, parent: u64, service: &str, kind: &str, at: f64, ms: f64, more: Value) -> Entry {
    let mut attributes = object(more);
    attributes.entry("kind").or_insert(kind.into());
    attributes.entry("status").or_insert("unset".into());
    attributes.entry("duration").or_insert(((ms * 1e6) as i64).into());
    if parent > 0 {
        attributes.insert("parent_span_id".into(), format!("{parent:016x}").into());
    }
    let mut line = object(json!({
        "timestamp": record::Timestamp(BEGIN + (at * 1e6) as i64).to_string(),
        "service": service, "host": format!("host-of-{service}"), "trace_id": TRACE,
        "message": format!("{service} {id}"), "attributes": attributes, "record_seq": id,
    }));
    if id > 0 {
        line.insert("span_id".into(), format!("{id:016x}").into());
    }
    Entry::read(Signal::Spans, line).unwrap()
}

/// A record of `service`, told `at` milliseconds.
fn log(service: &str, at: f64, event: &str, more: Value) -> Entry {
    let mut attributes = object(more);
    let span_id = attributes.remove("span_id").unwrap_or_default();
    let severity = attributes.remove("severity").unwrap_or(json!(9));
    let mut line = object(json!({
        "timestamp": record::Timestamp(BEGIN + (at * 1e6) as i64).to_string(),
        "service": service, "message": format!("{event} of {service}"),
        "severity_number": severity, "attributes": attributes,
        "record_seq": 1_000 + at as u64, "host": format!("host-of-{service}"),
    }));
    if !event.is_empty() {
        line.insert("event_name".into(), event.into());
    }
    if span_id.is_string() {
        line.insert("span_id".into(), span_id);
        line.insert("trace_id".into(), TRACE.into());
    }
    Entry::read(Signal::Logs, line).unwrap()
}

/// Told long after all of it.
fn later() -> Telling {
    telling(3_600_000.0)
}

fn telling(now_ms: f64) -> Telling {
    Telling { now: BEGIN + (now_ms * 1e6) as i64, watermark: None, rows_max: 1_000 }
}

fn story(entries: &[Entry]) -> Story {
    Story::of("c-1", entries, &later())
}

fn trace(entries: &[Entry]) -> Trace {
    Trace::of(TraceId::from_hex(TRACE).unwrap(), entries, 1_000)
}

/// The rows as a tree, for people who read tests.
fn drawn(trace: &Trace) -> Vec<String> {
    let rows = trace.rows.iter().map(|row| match row {
        TraceRow::Span { depth, at_ms, name, note, .. } => {
            let note = note.map_or_else(String::new, |note| format!(" ({note})"));
            format!("{}{name} @{at_ms}{note}", "  ".repeat(*depth))
        }
        TraceRow::Hole { depth, span_id } => format!("{}? {span_id}", "  ".repeat(*depth)),
        TraceRow::Record { depth, message, .. } => format!("{}- {message}", "  ".repeat(*depth)),
        TraceRow::Elided { rows, errors } => format!("… {rows}, {errors} failed"),
    });
    rows.collect()
}

fn messages(story: &Story) -> Vec<&str> {
    story.rows.iter().map(|row| row.message.as_str()).collect()
}
