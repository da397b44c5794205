//! Chaos: shoppers buy while services die and start again and failure switches turn, at random but from a seed. When all
//! is well again, all accounts add up.
//!
//! `LOGQ_SHOP_SECONDS` is how long (20; 120 where `CI` is set), `LOGQ_SHOP_SEED` which (printed).

use std::collections::BTreeMap;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use demo_services::{CARD_DECLINED, CARD_GOOD};
use fastrand::Rng;
use tokio::task::JoinHandle;

use super::asking::{new_key, order_of, place};
use super::logs::lines;
use super::shop::{EVERYBODY, Shop, client, program};

const SWITCHES: [&str; 8] = [
    "slow-shipping",
    "failing-commits",
    "failing-refunds",
    "late-commit",
    "declined-cards",
    "out-of-stock",
    "dead-consumer.notifications",
    "killed-orchestrator",
];
const ORDERS_PER_SECOND: u64 = 10;
/// Between two things that happen.
const PAUSE_MS: std::ops::Range<u64> = 100..3_000;
/// How long somebody is dead, and how long a switch is on.
const DEAD_MS: std::ops::Range<u64> = 0..1_200;
const ON_MS: std::ops::Range<u64> = 200..1_500;
/// Instances that are dead at once, at most.
const DEAD_MAX: usize = 2;

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

/// A customer who sends each order until it is taken, and always under its key: the orders' ids, by key.
fn insistent(
    shop: &Shop,
    is_over: &Arc<AtomicBool>,
    seed: u64,
) -> JoinHandle<BTreeMap<String, String>> {
    let (client, gateway, is_over) = (client(), shop.gateway, Arc::clone(is_over));
    tokio::spawn(async move {
        let mut rng = Rng::with_seed(seed);
        let mut taken: BTreeMap<String, String> = BTreeMap::new();
        while !is_over.load(Ordering::Relaxed) {
            let key = new_key();
            let card = if rng.u8(0..8) == 0 { CARD_DECLINED } else { CARD_GOOD };
            let order = order_of(rng.choice(["cup", "teapot", "kettle"]).unwrap(), card);
            // Twice more after it was taken.
            let mut times = 3;
            while times > 0 && !is_over.load(Ordering::Relaxed) {
                let answer = place(&client, gateway, &key, &order).await;
                let Some(id) =
                    answer.and_then(|answer| Some(answer.body["order_id"].as_str()?.to_owned()))
                else {
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                };
                let known = taken.entry(key.clone()).or_insert_with(|| id.clone());
                assert_eq!(*known, id, "the order of key {key} was placed twice");
                times -= 1;
            }
        }
        taken
    })
}

/// Kills, starts, breaks and heals until `end`; everybody runs and everything is healed then.
async fn wreak(shop: &mut Shop, rng: &mut Rng, end: Instant) -> (usize, usize) {
    let (mut dead, mut on) = (BTreeMap::new(), BTreeMap::new());
    let (mut kills, mut turns) = (0, 0);
    loop {
        let is_over = Instant::now() >= end;
        let is_due = |at: &Instant| is_over || Instant::now() >= *at;
        let due: Vec<_> = dead.extract_if(.., |_, at| is_due(at)).map(|(id, _)| id).collect();
        for id in due {
            shop.start(id, &[]).await;
        }
        // The registry has to be there to turn one.
        if shop.is_running("registry-1") {
            let due: Vec<_> = on.extract_if(.., |_, at| is_due(at)).map(|(name, _)| name).collect();
            for switch in due {
                shop.turn(switch, false).await;
            }
        }
        if is_over {
            return (kills, turns);
        }
        let after = |ms| Instant::now() + Duration::from_millis(ms);
        if rng.u8(0..3) > 0 && dead.len() < DEAD_MAX {
            let victim = rng.choice(EVERYBODY).unwrap();
            if shop.is_running(victim) {
                shop.kill(victim).await;
                dead.insert(victim, after(rng.u64(DEAD_MS)));
                kills += 1;
            }
        } else if shop.is_running("registry-1") {
            let switch = rng.choice(SWITCHES).unwrap();
            shop.turn(switch, true).await;
            on.insert(switch, after(rng.u64(ON_MS)));
            turns += 1;
        }
        tokio::time::sleep(Duration::from_millis(rng.u64(PAUSE_MS))).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn accounts_add_up_after_chaos() {
    let is_ci = std::env::var_os("CI").is_some();
    let seconds = number("LOGQ_SHOP_SECONDS").unwrap_or(if is_ci { 120 } else { 20 });
    let seed = number("LOGQ_SHOP_SEED").unwrap_or_else(|| fastrand::u64(..));
    println!("{seconds} s of chaos; LOGQ_SHOP_SEED={seed} repeats it");
    let mut rng = Rng::with_seed(seed);
    let mut shop = Shop::open(&EVERYBODY).await;
    let before = shop.orders().await.values().sum::<usize>();

    let (gateway, orders) = (format!("http://{}", shop.gateway), seconds * ORDERS_PER_SECOND);
    let (rate, orders) = (format!("{ORDERS_PER_SECOND}/s"), orders.to_string());
    let shopper_seed = rng.u64(..).to_string();
    let mut shoppers = program(&["shoppers", "--gateway", &gateway, "--rate", &rate]);
    shoppers.args(["--orders", &orders, "--seed", &shopper_seed]).stdout(Stdio::piped());
    let shoppers = shoppers.spawn().unwrap();
    let is_over = Arc::new(AtomicBool::new(false));
    let customers = [rng.u64(..), rng.u64(..)].map(|seed| insistent(&shop, &is_over, seed));

    let end = Instant::now() + Duration::from_secs(seconds);
    let (kills, turns) = wreak(&mut shop, &mut rng, end).await;
    is_over.store(true, Ordering::Relaxed);
    let said = shoppers.wait_with_output().await.unwrap();
    assert!(said.status.success(), "{said:?}");
    let mut taken = BTreeMap::new();
    for customer in customers {
        taken.extend(customer.await.unwrap());
    }
    shop.found().await;

    let checked = shop.check().await;
    let orders = shop.orders().await;
    println!(
        "{kills} kills, {turns} switches; shoppers: {}",
        String::from_utf8_lossy(&said.stdout).trim()
    );
    println!("customers who insist: {} orders; all orders: {orders:?}\n{checked}", taken.len());
    assert!(orders.values().sum::<usize>() > before + taken.len(), "{orders:?}");
    for order in taken.values() {
        let end = shop.end_of(order).await;
        assert!(end.ledger.matches("capture").count() <= 1, "{end:?}");
        let is_kept = end.ledger.contains("capture") && !end.ledger.contains("refund");
        match end.state.as_str() {
            "confirmed" => assert!(is_kept, "{end:?}"),
            "cancelled" => assert!(!is_kept, "{end:?}"),
            _ => assert_eq!(end.state, "manual", "{end:?}"),
        }
    }
    // Processes died in the middle of their lines too.
    let lines = lines(&shop.logs());
    let mut reasons = BTreeMap::<_, usize>::new();
    for line in lines.iter().filter(|line| {
        line["event_name"] == "saga.compensated" || line["message"] == "checkout failed"
    }) {
        let reason = format!("{} {}", line["message"], line["error.type"]);
        *reasons.entry(reason).or_default() += 1;
    }
    println!("reasons: {reasons:#?}");
}
