//! What the tests of the decoders share: collecting owned records, and arbitrary records in normal form.
#![allow(dead_code)]

use proptest::prelude::*;
use record::{Record, Severity, Signal, Source, SpanId, Timestamp, TraceId, Value, span};
use wire::{DecodeError, Decoded, Format, Limits, OtlpEncoder, OtlpJsonEncoder, decode};

/// When every body of the tests was received.
pub(crate) const RECEIVED_AT: Timestamp = Timestamp(1_800_000_000_000_000_000);

/// Decodes within the default limits.
pub(crate) fn records(format: Format, body: &[u8]) -> Result<(Vec<Record>, Decoded), DecodeError> {
    records_within(format, body, &Limits::default())
}

/// Decodes to owned records, checking what the sink may rely on.
pub(crate) fn records_within(
    format: Format,
    body: &[u8],
    limits: &Limits,
) -> Result<(Vec<Record>, Decoded), DecodeError> {
    let mut records = Vec::new();
    let decoded = decode(format, body, RECEIVED_AT, limits, &mut |record| {
        let owned = record.to_record();
        assert_eq!(owned.attributes.len(), record.attributes.len(), "names are unique");
        for name in owned.attributes.keys() {
            assert!(!name.is_empty(), "names are not empty");
        }
        for text in [
            record.service,
            record.host,
            record.correlation_id,
            record.severity_text,
            record.event_name,
            record.source.agent,
            record.source.path,
        ] {
            assert_ne!(text, Some(""), "absent texts are None");
        }
        assert!(record.correlation_id.is_none_or(|id| id.len() <= 256));
        records.push(owned);
    })?;
    assert_eq!(decoded.accepted as usize, records.len());
    assert!(decoded.rejected.len() as u64 <= u64::from(decoded.rejected_total));
    Ok((records, decoded))
}

/// The records in both encodings of OTLP.
pub(crate) fn encoded(signal: Signal, records: &[Record]) -> (Vec<u8>, Vec<u8>) {
    let (mut protobuf, mut json) = (OtlpEncoder::of(signal), OtlpJsonEncoder::of(signal));
    for record in records {
        record.with_ref(|record| {
            protobuf.push(record);
            json.push(record);
        });
    }
    assert_eq!((protobuf.records(), json.records()), (records.len(), records.len()));
    let sizes = (protobuf.len(), json.len());
    let (protobuf, json) = (protobuf.finish(), json.finish());
    assert!(protobuf.len() <= sizes.0 && json.len() <= sizes.1, "len() is no underestimate");
    (protobuf, json.into_bytes())
}

/// One line per record, stable, for golden comparison: only what is set.
pub(crate) fn show(record: &Record) -> String {
    let mut parts = Vec::new();
    let mut text = |name: &str, value: Option<String>| {
        if let Some(value) = value {
            parts.push(format!("{name}={value}"));
        }
    };
    let own = |value: &Option<String>| value.as_ref().map(|value| format!("{value:?}"));
    if record.timestamp != RECEIVED_AT {
        text("time", Some(record.timestamp.to_string()));
    }
    if record.observed_timestamp != RECEIVED_AT {
        text("observed", Some(record.observed_timestamp.to_string()));
    }
    if record.severity != Severity::UNSPECIFIED {
        text("severity", Some(record.severity.number().to_string()));
    }
    text("severity_text", own(&record.severity_text));
    text("service", own(&record.service));
    text("host", own(&record.host));
    text("correlation", own(&record.correlation_id));
    text("trace", record.trace_id.map(|id| id.to_string()));
    text("span", record.span_id.map(|id| id.to_string()));
    text("event", own(&record.event_name));
    text("agent", own(&record.source.agent));
    text("path", own(&record.source.path));
    text("offset", record.source.offset.map(|offset| offset.to_string()));
    if !record.message.is_empty() {
        text("message", Some(format!("{:?}", record.message)));
    }
    for (name, value) in &record.attributes {
        let value = match value {
            Value::String(text) => format!("{text:?}"),
            Value::I64(number) => format!("{number}"),
            Value::F64(number) => format!("{number:?}"),
            Value::Bool(flag) => format!("{flag}"),
        };
        parts.push(format!("[{name}]={value}"));
    }
    parts.join(" ")
}

fn attribute_name() -> impl Strategy<Value = String> {
    const NASTY: &[&str] = &[
        "service.name",
        "host.name",
        "service",
        "correlation_id",
        "x-request-id",
        "baggage",
        "level",
        "severity_number",
        "trace_id",
        "span_id",
        "message",
        "event.name",
        "scope.name",
        "resource.service.name",
        "logq.source.agent",
        "logq.source.path",
        "logq.source.offset",
        "logq.timestamp",
        "logq.observed_timestamp",
        "logq.timestamp_text",
        "logq.attribute.",
        "logq.attribute.correlation_id",
        "logq.attribute.logq.attribute.x",
        "logq.original_bytes",
        "a.b",
        "a",
        "a#2",
        "_",
        "Größe",
        "quote\"d\\\n",
        "attribute.kind",
        "logq.attribute.kind",
        "end_time_unix_nano",
    ];
    prop_oneof![
        3 => proptest::sample::select(NASTY).prop_map(str::to_owned),
        2 => "[a-z_.#]{1,12}",
        1 => "\\PC{1,20}",
    ]
}

fn value() -> impl Strategy<Value = Value> {
    prop_oneof![
        3 => any::<String>().prop_map(Value::String),
        1 => Just(Value::String("[1,{\"a\":null}]".into())),
        1 => Just(Value::String("x".repeat(300))),
        2 => any::<i64>().prop_map(Value::I64),
        1 => prop_oneof![Just(i64::MIN), Just(i64::MAX), Just(0)].prop_map(Value::I64),
        2 => any::<f64>().prop_filter("finite", |number| number.is_finite()).prop_map(Value::F64),
        1 => prop_oneof![Just(0.0), Just(-0.0), Just(1.0), Just(1e300), Just(5e-324)].prop_map(Value::F64),
        1 => any::<bool>().prop_map(Value::Bool),
    ]
}

fn word(bytes_max: usize) -> impl Strategy<Value = Option<String>> {
    proptest::option::of(prop_oneof!["\\PC{1,20}", "[a-z]{1,5}", Just("logq".to_owned())])
        .prop_map(move |text| text.filter(|text| text.len() <= bytes_max))
}

fn time() -> impl Strategy<Value = Timestamp> {
    prop_oneof![
        3 => (1_i64..i64::MAX).prop_map(Timestamp),
        1 => any::<i64>().prop_map(Timestamp),
        1 => prop_oneof![Just(0), Just(-1), Just(i64::MIN), Just(i64::MAX)].prop_map(Timestamp),
    ]
}

/// Every record that a decoder could make.
pub(crate) fn record() -> impl Strategy<Value = Record> {
    let ids = (
        proptest::option::of(any::<[u8; 16]>()),
        proptest::option::of(any::<[u8; 8]>()),
        prop_oneof![word(256), Just(Some("c".repeat(256))), Just(Some("42".to_owned()))],
    );
    let source = (word(1_000), word(1_000), proptest::option::of(any::<u64>()));
    let texts = (word(99), word(99), word(99), word(99), any::<String>());
    let attributes = proptest::collection::btree_map(attribute_name(), value(), 0..12);
    (time(), time(), 0_i64..=24, ids, source, texts, attributes).prop_map(
        |(timestamp, observed_timestamp, severity, ids, source, texts, attributes)| Record {
            timestamp,
            observed_timestamp,
            severity: Severity::from_number(severity).unwrap(),
            severity_text: texts.0,
            service: texts.1,
            host: texts.2,
            correlation_id: ids.2,
            trace_id: ids.0.and_then(TraceId::from_bytes),
            span_id: ids.1.and_then(SpanId::from_bytes),
            message: texts.4,
            event_name: texts.3,
            attributes,
            source: Source { agent: source.0, path: source.1, offset: source.2 },
        },
    )
}

/// The JSON text of a list of events or links: such as decoders write, such as they would write otherwise, and none.
fn list(head: impl Strategy<Value = String>) -> impl Strategy<Value = String> {
    let value = prop_oneof![
        any::<i64>().prop_map(|number| number.to_string()),
        "[a-z\\n\"é]{0,4}".prop_map(|text| serde_json::to_string(&text).unwrap()),
        proptest::sample::select(
            &["null", "true", "0.5", "-0.0", "1e300", "18446744073709551615"][..]
        )
        .prop_map(str::to_owned),
        proptest::sample::select(&["[]", "{}", "[1,[null]]", r#"{"a":{"":[{"b":""}]}}"#, " 1"][..])
            .prop_map(str::to_owned),
    ];
    let members = proptest::collection::vec(("[a-z.]{0,3}", value), 0..3).prop_map(|members| {
        let members: Vec<_> =
            members.iter().map(|(name, value)| format!("\"{name}\":{value}")).collect();
        members.join(",")
    });
    let dropped = prop_oneof![4 => Just(""), 1 => Just(",\"dropped_attributes_count\":3")];
    let element = (head, members, dropped).prop_map(|(head, members, dropped)| {
        format!("{{{head},\"attributes\":{{{members}}}{dropped}}}")
    });
    prop_oneof![
        6 => proptest::collection::vec(element, 1..3)
            .prop_map(|elements| format!("[{}]", elements.join(","))),
        1 => proptest::sample::select(&["[]", "{}", "[1]", "[{}]", "", "x"][..])
            .prop_map(str::to_owned),
        1 => Just(format!("[{{\"time\":1,\"name\":\"\",\"attributes\":{{\"a\":{}{}}}}}]", "[".repeat(90), "]".repeat(90))),
    ]
}

/// Every span that a decoder could make, and some odd ones.
pub(crate) fn span() -> impl Strategy<Value = Record> {
    let text = || proptest::option::of("\\PC{1,20}");
    let fields = (
        proptest::option::of(any::<[u8; 8]>()),
        proptest::option::of(prop_oneof![any::<i64>(), 0..1_000_000_000_i64, Just(-1)]),
        proptest::option::of(proptest::sample::select(&span::KINDS[..])),
        proptest::sample::select(&span::STATUSES[..]),
        text(),
        text(),
        proptest::option::of(list("\"time\":[0-9]{1,19},\"name\":\"[a-z]{0,5}\"")),
        proptest::option::of(list(
            "\"trace_id\":\"([0-9a-f]{32})?\",\"span_id\":\"([0-9a-fA]{16})?\",\"trace_state\":\"(a=b)?\"",
        )),
    );
    (record(), fields).prop_map(|(mut record, fields)| {
        record.severity = Severity::UNSPECIFIED;
        (record.severity_text, record.event_name) = (None, None);
        let string = |text: &str| Value::String(text.to_owned());
        let parent = fields.0.and_then(SpanId::from_bytes).map(|id| Value::String(id.to_string()));
        let values = [
            parent,
            fields.1.map(Value::I64),
            fields.2.map(string),
            Some(string(fields.3)),
            fields.4.map(Value::String),
            fields.5.map(Value::String),
            fields.6.map(Value::String),
            fields.7.map(Value::String),
        ];
        for (name, value) in span::NAMES.into_iter().zip(values) {
            if let Some(value) = value {
                record.attributes.insert(name.to_owned(), value);
            }
        }
        record
    })
}
