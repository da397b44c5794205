//! Sagas in the database of the service that runs them: where each one stands, and what happened to it so far.

use std::collections::BTreeMap;

use rusqlite::{OptionalExtension, Row, Transaction, params};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::instance::{Action, Instance, Reason};
use crate::kit::clock::now_ms;
use crate::kit::database::json_of;

/// The tables, to be put among the migrations of the database.
pub(crate) const TABLES: &str = "
    CREATE TABLE sagas (
        id TEXT PRIMARY KEY,
        name TEXT NOT NULL,
        subject TEXT NOT NULL,          -- what it is about: the order
        instance TEXT NOT NULL,         -- JSON of where it stands
        data TEXT NOT NULL,             -- JSON of what its requests are made of
        headers TEXT NOT NULL,          -- JSON of the correlation and the trace that it belongs to
        is_open INTEGER NOT NULL,
        started_ms INTEGER NOT NULL,
        deadline_ms INTEGER NOT NULL,
        ended_ms INTEGER,
        has_history INTEGER NOT NULL DEFAULT 1
    ) STRICT;
    CREATE INDEX sagas_ended ON sagas (ended_ms) WHERE has_history;
    CREATE UNIQUE INDEX sagas_by_subject ON sagas (subject);
    CREATE INDEX sagas_open ON sagas (started_ms) WHERE is_open;
    CREATE TABLE saga_history (
        saga TEXT NOT NULL,
        number INTEGER NOT NULL,
        at_ms INTEGER NOT NULL,
        event TEXT NOT NULL,
        step INTEGER,
        attempt INTEGER,
        error_type TEXT,
        error_message TEXT,
        PRIMARY KEY (saga, number)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE manual_interventions (
        saga TEXT NOT NULL,
        step INTEGER NOT NULL,
        error_type TEXT NOT NULL,
        error_message TEXT NOT NULL,
        since_ms INTEGER NOT NULL,
        resolved_ms INTEGER,
        note TEXT,
        PRIMARY KEY (saga, step)
    ) STRICT, WITHOUT ROWID;";

/// How long what happened to a saga is kept after its end: a day.
const HISTORY_MS: i64 = 24 * 60 * 60 * 1_000;
/// Histories that the end of another saga clears away.
const FORGOTTEN_MAX: u32 = 5;

/// A saga as it is in the database.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Run {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) subject: String,
    pub(crate) instance: Instance,
    pub(crate) data: Value,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) started_ms: i64,
    pub(crate) deadline_ms: i64,
}

/// Something that happened to a saga.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct Happened {
    pub(crate) at_ms: i64,
    /// A name of [`service::semantics::saga`].
    pub(crate) event: String,
    pub(crate) step: Option<u32>,
    pub(crate) attempt: Option<u32>,
    pub(crate) error_type: Option<String>,
    pub(crate) error_message: Option<String>,
}

/// A step that could not be undone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct Intervention {
    pub(crate) saga: String,
    pub(crate) order: String,
    pub(crate) step: u32,
    pub(crate) error_type: String,
    pub(crate) error_message: String,
    pub(crate) since_ms: i64,
}

impl Happened {
    pub(crate) fn now(event: &str, action: Option<Action>, reason: Option<&Reason>) -> Self {
        Self {
            at_ms: now_ms(),
            event: event.to_owned(),
            step: action.map(|action| action.step),
            attempt: action.map(|action| action.attempt),
            error_type: reason.map(|reason| reason.error_type.clone()),
            error_message: reason.map(|reason| reason.message.clone()),
        }
    }
}

/// Puts a new saga in.
pub(crate) fn insert(tx: &Transaction<'_>, run: &Run, first: &Happened) -> rusqlite::Result<()> {
    tx.prepare_cached(
        "INSERT INTO sagas (id, name, subject, instance, data, headers, is_open, started_ms, deadline_ms)
         VALUES (?, ?, ?, ?, ?, ?, 1, ?, ?)",
    )?
    .execute(params![
        run.id,
        run.name,
        run.subject,
        json(&run.instance),
        run.data.to_string(),
        json(&run.headers),
        run.started_ms,
        run.deadline_ms,
    ])?;
    happened(tx, &run.id, first)
}

/// Writes where a saga stands.
pub(crate) fn update(tx: &Transaction<'_>, run: &Run) -> rusqlite::Result<()> {
    let ended_ms = run.instance.state.is_end().then(now_ms);
    tx.prepare_cached(
        "UPDATE sagas SET instance = ?, data = ?, is_open = ?, ended_ms = ? WHERE id = ?",
    )?
    .execute(params![
        json(&run.instance),
        run.data.to_string(),
        ended_ms.is_none(),
        ended_ms,
        run.id
    ])?;
    Ok(())
}

/// Writes where a saga stands, and nothing else of it.
pub(crate) fn stand(tx: &Transaction<'_>, id: &str, instance: &Instance) -> rusqlite::Result<()> {
    tx.prepare_cached("UPDATE sagas SET instance = ? WHERE id = ?")?
        .execute([&json(instance), id])?;
    Ok(())
}

/// Forgets what happened to a few of the sagas that ended long ago; how they ended stays.
pub(crate) fn forget_old(tx: &Transaction<'_>) -> rusqlite::Result<()> {
    let before_ms = now_ms() - HISTORY_MS;
    tx.prepare_cached(
        "DELETE FROM saga_history WHERE saga IN
         (SELECT id FROM sagas WHERE has_history AND ended_ms < ?1 ORDER BY ended_ms LIMIT ?2)",
    )?
    .execute(params![before_ms, FORGOTTEN_MAX])?;
    tx.prepare_cached(
        "UPDATE sagas SET has_history = 0 WHERE id IN
         (SELECT id FROM sagas WHERE has_history AND ended_ms < ?1 ORDER BY ended_ms LIMIT ?2)",
    )?
    .execute(params![before_ms, FORGOTTEN_MAX])?;
    Ok(())
}

/// Adds to what happened.
pub(crate) fn happened(tx: &Transaction<'_>, saga: &str, what: &Happened) -> rusqlite::Result<()> {
    tx.prepare_cached(
        "INSERT INTO saga_history (saga, number, at_ms, event, step, attempt, error_type, error_message)
         VALUES (?1, (SELECT ifnull(max(number), 0) + 1 FROM saga_history WHERE saga = ?1), ?2, ?3, ?4, ?5, ?6, ?7)",
    )?
    .execute(params![
        saga,
        what.at_ms,
        what.event,
        what.step,
        what.attempt,
        what.error_type,
        what.error_message,
    ])?;
    Ok(())
}

/// Puts a step that could not be undone before people.
pub(crate) fn ask_people(
    tx: &Transaction<'_>,
    saga: &str,
    step: u32,
    reason: &Reason,
) -> rusqlite::Result<()> {
    tx.execute(
        "INSERT OR IGNORE INTO manual_interventions (saga, step, error_type, error_message, since_ms)
         VALUES (?, ?, ?, ?, ?)",
        params![saga, step, reason.error_type, reason.message, now_ms()],
    )?;
    Ok(())
}

/// Whether something of a saga waits for people.
pub(crate) fn has_interventions(tx: &Transaction<'_>, saga: &str) -> rusqlite::Result<bool> {
    tx.prepare_cached(
        "SELECT EXISTS (SELECT 1 FROM manual_interventions WHERE saga = ? AND resolved_ms IS NULL)",
    )?
    .query_row([saga], |row| row.get(0))
}

/// What waits for people, the oldest first.
pub(crate) fn interventions(tx: &Transaction<'_>) -> rusqlite::Result<Vec<Intervention>> {
    let mut query = tx.prepare_cached(
        "SELECT saga, subject, step, error_type, error_message, since_ms
         FROM manual_interventions JOIN sagas ON id = saga WHERE resolved_ms IS NULL ORDER BY since_ms LIMIT 1000",
    )?;
    let rows = query.query_map([], |row| {
        Ok(Intervention {
            saga: row.get(0)?,
            order: row.get(1)?,
            step: row.get(2)?,
            error_type: row.get(3)?,
            error_message: row.get(4)?,
            since_ms: row.get(5)?,
        })
    })?;
    rows.collect()
}

/// Somebody did what the shop could not. Gives how much of the saga is left for people, if there was something to do.
pub(crate) fn resolve(
    tx: &Transaction<'_>,
    saga: &str,
    step: u32,
    note: &str,
) -> rusqlite::Result<Option<u32>> {
    let resolved = tx.execute(
        "UPDATE manual_interventions SET resolved_ms = ?, note = ?
         WHERE saga = ? AND step = ? AND resolved_ms IS NULL",
        params![now_ms(), note, saga, step],
    )?;
    if resolved == 0 {
        return Ok(None);
    }
    let left = "SELECT count(*) FROM manual_interventions WHERE saga = ? AND resolved_ms IS NULL";
    tx.query_row(left, [saga], |row| row.get(0)).map(Some)
}

/// A saga by its id.
pub(crate) fn find(tx: &Transaction<'_>, id: &str) -> rusqlite::Result<Option<Run>> {
    tx.prepare_cached(&format!("{SELECT} WHERE id = ?"))?.query_row([id], run_of).optional()
}

/// The saga of an order.
pub(crate) fn find_by_subject(
    tx: &Transaction<'_>,
    subject: &str,
) -> rusqlite::Result<Option<Run>> {
    let mut query = tx.prepare_cached(&format!("{SELECT} WHERE subject = ?"))?;
    query.query_row([subject], run_of).optional()
}

/// A saga that has not ended, as far as whoever looks for one to drive needs it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Left {
    pub(crate) id: String,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) started_ms: i64,
}

/// Sagas that have not ended, the oldest first.
pub(crate) fn open(tx: &Transaction<'_>, max: usize) -> rusqlite::Result<Vec<Left>> {
    let mut query = tx.prepare_cached(
        "SELECT id, headers, started_ms FROM sagas WHERE is_open ORDER BY started_ms LIMIT ?",
    )?;
    let left = |row: &Row<'_>| {
        Ok(Left { id: row.get(0)?, headers: json_of(row, 1)?, started_ms: row.get(2)? })
    };
    query.query_map([max as i64], left)?.collect()
}

/// How many have not ended.
pub(crate) fn open_count(tx: &Transaction<'_>) -> rusqlite::Result<u32> {
    tx.prepare_cached("SELECT count(*) FROM sagas WHERE is_open")?.query_row([], |row| row.get(0))
}

/// What happened to a saga, in order.
pub(crate) fn history(tx: &Transaction<'_>, id: &str) -> rusqlite::Result<Vec<Happened>> {
    let mut query = tx.prepare_cached(
        "SELECT at_ms, event, step, attempt, error_type, error_message
         FROM saga_history WHERE saga = ? ORDER BY number",
    )?;
    let rows = query.query_map([id], |row| {
        Ok(Happened {
            at_ms: row.get(0)?,
            event: row.get(1)?,
            step: row.get(2)?,
            attempt: row.get(3)?,
            error_type: row.get(4)?,
            error_message: row.get(5)?,
        })
    })?;
    rows.collect()
}

const SELECT: &str =
    "SELECT id, name, subject, instance, data, headers, started_ms, deadline_ms FROM sagas";

fn run_of(row: &Row<'_>) -> rusqlite::Result<Run> {
    Ok(Run {
        id: row.get(0)?,
        name: row.get(1)?,
        subject: row.get(2)?,
        instance: json_of(row, 3)?,
        data: json_of(row, 4)?,
        headers: json_of(row, 5)?,
        started_ms: row.get(6)?,
        deadline_ms: row.get(7)?,
    })
}

fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("has no maps with other keys than text")
}
