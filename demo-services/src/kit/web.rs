//! What handlers of the shop share beside [`super::request`].

use std::time::Instant;

use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use service::http::ErrorResponse;

/// `cache-control` of what is about one user.
pub(crate) const PRIVATE: HeaderValue = HeaderValue::from_static("private, no-store");

pub(crate) fn no_route() -> ErrorResponse {
    ErrorResponse::new(StatusCode::NOT_FOUND, "no_route", "there is no such path")
}

pub(crate) fn wrong_method() -> ErrorResponse {
    let message = "the path does not know this method";
    ErrorResponse::new(StatusCode::METHOD_NOT_ALLOWED, "wrong_method", message)
}

/// Whether whoever asks has the answer of this tag: `if-none-match` (RFC 9110, 13.1.2).
pub(crate) fn is_known(headers: &HeaderMap, tag: &str) -> bool {
    let weak = |tag: &str| tag.strip_prefix("W/").unwrap_or(tag).to_owned();
    let named = headers.get_all(header::IF_NONE_MATCH).iter();
    let mut named = named.filter_map(|value| value.to_str().ok()).flat_map(|tags| tags.split(','));
    named.any(|named| named.trim() == "*" || weak(named.trim()) == weak(tag))
}

/// For a while it cannot be done; it may be tried again.
pub(crate) fn unavailable(code: &'static str, message: impl Into<String>) -> ErrorResponse {
    ErrorResponse::new(StatusCode::SERVICE_UNAVAILABLE, code, message)
}

/// The time since `began`, in milliseconds with three decimals.
pub(crate) fn elapsed_ms(began: Instant) -> f64 {
    began.elapsed().as_micros() as f64 / 1_000.0
}
