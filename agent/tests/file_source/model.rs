//! Writers do what writers and rotators do, in any order, while the agent reads, stores and crashes. At the end
//! each line that was written has been read once, and in order.
//!
//! What may be lost is what cannot be had: lines that came between copying a file and cutting it; and then that
//! must have been told.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::time::UNIX_EPOCH;

use proptest::prelude::*;

use crate::harness::{Agent, compress, open};

const NAMES: [&str; 3] = ["a.log", "b.log", "c.log"];

#[derive(Clone, Debug)]
enum Action {
    Append {
        file: usize,
        lines: u32,
    },
    Half {
        file: usize,
    },
    /// The writer goes on in the renamed file until it reopens.
    Rename {
        file: usize,
    },
    Reopen {
        file: usize,
    },
    Copy {
        file: usize,
    },
    Cut {
        file: usize,
    },
    Recreate {
        file: usize,
    },
    /// The first half of compressing the newest rotated file, then the second.
    Compress {
        file: usize,
        zstd: bool,
    },
    Uncompressed {
        file: usize,
    },
    Pass {
        seconds: u64,
    },
    Turn,
    /// A turn of which the first events are durable.
    Store {
        events: usize,
    },
    Crash,
}

fn action() -> impl Strategy<Value = Action> {
    let file = || 0..NAMES.len();
    prop_oneof![
        6 => (file(), 1..5_u32).prop_map(|(file, lines)| Action::Append { file, lines }),
        1 => (file(), 20..60_u32).prop_map(|(file, lines)| Action::Append { file, lines }),
        2 => file().prop_map(|file| Action::Half { file }),
        3 => file().prop_map(|file| Action::Rename { file }),
        3 => file().prop_map(|file| Action::Reopen { file }),
        3 => file().prop_map(|file| Action::Copy { file }),
        3 => file().prop_map(|file| Action::Cut { file }),
        1 => file().prop_map(|file| Action::Recreate { file }),
        2 => (file(), any::<bool>()).prop_map(|(file, zstd)| Action::Compress { file, zstd }),
        2 => file().prop_map(|file| Action::Uncompressed { file }),
        3 => (1..13_u64).prop_map(|seconds| Action::Pass { seconds }),
        6 => Just(Action::Turn),
        3 => (0..40_usize).prop_map(|events| Action::Store { events }),
        2 => Just(Action::Crash),
    ]
}

struct Writer {
    path: PathBuf,
    file: File,
    next: u32,
    /// The second half of a line, and its end.
    half: Option<String>,
    renamed: bool,
    /// Seconds since it was.
    renamed_for: u64,
    /// The first line that came after a copy was made.
    copied: Option<u32>,
    /// Came between copying and cutting, and that must be told.
    may_be_lost: BTreeSet<u32>,
    /// The same of a file of which nothing was known that cutting has changed.
    may_be_unknown: BTreeSet<u32>,
    /// Compressed, but still there.
    compressed: Option<PathBuf>,
}

impl Writer {
    fn new(path: PathBuf) -> Self {
        let file = open(&path);
        Self {
            path,
            file,
            next: 0,
            half: None,
            renamed: false,
            renamed_for: 0,
            copied: None,
            may_be_lost: BTreeSet::new(),
            may_be_unknown: BTreeSet::new(),
            compressed: None,
        }
    }

    fn line(&mut self) -> String {
        let name = self.path.file_name().unwrap().to_str().unwrap();
        let line = text(name, self.next);
        self.next += 1;
        line
    }

    fn append(&mut self, lines: u32) {
        self.end_line();
        for _ in 0..lines {
            let line = self.line();
            writeln!(self.file, "{line}").unwrap();
        }
    }

    fn half(&mut self) {
        self.end_line();
        let line = self.line();
        let (now, later) = line.split_at(line.len() / 2);
        self.file.write_all(now.as_bytes()).unwrap();
        self.half = Some(format!("{later}\n"));
    }

    fn end_line(&mut self) {
        if let Some(rest) = self.half.take() {
            self.file.write_all(rest.as_bytes()).unwrap();
        }
    }

    fn rotated(&self, number: u32, end: &str) -> PathBuf {
        let name = self.path.file_name().unwrap().to_str().unwrap();
        self.path.with_file_name(format!("{name}.{number}{end}"))
    }

    /// Makes room for a new `.1`.
    fn shift(&mut self) {
        self.uncompressed();
        let is_there = |number: &u32| {
            ["", ".gz", ".zst"].iter().any(|end| self.rotated(*number, end).exists())
        };
        let first_free = (1..).find(|number| !is_there(number)).unwrap();
        for number in (1..first_free).rev() {
            for end in ["", ".gz", ".zst"] {
                let from = self.rotated(number, end);
                if from.exists() {
                    fs::rename(from, self.rotated(number + 1, end)).unwrap();
                }
            }
        }
    }

    fn rename(&mut self) {
        if !self.renamed && self.copied.is_none() {
            self.shift();
            fs::rename(&self.path, self.rotated(1, "")).unwrap();
            self.renamed = true;
            self.renamed_for = 0;
        }
    }

    fn reopen(&mut self) {
        if self.renamed {
            self.end_line();
            self.file = open(&self.path);
            self.renamed = false;
        }
    }

    /// No writer writes into a renamed file for longer than the agent waits for it.
    fn pass(&mut self, seconds: u64) {
        self.renamed_for += seconds;
        if self.renamed_for >= 5 {
            self.reopen();
        }
    }

    fn copy(&mut self) {
        if !self.renamed && self.copied.is_none() {
            self.end_line();
            self.shift();
            fs::copy(&self.path, self.rotated(1, "")).unwrap();
            self.copied = Some(self.next);
        }
    }

    fn cut(&mut self, agent: &Agent) {
        if let Some(first) = self.copied.take() {
            let about = fs::metadata(&self.path).unwrap();
            let born = about.created().unwrap().duration_since(UNIX_EPOCH).unwrap().as_nanos();
            let mut known = agent.durable.records.values();
            let is_known = known.any(|known| {
                u128::from(known.born) == born && *known.path == *self.path && known.head.length > 0
            });
            self.file.set_len(0).unwrap();
            self.half = None;
            let lost = if is_known { &mut self.may_be_lost } else { &mut self.may_be_unknown };
            lost.extend(first..self.next);
        }
    }

    fn compress(&mut self, zstd: bool) {
        let from = self.rotated(1, "");
        if self.compressed.is_none() && !self.renamed && self.copied.is_none() && from.exists() {
            compress(&from, &self.rotated(1, if zstd { ".zst" } else { ".gz" }));
            self.compressed = Some(from);
        }
    }

    fn uncompressed(&mut self) {
        if let Some(path) = self.compressed.take() {
            fs::remove_file(path).unwrap();
        }
    }
}

/// Long enough for its beginning to tell files apart.
fn text(name: &str, number: u32) -> String {
    format!("{number:05} {name} {}", "-".repeat(number as usize % 40))
}

fn act(agent: &mut Agent, writers: &mut [Writer], action: &Action, all_names: bool) {
    match action {
        Action::Append { file, lines } => writers[*file].append(*lines),
        Action::Half { file } => writers[*file].half(),
        Action::Rename { file } => {
            if !all_names {
                see_all(agent, writers);
            }
            writers[*file].rename();
        }
        Action::Reopen { file } => writers[*file].reopen(),
        Action::Copy { file } => {
            if !all_names {
                see_all(agent, writers);
            }
            writers[*file].copy();
        }
        Action::Cut { file } => writers[*file].cut(agent),
        Action::Recreate { file } => {
            let writer = &mut writers[*file];
            if writer.renamed || writer.copied.is_some() {
                return;
            }
            // What a removed file held cannot be read after a crash.
            writer.end_line();
            see_all(agent, writers);
            let writer = &mut writers[*file];
            fs::remove_file(&writer.path).unwrap();
            writer.file = open(&writer.path);
        }
        Action::Compress { file, zstd } => {
            let writer = &mut writers[*file];
            // Of a file that was empty when it was seen, nothing is known that its compressed form shows.
            let inode = fs::metadata(writer.rotated(1, "")).map_or(0, |about| about.ino());
            let mut known = agent.durable.records.values();
            if all_names || known.any(|known| known.inode == inode && known.head.length > 0) {
                writer.compress(*zstd);
            }
        }
        Action::Uncompressed { file } => writers[*file].uncompressed(),
        Action::Pass { seconds } => {
            writers.iter_mut().for_each(|writer| writer.pass(*seconds));
            agent.pass(*seconds);
        }
        Action::Turn => agent.turn(),
        Action::Store { events } => agent.turn_until(*events),
        Action::Crash => agent.restart(),
    }
}

/// Whoever follows one name only has to see every file that gets it.
fn see_all(agent: &mut Agent, writers: &mut [Writer]) {
    writers.iter_mut().for_each(|writer| writer.pass(60));
    agent.settle();
    agent.commit();
}

fn check(actions: &[Action], all_names: bool, watch: bool, open_files_max: usize) {
    let glob = if all_names { "*" } else { "*.log" };
    let mut agent = Agent::with(
        &[glob],
        |_| {},
        |settings| {
            settings.watch = watch;
            settings.open_files_max = open_files_max;
        },
    );
    let mut writers: Vec<_> = NAMES.iter().map(|name| Writer::new(agent.path(name))).collect();
    agent.turn();
    agent.commit();
    for action in actions {
        act(&mut agent, &mut writers, action, all_names);
    }
    for writer in &mut writers {
        writer.cut(&agent);
        writer.reopen();
        writer.end_line();
    }
    agent.settle();
    agent.settle();
    verify(&agent, &writers);
    agent.commit();
    agent.restart();
    let before = agent.state.lines.len();
    agent.settle();
    assert_eq!(agent.state.lines.len(), before, "nothing is read again");
}

fn verify(agent: &Agent, writers: &[Writer]) {
    let mut read: BTreeMap<&str, u32> = BTreeMap::new();
    let mut last: BTreeMap<(&str, &str), &str> = BTreeMap::new();
    for (origin, line) in &agent.state.lines {
        *read.entry(line).or_default() += 1;
        let name = line.split(' ').nth(1).unwrap_or_default();
        if let Some(before) = last.insert((origin, name), line) {
            assert!(before < line.as_str(), "in {origin}, {before:?} came before {line:?}");
        }
    }
    let told = agent.notices.iter().any(|notice| notice.starts_with("truncated"));
    for writer in writers {
        let name = writer.path.file_name().unwrap().to_str().unwrap();
        for number in 0..writer.next {
            let line = text(name, number);
            let times = read.remove(line.as_str()).unwrap_or(0);
            let may_be_lost = told && writer.may_be_lost.contains(&number)
                || writer.may_be_unknown.contains(&number);
            assert!(times == 1 || may_be_lost && times == 0, "{line:?} was read {times} times");
        }
    }
    assert!(read.is_empty(), "nobody wrote {read:?}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn each_line_is_read_once_whatever_happens_to_its_file(
        actions in proptest::collection::vec(action(), 1..60),
        watch in any::<bool>(),
        open_files_max in prop_oneof![Just(1_usize), Just(2), Just(1024)],
    ) {
        check(&actions, true, watch, open_files_max);
    }

    #[test]
    fn each_line_is_read_once_if_only_the_first_name_is_followed(
        actions in proptest::collection::vec(action(), 1..60),
        watch in any::<bool>(),
    ) {
        check(&actions, false, watch, 1024);
    }
}

/// More by `FILE_SOURCE_CASES`.
fn cases() -> u32 {
    std::env::var("FILE_SOURCE_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(100)
}
