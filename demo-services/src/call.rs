//! Calls from one service of the shop to the next, within the correlation at hand.

use std::time::{Duration, Instant};

use axum::http::StatusCode;
use reqwest::{Client, Url};
use serde::Serialize;
use serde_json::Value;
use service::telemetry;

/// The service that is called, and where it takes requests.
#[derive(Debug)]
pub(crate) struct Peer {
    pub(crate) service: &'static str,
    pub(crate) url: Url,
    pub(crate) client: Client,
    /// How long its answer may take.
    pub(crate) timeout: Duration,
}

impl Peer {
    /// Posts `body` and reads the JSON answer, whatever the status is. `attempt` counts from 1.
    pub(crate) async fn post(
        &self,
        attempt: u32,
        body: &impl Serialize,
    ) -> reqwest::Result<(StatusCode, Value)> {
        let request = self.client.post(self.url.clone()).timeout(self.timeout).json(body);
        let call = telemetry::Call::of(request).peer(self.service).attempt(attempt);
        let answer = call.send().await?;
        Ok((answer.status(), answer.json().await?))
    }
}

/// The time since `began`, in milliseconds with three decimals.
pub(crate) fn elapsed_ms(began: Instant) -> f64 {
    began.elapsed().as_micros() as f64 / 1_000.0
}
