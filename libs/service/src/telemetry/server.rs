//! Requests that a service answers: where they come from, a span of kind server, the correlation id in the answer, and
//! how long they took.
//!
//! The span begins with the request's head and ends with the answer's. A status of 500 and more is an error of the
//! server, as OpenTelemetry's conventions have it, and so is a request that is dropped because its caller hung up.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::HeaderValue;
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use tracing::{Dispatch, Instrument, field, info_span};

use super::origin::Origin;
use super::propagation::CORRELATION_HEADER;
use super::scoped::Scoped;
use super::unanswered::Unanswered;
use crate::http_requests::RequestDurations;
use crate::metrics::Metrics;
use crate::semantics::{http, record};

/// Makes a correlation id for a request that has none.
pub type CorrelationIds = Arc<dyn Fn() -> String + Send + Sync>;

/// What is done around every request of a service.
#[derive(Clone)]
pub(super) struct Observer {
    dispatch: Dispatch,
    correlation_ids: CorrelationIds,
    durations: RequestDurations,
}

impl Observer {
    pub(super) fn new(
        dispatch: Dispatch,
        correlation_ids: CorrelationIds,
        metrics: &Metrics,
    ) -> Self {
        Self { dispatch, correlation_ids, durations: RequestDurations::new(metrics) }
    }

    pub(super) fn around<S: Clone + Send + Sync + 'static>(self, router: Router<S>) -> Router<S> {
        router.layer(from_fn_with_state(self, observe))
    }
}

/// As [`Observer::around`], without ids, span and metric.
pub(super) fn quiet<S: Clone + Send + Sync + 'static>(
    dispatch: Dispatch,
    router: Router<S>,
) -> Router<S> {
    router.layer(from_fn_with_state(dispatch, pass))
}

async fn pass(State(dispatch): State<Dispatch>, request: Request, next: Next) -> Response {
    Scoped::new(next.run(request), dispatch).await
}

async fn observe(State(observer): State<Observer>, request: Request, next: Next) -> Response {
    let dispatch = observer.dispatch.clone();
    Scoped::new(answer(observer, request, next), dispatch).await
}

async fn answer(observer: Observer, request: Request, next: Next) -> Response {
    let mut duration = observer.durations.begin(&request);
    let origin = Origin::of_request(request.headers(), || (observer.correlation_ids)());
    let correlation_id = origin.correlation_id();
    let span = info_span!(
        "http.server.request",
        otel.name = format!("{} {}", duration.method, duration.route).trim_end(),
        otel.kind = "server",
        otel.status_code = field::Empty,
        { http::REQUEST_METHOD } = duration.method,
        { http::ROUTE } = (!duration.route.is_empty()).then_some(duration.route.as_str()),
        { http::URL_PATH } = request.uri().path(),
        { http::RESPONSE_STATUS_CODE } = field::Empty,
        { record::ERROR_TYPE } = field::Empty,
    );
    origin.begin(&span);
    let mut unanswered = Unanswered::of(&span);
    let mut answer = next.run(request).instrument(span.clone()).await;
    unanswered.answered();
    let status = answer.status();
    span.record(http::RESPONSE_STATUS_CODE, i64::from(status.as_u16()));
    if status.is_server_error() {
        span.record(record::ERROR_TYPE, status.as_str());
        span.record("otel.status_code", "error");
    }
    duration.answered(status);
    if let Ok(id) = HeaderValue::from_str(&correlation_id) {
        answer.headers_mut().insert(CORRELATION_HEADER, id);
    }
    answer
}
