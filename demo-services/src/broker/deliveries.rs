//! What is done to the tables from the consumers' side: lending copies, ending leases, settling, redriving.
//!
//! As in `store`, every function is one piece of work within a transaction. A tag is a copy's number and its attempt, so
//! that it fits one delivery alone.

use std::collections::BTreeMap;

use rusqlite::{Row, Transaction, params};

use super::message::{Delivery, Message, Queue, Settlement, Verdict, cut};
use super::store::{StoreError, find, hold};
use crate::kit::database::json_of;

/// Bits of a tag that are the attempt; the others are the copy's number.
const ATTEMPT_BITS: u32 = 10;
const ATTEMPT_MASK: u64 = (1 << ATTEMPT_BITS) - 1;

/// Why a lease that is over ends in a dead letter.
pub(super) const LEASE_OVER: &str = "lease_over";

#[derive(Debug)]
pub(super) struct Lent {
    pub(super) deliveries: Vec<Delivery>,
    /// Those whose last lease was found to be over.
    pub(super) lapsed: Vec<Lapsed>,
    /// When there may be something that is not there now, if nothing is published or settled. Not before.
    pub(super) look_again_ms: i64,
}

/// A copy that became a dead letter because its last lease is over.
#[derive(Debug)]
pub(super) struct Lapsed {
    pub(super) queue: String,
    pub(super) id: String,
    pub(super) kind: String,
    pub(super) headers: BTreeMap<String, String>,
    pub(super) attempt: u32,
    pub(super) consumer: Option<String>,
}

/// How many deliveries were settled in which way. Those that had been lent to another since are in none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Settled {
    pub(super) done: u64,
    pub(super) scheduled: u64,
    pub(super) dead: u64,
}

/// Has all that is lent be lent again: after a restart nobody's word is under way.
pub(super) fn release(tx: &Transaction<'_>, now_ms: i64) -> rusqlite::Result<usize> {
    tx.execute(
        "UPDATE messages SET state = 'ready', due_ms = 0, changed_ms = ? WHERE state = 'leased'",
        [now_ms],
    )
}

/// Lends up to `max` copies to `consumer`, in the order in which they arrived.
pub(super) fn lend(
    tx: &Transaction<'_>,
    queue: &str,
    consumer: &str,
    max: usize,
    now_ms: i64,
) -> Result<Lent, StoreError> {
    let queue = find(tx, queue)?;
    let lapsed = lapse(tx, &queue, now_ms)?;
    let lease_end_ms = now_ms + queue.lease.as_millis() as i64;
    let mut lend = tx.prepare_cached(
        "UPDATE messages SET state = 'leased', due_ms = ?1, attempt = min(attempt + 1, ?2), awaited = 1,
             consumer = ?3, changed_ms = ?4
         WHERE number IN (SELECT number FROM messages WHERE queue = ?5 AND state = 'ready' AND due_ms = 0
                          ORDER BY number LIMIT ?6)
         RETURNING number, attempt, id, exchange, routing_key, kind, headers, body",
    )?;
    let values =
        params![lease_end_ms, ATTEMPT_MASK, consumer, now_ms, queue.name, i64::try_from(max).ok()];
    let deliveries: rusqlite::Result<Vec<_>> = lend.query_map(values, delivery_of)?.collect();
    let mut deliveries = deliveries?;
    deliveries.sort_unstable_by_key(|delivery| delivery.tag);
    let mut due = tx.prepare_cached(
        "SELECT min(due_ms) FROM (
             SELECT min(due_ms) AS due_ms FROM messages WHERE queue = ?1 AND state = 'leased' UNION ALL
             SELECT min(due_ms) FROM messages WHERE queue = ?1 AND state = 'scheduled')",
    )?;
    let due_ms: Option<i64> = due.query_row([&queue.name], |row| row.get(0))?;
    // What another consumer is lent from now on cannot be over before that.
    let look_again_ms = due_ms.map_or(lease_end_ms, |due_ms| due_ms.min(lease_end_ms));
    Ok(Lent { deliveries, lapsed, look_again_ms })
}

/// Has copies whose lease or pause is over be lent again, or puts them aside if that was their last.
pub(super) fn lapse(
    tx: &Transaction<'_>,
    queue: &Queue,
    now_ms: i64,
) -> rusqlite::Result<Vec<Lapsed>> {
    let mut bury = tx.prepare_cached(
        "UPDATE messages SET state = 'dead', due_ms = 0, awaited = 0, changed_ms = ?1, reason = ?2
         WHERE queue = ?3 AND state = 'leased' AND due_ms <= ?1 AND attempt >= ?4
         RETURNING id, kind, headers, attempt, consumer",
    )?;
    let lapsed = |row: &Row<'_>| {
        Ok(Lapsed {
            queue: queue.name.clone(),
            id: row.get(0)?,
            kind: row.get(1)?,
            headers: json_of(row, 2)?,
            attempt: row.get(3)?,
            consumer: row.get(4)?,
        })
    };
    let values = params![now_ms, LEASE_OVER, queue.name, queue.deliveries_max];
    let lapsed: rusqlite::Result<Vec<_>> = bury.query_map(values, lapsed)?.collect();
    tx.prepare_cached(
        "UPDATE messages SET state = 'ready', due_ms = 0, changed_ms = ?1
         WHERE queue = ?2 AND state IN ('leased', 'scheduled') AND due_ms <= ?1",
    )?
    .execute(params![now_ms, queue.name])?;
    lapsed
}

/// The first word about a delivery counts until its copy is lent again or put aside, even if the lease is over.
pub(super) fn settle(
    tx: &Transaction<'_>,
    queue: &str,
    settlements: &[Settlement],
    now_ms: i64,
) -> Result<Settled, StoreError> {
    let queue = find(tx, queue)?;
    let mut settled = Settled::default();
    for Settlement { tag, verdict } in settlements {
        let (number, attempt) = (tag >> ATTEMPT_BITS, (tag & ATTEMPT_MASK) as u32);
        let (count, state, due_ms, reason) = match verdict {
            Verdict::Done => {
                let mut forget = tx.prepare_cached(
                    "DELETE FROM messages
                     WHERE number = ? AND queue = ? AND attempt = ? AND awaited = 1",
                )?;
                settled.done += forget.execute(params![number, queue.name, attempt])? as u64;
                continue;
            }
            Verdict::Again { reason } => match queue.pause_after(attempt) {
                Some(pause) => {
                    let due_ms = now_ms + pause.as_millis() as i64;
                    (&mut settled.scheduled, "scheduled", due_ms, reason)
                }
                None => (&mut settled.dead, "dead", 0, reason),
            },
            Verdict::Refused { reason } => (&mut settled.dead, "dead", 0, reason),
        };
        let mut put = tx.prepare_cached(
            "UPDATE messages SET state = ?1, due_ms = ?2, awaited = 0, changed_ms = ?3, reason = ?4
             WHERE number = ?5 AND queue = ?6 AND attempt = ?7 AND awaited = 1",
        )?;
        let values = params![state, due_ms, now_ms, cut(reason), number, queue.name, attempt];
        *count += put.execute(values)? as u64;
    }
    hold(tx, &queue.name, -(settled.done as i64))?;
    Ok(settled)
}

/// Lets a dead letter begin anew, behind all that waits.
pub(super) fn redrive(
    tx: &Transaction<'_>,
    queue: &str,
    id: &str,
    now_ms: i64,
) -> Result<usize, StoreError> {
    find(tx, queue)?;
    // A new number: no tag of an old delivery may fit.
    let redriven = tx.execute(
        "INSERT INTO messages (queue, state, due_ms, attempt, awaited, arrived_ms, changed_ms,
             id, exchange, routing_key, kind, headers, body)
         SELECT queue, 'ready', 0, 0, 0, ?1, ?1, id, exchange, routing_key, kind, headers, body
         FROM messages WHERE queue = ?2 AND state = 'dead' AND id = ?3 ORDER BY number",
        params![now_ms, queue, id],
    )?;
    if redriven == 0 {
        let (queue, id) = (queue.to_owned(), id.to_owned());
        return Err(StoreError::NoDeadLetter { queue, id });
    }
    tx.execute("DELETE FROM messages WHERE queue = ? AND state = 'dead' AND id = ?", [queue, id])?;
    Ok(redriven)
}

fn delivery_of(row: &Row<'_>) -> rusqlite::Result<Delivery> {
    let (number, attempt): (u64, u32) = (row.get(0)?, row.get(1)?);
    let message = Message {
        id: row.get(2)?,
        exchange: row.get(3)?,
        routing_key: row.get(4)?,
        kind: row.get(5)?,
        headers: json_of(row, 6)?,
        body: json_of(row, 7)?,
    };
    Ok(Delivery { message, tag: number << ATTEMPT_BITS | u64::from(attempt), attempt })
}
