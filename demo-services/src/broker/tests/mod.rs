//! The broker on a real port, with its client and its consumer.

mod broker;
mod consumer;
mod model;

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use fastrand::Rng;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::client::Broker;
use super::message::{Binding, Message, Queue, Settlement, Verdict};
use super::store::Limits;
use super::{open_with, routes};
use crate::kit::client::http_client;
use crate::kit::context::{Context, Service, Work};
use crate::kit::directory::{Directory, Instance};
use crate::kit::ids::Ids;
use crate::kit::site::{Open, Site};
use crate::kit::tests::trial::Trial;

const DEADLINE: Duration = Duration::from_secs(60);

/// A broker's port, database and logs, which stay when it is closed and opened again.
struct Place {
    folder: TempDir,
    address: SocketAddr,
    directory: Directory,
    limits: Limits,
    /// Where spans go.
    collector: Option<String>,
}

impl Place {
    /// A broker that runs.
    async fn new(limits: Limits) -> (Self, Open) {
        let folder = tempfile::tempdir().unwrap();
        let mut place = Self {
            folder,
            address: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            directory: Directory::default(),
            limits,
            collector: None,
        };
        let open = place.open().await;
        place.directory = Directory::fixed(vec![Instance {
            service: "broker".to_owned(),
            id: "broker-1".to_owned(),
            address: place.address,
            tags: BTreeMap::new(),
        }]);
        (place, open)
    }

    async fn open(&mut self) -> Open {
        // The one before frees the file and the port a moment after its end.
        let opened = until(async || {
            let site = self.site("broker", self.address).await.ok()?;
            let context = site.context(self.folder.path(), &self.directory);
            let service = open_with(&context, self.limits, &[]).await.ok()?;
            Some((site.addr, site.serve(service)))
        });
        let (address, open) = opened.await;
        self.address = address;
        open
    }

    async fn site(&self, service: &'static str, address: SocketAddr) -> anyhow::Result<Site> {
        let ids = Arc::new(Ids::new(Rng::new()));
        let instance = format!("{service}-1");
        let collector = self.collector.clone();
        Site::take(service, &instance, address, self.folder.path(), collector, ids).await
    }

    /// A service that does nothing but the work.
    async fn service(&self, name: &'static str, work: impl FnOnce(Context) -> Work) -> Open {
        let site = self.site(name, SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await.unwrap();
        let context = site.context(self.folder.path(), &self.directory);
        let work = vec![work(context)];
        site.serve(Service { work, ..Service::default() })
    }

    async fn client(&self) -> Broker {
        let site = self.site("orders", SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await.unwrap();
        Broker::new(&site.context(self.folder.path(), &self.directory))
    }

    /// Status, `Retry-After` and body of an answer.
    async fn ask(
        &self,
        method: reqwest::Method,
        path: &str,
        body: &Value,
    ) -> (u16, Option<String>, Value) {
        let url = format!("http://{}/api/v1/{path}", self.address);
        let request = http_client().request(method, url).json(body);
        let answer = request.send().await.unwrap();
        let status = answer.status().as_u16();
        let retry_after = answer.headers().get("retry-after");
        let retry_after = retry_after.map(|after| after.to_str().unwrap().to_owned());
        (status, retry_after, answer.json().await.unwrap_or_default())
    }

    async fn get(&self, path: &str) -> Value {
        let (status, _, body) = self.ask(reqwest::Method::GET, path, &Value::Null).await;
        assert_eq!(status, 200, "{path} {body}");
        body
    }

    /// Figures of a queue.
    async fn queue(&self, name: &str) -> Value {
        let stats = self.get("queues").await;
        stats["queues"]
            .as_array()
            .unwrap()
            .iter()
            .find(|queue| queue["name"] == name)
            .unwrap()
            .clone()
    }

    /// Waits until so many ask a queue for messages.
    async fn asked(&self, queue: &str, consumers: u64) {
        until(async || (self.queue(queue).await["consumers"] == consumers).then_some(())).await;
    }

    /// Ids and reasons of its dead letters.
    async fn dead_letters(&self, queue: &str) -> Vec<(String, String)> {
        let page = self.get(&format!("queues/{queue}/dead-letters")).await;
        let letters = page["dead_letters"].as_array().unwrap().iter();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        letters.map(|letter| (text(&letter["id"]), text(&letter["reason"]))).collect()
    }

    /// Lines of a service's log that tell of this event.
    fn told(&self, service: &str, event: &str) -> Vec<Value> {
        let log = self.folder.path().join(format!("{service}-1.log"));
        let log = std::fs::read_to_string(log).unwrap();
        let lines = log.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        lines.filter(|line| line["event_name"] == event).collect()
    }
}

/// Bound to all of exchange `shop`.
fn queue(name: &str) -> Queue {
    Queue {
        name: name.to_owned(),
        bindings: vec![binding("#")],
        deliveries_max: 3,
        pause_min: Duration::from_millis(20),
        lease: Duration::from_secs(30),
    }
}

fn binding(pattern: &str) -> Binding {
    Binding { exchange: "shop".to_owned(), pattern: pattern.to_owned() }
}

fn message(id: &str) -> Message {
    keyed(id, "order.placed")
}

fn keyed(id: &str, routing_key: &str) -> Message {
    Message {
        id: id.to_owned(),
        exchange: "shop".to_owned(),
        routing_key: routing_key.to_owned(),
        kind: "OrderPlaced".to_owned(),
        headers: BTreeMap::from([("x-correlation-id".to_owned(), format!("ord-{id}"))]),
        body: json!({"order_id": id}),
    }
}

fn settlement(tag: u64, verdict: Verdict) -> Settlement {
    Settlement { tag, verdict }
}

fn again() -> Verdict {
    Verdict::Again { reason: "later".to_owned() }
}

/// What `look` finds, as soon as it finds something.
async fn until<T>(mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(began.elapsed() < DEADLINE, "it did not come to be");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
