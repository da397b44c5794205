//! Notifications on their way to a receiver, and the alert about one that is given up.

use std::collections::BTreeMap;

use rusqlite::params;

use super::{ABOUT_ITSELF, Book, StateError};
use crate::incident::{Incident, fingerprint};
use crate::judge::ALERTNAME;

/// A notification on its way, without its body.
#[derive(Clone, Debug)]
pub(crate) struct Notification {
    pub(crate) id: i64,
    /// Stays the same however often it is tried.
    pub(crate) idempotency_key: String,
    pub(crate) receiver: String,
    pub(crate) group_key: String,
    /// When it was made, ns.
    pub(crate) made_at: i64,
    pub(crate) tries: u32,
    /// When it is tried next, ns.
    pub(crate) next_at: i64,
    /// Why the last try failed.
    pub(crate) error: Option<String>,
    /// `delivered` or `given_up`; nothing while it waits.
    pub(crate) outcome: Option<String>,
}

impl Book {
    /// The first notification of each group of a receiver that waits.
    pub(crate) fn waiting(&self, receiver: &str) -> Result<Vec<Notification>, StateError> {
        self.notifications(
            "id IN (SELECT min(id) FROM notification WHERE outcome IS NULL AND receiver = ? GROUP BY key) ORDER BY next_at",
            [receiver],
        )
    }

    /// The newest notifications.
    pub(crate) fn newest_notifications(
        &self,
        limit: usize,
    ) -> Result<Vec<Notification>, StateError> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        self.notifications("1 ORDER BY id DESC LIMIT ?", [limit])
    }

    fn notifications(
        &self,
        which: &str,
        parameters: impl rusqlite::Params,
    ) -> Result<Vec<Notification>, StateError> {
        let connection = self.connection();
        let mut statement = connection.prepare_cached(&format!(
            "SELECT id, receiver, key, made_at, tries, next_at, error, outcome FROM notification WHERE {which}"
        ))?;
        let rows = statement.query_map(parameters, |row| {
            let id: i64 = row.get(0)?;
            Ok(Notification {
                idempotency_key: format!("{}-{id}", self.identity),
                receiver: row.get(1)?,
                group_key: row.get(2)?,
                made_at: row.get(3)?,
                tries: row.get(4)?,
                next_at: row.get(5)?,
                error: row.get(6)?,
                outcome: row.get(7)?,
                id,
            })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// What a notification says.
    pub(crate) fn body(&self, id: i64) -> Result<Vec<u8>, StateError> {
        let connection = self.connection();
        let mut statement =
            connection.prepare_cached("SELECT body FROM notification WHERE id = ?")?;
        Ok(statement.query_row([id], |row| row.get(0))?)
    }

    /// How many notifications of a group wait.
    pub(crate) fn waiting_of(&self, receiver: &str, key: &str) -> Result<i64, StateError> {
        let connection = self.connection();
        let mut statement = connection.prepare_cached(
            "SELECT count(*) FROM notification WHERE outcome IS NULL AND receiver = ? AND key = ?",
        )?;
        Ok(statement.query_row([receiver, key], |row| row.get(0))?)
    }

    /// How many notifications wait.
    pub(crate) fn waiting_count(&self) -> Result<i64, StateError> {
        let connection = self.connection();
        let mut statement =
            connection.prepare_cached("SELECT count(*) FROM notification WHERE outcome IS NULL")?;
        Ok(statement.query_row([], |row| row.get(0))?)
    }

    /// A try to deliver failed; it is tried again at `next_at`.
    pub(crate) fn tried(&self, id: i64, error: &str, next_at: i64) -> Result<(), StateError> {
        self.connection()
            .prepare_cached(
                "UPDATE notification SET tries = tries + 1, error = ?, next_at = ? WHERE id = ?",
            )?
            .execute(params![error, next_at, id])?;
        Ok(())
    }

    /// A notification was delivered, or is given up for this reason. The latter makes an alert, which is over when
    /// something is delivered to that receiver again.
    pub(crate) fn ended(
        &self,
        of: &Notification,
        error: Option<&str>,
        now: i64,
    ) -> Result<(), StateError> {
        let outcome = if error.is_some() { "given_up" } else { "delivered" };
        let labels = given_up_labels(&of.receiver);
        let fingerprint = fingerprint(&labels);
        let about = error.map(|error| given_up(of, error, now));
        self.transact(|transaction| {
            transaction.execute(
                "UPDATE notification SET tries = tries + 1, error = ?, outcome = ?, ended_at = ? WHERE id = ?",
                params![error, outcome, now, of.id],
            )?;
            let open = "rule = ?1 AND fingerprint = ?2 AND resolved_at IS NULL";
            match about {
                None => transaction.execute(
                    &format!("UPDATE incident SET resolved_at = max(fired_at, ?3) WHERE {open}"),
                    params![ABOUT_ITSELF, fingerprint, now],
                )?,
                Some(incident) => transaction.execute(
                    &format!(
                        "INSERT OR REPLACE INTO incident (rule, fingerprint, fired_at, data)
                         SELECT ?1, ?2, ?3, ?4 WHERE NOT EXISTS (SELECT 1 FROM incident WHERE {open})"
                    ),
                    params![ABOUT_ITSELF, fingerprint, now, serde_json::to_string(&incident)?],
                )?,
            };
            Ok(())
        })
    }
}

fn given_up_labels(receiver: &str) -> BTreeMap<String, String> {
    let labels = [(ALERTNAME, "LogqNotificationGivenUp"), ("receiver", receiver)];
    labels.map(|(name, value)| (name.to_owned(), value.to_owned())).into()
}

/// The alert that a receiver could not be told.
fn given_up(of: &Notification, error: &str, now: i64) -> Incident {
    let labels = given_up_labels(&of.receiver);
    let summary = format!("{} was not told of {}: {error}", of.receiver, of.group_key);
    Incident {
        fingerprint: fingerprint(&labels),
        rule: ABOUT_ITSELF.to_owned(),
        labels,
        annotations: BTreeMap::from([("summary".to_owned(), summary)]),
        fired_at: now,
        ..Incident::default()
    }
}
