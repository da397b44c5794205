//! One request with a batch, and what its answer means. Shared by the daemon and by `ship`.
//!
//! The same bytes go out under the same name until the collector takes or refuses them. Network errors, 408, 429
//! and all 5xx (507, a full disk, too) are worth another try, after a jittered pause that doubles from 100 ms to
//! 30 s, or after `Retry-After` if that is longer. What any other answer means is for the caller to decide.

mod response;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use record::Signal;
use reqwest::header::{
    AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER,
};
use reqwest::{StatusCode, Url, redirect};
use serde::{Deserialize, Serialize};
use service::credentials::{Bearer, Credentials};
use wire::{BatchName, Encoding, Format};

pub(crate) use response::PartialSuccess;

/// Header of an acknowledgement: which store.
const STORE_ID: &str = "logq-store-id";
/// Header of an acknowledgement: higher after the store was restored.
const GENERATION: &str = "logq-generation";
/// Header of an acknowledgement: there if the batch was stored already.
const DUPLICATE: &str = "logq-duplicate";
/// Header of an acknowledgement: how many batches before it this store never saw, though they are settled.
const LOST_BATCHES: &str = "logq-lost-batches";
/// Header of a request: whose records.
const TENANT: HeaderName = HeaderName::from_static("x-scope-orgid");

const PAUSE_MIN: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(30);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// What is read of an answer.
const ANSWER_BYTES_MAX: usize = 64 << 10;

/// Which store acknowledges.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoreIdentity {
    /// The header `logq-store-id`.
    pub id: String,
    /// The header `logq-generation`; a restored store has a higher one.
    pub generation: Option<u64>,
}

/// The acknowledgement of a batch.
#[derive(Debug, Default)]
pub(crate) struct Acknowledgement {
    pub(crate) store: Option<StoreIdentity>,
    pub(crate) duplicate: bool,
    /// Batches before this one that are settled for the sender and that this store never saw.
    pub(crate) lost_batches: u64,
    pub(crate) partial: PartialSuccess,
}

/// What became of one request.
#[derive(Debug)]
pub(crate) enum Attempt {
    Acknowledged(Acknowledgement),
    /// Answered, and sending the same again is of no use.
    Refused {
        status: u16,
        message: String,
    },
    /// Worth another try, but not before so long. `sent` says whether the receiver may have taken it.
    Again {
        reason: String,
        not_before: Duration,
        sent: bool,
    },
}

/// One collector.
#[derive(Clone, Debug)]
pub(crate) struct Collector {
    http: reqwest::Client,
    base: Url,
    tenant: Option<HeaderValue>,
    bearer: Option<Arc<Bearer>>,
}

impl Collector {
    /// The collector at `addr`, such as `http://127.0.0.1:4318` or `https://logs.example:4318`.
    ///
    /// # Errors
    /// What is wrong with the address or with a file of the credentials.
    pub(crate) fn new(
        addr: &str,
        credentials: &Credentials,
        timeout: Duration,
    ) -> Result<Self, String> {
        let base = base_of(addr)?;
        let mut http = reqwest::Client::builder()
            .tls_backend_preconfigured(credentials.tls_for(addr)?)
            .redirect(redirect::Policy::none())
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(timeout);
        if base.host_str().is_some_and(is_this_machine) {
            http = http.no_proxy();
        }
        Ok(Self {
            http: http.build().map_err(|error| describe(&error))?,
            base,
            tenant: credentials.tenant_header()?,
            bearer: credentials.bearer()?.map(Arc::new),
        })
    }

    /// Sends a batch once: `ExportLogsServiceRequest` or `ExportTraceServiceRequest`, compressed by zstd. Only the
    /// whole answer counts.
    pub(crate) async fn send(&self, signal: Signal, name: &BatchName, body: Bytes) -> Attempt {
        let path = match signal {
            Signal::Logs => "v1/logs",
            Signal::Spans => "v1/traces",
        };
        let request = self
            .post(path)
            .header(CONTENT_TYPE, Format::otlp_protobuf(signal).content_type())
            .header(CONTENT_ENCODING, Encoding::Zstd.name());
        let request =
            name.headers().fold(request, |request, (key, value)| request.header(key, value));
        let answer = async {
            let response = request.body(body).send().await?;
            let (status, headers) = (response.status(), response.headers().clone());
            Ok::<_, reqwest::Error>((status, headers, body_of(response).await?))
        };
        match answer.await {
            Ok((status, headers, body)) => judge(status, &headers, &body),
            Err(error) => Attempt::Again {
                sent: !error.is_connect(),
                reason: describe(&error),
                not_before: Duration::ZERO,
            },
        }
    }

    /// Sends a JSON document; gives the status.
    ///
    /// # Errors
    /// What kept it from being answered.
    pub(crate) async fn send_json(&self, path: &str, body: Vec<u8>) -> Result<u16, String> {
        let request = self.post(path).header(CONTENT_TYPE, "application/json").body(body);
        let response = request.send().await.map_err(|error| describe(&error))?;
        Ok(response.status().as_u16())
    }

    fn post(&self, path: &str) -> reqwest::RequestBuilder {
        let url = self.base.join(path).unwrap_or_else(|_| self.base.clone());
        let mut request = self.http.post(url);
        if let Some(bearer) = &self.bearer {
            request = request.header(AUTHORIZATION, bearer.header());
        }
        match &self.tenant {
            Some(tenant) => request.header(TENANT, tenant.clone()),
            None => request,
        }
    }
}

/// Asks for a document of this machine or network.
///
/// # Errors
/// What kept it from being answered, or another status than 200.
pub(crate) async fn get(url: &str, credentials: &Credentials) -> Result<Vec<u8>, String> {
    const DOCUMENT_BYTES_MAX: usize = 64 << 20;
    let http = reqwest::Client::builder().no_proxy().connect_timeout(CONNECT_TIMEOUT);
    let http = http.tls_backend_preconfigured(credentials.tls_for(url)?);
    let http = http.timeout(CONNECT_TIMEOUT * 2).build().map_err(|error| describe(&error))?;
    let mut request = http.get(url);
    if let Some(bearer) = credentials.bearer()? {
        request = request.header(AUTHORIZATION, bearer.header());
    }
    if let Some(tenant) = credentials.tenant_header()? {
        request = request.header(TENANT, tenant);
    }
    let mut response = request.send().await.map_err(|error| describe(&error))?;
    let status = response.status();
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| describe(&error))? {
        body.extend_from_slice(&chunk);
        if body.len() > DOCUMENT_BYTES_MAX {
            return Err("the answer is too long".to_owned());
        }
    }
    if status.is_success() { Ok(body) } else { Err(format!("it answered {status}")) }
}

/// Pauses between tries: jittered, doubling.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Backoff(Duration);

impl Default for Backoff {
    fn default() -> Self {
        Self(PAUSE_MIN)
    }
}

impl Backoff {
    /// How long to wait before the next try. Between half of the pause and all of it, so that many agents do
    /// not come back at once.
    pub(crate) fn next(&mut self, not_before: Duration) -> Duration {
        let random = getrandom::u32().unwrap_or(u32::MAX / 2);
        let pause = self.0.mul_f64(0.5 + f64::from(random) / f64::from(u32::MAX) / 2.0);
        self.0 = (self.0 * 2).min(PAUSE_MAX);
        pause.max(not_before)
    }
}

fn judge(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Attempt {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    if status.is_success() {
        let store = header(STORE_ID).map(|id| StoreIdentity {
            id: id.to_owned(),
            generation: header(GENERATION).and_then(|number| number.parse().ok()),
        });
        let duplicate = headers.contains_key(DUPLICATE);
        let lost_batches = header(LOST_BATCHES).and_then(|number| number.parse().ok()).unwrap_or(0);
        let partial = response::partial_success(body);
        return Attempt::Acknowledged(Acknowledgement { store, duplicate, lost_batches, partial });
    }
    let message = response::error_message(header(CONTENT_TYPE.as_str()).unwrap_or_default(), body);
    let again = [StatusCode::REQUEST_TIMEOUT, StatusCode::TOO_MANY_REQUESTS].contains(&status);
    if again || status.is_server_error() {
        // Only seconds: the other form, a date, would trust two clocks to agree.
        let seconds = header(RETRY_AFTER.as_str()).and_then(|text| text.trim().parse().ok());
        let not_before = Duration::from_secs(seconds.unwrap_or(0));
        let reason = format!("{}: {message}", status.as_u16());
        return Attempt::Again { reason, not_before, sent: true };
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

/// The address as a URL that paths can be joined to.
///
/// # Errors
/// What is wrong with it, and how to write it.
pub(crate) fn base_of(addr: &str) -> Result<Url, String> {
    const FORM: &str = "write it as http://HOST:PORT or https://HOST:PORT";
    let base = Url::parse(&format!("{}/", addr.trim_end_matches('/')))
        .map_err(|error| format!("{error}; {FORM}"))?;
    match (base.scheme(), base.host_str()) {
        ("http" | "https", Some(_)) => Ok(base),
        _ => Err(FORM.to_owned()),
    }
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
