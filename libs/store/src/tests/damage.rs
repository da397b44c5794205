//! Damage anywhere in a data folder: it is found, told and accounted for, everything else is readable, and the store
//! starts.
//!
//! The seed is printed; `LOGQ_DAMAGE_SEED` repeats a run, `LOGQ_DAMAGE_CASES` sets the number of cases.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use tempfile::TempDir;

use super::*;

const BATCHES: u64 = 12;
const BATCH_RECORDS: u64 = 40;

/// Small files, and nothing that happens by itself.
fn quiet() -> StoreOptions {
    StoreOptions { segment_rows: 40, journal_file_bytes: 64 << 10, maintenance: false, ..options() }
}

fn send(store: &Store, batch: u64) -> Appended {
    append(store, name(batch), &lines(batch * BATCH_RECORDS..(batch + 1) * BATCH_RECORDS)).unwrap()
}

/// Reads all segments now, as the scrub does in its turns, and repairs.
fn verify(store: &Store) {
    let _turn = crate::store::locked(&store.shared.compacting);
    store.view().segments().iter().for_each(|segment| segment.verify());
    crate::damage::repair(&store.shared);
}

/// A folder with merged segments, segments, and a journal of three groups.
fn folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path(), quiet()).unwrap();
    for batch in 0..BATCHES {
        send(&store, batch);
        if batch == 4 {
            store.flush().unwrap();
            store.compact_all().unwrap();
        }
        if batch == 8 {
            store.flush().unwrap();
        }
    }
    folder
}

fn copy(from: &Path) -> TempDir {
    let to = tempfile::tempdir().unwrap();
    let status = std::process::Command::new("cp")
        .args(["-r", "--sparse=always"])
        .arg(from.join("."))
        .arg(to.path())
        .status();
    assert!(status.unwrap().success());
    to
}

fn files(folder: &Path, kind: &str) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = match kind {
        "catalog" => vec![folder.join("catalog.db")],
        "journal" => list(&folder.join("journal")),
        kind => list(&folder.join("segments"))
            .into_iter()
            .filter(|path| path.to_string_lossy().ends_with(kind))
            .collect(),
    };
    files.sort();
    files
}

fn list(folder: &Path) -> Vec<PathBuf> {
    fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()).collect()
}

struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % bound
    }
}

/// What is not there any more; nothing is there twice or was never sent.
fn missing(store: &Store) -> BTreeSet<i64> {
    let all: BTreeSet<i64> = (0..(BATCHES * BATCH_RECORDS) as i64).collect();
    let found: BTreeSet<i64> = found(store, &Filter::All).into_iter().collect();
    assert!(found.is_subset(&all));
    &all - &found
}

#[test]
fn a_changed_byte_anywhere_is_found_or_harmless_and_everything_else_is_readable() {
    let environment =
        |name: &str| std::env::var(name).ok().and_then(|value| value.parse::<u64>().ok());
    let seed = environment("LOGQ_DAMAGE_SEED").unwrap_or_else(|| Timestamp::now().0 as u64);
    let cases = environment("LOGQ_DAMAGE_CASES").unwrap_or(60);
    eprintln!("damage: LOGQ_DAMAGE_SEED={seed} LOGQ_DAMAGE_CASES={cases}");
    let good = folder();
    let mut random = Random(seed);
    let mut lost_of = std::collections::BTreeMap::<&str, usize>::new();
    for case in 0..cases {
        let kind = ["catalog", "journal", ".parquet", ".tantivy"][case as usize % 4];
        let copy = copy(good.path());
        let candidates = files(copy.path(), kind);
        let path = &candidates[random.below(candidates.len())];
        let mut bytes = fs::read(path).unwrap();
        // Of the journal that part which was written.
        let written = bytes.iter().rposition(|byte| *byte != 0).unwrap_or(0) + 1;
        let zeroes = kind != "journal" && random.below(2) == 0;
        let at = random.below(written);
        let change = if zeroes {
            let end = (at + 1 + random.below(5_000)).min(written);
            bytes[at..end].fill(0);
            format!("zeros in {at}..{end}")
        } else {
            bytes[at] ^= 1 << random.below(8);
            format!("a bit at {at}")
        };
        fs::write(path, &bytes).unwrap();
        let what = format!(
            "LOGQ_DAMAGE_SEED={seed}, case {case}: {change} of {}",
            path.file_name().unwrap().to_string_lossy()
        );
        *lost_of.entry(kind).or_default() += survive(copy.path(), kind, &what);
    }
    eprintln!("records lost to damage, by kind of file: {lost_of:?}");
    assert_eq!((lost_of.get("catalog"), lost_of.get(".tantivy")), (Some(&0), Some(&0)));
}

/// Checks, starts, repairs, starts again; gives the number of records that are lost.
fn survive(folder: &Path, kind: &str, what: &str) -> usize {
    let told = check(folder).unwrap_or_else(|error| panic!("{what}: {error}"));
    let store = Store::open(folder, quiet()).unwrap_or_else(|error| panic!("{what}: {error}"));
    verify(&store);
    let lost = missing(&store);
    let ledger = store.ledger();
    assert!(ledger.adds_up(), "{what}: {ledger:?}");
    assert_eq!(ledger.counters.quarantined, lost.len() as u64, "{what}: {ledger:?}");
    if !lost.is_empty() {
        assert!(!told.faults.is_empty(), "{what}: {told:?}");
        assert!(!store.troubles().is_empty(), "{what}");
        // Not more than the one piece that was hit: a segment, or an entry.
        assert!(lost.len() <= 200, "{what}: {lost:?}");
    }
    if !told.faults.is_empty() {
        assert!(!store.troubles().is_empty() || kind == ".tantivy", "{what}: {told:?}");
    }
    drop(store);
    let store = Store::open(folder, quiet()).unwrap();
    assert_eq!(missing(&store), lost, "{what}: after another start");
    assert!(store.ledger().adds_up(), "{what}");
    // What is sent again is known, but for what was lost before any flush.
    for batch in 0..BATCHES {
        let ids = (batch * BATCH_RECORDS) as i64..((batch + 1) * BATCH_RECORDS) as i64;
        let gone = kind == "journal" && ids.clone().all(|id| lost.contains(&id));
        assert_eq!(send(&store, batch).duplicate, !gone, "{what}: batch {batch}");
    }
    if kind == "journal" {
        assert_eq!(missing(&store), BTreeSet::new(), "{what}");
    }
    store.flush().unwrap();
    store.compact_all().unwrap();
    assert!(store.ledger().adds_up(), "{what}");
    lost.len()
}

#[test]
fn a_catalog_that_is_gone_is_made_again_and_whoever_sends_again_is_known() {
    let folder = folder();
    let (id, _) = {
        let store = Store::open(folder.path(), quiet()).unwrap();
        let (id, generation) = store.identity();
        (id.to_owned(), generation)
    };
    fs::remove_file(folder.path().join("catalog.db")).unwrap();
    assert_eq!(check(folder.path()).unwrap().faults.len(), 1);
    let store = Store::open(folder.path(), quiet()).unwrap();
    assert_eq!(store.identity(), (id.as_str(), 2), "the same store, and not quite");
    assert!(store.troubles().contains_key("catalog"), "{:?}", store.troubles());
    assert_eq!(missing(&store), BTreeSet::new());
    assert_eq!(account(&store), (BATCHES * BATCH_RECORDS, BATCHES, 0));
    assert!((0..BATCHES).all(|batch| send(&store, batch).duplicate));
    assert!(!send(&store, BATCHES).duplicate);
    let ledger = store.ledger();
    assert_eq!((ledger.counters.accepted, ledger.adds_up()), ((BATCHES + 1) * BATCH_RECORDS, true));
    drop(store);
    assert!(check(folder.path()).unwrap().faults.is_empty());
}

#[test]
fn a_catalog_that_is_gone_before_any_flush_leaves_the_same_store_with_all_its_records() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path(), quiet()).unwrap();
    send(&store, 0);
    let id = store.identity().0.to_owned();
    drop(store);
    fs::remove_file(folder.path().join("catalog.db")).unwrap();
    let store = Store::open(folder.path(), quiet()).unwrap();
    assert_eq!(store.identity(), (id.as_str(), 2));
    assert!(store.troubles().contains_key("catalog"), "{:?}", store.troubles());
    assert_eq!(found(&store, &Filter::All), numbers(0..BATCH_RECORDS as i64));
    assert!(send(&store, 0).duplicate && store.ledger().adds_up());
}

#[test]
fn a_catalog_that_is_empty_or_lacks_a_table_is_made_again() {
    let good = folder();
    let damage: [fn(&Path); 3] = [
        |catalog| fs::write(catalog, "").unwrap(),
        |catalog| fs::write(catalog, vec![0; 1 << 16]).unwrap(),
        |catalog| {
            let mut bytes = fs::read(catalog).unwrap();
            while let Some(at) = memchr::memmem::find(&bytes, b"segments(id") {
                bytes[at] = b'S' + 1;
            }
            fs::write(catalog, bytes).unwrap();
        },
    ];
    for (case, damage) in damage.into_iter().enumerate() {
        let copy = copy(good.path());
        damage(&copy.path().join("catalog.db"));
        let store = Store::open(copy.path(), quiet()).unwrap();
        assert!(store.troubles().contains_key("catalog"), "{case}: {:?}", store.troubles());
        assert_eq!(missing(&store), BTreeSet::new(), "{case}");
        assert!(store.ledger().adds_up(), "{case}");
    }
}

#[test]
fn what_was_set_apart_is_told_until_somebody_has_removed_it() {
    let folder = folder();
    let path = files(folder.path(), ".parquet").swap_remove(0);
    let rows = {
        let mut bytes = fs::read(&path).unwrap();
        bytes[100] ^= 1;
        fs::write(&path, bytes).unwrap();
        let store = Store::open(folder.path(), quiet()).unwrap();
        verify(&store);
        store.ledger().counters.quarantined
    };
    let all = i64::MIN..i64::MAX;
    let unreadable = |store: &Store| store.view().unreadable("default", "logs", all.clone());
    {
        let store = Store::open(folder.path(), quiet()).unwrap();
        assert_eq!(unreadable(&store), (1, rows));
        assert!(store.troubles().contains_key("segment damage"));
        assert_eq!(store.view().unreadable("other", "logs", all.clone()), (0, 0));
    }
    let report = check(folder.path()).unwrap();
    assert_eq!((report.faults.len(), report.quarantined_files), (1, 2), "{report:?}");
    for file in list(&folder.path().join("quarantine")) {
        fs::remove_file(file).unwrap();
    }
    let store = Store::open(folder.path(), quiet()).unwrap();
    assert_eq!(unreadable(&store), (0, 0));
    assert!(store.troubles().is_empty(), "{:?}", store.troubles());
    let ledger = store.ledger();
    assert_eq!((ledger.counters.quarantined, ledger.adds_up()), (rows, true));
    drop(store);
    assert!(check(folder.path()).unwrap().faults.is_empty());
}

#[test]
fn rows_set_apart_while_a_flush_is_on_its_way_stay_in_the_account() {
    let folder = tempfile::tempdir().unwrap();
    let disk = FullDisk::default();
    let full = Arc::clone(&disk.full);
    let store = Store::open_with(folder.path(), quiet(), Arc::new(disk)).unwrap();
    send(&store, 0);
    store.flush().unwrap();
    send(&store, 1);
    // The cut is made, with its counters, and cannot be written yet.
    full.store(true, Ordering::SeqCst);
    store.flush().unwrap_err();
    let path = files(folder.path(), ".parquet").swap_remove(0);
    let mut bytes = fs::read(&path).unwrap();
    bytes[100] ^= 1;
    fs::write(&path, bytes).unwrap();
    verify(&store);
    assert_eq!(store.ledger().counters.quarantined, BATCH_RECORDS);
    full.store(false, Ordering::SeqCst);
    let started = std::time::Instant::now();
    while store.view().part_rows() > 0 {
        assert!(started.elapsed() < std::time::Duration::from_secs(60), "the flush never ends");
        std::thread::yield_now();
    }
    drop(store);
    let store = Store::open(folder.path(), quiet()).unwrap();
    let ledger = store.ledger();
    assert_eq!(
        (ledger.counters.quarantined, ledger.adds_up()),
        (BATCH_RECORDS, true),
        "{ledger:?}"
    );
}

#[test]
fn a_journal_file_that_is_gone_is_told_and_counted() {
    let folder = tempfile::tempdir().unwrap();
    let small = StoreOptions { journal_file_bytes: 4 << 10, ..quiet() };
    let store = Store::open(folder.path(), small.clone()).unwrap();
    for batch in 0..6 {
        send(&store, batch);
    }
    drop(store);
    let journal = files(folder.path(), "journal");
    assert!(journal.len() > 3);
    fs::remove_file(&journal[1]).unwrap();
    assert_eq!(check(folder.path()).unwrap().faults.len(), 1);
    let store = Store::open(folder.path(), small.clone()).unwrap();
    assert!(store.troubles()["journal damage"].contains("is gone"), "{:?}", store.troubles());
    let ledger = store.ledger();
    assert_eq!(ledger.counters.quarantined + found(&store, &Filter::All).len() as u64, 240);
    assert!(ledger.adds_up() && ledger.counters.quarantined >= 40, "{ledger:?}");
}
