//! Tests of backups of a store that is busy: whatever it does meanwhile, a snapshot is one moment of it.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use bytes::Bytes;
use ql::{Field, Filter};
use record::Timestamp;
use wire::{BatchName, Encoding, Format, Limits};

use super::*;
use crate::allowance::Unbounded;
use crate::*;

/// Records of a batch.
const RECORDS: u64 = 20;
/// Threads that append, each an agent of its own.
const AGENTS: u64 = 2;

/// Batches that each of them may be ahead of the snapshots, so that they load the store and do not swamp it.
const AHEAD: u64 = 30;

/// Small segments, merged often; what is flushed when is said by the tests.
fn options() -> StoreOptions {
    StoreOptions {
        segment_rows: 100,
        compacted_rows: 2_000,
        compaction_width: 4,
        flush_age: Duration::from_secs(3_600),
        build_threads: 1,
        ..StoreOptions::default()
    }
}

fn append(store: &Store, agent: u64, sequence: u64) -> Result<Appended> {
    let first = (agent << 32) + sequence * RECORDS;
    let body: String = (first..first + RECORDS)
        .map(|n| format!("{{\"msg\":\"record {n}\",\"n\":{n}}}\n"))
        .collect();
    let received_at = Timestamp::now();
    let mut builder = BatchBuilder::new(received_at, RECORDS as usize);
    wire::decode(
        Format::JsonLines,
        body.as_bytes(),
        received_at,
        &Limits::default(),
        &mut |record| builder.push(record),
    )
    .unwrap();
    let (done, wait) = mpsc::channel();
    let name = BatchName {
        agent: format!("agent-{agent}"),
        epoch: "e".into(),
        sequence,
        first_unacknowledged: None,
    };
    store.append(
        Append {
            tenant: "default".into(),
            signal: "logs",
            name: Some(name),
            received_at,
            format: Format::JsonLines,
            encoding: Encoding::Identity,
            payload: Bytes::from(body),
            rejected: Default::default(),
            timestamps_replaced: 0,
            decoded: builder.finish(),
        },
        Box::new(move |result| done.send(result).unwrap()),
    );
    wait.recv().unwrap()
}

/// The numbers of all records, each there once.
fn found(store: &Store) -> BTreeSet<u64> {
    let view = store.view();
    let (sources, _) = view.sources("default", "logs", i64::MIN..i64::MAX);
    let mut numbers = BTreeSet::new();
    for source in sources {
        let rows =
            source.select(&Filter::All, i64::MIN..i64::MAX, None, &Unbounded::allowance()).unwrap();
        let columns = Columns::Fields([Field::Attribute("n".into())].into());
        let batch = source.read(&rows, &columns, &Unbounded::allowance()).unwrap();
        for number in batch.column(0).as_primitive::<Int64Type>().values() {
            assert!(numbers.insert(*number as u64), "record {number} is there twice");
        }
    }
    numbers
}

/// Fetches a snapshot into a folder as a client does.
fn fetch(store: &Store, id: &str, manifest: &Manifest, folder: &Path) {
    let mut backup = BackupFolder::open(folder).unwrap();
    for file in &manifest.files {
        if backup.kept(file).unwrap() == Kept::Whole {
            continue;
        }
        let source = store.open_snapshot_file(id, &file.name).unwrap();
        let mut content = vec![0; source.length() as usize];
        assert_eq!(source.read_at(&mut content, 0).unwrap() as u64, file.length);
        let mut writer = backup.create(file).unwrap();
        writer.write(&content).unwrap();
        writer.finish().unwrap();
    }
    backup.commit(manifest.clone()).unwrap();
}

/// Batches of each agent that were acknowledged.
type Acknowledged = [AtomicU64; AGENTS as usize];

/// How many snapshots are taken; `LOGQ_BACKUP_ROUNDS` makes it longer.
fn snapshots() -> usize {
    let rounds = std::env::var("LOGQ_BACKUP_ROUNDS").ok();
    rounds.and_then(|rounds| rounds.parse().ok()).unwrap_or(20)
}

/// Takes snapshots of a store that is appended to, flushed, merged and, if it has a bound, expires.
fn snapshots_while_loading(retention_bytes: Option<u64>, snapshots: usize) {
    let folder = tempfile::tempdir().unwrap();
    let options = StoreOptions { retention_bytes, ..options() };
    let store = Store::open(&folder.path().join("data"), options.clone()).unwrap();
    let (acknowledged, stop) = (Acknowledged::default(), AtomicBool::new(false));
    let (sent, taken) = (Acknowledged::default(), AtomicU64::new(0));
    std::thread::scope(|scope| {
        let (store, acknowledged, sent) = (&store, &acknowledged, &sent);
        let (stop, taken) = (&stop, &taken);
        for agent in 0..AGENTS {
            scope.spawn(move || {
                let counts = (&sent[agent as usize], &acknowledged[agent as usize]);
                while !stop.load(Ordering::SeqCst) {
                    if counts.1.load(Ordering::SeqCst) >= (taken.load(Ordering::SeqCst) + 1) * AHEAD
                    {
                        std::thread::yield_now();
                        continue;
                    }
                    let sequence = counts.0.fetch_add(1, Ordering::SeqCst);
                    append(store, agent, sequence).unwrap();
                    counts.1.fetch_add(1, Ordering::SeqCst);
                }
            });
        }
        // Cuts beside those of the snapshots.
        scope.spawn(move || {
            while !stop.load(Ordering::SeqCst) {
                store.flush().unwrap();
            }
        });
        // Stops the others whatever becomes of this.
        struct Stop<'a>(&'a AtomicBool);
        impl Drop for Stop<'_> {
            fn drop(&mut self) {
                self.0.store(true, Ordering::SeqCst);
            }
        }
        let _stop = Stop(stop);
        for round in 0..snapshots {
            let before: Vec<u64> =
                acknowledged.iter().map(|count| count.load(Ordering::SeqCst)).collect();
            let (id, manifest) = store.begin_snapshot().unwrap();
            let after: Vec<u64> = sent.iter().map(|count| count.load(Ordering::SeqCst)).collect();
            assert!(
                manifest.ledger.adds_up() && manifest.ledger.in_parts == 0,
                "{:?}",
                manifest.ledger
            );
            assert_eq!(manifest.ledger.counters.accepted % RECORDS, 0, "no batch in part");
            // The files are fetched while merges and expiry take the segments away.
            if round % 4 == 0 {
                store.compact_all().unwrap();
            }
            fetch(store, &id, &manifest, &folder.path().join("backup"));
            store.end_snapshot(&id).unwrap();
            let data = folder.path().join(format!("restored-{round}"));
            restore(&folder.path().join("backup"), &data, &mut |_, _| {}).unwrap();
            check_restored(&data, &manifest, &before, &after);
            std::fs::remove_dir_all(data).unwrap();
            taken.fetch_add(1, Ordering::SeqCst);
        }
    });
    assert!(store.statistics().compactions.load(Ordering::SeqCst) > 0, "merges took part");
    assert_eq!(store.ledger().counters.expired > 0, retention_bytes.is_some());
    assert!(store.ledger().adds_up());
    store.close().unwrap();
    // What was merged away while a snapshot held it is gone from the disk.
    let files = std::fs::read_dir(folder.path().join("data/segments")).unwrap().count();
    assert_eq!(files, store.view().segments().len() * 2);
}

fn check_restored(data: &Path, manifest: &Manifest, before: &[u64], after: &[u64]) {
    let store = Store::open(data, StoreOptions::default()).unwrap();
    let ledger = store.ledger();
    assert_eq!(ledger, manifest.ledger);
    let there = found(&store);
    assert_eq!(there.len() as u64, ledger.indexed);
    let mut accepted = 0;
    for agent in 0..AGENTS {
        let account = store.agent_account("default", &format!("agent-{agent}"), "e").epoch;
        let (batches, place) = (account.batches_accepted, agent as usize);
        assert!(
            (before[place]..=after[place]).contains(&batches),
            "{batches} of {before:?} to {after:?}"
        );
        accepted += batches * RECORDS;
        // Nothing but what was sent, and all of it where nothing expires.
        let first = agent << 32;
        let of_agent = there.range(first..first + (1 << 32)).copied();
        let expected: BTreeSet<u64> = (first..first + batches * RECORDS).collect();
        match ledger.counters.expired {
            0 => assert!(of_agent.eq(expected)),
            _ => assert!(of_agent.collect::<BTreeSet<_>>().is_subset(&expected)),
        }
        // The batches that it has are known, the next one is new.
        if batches > 0 {
            assert!(append(&store, agent, batches - 1).unwrap().duplicate);
        }
        assert!(!append(&store, agent, batches).unwrap().duplicate);
    }
    assert_eq!(accepted, ledger.counters.accepted);
    assert!(store.ledger().adds_up());
}

#[test]
fn every_snapshot_of_a_store_under_load_restores_to_what_was_acknowledged_before() {
    snapshots_while_loading(None, snapshots());
}

#[test]
fn every_snapshot_of_a_store_that_expires_adds_up() {
    snapshots_while_loading(Some(100 << 10), snapshots());
}

#[test]
fn a_snapshot_keeps_merged_and_expired_segments_until_it_ends_or_its_lease_does() {
    let folder = tempfile::tempdir().unwrap();
    let store =
        Store::open(folder.path(), StoreOptions { compaction_width: 1_000, ..options() }).unwrap();
    let files = || std::fs::read_dir(folder.path().join("segments")).unwrap().count();
    let copies = || std::fs::read_dir(folder.path().join("snapshots")).unwrap().count();
    for sequence in 0..3 {
        append(&store, 0, sequence).unwrap();
        store.flush().unwrap();
    }
    let (id, manifest) = store.begin_snapshot().unwrap();
    let (second, _) = store.begin_snapshot().unwrap();
    let segments = manifest.segments as usize;
    store.compact_all().unwrap();
    assert_eq!((files(), copies()), (2 * segments + 2, 2));
    assert!(store.snapshots().iter().all(|held| held.bytes_kept_for_it > 0));
    for file in &manifest.files {
        assert_eq!(store.open_snapshot_file(&id, &file.name).unwrap().length(), file.length);
    }
    store.end_snapshot(&id).unwrap();
    assert_eq!((files(), copies()), (2 * segments + 2, 1), "the second one holds them still");
    let read = store.open_snapshot_file(&second, "catalog.db").unwrap();
    store.shared.snapshots.expire(Instant::now() + LEASE / 2);
    assert!(store.renew_snapshot(&second).is_ok());
    store.shared.snapshots.expire(Instant::now() + LEASE);
    assert!(matches!(store.renew_snapshot(&second), Err(BackupError::NoSuchSnapshot { .. })));
    assert!(read.read_at(&mut [0; 16], 0).is_ok(), "whoever reads goes on");
    assert_eq!((files(), copies()), (2 * segments + 2, 1));
    drop(read);
    assert_eq!((files(), copies()), (2, 0));
    assert!(store.snapshots().is_empty());
}

#[test]
fn snapshots_are_bounded_and_one_that_fails_holds_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path(), options()).unwrap();
    let held: Vec<String> = (0..SNAPSHOTS_MAX).map(|_| store.begin_snapshot().unwrap().0).collect();
    for _ in 0..3 {
        let refused = store.begin_snapshot();
        assert!(matches!(refused, Err(BackupError::TooManySnapshots { max: SNAPSHOTS_MAX })));
    }
    held.iter().for_each(|id| store.end_snapshot(id).unwrap());
    // A file where the copies of the catalog are to be.
    std::fs::remove_dir(folder.path().join("snapshots")).unwrap();
    std::fs::write(folder.path().join("snapshots"), "").unwrap();
    for _ in 0..SNAPSHOTS_MAX + 1 {
        assert!(matches!(store.begin_snapshot(), Err(BackupError::Store(_))));
    }
    std::fs::remove_file(folder.path().join("snapshots")).unwrap();
    assert!(store.begin_snapshot().is_ok());
}

#[test]
fn a_manifest_with_other_names_or_numbers_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path(), options()).unwrap();
    append(&store, 0, 0).unwrap();
    let manifest = store.begin_snapshot().unwrap().1;
    let path = Path::new("manifest.json");
    let parse = |manifest: &Manifest| Manifest::parse(&manifest.to_json(), path);
    assert_eq!(parse(&manifest).unwrap(), manifest);
    let text = String::from_utf8(manifest.to_json()).unwrap();
    let changed = text.replace("\"generation\": 1", "\"generation\": 7");
    let refused = Manifest::parse(changed.as_bytes(), path).unwrap_err();
    assert!(refused.to_string().contains("checksum"));
    // A member that is not known yet does no harm.
    let body = &text[..text.rfind("\"crc32c\":").unwrap()];
    let body = body.replacen("{\n", "{\n  \"later\": [1],\n", 1);
    let later = format!("{body}\"crc32c\": {}\n}}\n", crc32c::crc32c(body.as_bytes()));
    assert_eq!(Manifest::parse(later.as_bytes(), path).unwrap(), manifest);
    for name in
        ["/etc/passwd", "../x", "segments/../catalog.db", "segments/1.records.parquet", "LOCK", ""]
    {
        let mut other = manifest.clone();
        other.files[1].name = name.to_owned();
        assert!(parse(&other).unwrap_err().to_string().contains("names a file"), "{name}");
    }
    let mut other = manifest.clone();
    other.files.remove(0);
    assert!(parse(&other).unwrap_err().to_string().contains("catalog"));
    let newer = Manifest { format_version: MANIFEST_VERSION + 1, ..manifest };
    assert!(parse(&newer).unwrap_err().is_usage());
}
