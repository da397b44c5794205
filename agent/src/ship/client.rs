//! One batch to its acknowledgement, for a program that gives up in the end.
//!
//! Giving up is decided for all batches together: while any of them is acknowledged, the others go on.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use record::Signal;
use wire::BatchName;

use super::ShipError;
use super::batch::Batch;
use super::options::ShipOptions;
use crate::delivery::{Acknowledgement, Attempt, Backoff, Collector};

/// Why a batch was not acknowledged.
#[derive(Debug)]
pub(super) enum Failure {
    Refused { status: u16, message: String },
    GaveUp { stalled: Duration, last: String },
}

/// Sends batches; shared by all that are in flight.
#[derive(Debug)]
pub(super) struct Client {
    collector: Collector,
    agent: String,
    epoch: String,
    give_up_after: Duration,
    pub(super) first_unacknowledged: AtomicU64,
    pub(super) retries: AtomicU64,
    stall: Mutex<Option<Stall>>,
}

/// Nothing was acknowledged since the first of some failures.
#[derive(Clone, Debug)]
struct Stall {
    since: Instant,
    last: String,
}

impl Client {
    pub(super) fn new(options: &ShipOptions, agent: &str, epoch: &str) -> Result<Self, ShipError> {
        let timeout = options.request_timeout.min(options.give_up_after);
        let collector = Collector::new(&options.addr, &options.credentials, timeout)
            .map_err(|reason| ShipError::Addr { addr: options.addr.clone(), reason })?;
        Ok(Self {
            collector,
            agent: agent.to_owned(),
            epoch: epoch.to_owned(),
            give_up_after: options.give_up_after,
            first_unacknowledged: AtomicU64::new(0),
            retries: AtomicU64::new(0),
            stall: Mutex::default(),
        })
    }

    /// The name of a batch, for messages.
    pub(super) fn batch_name(&self, sequence: u64) -> String {
        format!("{}/{}/{sequence}", self.agent, self.epoch)
    }

    /// What the last attempt met, if nothing is acknowledged since.
    pub(super) fn stalled(&self) -> Option<String> {
        self.stall().as_ref().map(|stall| stall.last.clone())
    }

    /// Sends a batch until it is acknowledged, refused, or given up.
    pub(super) async fn deliver(&self, batch: &Batch) -> Result<Acknowledgement, Failure> {
        let mut backoff = Backoff::default();
        loop {
            let name = BatchName {
                agent: self.agent.clone(),
                epoch: self.epoch.clone(),
                sequence: batch.sequence,
                first_unacknowledged: Some(self.first_unacknowledged.load(Ordering::Relaxed)),
            };
            let sent = self.collector.send(Signal::Logs, &name, batch.body.clone()).await;
            let (reason, not_before) = match sent {
                Attempt::Acknowledged(acknowledgement) => {
                    *self.stall() = None;
                    return Ok(acknowledgement);
                }
                Attempt::Refused { status, message } => {
                    return Err(Failure::Refused { status, message });
                }
                Attempt::Again { reason, not_before, .. } => (reason, not_before),
            };
            let stalled = self.note_failure(&reason);
            let left = self.give_up_after.saturating_sub(stalled);
            if left.is_zero() {
                return Err(Failure::GaveUp { stalled, last: reason });
            }
            tracing::debug!(sequence = batch.sequence, reason, "batch will be sent again");
            // A pause that is longer than there is time for is cut, so that the last moment is still tried.
            tokio::time::sleep(backoff.next(not_before).min(left)).await;
            self.retries.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Remembers a failure and says for how long nothing was acknowledged.
    fn note_failure(&self, reason: &str) -> Duration {
        let mut stall = self.stall();
        let since = stall.as_ref().map_or_else(Instant::now, |stall| stall.since);
        *stall = Some(Stall { since, last: reason.to_owned() });
        since.elapsed()
    }

    fn stall(&self) -> std::sync::MutexGuard<'_, Option<Stall>> {
        self.stall.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}
