//! Requests from tests that have no runtime of their own.

use reqwest::header::HeaderMap;
use serde_json::Value;
use tokio::runtime::Runtime;

use super::DEADLINE;
use super::grpc::{self, Reply};

/// Requests that wait for their answers, each on a connection of its own.
#[derive(Debug)]
pub(crate) struct Http {
    runtime: Runtime,
    client: reqwest::Client,
}

impl Http {
    pub(crate) fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let client = reqwest::Client::builder()
            .no_proxy()
            .tls_backend_preconfigured(service::tls::no_trust())
            .pool_max_idle_per_host(0)
            .timeout(DEADLINE)
            .build()
            .unwrap();
        Self { runtime, client }
    }

    pub(crate) fn get(&self, url: &str) -> Answer {
        self.send(self.client.get(url))
    }

    pub(crate) fn get_with(&self, url: &str, header: (&str, &str)) -> Answer {
        self.send(self.client.get(url).header(header.0, header.1))
    }

    pub(crate) fn delete(&self, url: &str) -> Answer {
        self.send(self.client.delete(url))
    }

    pub(crate) fn post(
        &self,
        url: &str,
        headers: &[(&str, &str)],
        body: impl Into<Vec<u8>>,
    ) -> Answer {
        let request = self.client.post(url).body(body.into());
        let request =
            headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        self.send(request)
    }

    /// Any request.
    pub(crate) fn request(
        &self,
        method: &str,
        url: &str,
        headers: &[(&str, &[u8])],
        body: impl Into<Vec<u8>>,
    ) -> Answer {
        let request = self.client.request(method.parse().unwrap(), url).body(body.into());
        self.send(
            headers.iter().fold(request, |request, (name, value)| request.header(*name, *value)),
        )
    }

    /// Sends bodies at the same time, each with headers of its own.
    pub(crate) fn post_all(
        &self,
        url: &str,
        requests: impl IntoIterator<Item = (Vec<(&'static str, String)>, Vec<u8>)>,
    ) -> Vec<u16> {
        self.runtime.block_on(async {
            let mut sent = Vec::new();
            for (headers, body) in requests {
                let request = self.client.post(url).body(body);
                let request = headers
                    .iter()
                    .fold(request, |request, (name, value)| request.header(*name, value));
                sent.push(tokio::spawn(async { request.send().await.unwrap().status().as_u16() }));
            }
            let mut answers = Vec::new();
            for answer in sent {
                answers.push(answer.await.unwrap());
            }
            answers
        })
    }

    /// A call of gRPC, at `http://host:port/SERVICE/METHOD`.
    pub(crate) fn grpc(&self, url: &str, headers: &[(&str, &str)], message: &[u8]) -> Reply {
        let (address, path) = url.strip_prefix("http://").unwrap().split_once('/').unwrap();
        let (address, path) = (address.parse().unwrap(), format!("/{path}"));
        let call = grpc::call(address, &path, headers, grpc::frame(false, message));
        self.runtime
            .block_on(async { tokio::time::timeout(DEADLINE, call).await.unwrap().unwrap() })
    }

    fn send(&self, request: reqwest::RequestBuilder) -> Answer {
        self.runtime.block_on(async {
            let response = request.send().await.unwrap();
            let (status, headers) = (response.status().as_u16(), response.headers().clone());
            Answer { status, headers, body: response.bytes().await.unwrap().to_vec() }
        })
    }
}

/// An HTTP answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    /// Its status, and the code and the message of its `{"error":…}`.
    pub(crate) fn refusal(&self) -> (u16, String, String) {
        let error = &self.json()["error"];
        let text =
            |name: &str| error[name].as_str().unwrap_or_else(|| panic!("{error}")).to_owned();
        (self.status, text("code"), text("message"))
    }

    /// Panics unless everything was taken; gives the number of records.
    pub(crate) fn accepted(&self) -> u64 {
        let answer = self.json();
        assert_eq!((self.status, &answer["rejected"]), (200, &Value::from(0)), "{answer}");
        answer["accepted"].as_u64().unwrap()
    }
}
