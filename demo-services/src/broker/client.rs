//! How services reach the broker.
//!
//! Calls leave no spans: what happens to messages is told by spans of the messages, and a poll is no part of any
//! interaction.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use reqwest::{Client, Method, RequestBuilder, StatusCode};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use thiserror::Error;

use super::message::{BATCH_MAX, Delivery, Message, Queue, Settlement};
use crate::kit::context::Context;
use crate::kit::directory::Directory;

/// How long an answer may take, beyond what was asked to be waited.
const TIMEOUT: Duration = Duration::from_secs(5);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// A full batch, and what JSON adds.
const ANSWER_BYTES_MAX: u64 = 16 << 20;

/// Why the broker did not do something. But for [`BrokerError::Refused`] it may have been done all the same.
#[derive(Debug, Error)]
pub(crate) enum BrokerError {
    #[error("there is no broker that can be called")]
    NotThere,
    /// Nothing was done.
    #[error("the broker refused with {status} {code}: {message}")]
    Refused { status: u16, code: String, message: String },
    #[error("the broker cannot be reached: {reason}")]
    Unreachable { reason: String },
    #[error("the broker's answer cannot be read: {reason}")]
    BadAnswer { reason: String },
}

impl BrokerError {
    /// For `error.type`.
    pub(crate) fn error_type(&self) -> &'static str {
        match self {
            Self::NotThere => "no_instance",
            Self::Refused { .. } => "refused",
            Self::Unreachable { .. } => "unreachable",
            Self::BadAnswer { .. } => "bad_answer",
        }
    }
}

/// The service `broker`, wherever it is. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Broker {
    directory: Directory,
    client: Client,
    service: &'static str,
    instance: String,
    requests: Arc<AtomicU64>,
}

#[derive(Deserialize)]
struct Deliveries {
    deliveries: Vec<Delivery>,
}

#[derive(Deserialize)]
struct Refusal {
    error: Reason,
}

#[derive(Deserialize)]
struct Reason {
    code: String,
    message: String,
}

/// What is read of the answer to a publish.
#[derive(Deserialize)]
struct Routed {
    routed: Vec<u32>,
}

impl Broker {
    pub(crate) fn new(context: &Context) -> Self {
        let client = Client::builder()
            .no_proxy()
            .tls_backend_preconfigured(service::tls::no_trust())
            .connect_timeout(CONNECT_TIMEOUT)
            .build()
            .expect("a client that trusts nobody needs nothing of the machine");
        Self {
            directory: context.directory.clone(),
            client,
            service: context.service,
            instance: context.instance.clone(),
            requests: Arc::default(),
        }
    }

    /// Makes the queue if there is none, and has it get what its bindings say. Can be done again.
    ///
    /// # Errors
    /// Why it may not be there.
    pub(crate) async fn declare(&self, queue: &Queue) -> Result<(), BrokerError> {
        let path = format!("queues/{}", queue.name);
        self.call::<Value>(Method::PUT, &path, queue, TIMEOUT).await.map(drop)
    }

    /// Returns when all are stored for good. One whose id was published before is not stored again, so that what failed
    /// can simply be published again. Gives for each how many queues are bound for it.
    ///
    /// # Errors
    /// Why some may not be stored; `queue_full` and `busy` go by.
    pub(crate) async fn publish(&self, messages: &[Message]) -> Result<Vec<u32>, BrokerError> {
        let mut routed = Vec::with_capacity(messages.len());
        for batch in messages.chunks(BATCH_MAX) {
            let body = json!({"messages": batch});
            let answer: Routed = self.call(Method::POST, "messages", &body, TIMEOUT).await?;
            routed.extend(answer.routed);
        }
        Ok(routed)
    }

    /// Up to `max` messages (at most [`BATCH_MAX`]), in the order of their arrival; waits up to `wait` (at most 30 s) for
    /// the first. They are lent for as long as the queue says.
    ///
    /// # Errors
    /// Why there are none. Some may have been lent, and come again.
    pub(crate) async fn receive(
        &self,
        queue: &str,
        max: usize,
        wait: Duration,
    ) -> Result<Vec<Delivery>, BrokerError> {
        let wait_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
        let max = max.clamp(1, BATCH_MAX);
        let body = json!({"max": max, "wait_ms": wait_ms, "consumer": self.service});
        let path = format!("queues/{queue}/receive");
        let timeout = wait.saturating_add(TIMEOUT);
        let answer = self.call::<Deliveries>(Method::POST, &path, &body, timeout).await?;
        Ok(answer.deliveries)
    }

    /// Says what became of deliveries. Saying it again changes nothing.
    ///
    /// # Errors
    /// Why the broker may not know.
    pub(crate) async fn settle(
        &self,
        queue: &str,
        settlements: &[Settlement],
    ) -> Result<(), BrokerError> {
        let path = format!("queues/{queue}/settle");
        for batch in settlements.chunks(BATCH_MAX) {
            let body = json!({"settlements": batch});
            self.call::<Value>(Method::POST, &path, &body, TIMEOUT).await?;
        }
        Ok(())
    }

    async fn call<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: &impl Serialize,
        timeout: Duration,
    ) -> Result<T, BrokerError> {
        let broker = self.directory.instances("broker").into_iter().next();
        let address = broker.ok_or(BrokerError::NotThere)?.address;
        let url = format!("http://{address}/api/v1/{path}");
        let request = self.client.request(method, url).json(body).timeout(timeout);
        let answer = self.named(request).send().await.map_err(unreachable)?;
        if answer.content_length().is_none_or(|bytes| bytes > ANSWER_BYTES_MAX) {
            let reason = format!("its length is unknown or above {ANSWER_BYTES_MAX} bytes");
            return Err(BrokerError::BadAnswer { reason });
        }
        let status = answer.status();
        let body = answer.bytes().await.map_err(unreachable)?;
        let unreadable =
            |error: serde_json::Error| BrokerError::BadAnswer { reason: error.to_string() };
        if status == StatusCode::OK {
            return serde_json::from_slice(&body).map_err(unreadable);
        }
        let Refusal { error: Reason { code, message } } =
            serde_json::from_slice(&body).map_err(unreadable)?;
        Err(BrokerError::Refused { status: status.as_u16(), code, message })
    }

    /// The headers of every call within the shop. The ids of requests are no draws from the shop's seed: how many there
    /// are depends on time.
    fn named(&self, request: RequestBuilder) -> RequestBuilder {
        let number = self.requests.fetch_add(1, Ordering::Relaxed);
        request
            .header("x-service-name", self.service)
            .header("x-request-id", format!("{}-{number}", self.instance))
            .header("x-attempt", "1")
    }
}

/// With what is behind it: reqwest's own words are only that it failed.
fn unreachable(error: reqwest::Error) -> BrokerError {
    let mut reason = error.to_string();
    let mut source = std::error::Error::source(&error);
    while let Some(error) = source {
        reason.push_str(": ");
        reason.push_str(&error.to_string());
        source = error.source();
    }
    BrokerError::Unreachable { reason }
}
