//! What handlers of the shop share: bodies that are not understood, and troubles that are not the caller's.

use std::time::Instant;

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use service::http::ErrorResponse;
use service::telemetry;

use super::database::DatabaseError;

/// Why a request is not answered as it was meant to be.
#[derive(Debug)]
pub(crate) struct Trouble(pub(crate) ErrorResponse);

impl Trouble {
    pub(crate) fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self(ErrorResponse::new(status, code, message))
    }

    /// For a while it cannot be done; it may be tried again.
    pub(crate) fn unavailable(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, code, message)
    }
}

impl IntoResponse for Trouble {
    fn into_response(self) -> Response {
        self.0.into_response()
    }
}

impl From<DatabaseError> for Trouble {
    fn from(error: DatabaseError) -> Self {
        telemetry::fail("database", error.to_string());
        tracing::error!(%error, "database does not do it");
        // What SQLite says is for the log.
        Self::unavailable("database", "the service cannot use its database at the moment")
    }
}

/// The body of a request, or why it is not one.
pub(crate) fn understood<T>(body: Result<Json<T>, JsonRejection>) -> Result<T, Trouble> {
    body.map(|Json(body)| body)
        .map_err(|refusal| Trouble::new(refusal.status(), "bad_request", refusal.body_text()))
}

/// The time since `began`, in milliseconds with three decimals.
pub(crate) fn elapsed_ms(began: Instant) -> f64 {
    began.elapsed().as_micros() as f64 / 1_000.0
}
