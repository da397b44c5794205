//! The gateway on a port of its own, before a service that says what it was asked.

mod answers;
mod limits;
mod requests;
mod shop;
mod tokens;

use std::net::{Ipv4Addr, SocketAddr};

use axum::Router;
use axum::extract::Request;
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::settings::Settings;
use super::{CALLS, open_with};
use crate::kit::clock::now_s;
use crate::kit::directory::{Directory, Instance};
use crate::kit::identity::{Claims, ISSUER, Keys};
use crate::kit::tests::trial::{Answer, Trial};

/// What nobody outside is to see.
const INNER_WORDS: &str = "secret words about 10.9.8.7";

struct Gate {
    trial: Trial,
    /// Correlation id, status and code of what was refused.
    refused: Vec<(String, u16, String)>,
}

impl Gate {
    /// A gateway whose services are all the one of [`said`].
    async fn open(settings: Settings) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new().fallback(said);
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self::before(settings, &CALLS, address).await
    }

    /// A gateway that knows these services, all of them at one address.
    async fn before(settings: Settings, services: &[&str], address: SocketAddr) -> Self {
        let instance = |service: &&str| Instance {
            service: (*service).to_owned(),
            id: format!("{service}-1"),
            address,
            tags: Default::default(),
        };
        let directory = Directory::fixed(services.iter().map(instance).collect());
        let opened = Trial::open("gateway", "gateway-1", async |context| {
            let mut context = context.clone();
            context.directory = directory;
            open_with(&context, settings)
        });
        Self { trial: opened.await, refused: Vec::new() }
    }

    fn keys(&self) -> Keys {
        Keys::from_file(&self.trial.folder.path().join("keys/jwt.key")).unwrap()
    }

    /// A value of `authorization` of somebody who has logged in.
    fn token(&self, user: &str, role: &str) -> String {
        format!("Bearer {}", self.keys().sign(&claims(user, role)).unwrap())
    }

    async fn get(&self, path: &str, headers: &[(&str, &str)]) -> Answer {
        self.trial.send(Method::GET, path, headers, "").await
    }

    /// Holds an answer against what is expected, and notes a refusal.
    fn check(&mut self, what: &str, answer: &Answer, status: u16, code: &str) {
        assert_eq!(answer.outcome(), (status, code), "{what}: {:?}", answer.body);
        is_secured(what, &answer.headers);
        let correlation_id = answer.header("x-correlation-id").to_owned();
        assert!(!correlation_id.is_empty(), "{what} has no correlation id");
        if status >= 400 {
            assert!(!answer.body.to_string().contains("10.9.8.7"), "{what}: {:?}", answer.body);
            self.refused.push((correlation_id, status, code.to_owned()));
        }
    }

    /// Sends bytes as they are; gives status and all of the answer.
    async fn raw(&self, request: &[u8]) -> (u16, String) {
        let mut stream = TcpStream::connect(self.trial.addr).await.unwrap();
        stream.write_all(request).await.unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        let answer = String::from_utf8(answer).unwrap();
        let status = answer.split(' ').nth(1).map_or(0, |status| status.parse().unwrap());
        (status, answer)
    }

    /// Closes it and gives its log. Each refusal has one line there, of the correlation that its answer had.
    async fn close(self) -> Vec<Value> {
        let lines = self.trial.close().await;
        for (id, status, code) in self.refused {
            let is_it = |line: &&Value| {
                line["event_name"] == "http.server.request.completed"
                    && line["correlation_id"] == id
            };
            let told: Vec<_> = lines.iter().filter(is_it).collect();
            let [line] = told[..] else { panic!("{id} {status} {code}: {told:#?}") };
            let level = if status >= 500 { "error" } else { "warn" };
            assert_eq!(line["level"], level, "{line}");
            assert_eq!(line["http.response.status_code"], status, "{line}");
            assert_eq!(line["error.type"], code, "{line}");
        }
        lines
    }
}

fn claims(user: &str, role: &str) -> Claims {
    Claims {
        sub: user.to_owned(),
        roles: vec![role.to_owned()],
        exp: now_s() + 900,
        iat: now_s(),
        iss: ISSUER.to_owned(),
        jti: "t-1".to_owned(),
    }
}

fn is_secured(what: &str, headers: &HeaderMap) {
    for (name, value) in [
        ("x-content-type-options", "nosniff"),
        ("x-frame-options", "DENY"),
        ("referrer-policy", "no-referrer"),
        ("content-security-policy", "default-src 'none'; frame-ancestors 'none'"),
    ] {
        let found = headers.get(name).map(|value| value.to_str().unwrap());
        assert_eq!(found, Some(value), "{what}: {name}");
    }
    assert!(headers.contains_key(header::CACHE_CONTROL), "{what} may be kept by anybody");
}

/// Any service: says what it was asked, and does what the last segment of the path says.
async fn said(request: Request) -> Response {
    let (request, _) = request.into_parts();
    let text = |name: &str| {
        let value = request.headers.get(name).and_then(|value| value.to_str().ok());
        value.map(str::to_owned)
    };
    let headers: Vec<_> = request.headers.keys().map(ToString::to_string).collect();
    let said = json!({
        "method": request.method.as_str(),
        "path": request.uri.to_string(),
        "user": text("x-user-id"),
        "roles": text("x-user-roles"),
        "accept": text("accept"),
        "headers": headers,
    });
    let last = request.uri.path().rsplit('/').next().unwrap_or_default().to_owned();
    if let Some(status) = last.strip_prefix("status-") {
        let status: StatusCode = status.parse().unwrap();
        // What a client did wrong it is told in the service's words.
        let message = if status.is_server_error() { INNER_WORDS } else { "not that one" };
        let error = json!({"error": {"code": "inner_code", "message": message}});
        return (status, [(header::LOCATION, "http://10.9.8.7/")], error.to_string())
            .into_response();
    }
    let control =
        |control: &'static str| [(header::CACHE_CONTROL, control), (header::ETAG, "\"1\"")];
    match last.as_str() {
        "public" | "cart" => (control("public, max-age=60"), said.to_string()).into_response(),
        "private" => (control("private, max-age=60"), said.to_string()).into_response(),
        "words" => (StatusCode::BAD_REQUEST, INNER_WORDS).into_response(),
        "refused" => {
            let error = json!({"error": {"code": "inner_code", "message": "not that one"}});
            (StatusCode::CONFLICT, error.to_string()).into_response()
        }
        "long" => "x".repeat(3 << 20).into_response(),
        "silent" => std::future::pending().await,
        _ => said.to_string().into_response(),
    }
}
