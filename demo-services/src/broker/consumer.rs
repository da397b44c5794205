//! A consumer: takes messages from a queue, has each handled within the correlation and the trace of its publisher, tells
//! the log what became of it, and tells the broker.
//!
//! A message is handled at least once: whoever handles it has to know ids that it has dealt with. Up to
//! [`HANDLED_AT_ONCE`] messages are handled at the same time, in no order. A handler has until the end of the lease; one
//! that takes longer, or panics, failed. While the broker is away the consumer waits for it, and while the switch
//! `dead-consumer.QUEUE` is on it takes nothing.

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::join_all;
use service::semantics::{message, record, retry};
use service::telemetry::{Message, fail, messages};
use tokio::time::{Instant, sleep};
use tracing::{Instrument, error, info, warn};

use super::SYSTEM;
use super::client::{Broker, BrokerError};
use super::message::{Delivery, Queue, Settlement, Verdict};
use crate::kit::abort::AbortAt;
use crate::kit::backoff;
use crate::kit::context::Context;

const HANDLED_AT_ONCE: usize = 8;
/// How long the broker is asked to wait for a message.
const WAIT: Duration = Duration::from_secs(20);
/// How much sooner than the broker a consumer holds a lease to be over.
const LEASE_MARGIN_MAX: Duration = Duration::from_secs(1);
/// Between calls of a broker that is away.
const PAUSE_MIN: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_secs(2);

/// What a handler did with a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Handled {
    Processed,
    /// It was known, and nothing was done.
    Deduplicated,
}

/// Why a handler could not do it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// It may go another time.
    Again { error_type: &'static str, message: String },
    /// It will never go.
    Refused { error_type: &'static str, message: String },
}

/// Consumes until the service stops; what was begun is finished and told then.
pub(crate) async fn consume<F>(context: Context, broker: Broker, queue: Queue, handler: F)
where
    F: AsyncFn(&Delivery) -> Result<Handled, Failure>,
{
    let switch = format!("dead-consumer.{}", queue.name);
    let consumer = Consumer { context, broker, queue, switch, abort: AbortAt::from_env() };
    let (mut declared, mut failures) = (false, 0);
    while !consumer.context.stop.is_requested() {
        match consumer.round(declared, &handler).await {
            Ok(()) => {
                if failures > 0 {
                    info!(queue = consumer.queue.name, failures, "the broker is back");
                }
                (declared, failures) = (true, 0);
            }
            Err(error) => {
                if failures == 0 {
                    let (queue, kind) = (&consumer.queue.name, error.error_type());
                    warn!(queue, { record::ERROR_TYPE } = kind, %error, "cannot consume, trying again");
                }
                (declared, failures) = (false, failures + 1);
                tokio::select! {
                    () = sleep(backoff::pause(PAUSE_MIN, PAUSE_MAX, failures)) => {}
                    () = consumer.context.stop.requested() => {}
                }
            }
        }
    }
}

struct Consumer {
    context: Context,
    broker: Broker,
    queue: Queue,
    switch: String,
    abort: AbortAt,
}

impl Consumer {
    /// One batch from the broker and back.
    async fn round<F>(&self, declared: bool, handler: &F) -> Result<(), BrokerError>
    where
        F: AsyncFn(&Delivery) -> Result<Handled, Failure>,
    {
        let Context { directory, stop, .. } = &self.context;
        tokio::select! {
            () = directory.switched(&self.switch, false) => {}
            () = stop.requested() => return Ok(()),
        }
        if !declared {
            self.broker.declare(&self.queue).await?;
        }
        let deliveries = tokio::select! {
            deliveries = self.broker.receive(&self.queue.name, HANDLED_AT_ONCE, WAIT) => deliveries?,
            () = directory.switched(&self.switch, true) => return Ok(()),
            () = stop.requested() => return Ok(()),
        };
        // It began at the broker, some time before the answer was here.
        let margin = LEASE_MARGIN_MAX.min(self.queue.lease / 10);
        let lease_end = Instant::now() + self.queue.lease - margin;
        let handled = deliveries.iter().map(|delivery| self.handle(delivery, lease_end, handler));
        let settlements = join_all(handled).await;
        if !settlements.is_empty() {
            self.abort.pass("before-settle", &self.queue.name);
        }
        self.settle(&settlements, lease_end).await
    }

    async fn handle<F>(&self, delivery: &Delivery, lease_end: Instant, handler: &F) -> Settlement
    where
        F: AsyncFn(&Delivery) -> Result<Handled, Failure>,
    {
        let Delivery { message, tag, attempt } = delivery;
        let destination = self.queue.name.as_str();
        let which = Message { system: SYSTEM, destination, id: &message.id };
        let span = messages::process(which, &message.headers, *attempt);
        let work = async {
            let began = Instant::now();
            self.told(delivery).received();
            let handling = AssertUnwindSafe(handler(delivery)).catch_unwind();
            let outcome = match tokio::time::timeout_at(lease_end, handling).await {
                Ok(Ok(outcome)) => outcome,
                Ok(Err(_)) => again("panic", "the handler panicked"),
                Err(_) => again("timeout", "the handler took longer than the lease"),
            };
            self.told(delivery).ended(began.elapsed(), outcome)
        };
        Settlement { tag: *tag, verdict: work.instrument(span).await }
    }

    /// Tells the broker while the deliveries may still be ours; what it does not hear of comes again.
    async fn settle(
        &self,
        settlements: &[Settlement],
        lease_end: Instant,
    ) -> Result<(), BrokerError> {
        let mut failures = 0;
        loop {
            let Err(error) = self.broker.settle(&self.queue.name, settlements).await else {
                return Ok(());
            };
            failures += 1;
            let refused =
                matches!(error, BrokerError::Refused { status, .. } if status.is_client_error());
            if refused || self.context.stop.is_requested() || Instant::now() >= lease_end {
                return Err(error);
            }
            if failures == 1 {
                warn!(queue = self.queue.name, %error, "cannot tell the broker, trying again");
            }
            sleep(backoff::pause(PAUSE_MIN, PAUSE_MAX, failures)).await;
        }
    }

    fn told<'a>(&'a self, delivery: &'a Delivery) -> Told<'a> {
        Told { consumer: self.context.service, queue: &self.queue, delivery }
    }
}

/// What is told of a delivery, within its span.
struct Told<'a> {
    consumer: &'a str,
    queue: &'a Queue,
    delivery: &'a Delivery,
}

macro_rules! told {
    ($level:ident, $event:expr, $told:expr, $($rest:tt)+) => {
        $level!(
            event_name = $event,
            { message::SYSTEM } = SYSTEM,
            { message::DESTINATION_NAME } = $told.queue.name,
            { message::MESSAGE_ID } = $told.delivery.message.id,
            { message::TYPE } = $told.delivery.message.kind,
            { message::CONSUMER_GROUP_NAME } = $told.consumer,
            { record::ATTEMPT } = $told.delivery.attempt,
            $($rest)+
        )
    };
}

impl Told<'_> {
    fn received(&self) {
        told!(info, message::RECEIVED, self, "message received");
    }

    /// What the broker is to know.
    fn ended(&self, took: Duration, outcome: Result<Handled, Failure>) -> Verdict {
        let duration_ms = took.as_secs_f64() * 1_000.0;
        match outcome {
            Ok(Handled::Processed) => {
                told!(info, message::PROCESSED, self, duration_ms, "message processed");
                Verdict::Done
            }
            Ok(Handled::Deduplicated) => {
                told!(info, message::DEDUPLICATED, self, duration_ms, "message known already");
                Verdict::Done
            }
            Err(Failure::Again { error_type, message }) => {
                self.failed(duration_ms, error_type, &message);
                match self.queue.pause_after(self.delivery.attempt) {
                    Some(pause) => self.retry_scheduled(pause),
                    None => self.dead_lettered(error_type),
                }
                Verdict::Again { reason: format!("{error_type}: {message}") }
            }
            Err(Failure::Refused { error_type, message }) => {
                self.failed(duration_ms, error_type, &message);
                self.dead_lettered(error_type);
                Verdict::Refused { reason: format!("{error_type}: {message}") }
            }
        }
    }

    fn failed(&self, duration_ms: f64, error_type: &'static str, reason: &str) {
        fail(error_type, reason);
        told!(
            warn,
            message::FAILED,
            self,
            duration_ms,
            { record::ERROR_TYPE } = error_type,
            { record::ERROR_MESSAGE } = reason,
            "message failed"
        );
    }

    fn retry_scheduled(&self, pause: Duration) {
        told!(
            info,
            message::RETRY_SCHEDULED,
            self,
            { retry::DELAY_MS } = pause.as_millis() as u64,
            { retry::ATTEMPTS_MAX } = self.queue.deliveries_max,
            "message comes again"
        );
    }

    fn dead_lettered(&self, error_type: &str) {
        told!(
            error,
            message::DEAD_LETTERED,
            self,
            { message::DEAD_LETTER_DESTINATION } = format!("{}.dead", self.queue.name),
            { record::ERROR_TYPE } = error_type,
            "message put aside"
        );
    }
}

fn again(error_type: &'static str, message: &str) -> Result<Handled, Failure> {
    Err(Failure::Again { error_type, message: message.to_owned() })
}
