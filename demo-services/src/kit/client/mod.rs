//! The one client for calls from one service of the shop to another.
//!
//! ```text
//! send ─▶ bulkhead ─▶ ┌ circuit breaker ─▶ directory ─▶ balancer ─▶ one request, with a timeout ┐ ─▶ answer
//!                     └◀──────────────────── pause, while another try may help ◀────────────────┘
//! ```
//!
//! A request carries the correlation and the trace of whoever calls (`service::telemetry::Call`), who that is
//! (`x-service-name`), the id of the call, which all its tries have in common (`x-request-id`), and which try it is
//! (`x-attempt`). Nothing is sent that nobody asked for: how a dependency is, is known from its calls.
//!
//! The breaker counts tries and guards the service as a whole. That one instance of several is gone is the balancer's
//! affair, which puts it aside, and counts for the breaker only when there was no other to turn to.

mod balance;
mod breaker;
mod bulkhead;
mod call;
mod figures;
mod policy;
mod retry;
#[cfg(test)]
pub(crate) mod tests;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::http::header::SERVER;
use axum::http::{HeaderName, HeaderValue};
use reqwest::redirect::Policy as Redirects;
use reqwest::{Client, RequestBuilder, Response, Url};
use serde::Serialize;
use service::semantics::{circuit_breaker, http, record, registry};
use service::telemetry;
use tokio::time::sleep;
use tracing::{debug, warn};

use self::balance::{Balancer, Chosen};
use self::breaker::{Breaker, Permit};
use self::bulkhead::Bulkhead;
use self::figures::Figures;

pub(crate) use self::call::{Answer, Call, CallError, error_of, whole};
pub(crate) use self::policy::{Balance, BreakerPolicy, Policy};

use super::context::Context;
use super::directory::Directory;
use super::ids::Ids;

/// Who calls.
const SERVICE_NAME: HeaderName = HeaderName::from_static("x-service-name");
/// Which call it is.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Which try of it, from 1.
const ATTEMPT: HeaderName = HeaderName::from_static("x-attempt");

/// Of an answer; a longer one is none.
const ANSWER_BYTES_MAX: usize = 1 << 20;
/// Within the machine or next to it; an instance that takes longer is put aside.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(500);
/// Shorter than a server of ours waits for the next request, so that none is sent into a closing connection.
const IDLE_MAX: Duration = Duration::from_secs(15);

/// A service that another one calls. Cheap to clone; all clones share breaker, bulkhead and connections.
#[derive(Clone, Debug)]
pub(crate) struct Dependency {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    caller: &'static str,
    service: &'static str,
    policy: Policy,
    client: Client,
    ids: Arc<Ids>,
    directory: Directory,
    balancer: Arc<Balancer>,
    breaker: Arc<Breaker>,
    bulkhead: Bulkhead,
    figures: Figures,
}

/// How a dependency is, as far as calls have shown.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Report {
    pub(crate) name: &'static str,
    /// `closed`, `open` or `half_open`.
    pub(crate) breaker: &'static str,
    /// That can be called now.
    pub(crate) instances: usize,
    /// Of the last call; none before it.
    pub(crate) last_latency_ms: Option<f64>,
    /// Of the last call, if there was anything wrong with it.
    pub(crate) last_error: Option<String>,
}

/// What all tries of a call have in common.
struct Asked<'a> {
    call: &'a Call,
    request_id: String,
    /// What is tried, for people.
    operation: String,
    policy: Policy,
    /// When the call has to be over.
    deadline: Option<Instant>,
}

impl Dependency {
    /// A service to be called like this. One dependency for each, since its breaker and its metrics have its name.
    pub(crate) fn new(context: &Context, service: &'static str, policy: Policy) -> Self {
        let Context { service: caller, ids, directory, metrics, .. } = context;
        let breaker = Arc::new(Breaker::new(service, policy.breaker, metrics));
        let shown = Arc::clone(&breaker);
        metrics.before_render(move || shown.show_now());
        let shared = Shared {
            caller,
            service,
            policy,
            client: http_client(),
            ids: Arc::clone(ids),
            directory: directory.clone(),
            balancer: Arc::new(Balancer::new(policy.balance, Arc::clone(ids))),
            breaker,
            bulkhead: Bulkhead::new(policy.concurrency_max, policy.waiting_max),
            figures: Figures::new(service, directory, metrics),
        };
        Self { shared: Arc::new(shared) }
    }

    /// Asks one of the service's instances, and another one where that may help. An answer is an answer, whatever its
    /// status is: also the one with which the last try failed.
    ///
    /// # Errors
    /// Why there is no answer.
    pub(crate) async fn send(&self, call: Call) -> Result<Answer, CallError> {
        let began = Instant::now();
        let outcome = self.shared.call(&call).await;
        self.shared.figures.called(began.elapsed(), &outcome);
        outcome
    }

    /// How it is.
    pub(crate) fn report(&self) -> Report {
        let Shared { service, directory, breaker, figures, .. } = &*self.shared;
        let last = figures.last();
        Report {
            name: service,
            breaker: breaker.state(Instant::now()),
            instances: directory.instances(service).len(),
            last_latency_ms: last.latency.map(|took| took.as_micros() as f64 / 1_000.0),
            last_error: last.error,
        }
    }
}

impl Shared {
    async fn call(&self, call: &Call) -> Result<Answer, CallError> {
        let path = call.path.split('?').next().unwrap_or_default();
        let asked = Asked {
            call,
            request_id: self.ids.short("req"),
            operation: format!("{} {}{path}", call.method, self.service),
            policy: self.policy.of(call),
            deadline: call.within.map(|within| Instant::now() + within),
        };
        let _place = self.bulkhead.enter(asked.timeout()).await.ok_or(CallError::Full)?;
        let mut tried = Vec::new();
        let mut attempt = 1;
        loop {
            let (permit, chosen) = self.find(&asked, attempt, &tried)?;
            let outcome = self.attempt(&asked, attempt, permit, &chosen).await;
            let Asked { policy, operation, .. } = &asked;
            let left = asked.left();
            let pause = retry::next_pause(policy, &self.ids, operation, attempt, &outcome, left);
            let Some(pause) = pause else { return outcome };
            tried.push(chosen.instance.address);
            drop(chosen);
            sleep(pause).await;
            attempt += 1;
        }
    }

    /// The leave to try, and whom.
    fn find(
        &self,
        asked: &Asked<'_>,
        attempt: u32,
        tried: &[SocketAddr],
    ) -> Result<(Permit, Chosen), CallError> {
        let found = self.admit().and_then(|permit| Ok((permit, self.look_up(tried)?)));
        if let Err(error) = &found
            && attempt > 1
        {
            retry::given_up(&asked.policy, &asked.operation, attempt, error);
        }
        found
    }

    fn admit(&self) -> Result<Permit, CallError> {
        self.breaker.admit(Instant::now()).map_err(|retry_after| {
            warn!(
                event_name = circuit_breaker::REJECTED,
                { circuit_breaker::NAME } = self.service,
                { circuit_breaker::STATE } = self.breaker.state(Instant::now()),
                { http::PEER_NAME } = self.service,
                "call refused"
            );
            CallError::BreakerOpen { retry_after }
        })
    }

    fn look_up(&self, tried: &[SocketAddr]) -> Result<Chosen, CallError> {
        let instances = self.directory.instances(self.service);
        let count = instances.len();
        let Some(chosen) = self.balancer.choose(instances, tried, Instant::now()) else {
            let error = CallError::NoInstance;
            warn!(
                event_name = registry::LOOKUP_FAILED,
                { registry::SERVICE_NAME } = self.service,
                { record::ERROR_TYPE } = error.error_type(),
                "no instance found"
            );
            return Err(error);
        };
        debug!(
            event_name = registry::LOOKUP_COMPLETED,
            { registry::SERVICE_NAME } = self.service,
            { registry::INSTANCE_ID } = chosen.instance.id,
            { http::SERVER_ADDRESS } = %chosen.instance.address.ip(),
            { http::SERVER_PORT } = chosen.instance.address.port(),
            { registry::INSTANCE_COUNT } = count,
            "instance chosen"
        );
        Ok(chosen)
    }

    async fn attempt(
        &self,
        asked: &Asked<'_>,
        attempt: u32,
        permit: Permit,
        chosen: &Chosen,
    ) -> Result<Answer, CallError> {
        let attempt = asked.call.tried_before.saturating_add(attempt);
        // Else a timeout says nothing of the service: its caller had no time left.
        let has_its_time = asked.left() >= asked.policy.timeout;
        let request = self.request(asked, attempt, chosen.instance.address)?;
        self.figures.tried();
        let sent = telemetry::Call::of(request).peer(self.service).attempt(attempt).send().await;
        let outcome = match sent {
            Ok(answer) if is_from_another(&answer, self.service) => {
                chosen.put_aside(Instant::now());
                let reason = "another service has its port now".to_owned();
                Err(CallError::Unreachable { reason })
            }
            Ok(answer) => whole(answer, ANSWER_BYTES_MAX).await,
            Err(error) => {
                if error.is_connect() {
                    chosen.put_aside(Instant::now());
                }
                Err(error_of(error))
            }
        };
        let failed = match &outcome {
            Ok(answer) => answer.status.is_server_error(),
            // There are others: nothing is known of the service as a whole.
            Err(CallError::Unreachable { .. }) if chosen.has_others => return outcome,
            Err(CallError::Timeout) if !has_its_time => return outcome,
            Err(error) => matches!(error, CallError::Unreachable { .. } | CallError::Timeout),
        };
        permit.settle(failed, Instant::now());
        outcome
    }

    fn request(
        &self,
        asked: &Asked<'_>,
        attempt: u32,
        address: SocketAddr,
    ) -> Result<RequestBuilder, CallError> {
        let Call { method, path, headers, body, .. } = asked.call;
        let bad = |reason: String| CallError::BadAnswer { reason };
        let body = body.clone().map_err(bad)?;
        let mut url: Url = format!("http://{address}").parse().map_err(|error| {
            bad(format!("the address {address} of an instance makes no URL: {error}"))
        })?;
        // Set as parts, so that no path leads to another host.
        let (path, query) =
            path.split_once('?').map_or((path.as_str(), None), |(path, query)| (path, Some(query)));
        url.set_path(path);
        url.set_query(query);
        let request = self
            .client
            .request(method.clone(), url)
            .timeout(asked.timeout())
            .headers(headers.clone())
            .header(SERVICE_NAME, self.caller)
            .header(REQUEST_ID, asked.request_id.as_str())
            .header(ATTEMPT, HeaderValue::from(attempt));
        Ok(if body.is_empty() { request } else { request.body(body) })
    }
}

impl Asked<'_> {
    /// How long the next step may take.
    fn timeout(&self) -> Duration {
        self.policy.timeout.min(self.left())
    }

    /// Until the call has to be over.
    fn left(&self) -> Duration {
        let left = |deadline: Instant| deadline.saturating_duration_since(Instant::now());
        self.deadline.map_or(Duration::MAX, left)
    }
}

/// Whether a service of the shop answers that was not meant: the one that was is dead.
fn is_from_another(answer: &Response, service: &str) -> bool {
    answer.headers().get(SERVER).is_some_and(|server| server.as_bytes() != service.as_bytes())
}

/// A client for requests within the shop: no proxy from the environment, no redirects, nothing encrypted.
pub(crate) fn http_client() -> Client {
    Client::builder()
        .no_proxy()
        .tls_backend_preconfigured(service::tls::no_trust())
        .redirect(Redirects::none())
        .connect_timeout(CONNECT_TIMEOUT)
        .pool_idle_timeout(IDLE_MAX)
        .build()
        .expect("a client that takes nothing from outside can be made")
}
