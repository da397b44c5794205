//! The real process is killed at each named place of its store, and started again: nothing that it acknowledged is
//! lost, nothing is there twice, and it always starts.
//!
//! `LOGQ_KILL_ROUNDS` is the number of kills at each place; 200 take about a minute a place.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Stdio;

use super::process::{Random, Server, lines, rounds};

/// Requests of a run, within which the place has to be reached.
const REQUESTS_MAX: u64 = 400;
/// Small flushes; merges begin with the fourth segment of a day.
const CONFIG: &str = "flush_size = \"64 KiB\"\nflush_age = \"100ms\"";
/// Records go again soon after they are in segments.
const RETENTION: &str =
    "flush_size = \"64 KiB\"\nflush_age = \"100ms\"\nretention_size = \"1 MiB\"";

/// What was sent to one data folder over all kills.
struct Sent {
    next_id: u64,
    next_sequence: u64,
    /// Ids by the sequence of their batch.
    batches: BTreeMap<u64, std::ops::Range<u64>>,
    acknowledged: BTreeSet<u64>,
}

impl Sent {
    /// Sends a batch under its name; whether it was acknowledged, or `None` if there is nobody any more.
    fn send(&mut self, server: &Server, sequence: u64) -> Option<bool> {
        let headers = [
            ("logq-agent", "killer".to_owned()),
            ("logq-epoch", "one".to_owned()),
            ("logq-sequence", sequence.to_string()),
        ];
        let body = lines(self.batches[&sequence].clone());
        let status = server.post_with("/ingest/jsonl", &headers, &body).ok()?;
        assert_eq!(status, 200, "batch {sequence}");
        self.acknowledged.insert(sequence);
        Some(true)
    }

    fn new_batch(&mut self, random: &mut Random) -> u64 {
        let ids = self.next_id..self.next_id + 1 + random.below(150);
        self.next_id = ids.end;
        let sequence = self.next_sequence;
        self.next_sequence += 1;
        self.batches.insert(sequence, ids);
        sequence
    }
}

fn kill_at(point: &str, config: &str) {
    let mut random = Random::new(&format!("killed at {point}"));
    let folder = tempfile::tempdir().unwrap();
    let mut sent = Sent {
        next_id: 0,
        next_sequence: 0,
        batches: BTreeMap::new(),
        acknowledged: BTreeSet::new(),
    };
    let mut kills = 0;
    let wanted = rounds(2) as u64;
    let mut runs = 0;
    while kills < wanted {
        runs += 1;
        assert!(runs <= 4 * wanted + 4, "{point} is not reached: {kills} kills in {runs} runs");
        let time = 1 + random.below(4);
        let failpoint = format!("{point}=kill@{time}");
        let Some(mut server) = Server::start_with(folder.path(), config, &failpoint) else {
            // It died while it started, which is as good a moment as any.
            kills += 1;
            check(folder.path(), config, &mut sent, point);
            continue;
        };
        for request in 0..REQUESTS_MAX {
            let sequence = sent.new_batch(&mut random);
            let gone = sent.send(&server, sequence).is_none()
                || (request % 3 == 2 && server.post("/api/v1/flush", "").is_err());
            if gone {
                break;
            }
        }
        let died = server.died();
        kills += u64::from(died);
        server.kill();
        drop(server);
        check(folder.path(), config, &mut sent, point);
    }
}

/// Starts it without any kill, sends again what was not acknowledged, and compares all that is there.
fn check(folder: &Path, config: &str, sent: &mut Sent, point: &str) {
    let server = Server::start(folder, 0, config);
    let retention = config == RETENTION;
    let before = server.ids();
    for (sequence, ids) in &sent.batches {
        let there = ids.clone().filter(|id| before.contains(id)).count() as u64;
        let whole = there == ids.end - ids.start;
        let acknowledged = sent.acknowledged.contains(sequence);
        assert!(
            retention || whole || (!acknowledged && there == 0),
            "{point}: batch {sequence}, {there} there"
        );
    }
    let unknown: Vec<u64> = sent
        .batches
        .keys()
        .filter(|sequence| !sent.acknowledged.contains(sequence))
        .copied()
        .collect();
    for sequence in unknown {
        assert!(sent.send(&server, sequence).is_some(), "{point}: died without being killed");
    }
    let all: BTreeSet<u64> = (0..sent.next_id).collect();
    let ids = server.ids();
    assert!(ids.is_subset(&all), "{point}: records that were never sent");
    assert!(retention || ids == all, "{point}: {:?} are lost", &all - &ids);
    server.assert_adds_up();
}

impl Server {
    /// As [`Server::start`], but it may die before it is ready.
    fn start_with(folder: &Path, config: &str, failpoint: &str) -> Option<Self> {
        let mut command = Self::command(folder, 0, config);
        Self::spawn(command.env("LOGQ_FAILPOINT", failpoint).stderr(Stdio::null()))
    }

    /// Whether the process ended by itself.
    fn died(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }
}

/// A test for each place, so that they run beside each other and a failure names its place.
macro_rules! killed_at {
    ($($name:ident: $point:literal, $config:expr;)*) => {
        $(#[test]
        fn $name() {
            kill_at($point, $config);
        })*
    };
}

killed_at! {
    killed_after_a_journal_file_was_created: "journal.created", CONFIG;
    killed_after_an_append_and_before_its_sync: "journal.written", CONFIG;
    killed_after_the_sync_of_an_append: "journal.synced", CONFIG;
    killed_when_a_batch_is_visible_and_not_answered: "commit.visible", CONFIG;
    killed_at_a_cut: "commit.cut", CONFIG;
    killed_before_a_segment_file_has_its_name: "file.written", CONFIG;
    killed_after_a_segment_file_has_its_name: "file.renamed", CONFIG;
    killed_between_the_two_files_of_a_segment: "segment.half_written", CONFIG;
    killed_when_a_flush_is_written_and_not_published: "flush.written", CONFIG;
    killed_inside_a_transaction_of_the_catalog: "catalog.in_transaction", CONFIG;
    killed_after_a_flush_is_published_and_before_the_view_is_swapped: "flush.published", CONFIG;
    killed_after_the_view_is_swapped: "flush.swapped", CONFIG;
    killed_before_a_journal_file_is_unlinked: "journal.unlink", CONFIG;
    killed_when_a_merge_is_written_and_not_published: "compact.written", CONFIG;
    killed_after_a_merge_is_published_and_before_the_view_is_swapped: "replace.published", CONFIG;
    killed_after_the_view_of_a_merge_is_swapped: "replace.swapped", CONFIG;
    killed_before_a_segment_is_unlinked: "segment.unlink", CONFIG;
    killed_when_retention_has_chosen: "expire.chosen", RETENTION;
    killed_after_an_expiry_is_published: "replace.published", RETENTION;
}
