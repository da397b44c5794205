//! The relay: publishes what the outbox has, in order, and marks it.

use std::time::Duration;

use rusqlite::{Transaction, params};
use service::metrics::{Counter, Gauge};
use service::semantics::{database, message, record};
use service::telemetry::{Message as Named, Origin, fail, messages};
use tracing::{Span, error, info, warn};

use super::{Outbox, waiting};
use crate::broker::{Broker, BrokerError, Message, SYSTEM};
use crate::kit::abort::AbortAt;
use crate::kit::backoff;
use crate::kit::clock::now_ms;
use crate::kit::context::Context;
use crate::kit::database::{Database, DatabaseError, json_of};
use crate::kit::rows::{self, Row};

/// Messages that are published at once.
const BATCH_MAX: u32 = 32;
/// Published rows that are kept, to be looked at.
const KEPT_MAX: i64 = 1_000;
/// While the broker takes nothing.
const PAUSE_MIN: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_secs(2);

impl Outbox {
    /// Publishes what is written, in order, until it is time to stop.
    pub(crate) async fn relay(self, context: Context, database: Database, broker: Broker) {
        let Context { metrics, stop, .. } = &context;
        let mut relay = Relay {
            database_name: context.service,
            published: metrics.counter(
                "shop_outbox_published_total",
                "Messages of the outbox that were published.",
            ),
            refused: metrics.counter(
                "shop_outbox_refused_total",
                "Messages of the outbox that the broker will never take.",
            ),
            open: metrics.gauge(
                "shop_outbox_open",
                "Messages of the outbox that were not published at the last look.",
            ),
            database,
            broker,
            told: 0,
            abort: AbortAt::from_env(),
        };
        let mut failures = 0;
        loop {
            let wait = match relay.publish_batch().await {
                Ok(count) => {
                    if failures > 0 {
                        info!(failures, "the outbox goes out again");
                        failures = 0;
                    }
                    if count > 0 {
                        continue;
                    }
                    None
                }
                Err(error) => {
                    if failures == 0 {
                        warn!(error, "the outbox waits, trying again");
                    }
                    failures += 1;
                    Some(backoff::pause(PAUSE_MIN, PAUSE_MAX, failures))
                }
            };
            let waited = async {
                match wait {
                    Some(wait) => tokio::time::sleep(wait).await,
                    None => self.written.notified().await,
                }
            };
            tokio::select! {
                // What was committed last goes out still, if the broker is there.
                () = stop.requested() => {
                    while matches!(relay.publish_batch().await, Ok(1..)) {}
                    return;
                }
                () = waited => {}
            }
        }
    }
}

struct Relay {
    /// The database that the rows are in.
    database_name: &'static str,
    database: Database,
    broker: Broker,
    /// Rows up to this number were told of.
    told: i64,
    abort: AbortAt,
    published: Counter,
    refused: Counter,
    open: Gauge,
}

/// What became of a message: how many queues it went to, or why the broker will never take it.
type Sent = Result<u32, String>;

impl Relay {
    /// How many messages are dealt with.
    async fn publish_batch(&mut self) -> Result<usize, String> {
        let next = self.database.run(|tx| Ok((next(tx)?, waiting(tx)?)));
        let (rows, open) = next.await.map_err(|error: DatabaseError| error.to_string())?;
        self.open.set(open);
        if rows.is_empty() {
            return Ok(0);
        }
        let (numbers, mut messages): (Vec<i64>, Vec<Message>) = rows.into_iter().unzip();
        let begun = numbers.iter().zip(&mut messages);
        let spans: Vec<Span> =
            begun.map(|(number, message)| self.begin(*number, message)).collect();
        let sent = self.send(&messages).await.map_err(|error| {
            spans.iter().for_each(|span| {
                span.in_scope(|| fail(error.error_type(), error.to_string()));
            });
            error.to_string()
        })?;
        for ((message, span), sent) in messages.iter().zip(spans).zip(&sent) {
            span.in_scope(|| self.tell(message, sent));
        }
        for message in &messages {
            self.abort.pass("after-publish", &message.kind);
        }
        let count = sent.len();
        let marked = self.database.run(move |tx| mark(tx, &numbers, &sent)).await;
        marked.map(|()| count).map_err(|error| error.to_string())
    }

    /// Together, and one by one if there are some among them that the broker does not take.
    async fn send(&self, messages: &[Message]) -> Result<Vec<Sent>, BrokerError> {
        let refused = match self.broker.publish(messages).await {
            Ok(routed) => return Ok(routed.into_iter().map(Ok).collect()),
            Err(error) if error.is_for_good() => error,
            Err(error) => return Err(error),
        };
        if messages.len() == 1 {
            return Ok(vec![Err(refused.to_string())]);
        }
        let mut sent = Vec::with_capacity(messages.len());
        for message in messages.chunks(1) {
            sent.extend(Box::pin(self.send(message)).await?);
        }
        Ok(sent)
    }

    /// The span of publishing a message, within the work that wrote it; the message carries it on.
    fn begin(&mut self, number: i64, message: &mut Message) -> Span {
        let named = Named { system: SYSTEM, destination: &message.exchange, id: &message.id };
        let span = messages::publish(named);
        Origin::of_message(&message.headers).begin(&span);
        span.in_scope(|| {
            if self.told < number {
                self.told = number;
                let (database, table) = (self.database_name, "outbox");
                let (key, message) = (message.id.as_str(), Some(message.id.as_str()));
                let operation = database::INSERT;
                rows::changed(Row { database, table, operation, key, message, ..Row::default() });
            }
            messages::inject(&mut message.headers);
        });
        span
    }

    fn tell(&self, message: &Message, sent: &Sent) {
        match sent {
            Ok(queues) => {
                self.published.inc();
                info!(
                    event_name = message::PUBLISHED,
                    { message::SYSTEM } = SYSTEM,
                    { message::DESTINATION_NAME } = message.exchange,
                    { message::MESSAGE_ID } = message.id,
                    { message::TYPE } = message.kind,
                    { message::CONSUMERS_EXPECTED } = queues,
                    { record::CAUSATION_ID } = message.body["saga_id"].as_str(),
                    "message published"
                );
            }
            Err(reason) => {
                self.refused.inc();
                fail("refused", reason.as_str());
                error!(
                    { message::SYSTEM } = SYSTEM,
                    { message::DESTINATION_NAME } = message.exchange,
                    { message::MESSAGE_ID } = message.id,
                    { message::TYPE } = message.kind,
                    { record::ERROR_TYPE } = "refused",
                    { record::ERROR_MESSAGE } = reason,
                    "message set aside in the outbox"
                );
            }
        }
    }
}

fn next(tx: &Transaction<'_>) -> rusqlite::Result<Vec<(i64, Message)>> {
    let mut query = tx.prepare_cached(
        "SELECT number, message FROM outbox WHERE published_ms IS NULL AND refused IS NULL
         ORDER BY number LIMIT ?",
    )?;
    query.query_map([BATCH_MAX], |row| Ok((row.get(0)?, json_of(row, 1)?)))?.collect()
}

fn mark(tx: &Transaction<'_>, numbers: &[i64], sent: &[Sent]) -> rusqlite::Result<()> {
    let mut update =
        tx.prepare_cached("UPDATE outbox SET published_ms = ?, refused = ? WHERE number = ?")?;
    let now = now_ms();
    for (number, sent) in numbers.iter().zip(sent) {
        update.execute(params![sent.is_ok().then_some(now), sent.as_ref().err(), number])?;
    }
    let last = numbers.last().copied().unwrap_or(0);
    tx.prepare_cached("DELETE FROM outbox WHERE number <= ? AND published_ms IS NOT NULL")?
        .execute([last - KEPT_MAX])?;
    Ok(())
}
