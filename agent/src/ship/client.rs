//! One batch to its acknowledgement: the same bytes under the same name until the collector takes or refuses it.
//!
//! Network errors, 408, 429 and all 5xx (507, a full disk, too) are tried again, after a jittered pause that
//! doubles from 100 ms to 30 s, or after `Retry-After` if that is longer. Any other answer is final. Giving up is
//! decided for all batches together: while any of them is acknowledged, the others go on.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use reqwest::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, RETRY_AFTER};
use reqwest::{StatusCode, Url, redirect};
use wire::{BatchName, Encoding, Format};

use super::ShipError;
use super::batch::Batch;
use super::options::ShipOptions;
use super::report::StoreIdentity;
use super::response::{self, PartialSuccess};

const PAUSE_MIN: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(30);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// What is read of an answer.
const ANSWER_BYTES_MAX: usize = 64 << 10;

/// The acknowledgement of a batch.
#[derive(Debug, Default)]
pub(super) struct Acknowledgement {
    pub(super) store: Option<StoreIdentity>,
    pub(super) duplicate: bool,
    pub(super) partial: PartialSuccess,
}

/// Why a batch was not acknowledged.
#[derive(Debug)]
pub(super) enum Failure {
    Refused { status: u16, message: String },
    GaveUp { stalled: Duration, last: String },
}

/// Sends batches; shared by all that are in flight.
#[derive(Debug)]
pub(super) struct Client {
    http: reqwest::Client,
    url: Url,
    agent: String,
    epoch: String,
    give_up_after: Duration,
    pub(super) first_unacknowledged: AtomicU64,
    pub(super) retries: AtomicU64,
    stall: Mutex<Option<Stall>>,
}

/// Nothing was acknowledged since the first of some failures.
#[derive(Clone, Debug)]
struct Stall {
    since: Instant,
    last: String,
}

enum Attempt {
    Acknowledged(Acknowledgement),
    Refused { status: u16, message: String },
    Again { reason: String, not_before: Duration },
}

impl Client {
    pub(super) fn new(options: &ShipOptions, agent: &str, epoch: &str) -> Result<Self, ShipError> {
        let refuse = |reason: String| ShipError::Addr { addr: options.addr.clone(), reason };
        let url = options.addr.trim_end_matches('/');
        let url = Url::parse(&format!("{url}/v1/logs"))
            .map_err(|error| refuse(format!("{error}; write it as http://HOST:PORT")))?;
        if url.scheme() != "http" || url.host_str().is_none() {
            return Err(refuse("write it as http://HOST:PORT; TLS is not built in yet".to_owned()));
        }
        let mut http = reqwest::Client::builder()
            .redirect(redirect::Policy::none())
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(options.request_timeout.min(options.give_up_after));
        if url.host_str().is_some_and(is_this_machine) {
            http = http.no_proxy();
        }
        Ok(Self {
            http: http.build().map_err(|error| refuse(describe(&error)))?,
            url,
            agent: agent.to_owned(),
            epoch: epoch.to_owned(),
            give_up_after: options.give_up_after,
            first_unacknowledged: AtomicU64::new(0),
            retries: AtomicU64::new(0),
            stall: Mutex::default(),
        })
    }

    /// The name of a batch, for messages.
    pub(super) fn batch_name(&self, sequence: u64) -> String {
        format!("{}/{}/{sequence}", self.agent, self.epoch)
    }

    /// What the last attempt met, if nothing is acknowledged since.
    pub(super) fn stalled(&self) -> Option<String> {
        self.stall().as_ref().map(|stall| stall.last.clone())
    }

    /// Sends a batch until it is acknowledged, refused, or given up.
    pub(super) async fn deliver(&self, batch: &Batch) -> Result<Acknowledgement, Failure> {
        let mut pause = PAUSE_MIN;
        loop {
            let (reason, not_before) = match self.attempt(batch).await {
                Attempt::Acknowledged(acknowledgement) => {
                    *self.stall() = None;
                    return Ok(acknowledgement);
                }
                Attempt::Refused { status, message } => {
                    return Err(Failure::Refused { status, message });
                }
                Attempt::Again { reason, not_before } => (reason, not_before),
            };
            let stalled = self.note_failure(&reason);
            let left = self.give_up_after.saturating_sub(stalled);
            if left.is_zero() {
                return Err(Failure::GaveUp { stalled, last: reason });
            }
            tracing::debug!(sequence = batch.sequence, reason, "batch will be sent again");
            // A pause that is longer than there is time for is cut, so that the last moment is still tried.
            tokio::time::sleep(jittered(pause).max(not_before).min(left)).await;
            pause = (pause * 2).min(PAUSE_MAX);
            self.retries.fetch_add(1, Ordering::Relaxed);
        }
    }

    async fn attempt(&self, batch: &Batch) -> Attempt {
        let name = BatchName {
            agent: self.agent.clone(),
            epoch: self.epoch.clone(),
            sequence: batch.sequence,
            first_unacknowledged: Some(self.first_unacknowledged.load(Ordering::Relaxed)),
        };
        let request = self
            .http
            .post(self.url.clone())
            .header(CONTENT_TYPE, Format::OtlpProtobuf.content_type())
            .header(CONTENT_ENCODING, Encoding::Zstd.name());
        let request =
            name.headers().fold(request, |request, (key, value)| request.header(key, value));
        // Only the whole answer is an acknowledgement.
        let answer = async {
            let response = request.body(batch.body.clone()).send().await?;
            let (status, headers) = (response.status(), response.headers().clone());
            Ok::<_, reqwest::Error>((status, headers, body_of(response).await?))
        };
        match answer.await {
            Ok((status, headers, body)) => judge(status, &headers, &body),
            Err(error) => Attempt::Again { reason: describe(&error), not_before: Duration::ZERO },
        }
    }

    /// Remembers a failure and says for how long nothing was acknowledged.
    fn note_failure(&self, reason: &str) -> Duration {
        let mut stall = self.stall();
        let since = stall.as_ref().map_or_else(Instant::now, |stall| stall.since);
        *stall = Some(Stall { since, last: reason.to_owned() });
        since.elapsed()
    }

    fn stall(&self) -> std::sync::MutexGuard<'_, Option<Stall>> {
        self.stall.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

fn judge(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Attempt {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    if status.is_success() {
        let store = header(super::STORE_ID).map(|id| StoreIdentity {
            id: id.to_owned(),
            generation: header(super::GENERATION).and_then(|number| number.parse().ok()),
        });
        let duplicate = headers.contains_key(super::DUPLICATE);
        let partial = response::partial_success(body);
        return Attempt::Acknowledged(Acknowledgement { store, duplicate, partial });
    }
    let message = response::error_message(header(CONTENT_TYPE.as_str()).unwrap_or_default(), body);
    let again = [StatusCode::REQUEST_TIMEOUT, StatusCode::TOO_MANY_REQUESTS].contains(&status);
    if again || status.is_server_error() {
        // Only seconds: the other form, a date, would trust two clocks to agree.
        let seconds = header(RETRY_AFTER.as_str()).and_then(|text| text.trim().parse().ok());
        let not_before = Duration::from_secs(seconds.unwrap_or(0));
        return Attempt::Again { reason: format!("{}: {message}", status.as_u16()), not_before };
    }
    Attempt::Refused { status: status.as_u16(), message }
}

async fn body_of(mut response: reqwest::Response) -> Result<Vec<u8>, reqwest::Error> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        let room = ANSWER_BYTES_MAX - body.len();
        body.extend_from_slice(&chunk[..chunk.len().min(room)]);
        if body.len() == ANSWER_BYTES_MAX {
            break;
        }
    }
    Ok(body)
}

/// Between half of the pause and all of it, so that many agents do not come back at once.
fn jittered(pause: Duration) -> Duration {
    let random = getrandom::u32().unwrap_or(u32::MAX / 2);
    pause.mul_f64(0.5 + f64::from(random) / f64::from(u32::MAX) / 2.0)
}

fn is_this_machine(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost"
        || address.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// The error with what is behind it: reqwest's own text stops before the reason.
fn describe(error: &dyn std::error::Error) -> String {
    let mut deepest = error;
    while let Some(source) = deepest.source() {
        deepest = source;
    }
    deepest.to_string().to_lowercase()
}
