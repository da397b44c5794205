//! The query service's metrics.

use std::sync::Arc;
use std::time::Duration;

use service::metrics::{CounterVec, Histogram, Metrics as Registry, SECONDS_BUCKETS};

use crate::queries::Queries;
use crate::queue::Queue;

/// Metrics of the query route.
#[derive(Debug)]
pub(crate) struct Metrics {
    queries: CounterVec,
    seconds: Histogram,
    /// Time in the queue.
    pub(crate) waited: Histogram,
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
            waited: registry.histogram(
                "query_wait_seconds",
                "Time that a query waited for other queries before it ran.",
                SECONDS_BUCKETS,
            ),
        }
    }

    /// Figures that are asked for when the metrics are read.
    pub(crate) fn watch(registry: &Registry, queue: &Arc<Queue>, queries: &Queries) {
        let running = registry.gauge("queries_running", "Queries that run now.");
        let waiting = registry.gauge("queries_waiting", "Queries that wait for others to end.");
        let memory = registry.gauge("query_memory_bytes", "Memory that queries hold now.");
        let (queue, queries) = (Arc::clone(queue), queries.clone());
        let as_gauge = |figure: usize| i64::try_from(figure).unwrap_or(i64::MAX);
        registry.before_render(move || {
            let figures = queue.figures();
            running.set(as_gauge(figures.0));
            waiting.set(as_gauge(figures.1));
            memory.set(as_gauge(queries.memory_bytes()));
        });
    }

    pub(crate) fn answered(&self, after: Duration, error: Option<&str>) {
        self.queries.with_label_values(&[error.unwrap_or("ok")]).inc();
        self.seconds.observe(after.as_secs_f64());
    }
}
