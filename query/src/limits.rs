//! The bounds of queries, and what is said at the end of every answer.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

/// Bounds of one query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueryLimits {
    /// Wall time.
    pub deadline: Duration,
    /// Memory that it may hold: rows found, columns read, stages, lines on their way to the client.
    pub memory_bytes_max: usize,
    /// Memory that all queries together may hold.
    pub memory_total_bytes_max: usize,
    /// Records that it may give out or sort.
    pub rows_max: usize,
    /// Threads that work on it.
    pub threads: usize,
    /// Queries of single tenants that run or wait at the same time; further ones are refused.
    pub queries_by_tenant: BTreeMap<String, usize>,
}

impl Default for QueryLimits {
    fn default() -> Self {
        Self {
            deadline: Duration::from_secs(30),
            memory_bytes_max: 256 << 20,
            memory_total_bytes_max: 512 << 20,
            rows_max: 1_000_000,
            threads: std::thread::available_parallelism().map_or(2, usize::from).min(8),
            queries_by_tenant: BTreeMap::new(),
        }
    }
}

/// What is said at the end of every answer.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Summary {
    /// Whether everything that matches was looked at and given out, up to the limit that was asked for.
    pub complete: bool,
    /// If not: why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Records or rows given out.
    pub rows: u64,
    /// Rows of an aggregate that the limit cut off.
    #[serde(skip_serializing_if = "is_zero")]
    pub rows_left_out: u64,
    /// Where an answer of records stopped at its limit: the next one goes on `below` it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
    /// Records that matched the filter, as far as was looked.
    pub matched: u64,
    /// Sources (segments and pieces of parts) looked into.
    pub sources_read: u64,
    /// Sources left out because of their times, or because enough newer records were found.
    pub sources_pruned: u64,
    /// Rows of the sources looked into.
    pub rows_in_sources: u64,
    /// Wall time, without the wait.
    pub took_ms: f64,
    /// How long it waited for other queries before it ran.
    pub queued_ms: f64,
    /// What may have been meant.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// A word of advice, such as that there are later records.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "as serde wants it")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}
