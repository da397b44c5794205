//! Keeps an instance in the registry: registers it, says again and again that it is there, registers it anew when the
//! registry has forgotten it, and takes it out at the end.

use std::time::Duration;

use axum::http::{Method, StatusCode};
use reqwest::{Client, Url};
use serde::Deserialize;
use service::shutdown::Shutdown;
use tokio::time::sleep;

use super::client::{CallError, error_of, http_client, whole};
use super::directory::Instance;

/// Of one request; a lease is a few times as long.
const TIMEOUT: Duration = Duration::from_secs(1);
/// Between two tries while the registry is away, and between heartbeats whatever it asks for.
const PAUSE_MIN: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_secs(1);
const ANSWER_BYTES_MAX: usize = 16 << 10;

/// What the registry answers to whom it has taken in.
#[derive(Debug, Deserialize)]
struct Lease {
    /// How often to say that one is there.
    heartbeat_ms: u64,
}

#[derive(Debug)]
struct Registration {
    registry: Url,
    instance: Instance,
    client: Client,
}

/// Keeps `instance` in the registry until `stop`. It should listen already: from here on it is called.
pub(crate) async fn keep_registered(registry: Url, instance: Instance, stop: Shutdown) {
    let registration = Registration { registry, instance, client: http_client() };
    tokio::select! {
        () = stop.requested() => {}
        () = registration.keep() => {}
    }
    // The registry may be gone already; else the lease runs out.
    if let Err(error) = registration.ask(Method::DELETE, "").await {
        tracing::debug!(%error, "not deregistered");
    }
}

impl Registration {
    async fn keep(&self) {
        let (mut registered, mut away) = (None, false);
        let mut pause = PAUSE_MIN;
        loop {
            let done = match registered {
                None => self.register().await.map(Some),
                Some(heartbeat) => self.heartbeat(heartbeat).await,
            };
            match done {
                Ok(known) => {
                    if std::mem::take(&mut away) {
                        tracing::info!(registry = %self.registry, "the registry is back");
                    }
                    // Forgotten: it is registered at once, and after that more slowly each time.
                    let forgotten = registered.is_some() && known.is_none();
                    registered = known;
                    if forgotten {
                        continue;
                    }
                    pause = PAUSE_MIN;
                    sleep(known.unwrap_or(PAUSE_MAX)).await;
                }
                Err(error) => {
                    if !std::mem::replace(&mut away, true) {
                        tracing::warn!(registry = %self.registry, %error, "the registry does not take this instance, trying on");
                    }
                    sleep(pause).await;
                    pause = (pause * 2).min(PAUSE_MAX);
                }
            }
        }
    }

    /// How often to say from now on that it is there.
    async fn register(&self) -> Result<Duration, CallError> {
        let mut url = self.registry.clone();
        url.set_path("/api/v1/instances");
        let request = self.client.post(url).json(&self.instance);
        let answer = request.timeout(TIMEOUT).send().await.map_err(error_of)?;
        let answer = answer.error_for_status().map_err(error_of)?;
        let lease: Lease = whole(answer, ANSWER_BYTES_MAX).await?.json()?;
        Ok(Duration::from_millis(lease.heartbeat_ms).max(PAUSE_MIN))
    }

    /// The same, or none if the registry does not know the instance.
    async fn heartbeat(&self, heartbeat: Duration) -> Result<Option<Duration>, CallError> {
        match self.ask(Method::PUT, "heartbeat").await? {
            StatusCode::NOT_FOUND => Ok(None),
            status if status.is_success() => Ok(Some(heartbeat)),
            status => Err(CallError::BadAnswer { reason: format!("heartbeat answered {status}") }),
        }
    }

    async fn ask(&self, method: Method, what: &str) -> Result<StatusCode, CallError> {
        let mut url = self.registry.clone();
        url.set_path("/api/v1/instances");
        if let Ok(mut path) = url.path_segments_mut() {
            path.push(&self.instance.id).push(what).pop_if_empty();
        }
        let request = self.client.request(method, url);
        let answer = request.timeout(TIMEOUT).send().await.map_err(error_of)?;
        let status = answer.status();
        // Read, so that the connection can be used again.
        whole(answer, ANSWER_BYTES_MAX).await?;
        Ok(status)
    }
}
