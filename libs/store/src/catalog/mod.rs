//! The catalog: which segments exist, up to where the journal is in them, and the dedup state.
//!
//! It is read once at the start and written in one transaction a flush, compaction or expiry. Queries never
//! see it; they hold a view.

mod memory;
mod sqlite;

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::path::Path;

use serde::{Deserialize, Serialize};

#[cfg(test)]
pub(crate) use memory::MemoryCatalog;
pub(crate) use sqlite::SqliteCatalog;

use crate::damage::Quarantined;
use crate::deletes::Delete;
use crate::error::Result;
use crate::ledger::Counters;
use crate::segment::{SegmentId, SegmentMeta};
use crate::sender::{Agent, AgentState, Forgotten, Sender, SenderChange, SenderState};

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
    /// Senders that are neither in detail nor in their agent's sums.
    #[serde(default)]
    pub(crate) forgotten: Forgotten,
    /// The catalog was made again from footers: which records of the journal are in segments is told by their numbers.
    #[serde(default)]
    pub(crate) rebuilding: bool,
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
    /// Agents with retired epochs.
    pub(crate) agents: Vec<(Agent, AgentState)>,
    /// By id.
    pub(crate) deletes: Vec<Delete>,
    /// Segments that cannot be read, by id.
    pub(crate) quarantined: Vec<Quarantined>,
}

/// One transaction.
#[derive(Clone, Debug, Default)]
pub(crate) struct CatalogChange {
    pub(crate) add: Vec<SegmentMeta>,
    pub(crate) remove: Vec<SegmentId>,
    pub(crate) marks: Marks,
    pub(crate) senders: SenderChange,
    /// Rows that are new or changed, or gone.
    pub(crate) deletes: BTreeMap<u64, Option<Delete>>,
    /// Segments set apart, or let go of.
    pub(crate) quarantined: BTreeMap<SegmentId, Option<Quarantined>>,
}

/// Where the catalog is kept.
pub(crate) trait Catalog: Debug + Send {
    /// Everything, once at the start.
    fn load(&mut self) -> Result<CatalogState>;
    /// All of the change or nothing, durably.
    fn apply(&mut self, change: &CatalogChange) -> Result<()>;
    /// All of it, as it is now, into a new file that [`SqliteCatalog`] can open.
    fn copy_to(&mut self, path: &Path) -> Result<()>;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::Counters;
    use crate::sender::SenderAccount;

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
            forgotten: Forgotten { senders: 4, ..Forgotten::default() },
            rebuilding: false,
        };
        let state = SenderState { next: 9, records_accepted: 90, ..SenderState::default() };
        let mut agent = AgentState::default();
        agent.retire("old", SenderAccount { records_accepted: 8, ..SenderAccount::default() });
        let change = CatalogChange {
            marks: marks.clone(),
            senders: SenderChange {
                senders: BTreeMap::from([(sender.clone(), Some(state))]),
                agents: BTreeMap::from([(sender.of_agent(), Some(agent.clone()))]),
                forgotten: marks.forgotten,
            },
            ..CatalogChange::default()
        };
        let delete = |id, rows_removed| Delete {
            id,
            tenant: "t".into(),
            signal: "logs".into(),
            query: "correlation:c".into(),
            time: (i64::MIN, i64::MAX),
            before_seq: 100,
            created_at: 7,
            done_at: None,
            rows_before: Some(100),
            rows_hidden: None,
            rows_removed,
            segments_rewritten: 0,
            segments_dropped: 0,
        };
        let mut change = change;
        change.deletes = [(1, Some(delete(1, 0))), (2, Some(delete(2, 0)))].into();
        catalog.apply(&change).unwrap();
        change.deletes = [(1, None), (2, Some(delete(2, 5))), (10, Some(delete(10, 0)))].into();
        catalog.apply(&change).unwrap();
        drop(catalog);
        let mut catalog = open();
        let state = catalog.load().unwrap();
        assert_eq!(state.store_id, empty.store_id);
        assert_eq!(state.deletes, [delete(2, 5), delete(10, 0)]);
        assert_eq!(state.marks, marks);
        assert_eq!((state.senders[0].1.next, state.senders[0].1.records_accepted), (9, 90));
        assert_eq!(state.agents, [(sender.of_agent(), agent)]);
        let gone = SenderChange {
            senders: BTreeMap::from([(sender.clone(), None)]),
            agents: BTreeMap::from([(sender.of_agent(), None)]),
            forgotten: marks.forgotten,
        };
        catalog.apply(&CatalogChange { marks, senders: gone, ..CatalogChange::default() }).unwrap();
        let state = open().load().unwrap();
        assert!(state.senders.is_empty() && state.agents.is_empty());
    }

    #[test]
    fn rows_without_accounts_are_read_as_nothing_counted_yet() {
        let old =
            r#"{"next":9,"ahead":[11],"lost":2,"last_received_at":5,"checksums":[[8,1],[11,2]]}"#;
        let state: SenderState = serde_json::from_str(old).unwrap();
        let account = SenderAccount { lost_batches: 2, ..SenderAccount::default() };
        assert_eq!((state.next, state.account(), state.last_gap), (9, account, None));
        let old = r#"{"journal_floor":3,"next_record_seq":1,"next_segment_id":1,"counters":{"duplicate":0,"rejected":{},"accepted":0,"expired":0,"quarantined":0,"timestamps_replaced":0}}"#;
        let marks: Marks = serde_json::from_str(old).unwrap();
        assert_eq!((marks.journal_floor, marks.forgotten), (3, Forgotten::default()));
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
