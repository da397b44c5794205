//! Deletes as the store's users see them.

use std::sync::Arc;
use std::sync::mpsc;

use super::{ActiveDelete, Delete, DeleteCounts, DeleteRequest, DeleteStatus, count_if_open};
use crate::allowance::Unbounded;
use crate::commit::Command;
use crate::error::{Result, StoreError};
use crate::store::{Store, locked};

impl Store {
    /// Hides the records at once and durably; they are removed in the background. What was acknowledged
    /// before is covered, what comes later is not.
    ///
    /// # Errors
    /// [`StoreError::TooManyDeletes`], or when the catalog cannot be written; then nothing is hidden.
    pub fn delete(&self, request: DeleteRequest) -> Result<DeleteStatus> {
        let (done, wait) = mpsc::sync_channel(1);
        self.commands
            .send(Command::Delete(Box::new(request), done))
            .map_err(|_| StoreError::Closed)?;
        let (id, view) = wait.recv().map_err(|_| StoreError::Closed)??;
        if let Some(delete) = view.deletes.iter().find(|delete| delete.id == id)
            && let Err(error) = count_if_open(&self.shared, &view, delete)
        {
            // It hides all the same; the compaction thread counts again.
            locked(&self.shared.deletes).troubles.insert(id, error.to_string());
        }
        drop(view);
        self.status(id, |_| true).ok_or(StoreError::Closed)
    }

    /// What a delete would hide now.
    ///
    /// # Errors
    /// When a segment cannot be read.
    pub fn count_for_delete(&self, request: &DeleteRequest) -> Result<DeleteCounts> {
        let view = self.view();
        let (sources, _) = view.sources(&request.tenant, request.signal, request.time.clone());
        let mut counts = DeleteCounts::default();
        for source in sources {
            counts.before +=
                source.count(&ql::Filter::All, request.time.clone(), &Unbounded::allowance())?
                    as u64;
            counts.matched +=
                source.count(&request.filter, request.time.clone(), &Unbounded::allowance())?
                    as u64;
        }
        Ok(counts)
    }

    /// A tenant's deletes, the newest first, at most so many.
    pub fn deletes(&self, tenant: &str, limit: usize) -> Vec<DeleteStatus> {
        let ids: Vec<u64> = locked(&self.shared.deletes)
            .deletes
            .values()
            .rev()
            .filter(|delete| delete.tenant == tenant)
            .take(limit)
            .map(|delete| delete.id)
            .collect();
        ids.into_iter().filter_map(|id| self.status(id, |_| true)).collect()
    }

    /// One delete of a tenant.
    pub fn delete_status(&self, tenant: &str, id: u64) -> Option<DeleteStatus> {
        self.status(id, |delete| delete.tenant == tenant)
    }

    /// How many records there are that a delete of a tenant was to remove, hidden or not, by looking at all
    /// segments and parts again: 0 once it is done. `None` if there is no such delete.
    ///
    /// # Errors
    /// When a segment cannot be read.
    pub fn rows_left_of_delete(&self, tenant: &str, id: u64) -> Result<Option<u64>> {
        let Some(status) = self.delete_status(tenant, id) else { return Ok(None) };
        let delete = ActiveDelete::new(&status.delete, 0)?;
        let view = self.view();
        let (sources, _) =
            view.sources_without(&delete.tenant, &delete.signal, delete.time.clone(), |_| false);
        let mut left = 0;
        for source in sources {
            left += source.count(
                &delete.condition(&source),
                i64::MIN..i64::MAX,
                &Unbounded::allowance(),
            )? as u64;
        }
        Ok(Some(left))
    }

    /// Deletes that are not done.
    pub fn active_deletes(&self) -> usize {
        self.view().deletes.len()
    }

    fn status(&self, id: u64, wanted: impl Fn(&Delete) -> bool) -> Option<DeleteStatus> {
        // Taken first: a delete that ends meanwhile is done in the register.
        let view = self.view();
        let register = locked(&self.shared.deletes);
        let delete = register.deletes.get(&id).filter(|delete| wanted(delete))?.clone();
        let trouble = register.troubles.get(&id).filter(|_| delete.done_at.is_none()).cloned();
        drop(register);
        let active: Option<&Arc<ActiveDelete>> =
            view.deletes.iter().find(|active| active.id == id && delete.done_at.is_none());
        let segments_left = active.map_or(0, |active| {
            let concerned = |segment: &&Arc<crate::Segment>| active.concerns(segment.meta());
            let apart = view.quarantined.iter().filter(|apart| active.concerns(&apart.meta));
            (view.segments().iter().filter(concerned).count() + apart.count()) as u64
        });
        Some(DeleteStatus { delete, segments_left, trouble })
    }
}
