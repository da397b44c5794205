//! The query service's metrics.

use std::time::Duration;

use service::metrics::{CounterVec, Histogram, Metrics as Registry, SECONDS_BUCKETS};

/// Counters of the query route.
#[derive(Debug)]
pub(crate) struct Metrics {
    queries: CounterVec,
    seconds: Histogram,
}

impl Metrics {
    pub(crate) fn new(registry: &Registry) -> Self {
        Self {
            queries: registry.counter_vec(
                "queries_total",
                "Queries begun, by how they began.",
                &["result"],
            ),
            seconds: registry.histogram(
                "query_first_rows_seconds",
                "Time to the first rows of an answer.",
                SECONDS_BUCKETS,
            ),
        }
    }

    pub(crate) fn answered(&self, after: Duration, error: Option<&str>) {
        self.queries.with_label_values(&[error.unwrap_or("ok")]).inc();
        self.seconds.observe(after.as_secs_f64());
    }
}
