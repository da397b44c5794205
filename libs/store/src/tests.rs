//! Tests of the whole store, on a real disk: what is appended is found, in parts, in segments, merged,
//! and after a restart; failures lose nothing.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};

use bytes::Bytes;
use file_system::{FileReader, FileSystem, JournalFile, RealFileSystem};
use ql::{Field, Filter};
use record::Timestamp;
use tantivy::directory::OwnedBytes;
use wire::{BatchName, Encoding, Format, Limits};

use crate::store::OnAppended;
use crate::*;

mod damage;
mod model;
mod signals;

pub(crate) fn options() -> StoreOptions {
    StoreOptions {
        segment_rows: 100,
        journal_file_bytes: 1 << 20,
        compacted_rows: 1_000,
        compaction_width: 1_000,
        ..StoreOptions::default()
    }
}

/// Lines with the numbers of a range, a second apart.
pub(crate) fn lines(numbers: std::ops::Range<u64>) -> String {
    numbers
        .map(|n| {
            let time = Timestamp(1_700_000_000_000_000_000 + n as i64 * 1_000_000_000);
            let mixed = match n % 3 {
                0 => format!("{n}"),
                1 => format!("\"text{n}\""),
                _ => format!("{n}.5"),
            };
            format!(
                "{{\"time\":\"{time}\",\"level\":\"{}\",\"service\":\"s{}\",\"correlation_id\":\"c{}\",\"msg\":\"message number {n}\",\"n\":{n},\"mixed\":{mixed}}}\n",
                ["info", "warn", "error"][(n % 3) as usize],
                n % 5,
                n / 10,
            )
        })
        .collect()
}

pub(crate) fn append(store: &Store, name: Option<BatchName>, body: &str) -> Result<Appended> {
    let received_at = Timestamp::now();
    let mut builder = BatchBuilder::new(received_at, 16);
    let decoded = wire::decode(
        Format::JsonLines,
        body.as_bytes(),
        received_at,
        &Limits::default(),
        &mut |record| builder.push(record),
    )
    .unwrap();
    let (done, wait) = mpsc::channel();
    let answer: OnAppended = Box::new(move |result| done.send(result).unwrap());
    store.append(
        Append {
            tenant: "default".into(),
            signal: "logs",
            name,
            received_at,
            format: Format::JsonLines,
            encoding: Encoding::Identity,
            payload: Bytes::copy_from_slice(body.as_bytes()),
            rejected: rejected_by_reason(&decoded),
            timestamps_replaced: decoded.timestamps_replaced,
            decoded: builder.finish(),
        },
        answer,
    );
    wait.recv().unwrap()
}

fn name(sequence: u64) -> Option<BatchName> {
    Some(BatchName { agent: "a".into(), epoch: "e".into(), sequence, first_unacknowledged: None })
}

fn unbounded() -> Arc<dyn crate::Allowance> {
    crate::Unbounded::allowance()
}

/// The numbers of all records that match, sorted; panics on a record that is there twice.
pub(crate) fn found(store: &Store, filter: &Filter) -> Vec<i64> {
    let view = store.view();
    let (sources, _) = view.sources("default", "logs", i64::MIN..i64::MAX);
    let mut numbers = Vec::new();
    for source in sources {
        let rows = source.select(filter, i64::MIN..i64::MAX, None, &unbounded()).unwrap();
        assert_eq!(source.count(filter, i64::MIN..i64::MAX, &unbounded()).unwrap(), rows.len());
        let batch = source
            .read(&rows, &Columns::Fields([Field::Attribute("n".into())].into()), &unbounded())
            .unwrap();
        let column = batch.column(0);
        numbers.extend(
            arrow::array::AsArray::as_primitive::<arrow::datatypes::Int64Type>(column)
                .values()
                .iter()
                .copied(),
        );
    }
    numbers.sort_unstable();
    let all = numbers.len();
    numbers.dedup();
    assert_eq!(all, numbers.len(), "doubled");
    numbers
}

pub(crate) fn parse(query: &str) -> Filter {
    ql::parse(query).unwrap().filter
}

pub(crate) fn numbers(range: std::ops::Range<i64>) -> Vec<i64> {
    range.collect()
}

#[test]
fn records_are_found_from_parts_segments_and_merged_segments_and_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let check = |store: &Store, what: &str| {
        assert_eq!(found(store, &Filter::All), numbers(0..1_000), "{what}");
        assert_eq!(found(store, &parse("correlation:c7")), numbers(70..80), "{what}");
        assert_eq!(found(store, &parse("c7")), numbers(70..80), "{what}");
        assert_eq!(found(store, &parse("\"number 77\"")), numbers(77..78), "{what}");
        assert_eq!(found(store, &parse("77")), numbers(77..78), "{what}");
        assert_eq!(found(store, &parse("mixed:text100")), numbers(100..101), "{what}");
        assert_eq!(found(store, &parse("mixed:99")), numbers(99..100), "{what}");
        assert_eq!(found(store, &parse("level:error service:s0 n:<30")), [5, 20], "{what}");
        assert_eq!(found(store, &parse("-level:info -level:warn n:<10")), [2, 5, 8], "{what}");
        assert!(store.ledger().adds_up(), "{what}: {:?}", store.ledger());
    };
    let store = Store::open(folder.path(), options()).unwrap();
    for batch in 0..10 {
        let appended = append(&store, name(batch), &lines(batch * 100..(batch + 1) * 100)).unwrap();
        assert_eq!(appended, Appended { duplicate: false, records: 100, lost_batches: 0 });
    }
    assert_eq!(store.view().segments().len(), 0);
    check(&store, "parts");
    store.flush().unwrap();
    assert_eq!(store.view().segments().len(), 10);
    assert_eq!(store.view().part_rows(), 0);
    check(&store, "segments");
    drop(store);
    let store = Store::open(folder.path(), options()).unwrap();
    check(&store, "segments after a restart");
    store.compact_all().unwrap();
    assert_eq!(store.view().segments().len(), 1);
    check(&store, "merged segment");
    assert_eq!(
        append(&store, name(3), &lines(300..400)).unwrap(),
        Appended { duplicate: true, records: 100, lost_batches: 0 }
    );
    check(&store, "after a duplicate");
    let files = std::fs::read_dir(folder.path().join("segments")).unwrap().count();
    assert_eq!(files, 2, "replaced segments are unlinked");
}

#[test]
fn the_journal_brings_back_what_no_segment_has() {
    let folder = tempfile::tempdir().unwrap();
    for round in 0..5 {
        let store = Store::open(folder.path(), options()).unwrap();
        assert_eq!(found(&store, &Filter::All), numbers(0..round * 100));
        append(&store, name(round as u64), &lines(round as u64 * 100..round as u64 * 100 + 100))
            .unwrap();
        // The same batch again, as after an answer that was lost.
        for known in 0..=round as u64 {
            assert!(
                append(&store, name(known), &lines(known * 100..known * 100 + 100))
                    .unwrap()
                    .duplicate
            );
        }
        if round == 2 {
            store.flush().unwrap();
        }
        assert!(store.ledger().adds_up());
    }
}

/// What the store has of the one sender of these tests: records, batches, lost batches.
fn account(store: &Store) -> (u64, u64, u64) {
    let account = store.agent_account("default", "a", "e");
    assert_eq!(account.epoch, account.all_epochs);
    let SenderAccount { records_accepted, batches_accepted, lost_batches } = account.epoch;
    (records_accepted, batches_accepted, lost_batches)
}

#[test]
fn the_account_of_a_sender_is_in_step_with_its_batches_through_crashes() {
    let folder = tempfile::tempdir().unwrap();
    let mut accepted = (0, 0, 0);
    for round in 0..6 {
        let store = Store::open(folder.path(), options()).unwrap();
        assert_eq!(account(&store), accepted, "round {round}");
        for _ in 0..2 {
            append(&store, name(2 * round), &lines(round * 100..round * 100 + 100)).unwrap();
            append(&store, name(2 * round + 1), "").unwrap();
            // Other content under the same name is refused.
            append(&store, name(2 * round), &lines(0..7)).unwrap_err();
        }
        accepted = (accepted.0 + 100, accepted.1 + 2, 0);
        assert_eq!(account(&store), accepted, "round {round}");
        if round % 2 == 1 {
            store.flush().unwrap();
        }
    }
    let store = Store::open(folder.path(), options()).unwrap();
    let first_unacknowledged = Some(20);
    let name = BatchName { first_unacknowledged, ..name(20).unwrap() };
    let gap = append(&store, Some(name.clone()), &lines(600..610)).unwrap();
    assert_eq!((gap.duplicate, gap.lost_batches), (false, 8));
    drop(store);
    let store = Store::open(folder.path(), options()).unwrap();
    assert_eq!(account(&store), (610, 13, 8));
    let again = append(&store, Some(name), &lines(600..610)).unwrap();
    assert_eq!((again.duplicate, again.lost_batches), (true, 8), "told again, counted once");
    assert_eq!((account(&store), store.ledger().lost_batches), ((610, 13, 8), 8));
}

#[test]
fn a_batch_without_records_is_durable_costs_no_part_and_lets_the_journal_go() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path(), options()).unwrap();
    assert_eq!(append(&store, name(0), "").unwrap().records, 0);
    drop(store);
    let store = Store::open(folder.path(), options()).unwrap();
    assert!(append(&store, name(0), "").unwrap().duplicate, "the journal has it");
    assert_eq!((account(&store), store.view().parts.len()), ((0, 1, 0), 0));
    store.flush().unwrap();
    let journal = || std::fs::read_dir(folder.path().join("journal")).unwrap().count();
    assert_eq!((journal(), store.view().segments().len()), (0, 0));
    drop(store);
    let store = Store::open(folder.path(), options()).unwrap();
    assert!(append(&store, name(0), "").unwrap().duplicate, "the catalog has it");
    drop(store);

    // Without any record there are cuts all the same, so that the journal does not grow for ever.
    let often = StoreOptions { flush_bytes: 1, ..options() };
    let store = Store::open(folder.path(), often).unwrap();
    for sequence in 1..20 {
        append(&store, name(sequence), "\n").unwrap();
    }
    store.flush().unwrap();
    assert_eq!(journal(), 0);
    assert!(store.statistics().flushes.load(Ordering::Relaxed) > 1);
    assert_eq!((account(&store), store.ledger().adds_up()), ((0, 20, 0), true));
}

#[test]
fn a_group_that_cannot_be_written_counts_for_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let disk = FullDisk::default();
    let switch = Arc::clone(&disk.full);
    let store = Store::open_with(folder.path(), options(), Arc::new(disk)).unwrap();
    switch.store(true, Ordering::SeqCst);
    append(&store, name(0), &lines(0..10)).unwrap_err();
    assert_eq!((account(&store), store.ledger().senders), ((0, 0, 0), 0));
    switch.store(false, Ordering::SeqCst);
    append(&store, name(0), &lines(0..10)).unwrap();
    assert_eq!(account(&store), (10, 1, 0));
}

#[test]
fn work_is_told_with_its_time_and_so_is_work_that_fails() {
    let folder = tempfile::tempdir().unwrap();
    let disk = FullDisk::default();
    let switch = Arc::clone(&disk.full);
    let store = Store::open_with(folder.path(), options(), Arc::new(disk)).unwrap();
    let told = Arc::new(Mutex::new(Vec::new()));
    let note = Arc::clone(&told);
    store.observe(move |work, took| note.lock().unwrap().push((work, took.is_some())));
    append(&store, name(0), &lines(0..10)).unwrap();
    store.flush().unwrap();
    append(&store, name(1), &lines(0..10)).unwrap();
    store.flush().unwrap();
    store.compact_all().unwrap();
    switch.store(true, Ordering::SeqCst);
    append(&store, name(2), &lines(0..10)).unwrap_err();
    switch.store(false, Ordering::SeqCst);
    let all = [
        (Work::JournalSync, true),
        (Work::Flush, true),
        (Work::JournalSync, true),
        (Work::Flush, true),
        (Work::Compaction, true),
        (Work::JournalSync, false),
    ];
    assert_eq!(*told.lock().unwrap(), all);
    assert_eq!(store.ledger().counters.rejected["disk_full"], 10);
    assert!(store.journal_disk_bytes() < 1 << 30);
    let space = store.disk_space().unwrap();
    assert!((1..=space.size_bytes).contains(&space.free_bytes), "{space:?}");
}

#[test]
fn a_store_in_use_is_refused_by_its_owners_name() {
    let folder = tempfile::tempdir().unwrap();
    let _store = Store::open(folder.path(), options()).unwrap();
    let error = Store::open(folder.path(), options()).unwrap_err().to_string();
    assert!(error.contains(&format!("process {}", std::process::id())), "{error}");
}

#[test]
fn a_start_removes_what_was_never_published_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path(), options()).unwrap();
    append(&store, None, &lines(0..10)).unwrap();
    store.flush().unwrap();
    drop(store);
    let segments = folder.path().join("segments");
    for name in
        ["0000000000000099.index.tantivy", "0000000000000001.records.parquet.tmp", "notes.txt"]
    {
        std::fs::write(segments.join(name), "x").unwrap();
    }
    let store = Store::open(folder.path(), options()).unwrap();
    let mut names: Vec<String> = std::fs::read_dir(&segments)
        .unwrap()
        .map(|file| file.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(
        names,
        ["0000000000000001.index.tantivy", "0000000000000001.records.parquet", "notes.txt"]
    );
    assert_eq!(found(&store, &Filter::All), numbers(0..10));
}

#[test]
fn a_ledger_read_beside_refused_batches_stops_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path(), options()).unwrap();
    append(&store, name(0), &lines(0..10)).unwrap();
    let store = &store;
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                for _ in 0..300 {
                    assert!(matches!(
                        append(store, name(0), &lines(10..20)),
                        Err(StoreError::Conflict { .. })
                    ));
                }
            });
            scope.spawn(|| (0..2_000).for_each(|_| assert!(store.ledger().adds_up())));
        }
    });
}

#[test]
fn a_newer_data_folder_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("VERSION"), "2\n").unwrap();
    assert!(matches!(
        Store::open(folder.path(), options()),
        Err(StoreError::NewerVersion { found: 2, .. })
    ));
}

/// The real file system, with a switch that makes every write fail as on a full disk, or on a read-only one.
#[derive(Debug, Default)]
pub(crate) struct FullDisk {
    real: RealFileSystem,
    pub(crate) full: Arc<AtomicBool>,
    read_only: bool,
}

#[derive(Debug)]
struct FullDiskFile {
    real: Box<dyn JournalFile>,
    full: Arc<AtomicBool>,
    read_only: bool,
}

fn full(switch: &AtomicBool, read_only: bool) -> io::Result<()> {
    let kind =
        if read_only { io::ErrorKind::ReadOnlyFilesystem } else { io::ErrorKind::StorageFull };
    if switch.load(Ordering::SeqCst) { Err(kind.into()) } else { Ok(()) }
}

impl JournalFile for FullDiskFile {
    fn write_at(&mut self, bytes: &[u8], position: u64) -> io::Result<()> {
        // Half of it gets through, as it may on a real disk.
        self.real.write_at(&bytes[..bytes.len() / 2], position)?;
        full(&self.full, self.read_only)?;
        self.real.write_at(bytes, position)
    }

    fn sync(&mut self) -> io::Result<()> {
        full(&self.full, self.read_only)?;
        self.real.sync()
    }

    fn set_length(&mut self, length: u64) -> io::Result<()> {
        self.real.set_length(length)
    }
}

impl FileSystem for FullDisk {
    fn create_folder(&self, path: &Path) -> io::Result<()> {
        self.real.create_folder(path)
    }
    fn create_preallocated(&self, path: &Path, length: u64) -> io::Result<Box<dyn JournalFile>> {
        full(&self.full, self.read_only)?;
        Ok(Box::new(FullDiskFile {
            real: self.real.create_preallocated(path, length)?,
            full: Arc::clone(&self.full),
            read_only: self.read_only,
        }))
    }
    fn open_write(&self, path: &Path) -> io::Result<Box<dyn JournalFile>> {
        self.real.open_write(path)
    }
    fn open_read(&self, path: &Path) -> io::Result<Box<dyn FileReader>> {
        self.real.open_read(path)
    }
    fn write_synced(&self, path: &Path, content: &[u8]) -> io::Result<()> {
        // What is as small as the file of a delete may fit all the same.
        if path.parent().is_none_or(|folder| !folder.ends_with("deletes")) {
            full(&self.full, self.read_only)?;
        }
        self.real.write_synced(path, content)
    }
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        self.real.read(path)
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.real.rename(from, to)
    }
    fn remove(&self, path: &Path) -> io::Result<()> {
        self.real.remove(path)
    }
    fn list(&self, folder: &Path) -> io::Result<Vec<(String, u64)>> {
        self.real.list(folder)
    }
    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        self.real.sync_folder(folder)
    }
}

impl StoreFiles for FullDisk {
    fn map(&self, path: &Path) -> io::Result<OwnedBytes> {
        self.real.map(path)
    }
}

#[test]
fn a_full_disk_refuses_loses_nothing_and_goes_on_when_there_is_space() {
    let folder = tempfile::tempdir().unwrap();
    let disk = FullDisk::default();
    let switch = Arc::clone(&disk.full);
    let store = Store::open_with(folder.path(), options(), Arc::new(disk)).unwrap();
    append(&store, name(0), &lines(0..100)).unwrap();
    switch.store(true, Ordering::SeqCst);
    for _ in 0..3 {
        assert!(matches!(append(&store, name(1), &lines(100..200)), Err(StoreError::Full { .. })));
    }
    assert!(store.flush().is_err());
    assert_eq!(found(&store, &Filter::All), numbers(0..100));
    assert!(store.troubles().contains_key("flush") && store.troubles().contains_key("journal"));
    switch.store(false, Ordering::SeqCst);
    assert_eq!(
        append(&store, name(1), &lines(100..200)).unwrap(),
        Appended { duplicate: false, records: 100, lost_batches: 0 }
    );
    store.flush().unwrap();
    assert!(store.troubles().is_empty(), "{:?}", store.troubles());
    assert_eq!(found(&store, &Filter::All), numbers(0..200));
    assert!(store.ledger().adds_up(), "{:?}", store.ledger());
    drop(store);
    let store = Store::open(folder.path(), options()).unwrap();
    assert_eq!(found(&store, &Filter::All), numbers(0..200));
}

#[test]
fn a_disk_that_turns_read_only_refuses_answers_queries_and_goes_on_when_it_can_be_written() {
    let folder = tempfile::tempdir().unwrap();
    let disk = FullDisk { read_only: true, ..FullDisk::default() };
    let switch = Arc::clone(&disk.full);
    let store = Store::open_with(folder.path(), options(), Arc::new(disk)).unwrap();
    append(&store, name(0), &lines(0..100)).unwrap();
    switch.store(true, Ordering::SeqCst);
    for _ in 0..3 {
        let error = append(&store, name(1), &lines(100..200)).unwrap_err();
        assert!(matches!(error, StoreError::Journal { .. }), "{error}");
        assert!(store.flush().is_err());
    }
    assert_eq!(found(&store, &Filter::All), numbers(0..100));
    assert!(store.troubles().contains_key("flush") && store.troubles().contains_key("journal"));
    switch.store(false, Ordering::SeqCst);
    assert!(!append(&store, name(1), &lines(100..200)).unwrap().duplicate);
    store.flush().unwrap();
    assert!(store.troubles().is_empty(), "{:?}", store.troubles());
    assert_eq!(found(&store, &Filter::All), numbers(0..200));
    assert!(store.ledger().adds_up());
}

#[test]
fn a_refused_batch_that_reached_the_disk_in_part_is_not_doubled_after_a_crash() {
    let folder = tempfile::tempdir().unwrap();
    let disk = FullDisk::default();
    let switch = Arc::clone(&disk.full);
    let store = Store::open_with(folder.path(), options(), Arc::new(disk)).unwrap();
    append(&store, name(0), &lines(0..100)).unwrap();
    switch.store(true, Ordering::SeqCst);
    append(&store, name(1), &lines(100..200)).unwrap_err();
    switch.store(false, Ordering::SeqCst);
    append(&store, name(2), &lines(200..300)).unwrap();
    append(&store, name(1), &lines(100..200)).unwrap();
    drop(store);
    let store = Store::open(folder.path(), options()).unwrap();
    assert_eq!(found(&store, &Filter::All), numbers(0..300));
    assert!(append(&store, name(1), &lines(100..200)).unwrap().duplicate);
    assert!(store.ledger().adds_up());
}

#[test]
fn retention_by_bytes_drops_the_oldest_segments_and_accounts_for_them() {
    let folder = tempfile::tempdir().unwrap();
    let store =
        Store::open(folder.path(), StoreOptions { retention_bytes: Some(1), ..options() }).unwrap();
    append(&store, None, &lines(0..250)).unwrap();
    store.flush().unwrap();
    store.compact_all().unwrap();
    assert_eq!(found(&store, &Filter::All), numbers(0..0));
    let ledger = store.ledger();
    assert_eq!((ledger.counters.expired, ledger.adds_up()), (250, true));
    drop(store);
    assert!(Store::open(folder.path(), options()).unwrap().ledger().adds_up());
}

#[test]
fn retention_by_age_goes_by_the_earlier_of_record_time_and_receipt() {
    let folder = tempfile::tempdir().unwrap();
    let hour = std::time::Duration::from_secs(3_600);
    let store = Store::open(folder.path(), StoreOptions { retention_age: Some(hour), ..options() })
        .unwrap();
    let now = Timestamp::now();
    let future = Timestamp(now.0 + 400 * record::NANOS_PER_DAY);
    append(
        &store,
        None,
        &format!("{{\"time\":\"{now}\",\"n\":1}}\n{{\"time\":\"{future}\",\"n\":2}}\n"),
    )
    .unwrap();
    append(&store, None, &lines(10..20)).unwrap();
    store.flush().unwrap();
    store.compact_all().unwrap();
    assert_eq!(found(&store, &Filter::All), [1, 2]);
}

#[test]
fn memory_in_use_is_bounded_by_refusing() {
    let folder = tempfile::tempdir().unwrap();
    let store =
        Store::open(folder.path(), StoreOptions { memory_bytes_max: 1_000, ..options() }).unwrap();
    let first = store.reserve(600).unwrap();
    assert!(matches!(store.reserve(600), Err(StoreError::Overloaded { limit_bytes: 1_000 })));
    drop(first);
    assert!(store.reserve(600).is_ok());
}

#[test]
fn five_thousand_names_and_types_are_all_found() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path(), options()).unwrap();
    for batch in 0..5 {
        let body: String = (batch * 1_000..(batch + 1) * 1_000)
            .map(|n| {
                format!(
                    "{{\"ts\":{},\"n\":{n},\"name{n}\":{n},\"text{}\":\"v{n}\"}}\n",
                    1_700_000_000 + n,
                    n % 700
                )
            })
            .collect();
        append(&store, None, &body).unwrap();
    }
    let check = |what: &str| {
        for n in [0, 1, 255, 256, 999, 1_000, 2_500, 4_999] {
            assert_eq!(found(&store, &parse(&format!("name{n}:{n}"))), [n], "{what} name{n}");
            assert_eq!(found(&store, &parse(&format!("text{}:v{n}", n % 700))), [n], "{what} text");
            assert_eq!(found(&store, &parse(&format!("any:v{n}"))), [n], "{what} any");
        }
        assert_eq!(found(&store, &parse("nothing:*")), numbers(0..0), "{what}");
    };
    check("parts");
    store.flush().unwrap();
    check("segments");
    store.compact_all().unwrap();
    check("merged");
    assert!(store.ledger().adds_up());
}

#[test]
fn segments_whose_times_overlap_are_merged_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path(), options()).unwrap();
    for start in 0..4 {
        let body: String = (0..100).map(|n| lines(n * 4 + start..n * 4 + start + 1)).collect();
        append(&store, None, &body).unwrap();
        store.flush().unwrap();
    }
    store.compact_all().unwrap();
    let view = store.view();
    let [segment] = view.segments() else { panic!("expected one segment") };
    let source = Source::Segment(Arc::clone(segment));
    let keys = source.keys(&RowSet::Range(0..400), &unbounded()).unwrap();
    assert!(keys.is_sorted());
    assert_eq!(found(&store, &Filter::All), numbers(0..400));
}

#[test]
fn select_newest_gives_the_newest_matches() {
    let folder = tempfile::tempdir().unwrap();
    let store =
        Store::open(folder.path(), StoreOptions { segment_rows: 100_000, ..options() }).unwrap();
    append(&store, None, &lines(0..20_000)).unwrap();
    store.flush().unwrap();
    let view = store.view();
    let source = &view.sources("default", "logs", i64::MIN..i64::MAX).0[0];
    for query in ["*", "level:error", "n:<5000", "message", "msg:/number 19/"] {
        let filter = parse(query);
        let all: Vec<u32> =
            match source.select(&filter, i64::MIN..i64::MAX, None, &unbounded()).unwrap() {
                RowSet::List(rows) => rows,
                RowSet::Range(range) => range.collect(),
            };
        let newest: Vec<u32> =
            match source.select(&filter, i64::MIN..i64::MAX, Some(7), &unbounded()).unwrap() {
                RowSet::List(rows) => rows,
                RowSet::Range(range) => range.collect(),
            };
        assert_eq!(newest, all[all.len() - 7..], "{query}");
    }
}

#[test]
fn a_filter_that_nothing_can_match_reads_no_columns() {
    let folder = tempfile::tempdir().unwrap();
    // The scrub would miss the files that are taken away here.
    let still = StoreOptions { maintenance: false, ..options() };
    let store = Store::open(folder.path(), still).unwrap();
    append(&store, None, &lines(0..100)).unwrap();
    store.flush().unwrap();
    // Without its column file the segment can still answer what the footer and the index know.
    for file in std::fs::read_dir(folder.path().join("segments")).unwrap() {
        let path = file.unwrap().path();
        if path.to_string_lossy().ends_with(".parquet") {
            std::fs::remove_file(path).unwrap();
        }
    }
    for query in [
        "service:absent",
        "level:fatal",
        "absent:*",
        "nowhere",
        "correlation:none",
        "level:error absent:1",
    ] {
        assert_eq!(found_count(&store, query), 0, "{query}");
    }
    assert_eq!(found_count(&store, "message"), 100);
}

fn found_count(store: &Store, query: &str) -> usize {
    let filter = parse(query);
    let view = store.view();
    view.sources("default", "logs", i64::MIN..i64::MAX)
        .0
        .iter()
        .map(|source| source.count(&filter, i64::MIN..i64::MAX, &unbounded()).unwrap())
        .sum()
}

#[test]
fn the_ledger_tells_a_record_that_is_missing() {
    let ledger = Ledger {
        received: 10,
        counters: Counters { accepted: 10, rejected: BTreeMap::new(), ..Counters::default() },
        in_parts: 4,
        indexed: 5,
        lost_batches: 0,
        senders: 0,
        senders_forgotten: 0,
    };
    assert_eq!((ledger.missing(), ledger.adds_up()), (1, false));
}

/// Allows so many checks, and blocks of so much memory; counts what is held.
#[derive(Debug)]
struct Metered {
    checks_left: AtomicUsize,
    held: AtomicUsize,
    block: (usize, usize),
}

impl Metered {
    fn new(checks: usize, block: (usize, usize)) -> (Arc<Self>, Arc<dyn crate::Allowance>) {
        let metered = Arc::new(Self { checks_left: checks.into(), held: 0.into(), block });
        (Arc::clone(&metered), metered)
    }
}

impl crate::Allowance for Metered {
    fn check(&self) -> Result<(), crate::Stopped> {
        let fewer = |left: usize| left.checked_sub(1);
        let left = self.checks_left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fewer);
        left.map(|_| ()).map_err(|_| crate::Stopped::Cancelled)
    }

    fn take(&self, bytes: usize) -> Result<(), crate::Stopped> {
        self.held.fetch_add(bytes, Ordering::Relaxed);
        Ok(())
    }

    fn give_back(&self, bytes: usize) {
        self.held.fetch_sub(bytes, Ordering::Relaxed);
    }

    fn block(&self) -> (usize, usize) {
        self.block
    }
}

#[test]
fn a_reader_that_may_not_go_on_stops_between_blocks_and_holds_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let options = StoreOptions { segment_rows: 100_000, ..options() };
    let store = Store::open(folder.path(), options).unwrap();
    append(&store, None, &lines(0..3_000)).unwrap();
    store.flush().unwrap();
    append(&store, None, &lines(3_000..6_000)).unwrap();
    let sources = store.view().sources("default", "logs", i64::MIN..i64::MAX).0;
    assert_eq!(sources.len(), 2, "a segment and a chunk");
    for source in sources {
        for query in ["msg:/number 1/", "n:<5000", "\"number\" -never", "*number*"] {
            let filter = parse(query);
            let time = i64::MIN..i64::MAX;
            let all = source.select(&filter, time.clone(), None, &unbounded()).unwrap();
            // It ends at each check but the last one, and with the last one it has all rows.
            for checks in 0.. {
                let (metered, allowance) = Metered::new(checks, (500, usize::MAX));
                let selected = source.select(&filter, time.clone(), None, &allowance);
                assert_eq!(metered.held.load(Ordering::Relaxed), 0);
                match selected {
                    Ok(rows) => {
                        assert!(checks > 1, "{query}");
                        assert_eq!(rows, all, "{query}");
                        break;
                    }
                    Err(StoreError::Stopped(crate::Stopped::Cancelled)) => {}
                    Err(other) => panic!("{query}: {other}"),
                }
            }
        }
    }
}

#[test]
fn blocks_are_no_larger_than_they_may_be_and_together_they_are_all_rows() {
    let folder = tempfile::tempdir().unwrap();
    let options = StoreOptions { segment_rows: 100_000, ..options() };
    let store = Store::open(folder.path(), options).unwrap();
    // Short messages, and in the middle long ones.
    let body: String = (0..6_000)
        .map(|n| {
            let pad = "x".repeat(if (2_000..2_100).contains(&n) { 20_000 } else { 10 });
            format!("{{\"message\":\"{n} {pad}\",\"n\":{n}}}\n")
        })
        .collect();
    append(&store, None, &body).unwrap();
    store.flush().unwrap();
    let source = &store.view().sources("default", "logs", i64::MIN..i64::MAX).0[0];
    let columns = Columns::Fields([Field::Message, Field::Attribute("n".into())].into());
    let rows = RowSet::List((0..6_000).filter(|row| row % 7 != 3).collect());
    let whole = source.read(&rows, &columns, &unbounded()).unwrap();
    let (_, allowance) = Metered::new(usize::MAX, (1_000, 256 << 10));
    let mut first = 0;
    for batch in source.batches(&rows, &columns, &allowance).unwrap() {
        let batch = batch.unwrap();
        assert!(batch.num_rows() <= 1_000);
        // A page of 1,024 rows with the long ones has 2 MB; a block may be of long ones only.
        let bytes = batch.get_array_memory_size();
        assert!(bytes < 4 << 20, "{} rows take {bytes} bytes", batch.num_rows());
        assert_eq!(batch, whole.slice(first, batch.num_rows()));
        first += batch.num_rows();
    }
    assert_eq!(first, rows.len());
}
