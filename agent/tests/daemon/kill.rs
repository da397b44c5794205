//! kill -9 at any moment, under load, with a collector that fails at random: every line once, no name twice.

use std::fs::OpenOptions;
use std::io::Write;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::collector::Action::*;
use crate::collector::Collector;
use crate::process::{Home, eventually, messages};

/// A sequence of numbers that a seed tells.
#[derive(Clone)]
pub(crate) struct Random(u64);

impl Random {
    /// `LOGQ_SEED`, or the clock; printed, so that a failure can be had again.
    pub(crate) fn seeded() -> Self {
        let given = std::env::var("LOGQ_SEED").ok().and_then(|seed| seed.parse().ok());
        let clock = || std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_nanos() as u64;
        let seed = given.unwrap_or_else(clock);
        eprintln!("LOGQ_SEED={seed}");
        Self(seed)
    }

    /// Text that hardly compresses.
    pub(crate) fn noise(&mut self, length: usize) -> String {
        let bytes: Vec<u8> = (0..length / 4 + 1)
            .flat_map(|_| self.below(1 << 24).to_le_bytes().into_iter().take(3))
            .collect();
        let mut text = STANDARD.encode(bytes);
        text.truncate(length);
        text
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

#[test]
fn every_line_arrives_once_through_kills_under_load_and_a_failing_collector() {
    const LINES: usize = 30_000;
    let mut random = Random::seeded();
    let mut failing = random.clone();
    let collector = Collector::with(move |_| match failing.below(10) {
        0 => LoseAnswer,
        1 => Drop,
        2 => Refuse(503),
        3 => Busy(429, 0),
        _ => Accept,
    });
    let home = Home::reading_logs(
        &collector.addr,
        "batch_records = 200\nspool_max = \"32 MiB\"\nbatch_size = \"1 MiB\"",
    );
    // Three logs, one of which is rotated by renaming again and again, while the agent lives and dies.
    let folder = home.path("logs");
    let writer = std::thread::spawn(move || {
        let open = |name: &str| {
            OpenOptions::new().create(true).append(true).open(folder.join(name)).unwrap()
        };
        let mut files = [open("a.log"), open("b.log"), open("c.log")];
        let mut rotation = 0;
        for number in 0..LINES {
            writeln!(files[number % 3], "line {number}").unwrap();
            if number % 4_000 == 3_999 {
                rotation += 1;
                let rotated = folder.join(format!("a-{rotation}.log"));
                std::fs::rename(folder.join("a.log"), rotated).unwrap();
                files[0] = open("a.log");
            }
            if number.is_multiple_of(100) {
                std::thread::sleep(Duration::from_millis(10));
            }
        }
    });
    let mut kills = 0;
    while !writer.is_finished() || kills < 8 {
        let agent = home.start();
        let until = Instant::now() + Duration::from_millis(random.below(400));
        eventually("the moment has come", || (Instant::now() >= until).then_some(()));
        agent.kill();
        kills += 1;
    }
    writer.join().unwrap();
    collector.then(|_| Accept);
    let agent = home.start();
    agent.settled(LINES as u64);
    collector.assert_in_order();
    collector.assert_whole(messages(0..LINES));
    eprintln!("{kills} kills");
    agent.stop();
    let check = home.run(&["spool", "check"]);
    assert_eq!(check.code, 0, "{check:?}");
}
