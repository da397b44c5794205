//! A registry on a real port, with instances and watchers.

mod idle;
mod instances;
mod watches;

use std::collections::BTreeMap;
use std::future::pending;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use axum::Router;
use axum::http::{Method, StatusCode};
use axum::routing::get;
use fastrand::Rng;
use reqwest::Url;
use serde_json::{Value, json};
use service::health::Health;
use service::http::{ServerLimits, serve};
use service::metrics::Metrics;
use service::shutdown::{Shutdown, Trigger};
use service::telemetry::Telemetry;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::*;
use crate::kit::client::tests::{lines_of, telemetry_of_two};
use crate::kit::directory::{Directory, Instance};
use crate::kit::ids::Ids;
use crate::kit::registration::keep_registered;
use crate::kit::tests::trial::Trial;

const DEADLINE: Duration = Duration::from_secs(60);

/// Nothing expires, nobody is asked.
const PATIENT: Settings = Settings {
    lease: Duration::from_secs(600),
    heartbeat: Duration::from_millis(50),
    check_interval: Duration::from_secs(600),
    check_timeout: Duration::from_secs(20),
    failures_max: 2,
    settling: Duration::ZERO,
};

/// Gone, with its connections, when it is dropped.
struct Running {
    url: Url,
    stop: Trigger,
    tasks: JoinSet<()>,
}

impl Running {
    async fn start(settings: Settings) -> Self {
        Self::start_at(([127, 0, 0, 1], 0).into(), settings, None).await
    }

    async fn start_at(
        address: SocketAddr,
        settings: Settings,
        telemetry: Option<&Telemetry>,
    ) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
        let (stop, stopping) = Shutdown::new();
        let context = Context {
            step_timeout: crate::kit::context::STEP_TIMEOUT,
            service: "registry",
            instance: "registry-1".into(),
            data: PathBuf::new(),
            ids: Arc::new(Ids::new(Rng::with_seed(7))),
            directory: Directory::default(),
            metrics: Metrics::new(),
            health: Health::new(),
            stop: stopping.clone(),
        };
        let Service { quiet: mut router, work, .. } = open_with(&context, settings);
        let mut tasks = JoinSet::new();
        match telemetry {
            Some(telemetry) => {
                router = telemetry.quiet(router);
                for work in work {
                    tasks.spawn(telemetry.scope(work));
                }
            }
            None => work.into_iter().for_each(|work| {
                tasks.spawn(work);
            }),
        }
        tasks.spawn(async move {
            let stopped = async move { stopping.requested().await };
            serve(listener, router, stopped, ServerLimits::default()).await.unwrap();
        });
        Self { url, stop, tasks }
    }

    /// Status and body; `null` if there is none.
    async fn ask(&self, method: Method, path: &str, body: Option<Value>) -> (u16, Value) {
        let mut request = http_client().request(method, self.url.join(path).unwrap());
        if let Some(body) = body {
            request = request.json(&body);
        }
        let answer = request.send().await.unwrap();
        let (status, body) = (answer.status().as_u16(), answer.bytes().await.unwrap());
        (status, serde_json::from_slice(&body).unwrap_or_default())
    }

    async fn register(&self, instance: &Instance) {
        let body = serde_json::to_value(instance).unwrap();
        let (status, lease) = self.ask(Method::POST, "/api/v1/instances", Some(body)).await;
        assert_eq!(status, 201, "{lease}");
    }

    /// Ids of the instances of `stock` that can be called.
    async fn discovered(&self, query: &str) -> Vec<String> {
        let path = format!("/api/v1/services/stock{query}");
        let (status, found) = self.ask(Method::GET, &path, None).await;
        assert_eq!(status, 200);
        let instances = found["instances"].as_array().unwrap();
        instances.iter().map(|instance| instance["id"].as_str().unwrap().to_owned()).collect()
    }

    async fn watched(&self, revision: u64, wait: Duration) -> Value {
        let path = format!("/api/v1/watch?revision={revision}&wait_ms={}", wait.as_millis());
        self.ask(Method::GET, &path, None).await.1
    }
}

fn instance(id: &str, address: SocketAddr) -> Instance {
    Instance { service: "stock".into(), id: id.into(), address, tags: BTreeMap::new() }
}

fn nowhere() -> SocketAddr {
    ([127, 0, 0, 1], 9).into()
}

async fn until(mut condition: impl AsyncFnMut() -> bool) {
    let poll = async {
        while !condition().await {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(DEADLINE, poll).await.expect("it becomes so");
}
