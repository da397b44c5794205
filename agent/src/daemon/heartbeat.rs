//! Every few seconds the agent tells its collector how it is: its half of the account, and when the oldest record
//! was read that the collector does not have yet.
//!
//! A heartbeat that does not arrive is not sent again; the next one says it all anew. A receiver that has no such
//! endpoint (any other OTLP collector) is asked again after ten minutes.

use std::sync::Arc;
use std::time::Duration;

use record::Timestamp;
use serde::Serialize;

use super::shipper::Named;
use super::state::Ledger;
use super::status::Overview;

const PATH: &str = "api/v1/agents/heartbeat";
/// Until a receiver that does not know heartbeats is asked again.
const UNKNOWN_PAUSE: Duration = Duration::from_secs(600);

#[derive(Debug, Serialize)]
struct Heartbeat<'a> {
    agent: &'a str,
    epoch: String,
    host: &'a str,
    version: &'static str,
    started: String,
    sent_at: String,
    oldest_unshipped: Option<String>,
    ledger: Ledger,
    acknowledged_in_epoch: Acknowledged,
    spool_bytes: u64,
    sources: usize,
    trouble: Vec<String>,
}

#[derive(Debug, Serialize)]
struct Acknowledged {
    records: u64,
    batches: u64,
    store: Option<String>,
}

/// Sends heartbeats for ever.
pub(crate) async fn send(overview: Arc<Overview>, interval: Duration) {
    let mut ticks = tokio::time::interval(interval);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        send_once(&overview).await;
    }
}

/// Sends one heartbeat, as the last word too.
pub(crate) async fn send_once(overview: &Overview) {
    let Some(Named { addr, collector }) = overview.current_collector() else { return };
    if overview.knows_no_heartbeats(&addr, UNKNOWN_PAUSE) {
        return;
    }
    let (epoch, ledger, store) = overview.durable.with_state(|state| {
        (state.epoch.clone(), state.ledger.clone(), state.store.as_ref().map(|it| it.id.clone()))
    });
    let heartbeat = Heartbeat {
        agent: &overview.agent,
        epoch: epoch.id,
        host: &overview.host,
        version: env!("CARGO_PKG_VERSION"),
        started: overview.started.to_string(),
        sent_at: Timestamp::now().to_string(),
        oldest_unshipped: overview.oldest_unshipped().map(|time| time.to_string()),
        ledger,
        acknowledged_in_epoch: Acknowledged {
            records: epoch.records,
            batches: epoch.batches,
            store,
        },
        spool_bytes: overview.durable.usage().disk_bytes,
        sources: overview.sources(),
        trouble: overview.trouble(),
    };
    let Ok(body) = serde_json::to_vec(&heartbeat) else { return };
    match collector.send_json(PATH, body).await {
        Ok(404 | 405) => overview.note_no_heartbeats(&addr),
        Ok(status) if status < 300 => {}
        Ok(status) => tracing::debug!(status, addr, "heartbeat refused"),
        Err(error) => tracing::debug!(error, addr, "heartbeat did not arrive"),
    }
}
