//! What the shop leaves behind: lines that are whole, one correlation and one trace for an order, spans of all services,
//! and the same orders for the same seed.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::http::StatusCode;
use axum::routing::post;
use demo_services::{CARD_GOOD, DemoOptions, run};
use serde_json::Value;
use service::semantics;
use service::shutdown::Shutdown;
use tokio::net::TcpListener;

use super::asking::{new_key, order_of};
use super::shop::{EVERYBODY, Shop, until};

/// Those that have to do with an order.
const INVOLVED: [&str; 6] =
    ["gateway", "orders", "inventory", "payments", "shipping", "notifications"];

/// All lines of all logs in order of time; each is JSON and has all that a line, and its event, has to have.
pub(crate) fn lines(logs: &Path) -> Vec<Value> {
    let mut all = Vec::new();
    for file in fs::read_dir(logs).unwrap() {
        let file = file.unwrap();
        let name = file.file_name().into_string().unwrap();
        let (service, _) = name.rsplit_once('-').unwrap();
        let text = fs::read_to_string(file.path()).unwrap();
        assert!(text.is_empty() || text.ends_with('\n'), "{name} ends within a line");
        for line in text.lines() {
            let line: Value = serde_json::from_str(line)
                .unwrap_or_else(|error| panic!("{name}: {error}: {line}"));
            let text = |key: &str| line[key].as_str().unwrap_or_default();
            assert_eq!(text("service"), service, "{line}");
            assert_eq!(text("timestamp").len(), "2026-01-01T00:00:00.000000000Z".len(), "{line}");
            assert!(["level", "message"].iter().all(|key| !text(key).is_empty()), "{line}");
            if let Some(name) = line["event_name"].as_str() {
                let event = semantics::event(name).unwrap_or_else(|| panic!("not known: {line}"));
                let missing = event.required.iter().find(|key| line.get(**key).is_none());
                assert_eq!(missing, None, "{line}");
            }
            all.push(line);
        }
    }
    all.sort_by_key(|line| line["timestamp"].to_string());
    all
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_order_has_one_correlation_and_one_trace_in_all_logs() {
    let mut shop = Shop::open(&EVERYBODY).await;
    // It goes on in the logs of a process that was started again.
    shop.kill("payments-1").await;
    shop.start("payments-1", &[]).await;
    shop.found().await;
    let answer = until("an order comes through", async || {
        let answer = shop.order(&new_key(), &order_of("cup", CARD_GOOD)).await?;
        (answer.status == 201).then_some(answer)
    })
    .await;
    let of_the_order = |line: &Value| line["correlation_id"] == answer.correlation_id.as_str();
    let told = until("all have told of it", async || {
        let told: Vec<_> = lines(&shop.logs()).into_iter().filter(of_the_order).collect();
        let has_told = |service: &&str| told.iter().any(|line| line["service"] == **service);
        INVOLVED.iter().all(has_told).then_some(told)
    })
    .await;
    let traces: BTreeSet<_> = told.iter().map(|line| line["trace_id"].to_string()).collect();
    assert_eq!(traces.len(), 1, "{told:#?}");
    let of_others: Vec<_> = lines(&shop.logs())
        .into_iter()
        .filter(|line| line["order_id"] == answer.body["order_id"] && !of_the_order(line))
        .collect();
    assert_eq!(of_others, Vec::<Value>::new());
}

/// A shop in this process, until its shoppers placed these orders.
async fn shopped(folder: &Path, seed: u64, orders: u64, collector: Option<String>) -> Vec<Value> {
    let logs = folder.join("logs");
    let mut options = DemoOptions::new(folder.join("data"), logs.clone());
    options.gateway_http.set_port(0);
    options.registry_http.set_port(0);
    options.rate = "20/s".parse().unwrap();
    options.orders_max = Some(orders);
    // So long that a busy machine makes nothing late.
    options.step_timeout = Duration::from_secs(3);
    (options.seed, options.collector) = (seed, collector);
    let (_stop, shutdown) = Shutdown::new();
    run(options, shutdown).await.unwrap();
    lines(&logs)
}

/// How each order ended, by its correlation id: customer, amount, status, error.
async fn outcomes(seed: u64) -> BTreeMap<String, [String; 4]> {
    let folder = tempfile::tempdir().unwrap();
    let mut ends = shopped(folder.path(), seed, 40, None).await;
    ends.retain(|line| line["url.path"] == "/checkout" && line["duration_ms"].is_f64());
    let keys = ["customer", "amount_cents", "http.response.status_code", "error.type"];
    let outcome = |line: &Value| keys.map(|key| line[key].to_string());
    ends.iter().map(|line| (line["correlation_id"].to_string(), outcome(line))).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_seed_repeats_its_orders_and_their_outcomes() {
    let (first, again) = (outcomes(4).await, outcomes(4).await);
    assert_eq!(first.len(), 40);
    assert!(first.keys().eq(again.keys()), "{first:#?} {again:#?}");
    // On a machine that is so busy that services lose each other, an order fails for a reason that is not in it.
    let is_of_the_order = |outcome: &&[String; 4]| !["502", "503"].contains(&outcome[2].as_str());
    let both: Vec<_> = first.iter().map(|(id, outcome)| [outcome, &again[id]]).collect();
    let both: Vec<_> = both.iter().filter(|both| both.iter().all(is_of_the_order)).collect();
    assert!(both.iter().all(|[first, again]| first == again), "{both:#?}");
    let completed = both.iter().filter(|[first, _]| first[2] == "201").count();
    assert!((10..40).contains(&completed), "{first:#?} {again:#?}");
    let other = outcomes(5).await;
    assert!(first.keys().all(|id| !other.contains_key(id)), "{first:#?} {other:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
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

        let folder = tempfile::tempdir().unwrap();
        let told = shopped(folder.path(), 1, 5, Some(collector)).await;
        let confirmed = told.iter().find(|line| line["http.response.status_code"] == 201);
        let id = confirmed.unwrap()["correlation_id"].as_str().unwrap().to_owned();
        let bodies = bodies.lock().unwrap();
        for service in INVOLVED {
            let has =
                |body: &Bytes, text: &str| body.windows(text.len()).any(|at| at == text.as_bytes());
            let sent = bodies.iter().any(|body| has(body, service) && has(body, &id));
            assert!(sent, "{service} in {} bodies", bodies.len());
        }
    }
}
