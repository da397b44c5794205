//! Mutated bodies of every format and every compression: no panic, no hang, bounded memory; and what is taken is a
//! record like any other, which comes back from OTLP as it is.
// The lint knows test functions only, not what they share.
#![allow(clippy::unwrap_used)]

mod support;

use std::borrow::Cow;

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{
    AnyValue, ArrayValue, InstrumentationScope, KeyValue, KeyValueList, any_value::Value,
};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::{Event, Link};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status};
use prost::Message;
use record::Signal;
use support::{encoded, records, records_within};
use wire::{DecodeError, Encoding, Format, Limits, compress, decompress};

/// What the collector may unpack in this test.
const UNPACKED_BYTES_MAX: usize = 64 << 10;

const JSON: [&[u8]; 34] = [
    b"{",
    b"}",
    b"[",
    b"]",
    b":",
    b",",
    b"null",
    b"true",
    b"false",
    b"\"\"",
    b"{}",
    b"[]",
    b"\n",
    b"\\",
    b"\"",
    b"\"a\":1",
    b"\"a\":{\"b\":2},",
    b"\"message\":",
    b"\"level\":",
    b"\"time\":",
    b"\"trace_id\":",
    b"\"correlation_id\":",
    b"\"service\":",
    b"\"logq.source.offset\":",
    b"\"logq.attribute.a\":1,",
    b"\"\":",
    b"\"baggage\":\"correlation_id=%FF\"",
    b"\"a.b\":1,",
    b"\"a#2\":1,",
    b"2026-01-02T03:04:05Z",
    b"NaN",
    b"1e400",
    b"/*",
    b"\xef\xbb\xbf",
];
const OTLP_JSON: [&[u8]; 30] = [
    b"{",
    b"}",
    b"[",
    b"]",
    b":",
    b",",
    b"null",
    b"\"resourceLogs\":[",
    b"\"resource_logs\":[",
    b"\"scopeLogs\":[",
    b"\"logRecords\":[",
    b"\"resource\":{",
    b"\"scope\":{",
    b"\"attributes\":[",
    b"\"key\":\"a\"",
    b"\"value\":",
    b"{\"stringValue\":\"x\"}",
    b"{\"intValue\":\"7\"}",
    b"{\"intValue\":7}",
    b"{\"doubleValue\":\"NaN\"}",
    b"{\"boolValue\":true}",
    b"{\"bytesValue\":\"/wA=\"}",
    b"{\"arrayValue\":{\"values\":[",
    b"{\"kvlistValue\":{\"values\":[",
    b"\"timeUnixNano\":",
    b"\"observedTimeUnixNano\":",
    b"\"severityNumber\":",
    b"\"body\":",
    b"\"traceId\":\"zz\"",
    b"\"eventName\":",
];
const SPANS_JSON: [&[u8]; 22] = [
    b"{",
    b"}",
    b"[",
    b"]",
    b":",
    b",",
    b"null",
    b"\"resourceSpans\":[",
    b"\"scopeSpans\":[",
    b"\"spans\":[",
    b"\"attributes\":[",
    b"{\"key\":\"logq.attribute.events\",\"value\":{\"stringValue\":\"[]\"}}",
    b"{\"doubleValue\":\"NaN\"}",
    b"{\"arrayValue\":{\"values\":[",
    b"\"startTimeUnixNano\":",
    b"\"endTimeUnixNano\":",
    b"\"events\":[{",
    b"\"links\":[{",
    b"\"kind\":",
    b"\"status\":{\"code\":2},",
    b"\"parentSpanId\":\"zz\"",
    b"18446744073709551615",
];
const ZIPKIN: [&[u8]; 14] = [
    b"{",
    b"}",
    b"[",
    b"]",
    b",",
    b"null",
    b"\"tags\":{",
    b"\"annotations\":[{",
    b"\"timestamp\":",
    b"\"duration\":",
    b"\"id\":\"zz\"",
    b"\"kind\":\"CLIENT\"",
    b"\"remoteEndpoint\":{",
    b"9223372036854775807",
];
/// Tags of OTLP's fields, with lengths that fit or do not.
const PROTOBUF: [&[u8]; 18] = [
    b"\x0a\x00",
    b"\x12\x00",
    b"\x1a\x00",
    b"\x22\x00",
    b"\x2a\x00",
    b"\x32\x00",
    b"\x0a\x02\x08\x01",
    b"\x2a\x03\x0a\x01x",
    b"\x09\xff\xff\xff\xff\xff\xff\xff\xff",
    b"\x59\x01\x00\x00\x00\x00\x00\x00\x80",
    b"\x10\x09",
    b"\x0b",
    b"\x0c",
    b"\x0d",
    b"\x0a\xff\xff\xff\xff\x0f",
    b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
    b"service.name",
    b"\x32\x07\x0a\x01a\x12\x02\x10\x01",
];

fn value(value: Value) -> Option<AnyValue> {
    Some(AnyValue { value: Some(value) })
}

fn attribute(key: &str, of: Value) -> KeyValue {
    KeyValue { key: key.into(), value: value(of), ..Default::default() }
}

fn text(text: &str) -> Value {
    Value::StringValue(text.into())
}

/// A request with every kind of value, as a foreign sender makes it.
fn foreign() -> Vec<u8> {
    let nested = Value::KvlistValue(KeyValueList {
        values: vec![
            attribute("k", Value::DoubleValue(0.5)),
            attribute(
                "l",
                Value::ArrayValue(ArrayValue {
                    values: vec![AnyValue { value: Some(text("x")) }, AnyValue { value: None }],
                }),
            ),
        ],
    });
    let full = LogRecord {
        time_unix_nano: 1_700_000_000_000_000_000,
        observed_time_unix_nano: 1_700_000_001_000_000_000,
        severity_number: 17,
        severity_text: "ERROR".into(),
        body: value(text("card declined")),
        trace_id: (1..17).collect(),
        span_id: (1..9).collect(),
        event_name: "declined".into(),
        flags: 1,
        attributes: vec![
            attribute("correlation_id", text("ord-1")),
            attribute("nested", nested.clone()),
            attribute("bytes", Value::BytesValue(vec![0, 255])),
            attribute("count", Value::IntValue(-3)),
            attribute("ok", Value::BoolValue(true)),
        ],
        ..Default::default()
    };
    let other = LogRecord { body: value(nested), severity_number: 9, ..Default::default() };
    let scope = InstrumentationScope {
        name: "lib".into(),
        version: "2".into(),
        attributes: vec![attribute("count", Value::IntValue(4))],
        ..Default::default()
    };
    let scope_logs =
        ScopeLogs { scope: Some(scope), log_records: vec![full, other], ..Default::default() };
    let resource = Resource {
        attributes: vec![
            attribute("service.name", text("shop")),
            attribute("host.name", text("n1")),
        ],
        ..Default::default()
    };
    let resource_logs = ResourceLogs {
        resource: Some(resource),
        scope_logs: vec![scope_logs],
        ..Default::default()
    };
    ExportLogsServiceRequest { resource_logs: vec![resource_logs.clone(), resource_logs] }
        .encode_to_vec()
}

/// Spans with every field, as a foreign sender makes them.
fn foreign_spans() -> Vec<u8> {
    let event = Event {
        time_unix_nano: 7,
        name: "exception".into(),
        attributes: vec![attribute("n", Value::DoubleValue(0.5)), attribute("t", text("x"))],
        dropped_attributes_count: 2,
    };
    let link = Link {
        trace_id: (3..19).collect(),
        span_id: (3..11).collect(),
        trace_state: "c=d".into(),
        attributes: vec![attribute("k", Value::IntValue(-1))],
        ..Default::default()
    };
    let span = Span {
        trace_id: (1..17).collect(),
        span_id: (1..9).collect(),
        trace_state: "a=b".into(),
        parent_span_id: (2..10).collect(),
        name: "POST /pay".into(),
        kind: 2,
        start_time_unix_nano: 1_700_000_000_000_000_000,
        end_time_unix_nano: 1_700_000_000_250_000_000,
        attributes: vec![attribute("correlation_id", text("ord-1"))],
        events: vec![event.clone(), event],
        links: vec![link],
        status: Some(Status { message: "declined".into(), code: 2 }),
        ..Default::default()
    };
    let scope_spans =
        ScopeSpans { spans: vec![span.clone(), Span::default(), span], ..Default::default() };
    let resource = Resource {
        attributes: vec![attribute("service.name", text("shop"))],
        ..Default::default()
    };
    let resource_spans = ResourceSpans {
        resource: Some(resource),
        scope_spans: vec![scope_spans],
        ..Default::default()
    };
    ExportTraceServiceRequest { resource_spans: vec![resource_spans] }.encode_to_vec()
}

/// The same spans as our own encoders write them.
fn our_spans() -> (Vec<u8>, Vec<u8>) {
    let (spans, _) = records(Format::OtlpTracesProtobuf, &foreign_spans()).unwrap();
    encoded(Signal::Spans, &spans)
}

fn otlp_json() -> Vec<Vec<u8>> {
    let by_hand = br#"{"resourceLogs":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"mail"}}]},"scopeLogs":[{"scope":{"name":"lib"},"logRecords":[{"timeUnixNano":"1700000000000000000","observedTimeUnixNano":1700000001000000000,"severityNumber":"SEVERITY_NUMBER_INFO","severityText":"info","traceId":"4bf92f3577b34da6a3ce929d0e0e4736","spanId":"00f067aa0ba902b7","body":{"kvlistValue":{"values":[{"key":"a","value":{"arrayValue":{"values":[{"intValue":"7"},{"boolValue":false},null]}}}]}},"attributes":[{"key":"correlation_id","value":{"stringValue":"c-1"}},{"key":"d","value":{"doubleValue":0.25}},{"key":"b","value":{"bytesValue":"/wA="}}]},{"severityNumber":9,"body":{"stringValue":"sent"}}]}]}]}"#;
    vec![by_hand.to_vec(), ours().1, b"{}".to_vec()]
}

/// The same records as our own encoders write them.
fn ours() -> (Vec<u8>, Vec<u8>) {
    encoded(Signal::Logs, &records(Format::OtlpProtobuf, &foreign()).unwrap().0)
}

fn json_lines() -> Vec<Vec<u8>> {
    [
        r#"{"ts":"2026-11-02T09:00:00.041Z","level":"info","app":"orders","request_id":"c-1","msg":"paid","duration_ms":35,"ok":true,"none":null}
{"timestamp":1700000000,"severity":17,"service":{"name":"s"},"trace_id":"4bf92f3577b34da6a3ce929d0e0e4736","span_id":"00f067aa0ba902b7","message":"Größe \u00e9\n","tags":["a",{"b":1.5e3}],"http":{"status":500,"request":{"path":"/x"}}}
"#,
        r#"[{"msg":"one","n":1},{"msg":"two","n":-2.5},{"a":{"a":{"a":{"a":{}}}}}]"#,
        "{\n  \"message\": \"over lines\",\n  \"logq.source.agent\": \"a\",\n  \"logq.source.offset\": 7\n}\n",
    ]
    .map(|text| text.as_bytes().to_vec())
    .into()
}

/// Decodes within the usual limits and within tight ones. What is taken is the same after both forms of OTLP.
fn is_taken(format: Format, body: &[u8]) -> bool {
    let tight = Limits {
        record_bytes_max: 300,
        flattened_bytes_max: 200,
        depth_max: 2,
        rejected_listed_max: 1,
        ..Limits::default()
    };
    let _ = records_within(format, body, &tight);
    let Ok((read, _)) = records(format, body) else { return false };
    let signal = format.signal();
    let (protobuf, json) = encoded(signal, &read);
    for (format, body) in
        [(Format::otlp_protobuf(signal), protobuf), (Format::otlp_json(signal), json)]
    {
        let (again, decoded) = records(format, &body).unwrap();
        assert_eq!(again, read, "after {format:?}");
        assert_eq!((decoded.rejected_total, decoded.timestamps_replaced), (0, 0));
    }
    true
}

#[test]
fn mutated_json_lines_are_taken_or_refused() {
    mutation::run("JSON lines", &json_lines(), &JSON, |body| is_taken(Format::JsonLines, body));
}

#[test]
fn mutated_otlp_json_is_taken_or_refused() {
    mutation::run("OTLP JSON", &otlp_json(), &OTLP_JSON, |body| is_taken(Format::OtlpJson, body));
}

#[test]
fn mutated_otlp_protobuf_is_taken_or_refused() {
    let seeds = [foreign(), ours().0];
    mutation::run_framed("OTLP protobuf", &seeds, &PROTOBUF, |body| {
        is_taken(Format::OtlpProtobuf, body)
    });
}

#[test]
fn mutated_spans_in_protobuf_are_taken_or_refused() {
    let seeds = [foreign_spans(), our_spans().0];
    mutation::run_framed("OTLP protobuf of spans", &seeds, &PROTOBUF, |body| {
        is_taken(Format::OtlpTracesProtobuf, body)
    });
}

#[test]
fn mutated_spans_in_json_are_taken_or_refused() {
    let by_hand = br#"{"resourceSpans":[{"scopeSpans":[{"scope":{"name":"logq","version":"1"},"spans":[{"traceId":"S/kvNXezTaajzpKdDg5HNg==","spanId":"00f067aa0ba902b7","kind":"SPAN_KIND_CLIENT","startTimeUnixNano":1700000000000000000,"endTimeUnixNano":"1","attributes":[{"key":"logq.attribute.status","value":{"intValue":"7"}},{"key":"kind","value":{"boolValue":true}}]}]}]}]}"#;
    let seeds = [by_hand.to_vec(), our_spans().1, b"{}".to_vec()];
    mutation::run("OTLP JSON of spans", &seeds, &SPANS_JSON, |body| {
        is_taken(Format::OtlpTracesJson, body)
    });
}

#[test]
fn mutated_zipkin_spans_are_taken_or_refused() {
    let seed = br#"[{"traceId":"4bf92f3577b34da6","id":"00f067aa0ba902b7","parentId":"1","name":"get","kind":"SERVER","timestamp":1700000000000000,"duration":250,"localEndpoint":{"serviceName":"shop","ipv4":"10.0.0.1","port":8080},"remoteEndpoint":{"serviceName":"web","ipv6":"::1"},"annotations":[{"timestamp":1,"value":"ws"}],"tags":{"error":"timeout","a":"b","logq.source.offset":"7"},"debug":true},{}]"#;
    let seeds = [seed.to_vec(), b"[]".to_vec()];
    mutation::run("Zipkin JSON", &seeds, &ZIPKIN, |body| is_taken(Format::ZipkinJson, body));
}

#[test]
fn mutated_compressed_bodies_are_unpacked_within_the_limit() {
    let limits = Limits { decoded_bytes_max: UNPACKED_BYTES_MAX, ..Limits::default() };
    let bomb = vec![0; 16 * UNPACKED_BYTES_MAX];
    for encoding in [Encoding::Gzip, Encoding::Zstd, Encoding::Deflate] {
        let body = compress(encoding, &bomb);
        let refused = decompress(encoding, &body, &limits);
        assert!(matches!(refused, Err(DecodeError::BodyTooLarge { .. })), "{encoding}");
        let mut seeds: Vec<_> = json_lines().iter().map(|body| compress(encoding, body)).collect();
        let (first, second) = (seeds[0].clone(), seeds[1].clone());
        seeds.push([first, second].concat());
        seeds.push(body);
        let magics: [&[u8]; 5] = [
            b"\x1f\x8b\x08\x1f",
            b"\x28\xb5\x2f\xfd",
            b"\x50\x2a\x4d\x18\x08\0\0\0",
            b"\x78\x9c",
            b"\x78\xbb",
        ];
        mutation::run(encoding.name(), &seeds, &magics, |body| {
            match decompress(encoding, body, &limits) {
                Ok(unpacked) => {
                    assert!(unpacked.len() <= UNPACKED_BYTES_MAX);
                    assert!(matches!(unpacked, Cow::Owned(_)));
                    let again = compress(encoding, &unpacked);
                    assert_eq!(decompress(encoding, &again, &limits).unwrap(), unpacked);
                    true
                }
                Err(DecodeError::BodyTooLarge { .. } | DecodeError::Compression { .. }) => false,
                Err(other) => panic!("{other}"),
            }
        });
    }
}
