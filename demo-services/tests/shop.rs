//! The shop as a whole: orders over real ports, and what they leave in the three logs.
#![allow(clippy::unwrap_used, reason = "the lint knows test functions only, not what they share")]

use std::collections::BTreeSet;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::http::StatusCode;
use axum::routing::post;
use demo_services::{
    CARD_DECLINED, CARD_GOOD, CARD_SLOW, CARD_SLOW_ONCE, DemoOptions, Started, run,
};
use serde_json::{Value, json};
use service::semantics;
use service::shutdown::{Shutdown, Trigger};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// A shop without customers of its own.
struct Shop {
    folder: TempDir,
    at: Started,
    stop: Trigger,
    ended: JoinHandle<anyhow::Result<()>>,
}

fn options(folder: &Path) -> DemoOptions {
    let mut options = DemoOptions::new(folder.join("logs"));
    options.gateway_http = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    options.rate = "0/s".parse().unwrap();
    options.seed = 1;
    options
}

fn client() -> reqwest::Client {
    reqwest::Client::builder()
        .no_proxy()
        .tls_backend_preconfigured(service::tls::no_trust())
        .build()
        .unwrap()
}

impl Shop {
    async fn open() -> Self {
        Self::open_for(None).await
    }

    /// One whose spans go to `collector`.
    async fn open_for(collector: Option<String>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (sender, started) = oneshot::channel();
        let (stop, shutdown) = Shutdown::new();
        let options = DemoOptions { started: Some(sender), collector, ..options(folder.path()) };
        let ended = tokio::spawn(run(options, shutdown));
        Self { folder, at: started.await.unwrap(), stop, ended }
    }

    async fn get(&self, addr: SocketAddr, path: &str) -> (u16, String) {
        let answer = client().get(format!("http://{addr}{path}")).send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    }

    /// Status, correlation id and body of the answer.
    async fn checkout(&self, body: impl Into<reqwest::Body>) -> (u16, String, Value) {
        let url = format!("http://{}/checkout", self.at.gateway);
        let request = client().post(url).header("content-type", "application/json").body(body);
        let answer = request.send().await.unwrap();
        let id = answer.headers()["x-correlation-id"].to_str().unwrap().to_owned();
        (answer.status().as_u16(), id, answer.json().await.unwrap())
    }

    async fn close(self) -> Vec<Value> {
        self.stop.set_off();
        self.ended.await.unwrap().unwrap();
        lines(self.folder.path())
    }
}

fn order(sku: &str, quantity: u32, card: &str) -> String {
    let items = json!([{"sku": sku, "quantity": quantity}, {"sku": "cup", "quantity": 2}]);
    json!({"customer": "cust-001", "items": items, "card": card}).to_string()
}

/// All lines of the three logs in order of time; each must be JSON with all that a line has to have.
fn lines(folder: &Path) -> Vec<Value> {
    let mut all = Vec::new();
    for service in ["gateway", "orders", "payments"] {
        let text = fs::read_to_string(folder.join(format!("logs/{service}.log"))).unwrap();
        for line in text.lines() {
            let line: Value = serde_json::from_str(line).unwrap();
            let length = |key: &str| line[key].as_str().unwrap_or_default().len();
            assert_eq!(line["service"], service, "{line}");
            assert_eq!(length("timestamp"), "2026-01-01T00:00:00.000000000Z".len(), "{line}");
            assert_eq!((length("trace_id"), length("span_id")), (32, 16), "{line}");
            assert!(["level", "message", "correlation_id"].iter().all(|key| length(key) > 0));
            if let Some(name) = line["event_name"].as_str() {
                let event = semantics::event(name).unwrap_or_else(|| panic!("{line}"));
                assert!(event.required.iter().all(|key| line.get(key).is_some()), "{line}");
            }
            all.push(line);
        }
    }
    all.sort_by_key(|line| line["timestamp"].to_string());
    all
}

// Lines as `service level message`, in the pieces that orders have in common.
const RECEIVED: &[&str] = &["gateway info checkout received", "orders info order received"];
const RESERVED: &[&str] = &["orders info stock reserved"];
const ASKED: &[&str] = &["orders info payment requested", "payments info authorisation requested"];
const SLOW: &[&str] = &["payments warn card processor is slow", "orders warn payment timed out"];
const COMPLETED: &[&str] = &[
    "payments info payment authorised",
    "orders info order confirmed",
    "gateway info checkout completed",
];
const DECLINED: &[&str] = &["payments warn card declined"];
const OUT_OF_STOCK: &[&str] = &["orders warn out of stock"];
const FAILED: &[&str] = &["orders error order failed"];
const REFUSED: &[&str] = &["gateway warn checkout failed"];
const BROKEN: &[&str] = &["gateway error checkout failed"];

/// Places one order and holds status, error and lines against what is expected.
async fn check(body: String, status: u16, code: Option<&str>, expected: &[&[&str]]) -> Vec<Value> {
    let shop = Shop::open().await;
    let (answered, correlation_id, answer) = shop.checkout(body).await;
    assert_eq!((answered, answer["error"]["code"].as_str()), (status, code), "{answer}");
    let lines = shop.close().await;
    let told = lines.iter().map(|line| {
        ["service", "level", "message"].map(|key| line[key].as_str().unwrap()).join(" ")
    });
    assert_eq!(told.collect::<Vec<_>>(), expected.concat());
    assert!(lines.iter().all(|line| line["correlation_id"] == correlation_id), "{lines:#?}");
    assert!(lines.iter().all(|line| line["trace_id"] == lines[0]["trace_id"]), "{lines:#?}");
    lines
}

#[tokio::test]
async fn an_order_can_be_followed_through_all_three_logs() {
    let order = order("teapot", 1, CARD_GOOD);
    let lines = check(order, 201, None, &[RECEIVED, RESERVED, ASKED, COMPLETED]).await;
    let id = lines[0]["correlation_id"].as_str().unwrap();
    assert!(id.len() == 12 && id.starts_with("ord-"), "{id}");
    assert_eq!((&lines[5]["card"], &lines[7]["amount_cents"]), (&json!("…0077"), &json!(5_230)));
    assert_eq!(lines[7]["order_id"], lines[1]["order_id"]);
    let spans = [0, 1, 4].map(|line: usize| lines[line]["span_id"].as_str());
    assert!(spans[0] != spans[1] && spans[1] != spans[2] && spans[0] != spans[2]);
}

#[tokio::test]
async fn an_order_is_told_as_a_saga() {
    let told = |mut lines: Vec<Value>| -> Vec<String> {
        lines.retain(|line| line["saga.id"] == line["order_id"] && line["saga.id"].is_string());
        let text = |value: &Value| value.to_string().trim_matches('"').to_owned();
        let line = |line: &Value| {
            let keys =
                ["event_name", "saga.step.number", "attempt", "error.type", "retry.delay_ms"];
            keys.map(|key| text(&line[key])).join(" ").replace(" null", "")
        };
        lines.iter().map(line).collect()
    };
    let begun = ["saga.started", "saga.step.completed 1"];
    for (card, outcome) in [
        (CARD_GOOD, vec!["saga.step.started 2 1", "saga.completed"]),
        (CARD_DECLINED, vec!["saga.step.started 2 1", "saga.failed card_declined"]),
        (
            CARD_SLOW,
            vec![
                "saga.step.started 2 1",
                "saga.step.failed 2 1 timeout 0",
                "saga.step.started 2 2",
                "saga.step.failed 2 2 timeout",
                "saga.failed payment_timeout",
            ],
        ),
    ] {
        let shop = Shop::open().await;
        shop.checkout(order("cup", 1, card)).await;
        assert_eq!(told(shop.close().await), [&begun[..], &outcome].concat());
    }
}

#[tokio::test]
async fn the_spans_of_all_services_are_sent_and_a_collector_that_takes_none_does_no_harm() {
    for status in [StatusCode::OK, StatusCode::NOT_FOUND] {
        let bodies = Arc::new(Mutex::new(Vec::new()));
        let received = bodies.clone();
        let take = move |body: Bytes| {
            received.lock().unwrap().push(body);
            std::future::ready(status)
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let collector = listener.local_addr().unwrap().to_string();
        let routes = Router::new().route("/v1/traces", post(take));
        tokio::spawn(async move { axum::serve(listener, routes).await });

        let shop = Shop::open_for(Some(collector)).await;
        let (status, id, _) = shop.checkout(order("cup", 1, CARD_GOOD)).await;
        assert_eq!(status, 201);
        shop.close().await;
        let bodies = bodies.lock().unwrap();
        for service in ["gateway", "orders", "payments"] {
            let has =
                |body: &Bytes, text: &str| body.windows(text.len()).any(|at| at == text.as_bytes());
            let sent = bodies.iter().any(|body| has(body, service) && has(body, &id));
            assert!(sent, "{service} in {} bodies", bodies.len());
        }
    }
}

#[tokio::test]
async fn a_declined_card_answers_402_and_leaves_an_error() {
    let expected = [RECEIVED, RESERVED, ASKED, DECLINED, FAILED, REFUSED];
    check(order("teapot", 1, CARD_DECLINED), 402, Some("card_declined"), &expected).await;
}

#[tokio::test]
async fn what_is_not_there_is_not_paid() {
    let expected = [RECEIVED, OUT_OF_STOCK, FAILED, REFUSED];
    check(order("teapot", 4, CARD_GOOD), 409, Some("out_of_stock"), &expected).await;
}

#[tokio::test]
async fn a_payment_that_times_out_is_retried_once() {
    let once = [RECEIVED, RESERVED, ASKED, SLOW, ASKED, COMPLETED];
    let twice = [RECEIVED, RESERVED, ASKED, SLOW, ASKED, SLOW, FAILED, BROKEN];
    let (once, twice) = tokio::join!(
        check(order("cup", 1, CARD_SLOW_ONCE), 201, None, &once),
        check(order("cup", 1, CARD_SLOW), 504, Some("payment_timeout"), &twice),
    );
    for lines in [once, twice] {
        let asked = lines.iter().filter(|line| line["message"] == "payment requested");
        let attempts: Vec<_> = asked.map(|line| line["attempt"].as_u64()).collect();
        assert_eq!(attempts, [Some(1), Some(2)]);
    }
}

#[tokio::test]
async fn bad_orders_are_refused_and_said_so() {
    let shop = Shop::open().await;
    let huge = format!("{{\"customer\": \"{}\"}}", "x".repeat(64 << 10));
    for (body, status, code) in [
        (String::new(), 400, "bad_request"),
        ("{\"customer\"".to_owned(), 400, "bad_request"),
        ("{}".to_owned(), 422, "bad_request"),
        (order("cup", 1, "x").replace('1', "-1"), 422, "bad_request"),
        (huge, 413, "bad_request"),
        (json!({"customer": "", "items": [], "card": ""}).to_string(), 422, "no_items"),
        (order("cup", 0, "x"), 422, "bad_item"),
        (order("anvil", 1, "x"), 422, "bad_item"),
        (order("cup", u32::MAX, "x"), 409, "out_of_stock"),
    ] {
        let (answered, _, answer) = shop.checkout(body.clone()).await;
        assert_eq!((answered, &answer["error"]["code"]), (status, &json!(code)), "{body:.80}");
    }
    let (status, _, answer) = shop.checkout(order("cup", 1, "é\u{1f375}")).await;
    assert_eq!(status, 201, "{answer}");
    let (_, metrics) = shop.get(shop.at.gateway, "/metrics").await;
    let labels =
        r#"http_request_method="POST",http_response_status_code="422",http_route="/checkout""#;
    let counted = format!("http_server_request_duration_seconds_count{{{labels}}} 5\n");
    assert!(metrics.contains(&counted), "{metrics}");
    let lines = shop.close().await;
    assert_eq!(lines.iter().filter(|line| line["error.type"] == "bad_request").count(), 5);
}

#[tokio::test]
async fn every_service_tells_its_health() {
    let shop = Shop::open().await;
    for addr in [shop.at.gateway, shop.at.orders, shop.at.payments] {
        for path in ["/health/live", "/health/ready", "/metrics"] {
            assert_eq!(shop.get(addr, path).await.0, 200, "{addr}{path}");
        }
    }
    assert_eq!(shop.close().await, Vec::<Value>::new());
}

/// The correlation ids of some orders of the customers, and how each order ended: customer, amount, status, error.
async fn outcomes(seed: u64) -> (BTreeSet<String>, Vec<[String; 4]>) {
    let folder = tempfile::tempdir().unwrap();
    let (_stop, shutdown) = Shutdown::new();
    let options = DemoOptions {
        rate: "100/s".parse().unwrap(),
        orders_max: Some(40),
        // So long that a busy machine does not make a quick payment late.
        payment_timeout: Duration::from_secs(2),
        seed,
        ..options(folder.path())
    };
    run(options, shutdown).await.unwrap();
    let mut ends = lines(folder.path());
    ends.retain(|line| line["service"] == "gateway" && line["duration_ms"].is_f64());
    let ids = ends.iter().map(|line| line["correlation_id"].to_string()).collect();
    let keys = ["customer", "amount_cents", "http.response.status_code", "error.type"];
    let mut ends: Vec<_> = ends.iter().map(|line| keys.map(|key| line[key].to_string())).collect();
    // Orders overlap, and so the order of their ends is not the same.
    ends.sort();
    (ids, ends)
}

#[tokio::test]
async fn a_seed_repeats_its_orders_and_their_outcomes() {
    let (first, again, other) = tokio::join!(outcomes(4), outcomes(4), outcomes(5));
    assert_eq!(first, again);
    assert_ne!(first, other);
    assert_eq!((first.0.len(), first.1.len()), (40, 40));
    let completed = first.1.iter().filter(|outcome| outcome[2] == "201").count();
    assert!((20..40).contains(&completed), "{:#?}", first.1);
}
