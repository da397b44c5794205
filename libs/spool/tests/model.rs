//! The spool against a plain model, over a file system that fails, tears and forgets.
//!
//! Every change has an id of its own in its note, and the user's state is the list of ids, so that a replay
//! shows exactly which changes survived. `SPOOL_MODEL_CASES` sets the number of cases.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

use std::collections::VecDeque;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use file_system::{Fault, FileSystem, ModelFileSystem};
use proptest::prelude::*;
use spool::{Front, Opening, Replay, Spool, SpoolError, SpoolOptions, Usage};

const FOLDER: &str = "/state/spool";
const OPTIONS: SpoolOptions = SpoolOptions { file_bytes: 4096, bytes_max: 60 << 10 };

#[derive(Clone, Debug)]
enum Step {
    Append(usize),
    Note,
    Acknowledge,
    Sync,
    Front,
    Crash,
    Kill,
    Fail(u64, io::ErrorKind),
    CrashAt(u64),
    KillAt(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let kind = prop_oneof![Just(io::ErrorKind::StorageFull), Just(io::ErrorKind::Other)];
    let step = prop_oneof![
        8 => prop_oneof![0usize..40, 0usize..1500, 1000usize..5000].prop_map(Step::Append),
        3 => Just(Step::Note),
        8 => Just(Step::Acknowledge),
        1 => Just(Step::Sync),
        2 => Just(Step::Front),
        1 => Just(Step::Crash),
        1 => Just(Step::Kill),
        2 => (1u64..12, kind).prop_map(|(after, kind)| Step::Fail(after, kind)),
        1 => (1u64..20).prop_map(Step::CrashAt),
        1 => (1u64..20).prop_map(Step::KillAt),
    ];
    proptest::collection::vec(step, 1..80)
}

/// A change that was asked for.
#[derive(Clone, Debug, PartialEq)]
enum Change {
    Batch { payload: Vec<u8> },
    Note,
    Acknowledge,
}

/// What the queue and the state are.
#[derive(Clone, Debug, Default, PartialEq)]
struct Plain {
    ids: Vec<u32>,
    first: u64,
    next: u64,
    queue: VecDeque<(u32, Vec<u8>)>,
}

impl Plain {
    fn apply(&mut self, id: u32, change: &Change) {
        self.ids.push(id);
        match change {
            Change::Batch { payload } => {
                self.queue.push_back((id, payload.clone()));
                self.next += 1;
            }
            Change::Note => {}
            Change::Acknowledge => {
                self.queue.pop_front();
                self.first += 1;
            }
        }
    }

    fn checkpoint(&self) -> Vec<u8> {
        self.ids.iter().flat_map(|id| id.to_le_bytes()).collect()
    }

    fn usage(&self, disk_bytes: u64) -> Usage {
        Usage {
            batches: self.queue.len() as u64,
            payload_bytes: self.queue.iter().map(|(_, payload)| payload.len() as u64).sum(),
            disk_bytes,
            oldest: (!self.queue.is_empty()).then_some(self.first),
            next: self.next,
        }
    }
}

fn ids(bytes: &[u8]) -> Vec<u32> {
    bytes.chunks_exact(4).map(|id| u32::from_le_bytes(id.try_into().unwrap())).collect()
}

struct World {
    fs: ModelFileSystem,
    spool: Option<Spool>,
    /// What is durable.
    durable: Plain,
    /// Acknowledgements that a crash may take back, in order.
    unsynced: Vec<u32>,
    /// Changes that failed; a crash may bring one of them back.
    failed: Vec<(u32, Change)>,
    next_id: u32,
    /// Whether anything but an unplanned death may happen, and whether anything failed without one.
    faults: bool,
    failures: bool,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut world = Self {
            fs: ModelFileSystem::new(seed),
            spool: None,
            durable: Plain::default(),
            unsynced: Vec::new(),
            failed: Vec::new(),
            next_id: 0,
            faults: false,
            failures: false,
        };
        world.open();
        world
    }

    /// What the process knows.
    fn plain(&self) -> Plain {
        self.with_acknowledgements(self.unsynced.len())
    }

    fn with_acknowledgements(&self, count: usize) -> Plain {
        let mut plain = self.durable.clone();
        self.unsynced[..count].iter().for_each(|id| plain.apply(*id, &Change::Acknowledge));
        plain
    }

    /// Opens until it succeeds and compares with what may have survived.
    fn open(&mut self) {
        drop(self.spool.take());
        let (spool, opening, replayed) = loop {
            if self.fs.is_dead() {
                self.fs.restart();
            }
            let mut replayed = Vec::new();
            let opened =
                Spool::open(Arc::new(self.fs.clone()), Path::new(FOLDER), OPTIONS, &mut |replay| {
                    match replay {
                        Replay::Checkpoint(state) => replayed = ids(state),
                        Replay::Batch { note, .. }
                        | Replay::Note(note)
                        | Replay::Acknowledged { note, .. } => replayed.extend(ids(note)),
                    }
                });
            match opened {
                Ok((spool, opening)) => break (spool, opening, replayed),
                Err(error) => assert!(self.faults, "{error}"),
            }
        };
        let expected = Opening {
            created: opening.created,
            torn_bytes: opening.torn_bytes,
            ..Opening::default()
        };
        assert_eq!(opening, expected);
        let all = self.plain();
        let survived = (0..=self.unsynced.len())
            .map(|count| self.with_acknowledgements(count))
            .chain(self.failed.iter().map(|(id, change)| {
                let mut plain = all.clone();
                plain.apply(*id, change);
                plain
            }))
            .find(|plain| plain.ids == replayed);
        self.durable = survived.unwrap_or_else(|| {
            panic!(
                "{replayed:?} is not {:?} with some of {:?} and one of {:?}",
                self.durable.ids, self.unsynced, self.failed
            )
        });
        self.unsynced.clear();
        self.failed.clear();
        self.spool = Some(spool);
    }

    /// Name of the newest file.
    fn newest(&self) -> Option<PathBuf> {
        self.fs.files().into_keys().rfind(|path| path.extension().is_some_and(|end| end == "spool"))
    }

    fn make(&mut self, change: Change) {
        self.next_id += 1;
        let id = self.next_id;
        let plain = self.plain();
        let note = id.to_le_bytes();
        let mut checkpoint = || plain.checkpoint();
        let newest = self.newest();
        let spool = self.spool.as_mut().unwrap();
        let made = match &change {
            Change::Batch { payload } => {
                spool.append(&note, payload, &mut checkpoint).map(|number| {
                    assert_eq!(number, plain.next);
                })
            }
            Change::Note => spool.note(&note, &mut checkpoint),
            Change::Acknowledge => spool.acknowledge(plain.first, &note, &mut checkpoint),
        };
        match made {
            Ok(()) if change == Change::Acknowledge => {
                if self.newest() > newest {
                    // It went to a new file, whose checkpoint has what was unsynced.
                    self.durable = plain;
                    self.unsynced.clear();
                }
                self.unsynced.push(id);
                self.failed.clear();
            }
            Ok(()) => {
                self.durable = plain;
                self.durable.apply(id, &change);
                self.unsynced.clear();
                self.failed.clear();
            }
            Err(SpoolError::Full { .. }) => {
                assert!(matches!(change, Change::Batch { .. }) && !plain.queue.is_empty());
            }
            Err(error) => {
                assert!(self.faults, "{error}");
                self.failed.push((id, change));
            }
        }
    }

    fn sync(&mut self) {
        let plain = self.plain();
        match self.spool.as_mut().unwrap().sync(&mut || plain.checkpoint()) {
            Ok(()) => {
                self.durable = plain;
                self.unsynced.clear();
            }
            Err(error) => assert!(self.faults, "{error}"),
        }
    }

    fn front(&mut self) {
        let plain = self.plain();
        match self.spool.as_mut().unwrap().front() {
            Ok(front) => {
                let expected = plain.queue.front().map(|(id, payload)| Front::Batch {
                    number: plain.first,
                    note: id.to_le_bytes().to_vec(),
                    payload: payload.clone(),
                });
                assert_eq!(front, expected);
            }
            Err(error) => assert!(self.faults, "{error}"),
        }
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Append(length) => {
                let payload = vec![self.next_id as u8 | 1; *length];
                self.make(Change::Batch { payload });
            }
            Step::Note => self.make(Change::Note),
            Step::Acknowledge if self.plain().queue.is_empty() => self.front(),
            Step::Acknowledge => self.make(Change::Acknowledge),
            Step::Sync => self.sync(),
            Step::Front => self.front(),
            Step::Crash => {
                self.fs.crash();
                self.open();
            }
            Step::Kill => {
                self.fs.restart();
                self.open();
            }
            Step::Fail(after, kind) => self.plan(*after, Fault::Fail(*kind)),
            Step::CrashAt(after) => self.plan(*after, Fault::Crash),
            Step::KillAt(after) => self.plan(*after, Fault::Kill),
        }
        if self.fs.is_dead() {
            self.open();
        }
        let usage = self.spool.as_ref().unwrap().usage();
        assert_eq!(usage, self.plain().usage(usage.disk_bytes));
        // A file that could not be cut durably has its unused space back after a crash.
        let uncut = if self.failures { 4 * OPTIONS.file_bytes } else { 0 };
        assert!(usage.disk_bytes <= OPTIONS.bytes_max + uncut, "{usage:?}");
    }

    fn plan(&mut self, after: u64, fault: Fault) {
        self.faults = true;
        self.failures |= matches!(fault, Fault::Fail(_));
        self.fs.plan(after, fault);
    }

    /// Takes everything out, then looks once more.
    fn drain(&mut self) {
        self.fs.clear_plan();
        self.faults = false;
        self.step(&Step::Crash);
        while !self.plain().queue.is_empty() {
            self.step(&Step::Front);
            self.step(&Step::Acknowledge);
        }
        self.step(&Step::Sync);
        self.step(&Step::Crash);
        assert!(self.plain().queue.is_empty());
        let report = spool::check(&self.fs, Path::new(FOLDER)).unwrap();
        assert!(report.is_sound(), "{report}");
    }
}

/// Opens a copy of the files whose newest checkpoint is bad, and compares with what the newest file says.
fn check_way_back(world: &World) {
    let fs = ModelFileSystem::new(0);
    fs.create_folder(Path::new(FOLDER)).unwrap();
    let files = world.fs.files();
    files.iter().for_each(|(path, content)| fs.write_synced(path, content).unwrap());
    let spools = files.keys().filter(|path| path.extension().is_some_and(|end| end == "spool"));
    let Some(newest) = spools.clone().next_back() else { return };
    fs.corrupt(newest, |content| content[1024] ^= 1);
    let mut replayed = Vec::new();
    let (_, opening) =
        Spool::open(Arc::new(fs), Path::new(FOLDER), OPTIONS, &mut |replay| match replay {
            Replay::Checkpoint(state) => replayed = ids(state),
            Replay::Batch { note, .. } | Replay::Note(note) | Replay::Acknowledged { note, .. } => {
                replayed.extend(ids(note))
            }
        })
        .unwrap();
    assert_eq!(opening.damaged.len(), 1, "{opening:?}");
    assert_eq!(opening.state_lost, spools.count() == 1);
    if !opening.state_lost {
        assert_eq!(replayed, world.durable.ids);
    }
}

fn cases() -> u32 {
    std::env::var("SPOOL_MODEL_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(400)
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: cases(), failure_persistence: None, max_shrink_iters: 20_000, ..ProptestConfig::default()
    })]

    #[test]
    fn what_was_confirmed_is_there_once_in_order_until_acknowledged(seed: u64, steps in steps()) {
        let mut world = World::new(seed);
        steps.iter().for_each(|step| world.step(step));
        world.drain();
    }

    #[test]
    fn the_file_before_leads_to_the_same_state(seed: u64, steps in steps()) {
        let mut world = World::new(seed);
        for step in steps.iter().filter(|step| !matches!(step, Step::Fail(..))) {
            world.step(step);
        }
        world.step(&Step::Kill);
        check_way_back(&world);
    }
}
