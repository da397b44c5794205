//! Idempotency keys: a POST that moves money or stock is done once, however often it is sent.
//!
//! ```text
//! key new                       the work is done, its answer is kept with the key, in one transaction
//! key known, same request       the first answer again, with `idempotent-replayed: true`
//! key known, another request    422
//! ```
//!
//! The answer is kept in the transaction that has the effect, so there is neither without the other, whatever is killed
//! in between. A refusal is an answer too. Keys are kept for a day.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use rusqlite::{OptionalExtension, Transaction, params};
use serde_json::Value;
use service::http::{ErrorResponse, JsonLine};

use crate::kit::clock::now_ms;
use crate::kit::database::{Database, DatabaseError};

/// The table, to be put among the migrations of a database whose service takes keys.
pub(crate) const TABLE: &str = "
    CREATE TABLE idempotency (
        key TEXT PRIMARY KEY,
        request TEXT NOT NULL,
        status INTEGER NOT NULL,
        answer TEXT NOT NULL,
        at_ms INTEGER NOT NULL
    ) STRICT;
    CREATE INDEX idempotency_by_time ON idempotency (at_ms);";

/// The header of a request.
pub(crate) const KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// The header of an answer that was given before.
pub(crate) const REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");

const KEY_BYTES_MAX: usize = 255;
const KEEP_MS: i64 = 24 * 60 * 60 * 1_000;
/// Old keys that one request clears away.
const CLEARED_MAX: u32 = 10;

/// The key of a request: 1 to 255 printable characters. A request without one is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Key(pub(crate) String);

/// What is answered, and kept.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) body: Value,
    pub(crate) replayed: bool,
}

impl Answer {
    pub(crate) fn new(status: StatusCode, body: Value) -> Self {
        Self { status, body, replayed: false }
    }

    /// An answer that says why not.
    pub(crate) fn refusal(
        status: StatusCode,
        code: &'static str,
        message: impl Into<String>,
    ) -> Self {
        let message = message.into();
        Self::new(status, serde_json::json!({"error": {"code": code, "message": message}}))
    }

    /// The code of a refusal.
    pub(crate) fn code(&self) -> Option<&str> {
        self.body["error"]["code"].as_str()
    }
}

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        let mut response = (self.status, JsonLine(self.body)).into_response();
        if self.replayed {
            response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
        }
        response
    }
}

impl<S: Sync> FromRequestParts<S> for Key {
    type Rejection = ErrorResponse;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        let key = parts.headers.get(KEY).and_then(|key| key.to_str().ok()).unwrap_or_default();
        if (1..=KEY_BYTES_MAX).contains(&key.len()) {
            return Ok(Self(key.to_owned()));
        }
        Err(ErrorResponse::new(
            StatusCode::BAD_REQUEST,
            "idempotency_key_missing",
            "this moves money or stock and needs an idempotency-key",
        )
        .hint(format!("send a header idempotency-key of 1 to {KEY_BYTES_MAX} characters")))
    }
}

/// Does `work` unless it was done for this key, and answers as it was answered then. `request` is what the key stands
/// for: the route, and the body as it was understood.
pub(crate) async fn once(
    database: &Database,
    key: Key,
    request: String,
    work: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<Answer> + Send + 'static,
) -> Result<Answer, DatabaseError> {
    database
        .run(move |tx| {
            if let Some(answer) = known(tx, &key, &request)? {
                return Ok(answer);
            }
            let answer = work(tx)?;
            keep(tx, &key, &request, &answer)?;
            Ok(answer)
        })
        .await
}

/// What was answered to this key, or that it stood for another request.
fn known(tx: &Transaction<'_>, key: &Key, request: &str) -> rusqlite::Result<Option<Answer>> {
    let mut first =
        tx.prepare_cached("SELECT request, status, answer FROM idempotency WHERE key = ?")?;
    let first = first
        .query_row([&key.0], |row| {
            Ok((row.get::<_, String>(0)?, row.get::<_, u16>(1)?, row.get::<_, String>(2)?))
        })
        .optional()?;
    Ok(first.map(|(of, status, body)| {
        if of != request {
            return Answer::refusal(
                StatusCode::UNPROCESSABLE_ENTITY,
                "idempotency_key_reused",
                "this idempotency-key was sent with another request",
            );
        }
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::OK);
        let body = serde_json::from_str(&body).unwrap_or_default();
        Answer { status, body, replayed: true }
    }))
}

/// Keeps what is answered to this key.
fn keep(tx: &Transaction<'_>, key: &Key, request: &str, answer: &Answer) -> rusqlite::Result<()> {
    let now = now_ms();
    tx.prepare_cached(
        "INSERT INTO idempotency (key, request, status, answer, at_ms) VALUES (?, ?, ?, ?, ?)",
    )?
    .execute(params![key.0, request, answer.status.as_u16(), answer.body.to_string(), now])?;
    tx.prepare_cached(
        "DELETE FROM idempotency WHERE key IN
         (SELECT key FROM idempotency WHERE at_ms < ? ORDER BY at_ms LIMIT ?)",
    )?
    .execute(params![now - KEEP_MS, CLEARED_MAX])?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const COUNT: &str = "CREATE TABLE effects (number INTEGER) STRICT;";

    async fn add(database: &Database, key: &str, request: &str) -> Answer {
        let work = |tx: &Transaction<'_>| {
            tx.execute("INSERT INTO effects VALUES (1)", [])?;
            let count: i64 = tx.query_row("SELECT count(*) FROM effects", [], |row| row.get(0))?;
            Ok(Answer::new(StatusCode::CREATED, json!({"count": count})))
        };
        once(database, Key(key.to_owned()), request.to_owned(), work).await.unwrap()
    }

    #[tokio::test]
    async fn a_repeat_is_given_the_first_answer_and_another_request_under_the_key_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let database = Database::open(&folder.path().join("a.db"), &[TABLE, COUNT]).await.unwrap();
        let first = add(&database, "k", "a").await;
        assert_eq!(first, Answer::new(StatusCode::CREATED, json!({"count": 1})));
        assert_eq!(add(&database, "k", "a").await, Answer { replayed: true, ..first });
        let other = add(&database, "k", "b").await;
        assert_eq!((other.status.as_u16(), other.code()), (422, Some("idempotency_key_reused")));
        assert_eq!(add(&database, "l", "a").await.body, json!({"count": 2}));
    }

    #[tokio::test]
    async fn of_many_at_once_one_does_the_work() {
        let folder = tempfile::tempdir().unwrap();
        let database = Database::open(&folder.path().join("a.db"), &[TABLE, COUNT]).await.unwrap();
        let adds: Vec<_> = (0..50).map(|_| add(&database, "k", "a")).collect();
        let answers = futures_util::future::join_all(adds).await;
        assert!(answers.iter().all(|answer| answer.body == json!({"count": 1})), "{answers:?}");
        assert_eq!(answers.iter().filter(|answer| !answer.replayed).count(), 1);
    }
}
