//! A machine that is not well, around the real binary: a disk that is read-only or slow, too few file descriptors, a
//! clock that is set back, memory that is used up. Each has a stated behaviour (docs/operations.md).

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod server;

use std::net::TcpStream;
use std::process::Command;
use std::time::{Duration, Instant};

use server::requests::{ids, lines, send_named};
use server::small_disk::SmallDisk;
use server::{Home, Server, eventually, skipped};

fn ready(server: &Server) -> String {
    let answer = server.http().get(&format!("{}/health/ready", server.query));
    assert_eq!(answer.status, 200, "what is degraded can still be asked");
    answer.json()["status"].as_str().unwrap().to_owned()
}

#[test]
fn a_disk_that_turns_read_only_refuses_batches_answers_queries_and_goes_on_when_it_can_be_written()
{
    let folder = tempfile::tempdir().unwrap();
    let Some(disk) = SmallDisk::mount(folder.path().to_owned(), 300) else { return };
    let home = Home::with_config("[collector]\nflush_age = \"1h\"\n")
        .launched_by(disk.launcher(), folder.path().join("data"));
    let server = home.start();
    assert_eq!(server.jsonl(lines(0..100)).accepted(), 100);
    assert_eq!(server.flush().status, 200);
    assert_eq!(server.jsonl(lines(100..200)).accepted(), 100);

    // A file that is open for writing keeps a disk from turning read-only: the cut closes it.
    assert_eq!(server.flush().status, 200);
    disk.remount("ro");
    let (status, code, message) = server.jsonl(lines(900..1_000)).refusal();
    assert_eq!((status, code.as_str()), (503, "journal_failed"), "{message}");
    assert!(message.contains("Read-only"), "{message}");
    assert_eq!(send_named(&server, "e", 0, "named").status, 503);
    assert_eq!(ids(&server), (0..200).collect());
    eventually("health is degraded", || (ready(&server) == "degraded").then_some(()));

    disk.remount("rw");
    assert_eq!(send_named(&server, "e", 0, "named").status, 200);
    assert_eq!(server.jsonl(lines(200..300)).accepted(), 100);
    eventually("health is well again", || (ready(&server) == "ok").then_some(()));
    assert_eq!(server.ledger()["accepted"], 301);
    server.stop();

    // A start on a disk that cannot be written says so and ends; it does not hang, and leaves the data as it is.
    disk.remount("ro");
    let output = home.up().output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("Read-only"), "{text}");
    disk.remount("rw");
    assert_eq!(home.start().ledger()["accepted"], 301);
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
    let batches =
        (0..20).map(|batch| (Vec::new(), lines(100 + batch * 10..110 + batch * 10).into()));
    let batches: Vec<(Vec<(&'static str, String)>, Vec<u8>)> = batches.collect();
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
    if Command::new("faketime").arg("--version").output().is_err() {
        skipped("faketime is missing, so no clock is set back");
        assert!(std::env::var("CI").as_deref() != Ok("true"), "CI may skip nothing");
        return;
    }
    let home = Home::with_config("[collector]\nflush_age = \"100ms\"\nretention_age = \"1d\"\n");
    let server = home.start();
    assert_eq!(server.jsonl(lines(0..100)).accepted(), 100);
    assert_eq!(send_named(&server, "e", 0, "before").status, 200);
    assert_eq!(server.flush().status, 200);
    assert_eq!(server.jsonl(lines(100..200)).accepted(), 100);
    server.kill();
    let data = home.data();
    // The process that starts now believes that it is an hour earlier; its timers run as they should.
    let back = ["env", "FAKETIME_DONT_FAKE_MONOTONIC=1", "faketime", "-f", "-1h"];
    let home = home.launched_by(back.map(str::to_owned).to_vec(), data);
    let server = home.start();
    assert_eq!(send_named(&server, "e", 0, "before").status, 200);
    assert_eq!(send_named(&server, "e", 1, "after").status, 200);
    assert_eq!(server.jsonl(lines(200..300)).accepted(), 100);
    assert_eq!(server.flush().status, 200);
    assert_eq!(server.search("record").len(), 300);
    assert_eq!(server.search("after").len(), 1);
    let ledger = server.ledger();
    assert_eq!((&ledger["accepted"], &ledger["duplicate"]), (&302.into(), &1.into()), "{ledger}");
    // What came in the last minutes of the other clock lies in its future, and is found by saying so.
    let newest = server.search("* | fields record_seq | head 1");
    assert_eq!(newest.len(), 1);
    server.stop();
}

#[test]
fn memory_that_is_used_up_refuses_with_429_until_a_flush_has_ended() {
    let home = Home::with_config("[collector]\nmemory_max = \"16 MiB\"\nflush_size = \"2 MiB\"\n");
    let mut command = home.up();
    command.env("LOGQ_FAILPOINT", "flush.written=sleep:4000@1");
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
