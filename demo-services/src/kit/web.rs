//! What handlers of the shop share beside [`super::request`].

use std::time::Instant;

use axum::http::StatusCode;
use service::http::ErrorResponse;

/// For a while it cannot be done; it may be tried again.
pub(crate) fn unavailable(code: &'static str, message: impl Into<String>) -> ErrorResponse {
    ErrorResponse::new(StatusCode::SERVICE_UNAVAILABLE, code, message)
}

/// The time since `began`, in milliseconds with three decimals.
pub(crate) fn elapsed_ms(began: Instant) -> f64 {
    began.elapsed().as_micros() as f64 / 1_000.0
}
