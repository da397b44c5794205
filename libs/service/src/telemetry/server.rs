//! Requests that a service answers: where they come from, a span of kind server, the correlation id in the answer, and
//! how long they took.
//!
//! The span begins with the request's head and ends with the answer's. A status of 500 and more is an error of the
//! server, as OpenTelemetry's conventions have it, and so is a request that is dropped because its caller hung up; the
//! metric has no status then. Paths that have no route and methods that are not HTTP's are one series each, so that
//! nobody outside can make more of them.

use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderValue, Method};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use tracing::instrument::WithSubscriber;
use tracing::{Dispatch, Instrument, field, info_span};

use super::origin::Origin;
use super::propagation::CORRELATION_HEADER;
use super::unanswered::Unanswered;
use crate::metrics::{HistogramVec, Metrics};
use crate::semantics::{http, record};

/// Buckets of OpenTelemetry's conventions for this metric, in seconds.
const BUCKETS: &[f64] =
    &[0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0];

/// Makes a correlation id for a request that has none.
pub type CorrelationIds = Arc<dyn Fn() -> String + Send + Sync>;

/// What is done around every request of a service.
#[derive(Clone)]
pub(super) struct Observer {
    dispatch: Dispatch,
    correlation_ids: CorrelationIds,
    seconds: HistogramVec,
}

impl Observer {
    pub(super) fn new(
        dispatch: Dispatch,
        correlation_ids: CorrelationIds,
        metrics: &Metrics,
    ) -> Self {
        let seconds = metrics.standard_histogram_vec(
            "http_server_request_duration_seconds",
            "Time from a request's head to its answer's.",
            BUCKETS,
            &["http_request_method", "http_route", "http_response_status_code"],
        );
        Self { dispatch, correlation_ids, seconds }
    }

    pub(super) fn around<S: Clone + Send + Sync + 'static>(self, router: Router<S>) -> Router<S> {
        router.layer(from_fn_with_state(self, observe))
    }
}

async fn observe(State(observer): State<Observer>, request: Request, next: Next) -> Response {
    let dispatch = observer.dispatch.clone();
    answer(observer, request, next).with_subscriber(dispatch).await
}

async fn answer(observer: Observer, request: Request, next: Next) -> Response {
    let mut timing = Timing::begin(observer.seconds, &request);
    let origin = Origin::of_request(request.headers(), || (observer.correlation_ids)());
    let correlation_id = origin.correlation_id();
    let span = info_span!(
        "http.server.request",
        otel.name = format!("{} {}", timing.method, timing.route).trim_end(),
        otel.kind = "server",
        otel.status_code = field::Empty,
        { http::REQUEST_METHOD } = timing.method,
        { http::ROUTE } = (!timing.route.is_empty()).then_some(timing.route.as_str()),
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
    timing.status = status.as_str().to_owned();
    if let Ok(id) = HeaderValue::from_str(&correlation_id) {
        answer.headers_mut().insert(CORRELATION_HEADER, id);
    }
    answer
}

/// Observes how long a request took when it is dropped, whether there was an answer or not.
struct Timing {
    seconds: HistogramVec,
    began: Instant,
    method: &'static str,
    route: String,
    status: String,
}

impl Timing {
    fn begin(seconds: HistogramVec, request: &Request) -> Self {
        let route = request.extensions().get::<MatchedPath>().map(MatchedPath::as_str);
        Self {
            seconds,
            began: Instant::now(),
            method: method_of(request.method()),
            route: route.unwrap_or_default().to_owned(),
            status: String::new(),
        }
    }
}

impl Drop for Timing {
    fn drop(&mut self) {
        let labels = [self.method, &self.route, &self.status];
        self.seconds.with_label_values(&labels).observe(self.began.elapsed().as_secs_f64());
    }
}

fn method_of(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::DELETE => "DELETE",
        Method::CONNECT => "CONNECT",
        Method::OPTIONS => "OPTIONS",
        Method::TRACE => "TRACE",
        Method::PATCH => "PATCH",
        _ => "_OTHER",
    }
}
