//! Deletes: records that match a filter are hidden at once and removed in the background, with proof.
//!
//! ```text
//! commit thread   a file and a row in the catalog, then a view that hides ─▶ counted ─▶ answered
//!                 a cut, so that the records leave parts and journal
//! compaction      each segment that has some of them is written without them, or dropped
//!                 the old files are gone, the folder is synced ─▶ done; the row stays as the proof
//! ```
//!
//! A delete is of one tenant, one signal, a range of times, and of records that were there when it was made:
//! those with a `record_seq` below [`Delete::before_seq`], which the commit thread gives out between two
//! groups. So it covers all that was acknowledged before it and nothing that comes later.
//!
//! What must hold: until it is done, a delete hides its records in every view ([`active`]). Nothing is
//! believed of a segment that was not looked at since the start: after a restart each is asked again whether
//! it has records of the delete. A record that several deletes want counts for the oldest of them.

mod active;
mod api;
mod kept;
mod register;
mod rewrite;
#[cfg(test)]
mod tests;

use std::ops::Range;
use std::sync::Arc;

use ql::{Diagnostic, Diagnostics, Filter, Span};
use serde::{Deserialize, Serialize};

pub(crate) use active::{ActiveDelete, screened};
pub(crate) use kept::adopt;
pub(crate) use register::{
    Register, after_swap, changed_by, count_if_open, record, restore, wait_for_cut,
};
pub(crate) use rewrite::work;

/// Deletes that are not done at the same time; each of them is one more test of every record that is read.
pub const ACTIVE_MAX: usize = 100;
/// Deletes that are done and kept as proof; the oldest go.
pub const DONE_MAX: usize = 10_000;
/// Longest filter of a delete in bytes.
pub(crate) const QUERY_BYTES_MAX: usize = 4 << 10;

/// What is to be deleted.
#[derive(Clone, Debug)]
pub struct DeleteRequest {
    pub(crate) tenant: Arc<str>,
    pub(crate) signal: &'static str,
    pub(crate) query: String,
    pub(crate) filter: Filter,
    pub(crate) time: Range<i64>,
}

impl DeleteRequest {
    /// Checks a delete of a tenant's records that match `query`, a filter without stages, and whose time
    /// lies in `time`.
    ///
    /// # Errors
    /// What is wrong with the query. It may not be empty: `*` deletes everything.
    pub fn new(tenant: Arc<str>, query: &str, time: Range<i64>) -> Result<Self, Diagnostics> {
        let wrong = |code, message: &str, help: &str| {
            let all = Span::new(0, query.len().min(QUERY_BYTES_MAX));
            Diagnostics::from(Diagnostic::error(code, all, message).with_help(help))
        };
        if query.len() > QUERY_BYTES_MAX {
            let message = format!("a delete has at most {QUERY_BYTES_MAX} bytes of query");
            return Err(wrong("query_too_long", &message, "make several deletes of it"));
        }
        if query.trim().is_empty() {
            let help = "say `*` if every record is to go";
            return Err(wrong("empty_delete", "a delete without a query", help));
        }
        let parsed = ql::parse(query)?;
        if let Some(stage) = parsed.stages.first() {
            let message = "a delete is of records, and has no stages";
            let error = Diagnostic::error("unexpected_stage", stage.name.span, message);
            return Err(error.with_help("leave out the `|` and what follows it").into());
        }
        let signal = parsed.signal.name();
        Ok(Self { tenant, signal, query: query.trim().to_owned(), filter: parsed.filter, time })
    }
}

/// A delete as the catalog keeps it, from its beginning to long after its end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delete {
    /// Its name; grows by one with each.
    pub id: u64,
    /// Whose records.
    pub tenant: String,
    /// `logs` or `spans`.
    pub signal: String,
    /// The filter as it was given. It stays, and with it what it names.
    pub query: String,
    /// Times of the records, ns: from inclusive, until exclusive.
    pub time: (i64, i64),
    /// Only records with a smaller record_seq.
    pub before_seq: u64,
    /// When it was made, ns.
    pub created_at: i64,
    /// When the last of its records was gone from the disk, ns.
    pub done_at: Option<i64>,
    /// Records of the tenant, signal and times that could be found before it; `None` until they are counted.
    pub rows_before: Option<u64>,
    /// Records that it hid; `None` until they are counted.
    pub rows_hidden: Option<u64>,
    /// Records that it has removed from segments. Fewer than hidden in the end if retention was faster.
    pub rows_removed: u64,
    /// Segments that were written again without its records.
    pub segments_rewritten: u64,
    /// Segments of which nothing was left.
    pub segments_dropped: u64,
}

/// A delete and how far it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeleteStatus {
    /// What the catalog has of it.
    pub delete: Delete,
    /// Segments that may have records of it still.
    pub segments_left: u64,
    /// Why it does not get on.
    pub trouble: Option<String>,
}

impl DeleteStatus {
    /// Whether the last of its records is gone from the disk.
    pub fn is_done(&self) -> bool {
        self.delete.done_at.is_some()
    }
}

/// Counts of a delete that is only thought of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DeleteCounts {
    /// Records of the tenant, signal and times.
    pub before: u64,
    /// Those of them that match.
    pub matched: u64,
}
