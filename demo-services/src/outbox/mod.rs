//! Transactional outbox and inbox: a message is sent if and only if the change that it tells of was committed, and what
//! it causes happens once.
//!
//! ```text
//!  transaction                     relay                    broker            consumer's transaction
//!  change + row in `outbox` ──▶ publish, then mark ──▶ queue, deliver ──▶ row in `inbox` + what it causes
//! ```
//!
//! A kill between publishing and marking sends the message again, under the same id; the broker and the [`inbox`] know
//! it then. The row keeps the correlation and the trace of the work that wrote it, and the message carries them on.

pub(crate) mod inbox;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use rusqlite::{Transaction, params};
use serde::Serialize;
use service::metrics::{Counter, Gauge};
use service::semantics::{database, message, record};
use service::telemetry::{Message as Named, Origin, messages};
use tokio::sync::Notify;
use tracing::{Span, info, warn};
use utoipa::ToSchema;

use crate::broker::{Broker, Message, SYSTEM};
use crate::kit::abort::AbortAt;
use crate::kit::clock::now_ms;
use crate::kit::context::Context;
use crate::kit::database::{Database, DatabaseError, json_of};
use crate::kit::rows::{self, Row};

/// The table, to be put among the migrations of the database.
pub(crate) const TABLE: &str = "
    CREATE TABLE outbox (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        id TEXT NOT NULL UNIQUE,
        message TEXT NOT NULL,          -- JSON
        written_ms INTEGER NOT NULL,
        published_ms INTEGER
    ) STRICT;
    CREATE INDEX outbox_open ON outbox (number) WHERE published_ms IS NULL;";

/// Messages that are published at once.
const BATCH_MAX: u32 = 32;
/// Messages that may wait for the broker.
const WAITING_MAX: i64 = 100_000;
/// Published rows that are kept, to be looked at.
const KEPT_MAX: i64 = 1_000;
/// While the broker takes nothing.
const PAUSE_MIN: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_secs(2);

/// Wakes the relay. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Outbox {
    written: Arc<Notify>,
}

/// How much of an outbox has gone out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct OutboxAccount {
    pub(crate) written: i64,
    pub(crate) published: i64,
}

/// Writes a message, to be published if the transaction is committed.
pub(crate) fn put(tx: &Transaction<'_>, message: &Message) -> rusqlite::Result<()> {
    let text = serde_json::to_string(message).expect("has no maps with other keys than text");
    tx.prepare_cached("INSERT INTO outbox (id, message, written_ms) VALUES (?, ?, ?)")?
        .execute(params![message.id, text, now_ms()])?;
    Ok(())
}

/// How much has gone out.
pub(crate) fn account(tx: &Transaction<'_>) -> rusqlite::Result<OutboxAccount> {
    // Numbers are never used again, and those below the first row went out before they were cleared away.
    let written = "SELECT ifnull(max(seq), 0) FROM sqlite_sequence WHERE name = 'outbox'";
    let written = tx.query_row(written, [], |row| row.get(0))?;
    let open: i64 =
        tx.query_row("SELECT count(*) FROM outbox WHERE published_ms IS NULL", [], |row| {
            row.get(0)
        })?;
    Ok(OutboxAccount { written, published: written - open })
}

/// Whether so much waits that nothing more should be written: the broker was away for long.
pub(crate) fn is_full(tx: &Transaction<'_>) -> rusqlite::Result<bool> {
    tx.prepare_cached(
        "SELECT EXISTS (SELECT 1 FROM outbox
         WHERE published_ms IS NULL AND number <= (SELECT max(number) FROM outbox) - ?)",
    )?
    .query_row([WAITING_MAX], |row| row.get(0))
}

impl Outbox {
    /// There may be something to publish.
    pub(crate) fn wake(&self) {
        self.written.notify_one();
    }

    /// Publishes what is written, in order, until it is time to stop.
    pub(crate) async fn relay(self, context: Context, database: Database, broker: Broker) {
        let relay = Relay {
            database_name: context.service,
            published: context.metrics.counter(
                "shop_outbox_published_total",
                "Messages of the outbox that were published.",
            ),
            open: context.metrics.gauge(
                "shop_outbox_open",
                "Messages of the outbox that were not published at the last look.",
            ),
            database,
            broker,
            told: AtomicI64::new(0),
            abort: AbortAt::from_env(),
        };
        let mut pause = PAUSE_MIN;
        loop {
            let wait = match relay.publish_batch().await {
                Ok(0) => None,
                Ok(_) => {
                    pause = PAUSE_MIN;
                    continue;
                }
                Err(error) => {
                    warn!(error, "outbox waits");
                    let wait = pause.mul_f64(fastrand::f64() / 2.0 + 0.5);
                    pause = (pause * 2).min(PAUSE_MAX);
                    Some(wait)
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
                () = context.stop.requested() => {
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
    told: AtomicI64,
    abort: AbortAt,
    published: Counter,
    open: Gauge,
}

impl Relay {
    /// How many were published.
    async fn publish_batch(&self) -> Result<usize, String> {
        let rows =
            self.database.run(next).await.map_err(|error: DatabaseError| error.to_string())?;
        self.open.set(rows.len() as i64);
        if rows.is_empty() {
            return Ok(0);
        }
        let (numbers, mut messages): (Vec<i64>, Vec<Message>) = rows.into_iter().unzip();
        let begun = numbers.iter().zip(&mut messages);
        let spans: Vec<Span> =
            begun.map(|(number, message)| self.begin(*number, message)).collect();
        let sent = self.broker.publish(&messages).await;
        let routed = sent.map_err(|error| error.to_string())?;
        for ((message, span), queues) in messages.iter().zip(&spans).zip(routed) {
            span.in_scope(|| published(message, queues));
        }
        for message in &messages {
            self.abort.pass("after-publish", &message.kind);
        }
        self.published.inc_by(messages.len() as u64);
        let count = messages.len();
        let marked = self.database.run(move |tx| mark(tx, &numbers)).await;
        marked.map(|()| count).map_err(|error| error.to_string())
    }

    /// The span of publishing a message, within the work that wrote it; the message carries it on.
    fn begin(&self, number: i64, message: &mut Message) -> Span {
        let named = Named { system: SYSTEM, destination: &message.exchange, id: &message.id };
        let span = messages::publish(named);
        Origin::of_message(&message.headers).begin(&span);
        span.in_scope(|| {
            if self.told.fetch_max(number, Ordering::Relaxed) < number {
                let (database, table) = (self.database_name, "outbox");
                let (key, message) = (message.id.as_str(), Some(message.id.as_str()));
                let operation = database::INSERT;
                rows::changed(Row { database, table, operation, key, message, ..Row::default() });
            }
            messages::inject(&mut message.headers);
        });
        span
    }
}

fn published(message: &Message, queues: u32) {
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

fn next(tx: &Transaction<'_>) -> rusqlite::Result<Vec<(i64, Message)>> {
    let mut query = tx.prepare_cached(
        "SELECT number, message FROM outbox WHERE published_ms IS NULL ORDER BY number LIMIT ?",
    )?;
    query.query_map([BATCH_MAX], |row| Ok((row.get(0)?, json_of(row, 1)?)))?.collect()
}

fn mark(tx: &Transaction<'_>, numbers: &[i64]) -> rusqlite::Result<()> {
    let mut update = tx.prepare_cached("UPDATE outbox SET published_ms = ? WHERE number = ?")?;
    let now = now_ms();
    for number in numbers {
        update.execute(params![now, number])?;
    }
    let last = numbers.last().copied().unwrap_or(0);
    tx.prepare_cached("DELETE FROM outbox WHERE number <= ? AND published_ms IS NOT NULL")?
        .execute([last - KEPT_MAX])?;
    Ok(())
}
