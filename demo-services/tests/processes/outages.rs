//! Services that orders go through without, or around: the broker, who hears of it, the registry, one catalog of two.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use demo_services::CARD_GOOD;
use reqwest::Method;
use serde_json::Value;

use super::asking::{End, new_key, order_of, place};
use super::logs::lines;
use super::shop::{EVERYBODY, Shop, client, until};

/// Orders that are placed one after the other by one of [`CUSTOMERS`].
const ORDERS: usize = 15;
const CUSTOMERS: usize = 4;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_outlive_the_broker_and_their_consumer_and_each_is_told_once() {
    let mut shop = Shop::open(&EVERYBODY).await;
    let before = shop.orders().await.values().sum::<usize>();
    let done = Arc::new(AtomicUsize::new(0));
    let customers: Vec<_> = (0..CUSTOMERS)
        .map(|_| {
            let (client, gateway, done) = (client(), shop.gateway, Arc::clone(&done));
            tokio::spawn(async move {
                for _ in 0..ORDERS {
                    let (key, order) = (new_key(), order_of("cup", CARD_GOOD));
                    let answer = place(&client, gateway, &key, &order).await.unwrap();
                    assert_eq!(answer.status, 201, "an order needs no broker: {}", answer.body);
                    done.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    for (orders, victim) in [
        (10, "broker-1"),
        (20, "notifications-1"),
        (30, "broker-1"),
        (40, "notifications-1"),
        (50, "broker-1"),
    ] {
        until("orders go through", async || (done.load(Ordering::Relaxed) >= orders).then_some(()))
            .await;
        shop.kill(victim).await;
        shop.start(victim, &[]).await;
    }
    for customer in customers {
        customer.await.unwrap();
    }
    let orders = shop.orders().await.values().sum::<usize>();
    assert_eq!(orders - before, ORDERS * CUSTOMERS);
    shop.check().await;
    // The checker counts letters that were put aside as told; here there are none.
    let account = shop.ask(shop.at("notifications-1"), Method::GET, "/api/v1/account").await;
    assert_eq!(account.unwrap().body["letters"], orders);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_consumer_that_dies_before_it_tells_the_broker_has_the_effect_once() {
    let mut shop = Shop::open(&EVERYBODY).await;
    shop.kill("notifications-1").await;
    let abort = ("LOGQ_DEMO_ABORT_AT", "before-settle:notifications");
    shop.start("notifications-1", &[abort]).await;
    let end = shop.ended(&new_key(), &order_of("cup", CARD_GOOD)).await;
    assert_eq!(end.state, "confirmed", "{end:?}");
    shop.dies("notifications-1").await;
    // It comes again when its lease is over, or at once from a broker that was started anew.
    shop.kill("broker-1").await;
    shop.start("broker-1", &[]).await;
    shop.start("notifications-1", &[]).await;
    shop.check().await;
    let known = |line: &Value| line["event_name"] == "message.deduplicated";
    assert!(lines(&shop.logs()).iter().any(known), "it comes again, and is known");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_shop_goes_on_without_its_registry_and_is_found_again() {
    let mut shop = Shop::open(&EVERYBODY).await;
    shop.kill("registry-1").await;
    for _ in 0..5 {
        let end = shop.ended(&new_key(), &order_of("cup", CARD_GOOD)).await;
        assert_eq!(end.state, "confirmed", "{end:?}");
    }
    // One that starts meanwhile is found when there is somebody to be told.
    shop.kill("payments-1").await;
    shop.start("payments-1", &[]).await;
    shop.start("registry-1", &[]).await;
    shop.found().await;
    until("payments is called where it is now", async || {
        let end = shop.ended(&new_key(), &order_of("cup", CARD_GOOD)).await;
        (end.state == "confirmed").then_some(())
    })
    .await;
    // The orchestrator too comes back into a shop that it has to be told of.
    shop.kill("orders-1").await;
    shop.start("orders-1", &[]).await;
    until("orders is called where it is now", async || {
        let end = shop.ended(&new_key(), &order_of("cup", CARD_GOOD)).await;
        (end.state == "confirmed").then_some(())
    })
    .await;
    shop.check().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_orchestrator_that_starts_without_a_registry_waits_until_it_knows_whom_to_ask() {
    let mut shop = Shop::open(&EVERYBODY).await;
    shop.kill("orders-1").await;
    shop.start("orders-1", &[("LOGQ_DEMO_ABORT_AT", "after-reply:book-parcel")]).await;
    shop.found().await;
    let (key, order) = (new_key(), order_of("cup", CARD_GOOD));
    until("the orchestrator dies", async || {
        let _ = shop.order(&key, &order).await;
        shop.is_dead("orders-1").then_some(())
    })
    .await;
    shop.dies("orders-1").await;
    shop.kill("registry-1").await;
    shop.start("orders-1", &[]).await;
    // Time enough to look for what was left, and to give it up.
    tokio::time::sleep(Duration::from_secs(3)).await;
    shop.start("registry-1", &[]).await;
    let end = shop.ended(&key, &order).await;
    let End { state, ledger, .. } = &end;
    assert_eq!((state.as_str(), ledger.as_str()), ("confirmed", "authorise capture"), "{end:?}");
    shop.found().await;
    shop.check().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_notices_that_one_catalog_of_two_is_killed() {
    let mut shop = Shop::open(&["registry-1", "catalog-1", "catalog-2", "gateway-1"]).await;
    until("both are called", async || {
        let search = shop.ask(shop.gateway, Method::GET, &page()).await?;
        let is_called = calls(&shop, "catalog-1").await > 0 && calls(&shop, "catalog-2").await > 0;
        (search.status == 200 && is_called).then_some(())
    })
    .await;
    let (is_over, read) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let readers: Vec<_> = (0..4)
        .map(|_| {
            let (client, gateway) = (client(), shop.gateway);
            let (is_over, read) = (Arc::clone(&is_over), Arc::clone(&read));
            tokio::spawn(async move {
                while !is_over.load(Ordering::Relaxed) {
                    let url = format!("http://{gateway}{}", page());
                    let answer = client.get(&url).send().await.unwrap();
                    let status = answer.status().as_u16();
                    assert_eq!(status, 200, "{}", answer.text().await.unwrap());
                    read.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    let pages = async |more: usize| {
        let from = read.load(Ordering::Relaxed);
        until("pages are read", async || {
            let is_done = readers.iter().any(tokio::task::JoinHandle::is_finished);
            (is_done || read.load(Ordering::Relaxed) >= from + more).then_some(())
        })
        .await;
    };
    for victim in ["catalog-1", "catalog-2", "catalog-1"] {
        pages(100).await;
        shop.kill(victim).await;
        pages(100).await;
        shop.start(victim, &[]).await;
        shop.found().await;
        // The registry knows it; the gateway by then or a moment later.
        until("it is called again", async || (calls(&shop, victim).await > 0).then_some(())).await;
    }
    is_over.store(true, Ordering::Relaxed);
    for reader in readers {
        reader.await.unwrap();
    }
}

/// A page that is kept nowhere yet.
fn page() -> String {
    format!("/api/v1/search?q=tea&of={:08x}", fastrand::u32(..))
}

/// Searches that an instance answered since it was started.
async fn calls(shop: &Shop, id: &str) -> u64 {
    let metrics = shop.text(shop.at(id), "/metrics").await;
    let counts = metrics.lines().filter(|line| {
        line.starts_with("http_server_request_duration_seconds_count{") && line.contains("/search")
    });
    counts.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum()
}
