//! Constructed spans, and the traces that they become.

use record::{Signal, TraceId};
use serde_json::{Value, json};
use story::Entry;

use super::shapes::Trace;

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

/// A span as a query gives it out, with `more` laid over it and into its attributes.
fn span(id: u64, more: Value, attributes: Value) -> Entry {
    let mut line = json!({
        "timestamp": "2026-11-28T09:00:00.000001999Z", "record_seq": 7, "service": "orders",
        "host": "web1", "trace_id": TRACE, "span_id": format!("{id:016x}"), "message": "GET /",
        "attributes": {"status": "unset", "duration": 1_500_999},
    });
    let lay = |over: &mut Value, under: Value| {
        for (name, value) in under.as_object().unwrap() {
            match value {
                Value::Null => over.as_object_mut().unwrap().remove(name),
                value => over.as_object_mut().unwrap().insert(name.clone(), value.clone()),
            };
        }
    };
    lay(&mut line, more);
    lay(&mut line["attributes"], attributes);
    let Value::Object(line) = line else { panic!("{line}") };
    Entry::read(Signal::Spans, line).unwrap()
}

fn trace(spans: Vec<Entry>) -> Value {
    let trace = Trace::of(TraceId::from_hex(TRACE).unwrap(), spans, Vec::new());
    serde_json::to_value(&trace).unwrap()
}

/// The values of some tags.
fn tags(tags: &Value) -> Vec<String> {
    let tags = tags.as_array().unwrap().iter();
    tags.map(|tag| format!("{}:{}={}", tag["key"], tag["type"], tag["value"]).replace('"', ""))
        .collect()
}

#[test]
fn a_span_is_told_with_all_that_it_has() {
    let links = json!([
        {"trace_id": "ab".repeat(16), "span_id": "cd".repeat(8), "trace_state": "", "attributes": {}},
    ]);
    let events = json!([
        {"time": 1_795_856_400_000_002_999_u64, "name": "retry",
         "attributes": {"n": 2, "why": ["late"], "last": false}, "dropped_attributes_count": 1},
    ]);
    let one = span(
        1,
        json!({"correlation_id": "c-1"}),
        json!({
            "parent_span_id": "00f067aa0ba902b7", "kind": "client", "status": "error",
            "status_message": "no answer", "trace_state": "a=b", "links": links.to_string(),
            "events": events.to_string(), "scope.name": "http", "scope.version": "1.2",
            "http.status_code": 500, "share": 1.0, "cached": true, "attribute.kind": "own",
            "otel.status_code": "ERROR", "k8s.pod.name": "orders-1",
        }),
    );
    insta::assert_snapshot!(serde_json::to_string_pretty(&trace(vec![one])).unwrap());
}

#[test]
fn times_are_whole_microseconds_as_integers() {
    let told = &trace(vec![span(1, json!({}), json!({}))])["spans"][0];
    assert_eq!(told["startTime"].to_string(), "1795856400000001");
    assert_eq!(
        (told["duration"].to_string(), told["flags"].to_string()),
        ("1500".into(), "1".into())
    );
    assert_eq!((&told["warnings"], &told["references"]), (&Value::Null, &json!([])));
}

#[test]
fn what_senders_get_wrong_is_repaired_and_said() {
    let check = |id: u64, more: Value, attributes: Value, warning: &str| {
        let told = trace(vec![span(id, more, attributes)])["spans"][0].take();
        assert_eq!(told["warnings"], json!([warning]), "{told}");
        told
    };
    let told = check(1, json!({}), json!({"duration": -5}), "it ends before it begins");
    assert_eq!(told["duration"], 0);
    let told = check(1, json!({}), json!({"duration": null}), "its end is not known");
    assert_eq!(told["duration"], 0);
    let own = json!({"parent_span_id": "0000000000000001"});
    let told = check(1, json!({}), own, "it names itself as its parent");
    assert_eq!(told["references"], json!([]));
    let link = json!([{"trace_id": "ab", "span_id": "cd".repeat(8)}]).to_string();
    let warning = "1 links are left out: they have no whole id";
    check(1, json!({}), json!({"links": link}), warning);
    let warning = "it came without an id; this one is its place in the store";
    let told = check(1, json!({"span_id": null}), json!({}), warning);
    assert_eq!(told["spanID"], "0000000000000007");
}

#[test]
fn processes_are_services_on_hosts_with_what_their_spans_agree_on() {
    let of = |id: u64, service: Value, host: Value, attributes: Value| {
        span(id, json!({"service": service, "host": host}), attributes)
    };
    let shared = json!({"k8s.pod.name": "p", "telemetry.sdk.name": "x", "resource.env": "prod",
                        "resource.service.name": "other", "process.pid": 1});
    let told = trace(vec![
        of(1, json!("a"), json!("h1"), shared.clone()),
        of(2, json!("a"), json!("h1"), {
            let mut other = shared.clone();
            other["process.pid"] = json!(2);
            other
        }),
        of(3, json!("a"), json!("h2"), json!({"process.pid": 3})),
        of(4, Value::Null, Value::Null, json!({})),
    ]);
    let process = |id: &str| {
        let process = &told["processes"][id];
        (process["serviceName"].as_str().unwrap().to_owned(), tags(&process["tags"]))
    };
    let agreed = [
        "host.name:string=h1",
        "k8s.pod.name:string=p",
        "env:string=prod",
        "resource.service.name:string=other",
        "telemetry.sdk.name:string=x",
    ];
    assert_eq!(process("p1"), ("a".to_owned(), agreed.map(str::to_owned).to_vec()));
    let alone = ["host.name:string=h2", "process.pid:int64=3"];
    assert_eq!(process("p2"), ("a".to_owned(), alone.map(str::to_owned).to_vec()));
    assert_eq!(process("p3"), ("unknown_service".to_owned(), Vec::new()));
    let spans = told["spans"].as_array().unwrap();
    let of_spans: Vec<_> = spans.iter().map(|span| span["processID"].as_str().unwrap()).collect();
    assert_eq!(of_spans, ["p1", "p1", "p2", "p3"]);
    assert_eq!(tags(&spans[1]["tags"]), ["process.pid:int64=2"]);
    assert_eq!(tags(&spans[2]["tags"]), [""; 0]);
}

#[test]
fn a_served_span_that_shares_the_id_of_its_call_gets_its_own() {
    let told = trace(vec![
        span(1, json!({"service": "a"}), json!({"kind": "client"})),
        span(1, json!({"service": "b"}), json!({"kind": "server"})),
        span(2, json!({"service": "b"}), json!({"parent_span_id": "0000000000000001"})),
        span(3, json!({"service": "a"}), json!({"parent_span_id": "0000000000000001"})),
    ]);
    let spans = told["spans"].as_array().unwrap();
    let seen: Vec<_> = (spans.iter())
        .map(|span| (span["spanID"].as_str().unwrap(), span["references"][0]["spanID"].as_str()))
        .collect();
    let (call, served) = ("0000000000000001", "8000000000000001");
    assert_eq!(
        seen,
        [
            (call, None),
            (served, Some(call)),
            ("0000000000000002", Some(served)),
            ("0000000000000003", Some(call)),
        ]
    );
    let said = spans[1]["warnings"][0].as_str().unwrap();
    assert!(said.contains("it came with the id 0000000000000001"), "{said}");
}

#[test]
fn a_list_that_cannot_be_read_stays_a_tag() {
    let told = trace(vec![span(1, json!({}), json!({"events": "no list", "links": "[]"}))]);
    assert_eq!(tags(&told["spans"][0]["tags"]), ["events:string=no list"]);
    assert_eq!(told["spans"][0]["logs"], json!([]));
}
