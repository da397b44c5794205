//! OTLP over HTTP: `POST /v1/logs` and `/v1/traces`, protobuf and JSON.

use std::net::TcpListener;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::header::{CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use record::Signal;
use service::doors::{Access, Refused, Routes};
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
    tracing::info!(source = receiver.view.name, %addr, "takes OTLP");
    receiver.view.show(|shown| shown.http = Some(addr.to_string()));
    const INGEST: Access = Access::Right(Right::Ingest);
    let router = Routes::new()
        .post("/v1/logs", INGEST, receive_logs)
        .worded(not_let_in)
        .post("/otlp/v1/logs", INGEST, receive_logs)
        .worded(not_let_in)
        .post("/v1/traces", INGEST, receive_spans)
        .worded(not_let_in)
        .post("/otlp/v1/traces", INGEST, receive_spans)
        .worded(not_let_in)
        .with_state(receiver)
        .behind(&entrance.doors);
    let listener = entrance.listener(listener);
    http::serve(listener, durations.measure(router), stopping.requested(), ServerLimits::default())
        .await
}

async fn receive_logs(
    State(receiver): State<Arc<Receiver>>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    receive(Signal::Logs, receiver, headers, body).await
}

async fn receive_spans(
    State(receiver): State<Arc<Receiver>>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    receive(Signal::Spans, receiver, headers, body).await
}

async fn receive(
    signal: Signal,
    receiver: Arc<Receiver>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let format = match Format::of_otlp(signal, content_type) {
        Ok(format) => format,
        Err(error) => return refused(Format::OtlpJson, &error.into()),
    };
    match receiver.ingest(format, Framing::Http, &headers, body).await {
        Ok(decoded) => {
            let why = decoded.rejected.first().map(|first| first.detail.as_str());
            let rejected = u64::from(decoded.rejected_total);
            let body = wire::export_response(format, rejected, why.unwrap_or_default());
            ([(CONTENT_TYPE, format.content_type())], body).into_response()
        }
        Err(refusal) => {
            tracing::debug!(%refusal, "a request was refused");
            refused(format, &refusal)
        }
    }
}

/// Somebody does not come in.
fn not_let_in(headers: &HeaderMap, refused: &Refused) -> Response {
    let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let format = Format::of_otlp(Signal::Logs, content_type).unwrap_or(Format::OtlpJson);
    let body = wire::status(format, wire::grpc_code(refused.status()), &refused.to_string());
    let status = StatusCode::from_u16(refused.status()).unwrap_or(StatusCode::FORBIDDEN);
    (status, [(CONTENT_TYPE, format.content_type())], body).into_response()
}

fn refused(format: Format, refusal: &Refusal) -> Response {
    let status = refusal.status();
    let body = wire::status(format, wire::grpc_code(status), &refusal.to_string());
    let retry = refusal.retry_after().map(|after| [(RETRY_AFTER, after.as_secs().to_string())]);
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    (status, [(CONTENT_TYPE, format.content_type())], retry, body).into_response()
}
