//! Calls over real ports: what callers see of services that are slow, broken, or gone.

mod balancing;
mod refusals;
mod tries;

use std::collections::BTreeMap;
use std::future::pending;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use fastrand::Rng;
use futures_util::future::{BoxFuture, FutureExt, join_all};
use futures_util::stream::{FuturesUnordered, StreamExt};
use serde_json::Value;
use service::health::{Check, Health};
use service::http::{ServerLimits, serve};
use service::metrics::Metrics;
use service::shutdown::Shutdown;
use service::telemetry::{Lines, Origin, Telemetry, TelemetryOptions};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tracing::{Instrument, info_span};

use super::*;
use crate::kit::directory::Instance;

const DEADLINE: Duration = Duration::from_secs(60);

/// Times that are long enough for a busy machine, and pauses that nobody notices.
const QUICK: Policy = Policy {
    timeout: Duration::from_secs(20),
    pause_min: Duration::from_millis(2),
    pause_max: Duration::from_millis(8),
    ..Policy::READS
};

/// An instance of the service `stock`.
struct Server {
    instance: Instance,
    hits: Arc<AtomicUsize>,
    serving: JoinHandle<()>,
}

impl Server {
    async fn open<F>(number: usize, answer: F) -> Self
    where
        F: Fn(HeaderMap) -> BoxFuture<'static, Response> + Clone + Send + Sync + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let hits = Arc::new(AtomicUsize::new(0));
        let instance = Instance {
            service: "stock".into(),
            id: format!("stock-{number}"),
            address: listener.local_addr().unwrap(),
            tags: BTreeMap::new(),
        };
        let counted = Arc::clone(&hits);
        let router = Router::new().fallback(move |headers: HeaderMap| {
            counted.fetch_add(1, Ordering::SeqCst);
            answer(headers)
        });
        let serving = tokio::spawn(async move {
            serve(listener, router, pending(), ServerLimits::default()).await.unwrap();
        });
        Self { instance, hits, serving }
    }

    /// Answers every request with this status.
    async fn always(number: usize, status: StatusCode) -> Self {
        Self::open(number, move |_| async move { status.into_response() }.boxed()).await
    }

    fn hits(&self) -> usize {
        self.hits.load(Ordering::SeqCst)
    }

    /// As a kill does it: the listener and all connections are gone at once.
    fn kill(&self) {
        self.serving.abort();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

fn context(servers: &[&Server]) -> Context {
    Context {
        step_timeout: crate::kit::context::STEP_TIMEOUT,
        service: "shelf",
        instance: "shelf-1".into(),
        data: PathBuf::new(),
        ids: Arc::new(Ids::new(Rng::with_seed(7))),
        directory: Directory::fixed(servers.iter().map(|server| server.instance.clone()).collect()),
        metrics: Metrics::new(),
        health: Health::new(),
        stop: Shutdown::new().1,
    }
}

fn stock(servers: &[&Server], policy: Policy) -> Dependency {
    Dependency::new(&context(servers), "stock", policy)
}

async fn status_of(dependency: &Dependency) -> Result<u16, CallError> {
    let answer = timeout(DEADLINE, dependency.send(Call::get("/tea?size=2"))).await;
    answer.expect("a call ends").map(|answer| answer.status.as_u16())
}

async fn until(condition: impl Fn() -> bool) {
    let poll = async {
        while !condition() {
            sleep(Duration::from_millis(2)).await;
        }
    };
    timeout(DEADLINE, poll).await.expect("it becomes so");
}

/// A service's telemetry, and another one: with one alone, `tracing` asks the subscriber of whatever thread comes first
/// to a line whether it is ever wanted, and that may be a test without any.
pub(crate) fn telemetry_of_two(log: &Path) -> [Telemetry; 2] {
    [log.to_owned(), log.with_extension("other")].map(|log| {
        let options =
            TelemetryOptions { lines: Lines::file(log), ..TelemetryOptions::new("shelf") };
        Telemetry::start(options, &Metrics::new()).unwrap()
    })
}

pub(crate) fn lines_of(log: &Path) -> Vec<Value> {
    let lines = std::fs::read_to_string(log).unwrap();
    lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Runs `work` within the correlation `ord-1` of a service with telemetry, and gives the lines that it told.
async fn told(work: impl Future<Output = ()>) -> Vec<Value> {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("shelf.log");
    let [telemetry, _other] = telemetry_of_two(&log);
    let within = async {
        let span = info_span!("work");
        Origin::of_correlation("ord-1").begin(&span);
        work.instrument(span).await;
    };
    telemetry.scope(within).await;
    lines_of(&log)
}

fn events<'a>(lines: &'a [Value], name: &str) -> Vec<&'a Value> {
    lines.iter().filter(|line| line["event_name"] == name).collect()
}
