//! Calls of other services: a span of kind client, headers that carry correlation and trace, and how it ended.
//!
//! The span ends when the head of the answer is there. A status of 400 and more is an error of the call, and so is no
//! answer at all, as OpenTelemetry's conventions for HTTP clients have it.

use reqwest::{RequestBuilder, Response};
use tracing::{Instrument, field, info_span};

use super::propagation::{HttpHeadersOut, inject};
use super::unanswered::Unanswered;
use crate::semantics::{http, record};

/// A request that is to be sent within the current correlation.
#[derive(Debug)]
pub struct Call {
    request: RequestBuilder,
    peer: Option<&'static str>,
    attempt: u32,
}

impl Call {
    /// The first try of a request.
    pub fn of(request: RequestBuilder) -> Self {
        Self { request, peer: None, attempt: 1 }
    }

    /// Names the service that is called.
    #[must_use]
    pub fn peer(mut self, service: &'static str) -> Self {
        self.peer = Some(service);
        self
    }

    /// Says which try it is, from 1.
    #[must_use]
    pub fn attempt(mut self, attempt: u32) -> Self {
        self.attempt = attempt;
        self
    }

    /// Sends it; whatever the status is, an answer is an answer.
    ///
    /// # Errors
    /// As [`RequestBuilder::send`].
    pub async fn send(self) -> reqwest::Result<Response> {
        let (client, request) = self.request.build_split();
        let mut request = request?;
        let (method, url) = (request.method(), request.url());
        let span = info_span!(
            "http.client.request",
            otel.name = %method,
            otel.kind = "client",
            otel.status_code = field::Empty,
            { http::REQUEST_METHOD } = %method,
            { http::SERVER_ADDRESS } = url.host_str(),
            { http::SERVER_PORT } = url.port_or_known_default().map(i64::from),
            { http::URL_PATH } = url.path(),
            { http::PEER_NAME } = self.peer,
            { http::RESEND_COUNT } = (self.attempt > 1).then(|| i64::from(self.attempt) - 1),
            { http::RESPONSE_STATUS_CODE } = field::Empty,
            { record::ATTEMPT } = i64::from(self.attempt),
            { record::ERROR_TYPE } = field::Empty,
        );
        span.in_scope(|| inject(&mut HttpHeadersOut(request.headers_mut())));
        let mut unanswered = Unanswered::of(&span);
        let answer = client.execute(request).instrument(span.clone()).await;
        unanswered.answered();
        match &answer {
            Ok(answer) => {
                let status = answer.status();
                span.record(http::RESPONSE_STATUS_CODE, i64::from(status.as_u16()));
                if status.as_u16() >= 400 {
                    span.record(record::ERROR_TYPE, status.as_str());
                    span.record("otel.status_code", "error");
                }
            }
            Err(error) => {
                span.record(record::ERROR_TYPE, error_type(error));
                span.record("otel.status_code", "error");
            }
        }
        answer
    }
}

/// Few values; the texts of errors have addresses in them.
fn error_type(error: &reqwest::Error) -> &'static str {
    match error {
        error if error.is_timeout() => "timeout",
        error if error.is_connect() => "connect",
        error if error.is_redirect() => "redirect",
        error if error.is_body() || error.is_decode() => "body",
        error if error.is_request() => "request",
        _ => "_OTHER",
    }
}
