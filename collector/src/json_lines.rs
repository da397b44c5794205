//! `POST /ingest/jsonl`: one JSON object a line, or an array, or one object.
//!
//! Lines that cannot be taken are named in the answer; the others are stored.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use service::http::JsonLine;
use service::principal::Principal;
use wire::Format;

use crate::Collector;

#[derive(Serialize)]
struct Answer {
    accepted: u32,
    rejected: u32,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<LineError>,
}

#[derive(Serialize)]
struct LineError {
    line: Option<u32>,
    error: String,
}

pub(crate) async fn receive(
    State(collector): State<Arc<Collector>>,
    principal: Principal,
    headers: HeaderMap,
    body: Body,
) -> Response {
    match collector.ingest(principal.tenant, Format::JsonLines, &headers, body).await {
        Ok(accepted) => {
            let errors = accepted
                .rejected
                .into_iter()
                .map(|rejected| LineError { line: rejected.line, error: rejected.detail });
            let answer = Answer {
                accepted: accepted.appended.records,
                rejected: accepted.rejected_total,
                errors: errors.collect(),
            };
            let mut response = JsonLine(answer).into_response();
            collector.tell(&accepted.appended, response.headers_mut());
            response
        }
        Err(refusal) => refusal.into_response(),
    }
}
