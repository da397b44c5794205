//! The catalog's model: the same promises, in memory. Clones share their content, as restarts share a disk.
#![cfg(test)]

use std::path::Path;
use std::sync::{Arc, Mutex};

use super::{Catalog, CatalogChange, CatalogState, SqliteCatalog};
use crate::error::Result;
use crate::sender::SenderChange;

#[derive(Clone, Debug, Default)]
pub(crate) struct MemoryCatalog(Arc<Mutex<CatalogState>>);

impl Catalog for MemoryCatalog {
    fn load(&mut self) -> Result<CatalogState> {
        let mut state = self.0.lock().expect("no test panics while it holds this");
        if state.generation == 0 {
            state.generation = 1;
            state.store_id = "memory".into();
        }
        Ok(state.clone())
    }

    fn apply(&mut self, change: &CatalogChange) -> Result<()> {
        let mut state = self.0.lock().expect("no test panics while it holds this");
        state.segments.retain(|segment| !change.remove.contains(&segment.id));
        state.segments.extend(change.add.iter().cloned());
        let SenderChange { senders, agents, .. } = change.senders.clone();
        state.senders.retain(|(sender, _)| !senders.contains_key(sender));
        state
            .senders
            .extend(senders.into_iter().filter_map(|(sender, state)| Some((sender, state?))));
        state.agents.retain(|(agent, _)| !agents.contains_key(agent));
        state.agents.extend(agents.into_iter().filter_map(|(agent, state)| Some((agent, state?))));
        state.marks = change.marks.clone();
        Ok(())
    }

    fn copy_to(&mut self, path: &Path) -> Result<()> {
        let CatalogState { segments, senders, agents, marks, .. } = self.load()?;
        let senders = SenderChange {
            senders: senders.into_iter().map(|(sender, state)| (sender, Some(state))).collect(),
            agents: agents.into_iter().map(|(agent, state)| (agent, Some(state))).collect(),
            forgotten: marks.forgotten,
        };
        let change = CatalogChange { add: segments, remove: Vec::new(), marks, senders };
        SqliteCatalog::open(path)?.apply(&change)
    }
}
