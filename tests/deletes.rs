//! `logq delete` on the real binary: what it says, what it leaves, and that a kill at any moment loses neither the
//! delete nor anything else.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod server;

use std::collections::BTreeSet;

use serde_json::{Value, json};

use server::requests::{ids, lines};
use server::{Home, Server, eventually, logq};

/// Every third record is of the correlation that is to go.
fn correlated(ids: std::ops::Range<u64>) -> String {
    let line = |id: u64| match id % 3 {
        0 => format!("{{\"correlation_id\":\"go-{}\",\"msg\":\"goes {id}\",\"id\":{id}}}\n", 42),
        _ => format!("{{\"correlation_id\":\"stay\",\"msg\":\"stays {id}\",\"id\":{id}}}\n"),
    };
    ids.map(line).collect()
}

fn staying(ids: std::ops::Range<u64>) -> BTreeSet<u64> {
    ids.filter(|id| id % 3 != 0).collect()
}

fn report(server: &Server, id: u64) -> Value {
    server.http().get(&format!("{}/api/v1/deletes/{id}?verify=true", server.ingest)).json()
}

/// Journal files and the names of segment files of the data folder.
fn raw_journal(home: &Home) -> Vec<u8> {
    let files = std::fs::read_dir(home.data().join("journal")).unwrap();
    files.flat_map(|file| std::fs::read(file.unwrap().path()).unwrap()).collect()
}

#[test]
fn a_delete_shows_what_matches_hides_it_and_proves_that_it_is_gone() {
    let home = Home::new();
    let server = home.start();
    assert_eq!(server.jsonl(correlated(0..60)).accepted(), 60);
    server.flush();
    assert_eq!(server.jsonl(correlated(60..90)).accepted(), 30);
    assert!(raw_journal(&home).windows(5).any(|bytes| bytes == b"go-42"));

    let dry = server.logq(&["delete", "correlation:go-42", "--tenant", "default", "--dry-run"]);
    assert_eq!((dry.code, dry.stderr.as_str()), (0, ""));
    insta::assert_snapshot!(dry.stdout, @"30 of 90 records of tenant default match, of all times");
    assert_eq!(ids(&server).len(), 90);

    let unasked = server.logq(&["delete", "correlation:go-42"]);
    assert_eq!(unasked.code, 2);
    assert!(unasked.stderr.contains("say --yes"), "{}", unasked.stderr);
    assert_eq!(ids(&server).len(), 90);

    let deleted = server.logq(&["delete", "correlation:go-42", "--yes"]);
    assert_eq!(deleted.code, 0, "{deleted:?}");
    insta::assert_snapshot!(deleted.stdout, @r"
    30 of 90 records of tenant default match, of all times
    delete 1: 30 records are hidden from now on
    rows before                           90
    hidden                                30
    removed                               30
    segments rewritten                     2
    segments dropped                       0
    found now                              0
    delete 1 is done
    ");
    assert_eq!(ids(&server), staying(0..90));
    let none = server.logq(&["correlation:go-42", "--since", "100y"]);
    assert_eq!((none.code, none.stdout.as_str()), (1, ""));
    assert!(!raw_journal(&home).windows(5).any(|bytes| bytes == b"go-42"));
    let audit = server.logq(&["audit"]);
    assert_eq!(audit.code, 0);
    assert!(
        audit.stdout.contains("  deleted                             30\n"),
        "{}",
        audit.stdout
    );

    let again = server.logq(&["delete", "correlation:go-42", "--yes"]);
    assert_eq!(again.code, 1, "{again:?}");
    server.kill();
    let server = home.start();
    assert_eq!(ids(&server), staying(0..90));
    assert_eq!(report(&server, 1)["state"], "done");
}

#[test]
fn a_delete_is_of_one_tenant_and_of_a_range_of_times() {
    let server = Home::new().start();
    let line = |time: &str, id: u64| format!("{{\"ts\":\"{time}\",\"msg\":\"m\",\"id\":{id}}}\n");
    let body = line("2026-01-01T00:00:00Z", 1) + &line("2026-01-02T00:00:00Z", 2);
    assert_eq!(server.jsonl(body.clone()).accepted(), 2);
    let other = server.logq(&["delete", "*", "--tenant", "other", "--yes"]);
    assert_eq!((other.code, other.stdout.lines().count()), (1, 1), "{other:?}");
    let range = ["--since", "2026-01-01", "--until", "2026-01-02T00:00:00Z"];
    let deleted = server.logq(&[&["delete", "*", "--yes"], &range[..]].concat());
    assert_eq!(deleted.code, 0, "{deleted:?}");
    assert_eq!(ids(&server), BTreeSet::from([2]));
    // The same record, sent later, is not what was deleted.
    assert_eq!(server.jsonl(line("2026-01-01T00:00:00Z", 3)).accepted(), 1);
    assert_eq!(ids(&server), BTreeSet::from([2, 3]));
    let lists = server.http().get(&format!("{}/api/v1/deletes", server.ingest)).json();
    assert_eq!(lists["deletes"][0]["until"], "2026-01-02T00:00:00Z");
    assert_eq!(lists["deletes"].as_array().unwrap().len(), 1);
}

#[test]
fn what_is_no_delete_is_refused() {
    let unreachable = logq(&["delete", "*", "--yes", "--addr", "http://127.0.0.1:9"]);
    assert_eq!(unreachable.code, 3, "{unreachable:?}");
    let server = Home::new().start();
    for (query, code) in [("level:wran", 2), ("* | head 5", 2), ("", 2), ("no | such", 2)] {
        let refused = server.logq(&["delete", query, "--yes"]);
        assert_eq!((refused.code, refused.stdout.as_str()), (code, ""), "{query}: {refused:?}");
        assert!(!refused.stderr.is_empty(), "{query}");
    }
    let post = |body: &str| server.ingest("/api/v1/delete", &[], body.as_bytes().to_vec());
    let cases = [
        ("", "bad_parameter"),
        ("{}", "bad_parameter"),
        ("{\"query\":\"*\",\"sinse\":\"1h\"}", "bad_parameter"),
        ("{\"query\":\"*\",\"since\":\"yesterday\"}", "bad_parameter"),
        ("{\"query\":\"*\",\"since\":\"1h\",\"until\":\"2h\"}", "bad_parameter"),
        ("{\"query\":\"* | head 5\"}", "unexpected_stage"),
        ("{\"query\":\" \"}", "empty_delete"),
    ];
    for (body, code) in cases {
        let (status, found, _) = post(body).refusal();
        assert_eq!((status, found.as_str()), (400, code), "{body}");
    }
    for id in ["7", "x", "-1", "99999999999999999999999"] {
        let unknown = server.http().get(&format!("{}/api/v1/deletes/{id}", server.ingest));
        assert_eq!((unknown.status, unknown.refusal().1.as_str()), (404, "unknown_delete"));
    }
    assert_eq!(server.ledger()["deleted"], 0);
}

#[test]
fn a_kill_at_any_moment_of_a_delete_loses_neither_it_nor_anything_else() {
    let places = [
        "delete.kept=kill@1",
        "delete.recorded=kill@1",
        "delete.rewritten=kill@1",
        "delete.rewritten=kill@2",
        "delete.published=kill@1",
        "delete.published=kill@2",
        "delete.done=kill@1",
        "commit.cut=kill@1",
        "flush.published=kill@1",
        "journal.unlink=kill@1",
        "replace.swapped=kill@1",
        "segment.half_written=kill@1",
        "segment.unlink=kill@1",
        "segment.unlink=kill@2",
        "segment.unlink=kill@3",
    ];
    for place in places {
        let home = Home::new();
        let server = home.start();
        assert_eq!(server.jsonl(correlated(0..60)).accepted(), 60);
        server.flush();
        assert_eq!(server.jsonl(lines(1..2)).accepted(), 1);
        server.kill();
        let mut command = home.up();
        command.env("LOGQ_FAILPOINT", place);
        let mut server = home.start_by(command, "stop ");
        assert_eq!(server.jsonl(correlated(60..90)).accepted(), 30);
        let killed = server.logq(&["delete", "correlation:go-42", "--yes"]);
        assert_eq!(killed.code, 3, "{place}: {killed:?}");
        server.wait_for_end();
        let server = home.start();
        assert_eq!(server.search("correlation:go-42"), Vec::<Value>::new(), "{place}");
        eventually("the end of the delete", || {
            (report(&server, 1)["state"] == "done").then_some(())
        });
        let report = report(&server, 1);
        let counts = ["rows_before", "rows_hidden", "rows_removed", "rows_left"];
        let counts = counts.map(|name| report[name].clone());
        assert_eq!(counts, [json!(91), json!(30), json!(30), json!(0)], "{place}: {report}");
        let mut left: Vec<u64> = server
            .search("*")
            .iter()
            .map(|record| record["attributes"]["id"].as_u64().unwrap())
            .collect();
        left.sort_unstable();
        let mut expected: Vec<u64> = staying(0..90).into_iter().chain([1]).collect();
        expected.sort_unstable();
        assert_eq!(left, expected, "{place}");
        let ledger = server.ledger();
        assert_eq!((&ledger["deleted"], &ledger["indexed"]), (&json!(30), &json!(61)), "{place}");
        assert!(!raw_journal(&home).windows(5).any(|bytes| bytes == b"go-42"), "{place}");
        assert_eq!(server.jsonl(correlated(90..93)).accepted(), 3);
        assert_eq!(server.search("correlation:go-42").len(), 1, "{place}: what comes later stays");
    }
}
