//! What a consumer does with what it gets, and when there is nothing to be had.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::*;
use crate::broker::consumer::{Failure, Handled, consume};
use crate::broker::message::Delivery;

/// Ids and attempts in the order in which they were handled.
type Seen = Arc<Mutex<Vec<(String, u32)>>>;

fn note(seen: &Seen, delivery: &Delivery) {
    let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
    seen.push((delivery.message.id.clone(), delivery.attempt));
}

fn seen(seen: &Seen) -> Vec<(String, u32)> {
    seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

/// A service `notifications` with the queue of that name. What it does depends on the message's kind.
async fn notifications(place: &Place, handled: &Seen, queue: Queue) -> Open {
    let handled = Arc::clone(handled);
    let work = |context: Context| -> Work {
        let broker = Broker::new(&context);
        Box::pin(consume(context, broker, queue, async move |delivery: &Delivery| {
            note(&handled, delivery);
            tokio::task::yield_now().await;
            let message = "said the test".to_owned();
            match (delivery.message.kind.as_str(), delivery.attempt) {
                ("Known", _) => Ok(Handled::Deduplicated),
                ("Malformed", _) => Err(Failure::Refused { error_type: "malformed", message }),
                ("Failing", _) | ("Late", 1) => {
                    Err(Failure::Again { error_type: "timeout", message })
                }
                ("Panicking", 1) => panic!("as the test wants"),
                ("Slow", 1) => std::future::pending().await,
                _ => Ok(Handled::Processed),
            }
        }))
    };
    place.service("notifications", work).await
}

fn of_kind(kind: &str) -> Message {
    Message { kind: kind.to_owned(), ..message(&kind.to_lowercase()) }
}

#[tokio::test]
async fn what_becomes_of_each_message_is_told_in_its_publishers_trace() {
    let (place, broker) = Place::new(Limits::default()).await;
    let handled = Seen::default();
    let client = place.client().await;
    client.declare(&queue("notifications")).await.unwrap();
    let trace = "0af7651916cd43dd8448eb211c80319c";
    let kinds = ["Fine", "Known", "Malformed", "Failing", "Late", "Panicking"];
    let messages = kinds.map(|kind| {
        let mut message = of_kind(kind);
        let parent = format!("00-{trace}-b7ad6b7169203331-01");
        message.headers.insert("traceparent".to_owned(), parent);
        message
    });
    client.publish(&messages).await.unwrap();
    let service = notifications(&place, &handled, queue("notifications")).await;
    let ended = async || {
        let figures = place.queue("notifications").await;
        let waiting = ["ready", "leased", "scheduled"].map(|state| figures[state].as_u64());
        (waiting == [Some(0); 3]).then_some(figures["dead_letters"].clone())
    };
    assert_eq!(until(ended).await, 2);
    let letters = [("malformed", "malformed"), ("failing", "timeout")];
    let letters = letters.map(|(id, why)| (id.to_owned(), format!("{why}: said the test")));
    assert_eq!(place.dead_letters("notifications").await, letters);
    service.close().await.unwrap().await;
    broker.close().await.unwrap().await;

    let told = |event: &str| {
        let mut told = Vec::new();
        for line in place.told("notifications", event) {
            let id = line["messaging.message.id"].as_str().unwrap().to_owned();
            assert_eq!(line["correlation_id"], format!("ord-{id}"), "{line}");
            assert_eq!(line["trace_id"], trace, "{line}");
            assert_eq!(line["messaging.system"], "shop-broker", "{line}");
            assert_eq!(line["messaging.destination.name"], "notifications", "{line}");
            assert_eq!(line["messaging.consumer.group.name"], "notifications", "{line}");
            let detail = ["error.type", "retry.delay_ms", "message.dead_letter.destination"];
            let detail = detail.map(|key| line[key].clone()).into_iter().rfind(|it| !it.is_null());
            told.push((id, line["attempt"].as_u64().unwrap(), detail.unwrap_or_default()));
        }
        told.sort_by(|a, b| (&a.0, a.1).cmp(&(&b.0, b.1)));
        json!(told)
    };
    assert_eq!(
        told("message.received"),
        json!([
            ["failing", 1, null],
            ["failing", 2, null],
            ["failing", 3, null],
            ["fine", 1, null],
            ["known", 1, null],
            ["late", 1, null],
            ["late", 2, null],
            ["malformed", 1, null],
            ["panicking", 1, null],
            ["panicking", 2, null],
        ])
    );
    let processed = json!([["fine", 1, null], ["late", 2, null], ["panicking", 2, null]]);
    assert_eq!(told("message.processed"), processed);
    assert_eq!(told("message.deduplicated"), json!([["known", 1, null]]));
    assert_eq!(
        told("message.failed"),
        json!([
            ["failing", 1, "timeout"],
            ["failing", 2, "timeout"],
            ["failing", 3, "timeout"],
            ["late", 1, "timeout"],
            ["malformed", 1, "malformed"],
            ["panicking", 1, "panic"],
        ])
    );
    assert_eq!(
        told("message.retry_scheduled"),
        json!([["failing", 1, 20], ["failing", 2, 40], ["late", 1, 20], ["panicking", 1, 20]])
    );
    let dead = "notifications.dead";
    assert_eq!(
        told("message.dead_lettered"),
        json!([["failing", 3, dead], ["malformed", 1, dead]])
    );
}

#[tokio::test]
async fn a_consumer_goes_on_after_the_broker_was_away() {
    let (mut place, broker) = Place::new(Limits::default()).await;
    let client = place.client().await;
    let handled = Seen::default();
    let service = notifications(&place, &handled, queue("notifications")).await;
    let got = async |id: &str, attempt: u32| {
        let one = (id.to_owned(), attempt);
        until(async || seen(&handled).contains(&one).then_some(())).await;
    };
    until(async || client.publish(&[message("a")]).await.ok()).await;
    // Unless it was published before the queue was there.
    until(async || {
        client.publish(&[message("b")]).await.ok()?;
        (!seen(&handled).is_empty()).then_some(())
    })
    .await;
    broker.close().await.unwrap().await;
    // To consume, or to tell of what it has consumed.
    let is_away = ", trying again";
    let log = place.folder.path().join("notifications-1.log");
    until(async || std::fs::read_to_string(&log).unwrap().contains(is_away).then_some(())).await;
    let broker = place.open().await;
    client.publish(&[message("c")]).await.unwrap();
    got("c", 1).await;
    service.close().await.unwrap().await;
    broker.close().await.unwrap().await;
}

#[tokio::test]
async fn a_handler_that_takes_longer_than_the_lease_failed() {
    let (place, broker) = Place::new(Limits::default()).await;
    let client = place.client().await;
    let queue = Queue { lease: Duration::from_secs(1), ..queue("notifications") };
    client.declare(&queue).await.unwrap();
    client.publish(&[of_kind("Slow")]).await.unwrap();
    let handled = Seen::default();
    let service = notifications(&place, &handled, queue).await;
    until(async || place.told("notifications", "message.processed").pop()).await;
    assert_eq!(seen(&handled), [("slow".to_owned(), 1), ("slow".to_owned(), 2)]);
    service.close().await.unwrap().await;
    broker.close().await.unwrap().await;
}

#[tokio::test]
async fn a_dead_consumer_takes_nothing_until_the_switch_is_off() {
    let (place, broker) = Place::new(Limits::default()).await;
    let client = place.client().await;
    client.declare(&queue("notifications")).await.unwrap();
    let handled = Seen::default();
    let service = notifications(&place, &handled, queue("notifications")).await;
    client.publish(&[message("a")]).await.unwrap();
    until(async || (seen(&handled).len() == 1).then_some(())).await;
    place.directory.turn("dead-consumer.notifications", true);
    // It hears of the switch while it waits for a message, and lets go.
    place.asked("notifications", 0).await;
    client.publish(&[message("b")]).await.unwrap();
    assert_eq!(
        (seen(&handled).len(), &place.queue("notifications").await["ready"]),
        (1, &json!(1))
    );
    place.directory.turn("dead-consumer.notifications", false);
    until(async || (seen(&handled).len() == 2).then_some(())).await;
    service.close().await.unwrap().await;
    broker.close().await.unwrap().await;
}

#[tokio::test]
async fn what_was_handled_while_the_broker_was_away_is_told_when_it_is_back() {
    let (mut place, broker) = Place::new(Limits::default()).await;
    let client = place.client().await;
    client.declare(&queue("notifications")).await.unwrap();
    client.publish(&["a", "b"].map(message)).await.unwrap();
    let handled = Seen::default();
    let go = Arc::new(tokio::sync::Notify::new());
    let work = |context: Context| -> Work {
        let (handled, go) = (Arc::clone(&handled), Arc::clone(&go));
        let broker = Broker::new(&context);
        let queue = queue("notifications");
        Box::pin(consume(context, broker, queue, async move |delivery: &Delivery| {
            note(&handled, delivery);
            go.notified().await;
            Ok(Handled::Processed)
        }))
    };
    let service = place.service("notifications", work).await;
    // Both at once.
    until(async || (seen(&handled).len() == 2).then_some(())).await;
    broker.close().await.unwrap().await;
    go.notify_waiters();
    until(async || (place.told("notifications", "message.processed").len() == 2).then_some(()))
        .await;
    let broker = place.open().await;
    until(async || {
        let figures = place.queue("notifications").await;
        (figures["ready"] == 0 && figures["leased"] == 0).then_some(())
    })
    .await;
    assert_eq!(seen(&handled).len(), 2);
    service.close().await.unwrap().await;
    broker.close().await.unwrap().await;
}
