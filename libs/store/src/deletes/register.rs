//! All deletes, active and done: how they get into the catalog, change there, and into the view.

use std::collections::BTreeMap;
use std::sync::Arc;

use file_system::failpoint;
use record::Timestamp;

use super::kept;
use super::{ACTIVE_MAX, ActiveDelete, DONE_MAX, Delete, DeleteCounts, DeleteRequest};
use crate::catalog::CatalogChange;
use crate::compact::Swap;
use crate::error::{Result, StoreError};
use crate::store::{Shared, locked};
use crate::view::View;

/// What the catalog has of deletes, and what keeps those that are not done.
#[derive(Debug, Default)]
pub(crate) struct Register {
    pub(crate) deletes: BTreeMap<u64, Delete>,
    /// Why a delete does not get on.
    pub(crate) troubles: BTreeMap<u64, String>,
}

/// The register and the active deletes that the catalog has at a start.
///
/// # Errors
/// When the query of one that is not done cannot be read any more: its records must not come back.
pub(crate) fn restore(deletes: Vec<Delete>) -> Result<(Register, Vec<Arc<ActiveDelete>>)> {
    let open = deletes.iter().filter(|delete| delete.done_at.is_none());
    // Which cut takes all that the journal had is known after the replay.
    let active: Result<Vec<_>> =
        open.map(|delete| ActiveDelete::new(delete, u64::MAX).map(Arc::new)).collect();
    let deletes = deletes.into_iter().map(|delete| (delete.id, delete)).collect();
    Ok((Register { deletes, ..Register::default() }, active?))
}

/// Tells all deletes, which were there at the start, the cut that takes what the journal had.
pub(crate) fn wait_for_cut(deletes: &mut [Arc<ActiveDelete>], cut: u64) {
    deletes.iter_mut().for_each(|delete| Arc::make_mut(delete).cut = cut);
}

/// Makes a delete durable and lets it hide; called on the commit thread, between two groups.
pub(crate) fn record(
    shared: &Shared,
    request: DeleteRequest,
    before_seq: u64,
    cut: u64,
) -> Result<(u64, Arc<View>)> {
    if shared.view().deletes.len() >= ACTIVE_MAX {
        return Err(StoreError::TooManyDeletes { limit: ACTIVE_MAX });
    }
    let id = locked(&shared.deletes).deletes.last_key_value().map_or(1, |(last, _)| last + 1);
    let delete = Delete {
        id,
        tenant: request.tenant.to_string(),
        signal: request.signal.to_owned(),
        query: request.query,
        time: (request.time.start, request.time.end),
        before_seq,
        created_at: Timestamp::now().0,
        done_at: None,
        rows_before: None,
        rows_hidden: None,
        rows_removed: 0,
        segments_rewritten: 0,
        segments_dropped: 0,
    };
    let active = Arc::new(ActiveDelete::new(&delete, cut)?);
    kept::keep(&*shared.fs, &shared.folder, &delete)?;
    failpoint::reach("delete.kept");
    let marks = locked(&shared.marks);
    if let Err(error) = apply(shared, marks.clone(), [(id, Some(delete))].into()) {
        kept::let_go(&*shared.fs, &shared.folder, id);
        // Nobody knows whether it is in the catalog: what was refused must not hide after the next start.
        let _ = apply(shared, marks.clone(), [(id, None)].into());
        return Err(error);
    }
    drop(marks);
    failpoint::reach("delete.recorded");
    shared.change_view(|pieces| pieces.deletes.push(active));
    Ok((id, shared.view()))
}

/// Changes a delete in the catalog. The marks are held, so that no two changes of one delete meet.
fn change(shared: &Shared, id: u64, change: impl FnOnce(&mut Delete)) -> Result<()> {
    let marks = locked(&shared.marks);
    let Some(mut delete) = locked(&shared.deletes).deletes.get(&id).cloned() else {
        return Ok(());
    };
    change(&mut delete);
    apply(shared, marks.clone(), [(id, Some(delete))].into())
}

/// The caller holds the marks.
fn apply(
    shared: &Shared,
    marks: crate::catalog::Marks,
    deletes: BTreeMap<u64, Option<Delete>>,
) -> Result<()> {
    let change = CatalogChange { marks, deletes, ..CatalogChange::default() };
    shared.apply(&change)?;
    locked(&shared.deletes).take(change.deletes);
    Ok(())
}

impl Register {
    /// Takes over what was written to the catalog.
    pub(crate) fn take(&mut self, changed: BTreeMap<u64, Option<Delete>>) {
        for (id, delete) in changed {
            match delete {
                Some(delete) => self.deletes.insert(id, delete),
                None => self.deletes.remove(&id),
            };
        }
    }
}

/// Counts what a delete hides, if that has not been done yet.
///
/// # Errors
/// When a segment cannot be read or the catalog cannot be written.
pub(crate) fn count_if_open(shared: &Shared, view: &View, delete: &ActiveDelete) -> Result<()> {
    let open = |delete: &Delete| delete.rows_hidden.is_none();
    if !locked(&shared.deletes).deletes.get(&delete.id).is_some_and(open) {
        return Ok(());
    }
    let DeleteCounts { before, matched } = delete.count(view)?;
    change(shared, delete.id, |delete| {
        if open(delete) {
            (delete.rows_before, delete.rows_hidden) = (Some(before), Some(matched));
        }
    })
}

/// The rows of the catalog that a swap of segments changes. The caller holds the marks.
pub(crate) fn changed_by(shared: &Shared, swap: &Swap<'_>) -> BTreeMap<u64, Option<Delete>> {
    let register = locked(&shared.deletes);
    let changed = swap.deleted.iter().filter(|(_, rows)| **rows > 0).filter_map(|(id, rows)| {
        let mut delete = register.deletes.get(id)?.clone();
        delete.rows_removed += rows;
        match swap.add.is_empty() {
            true => delete.segments_dropped += 1,
            false => delete.segments_rewritten += 1,
        }
        Some((*id, Some(delete)))
    });
    changed.collect()
}

/// What active deletes know of the segments that a swap puts in.
pub(crate) fn after_swap(deletes: &mut [Arc<ActiveDelete>], swap: &Swap<'_>) {
    for delete in deletes {
        let clean = swap.deleted.contains_key(&delete.id)
            || !swap.old.iter().any(|segment| delete.concerns(segment.meta()));
        if clean && !swap.add.is_empty() {
            Arc::make_mut(delete).clean.extend(swap.add.iter().map(|meta| meta.id));
        }
    }
}

/// The last of its records is gone: it hides no more, and is kept as proof.
pub(super) fn end(shared: &Shared, id: u64) -> Result<()> {
    let marks = locked(&shared.marks);
    let mut changed = BTreeMap::new();
    {
        let register = locked(&shared.deletes);
        let Some(mut delete) = register.deletes.get(&id).cloned() else { return Ok(()) };
        delete.done_at = Some(Timestamp::now().0);
        changed.insert(id, Some(delete));
        let done = register.deletes.values().filter(|delete| delete.done_at.is_some());
        let done: Vec<u64> = done.map(|delete| delete.id).collect();
        let too_many = (done.len() + 1).saturating_sub(DONE_MAX);
        changed.extend(done.into_iter().take(too_many).map(|oldest| (oldest, None)));
    }
    apply(shared, marks.clone(), changed)?;
    drop(marks);
    failpoint::reach("delete.done");
    kept::let_go(&*shared.fs, &shared.folder, id);
    locked(&shared.deletes).troubles.remove(&id);
    shared.change_view(|pieces| pieces.deletes.retain(|delete| delete.id != id));
    tracing::info!(id, "delete is done");
    Ok(())
}
