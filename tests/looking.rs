//! What is there, what comes, and what a query would do, on the real binary: `fields`, `values`, `services`, `stats`,
//! `explain`, `fmt`, `help`, `tail`, `wait`, and answers in pages.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod server;

use std::io::{BufRead, BufReader, Read};
use std::net::TcpListener;
use std::process::Child;

use serde_json::{Value, json};
use server::requests::JSON;
use server::{Home, Server};

/// A record of now.
fn record(service: &str, level: &str, message: &str, more: Value) -> String {
    let mut record = json!({
        "time": jiff::Timestamp::now().to_string(),
        "service": service,
        "level": level,
        "msg": message,
    });
    record.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    record.to_string()
}

fn filled() -> Server {
    let server = Home::new().start();
    let lines = [
        record("orders", "info", "order placed", json!({"order_id": "o-1", "duration_ms": 12.5})),
        record("orders", "error", "order failed", json!({"order_id": "o-2", "duration_ms": 40})),
        record("payments", "info", "paid", json!({"order_id": "o-1", "odd name": true})),
    ];
    assert_eq!(server.jsonl(lines.join("\n")).status, 200);
    server
}

#[test]
fn fields_values_services_and_stats_tell_what_is_there() {
    let server = filled();
    let fields = server.logq(&["fields", "-o", "json"]).json_lines().swap_remove(0);
    assert_eq!((&fields["records"], &fields["all"]), (&json!(3), &json!(true)), "{fields}");
    let field = |name: &str| -> Value {
        let all = fields["fields"].as_array().unwrap();
        all.iter().find(|field| field["name"] == name).cloned().unwrap_or_default()
    };
    assert_eq!(field("order_id")["records"], 3);
    assert_eq!(field("duration_ms")["types"], json!(["float", "integer"]));
    assert_eq!(field("odd name")["examples"], json!(["true"]));
    let text = server.logq(&["fields", "service:payments"]);
    assert!(text.stdout.contains("odd name") && !text.stdout.contains("duration_ms"), "{text:?}");

    let values = server.logq(&["values", "service", "-o", "json"]).json_lines();
    assert_eq!(values[0], json!({"service": "orders", "count": 2, "percent": 66.67}));
    let odd = server.logq(&["values", "odd name", "-o", "json"]).json_lines();
    assert_eq!(odd[0]["count"], 1);

    let services = server.logq(&["services", "-o", "json"]).json_lines();
    assert_eq!((&services[0]["service"], &services[0]["errors"]), (&json!("orders"), &json!(1)));

    server.flush();
    let stats = server.logq(&["stats", "-o", "json"]).json_lines();
    assert_eq!((&stats[0]["records"], &stats[0]["segments"]), (&json!(3), &json!(1)), "{stats:?}");
    assert_eq!(stats[1]["service"], "orders");
    let nothing = server.logq(&["fields", "nowhere"]);
    assert_eq!(nothing.code, 1, "{nothing:?}");
}

#[test]
fn a_query_is_explained_before_and_after_it_ran() {
    let server = filled();
    server.flush();
    let plan = server.logq(&["explain", "placed", "-o", "json"]).json_lines().swap_remove(0);
    assert_eq!((&plan["rows_at_most"], &plan["exact"]), (&json!(1), &json!(true)), "{plan}");
    let both = server.logq(&["nowhere | stats count()", "--explain"]);
    assert!(both.stdout.contains("the index rules 1 of them out"), "{both:?}");
    assert!(both.stdout.contains("found    0 records, gave out 1 rows"), "{both:?}");
    assert_eq!(server.logq(&["explain", "level:eror"]).code, 2);
}

#[test]
fn when_nothing_is_found_the_answer_says_where_something_is() {
    let server = Home::new().start();
    let old = (jiff::Timestamp::now() - jiff::SignedDuration::from_hours(73)).to_string();
    let line = json!({"time": old, "msg": "long ago", "order_id": "o-1"}).to_string();
    assert_eq!(server.jsonl(line).status, 200);
    let found = server.logq(&["ago"]);
    assert_eq!(found.code, 1);
    assert!(found.stderr.contains("newest match 3 days ago: --since 4d"), "{found:?}");
    assert_eq!(server.logq(&["ago", "--since", "4d"]).code, 0);
    let never = server.logq(&["never"]);
    assert!(never.stderr.contains("nothing matches at any time"), "{never:?}");
    let ask = json!({"query": "order_di:x"}).to_string();
    let answer = server.http().post(&format!("{}/api/v1/query", server.query), &[JSON], ask);
    assert!(answer.text().contains("no record has a field `order_di`; did you mean `order_id`?"));
}

#[test]
fn queries_are_formatted_and_the_language_explains_itself() {
    let run = |arguments: &[&str]| server::logq(arguments);
    let formatted = run(&["fmt", "level:error|stats count() by service ,level|sort -count"]);
    let expected = "level:error\n| stats count() by service, level\n| sort -count\n";
    assert_eq!((formatted.code, formatted.stdout.as_str()), (0, expected));
    assert_eq!(run(&["fmt", "| stts"]).code, 2);
    for (topic, part) in [
        ("language", "\"two words\""),
        ("stages", "timechart [SPAN]"),
        ("functions", "substring(TEXT, START, LENGTH)"),
        ("fields", "correlation_id"),
        ("dedup", "dedup FIELD"),
        ("tail", "Follow records"),
    ] {
        let help = run(&["help", topic]);
        assert!(help.code == 0 && help.stdout.contains(part), "{topic}: {help:?}");
    }
    for help in query::STAGES {
        query::Plan::new(help.example).unwrap_or_else(|error| panic!("{}: {error}", help.name));
    }
    let unknown = run(&["help", "langauge"]);
    assert!(
        unknown.code == 2 && unknown.stderr.contains("did you mean `language`?"),
        "{unknown:?}"
    );
}

/// Ends a child whatever becomes of the test.
struct Reading(Child, BufReader<std::process::ChildStdout>);

impl Reading {
    fn of(mut child: Child) -> Self {
        let stdout = BufReader::new(child.stdout.take().unwrap());
        Self(child, stdout)
    }

    fn line(&mut self) -> Value {
        let mut line = String::new();
        self.1.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{line:?}: {error}"))
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_follower_sees_what_comes_and_goes_on_after_a_restart() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let home = Home::new();
    let start = || {
        let mut up = home.up();
        up.env("LOGQ__QUERY__HTTP", &port);
        home.start_by(up, "stop ")
    };
    let server = start();
    server.jsonl(record("a", "info", "before", json!({})));
    let mut tail =
        Reading::of(server.spawn(&["tail", "level:error | eval n = n * 2", "-o", "json"]));
    // It has begun when it shows what comes; until then records come again.
    let mut n = 0;
    let url = format!("{}/ingest/jsonl", server.ingest);
    let (stop, stopped) = std::sync::mpsc::channel::<()>();
    let http = server.another_client();
    let sender = std::thread::spawn(move || {
        while stopped.try_recv().is_err() {
            n += 1;
            let line = record("a", "error", "wrong", json!({ "n": n }));
            let other = record("a", "info", "fine", json!({ "n": n }));
            http.post(&url, &[], format!("{line}\n{other}"));
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        n
    });
    let first = tail.line();
    let mut seen = vec![first["n"].as_i64().unwrap() / 2];
    assert_eq!(first["message"], "wrong");
    for _ in 0..5 {
        seen.push(tail.line()["n"].as_i64().unwrap() / 2);
    }
    stop.send(()).unwrap();
    let last = sender.join().unwrap();
    while seen[seen.len() - 1] < last {
        seen.push(tail.line()["n"].as_i64().unwrap() / 2);
    }
    let expected: Vec<i64> = (seen[0]..=last).collect();
    assert_eq!(seen, expected, "each once, in order");
    server.kill();
    let server = start();
    server.jsonl(record("a", "error", "after", json!({"n": 1_000})));
    assert_eq!(tail.line()["message"], "after");
    tail.0.kill().unwrap();
    let mut said = String::new();
    tail.0.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert!(said.contains("connecting again"), "{said}");
}

#[test]
fn waiting_ends_with_a_record_or_with_the_time() {
    let server = filled();
    let there = server.logq(&["wait", "msg:paid", "-o", "json"]);
    assert_eq!((there.code, there.json_lines().len()), (0, 1));
    let late = server.logq(&["wait", "nothing-like-it", "--timeout", "300ms"]);
    assert_eq!((late.code, late.stdout.as_str()), (1, ""), "{late:?}");
    assert!(late.stderr.contains("nothing matched within 300ms"));
    assert_eq!(server.logq(&["wait", "level:eror"]).code, 2);
    assert_eq!(server.logq(&["wait", "a | stats count()", "--timeout", "5s"]).code, 2);

    let mut waiting = Reading::of(server.spawn(&["wait", "order_id:o-9", "-o", "json"]));
    while waiting.0.try_wait().unwrap().is_none() {
        server.jsonl(record("orders", "info", "order placed", json!({"order_id": "o-9"})));
    }
    assert!(waiting.0.wait().unwrap().success());
    assert_eq!(waiting.line()["attributes"]["order_id"], "o-9");
}

#[test]
fn an_answer_over_http_goes_on_below_the_last_record() {
    let server = Home::new().start();
    let lines: Vec<String> =
        (0..25).map(|n| record("a", "info", "one", json!({ "n": n }))).collect();
    server.jsonl(lines.join("\n"));
    let url = format!("{}/api/v1/query", server.query);
    let (mut found, mut below) = (Vec::new(), Value::Null);
    loop {
        let body = json!({"query": "*", "limit": 10, "below": below}).to_string();
        let answer = server.http().post(&url, &[JSON], body);
        let mut lines: Vec<Value> =
            answer.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let summary = lines.pop().unwrap();
        found.extend(lines.iter().map(|line| line["attributes"]["n"].as_i64().unwrap()));
        below = summary["summary"]["next"].clone();
        if below.is_null() {
            break;
        }
    }
    found.sort_unstable();
    assert_eq!(found, (0..25).collect::<Vec<i64>>());
    let refused = json!({"query": "* | stats count()", "below": "1,1"}).to_string();
    assert_eq!(server.http().post(&url, &[JSON], refused).status, 400);
}
