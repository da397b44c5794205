//! The flush thread: sealed parts become segments, in one catalog transaction a cut.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use file_system::failpoint;

use crate::catalog::{CatalogChange, Marks};
use crate::combine::Combined;
use crate::error::{Result, StoreError};
use crate::journal::JournalWriter;
use crate::ledger::Counters;
use crate::observed::Work;
use crate::segment::{self, Segment, SegmentMeta, SegmentName};
use crate::sender::{Sender, SenderChange, SenderState};
use crate::store::{Shared, locked};
use crate::view::Part;

/// How long a flush that failed waits before it tries again.
const RETRY: Duration = Duration::from_millis(500);

/// Everything that was committed up to one moment.
#[derive(Debug)]
pub(crate) struct Cut {
    pub(crate) cut: u64,
    pub(crate) parts: Vec<Arc<Part>>,
    /// Journal files below this one hold nothing but what is in `parts` or in segments.
    pub(crate) journal_floor: u64,
    pub(crate) next_record_seq: u64,
    pub(crate) senders: SenderChange,
    pub(crate) counters: Counters,
    pub(crate) done: Option<SyncSender<Result<()>>>,
}

/// Flushes cut after cut, in order; a cut that cannot be written is tried until it can, because the next
/// one's floor includes it.
pub(crate) fn run(shared: &Arc<Shared>, cuts: &Receiver<Cut>, compactions: &SyncSender<()>) {
    while let Ok(mut cut) = cuts.recv() {
        let mut done = cut.done.take();
        loop {
            match shared.observed.run(Work::Flush, || caught("flush", || flush(shared, &cut))) {
                Ok(()) => {
                    shared.trouble("flush", None);
                    if let Some(done) = done {
                        let _ = done.send(Ok(()));
                    }
                    break;
                }
                Err(error) => {
                    tracing::error!(%error, "cannot flush; records stay in memory and in the journal");
                    shared.trouble("flush", Some(error.to_string()));
                    // Whoever waits is told at once; a shutdown must not hang on a full disk.
                    if let Some(done) = done.take() {
                        let _ = done.send(Err(error));
                    }
                    match cuts.recv_timeout(RETRY) {
                        // The newer cut takes the older one's parts along.
                        Ok(next) => {
                            cut = join(cut, next);
                            done = cut.done.take();
                        }
                        Err(std::sync::mpsc::RecvTimeoutError::Timeout) => {}
                        Err(std::sync::mpsc::RecvTimeoutError::Disconnected) => return,
                    }
                }
            }
        }
        let _ = compactions.try_send(());
    }
}

fn join(mut older: Cut, newer: Cut) -> Cut {
    older.parts.extend(newer.parts);
    Cut { parts: older.parts, senders: older.senders.then(newer.senders), ..newer }
}

/// Writes all segments of a cut, publishes them, and lets the journal go.
pub(crate) fn flush(shared: &Arc<Shared>, cut: &Cut) -> Result<()> {
    shared.settle()?;
    let metas = write_segments(shared, cut)?;
    failpoint::reach("flush.written");
    let journal_floor = cut.journal_floor;
    // Held until the view has the segments too: a backup takes both at one moment.
    let marks = publish(shared, cut, &metas)?;
    let segments =
        metas.into_iter().map(|meta| Arc::new(Segment::new(meta, Arc::clone(&shared.segments))));
    let segments: Vec<_> = segments.collect();
    failpoint::reach("flush.published");
    shared.statistics.flushes.fetch_add(1, Ordering::Relaxed);
    shared.statistics.segments_written.fetch_add(segments.len() as u64, Ordering::Relaxed);
    shared.change_view(|pieces| {
        pieces.segments.extend(segments);
        pieces.sealed.retain(|(sealed, _)| *sealed > cut.cut);
    });
    drop(marks);
    failpoint::reach("flush.swapped");
    // The cut is published: to write it again would double it. The files go with the next one.
    let removed = JournalWriter::remove_below(&*shared.fs, &shared.journal_folder(), journal_floor);
    match &removed {
        Ok(()) => shared.flushed_cuts.store(cut.cut + 1, Ordering::Release),
        Err(error) => {
            tracing::warn!(%error, "cannot remove journal files that are in segments");
        }
    }
    shared.trouble("journal removal", removed.err().map(|error| error.to_string()));
    Ok(())
}

/// The catalog transaction of a cut; gives the marks that it wrote, still locked.
fn publish<'s>(
    shared: &'s Shared,
    cut: &Cut,
    metas: &[SegmentMeta],
) -> Result<MutexGuard<'s, Marks>> {
    let mut marks = locked(&shared.marks);
    let mut counters = cut.counters.clone();
    // Expiry, deletes and repair write their own counts and may have done so after the cut.
    counters.expired = marks.counters.expired.max(counters.expired);
    counters.deleted = marks.counters.deleted.max(counters.deleted);
    counters.quarantined = marks.counters.quarantined.max(counters.quarantined);
    let change = CatalogChange {
        add: metas.to_vec(),
        remove: Vec::new(),
        marks: Marks {
            journal_floor: cut.journal_floor,
            next_record_seq: cut.next_record_seq,
            next_segment_id: shared.next_segment_id(),
            counters,
            forgotten: cut.senders.forgotten,
            rebuilding: false,
        },
        senders: cut.senders.clone(),
        ..CatalogChange::default()
    };
    shared.apply(&change)?;
    *marks = change.marks;
    Ok(marks)
}

/// One piece of work: some rows of one part.
struct Job<'a> {
    part: &'a Part,
    combined: &'a Combined<'a>,
    rows: std::ops::Range<usize>,
    /// Those of the tenant in this cut, in its first segment.
    senders: Vec<(Sender, SenderState)>,
}

fn write_segments(shared: &Arc<Shared>, cut: &Cut) -> Result<Vec<SegmentMeta>> {
    let parts = merged_parts(&cut.parts);
    let combined: Vec<(&Part, Combined<'_>)> =
        parts.iter().map(|part| (part, Combined::new(&part.chunks))).collect();
    let mut jobs = Vec::new();
    let mut told = BTreeSet::new();
    for (part, combined) in &combined {
        // Even pieces of at most `segment_rows`.
        let pieces = combined.rows().div_ceil(shared.options.segment_rows).max(1);
        let rows = combined.rows().div_ceil(pieces).max(1);
        for start in (0..combined.rows()).step_by(rows) {
            let first = told.insert(Arc::clone(&part.key.tenant));
            let senders = if first { senders_of(cut, &part.key.tenant) } else { Vec::new() };
            let rows = start..(start + rows).min(combined.rows());
            jobs.push(Job { part, combined, rows, senders });
        }
    }
    let folder = shared.segment_folder();
    let written = Mutex::new(Vec::new());
    let metas = in_parallel(shared.options.build_threads, &jobs, |job| {
        let meta = write_segment(shared, cut, job)?;
        locked(&written).push(meta.id);
        Ok(meta)
    })
    .and_then(|metas| match metas.is_empty() {
        true => Ok(metas),
        false => {
            shared.fs.sync_folder(&folder).map_err(StoreError::io("sync", &folder)).map(|()| metas)
        }
    });
    if metas.is_err() {
        // Half a flush is no use, and its space may be what is missing.
        locked(&written).iter().for_each(|id| segment::remove_files(&*shared.fs, &folder, *id));
    }
    metas
}

fn senders_of(cut: &Cut, tenant: &str) -> Vec<(Sender, SenderState)> {
    let senders = cut.senders.senders.iter().filter(|(sender, _)| sender.tenant == tenant);
    senders.filter_map(|(sender, state)| Some((sender.clone(), state.clone()?))).collect()
}

fn write_segment(shared: &Shared, cut: &Cut, job: &Job<'_>) -> Result<SegmentMeta> {
    let (batch, overflow_names): (_, BTreeSet<String>) =
        job.combined.batch(job.rows.clone()).map_err(StoreError::segment("sort"))?;
    let name = SegmentName {
        id: shared.new_segment_id(),
        tenant: job.part.key.tenant.to_string(),
        signal: job.part.key.signal.to_owned(),
        received_at_max: job
            .part
            .chunks
            .iter()
            .map(|chunk| chunk.received_at_max)
            .max()
            .unwrap_or(0),
        journal_end: cut.journal_floor,
        replaces: Vec::new(),
        senders: job.senders.clone(),
    };
    let files = segment::build(name, batch, overflow_names)?;
    segment::write_files(&*shared.fs, &shared.segment_folder(), &files)?;
    Ok(files.meta)
}

/// Parts of the same key (from joined cuts) as one.
fn merged_parts(parts: &[Arc<Part>]) -> Vec<Part> {
    let mut merged: Vec<Part> = Vec::new();
    for part in parts {
        match merged.iter_mut().find(|other| other.key == part.key) {
            Some(other) => other.chunks.extend(part.chunks.iter().cloned()),
            None => merged.push(Part::clone(part)),
        }
    }
    merged
}

/// Turns a panic into an error: one bad row must not end the thread that all later rows need.
pub(crate) fn caught<T>(action: &'static str, work: impl FnOnce() -> Result<T>) -> Result<T> {
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(work)).unwrap_or_else(|_| {
        Err(StoreError::segment(action)("the thread panicked; this is a bug, please report it"))
    })
}

/// Runs `work` on every item with some threads; gives the results in order, or the first error.
pub(crate) fn in_parallel<T: Sync, R: Send>(
    threads: usize,
    items: &[T],
    work: impl Fn(&T) -> Result<R> + Sync,
) -> Result<Vec<R>> {
    let next = AtomicUsize::new(0);
    let worker = || {
        let mut results = Vec::new();
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some(item) = items.get(index) else { return results };
            let result = work(item);
            let failed = result.is_err();
            results.push((index, result));
            if failed {
                next.store(items.len(), Ordering::Relaxed);
            }
        }
    };
    let mut results: Vec<(usize, Result<R>)> = std::thread::scope(|scope| {
        let helpers: Vec<_> = (1..threads.min(items.len())).map(|_| scope.spawn(worker)).collect();
        let mut results = worker();
        for helper in helpers {
            match helper.join() {
                Ok(more) => results.extend(more),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        results
    });
    results.sort_by_key(|(index, _)| *index);
    results.into_iter().map(|(_, result)| result).collect()
}
