//! What is done to the tables from the publishers' side: declaring queues and publishing.
//!
//! Every function is one piece of work within a transaction that its caller began; the clock is the caller's too. `held`
//! of a queue is always the number of its copies.

use std::collections::{BTreeMap, BTreeSet};

use rusqlite::{OptionalExtension, Row, Transaction, params};
use thiserror::Error;

use super::message::{ANY, Message, Queue, Written};
use crate::kit::database::DatabaseError;

/// How much the broker keeps.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// 256.
    pub(super) queues_max: u64,
    /// Copies that a queue holds, dead ones too; it refuses more. 100,000.
    pub(super) held_max: u64,
    /// Ids of published messages; older ones are forgotten, and would be stored a second time. 100,000.
    pub(super) published_max: u64,
    /// Messages that no queue is bound for; older ones are dropped. 1,000.
    pub(super) unrouted_max: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { queues_max: 256, held_max: 100_000, published_max: 100_000, unrouted_max: 1_000 }
    }
}

/// Why something was not done; nothing of it was.
#[derive(Debug, Error)]
pub(super) enum StoreError {
    #[error("there is no queue {queue:?}; declare it first")]
    NoQueue { queue: String },
    #[error(
        "queue {queue:?} holds {held_max} messages, its most; consume some, or redrive its dead letters"
    )]
    QueueFull { queue: String, held_max: u64 },
    #[error("there are {queues_max} queues, the most there can be")]
    TooManyQueues { queues_max: u64 },
    #[error("queue {queue:?} has no dead letter {id:?}")]
    NoDeadLetter { queue: String, id: String },
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

impl From<rusqlite::Error> for StoreError {
    fn from(source: rusqlite::Error) -> Self {
        Self::Database(source.into())
    }
}

/// What became of published messages.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Published {
    /// Queues with the copies that they got.
    pub(super) copies: BTreeMap<String, u64>,
    pub(super) known: u64,
    pub(super) unrouted: u64,
    /// How many queues are bound for each, in order.
    pub(super) routed: Vec<usize>,
}

pub(super) fn declare(
    tx: &Transaction<'_>,
    queue: &Queue,
    limits: Limits,
) -> Result<(), StoreError> {
    tx.execute(
        "INSERT INTO queues (name, deliveries_max, pause_min_ms, lease_ms) VALUES (?, ?, ?, ?)
         ON CONFLICT DO UPDATE SET deliveries_max = excluded.deliveries_max,
             pause_min_ms = excluded.pause_min_ms, lease_ms = excluded.lease_ms",
        params![
            queue.name,
            queue.deliveries_max,
            queue.pause_min.as_millis() as i64,
            queue.lease.as_millis() as i64
        ],
    )?;
    let queues: u64 = tx.query_row("SELECT count(*) FROM queues", [], |row| row.get(0))?;
    if queues > limits.queues_max {
        return Err(StoreError::TooManyQueues { queues_max: limits.queues_max });
    }
    tx.execute("DELETE FROM bindings WHERE queue = ?", [&queue.name])?;
    for binding in &queue.bindings {
        tx.execute(
            "INSERT OR IGNORE INTO bindings (exchange, pattern, queue) VALUES (?, ?, ?)",
            [&binding.exchange, &binding.pattern, &queue.name],
        )?;
    }
    Ok(())
}

/// The queues by name, without their bindings.
pub(super) fn queues(tx: &Transaction<'_>) -> rusqlite::Result<Vec<Queue>> {
    let mut queues = tx.prepare_cached(
        "SELECT name, deliveries_max, pause_min_ms, lease_ms FROM queues ORDER BY name",
    )?;
    queues.query_map([], queue_of)?.collect()
}

/// All of them, or none.
pub(super) fn publish(
    tx: &Transaction<'_>,
    messages: &[Written],
    limits: Limits,
    now_ms: i64,
) -> Result<Published, StoreError> {
    let mut published = Published::default();
    for written in messages {
        let queues = bound_for(tx, &written.message)?;
        published.routed.push(queues.len());
        if !is_new(tx, &written.message.id)? {
            published.known += 1;
            continue;
        }
        if queues.is_empty() {
            keep_unrouted(tx, written, now_ms)?;
            published.unrouted += 1;
        }
        for queue in queues {
            insert(tx, &queue, written, now_ms)?;
            *published.copies.entry(queue).or_default() += 1;
        }
    }
    for (queue, copies) in &published.copies {
        if hold(tx, queue, *copies as i64)? > limits.held_max {
            return Err(StoreError::QueueFull { queue: queue.clone(), held_max: limits.held_max });
        }
    }
    for (table, max) in [("published", limits.published_max), ("unrouted", limits.unrouted_max)] {
        tx.prepare_cached(&format!(
            "DELETE FROM {table} WHERE number <= (SELECT max(number) FROM {table}) - ?"
        ))?
        .execute([max])?;
    }
    Ok(published)
}

fn is_new(tx: &Transaction<'_>, id: &str) -> rusqlite::Result<bool> {
    let mut insert = tx.prepare_cached("INSERT OR IGNORE INTO published (id) VALUES (?)")?;
    Ok(insert.execute([id])? == 1)
}

fn bound_for(tx: &Transaction<'_>, message: &Message) -> rusqlite::Result<BTreeSet<String>> {
    let mut bound =
        tx.prepare_cached("SELECT queue FROM bindings WHERE exchange = ? AND pattern IN (?, ?)")?;
    let of = [message.exchange.as_str(), &message.routing_key, ANY];
    bound.query_map(of, |row| row.get(0))?.collect()
}

fn insert(
    tx: &Transaction<'_>,
    queue: &str,
    Written { message, headers, body }: &Written,
    now_ms: i64,
) -> rusqlite::Result<()> {
    tx.prepare_cached(
        "INSERT INTO messages (queue, state, due_ms, attempt, awaited, arrived_ms, changed_ms,
             id, exchange, routing_key, kind, headers, body)
         VALUES (?1, 'ready', 0, 0, 0, ?2, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
    )?
    .execute(params![
        queue,
        now_ms,
        message.id,
        message.exchange,
        message.routing_key,
        message.kind,
        headers,
        body
    ])?;
    Ok(())
}

fn keep_unrouted(
    tx: &Transaction<'_>,
    Written { message, headers, body }: &Written,
    now_ms: i64,
) -> rusqlite::Result<()> {
    tx.prepare_cached(
        "INSERT INTO unrouted (arrived_ms, id, exchange, routing_key, kind, headers, body)
         VALUES (?, ?, ?, ?, ?, ?, ?)",
    )?
    .execute(params![
        now_ms,
        message.id,
        message.exchange,
        message.routing_key,
        message.kind,
        headers,
        body
    ])?;
    Ok(())
}

/// Changes how many copies the queue holds; as many as it holds then.
pub(super) fn hold(tx: &Transaction<'_>, queue: &str, more: i64) -> rusqlite::Result<u64> {
    tx.prepare_cached("UPDATE queues SET held = held + ? WHERE name = ? RETURNING held")?
        .query_row(params![more, queue], |row| row.get(0))
}

pub(super) fn find(tx: &Transaction<'_>, queue: &str) -> Result<Queue, StoreError> {
    tx.prepare_cached(
        "SELECT name, deliveries_max, pause_min_ms, lease_ms FROM queues WHERE name = ?",
    )?
    .query_row([queue], queue_of)
    .optional()?
    .ok_or_else(|| StoreError::NoQueue { queue: queue.to_owned() })
}

fn queue_of(row: &Row<'_>) -> rusqlite::Result<Queue> {
    let milliseconds = |at| row.get(at).map(std::time::Duration::from_millis);
    Ok(Queue {
        name: row.get(0)?,
        bindings: Vec::new(),
        deliveries_max: row.get(1)?,
        pause_min: milliseconds(2)?,
        lease: milliseconds(3)?,
    })
}
