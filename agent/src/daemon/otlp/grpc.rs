//! OTLP over gRPC: `LogsService/Export` and `TraceService/Export`.

use std::net::TcpListener;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use record::Signal;
use service::doors::{Access, Routes};
use service::grpc::{self, EXPORT_LOGS, EXPORT_SPANS};
use service::http::{self, ServerLimits};
use service::principal::Right;
use service::shutdown::Shutdown;
use wire::Format;

use super::{Before, Framing, Receiver, Refusal};

pub(super) async fn serve(
    receiver: Arc<Receiver>,
    listener: TcpListener,
    Before { entrance, durations }: &Before,
    stopping: Shutdown,
) -> std::io::Result<usize> {
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let addr = listener.local_addr()?;
    tracing::info!(source = receiver.view.name, %addr, "takes OTLP over gRPC");
    receiver.view.show(|shown| shown.grpc = Some(addr.to_string()));
    const INGEST: Access = Access::Right(Right::Ingest);
    let router = Routes::new()
        .post(EXPORT_LOGS, INGEST, export_logs)
        .worded(grpc::not_let_in)
        .post(EXPORT_SPANS, INGEST, export_spans)
        .worded(grpc::not_let_in)
        .with_state(receiver)
        .behind(&entrance.doors)
        .fallback(grpc::not_served);
    let listener = entrance.listener(listener).http2();
    http::serve(listener, durations.measure(router), stopping.requested(), ServerLimits::default())
        .await
}

async fn export_logs(
    State(receiver): State<Arc<Receiver>>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    export(Signal::Logs, receiver, headers, body).await
}

async fn export_spans(
    State(receiver): State<Arc<Receiver>>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    export(Signal::Spans, receiver, headers, body).await
}

async fn export(
    signal: Signal,
    receiver: Arc<Receiver>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    if !grpc::is_grpc(&headers) {
        return StatusCode::UNSUPPORTED_MEDIA_TYPE.into_response();
    }
    let format = Format::otlp_protobuf(signal);
    match receiver.ingest(format, Framing::Grpc, &headers, body).await {
        Ok(decoded) => {
            let why = decoded.rejected.first().map(|first| first.detail.as_str());
            let rejected = u64::from(decoded.rejected_total);
            grpc::answer(&wire::export_response(format, rejected, why.unwrap_or_default()))
        }
        Err(refusal) => {
            tracing::debug!(%refusal, "a request was refused");
            refused(&refusal)
        }
    }
}

/// Why it is not taken, and when to come again.
fn refused(refusal: &Refusal) -> Response {
    let (code, message) = (grpc::code_of_export(refusal.status()), refusal.to_string());
    let mut response = grpc::status(code, &message);
    let details =
        refusal.retry_after().map(|after| wire::grpc_retry_details(code, &message, after));
    if let Some(Ok(details)) = details.map(|details| HeaderValue::from_str(&details)) {
        response.headers_mut().insert(grpc::DETAILS, details);
    }
    response
}
