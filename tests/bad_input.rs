//! Bad input, on the real binary: what is refused leaves nothing behind, what is taken can be found, and memory and
//! disk have their bounds.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod server;

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::ops::Range;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};
use server::{Answer, Home, Server, eventually, skipped};

const MIB: usize = 1 << 20;
const PROTOBUF: (&str, &str) = ("content-type", "application/x-protobuf");
const JSON: (&str, &str) = ("content-type", "application/json");
const GZIP: (&str, &str) = ("content-encoding", "gzip");

fn gzip(body: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(body).unwrap();
    encoder.finish().unwrap()
}

/// Nothing was stored: neither does the ledger know of a record nor is one found.
fn assert_nothing_is_stored(server: &Server) {
    let ledger = server.ledger();
    assert_eq!((&ledger["accepted"], &ledger["senders"]), (&json!(0), &json!(0)), "{ledger}");
    assert_eq!(server.search("*"), Vec::<Value>::new());
}

/// JSON lines with ids of their own.
fn lines(ids: Range<u64>) -> String {
    ids.map(|id| format!("{{\"message\":\"record {id}\",\"id\":{id}}}\n")).collect()
}

/// The ids of all records, each of which has to be there once.
fn ids(server: &Server) -> BTreeSet<u64> {
    let mut ids = BTreeSet::new();
    for record in server.search("*") {
        let id = record["attributes"]["id"].as_u64().unwrap_or_else(|| panic!("{record}"));
        assert!(ids.insert(id), "record {id} is there twice");
    }
    ids
}

/// The bodies of a request in OTLP JSON, one record each.
fn otlp(message: &str) -> Vec<u8> {
    json!({"resourceLogs": [{"scopeLogs": [{"logRecords": [{"body": {"stringValue": message}}]}]}]})
        .to_string()
        .into_bytes()
}

fn named(epoch: &str, sequence: u64) -> Vec<(&'static str, String)> {
    vec![
        ("content-type", "application/json".to_owned()),
        ("logq-agent", "agent-1".to_owned()),
        ("logq-epoch", epoch.to_owned()),
        ("logq-sequence", sequence.to_string()),
    ]
}

fn send_named(server: &Server, epoch: &str, sequence: u64, message: &str) -> Answer {
    let headers = named(epoch, sequence);
    let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
    server.ingest("/v1/logs", &headers, otlp(message))
}

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
        let (status, code, _) =
            server.jsonl(garbage.replace("{\"resourceLogs\":7}", "7")).refusal();
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
fn a_body_over_the_bound_is_413_before_it_is_read() {
    let server = Home::with_config("[collector]\nbody_max = \"1 MiB\"\n").start();
    let (status, code, message) = server.jsonl(vec![b'\n'; MIB + 1]).refusal();
    assert_eq!((status, code.as_str()), (413, "body_too_large"));
    assert!(message.contains("1048576"), "{message}");
    assert_eq!(server.jsonl(vec![b'\n'; MIB]).accepted(), 0);
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
fn a_gzip_bomb_is_413_within_bounded_memory() {
    let server = Home::new().start();
    let before = server.memory_peak_bytes();
    // Many members are one body: 1 GiB in about 1 MB.
    let bomb = gzip(&vec![b'\n'; 16 * MIB]).repeat(64);
    for (path, content_type) in [
        ("/ingest/jsonl", JSON),
        ("/v1/logs", PROTOBUF),
        ("/v1/logs", JSON),
        ("/ingest/jsonl", JSON),
    ] {
        let answer = server.ingest(path, &[GZIP, content_type], bomb.clone());
        assert_eq!(answer.status, 413, "{path}");
    }
    // At most 64 MiB are unpacked at a time, into room that doubles as it grows.
    let grown = server.memory_peak_bytes() - before;
    assert!(grown < 160 * MIB as u64, "memory grew by {} MiB", grown / MIB as u64);
    assert_nothing_is_stored(&server);
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
    assert!(output.stderr.contains("later records, up to 2200-01-01"), "{output:?}");
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

#[test]
fn a_batch_too_far_ahead_of_a_missing_one_waits_with_429() {
    const AHEAD_MAX: u64 = 1_024;
    let server = Home::new().start();
    let url = format!("{}/v1/logs", server.ingest);
    let sequences: Vec<u64> = (1..=AHEAD_MAX).collect();
    for some in sequences.chunks(64) {
        let batches = some.iter().map(|sequence| (named("e", *sequence), otlp("ahead")));
        let answers = server.http().post_all(&url, batches);
        assert!(answers.iter().all(|status| *status == 200), "{answers:?}");
    }
    let answer = send_named(&server, "e", AHEAD_MAX + 1, "too far");
    assert_eq!(answer.status, 429, "{}", answer.text());
    assert!(answer.header("retry-after").unwrap().parse::<u64>().unwrap() >= 1);
    assert_eq!(send_named(&server, "e", 0, "missing").status, 200);
    assert_eq!(send_named(&server, "e", AHEAD_MAX + 1, "too far").status, 200);
    let ledger = server.ledger();
    assert_eq!(ledger["accepted"], AHEAD_MAX + 2, "{ledger}");
}

#[test]
fn memory_has_its_bound_and_batches_are_taken_again_after_a_flush() {
    let server = Home::with_config(
        "[collector]\nmemory_max = \"16 MiB\"\nflush_age = \"1h\"\nflush_size = \"1 GiB\"\n",
    )
    .start();
    let before = server.memory_peak_bytes();
    let body = |number: u64| -> String {
        let pad = "x".repeat(1_000);
        (0..500).map(|n| format!("{{\"id\":{},\"pad\":\"{pad}\"}}\n", number * 500 + n)).collect()
    };
    let mut accepted = 0;
    let refused = loop {
        let answer = server.jsonl(body(accepted));
        if answer.status != 200 {
            break answer;
        }
        accepted += 1;
        assert!(accepted < 64, "32 MB are in memory of 16 MiB");
    };
    assert!(accepted >= 4, "only {accepted} batches of 0.5 MB fit");
    // Load goes on, from many sides, and nothing grows.
    let url = format!("{}/ingest/jsonl", server.ingest);
    for _ in 0..4 {
        let answers = server.http().post_all(&url, (0..16).map(|_| (vec![], body(0).into())));
        assert!(answers.iter().all(|status| *status == 429), "{answers:?}");
    }
    assert_eq!(refused.header("retry-after"), Some("1"));
    let (status, code, message) = refused.refusal();
    assert_eq!((status, code.as_str()), (429, "overloaded"), "{message}");
    let grown = server.memory_peak_bytes() - before;
    assert!(grown < 64 * MIB as u64, "memory grew by {} MiB", grown / MIB as u64);

    assert_eq!(server.flush().status, 200);
    assert_eq!(server.jsonl(body(accepted)).accepted(), 500);
    let ids = ids(&server);
    assert_eq!(ids, (0..(accepted + 1) * 500).collect(), "what was refused is not there");
}

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
      |               ^^^^ expected one of fields, head, sort, stats
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

/// A small file system of its own in a mount namespace of its own, gone with the process that holds it.
struct SmallDisk {
    holder: Child,
    path: PathBuf,
}

impl SmallDisk {
    /// `None`, loudly, where mounting is not allowed.
    fn mount(path: PathBuf, size_mib: usize) -> Option<Self> {
        let script =
            format!("mount -t tmpfs -o size={size_mib}m tmpfs \"$0\" && echo mounted && exec cat");
        let holder = Command::new("unshare")
            .args(["--map-root-user", "--mount", "sh", "-c", &script])
            .arg(&path)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn();
        let mounted = holder.ok().and_then(|mut holder| {
            let mut line = String::new();
            BufReader::new(holder.stdout.take()?).read_line(&mut line).ok()?;
            let disk = Self { holder, path };
            (line == "mounted\n").then_some(disk)
        });
        if mounted.is_none() {
            skipped(
                "no file system can be mounted here; the store's own tests have a full disk too",
            );
        }
        mounted
    }

    /// Begins the command line of a process that sees it.
    fn launcher(&self) -> Vec<String> {
        let holder = self.holder.id().to_string();
        let words = ["nsenter", "--preserve-credentials", "--user", "--mount", "--target", &holder];
        words.map(str::to_owned).to_vec()
    }

    fn filler(&self) -> PathBuf {
        let path = self.path.strip_prefix("/").unwrap();
        PathBuf::from(format!("/proc/{}/root", self.holder.id())).join(path).join("filler")
    }

    /// Writes until nothing more fits.
    fn fill(&self) {
        let mut file = std::fs::File::create(self.filler()).unwrap();
        for size in [MIB, 4_096, 1] {
            let piece = vec![0; size];
            let error = loop {
                if let Err(error) = file.write_all(&piece) {
                    break error;
                }
            };
            assert_eq!(error.kind(), ErrorKind::StorageFull, "{error}");
        }
    }

    fn free(&self) {
        std::fs::remove_file(self.filler()).unwrap();
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}

#[test]
fn a_full_disk_refuses_with_507_loses_nothing_and_goes_on_when_there_is_space() {
    let folder = tempfile::tempdir().unwrap();
    // Room for three preallocated files of the journal, 64 MiB each.
    let Some(disk) = SmallDisk::mount(folder.path().to_owned(), 200) else { return };
    let home = Home::with_config("[collector]\nflush_age = \"1h\"\n")
        .launched_by(disk.launcher(), folder.path().join("data"));
    let server = home.start();
    assert_eq!(server.jsonl(lines(0..100)).accepted(), 100);
    assert_eq!(server.flush().status, 200);
    assert_eq!(server.jsonl(lines(100..200)).accepted(), 100);
    let ready = || {
        let answer = server.http().get(&format!("{}/health/ready", server.query));
        assert_eq!(answer.status, 200, "what is degraded can still be asked");
        answer.json()["status"].as_str().unwrap().to_owned()
    };
    assert_eq!(ready(), "ok");

    disk.fill();
    // The cut begins a new file of the journal, for which there is no room.
    let (status, code, message) = server.flush().refusal();
    assert_eq!((status, code.as_str()), (503, "flush_failed"), "{message}");
    let answer = server.jsonl(lines(900..1_000));
    assert_eq!(answer.header("retry-after"), Some("5"));
    let (status, code, message) = answer.refusal();
    assert_eq!((status, code.as_str()), (507, "disk_full"), "{message}");
    assert_eq!(send_named(&server, "e", 0, "named").status, 507, "agents know 507");
    let unnamed = server.ingest("/v1/logs", &[JSON], otlp("unnamed"));
    assert_eq!(unnamed.status, 503, "other senders would take 507 for final");
    eventually("health is degraded", || (ready() == "degraded").then_some(()));
    assert_eq!(ids(&server), (0..200).collect(), "search goes on");

    // A shipment meets the full disk and waits until there is space.
    let log = home.write("records.log", lines(200..300));
    std::thread::scope(|scope| {
        let ship =
            scope.spawn(|| server.logq(&["ship", "--format", "json", log.to_str().unwrap()]));
        eventually("the shipment is refused", || {
            let metrics = server.http().get(&format!("{}/metrics", server.query)).text();
            let refused = "logq_ingest_refused_requests_total{protocol=\"otlp_protobuf\",reason=\"disk_full\"}";
            metrics.contains(refused).then_some(())
        });
        disk.free();
        let shipped = ship.join().unwrap();
        assert_eq!(shipped.code, 0, "{shipped:?}");
        assert!(shipped.stdout.contains("100 records accepted"), "{shipped:?}");
    });
    assert_eq!(server.jsonl(lines(300..400)).accepted(), 100);
    eventually("health is good again", || (ready() == "ok").then_some(()));
    assert_eq!(server.flush().status, 200);
    assert_eq!(ids(&server), (0..400).collect());
    assert_eq!(server.ledger()["accepted"], 400);
    server.kill();
    let server = home.start();
    assert_eq!(ids(&server), (0..400).collect());
    assert_eq!(server.ledger()["accepted"], 400);
}
