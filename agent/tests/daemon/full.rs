//! A spool or a disk that is full.

use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use crate::collector::Action::{Accept, Refuse};
use crate::collector::Collector;
use crate::kill::Random;
use crate::process::{Home, assert_adds_up, eventually, skipped};

const MIB: usize = 1 << 20;

/// Lines of 20 kB that hardly compress, each once.
fn noise(count: usize) -> Vec<String> {
    let mut random = Random::seeded();
    (0..count).map(|number| format!("{number} {}", random.noise(20_000))).collect()
}

fn text(lines: &[String]) -> String {
    lines.iter().flat_map(|line| [line.as_str(), "\n"]).collect()
}

#[test]
fn while_the_spool_is_full_a_file_waits_and_nothing_is_lost() {
    let collector = Collector::with(|_| Refuse(503));
    let home =
        Home::reading_logs(&collector.addr, "spool_max = \"32 MiB\"\nbatch_size = \"1 MiB\"");
    let lines = noise(2_500);
    home.log("a.log", text(&lines));
    let agent = home.start();
    eventually("the spool is full", || {
        agent.status()["trouble"].to_string().contains("spool:").then_some(())
    });
    let status = agent.status();
    assert_adds_up(&status["ledger"]);
    let disk: u64 = std::fs::read_dir(home.state().join("spool"))
        .unwrap()
        .map(|file| file.unwrap().metadata().unwrap().len())
        .sum();
    assert!(disk <= 32 * MIB as u64, "{disk} bytes");
    assert!(status["ledger"]["read"].as_u64() < Some(2_500), "{status}");
    assert!(agent.get("/health/ready").contains("degraded"));
    collector.then(|_| Accept);
    let ledger = agent.settled(2_500)["ledger"].clone();
    assert_eq!(ledger["dropped"], serde_json::json!({}));
    collector.assert_whole(lines);
    collector.assert_in_order();
    eventually("health is good again", || {
        (!agent.get("/health/ready").contains("degraded")).then_some(())
    });
    agent.stop();
}

#[test]
fn the_smallest_spool_takes_the_largest_batches_that_the_configuration_allows() {
    let collector = Collector::start();
    let home = Home::reading_logs(
        &collector.addr,
        "spool_max = \"32 MiB\"\nbatch_size = \"2 MiB\"\nbatch_records = 100000\nbatch_age = \"5s\"",
    );
    let lines = noise(500);
    home.log("a.log", text(&lines));
    let agent = home.start();
    let ledger = agent.settled(500)["ledger"].clone();
    assert_eq!(ledger["dropped"], serde_json::json!({}));
    collector.assert_whole(lines);
    collector.assert_in_order();
    agent.stop();
}

#[test]
fn records_that_wait_for_an_error_never_make_an_entry_that_the_spool_cannot_take() {
    let collector = Collector::start();
    let home = Home::new();
    home.configure(
        &[&collector.addr],
        "spool_max = \"32 MiB\"\nbatch_size = \"1 MiB\"\nbatch_age = \"5s\"\n[agent.sample]\nkeep_ratio = 0.0\nwindow = \"2s\"",
        &home.logs_source("format = \"json\""),
    );
    let lines: String = noise(400)
        .iter()
        .enumerate()
        .map(|(number, noise)| {
            format!("{{\"msg\":\"{noise}\",\"correlation_id\":\"c{number}\"}}\n")
        })
        .collect();
    home.log("a.log", lines);
    let agent = home.start();
    let ledger = agent.settled(400)["ledger"].clone();
    assert_eq!(ledger["dropped"]["sampled"], 400, "{ledger}");
    agent.stop();
}

#[test]
fn where_it_is_told_to_standard_input_drops_and_counts_while_the_spool_is_full() {
    let collector = Collector::with(|_| Refuse(503));
    let home = Home::new();
    let stdin = "[[agent.sources]]\nkind = \"stdin\"\nformat = \"raw\"\nwhen_full = \"drop\"\n";
    home.configure(&[&collector.addr], "spool_max = \"32 MiB\"\nbatch_size = \"1 MiB\"", stdin);
    let lines = noise(2_500);
    let mut agent = home.start_as(home.command().stdin(Stdio::piped()));
    let mut input = agent.stdin();
    // Ends although nothing is taken.
    input.write_all(text(&lines).as_bytes()).unwrap();
    let status = eventually("all is read", || {
        let status = agent.status();
        (status["sources"][0]["records"] == 2_500).then_some(status)
    });
    assert!(status["trouble"].to_string().contains("spool:"), "{status}");
    collector.then(|_| Accept);
    let ledger = agent.settled(2_500)["ledger"].clone();
    let dropped = ledger["dropped"]["spool_full"].as_u64().unwrap() as usize;
    assert!(dropped > 0, "{ledger}");
    let arrived = collector.messages();
    assert_eq!(arrived.len(), 2_500 - dropped);
    assert!(arrived.iter().all(|line| lines.contains(line)));
    collector.assert_in_order();
    drop(input);
    assert!(agent.ended().success());
}

#[test]
fn an_agent_whose_sources_ended_can_be_stopped_while_the_spool_is_full() {
    let collector = Collector::with(|_| Refuse(503));
    let home = Home::new();
    let stdin = "[[agent.sources]]\nkind = \"stdin\"\nformat = \"raw\"\n";
    home.configure(
        &[&collector.addr],
        "spool_max = \"32 MiB\"\nbatch_size = \"1 MiB\"\nbatch_age = \"1h\"",
        stdin,
    );
    let mut agent = home.start_as(home.command().stdin(Stdio::piped()));
    let mut input = agent.stdin();
    // All of it finds room but for the last batch, which is there when the input ends.
    let mut lines = noise(4_000).into_iter();
    eventually("the spool is full", || {
        let line = lines.next().expect("80 MB do not fit");
        input.write_all(format!("{line}\n").as_bytes()).unwrap();
        agent.status()["trouble"].to_string().contains("spool:").then_some(())
    });
    drop(input);
    eventually("the agent ends", || {
        agent.get("/health/ready").contains("shutting_down").then_some(())
    });
    agent.signal("-TERM");
    assert!(agent.ended().success());
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
                "no file system can be mounted here; the spool's own tests have a full disk too",
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
fn a_full_disk_loses_nothing_and_the_agent_recovers() {
    let collector = Collector::with(|_| Refuse(503));
    let mut home = Home::new();
    std::fs::create_dir(home.state()).unwrap();
    let Some(disk) = SmallDisk::mount(home.state(), 100) else { return };
    home.launcher = disk.launcher();
    home.configure(
        &[&collector.addr],
        "spool_max = \"64 MiB\"\nbatch_size = \"1 MiB\"",
        &home.logs_source(""),
    );
    let lines = noise(1_200);
    let agent = home.start();
    home.log("a.log", text(&lines[..100]));
    eventually("some is in the spool", || {
        (agent.status()["ledger"]["spooled"].as_u64() >= Some(100)).then_some(())
    });
    disk.fill();
    home.log("a.log", text(&lines[100..]));
    eventually("the disk is full", || {
        agent.status()["trouble"].to_string().contains("spool:").then_some(())
    });
    assert_adds_up(&agent.status()["ledger"]);
    // What is there can be shipped all the same.
    collector.then(|_| Accept);
    eventually("what is in the spool arrives", || {
        (collector.messages().len() >= 100).then_some(())
    });
    disk.free();
    agent.settled(1_200);
    collector.assert_whole(lines.clone());
    collector.assert_in_order();

    // The same again, with a kill in the middle.
    collector.then(|_| Refuse(503));
    let more: Vec<String> = lines.iter().map(|line| format!("again {line}")).collect();
    home.log("a.log", text(&more[..100]));
    eventually("some is in the spool", || {
        (agent.status()["ledger"]["spooled"].as_u64() >= Some(100)).then_some(())
    });
    disk.fill();
    home.log("a.log", text(&more[100..]));
    eventually("the disk is full", || {
        agent.status()["trouble"].to_string().contains("spool:").then_some(())
    });
    agent.kill();
    disk.free();
    collector.then(|_| Accept);
    let agent = home.start();
    agent.settled(2_400);
    collector.assert_whole(lines.into_iter().chain(more));
    collector.assert_in_order();
    agent.stop();
}
