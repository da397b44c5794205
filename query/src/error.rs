//! Why a query ends without its whole answer.

use ql::Diagnostics;
use store::StoreError;

/// Why a query could not be answered.
#[derive(Debug, thiserror::Error)]
pub enum QueryError {
    /// The query itself is wrong.
    #[error("{rendered}")]
    Query {
        /// The faults with their spans.
        diagnostics: Diagnostics,
        /// The same with the query's lines and carets.
        rendered: String,
    },
    /// A parameter beside the query is wrong.
    #[error("{name}: {detail}")]
    Parameter {
        /// The parameter.
        name: &'static str,
        /// What is wrong and what would be right.
        detail: String,
    },
    /// A stage holds more memory than it may.
    #[error(
        "the query needs more than {limit_bytes} bytes of memory; narrow the time range or the filter"
    )]
    Memory {
        /// The bound.
        limit_bytes: usize,
    },
    /// Time is up.
    #[error("the query took longer than {seconds} seconds; narrow the time range or the filter")]
    Deadline {
        /// The bound.
        seconds: u64,
    },
    /// The client went away.
    #[error("the query was cancelled")]
    Cancelled,
    /// Too many queries run already.
    #[error("too many queries run at the same time; try again in a moment")]
    Busy,
    /// The store could not read something.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl QueryError {
    /// A faulty query.
    pub fn of_query(diagnostics: Diagnostics, query: &str) -> Self {
        let rendered = diagnostics.render(query);
        QueryError::Query { diagnostics, rendered }
    }

    /// The HTTP status for it.
    pub fn status(&self) -> u16 {
        match self {
            QueryError::Query { .. } | QueryError::Parameter { .. } => 400,
            QueryError::Memory { .. } => 422,
            QueryError::Busy => 429,
            QueryError::Deadline { .. } => 504,
            QueryError::Cancelled => 499,
            QueryError::Store(_) => 503,
        }
    }

    /// The stable code for programs.
    pub fn code(&self) -> &'static str {
        match self {
            QueryError::Query { diagnostics, .. } => diagnostics.first().code,
            QueryError::Parameter { .. } => "bad_parameter",
            QueryError::Memory { .. } => "query_memory",
            QueryError::Deadline { .. } => "query_deadline",
            QueryError::Cancelled => "cancelled",
            QueryError::Busy => "too_many_queries",
            QueryError::Store(_) => "store_unreadable",
        }
    }
}
