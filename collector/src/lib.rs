//! The collector: receives batches, makes them durable, answers.
//!
//! ```text
//! POST /v1/logs ─────┐
//! POST /ingest/jsonl ┴─▶ admission (memory) ─▶ decompress, decode (blocking threads) ─▶ store: journal ─▶ 200
//! ```
//!
//! Beside them agents tell every few seconds how they are (`agents/`).
//!
//! What must not be known here: how a query works, what an agent does, how the store keeps its files. A
//! batch is acknowledged when the store says that it is durable and visible, never before.

mod admission;
mod agents;
mod answer;
mod backups;
mod deletes;
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

pub use crate::agents::{Acknowledged, AgentLedger, AgentList, AgentStatus, Heartbeat, Rfc3339};
use crate::agents::{Agents, HEARTBEATS_MAX};
pub use crate::deletes::DeleteReport;
use crate::metrics::Metrics;
use record::Timestamp;
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
    heartbeats: Semaphore,
    deletes: Semaphore,
    agents: Arc<Agents>,
    metrics: Metrics,
}

impl Collector {
    /// A collector in front of a store; what it counts is shown by `registry`.
    pub fn new(
        store: Arc<Store>,
        options: CollectorOptions,
        registry: &service::metrics::Metrics,
    ) -> Arc<Self> {
        let agents = Arc::new(Agents::default());
        let metrics = Metrics::new(registry, &store, &agents);
        let decoding = Semaphore::new(options.decode_threads);
        let heartbeats = Semaphore::new(HEARTBEATS_MAX);
        let deletes = Semaphore::new(deletes::DELETES_MAX);
        Arc::new(Self { store, options, decoding, heartbeats, deletes, agents, metrics })
    }

    /// No agent that is alive holds a record older than this which it has not shipped: the oldest unshipped time
    /// over the agents heard of within 30 s (or when they were heard of, if they hold nothing), by our clock; 10 s
    /// before `now` if there are none.
    pub fn watermark(&self, now: Timestamp) -> Timestamp {
        self.agents.watermark(now)
    }

    /// The routes that take batches and heartbeats, the ledger, and the agents.
    pub fn router(self: &Arc<Self>) -> Router {
        Router::new()
            .route("/v1/logs", post(otlp_logs::receive))
            .route("/otlp/v1/logs", post(otlp_logs::receive))
            .route("/ingest/jsonl", post(json_lines::receive))
            .route("/api/v1/agents/heartbeat", post(agents::hear))
            .route("/api/v1/agents", get(agents::list))
            .route("/api/v1/ledger", get(ledger::show))
            .route("/api/v1/flush", post(ledger::flush))
            .route("/api/v1/delete", post(deletes::make))
            .route("/api/v1/deletes", get(deletes::list))
            .route("/api/v1/deletes/{id}", get(deletes::show))
            .route("/api/v1/backups", get(backups::list).post(backups::begin))
            .route("/api/v1/backups/{id}", get(backups::show).delete(backups::end))
            .route("/api/v1/backups/{id}/files/{*name}", get(backups::file))
            .layer(axum::extract::DefaultBodyLimit::disable())
            .with_state(Arc::clone(self))
    }

    fn limits(&self) -> Limits {
        // The journal decodes again with the default limits, so these must be the same.
        Limits::default()
    }
}
