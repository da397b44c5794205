//! How services reach the broker.
//!
//! Calls leave no spans: what happens to messages is told by spans of the messages, and a poll is no part of any
//! interaction. Nor are they tried again here: publishers and consumers do that with what they have.

use std::time::Duration;

use axum::http::{Method, StatusCode};
use reqwest::Client;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use thiserror::Error;

use super::message::{BATCH_MAX, Delivery, Message, Queue, Settlement};
use crate::kit::client::{CallError, error_of, http_client, whole};
use crate::kit::context::Context;
use crate::kit::directory::Directory;

/// How long an answer may take, beyond what was asked to be waited.
const TIMEOUT: Duration = Duration::from_secs(5);
/// A full batch, and what JSON adds.
const ANSWER_BYTES_MAX: usize = 16 << 20;

/// Why the broker did not do something.
#[derive(Debug, Error)]
pub(crate) enum BrokerError {
    /// Nothing was done.
    #[error("the broker refused with {status} {code}: {message}")]
    Refused { status: StatusCode, code: String, message: String },
    /// It may have been done all the same.
    #[error("the broker does not answer: {source}")]
    NoAnswer {
        #[from]
        source: CallError,
    },
}

impl BrokerError {
    /// For `error.type`.
    pub(crate) fn error_type(&self) -> &'static str {
        match self {
            Self::Refused { .. } => "refused",
            Self::NoAnswer { source } => source.error_type(),
        }
    }

    /// Whether the broker finds fault with what it got, and will at each further try.
    pub(crate) fn is_for_good(&self) -> bool {
        let faults = [
            StatusCode::BAD_REQUEST,
            StatusCode::PAYLOAD_TOO_LARGE,
            StatusCode::UNPROCESSABLE_ENTITY,
        ];
        matches!(self, Self::Refused { status, .. } if faults.contains(status))
    }
}

/// The service `broker`, wherever it is. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Broker {
    directory: Directory,
    client: Client,
    service: &'static str,
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
        let Context { directory, service, .. } = context;
        Self { directory: directory.clone(), client: http_client(), service }
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
        let address = broker.ok_or(CallError::NoInstance)?.address;
        let url = format!("http://{address}/api/v1/{path}");
        let request = self.client.request(method, url).json(body).timeout(timeout);
        let answer = whole(request.send().await.map_err(error_of)?, ANSWER_BYTES_MAX).await?;
        if answer.status == StatusCode::OK {
            return Ok(answer.json()?);
        }
        let Refusal { error: Reason { code, message } } = answer.json()?;
        Err(BrokerError::Refused { status: answer.status, code, message })
    }
}
