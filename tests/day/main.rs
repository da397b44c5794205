//! A day in the life of an agent, compressed: programs log, logs are rotated in every way, agent, collector, network
//! and disk fail, and in the end every line is in the store exactly once.
//!
//! What the store must have is what is in the files in the end, and what was in files that were deleted. A line may
//! be missing only if a truncation took it away, which the agent has to have told of. `rotation.rs` has the rules.
//!
//! The seed is printed; `LOGQ_DAY_SEED` makes the same choices again, though not at the same moments.
//! `LOGQ_DAY_LINES` and `LOGQ_DAY_SECONDS` make it longer; `LOGQ_DAY_KEEP` keeps the folder.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod agent;
mod collector;
mod faults;
mod proxy;
mod rotation;
#[path = "../server/mod.rs"]
mod server;
mod timeline;
mod truth;
mod verdict;
mod writer;

use std::collections::BTreeMap;
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use agent::Agent;
use collector::Collector;
use faults::Faults;
use proxy::Proxy;
use rotation::Rotation;
use server::setting;
use server::small_disk::SmallDisk;
use timeline::{Random, Timeline};
use truth::Content;
use verdict::Verdict;
use writer::{Log, Written};

/// Below the folder of the run.
const LOGS: [&str; 5] =
    ["all/api.log", "all/web.log", "all/queue.log", "live/orders.log", "live/quiet.log"];
/// Room for the spool's 32 MiB and not much more.
const DISK_MIB: usize = 48;
/// A rotated file that was quiet for 5 s is finished, and so is a compressed one read; after that nothing more comes.
const QUIET: Duration = Duration::from_secs(8);
/// What is left may take so long in the end.
const SETTLE_DEADLINE: Duration = Duration::from_secs(180);

#[test]
fn every_line_is_stored_exactly_once_whatever_happens_on_the_way() {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let seed = setting("LOGQ_DAY_SEED", now.as_nanos() as u64 % 1_000_000_007);
    let lines = setting("LOGQ_DAY_LINES", 30_000);
    let span = Duration::from_secs(setting("LOGQ_DAY_SECONDS", 60));
    // Around the test runner, which shows nothing of a test that passes.
    server::tell(&format!("a day: LOGQ_DAY_SEED={seed}, {lines} lines in {} s", span.as_secs()));
    let mut folder = tempfile::tempdir().unwrap();
    let is_kept = std::env::var_os("LOGQ_DAY_KEEP").is_some();
    if is_kept {
        folder.disable_cleanup(true);
        server::tell(&format!("it is kept in {}", folder.path().display()));
    }
    // Links resolved: paths are compared with those that the agent has.
    let root = folder.path().canonicalize().unwrap();
    for name in ["all", "live", "disk"] {
        std::fs::create_dir(root.join(name)).unwrap();
    }
    let timeline = Timeline::new();
    let random = |actor: &str| Random::new(seed, actor);
    let disk = SmallDisk::mount(root.join("disk"), DISK_MIB);
    let launcher = disk.as_ref().map(SmallDisk::launcher).unwrap_or_default();
    let proxy = Proxy::start(random("network, bytes"));
    let collector = Collector::new(&proxy);
    let agent = Agent::new(root.clone(), proxy.addr, launcher);
    collector.start(&timeline);
    agent.start(&timeline);

    let logs: Vec<Log> = LOGS
        .iter()
        .enumerate()
        .map(|(number, name)| Log::create(number, root.join(name)))
        .collect();
    let deleted = Mutex::new(Content::default());
    let (stop_faults, stop_rotation) = (AtomicBool::new(false), AtomicBool::new(false));
    let faults = Faults {
        agent: &agent,
        collector: &collector,
        proxy: &proxy,
        disk: disk.as_ref(),
        timeline: &timeline,
        stop: &stop_faults,
    };
    let rotation = Rotation {
        agent: &agent,
        collector: &collector,
        timeline: &timeline,
        folder: &root,
        deleted: &deleted,
        stop: &stop_rotation,
        has_logrotate: rotation::has_logrotate(),
    };
    std::thread::scope(|scope| {
        // A thread that panics ends the others too.
        let (_rotations_end, _faults_end) = (Raise(&stop_rotation), Raise(&stop_faults));
        let rotations: Vec<_> = logs
            .iter()
            .map(|log| scope.spawn(|| rotation.run(log, random(&log.actor()))))
            .collect();
        scope.spawn(|| faults.of_agent(random("agent")));
        scope.spawn(|| faults.of_collector(random("collector")));
        scope.spawn(|| faults.of_network(random("network")));
        scope.spawn(|| faults.of_disk(random("disk")));
        let took = writer::write(&logs, lines, span, random("writer"), &timeline);
        stop_rotation.store(true, Ordering::SeqCst);
        rotations.into_iter().for_each(|rotation| rotation.join().unwrap());
        stop_faults.store(true, Ordering::SeqCst);
        timeline.note("writer", format!("is done after {} s", took.as_secs()));
    });
    logs.iter().for_each(|log| log.complete_line(&timeline));

    settle(&agent, &timeline);
    // What is durable is enough to know that nothing is to be read again.
    agent.kill(&timeline);
    agent.start(&timeline);
    let status = settle(&agent, &timeline);

    let files = truth::read_all(&[&root.join("all"), &root.join("live")]);
    let written: BTreeMap<u64, Written> = logs.iter().flat_map(Log::take_written).collect();
    assert_eq!(written.len() as u64, lines);
    let deleted = deleted.into_inner().unwrap();
    let verdict = Verdict {
        written: &written,
        files: &files,
        deleted: &deleted,
        logs: &logs,
        collector: &collector,
        timeline: &timeline,
    };
    let faults = verdict.faults(&status);
    std::fs::write(root.join("timeline"), timeline.to_string()).unwrap();
    if let Some(disk) = disk.as_ref().filter(|_| is_kept) {
        let from = disk.outside().join("state");
        let copied = Command::new("cp").arg("-r").args([from, root.join("state")]).status();
        assert!(copied.unwrap().success());
    }
    assert!(
        faults.is_empty(),
        "LOGQ_DAY_SEED={seed}\n{}\nthe agent's log:\n{}",
        faults.join("\n"),
        last_lines(&agent.log())
    );
    agent.stop(&timeline);
    server::tell(&format!(
        "a day: {lines} lines, {} things done to them, {} lost to truncations and told of, after {} s",
        timeline.len(),
        lines - files.ids.len() as u64 - deleted.ids.len() as u64,
        timeline.now().as_secs()
    ));
}

/// Raises its flag when it is dropped.
struct Raise<'a>(&'a AtomicBool);

impl Drop for Raise<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// Waits until the agent has nothing to do and does nothing more; gives what it says then.
fn settle(agent: &Agent, timeline: &Timeline) -> serde_json::Value {
    let started = Instant::now();
    let mut quiet: Option<(Instant, serde_json::Value)> = None;
    loop {
        let status = agent.status().unwrap_or_default();
        let sources = status["sources"].as_array().cloned().unwrap_or_default();
        let idle = !sources.is_empty()
            && sources.iter().all(|source| source["lag_bytes"] == 0)
            && status["spool_batches"] == 0
            && status["oldest_unshipped"].is_null();
        let ledger = status["ledger"].clone();
        match &quiet {
            Some((since, before)) if idle && *before == ledger => {
                if since.elapsed() >= QUIET {
                    timeline.note("agent", "is quiet");
                    return status;
                }
            }
            _ => quiet = idle.then(|| (Instant::now(), ledger)),
        }
        assert!(
            started.elapsed() < SETTLE_DEADLINE,
            "the agent does not come to an end: {status:#}\n{timeline}\n{}",
            last_lines(&agent.log())
        );
        std::thread::sleep(Duration::from_millis(100));
    }
}

fn last_lines(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(100)..].join("\n")
}
