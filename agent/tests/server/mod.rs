//! A small collector on a port of its own that fails as it is told, and remembers everything.

#![allow(dead_code, reason = "each test binary uses its own part of it")]

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use prost::Message;
use wire::BatchName;

/// What the server does with a request.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Action {
    /// Stores and acknowledges.
    Accept,
    /// Stores; the connection ends before the answer.
    LoseAnswer,
    /// Stores; the connection ends in the middle of the answer.
    CutAnswer,
    /// The connection ends, nothing is stored.
    Drop,
    /// Answers with a status and nothing is stored.
    Refuse(u16),
    /// 429 with this many seconds to wait.
    Busy(u64),
    /// Takes the request and never answers.
    Hang,
    /// Stores, and says that so many records were not taken.
    Partly(u64),
}

/// One request as it came.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    /// `/v1/logs` or `/v1/traces`.
    pub(crate) path: String,
    pub(crate) name: BatchName,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

#[derive(Default)]
struct Memory {
    actions: Vec<Action>,
    requests: Vec<Request>,
    /// By sequence; the first body under a name is the one that is stored.
    stored: BTreeMap<u64, Bytes>,
}

/// A running server; ends with the test's runtime.
pub(crate) struct Server {
    pub(crate) addr: String,
    memory: Arc<Mutex<Memory>>,
}

impl Server {
    /// Does each of `actions` once, in the order in which requests come, and accepts from then on.
    pub(crate) async fn start(actions: impl IntoIterator<Item = Action>) -> Self {
        let mut actions: Vec<_> = actions.into_iter().collect();
        actions.reverse();
        let memory = Arc::new(Mutex::new(Memory { actions, ..Memory::default() }));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = format!("http://{}", listener.local_addr().unwrap());
        let router = Router::new()
            .route("/v1/logs", post(receive))
            .route("/v1/traces", post(receive))
            .with_state(memory.clone());
        let router = router.layer(axum::extract::DefaultBodyLimit::disable());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { addr, memory }
    }

    /// Does each of `actions` once from here on.
    pub(crate) fn next(&self, actions: impl IntoIterator<Item = Action>) {
        let mut actions: Vec<_> = actions.into_iter().collect();
        actions.reverse();
        self.memory.lock().unwrap().actions = actions;
    }

    /// Every request in the order of arrival.
    pub(crate) fn requests(&self) -> Vec<Request> {
        self.memory.lock().unwrap().requests.clone()
    }

    /// The messages of everything stored, in the order of sequences.
    pub(crate) fn messages(&self) -> Vec<String> {
        let stored = self.memory.lock().unwrap().stored.clone();
        stored.values().flat_map(|body| messages(body)).collect()
    }

    /// Whether each name came with the same bytes every time.
    pub(crate) fn bodies_by_name(&self) -> BTreeMap<u64, BTreeSet<Bytes>> {
        let mut bodies = BTreeMap::<u64, BTreeSet<Bytes>>::new();
        for request in self.requests() {
            bodies.entry(request.name.sequence).or_default().insert(request.body);
        }
        bodies
    }
}

/// The request that a body is, decompressed.
pub(crate) fn decoded(body: &[u8]) -> Vec<u8> {
    zstd::decode_all(body).unwrap()
}

fn messages(body: &[u8]) -> Vec<String> {
    let request = ExportLogsServiceRequest::decode(&*decoded(body)).unwrap();
    let scopes = request.resource_logs.into_iter().flat_map(|resource| resource.scope_logs);
    let records = scopes.flat_map(|scope| scope.log_records);
    records
        .map(|record| match record.body.and_then(|body| body.value) {
            Some(Value::StringValue(text)) => text,
            None => String::new(),
            other => panic!("{other:?} is no message"),
        })
        .collect()
}

async fn receive(
    State(memory): State<Arc<Mutex<Memory>>>,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let name =
        BatchName::from_headers(|name| headers.get(name).and_then(|value| value.to_str().ok()));
    let name = name.unwrap().expect("every batch is named");
    let (action, duplicate) = {
        let mut memory = memory.lock().unwrap();
        let path = uri.path().to_owned();
        memory.requests.push(Request { path, name: name.clone(), headers, body: body.clone() });
        let action = memory.actions.pop().unwrap_or(Action::Accept);
        let duplicate = memory.stored.contains_key(&name.sequence);
        use Action::*;
        if matches!(action, Accept | LoseAnswer | CutAnswer | Partly(_)) && !duplicate {
            memory.stored.insert(name.sequence, body);
        }
        (action, duplicate)
    };
    answer(action, duplicate).await
}

async fn answer(action: Action, duplicate: bool) -> Response {
    match action {
        Action::Accept => {
            let mut response = Response::new(Body::empty());
            let mut say = |name, value| {
                response.headers_mut().insert(name, HeaderValue::from_static(value));
            };
            say("logq-store-id", "store-1");
            say("logq-generation", "7");
            if duplicate {
                say("logq-duplicate", "1");
            }
            response
        }
        // Unwinding without the panic hook: the connection's task ends, and with it the connection.
        Action::LoseAnswer | Action::Drop => std::panic::resume_unwind(Box::new("connection lost")),
        Action::CutAnswer => {
            let stream = futures_util::stream::iter([
                Ok(Bytes::from_static(b"\x0a")),
                Err(std::io::Error::other("cut")),
            ]);
            Body::from_stream(stream).into_response()
        }
        Action::Refuse(status) => {
            let text = r#"{"error":{"code":"x","message":"no such thing","hint":"do other"}}"#;
            let status = StatusCode::from_u16(status).unwrap();
            (status, [("content-type", "application/json")], text).into_response()
        }
        Action::Busy(seconds) => {
            let headers = [("retry-after", seconds.to_string())];
            (StatusCode::TOO_MANY_REQUESTS, headers, "full").into_response()
        }
        Action::Hang => {
            let never: Result<Infallible, Infallible> = std::future::pending().await;
            match never {
                Ok(never) | Err(never) => match never {},
            }
        }
        Action::Partly(rejected) => {
            wire::export_response(wire::Format::OtlpProtobuf, rejected, "too deep").into_response()
        }
    }
}
