//! Bounds of the store, all in one place.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::retention::Retention;

/// How large and how old things may get.
#[derive(Clone, Debug, PartialEq)]
pub struct StoreOptions {
    /// Memory for requests in flight and parts; beyond it new batches are refused.
    pub memory_bytes_max: usize,
    /// Parts of this size together are flushed.
    pub flush_bytes: usize,
    /// … or when the oldest record in them is this old.
    pub flush_age: Duration,
    /// Rows of a segment that a flush writes.
    pub segment_rows: usize,
    /// Rows of a segment that compaction makes at most.
    pub compacted_rows: usize,
    /// Segments of like size that are merged at once.
    pub compaction_width: usize,
    /// Merges and expiry happen by themselves; if not, only when [`Store::compact_all`](crate::Store::compact_all) is
    /// called.
    pub maintenance: bool,
    /// Segments older than this go; `None` keeps them.
    pub retention_age: Option<Duration>,
    /// The oldest segments go while all together are larger; `None` keeps them.
    pub retention_bytes: Option<u64>,
    /// What is kept of single tenants.
    pub retention_by_tenant: BTreeMap<String, Retention>,
    /// Memory of footers of segments that stay open, and of roll-ups that stay unpacked, each; what was not asked for
    /// the longest is closed.
    pub open_bytes: usize,
    /// Indexes of segments that stay mapped.
    pub mapped_bytes: usize,
    /// Preallocated length of a journal file; a longer entry gets a file of its own size.
    pub journal_file_bytes: u64,
    /// Days with a part of their own; further ones share one.
    pub open_parts_max: usize,
    /// Threads that build segments.
    pub build_threads: usize,
}

impl Default for StoreOptions {
    fn default() -> Self {
        Self {
            memory_bytes_max: 192 << 20,
            flush_bytes: 64 << 20,
            flush_age: Duration::from_secs(30),
            segment_rows: 100_000,
            compacted_rows: 400_000,
            compaction_width: 4,
            maintenance: true,
            retention_age: None,
            retention_bytes: None,
            retention_by_tenant: BTreeMap::new(),
            open_bytes: 32 << 20,
            mapped_bytes: 512 << 20,
            journal_file_bytes: 64 << 20,
            open_parts_max: 64,
            build_threads: std::thread::available_parallelism().map_or(2, usize::from).min(8),
        }
    }
}
