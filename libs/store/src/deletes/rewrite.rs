//! The part of the compaction thread that removes what deletes have hidden.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use file_system::failpoint;

use super::{ActiveDelete, count_if_open, register};
use crate::allowance::Unbounded;
use crate::chunk::Chunk;
use crate::combine::Combined;
use crate::compact::{self, Swap};
use crate::error::{Result, StoreError};
use crate::evaluate::Columns;
use crate::flush::caught;
use crate::segment::{
    self, RowBitmap, RowSet, Segment, SegmentBuilder, SegmentFiles, SegmentId, SegmentName,
};
use crate::store::{Shared, locked};
use crate::view::Source;

/// How long deletes keep merges and retention waiting; one segment is written however long it takes.
const TURN: Duration = Duration::from_secs(1);
/// How soon to look again whether the last query that reads an old segment has ended.
const UNLINK_TICK: Duration = Duration::from_millis(100);
/// How soon to try again what failed.
const RETRY: Duration = Duration::from_secs(5);

/// Gets the active deletes on; says how soon to look again. The caller holds `compacting`.
pub(crate) fn work(shared: &Arc<Shared>) -> Duration {
    let ready = ready(shared);
    if ready.is_empty() {
        return RETRY;
    }
    let (failed, more) = rewrite_some(shared, &ready);
    let trouble = failed.first().map(|id| {
        format!("what delete {id} hides cannot be removed; GET /api/v1/deletes/{id} says why")
    });
    shared.trouble("deletes", trouble);
    if more {
        return Duration::ZERO;
    }
    let mut again = RETRY;
    for delete in ready.iter().filter(|delete| !failed.contains(&delete.id)) {
        let trouble = match caught("rewrite", || finish(shared, delete.id)) {
            Ok(None) => continue,
            Ok(Some(waits_for)) => {
                again = UNLINK_TICK;
                waits_for
            }
            Err(error) => error.to_string(),
        };
        locked(&shared.deletes).troubles.insert(delete.id, trouble);
    }
    again
}

/// Rewrites segments for one turn; gives the deletes that met one which cannot be rewritten, and whether there are
/// more to be looked into.
fn rewrite_some(shared: &Arc<Shared>, ready: &[Arc<ActiveDelete>]) -> (BTreeSet<u64>, bool) {
    let started = Instant::now();
    let concerned = |segment: &Arc<Segment>| -> Vec<Arc<ActiveDelete>> {
        ready.iter().filter(|delete| delete.concerns(segment.meta())).cloned().collect()
    };
    let mut segments = shared.view().segments().to_vec();
    segments.retain(|segment| !concerned(segment).is_empty());
    let mut failed = BTreeSet::new();
    while let Some(segment) = segments.pop() {
        let deletes = concerned(&segment);
        match caught("rewrite", || rewrite(shared, segment, &deletes)) {
            // Only after one that went well: else those that fail would keep the others from ever having a turn.
            Ok(()) if started.elapsed() >= TURN && !segments.is_empty() => return (failed, true),
            Ok(()) => {}
            Err(error) => {
                tracing::error!(%error, "cannot remove what was deleted; it stays hidden");
                let mut register = locked(&shared.deletes);
                for delete in deletes {
                    register.troubles.insert(delete.id, error.to_string());
                    failed.insert(delete.id);
                }
            }
        }
    }
    (failed, false)
}

/// The deletes whose records are in segments only, and counted.
fn ready(shared: &Shared) -> Vec<Arc<ActiveDelete>> {
    // Read before the view: what was flushed by then is in it.
    let flushed = shared.flushed_cuts.load(Ordering::Acquire);
    let view = shared.view();
    let mut ready = view.deletes.clone();
    ready.retain(|delete| {
        if delete.cut >= flushed {
            return false;
        }
        match caught("count rows of", || count_if_open(shared, &view, delete)) {
            Ok(()) => true,
            Err(error) => {
                tracing::error!(id = delete.id, %error, "cannot count what a delete hides");
                locked(&shared.deletes).troubles.insert(delete.id, error.to_string());
                false
            }
        }
    });
    ready
}

/// Takes the records of some deletes, oldest first, out of a segment.
fn rewrite(
    shared: &Arc<Shared>,
    segment: Arc<Segment>,
    deletes: &[Arc<ActiveDelete>],
) -> Result<()> {
    let mut hidden = RowBitmap::empty(segment.meta().rows);
    let mut deleted = BTreeMap::new();
    let source = Source::Segment(Arc::clone(&segment));
    for delete in deletes {
        let rows = segment.select(
            &delete.condition(&source),
            i64::MIN..i64::MAX,
            None,
            &Unbounded::allowance(),
        )?;
        let before = hidden.len();
        (0..rows.len()).for_each(|place| hidden.insert(rows.row(place)));
        deleted.insert(delete.id, (hidden.len() - before) as u64);
    }
    drop(source);
    let old = [segment];
    if hidden.is_empty() {
        let id = old[0].meta().id;
        shared.change_view(|pieces| {
            let looked = |delete: &&mut Arc<ActiveDelete>| deleted.contains_key(&delete.id);
            for delete in pieces.deletes.iter_mut().filter(looked) {
                Arc::make_mut(delete).clean.insert(id);
            }
        });
        return Ok(());
    }
    if hidden.len() == old[0].meta().rows as usize {
        return compact::swap(shared, Swap { old: &old, deleted, ..Swap::default() });
    }
    let files = files_without(shared, &old[0], &hidden)?;
    compact::write(shared, &files)?;
    failpoint::reach("delete.rewritten");
    let swap = Swap { add: vec![files.meta], old: &old, deleted, ..Swap::default() };
    compact::swap(shared, swap)
}

/// The segment again, without some of its rows. Columns of attributes that only those had stay, empty: other segments of
/// the same flush have them as well.
fn files_without(
    shared: &Shared,
    segment: &Arc<Segment>,
    hidden: &RowBitmap,
) -> Result<SegmentFiles> {
    let meta = segment.meta();
    let mut kept = hidden.clone();
    kept.invert();
    let windows: Vec<RowSet> = (0..meta.rows)
        .step_by(compact::WINDOW_ROWS)
        .map(|start| kept.rows_in(start..start.saturating_add(compact::WINDOW_ROWS as u32)))
        .filter(|rows| !rows.is_empty())
        .map(RowSet::List)
        .collect();
    let (schema, indexed) = compact::merged_schema(std::slice::from_ref(segment))?;
    let name = SegmentName {
        id: shared.new_segment_id(),
        tenant: meta.tenant.clone(),
        signal: meta.signal.clone(),
        received_at_max: meta.received_at_max,
        journal_end: meta.journal_end,
        replaces: compact::replaced_by(shared, std::slice::from_ref(segment))?,
        senders: compact::senders(std::slice::from_ref(segment))?,
    };
    let mut builder = SegmentBuilder::new(name, &schema, indexed)?;
    let names = Arc::new(meta.overflow_names.clone());
    for rows in &windows {
        let batch = segment.read(rows, &Columns::All, &Unbounded::allowance())?;
        let chunk = Chunk::new(batch, Arc::clone(&names), meta.received_at_max);
        let chunks = [Arc::new(chunk)];
        let combined = Combined::with_fields(&chunks, &schema);
        let (batch, names) =
            combined.batch(0..combined.rows()).map_err(StoreError::segment("rewrite"))?;
        builder.add(&compact::to_schema(batch, &schema)?, names)?;
    }
    builder.finish()
}

/// Ends a delete if no segment has records of it and no file of an old one is left; else says what it waits for.
fn finish(shared: &Shared, id: u64) -> Result<Option<String>> {
    let view = shared.view();
    let Some(delete) = view.deletes.iter().find(|delete| delete.id == id) else {
        return Ok(None);
    };
    if view.segments().iter().any(|segment| delete.concerns(segment.meta())) {
        return Ok(Some("more segments are to be looked into".to_owned()));
    }
    let apart = view.quarantined.iter().find(|apart| delete.concerns(&apart.meta));
    if let Some(apart) = apart {
        return Ok(Some(format!(
            "segment {}, which cannot be read and is in quarantine/, may have records of it; look at its files, then \
             remove them and start again",
            apart.meta.id.0
        )));
    }
    let clean_from = delete.clean_from.unwrap_or(SegmentId(shared.next_segment_id()));
    let first_time = delete.clean_from.is_none();
    drop(view);
    if first_time {
        shared.change_view(|pieces| {
            for delete in pieces.deletes.iter_mut().filter(|delete| delete.id == id) {
                Arc::make_mut(delete).clean_from = Some(clean_from);
            }
        });
    }
    let folder = shared.segment_folder();
    let listed = shared.fs.list(&folder).map_err(StoreError::io("list", &folder))?;
    // Taken after the list, so that what a flush publishes meanwhile is known.
    let known: BTreeSet<SegmentId> =
        shared.view().segments().iter().map(|segment| segment.meta().id).collect();
    let left = listed.into_iter().find(|(name, _)| {
        segment::segment_of_file(name.strip_suffix(".tmp").unwrap_or(name))
            .is_some_and(|segment| segment < clean_from && !known.contains(&segment))
    });
    if let Some((name, _)) = left {
        return Ok(Some(format!(
            "file {name} of an old segment is still there; it goes when the last query that reads it ends, or \
             with the next start"
        )));
    }
    for folder in [folder, shared.journal_folder()] {
        shared.fs.sync_folder(&folder).map_err(StoreError::io("sync", &folder))?;
    }
    register::end(shared, id)?;
    Ok(None)
}
