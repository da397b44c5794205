//! Routes behind doors, on a real socket: nothing passes that is not declared, and handlers get what the door made of a
//! request.
// The lint knows test functions only, not what they share.
#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::time::Duration;

use axum::http::HeaderMap;
use rcgen::{CertificateParams, KeyPair};
use service::doors::{Access, Doors, Routes};
use service::http::{Listener, ServerLimits, serve};
use service::metrics::Metrics;
use service::principal::{Principal, Right};
use service::shutdown::{Shutdown, Trigger};
use service::tls::{ServerTls, TlsFiles};
use service::tokens::{NewToken, create};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Stops when it is dropped.
struct Running {
    address: std::net::SocketAddr,
    _stop: Trigger,
}

async fn start(router: axum::Router, tls: Option<ServerTls>, limits: ServerLimits) -> Running {
    let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = tcp.local_addr().unwrap();
    let (stop, token) = Shutdown::new();
    tokio::spawn(async move {
        serve(
            Listener { tls, ..Listener::from(tcp) },
            router,
            async move { token.requested().await },
            limits,
        )
        .await
    });
    Running { address, _stop: stop }
}

async fn ask(server: &Running, request_line: &str, headers: &str, body: &str) -> String {
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let length = body.len();
    let request = format!(
        "{request_line} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {length}\r\n{headers}\r\n{body}"
    );
    let mut answer = String::new();
    let (mut reading, mut writing) = stream.split();
    let sent = writing.write_all(request.as_bytes());
    let (_, read) = tokio::join!(sent, reading.read_to_string(&mut answer));
    read.unwrap();
    answer
}

fn token(file: &Path, tenant: &str, rights: &[Right]) -> String {
    let rights = rights.iter().copied().collect();
    let new = NewToken { tenant: tenant.to_owned(), rights, expires_in: None, note: None };
    format!("authorization: Bearer {}\r\n", create(file, new).unwrap().token)
}

async fn told(principal: Principal, headers: HeaderMap) -> String {
    let token = headers.contains_key("authorization");
    let tenants: Vec<_> = headers.get_all("x-scope-orgid").iter().collect();
    format!("{} {tenants:?} {token}", principal.tenant)
}

#[tokio::test]
async fn a_handler_gets_the_tenant_of_the_token_and_never_the_token() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("tokens.toml");
    let of_a = token(&file, "a", &[Right::Query]);
    let of_all = token(&file, "*", &[Right::Query]);
    let metrics = Metrics::new();
    let doors = Doors::with_tokens(file).unwrap().counted(&metrics);
    const QUERY: Access = Access::Right(Right::Query);
    let routes: Routes = Routes::new()
        .get("/", QUERY, told)
        .post("/", Access::Right(Right::Admin), told)
        .delete("/other", QUERY, told);
    assert_eq!(routes.declared().len(), 3);
    let server = start(routes.behind(&doors), None, ServerLimits::default()).await;
    let tenant_b = format!("{of_all}x-scope-orgid: b\r\n");
    let large = "x".repeat(2 << 20);
    for (line, headers, body, status, says) in [
        ("GET /", &*of_a, "", 200, "a [\"a\"] false"),
        ("GET /", &tenant_b, "", 200, "b [\"b\"] false"),
        ("HEAD /", &of_a, "", 200, ""),
        ("HEAD /", "", "", 401, ""),
        ("DELETE /other", &of_a, "", 200, "a [\"a\"] false"),
        ("DELETE /other", "", "", 401, "no_token"),
        ("POST /", &of_a, "", 403, "wrong_right"),
        ("POST /", "", &large, 401, "no_token"),
        ("PUT /", "", "", 405, ""),
        ("GET /nowhere", "", "", 404, ""),
    ] {
        let answer = ask(&server, line, headers, body).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{line}: {answer}");
        assert!(answer.contains(says), "{line}: {answer}");
    }
    let counted = metrics.render();
    assert!(counted.contains("doors_refused_requests_total{reason=\"no_token\"} 3"), "{counted}");
}

#[tokio::test]
async fn a_handler_without_a_door_gives_nothing_away() {
    let router = axum::Router::new().route("/", axum::routing::get(told));
    let server = start(router, None, ServerLimits::default()).await;
    let answer = ask(&server, "GET /", "x-scope-orgid: a\r\n", "").await;
    assert!(answer.starts_with("HTTP/1.1 500 ") && !answer.contains("[\"a\"]"), "{answer}");
}

#[tokio::test]
async fn a_handshake_has_its_time_and_counts_as_a_connection() {
    let folder = tempfile::tempdir().unwrap();
    let (cert, key) = (folder.path().join("cert.pem"), folder.path().join("key.pem"));
    let made = KeyPair::generate().unwrap();
    let params = CertificateParams::new(["localhost".to_owned()]).unwrap();
    std::fs::write(&cert, params.self_signed(&made).unwrap().pem()).unwrap();
    std::fs::write(&key, made.serialize_pem()).unwrap();
    let tls = ServerTls::load(TlsFiles { cert, key, client_ca: None }).unwrap();
    let limits = ServerLimits {
        connections_max: 1,
        handshake_timeout: Duration::from_millis(20),
        ..ServerLimits::default()
    };
    let server = start(axum::Router::new(), Some(tls), limits).await;
    let mut silent = TcpStream::connect(server.address).await.unwrap();
    let mut slow = TcpStream::connect(server.address).await.unwrap();
    slow.write_all(b"\x16\x03").await.unwrap();
    // Its turn comes when the ones before it are over.
    let answer = ask(&server, "GET /", "", "").await;
    assert!(answer.starts_with("HTTP/1.1 400 ") && answer.contains("tls_wanted"), "{answer}");
    for stream in [&mut silent, &mut slow] {
        assert_eq!(stream.read(&mut [0; 1]).await.unwrap_or(0), 0, "they were closed");
    }
}
