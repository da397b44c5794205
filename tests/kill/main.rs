//! Kill tests on the real process: whatever is killed when, every acknowledged record is there once.
//!
//! The seed is printed; `LOGQ_KILL_SEED` repeats a run, `LOGQ_KILL_ROUNDS` makes it longer. Records carry
//! ids of their own and are compared as sets, not counted.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod failpoints;
mod process;

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use process::{LOGQ, Random, Server, free_port, lines, rounds, wait_until};

fn log_file(folder: &Path, ids: std::ops::Range<u64>) -> PathBuf {
    let path = folder.join("records.log");
    std::fs::write(&path, lines(ids)).unwrap();
    path
}

fn ship(file: &Path, addr: &str) -> Child {
    Command::new(LOGQ)
        .args(["ship", "--format", "json", "--addr", addr])
        .arg(file)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Small flushes, so that kills meet flushes and merges too.
const BUSY: &str = "flush_size = \"256 KiB\"\nflush_age = \"100ms\"";

#[test]
fn the_collector_killed_while_ship_runs_loses_and_doubles_nothing() {
    let mut random = Random::new("killed while ship runs");
    for _ in 0..rounds(3) {
        let folder = tempfile::tempdir().unwrap();
        let total = 200_000;
        let file = log_file(folder.path(), 0..total);
        let port = free_port();
        let mut server = Server::start(folder.path(), port, BUSY);
        let shipping = ship(&file, &format!("http://127.0.0.1:{port}"));
        // Mid-flight: some but not all batches are acknowledged.
        let at = 1 + random.below(total / 2);
        wait_until("the first acknowledgement", || server.accepted() >= at.min(50_000));
        server.kill();
        drop(server);
        let server = Server::start(folder.path(), port, BUSY);
        let after = server.accepted();
        assert!(
            (1..total).contains(&after),
            "{after} of {total} were acknowledged at the kill: not mid-flight"
        );
        let output = shipping.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        assert_eq!(server.ids(), (0..total).collect());
        server.assert_adds_up();
    }
}

#[test]
fn the_collector_killed_again_and_again_keeps_exactly_what_it_acknowledged() {
    let mut random = Random::new("killed again and again");
    let folder = tempfile::tempdir().unwrap();
    let mut acknowledged = BTreeSet::new();
    let mut unknown = BTreeSet::new();
    let mut next = 0;
    for _ in 0..rounds(8) {
        let server = Arc::new(std::sync::Mutex::new(Server::start(folder.path(), 0, BUSY)));
        let requests = 5 + random.below(40);
        let kill_at = random.below(requests);
        let pause = Duration::from_micros(random.below(3_000));
        for request in 0..requests {
            let ids = next..next + 1 + random.below(400);
            next = ids.end;
            let body = lines(ids.clone());
            let killer = (request == kill_at).then(|| {
                let server = Arc::clone(&server);
                let pid = server.lock().unwrap().child.id().to_string();
                std::thread::spawn(move || {
                    // A random moment of the request: before, in or after the journal, in the answer.
                    let until = Instant::now() + pause;
                    while Instant::now() < until {
                        std::hint::spin_loop();
                    }
                    Command::new("kill").args(["-KILL", &pid]).status().unwrap()
                })
            });
            let answer = server.lock().unwrap().post("/ingest/jsonl", &body);
            match answer {
                Ok(200) => acknowledged.extend(ids),
                // Not acknowledged: it may be there or not, but not in part and not twice.
                _ => {
                    unknown.insert((ids.start, ids.end));
                }
            }
            if let Some(killer) = killer {
                killer.join().unwrap();
                break;
            }
        }
    }
    let server = Server::start(folder.path(), 0, BUSY);
    let mut ids = server.ids();
    for id in &acknowledged {
        assert!(ids.remove(id), "record {id} was acknowledged and is lost");
    }
    for (start, end) in unknown {
        let there = (start..end).filter(|id| ids.remove(id)).count() as u64;
        assert!(
            there == 0 || there == end - start,
            "{there} of the batch {start}..{end} are there: it was taken in part"
        );
    }
    assert!(ids.is_empty(), "records that were never sent: {ids:?}");
    server.assert_adds_up();
}

#[test]
fn a_kill_during_a_flush_or_a_merge_changes_nothing() {
    let mut random = Random::new("killed in flush and merge");
    let folder = tempfile::tempdir().unwrap();
    let mut next = 0;
    let mut flushes = 0;
    for round in 0..rounds(6) {
        let mut server = Server::start(folder.path(), 0, "flush_age = \"1h\"");
        assert_eq!(server.ids(), (0..next).collect(), "round {round}");
        // Many small segments of one day make the next flush begin a merge too.
        for _ in 0..3 {
            let ids = next..next + 2_000;
            next = ids.end;
            assert_eq!(server.post("/ingest/jsonl", &lines(ids)).unwrap(), 200);
            if random.below(2) == 0 {
                assert_eq!(server.post("/api/v1/flush", "").unwrap(), 200);
                flushes += 1;
            }
        }
        let pid = server.child.id().to_string();
        let pause = Duration::from_micros(random.below(60_000));
        let killer = std::thread::spawn(move || {
            let until = Instant::now() + pause;
            while Instant::now() < until {
                std::hint::spin_loop();
            }
            Command::new("kill").args(["-KILL", &pid]).status().unwrap()
        });
        let _ = server.post("/api/v1/flush", "");
        killer.join().unwrap();
        let _ = server.child.wait();
    }
    let mut server = Server::start(folder.path(), 0, "flush_age = \"1h\"");
    assert_eq!(server.ids(), (0..next).collect());
    server.assert_adds_up();
    // Merges were begun after flushes, so kills met them; now that nobody kills any more they come to an end.
    let segments = folder.path().join("data/segments");
    let segment_count = || {
        let files = std::fs::read_dir(&segments).unwrap().filter_map(Result::ok);
        files
            .filter(|file| file.file_name().to_string_lossy().ends_with(".records.parquet"))
            .count()
    };
    for _ in 0..4 {
        let ids = next..next + 2_000;
        next = ids.end;
        assert_eq!(server.post("/ingest/jsonl", &lines(ids)).unwrap(), 200);
        assert_eq!(server.post("/api/v1/flush", "").unwrap(), 200);
        flushes += 1;
    }
    wait_until("a merge", || segment_count() < flushes);
    assert_eq!(server.ids(), (0..next).collect());
    server.assert_adds_up();
    assert_eq!(server.terminate(), 0, "a clean stop");
    let server = Server::start(folder.path(), 0, "");
    assert_eq!(server.ids(), (0..next).collect());
    server.assert_adds_up();
    let orphans = std::fs::read_dir(folder.path().join("data/segments"))
        .unwrap()
        .filter(|file| file.as_ref().unwrap().file_name().to_string_lossy().ends_with(".tmp"));
    assert_eq!(orphans.count(), 0, "temporary files are cleaned up");
}

#[test]
fn an_acknowledgement_lost_on_the_way_doubles_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let total = 120_000;
    let file = log_file(folder.path(), 0..total);
    let server = Server::start(folder.path(), 0, BUSY);
    let proxy =
        DroppingProxy::start(server.ingest.trim_start_matches("http://").parse().unwrap(), 3);
    let output = ship(&file, &format!("http://{}", proxy.addr)).wait_with_output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    assert!(proxy.dropped.load(Ordering::SeqCst) > 0, "the proxy dropped no answer");
    assert!(text.contains("had arrived before"), "{text}");
    assert_eq!(server.ids(), (0..total).collect());
    server.assert_adds_up();
}

/// Passes requests on, but closes the connection instead of the first answers.
struct DroppingProxy {
    addr: SocketAddr,
    dropped: Arc<AtomicU64>,
}

impl DroppingProxy {
    fn start(upstream: SocketAddr, drops: u64) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        let dropped = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&dropped);
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let count = Arc::clone(&count);
                std::thread::spawn(move || pass(&client, upstream, &count, drops));
            }
        });
        Self { addr, dropped }
    }
}

fn pass(client: &TcpStream, upstream: SocketAddr, dropped: &AtomicU64, drops: u64) {
    let server = TcpStream::connect(upstream).unwrap();
    let (mut from, mut to) = (client.try_clone().unwrap(), server.try_clone().unwrap());
    std::thread::spawn(move || {
        let _ = std::io::copy(&mut from, &mut to);
        let _ = to.shutdown(Shutdown::Write);
    });
    let mut server = server;
    let mut client = client;
    let mut buffer = [0; 16 << 10];
    while let Ok(read @ 1..) = server.read(&mut buffer) {
        // The collector has answered, so the batch is durable; the sender never hears of it.
        if dropped.load(Ordering::SeqCst) < drops {
            dropped.fetch_add(1, Ordering::SeqCst);
            let _ = client.shutdown(Shutdown::Both);
            let _ = server.shutdown(Shutdown::Both);
            return;
        }
        if client.write_all(&buffer[..read]).is_err() {
            return;
        }
    }
}
