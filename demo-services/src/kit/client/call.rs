//! What is asked of another service, what it answers, and why it did not.

use std::time::Duration;

use axum::body::Bytes;
use axum::http::header::{CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use reqwest::Response;
use serde::Serialize;
use serde::de::DeserializeOwned;
use thiserror::Error;

use crate::idempotency;

/// A request to a service, whichever of its instances takes it.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(super) method: Method,
    pub(super) path: String,
    pub(super) headers: HeaderMap,
    /// Why there is none, if it could not be written as JSON or a header could not be set.
    pub(super) body: Result<Bytes, String>,
    /// Of each try, if not as the policy says.
    pub(super) timeout: Option<Duration>,
    /// Of the call, with all its tries and pauses.
    pub(super) within: Option<Duration>,
    /// How often the caller has tried it by itself before.
    pub(super) tried_before: u32,
}

/// Whatever the status is, an answer is an answer.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub(crate) enum CallError {
    /// The registry knows of none, or none of them is healthy.
    #[error("no instance of it can be called")]
    NoInstance,
    /// It failed too often lately, and is left alone for a while.
    #[error("its circuit breaker is open; try again in {} ms", retry_after.as_millis())]
    BreakerOpen { retry_after: Duration },
    /// Too many calls of it are under way.
    #[error("too many calls of it are under way")]
    Full,
    #[error("it did not answer in time")]
    Timeout,
    /// No connection, or one that ended before the answer.
    #[error("it cannot be reached: {reason}")]
    Unreachable { reason: String },
    /// An answer that cannot be used, or a request that cannot be sent.
    #[error("the call makes no sense: {reason}")]
    BadAnswer { reason: String },
}

impl Call {
    /// `path` begins with a slash and may have a query.
    pub(crate) fn get(path: impl Into<String>) -> Self {
        Self::of(Method::GET, path)
    }

    pub(crate) fn post(path: impl Into<String>) -> Self {
        Self::of(Method::POST, path)
    }

    pub(crate) fn of(method: Method, path: impl Into<String>) -> Self {
        let (headers, body) = (HeaderMap::new(), Ok(Bytes::new()));
        Self {
            method,
            path: path.into(),
            headers,
            body,
            timeout: None,
            within: None,
            tried_before: 0,
        }
    }

    /// A body of whatever the headers say.
    #[must_use]
    pub(crate) fn bytes(mut self, body: Bytes) -> Self {
        self.body = Ok(body);
        self
    }

    #[must_use]
    pub(crate) fn json(mut self, body: &impl Serialize) -> Self {
        let body = serde_json::to_vec(body).map(Bytes::from);
        self.body = body.map_err(|error| format!("its body is no JSON: {error}"));
        self.header(CONTENT_TYPE, HeaderValue::from_static("application/json"))
    }

    #[must_use]
    pub(crate) fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.insert(name, value);
        self
    }

    /// What the request does has this name: 1 to 255 visible ASCII characters.
    #[must_use]
    pub(crate) fn idempotency_key(mut self, key: &str) -> Self {
        match HeaderValue::from_str(key) {
            Ok(key) => self.header(idempotency::KEY, key),
            Err(error) => {
                // Without its key it might be done twice.
                self.body = Err(format!("its idempotency key cannot be sent: {error}"));
                self
            }
        }
    }

    /// Which try it is, from 1, of a caller that tries again by itself.
    #[must_use]
    pub(crate) fn attempt(mut self, number: u32) -> Self {
        self.tried_before = number.saturating_sub(1);
        self
    }

    /// How long each try may take, instead of what the policy says.
    #[must_use]
    pub(crate) fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// How long the call may take, however often it is tried.
    #[must_use]
    pub(crate) fn within(mut self, most: Duration) -> Self {
        self.within = Some(most);
        self
    }

    /// Whether it comes to the same if the service gets it twice and one answer is lost. A DELETE does (RFC 9110,
    /// 9.2.2), but it is answered otherwise then.
    pub(super) fn may_be_repeated(&self) -> bool {
        [Method::GET, Method::PUT].contains(&self.method)
            || self.headers.contains_key(idempotency::KEY)
    }
}

impl Answer {
    /// # Errors
    /// If the body is not JSON of this form.
    pub(crate) fn json<T: DeserializeOwned>(&self) -> Result<T, CallError> {
        serde_json::from_slice(&self.body)
            .map_err(|error| CallError::BadAnswer { reason: format!("unexpected body: {error}") })
    }

    /// When the service wants to be asked again, where it says that in seconds.
    pub(super) fn retry_after(&self) -> Option<Duration> {
        let after = self.headers.get(RETRY_AFTER)?.to_str().ok()?;
        after.trim().parse().ok().map(Duration::from_secs)
    }
}

impl CallError {
    /// One of few values, for `error.type` and for metrics.
    pub(crate) fn error_type(&self) -> &'static str {
        match self {
            Self::NoInstance => "no_instance",
            Self::BreakerOpen { .. } => "breaker_open",
            Self::Full => "bulkhead_full",
            Self::Timeout => "timeout",
            Self::Unreachable { .. } => "unreachable",
            Self::BadAnswer { .. } => "bad_answer",
        }
    }
}

/// Reads an answer to its end.
///
/// # Errors
/// If it is longer than `bytes_max`, does not come in time, or breaks off.
pub(crate) async fn whole(mut answer: Response, bytes_max: usize) -> Result<Answer, CallError> {
    let (status, headers) = (answer.status(), answer.headers().clone());
    let mut body = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(error_of)? {
        if body.len() + chunk.len() > bytes_max {
            let reason = format!("its answer is longer than {bytes_max} bytes");
            return Err(CallError::BadAnswer { reason });
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Answer { status, headers, body: body.into() })
}

/// What became of a request.
pub(crate) fn error_of(error: reqwest::Error) -> CallError {
    match error {
        error if error.is_status() || error.is_builder() => {
            CallError::BadAnswer { reason: error.without_url().to_string() }
        }
        error if error.is_timeout() && !error.is_connect() => CallError::Timeout,
        error => CallError::Unreachable { reason: root_of(&error) },
    }
}

/// The innermost cause; the others say that a request failed, and where to.
fn root_of(error: &dyn std::error::Error) -> String {
    let mut root = error;
    while let Some(source) = root.source() {
        root = source;
    }
    root.to_string()
}
