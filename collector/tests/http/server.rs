//! A collector on a real socket, for tests.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use collector::{Collector, CollectorOptions};
use reqwest::header::HeaderMap;
use serde_json::Value;
use service::doors::Doors;
use service::http::{Listener, ServerLimits, serve};
use service::metrics::Metrics;
use service::shutdown::{Shutdown, Trigger};
use store::{Store, StoreOptions};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// The routes of a collector and of its process.
pub(crate) struct Server {
    pub(crate) collector: Arc<Collector>,
    pub(crate) store: Arc<Store>,
    /// Where it takes calls of gRPC.
    pub(crate) grpc: SocketAddr,
    /// Longest body that it takes.
    pub(crate) body_bytes_max: usize,
    base: String,
    client: reqwest::Client,
    stop: Trigger,
    ended: [JoinHandle<std::io::Result<usize>>; 2],
}

pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

impl Server {
    pub(crate) async fn start(folder: &Path) -> Self {
        Self::start_with(folder, |_| {}).await
    }

    /// With other options than the default ones.
    pub(crate) async fn start_with(
        folder: &Path,
        change: impl FnOnce(&mut CollectorOptions),
    ) -> Self {
        let mut options =
            CollectorOptions { body_bytes_max: 1 << 20, ..CollectorOptions::default() };
        change(&mut options);
        let body_bytes_max = options.body_bytes_max;
        let metrics = Metrics::new();
        let store = Arc::new(Store::open(folder, StoreOptions::default()).unwrap());
        let collector = Collector::new(Arc::clone(&store), options, &metrics);
        let router = collector
            .routes()
            .merge(service::health::routes(service::health::Health::new(), metrics))
            .behind(&Doors::open());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let over_grpc =
            collector.grpc_routes().behind(&Doors::open()).fallback(collector::not_served);
        let grpc_listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let grpc = grpc_listener.local_addr().unwrap();
        let (stop, token) = Shutdown::new();
        let limits =
            ServerLimits { head_timeout: Duration::from_secs(5), ..ServerLimits::default() };
        let serving = |listener: Listener, router| {
            let token = token.clone();
            tokio::spawn(serve(listener, router, async move { token.requested().await }, limits))
        };
        let ended = [
            serving(listener.into(), router),
            serving(Listener::from(grpc_listener).http2(), over_grpc),
        ];
        let client = reqwest::Client::builder()
            .no_proxy()
            .tls_backend_preconfigured(service::tls::no_trust())
            .build()
            .unwrap();
        Self { collector, store, grpc, body_bytes_max, base, client, stop, ended }
    }

    /// Ends it as a crash would: nothing is flushed.
    pub(crate) async fn crash(self) {
        self.stop.set_off();
        drop(self.client);
        for ended in self.ended {
            ended.await.unwrap().unwrap();
        }
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send(self.client.get(format!("{}{path}", self.base))).await
    }

    pub(crate) async fn post(
        &self,
        path: &str,
        headers: &[(&str, String)],
        body: impl Into<reqwest::Body>,
    ) -> Answer {
        let request = self.client.post(format!("{}{path}", self.base)).body(body);
        let request =
            headers.iter().fold(request, |request, (name, value)| request.header(*name, value));
        self.send(request).await
    }

    async fn send(&self, request: reqwest::RequestBuilder) -> Answer {
        let response = request.send().await.unwrap();
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        Answer { status, headers, body: response.text().await.unwrap() }
    }
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }
}
