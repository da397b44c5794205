//! OTLP over gRPC: `LogsService/Export` and `TraceService/Export`, two calls of one message each.
//!
//! A message goes to the journal as it came, packed or not, like the body of an HTTP request.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use record::Signal;
use service::grpc::{self, ACCEPT_ENCODING, DETAILS};
use service::principal::Principal;
use wire::{DecodeError, Format};

use crate::Collector;
use crate::ingest::Framing;
use crate::refusal::Refusal;

/// What [`wire::decompress`] undoes.
const ENCODINGS: &str = "identity,gzip,zstd,deflate";

pub(crate) async fn export_logs(
    State(collector): State<Arc<Collector>>,
    principal: Principal,
    headers: HeaderMap,
    body: Body,
) -> Response {
    export(Signal::Logs, &collector, principal, headers, body).await
}

pub(crate) async fn export_spans(
    State(collector): State<Arc<Collector>>,
    principal: Principal,
    headers: HeaderMap,
    body: Body,
) -> Response {
    export(Signal::Spans, &collector, principal, headers, body).await
}

async fn export(
    signal: Signal,
    collector: &Arc<Collector>,
    principal: Principal,
    headers: HeaderMap,
    body: Body,
) -> Response {
    if !grpc::is_grpc(&headers) {
        return StatusCode::UNSUPPORTED_MEDIA_TYPE.into_response();
    }
    let format = Format::otlp_protobuf(signal);
    match collector.ingest_framed(Framing::Grpc, principal.tenant, format, &headers, body).await {
        Ok(accepted) => {
            let first =
                accepted.rejected.first().map_or_else(String::new, |first| first.detail.clone());
            let message = wire::export_response(format, u64::from(accepted.rejected_total), &first);
            let mut response = grpc::answer(&message);
            collector.tell(&accepted.appended, response.headers_mut());
            response
        }
        Err(refusal) => refused(&refusal),
    }
}

/// Why it is not taken, and when to come again.
fn refused(refusal: &Refusal) -> Response {
    let code = grpc::code_of_export(refusal.status());
    let message = refusal.to_string();
    let mut response = grpc::status(code, &message);
    let headers = response.headers_mut();
    if let Refusal::Decode(DecodeError::UnknownEncoding(_)) = refusal {
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static(ENCODINGS));
    }
    if let Some(after) = refusal.retry_after() {
        let details = wire::grpc_retry_details(code, &message, after);
        if let Ok(details) = HeaderValue::from_str(&details) {
            headers.insert(DETAILS, details);
        }
    }
    response
}
