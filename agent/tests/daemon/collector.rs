//! A collector on a port of its own that keeps what a store would keep, fails as it is told, and remembers
//! everything that came.
//!
//! As the real one it takes a name once: the same bytes again are a duplicate, other bytes are 409.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Instant;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use prost::Message;
use tokio::runtime::Runtime;
use wire::BatchName;

/// What is done with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// Stores and acknowledges.
    Accept,
    /// Stores; the connection ends before the answer.
    LoseAnswer,
    /// The connection ends, nothing is stored.
    Drop,
    /// Answers with a status and stores nothing.
    Refuse(u16),
    /// 429 or 503 with so many seconds to wait.
    Busy(u16, u64),
}

/// One request as it came.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) name: BatchName,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    pub(crate) at: Instant,
    pub(crate) action: Action,
}

/// A record as others' decoder reads it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Record {
    pub(crate) service: String,
    pub(crate) message: String,
    pub(crate) event: String,
    pub(crate) attributes: BTreeMap<String, String>,
}

type Script = Box<dyn FnMut(&Request) -> Action + Send>;
/// Agent, epoch, sequence.
type Name = (String, String, u64);

struct Memory {
    script: Script,
    requests: Vec<Request>,
    /// Batches in the order in which they were stored.
    stored: Vec<(Name, Bytes)>,
    names: BTreeMap<Name, usize>,
    conflicts: Vec<Name>,
    heartbeats: Vec<serde_json::Value>,
    store: &'static str,
}

/// A running collector; gone with the value.
pub(crate) struct Collector {
    pub(crate) addr: String,
    memory: Arc<Mutex<Memory>>,
    runtime: Option<Runtime>,
}

impl Collector {
    /// One that accepts everything.
    pub(crate) fn start() -> Self {
        Self::with(|_| Action::Accept)
    }

    /// One that does with each request what `script` says.
    pub(crate) fn with(script: impl FnMut(&Request) -> Action + Send + 'static) -> Self {
        let memory = Memory {
            script: Box::new(script),
            requests: Vec::new(),
            stored: Vec::new(),
            names: BTreeMap::new(),
            conflicts: Vec::new(),
            heartbeats: Vec::new(),
            store: "store-1",
        };
        let memory = Arc::new(Mutex::new(memory));
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.unwrap();
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let addr = format!("http://{}", listener.local_addr().unwrap());
        let router = Router::new()
            .route("/v1/logs", post(receive))
            .route("/api/v1/agents/heartbeat", post(heartbeat))
            .with_state(Arc::clone(&memory))
            .layer(axum::extract::DefaultBodyLimit::disable());
        runtime.spawn(async move { axum::serve(listener, router).await });
        Self { addr, memory, runtime: Some(runtime) }
    }

    /// Does something else with requests from now on.
    pub(crate) fn then(&self, script: impl FnMut(&Request) -> Action + Send + 'static) {
        self.memory().script = Box::new(script);
    }

    /// Another store answers from now on.
    pub(crate) fn set_store(&self, id: &'static str) {
        self.memory().store = id;
    }

    /// Every request in the order of arrival.
    pub(crate) fn requests(&self) -> Vec<Request> {
        self.memory().requests.clone()
    }

    /// What is stored, batch by batch.
    pub(crate) fn stored(&self) -> Vec<(Name, Vec<Record>)> {
        let stored = self.memory().stored.clone();
        stored.into_iter().map(|(name, body)| (name, records(&body))).collect()
    }

    /// What is stored, but for what agents say of themselves.
    pub(crate) fn records(&self) -> Vec<Record> {
        let records = self.stored().into_iter().flat_map(|(_, records)| records);
        records.filter(|record| record.service != "logq-agent").collect()
    }

    /// The messages of what is stored, in its order.
    pub(crate) fn messages(&self) -> Vec<String> {
        self.records().into_iter().map(|record| record.message).collect()
    }

    /// What agents said of themselves under this name.
    pub(crate) fn reports(&self, event: &str) -> Vec<Record> {
        let records = self.stored().into_iter().flat_map(|(_, records)| records);
        records.filter(|record| record.event == event).collect()
    }

    /// The epochs of what is stored, in the order of their first batches.
    pub(crate) fn epochs(&self) -> Vec<String> {
        let mut epochs = Vec::new();
        for ((_, epoch, _), _) in self.memory().stored.iter() {
            if !epochs.contains(epoch) {
                epochs.push(epoch.clone());
            }
        }
        epochs
    }

    /// The last heartbeat.
    pub(crate) fn heartbeat(&self) -> Option<serde_json::Value> {
        self.memory().heartbeats.last().cloned()
    }

    /// How many requests came.
    pub(crate) fn requests_len(&self) -> usize {
        self.memory().requests.len()
    }

    /// The sequences of each epoch are stored from 0 on without a gap, in order, and no name came with bytes that
    /// another batch is stored under.
    pub(crate) fn assert_in_order(&self) {
        let memory = self.memory();
        assert!(memory.conflicts.is_empty(), "names used twice: {:?}", memory.conflicts);
        let mut next = BTreeMap::<(String, String), u64>::new();
        for ((agent, epoch, sequence), _) in &memory.stored {
            let expected = next.entry((agent.clone(), epoch.clone())).or_default();
            assert_eq!(sequence, expected, "in epoch {epoch} of {agent}");
            *expected += 1;
        }
    }

    /// Exactly these messages are stored, each once, in whatever order.
    pub(crate) fn assert_whole(&self, expected: impl IntoIterator<Item = String>) {
        let mut stored = self.messages();
        stored.sort_unstable();
        let mut expected: Vec<_> = expected.into_iter().collect();
        expected.sort_unstable();
        if stored == expected {
            return;
        }
        let once: BTreeSet<_> = stored.iter().collect();
        let missing: Vec<_> = expected.iter().filter(|line| !once.contains(line)).take(9).collect();
        let wanted: BTreeSet<_> = expected.iter().collect();
        let foreign: Vec<_> = stored.iter().filter(|line| !wanted.contains(line)).take(9).collect();
        let twice = stored.windows(2).filter(|two| two[0] == two[1]).map(|two| &two[0]).take(9);
        let twice: Vec<_> = twice.collect();
        panic!(
            "{} stored, {} expected; missing {missing:?}, foreign {foreign:?}, twice {twice:?}",
            stored.len(),
            expected.len()
        );
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap()
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// An address where nobody listens.
pub(crate) fn nobody() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}

/// The records of a body as it was sent.
pub(crate) fn records(body: &[u8]) -> Vec<Record> {
    let request = zstd::decode_all(body).unwrap();
    let request = ExportLogsServiceRequest::decode(&*request).unwrap();
    let mut records = Vec::new();
    for resource in request.resource_logs {
        let of_resource = resource.resource.map(|it| texts(it.attributes)).unwrap_or_default();
        for log in resource.scope_logs.into_iter().flat_map(|scope| scope.log_records) {
            records.push(Record {
                service: of_resource.get("service.name").cloned().unwrap_or_default(),
                message: text(log.body),
                event: log.event_name,
                attributes: texts(log.attributes),
            });
        }
    }
    records
}

fn texts(attributes: Vec<KeyValue>) -> BTreeMap<String, String> {
    attributes.into_iter().map(|attribute| (attribute.key, text(attribute.value))).collect()
}

fn text(value: Option<AnyValue>) -> String {
    match value.and_then(|value| value.value) {
        None => String::new(),
        Some(Value::StringValue(text)) => text,
        Some(Value::IntValue(number)) => number.to_string(),
        Some(other) => format!("{other:?}"),
    }
}

async fn heartbeat(State(memory): State<Arc<Mutex<Memory>>>, body: Bytes) -> StatusCode {
    memory.lock().unwrap().heartbeats.push(serde_json::from_slice(&body).unwrap());
    StatusCode::OK
}

async fn receive(
    State(memory): State<Arc<Mutex<Memory>>>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let name =
        BatchName::from_headers(|name| headers.get(name).and_then(|value| value.to_str().ok()));
    let name = name.unwrap().expect("every batch is named");
    let mut memory = memory.lock().unwrap();
    let mut request = Request { name, headers, body, at: Instant::now(), action: Action::Accept };
    request.action = (memory.script)(&request);
    memory.requests.push(request.clone());
    let Request { name, body, action, .. } = request;
    let mut duplicate = false;
    if matches!(action, Action::Accept | Action::LoseAnswer) {
        let key = (name.agent, name.epoch, name.sequence);
        match memory.names.get(&key).copied() {
            None => {
                let at = memory.stored.len();
                memory.names.insert(key.clone(), at);
                memory.stored.push((key, body));
            }
            Some(at) if memory.stored[at].1 == body => duplicate = true,
            Some(_) => {
                memory.conflicts.push(key);
                return refusal(409);
            }
        }
    }
    match action {
        Action::Accept => {
            let mut response = Response::new(Body::empty());
            let mut say = |name, value| {
                response.headers_mut().insert(name, HeaderValue::from_static(value));
            };
            say("logq-store-id", memory.store);
            say("logq-generation", "1");
            if duplicate {
                say("logq-duplicate", "1");
            }
            response
        }
        // Unwinding without the panic hook: the connection's task ends, and with it the connection.
        Action::LoseAnswer | Action::Drop => {
            drop(memory);
            std::panic::resume_unwind(Box::new("connection lost"))
        }
        Action::Refuse(status) => refusal(status),
        Action::Busy(status, seconds) => {
            let mut response = refusal(status);
            response.headers_mut().insert("retry-after", seconds.into());
            response
        }
    }
}

fn refusal(status: u16) -> Response {
    let text = r#"{"error":{"code":"x","message":"no such thing","hint":"do other"}}"#;
    let status = StatusCode::from_u16(status).unwrap();
    (status, [("content-type", "application/json")], text).into_response()
}
