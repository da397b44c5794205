//! Deletes on a whole store: hidden at once and everywhere, then gone from the disk, with counts that are right.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use ql::Filter;
use record::{Record, Timestamp};
use wire::{Format, Limits};

use super::{ACTIVE_MAX, DONE_MAX, Delete, DeleteRequest, DeleteStatus, QUERY_BYTES_MAX};
use crate::allowance::Unbounded;
use crate::compact;
use crate::evaluate::Columns;
use crate::segment::RowSet;
use crate::store::locked;
use crate::tests::{FullDisk, append, found, lines, numbers, options, parse};
use crate::{Store, StoreError, StoreOptions};

const ALL: std::ops::Range<i64> = i64::MIN..i64::MAX;

fn delete(store: &Store, query: &str) -> DeleteStatus {
    store.delete(request(query)).unwrap()
}

fn request(query: &str) -> DeleteRequest {
    DeleteRequest::new("default".into(), query, ALL).unwrap()
}

fn status(store: &Store, id: u64) -> DeleteStatus {
    store.delete_status("default", id).unwrap()
}

fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let started = Instant::now();
    while !condition() {
        assert!(started.elapsed() < Duration::from_secs(60), "{what} does not happen");
        std::thread::yield_now();
    }
}

fn done(store: &Store, id: u64) -> DeleteStatus {
    eventually("the end of the delete", || status(store, id).is_done());
    let status = status(store, id);
    assert_eq!((status.segments_left, &status.trouble), (0, &None));
    assert_eq!(store.rows_left_of_delete("default", id).unwrap(), Some(0));
    status
}

/// Everything that segments hold, read by their columns, and all that stands in their metadata.
fn content_of_segments(store: &Store) -> String {
    let mut content = String::new();
    for segment in store.view().segments() {
        let batch = segment
            .read(&RowSet::Range(0..segment.meta().rows), &Columns::All, &Unbounded::allowance())
            .unwrap();
        content += &format!("{:?}\n{:?}\n", batch.columns(), segment.meta());
    }
    content
}

fn files(folder: &Path) -> Vec<String> {
    let files = std::fs::read_dir(folder).unwrap();
    let mut names: Vec<String> =
        files.map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn what_is_deleted_is_hidden_at_once_and_gone_from_the_disk_in_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path(), options()).unwrap();
    let secret = |n: u64| {
        let time = Timestamp(1_700_000_000_000_000_000 + n as i64);
        format!(
            "{{\"time\":\"{time}\",\"service\":\"secretservice{n}\",\"correlation_id\":\"secretid\",\"msg\":\"secretword\",\"name\":\"secretvalue\",\"n\":{n}}}\n"
        )
    };
    append(&store, None, &(lines(0..250) + &secret(1_000))).unwrap();
    store.flush().unwrap();
    append(&store, None, &(lines(250..300) + &secret(1_001))).unwrap();
    let counts = store.count_for_delete(&request("secretid")).unwrap();
    assert_eq!((counts.before, counts.matched), (302, 2));
    let made = delete(&store, "correlation:secretid");
    assert_eq!(found(&store, &Filter::All), numbers(0..300));
    assert_eq!((made.delete.rows_before, made.delete.rows_hidden), (Some(302), Some(2)));
    let ended = done(&store, made.delete.id).delete;
    assert_eq!((ended.rows_removed, ended.segments_rewritten, ended.segments_dropped), (2, 2, 0));
    assert_eq!(found(&store, &Filter::All), numbers(0..300));
    let ledger = store.ledger();
    assert_eq!((ledger.counters.deleted, ledger.adds_up()), (2, true), "{ledger:?}");
    let content = content_of_segments(&store);
    let leaked = content.find("secret").map(|at| &content[at.saturating_sub(200)..at + 20]);
    assert_eq!(leaked, None);
    let view = store.view();
    let known: BTreeSet<u64> = view.segments().iter().map(|segment| segment.meta().id.0).collect();
    for name in files(&folder.path().join("segments")) {
        assert!(known.contains(&name[..16].parse().unwrap()), "{name} is of an old segment");
    }
    for name in files(&folder.path().join("journal")) {
        let bytes = std::fs::read(folder.path().join("journal").join(name)).unwrap();
        assert!(!bytes.windows(6).any(|window| window == b"secret"));
    }
    // The same again later is not what was deleted.
    append(&store, None, &secret(1_000)).unwrap();
    assert_eq!(found(&store, &parse("secretid")), [1_000]);
    drop(view);
    drop(store);
    let store = Store::open(folder.path(), options()).unwrap();
    assert_eq!(found(&store, &parse("secretid")), [1_000]);
    assert_eq!(status(&store, ended.id).delete, ended);
    assert_eq!((store.ledger().counters.deleted, store.ledger().adds_up()), (2, true));
}

/// What golden queries are about: every kind of test, exact in the index and not.
const FILTERS: [&str; 16] = [
    "*",
    "correlation:c7",
    "c7",
    "77",
    "\"number 77\"",
    "level:error",
    "-level:info",
    "service:s0",
    "service:(s0 OR s1) level:>=warn",
    "-service:*",
    "n:<30",
    "mixed:text100",
    "mixed:*",
    "message",
    "msg:/7$/",
    "any:s3",
];

const DELETES: [&str; 8] = [
    "correlation:c7",
    "c7 OR c8 OR 100",
    "level:error",
    "service:s0",
    "message",
    "-service:s1",
    "mixed:/5$/",
    "n:[50 TO 149]",
];

fn records(numbers: std::ops::Range<u64>) -> Vec<Record> {
    let mut records = Vec::new();
    let (now, text) = (Timestamp(0), lines(numbers));
    wire::decode(Format::JsonLines, text.as_bytes(), now, &Limits::default(), &mut |record| {
        records.push(record.to_record());
    })
    .unwrap();
    records
}

#[test]
fn every_place_answers_as_if_the_records_had_never_been_there() {
    let before = records(0..220);
    for query in DELETES {
        let gone = parse(query);
        let check = |store: &Store, place: &str| {
            for text in FILTERS {
                let filter = parse(text);
                let mut expected: Vec<i64> = before
                    .iter()
                    .enumerate()
                    .filter(|(_, record)| filter.matches(record, None))
                    .filter(|(_, record)| !gone.matches(record, None))
                    .map(|(n, _)| n as i64)
                    .collect();
                let later = records(1_000..1_010);
                let later = later.iter().enumerate();
                expected.extend(
                    later
                        .filter(|(_, record)| filter.matches(record, None))
                        .map(|(n, _)| 1_000 + n as i64),
                );
                assert_eq!(found(store, &filter), expected, "{text} without {query}, {place}");
            }
            assert!(store.ledger().adds_up(), "{query}, {place}: {:?}", store.ledger());
        };
        let folder = tempfile::tempdir().unwrap();
        let disk = FullDisk::default();
        let full = Arc::clone(&disk.full);
        let store = Store::open_with(folder.path(), options(), Arc::new(disk)).unwrap();
        append(&store, None, &lines(0..120)).unwrap();
        store.flush().unwrap();
        append(&store, None, &lines(120..220)).unwrap();
        // Nothing is merged, rewritten or done while this is held.
        let shared = Arc::clone(&store.shared);
        let turn = locked(&shared.compacting);
        full.store(true, Ordering::SeqCst);
        let made = delete(&store, query).delete;
        eventually("a flush that fails", || store.troubles().contains_key("flush"));
        full.store(false, Ordering::SeqCst);
        append(&store, None, &lines(1_000..1_010)).unwrap();
        check(&store, "parts and segments");
        store.flush().unwrap();
        check(&store, "segments");
        compact::merge_everything(&shared).unwrap();
        assert_eq!(store.view().segments().len(), 1);
        check(&store, "merged");
        full.store(true, Ordering::SeqCst);
        drop(turn);
        drop(store);
        drop(shared);
        let disk = FullDisk::default();
        let full = Arc::clone(&disk.full);
        full.store(true, Ordering::SeqCst);
        let store = Store::open_with(folder.path(), options(), Arc::new(disk)).unwrap();
        check(&store, "restarted");
        eventually("a rewrite that fails", || status(&store, made.id).trouble.is_some());
        eventually("word of it", || store.troubles().contains_key("deletes"));
        full.store(false, Ordering::SeqCst);
        store.flush().unwrap();
        let ended = done(&store, made.id).delete;
        assert_eq!(Some(ended.rows_removed), ended.rows_hidden, "{query}");
        assert_eq!((ended.rows_before, ended.segments_rewritten), (Some(220), 1), "{query}");
        check(&store, "rewritten");
        drop(store);
        check(&Store::open(folder.path(), options()).unwrap(), "restarted when it is done");
    }
}

#[test]
fn a_record_that_several_deletes_want_counts_for_the_oldest() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path(), options()).unwrap();
    append(&store, None, &lines(0..100)).unwrap();
    let shared = Arc::clone(&store.shared);
    let turn = locked(&shared.compacting);
    let first = delete(&store, "n:<30").delete;
    let second = delete(&store, "n:<40").delete;
    assert_eq!((second.rows_before, second.rows_hidden), (Some(70), Some(10)));
    assert_eq!(found(&store, &Filter::All), numbers(40..100));
    drop(turn);
    assert_eq!(done(&store, first.id).delete.rows_removed, 30);
    assert_eq!(done(&store, second.id).delete.rows_removed, 10);
    let third = delete(&store, "*").delete;
    let third = done(&store, third.id).delete;
    assert_eq!((third.rows_removed, third.segments_rewritten, third.segments_dropped), (60, 0, 1));
    assert_eq!(store.view().segments().len(), 0);
    assert_eq!(files(&folder.path().join("segments")), [""; 0]);
    assert_eq!((store.ledger().counters.deleted, store.ledger().adds_up()), (100, true));
    let listed: Vec<u64> =
        store.deletes("default", 2).iter().map(|status| status.delete.id).collect();
    assert_eq!(listed, [third.id, second.id]);
    assert!(store.deletes("other", 2).is_empty());
    assert_eq!(store.delete_status("other", third.id), None);
}

#[test]
fn a_delete_has_a_tenant_and_a_range_of_times() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path(), options()).unwrap();
    append(&store, None, &lines(0..100)).unwrap();
    let second = |n: i64| 1_700_000_000_000_000_000 + n * 1_000_000_000;
    let of = |tenant: &str, time| DeleteRequest::new(tenant.into(), "*", time).unwrap();
    let other = store.delete(of("other", ALL)).unwrap();
    assert_eq!((other.delete.rows_before, other.delete.rows_hidden), (Some(0), Some(0)));
    let made = store.delete(of("default", second(10)..second(20))).unwrap().delete;
    let left = [numbers(0..10), numbers(20..100)].concat();
    assert_eq!((made.rows_before, made.rows_hidden), (Some(10), Some(10)));
    assert_eq!(found(&store, &Filter::All), left);
    assert_eq!(done(&store, made.id).delete.rows_removed, 10);
    assert_eq!(found(&store, &Filter::All), left);
    eventually("the other's end", || {
        store.delete_status("other", other.delete.id).unwrap().is_done()
    });
}

#[test]
fn a_delete_is_not_done_while_a_query_reads_an_old_segment() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path(), options()).unwrap();
    append(&store, None, &lines(0..100)).unwrap();
    store.flush().unwrap();
    let view = store.view();
    let made = delete(&store, "c7").delete;
    eventually("the rewrite", || status(&store, made.id).delete.rows_removed == 10);
    eventually("a word of what it waits for", || status(&store, made.id).trouble.is_some());
    let waiting = status(&store, made.id);
    assert!(waiting.trouble.as_ref().is_some_and(|trouble| trouble.contains("is still there")));
    assert!(!waiting.is_done());
    let (sources, _) = view.sources("default", "logs", ALL);
    assert_eq!(
        sources[0].count(&parse("c7"), ALL, &Unbounded::allowance()).unwrap(),
        10,
        "one view from start to end"
    );
    drop((sources, view));
    done(&store, made.id);
}

#[test]
fn a_damaged_segment_keeps_its_delete_open_until_somebody_has_looked_at_it() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path(), options()).unwrap();
    append(&store, None, &lines(0..100)).unwrap();
    store.flush().unwrap();
    append(&store, None, &lines(100..200)).unwrap();
    store.flush().unwrap();
    let records = folder.path().join("segments/0000000000000001.records.parquet");
    let whole = std::fs::read(&records).unwrap();
    std::fs::write(&records, &whole[..whole.len() / 2]).unwrap();
    let made = delete(&store, "mixed:/5$/").delete;
    let open = |store: &Store| {
        store.flush().unwrap();
        let status = status(store, made.id);
        let reason = status.trouble.as_ref().is_some_and(|trouble| trouble.contains("quarantine/"));
        assert!(!status.is_done());
        reason && status.segments_left == 1
    };
    eventually("the reason", || open(&store));
    assert!(store.ledger().adds_up());
    drop(store);
    let store = Store::open(folder.path(), options()).unwrap();
    eventually("the reason after a restart", || open(&store));
    drop(store);
    std::fs::remove_dir_all(folder.path().join("quarantine")).unwrap();
    let store = Store::open(folder.path(), options()).unwrap();
    let ended = done(&store, made.id).delete;
    assert!(ended.rows_removed > 0 && store.ledger().adds_up());
}

#[test]
fn what_is_hidden_stays_hidden_when_the_catalog_has_to_be_made_again() {
    let folder = tempfile::tempdir().unwrap();
    let disk = FullDisk::default();
    let full = Arc::clone(&disk.full);
    let store = Store::open_with(folder.path(), options(), Arc::new(disk)).unwrap();
    append(&store, None, &lines(0..100)).unwrap();
    store.flush().unwrap();
    let ended = done(&store, delete(&store, "c9").delete.id).delete;
    assert_eq!(files(&folder.path().join("deletes")), [""; 0]);
    let shared = Arc::clone(&store.shared);
    let turn = locked(&shared.compacting);
    let made = delete(&store, "c7").delete;
    store.flush().unwrap();
    full.store(true, Ordering::SeqCst);
    drop(turn);
    drop((store, shared));
    for beside in ["", "-wal", "-shm"] {
        let _ = std::fs::remove_file(folder.path().join(format!("catalog.db{beside}")));
    }
    std::fs::write(folder.path().join("deletes/0000000000000099.json"), "{").unwrap();
    let store = Store::open(folder.path(), options()).unwrap();
    assert!(
        store.troubles().contains_key("catalog") && store.troubles().contains_key("kept deletes")
    );
    assert_eq!(found(&store, &parse("c7")), numbers(0..0));
    let again = done(&store, made.id).delete;
    assert_eq!((again.rows_hidden, again.rows_removed), (Some(10), 10));
    assert_eq!(found(&store, &Filter::All), [numbers(0..70), numbers(80..90)].concat());
    assert!(store.ledger().adds_up(), "{:?}", store.ledger());
    assert_eq!(store.delete_status("default", ended.id), None, "proofs go with the catalog");
    assert_eq!(files(&folder.path().join("deletes")), ["0000000000000099.json"]);
}

#[test]
fn deletes_that_are_not_done_are_bounded() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path(), options()).unwrap();
    append(&store, None, &lines(0..10)).unwrap();
    let shared = Arc::clone(&store.shared);
    let turn = locked(&shared.compacting);
    for n in 0..ACTIVE_MAX {
        delete(&store, &format!("n:{n}"));
    }
    assert!(matches!(store.delete(request("*")), Err(StoreError::TooManyDeletes { .. })));
    assert_eq!(found(&store, &Filter::All), numbers(0..0));
    drop(turn);
    done(&store, ACTIVE_MAX as u64);
    eventually("the end of all", || store.active_deletes() == 0);
    done(&store, delete(&store, "*").delete.id);
    assert!(store.ledger().adds_up());
}

#[test]
fn the_oldest_proofs_go_when_there_are_too_many() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path(), options()).unwrap();
    append(&store, None, &lines(0..10)).unwrap();
    let first = done(&store, delete(&store, "n:1").delete.id).delete;
    let like = |id| Delete { id, ..first.clone() };
    locked(&store.shared.deletes).deletes.extend((2..DONE_MAX as u64).map(|id| (id, like(id))));
    for n in [2, 3] {
        done(&store, delete(&store, &format!("n:{n}")).delete.id);
        eventually("a bound of proofs", || locked(&store.shared.deletes).deletes.len() == DONE_MAX);
    }
    assert_eq!(store.delete_status("default", 1), None);
    drop(store);
    let store = Store::open(folder.path(), options()).unwrap();
    let kept: Vec<u64> = locked(&store.shared.deletes).deletes.keys().copied().collect();
    assert_eq!(kept, [DONE_MAX as u64, DONE_MAX as u64 + 1]);
}

#[test]
fn a_delete_covers_what_was_acknowledged_before_it_and_nothing_that_is_sent_after() {
    const BATCHES: u64 = 400;
    let folder = tempfile::tempdir().unwrap();
    let busy = StoreOptions { flush_bytes: 64 << 10, compaction_width: 4, ..options() };
    let store = Store::open(folder.path(), busy).unwrap();
    let (store, sent, acknowledged) = (&store, &AtomicU64::new(0), &AtomicU64::new(0));
    let mut certain = 0;
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for batch in 0..BATCHES {
                sent.store(batch + 1, Ordering::SeqCst);
                append(store, None, &lines(batch * 10..batch * 10 + 10)).unwrap();
                acknowledged.store(batch + 1, Ordering::SeqCst);
            }
        });
        for _ in 0..8 {
            let before = acknowledged.load(Ordering::SeqCst);
            eventually("more batches", || {
                acknowledged.load(Ordering::SeqCst) >= (before + 20).min(BATCHES)
            });
            let before = acknowledged.load(Ordering::SeqCst) as i64 * 10;
            let id = delete(store, "*").delete.id;
            let after = sent.load(Ordering::SeqCst) as i64 * 10;
            let left = found(store, &Filter::All);
            assert!(left.iter().all(|n| *n >= before), "{id}: {before} {left:?}");
            certain = after;
        }
    });
    eventually("the end of all", || store.active_deletes() == 0);
    let left = found(store, &Filter::All);
    let later: Vec<i64> = left.iter().copied().filter(|n| *n >= certain).collect();
    assert_eq!(later, numbers(certain..BATCHES as i64 * 10));
    assert_eq!(left.len() % 10, 0, "whole batches");
    let deleted = store.ledger().counters.deleted;
    assert_eq!((left.len() as u64 + deleted, store.ledger().adds_up()), (BATCHES * 10, true));
}

#[test]
fn what_is_no_delete_is_refused_with_the_reason() {
    let long = "x".repeat(QUERY_BYTES_MAX + 1);
    let cases = [
        ("", "empty_delete"),
        ("  ", "empty_delete"),
        ("* | head 5", "unexpected_stage"),
        ("level:wran", "unknown_level"),
        (&long, "query_too_long"),
    ];
    for (query, code) in cases {
        let error = DeleteRequest::new("default".into(), query, ALL).unwrap_err();
        assert_eq!(error.first().code, code, "{query}");
    }
}
