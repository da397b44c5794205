//! The envelope of every answer, `{"data":…,"total":0,"limit":0,"offset":0,"errors":null}`, and of every error.

use axum::http::header::{CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use service::doors::Refused;
use service::http::JsonLine;

use crate::error::QueryError;

/// An answer.
#[derive(Debug, Serialize)]
pub(super) struct Envelope<T> {
    data: T,
    /// Names in the answer; Jaeger does not count traces.
    total: usize,
    limit: usize,
    offset: usize,
    errors: Option<Vec<Fault>>,
}

/// What went wrong, of the whole request or of one trace.
#[derive(Debug, Serialize)]
pub(super) struct Fault {
    code: u16,
    msg: String,
    #[serde(rename = "traceID", skip_serializing_if = "Option::is_none")]
    trace_id: Option<String>,
}

impl<T> Envelope<T> {
    pub(super) fn new(data: T) -> Self {
        Self { data, total: 0, limit: 0, offset: 0, errors: None }
    }

    /// With traces that were asked for by their ids and were not found; `partial` as in [`not_found`].
    pub(super) fn without(data: T, missing: Vec<String>, partial: Option<&str>) -> Self {
        let msg = not_found(partial).to_string();
        let fault = |id| Fault { code: 404, msg: msg.clone(), trace_id: Some(id) };
        let faults: Vec<Fault> = missing.into_iter().map(fault).collect();
        Self { errors: (!faults.is_empty()).then_some(faults), ..Self::new(data) }
    }
}

impl<T> Envelope<Vec<T>> {
    /// A list that Jaeger counts.
    pub(super) fn counted(data: Vec<T>) -> Self {
        Self { total: data.len(), ..Self::new(data) }
    }
}

/// As Jaeger says it; where not all could be looked at, with the reason.
pub(super) fn not_found(partial: Option<&str>) -> QueryError {
    let reason = partial.map_or_else(String::new, |reason| format!("; {reason}"));
    QueryError::NotFound(format!("trace not found{reason}"))
}

/// An answer that is written already.
pub(super) fn json(body: Vec<u8>) -> Response {
    ([(CONTENT_TYPE, "application/json")], body).into_response()
}

/// A query that could not be answered.
pub(super) fn refused(error: &QueryError) -> Response {
    let mut response = fault(error.status(), error.to_string());
    if error.status() == StatusCode::TOO_MANY_REQUESTS.as_u16() {
        response.headers_mut().insert(RETRY_AFTER, 1.into());
    }
    response
}

/// Somebody does not come in.
pub(super) fn not_let_in(_: &HeaderMap, refused: &Refused) -> Response {
    fault(refused.status(), refused.to_string())
}

fn fault(code: u16, msg: String) -> Response {
    let errors = Some(vec![Fault { code, msg, trace_id: None }]);
    let envelope = Envelope { errors, ..Envelope::new(()) };
    let status = StatusCode::from_u16(code).unwrap_or(StatusCode::BAD_REQUEST);
    (status, JsonLine(envelope)).into_response()
}
