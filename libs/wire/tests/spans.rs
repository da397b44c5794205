//! What spans of foreign senders mean, in both encodings of OTLP, and that others read ours.
// The lint knows test functions only, not what they share.
#![allow(clippy::unwrap_used)]

mod support;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{
    AnyValue, ArrayValue, InstrumentationScope, KeyValue, KeyValueList, any_value::Value,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::{Event, Link};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status};
use prost::Message;
use record::Signal;
use support::{encoded, records, show};
use wire::{Format, RejectReason};

fn text(text: &str) -> Value {
    Value::StringValue(text.into())
}

fn attribute(key: &str, value: Value) -> KeyValue {
    KeyValue { key: key.into(), value: Some(AnyValue { value: Some(value) }), ..Default::default() }
}

fn request(resource: Vec<KeyValue>, scope: Vec<KeyValue>, spans: Vec<Span>) -> Vec<u8> {
    let scope = InstrumentationScope { attributes: scope, ..Default::default() };
    let scope_spans = ScopeSpans { scope: Some(scope), spans, ..Default::default() };
    let resource = Resource { attributes: resource, ..Default::default() };
    let resource_spans = ResourceSpans {
        resource: Some(resource),
        scope_spans: vec![scope_spans],
        ..Default::default()
    };
    ExportTraceServiceRequest { resource_spans: vec![resource_spans] }.encode_to_vec()
}

fn one(span: Span) -> String {
    show(&records(Format::OtlpTracesProtobuf, &request(vec![], vec![], vec![span])).unwrap().0[0])
}

fn json(span: &str) -> String {
    let body = format!(r#"{{"resourceSpans":[{{"scopeSpans":[{{"spans":[{span}]}}]}}]}}"#);
    show(&records(Format::OtlpTracesJson, body.as_bytes()).unwrap().0[0])
}

/// A span with something in each field.
fn full() -> Span {
    let nested = Value::KvlistValue(KeyValueList {
        values: vec![
            attribute("a", Value::ArrayValue(ArrayValue { values: vec![AnyValue::default()] })),
            attribute("", Value::DoubleValue(0.5)),
        ],
    });
    Span {
        trace_id: (1..17).collect(),
        span_id: (1..9).collect(),
        trace_state: "a=b".into(),
        parent_span_id: (2..10).collect(),
        name: "POST /pay".into(),
        kind: 2,
        start_time_unix_nano: 1_700_000_000_000_000_000,
        end_time_unix_nano: 1_700_000_000_250_000_000,
        attributes: vec![
            attribute("correlation_id", text("ord-1")),
            attribute("http.status", Value::IntValue(500)),
        ],
        dropped_attributes_count: 1,
        events: vec![
            Event {
                time_unix_nano: 1_700_000_000_100_000_000,
                name: "exception".into(),
                attributes: vec![
                    attribute("exception.message", text("card \"declined\"")),
                    attribute("nested", nested),
                    attribute("bytes", Value::BytesValue(vec![255, 0])),
                ],
                dropped_attributes_count: 2,
            },
            Event::default(),
        ],
        dropped_events_count: 3,
        links: vec![Link {
            trace_id: (3..19).collect(),
            span_id: (3..11).collect(),
            trace_state: "c=d".into(),
            attributes: vec![attribute("k", Value::IntValue(-1))],
            dropped_attributes_count: 0,
            flags: 1,
        }],
        dropped_links_count: 4,
        status: Some(Status { message: "declined".into(), code: 2 }),
        flags: 1,
    }
}

const FULL: &str = concat!(
    r#"time=2023-11-14T22:13:20Z service="shop" host="n1" correlation="ord-1" "#,
    r#"trace=0102030405060708090a0b0c0d0e0f10 span=0102030405060708 message="POST /pay" "#,
    r#"[duration]=250000000 "#,
    r#"[events]="[{\"time\":1700000000100000000,\"name\":\"exception\",\"attributes\":"#,
    r#"{\"exception.message\":\"card \\\"declined\\\"\",\"nested\":{\"a\":[null],\"\":0.5},\"bytes\":\"/wA=\"},"#,
    r#"\"dropped_attributes_count\":2},{\"time\":0,\"name\":\"\",\"attributes\":{}}]" "#,
    r#"[http.status]=500 [kind]="server" "#,
    r#"[links]="[{\"trace_id\":\"030405060708090a0b0c0d0e0f101112\",\"span_id\":\"030405060708090a\","#,
    r#"\"trace_state\":\"c=d\",\"attributes\":{\"k\":-1}}]" "#,
    r#"[otel.dropped_attributes_count]=1 [otel.dropped_events_count]=3 [otel.dropped_links_count]=4 "#,
    r#"[parent_span_id]="0203040506070809" [status]="error" [status_message]="declined" [trace_state]="a=b""#,
);

fn full_request() -> Vec<u8> {
    let resource =
        vec![attribute("service.name", text("shop")), attribute("host.name", text("n1"))];
    request(resource, vec![], vec![full()])
}

#[test]
fn every_field_of_a_span_is_kept() {
    let (all, _) = records(Format::OtlpTracesProtobuf, &full_request()).unwrap();
    assert_eq!(show(&all[0]), FULL);
    let body = r#"{"resourceSpans":[{"scopeSpans":[{"spans":[{
        "status":{"code":"STATUS_CODE_ERROR","message":"declined"},
        "links":[{"traceId":"AwQFBgcICQoLDA0ODxAREg==","spanId":"030405060708090A","traceState":"c=d","attributes":[{"key":"k","value":{"intValue":-1}}]}],
        "events":[{"timeUnixNano":"1700000000100000000","name":"exception","droppedAttributesCount":2,"attributes":[
            {"key":"exception.message","value":{"stringValue":"card \"declined\""}},
            {"key":"nested","value":{"kvlistValue":{"values":[{"key":"a","value":{"arrayValue":{"values":[{}]}}},{"key":"","value":{"doubleValue":0.5}}]}}},
            {"key":"bytes","value":{"bytesValue":"/wA="}}]},{}],
        "attributes":[{"key":"correlation_id","value":{"stringValue":"ord-1"}},{"key":"http.status","value":{"intValue":"500"}}],
        "traceId":"0102030405060708090A0B0C0D0E0F10","spanId":"AQIDBAUGBwg=","parentSpanId":"0203040506070809","traceState":"a=b",
        "name":"POST /pay","kind":"SPAN_KIND_SERVER","startTimeUnixNano":1700000000000000000,"endTimeUnixNano":"1700000000250000000",
        "droppedAttributesCount":1,"droppedEventsCount":"3","droppedLinksCount":4,"flags":257,"unknown":[]}]}],
        "resource":{"attributes":[{"key":"service.name","value":{"stringValue":"shop"}},{"key":"host.name","value":{"stringValue":"n1"}}]}}]}"#;
    let (all, _) = records(Format::OtlpTracesJson, body.as_bytes()).unwrap();
    assert_eq!(show(&all[0]), FULL);
}

#[test]
fn others_read_the_same_span_from_what_we_write() {
    let (all, _) = records(Format::OtlpTracesProtobuf, &full_request()).unwrap();
    let (protobuf, _) = encoded(Signal::Spans, &all);
    let request = ExportTraceServiceRequest::decode(&*protobuf).unwrap();
    let mut read = request.resource_spans[0].scope_spans[0].spans[0].clone();
    let mut expected = full();
    // Bytes are kept as base64 text, flags are not kept, and counts and the observed time are attributes.
    expected.events[0].attributes[2] = attribute("bytes", text("/wA="));
    expected.flags = 0;
    expected.links[0].flags = 0;
    expected.dropped_attributes_count = 0;
    expected.dropped_events_count = 0;
    expected.dropped_links_count = 0;
    let names: Vec<_> = read.attributes.iter().map(|attribute| attribute.key.clone()).collect();
    assert_eq!(
        names,
        [
            "logq.observed_timestamp",
            "correlation_id",
            "http.status",
            "otel.dropped_attributes_count",
            "otel.dropped_events_count",
            "otel.dropped_links_count"
        ]
    );
    read.attributes = expected.attributes.clone();
    assert_eq!(read, expected);
}

#[test]
fn a_senders_attribute_does_not_pass_for_a_field() {
    let own = |name: &str| attribute(name, text("mine"));
    let span = Span {
        attributes: vec![own("kind"), own("duration"), own("level"), own("event.name")],
        ..Default::default()
    };
    let body = request(vec![own("status"), own("links")], vec![own("events")], vec![span]);
    let (all, _) = records(Format::OtlpTracesProtobuf, &body).unwrap();
    assert_eq!(
        show(&all[0]),
        "[attribute.duration]=\"mine\" [attribute.events]=\"mine\" [attribute.kind]=\"mine\" \
         [attribute.links]=\"mine\" [attribute.status]=\"mine\" [event.name]=\"mine\" [level]=\"mine\" \
         [status]=\"unset\""
    );
}

#[test]
fn times_that_are_missing_or_odd_lose_nothing() {
    let times = |start, end| Span {
        start_time_unix_nano: start,
        end_time_unix_nano: end,
        ..Default::default()
    };
    let at = 1_700_000_000_000_000_000;
    for (span, expected) in [
        (times(at, at), "time=2023-11-14T22:13:20Z [duration]=0 [status]=\"unset\""),
        (times(at, at - 5), "time=2023-11-14T22:13:20Z [duration]=-5 [status]=\"unset\""),
        (times(at, 0), "time=2023-11-14T22:13:20Z [status]=\"unset\""),
        (times(0, 7), "[end_time_unix_nano]=7 [status]=\"unset\""),
        (times(0, 0), "[status]=\"unset\""),
        (
            times(u64::MAX, u64::MAX),
            "[end_time_unix_nano]=\"18446744073709551615\" \
             [logq.timestamp_text]=\"18446744073709551615\" [status]=\"unset\"",
        ),
    ] {
        assert_eq!(one(span), expected);
    }
    assert_eq!(
        json(r#"{"startTimeUnixNano":"soon","endTimeUnixNano":{},"name":null}"#),
        "[logq.timestamp_text]=\"soon\" [status]=\"unset\""
    );
}

#[test]
fn ids_that_are_none_do_not_keep_a_span_out() {
    let ids = |trace: Vec<u8>, span: Vec<u8>, parent: Vec<u8>| Span {
        trace_id: trace,
        span_id: span,
        parent_span_id: parent,
        ..Default::default()
    };
    assert_eq!(one(ids(vec![0; 16], vec![0; 8], vec![0; 8])), "[status]=\"unset\"");
    assert_eq!(
        one(ids(vec![1, 2], vec![3], vec![4; 16])),
        "[attribute.parent_span_id]=\"04040404040404040404040404040404\" [span_id]=\"03\" \
         [status]=\"unset\" [trace_id]=\"0102\""
    );
    // Its own parent.
    assert_eq!(
        one(ids(vec![], vec![9; 8], vec![9; 8])),
        "span=0909090909090909 [parent_span_id]=\"0909090909090909\" [status]=\"unset\""
    );
    assert_eq!(
        json(
            r#"{"traceId":"00000000000000000000000000000000","spanId":"xyz","parentSpanId":"12"}"#
        ),
        "[attribute.parent_span_id]=\"12\" [span_id]=\"xyz\" [status]=\"unset\""
    );
}

#[test]
fn kinds_and_statuses_are_numbers_or_names() {
    for (kind, expected) in [
        ("0", ""),
        ("1", "[kind]=\"internal\" "),
        ("5", "[kind]=\"consumer\" "),
        ("\"3\"", "[kind]=\"client\" "),
        ("\"SPAN_KIND_PRODUCER\"", "[kind]=\"producer\" "),
        ("\"SPAN_KIND_UNSPECIFIED\"", ""),
        ("\"Server\"", "[kind]=\"server\" "),
        ("6", "[attribute.kind]=6 "),
        ("-1", "[attribute.kind]=-1 "),
        ("\"mine\"", "[attribute.kind]=\"mine\" "),
        ("null", ""),
        ("[1]", ""),
    ] {
        assert_eq!(json(&format!("{{\"kind\":{kind}}}")), format!("{expected}[status]=\"unset\""));
    }
    for (status, expected) in [
        ("{}", "[status]=\"unset\""),
        ("null", "[status]=\"unset\""),
        ("{\"code\":1}", "[status]=\"ok\""),
        ("{\"code\":\"STATUS_CODE_ERROR\"}", "[status]=\"error\""),
        (
            "{\"code\":9,\"message\":\"m\"}",
            "[attribute.status]=9 [status]=\"unset\" [status_message]=\"m\"",
        ),
    ] {
        assert_eq!(json(&format!("{{\"status\":{status}}}")), expected);
    }
    let odd = Span { kind: 77, status: Some(Status { code: 7, ..Default::default() }), ..full() };
    let shown = one(odd);
    assert!(shown.contains("[attribute.kind]=77 [attribute.status]=7 "), "{shown}");
}

#[test]
fn json_is_read_as_senders_write_it() {
    for body in [
        "{}",
        r#"{"resourceSpans":null}"#,
        r#"{"resourceSpans":[{"scopeSpans":null}]}"#,
        r#"{"resourceSpans":[{"scopeSpans":[{"spans":null}]}]}"#,
        // Logs are another route's.
        r#"{"resourceLogs":[{"scopeLogs":[{"logRecords":[{}]}]}]}"#,
        r#"{"resourceLogs":7}"#,
    ] {
        let (all, _) = records(Format::OtlpTracesJson, body.as_bytes()).unwrap();
        assert!(all.is_empty(), "{body}");
    }
    let spans = br#"{"resourceSpans":[{"scopeSpans":[{"spans":[{}]}]}]}"#;
    assert!(records(Format::OtlpJson, spans).unwrap().0.is_empty());
    assert_eq!(
        json(
            r#"{"events":null,"links":[],"attributes":[{"key":"n","value":{"doubleValue":"NaN"}}]}"#
        ),
        "[n]=\"NaN\" [status]=\"unset\""
    );
    assert_eq!(
        json(r#"{"events":[7,null,{"attributes":null}],"links":[{"traceId":"odd"}]}"#),
        r#"[events]="[{\"time\":0,\"name\":\"\",\"attributes\":{}}]" [links]="[{\"trace_id\":\"odd\",\"span_id\":\"\",\"trace_state\":\"\",\"attributes\":{}}]" [status]="unset""#
    );
}

#[test]
fn a_bad_span_is_rejected_alone() {
    let mut body = request(vec![], vec![], vec![full(), Span::default(), full()]);
    // The kind of the first span becomes eight bytes, which it cannot be.
    let at = body.windows(2).position(|bytes| bytes == [0x30, 2]).unwrap();
    body[at] = 0x31;
    let (all, decoded) = records(Format::OtlpTracesProtobuf, &body).unwrap();
    assert_eq!((all.len(), decoded.rejected_total), (2, 1));
    assert_eq!(
        (decoded.rejected[0].ordinal, decoded.rejected[0].reason),
        (0, RejectReason::Malformed)
    );
    assert!(show(&all[1]).contains("[kind]=\"server\""));

    let body =
        br#"{"resourceSpans":[{"scopeSpans":[{"spans":[7,{"name":"a"},{"kind":1e999},null]}]}]}"#;
    let (all, decoded) = records(Format::OtlpTracesJson, body).unwrap();
    assert_eq!((all.len(), decoded.rejected_total), (1, 3));
    let reasons: Vec<_> = decoded.rejected.iter().map(|rejected| rejected.reason).collect();
    use RejectReason::{Malformed, NotAnObject};
    assert_eq!(reasons, [NotAnObject, Malformed, NotAnObject]);
}

#[test]
fn what_is_large_or_doubled_or_deep_is_bounded() {
    let large = Span { attributes: vec![attribute("large", text(&"x".repeat(1 << 20)))], ..full() };
    let mut deep = Value::IntValue(1);
    for _ in 0..80 {
        deep = Value::ArrayValue(ArrayValue { values: vec![AnyValue { value: Some(deep) }] });
    }
    let event = Event { attributes: vec![attribute("deep", deep)], ..Default::default() };
    let deep = Span { events: vec![event], ..full() };
    let too_large = Span { name: "x".repeat(17 << 20), ..full() };
    let body = request(vec![], vec![], vec![large, full(), full(), deep, too_large]);
    let (all, decoded) = records(Format::OtlpTracesProtobuf, &body).unwrap();
    assert_eq!((all.len(), decoded.rejected_total), (3, 2));
    assert_eq!(all[1], all[2]);
    let reasons: Vec<_> = decoded.rejected.iter().map(|rejected| rejected.reason).collect();
    assert_eq!(reasons, [RejectReason::TooDeep, RejectReason::TooLarge]);
}

#[test]
fn what_our_encoder_wrote_is_taken_by_word_only_under_its_own_scope() {
    let spoofed = vec![attribute("logq.attribute.status", text("mine"))];
    let span = Span { attributes: spoofed, ..Default::default() };
    assert_eq!(one(span), "[logq.attribute.status]=\"mine\" [status]=\"unset\"");
}
