//! What single tenants may take: how fast they send, how many queries run, how long their records stay.

use std::io::{Read, Write};
use std::net::TcpStream;

use crate::server::{DEADLINE, Home, eventually};

const CONFIG: &str = "[[doors.tenants]]\nname = \"slow\"\ningest_bytes_per_second = \"1 KiB\"\n\
                      [[doors.tenants]]\nname = \"short\"\nretention_age = \"1m\"\n";

#[test]
fn a_tenant_beyond_its_rate_is_told_when_to_come_again_and_others_go_on() {
    let home = Home::with_config(CONFIG);
    let server = home.start();
    let body = format!("{{\"message\":\"{}\"}}\n", "x".repeat(64 << 10));
    let send = |tenant: &str| server.ingest("/ingest/jsonl", &[("x-scope-orgid", tenant)], &*body);
    assert_eq!(send("slow").accepted(), 1, "a whole body, longer than a second's worth");
    let refused = send("slow");
    let (status, code, message) = refused.refusal();
    assert_eq!((status, code.as_str()), (429, "rate_exceeded"), "{message}");
    let after: u64 = refused.header("retry-after").unwrap().parse().unwrap();
    assert!((50..=64).contains(&after), "{after} s for 63 KiB of debt");
    assert_eq!(send("other").accepted(), 1);
    let metrics = server.http().get(&format!("{}/metrics", server.ingest)).text();
    let counted = "refused_requests_total{protocol=\"json_lines\",reason=\"rate_exceeded\"} 1";
    assert!(metrics.contains(counted), "{metrics}");
}

#[test]
fn records_of_a_tenant_go_by_its_own_age_and_those_of_others_stay() {
    let home = Home::with_config(CONFIG);
    let server = home.start();
    let old = r#"{"time":"2026-01-02T03:04:05Z","message":"old"}"#;
    for tenant in ["short", "other"] {
        let sent = server.ingest("/ingest/jsonl", &[("x-scope-orgid", tenant)], old);
        assert_eq!(sent.accepted(), 1);
    }
    assert_eq!(server.flush().status, 200);
    let found = |tenant| {
        server.logq(&["search", "*", "--since", "100y", "--tenant", tenant, "-o", "json"]).stdout
    };
    eventually("the old records are gone", || found("short").is_empty().then_some(()));
    assert!(found("other").contains("old"));
    assert_eq!(server.ledger()["expired"], 1);
}

#[test]
fn a_tenant_runs_as_many_queries_as_it_may_and_others_go_on() {
    let home = Home::with_config(
        "[query]\ndeadline = \"10m\"\n[[doors.tenants]]\nname = \"few\"\nqueries = 1\n",
    );
    let server = home.start();
    // More than sockets and the channel of an answer hold.
    let line = format!("{{\"message\":\"{}\"}}\n", "x".repeat(16 << 10));
    for tenant in ["few", "other"] {
        let sent = server.ingest("/ingest/jsonl", &[("x-scope-orgid", tenant)], line.repeat(2_000));
        assert_eq!(sent.accepted(), 2_000);
    }
    let address = server.query.trim_start_matches("http://");
    let begin = |tenant: &str| {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        let request = format!(
            "GET /api/v1/query?query=*&limit=2000 HTTP/1.1\r\nhost: x\r\nx-scope-orgid: {tenant}\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).unwrap();
        let mut status = [0; 12];
        stream.read_exact(&mut status).unwrap();
        (String::from_utf8(status.to_vec()).unwrap(), stream)
    };
    let (status, running) = begin("few");
    assert_eq!(status, "HTTP/1.1 200");
    assert_eq!(begin("few").0, "HTTP/1.1 429");
    assert_eq!((begin("other").0, begin("other").0), (status.clone(), status));
    drop(running);
    eventually("its place is free", || (begin("few").0 == "HTTP/1.1 200").then_some(()));
}

#[test]
fn a_shipment_belongs_to_the_tenant_that_is_named() {
    let home = Home::new();
    let server = home.start();
    let log = home.write("a.log", "{\"message\":\"shipped\"}\n");
    let log = log.to_str().unwrap();
    assert_eq!(server.logq(&["ship", "--tenant", "a", log]).code, 0);
    let codes =
        ["a", "b"].map(|tenant| server.logq(&["*", "--since", "1h", "--tenant", tenant]).code);
    assert_eq!(codes, [0, 1]);
    let wrong = server.logq(&["ship", "--tenant", "a/b", log]);
    assert_eq!(wrong.code, 2, "{wrong:?}");
}
