//! `POST /v1/logs` and `/v1/traces`: OTLP over HTTP, protobuf and JSON; the wire format of our own agents.
//!
//! Answers are those of the OTLP specification: 200 with `ExportLogsServiceResponse` or `ExportTraceServiceResponse`,
//! errors as `google.rpc.Status`, both in the encoding of the request. What agents want to know stands in headers.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::header::{CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use record::Signal;
use service::doors::Refused;
use service::principal::Principal;
use wire::Format;

use crate::Collector;
use crate::refusal::Refusal;

pub(crate) async fn receive_logs(
    State(collector): State<Arc<Collector>>,
    principal: Principal,
    headers: HeaderMap,
    body: Body,
) -> Response {
    receive(Signal::Logs, &collector, principal, headers, body).await
}

pub(crate) async fn receive_spans(
    State(collector): State<Arc<Collector>>,
    principal: Principal,
    headers: HeaderMap,
    body: Body,
) -> Response {
    receive(Signal::Spans, &collector, principal, headers, body).await
}

async fn receive(
    signal: Signal,
    collector: &Arc<Collector>,
    principal: Principal,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let format = match Format::of_otlp(signal, content_type) {
        Ok(format) => format,
        Err(error) => return refused(Format::OtlpJson, false, &error.into()),
    };
    let named = headers.contains_key(wire::header::AGENT);
    match collector.ingest(principal.tenant, format, &headers, body).await {
        Ok(accepted) => {
            let first =
                accepted.rejected.first().map_or_else(String::new, |first| first.detail.clone());
            let body = wire::export_response(format, u64::from(accepted.rejected_total), &first);
            let mut response =
                (StatusCode::OK, [(CONTENT_TYPE, format.content_type())], body).into_response();
            collector.tell(&accepted.appended, response.headers_mut());
            response
        }
        Err(refusal) => refused(format, named, &refusal),
    }
}

/// Somebody does not come in, said in the form of OTLP, which is one for all signals.
pub(crate) fn not_let_in(headers: &HeaderMap, refused: &Refused) -> Response {
    let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let format = Format::of_otlp(Signal::Logs, content_type).unwrap_or(Format::OtlpJson);
    let body = wire::status(format, wire::grpc_code(refused.status()), &refused.to_string());
    let status = StatusCode::from_u16(refused.status()).unwrap_or(StatusCode::FORBIDDEN);
    (status, [(CONTENT_TYPE, format.content_type())], body).into_response()
}

fn refused(format: Format, named: bool, refusal: &Refusal) -> Response {
    // OTLP senders give up on every status but 429, 502, 503 and 504; only our agents know 507 and 500.
    let status = match refusal.status() {
        500 | 507 if !named => 503,
        status => status,
    };
    let body = wire::status(format, wire::grpc_code(status), &refusal.to_string());
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::SERVICE_UNAVAILABLE);
    let mut response = (status, [(CONTENT_TYPE, format.content_type())], body).into_response();
    if let Some(after) = refusal.retry_after() {
        response.headers_mut().insert(RETRY_AFTER, after.as_secs().into());
    }
    response
}
