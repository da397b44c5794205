//! A service on trial: opened as the shop opens it, on a port of its own, with a log that can be read afterwards.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use axum::http::{HeaderMap, Method, StatusCode};
use fastrand::Rng;
use reqwest::Client;
use serde_json::Value;
use tempfile::TempDir;

use crate::kit::client::http_client;
use crate::kit::context::{Context, Service};
use crate::kit::directory::{Directory, Instance};
use crate::kit::ids::Ids;
use crate::kit::openapi::{self, Route};
use crate::kit::site::{Open, Site};

pub(crate) struct Trial {
    pub(crate) addr: SocketAddr,
    /// Its failure switches.
    pub(crate) directory: Directory,
    /// `keys/`, `data/`, and the log.
    pub(crate) folder: TempDir,
    service: &'static str,
    instance: String,
    client: Client,
    open: Open,
}

/// An answer, read whole; a body that is no JSON is text.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Value,
}

impl Answer {
    /// The status, and the code of an error.
    pub(crate) fn outcome(&self) -> (u16, &str) {
        (self.status.as_u16(), self.body["error"]["code"].as_str().unwrap_or_default())
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

impl Trial {
    pub(crate) async fn open(
        service: &'static str,
        instance: &str,
        open: impl AsyncFnOnce(&Context) -> anyhow::Result<Service>,
    ) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let ids = Arc::new(Ids::new(Rng::with_seed(1)));
        let addr = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let site = Site::take(service, instance, addr, folder.path(), None, ids).await.unwrap();
        let directory = Directory::fixed(Vec::new());
        let data = folder.path().join("data");
        std::fs::create_dir(&data).unwrap();
        let context = site.context(&data, &directory);
        let addr = site.addr;
        let open = site.serve(open(&context).await.unwrap());
        let client = http_client();
        Self { addr, directory, folder, service, instance: instance.to_owned(), client, open }
    }

    /// How others find it.
    pub(crate) fn instance(&self) -> Instance {
        Instance {
            service: self.service.to_owned(),
            id: self.instance.clone(),
            address: self.addr,
            tags: BTreeMap::new(),
        }
    }

    /// Sends a request with a body of any text, and headers.
    pub(crate) async fn send(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<reqwest::Body>,
    ) -> Answer {
        let mut request = self.client.request(method, format!("http://{}{path}", self.addr));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let answer = request.body(body).send().await.unwrap();
        let (status, headers) = (answer.status(), answer.headers().clone());
        let text = answer.text().await.unwrap();
        let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
        Answer { status, headers, body }
    }

    /// Asks as a user, who is nobody if empty, with roles.
    pub(crate) async fn ask(
        &self,
        method: Method,
        path: &str,
        (user, roles): (&str, &str),
    ) -> Answer {
        self.send(method, path, &[("x-user-id", user), ("x-user-roles", roles)], "").await
    }

    /// The same with a body.
    pub(crate) async fn tell(
        &self,
        method: Method,
        path: &str,
        (user, roles): (&str, &str),
        body: &Value,
    ) -> Answer {
        let headers =
            [("x-user-id", user), ("x-user-roles", roles), ("content-type", "application/json")];
        self.send(method, path, &headers, body.to_string()).await
    }

    /// Closes it, and gives the lines of its log.
    pub(crate) async fn close(self) -> Vec<Value> {
        self.open.close().await.unwrap().await;
        let log = self.folder.path().join(format!("{}.log", self.instance));
        let log = std::fs::read_to_string(log).unwrap();
        log.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// Whether what it says of its interface is so: the document has the routes of the table and no others, whatever it
    /// refers to is in it, and each path of it answers.
    pub(crate) async fn has_the_interface_of<S>(&self, routes: &[Route<S>]) {
        let routes = routes.iter().map(|Route { method, path, .. }| format!("{method} {path}"));
        let mut routes: Vec<_> = routes.chain([format!("GET {}", openapi::PATH)]).collect();
        routes.sort();
        assert_eq!(self.documented(&[("x-user-id", "u-1")]).await, routes);
    }

    /// The paths of its document, `METHOD /path`, in order. Each was asked for with these headers, and answered with
    /// something that the document has.
    pub(crate) async fn documented(&self, headers: &[(&str, &str)]) -> Vec<String> {
        let document = self.ask(Method::GET, openapi::PATH, ("", "")).await.body;
        assert!(document["info"]["title"].as_str().unwrap().ends_with("of the shop"), "{document}");
        let mut documented = Vec::new();
        for (path, operations) in document["paths"].as_object().unwrap() {
            for (method, operation) in operations.as_object().unwrap() {
                let method: Method = method.to_uppercase().parse().unwrap();
                let responses = operation["responses"].as_object().unwrap();
                assert!(!responses.is_empty(), "{method} {path} has no responses");
                let named = path.split_once('{').is_none_or(|_| operation["parameters"].is_array());
                assert!(named, "{method} {path} does not name its parameters");
                documented.push(format!("{method} {path}"));
                let answer = self.send(method.clone(), &example(path), headers, "").await;
                let (status, code) = answer.outcome();
                assert!(!["no_route", "wrong_method"].contains(&code), "{method} {path}: {code}");
                assert!(status != 405, "{method} {path}");
                let known = responses.contains_key(&status.to_string());
                assert!(known, "{method} {path} answers {status}, which is not documented");
            }
        }
        documented.sort();
        let refused = self.ask(Method::GET, "/nothing", ("", "")).await.body;
        for (name, value) in [("ErrorBody", &refused), ("ErrorDetail", &refused["error"])] {
            let schema = &document["components"]["schemas"][name]["properties"];
            let known = schema.as_object().unwrap().keys();
            assert!(known.eq(value.as_object().unwrap().keys()), "{name}: {refused}");
        }
        let mut references = Vec::new();
        collect_references(&document, &mut references);
        assert!(references.iter().any(|reference| reference.ends_with("/ErrorBody")));
        for reference in references {
            let found = document.pointer(reference.trim_start_matches('#'));
            assert!(found.is_some(), "{reference} is not in the document");
        }
        documented
    }
}

/// A path with something in the place of its parameters.
fn example(path: &str) -> String {
    let segments = path.split('/').map(|segment| match segment {
        "{sku}" => "teapot",
        segment if segment.starts_with('{') => "u-1",
        segment => segment,
    });
    segments.collect::<Vec<_>>().join("/")
}

fn collect_references(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            found.extend(members.get("$ref").and_then(Value::as_str).map(str::to_owned));
            members.values().for_each(|member| collect_references(member, found));
        }
        Value::Array(items) => items.iter().for_each(|item| collect_references(item, found)),
        _ => {}
    }
}
