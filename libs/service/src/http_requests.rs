//! How long the requests of a server took, as OpenTelemetry's conventions measure it, by method, route and status.
//!
//! A request ends with its answer's head, so an answer without end counts as short. Of one that is dropped because its caller
//! hung up the status is empty. Paths that have no route and methods that are not HTTP's are one series each, so that nobody
//! outside can make more of them.

use std::time::Instant;

use axum::Router;
use axum::extract::{MatchedPath, Request, State};
use axum::http::{Method, StatusCode};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;

use crate::metrics::{HistogramVec, Metrics};

/// Buckets of OpenTelemetry's conventions for this metric, in seconds.
const BUCKETS: &[f64] =
    &[0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0];

/// The durations of all requests of a process. Cheap to clone.
#[derive(Clone, Debug)]
pub struct RequestDurations {
    seconds: HistogramVec,
}

impl RequestDurations {
    /// Those that `metrics` show.
    pub fn new(metrics: &Metrics) -> Self {
        let seconds = metrics.standard_histogram_vec(
            "http_server_request_duration_seconds",
            "Time from a request's head to its answer's; without a route it is about paths that are not served.",
            BUCKETS,
            &["http_request_method", "http_route", "http_response_status_code"],
        );
        Self { seconds }
    }

    /// Measures every request that a router gets, also those for which it has no route.
    pub fn measure(&self, router: Router) -> Router {
        router.layer(from_fn_with_state(self.clone(), measure))
    }

    /// A request whose head is there.
    pub(crate) fn begin(&self, request: &Request) -> RequestDuration {
        let route = request.extensions().get::<MatchedPath>().map(MatchedPath::as_str);
        RequestDuration {
            seconds: self.seconds.clone(),
            began: Instant::now(),
            method: method_of(request.method()),
            route: route.unwrap_or_default().to_owned(),
            status: None,
        }
    }
}

async fn measure(
    State(durations): State<RequestDurations>,
    request: Request,
    next: Next,
) -> Response {
    let mut duration = durations.begin(&request);
    let answer = next.run(request).await;
    duration.answered(answer.status());
    answer
}

/// Observes how long a request took when it is dropped, whether there was an answer or not.
pub(crate) struct RequestDuration {
    seconds: HistogramVec,
    began: Instant,
    pub(crate) method: &'static str,
    /// As it was declared; empty if there is none.
    pub(crate) route: String,
    status: Option<StatusCode>,
}

impl RequestDuration {
    pub(crate) fn answered(&mut self, status: StatusCode) {
        self.status = Some(status);
    }
}

impl Drop for RequestDuration {
    fn drop(&mut self) {
        let status = self.status.as_ref().map_or("", StatusCode::as_str);
        self.seconds
            .with_label_values(&[self.method, &self.route, status])
            .observe(self.began.elapsed().as_secs_f64());
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
