//! What alerting must not forget, in `DATA/alerting.db`: what each rule remembers, which alerts fired, what was told to
//! whom, and notifications that wait to be delivered.
//!
//! What always holds, through any crash, because each change is one transaction:
//!
//! * a moment of a rule is judged once: what it remembers and the incidents that began or ended there are stored together;
//! * an incident is told to a receiver as firing, or as firing and resolved, or as resolved alone where it was over before
//!   it could be told; what was told is stored together with the notification that tells it;
//! * a notification keeps its key and its bytes until it is delivered or given up.
//!
//! Kept: incidents and notifications that are over for 30 days, at most 100,000 of each.

mod notifications;
#[cfg(test)]
mod tests;

use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use rusqlite::{Connection, OptionalExtension, Row, Transaction, params};
use serde::{Deserialize, Serialize};

use crate::find::Memory;
use crate::incident::Incident;
use crate::judge::Judge;
use crate::silence::Silence;

pub(crate) use self::notifications::Notification;

/// What stands for a rule of alerts about alerting itself.
const ABOUT_ITSELF: &str = "logq";
/// Version of the tables, in `PRAGMA user_version`.
const VERSION: i64 = 1;
/// How long what is over is kept, ns.
const KEEP: i64 = 30 * 86_400 * crate::SECOND;
/// ... and how many of a kind.
const KEEP_MAX: i64 = 100_000;
/// Incidents that are looked at together when people are told.
const TELLABLE_MAX: i64 = 10_000;
/// Incidents that are listed together, bytes of JSON.
const LISTED_BYTES_MAX: usize = 32 << 20;

const TABLES: &str = "
CREATE TABLE identity (id TEXT NOT NULL);
INSERT INTO identity VALUES (lower(hex(randomblob(8))));
CREATE TABLE rule (key TEXT PRIMARY KEY, at INTEGER NOT NULL, state TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE incident (
    id INTEGER PRIMARY KEY AUTOINCREMENT, rule TEXT NOT NULL, fingerprint TEXT NOT NULL, fired_at INTEGER NOT NULL,
    resolved_at INTEGER, data TEXT NOT NULL, UNIQUE (fingerprint, fired_at));
CREATE INDEX incident_open ON incident (rule) WHERE resolved_at IS NULL;
CREATE TABLE receiver (name TEXT PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE told (
    receiver TEXT NOT NULL, incident INTEGER NOT NULL REFERENCES incident (id) ON DELETE CASCADE,
    resolved INTEGER NOT NULL, PRIMARY KEY (receiver, incident)) WITHOUT ROWID;
CREATE TABLE silence (id TEXT PRIMARY KEY, ends_at INTEGER NOT NULL, data TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE grouped (
    receiver TEXT NOT NULL, key TEXT NOT NULL, opened_at INTEGER NOT NULL, told_at INTEGER,
    PRIMARY KEY (receiver, key)) WITHOUT ROWID;
CREATE TABLE notification (
    id INTEGER PRIMARY KEY AUTOINCREMENT, receiver TEXT NOT NULL, key TEXT NOT NULL, body BLOB NOT NULL,
    made_at INTEGER NOT NULL, tries INTEGER NOT NULL DEFAULT 0, next_at INTEGER NOT NULL, error TEXT,
    outcome TEXT, ended_at INTEGER);
CREATE INDEX notification_waiting ON notification (receiver, key, id) WHERE outcome IS NULL;
";

/// Why the state cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StateError {
    /// The database refuses.
    #[error("alerting.db cannot be used: {0}")]
    Database(#[from] rusqlite::Error),
    /// A damaged one cannot be put aside.
    #[error("alerting.db is damaged and cannot be put aside: {0}")]
    Aside(#[source] std::io::Error),
    /// It was written by a newer logq.
    #[error("alerting.db has version {0}, this logq knows {VERSION}; use the newer logq")]
    Newer(i64),
    /// What is in it makes no sense.
    #[error("alerting.db holds what this logq cannot read: {0}")]
    Unreadable(#[from] serde_json::Error),
}

/// What a rule remembers.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct RuleState {
    pub(crate) judge: Judge,
    pub(crate) memory: Memory,
}

/// An incident, and what a receiver was told of it.
#[derive(Clone, Debug)]
pub(crate) struct Tellable {
    pub(crate) id: i64,
    pub(crate) incident: Incident,
    /// `None`: nothing; else whether it was told that it is over.
    pub(crate) told: Option<bool>,
}

/// A group of alerts that a receiver is told of together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct GroupState {
    pub(crate) key: String,
    /// When it had news for the first time.
    pub(crate) opened_at: i64,
    pub(crate) told_at: Option<i64>,
}

/// The database.
#[derive(Debug)]
pub(crate) struct Book {
    connection: Mutex<Connection>,
    identity: String,
}

impl Book {
    /// Opens the database, made if absent. One that is damaged is put aside and begun anew: what rules remembered and what
    /// waited to be told is lost then, and said.
    pub(crate) fn open(path: &Path) -> Result<Self, StateError> {
        match Self::open_sound(path) {
            Err(StateError::Database(error)) if path.exists() && is_damage(&error) => {
                let aside = path.with_extension("db.damaged");
                tracing::error!(
                    %error,
                    "the state of alerting is damaged and is begun anew; the old one is {}",
                    aside.display()
                );
                std::fs::rename(path, &aside).map_err(StateError::Aside)?;
                for ending in ["db-wal", "db-shm"] {
                    let _ = std::fs::remove_file(path.with_extension(ending));
                }
                Self::open_sound(path)
            }
            other => other,
        }
    }

    fn open_sound(path: &Path) -> Result<Self, StateError> {
        let connection = Connection::open(path)?;
        connection.execute_batch(
            "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA busy_timeout=5000; PRAGMA foreign_keys=ON;",
        )?;
        let version: i64 = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
        match version {
            0 => connection.execute_batch(&format!(
                "BEGIN; {TABLES} PRAGMA user_version = {VERSION}; COMMIT;"
            ))?,
            VERSION => {}
            newer => return Err(StateError::Newer(newer)),
        }
        let sound: String = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
        if sound != "ok" {
            return Err(StateError::Database(rusqlite::Error::SqliteFailure(
                rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_CORRUPT),
                Some(sound),
            )));
        }
        let identity = connection.query_row("SELECT id FROM identity", [], |row| row.get(0))?;
        Ok(Self { connection: Mutex::new(connection), identity })
    }

    fn connection(&self) -> MutexGuard<'_, Connection> {
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn transact<T>(
        &self,
        change: impl FnOnce(&Transaction<'_>) -> Result<T, StateError>,
    ) -> Result<T, StateError> {
        let mut connection = self.connection();
        let transaction = connection.transaction()?;
        let changed = change(&transaction)?;
        transaction.commit()?;
        Ok(changed)
    }

    /// What a rule remembers, and the last moment that was judged.
    pub(crate) fn rule(&self, key: &str) -> Result<Option<(i64, RuleState)>, StateError> {
        let found: Option<(i64, String)> = self
            .connection()
            .query_row("SELECT at, state FROM rule WHERE key = ?", [key], |row| {
                Ok((row.get(0)?, row.get(1)?))
            })
            .optional()?;
        found.map(|(at, state)| Ok((at, serde_json::from_str(&state)?))).transpose()
    }

    /// A moment was judged.
    pub(crate) fn judged(
        &self,
        key: &str,
        at: i64,
        state: &RuleState,
        begun: &[Incident],
        ended: &[(String, i64)],
    ) -> Result<(), StateError> {
        let state = serde_json::to_string(state)?;
        self.transact(|transaction| {
            transaction
                .prepare_cached("INSERT OR REPLACE INTO rule VALUES (?, ?, ?)")?
                .execute(params![key, at, state])?;
            for incident in begun {
                let data = serde_json::to_string(incident)?;
                transaction
                    .prepare_cached(
                        // One of the same moment is there if the clock was set back: it is told again.
                        "INSERT OR REPLACE INTO incident (rule, fingerprint, fired_at, data) VALUES (?, ?, ?, ?)",
                    )?
                    .execute(params![key, incident.fingerprint, incident.fired_at, data])?;
            }
            for (fingerprint, at) in ended {
                transaction
                    .prepare_cached(
                        "UPDATE incident SET resolved_at = max(fired_at, ?) WHERE rule = ? AND fingerprint = ? AND resolved_at IS NULL",
                    )?
                    .execute(params![at, key, fingerprint])?;
            }
            Ok(())
        })
    }

    /// Rules other than these are gone, and their alerts over.
    pub(crate) fn keep_rules(&self, keys: &[String], now: i64) -> Result<(), StateError> {
        let keys = serde_json::to_string(keys)?;
        self.transact(|transaction| {
            transaction.execute(
                "UPDATE incident SET resolved_at = max(fired_at, ?1) WHERE resolved_at IS NULL AND rule <> ?3 AND rule NOT IN (SELECT value FROM json_each(?2))",
                params![now, keys, ABOUT_ITSELF],
            )?;
            transaction.execute(
                "DELETE FROM rule WHERE key NOT IN (SELECT value FROM json_each(?))",
                [keys],
            )?;
            Ok(())
        })
    }

    /// Incidents that go on or that a receiver was not told the end of, oldest first; of very many those with news, and as many
    /// of the others as there is room for.
    pub(crate) fn tellable(&self, receiver: &str) -> Result<Vec<Tellable>, StateError> {
        let connection = self.connection();
        let mut statement = connection.prepare_cached(
            "SELECT incident.id, data, resolved_at, told.resolved FROM incident
             LEFT JOIN told ON told.incident = incident.id AND told.receiver = ?1
             WHERE resolved_at IS NULL OR told.resolved IS NOT 1
             ORDER BY told.resolved IS NOT NULL AND resolved_at IS NULL, incident.id LIMIT ?2",
        )?;
        let rows = statement.query_map(params![receiver, TELLABLE_MAX], |row| {
            Ok((row.get(0)?, incident_of(row, 1, 2)?, row.get(3)?))
        })?;
        let mut all = rows
            .map(|row| {
                let (id, incident, told) = row?;
                Ok(Tellable { id, incident: incident?, told })
            })
            .collect::<Result<Vec<_>, StateError>>()?;
        all.sort_unstable_by_key(|one| one.id);
        Ok(all)
    }

    /// The newest incidents, fewer than asked for where they are large.
    pub(crate) fn incidents(&self, limit: usize) -> Result<Vec<Incident>, StateError> {
        let connection = self.connection();
        let mut statement = connection
            .prepare_cached("SELECT data, resolved_at FROM incident ORDER BY id DESC LIMIT ?")?;
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let mut rows = statement.query([limit])?;
        let (mut incidents, mut bytes) = (Vec::new(), 0);
        while let Some(row) = rows.next()? {
            bytes += row.get_ref(0)?.as_str().map_or(0, str::len);
            if bytes > LISTED_BYTES_MAX && !incidents.is_empty() {
                break;
            }
            incidents.push(incident_of(row, 0, 1)??);
        }
        Ok(incidents)
    }

    pub(crate) fn group(
        &self,
        receiver: &str,
        key: &str,
    ) -> Result<Option<GroupState>, StateError> {
        let connection = self.connection();
        let mut statement = connection.prepare_cached(
            "SELECT opened_at, told_at FROM grouped WHERE receiver = ? AND key = ?",
        )?;
        let group = statement.query_row([receiver, key], |row| {
            Ok(GroupState { key: key.to_owned(), opened_at: row.get(0)?, told_at: row.get(1)? })
        });
        Ok(group.optional()?)
    }

    /// A group has news from now on.
    pub(crate) fn open_group(&self, receiver: &str, group: &GroupState) -> Result<(), StateError> {
        self.connection()
            .prepare_cached("INSERT OR REPLACE INTO grouped VALUES (?, ?, ?, ?)")?
            .execute(params![receiver, group.key, group.opened_at, group.told_at])?;
        Ok(())
    }

    /// A receiver is told of these incidents by this notification; a group of which all are over is closed.
    pub(crate) fn tell(
        &self,
        receiver: &str,
        group: &GroupState,
        told: &[&Tellable],
        is_over: bool,
        body: &[u8],
        now: i64,
    ) -> Result<(), StateError> {
        self.transact(|transaction| {
            for one in told {
                mark_told(transaction, receiver, one.id, one.incident.resolved_at.is_some())?;
            }
            match is_over {
                true => transaction
                    .prepare_cached("DELETE FROM grouped WHERE receiver = ? AND key = ?")?
                    .execute([receiver, &group.key])?,
                false => transaction
                    .prepare_cached("INSERT OR REPLACE INTO grouped VALUES (?, ?, ?, ?)")?
                    .execute(params![receiver, group.key, group.opened_at, now])?,
            };
            transaction
                .prepare_cached(
                    "INSERT INTO notification (receiver, key, body, made_at, next_at) VALUES (?, ?, ?, ?4, ?4)",
                )?
                .execute(params![receiver, group.key, body, now])?;
            Ok(())
        })
    }

    /// Keeps a silence, in the place of one with the same id; a new one gets an id.
    pub(crate) fn keep_silence(
        &self,
        mut silence: Silence,
        ends_at: i64,
    ) -> Result<String, StateError> {
        self.transact(|transaction| {
            if silence.id.is_empty() {
                silence.id =
                    transaction
                        .query_row("SELECT lower(hex(randomblob(8)))", [], |row| row.get(0))?;
            }
            transaction.execute(
                "INSERT OR REPLACE INTO silence VALUES (?, ?, ?)",
                params![silence.id, ends_at, serde_json::to_string(&silence)?],
            )?;
            Ok(silence.id)
        })
    }

    /// Silences that have not ended before this time, the first to end first.
    pub(crate) fn silences(&self, after: i64) -> Result<Vec<Silence>, StateError> {
        let connection = self.connection();
        let mut statement = connection
            .prepare_cached("SELECT data FROM silence WHERE ends_at > ? ORDER BY ends_at, id")?;
        let rows = statement.query_map([after], |row| row.get::<_, String>(0))?;
        rows.map(|text| Ok(serde_json::from_str(&text?)?)).collect()
    }

    /// A receiver was told of these incidents, or is not to be told; and whether that they are over.
    pub(crate) fn mark_told(&self, receiver: &str, told: &[(i64, bool)]) -> Result<(), StateError> {
        self.transact(|transaction| {
            told.iter().try_for_each(|(incident, resolved)| {
                mark_told(transaction, receiver, *incident, *resolved)
            })
        })
    }

    /// Incidents that a receiver was told the end of, if they are over since this time and nothing of the kind fires.
    pub(crate) fn told_lately(
        &self,
        receiver: &str,
        since: i64,
    ) -> Result<Vec<Incident>, StateError> {
        let connection = self.connection();
        let mut statement = connection.prepare_cached(
            "SELECT data, resolved_at FROM incident JOIN told ON told.incident = incident.id
             WHERE receiver = ? AND told.resolved AND resolved_at >= ? AND id = (SELECT max(id) FROM incident AS newer
                WHERE newer.fingerprint = incident.fingerprint) ORDER BY id DESC LIMIT 1000",
        )?;
        let rows = statement.query_map(params![receiver, since], |row| incident_of(row, 0, 1))?;
        rows.map(|row| row?).collect()
    }

    /// These receivers are told from now on. Of a new one, what is over already counts as told: which that is must not
    /// hang on a clock.
    pub(crate) fn know_receivers(&self, names: &[&str]) -> Result<(), StateError> {
        self.transact(|transaction| {
            for name in names {
                let is_new =
                    transaction.execute("INSERT OR IGNORE INTO receiver VALUES (?)", [name])? > 0;
                if is_new {
                    transaction.execute(
                        "INSERT OR IGNORE INTO told SELECT ?, id, 1 FROM incident WHERE resolved_at IS NOT NULL",
                        [name],
                    )?;
                }
            }
            Ok(())
        })
    }

    /// Takes away what is over for long, and what belongs to receivers that are gone.
    pub(crate) fn tidy(&self, receivers: &[&str], now: i64) -> Result<(), StateError> {
        let receivers = serde_json::to_string(receivers)?;
        let before = now.saturating_sub(KEEP);
        self.transact(|transaction| {
            let gone = "receiver NOT IN (SELECT value FROM json_each(?1))";
            transaction.execute(
                "DELETE FROM receiver WHERE name NOT IN (SELECT value FROM json_each(?))",
                [&receivers],
            )?;
            transaction.execute(&format!("DELETE FROM told WHERE {gone}"), [&receivers])?;
            transaction.execute(&format!("DELETE FROM grouped WHERE {gone}"), [&receivers])?;
            transaction.execute(
                &format!("UPDATE notification SET outcome = 'given_up', error = 'the receiver is gone', ended_at = ?2 WHERE outcome IS NULL AND {gone}"),
                params![receivers, now],
            )?;
            transaction.execute("DELETE FROM silence WHERE ends_at < ?", [before])?;
            transaction.execute(
                "DELETE FROM notification WHERE outcome IS NOT NULL AND (ended_at < ?1 OR id <= (SELECT max(id) FROM notification) - ?2)",
                params![before, KEEP_MAX],
            )?;
            transaction.execute(
                "DELETE FROM incident WHERE resolved_at IS NOT NULL AND (resolved_at < ?1 OR id <= (SELECT max(id) FROM incident) - ?2)
                 AND NOT EXISTS (SELECT 1 FROM receiver WHERE NOT EXISTS
                    (SELECT 1 FROM told WHERE incident = incident.id AND receiver = name AND resolved))",
                params![before, KEEP_MAX],
            )?;
            Ok(())
        })
    }
}

fn mark_told(
    transaction: &Transaction<'_>,
    receiver: &str,
    incident: i64,
    resolved: bool,
) -> Result<(), StateError> {
    transaction
        .prepare_cached("INSERT OR REPLACE INTO told VALUES (?, ?, ?)")?
        .execute(params![receiver, incident, resolved])?;
    Ok(())
}

/// Whether the file itself is at fault, not the disk or who may write it.
fn is_damage(error: &rusqlite::Error) -> bool {
    matches!(
        error.sqlite_error_code(),
        Some(rusqlite::ErrorCode::DatabaseCorrupt | rusqlite::ErrorCode::NotADatabase)
    )
}

/// Column `data` and column `resolved_at`.
fn incident_of(
    row: &Row<'_>,
    data: usize,
    resolved_at: usize,
) -> rusqlite::Result<Result<Incident, StateError>> {
    let text: String = row.get(data)?;
    let resolved_at = row.get(resolved_at)?;
    let incident = serde_json::from_str(&text).map(|incident| Incident { resolved_at, ..incident });
    Ok(incident.map_err(StateError::from))
}
