//! The catalog's model: the same promises, in memory, over the same faults as the model of files. Clones share
//! their content, as restarts share a disk.
#![cfg(test)]

use std::io::ErrorKind;
use std::path::Path;
use std::sync::{Arc, Mutex};

use file_system::ModelFileSystem;

use super::{Catalog, CatalogChange, CatalogState, SqliteCatalog};
use crate::error::{Result, StoreError};
use crate::sender::SenderChange;

/// A transaction whose commit failed has happened or not: which of both shows when the next process opens it, unless
/// a later one succeeded, which is built on the state before.
#[derive(Clone, Debug, Default)]
pub(crate) struct MemoryCatalog {
    disk: Arc<Mutex<Disk>>,
    /// Whose faults it meets, if any.
    fs: Option<ModelFileSystem>,
}

#[derive(Debug, Default)]
struct Disk {
    committed: CatalogState,
    /// What it would be if the commit that failed had happened.
    in_doubt: Option<CatalogState>,
    /// The next commit fails.
    fails: bool,
}

impl MemoryCatalog {
    pub(crate) fn new(fs: ModelFileSystem) -> Self {
        Self { disk: Arc::default(), fs: Some(fs) }
    }

    /// Lets the next commit fail, or none.
    pub(crate) fn fail_next(&self, fails: bool) {
        self.disk.lock().expect("no test panics while it holds this").fails = fails;
    }
}

impl Catalog for MemoryCatalog {
    fn load(&mut self) -> Result<CatalogState> {
        let mut disk = self.disk.lock().expect("no test panics while it holds this");
        if let (Some(state), Some(fs)) = (disk.in_doubt.take(), &self.fs)
            && fs.coin()
        {
            disk.committed = state;
        }
        if disk.committed.generation == 0 {
            disk.committed.generation = 1;
            disk.committed.store_id = "memory".into();
        }
        Ok(disk.committed.clone())
    }

    fn apply(&mut self, change: &CatalogChange) -> Result<()> {
        let mut disk = self.disk.lock().expect("no test panics while it holds this");
        let mut state = disk.committed.clone();
        apply_to(&mut state, change);
        let was_dead = self.fs.as_ref().is_some_and(ModelFileSystem::is_dead);
        let fails = std::mem::take(&mut disk.fails);
        let operation = self.fs.as_ref().map_or(Ok(()), ModelFileSystem::other_operation);
        match operation.and_then(|()| if fails { Err(ErrorKind::Other.into()) } else { Ok(()) }) {
            Ok(()) => {
                *disk = Disk { committed: state, in_doubt: None, fails: false };
                Ok(())
            }
            Err(error) => {
                // A dead process tries in vain.
                if !was_dead {
                    disk.in_doubt = Some(state);
                }
                Err(StoreError::catalog("change")(error))
            }
        }
    }

    fn copy_to(&mut self, path: &Path) -> Result<()> {
        let CatalogState { segments, senders, agents, marks, deletes, quarantined, .. } =
            self.load()?;
        let senders = SenderChange {
            senders: senders.into_iter().map(|(sender, state)| (sender, Some(state))).collect(),
            agents: agents.into_iter().map(|(agent, state)| (agent, Some(state))).collect(),
            forgotten: marks.forgotten,
        };
        let change = CatalogChange {
            add: segments,
            remove: Vec::new(),
            marks,
            senders,
            deletes: deletes.into_iter().map(|delete| (delete.id, Some(delete))).collect(),
            quarantined: quarantined
                .into_iter()
                .map(|apart| (apart.meta.id, Some(apart)))
                .collect(),
        };
        SqliteCatalog::open(path)?.apply(&change)
    }
}

fn apply_to(state: &mut CatalogState, change: &CatalogChange) {
    state.segments.retain(|segment| !change.remove.contains(&segment.id));
    state.segments.extend(change.add.iter().cloned());
    let SenderChange { senders, agents, .. } = change.senders.clone();
    state.senders.retain(|(sender, _)| !senders.contains_key(sender));
    state.senders.extend(senders.into_iter().filter_map(|(sender, state)| Some((sender, state?))));
    state.agents.retain(|(agent, _)| !agents.contains_key(agent));
    state.agents.extend(agents.into_iter().filter_map(|(agent, state)| Some((agent, state?))));
    state.deletes.retain(|delete| !change.deletes.contains_key(&delete.id));
    state.deletes.extend(change.deletes.values().flatten().cloned());
    state.deletes.sort_by_key(|delete| delete.id);
    state.quarantined.retain(|segment| !change.quarantined.contains_key(&segment.meta.id));
    state.quarantined.extend(change.quarantined.values().flatten().cloned());
    state.marks = change.marks.clone();
}
