//! The broker at work: its database, those who wait for messages, and what it counts and tells.
//!
//! Whoever waits is woken by what is published and settled, and by the time at which a lease or a pause is over: nothing
//! is asked again and again.

use std::collections::HashMap;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rusqlite::Transaction;
use service::semantics::{message, record};
use service::shutdown::Shutdown;
use service::telemetry::Origin;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::SYSTEM;
use super::deliveries::{self, LEASE_OVER, Lapsed, Lent};
use super::figures::Figures;
use super::message::{Delivery, Queue};
use super::stats::{self, Stats};
use super::store::{self, Limits, StoreError};
use super::tables::MIGRATIONS;
use crate::kit::clock::now_ms;
use crate::kit::context::Context;
use crate::kit::database::Database;

/// The shortest time between two looks of one who waits, should clocks disagree.
const LOOK_MIN: Duration = Duration::from_millis(5);

/// Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Server {
    database: Database,
    pub(super) limits: Limits,
    pub(super) figures: Figures,
    /// Of each queue that was declared: tells those who wait that there may be something.
    wakers: Arc<Mutex<HashMap<String, Arc<Notify>>>>,
    stop: Shutdown,
}

impl Server {
    pub(super) async fn open(context: &Context, limits: Limits) -> anyhow::Result<Self> {
        let database = Database::open(&context.data.join("broker.db"), MIGRATIONS).await?;
        let now_ms = now_ms();
        let queues = database.run(move |tx| {
            deliveries::release(tx, now_ms)?;
            store::queues(tx)
        });
        let wakers = queues.await?.into_iter().map(|queue| (queue.name, Arc::default())).collect();
        Ok(Self {
            database,
            limits,
            figures: Figures::new(&context.metrics),
            wakers: Arc::new(Mutex::new(wakers)),
            stop: context.stop.clone(),
        })
    }

    /// Ends leases that are over, and sets the gauges.
    pub(super) async fn look(&self) {
        if let Err(error) = self.stats().await {
            tracing::warn!(%error, "cannot look at the queues");
        }
    }

    /// The figures of now.
    pub(super) async fn stats(&self) -> Result<Stats, StoreError> {
        let (mut stats, lapsed) = self.write(stats::stats).await?;
        self.tell(&lapsed);
        for queue in &mut stats.queues {
            // Each who asks has the waker, and so has the map.
            let held = self.waker(&queue.name).map_or(0, |waker| Arc::strong_count(&waker));
            queue.consumers = held.saturating_sub(2) as u64;
        }
        self.figures.set(&stats);
        Ok(stats)
    }

    /// Waits until there is a message, `deadline`, or the end of the broker.
    pub(super) async fn lend(
        &self,
        name: String,
        consumer: String,
        max: usize,
        deadline: Instant,
    ) -> Result<Vec<Delivery>, StoreError> {
        let waker = self.waker(&name).ok_or_else(|| StoreError::NoQueue { queue: name.clone() })?;
        loop {
            let mut woken = pin!(waker.notified());
            // From here on: what is published during the look is not missed.
            woken.as_mut().enable();
            let (queue, consumer) = (name.clone(), consumer.clone());
            let lend = move |tx: &Transaction<'_>, now_ms| {
                deliveries::lend(tx, &queue, &consumer, max, now_ms)
            };
            let Lent { deliveries, lapsed, look_again_ms } = self.write(lend).await?;
            self.tell(&lapsed);
            if !deliveries.is_empty() || Instant::now() >= deadline || self.stop.is_requested() {
                return Ok(deliveries);
            }
            let pause = Duration::from_millis(look_again_ms.saturating_sub(now_ms()).max(0) as u64);
            let look_again = Instant::now() + pause.max(LOOK_MIN);
            tokio::select! {
                () = woken => {}
                () = tokio::time::sleep_until(look_again.min(deadline)) => {}
                () = self.stop.requested() => {}
            }
        }
    }

    /// A piece of work of the store, with the time at which it is done.
    pub(super) async fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Transaction<'_>, i64) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.database.write(move |tx| work(tx, now_ms())).await
    }

    /// From here on there is the queue, and one can wait at it.
    pub(super) async fn declare(&self, queue: Queue) -> Result<(), StoreError> {
        let (name, limits) = (queue.name.clone(), self.limits);
        self.write(move |tx, _| store::declare(tx, &queue, limits)).await?;
        self.wakers.lock().unwrap_or_else(PoisonError::into_inner).entry(name).or_default();
        Ok(())
    }

    fn waker(&self, queue: &str) -> Option<Arc<Notify>> {
        self.wakers.lock().unwrap_or_else(PoisonError::into_inner).get(queue).cloned()
    }

    /// Has those who wait at the queue look again.
    pub(super) fn wake(&self, queue: &str) {
        if let Some(waker) = self.waker(queue) {
            waker.notify_waiters();
        }
    }

    /// Tells of dead letters that no consumer tells of: it had its last delivery for too long.
    fn tell(&self, lapsed: &[Lapsed]) {
        for Lapsed { queue, id, kind, headers, attempt, consumer } in lapsed {
            self.figures.dead_lettered.with_label_values(&[queue]).inc();
            let span = tracing::info_span!("message.lapse", otel.name = format!("lapse {queue}"));
            Origin::of_message(headers).begin(&span);
            span.in_scope(|| {
                tracing::error!(
                    event_name = message::DEAD_LETTERED,
                    { message::SYSTEM } = SYSTEM,
                    { message::DESTINATION_NAME } = queue,
                    { message::MESSAGE_ID } = id,
                    { message::TYPE } = kind,
                    { message::CONSUMER_GROUP_NAME } = consumer,
                    { message::DEAD_LETTER_DESTINATION } = format!("{queue}.dead"),
                    { record::ATTEMPT } = attempt,
                    { record::ERROR_TYPE } = LEASE_OVER,
                    "message put aside"
                );
            });
        }
    }
}
