//! The collector: receives batches, makes them durable, answers.
//!
//! ```text
//! POST /v1/logs ─────┐
//! POST /ingest/jsonl ┴─▶ admission (memory) ─▶ decompress, decode (blocking threads) ─▶ store: journal ─▶ 200
//! ```
//!
//! What must not be known here: how a query works, what an agent does, how the store keeps its files. A
//! batch is acknowledged when the store says that it is durable and visible, never before.

mod admission;
mod ingest;
mod json_lines;
mod ledger;
mod metrics;
mod otlp_logs;
mod refusal;

use std::sync::Arc;

use axum::Router;
use axum::routing::{get, post};
use tokio::sync::Semaphore;
use wire::Limits;

use crate::metrics::Metrics;
use store::Store;

/// Bounds of the collector.
#[derive(Clone, Debug, PartialEq)]
pub struct CollectorOptions {
    /// Bodies decoded at the same time; further ones wait, their bytes counted against the store's memory.
    pub decode_threads: usize,
    /// Longest body as it is sent; a longer one is 413.
    pub body_bytes_max: usize,
}

impl Default for CollectorOptions {
    fn default() -> Self {
        Self {
            decode_threads: std::thread::available_parallelism().map_or(2, usize::from),
            body_bytes_max: 64 << 20,
        }
    }
}

/// The collector's state, shared by its routes.
#[derive(Debug)]
pub struct Collector {
    store: Arc<Store>,
    options: CollectorOptions,
    decoding: Semaphore,
    metrics: Metrics,
}

impl Collector {
    /// A collector in front of a store; what it counts is shown by `registry`.
    pub fn new(
        store: Arc<Store>,
        options: CollectorOptions,
        registry: &service::metrics::Metrics,
    ) -> Arc<Self> {
        let metrics = Metrics::new(registry, &store);
        let decoding = Semaphore::new(options.decode_threads);
        Arc::new(Self { store, options, decoding, metrics })
    }

    /// The routes that take batches, and the ledger.
    pub fn router(self: &Arc<Self>) -> Router {
        Router::new()
            .route("/v1/logs", post(otlp_logs::receive))
            .route("/otlp/v1/logs", post(otlp_logs::receive))
            .route("/ingest/jsonl", post(json_lines::receive))
            .route("/api/v1/ledger", get(ledger::show))
            .route("/api/v1/flush", post(ledger::flush))
            .layer(axum::extract::DefaultBodyLimit::disable())
            .with_state(Arc::clone(self))
    }

    fn limits(&self) -> Limits {
        // The journal decodes again with the default limits, so these must be the same.
        Limits::default()
    }
}
