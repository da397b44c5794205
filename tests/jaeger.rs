//! Traces by Jaeger's read API, on the real binary, asked exactly as Grafana's data source and Jaeger's own page ask.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod server;

use serde::Deserialize;
use serde_json::{Value, json};
use server::requests::JSON;
use server::{Answer, Home, Server};

/// When the first trace begins: 2026-11-28T09:00:00Z, in microseconds.
const BEGIN: i64 = 1_795_856_400_000_000;
const HOUR: i64 = 3_600_000_000;
const CHECKOUT: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
/// With zeros at its left.
const REFUND: &str = "00000000000000000a3ce929d0e0e473";

/// Names and values of the URL, not encoded.
type Parameters<'a> = &'a [(&'a str, &'a str)];

/// As the data source's Go structs have them: a type that does not fit fails, as it does there.
mod decoded {
    use super::*;

    #[derive(Debug, Deserialize)]
    pub(crate) struct Names {
        pub(crate) data: Vec<String>,
        pub(crate) errors: Value,
        pub(crate) limit: i64,
        pub(crate) offset: i64,
        pub(crate) total: i64,
    }

    #[derive(Debug, Deserialize)]
    pub(crate) struct Traces {
        pub(crate) data: Vec<Trace>,
        pub(crate) errors: Value,
        pub(crate) limit: i64,
        pub(crate) offset: i64,
        pub(crate) total: i64,
    }

    #[derive(Debug, Deserialize)]
    #[serde(rename_all = "camelCase")]
    pub(crate) struct Trace {
        #[serde(rename = "traceID")]
        pub(crate) trace_id: String,
        pub(crate) processes: std::collections::BTreeMap<String, Process>,
        pub(crate) warnings: Option<Vec<String>>,
        pub(crate) spans: Vec<Span>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(rename_all = "camelCase")]
    pub(crate) struct Process {
        pub(crate) service_name: String,
        pub(crate) tags: Vec<KeyValue>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(rename_all = "camelCase")]
    pub(crate) struct Span {
        #[serde(rename = "traceID")]
        pub(crate) trace_id: String,
        #[serde(rename = "spanID")]
        pub(crate) span_id: String,
        #[serde(rename = "processID")]
        pub(crate) process_id: String,
        pub(crate) operation_name: String,
        pub(crate) start_time: i64,
        pub(crate) duration: i64,
        pub(crate) logs: Vec<Log>,
        pub(crate) references: Vec<Reference>,
        pub(crate) tags: Vec<KeyValue>,
        pub(crate) warnings: Option<Vec<String>>,
        pub(crate) flags: i64,
    }

    #[derive(Debug, Deserialize)]
    pub(crate) struct Log {
        pub(crate) timestamp: i64,
        pub(crate) fields: Vec<KeyValue>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(rename_all = "camelCase")]
    pub(crate) struct Reference {
        pub(crate) ref_type: String,
        #[serde(rename = "spanID")]
        pub(crate) span_id: String,
        #[serde(rename = "traceID")]
        pub(crate) trace_id: String,
    }

    #[derive(Debug, Deserialize)]
    pub(crate) struct KeyValue {
        pub(crate) key: String,
        #[serde(rename = "type")]
        pub(crate) value_type: String,
        pub(crate) value: Value,
    }

    #[derive(Debug, Deserialize)]
    pub(crate) struct Dependencies {
        pub(crate) data: Vec<Dependency>,
        pub(crate) errors: Option<Vec<Value>>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(rename_all = "camelCase")]
    pub(crate) struct Dependency {
        pub(crate) parent: String,
        pub(crate) child: String,
        pub(crate) call_count: i64,
    }
}

fn attribute(name: &str, value: Value) -> Value {
    let kind = match &value {
        Value::Bool(_) => "boolValue",
        Value::Number(_) => "intValue",
        _ => "stringValue",
    };
    json!({"key": name, "value": {kind: value}})
}

/// A span in OTLP's JSON: (trace, id, parent, name, kind), when after [`BEGIN`] and how long, in milliseconds.
fn span(
    (trace, id, parent, name, kind): (&str, u64, u64, &str, u8),
    at: i64,
    ms: i64,
    more: Value,
) -> Value {
    let nanos = |ms: i64| ((BEGIN + ms * 1_000) * 1_000).to_string();
    let mut span = json!({
        "traceId": trace, "spanId": format!("{id:016x}"), "name": name, "kind": kind,
        "startTimeUnixNano": nanos(at), "endTimeUnixNano": nanos(at + ms),
    });
    if parent > 0 {
        span["parentSpanId"] = format!("{parent:016x}").into();
    }
    span.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    span
}

fn of_service(service: &str, spans: &[Value]) -> Value {
    let resource = [
        attribute("service.name", service.into()),
        attribute("host.name", "web1".into()),
        attribute("telemetry.sdk.language", "rust".into()),
    ];
    json!({"resource": {"attributes": resource},
           "scopeSpans": [{"scope": {"name": "http", "version": "1.0"}, "spans": spans}]})
}

fn post(server: &Server, tenant: &str, resources: &[Value]) {
    let body = json!({"resourceSpans": resources}).to_string();
    let answer = server.ingest("/v1/traces", &[JSON, ("x-scope-orgid", tenant)], body);
    assert_eq!((answer.status, answer.json()), (200, json!({})));
}

/// A shop: a checkout over three services, one with odd signs in its name, and later a refund of one span.
fn shop() -> Server {
    let server = Home::new().start();
    let failed = json!({
        "status": {"code": 2, "message": "card refused"},
        "attributes": [attribute("http.status_code", 500.into()), attribute("card \"no\"", "4 2".into()),
                       attribute("correlation_id", "c-1003".into())],
        "events": [{"timeUnixNano": ((BEGIN + 30_000) * 1_000).to_string(), "name": "retry",
                    "attributes": [attribute("attempt", 2.into())]}],
        "links": [{"traceId": REFUND, "spanId": "00000000000000bb"}],
    });
    let id = |id, parent, name, kind| (CHECKOUT, id, parent, name, kind);
    post(
        &server,
        "default",
        &[
            of_service(
                "gateway",
                &[
                    span(id(1, 0, "POST /checkout", 2), 0, 120, json!({})),
                    span(id(2, 1, "orders.place", 3), 5, 100, json!({})),
                ],
            ),
            of_service(
                "shop/orders 100%",
                &[
                    span(id(3, 2, "place \"now\"", 2), 10, 80, json!({})),
                    span(id(4, 3, "payments.take", 3), 15, 60, json!({})),
                ],
            ),
            of_service("payments", &[span(id(5, 4, "take", 2), 20, 50, failed)]),
        ],
    );
    let refund = span((REFUND, 6, 0, "refund", 1), 60_000, 1_500, json!({}));
    post(&server, "default", &[of_service("payments", &[refund])]);
    // A log of the trace is no span of it.
    let log = json!({"time": "2026-11-28T09:00:00.03Z", "service": "only-logs", "msg": "card refused",
                     "trace_id": CHECKOUT, "span_id": "0000000000000005"});
    assert_eq!(server.jsonl(log.to_string()).accepted(), 1);
    server
}

fn get(server: &Server, path: &str) -> Answer {
    server.http().get(&format!("{}{path}", server.query))
}

fn read<T: for<'de> Deserialize<'de>>(answer: &Answer) -> T {
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.header("content-type"), Some("application/json"));
    serde_json::from_slice(&answer.body)
        .unwrap_or_else(|error| panic!("{error}: {}", answer.text()))
}

fn names(server: &Server, path: &str) -> Vec<String> {
    let names: decoded::Names = read(&get(server, path));
    assert_eq!((names.errors, names.limit, names.offset), (Value::Null, 0, 0));
    assert_eq!(names.total, names.data.len() as i64);
    names.data
}

fn encoded(parameters: Parameters<'_>) -> String {
    let encode = |text: &str| {
        let sign = |byte: u8| match byte {
            b' ' => "+".to_owned(),
            byte if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) => {
                char::from(byte).into()
            }
            byte => format!("%{byte:02X}"),
        };
        text.bytes().map(sign).collect::<String>()
    };
    let pairs = parameters.iter().map(|(name, value)| format!("{name}={}", encode(value)));
    pairs.collect::<Vec<_>>().join("&")
}

/// A search in the hour around the traces; what was found must never have a trace without spans.
fn search(server: &Server, parameters: Parameters<'_>) -> decoded::Traces {
    let (start, end) = ((BEGIN - HOUR / 2).to_string(), (BEGIN + HOUR / 2).to_string());
    let all = [&[("start", &*start), ("end", &*end)], parameters].concat();
    let found: decoded::Traces = read(&get(server, &format!("/api/traces?{}", encoded(&all))));
    assert!(found.data.iter().all(|trace| !trace.spans.is_empty()), "{found:?}");
    assert_eq!((&found.errors, found.limit, found.offset, found.total), (&Value::Null, 0, 0, 0));
    found
}

fn ids(found: &decoded::Traces) -> Vec<&str> {
    found.data.iter().map(|trace| &*trace.trace_id).collect()
}

fn tag<'a>(tags: &'a [decoded::KeyValue], key: &str) -> (&'a str, &'a Value) {
    let tag = tags.iter().find(|tag| tag.key == key).unwrap_or_else(|| panic!("{key}: {tags:?}"));
    (&tag.value_type, &tag.value)
}

#[test]
fn services_and_operations_are_listed_whatever_signs_are_in_them() {
    let server = Home::new().start();
    // The health check of an empty store: a list, and no null.
    assert_eq!(names(&server, "/api/services"), [""; 0]);
    assert_eq!(names(&server, "/api/services/nobody/operations"), [""; 0]);
    let server = shop();
    for flushed in [false, true] {
        if flushed {
            server.flush();
        }
        let services = names(&server, "/api/services");
        assert_eq!(services, ["gateway", "payments", "shop/orders 100%"]);
        let expected = ["payments.take", "place \"now\""];
        for path in ["shop%2Forders%20100%25", "shop/orders%20100%25"] {
            let path = format!("/api/services/{path}/operations");
            assert_eq!(names(&server, &path), expected, "{path}");
        }
        let all = get(&server, "/api/operations?service=shop%2Forders+100%25").json();
        let operation = |name: &str, kind: &str| json!({"name": name, "spanKind": kind});
        let (client, served) =
            (operation("payments.take", "client"), operation("place \"now\"", "server"));
        assert_eq!(all["data"], json!([client, served]));
        let served = get(&server, "/api/operations?service=gateway&spanKind=server").json();
        assert_eq!(served["data"], json!([operation("POST /checkout", "server")]));
    }
}

#[test]
fn a_trace_is_told_as_grafana_reads_it() {
    let server = shop();
    let (start, end) = (BEGIN / 1_000 - 1_000, BEGIN / 1_000 + 1_000);
    for path in [CHECKOUT.to_owned(), format!("{CHECKOUT}?start={start}&end={end}")] {
        let found: decoded::Traces = read(&get(&server, &format!("/api/traces/{path}")));
        let [trace] = &found.data[..] else { panic!("{found:?}") };
        assert_eq!((&*trace.trace_id, &trace.warnings), (CHECKOUT, &None));
        let names: Vec<&str> = trace.spans.iter().map(|span| &*span.operation_name).collect();
        let expected = ["POST /checkout", "orders.place", "place \"now\"", "payments.take", "take"];
        assert_eq!(names, expected);
        let services: Vec<&str> =
            trace.processes.values().map(|process| &*process.service_name).collect();
        assert_eq!(services, ["gateway", "shop/orders 100%", "payments"]);
        let process = &trace.processes[&trace.spans[4].process_id];
        assert_eq!(process.service_name, "payments");
        assert_eq!(tag(&process.tags, "host.name"), ("string", &json!("web1")));
        assert_eq!(tag(&process.tags, "telemetry.sdk.language"), ("string", &json!("rust")));

        let first = &trace.spans[0];
        assert_eq!((first.start_time, first.duration, first.flags), (BEGIN, 120_000, 1));
        assert!(first.references.is_empty() && first.logs.is_empty() && first.warnings.is_none());
        assert!(first.tags.iter().all(|tag| tag.key != "error"));
        let last = &trace.spans[4];
        assert_eq!((&*last.trace_id, &*last.span_id), (CHECKOUT, "0000000000000005"));
        let references: Vec<(&str, &str, &str)> = (last.references.iter())
            .map(|of| (&*of.ref_type, &*of.trace_id, &*of.span_id))
            .collect();
        let parent = ("CHILD_OF", CHECKOUT, "0000000000000004");
        assert_eq!(references, [parent, ("FOLLOWS_FROM", REFUND, "00000000000000bb")]);
        for (key, value_type, value) in [
            ("span.kind", "string", json!("server")),
            ("error", "bool", json!(true)),
            ("otel.status_code", "string", json!("ERROR")),
            ("otel.status_description", "string", json!("card refused")),
            ("otel.scope.name", "string", json!("http")),
            ("http.status_code", "int64", json!(500)),
            ("correlation_id", "string", json!("c-1003")),
        ] {
            assert_eq!(tag(&last.tags, key), (value_type, &value));
        }
        let [log] = &last.logs[..] else { panic!("{last:?}") };
        assert_eq!(log.timestamp, BEGIN + 30_000);
        assert_eq!(tag(&log.fields, "event"), ("string", &json!("retry")));
        assert_eq!(tag(&log.fields, "attempt"), ("int64", &json!(2)));
    }
}

#[test]
fn traces_are_found_by_ids_with_and_without_their_zeros() {
    let server = shop();
    for id in [REFUND, REFUND.trim_start_matches('0'), &REFUND.to_uppercase()] {
        let found: decoded::Traces = read(&get(&server, &format!("/api/traces/{id}")));
        assert_eq!(ids(&found), [REFUND]);
    }
    let missing = "f".repeat(32);
    let path = format!(
        "/api/traces?traceID={REFUND}&traceID={missing}&traceID={CHECKOUT}&traceID={REFUND}"
    );
    let found: decoded::Traces = read(&get(&server, &path));
    assert_eq!(ids(&found), [REFUND, CHECKOUT]);
    let expected = json!([{"code": 404, "msg": "trace not found", "traceID": missing}]);
    assert_eq!(found.errors, expected);
}

#[test]
fn a_trace_that_is_not_there_is_told_in_jaegers_envelope() {
    let server = shop();
    let answer = get(&server, &format!("/api/traces/{}", "f".repeat(32)));
    let expected = json!({"data": null, "total": 0, "limit": 0, "offset": 0,
                          "errors": [{"code": 404, "msg": "trace not found"}]});
    assert_eq!((answer.status, answer.json()), (404, expected));
}

#[test]
fn searches_find_whole_traces_by_what_one_span_has() {
    let server = shop();
    for flushed in [false, true] {
        if flushed {
            server.flush();
        }
        check_searches(&server);
    }
}

fn check_searches(server: &Server) {
    let both = vec![REFUND, CHECKOUT];
    let (checkout, none) = (vec![CHECKOUT], Vec::new());
    let odd = "shop/orders 100%";
    let cases: [(Parameters<'_>, &Vec<&str>); 23] = [
        (&[("service", "payments")], &both),
        (&[("service", "payments"), ("limit", "1")], &vec![REFUND]),
        (&[("service", "payments"), ("limit", "0"), ("lookback", "custom")], &both),
        (&[("service", odd)], &checkout),
        (&[("service", odd), ("operation", "place \"now\"")], &checkout),
        (&[("service", odd), ("operation", "take")], &none),
        (&[("service", "only-logs")], &none),
        (&[("service", "payments"), ("operation", "take")], &checkout),
        (&[("service", "payments"), ("tags", r#"{"http.status_code":"500"}"#)], &checkout),
        (&[("service", "payments"), ("tags", r#"{"http.status_code":"501"}"#)], &none),
        (
            &[("service", "payments"), ("tags", r#"{"card \"no\"":"4 2","error":"true"}"#)],
            &checkout,
        ),
        (&[("service", "gateway"), ("tags", r#"{"error":"true"}"#)], &none),
        (&[("service", "payments"), ("tags", r#"{"span.kind":"internal"}"#)], &vec![REFUND]),
        (&[("service", "payments"), ("tags", r#"{"otel.status_code":"ERROR"}"#)], &checkout),
        (&[("service", "payments"), ("tags", r#"{"correlation_id":"c-1003"}"#)], &checkout),
        (&[("service", "payments"), ("tags", r#"{"telemetry.sdk.language":"rust"}"#)], &both),
        (&[("service", "payments"), ("tags", "{}")], &both),
        (&[("service", "payments"), ("tag", "http.status_code:500")], &checkout),
        (&[("service", "payments"), ("minDuration", "1.2s")], &vec![REFUND]),
        (&[("service", "payments"), ("maxDuration", "50ms")], &checkout),
        (&[("service", "payments"), ("maxDuration", "49999us")], &none),
        (&[("service", "payments"), ("minDuration", "50ms"), ("maxDuration", "1.5s")], &both),
        (&[("service", "payments"), ("minDuration", "2s")], &none),
    ];
    for (parameters, expected) in cases {
        assert_eq!(&ids(&search(server, parameters)), expected, "{parameters:?}");
    }
    let found = search(server, &[("service", "payments"), ("operation", "take")]);
    assert_eq!(found.data[0].spans.len(), 5, "the trace is whole");
}

#[test]
fn the_time_of_a_search_is_that_of_the_span_that_is_looked_for() {
    let server = shop();
    let take = BEGIN + 20_000;
    let found = |start: i64, end: i64| -> usize {
        let path = format!("/api/traces?service=payments&operation=take&start={start}&end={end}");
        read::<decoded::Traces>(&get(&server, &path)).data.len()
    };
    assert_eq!((found(take, take), found(take + 1, take + HOUR), found(0, take - 1)), (1, 0, 0));
}

#[test]
fn dependencies_are_counted_over_the_time_that_is_asked_for() {
    let server = shop();
    let end = BEGIN / 1_000 + 60_000;
    let calls = |query: String| -> Vec<(String, String, i64)> {
        let found: decoded::Dependencies =
            read(&get(&server, &format!("/api/dependencies?{query}")));
        assert!(found.errors.is_none(), "{found:?}");
        let calls = found.data.into_iter();
        calls.map(|call| (call.parent, call.child, call.call_count)).collect()
    };
    let call = |parent: &str, child: &str| (parent.to_owned(), child.to_owned(), 1);
    let expected = [call("gateway", "shop/orders 100%"), call("shop/orders 100%", "payments")];
    assert_eq!(calls(format!("endTs={end}&lookback=3600000")), expected);
    assert_eq!(calls(format!("endTs={end}&lookback=1000")), []);
}

#[test]
fn wrong_parameters_are_refused_in_jaegers_envelope_by_name() {
    let server = Home::new().start();
    for (path, named) in [
        ("/api/traces", "service: is required"),
        ("/api/traces?service=a&start=yesterday", "start: "),
        ("/api/traces?service=a&end=1.5", "end: "),
        ("/api/traces?service=a&limit=-1", "limit: "),
        ("/api/traces?service=a&minDuration=5", "minDuration: "),
        ("/api/traces?service=a&maxDuration=fast", "maxDuration: "),
        ("/api/traces?service=a&tags=a%3Db", "tags: "),
        ("/api/traces?traceID=nothex", "traceID: "),
        ("/api/traces/nothex", "traceID: "),
        ("/api/operations", "service: is required"),
        ("/api/operations?service=a&spanKind=x", "spanKind: "),
        ("/api/dependencies?endTs=now", "endTs: "),
        ("/api/dependencies?lookback=1h", "lookback: "),
        ("/api/services/%FF/operations", "path: "),
    ] {
        let answer = get(&server, path);
        let body = answer.json();
        assert_eq!(
            (answer.status, &body["errors"][0]["code"]),
            (400, &json!(400)),
            "{path}: {body}"
        );
        let said = body["errors"][0]["msg"].as_str().unwrap();
        assert!(said.starts_with(named), "{path}: {said}");
        assert!(body["data"].is_null() && body["total"] == 0, "{body}");
    }
    let answer = get(&server, "/api/services/a/else");
    assert_eq!((answer.status, &answer.json()["errors"][0]["code"]), (404, &json!(404)));
}

#[test]
fn tenants_do_not_see_each_others_traces() {
    let server = shop();
    let secret = "secret-of-b";
    let of_b = span((CHECKOUT, 7, 1, secret, 2), 1, 1, json!({}));
    post(&server, "b", &[of_service(secret, &[of_b])]);
    let ask = |tenant: &str, path: &str| {
        let url = format!("{}{path}", server.query);
        server.http().get_with(&url, ("x-scope-orgid", tenant))
    };
    let (start, end) = (BEGIN - HOUR, BEGIN + HOUR);
    let paths = [
        "/api/services".to_owned(),
        format!("/api/services/{secret}/operations"),
        format!("/api/operations?service={secret}"),
        format!("/api/traces?service={secret}&start={start}&end={end}"),
        format!("/api/traces/{CHECKOUT}"),
        format!("/api/traces?traceID={CHECKOUT}"),
    ];
    for path in &paths {
        assert!(ask("b", path).text().contains(secret), "{path}");
        assert!(!ask("default", path).text().contains(secret), "{path}");
        assert!(!ask("c", path).text().contains(secret), "{path}");
    }
    assert!(!ask("b", &paths[4]).text().contains("payments"));
    assert_eq!(ask("c", &paths[4]).status, 404);
    let end = BEGIN / 1_000 + 60_000;
    let dependencies = ask("b", &format!("/api/dependencies?endTs={end}&lookback=3600000"));
    assert_eq!(dependencies.json()["data"], json!([]));
}

#[test]
fn who_asks_for_many_traces_gets_the_newest_up_to_the_bound() {
    let server = Home::new().start();
    let spans: Vec<Value> = (1..=60)
        .map(|n| span((&format!("{n:032x}"), n, 0, "one", 2), n as i64, 1, json!({})))
        .collect();
    post(&server, "default", &[of_service("many", &spans)]);
    let found = search(&server, &[("service", "many")]);
    let expected: Vec<String> = (41..=60).rev().map(|n| format!("{n:032x}")).collect();
    assert_eq!(ids(&found), expected, "20 if nothing is said");
    assert_eq!(search(&server, &[("service", "many"), ("limit", "1000000")]).data.len(), 60);
}

#[test]
fn a_trace_with_too_many_spans_is_told_up_to_the_bound_and_says_so() {
    let server = Home::new().start();
    let spans: Vec<Value> =
        (1..=20_003).map(|n| span((CHECKOUT, n, 0, "one", 2), n as i64, 1, json!({}))).collect();
    post(&server, "default", &[of_service("big", &spans)]);
    let alone: decoded::Traces = read(&get(&server, &format!("/api/traces/{CHECKOUT}")));
    for found in [alone, search(&server, &[("service", "big")])] {
        let [trace] = &found.data[..] else { panic!("{}", found.data.len()) };
        assert_eq!(trace.spans.len(), 20_000);
        assert_eq!(trace.spans[0].span_id, format!("{:016x}", 4), "the newest are told");
        let said = &trace.warnings.as_ref().unwrap()[0];
        assert!(said.contains("only the newest 20000 spans"), "{said}");
    }
}
