//! A collector on a real socket, for tests.

use std::path::Path;
use std::sync::Arc;

use collector::{Collector, CollectorOptions};
use reqwest::header::HeaderMap;
use serde_json::Value;
use service::http::{ServerLimits, serve};
use service::metrics::Metrics;
use service::shutdown::{Shutdown, Trigger};
use store::{Store, StoreOptions};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// The routes of a collector and of its process.
pub(crate) struct Server {
    pub(crate) collector: Arc<Collector>,
    pub(crate) store: Arc<Store>,
    base: String,
    client: reqwest::Client,
    stop: Trigger,
    ended: JoinHandle<std::io::Result<usize>>,
}

pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

impl Server {
    pub(crate) async fn start(folder: &Path) -> Self {
        let metrics = Metrics::new();
        let store = Arc::new(Store::open(folder, StoreOptions::default()).unwrap());
        let collector = Collector::new(Arc::clone(&store), CollectorOptions::default(), &metrics);
        let router = collector
            .routes()
            .merge(service::health::routes(service::health::Health::new(), metrics))
            .behind(&service::doors::Doors::open());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let (stop, token) = Shutdown::new();
        let ended = tokio::spawn(async move {
            serve(listener, router, async move { token.requested().await }, ServerLimits::default())
                .await
        });
        let client = reqwest::Client::builder()
            .no_proxy()
            .tls_backend_preconfigured(service::tls::no_trust())
            .build()
            .unwrap();
        Self { collector, store, base, client, stop, ended }
    }

    /// Ends it as a crash would: nothing is flushed.
    pub(crate) async fn crash(self) {
        self.stop.set_off();
        drop(self.client);
        self.ended.await.unwrap().unwrap();
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
