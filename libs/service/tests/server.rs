//! The server on a real socket: routes, errors, and how it stops.
// The lint knows test functions only, not what they share.
#![allow(clippy::unwrap_used)]

use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::ConnectInfo;
use axum::http::StatusCode;
use axum::routing::get;
use service::doors::Doors;
use service::health::{Check, Health, routes};
use service::http::{ErrorResponse, ServerLimits, serve};
use service::http_requests::RequestDurations;
use service::metrics::Metrics;
use service::shutdown::{Shutdown, Trigger};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

struct Running {
    address: std::net::SocketAddr,
    stop: Trigger,
    ended: JoinHandle<std::io::Result<usize>>,
}

async fn start(router: Router, limits: ServerLimits) -> Running {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, token) = Shutdown::new();
    let ended = tokio::spawn(async move {
        serve(listener, router, async move { token.requested().await }, limits).await
    });
    Running { address, stop, ended }
}

async fn ask(address: std::net::SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    let _ = stream.read_to_string(&mut answer).await;
    answer
}

#[tokio::test]
async fn health_and_metrics_are_told() {
    let health = Health::new();
    let metrics = Metrics::new();
    let server =
        start(routes(health.clone(), metrics).behind(&Doors::open()), ServerLimits::default())
            .await;
    let ready = async |code: &str, body: &str| {
        let answer = ask(server.address, "/health/ready").await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {code} ")), "{answer}");
        assert!(answer.ends_with(&format!("{body}\n")), "{answer}");
    };
    ready("200", r#"{"status":"ok","checks":{}}"#).await;
    health.set("journal", Check::Starting);
    ready("503", r#"{"status":"starting","checks":{"journal":{"status":"starting"}}}"#).await;
    health.set("journal", Check::Degraded("slow".into()));
    let degraded = r#""checks":{"journal":{"status":"degraded","reason":"slow"}}}"#;
    ready("200", degraded).await;
    health.begin_shutdown();
    ready("503", degraded).await;
    assert!(ask(server.address, "/health/live").await.starts_with("HTTP/1.1 200 "));
    let answer = ask(server.address, "/metrics").await;
    assert!(answer.contains("content-type: text/plain; version=0.0.4; charset=utf-8"), "{answer}");
    assert!(answer.contains("process_resident_memory_bytes "), "{answer}");
}

#[tokio::test]
async fn errors_have_one_shape() {
    let router = Router::new().route(
        "/",
        get(async || {
            ErrorResponse::new(StatusCode::TOO_MANY_REQUESTS, "busy", "too busy")
                .hint("wait")
                .span(3, 7)
                .retry_after(Duration::from_millis(1_200))
        }),
    );
    let server = start(router, ServerLimits::default()).await;
    let answer = ask(server.address, "/").await;
    assert!(answer.contains("retry-after: 2\r\n"), "{answer}");
    let body = answer.split("\r\n\r\n").nth(1).unwrap();
    assert!(body.ends_with("}\n"), "{body}");
    let body: serde_json::Value = serde_json::from_str(body).unwrap();
    let expected = serde_json::json!({"error": {
        "code": "busy", "message": "too busy", "hint": "wait", "span": {"start": 3, "end": 7}
    }});
    assert_eq!(body, expected);
}

/// A handler that says when it was reached and then waits for `release`, or for ever.
fn slow(reached: mpsc::Sender<()>, release: Option<Shutdown>) -> Router {
    Router::new().route(
        "/slow",
        get(async move |ConnectInfo(peer): ConnectInfo<std::net::SocketAddr>| {
            reached.send(()).await.unwrap();
            match release {
                Some(release) => release.requested().await,
                None => std::future::pending().await,
            }
            format!("hello {}", peer.ip())
        }),
    )
}

#[tokio::test]
async fn requests_under_way_are_finished_and_idle_connections_closed() {
    let (reached, mut has_reached) = mpsc::channel(1);
    let (release, released) = Shutdown::new();
    let limits = ServerLimits { drain: Duration::from_secs(60), ..ServerLimits::default() };
    let server = start(slow(reached, Some(released)), limits).await;
    let mut idle = TcpStream::connect(server.address).await.unwrap();
    let asking = tokio::spawn(ask(server.address, "/slow"));
    has_reached.recv().await.unwrap();
    server.stop.set_off();
    // The idle one is closed while the other is still served, and no new one is accepted.
    assert_eq!(idle.read(&mut [0; 1]).await.unwrap_or(0), 0);
    assert!(!server.ended.is_finished());
    release.set_off();
    let answer = asking.await.unwrap();
    assert!(answer.ends_with("hello 127.0.0.1"), "{answer}");
    assert_eq!(server.ended.await.unwrap().unwrap(), 0);
    assert!(TcpStream::connect(server.address).await.is_err());
}

#[tokio::test]
async fn what_outlives_the_deadline_is_cut() {
    let (reached, mut has_reached) = mpsc::channel(1);
    let limits = ServerLimits { drain: Duration::from_millis(20), ..ServerLimits::default() };
    let server = start(slow(reached, None), limits).await;
    let asking = tokio::spawn(ask(server.address, "/slow"));
    has_reached.recv().await.unwrap();
    let begun = Instant::now();
    server.stop.set_off();
    assert_eq!(server.ended.await.unwrap().unwrap(), 1);
    assert_eq!(asking.await.unwrap(), "");
    assert!(begun.elapsed() < Duration::from_secs(30));
}

#[tokio::test]
async fn connections_beyond_the_bound_wait_their_turn() {
    let (reached, mut has_reached) = mpsc::channel(9);
    let (release, released) = Shutdown::new();
    let limits = ServerLimits { connections_max: 1, ..ServerLimits::default() };
    let server = start(slow(reached, Some(released)), limits).await;
    let first = tokio::spawn(ask(server.address, "/slow"));
    has_reached.recv().await.unwrap();
    let second = tokio::spawn(ask(server.address, "/slow"));
    assert!(tokio::time::timeout(Duration::from_millis(50), has_reached.recv()).await.is_err());
    release.set_off();
    assert!(first.await.unwrap().ends_with("hello 127.0.0.1"));
    has_reached.recv().await.unwrap();
    assert!(second.await.unwrap().ends_with("hello 127.0.0.1"));
}

#[tokio::test]
async fn a_client_that_sends_no_head_is_dropped() {
    let limits =
        ServerLimits { head_timeout: Duration::from_millis(20), ..ServerLimits::default() };
    let server = start(Router::new(), limits).await;
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    stream.write_all(b"GET / HT").await.unwrap();
    let mut answer = String::new();
    let _ = stream.read_to_string(&mut answer).await;
    assert!(!answer.contains("200 OK"), "{answer}");
}

#[tokio::test]
async fn requests_are_measured_by_route_and_status_and_paths_without_a_route_are_one() {
    let metrics = Metrics::new();
    let router = Router::new()
        .route("/things/{id}", get(|| async { "a thing" }))
        .fallback(|| async { StatusCode::NOT_FOUND });
    let router = RequestDurations::new(&metrics).measure(router);
    let server = start(router, ServerLimits::default()).await;
    for path in ["/things/1", "/things/2", "/one", "/two", "/three"] {
        ask(server.address, path).await;
    }
    let text = metrics.render();
    let counted = |status: &str, route: &str, count: u64| {
        let line = format!(
            "http_server_request_duration_seconds_count{{http_request_method=\"GET\",http_response_status_code=\"{status}\",http_route=\"{route}\"}} {count}"
        );
        assert!(text.lines().any(|told| told == line), "{line}\n{text}");
    };
    counted("200", "/things/{id}", 2);
    counted("404", "", 3);
    server.stop.set_off();
    server.ended.await.unwrap().unwrap();
}
