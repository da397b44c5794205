//! The store against a set in memory, over models of the file system and of the catalog that fail, tear and forget:
//! what was acknowledged is visible once, at every step, through every crash.
//!
//! The seed is printed; `LOGQ_MODEL_SEED` repeats a run, `LOGQ_MODEL_CASES` sets the number of cases.

use std::collections::BTreeSet;
use std::io;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use file_system::{Fault, FileSystem, ModelFileSystem};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestError, TestRng, TestRunner};

use super::*;
use crate::catalog::{Catalog, MemoryCatalog};
use crate::damage;

const FOLDER: &str = "/data";
/// Starts that may fail one after the other; the last ones meet no fault.
const STARTS_MAX: usize = 6;

impl StoreFiles for ModelFileSystem {
    fn map(&self, path: &Path) -> io::Result<OwnedBytes> {
        Ok(OwnedBytes::new(self.read(path)?))
    }
}

#[derive(Clone, Debug)]
enum Step {
    /// A batch with a name or without, of so many records, spread over so many days.
    Append {
        named: bool,
        records: u64,
        days: u64,
    },
    /// One of the named batches once more.
    Again(usize),
    Flush,
    Compact,
    /// SIGTERM, and a new start.
    Stop,
    Crash,
    Kill,
    /// The n-th operation of the next step, or of the next start, meets this.
    Fail(u64, io::ErrorKind),
    /// The next transaction of the catalog fails, and may have happened.
    FailCommit,
    CrashAt(u64),
    KillAt(u64),
    /// The machine dies and the catalog with it, unless something may have expired.
    LoseCatalog,
    /// Retention by bytes, from the next start on.
    Retain(bool),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let kind = prop_oneof![Just(io::ErrorKind::StorageFull), Just(io::ErrorKind::Other)];
    let step = prop_oneof![
        10 => (any::<bool>(), 0u64..25, 1u64..4)
            .prop_map(|(named, records, days)| Step::Append { named, records, days }),
        4 => any::<usize>().prop_map(Step::Again),
        6 => Just(Step::Flush),
        3 => Just(Step::Compact),
        1 => Just(Step::Stop),
        1 => Just(Step::Crash),
        1 => Just(Step::Kill),
        4 => (1u64..30, kind).prop_map(|(after, kind)| Step::Fail(after, kind)),
        2 => Just(Step::FailCommit),
        3 => (1u64..40).prop_map(Step::CrashAt),
        2 => (1u64..40).prop_map(Step::KillAt),
        1 => Just(Step::LoseCatalog),
        1 => any::<bool>().prop_map(Step::Retain),
    ];
    proptest::collection::vec(step, 1..40)
}

#[derive(Clone, Debug)]
struct Batch {
    name: Option<BatchName>,
    ids: Range<u64>,
    days: u64,
    acknowledged: bool,
}

struct World {
    fs: ModelFileSystem,
    catalog: MemoryCatalog,
    store: Option<Store>,
    retain: bool,
    /// It was retained by bytes at some time, so that segments may have expired.
    retained: bool,
    batches: Vec<Batch>,
    /// What is there, for certain.
    present: BTreeSet<u64>,
    /// What retention has dropped.
    expired: BTreeSet<u64>,
    next_id: u64,
    next_sequence: u64,
}

impl World {
    fn new(seed: u64) -> Self {
        let fs = ModelFileSystem::new(seed);
        let catalog = MemoryCatalog::new(fs.clone());
        let mut world = Self {
            fs,
            catalog,
            store: None,
            retain: false,
            retained: false,
            batches: Vec::new(),
            present: BTreeSet::new(),
            expired: BTreeSet::new(),
            next_id: 0,
            next_sequence: 0,
        };
        world.start();
        world
    }

    fn store(&self) -> &Store {
        self.store.as_ref().expect("every step leaves a running store")
    }

    /// Starts until it runs; what was planned may meet the first start.
    fn start(&mut self) {
        self.store = None;
        for attempt in 0..STARTS_MAX {
            if self.fs.is_dead() {
                self.fs.restart();
            }
            if attempt > 0 {
                self.fs.clear_plan();
            }
            let options = StoreOptions {
                segment_rows: 16,
                compacted_rows: 64,
                retention_bytes: self.retain.then_some(30_000),
                journal_file_bytes: 4_096,
                build_threads: 1,
                maintenance: false,
                ..options()
            };
            let mut catalog = Box::new(self.catalog.clone());
            let state = catalog.load().expect("the model is never damaged");
            let fs = Arc::new(self.fs.clone());
            let opened = Store::start(Path::new(FOLDER), options, fs, catalog, state, None);
            match opened {
                Ok(store) => {
                    self.store = Some(store);
                    break;
                }
                Err(error) => assert!(attempt + 1 < STARTS_MAX, "does not start: {error}"),
            }
        }
        // A death that a start survived without noticing shows in the next step.
        if !self.fs.is_dead() {
            self.take_stock();
        }
    }

    /// After a start: what was acknowledged is there, what was never sent is not, and each batch is there whole.
    fn take_stock(&mut self) {
        self.fs.clear_plan();
        self.catalog.fail_next(false);
        let there = self.visible();
        // An expiry whose transaction failed may have happened; then it is in the account.
        let gone = &self.present - &there;
        let expired = self.store().ledger().counters.expired;
        assert_eq!(expired, (self.expired.len() + gone.len()) as u64, "lost: {gone:?}");
        self.expired.extend(gone);
        for batch in &self.batches {
            let ids: BTreeSet<u64> = batch.ids.clone().collect();
            let found = ids.iter().filter(|id| there.contains(id)).count();
            let expired = ids.iter().filter(|id| self.expired.contains(id)).count();
            let whole = found + expired == ids.len();
            assert!(whole || (!batch.acknowledged && found == 0), "{batch:?}: {found} are there");
        }
        assert!(there.is_disjoint(&self.expired), "expired records came back");
        assert!(there.iter().all(|id| *id < self.next_id), "never sent");
        self.present = there;
        self.check_accounts();
    }

    fn visible(&self) -> BTreeSet<u64> {
        found(self.store(), &Filter::All).into_iter().map(|id| id as u64).collect()
    }

    /// While the store runs nothing comes or goes but what a step says.
    fn check(&mut self) {
        self.fs.clear_plan();
        self.catalog.fail_next(false);
        let there = self.visible();
        let gone = &self.present - &there;
        assert!(there.is_subset(&self.present), "unasked: {:?}", &there - &self.present);
        let expired = self.store().ledger().counters.expired;
        assert_eq!(expired, (self.expired.len() + gone.len()) as u64, "lost: {gone:?}");
        self.expired.extend(gone);
        self.present = there;
        self.check_accounts();
    }

    fn check_accounts(&self) {
        let ledger = self.store().ledger();
        assert!(ledger.adds_up(), "{ledger:?}");
        assert_eq!(ledger.counters.accepted, (self.present.len() + self.expired.len()) as u64);
        assert_eq!(ledger.counters.quarantined, 0);
        let of_named = self.batches.iter().filter(|batch| batch.name.is_some());
        let records: usize = of_named
            .flat_map(|batch| batch.ids.clone())
            .filter(|id| self.present.contains(id) || self.expired.contains(id))
            .count();
        let account = self.store().agent_account("default", "a", "e").epoch;
        assert_eq!((account.records_accepted, account.lost_batches), (records as u64, 0));
        let troubles = self.store().troubles();
        assert!(!troubles.keys().any(|subject| subject.contains("damage")), "{troubles:?}");
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Append { named, records, days } => {
                let name = named.then(|| name(self.next_sequence).expect("a name"));
                self.next_sequence += u64::from(*named);
                let ids = self.next_id..self.next_id + records;
                self.next_id = ids.end;
                self.batches.push(Batch { name, ids, days: *days, acknowledged: false });
                self.send(self.batches.len() - 1);
            }
            Step::Again(which) => {
                let named = (0..self.batches.len()).filter(|at| self.batches[*at].name.is_some());
                let named: Vec<usize> = named.collect();
                if !named.is_empty() {
                    self.send(named[which % named.len()]);
                }
            }
            Step::Flush => {
                let _ = self.store().flush();
            }
            Step::Compact => {
                let _ = self.store().compact_all();
            }
            Step::Stop => {
                let _ = self.store().close();
                self.start();
                return;
            }
            Step::Crash | Step::Kill => {
                // The threads of the old process may still try; a dead file system lets none of it through.
                self.fs
                    .plan(1, if matches!(step, Step::Crash) { Fault::Crash } else { Fault::Kill });
                let _ = self.fs.other_operation();
            }
            Step::Fail(after, kind) => return self.fs.plan(*after, Fault::Fail(*kind)),
            Step::FailCommit => return self.catalog.fail_next(true),
            Step::CrashAt(after) => return self.fs.plan(*after, Fault::Crash),
            Step::KillAt(after) => return self.fs.plan(*after, Fault::Kill),
            Step::LoseCatalog => {
                if self.retained {
                    return;
                }
                self.fs.crash();
                self.store = None;
                let fs = self.fs.clone();
                let change = damage::catalog_change(&fs, Path::new(FOLDER));
                self.catalog = MemoryCatalog::new(fs);
                // Without a segments folder there is nothing to make it from.
                if let Ok(change) = change {
                    self.catalog.apply(&change).expect("no fault is planned");
                }
                // A batch without records leaves a trace in the journal and in the catalog only.
                for batch in self.batches.iter_mut().filter(|batch| batch.ids.is_empty()) {
                    batch.acknowledged = false;
                }
                self.start();
                return;
            }
            Step::Retain(retain) => {
                self.retain = *retain;
                self.retained |= retain;
                return;
            }
        }
        if self.fs.is_dead() {
            self.start();
        } else {
            self.check();
            if self.fs.is_dead() {
                self.start();
            }
        }
    }

    fn send(&mut self, index: usize) {
        let Batch { name, ids, days, acknowledged } = self.batches[index].clone();
        let days: Vec<Range<u64>> = match days {
            1 => vec![ids.clone()],
            days => ids.clone().map(|id| id..id + 1).take(days as usize * 100).collect(),
        };
        let spread = days.len() as u64;
        let body: String = days
            .into_iter()
            .enumerate()
            .map(|(at, ids)| match spread {
                1 => lines(ids),
                _ => on_day(&lines(ids), at as u64 % 3),
            })
            .collect();
        match append(self.store(), name, &body) {
            Ok(appended) => {
                let known = self.present.contains(&ids.start) || self.expired.contains(&ids.start);
                if !ids.is_empty() {
                    assert_eq!(appended.duplicate, known, "batch {index}");
                }
                assert!(!acknowledged || appended.duplicate, "batch {index} is new again");
                self.batches[index].acknowledged = true;
                if !appended.duplicate {
                    self.present.extend(ids);
                }
            }
            Err(error) => assert!(!acknowledged || self.fs.is_dead(), "batch {index}: {error}"),
        }
    }
}

/// The lines as of another day.
fn on_day(lines: &str, day: u64) -> String {
    lines.replace("\"time\":\"2023-11-14", &format!("\"time\":\"2023-11-{:02}", 14 + day))
}

fn environment(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

#[test]
fn what_was_acknowledged_is_visible_once_at_every_step_through_every_crash() {
    let seed = environment("LOGQ_MODEL_SEED").unwrap_or_else(|| Timestamp::now().0 as u64);
    let cases = environment("LOGQ_MODEL_CASES").unwrap_or(40) as u32;
    eprintln!("the store's model: LOGQ_MODEL_SEED={seed} LOGQ_MODEL_CASES={cases}");
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let config = Config {
        cases,
        failure_persistence: None,
        max_shrink_iters: environment("LOGQ_MODEL_SHRINK").unwrap_or(300) as u32,
        ..Config::default()
    };
    let mut runner =
        TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &bytes));
    let ran = runner.run(&(any::<u64>(), steps()), |(disk_seed, steps)| {
        let mut world = World::new(disk_seed);
        for step in &steps {
            world.step(step);
        }
        world.fs.clear_plan();
        world.step(&Step::Stop);
        Ok(())
    });
    if let Err(error) = ran {
        let detail = match &error {
            TestError::Fail(reason, (disk_seed, steps)) => {
                format!("{reason}\ndisk seed {disk_seed}, steps {steps:#?}")
            }
            TestError::Abort(reason) => reason.to_string(),
        };
        panic!("LOGQ_MODEL_SEED={seed}: {detail}");
    }
}

/// Journal files that were unlinked came back in part with a crash, and those between them passed for lost.
#[test]
fn journal_files_that_come_back_without_the_one_between_them_are_no_loss_if_segments_have_its_records()
 {
    let mut world = World::new(12_303_829_020_170_167_962);
    let append = |named, records| Step::Append { named, records, days: 1 };
    for step in [
        append(false, 1),
        Step::Fail(5, io::ErrorKind::StorageFull),
        Step::Flush,
        append(false, 14),
        append(true, 16),
        append(false, 14),
        append(false, 19),
        append(false, 11),
        append(false, 0),
        Step::LoseCatalog,
        Step::LoseCatalog,
    ] {
        world.step(&step);
    }
}

/// What a killed process had written and not synced, or synced in vain, was found again, and answered as accepted; then
/// the machine died.
#[test]
fn what_a_start_finds_in_the_journal_is_durable() {
    for disk_seed in 0..40 {
        for fault in [Step::KillAt(2), Step::Fail(2, io::ErrorKind::Other)] {
            let mut world = World::new(disk_seed);
            let append = |named, records| Step::Append { named, records, days: 1 };
            let steps = [append(true, 3), append(true, 12), fault, append(true, 3), Step::Kill];
            for step in steps.into_iter().chain([Step::Again(2), Step::Crash]) {
                world.step(&step);
            }
        }
    }
}
