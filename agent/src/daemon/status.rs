//! What the agent shows of itself: `/status`, `/metrics`, health, and the figures that heartbeats carry.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::Json;
use axum::extract::State as Shared;
use record::Timestamp;
use serde::{Deserialize, Serialize};
use service::doors::{Access, Entrance, Routes};
use service::health::{self, Check, Health};
use service::http_requests::RequestDurations;
use service::metrics::Metrics;
use service::principal::Right;
use tokio::sync::watch;

use super::dead_letters::DeadLetters;
use super::durable::Durable;
use super::intake::Intake;
use super::shipper::{Figures, Named};
use super::state::Ledger;
use super::stream::SourceCounts;

/// Files that a source shows at most: those that are furthest behind.
pub(crate) const FILES_SHOWN_MAX: usize = 200;

/// The checks that make trouble worth telling.
const CHECKS: [&str; 5] = ["spool", "collector", "sources", "configuration", "doors"];

/// The whole agent at a glance.
#[derive(Debug)]
pub(crate) struct Overview {
    pub(crate) agent: String,
    pub(crate) host: String,
    pub(crate) started: Timestamp,
    pub(crate) durable: Arc<Durable>,
    pub(crate) intake: Arc<Intake>,
    pub(crate) figures: Arc<Figures>,
    pub(crate) health: Health,
    pub(crate) collectors: watch::Receiver<Vec<Named>>,
    pub(crate) at: Arc<AtomicUsize>,
    /// What stands before its listeners.
    pub(crate) entrance: Entrance,
    /// How long the requests took that came in.
    pub(crate) request_durations: RequestDurations,
    pub(crate) dead_letters: DeadLetters,
    /// The state folder.
    pub(crate) state: PathBuf,
    pub(crate) spool_bytes_max: u64,
    pub(crate) views: Mutex<Vec<Arc<SourceView>>>,
    /// Receivers that know no heartbeats, and since when that is known.
    pub(crate) deaf: Mutex<HashMap<String, Instant>>,
}

/// What a source shows; kept up to date by its own thread.
#[derive(Debug, Default)]
pub(crate) struct SourceView {
    pub(crate) name: String,
    pub(crate) kind: &'static str,
    pub(crate) shown: Mutex<SourceStatus>,
}

/// One source.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceStatus {
    /// Its name in the configuration.
    pub name: String,
    /// Its kind.
    pub kind: String,
    /// What went through since the process began.
    #[serde(flatten)]
    pub counts: SourceCounts,
    /// Files that are known.
    pub files_known: usize,
    /// Bytes that are there and not read, unfinished lines aside.
    pub lag_bytes: u64,
    /// The time of the last record, ns since 1970; 0 before the first.
    pub last_record_ns: i64,
    /// The last thing that went wrong.
    pub last_error: Option<String>,
    /// Where it listens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http: Option<String>,
    /// Where it takes OTLP over gRPC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grpc: Option<String>,
    /// Those furthest behind, 200 at most.
    pub files: Vec<FileStatus>,
}

/// One file of a source.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileStatus {
    /// Where it is.
    pub path: String,
    /// Up to where it is read.
    pub offset: u64,
    /// How large it is.
    pub size: u64,
    /// An unfinished line at its end.
    pub incomplete_line_bytes: u64,
    /// Why it is not read.
    pub error: Option<String>,
}

/// The answer of `/status`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AgentStatus {
    /// The agent's id.
    pub agent: String,
    /// Its epoch.
    pub epoch: String,
    /// Its version.
    pub version: String,
    /// Since when it runs, RFC 3339.
    pub started: String,
    /// Where batches go.
    pub collector: String,
    /// What the last attempt there met, if it is not mended.
    pub collector_error: Option<String>,
    /// Batches in the spool.
    pub spool_batches: u64,
    /// What is in them.
    pub spool_bytes: u64,
    /// When the oldest record was read that no collector has, RFC 3339.
    pub oldest_unshipped: Option<String>,
    /// The account.
    pub ledger: Ledger,
    /// Every source.
    pub sources: Vec<SourceStatus>,
    /// What is wrong.
    pub trouble: Vec<String>,
}

impl Overview {
    pub(crate) fn current_collector(&self) -> Option<Named> {
        let collectors = self.collectors.borrow();
        let at = self.at.load(Ordering::Relaxed) % collectors.len().max(1);
        collectors.get(at).cloned()
    }

    pub(crate) fn knows_no_heartbeats(&self, addr: &str, for_so_long: Duration) -> bool {
        let deaf = self.deaf.lock().unwrap_or_else(PoisonError::into_inner);
        deaf.get(addr).is_some_and(|since| since.elapsed() < for_so_long)
    }

    pub(crate) fn note_no_heartbeats(&self, addr: &str) {
        let mut deaf = self.deaf.lock().unwrap_or_else(PoisonError::into_inner);
        deaf.insert(addr.to_owned(), Instant::now());
    }

    /// When the oldest record was read that is not acknowledged: in the spool, in the open batch, or, where a
    /// source is behind, about where it stands.
    pub(crate) fn oldest_unshipped(&self) -> Option<Timestamp> {
        let front = self.figures.front_oldest.load(Ordering::Relaxed);
        let front = (front > 0).then_some(Timestamp(front as i64));
        let behind = self.source_statuses().into_iter().filter_map(|source| {
            (source.lag_bytes > 0 && source.last_record_ns > 0)
                .then_some(Timestamp(source.last_record_ns))
        });
        [front, self.intake.oldest()].into_iter().flatten().chain(behind).min()
    }

    pub(crate) fn sources(&self) -> usize {
        self.views.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    pub(crate) fn trouble(&self) -> Vec<String> {
        let told = |name: &&'static str| match self.health.check(name) {
            Some(Check::Degraded(reason) | Check::Failed(reason)) => {
                Some(format!("{name}: {reason}"))
            }
            _ => None,
        };
        CHECKS.iter().filter_map(told).collect()
    }

    pub(super) fn source_statuses(&self) -> Vec<SourceStatus> {
        let views = self.views.lock().unwrap_or_else(PoisonError::into_inner);
        views.iter().map(|view| view.status()).collect()
    }

    pub(crate) fn status(&self) -> AgentStatus {
        let (epoch, ledger) =
            self.durable.with_state(|state| (state.epoch.id.clone(), state.ledger.clone()));
        let usage = self.durable.usage();
        let (collector, collector_error) = self.figures.addr_and_error();
        AgentStatus {
            agent: self.agent.clone(),
            epoch,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            started: self.started.to_string(),
            collector: match collector.is_empty() {
                true => self.current_collector().map(|named| named.addr).unwrap_or_default(),
                false => collector,
            },
            collector_error,
            spool_batches: usage.batches,
            spool_bytes: usage.payload_bytes,
            oldest_unshipped: self.oldest_unshipped().map(|time| time.to_string()),
            ledger,
            sources: self.source_statuses(),
            trouble: self.trouble(),
        }
    }
}

impl SourceView {
    pub(crate) fn new(name: &str, kind: &'static str) -> Arc<Self> {
        Arc::new(Self { name: name.to_owned(), kind, shown: Mutex::default() })
    }

    /// Changes what is shown.
    pub(crate) fn show(&self, change: impl FnOnce(&mut SourceStatus)) {
        change(&mut self.shown.lock().unwrap_or_else(PoisonError::into_inner));
    }

    fn status(&self) -> SourceStatus {
        let mut status = self.shown.lock().unwrap_or_else(PoisonError::into_inner).clone();
        (status.name, status.kind) = (self.name.clone(), self.kind.to_owned());
        status
    }
}

impl AgentStatus {
    /// For people.
    pub fn to_text(&self) -> String {
        let mut lines = vec![
            format!("agent      {}  epoch {}  {}", self.agent, self.epoch, self.version),
            format!("collector  {}", self.collector),
            format!(
                "spool      {} batches, {} records, {}",
                self.spool_batches,
                self.ledger.spooled,
                size(self.spool_bytes)
            ),
        ];
        if let Some(error) = &self.collector_error {
            lines.push(format!("           {error}"));
        }
        if let Some(oldest) = &self.oldest_unshipped {
            lines.push(format!("oldest     {oldest} is not acknowledged yet"));
        }
        let ledger = &self.ledger;
        lines.push(format!(
            "records    {} read, {} reported = {} filtered + {} dropped + {} dead-lettered + {} held + {} spooled + {} acknowledged",
            ledger.read, ledger.reported, ledger.filtered, ledger.dropped_total(), ledger.dead_lettered,
            ledger.held, ledger.spooled, ledger.acknowledged
        ));
        lines.extend(
            ledger
                .dropped
                .iter()
                .map(|(reason, count)| format!("           {count} dropped: {reason}")),
        );
        for source in &self.sources {
            lines.push(String::new());
            let counts = &source.counts;
            lines.push(format!(
                "{}  {} records, {} lines, {}, {} did not parse",
                source.name,
                counts.records,
                counts.lines,
                size(counts.bytes),
                counts.unparsed
            ));
            if let Some(error) = &source.last_error {
                lines.push(format!("  last error: {error}"));
            }
            if let Some(http) = &source.http {
                lines.push(format!("  listens on {http}"));
            }
            if let Some(grpc) = &source.grpc {
                lines.push(format!("  listens on {grpc} for gRPC"));
            }
            if source.kind == "file" {
                lines.push(format!(
                    "  {} files, {} behind",
                    source.files_known,
                    size(source.lag_bytes)
                ));
            }
            for file in &source.files {
                let error =
                    file.error.as_ref().map_or_else(String::new, |error| format!("  {error}"));
                lines.push(format!(
                    "  {:>12} of {:>12}  {}{error}",
                    file.offset, file.size, file.path
                ));
            }
        }
        lines.extend(self.trouble.iter().map(|trouble| format!("\ntrouble with {trouble}")));
        lines.push(String::new());
        lines.join("\n")
    }
}

fn size(bytes: u64) -> String {
    service::config::ByteSize(bytes).to_string()
}

/// The routes of the agent's own port.
pub(crate) fn routes(overview: Arc<Overview>, health: Health, metrics: Metrics) -> Routes {
    super::metrics::show(&metrics, Arc::clone(&overview));
    Routes::new()
        .get("/status", Access::Right(Right::Query), status)
        .with_state(overview)
        .merge(health::routes(health, metrics))
}

async fn status(Shared(overview): Shared<Arc<Overview>>) -> Json<AgentStatus> {
    Json(overview.status())
}
