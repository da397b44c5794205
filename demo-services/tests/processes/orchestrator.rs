//! The orchestrator dies at every place of its sagas, and each order ends all the same, with its money moved once.

use std::os::unix::process::ExitStatusExt;

use demo_services::{CARD_DECLINED, CARD_GOOD};

use serde_json::{Value, json};

use super::asking::{End, new_key, order_of};
use super::shop::{EVERYBODY, Shop, client, until};

const STEPS: [&str; 6] = [
    "reserve-stock",
    "authorise-payment",
    "book-parcel",
    "capture-payment",
    "commit-stock",
    "confirm-order",
];
const SIGABRT: i32 = 6;

/// A place at which it dies, and how the order that it dies of ends.
struct Place {
    at: String,
    /// Failure switch that is on until it has died.
    switch: Option<&'static str>,
    card: &'static str,
    state: &'static str,
    ledger: &'static str,
}

impl Place {
    /// On its way to the end.
    fn of(at: &str, step: &str) -> Self {
        let (state, ledger) = ("confirmed", "authorise capture");
        Self { at: format!("{at}:{step}"), switch: None, card: CARD_GOOD, state, ledger }
    }

    /// On the way back, from the last step at which something can go wrong.
    fn undoing(at: &str, step: &str) -> Self {
        let (state, ledger) = ("cancelled", "authorise capture refund");
        let switch = Some("failing-commits");
        Self { at: format!("{at}:{step}"), switch, card: CARD_GOOD, state, ledger }
    }
}

/// Dies at each of these places, one after the other, in a shop of its own.
async fn check(places: Vec<Place>) {
    let mut shop = Shop::open(&EVERYBODY).await;
    let before: usize = shop.orders().await.values().sum();
    let mut keys = 0;
    for Place { at, switch, card, state, ledger } in places {
        shop.kill("orders-1").await;
        shop.start("orders-1", &[("LOGQ_DEMO_ABORT_AT", &at)]).await;
        shop.found().await;
        if let Some(switch) = switch {
            shop.turn(switch, true).await;
        }
        let order = order_of("cup", card);
        // Whoever begins before all know each other, or of the switch, comes through; the next one dies.
        let key = until("the orchestrator dies", async || {
            let key = new_key();
            keys += 1;
            let _ = shop.order(&key, &order).await;
            shop.is_dead("orders-1").then_some(key)
        })
        .await;
        let status = shop.dies("orders-1").await;
        assert_eq!(status.signal(), Some(SIGABRT), "{at}: {status}");
        shop.start("orders-1", &[]).await;
        let end = shop.ended(&key, &order).await;
        if let Some(switch) = switch {
            shop.turn(switch, false).await;
        }
        let End { state: found, ledger: moved, .. } = &end;
        assert_eq!((found.as_str(), moved.as_str()), (state, ledger), "{at}: {end:?}");
    }
    // Sent again until it was taken, each was taken once.
    let orders = shop.orders().await;
    let placed = orders.values().sum::<usize>() - before;
    assert!(placed <= keys, "{orders:?} are {placed} more than before, of {keys} keys");
    shop.check().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_before_the_call_of_any_step() {
    check(STEPS.map(|step| Place::of("before-call", step)).into()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_after_any_reply_before_its_state_is_written() {
    let mut places: Vec<_> = STEPS.iter().map(|step| Place::of("after-reply", step)).collect();
    // What it told others is told again after its death, and nobody hears it twice.
    for event in ["saga.started", "saga.completed"] {
        places.push(Place::of("after-publish", event));
    }
    // By then the order is old enough to be gone on with at once, when nobody has been found yet.
    places.push(Place {
        switch: Some("slow-shipping"),
        ledger: "authorise void",
        ..Place::undoing("after-reply", "book-parcel")
    });
    check(places).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_before_it_undoes_any_step() {
    let mut places: Vec<_> =
        STEPS[..5].iter().map(|step| Place::undoing("before-call-undo", step)).collect();
    places.push(Place {
        switch: Some("slow-shipping"),
        ledger: "authorise void",
        ..Place::undoing("before-call-undo", "book-parcel")
    });
    check(places).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_after_any_step_is_undone_before_that_is_written() {
    let mut places: Vec<_> =
        STEPS[..5].iter().map(|step| Place::undoing("after-reply-undo", step)).collect();
    places.push(Place {
        switch: None,
        card: CARD_DECLINED,
        ledger: "",
        ..Place::undoing("after-reply-undo", "reserve-stock")
    });
    check(places).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_between_the_effect_of_a_payment_and_its_late_reply() {
    let mut shop = Shop::open(&EVERYBODY).await;
    shop.turn("late-commit", true).await;
    for (effect, killed, other, state, ledger) in [
        ("authorise", true, None, "confirmed", "authorise capture"),
        ("capture", true, None, "confirmed", "authorise capture"),
        ("refund", true, Some("failing-commits"), "cancelled", "authorise capture refund"),
        // Late, and nobody dies.
        ("capture", false, None, "confirmed", "authorise capture"),
        ("refund", false, Some("failing-commits"), "cancelled", "authorise capture refund"),
    ] {
        if let Some(other) = other {
            shop.turn(other, true).await;
        }
        let (key, order) = (new_key(), order_of("cup", CARD_GOOD));
        let before = shop.movements().await.matches(effect).count();
        // Its answer comes later than the orchestrator dies.
        let placed = tokio::spawn(shop.order_at_orders(&key, &order));
        until(&format!("{effect} shows"), async || {
            let now = shop.movements().await;
            (now.matches(effect).count() > before).then_some(())
        })
        .await;
        if killed {
            shop.kill("orders-1").await;
            shop.start("orders-1", &[]).await;
        }
        let end = shop.ended(&key, &order).await;
        let _ = placed.await;
        if let Some(other) = other {
            shop.turn(other, false).await;
        }
        assert_eq!((end.state.as_str(), end.ledger.as_str()), (state, ledger), "{effect}: {end:?}");
    }
    shop.turn("late-commit", false).await;
    shop.check().await;
}

/// What is undone before it comes is refused when it comes: a step whose caller gave up on it may be on its way still.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_step_that_comes_after_it_was_undone_is_refused() {
    let shop = Shop::open(&["registry-1", "inventory-1", "payments-1", "shipping-1"]).await;
    shop.turn("slow-shipping", true).await;
    let items = json!([{"sku": "cup", "quantity": 1}]);
    for (service, path, body, undo, code) in [
        (
            "inventory-1",
            "reservations",
            json!({"order_id": "o", "items": items}),
            "reservations/o/release",
            "order_cancelled",
        ),
        (
            "payments-1",
            "authorisations",
            json!({"order_id": "o", "amount_cents": 1, "card": CARD_GOOD}),
            "authorisations/o/void",
            "payment_closed",
        ),
        (
            "payments-1",
            "authorisations/o/capture",
            json!({}),
            "authorisations/o/refund",
            "not_authorised",
        ),
        (
            "shipping-1",
            "shipments",
            json!({"order_id": "o"}),
            "shipments/o/cancel",
            "order_cancelled",
        ),
        (
            "inventory-1",
            "reservations/o/commit",
            json!({}),
            "reservations/o/return",
            "not_reserved",
        ),
    ] {
        let send = |path: &str, body: &Value| {
            let url = format!("http://{}/api/v1/{path}", shop.at(service));
            client().post(url).header("idempotency-key", path).json(body).send()
        };
        // Booking is slow: it is under way when it is cancelled.
        let (late, undone) = match service {
            "shipping-1" => tokio::join!(send(path, &body), async {
                until("the carrier is slow", async || {
                    let log = std::fs::read_to_string(shop.logs().join("shipping-1.log")).unwrap();
                    log.contains("carrier is slow").then_some(())
                })
                .await;
                send(undo, &json!({})).await
            }),
            _ => {
                let undone = send(undo, &json!({})).await;
                (send(path, &body).await, undone)
            }
        };
        assert_eq!(undone.unwrap().status(), 200, "{undo}");
        let late = late.unwrap();
        let (status, said) = (late.status().as_u16(), late.json::<Value>().await.unwrap());
        assert_eq!((status, &said["error"]["code"]), (409, &json!(code)), "{path}: {said}");
        // The answer to its key is the same for ever.
        let again = send(path, &body).await.unwrap().json::<Value>().await.unwrap();
        assert_eq!(again, said, "{path}");
    }
}
