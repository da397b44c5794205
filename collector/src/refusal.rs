//! Why a request is refused, with its HTTP status and a stable code.

use std::time::Duration;

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use service::http::ErrorResponse;
use store::StoreError;
use wire::DecodeError;

/// Why a request is refused. Nothing of it is stored.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refusal {
    #[error("the body is larger than {limit_bytes} bytes; send smaller batches")]
    BodyTooLarge { limit_bytes: usize },
    #[error("the body was cut off: {detail}; send it again")]
    BodyCutOff { detail: String },
    #[error(transparent)]
    Frame(#[from] service::grpc::BadFrame),
    #[error("the tenant sends faster than it may; send slower, or have its rate raised")]
    TooFast { after: Duration },
    /// A named batch is taken whole or not at all.
    #[error("{rejected} of the batch's records cannot be taken, the first one {first}")]
    NotWhole { rejected: u32, first: String },
    #[error("the heartbeat cannot be read: {detail}")]
    Heartbeat { detail: String },
    #[error(transparent)]
    Decode(#[from] DecodeError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the decoder stopped; this is a bug, please report what was sent")]
    DecoderPanicked,
}

impl Refusal {
    pub(crate) fn status(&self) -> u16 {
        match self {
            Refusal::BodyTooLarge { .. } => 413,
            Refusal::BodyCutOff { .. }
            | Refusal::Frame(_)
            | Refusal::NotWhole { .. }
            | Refusal::Heartbeat { .. } => 400,
            Refusal::TooFast { .. } => 429,
            Refusal::Decode(error) => error.status(),
            Refusal::Store(error) => match error {
                StoreError::Overloaded { .. }
                | StoreError::TooFarAhead { .. }
                | StoreError::TooManyDeletes { .. } => 429,
                StoreError::Conflict { .. } => 409,
                StoreError::Full { .. } => 507,
                _ => 503,
            },
            Refusal::DecoderPanicked => 500,
        }
    }

    /// What [`Refusal::code`] gives of batches.
    pub(crate) const CODES: [&str; 19] = [
        "body_too_large",
        "body_cut_off",
        "bad_frame",
        "rate_exceeded",
        "batch_not_whole",
        "malformed_body",
        "bad_compression",
        "line_too_long",
        "unknown_encoding",
        "unknown_content_type",
        "unknown_format",
        "bad_batch_name",
        "overloaded",
        "too_far_ahead",
        "batch_conflict",
        "disk_full",
        "shutting_down",
        "journal_failed",
        "internal",
    ];

    pub(crate) fn code(&self) -> &'static str {
        match self {
            Refusal::BodyTooLarge { .. } => "body_too_large",
            Refusal::BodyCutOff { .. } => "body_cut_off",
            Refusal::Frame(_) => "bad_frame",
            Refusal::TooFast { .. } => "rate_exceeded",
            Refusal::NotWhole { .. } => "batch_not_whole",
            Refusal::Heartbeat { .. } => "bad_heartbeat",
            Refusal::Decode(error) => error.code(),
            Refusal::Store(error) => match error {
                StoreError::Overloaded { .. } => "overloaded",
                StoreError::TooFarAhead { .. } => "too_far_ahead",
                StoreError::Conflict { .. } => "batch_conflict",
                StoreError::Full { .. } => "disk_full",
                StoreError::TooManyDeletes { .. } => "too_many_deletes",
                StoreError::Closed => "shutting_down",
                _ => "journal_failed",
            },
            Refusal::DecoderPanicked => "internal",
        }
    }

    /// After which time it is worth trying again.
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        if let Refusal::TooFast { after } = self {
            // Rounded up: who comes earlier comes in vain.
            return Some(Duration::from_secs((after.as_secs_f64().ceil() as u64).max(1)));
        }
        match self.status() {
            429 | 503 => Some(Duration::from_secs(1)),
            507 => Some(Duration::from_secs(5)),
            _ => None,
        }
    }
}

impl IntoResponse for &Refusal {
    /// As our own routes word it; OTLP has a form of its own.
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status()).unwrap_or(StatusCode::SERVICE_UNAVAILABLE);
        let mut response = ErrorResponse::new(status, self.code(), self.to_string());
        response.retry_after = self.retry_after();
        response.into_response()
    }
}
