//! What OTLP of foreign senders means, in both encodings.
// The lint knows test functions only, not what they share.
#![allow(clippy::unwrap_used)]

mod support;

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::common::v1::{
    AnyValue, ArrayValue, InstrumentationScope, KeyValue, KeyValueList, any_value::Value,
};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::resource::v1::Resource;
use prost::Message;
use support::{records, show};
use wire::{Format, Limits, RejectReason};

fn any(value: Value) -> AnyValue {
    AnyValue { value: Some(value) }
}

fn text(text: &str) -> Value {
    Value::StringValue(text.into())
}

fn attribute(key: &str, value: Value) -> KeyValue {
    KeyValue { key: key.into(), value: Some(any(value)), ..Default::default() }
}

fn request(
    resource: Vec<KeyValue>,
    scope: InstrumentationScope,
    log_records: Vec<LogRecord>,
) -> Vec<u8> {
    let scope_logs = ScopeLogs { scope: Some(scope), log_records, ..Default::default() };
    let resource = Resource { attributes: resource, ..Default::default() };
    let resource_logs = ResourceLogs {
        resource: Some(resource),
        scope_logs: vec![scope_logs],
        ..Default::default()
    };
    ExportLogsServiceRequest { resource_logs: vec![resource_logs] }.encode_to_vec()
}

/// One record of a sender with this resource and scope.
fn one(resource: Vec<KeyValue>, scope: InstrumentationScope, log: LogRecord) -> String {
    let body = request(resource, scope, vec![log]);
    show(&records(Format::OtlpProtobuf, &body).unwrap().0[0])
}

fn with(attributes: Vec<KeyValue>) -> LogRecord {
    LogRecord { attributes, ..Default::default() }
}

fn json(record: &str) -> String {
    let body = format!(r#"{{"resourceLogs":[{{"scopeLogs":[{{"logRecords":[{record}]}}]}}]}}"#);
    show(&records(Format::OtlpJson, body.as_bytes()).unwrap().0[0])
}

#[test]
fn fields_of_a_log_record_are_the_records() {
    let log = LogRecord {
        time_unix_nano: 1_700_000_000_000_000_000,
        observed_time_unix_nano: 1_700_000_001_000_000_000,
        severity_number: 10,
        severity_text: "Notice".into(),
        body: Some(any(text("hello"))),
        trace_id: (1..17).collect(),
        span_id: (1..9).collect(),
        event_name: "greeted".into(),
        dropped_attributes_count: 2,
        flags: 1,
        attributes: vec![
            attribute("s", text("x")),
            attribute("i", Value::IntValue(-1)),
            attribute("f", Value::DoubleValue(f64::NAN)),
            attribute("b", Value::BoolValue(true)),
            attribute("bytes", Value::BytesValue(vec![255, 0])),
            KeyValue { key: "null".into(), ..Default::default() },
        ],
    };
    assert_eq!(
        one(vec![], InstrumentationScope::default(), log),
        "time=2023-11-14T22:13:20Z observed=2023-11-14T22:13:21Z severity=10 severity_text=\"Notice\" \
         trace=0102030405060708090a0b0c0d0e0f10 span=0102030405060708 event=\"greeted\" message=\"hello\" \
         [b]=true [bytes]=\"/wA=\" [f]=\"NaN\" [i]=-1 [otel.dropped_attributes_count]=2 [s]=\"x\""
    );
}

#[test]
fn resource_scope_and_record_merge_and_the_record_wins() {
    let scope = InstrumentationScope {
        name: "lib".into(),
        version: "2".into(),
        attributes: vec![attribute("a", text("scope")), attribute("only.scope", text("s"))],
        ..Default::default()
    };
    let resource = vec![
        attribute("service.name", text("shop")),
        attribute("host.name", text("n1")),
        attribute("a", text("resource")),
        attribute("k8s.pod.name", text("p")),
    ];
    assert_eq!(
        one(resource.clone(), scope, with(vec![attribute("a", text("record"))])),
        "service=\"shop\" host=\"n1\" [a]=\"record\" [k8s.pod.name]=\"p\" [only.scope]=\"s\" \
         [resource.a]=\"resource\" [scope.a]=\"scope\" [scope.name]=\"lib\" [scope.version]=\"2\""
    );
    let log = with(vec![attribute("service.name", text("mine")), attribute("level", text("warn"))]);
    assert_eq!(
        one(resource, InstrumentationScope::default(), log),
        "service=\"mine\" host=\"n1\" [a]=\"resource\" [k8s.pod.name]=\"p\" [level]=\"warn\" \
         [resource.service.name]=\"shop\""
    );
}

#[test]
fn the_correlation_id_is_the_records_then_the_resources_then_the_baggages() {
    let scope = InstrumentationScope::default;
    let resource = || vec![attribute("request_id", text("res"))];
    let baggage = attribute("baggage", text("correlation_id=bag"));
    let record = attribute("x-request-id", Value::IntValue(7));
    assert_eq!(
        one(resource(), scope(), with(vec![record.clone(), baggage.clone()])),
        "correlation=\"7\" [baggage]=\"correlation_id=bag\" [resource.request_id]=\"res\""
    );
    assert_eq!(
        one(resource(), scope(), with(vec![baggage.clone()])),
        "correlation=\"res\" [baggage]=\"correlation_id=bag\""
    );
    assert_eq!(
        one(vec![], scope(), with(vec![baggage])),
        "correlation=\"bag\" [baggage]=\"correlation_id=bag\""
    );
    let two = vec![attribute("request_id", text("r")), attribute("correlation_id", text("c"))];
    assert_eq!(one(two, scope(), with(vec![])), "correlation=\"c\" [request_id]=\"r\"");
}

#[test]
fn maps_flatten_and_arrays_are_json_text() {
    let list = |values: Vec<Value>| {
        Value::ArrayValue(ArrayValue { values: values.into_iter().map(any).collect() })
    };
    let map = |values: Vec<KeyValue>| Value::KvlistValue(KeyValueList { values });
    let nested = map(vec![
        attribute("b", map(vec![attribute("c", Value::IntValue(1)), attribute("", text("e"))])),
        attribute(
            "l",
            list(vec![
                text("x"),
                map(vec![attribute("k", Value::BytesValue(vec![1]))]),
                Value::DoubleValue(0.5),
            ]),
        ),
    ]);
    assert_eq!(
        one(
            vec![attribute("r", nested.clone())],
            InstrumentationScope::default(),
            with(vec![attribute("a", nested.clone())])
        ),
        "[a.b._]=\"e\" [a.b.c]=1 [a.l]=\"[\\\"x\\\",{\\\"k\\\":\\\"AQ==\\\"},0.5]\" \
         [r.b._]=\"e\" [r.b.c]=1 [r.l]=\"[\\\"x\\\",{\\\"k\\\":\\\"AQ==\\\"},0.5]\""
    );
    let log = LogRecord { body: Some(any(nested)), ..Default::default() };
    assert_eq!(
        one(vec![], InstrumentationScope::default(), log),
        r#"message="{\"b\":{\"c\":1,\"\":\"e\"},\"l\":[\"x\",{\"k\":\"AQ==\"},0.5]}""#
    );
}

#[test]
fn times_and_ids_that_do_not_fit_are_kept() {
    let log = LogRecord {
        time_unix_nano: u64::MAX,
        observed_time_unix_nano: 1_700_000_000_000_000_000,
        trace_id: vec![1, 2],
        span_id: vec![0; 8],
        severity_number: 77,
        severity_text: "warn".into(),
        ..Default::default()
    };
    let body = request(vec![], InstrumentationScope::default(), vec![log]);
    let (all, decoded) = records(Format::OtlpProtobuf, &body).unwrap();
    assert_eq!(decoded.timestamps_replaced, 1);
    assert_eq!(
        show(&all[0]),
        "time=2023-11-14T22:13:20Z observed=2023-11-14T22:13:20Z severity=13 severity_text=\"warn\" \
         [logq.timestamp_text]=\"18446744073709551615\" [severity_number]=77 [trace_id]=\"0102\""
    );
}

#[test]
fn a_record_that_is_nested_too_deep_is_rejected_alone() {
    let mut value = Value::IntValue(1);
    for _ in 0..80 {
        value = Value::KvlistValue(KeyValueList { values: vec![attribute("a", value)] });
    }
    let deep = with(vec![attribute("a", value.clone())]);
    let body =
        request(vec![], InstrumentationScope::default(), vec![with(vec![]), deep, with(vec![])]);
    let (all, decoded) = records(Format::OtlpProtobuf, &body).unwrap();
    assert_eq!((all.len(), decoded.rejected_total), (2, 1));
    assert_eq!(
        (decoded.rejected[0].ordinal, decoded.rejected[0].reason),
        (1, RejectReason::TooDeep)
    );
    let body = request(vec![attribute("a", value)], InstrumentationScope::default(), vec![]);
    assert_eq!(records(Format::OtlpProtobuf, &body).unwrap_err().status(), 400);

    let open = r#"{"kvlistValue":{"values":[{"key":"a","value":"#;
    let deep = |depth: usize| {
        format!(
            r#"{{"attributes":[{{"key":"a","value":{}1{}}}]}}"#,
            open.repeat(depth),
            "}]}}".repeat(depth)
        )
    };
    let body = format!(
        r#"{{"resourceLogs":[{{"scopeLogs":[{{"logRecords":[{},{},{{}}]}}]}}]}}"#,
        deep(10),
        deep(50_000)
    );
    let (all, decoded) = records(Format::OtlpJson, body.as_bytes()).unwrap();
    assert_eq!((all.len(), decoded.rejected[0].reason), (2, RejectReason::TooDeep));
}

/// A length-delimited field of any length.
fn delimited(number: u8, bytes: &[u8]) -> Vec<u8> {
    let mut out = vec![number << 3 | 2];
    let mut length = bytes.len();
    while length >= 0x80 {
        out.push(length as u8 | 0x80);
        length >>= 7;
    }
    out.push(length as u8);
    out.extend(bytes);
    out
}

#[test]
fn deep_protobuf_is_rejected_without_a_stack_overflow() {
    // prost refuses to nest this deep, so it is written by hand: each level is an array (field 5 of a
    // value) or a map (field 6) with one member.
    for map in [false, true] {
        let mut value = vec![0x18, 1];
        for _ in 0..20_000 {
            value = if map {
                delimited(6, &delimited(1, &[delimited(1, b"k"), delimited(2, &value)].concat()))
            } else {
                delimited(5, &delimited(1, &value))
            };
        }
        let attribute = [delimited(1, b"a"), delimited(2, &value)].concat();
        for log in [delimited(5, &value), delimited(6, &attribute)] {
            let good = delimited(2, &delimited(3, b"info"));
            let scope_logs = [delimited(2, &log), good].concat();
            let body = delimited(1, &delimited(2, &scope_logs));
            let (all, decoded) = records(Format::OtlpProtobuf, &body).unwrap();
            assert_eq!((all.len(), decoded.rejected_total), (1, 1));
            assert_eq!(decoded.rejected[0].reason, RejectReason::TooDeep);
        }
    }
}

#[test]
fn fields_in_any_order_mean_the_same() {
    let name = attribute("service.name", text("late")).encode_to_vec();
    let field = |number: u8, bytes: &[u8]| {
        let mut out = vec![number << 3 | 2, bytes.len() as u8];
        out.extend(bytes);
        out
    };
    let log = with(vec![attribute("a", Value::BoolValue(true))]).encode_to_vec();
    let scope = InstrumentationScope { name: "lib".into(), ..Default::default() }.encode_to_vec();
    let scope_logs = [field(2, &log), field(1, &scope)].concat();
    let resource_logs = [field(2, &scope_logs), field(1, &field(1, &name))].concat();
    let (all, _) = records(Format::OtlpProtobuf, &field(1, &resource_logs)).unwrap();
    assert_eq!(show(&all[0]), "service=\"late\" [a]=true [scope.name]=\"lib\"");
    let body = r#"{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"attributes":[{"value":{"boolValue":true},"key":"a"}]}],"scope":{"name":"lib"}}],"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"late"}}]}}]}"#;
    let (all, _) = records(Format::OtlpJson, body.as_bytes()).unwrap();
    assert_eq!(show(&all[0]), "service=\"late\" [a]=true [scope.name]=\"lib\"");
}

#[test]
fn text_that_is_not_utf8_is_repaired() {
    let mut body = request(
        vec![],
        InstrumentationScope::default(),
        vec![with(vec![attribute("key", text("valu"))])],
    );
    let at = body.windows(4).position(|window| window == b"valu").unwrap();
    body[at] = 0xff;
    let (all, _) = records(Format::OtlpProtobuf, &body).unwrap();
    assert_eq!(show(&all[0]), "[key]=\"\u{fffd}alu\"");
}

#[test]
fn json_is_read_as_senders_write_it() {
    let time = "time=2023-11-14T22:13:20Z";
    for (record, expected) in [
        (r#"{"timeUnixNano":"1700000000000000000"}"#, time.to_owned()),
        (r#"{"timeUnixNano":1700000000000000000}"#, time.to_owned()),
        (r#"{"timeUnixNano":0,"unknown":{"x":[1]},"attributes":null,"body":null}"#, String::new()),
        (r#"{"timeUnixNano":"soon"}"#, r#"[logq.timestamp_text]="soon""#.to_owned()),
        (r#"{"severityNumber":9}"#, "severity=9".to_owned()),
        (r#"{"severityNumber":"SEVERITY_NUMBER_WARN2"}"#, "severity=14".to_owned()),
        (r#"{"severityNumber":"SEVERITY_NUMBER_UNSPECIFIED","severityText":"error"}"#, r#"severity=17 severity_text="error""#.to_owned()),
        (
            r#"{"traceId":"4BF92F3577B34DA6A3CE929D0E0E4736","spanId":"00F067AA0BA902B7"}"#,
            "trace=4bf92f3577b34da6a3ce929d0e0e4736 span=00f067aa0ba902b7".to_owned(),
        ),
        (
            r#"{"traceId":"S/kvNXezTaajzpKdDg5HNg==","spanId":"APBnqgupArc="}"#,
            "trace=4bf92f3577b34da6a3ce929d0e0e4736 span=00f067aa0ba902b7".to_owned(),
        ),
        (r#"{"traceId":"","spanId":"xyz"}"#, r#"[span_id]="xyz""#.to_owned()),
        (
            r#"{"attributes":[{"key":"i","value":{"intValue":1}},{"key":"j","value":{"intValue":"-9223372036854775808"}},{"key":"d","value":{"doubleValue":1}},{"key":"n","value":{"doubleValue":"NaN"}},{"key":"b","value":{"boolValue":false}},{"key":"y","value":{"bytesValue":"/wA="}},{"key":"z","value":null},{"key":"e","value":{}},{"key":"l","value":{"arrayValue":{"values":[{"intValue":"1"},{"kvlistValue":{"values":[{"key":"k","value":{"stringValue":"v"}}]}},{"arrayValue":{"values":null}}]}}},{"key":"m","value":{"kvlistValue":{"values":[{"key":"k","value":{"kvlistValue":{"values":[{"key":"x","value":{"stringValue":"\u00e9"}}]}}}]}}}]}"#,
            r#"[b]=false [d]=1.0 [i]=1 [j]=-9223372036854775808 [l]="[1,{\"k\":\"v\"},[]]" [m.k.x]="é" [n]="NaN" [y]="/wA=""#.to_owned(),
        ),
        (r#"{"body":"plain"}"#, r#"message="plain""#.to_owned()),
        (r#"{"body":{"intValue":"5"}}"#, r#"message="5""#.to_owned()),
        (r#"{"eventName":"e","attributes":[{"key":"event.name","value":{"stringValue":"old"}}]}"#, r#"event="e" [event.name]="old""#.to_owned()),
        (r#"{"attributes":[{"key":"event.name","value":{"stringValue":"old"}}]}"#, r#"event="old""#.to_owned()),
    ] {
        assert_eq!(json(record), expected, "{record}");
    }
}

#[test]
fn empty_requests_are_fine_and_broken_ones_are_400() {
    for body in
        ["{}", r#"{"resourceLogs":null}"#, r#"{"resourceLogs":[]}"#, r#"{"resourceLogs":[{}]}"#]
    {
        assert!(records(Format::OtlpJson, body.as_bytes()).unwrap().0.is_empty(), "{body}");
    }
    for body in
        ["", "[", "{", r#"{"resourceLogs":5}"#, r#"{"resourceLogs":[{"scopeLogs":"secret"}]}"#]
    {
        let error = records(Format::OtlpJson, body.as_bytes()).unwrap_err();
        assert_eq!(error.status(), 400, "{body}");
        assert!(!error.to_string().contains("secret"), "{error}");
    }
    assert!(records(Format::OtlpProtobuf, b"").unwrap().0.is_empty());
    for body in [&b"\x0a"[..], b"\x0a\x05abc", b"{\"resourceLogs\":[]}", b"\x08\x01"] {
        assert_eq!(records(Format::OtlpProtobuf, body).unwrap_err().status(), 400, "{body:?}");
    }
}

#[test]
fn an_array_is_no_object_wherever_one_belongs() {
    for body in [
        "[]",
        " [[]]",
        r#"[[{"scopeLogs":[]}]]"#,
        r#"{"resourceLogs":[[]]}"#,
        r#"{"resourceLogs":[{"scopeLogs":[[null,[{}]]]}]}"#,
    ] {
        let error = records(Format::OtlpJson, body.as_bytes()).unwrap_err();
        assert_eq!(error.status(), 400, "{body}");
        assert!(error.to_string().contains("expected an object"), "{body}: {error}");
    }
}

#[test]
fn a_body_beyond_the_limit_is_413() {
    let limits = Limits { decoded_bytes_max: 10, ..Limits::default() };
    let error = support::records_within(Format::OtlpJson, &[b' '; 11], &limits).unwrap_err();
    assert_eq!(error.status(), 413);
}
