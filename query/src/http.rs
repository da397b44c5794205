//! `GET|POST /api/v1/query`: the answer as lines of JSON, the last one a summary.
//!
//! A query waits in a fair queue until it may run. A fault that shows before the first row is an error answer; one that
//! shows later ends the summary line with `"complete":false` and its reason. When the client goes away the query leaves
//! the queue, or stops. A slow client holds up its query, up to the deadline; then the query ends, and what is written
//! already still waits for the client.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use axum::Json;
use axum::body::Body;
use axum::extract::{Request as HttpRequest, State};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use serde::Serialize;
use service::doors::{Access, Routes};
use service::http::ErrorResponse;
use service::principal::{Principal, Right};
use store::{Allowance, Held, Stopped};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

use crate::batch::Batch;
use crate::error::QueryError;
use crate::jaeger;
use crate::json;
use crate::limits::Summary;
use crate::loki;
use crate::memory::Account;
use crate::metrics::{Kind, Metrics, Outcome};
use crate::parameters;
use crate::queries::{Queries, Request};
use crate::queue::{Permit, Queue, QueueLimits};
use crate::stages::Flow;
use crate::stories;
use crate::tail;

/// Blocks of lines that wait for a slow client; then the query waits too.
const BLOCKS_WAITING_MAX: usize = 4;
/// How often is told how far a query is that gives out nothing.
const PROGRESS_EVERY: Duration = Duration::from_millis(500);
/// A block is given on when it has this much; one line may make it longer.
const BLOCK_BYTES: usize = 64 << 10;

/// The query routes' state.
#[derive(Debug)]
pub struct QueryApi {
    pub(crate) queries: Queries,
    queue: Arc<Queue>,
    /// Of tenants that may have only so many.
    of_tenants: HashMap<String, Arc<Semaphore>>,
    metrics: Metrics,
    /// Clients that follow.
    pub(crate) followers: Arc<Semaphore>,
}

/// What a query takes of the bounds on queries at the same time.
struct Entered {
    _permit: Permit,
    _of_tenant: Option<OwnedSemaphorePermit>,
}

impl QueryApi {
    /// The API over `queries`, of which only so many run and wait as `limits` says.
    pub fn new(
        queries: Queries,
        limits: QueueLimits,
        registry: &service::metrics::Metrics,
    ) -> Arc<Self> {
        let queue = Queue::new(limits);
        let of_tenants = queries.limits().queries_by_tenant.iter();
        let of_tenants =
            of_tenants.map(|(tenant, most)| (tenant.clone(), Arc::new(Semaphore::new(*most))));
        let of_tenants = of_tenants.collect();
        let followers = Arc::new(Semaphore::new(tail::FOLLOWERS_MAX));
        Metrics::watch(registry, &queue, &queries, &followers);
        let metrics = Metrics::new(registry);
        Arc::new(Self { queries, queue, of_tenants, metrics, followers })
    }

    /// The routes.
    pub fn routes(self: &Arc<Self>) -> Routes {
        const QUERY: Access = Access::Right(Right::Query);
        let routes = Routes::new()
            .get("/api/v1/query", QUERY, query)
            .post("/api/v1/query", QUERY, query)
            .get("/api/v1/tail", QUERY, tail::follow)
            .post("/api/v1/tail", QUERY, tail::follow)
            .get("/api/v1/explain", QUERY, explain)
            .post("/api/v1/explain", QUERY, explain)
            .get("/api/v1/fields", QUERY, fields)
            .post("/api/v1/fields", QUERY, fields)
            .get("/api/v1/stats", QUERY, stats);
        loki::routes(jaeger::routes(stories::routes(routes))).with_state(Arc::clone(self))
    }

    /// Looks for something on a thread that may block, in the queue like a query and within its bounds, all of it together.
    /// It stops when nobody waits for it any more.
    pub(crate) async fn look<T: Send + 'static>(
        &self,
        tenant: &Arc<str>,
        look: impl FnOnce(&Queries, &Arc<Account>) -> Result<T, QueryError> + Send + 'static,
    ) -> Result<T, QueryError> {
        let came = Instant::now();
        let entered = self.enter(tenant).await;
        let entered = entered.inspect_err(|error| {
            self.metrics.ended(Kind::Look, came, Outcome::of_error(error));
        })?;
        let (queries, metrics) = (self.queries.clone(), self.metrics.clone());
        let cancelled = Arc::new(AtomicBool::new(false));
        let account = queries.account(&cancelled);
        let _guard = CancelOnDrop(cancelled);
        let looked = tokio::task::spawn_blocking(move || {
            let looked = look(&queries, &account);
            drop(entered);
            let error = looked.as_ref().err();
            metrics.ended(Kind::Look, came, error.map_or(Outcome::Complete, Outcome::of_error));
            looked
        });
        looked.await.unwrap_or(Err(QueryError::Cancelled))
    }

    /// Waits until a query of this tenant may run.
    async fn enter(&self, tenant: &Arc<str>) -> Result<Entered, QueryError> {
        let of_tenant = self.of_tenants.get(&**tenant);
        let of_tenant = of_tenant.map(|most| Arc::clone(most).try_acquire_owned()).transpose();
        let of_tenant = of_tenant.map_err(|_| QueryError::Busy)?;
        Ok(Entered { _permit: self.queue.enter(tenant).await?, _of_tenant: of_tenant })
    }
}

async fn query(
    State(api): State<Arc<QueryApi>>,
    principal: Principal,
    request: HttpRequest,
) -> Response {
    let started = Instant::now();
    let answered = answer(&api, &principal.tenant, request).await;
    api.metrics.answered(started.elapsed(), answered.as_ref().err().map(QueryError::code));
    answered.unwrap_or_else(refused)
}

async fn explain(
    State(api): State<Arc<QueryApi>>,
    principal: Principal,
    request: HttpRequest,
) -> Response {
    looked(&api, &principal.tenant, request, Queries::explain).await
}

async fn fields(
    State(api): State<Arc<QueryApi>>,
    principal: Principal,
    request: HttpRequest,
) -> Response {
    looked(&api, &principal.tenant, request, Queries::fields).await
}

async fn stats(State(api): State<Arc<QueryApi>>, principal: Principal) -> Response {
    let (queries, tenant) = (api.queries.clone(), principal.tenant);
    let stored = tokio::task::spawn_blocking(move || queries.stored(&tenant)).await;
    stored.map(Json).map_err(|_| refused(QueryError::Cancelled)).into_response()
}

/// Answers with one object, in the queue like a query.
async fn looked<T: Serialize + Send + 'static>(
    api: &Arc<QueryApi>,
    tenant: &Arc<str>,
    request: HttpRequest,
    look: fn(&Queries, &Request, &Arc<Account>) -> Result<T, QueryError>,
) -> Response {
    let look = async {
        let request = parameters::read(request, tenant).await?;
        api.look(tenant, move |queries, account| look(queries, &request, account)).await
    };
    look.await.map(Json).map_err(refused).into_response()
}

async fn answer(
    api: &Arc<QueryApi>,
    tenant: &Arc<str>,
    request: HttpRequest,
) -> Result<Response, QueryError> {
    let request = parameters::read(request, tenant).await?;
    let came = Instant::now();
    let entered = api.enter(tenant).await;
    let queued = came.elapsed();
    api.metrics.waited.observe(queued.as_secs_f64());
    let tells = request.progress;
    let entered = entered.inspect_err(|error| {
        api.metrics.ended(Kind::Search, came, Outcome::of_error(error));
    })?;
    let running = Running::start(api, request, entered, came, queued);
    let Running { guard, account, mut lines, end } = running;
    // Until the first block the status of the answer is open.
    let first = match next_block(&mut lines, &account, tells).await {
        Some(block) => block,
        None => {
            let summary = end.await.unwrap_or(Err(QueryError::Cancelled))?;
            return Ok(ndjson(Body::from(summary_line(&summary))));
        }
    };
    let rest = (Some(first), None, lines, Some(end), (guard, account));
    let stream = futures_util::stream::unfold(rest, move |state| async move {
        let (first, before, mut lines, mut end, guard) = state;
        // The block before has been sent.
        drop::<Option<Held>>(before);
        let next = match first {
            Some(block) => Some(block),
            None => next_block(&mut lines, &guard.1, tells).await,
        };
        let (bytes, held) = match next {
            Some(Block { bytes, held }) => (bytes, Some(held)),
            None => {
                let ended = end.take()?.await.unwrap_or(Err(QueryError::Cancelled));
                (summary_line(&ended.unwrap_or_else(|error| summary_of(&error))), None)
            }
        };
        Some((Ok::<_, std::convert::Infallible>(bytes), (None, held, lines, end, guard)))
    });
    Ok(ndjson(Body::from_stream(stream)))
}

/// The next lines; if somebody wants to know how far it is, also that, when nothing else comes for a while.
async fn next_block(
    lines: &mut mpsc::Receiver<Block>,
    account: &Arc<Account>,
    tells: bool,
) -> Option<Block> {
    if !tells {
        return lines.recv().await;
    }
    match tokio::time::timeout(PROGRESS_EVERY, lines.recv()).await {
        Ok(block) => block,
        Err(_) => {
            let (rows_scanned, rows_total) = account.progress();
            let progress = serde_json::json!({
                "rows_scanned": rows_scanned,
                "rows_total": rows_total,
                "elapsed_ms": account.started().elapsed().as_millis() as u64,
            });
            let line = format!("{}\n", serde_json::json!({ "progress": progress }));
            let allowance = Arc::clone(account) as Arc<dyn Allowance>;
            Some(Block { bytes: line.into(), held: Held::nothing(&allowance) })
        }
    }
}

pub(crate) fn ndjson(body: Body) -> Response {
    ([(CONTENT_TYPE, "application/x-ndjson")], body).into_response()
}

/// Lines, and the memory that they take until they are sent.
struct Block {
    bytes: Bytes,
    held: Held,
}

/// Sets the flag when the client goes away.
struct CancelOnDrop(Arc<AtomicBool>);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// A query on its thread, from outside.
struct Running {
    guard: CancelOnDrop,
    account: Arc<Account>,
    lines: mpsc::Receiver<Block>,
    end: oneshot::Receiver<Result<Summary, QueryError>>,
}

impl Running {
    fn start(
        api: &QueryApi,
        request: Request,
        entered: Entered,
        came: Instant,
        queued: Duration,
    ) -> Self {
        let (sender, lines) = mpsc::channel(BLOCKS_WAITING_MAX);
        let (ended, end) = oneshot::channel();
        let cancelled = Arc::new(AtomicBool::new(false));
        let guard = CancelOnDrop(Arc::clone(&cancelled));
        let (queries, metrics) = (api.queries.clone(), api.metrics.clone());
        let account = queries.account(&cancelled);
        let of_query = Arc::clone(&account);
        tokio::task::spawn_blocking(move || {
            let result = run(&queries, &request, of_query, sender, queued);
            // Others may run before this client has read all.
            drop(entered);
            let outcome = match &result {
                Ok(summary) => Outcome::of_answer(summary.complete),
                Err(error) => Outcome::of_error(error),
            };
            metrics.ended(Kind::Search, came, outcome);
            let _ = ended.send(result);
        });
        Self { guard, account, lines, end }
    }
}

fn run(
    queries: &Queries,
    request: &Request,
    account: Arc<Account>,
    sender: mpsc::Sender<Block>,
    queued: Duration,
) -> Result<Summary, QueryError> {
    let prepared = queries.prepare(request)?;
    let mut lines = Lines::new(&account, sender);
    let mut summary = queries.run_on(account, prepared, &mut |batch| lines.write(&batch))?;
    lines.flush();
    if let Some(stopped) = lines.stopped {
        return Err(stopped.into());
    }
    summary.queued_ms = queued.as_secs_f64() * 1e3;
    Ok(summary)
}

/// Gives lines to the client's connection, block by block.
struct Lines {
    sender: mpsc::Sender<Block>,
    allowance: Arc<dyn Allowance>,
    ends_at: Instant,
    /// Lines that are no block yet.
    rest: Vec<u8>,
    /// Why nothing more can be sent.
    stopped: Option<Stopped>,
}

impl Lines {
    fn new(account: &Arc<Account>, sender: mpsc::Sender<Block>) -> Self {
        let allowance = Arc::clone(account) as Arc<dyn Allowance>;
        Self { sender, allowance, ends_at: account.ends_at(), rest: Vec::new(), stopped: None }
    }

    /// What comes out of the query at once goes to the client at once.
    fn write(&mut self, batch: &Batch) -> Flow {
        let mut lines = std::mem::take(&mut self.rest);
        let flow =
            json::write_blocks(batch, BLOCK_BYTES, &mut lines, &mut |block| self.send(block));
        self.rest = lines;
        if flow == Flow::Enough { Flow::Enough } else { self.flush() }
    }

    fn flush(&mut self) -> Flow {
        match std::mem::take(&mut self.rest) {
            lines if lines.is_empty() || self.stopped.is_some() => Flow::More,
            lines => self.send(lines),
        }
    }

    fn send(&mut self, lines: Vec<u8>) -> Flow {
        match self.try_send(lines) {
            Ok(()) => Flow::More,
            Err(stopped) => {
                self.stopped = Some(stopped);
                Flow::Enough
            }
        }
    }

    fn try_send(&self, lines: Vec<u8>) -> Result<(), Stopped> {
        self.allowance.check()?;
        let held = Held::take(&self.allowance, lines.capacity())?;
        let block = Block { bytes: lines.into(), held };
        let block = match self.sender.try_send(block) {
            Ok(()) => return Ok(()),
            Err(mpsc::error::TrySendError::Closed(_)) => return Err(Stopped::Cancelled),
            Err(mpsc::error::TrySendError::Full(block)) => block,
        };
        // The client is slower than we are.
        let runtime = tokio::runtime::Handle::current();
        let sent =
            runtime.block_on(tokio::time::timeout_at(self.ends_at.into(), self.sender.send(block)));
        match sent {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(Stopped::Cancelled),
            // It is past the deadline now.
            Err(_) => self.allowance.check().and(Err(Stopped::Cancelled)),
        }
    }
}

fn summary_line(summary: &Summary) -> Bytes {
    let mut line = serde_json::json!({ "summary": summary }).to_string();
    line.push('\n');
    line.into()
}

fn summary_of(error: &QueryError) -> Summary {
    Summary { complete: false, reason: Some(error.to_string()), ..Summary::default() }
}

pub(crate) fn refused(error: QueryError) -> Response {
    let status = StatusCode::from_u16(error.status()).unwrap_or(StatusCode::BAD_REQUEST);
    let answer = match &error {
        QueryError::Query { diagnostics, rendered } => {
            let first = diagnostics.first();
            ErrorResponse::new(status, first.code, first.message.clone())
                .span(first.span.start, first.span.end)
                .hint(rendered)
        }
        QueryError::Busy | QueryError::MemoryTotal { .. } => {
            ErrorResponse::new(status, error.code(), error.to_string())
                .retry_after(Duration::from_secs(1))
        }
        other => ErrorResponse::new(status, other.code(), other.to_string()),
    };
    answer.into_response()
}
