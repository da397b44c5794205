//! Traces and stories on the real binary: spans come in over OTLP, records as lines, and are told together.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod server;

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use server::requests::JSON;
use server::{Home, Server};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

/// Nanoseconds; a minute ago, so that what is missing is missed.
fn minute_ago() -> i64 {
    (jiff::Timestamp::now().as_nanosecond() - 60_000_000_000) as i64
}

fn attributes(attributes: &Value) -> Value {
    let attributes = attributes.as_object().unwrap().iter();
    attributes
        .map(|(key, value)| match value {
            Value::String(text) => json!({"key": key, "value": {"stringValue": text}}),
            number => json!({"key": key, "value": {"intValue": number.to_string()}}),
        })
        .collect()
}

/// A span in OTLP's JSON; times in milliseconds from `begin`.
fn span(
    id: u64,
    parent: u64,
    name: &str,
    kind: u8,
    begin: i64,
    (at, ms): (f64, f64),
    more: &Value,
) -> Value {
    let time = |ms: f64| (begin + (ms * 1e6) as i64).to_string();
    json!({
        "traceId": TRACE, "spanId": format!("{id:016x}"), "name": name, "kind": kind,
        "parentSpanId": if parent > 0 { format!("{parent:016x}") } else { String::new() },
        "startTimeUnixNano": time(at), "endTimeUnixNano": time(at + ms),
        "attributes": attributes(more), "status": more.get("failed").map(|text| json!({"code": 2, "message": text})),
    })
}

fn send(server: &Server, service: &str, host: &str, spans: &[Value]) {
    let resource = attributes(&json!({"service.name": service, "host.name": host}));
    let body = json!({"resourceSpans": [{"resource": {"attributes": resource}, "scopeSpans": [{"spans": spans}]}]});
    let answer = server.ingest("/v1/traces", &[JSON], body.to_string().into_bytes());
    assert_eq!((answer.status, answer.text().trim()), (200, "{}"), "{}", answer.text());
}

/// A checkout over three hosts, one of whose clocks is three seconds fast; its card is declined, and what was done is
/// undone.
fn checkout(server: &Server) {
    let begin = minute_ago();
    let id = |more: Value| {
        let mut more = more;
        more["correlation_id"] = json!("c-77");
        more
    };
    let http = json!({"http.request.method": "POST", "http.response.status_code": 402, "failed": "card declined"});
    send(
        server,
        "gateway",
        "h1",
        &[
            span(1, 0, "POST /checkout", 2, begin, (0.0, 820.0), &id(http.clone())),
            span(2, 1, "POST orders", 3, begin, (8.0, 800.0), &id(json!({}))),
        ],
    );
    let step = |number: u32, name: &str, more: Value| {
        let mut step = json!({"saga.name": "place-order", "saga.id": "o-1", "saga.step.name": name, "saga.step.number": number});
        step.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        id(step)
    };
    let declined = json!({"error.type": "card_declined", "failed": "declined"});
    send(
        server,
        "orders",
        "h2",
        &[
            span(3, 2, "POST /orders", 2, begin, (3_012.0, 780.0), &id(http)),
            span(
                4,
                3,
                "reserve-stock",
                1,
                begin,
                (3_020.0, 30.0),
                &step(1, "reserve-stock", json!({})),
            ),
            span(5, 3, "authorise", 1, begin, (3_060.0, 500.0), &step(2, "authorise", declined)),
            // No correlation id of its own: the trace says where it belongs.
            span(6, 5, "POST payments", 3, begin, (3_065.0, 480.0), &json!({})),
        ],
    );
    send(
        server,
        "payments",
        "h3",
        &[span(
            7,
            6,
            "POST /payments",
            2,
            begin,
            (75.0, 460.0),
            &id(json!({"failed": "declined by issuer"})),
        )],
    );
    let time = |ms: i64| {
        jiff::Timestamp::from_nanosecond(i128::from(begin + ms * 1_000_000)).unwrap().to_string()
    };
    let saga = |event: &str, at: i64, more: Value| {
        let mut line = json!({"time": time(at), "service": "orders", "host": "h2", "level": "info", "message": event,
            "correlation_id": "c-77", "event_name": event, "saga.name": "place-order", "saga.id": "o-1",
            "trace_id": TRACE, "span_id": format!("{:016x}", 3)});
        line.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        line.to_string()
    };
    let lines = [
        json!({"time": time(400), "service": "payments", "host": "h3", "level": "error", "message": "card declined",
               "correlation_id": "c-77", "trace_id": TRACE, "span_id": format!("{:016x}", 7)}).to_string(),
        saga("saga.compensation.completed", 3_600, json!({"saga.step.name": "reserve-stock", "saga.step.number": 1})),
        saga("saga.compensated", 3_700, json!({"error.type": "card_declined", "level": "warn"})),
        json!({"time": time(700), "service": "orders", "host": "h1", "level": "info", "message": "told the customer",
               "correlation_id": "c-77", "event_name": "message.published", "messaging.system": "q",
               "messaging.destination.name": "mails", "messaging.message.id": "m-1"}).to_string(),
    ];
    assert_eq!(server.jsonl(lines.join("\n")).status, 200);
}

#[test]
fn a_story_says_how_it_ended_what_went_wrong_first_and_what_is_missing() {
    let server = Home::new().start();
    checkout(&server);
    let told = |story: &Value| {
        assert_eq!(story["outcome"]["state"], "running", "a message is on its way: {story}");
        assert_eq!((&story["records"], &story["spans"]), (&json!(4), &json!(7)));
        assert_eq!(story["first_error"]["message"], "card declined");
        assert_eq!(story["holes"][0]["kind"], "message_unconsumed");
        assert_eq!(story["clocks"].as_array().unwrap().len(), 2, "{}", story["clocks"]);
        let steps: Vec<&str> = story["sagas"][0]["steps"]
            .as_array()
            .unwrap()
            .iter()
            .map(|step| step["state"].as_str().unwrap())
            .collect();
        assert_eq!(steps, ["undone", "failed"]);
        let rows: Vec<&str> = story["rows"]
            .as_array()
            .unwrap()
            .iter()
            .map(|row| row["message"].as_str().unwrap())
            .collect();
        assert_eq!(
            rows,
            [
                "POST /checkout",
                "POST orders",
                "POST /orders",
                "reserve-stock",
                "authorise",
                "POST payments",
                "POST /payments",
                "card declined",
                "saga.compensation.completed",
                "told the customer",
                "saga.compensated",
            ]
        );
    };
    let url = format!("{}/api/v1/correlations/c-77", server.query);
    told(&server.http().get(&url).json());
    let text = server.logq(&["story", "c-77"]);
    assert_eq!(text.code, 0, "{}", text.stderr);
    assert!(
        text.stdout.contains("first error  +406.0 ms payments: card declined"),
        "{}",
        text.stdout
    );
    assert!(text.stdout.contains(
        "saga         place-order o-1 compensated: 1 reserve-stock undone · 2 authorise failed"
    ));
    assert!(
        text.stdout.contains("m-1 was published to mails and received by nobody"),
        "{}",
        text.stdout
    );

    // The message arrives: the saga's end is the story's.
    let line = json!({"service": "mail", "host": "h1", "message": "mail sent", "correlation_id": "c-77",
        "event_name": "message.processed", "messaging.system": "q", "messaging.destination.name": "mails", "messaging.message.id": "m-1"});
    assert_eq!(server.jsonl(line.to_string()).status, 200);
    let story = server.http().get(&url).json();
    assert_eq!(story["outcome"]["state"], "compensated", "{}", story["outcome"]);
    assert_eq!(story["holes"], json!([]));

    let listed = server.logq(&["stories", "from spans status:error", "--since", "1h", "-o", "csv"]);
    assert_eq!(listed.code, 0, "{}", listed.stderr);
    assert!(
        listed.stdout.lines().nth(1).unwrap().starts_with("c-77,compensated,"),
        "{}",
        listed.stdout
    );
}

#[test]
fn a_trace_is_drawn_with_its_records_and_repaired_clocks_also_after_a_restart() {
    let home = Home::new();
    let server = home.start();
    checkout(&server);
    server.kill();
    let server = home.start();
    let drawn = server.logq(&["trace", TRACE]);
    assert_eq!(drawn.code, 0, "{}", drawn.stderr);
    let tree: Vec<&str> = drawn
        .stdout
        .lines()
        .filter_map(|line| {
            let rest = line
                .strip_prefix("gateway   ")
                .or_else(|| line.strip_prefix("orders    "))
                .or_else(|| line.strip_prefix("payments  "))?;
            rest.split("  █").next().map(str::trim_end)
        })
        .collect();
    let names: Vec<String> =
        tree.iter().map(|line| line.split('█').next().unwrap().trim_end().to_owned()).collect();
    assert_eq!(
        names[..7],
        [
            "POST /checkout",
            "  POST orders",
            "    POST /orders",
            "      reserve-stock",
            "      authorise",
            "        POST payments",
            "          POST /payments",
        ],
        "{}",
        drawn.stdout
    );
    assert!(
        names[7].starts_with("            · ERROR card declined +406.0 ms"),
        "{}",
        drawn.stdout
    );
    assert!(drawn.stdout.contains("h2 differs: its times were moved by -29"), "{}", drawn.stdout);
    assert!(drawn.stdout.contains("7 spans, 3 records, 4 failed spans"), "{}", drawn.stdout);
    // The numbers of a query over spans are the same as those of the view.
    let slow = server.search("from spans duration:>600ms kind:server status:error");
    assert_eq!(slow.len(), 2);
}

#[test]
fn what_sets_failed_interactions_apart_is_ranked() {
    let server = Home::new().start();
    let mut lines = Vec::new();
    for n in 0..20 {
        let failed = n % 4 == 0;
        let base = json!({"correlation_id": format!("c-{n}"), "service": "orders", "order": n});
        let mut one = |message: String, more: Value| {
            let mut line = base.clone();
            line["message"] = json!(message);
            line.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            lines.push(line.to_string());
        };
        one(
            format!("order {n} came in"),
            json!({"region": if failed { "north" } else { "south" }}),
        );
        if failed {
            one(
                format!("card of customer {n} declined"),
                json!({"level": "error", "service": "payments"}),
            );
        } else {
            one(format!("order {n} was confirmed"), json!({}));
        }
    }
    assert_eq!(server.jsonl(lines.join("\n")).status, 200);
    let diff = server.logq(&["diff", "level:error", "-o", "json"]).stdout;
    let diff: Value = serde_json::from_str(&diff).unwrap();
    assert_eq!((&diff["interactions"], &diff["others"]), (&json!(5), &json!(15)));
    let traits: Vec<String> = diff["traits"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| {
            format!(
                "{} {} {} {}",
                one["kind"].as_str().unwrap(),
                one["what"].as_str().unwrap(),
                one["having"],
                one["others_having"]
            )
        })
        .collect();
    for expected in [
        "service payments 5 0",
        "field region=north 5 0",
        "field region=south 0 15",
        "field level=error 5 0",
    ] {
        assert!(traits.contains(&expected.to_owned()), "{expected}: {traits:#?}");
    }
    assert!(traits.iter().any(|one| one.starts_with("pattern card of customer") && one.ends_with("declined 5 0")), "{traits:#?}");
    assert!(
        !traits.iter().any(|one| one.contains("order=")),
        "an id sets nothing apart: {traits:#?}"
    );
}

#[test]
fn long_traces_and_stories_are_told_in_a_moment_with_the_middle_left_out() {
    let server = Home::new().start();
    let begin = minute_ago();
    let spans: Vec<Value> = (1..=10_000_u64)
        .map(|n| span(n, n / 3, "step", 1, begin, (n as f64, 5.0), &json!({})))
        .collect();
    for some in spans.chunks(2_000) {
        send(&server, "long", "h1", some);
    }
    let lines: Vec<String> = (0..50_000)
        .map(|n| json!({"correlation_id": "long", "service": "s", "message": format!("record {n}"), "n": n}).to_string())
        .collect();
    for some in lines.chunks(10_000) {
        assert_eq!(server.jsonl(some.join("\n")).status, 200);
    }
    let timed = |arguments: &[&str]| {
        let begun = Instant::now();
        let output = server.logq(arguments);
        assert_eq!(output.code, 0, "{}", output.stderr);
        (begun.elapsed(), output.stdout)
    };
    let (took, trace) = timed(&["trace", TRACE]);
    assert!(
        trace.contains("10000 spans") && trace.contains("rows are left out"),
        "{}",
        &trace[..300]
    );
    assert!(trace.lines().count() < 2_100);
    let (took_story, story) = timed(&["story", "long"]);
    assert!(
        story.contains("50000 records") && story.contains("48000 more are left out"),
        "{}",
        &story[..300]
    );
    // A debug build on a busy machine takes ten times as long as what is promised.
    assert!(took.max(took_story) < Duration::from_secs(20), "{took:?}, {took_story:?}");
    server::tell(&format!(
        "10,000 spans in {took:?}, 50,000 records in {took_story:?}, server at most {} MB",
        server.memory_peak_bytes() / 1_000_000
    ));
}

#[test]
fn what_is_not_there_or_makes_no_sense_is_said() {
    let server = Home::new().start();
    let nothing = server.logq(&["story", "nope"]);
    assert_eq!(
        (nothing.code, nothing.stderr.as_str()),
        (1, "logq: nothing is known of the correlation \"nope\"\n")
    );
    let nothing = server.logq(&["trace", TRACE]);
    assert_eq!(nothing.code, 1, "{}", nothing.stderr);
    let bad = server.logq(&["trace", "xyz"]);
    assert!(bad.code == 2 && bad.stderr.contains("a trace id of 32 hex digits"), "{}", bad.stderr);
    let bad = server.logq(&["stories", "level:erro"]);
    assert!(bad.code == 2 && bad.stderr.contains("did you mean `error`?"), "{}", bad.stderr);
    let staged = server.logq(&["stories", "* | head 5"]);
    assert!(staged.code == 2 && staged.stderr.contains("without stages"), "{}", staged.stderr);
    let parameter =
        server.http().get(&format!("{}/api/v1/correlations/x?row=5", server.query)).refusal();
    assert_eq!((parameter.0, parameter.1.as_str()), (400, "bad_parameter"));
    // Spans that senders get wrong are told all the same.
    let begin = minute_ago();
    let mut own = span(5, 5, "own parent", 1, begin, (0.0, 1.0), &json!({"correlation_id": "odd"}));
    own["endTimeUnixNano"] = json!((begin - 5_000_000).to_string());
    let circle = [
        span(6, 7, "one", 1, begin, (0.0, 1.0), &json!({})),
        span(7, 6, "two", 1, begin, (0.0, 1.0), &json!({})),
    ];
    let mut zeros = span(8, 0, "zeros", 1, begin, (0.0, 1.0), &json!({"correlation_id": "odd"}));
    zeros["traceId"] = json!("0".repeat(32));
    let twice = span(9, 0, "twice", 1, begin, (0.0, 1.0), &json!({}));
    send(&server, "odd", "h", &[vec![own, zeros, twice.clone(), twice], circle.to_vec()].concat());
    let story = server.logq(&["story", "odd", "-o", "json"]);
    let story: Value = serde_json::from_str(&story.stdout).unwrap();
    assert_eq!(story["spans"], 6, "{story}");
    let trace = server.logq(&["trace", TRACE]).stdout;
    for note in [
        "it names itself as its parent",
        "its parents go in a circle",
        "another span has the same id",
    ] {
        assert!(trace.contains(note), "{note}: {trace}");
    }
}
