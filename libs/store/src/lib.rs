//! The store: from acknowledged batches to rows that can be found again.

mod allowance;
pub mod backup;
mod batches;
mod catalog;
mod chunk;
mod combine;
mod commit;
mod compact;
mod damage;
mod dedup;
mod deletes;
mod error;
mod evaluate;
mod files;
mod flush;
mod journal;
mod ledger;
mod lock;
mod memtable;
mod observed;
mod options;
mod recover;
mod retention;
pub mod schema;
mod segment;
mod sender;
mod shared;
mod store;
mod view;

pub use allowance::{Allowance, BLOCK_ROWS, Held, Stopped, Unbounded};
pub use batches::Batches;
pub use chunk::{BatchBuilder, Chunk, DecodedBatch};
pub use commit::REJECT_REASONS;
pub use damage::{CheckFault, CheckReport, check};
pub use dedup::AgentAccount;
pub use deletes::{
    ACTIVE_MAX as DELETES_ACTIVE_MAX, DONE_MAX as DELETES_DONE_MAX, Delete, DeleteCounts,
    DeleteRequest, DeleteStatus,
};
pub use error::{Result, StoreError};
pub use evaluate::{Columns, fixed_column};
pub use file_system::DiskSpace;
pub use files::StoreFiles;
pub use ledger::{Counters, Ledger};
pub use observed::Work;
pub use options::StoreOptions;
pub use retention::Retention;
pub use segment::{RollUp, RowBitmap, RowSet, Segment, SegmentId, SegmentMeta};
pub use sender::SenderAccount;
pub use store::{Append, Appended, OnAppended, Reservation, Statistics, Store, rejected_by_reason};
pub use view::{Source, View};

#[cfg(test)]
mod tests;
