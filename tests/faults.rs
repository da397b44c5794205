//! A machine that is not well, around the real binary: a disk that is read-only or slow (what happens when it turns
//! read-only under a running store is among the store's own tests), too few file descriptors, a
//! clock that is set back, memory that is used up. Each has a stated behaviour (docs/operations.md).

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod server;

use std::net::TcpStream;
use std::time::{Duration, Instant};

use server::clock::{faketime_library, set_apart};
use server::requests::{ids, lines, send_named};
use server::small_disk::SmallDisk;
use server::{Home, Server, eventually};

fn ready(server: &Server) -> String {
    let answer = server.http().get(&format!("{}/health/ready", server.query));
    assert_eq!(answer.status, 200, "what is degraded can still be asked");
    answer.json()["status"].as_str().unwrap().to_owned()
}

#[test]
fn a_read_only_disk_keeps_a_start_from_going_on_and_leaves_the_data_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let Some(disk) = SmallDisk::mount(folder.path().to_owned(), 300) else { return };
    let home = Home::new().launched_by(disk.launcher(), folder.path().join("data"));
    let server = home.start();
    assert_eq!(server.jsonl(lines(0..100)).accepted(), 100);
    server.kill();
    disk.remount("ro");
    for _ in 0..2 {
        let output = home.up().output().unwrap();
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{text}");
        assert!(text.contains("Read-only file system") && text.contains("data"), "{text}");
    }
    disk.remount("rw");
    let server = home.start();
    assert_eq!(ids(&server), (0..100).collect());
    assert_eq!(server.jsonl(lines(100..200)).accepted(), 100);
    assert_eq!(server.ledger()["accepted"], 200);
}

#[test]
fn a_disk_that_takes_a_second_for_a_sync_slows_acknowledgements_and_nothing_else() {
    let home = Home::new();
    let server = home.start();
    assert_eq!(server.jsonl(lines(0..100)).accepted(), 100);
    server.stop();
    let mut command = home.up();
    command.env("LOGQ_FAILPOINT", "journal.written=sleep:1000");
    let server = home.start_by(command, "stop ");
    let url = format!("{}/ingest/jsonl", server.ingest);
    let batches: Vec<_> = (0..20)
        .map(|batch| (Vec::new(), lines(100 + batch * 10..110 + batch * 10).into_bytes()))
        .collect();
    let started = Instant::now();
    std::thread::scope(|scope| {
        let sent = scope.spawn(|| server::Http::new().post_all(&url, batches));
        // A query meanwhile does not wait for the disk.
        let asked = Instant::now();
        let rows = server.search("record id:<100").len();
        assert_eq!(rows, 100);
        assert!(asked.elapsed() < Duration::from_millis(900), "{:?}", asked.elapsed());
        assert!(sent.join().unwrap().iter().all(|status| *status == 200));
    });
    // All that came during one sync share the next one.
    let took = started.elapsed();
    assert!(took >= Duration::from_secs(1) && took < Duration::from_secs(6), "{took:?}");
    assert_eq!(ids(&server), (0..300).collect());
    server.ledger();
}

#[test]
fn file_descriptors_that_are_used_up_lose_nothing_and_damage_nothing() {
    let home = Home::with_config("[collector]\nflush_age = \"1h\"\n");
    let data = home.data();
    let home = home.launched_by(vec!["prlimit".into(), "--nofile=64:64".into()], data);
    let server = home.start();
    for start in 0..8 {
        assert_eq!(server.jsonl(lines(start * 10..start * 10 + 10)).accepted(), 10);
        assert_eq!(server.flush().status, 200);
    }
    let address = server.ingest.trim_start_matches("http://").to_owned();
    let mut idle = Vec::new();
    // More than it can have; the ones beyond wait in the listen queue.
    for _ in 0..100 {
        idle.push(TcpStream::connect(&address).unwrap());
    }
    eventually("every file descriptor is in use", || {
        let open = std::fs::read_dir(format!("/proc/{}/fd", server.pid())).unwrap().count();
        (open >= 63).then_some(())
    });
    drop(idle);
    // Whatever failed meanwhile was told; now everything works again.
    eventually("it takes records again", || {
        (server.jsonl(lines(80..90)).status == 200).then_some(())
    });
    eventually("it flushes again", || (server.flush().status == 200).then_some(()));
    assert!(ids(&server).is_superset(&(0..80).collect()));
    let ledger = server.ledger();
    assert_eq!(ledger["quarantined"], 0, "{ledger}");
    eventually("health is well again", || (ready(&server) == "ok").then_some(()));
}

#[test]
fn a_clock_set_back_by_an_hour_loses_and_doubles_nothing() {
    let Some(library) = faketime_library() else { return };
    let home = Home::with_config("[collector]\nflush_age = \"100ms\"\nretention_age = \"1d\"\n");
    let server = home.start();
    assert_eq!(server.jsonl(lines(0..100)).accepted(), 100);
    assert_eq!(send_named(&server, "e", 0, "before").status, 200);
    assert_eq!(server.flush().status, 200);
    assert_eq!(server.jsonl(lines(100..200)).accepted(), 100);
    server.kill();
    // The process that starts now believes that it is an hour earlier; its timers run as they should.
    let mut command = home.up();
    set_apart(&mut command, &library, "-1h");
    let server = home.start_by(command, "stop ");
    assert_eq!(send_named(&server, "e", 0, "before").status, 200);
    assert_eq!(send_named(&server, "e", 1, "after").status, 200);
    assert_eq!(server.jsonl(lines(200..300)).accepted(), 100);
    assert_eq!(server.flush().status, 200);
    assert_eq!(server.search("record").len(), 300);
    assert_eq!(server.search("after").len(), 1);
    let ledger = server.ledger();
    assert_eq!((&ledger["accepted"], &ledger["duplicate"]), (&302.into(), &1.into()), "{ledger}");
    // The records of before are in its future now: nothing expires, and a query that ends now says that there are more.
    let output = server.logq(&["search", "--since", "15m", "--", "before"]);
    assert_eq!(output.code, 1, "{output:?}");
    assert!(output.stderr.contains("the newest match is later"), "{output:?}");
    server.stop();
}

#[test]
fn memory_that_is_used_up_refuses_with_429_until_a_flush_has_ended() {
    let home = Home::with_config("[collector]\nmemory_max = \"16 MiB\"\nflush_size = \"2 MiB\"\n");
    let mut command = home.up();
    command.env("LOGQ_FAILPOINT", "flush.written=sleep:15000@1");
    let server = home.start_by(command, "stop ");
    let mut accepted = 0;
    let mut refused = 0;
    for batch in 0..400_u64 {
        let answer = server.jsonl(lines(batch * 2_000..batch * 2_000 + 2_000));
        match answer.status {
            200 => accepted += answer.accepted(),
            429 => {
                assert!(answer.header("retry-after").is_some());
                refused += 1;
                break;
            }
            status => panic!("{status}: {}", answer.text()),
        }
    }
    assert_eq!(refused, 1, "the bound is never reached");
    // Queries go on meanwhile.
    assert_eq!(server.search("* | stats count()")[0]["count"], accepted);
    eventually("memory is given back", || (server.jsonl(lines(0..10)).status == 200).then_some(()));
    assert_eq!(server.ledger()["accepted"], accepted + 10);
    assert!(server.memory_peak_bytes() < 256 << 20, "{} bytes", server.memory_peak_bytes());
}
