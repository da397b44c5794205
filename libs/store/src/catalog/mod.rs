//! The catalog: which segments exist, up to where the journal is in them, and the dedup state.
//!
//! It is read once at the start and written in one transaction a flush, compaction or expiry. Queries never
//! see it; they hold a view.

mod memory;
mod sqlite;

use std::fmt::Debug;

use serde::{Deserialize, Serialize};

#[cfg(test)]
pub(crate) use memory::MemoryCatalog;
pub(crate) use sqlite::SqliteCatalog;

use crate::dedup::{Sender, SenderState};
use crate::error::Result;
use crate::ledger::Counters;
use crate::segment::{SegmentId, SegmentMeta};

/// The few values that are single.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Marks {
    /// Journal files below this id are in segments.
    pub(crate) journal_floor: u64,
    /// No record has this number or a higher one, but for those in the journal.
    pub(crate) next_record_seq: u64,
    /// No segment has this id or a higher one.
    pub(crate) next_segment_id: u64,
    /// The account at the journal's floor.
    pub(crate) counters: Counters,
}

/// Everything the catalog knows.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct CatalogState {
    /// Made with the data folder.
    pub(crate) store_id: String,
    /// Higher after each restore from a backup.
    pub(crate) generation: u64,
    pub(crate) marks: Marks,
    pub(crate) segments: Vec<SegmentMeta>,
    pub(crate) senders: Vec<(Sender, SenderState)>,
}

/// One transaction.
#[derive(Clone, Debug, Default)]
pub(crate) struct CatalogChange {
    pub(crate) add: Vec<SegmentMeta>,
    pub(crate) remove: Vec<SegmentId>,
    pub(crate) marks: Marks,
    pub(crate) senders: Vec<(Sender, SenderState)>,
    pub(crate) forget: Vec<Sender>,
}

/// Where the catalog is kept.
pub(crate) trait Catalog: Debug + Send {
    /// Everything, once at the start.
    fn load(&mut self) -> Result<CatalogState>;
    /// All of the change or nothing, durably.
    fn apply(&mut self, change: &CatalogChange) -> Result<()>;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::Counters;

    fn check(mut open: impl FnMut() -> Box<dyn Catalog>) {
        let mut catalog = open();
        let empty = catalog.load().unwrap();
        assert!(!empty.store_id.is_empty() && empty.generation == 1 && empty.segments.is_empty());
        let sender = Sender { tenant: "t".into(), agent: "a".into(), epoch: "e".into() };
        let marks = Marks {
            journal_floor: 3,
            next_record_seq: 100,
            next_segment_id: 2,
            counters: Counters { accepted: 100, ..Counters::default() },
        };
        let change = CatalogChange {
            marks: marks.clone(),
            senders: vec![(sender.clone(), SenderState { next: 9, ..SenderState::default() })],
            ..CatalogChange::default()
        };
        catalog.apply(&change).unwrap();
        drop(catalog);
        let mut catalog = open();
        let state = catalog.load().unwrap();
        assert_eq!(state.store_id, empty.store_id);
        assert_eq!(state.marks, marks);
        assert_eq!(state.senders[0].1.next, 9);
        catalog
            .apply(&CatalogChange { marks, forget: vec![sender], ..CatalogChange::default() })
            .unwrap();
        assert!(open().load().unwrap().senders.is_empty());
    }

    #[test]
    fn what_was_applied_is_loaded_after_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("catalog.db");
        check(|| Box::new(SqliteCatalog::open(&path).unwrap()));
        let memory = MemoryCatalog::default();
        check(|| Box::new(memory.clone()));
    }
}
