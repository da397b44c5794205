//! Bounds, on the real binary: what is beyond them is refused with a reason, and nothing grows, is lost or stays stuck.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod server;

use server::requests::{
    GZIP, JSON, PROTOBUF, assert_nothing_is_stored, gzip, ids, lines, named, otlp, send_named,
};
use server::small_disk::SmallDisk;
use server::{Home, eventually};

const MIB: usize = 1 << 20;

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
    // At most 64 MiB are unpacked; twice that leaves room for what the allocator keeps.
    let grown = server.memory_peak_bytes() - before;
    assert!(grown < 128 * MIB as u64, "memory grew by {} MiB", grown / MIB as u64);
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
    // Load goes on, 256 MB from many sides at once, each held up for a moment before it is refused. Memory stays: the
    // bound, and what the allocator and the connections keep beside it.
    let url = format!("{}/ingest/jsonl", server.ingest);
    let again: Vec<u8> = body(0).into();
    for _ in 0..2 {
        let answers = server.http().post_all(&url, (0..256).map(|_| (vec![], again.clone())));
        assert!(answers.iter().all(|status| *status == 429), "{answers:?}");
    }
    assert_eq!(refused.header("retry-after"), Some("1"));
    let (status, code, message) = refused.refusal();
    assert_eq!((status, code.as_str()), (429, "overloaded"), "{message}");
    let grown = server.memory_peak_bytes() - before;
    assert!(grown < 96 * MIB as u64, "memory grew by {} MiB", grown / MIB as u64);

    assert_eq!(server.flush().status, 200);
    assert_eq!(server.jsonl(body(accepted)).accepted(), 500);
    let ids = ids(&server);
    assert_eq!(ids, (0..(accepted + 1) * 500).collect(), "what was refused is not there");
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
            let refused = "logq_ingest_refused_requests_total{protocol=\"otlp_protobuf\",reason=\"disk_full\"} ";
            let count = metrics.lines().find_map(|line| line.strip_prefix(refused))?;
            (count != "0").then_some(())
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
