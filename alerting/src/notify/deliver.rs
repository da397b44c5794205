//! Brings the notifications of one receiver to it: at least once, those of a group in their order.
//!
//! Tried again for a day, with pauses from a second to five minutes: no answer in time, no connection, 408, 429, 5xx. Given
//! up at once: any other answer, redirects among them. Of an answer the status is read and 1 KiB of its text.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use record::Timestamp;
use reqwest::{Client, RequestBuilder, StatusCode};
use service::reread::Reread;
use service::signature;
use tokio::sync::Notify;

use super::command;
use super::tries::OfReceiver;
use crate::find::nanos;
use crate::options::{ReceiverKind, ReceiverOptions};
use crate::state::{Book, Notification, StateError};

/// How long a notification is tried.
const GIVE_UP_AFTER: Duration = Duration::from_secs(86_400);
const PAUSE_MIN: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(300);
/// How often is looked without being woken.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Longest secret.
const SECRET_BYTES_MAX: usize = 4 << 10;
/// What is kept of an answer that refuses.
const ANSWER_BYTES_MAX: usize = 1 << 10;

/// The deliveries to one receiver.
#[derive(Debug)]
pub(crate) struct Delivery {
    pub(crate) book: Arc<Book>,
    pub(crate) receiver: ReceiverOptions,
    pub(crate) client: Client,
    /// What signs.
    pub(crate) secret: Option<Reread<Vec<u8>>>,
    /// There are notifications.
    pub(crate) made: Arc<Notify>,
    pub(crate) tries: OfReceiver,
}

/// How a try ended.
pub(super) enum Tried {
    Delivered,
    Failed(String),
    Refused(String),
}

/// A secret, read again when its file changes.
///
/// # Errors
/// Which file cannot be read, or is no secret.
pub(crate) fn secret(file: &Path) -> Result<Reread<Vec<u8>>, String> {
    let path = file.to_owned();
    Reread::new(vec![path.clone()], move || {
        let secret = std::fs::read(&path)
            .map_err(|error| format!("cannot read the secret in {}: {error}", path.display()))?;
        match secret.trim_ascii() {
            secret if (1..=SECRET_BYTES_MAX).contains(&secret.len()) => Ok(secret.to_vec()),
            _ => {
                Err(format!("{} holds no secret of 1 to {SECRET_BYTES_MAX} bytes", path.display()))
            }
        }
    })
}

impl Delivery {
    /// Delivers until it is dropped.
    pub(crate) async fn run(self) {
        let this = Arc::new(self);
        loop {
            let (book, name) = (Arc::clone(&this.book), this.receiver.name.clone());
            let waiting = blocking(move || book.waiting(&name)).await.unwrap_or_default();
            let now = Timestamp::now().0;
            let mut again = LOOK_EVERY;
            for notification in waiting {
                // A clock that was set back must not hold it up.
                let wait = notification.next_at.saturating_sub(now).min(nanos(PAUSE_MAX));
                if wait > 0 {
                    again = again.min(Duration::from_nanos(wait.unsigned_abs()));
                    continue;
                }
                this.deliver(notification).await;
                again = Duration::ZERO;
            }
            let _ = tokio::time::timeout(again, this.made.notified()).await;
        }
    }

    async fn deliver(&self, notification: Notification) {
        let (book, id) = (Arc::clone(&self.book), notification.id);
        let Some(body) = blocking(move || book.body(id)).await else { return };
        let began = Instant::now();
        let tried = self.post(&notification.idempotency_key, body).await;
        self.tries.tried(&tried, began.elapsed());
        let name = self.receiver.name.as_str();
        let (book, now) = (Arc::clone(&self.book), Timestamp::now().0);
        let is_late = now.saturating_sub(notification.made_at) > nanos(GIVE_UP_AFTER);
        let noted = match tried {
            Tried::Delivered => blocking(move || book.ended(&notification, None, now)).await,
            Tried::Failed(error) if !is_late => {
                tracing::warn!(receiver = name, error, "a notification is tried again");
                let pause = pause(notification.tries, id);
                blocking(move || book.tried(id, &error, now.saturating_add(nanos(pause)))).await
            }
            Tried::Failed(error) | Tried::Refused(error) => {
                tracing::error!(receiver = name, error, "a notification is given up");
                self.tries.gave_up();
                blocking(move || book.ended(&notification, Some(&error), now)).await
            }
        };
        if noted.is_none() {
            // It is delivered once more, under the same key.
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    async fn post(&self, key: &str, body: Vec<u8>) -> Tried {
        if let ReceiverKind::Command(command) = &self.receiver.kind {
            return command::run(command, key, &body, self.receiver.timeout).await;
        }
        let mut request = self
            .client
            .post(&self.receiver.url)
            .timeout(self.receiver.timeout)
            .header("Content-Type", "application/json")
            .header("User-Agent", concat!("logq/", env!("CARGO_PKG_VERSION")))
            .header("Idempotency-Key", key);
        if let Some(secret) = &self.secret {
            request = request.header("X-Logq-Signature", signature::of(&secret.get(), &body));
        }
        send(request.body(body), self.receiver.timeout).await
    }
}

/// Sends a request, and says what its answer means.
pub(super) async fn send(request: RequestBuilder, timeout: Duration) -> Tried {
    let mut response = match request.send().await {
        Ok(response) => response,
        Err(error) if error.is_timeout() => {
            return Tried::Failed(format!("no answer within {timeout:?}"));
        }
        Err(error) => return Tried::Failed(innermost(&error)),
    };
    let status = response.status();
    if status.is_success() {
        return Tried::Delivered;
    }
    let mut text = Vec::new();
    while let Ok(Some(chunk)) = response.chunk().await {
        text.extend_from_slice(&chunk[..chunk.len().min(ANSWER_BYTES_MAX - text.len())]);
        if text.len() >= ANSWER_BYTES_MAX {
            break;
        }
    }
    let error = format!("{status}: {}", String::from_utf8_lossy(&text).trim());
    let again = status.is_server_error()
        || matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT);
    if again { Tried::Failed(error) } else { Tried::Refused(error) }
}

/// Twice as long each time; those of different notifications a little apart.
pub(super) fn pause(tries: u32, id: i64) -> Duration {
    let pause = PAUSE_MIN.saturating_mul(1 << tries.min(10)).min(PAUSE_MAX);
    pause + pause / 10 * (id.rem_euclid(8) as u32) / 8
}

fn innermost(error: &reqwest::Error) -> String {
    let mut inner: &dyn std::error::Error = error;
    while let Some(source) = inner.source() {
        inner = source;
    }
    inner.to_string()
}

/// Runs a change of the state on a thread that may block; what fails is told and is `None`.
pub(super) async fn blocking<T: Send + 'static>(
    change: impl FnOnce() -> Result<T, StateError> + Send + 'static,
) -> Option<T> {
    match tokio::task::spawn_blocking(change).await {
        Ok(Ok(done)) => Some(done),
        Ok(Err(error)) => {
            tracing::error!(%error, "the state of notifications cannot be kept");
            None
        }
        Err(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_up_to_a_bound() {
        let seconds: Vec<u64> = (0..12).map(|tries| pause(tries, 8).as_secs()).collect();
        assert_eq!(seconds, [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300]);
    }
}
