//! Bad queries, on the real binary: what is wrong is shown where it is, whichever way the query came.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod server;

use std::io::Read;

use serde_json::{Value, json};
use server::Home;
use server::requests::{JSON, lines};

#[test]
fn a_faulty_query_is_shown_with_carets_and_exit_code_2() {
    let server = Home::new().start();
    let faulty = |query: &str| {
        let output = server.logq(&["search", "--", query]);
        assert_eq!((output.code, output.stdout.as_str()), (2, ""), "{query}");
        output.stderr
    };
    insta::assert_snapshot!(faulty("level:error \"timed out"), @r#"
    error[unclosed_quote]: this quote is not closed
      | level:error "timed out
      |             ^ expected a closing `"`
      = help: write `\"` for a quote that is part of the text
    "#);
    insta::assert_snapshot!(faulty("level:error | stts count() by service"), @r"
    error[unknown_stage]: there is no stage `stts`
      | level:error | stts count() by service
      |               ^^^^
      = help: did you mean `stats`?
    ");
    insta::assert_snapshot!(faulty("level:eror OR (service:a"), @r"
    error[unknown_level]: `eror` is no level
      | level:eror OR (service:a
      |       ^^^^ expected trace, debug, info, warn, error, fatal, or a number from 0 to 24
      = help: did you mean `error`?

    error[unclosed_paren]: this parenthesis is not closed
      | level:eror OR (service:a
      |               ^ expected a closing `)`
    ");
}

#[test]
fn a_faulty_query_over_http_is_400_with_code_hint_and_span() {
    let server = Home::new().start();
    let ask = |query: &str| {
        let url = format!("{}/api/v1/query", server.query);
        let answer = server.http().post(&url, &[JSON], json!({ "query": query }).to_string());
        (answer.status, answer.json()["error"].take())
    };
    let (status, error) = ask("level:error | stts count()");
    assert_eq!(status, 400);
    assert_eq!(error["code"], "unknown_stage");
    assert_eq!(error["span"], json!({"start": 14, "end": 18}));
    assert!(error["message"].as_str().unwrap().contains("stts"), "{error}");
    assert!(error["hint"].as_str().unwrap().contains("did you mean `stats`"), "{error}");
    let (status, error) = ask("\"open");
    assert_eq!((status, &error["code"]), (400, &json!("unclosed_quote")));
    assert_eq!(error["span"]["start"], 0);
}

/// A text in a URL or a form.
fn encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

#[test]
fn parameters_of_a_query_that_make_no_sense_are_400() {
    let server = Home::new().start();
    let get = |parameters: &str| {
        server.http().get(&format!("{}/api/v1/query?{parameters}", server.query)).refusal()
    };
    for (parameters, name) in [
        ("query=*&since=yesterday", "since"),
        ("query=*&until=15q", "until"),
        ("query=*&since=1h&until=2h", "since"),
        ("query=*&limit=many", "limit"),
        ("query=*&limit=-1", "limit"),
        ("query=*&limit=1&limit=2", "limit"),
    ] {
        let (status, code, message) = get(parameters);
        assert_eq!((status, code.as_str()), (400, "bad_parameter"), "{parameters}");
        assert!(message.contains(name), "{parameters}: {message}");
    }
    let post = |headers: &[(&str, &str)], body: Vec<u8>| {
        server.http().post(&format!("{}/api/v1/query", server.query), headers, body).refusal()
    };
    for body in ["garbage", "7", "{\"query\":7}", "{\"query\":\"*\",\"limit\":-1}"] {
        let (status, code, _) = post(&[JSON], body.into());
        assert_eq!((status, code.as_str()), (400, "bad_parameter"), "{body}");
    }
    let long = vec![b'a'; 256 * 1_024 + 1];
    let (status, code, message) = post(&[], long);
    assert_eq!((status, code.as_str()), (400, "bad_parameter"));
    assert!(message.contains("262144"), "{message}");
}

#[test]
fn get_form_and_json_give_the_same_answer() {
    let server = Home::new().start();
    assert_eq!(server.jsonl(lines(0..20)).accepted(), 20);
    let url = format!("{}/api/v1/query", server.query);
    let query = "record id:>=5 -\"record 7\"";
    let form = format!("query={}&since=1h&until=now&limit=7", encoded(query));
    let parameters = json!({"query": query, "since": "1h", "until": "now", "limit": 7}).to_string();
    let form_type = ("content-type", "application/x-www-form-urlencoded");
    let answers = [
        server.http().get(&format!("{url}?{form}")),
        server.http().post(&format!("{url}?{form}"), &[], ""),
        server.http().post(&url, &[form_type], form),
        server.http().post(&url, &[JSON], parameters),
    ];
    let rows = answers.map(|answer| {
        assert_eq!(
            (answer.status, answer.header("content-type")),
            (200, Some("application/x-ndjson"))
        );
        let text = answer.text();
        let (rows, last) = text.trim_end().rsplit_once('\n').unwrap();
        let last: Value = serde_json::from_str(last).unwrap();
        let summary = &last["summary"];
        assert_eq!((&summary["complete"], &summary["rows"]), (&json!(true), &json!(7)), "{last}");
        rows.to_owned()
    });
    assert_eq!(rows[0].lines().count(), 7);
    assert!(rows.iter().all(|other| *other == rows[0]), "{rows:?}");
}

#[test]
fn faults_of_the_filter_and_of_stages_are_shown_together() {
    let output = server::logq(&["search", "--", "level:eror | where msg > 5 | sort"]);
    assert_eq!(output.code, 2);
    for part in ["unknown_level", "type_mismatch", "the stage ends too early"] {
        assert!(output.stderr.contains(part), "{output:?}");
    }
}

#[test]
fn queries_that_would_cost_too_much_are_refused_at_once_and_large_limits_are_held_to_the_bound() {
    let server = Home::new().start();
    assert_eq!(server.jsonl("{\"msg\":\"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\"}").status, 200);
    let refused = |query: &str| {
        let output = server.logq(&["search", "--", query]);
        assert_eq!((output.code, output.stdout.as_str()), (2, ""));
        output.stderr
    };
    assert!(refused(&"a ".repeat(40_000)).contains("a query has at most 65536 bytes"));
    assert!(refused("msg:/(a*)*(b|c){1000}{1000}/").contains("takes more than"));
    assert!(refused("* | eval a = 1 + true").contains("wants numbers"));
    let megabyte = json!({ "query": "(".repeat(1 << 20) }).to_string();
    let url = format!("{}/api/v1/query", server.query);
    assert_eq!(server.http().post(&url, &[JSON], megabyte.into_bytes()).refusal().0, 400);
    // What makes other engines try for ever is linear here.
    assert_eq!(server.logq(&["msg:/(x+x+)+y/"]).code, 1);
    let all = server.logq(&["*", "-n", "1000000000000", "-o", "json"]);
    assert_eq!((all.code, all.json_lines().len()), (0, 1));
}

#[test]
fn an_answer_whose_server_dies_is_partial_and_says_so() {
    let server = Home::new().start();
    let lines: Vec<String> =
        (0..40_000).map(|n| json!({ "msg": "x".repeat(200), "n": n }).to_string()).collect();
    assert_eq!(server.jsonl(lines.join("\n")).status, 200);
    let mut client = server.spawn(&["*", "-n", "all", "-o", "json"]);
    let mut stdout = client.stdout.take().unwrap();
    // More is under way than fits into the pipe and the connection.
    stdout.read_exact(&mut [0; 1_000]).unwrap();
    server.kill();
    let mut rest = Vec::new();
    stdout.read_to_end(&mut rest).unwrap();
    let ended = client.wait_with_output().unwrap();
    assert_eq!(ended.status.code(), Some(4));
    let said = String::from_utf8(ended.stderr).unwrap();
    assert!(said.contains("partial"), "{said}");
    assert!(rest.len() < 12_000_000);
}
