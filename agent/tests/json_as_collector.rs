//! A JSON line is the same record whether the agent ships it or it is posted to the collector.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod read;

use agent::format::Format;
use proptest::prelude::*;
use read::{NOW, Reading};
use record::{Record, Source};
use serde_json::Value;

fn by_the_agent(line: &str) -> Record {
    let reading = Reading { format: Format::Json, ..Reading::default() };
    let (mut record, done) = reading.read(line.as_bytes()).remove(0);
    assert!(!done.unparsed, "{line}");
    record.source = Source::default();
    record
}

fn by_the_collector(line: &str) -> Record {
    let mut records = Vec::new();
    let limits = wire::Limits::default();
    let sink = &mut |record: &record::RecordRef<'_>| records.push(record.to_record());
    let decoded =
        wire::decode(wire::Format::JsonLines, line.as_bytes(), NOW, &limits, sink).unwrap();
    assert_eq!((records.len(), decoded.rejected_total), (1, 0), "{line}");
    records.remove(0)
}

const KEYS: [&str; 26] = [
    "time",
    "ts",
    "@timestamp",
    "observed_timestamp",
    "message",
    "msg",
    "log",
    "body",
    "level",
    "severity",
    "severity_number",
    "service",
    "service.name",
    "name",
    "host",
    "correlation_id",
    "request_id",
    "baggage",
    "trace_id",
    "traceId",
    "span_id",
    "event_name",
    "a",
    "a.b",
    "b",
    "",
];

/// Inside arrays the agent keeps escapes as they were written; those here are written as the collector writes them.
fn text() -> impl Strategy<Value = String> {
    let known = [
        "2024-01-02T03:04:05.123Z",
        "3000-01-01T00:00:00Z",
        "1700000000.5",
        "20240131",
        "soon",
        "warn",
        "loud",
        "9",
        "correlation_id=x%2Fy",
        "4bf92f3577b34da6a3ce929d0e0e4736",
        "00f067aa0ba902b7",
        "",
        "é \" \\ \n\t\u{1}",
    ];
    prop_oneof![proptest::sample::select(known.to_vec()).prop_map(str::to_owned), r"\PC{0,5}"]
}

fn value() -> impl Strategy<Value = Value> {
    let scalar = prop_oneof![
        4 => text().prop_map(Value::from),
        1 => any::<i64>().prop_map(Value::from),
        1 => any::<u64>().prop_map(Value::from),
        1 => proptest::sample::select(vec![0_i64, 9, 30, 1_700_000_000, 1_700_000_000_000]).prop_map(Value::from),
        1 => proptest::sample::select(vec![0.5, -1.25, 1_700_000_000.25]).prop_map(Value::from),
        1 => any::<bool>().prop_map(Value::from),
        1 => Just(Value::Null),
    ];
    scalar.prop_recursive(3, 20, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            members(inner).prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

fn members(value: impl Strategy<Value = Value>) -> impl Strategy<Value = Vec<(String, Value)>> {
    let key = proptest::sample::select(KEYS.to_vec()).prop_map(str::to_owned);
    proptest::collection::vec((key, value), 0..6)
}

proptest! {
    #[test]
    fn both_ways_give_the_same_record(members in members(value()), spaced in any::<bool>()) {
        // Written by hand, because a line may give a key twice.
        let members: Vec<_> = members
            .iter()
            .map(|(key, value)| {
                let value =
                    if spaced { serde_json::to_string_pretty(value) } else { serde_json::to_string(value) };
                format!("{}: {}", Value::from(key.as_str()), value.unwrap().replace('\n', " "))
            })
            .collect();
        let line = format!("{{{}}}", members.join(", "));
        prop_assert_eq!(by_the_agent(&line), by_the_collector(&line), "{}", line);
    }
}
