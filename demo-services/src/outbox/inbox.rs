//! What a consumer has dealt with: the id of each message, in the transaction that has the effect.

use rusqlite::{Transaction, params};

use crate::kit::clock::now_ms;

/// The table, to be put among the migrations of the consumer's database.
pub(crate) const TABLE: &str = "
    CREATE TABLE inbox (message TEXT PRIMARY KEY, at_ms INTEGER NOT NULL) STRICT;
    CREATE INDEX inbox_by_time ON inbox (at_ms);";

/// Longer than the broker delivers a message again by itself. A dead letter that people have delivered again after more
/// than that is not known any more.
const KEEP_MS: i64 = 24 * 60 * 60 * 1_000;
/// Old ids that one message clears away.
const CLEARED_MAX: u32 = 10;

/// Notes a message; false if it was dealt with before.
pub(crate) fn is_first(tx: &Transaction<'_>, message: &str) -> rusqlite::Result<bool> {
    let now = now_ms();
    let noted = tx
        .prepare_cached("INSERT OR IGNORE INTO inbox (message, at_ms) VALUES (?, ?)")?
        .execute(params![message, now])?;
    tx.prepare_cached(
        "DELETE FROM inbox WHERE message IN
         (SELECT message FROM inbox WHERE at_ms < ? ORDER BY at_ms LIMIT ?)",
    )?
    .execute(params![now - KEEP_MS, CLEARED_MAX])?;
    Ok(noted > 0)
}
