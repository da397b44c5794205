//! How alerting asks: a query over a range of time, answered by whoever owns the records.

use serde_json::{Map, Value};

/// Rows or records that were found.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Answer {
    /// As the query service gives them out: a record has `record_seq` and `attributes`, a row its columns.
    pub rows: Vec<Map<String, Value>>,
    /// Why it is not the whole answer.
    pub partial: Option<String>,
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct RunError(pub String);

/// Runs queries.
pub trait QueryRunner {
    /// Runs `query` over the records from `from` (inclusive) until `until` (exclusive), nanoseconds since 1970; `limit`
    /// rows or records at most. Blocks.
    ///
    /// # Errors
    /// When it cannot be run.
    fn run(&self, query: &str, from: i64, until: i64, limit: usize) -> Result<Answer, RunError>;
}
