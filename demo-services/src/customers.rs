//! The customers: orders drawn from a seed, placed at a steady rate at the gateway's door.

use std::str::FromStr;
use std::time::Duration;

use fastrand::Rng;
use reqwest::{Client, StatusCode, Url};
use service::shutdown::Shutdown;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

use crate::gateway::{Checkout, Item};
use crate::orders::PRODUCTS;
use crate::payments::{CARD_DECLINED, CARD_GOOD, CARD_SLOW, CARD_SLOW_ONCE};

/// Orders under way at once; further ones wait, and the rate drops.
const UNDER_WAY_MAX: usize = 64;
const PER_SECOND_MAX: f64 = 1_000.0;

/// How often an order is placed, written like `2/s` or `0.5/s`; `0/s` places none. At most 1,000 a second.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rate {
    /// From one order to the next.
    pause: Option<Duration>,
}

impl Rate {
    /// 2/s.
    pub const DEFAULT: Self = Self { pause: Some(Duration::from_millis(500)) };
}

impl FromStr for Rate {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let orders = text.strip_suffix("/s").and_then(|orders| orders.parse().ok());
        let orders = orders.filter(|orders| (0.0..=PER_SECOND_MAX).contains(orders));
        let orders: f64 = orders.ok_or("write a rate from 0/s to 1000/s, like 2/s")?;
        // So rare that it does not fit is the same as never.
        Ok(Self { pause: Duration::try_from_secs_f64(1.0 / orders).ok() })
    }
}

/// Places orders until there were `orders_max` or it is time to stop, and waits for those under way.
pub(crate) async fn place_orders(
    mut rng: Rng,
    rate: Rate,
    orders_max: Option<u64>,
    client: Client,
    checkout: Url,
    shutdown: &Shutdown,
) {
    let Some(pause) = rate.pause else { return shutdown.requested().await };
    let mut ticks = interval(pause);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut placed, mut completed) = (0_u64, 0_u64);
    let mut under_way = JoinSet::new();
    let count = |outcome| u64::from(matches!(outcome, Some(Ok(Ok(StatusCode::CREATED)))));
    while orders_max.is_none_or(|max| placed < max) {
        tokio::select! {
            () = shutdown.requested() => break,
            _ = ticks.tick() => {}
        }
        while under_way.len() >= UNDER_WAY_MAX {
            completed += count(under_way.join_next().await);
        }
        let request = client.post(checkout.clone()).json(&next_order(&mut rng));
        under_way.spawn(async move { request.send().await.map(|answer| answer.status()) });
        placed += 1;
        while let Some(outcome) = under_way.try_join_next() {
            completed += count(Some(outcome));
        }
    }
    while let Some(outcome) = under_way.join_next().await {
        completed += count(Some(outcome));
    }
    tracing::info!(placed, completed, "customers went home");
}

/// Of 36 orders 2 want more than there is, 2 come with a card that is declined, and 2 with a card that is slow.
fn next_order(rng: &mut Rng) -> Checkout {
    let mut items: Vec<Item> = rng
        .choose_multiple(PRODUCTS.iter(), 3)
        .into_iter()
        .map(|(sku, ..)| Item { sku: (*sku).to_owned(), quantity: rng.u32(1..=2) })
        .collect();
    items.truncate(rng.usize(1..=3));
    let trouble = rng.u32(0..36);
    if trouble < 2 {
        items[0] = Item { sku: "teapot".to_owned(), quantity: 12 };
    }
    let card = match trouble {
        2 | 3 => CARD_DECLINED,
        4 => CARD_SLOW_ONCE,
        5 => CARD_SLOW,
        _ => CARD_GOOD,
    };
    Checkout { customer: format!("cust-{:03}", rng.u32(1..=250)), items, card: card.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_bounded() {
        let pause_ms =
            |text: &str| Some(text.parse::<Rate>().ok()?.pause.map(|pause| pause.as_millis()));
        for (text, expected) in [
            ("2/s", Some(Some(500))),
            ("0.5/s", Some(Some(2_000))),
            ("1000/s", Some(Some(1))),
            ("0/s", Some(None)),
            ("-0/s", Some(None)),
            ("1e-300/s", Some(None)),
            ("1001/s", None),
            ("-1/s", None),
            ("NaN/s", None),
            ("inf/s", None),
            ("2", None),
            ("/s", None),
        ] {
            assert_eq!(pause_ms(text), expected, "{text}");
        }
    }

    #[test]
    fn one_order_in_six_is_trouble_and_a_seed_repeats() {
        let draw = |seed| {
            let mut rng = Rng::with_seed(seed);
            (0..3_600).map(|_| next_order(&mut rng)).collect::<Vec<_>>()
        };
        let orders = draw(1);
        assert_eq!(orders, draw(1));
        assert_ne!(orders, draw(2));
        let is_trouble = |order: &&Checkout| order.card != CARD_GOOD || order.items[0].quantity > 2;
        let troubles = orders.iter().filter(is_trouble).count();
        assert!((500..700).contains(&troubles), "{troubles}");
    }
}
