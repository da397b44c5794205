//! The collector: receives batches, makes them durable, answers.
//!
//! ```text
//! POST /v1/logs ──────┐
//! POST /v1/traces ────┤
//! POST /api/v2/spans ─┤
//! gRPC ───────────────┤
//! POST /ingest/jsonl ─┴▶ admission (memory) ─▶ decompress, decode (blocking threads) ─▶ store: journal ─▶ 200
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
mod grpc;
mod ingest;
mod json_lines;
mod ledger;
mod metrics;
mod otlp;
mod rates;
mod refusal;
mod zipkin;

use std::collections::BTreeMap;
use std::sync::Arc;

use service::doors::{Access, Routes};
use service::grpc::{EXPORT_LOGS, EXPORT_SPANS, not_let_in};
use service::principal::Right;
use tokio::sync::Semaphore;
use wire::Limits;

pub use crate::agents::{Acknowledged, AgentLedger, AgentList, AgentStatus, Heartbeat, Rfc3339};
use crate::agents::{Agents, HEARTBEATS_MAX};
pub use crate::deletes::DeleteReport;
use crate::metrics::Metrics;
use crate::rates::Rates;
use record::Timestamp;
pub use service::grpc::not_served;
use store::Store;

/// Bounds of the collector.
#[derive(Clone, Debug, PartialEq)]
pub struct CollectorOptions {
    /// Bodies decoded at the same time; further ones wait, their bytes counted against the store's memory.
    pub decode_threads: usize,
    /// Longest body as it is sent; a longer one is 413.
    pub body_bytes_max: usize,
    /// Bytes a second of single tenants' bodies; beyond it they are 429.
    pub bytes_per_second: BTreeMap<String, u64>,
}

impl Default for CollectorOptions {
    fn default() -> Self {
        Self {
            decode_threads: std::thread::available_parallelism().map_or(2, usize::from),
            body_bytes_max: 64 << 20,
            bytes_per_second: BTreeMap::new(),
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
    rates: Rates,
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
        let rates = Rates::new(&options.bytes_per_second);
        let deletes = Semaphore::new(deletes::DELETES_MAX);
        Arc::new(Self { store, options, decoding, heartbeats, deletes, agents, rates, metrics })
    }

    /// No agent that is alive holds a record older than this which it has not shipped: the oldest unshipped time
    /// over the agents heard of within 30 s (or when they were heard of, if they hold nothing), by our clock; 10 s
    /// before `now` if there are none.
    pub fn watermark(&self, now: Timestamp) -> Timestamp {
        self.agents.watermark(now, |_| true)
    }

    /// The routes that take batches and heartbeats, the ledger, the agents, deletes and backups. Ledger, flush and
    /// backups are about all tenants.
    pub fn routes(self: &Arc<Self>) -> Routes {
        const INGEST: Access = Access::Right(Right::Ingest);
        const QUERY: Access = Access::Right(Right::Query);
        const ADMIN: Access = Access::Right(Right::Admin);
        Routes::new()
            .post("/v1/logs", INGEST, otlp::receive_logs)
            .worded(otlp::not_let_in)
            .post("/otlp/v1/logs", INGEST, otlp::receive_logs)
            .worded(otlp::not_let_in)
            .post("/v1/traces", INGEST, otlp::receive_spans)
            .worded(otlp::not_let_in)
            .post("/otlp/v1/traces", INGEST, otlp::receive_spans)
            .worded(otlp::not_let_in)
            .post("/api/v2/spans", INGEST, zipkin::receive)
            .post("/ingest/jsonl", INGEST, json_lines::receive)
            .post("/api/v1/agents/heartbeat", INGEST, agents::hear)
            .get("/api/v1/agents", QUERY, agents::list)
            .get("/api/v1/ledger", Access::Operator, ledger::show)
            .post("/api/v1/flush", Access::Operator, ledger::flush)
            .post("/api/v1/delete", ADMIN, deletes::make)
            .get("/api/v1/deletes", ADMIN, deletes::list)
            .get("/api/v1/deletes/{id}", ADMIN, deletes::show)
            .get("/api/v1/backups", Access::Operator, backups::list)
            .post("/api/v1/backups", Access::Operator, backups::begin)
            .get("/api/v1/backups/{id}", Access::Operator, backups::show)
            .delete("/api/v1/backups/{id}", Access::Operator, backups::end)
            .get("/api/v1/backups/{id}/files/{*name}", Access::Operator, backups::file)
            .with_state(Arc::clone(self))
    }

    /// The routes that take batches over gRPC, for a listener of HTTP/2.
    pub fn grpc_routes(self: &Arc<Self>) -> Routes {
        const INGEST: Access = Access::Right(Right::Ingest);
        Routes::new()
            .post(EXPORT_LOGS, INGEST, grpc::export_logs)
            .worded(not_let_in)
            .post(EXPORT_SPANS, INGEST, grpc::export_spans)
            .worded(not_let_in)
            .with_state(Arc::clone(self))
    }

    fn limits(&self) -> Limits {
        // The journal decodes again with the default limits, so these must be the same.
        Limits::default()
    }
}
