//! `POST /api/v2/spans`: spans as Zipkin's reporters send them.
//!
//! 202 without a body, as Zipkin's own collector answers; if some spans cannot be taken, with a body that says which
//! and why. Reporters do not read it, people do.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use service::http::{ErrorResponse, JsonLine};
use service::principal::Principal;
use wire::{Format, Rejected};

use crate::Collector;
use crate::refusal::Refusal;

#[derive(Serialize)]
struct Answer {
    accepted: u32,
    rejected: u32,
    errors: Vec<SpanError>,
}

#[derive(Serialize)]
struct SpanError {
    /// Its place in the array, from 0.
    span: u32,
    error: String,
}

pub(crate) async fn receive(
    State(collector): State<Arc<Collector>>,
    principal: Principal,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let format = match Format::of_zipkin(content_type) {
        Ok(format) => format,
        Err(error) => return (&Refusal::from(error)).into_response(),
    };
    match collector.ingest(principal.tenant, format, &headers, body).await {
        Ok(accepted) if accepted.rejected_total == 0 => {
            let mut response = StatusCode::ACCEPTED.into_response();
            collector.tell(&accepted.appended, response.headers_mut());
            response
        }
        Ok(accepted) if accepted.appended.records == 0 => {
            let first = accepted.rejected.first().map_or("", |first| &first.detail);
            let message = format!("none of the spans can be taken; the first one: {first}");
            ErrorResponse::new(StatusCode::BAD_REQUEST, "malformed_body", message).into_response()
        }
        Ok(accepted) => {
            let error =
                |Rejected { ordinal, detail, .. }| SpanError { span: ordinal, error: detail };
            let answer = Answer {
                accepted: accepted.appended.records,
                rejected: accepted.rejected_total,
                errors: accepted.rejected.into_iter().map(error).collect(),
            };
            let mut response = (StatusCode::ACCEPTED, JsonLine(answer)).into_response();
            collector.tell(&accepted.appended, response.headers_mut());
            response
        }
        Err(refusal) => (&refusal).into_response(),
    }
}
