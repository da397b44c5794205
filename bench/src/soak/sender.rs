//! One agent: named batches in order, each due at its time, each sent again until it is acknowledged.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::bail;
use bytes::Bytes;
use reqwest::StatusCode;
use reqwest::header::{CONTENT_TYPE, HeaderMap, RETRY_AFTER};
use serde::Deserialize;

use super::progress::Progress;
use super::stream::{LANES, Stream};

const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
/// After no answer, and after one that names no time.
const PAUSE: Duration = Duration::from_millis(20);
/// The longest that an answer can make it wait.
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// Which batches, and to whom.
#[derive(Clone, Debug)]
pub(crate) struct Lane {
    pub(crate) number: usize,
    /// `http://host:port` that takes batches.
    pub(crate) ingest: String,
    /// Batches of all lanes.
    pub(crate) batches_total: u64,
    /// When a batch that is still not acknowledged ends the run.
    pub(crate) deadline: Instant,
}

/// What came of it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Delivered {
    /// From the first byte of the first try to the acknowledgement.
    pub(crate) latencies: Vec<Duration>,
    /// Tries that got no answer.
    pub(crate) unanswered: u64,
    /// Tries that were answered with 429.
    pub(crate) refused: u64,
    /// Tries that were answered with 5xx.
    pub(crate) failed: u64,
    /// Batches that the server had already when they were sent again.
    pub(crate) duplicates: u64,
}

impl Delivered {
    pub(crate) fn add(&mut self, other: Self) {
        self.latencies.extend(other.latencies);
        self.unanswered += other.unanswered;
        self.refused += other.refused;
        self.failed += other.failed;
        self.duplicates += other.duplicates;
    }
}

#[derive(Debug, Deserialize)]
struct Answer {
    accepted: u64,
    #[serde(default)]
    rejected: u64,
}

impl Lane {
    /// Sends all batches of the lane. What cannot be delivered ends the run for all.
    pub(crate) async fn run(self, stream: Arc<Stream>, progress: Arc<Progress>) -> Delivered {
        let mut delivered = Delivered::default();
        if let Err(error) = self.deliver_all(&stream, &progress, &mut delivered).await {
            progress.abort(format!("agent {}: {error:#}", self.number));
        }
        delivered
    }

    async fn deliver_all(
        &self,
        stream: &Stream,
        progress: &Progress,
        delivered: &mut Delivered,
    ) -> anyhow::Result<()> {
        let client =
            crate::http::builder().timeout(REQUEST_TIMEOUT).pool_max_idle_per_host(1).build()?;
        let numbers = (self.number as u64..self.batches_total).step_by(LANES);
        for (sequence, number) in numbers.enumerate() {
            tokio::select! {
                () = progress.until_over() => return Ok(()),
                () = tokio::time::sleep_until((progress.begun + stream.due(number)).into()) => {}
            }
            let (body, records) = stream.batch(number, jiff::Timestamp::now().as_microsecond());
            progress.sending(records);
            let begun = Instant::now();
            while !self.try_deliver(&client, sequence, &body, records, delivered).await? {
                if progress.is_over() {
                    return Ok(());
                }
                if Instant::now() > self.deadline {
                    bail!("batch {sequence} is not acknowledged after {:?}", begun.elapsed());
                }
            }
            delivered.latencies.push(begun.elapsed());
            progress.acknowledge(self.number, records, body.len() as u64);
        }
        Ok(())
    }

    /// Sends a batch once; true when it is acknowledged. Otherwise the pause has passed.
    async fn try_deliver(
        &self,
        client: &reqwest::Client,
        sequence: usize,
        body: &Bytes,
        records: u64,
        delivered: &mut Delivered,
    ) -> anyhow::Result<bool> {
        let request = client
            .post(format!("{}/ingest/jsonl", self.ingest))
            .header(CONTENT_TYPE, "application/x-ndjson")
            .header("logq-agent", format!("soak-{}", self.number))
            .header("logq-epoch", "1")
            .header("logq-sequence", sequence)
            .header("logq-first-unacknowledged", sequence)
            .body(body.clone());
        let answer = async {
            let response = request.send().await?;
            let (status, headers) = (response.status(), response.headers().clone());
            anyhow::Ok((status, headers, response.text().await?))
        };
        let Ok((status, headers, text)) = answer.await else {
            delivered.unanswered += 1;
            tokio::time::sleep(PAUSE).await;
            return Ok(false);
        };
        if status == StatusCode::TOO_MANY_REQUESTS || status.is_server_error() {
            let count = if status.is_server_error() {
                &mut delivered.failed
            } else {
                &mut delivered.refused
            };
            *count += 1;
            tokio::time::sleep(pause(&headers)).await;
            return Ok(false);
        }
        if !status.is_success() {
            bail!("batch {sequence} was answered with {status}: {text}");
        }
        if let Some(lost) = headers.get("logq-lost-batches") {
            bail!("batch {sequence}: the server lacks {lost:?} batches that it had acknowledged");
        }
        let answer: Answer = serde_json::from_str(&text)?;
        if headers.contains_key("logq-duplicate") {
            delivered.duplicates += 1;
        } else if (answer.accepted, answer.rejected) != (records, 0) {
            bail!("batch {sequence} of {records} records was answered with {text}");
        }
        Ok(true)
    }
}

fn pause(headers: &HeaderMap) -> Duration {
    let named = headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
    named.map_or(PAUSE, Duration::from_secs).min(PAUSE_MAX)
}
