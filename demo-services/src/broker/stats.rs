//! What the broker holds, for people: each queue's figures, and its dead letters.

use std::collections::BTreeMap;

use rusqlite::{Transaction, params};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::deliveries::{self, Lapsed};
use super::store::{self, StoreError};
use crate::kit::database::json_of;

/// Dead letters in one answer.
pub(super) const PAGE_MAX: usize = 100;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(super) struct Stats {
    pub(super) queues: Vec<QueueStats>,
    pub(super) unrouted: Unrouted,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
pub(super) struct QueueStats {
    pub(super) name: String,
    pub(super) ready: u64,
    pub(super) leased: u64,
    pub(super) scheduled: u64,
    pub(super) dead_letters: u64,
    /// Consumers that are asking for messages now.
    pub(super) consumers: u64,
    /// How long the first of those that are not dead has been there.
    pub(super) oldest_ms: Option<i64>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(super) struct Unrouted {
    /// Since the database was made.
    pub(super) total: u64,
    /// The last of them, which are kept.
    pub(super) kept: u64,
}

#[derive(Debug, Serialize, ToSchema)]
pub(super) struct DeadLetter {
    /// Pages go on behind it.
    pub(super) number: u64,
    pub(super) id: String,
    pub(super) exchange: String,
    pub(super) routing_key: String,
    pub(super) kind: String,
    pub(super) attempt: u32,
    pub(super) reason: Option<String>,
    pub(super) consumer: Option<String>,
    /// Milliseconds since 1970.
    pub(super) arrived_ms: i64,
    pub(super) dead_ms: i64,
    pub(super) headers: BTreeMap<String, String>,
    pub(super) body: Value,
}

/// Leases and pauses that are over are ended first, so that the figures are of now.
pub(super) fn stats(tx: &Transaction<'_>, now_ms: i64) -> Result<(Stats, Vec<Lapsed>), StoreError> {
    let (mut queues, mut lapsed) = (Vec::new(), Vec::new());
    for queue in store::queues(tx)? {
        lapsed.extend(deliveries::lapse(tx, &queue, now_ms)?);
        queues.push(queue_stats(tx, queue.name, now_ms)?);
    }
    let unrouted =
        tx.query_row("SELECT coalesce(max(number), 0), count(*) FROM unrouted", [], |row| {
            Ok(Unrouted { total: row.get(0)?, kept: row.get(1)? })
        })?;
    Ok((Stats { queues, unrouted }, lapsed))
}

fn queue_stats(tx: &Transaction<'_>, name: String, now_ms: i64) -> rusqlite::Result<QueueStats> {
    // The index alone is read, not the messages.
    let mut states = tx.prepare_cached(
        "SELECT state, count(*), min(number) FROM messages WHERE queue = ? GROUP BY state",
    )?;
    let states = states.query_map([&name], |row| {
        Ok((row.get::<_, String>(0)?, row.get::<_, u64>(1)?, row.get::<_, u64>(2)?))
    })?;
    let mut figures = QueueStats::default();
    let mut first = None;
    for state in states {
        let (state, count, number) = state?;
        let figure = match state.as_str() {
            "ready" => &mut figures.ready,
            "leased" => &mut figures.leased,
            "scheduled" => &mut figures.scheduled,
            _ => &mut figures.dead_letters,
        };
        *figure = count;
        if state != "dead" {
            first = Some(first.map_or(number, |first: u64| first.min(number)));
        }
    }
    if let Some(first) = first {
        let mut arrived = tx.prepare_cached("SELECT arrived_ms FROM messages WHERE number = ?")?;
        let arrived_ms: i64 = arrived.query_row([first], |row| row.get(0))?;
        figures.oldest_ms = Some((now_ms - arrived_ms).max(0));
    }
    Ok(QueueStats { name, ..figures })
}

/// Up to [`PAGE_MAX`] of them in the order of their arrival, behind the one with the number `after`.
pub(super) fn dead_letters(
    tx: &Transaction<'_>,
    queue: &str,
    after: u64,
) -> Result<Vec<DeadLetter>, StoreError> {
    store::find(tx, queue)?;
    let mut letters = tx.prepare_cached(
        "SELECT number, id, exchange, routing_key, kind, attempt, reason, consumer, arrived_ms, changed_ms,
             headers, body
         FROM messages WHERE queue = ? AND state = 'dead' AND due_ms = 0 AND number > ?
         ORDER BY number LIMIT ?",
    )?;
    let after = i64::try_from(after).unwrap_or(i64::MAX);
    let letters = letters.query_map(params![queue, after, PAGE_MAX as i64], |row| {
        Ok(DeadLetter {
            number: row.get(0)?,
            id: row.get(1)?,
            exchange: row.get(2)?,
            routing_key: row.get(3)?,
            kind: row.get(4)?,
            attempt: row.get(5)?,
            reason: row.get(6)?,
            consumer: row.get(7)?,
            arrived_ms: row.get(8)?,
            dead_ms: row.get(9)?,
            headers: json_of(row, 10)?,
            body: json_of(row, 11)?,
        })
    })?;
    Ok(letters.collect::<rusqlite::Result<_>>()?)
}
