//! `GET|POST /api/v1/query`: the answer as lines of JSON, the last one a summary.
//!
//! Parameters `query`, `since`, `until`, `limit`, in the URL, as a form, or as a JSON object. A fault that
//! shows before the first row is an error answer; one that shows later ends the summary line with
//! `"complete":false` and its reason. When the client goes away the query stops.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::extract::{Request as HttpRequest, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use serde::Deserialize;
use service::doors::{Access, Routes};
use service::http::ErrorResponse;
use service::principal::{Principal, Right};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use crate::error::QueryError;
use crate::execute::Summary;
use crate::json;
use crate::metrics::Metrics;
use crate::queries::{Queries, Request};
use crate::stages::Flow;

/// Longest body of a query.
const BODY_BYTES_MAX: usize = 256 << 10;
/// Blocks of lines that wait for a slow client; then the query waits too.
const BLOCKS_WAITING_MAX: usize = 4;

/// The query routes' state.
#[derive(Debug)]
pub struct QueryApi {
    queries: Queries,
    running: Arc<Semaphore>,
    running_by_tenant: HashMap<String, Arc<Semaphore>>,
    metrics: Metrics,
}

/// What a query that runs takes of the bounds on queries at the same time.
#[derive(Debug)]
struct Places {
    _of_all: OwnedSemaphorePermit,
    _of_tenant: Option<OwnedSemaphorePermit>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Parameters {
    query: String,
    since: Option<String>,
    until: Option<String>,
    limit: Option<Limit>,
}

/// A number, or its text as forms have it.
#[derive(Debug, Deserialize)]
#[serde(untagged, expecting = "`limit` has to be a number of rows")]
enum Limit {
    Number(usize),
    Text(String),
}

impl QueryApi {
    /// The API over `queries`; more than `concurrency` at once are refused.
    pub fn new(
        queries: Queries,
        concurrency: usize,
        registry: &service::metrics::Metrics,
    ) -> Arc<Self> {
        let by_tenant = queries.limits().queries_by_tenant.iter();
        let by_tenant =
            by_tenant.map(|(tenant, queries)| (tenant.clone(), Arc::new(Semaphore::new(*queries))));
        Arc::new(Self {
            running_by_tenant: by_tenant.collect(),
            queries,
            running: Arc::new(Semaphore::new(concurrency)),
            metrics: Metrics::new(registry),
        })
    }

    /// The routes.
    pub fn routes(self: &Arc<Self>) -> Routes {
        const QUERY: Access = Access::Right(Right::Query);
        Routes::new()
            .get("/api/v1/query", QUERY, query)
            .post("/api/v1/query", QUERY, query)
            .with_state(Arc::clone(self))
    }

    /// Places for one query, of all and of its tenant.
    fn places(&self, tenant: &str) -> Result<Places, QueryError> {
        let place =
            |of: &Arc<Semaphore>| Arc::clone(of).try_acquire_owned().map_err(|_| QueryError::Busy);
        let of_tenant = self.running_by_tenant.get(tenant).map(place).transpose()?;
        Ok(Places { _of_all: place(&self.running)?, _of_tenant: of_tenant })
    }
}

async fn query(
    State(api): State<Arc<QueryApi>>,
    principal: Principal,
    request: HttpRequest,
) -> Response {
    let started = std::time::Instant::now();
    let answered = answer(&api, &principal.tenant, request).await;
    api.metrics.answered(started.elapsed(), answered.as_ref().err().map(QueryError::code));
    answered.unwrap_or_else(refused)
}

async fn answer(
    api: &Arc<QueryApi>,
    tenant: &str,
    request: HttpRequest,
) -> Result<Response, QueryError> {
    let parameters = parameters(request).await?;
    let limit = match parameters.limit {
        None => None,
        Some(Limit::Number(number)) => Some(number),
        Some(Limit::Text(text)) => Some(text.parse().map_err(|_| QueryError::Parameter {
            name: "limit",
            detail: format!("is `{text}`; give a number of rows"),
        })?),
    };
    let request = Request {
        query: parameters.query,
        tenant: tenant.to_owned(),
        since: parameters.since,
        until: parameters.until,
        limit,
    };
    let places = api.places(tenant)?;
    let (sender, mut receiver) = mpsc::channel(BLOCKS_WAITING_MAX);
    let cancelled = Arc::new(AtomicBool::new(false));
    let guard = CancelOnDrop(Arc::clone(&cancelled));
    let queries = api.queries.clone();
    tokio::task::spawn_blocking(move || run(&queries, &request, &cancelled, &sender, places));
    // Until the first event the status of the answer is open.
    let first = match receiver.recv().await {
        Some(Event::Failed(error)) => return Err(error),
        Some(Event::Lines(lines)) => lines,
        None => return Err(QueryError::Cancelled),
    };
    let stream = futures_util::stream::unfold(
        (Some(first), receiver, guard),
        |(first, mut receiver, guard)| async move {
            let lines = match first {
                Some(lines) => lines,
                None => match receiver.recv().await? {
                    Event::Lines(lines) => lines,
                    Event::Failed(error) => summary_of_failure(&error),
                },
            };
            Some((Ok::<_, std::convert::Infallible>(lines), (None, receiver, guard)))
        },
    );
    Ok(([(CONTENT_TYPE, "application/x-ndjson")], Body::from_stream(stream)).into_response())
}

enum Event {
    Lines(Bytes),
    Failed(QueryError),
}

/// Sets the flag when the client goes away.
struct CancelOnDrop(Arc<AtomicBool>);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn run(
    queries: &Queries,
    request: &Request,
    cancelled: &AtomicBool,
    sender: &mpsc::Sender<Event>,
    _places: Places,
) {
    let result = queries.prepare(request).and_then(|prepared| {
        queries.run(prepared, cancelled, &mut |batch| {
            let mut lines = Vec::new();
            json::write_lines(&batch, &mut lines);
            match sender.blocking_send(Event::Lines(lines.into())) {
                Ok(()) => Flow::More,
                Err(_) => Flow::Enough,
            }
        })
    });
    let last = match result {
        Ok(summary) => Event::Lines(summary_line(&summary)),
        Err(error) => Event::Failed(error),
    };
    let _ = sender.blocking_send(last);
}

fn summary_line(summary: &Summary) -> Bytes {
    let mut line = serde_json::json!({ "summary": summary }).to_string();
    line.push('\n');
    line.into()
}

fn summary_of_failure(error: &QueryError) -> Bytes {
    summary_line(&Summary {
        complete: false,
        reason: Some(error.to_string()),
        ..Summary::default()
    })
}

async fn parameters(request: HttpRequest) -> Result<Parameters, QueryError> {
    let malformed = |detail: String| QueryError::Parameter { name: "body", detail };
    if request.method() != Method::POST
        || request.uri().query().is_some_and(|query| query.contains("query="))
    {
        let text = request.uri().query().unwrap_or_default();
        return serde_urlencoded::from_str(text)
            .map_err(|error| malformed(format!("cannot be read: {error}")));
    }
    let is_json = request
        .headers()
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|content_type| content_type.starts_with("application/json"));
    let body = to_bytes(request.into_body(), BODY_BYTES_MAX)
        .await
        .map_err(|_| malformed(format!("is longer than {BODY_BYTES_MAX} bytes")))?;
    if is_json {
        serde_json::from_slice(&body)
            .map_err(|error| malformed(format!("is no JSON object of parameters: {error}")))
    } else {
        serde_urlencoded::from_bytes(&body)
            .map_err(|error| malformed(format!("is no form: {error}")))
    }
}

fn refused(error: QueryError) -> Response {
    let status = StatusCode::from_u16(error.status()).unwrap_or(StatusCode::BAD_REQUEST);
    let answer = match &error {
        QueryError::Query { diagnostics, rendered } => {
            let first = diagnostics.first();
            ErrorResponse::new(status, first.code, first.message.clone())
                .span(first.span.start, first.span.end)
                .hint(rendered)
        }
        QueryError::Busy => ErrorResponse::new(status, error.code(), error.to_string())
            .retry_after(Duration::from_secs(1)),
        other => ErrorResponse::new(status, other.code(), other.to_string()),
    };
    answer.into_response()
}
