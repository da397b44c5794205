//! Bad input, on the real binary: what is refused leaves nothing behind, and what is taken can be found.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod server;

use std::collections::BTreeSet;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use server::requests::{
    GZIP, JSON, PROTOBUF, assert_nothing_is_stored, gzip, ids, lines, named, otlp, send_named,
};
use server::{Home, Server};
const MIB: usize = 1 << 20;

/// Code and message of a `google.rpc.Status` in protobuf: field 1, a varint below 128, and field 2, a string.
fn status_of_protobuf(body: &[u8]) -> (u8, String) {
    let [0x08, code, 0x12, rest @ ..] = body else { panic!("no google.rpc.Status: {body:?}") };
    let (length_bytes, length) = match rest {
        [low, high, ..] if low & 0x80 != 0 => {
            (2, usize::from(low & 0x7f) | usize::from(*high) << 7)
        }
        [length, ..] => (1, usize::from(*length)),
        [] => panic!("no length"),
    };
    let message = &rest[length_bytes..];
    assert_eq!(message.len(), length);
    (*code, String::from_utf8(message.to_vec()).unwrap())
}

#[test]
fn a_truncated_gzip_body_is_400_and_nothing_is_stored() {
    let server = Home::new().start();
    let whole = gzip(lines(0..1_000).as_bytes());
    for length in [0, 1, 10, whole.len() / 2, whole.len() - 1] {
        let answer = server.ingest("/ingest/jsonl", &[GZIP], &whole[..length]);
        let (status, code, message) = answer.refusal();
        assert_eq!((status, code.as_str()), (400, "bad_compression"), "{length}: {message}");
        let answer = server.ingest("/v1/logs", &[GZIP, PROTOBUF], &whole[..length]);
        assert_eq!((answer.status, status_of_protobuf(&answer.body).0), (400, 3), "{length}");
    }
    assert_nothing_is_stored(&server);
    assert_eq!(server.ingest("/ingest/jsonl", &[GZIP], whole).accepted(), 1_000);
}

#[test]
fn garbage_is_400_with_a_status_in_the_encoding_of_the_request() {
    let server = Home::new().start();
    for garbage in
        [&b"garbage"[..], b"\x0a\xff\xff\xff\xff\x0f", b"\x0a\x05\x12\x03ab", &[0xff; 64]]
    {
        let answer = server.ingest("/v1/logs", &[PROTOBUF], garbage);
        assert_eq!((answer.status, answer.header("content-type")), (400, Some(PROTOBUF.1)));
        let (code, message) = status_of_protobuf(&answer.body);
        assert_eq!(code, 3, "INVALID_ARGUMENT");
        assert!(message.contains("protobuf"), "{message}");
    }
    for garbage in ["garbage", "{\"resourceLogs\":[{", "7", "{\"resourceLogs\":7}"] {
        let answer = server.ingest("/v1/logs", &[JSON], garbage);
        assert_eq!(
            (answer.status, answer.header("content-type")),
            (400, Some(JSON.1)),
            "{garbage}"
        );
        assert_eq!(answer.json()["code"], 3, "{garbage}");
        assert!(!answer.json()["message"].as_str().unwrap().is_empty());
    }
    for garbage in ["garbage", "{\"message\":", "7", "[1,2]", "null"] {
        let (status, code, _) = server.jsonl(garbage).refusal();
        assert_eq!((status, code.as_str()), (400, "malformed_body"), "{garbage}");
    }
    assert_nothing_is_stored(&server);
}

#[test]
fn an_unknown_content_type_is_415() {
    let server = Home::new().start();
    for content_type in ["text/plain", "application/x-protobufs", "nonsense"] {
        let answer = server.ingest("/v1/logs", &[("content-type", content_type)], otlp("a"));
        assert_eq!(answer.status, 415);
        assert!(answer.text().contains(content_type), "{}", answer.text());
    }
    assert_nothing_is_stored(&server);
}

#[test]
fn an_unknown_encoding_is_415() {
    let server = Home::new().start();
    let (status, code, message) =
        server.ingest("/ingest/jsonl", &[("content-encoding", "br")], lines(0..1)).refusal();
    assert_eq!((status, code.as_str()), (415, "unknown_encoding"));
    assert!(message.contains("`br`") && message.contains("gzip"), "{message}");
    let answer = server.ingest("/v1/logs", &[PROTOBUF, ("content-encoding", "br")], otlp("a"));
    assert_eq!(answer.status, 415);
    assert_nothing_is_stored(&server);
}

#[test]
fn a_line_of_10_mb_is_413_with_its_number_and_nothing_is_stored() {
    let server = Home::new().start();
    let long = format!("{{\"message\":\"{}\"}}\n", "x".repeat(10_000_000));
    let body = lines(0..2) + &long + &lines(2..4);
    for (headers, body) in [(&[][..], body.clone().into_bytes()), (&[GZIP], gzip(body.as_bytes()))]
    {
        let (status, code, message) = server.ingest("/ingest/jsonl", headers, body).refusal();
        assert_eq!((status, code.as_str()), (413, "line_too_long"));
        assert!(message.starts_with("line 3 is 10000014 bytes long"), "{message}");
    }
    assert_nothing_is_stored(&server);
}

#[test]
fn a_line_of_10_mb_is_shipped_in_marked_parts_that_are_all_found() {
    let home = Home::new();
    let server = home.start();
    // Characters of several bytes, so that cuts fall between some of them.
    let long: String = (0..).map(|n| format!("wört{n} ")).take(1_000_000).collect();
    let log = home.write("long.log", format!("before\n{long}\nafter\n"));
    let shipped = server.logq(&["ship", "--format", "raw", log.to_str().unwrap()]);
    assert_eq!(shipped.code, 0, "{shipped:?}");
    let parts = long.len().div_ceil(MIB);
    assert!(parts >= 10);
    assert!(
        shipped.stdout.contains(&format!(
            "3 lines read, {} records accepted, 0 lines did not parse (raw), {parts} records are parts",
            parts + 2
        )),
        "{}",
        shipped.stdout
    );
    let mut found = server.search("logq.line_part:*");
    found.sort_by_key(|record| record["source.offset"].as_u64());
    let marks: Vec<&str> =
        found.iter().map(|part| part["attributes"]["logq.line_part"].as_str().unwrap()).collect();
    let mut expected: Vec<String> = (1..parts).map(|part| format!("{part}/?")).collect();
    expected.push(format!("{parts}/{parts}"));
    assert_eq!(marks, expected);
    let joined: String = found.iter().map(|part| part["message"].as_str().unwrap()).collect();
    assert!(joined == long, "the parts are not the line");
    assert_eq!(server.search("wört0").len(), 1);
    assert_eq!(server.search("wört999998").len(), 1, "a word of the last part");
    assert_eq!(server.search("before OR after").len(), 2);
}

#[test]
fn invalid_utf_8_is_kept_readable_with_its_original_bytes() {
    let server = Home::new().start();
    let line = b"{\"message\":\"caf\xe9 posted \xf0\x9f\",\"way\":\"jsonl\"}";
    let body = [&line[..], b"\n{\"message\":\"caf\xc3\xa9 posted\",\"way\":\"jsonl\"}\n"].concat();
    assert_eq!(server.jsonl(body).accepted(), 2);
    let shipped =
        server.logq_with_input(&["ship", "--format", "raw", "-"], b"caf\xe9 shipped\nfine");
    assert_eq!(shipped.code, 0, "{shipped:?}");
    let check = |when: &str| {
        let found = server.search("logq.original_bytes:* posted");
        let [posted] = &found[..] else { panic!("{when}: {found:?}") };
        assert_eq!(posted["message"], "caf\u{fffd} posted \u{fffd}", "{when}");
        assert_eq!(posted["attributes"]["logq.original_bytes"], STANDARD.encode(line), "{when}");
        let found = server.search("logq.original_bytes:* shipped");
        let [shipped] = &found[..] else { panic!("{when}: {found:?}") };
        assert_eq!(shipped["message"], "caf\u{fffd} shipped", "{when}");
        let original = STANDARD.encode(b"caf\xe9 shipped");
        assert_eq!(shipped["attributes"]["logq.original_bytes"], original, "{when}");
        assert_eq!(server.search("*").len(), 4, "{when}");
        assert_eq!(server.search("café").len(), 1, "{when}");
    };
    check("in parts");
    assert_eq!(server.flush().status, 200);
    check("in segments");
}

#[test]
fn a_time_that_does_not_fit_becomes_the_observed_time_and_keeps_its_text() {
    let server = Home::new().start();
    let far = "3000-01-01T00:00:00Z";
    let body = format!(
        "{{\"time\":\"{far}\",\"message\":\"far\"}}\n{{\"time\":\"soon\",\"message\":\"no time\"}}\n"
    );
    assert_eq!(server.jsonl(body).accepted(), 2);
    let line = format!("{{\"time\":\"{far}\",\"message\":\"far and shipped\"}}\n");
    let shipped = server.logq_with_input(&["ship", "--format", "json", "-"], line.as_bytes());
    assert!(shipped.stdout.contains(", 1 times could not be read"), "{shipped:?}");
    for (query, text, count) in [("far", far, 2), ("\"no time\"", "soon", 1)] {
        // Found among the records of the last minutes, which is when it was observed.
        let found = server.logq(&[query, "-o", "json"]).json_lines();
        assert_eq!(found.len(), count, "{query}");
        for record in found {
            assert_eq!(record["timestamp"], record["observed_timestamp"], "{record}");
            assert_eq!(record["attributes"]["logq.timestamp_text"], text, "{record}");
        }
    }
    // The third was replaced and counted by the shipper.
    assert_eq!(server.ledger()["timestamps_replaced"], 2);
}

#[test]
fn a_time_in_the_future_is_stored_and_a_search_before_it_says_so() {
    let server = Home::new().start();
    assert_eq!(
        server.jsonl("{\"time\":\"2200-01-01T00:00:00Z\",\"message\":\"later\"}").accepted(),
        1
    );
    let output = server.logq(&["later", "--since", "100y"]);
    assert_eq!((output.code, output.stdout.as_str()), (1, ""));
    assert!(output.stderr.contains("the newest match is later, at 2200-01-01"), "{output:?}");
    let output = server.logq(&["later", "--until", "2200-01-02"]);
    assert_eq!(output.code, 0, "{output:?}");
    assert_eq!(server.ledger()["timestamps_replaced"], 0);
}

#[test]
fn a_name_that_changes_its_type_is_stored_and_found() {
    let server = Home::new().start();
    let values =
        [json!(5), json!("five"), json!(5.5), json!(true), json!([1, "a"]), json!({"deep": 1})];
    for value in &values {
        assert_eq!(
            server.jsonl(json!({"message": "typed", "code": value}).to_string()).accepted(),
            1
        );
    }
    let check = |when: &str| {
        let count = |query: &str| server.search(query).len();
        assert_eq!(count("typed"), values.len(), "{when}");
        for (query, found) in [
            ("code:5", 1),
            ("code:five", 1),
            ("code:5.5", 1),
            ("code:true", 1),
            ("code:>=5", 2),
            ("code:<5", 0),
            ("code.deep:1", 1),
            ("code:*", 5),
            ("-code:*", 1),
            ("any:five", 1),
        ] {
            assert_eq!(count(query), found, "{query} {when}");
        }
        let stored: Vec<Value> = server.search("code:*");
        let mut stored: Vec<String> =
            stored.iter().map(|record| record["attributes"]["code"].to_string()).collect();
        stored.sort();
        assert_eq!(stored, ["\"[1,\\\"a\\\"]\"", "\"five\"", "5", "5.5", "true"], "{when}");
    };
    check("in parts");
    assert_eq!(server.flush().status, 200);
    check("in segments");
}

#[test]
fn five_thousand_names_are_stored_and_found() {
    let home = Home::new();
    let server = home.start();
    let body: String =
        (0..5_000).map(|n| format!("{{\"id\":{n},\"name{n}\":\"v{n}\"}}\n")).collect();
    assert_eq!(server.jsonl(body).accepted(), 5_000);
    // All of them in one record, too.
    let names: serde_json::Map<String, Value> =
        (0..5_000).map(|n| (format!("wide{n}"), json!(n))).collect();
    assert_eq!(server.jsonl(Value::from(names.clone()).to_string()).accepted(), 1);
    let check = |server: &Server, when: &str| {
        for n in [0, 1, 999, 1_000, 2_500, 4_999] {
            for query in [format!("name{n}:v{n}"), format!("name{n}:*"), format!("any:v{n}")] {
                let found = server.search(&query);
                assert_eq!(found.len(), 1, "{query} {when}");
                assert_eq!(found[0]["attributes"]["id"], n, "{query} {when}");
            }
        }
        let [wide] = server.search("wide4999:4999").try_into().unwrap();
        assert_eq!(wide["attributes"].as_object(), Some(&names), "{when}");
        assert_eq!(server.search("* | stats count() as n")[0]["n"], 5_001, "{when}");
    };
    check(&server, "in parts");
    assert_eq!(server.flush().status, 200);
    check(&server, "in segments");
    server.kill();
    check(&home.start(), "after kill -9");
}

#[test]
fn one_bad_line_among_good_ones_is_named_and_the_others_are_stored() {
    let server = Home::new().start();
    let body = "{\"id\":0}\n{\"id\":1,}\n\n{\"id\":2}\r\n[7]\n\"text\"\n{\"id\":3}";
    let answer = server.jsonl(body);
    assert_eq!(answer.status, 200);
    let answer = answer.json();
    assert_eq!((&answer["accepted"], &answer["rejected"]), (&json!(3), &json!(3)), "{answer}");
    let errors = answer["errors"].as_array().unwrap();
    let named: Vec<u64> = errors.iter().map(|error| error["line"].as_u64().unwrap()).collect();
    assert_eq!(named, [2, 5, 6], "{answer}");
    assert!(errors.iter().all(|error| !error["error"].as_str().unwrap().is_empty()), "{answer}");
    assert_eq!(ids(&server), BTreeSet::from([0, 2, 3]));
    let ledger = server.ledger();
    assert_eq!(ledger["received"], 6, "{ledger}");
    assert_eq!(ledger["rejected"], json!({"malformed": 1, "not_an_object": 2}), "{ledger}");
}

#[test]
fn an_empty_body_is_no_record_and_no_error() {
    let server = Home::new().start();
    for body in ["", "\n\r\n  \n", "[]"] {
        assert_eq!(server.jsonl(body).accepted(), 0, "{body:?}");
    }
    assert_eq!(server.ingest("/v1/logs", &[PROTOBUF], "").status, 200);
    assert_eq!(server.ingest("/v1/logs", &[JSON], "{}").status, 200);
    assert_eq!(server.ingest("/v1/logs", &[JSON], "").status, 400, "nothing is no JSON");
    assert_nothing_is_stored(&server);
}

#[test]
fn a_named_batch_is_stored_once_and_never_under_the_name_of_another() {
    let home = Home::new();
    let server = home.start();
    let send = |server: &Server, epoch: &str, sequence: u64, message: &str| {
        let answer = send_named(server, epoch, sequence, message);
        (answer.status, answer.header("logq-duplicate").is_some())
    };
    let first = send_named(&server, "e1", 0, "first");
    assert_eq!((first.status, first.header("logq-generation")), (200, Some("1")));
    let store_id = first.header("logq-store-id").unwrap().to_owned();
    let check = |server: &Server, when: &str| {
        assert_eq!(send(server, "e1", 0, "first"), (200, true), "{when}");
        assert_eq!(send(server, "e1", 0, "other"), (409, false), "{when}");
        assert_eq!(server.search("first").len(), 1, "{when}");
        assert_eq!(server.search("other").len(), 0, "{when}");
    };
    check(&server, "at once");
    assert_eq!(send(&server, "e2", 0, "another epoch"), (200, false));
    let ledger = server.ledger();
    assert_eq!((&ledger["duplicate"], &ledger["accepted"]), (&json!(1), &json!(2)), "{ledger}");
    assert_eq!(ledger["rejected"], json!({"conflict": 1}), "{ledger}");
    server.kill();
    let server = home.start();
    check(&server, "after kill -9");
    server.stop();
    let server = home.start();
    check(&server, "after a stop");
    assert_eq!(send_named(&server, "e1", 0, "first").header("logq-store-id"), Some(&*store_id));
}

#[test]
fn a_named_batch_with_a_bad_record_is_400_and_nothing_of_it_is_stored() {
    let server = Home::new().start();
    let headers = named("e1", 0);
    let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let body = lines(0..2) + "{bad\n" + &lines(2..4);
    let (status, code, message) = server.ingest("/ingest/jsonl", &headers, body).refusal();
    assert_eq!((status, code.as_str()), (400, "batch_not_whole"), "{message}");
    assert_nothing_is_stored(&server);
    // Its name is not used up.
    assert_eq!(server.ingest("/ingest/jsonl", &headers, lines(0..4)).accepted(), 4);
    assert_eq!(ids(&server), (0..4).collect());
}

#[test]
fn incomplete_or_malformed_headers_of_a_batch_are_400() {
    let server = Home::new().start();
    let (agent, epoch) = (("logq-agent", "a"), ("logq-epoch", "e"));
    let (sequence, first) = ("logq-sequence", "logq-first-unacknowledged");
    for headers in [
        &[agent][..],
        &[epoch],
        &[(sequence, "0")],
        &[(first, "0")],
        &[agent, epoch],
        &[agent, (sequence, "0")],
        &[epoch, (sequence, "0")],
        &[agent, epoch, (sequence, "-1")],
        &[agent, epoch, (sequence, "18446744073709551616")],
        &[agent, epoch, (sequence, "3"), (first, "4")],
        &[("logq-agent", "a b"), epoch, (sequence, "0")],
        &[("logq-agent", ""), epoch, (sequence, "0")],
        &[agent, ("logq-epoch", "\u{e9}"), (sequence, "0")],
    ] {
        let with_type = [headers, &[JSON]].concat();
        let answer = server.ingest("/v1/logs", &with_type, otlp("a"));
        assert_eq!(answer.status, 400, "{headers:?}: {}", answer.text());
        assert!(answer.json()["message"].as_str().unwrap().contains("logq-"), "{headers:?}");
        let (status, code, _) = server.ingest("/ingest/jsonl", headers, lines(0..1)).refusal();
        assert_eq!((status, code.as_str()), (400, "bad_batch_name"), "{headers:?}");
    }
    assert_nothing_is_stored(&server);
}
