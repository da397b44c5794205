//! What publishers and consumers are promised.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::*;
use crate::broker::client::BrokerError;
use crate::broker::message::Delivery;

const SHORT: Duration = Duration::from_millis(50);
const LONG: Duration = Duration::from_secs(20);

async fn take(client: &Broker, queue: &str, wait: Duration) -> Vec<Delivery> {
    client.receive(queue, 100, wait).await.unwrap()
}

fn ids(deliveries: &[Delivery]) -> Vec<&str> {
    deliveries.iter().map(|delivery| delivery.message.id.as_str()).collect()
}

async fn settle_all(client: &Broker, queue: &str, deliveries: &[Delivery], verdict: Verdict) {
    let settle = |delivery: &Delivery| settlement(delivery.tag, verdict.clone());
    let settlements: Vec<_> = deliveries.iter().map(settle).collect();
    client.settle(queue, &settlements).await.unwrap();
}

#[tokio::test]
async fn every_bound_queue_gets_a_message_once_and_in_order() {
    let (place, open) = Place::new(Limits::default()).await;
    let client = place.client().await;
    client.declare(&queue("all")).await.unwrap();
    // Bound twice, and still one copy.
    let placed = Queue { bindings: vec![binding("order.placed"), binding("#")], ..queue("twice") };
    client.declare(&placed).await.unwrap();
    let paid = Queue { bindings: vec![binding("order.paid")], ..queue("paid") };
    client.declare(&paid).await.unwrap();
    let sent: Vec<_> = (0..250).map(|number| format!("m-{number}")).collect();
    let messages: Vec<_> = sent.iter().map(|id| message(id)).collect();
    client.publish(&messages).await.unwrap();
    client.publish(&[keyed("p-1", "order.paid")]).await.unwrap();
    for name in ["all", "twice"] {
        let mut got = Vec::new();
        loop {
            let deliveries = client.receive(name, 16, Duration::ZERO).await.unwrap();
            if deliveries.is_empty() {
                break;
            }
            assert!(deliveries.len() <= 16 && deliveries.iter().all(|one| one.attempt == 1));
            settle_all(&client, name, &deliveries, Verdict::Done).await;
            got.extend(deliveries.into_iter().map(|delivery| delivery.message));
        }
        assert_eq!(got[..250], messages, "{name}");
        assert_eq!(got[250..], [keyed("p-1", "order.paid")], "{name}");
    }
    let deliveries = take(&client, "paid", Duration::ZERO).await;
    assert_eq!(ids(&deliveries), ["p-1"]);
    open.close().await.unwrap().await;
}

#[tokio::test]
async fn a_message_that_is_published_again_is_stored_once() {
    let (place, open) = Place::new(Limits::default()).await;
    let client = place.client().await;
    client.declare(&queue("q")).await.unwrap();
    client.publish(&[message("a"), message("b"), message("a")]).await.unwrap();
    let deliveries = take(&client, "q", Duration::ZERO).await;
    assert_eq!(ids(&deliveries), ["a", "b"]);
    settle_all(&client, "q", &deliveries, Verdict::Done).await;
    // Also when it is long done.
    client.publish(&[message("b"), message("c")]).await.unwrap();
    assert_eq!(ids(&take(&client, "q", Duration::ZERO).await), ["c"]);
    open.close().await.unwrap().await;
}

#[tokio::test]
async fn a_message_that_no_queue_is_bound_for_is_kept_and_counted() {
    let limits = Limits { unrouted_max: 2, ..Limits::default() };
    let (place, open) = Place::new(limits).await;
    let client = place.client().await;
    client.declare(&Queue { bindings: vec![binding("order.paid")], ..queue("q") }).await.unwrap();
    client.publish(&["a", "b", "c"].map(message)).await.unwrap();
    let stats = place.get("queues").await;
    assert_eq!(stats["unrouted"], json!({"total": 3, "kept": 2}));
    assert_eq!(place.queue("q").await["ready"], 0);
    open.close().await.unwrap().await;
}

#[tokio::test]
async fn what_failed_comes_again_after_growing_pauses_and_is_then_put_aside() {
    let (place, open) = Place::new(Limits::default()).await;
    let client = place.client().await;
    let pause_min = Duration::from_millis(100);
    client.declare(&Queue { pause_min, ..queue("q") }).await.unwrap();
    client.publish(&[message("a")]).await.unwrap();
    let mut failed_at = Instant::now();
    for (attempt, pause) in [(1, Duration::ZERO), (2, pause_min), (3, pause_min * 2)] {
        let deliveries = take(&client, "q", LONG).await;
        assert_eq!((ids(&deliveries), deliveries[0].attempt), (vec!["a"], attempt));
        // The broker counts whole milliseconds.
        assert!(failed_at.elapsed() + Duration::from_millis(1) >= pause, "{attempt}");
        assert!(place.dead_letters("q").await.is_empty());
        failed_at = Instant::now();
        settle_all(&client, "q", &deliveries, again()).await;
        // As after an answer that was lost.
        settle_all(&client, "q", &deliveries, Verdict::Done).await;
    }
    assert_eq!(place.dead_letters("q").await, [("a".to_owned(), "later".to_owned())]);
    let figures = place.queue("q").await;
    assert_eq!((&figures["dead_letters"], &figures["scheduled"]), (&json!(1), &json!(0)));
    open.close().await.unwrap().await;
}

#[tokio::test]
async fn what_is_refused_is_put_aside_at_once_and_can_begin_anew() {
    let (place, open) = Place::new(Limits::default()).await;
    let client = place.client().await;
    client.declare(&queue("q")).await.unwrap();
    client.publish(&[message("a/1"), message("b")]).await.unwrap();
    let deliveries = client.receive("q", 1, LONG).await.unwrap();
    let refused = Verdict::Refused { reason: "malformed".to_owned() };
    settle_all(&client, "q", &deliveries, refused).await;
    assert_eq!(place.dead_letters("q").await, [("a/1".to_owned(), "malformed".to_owned())]);
    let path = "queues/q/dead-letters/a%2F1/redrive";
    let (status, _, _) = place.ask(Method::POST, path, &Value::Null).await;
    assert_eq!(status, 200);
    let (status, _, body) = place.ask(Method::POST, path, &Value::Null).await;
    assert_eq!((status, &body["error"]["code"]), (404, &json!("no_dead_letter")));
    assert!(place.dead_letters("q").await.is_empty());
    // An old word does not touch it.
    settle_all(&client, "q", &deliveries, Verdict::Done).await;
    let again = take(&client, "q", LONG).await;
    assert_eq!(ids(&again), ["b", "a/1"]);
    assert_eq!(again[1].attempt, 1);
    open.close().await.unwrap().await;
}

#[tokio::test]
async fn a_lease_that_is_over_lets_others_have_the_message() {
    let (place, open) = Place::new(Limits::default()).await;
    let client = place.client().await;
    let lease = Duration::from_secs(1);
    client.declare(&Queue { lease, deliveries_max: 2, ..queue("q") }).await.unwrap();
    client.publish(&[message("a")]).await.unwrap();
    let first = take(&client, "q", LONG).await;
    // Waits for the end of the lease, not for the whole time.
    let began = Instant::now();
    let second = take(&client, "q", LONG).await;
    assert!(began.elapsed() < LONG / 2);
    assert_eq!((ids(&second), second[0].attempt), (vec!["a"], 2));
    settle_all(&client, "q", &first, Verdict::Done).await;
    assert_eq!(place.queue("q").await["leased"], 1);
    // That was its last delivery.
    until(async || (place.queue("q").await["dead_letters"] == 1).then_some(())).await;
    assert_eq!(place.dead_letters("q").await, [("a".to_owned(), "lease_over".to_owned())]);
    let told = place.told("broker", "message.dead_lettered");
    assert_eq!(told.len(), 1);
    assert_eq!(told[0]["correlation_id"], "ord-a");
    assert_eq!(told[0]["messaging.consumer.group.name"], "orders");
    open.close().await.unwrap().await;
}

#[tokio::test]
async fn a_word_that_comes_after_the_lease_counts_while_nobody_else_has_the_message() {
    let (place, open) = Place::new(Limits::default()).await;
    let client = place.client().await;
    client.declare(&Queue { lease: Duration::from_millis(1), ..queue("q") }).await.unwrap();
    client.publish(&[message("a")]).await.unwrap();
    let deliveries = take(&client, "q", LONG).await;
    until(async || (place.queue("q").await["ready"] == 1).then_some(())).await;
    settle_all(&client, "q", &deliveries, Verdict::Done).await;
    assert!(take(&client, "q", SHORT).await.is_empty());
    open.close().await.unwrap().await;
}

#[tokio::test]
async fn a_full_queue_refuses_and_its_publisher_loses_nothing() {
    let limits = Limits { held_max: 3, ..Limits::default() };
    let (place, open) = Place::new(limits).await;
    let client = place.client().await;
    client.declare(&queue("q")).await.unwrap();
    client.declare(&Queue { bindings: vec![binding("d")], ..queue("other") }).await.unwrap();
    client.publish(&["a", "b"].map(message)).await.unwrap();
    let more = [message("c"), keyed("d", "d")];
    let body = json!({"messages": more});
    let (status, retry_after, answer) = place.ask(Method::POST, "messages", &body).await;
    assert_eq!((status, retry_after.as_deref()), (429, Some("1")), "{answer}");
    assert_eq!(answer["error"]["code"], "queue_full");
    let refused = client.publish(&more).await.unwrap_err();
    assert!(
        matches!(refused, BrokerError::Refused { status: StatusCode::TOO_MANY_REQUESTS, .. }),
        "{refused}"
    );
    // None of it was stored, neither there nor elsewhere.
    assert_eq!(place.queue("other").await["ready"], 0);
    let deliveries = take(&client, "q", LONG).await;
    assert_eq!(ids(&deliveries), ["a", "b"]);
    settle_all(&client, "q", &deliveries[..1], Verdict::Done).await;
    client.publish(&more).await.unwrap();
    assert_eq!(ids(&take(&client, "q", LONG).await), ["c", "d"]);
    open.close().await.unwrap().await;
}

#[tokio::test]
async fn whoever_waits_is_woken_by_a_message() {
    let (place, open) = Place::new(Limits::default()).await;
    let client = place.client().await;
    client.declare(&queue("q")).await.unwrap();
    let mut fastest = DEADLINE;
    for number in 0..5 {
        let waiting = tokio::spawn({
            let client = client.clone();
            async move { (take(&client, "q", LONG).await, Instant::now()) }
        });
        place.asked("q", 1).await;
        let id = format!("m-{number}");
        let began = Instant::now();
        client.publish(&[message(&id)]).await.unwrap();
        let (deliveries, woken) = waiting.await.unwrap();
        assert_eq!(ids(&deliveries), [id]);
        settle_all(&client, "q", &deliveries, Verdict::Done).await;
        fastest = fastest.min(woken - began);
    }
    // Of several, since the machine may have other things to do.
    assert!(fastest < Duration::from_millis(200), "{fastest:?}");
    let began = Instant::now();
    assert!(take(&client, "q", SHORT).await.is_empty());
    assert!(began.elapsed() >= SHORT);
    open.close().await.unwrap().await;
}

#[tokio::test]
async fn all_is_there_after_a_restart_and_what_was_lent_can_be_lent_at_once() {
    let (mut place, open) = Place::new(Limits::default()).await;
    let client = place.client().await;
    client.declare(&queue("q")).await.unwrap();
    client.publish(&["a", "b", "c"].map(message)).await.unwrap();
    let deliveries = client.receive("q", 2, LONG).await.unwrap();
    assert_eq!(ids(&deliveries), ["a", "b"]);
    open.close().await.unwrap().await;
    let open = place.open().await;
    // Whoever worked through it can still say so.
    settle_all(&client, "q", &deliveries[..1], Verdict::Done).await;
    let deliveries = take(&client, "q", LONG).await;
    assert_eq!(ids(&deliveries), ["b", "c"]);
    assert_eq!([deliveries[0].attempt, deliveries[1].attempt], [2, 1]);
    client.publish(&[message("a")]).await.unwrap();
    assert!(take(&client, "q", SHORT).await.is_empty());
    open.close().await.unwrap().await;
}

#[tokio::test]
async fn a_broker_that_stops_lets_those_go_who_wait() {
    let (place, open) = Place::new(Limits::default()).await;
    let client = place.client().await;
    client.declare(&queue("q")).await.unwrap();
    let began = Instant::now();
    let waiting = tokio::spawn({
        let client = client.clone();
        async move { client.receive("q", 1, LONG).await }
    });
    place.asked("q", 1).await;
    open.close().await.unwrap().await;
    assert!(waiting.await.unwrap().unwrap().is_empty());
    assert!(began.elapsed() < LONG / 2);
    let gone = client.receive("q", 1, SHORT).await.unwrap_err();
    assert_eq!(gone.error_type(), "unreachable", "{gone}");
    let nobody = Place { directory: Directory::default(), ..place };
    let nobody = nobody.client().await.receive("q", 1, SHORT).await.unwrap_err();
    assert_eq!(nobody.error_type(), "no_instance");
}

#[tokio::test]
async fn what_is_asked_of_the_broker_leaves_no_spans() {
    let (mut place, open) = Place::new(Limits::default()).await;
    open.close().await.unwrap().await;
    let exports = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&exports);
    let count = move || {
        counted.fetch_add(1, Ordering::Relaxed);
        std::future::ready("")
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    place.collector = Some(format!("http://{}", listener.local_addr().unwrap()));
    let router = axum::Router::new().fallback(count);
    let (_stop, stopping) = service::shutdown::Shutdown::new();
    tokio::spawn(async move {
        let stopped = async move { stopping.requested().await };
        service::http::serve(listener, router, stopped, Default::default()).await
    });
    let open = place.open().await;
    let client = place.client().await;
    client.declare(&queue("q")).await.unwrap();
    client.publish(&[message("a")]).await.unwrap();
    let deliveries = take(&client, "q", LONG).await;
    settle_all(&client, "q", &deliveries, Verdict::Done).await;
    place.queue("q").await;
    open.close().await.unwrap().await;
    assert_eq!(exports.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn ids_are_known_for_as_many_messages_as_the_limit_says() {
    let limits = Limits { published_max: 3, ..Limits::default() };
    let (place, open) = Place::new(limits).await;
    let client = place.client().await;
    client.declare(&queue("q")).await.unwrap();
    client.publish(&["a", "b", "c", "d"].map(message)).await.unwrap();
    client.publish(&["a", "c", "d"].map(message)).await.unwrap();
    assert_eq!(ids(&take(&client, "q", LONG).await), ["a", "b", "c", "d", "a"]);
    open.close().await.unwrap().await;
}

#[tokio::test]
async fn what_the_broker_does_is_counted_by_queue() {
    let (place, open) = Place::new(Limits::default()).await;
    let client = place.client().await;
    client.declare(&queue("q")).await.unwrap();
    client.publish(&["a", "b", "c", "a"].map(message)).await.unwrap();
    let unrouted = Message { exchange: "none".to_owned(), ..message("n") };
    client.publish(&[unrouted]).await.unwrap();
    let deliveries = take(&client, "q", LONG).await;
    settle_all(&client, "q", &deliveries[..1], Verdict::Done).await;
    settle_all(&client, "q", &deliveries[1..2], again()).await;
    let refused = Verdict::Refused { reason: "malformed".to_owned() };
    settle_all(&client, "q", &deliveries[2..], refused).await;
    take(&client, "q", LONG).await;
    place.queue("q").await;
    let url = format!("http://{}/metrics", place.address);
    let metrics = http_client().get(url).send().await.unwrap().text().await.unwrap();
    for line in [
        r#"published_total{queue="q"} 3"#,
        r#"delivered_total{queue="q"} 4"#,
        r#"redelivered_total{queue="q"} 1"#,
        r#"acknowledged_total{queue="q"} 1"#,
        r#"dead_lettered_total{queue="q"} 1"#,
        "known_total 1",
        "unrouted_total 1",
    ] {
        let line = format!("\nlogq_broker_messages_{line}\n");
        assert!(metrics.contains(&line), "{line}\n{metrics}");
    }
    for (state, count) in [("ready", 0), ("leased", 1), ("scheduled", 0), ("dead", 1)] {
        let line = format!("logq_broker_messages{{queue=\"q\",state=\"{state}\"}} {count}\n");
        assert!(metrics.contains(&line), "{line}\n{metrics}");
    }
    open.close().await.unwrap().await;
}

#[tokio::test]
async fn what_is_too_large_or_unknown_is_refused_and_the_largest_goes_through() {
    let limits = Limits { queues_max: 1, ..Limits::default() };
    let (place, open) = Place::new(limits).await;
    let client = place.client().await;
    client.declare(&queue("q")).await.unwrap();
    let with = |change: &dyn Fn(&mut Message)| {
        let mut message = message("a");
        change(&mut message);
        json!({"messages": [message]})
    };
    let declaration = |key: &str, value: Value| {
        let mut body = serde_json::to_value(queue("q")).unwrap();
        body[key] = value;
        body
    };
    let full = "x".repeat((64 << 10) - 2);
    let (put, post, get) = (Method::PUT, Method::POST, Method::GET);
    let receive = |max: u32| json!({"max": max, "wait_ms": 0, "consumer": "orders"});
    for (method, path, body, status, code) in [
        (&post, "messages", with(&|m| m.body = json!(format!("{full}x"))), 400, "bad_request"),
        (
            &post,
            "messages",
            with(&|m| drop(m.headers.insert("h".to_owned(), "x".repeat(32 << 10)))),
            400,
            "bad_request",
        ),
        (&post, "messages", with(&|m| m.id = String::new()), 400, "bad_request"),
        (&post, "messages", with(&|m| m.kind = "x".repeat(129)), 400, "bad_request"),
        (&post, "messages", json!({"messages": []}), 400, "bad_request"),
        (&post, "messages", json!({"messages": vec![message("a"); 101]}), 400, "bad_request"),
        (&post, "messages", json!({"messages": 1}), 422, "bad_field"),
        (&post, "messages", json!("x".repeat(17 << 20)), 413, "too_large"),
        (&post, "queues/q/receive", receive(101), 400, "bad_request"),
        (&post, "queues/none/receive", receive(1), 404, "no_queue"),
        (
            &post,
            "queues/none/settle",
            json!({"settlements": [{"tag": 1, "verdict": "done"}]}),
            404,
            "no_queue",
        ),
        (
            &post,
            "queues/q/settle",
            json!({"settlements": [{"tag": u64::MAX, "verdict": "no"}]}),
            422,
            "bad_field",
        ),
        (&get, "queues/none/dead-letters", Value::Null, 404, "no_queue"),
        (&get, "queues/q/dead-letters?after=x", Value::Null, 400, "bad_query"),
        (&put, "queues/Q", declaration("lease_ms", json!(1)), 400, "bad_request"),
        (&put, "queues/q", declaration("lease_ms", json!(0)), 400, "bad_request"),
        (&put, "queues/q", declaration("deliveries_max", json!(101)), 400, "bad_request"),
        (&put, "queues/q", declaration("pause_min_ms", json!(u64::MAX)), 400, "bad_request"),
        (
            &put,
            "queues/q",
            declaration("bindings", json!(vec![binding("#"); 33])),
            400,
            "bad_request",
        ),
        (&put, "queues/another", declaration("lease_ms", json!(1)), 409, "too_many_queues"),
    ] {
        let (found, _, answer) = place.ask(method.clone(), path, &body).await;
        let case = body.to_string();
        let case = format!("{path} {} {answer}", &case[..case.len().min(100)]);
        assert_eq!((found, &answer["error"]["code"]), (status, &json!(code)), "{case}");
    }
    // Of no effect, and no fault either.
    for tag in [0, 1, 1 << 10, u64::MAX] {
        client.settle("q", &[settlement(tag, Verdict::Done)]).await.unwrap();
    }
    let large = |number| Message { body: json!(full), ..message(&format!("large-{number}")) };
    let messages: Vec<_> = (0..100).map(large).collect();
    client.publish(&messages).await.unwrap();
    let got = take(&client, "q", LONG).await;
    assert!(got.iter().map(|delivery| &delivery.message).eq(&messages));
    open.close().await.unwrap().await;
}

#[tokio::test]
async fn the_document_and_the_router_are_one() {
    let broker = async |context: &Context| crate::broker::open(context, &[queue("u-1")]).await;
    let broker = Trial::open("broker", "broker-1", broker).await;
    broker.has_the_interface_of(&routes::routes()).await;
}
