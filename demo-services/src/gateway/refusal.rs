//! Why a request is not answered: what is said to whoever asked, and what the line about it says besides, which may be
//! more: nothing of what is behind the door goes out.

use std::time::Duration;

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{FromRequest, Request};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::Value;
use service::http::ErrorResponse;

/// Boxed, since most requests are answered.
#[derive(Debug)]
pub(super) struct Refused(Box<Inner>);

#[derive(Debug)]
struct Inner {
    error: ErrorResponse,
    cause: Option<String>,
}

/// For the line about a request; in the extensions of its answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) code: String,
    pub(super) message: String,
}

impl Refusal {
    /// What the body of a service's answer says, if that is an error as ours are.
    pub(super) fn of(body: &Value) -> Option<Self> {
        let text = |key: &str| body["error"][key].as_str().map(str::to_owned);
        Some(Self { code: text("code")?, message: text("message")? })
    }
}

impl Refused {
    pub(super) fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        ErrorResponse::new(status, code, message).into()
    }

    /// What the log says instead of what is said outside.
    pub(super) fn because(mut self, cause: impl Into<String>) -> Self {
        self.0.cause = Some(cause.into());
        self
    }

    #[cfg(test)]
    pub(super) fn error(&self) -> &ErrorResponse {
        &self.0.error
    }

    pub(super) fn refusal(&self) -> Refusal {
        let Inner { error, cause } = &*self.0;
        let message = cause.as_ref().unwrap_or(&error.message).clone();
        Refusal { code: error.code.to_owned(), message }
    }
}

impl From<ErrorResponse> for Refused {
    fn from(error: ErrorResponse) -> Self {
        Self(Box::new(Inner { error, cause: None }))
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let refusal = self.refusal();
        let mut response = self.0.error.into_response();
        response.extensions_mut().insert(refusal);
        if response.status() == StatusCode::UNAUTHORIZED {
            let understood = HeaderValue::from_static("Bearer");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, understood);
        }
        response
    }
}

/// The body of a request, whole.
///
/// # Errors
/// 413 `too_large`, 408 `body_timeout`, or 400 `bad_body` if it broke off.
pub(super) async fn read_body(request: Request, timeout: Duration) -> Result<Bytes, Refused> {
    let read = tokio::time::timeout(timeout, Bytes::from_request(request, &()));
    let broken: BytesRejection = match read.await {
        Ok(Ok(body)) => return Ok(body),
        Ok(Err(broken)) => broken,
        Err(_) => {
            let message = "the body did not come in time";
            return Err(Refused::new(StatusCode::REQUEST_TIMEOUT, "body_timeout", message));
        }
    };
    Err(match broken.status() {
        StatusCode::PAYLOAD_TOO_LARGE => {
            let message = "the body is larger than anything that the shop takes";
            Refused::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", message)
        }
        _ => Refused::new(StatusCode::BAD_REQUEST, "bad_body", "the body cannot be read")
            .because(broken.body_text()),
    })
}
