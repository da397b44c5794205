//! The query service's metrics.

use std::sync::Arc;
use std::time::{Duration, Instant};

use service::metrics::{CounterVec, Histogram, HistogramVec, Metrics as Registry, SECONDS_BUCKETS};
use tokio::sync::Semaphore;

use crate::error::QueryError;
use crate::queries::Queries;
use crate::queue::Queue;
use crate::tail::FOLLOWERS_MAX;

/// What a query was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Rows, as they are found.
    Search,
    /// One object, such as a story or a trace.
    Look,
}

impl Kind {
    const ALL: [Self; 2] = [Self::Search, Self::Look];

    fn name(self) -> &'static str {
        match self {
            Kind::Search => "search",
            Kind::Look => "look",
        }
    }
}

/// How a query ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Complete,
    /// A bound cut it short, or something is damaged.
    Incomplete,
    /// What was asked is wrong, or not there.
    Invalid,
    /// Too many ran and waited.
    Refused,
    Cancelled,
    Failed,
}

impl Outcome {
    const ALL: [Self; 6] = [
        Self::Complete,
        Self::Incomplete,
        Self::Invalid,
        Self::Refused,
        Self::Cancelled,
        Self::Failed,
    ];

    pub(crate) fn of_answer(is_complete: bool) -> Self {
        if is_complete { Self::Complete } else { Self::Incomplete }
    }

    pub(crate) fn of_error(error: &QueryError) -> Self {
        match error {
            QueryError::Query { .. } | QueryError::Parameter { .. } | QueryError::NotFound(_) => {
                Self::Invalid
            }
            QueryError::Busy => Self::Refused,
            QueryError::Cancelled => Self::Cancelled,
            QueryError::Worded { status, .. } => match status {
                400 | 404 => Self::Invalid,
                429 => Self::Refused,
                499 => Self::Cancelled,
                _ => Self::Failed,
            },
            QueryError::Memory { .. }
            | QueryError::MemoryTotal { .. }
            | QueryError::Deadline { .. }
            | QueryError::Store(_) => Self::Failed,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::Incomplete => "incomplete",
            Self::Invalid => "invalid",
            Self::Refused => "refused",
            Self::Cancelled => "cancelled",
            Self::Failed => "failed",
        }
    }
}

/// Metrics of queries. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Metrics {
    queries: CounterVec,
    seconds: Histogram,
    whole: HistogramVec,
    /// Time in the queue.
    pub(crate) waited: Histogram,
}

impl Metrics {
    pub(crate) fn new(registry: &Registry) -> Self {
        let metrics = Self {
            queries: registry.counter_vec(
                "queries_total",
                "Searches begun, by how they began: ok or the code of an error.",
                &["result"],
            ),
            seconds: registry.histogram(
                "query_first_rows_seconds",
                "Time to the first rows of a search's answer.",
                SECONDS_BUCKETS,
            ),
            whole: registry.histogram_vec(
                "query_duration_seconds",
                "Time from the request to the end of the query, by kind (search for rows; look for a story, a trace, fields …) and outcome: complete, incomplete, invalid, refused, cancelled or failed.",
                SECONDS_BUCKETS,
                &["kind", "outcome"],
            ),
            waited: registry.histogram(
                "query_wait_seconds",
                "Time that a query waited for other queries before it ran.",
                SECONDS_BUCKETS,
            ),
        };
        for result in ["ok"].iter().chain(&QueryError::CODES) {
            metrics.queries.with_label_values(&[result]);
        }
        for kind in Kind::ALL {
            for outcome in Outcome::ALL {
                metrics.whole.with_label_values(&[kind.name(), outcome.name()]);
            }
        }
        metrics
    }

    /// Figures that are asked for when the metrics are read.
    pub(crate) fn watch(
        registry: &Registry,
        queue: &Arc<Queue>,
        queries: &Queries,
        followers: &Arc<Semaphore>,
    ) {
        let following = registry.gauge("query_followers", "Clients that follow what comes in.");
        let sources = registry.counter(
            "query_sources_scanned_total",
            "Segments and pieces of memory that queries looked into, those of alert rules included.",
        );
        let rows = registry.counter(
            "query_rows_scanned_total",
            "Rows of what queries looked into, those of alert rules included.",
        );
        let running = registry.gauge("queries_running", "Queries that run now.");
        let waiting = registry.gauge("queries_waiting", "Queries that wait for others to end.");
        let memory = registry.gauge("query_memory_bytes", "Memory that queries hold now.");
        let (queue, queries, followers) =
            (Arc::clone(queue), queries.clone(), Arc::clone(followers));
        let as_gauge = |figure: usize| i64::try_from(figure).unwrap_or(i64::MAX);
        registry.before_render(move || {
            let figures = queue.figures();
            running.set(as_gauge(figures.0));
            waiting.set(as_gauge(figures.1));
            memory.set(as_gauge(queries.memory_bytes()));
            following.set(as_gauge(FOLLOWERS_MAX.saturating_sub(followers.available_permits())));
            let scanned = queries.scanned();
            sources.inc_by(scanned.0.saturating_sub(sources.get()));
            rows.inc_by(scanned.1.saturating_sub(rows.get()));
        });
    }

    /// A query that came at `came` has ended.
    pub(crate) fn ended(&self, kind: Kind, came: Instant, outcome: Outcome) {
        self.whole
            .with_label_values(&[kind.name(), outcome.name()])
            .observe(came.elapsed().as_secs_f64());
    }

    pub(crate) fn answered(&self, after: Duration, error: Option<&str>) {
        self.queries.with_label_values(&[error.unwrap_or("ok")]).inc();
        self.seconds.observe(after.as_secs_f64());
    }
}
