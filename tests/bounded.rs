//! Bounds of queries, on the real binary: one that would eat all memory gets its error while others go on, one whose
//! client went away or reads too slowly stops, and those that have to wait take turns.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod server;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use server::requests::JSON;
use server::{Answer, Home, Server, eventually, tell};

const MIB: u64 = 1 << 20;

/// Records with long messages, each of its own.
fn load(server: &Server, records: u64, message_bytes: usize) {
    const BATCH: u64 = 10_000;
    for first in (0..records).step_by(BATCH as usize) {
        let lines = (first..(first + BATCH).min(records)).map(|n| {
            let mut message = format!("{n} ");
            let mut hash = n + 1;
            while message.len() < message_bytes {
                hash = hash.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(23);
                message.push_str(&format!("{hash:016x}"));
            }
            format!("{{\"message\":\"{message}\",\"n\":{n},\"group\":{}}}\n", n % 150)
        });
        assert_eq!(server.jsonl(lines.collect::<String>()).status, 200);
    }
    assert_eq!(server.flush().status, 200);
}

fn ask(server: &Server, query: &str, limit: Option<u64>) -> Answer {
    let parameters = json!({"query": query, "since": "1d", "limit": limit}).to_string();
    server.http().post(&format!("{}/api/v1/query", server.query), &[JSON], parameters)
}

fn summary(answer: &Answer) -> Value {
    let text = answer.text();
    let last = text.lines().last().unwrap();
    serde_json::from_str::<Value>(last).unwrap()["summary"].take()
}

fn metric(server: &Server, name: &str) -> u64 {
    let metrics = server.http().get(&format!("{}/metrics", server.query)).text();
    let line = metrics.lines().find(|line| line.split(' ').next() == Some(name));
    line.unwrap_or_else(|| panic!("no {name}")).split(' ').nth(1).unwrap().parse().unwrap()
}

/// Memory of the process that is no mapped file.
fn anonymous_bytes(server_pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{server_pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1_024
}

/// A query whose client reads only as far as it is told to.
fn begin(server: &Server, tenant: &str, query: &str) -> TcpStream {
    let address = server.query.strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(address).unwrap();
    let body = json!({"query": query, "since": "1d", "limit": 1_000_000}).to_string();
    let length = body.len();
    write!(
        stream,
        "POST /api/v1/query HTTP/1.1\r\nHost: {address}\r\nX-Scope-OrgID: {tenant}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    )
    .unwrap();
    stream
}

fn rest(mut stream: TcpStream) -> String {
    let mut text = Vec::new();
    stream.read_to_end(&mut text).unwrap();
    String::from_utf8_lossy(&text).into_owned()
}

#[test]
fn a_query_that_would_eat_all_memory_gets_its_error_while_ingest_and_other_queries_go_on() {
    let server = Home::with_config("[query]\nmemory_max = \"16 MiB\"\n").start();
    const RECORDS: u64 = 200_000;
    load(&server, RECORDS, 300);
    // What a small query takes, and what the allocator keeps of the load.
    assert_eq!(ask(&server, "* | stats count()", None).status, 200);
    let before = anonymous_bytes(server.pid());
    let (done, most, others) = (AtomicBool::new(false), AtomicU64::new(0), AtomicU64::new(0));
    // The runtime of `server` serves one thread.
    let other = server.another_client();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                most.fetch_max(anonymous_bytes(server.pid()), Ordering::Relaxed);
                std::thread::park_timeout(Duration::from_millis(2));
            }
        });
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                let count = "query=*|stats+count()+by+group";
                let answer = other.get(&format!("{}/api/v1/query?{count}", server.query));
                assert_eq!(answer.status, 200, "{}", answer.text());
                let line = "{\"message\":\"meanwhile\"}\n";
                let answer = other.post(&format!("{}/ingest/jsonl", server.ingest), &[], line);
                assert_eq!(answer.accepted(), 1);
                others.fetch_add(1, Ordering::Relaxed);
            }
        });
        for query in [
            "* | sort -message",
            "* | stats count() by message",
            "* | stats count_distinct(message)",
            "* | stats values(message) by n",
        ] {
            let (status, code, message) = ask(&server, query, Some(1_000_000)).refusal();
            assert_eq!((status, code.as_str()), (422, "query_memory"), "{query}: {message}");
            assert!(message.contains("query.memory_max"), "{message}");
        }
        // All of it, record by record, needs no more than a block at a time.
        let all = ask(&server, "* | head 1000000", Some(1_000_000));
        let summary = summary(&all);
        assert_eq!(summary["complete"], true, "{summary}");
        assert!(summary["rows"].as_u64().unwrap() >= RECORDS, "{summary}");
        let seen = others.load(Ordering::Relaxed);
        eventually("others go on", || (others.load(Ordering::Relaxed) > seen).then_some(()));
        done.store(true, Ordering::Relaxed);
    });
    let grown = most.load(Ordering::Relaxed).saturating_sub(before);
    tell(&format!(
        "memory grew by {} MiB beside queries of 16 MiB; {} rounds of others went on",
        grown / MIB,
        others.load(Ordering::Relaxed)
    ));
    // The bound, what the allocator keeps beside it, and the records that come in meanwhile.
    assert!(grown < 64 * MIB, "memory grew by {} MiB", grown / MIB);
    eventually("memory is given back", || {
        (metric(&server, "logq_query_memory_bytes") == 0).then_some(())
    });
}

#[test]
fn a_slow_client_holds_others_up_until_its_deadline_and_one_that_goes_away_until_then() {
    let server = Home::with_config(
        "[query]\nconcurrency = 1\nqueue_max = 2\nqueue_tenant_max = 1\ndeadline = \"2s\"\n",
    )
    .start();
    load(&server, 30_000, 1_000);
    let running = || metric(&server, "logq_queries_running");
    let waiting = || metric(&server, "logq_queries_waiting");

    // Its answer is 30 MB, more than the sockets take: it runs until its deadline.
    let slow = begin(&server, "default", "*");
    eventually("it runs", || (running() == 1).then_some(()));
    let second = begin(&server, "default", "n:7");
    eventually("another one waits", || (waiting() == 1).then_some(()));
    // A tenant has one place in the queue here, and another tenant has its own.
    let full = ask(&server, "n:8", None);
    assert_eq!(full.header("retry-after"), Some("1"));
    let (status, code, _) = full.refusal();
    assert_eq!((status, code.as_str()), (429, "too_many_queries"));
    let gone = begin(&server, "other", "*");
    eventually("a second one waits", || (waiting() == 2).then_some(()));
    drop(gone);
    eventually("one that has gone away waits no more", || (waiting() == 1).then_some(()));
    let answer = rest(second);
    let last = answer.lines().rfind(|line| line.contains("summary")).unwrap();
    let summary = &serde_json::from_str::<Value>(last).unwrap()["summary"];
    assert_eq!((&summary["complete"], &summary["rows"]), (&json!(true), &json!(1)), "{last}");
    assert!(summary["queued_ms"].as_f64().unwrap() > 100.0, "{last}");
    let cut = rest(slow);
    let last = cut.lines().rfind(|line| line.contains("\"summary\"")).unwrap();
    assert!(last.contains("\"complete\":false") && last.contains("query.deadline"), "{last}");

    // One that computes, and whose client goes away.
    let started = Instant::now();
    let gone = begin(&server, "default", "any:/[0-9]{4}x[a-f]+zz/ | stats count()");
    eventually("it runs", || (running() == 1).then_some(()));
    let left = Instant::now();
    drop(gone);
    eventually("it ends", || (running() == 0).then_some(()));
    let (ran, after) = (left - started, left.elapsed());
    tell(&format!("a query whose client went away after {ran:?} had ended {after:?} later"));
    assert!(after < Duration::from_secs(1), "{after:?}");
}

#[test]
fn parameters_that_are_not_known_are_refused_and_aggregates_are_given_out_whole() {
    let server = Home::new().start();
    load(&server, 300, 20);
    let url = format!("{}/api/v1/query?query=*&limt=5", server.query);
    let (status, code, message) = server.http().get(&url).refusal();
    assert_eq!((status, code.as_str()), (400, "bad_parameter"));
    assert!(message.contains("`limt`") && message.contains("did you mean `limit`"), "{message}");

    let by_group = "* | stats count() by group";
    let all = summary(&ask(&server, by_group, None));
    assert_eq!((&all["rows"], &all["complete"]), (&json!(150), &json!(true)), "{all}");
    assert!(all.get("rows_left_out").is_none(), "{all}");
    let cut = summary(&ask(&server, by_group, Some(10)));
    assert_eq!((&cut["rows"], &cut["rows_left_out"]), (&json!(10), &json!(140)), "{cut}");
    let output = server.logq(&["search", "--since", "1d", "-n", "10", "-o", "json", by_group]);
    assert_eq!((output.code, output.stdout.lines().count()), (0, 10), "{output:?}");
    assert!(output.stderr.contains("140 more rows"), "{output:?}");
    let output = server.logq(&["search", "--since", "1d", "-o", "json", by_group]);
    assert_eq!((output.code, output.stdout.lines().count()), (0, 150), "{output:?}");
    let records = server.logq(&["search", "--since", "1d", "-o", "json", "*"]);
    assert_eq!((records.code, records.stdout.lines().count()), (0, 100), "{records:?}");
}
