//! `POST /api/v1/agents/heartbeat`: an agent says how it is. `GET /api/v1/agents`: all of them that the caller may see,
//! those of its tenant, or of all tenants for who is bound to none.
//!
//! Heartbeats do not go through the admission of batches: a collector whose memory is full must not take its
//! agents for gone. They have a bound of their own, 64 at a time of 64 KiB; further ones wait.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::http::header::CONTENT_LENGTH;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use record::Timestamp;
use service::http::JsonLine;
use service::principal::Principal;
use store::StoreError;

use super::heartbeat::{HEARTBEAT_BYTES_MAX, Heartbeat, Rfc3339};
use super::status::AgentList;
use crate::Collector;
use crate::refusal::Refusal;

/// Heartbeats read at the same time.
pub(crate) const HEARTBEATS_MAX: usize = 64;
/// How long one may take, so that slow ones do not keep the others out.
const READ_TIME_MAX: Duration = Duration::from_secs(5);

pub(crate) async fn hear(
    State(collector): State<Arc<Collector>>,
    principal: Principal,
    headers: HeaderMap,
    body: Body,
) -> Response {
    match heard(&collector, principal.tenant, &headers, body).await {
        Ok(()) => StatusCode::NO_CONTENT.into_response(),
        Err(refusal) => {
            tracing::debug!(code = refusal.code(), %refusal, "heartbeat refused");
            refusal.into_response()
        }
    }
}

async fn heard(
    collector: &Arc<Collector>,
    tenant: Arc<str>,
    headers: &HeaderMap,
    body: Body,
) -> Result<(), Refusal> {
    let length = headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    if length.is_some_and(|length: usize| length > HEARTBEAT_BYTES_MAX) {
        return Err(Refusal::BodyTooLarge { limit_bytes: HEARTBEAT_BYTES_MAX });
    }
    let permit = collector.heartbeats.acquire().await.map_err(|_| StoreError::Closed)?;
    let body = match tokio::time::timeout(READ_TIME_MAX, read(body)).await {
        Ok(body) => body?,
        Err(_) => return Err(Refusal::BodyCutOff { detail: "it took too long".to_owned() }),
    };
    let received_at = Timestamp::now();
    let heartbeat = Heartbeat::parse(&body)?;
    drop(permit);
    let Heartbeat { agent, epoch, .. } = &heartbeat;
    let account = collector.store.heard_of(&tenant, agent, epoch, received_at);
    collector.agents.hear(tenant, heartbeat, received_at, account);
    Ok(())
}

async fn read(body: Body) -> Result<Bytes, Refusal> {
    match Limited::new(body, HEARTBEAT_BYTES_MAX).collect().await {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => {
            Err(Refusal::BodyTooLarge { limit_bytes: HEARTBEAT_BYTES_MAX })
        }
        Err(error) => Err(Refusal::BodyCutOff { detail: error.to_string() }),
    }
}

pub(crate) async fn list(
    State(collector): State<Arc<Collector>>,
    principal: Principal,
) -> JsonLine<AgentList> {
    let now = Timestamp::now();
    let seen = |tenant: &str| principal.sees(tenant);
    JsonLine(AgentList {
        watermark: Rfc3339(collector.agents.watermark(now, seen)),
        agents: collector.agents.list(now, &collector.store, seen),
    })
}
