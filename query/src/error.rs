//! Why a query ends without its whole answer.

use std::time::Duration;

use ql::Diagnostics;
use store::{Stopped, StoreError};

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
    /// It holds more memory than it may.
    #[error(
        "the query needs more than the {limit_bytes} bytes of memory that `query.memory_max` allows; narrow the time range or the filter, or ask for fewer fields or groups"
    )]
    Memory {
        /// The bound.
        limit_bytes: usize,
    },
    /// All queries hold what they may together, and this one the most.
    #[error(
        "the queries that run together need more than the {limit_bytes} bytes of memory that `query.memory_total` allows, and this one holds the most of it; try again in a moment, or narrow the time range or the filter"
    )]
    MemoryTotal {
        /// The bound.
        limit_bytes: usize,
    },
    /// There is nothing of this name.
    #[error("{0}")]
    NotFound(String),
    /// Time is up.
    #[error(
        "the query took longer than the {after:?} that `query.deadline` allows; narrow the time range or the filter"
    )]
    Deadline {
        /// The bound.
        after: Duration,
    },
    /// The client went away.
    #[error("the query was cancelled")]
    Cancelled,
    /// Too many queries run and wait already.
    #[error("too many queries run and wait at the same time; try again in a moment")]
    Busy,
    /// As the API of another system words it.
    #[error("{message}")]
    Worded {
        /// The HTTP status.
        status: u16,
        /// All that is said.
        message: String,
        /// Whether it is said in JSON.
        in_json: bool,
    },
    /// The store could not read something.
    #[error(transparent)]
    Store(StoreError),
}

impl From<StoreError> for QueryError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Stopped(stopped) => stopped.into(),
            other => QueryError::Store(other),
        }
    }
}

impl From<Stopped> for QueryError {
    fn from(stopped: Stopped) -> Self {
        match stopped {
            Stopped::Cancelled => QueryError::Cancelled,
            Stopped::Deadline { after } => QueryError::Deadline { after },
            Stopped::Memory { limit_bytes } => QueryError::Memory { limit_bytes },
            Stopped::MemoryTotal { limit_bytes } => QueryError::MemoryTotal { limit_bytes },
        }
    }
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
            QueryError::NotFound(_) => 404,
            QueryError::Memory { .. } => 422,
            QueryError::Busy | QueryError::MemoryTotal { .. } => 429,
            QueryError::Deadline { .. } => 504,
            QueryError::Cancelled => 499,
            QueryError::Worded { status, .. } => *status,
            QueryError::Store(_) => 503,
        }
    }

    /// What [`QueryError::code`] gives, but of faults in the query itself, which have more than can be listed here.
    pub(crate) const CODES: [&str; 8] = [
        "bad_parameter",
        "not_found",
        "query_memory",
        "query_memory_total",
        "query_deadline",
        "cancelled",
        "too_many_queries",
        "store_unreadable",
    ];

    /// The stable code for programs.
    pub fn code(&self) -> &'static str {
        match self {
            QueryError::Query { diagnostics, .. } => diagnostics.first().code,
            QueryError::Parameter { .. } => "bad_parameter",
            QueryError::NotFound(_) => "not_found",
            QueryError::Memory { .. } => "query_memory",
            QueryError::MemoryTotal { .. } => "query_memory_total",
            QueryError::Deadline { .. } => "query_deadline",
            QueryError::Cancelled => "cancelled",
            QueryError::Worded { .. } => "bad_parameter",
            QueryError::Busy => "too_many_queries",
            QueryError::Store(_) => "store_unreadable",
        }
    }
}
