//! Transactional outbox and inbox: a message is sent if and only if the change that it tells of was committed, and what
//! it causes happens once.
//!
//! ```text
//!  transaction                     relay                    broker            consumer's transaction
//!  change + row in `outbox` ──▶ publish, then mark ──▶ queue, deliver ──▶ row in `inbox` + what it causes
//! ```
//!
//! A kill between publishing and marking sends the message again, under the same id; the broker and the [`inbox`] know
//! it then. The row keeps the correlation and the trace of the work that wrote it, and the message carries them on. A
//! message that the broker will never take is set aside, so that those behind it go on.

pub(crate) mod inbox;

mod relay;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use rusqlite::{Transaction, params};
use serde::Serialize;
use tokio::sync::Notify;
use utoipa::ToSchema;

use crate::broker::Message;
use crate::kit::clock::now_ms;

/// The table, to be put among the migrations of the database.
pub(crate) const TABLE: &str = "
    CREATE TABLE outbox (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        id TEXT NOT NULL UNIQUE,
        message TEXT NOT NULL,          -- JSON
        written_ms INTEGER NOT NULL,
        published_ms INTEGER,
        refused TEXT                    -- why the broker will never take it
    ) STRICT;
    CREATE INDEX outbox_open ON outbox (number) WHERE published_ms IS NULL AND refused IS NULL;
    CREATE INDEX outbox_refused ON outbox (number) WHERE refused IS NOT NULL;";

/// Messages that may wait for the broker.
const WAITING_MAX: i64 = 100_000;

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
    /// Which the broker will never take.
    pub(crate) refused: i64,
}

impl Outbox {
    /// There may be something to publish.
    pub(crate) fn wake(&self) {
        self.written.notify_one();
    }
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
    let written: i64 = tx.query_row(written, [], |row| row.get(0))?;
    let refused = "SELECT count(*) FROM outbox WHERE refused IS NOT NULL";
    let refused: i64 = tx.query_row(refused, [], |row| row.get(0))?;
    Ok(OutboxAccount { written, published: written - waiting(tx)? - refused, refused })
}

/// Whether so much waits that nothing more should be written: the broker was away for long.
pub(crate) fn is_full(tx: &Transaction<'_>) -> rusqlite::Result<bool> {
    tx.prepare_cached(
        "SELECT EXISTS (SELECT 1 FROM outbox WHERE published_ms IS NULL AND refused IS NULL
         AND number <= (SELECT max(number) FROM outbox) - ?)",
    )?
    .query_row([WAITING_MAX], |row| row.get(0))
}

/// Messages that are to be published.
fn waiting(tx: &Transaction<'_>) -> rusqlite::Result<i64> {
    tx.prepare_cached("SELECT count(*) FROM outbox WHERE published_ms IS NULL AND refused IS NULL")?
        .query_row([], |row| row.get(0))
}
