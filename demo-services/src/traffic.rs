//! Shoppers: they look around, some log in, and they order at a steady rate at the gateway's door.
//!
//! What an order is and how it is paid is drawn from a seed, and so is its correlation id: the same seed always gives
//! the same orders, and, as long as nothing fails, the same outcomes.

use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use fastrand::Rng;
use reqwest::{Client, RequestBuilder, StatusCode, Url};
use serde::Deserialize;
use serde_json::{Value, json};
use service::shutdown::Shutdown;
use service::telemetry::CORRELATION_HEADER;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

use crate::idempotency::KEY;
use crate::kit::ids::Ids;
use crate::payments::{CARD_DECLINED, CARD_GOOD, CARD_SLOW, CARD_SLOW_ONCE};

/// Orders under way at once; further ones wait, and the rate drops.
const UNDER_WAY_MAX: usize = 256;
const PER_SECOND_MAX: f64 = 1_000.0;
/// What the shoppers want.
const WANTED: [&str; 6] = ["teapot", "cup", "saucer", "oolong-100g", "sencha-100g", "kettle"];
/// Sold out for good.
const SOLD_OUT: &str = "kettle-silver";
/// How long a shopper waits for an answer; longer than any saga is waited for.
const PATIENCE: Duration = Duration::from_secs(20);
/// Shoppers with an account; the others are guests.
const MEMBERS: usize = 8;
/// One in so many shoppers looks around before ordering.
const LOOKS_AROUND: u32 = 4;

/// How often an order is placed, written like `2/s` or `0.5/s`; `0/s` places none. At most 1,000 a second.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rate {
    /// From one order to the next.
    pause: Option<Duration>,
}

impl Rate {
    /// 2/s.
    pub const DEFAULT: Self = Self { pause: Some(Duration::from_millis(500)) };
    /// 0/s.
    pub const NONE: Self = Self { pause: None };
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

/// What the shoppers did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Placed {
    /// Orders that were sent.
    pub placed: u64,
    /// Answered with 201.
    pub completed: u64,
    /// Refused for a reason that lies in the order: 402, 409, 422.
    pub refused: u64,
    /// Answered with 202: under way still.
    pub accepted: u64,
    /// Anything else, no answer too.
    pub failed: u64,
}

/// An order as it is sent.
#[derive(Clone, Debug, PartialEq)]
struct Order {
    correlation_id: String,
    body: Value,
    looks_around: bool,
    /// Which of the members it is; a guest else.
    member: Option<usize>,
}

/// The shoppers of one gateway.
#[derive(Debug)]
pub(crate) struct Shoppers {
    client: Client,
    gateway: Url,
    /// Tokens of the members, while they are good.
    tokens: [Mutex<Option<String>>; MEMBERS],
    password: String,
}

#[derive(Deserialize)]
struct Session {
    token: String,
}

/// Places orders until there were `orders_max` or it is time to stop, and waits for those under way.
pub(crate) async fn place_orders(
    shoppers: Arc<Shoppers>,
    mut rng: Rng,
    rate: Rate,
    orders_max: Option<u64>,
    shutdown: &Shutdown,
) -> Placed {
    let mut outcome = Placed::default();
    let Some(pause) = rate.pause else {
        shutdown.requested().await;
        return outcome;
    };
    let ids = Ids::new(rng.fork());
    let mut ticks = interval(pause);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut under_way = JoinSet::new();
    while orders_max.is_none_or(|max| outcome.placed < max) {
        tokio::select! {
            () = shutdown.requested() => break,
            _ = ticks.tick() => {}
        }
        while under_way.len() >= UNDER_WAY_MAX {
            outcome.count(under_way.join_next().await);
        }
        let order = next_order(&mut rng, &ids);
        let shoppers = Arc::clone(&shoppers);
        under_way.spawn(async move { shoppers.visit(order).await });
        outcome.placed += 1;
        while let Some(ended) = under_way.try_join_next() {
            outcome.count(Some(ended));
        }
    }
    while let Some(ended) = under_way.join_next().await {
        outcome.count(Some(ended));
    }
    let Placed { placed, completed, refused, accepted, failed } = outcome;
    tracing::info!(placed, completed, refused, accepted, failed, "shoppers went home");
    outcome
}

impl Placed {
    fn count(&mut self, ended: Option<Result<Option<StatusCode>, tokio::task::JoinError>>) {
        match ended {
            None => {}
            Some(Ok(Some(StatusCode::CREATED))) => self.completed += 1,
            Some(Ok(Some(StatusCode::ACCEPTED))) => self.accepted += 1,
            Some(Ok(Some(
                StatusCode::PAYMENT_REQUIRED
                | StatusCode::CONFLICT
                | StatusCode::UNPROCESSABLE_ENTITY,
            ))) => self.refused += 1,
            Some(_) => self.failed += 1,
        }
    }
}

impl Shoppers {
    pub(crate) fn new(client: Client, gateway: Url, rng: &mut Rng) -> Self {
        let password = format!("{:016x}", rng.u64(..));
        Self { client, gateway, tokens: Default::default(), password }
    }

    /// One visit; how the order was answered.
    async fn visit(&self, order: Order) -> Option<StatusCode> {
        let token = match order.member {
            Some(member) => self.token(member).await,
            None => None,
        };
        if order.looks_around {
            self.look_around(&order, token.as_deref()).await;
        }
        let request = self
            .client
            .post(self.at("/checkout"))
            .header(CORRELATION_HEADER, &order.correlation_id)
            // The same order drawn again, in another run, is another order.
            .header(KEY, format!("{}-{:016x}", order.correlation_id, fastrand::u64(..)))
            .json(&order.body);
        let request = request.timeout(PATIENCE);
        let answer = with_token(request, token.as_deref()).send().await.ok()?;
        if answer.status() == StatusCode::UNAUTHORIZED {
            self.forget(order.member);
        }
        Some(answer.status())
    }

    /// Reads some pages; whatever goes wrong there keeps nobody from ordering.
    async fn look_around(&self, order: &Order, token: Option<&str>) {
        let sku = order.body["items"][0]["sku"].as_str().unwrap_or_default();
        let cart = format!("/api/v1/cart/items/{sku}");
        let mut requests = vec![
            self.client.get(self.at("/api/v1/home")),
            self.client.get(self.at("/api/v1/search?q=tea")),
            self.client.get(self.at(&format!("/api/v1/products/{sku}"))),
        ];
        if token.is_some() {
            requests.push(self.client.put(self.at(&cart)).json(&json!({"quantity": 1})));
        }
        for request in requests {
            match with_token(request.timeout(PATIENCE), token)
                .send()
                .await
                .map(|answer| answer.status())
            {
                Ok(StatusCode::UNAUTHORIZED) => self.forget(order.member),
                Ok(_) => {}
                Err(error) => tracing::debug!(%error, "a page was not answered"),
            }
        }
    }

    /// The member's token; logs in, and registers before that, where there is none.
    async fn token(&self, member: usize) -> Option<String> {
        let known = self.tokens[member].lock().unwrap_or_else(PoisonError::into_inner).clone();
        if known.is_some() {
            return known;
        }
        let email = format!("shopper-{member}-{}@shop.example", &self.password[..4]);
        let session = json!({"email": email, "password": self.password});
        let log_in = || {
            self.client.post(self.at("/api/v1/sessions")).timeout(PATIENCE).json(&session).send()
        };
        let mut answer = log_in().await.ok()?;
        if answer.status() == StatusCode::UNAUTHORIZED {
            let account = json!({"email": email, "password": self.password, "name": format!("Shopper {member}")});
            let register =
                self.client.post(self.at("/api/v1/users")).timeout(PATIENCE).json(&account);
            // Another visit may have done it a moment ago.
            let _ = register.send().await;
            answer = log_in().await.ok()?;
        }
        let session: Session = answer.error_for_status().ok()?.json().await.ok()?;
        let token = Some(session.token);
        *self.tokens[member].lock().unwrap_or_else(PoisonError::into_inner) = token.clone();
        token
    }

    fn forget(&self, member: Option<usize>) {
        if let Some(member) = member {
            *self.tokens[member].lock().unwrap_or_else(PoisonError::into_inner) = None;
        }
    }

    fn at(&self, path: &str) -> Url {
        self.gateway.join(path).unwrap_or_else(|_| self.gateway.clone())
    }
}

fn with_token(request: RequestBuilder, token: Option<&str>) -> RequestBuilder {
    match token {
        Some(token) => request.bearer_auth(token),
        None => request,
    }
}

/// Of 36 orders 2 want what is sold out, 2 come with a card that is declined, and 2 with a card that is slow.
fn next_order(rng: &mut Rng, ids: &Ids) -> Order {
    let mut items: Vec<Value> = rng
        .choose_multiple(WANTED.iter(), 3)
        .into_iter()
        .map(|sku| json!({"sku": sku, "quantity": rng.u32(1..=2)}))
        .collect();
    items.truncate(rng.usize(1..=3));
    let trouble = rng.u32(0..36);
    if trouble < 2 {
        items[0] = json!({"sku": SOLD_OUT, "quantity": 1});
    }
    let card = match trouble {
        2 | 3 => CARD_DECLINED,
        4 => CARD_SLOW_ONCE,
        5 => CARD_SLOW,
        _ => CARD_GOOD,
    };
    let customer = format!("cust-{:03}", rng.u32(1..=250));
    let looks_around = rng.u32(0..LOOKS_AROUND) == 0;
    let member = (rng.u32(0..4) == 0).then(|| rng.usize(0..MEMBERS));
    let body = json!({"customer": customer, "items": items, "card": card});
    Order { correlation_id: ids.short("ord"), body, looks_around, member }
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
            let ids = Ids::new(rng.fork());
            (0..3_600).map(|_| next_order(&mut rng, &ids)).collect::<Vec<_>>()
        };
        let orders = draw(1);
        assert_eq!(orders, draw(1));
        assert_ne!(orders, draw(2));
        let is_trouble = |order: &&Order| {
            order.body["card"] != CARD_GOOD || order.body["items"][0]["sku"] == SOLD_OUT
        };
        let troubles = orders.iter().filter(is_trouble).count();
        assert!((500..700).contains(&troubles), "{troubles}");
    }
}
