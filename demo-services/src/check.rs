//! The checker: asks all services for their accounts and holds them against each other. No service can read another's
//! database, so nothing but this sees whether the shop as a whole is right.

use std::collections::BTreeSet;
use std::fmt;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use reqwest::Client;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::kit::client::http_client;
use crate::kit::directory::Directory;

const POLL_INTERVAL: Duration = Duration::from_millis(200);
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
/// Names that a finding shows.
const SHOWN_MAX: usize = 5;

/// One thing that has to be true.
#[derive(Clone, Debug)]
pub struct Finding {
    /// What has to be.
    pub what: &'static str,
    /// What it was looked at in: `412 orders`.
    pub looked_at: String,
    /// Where it is not so.
    pub wrong: Vec<String>,
}

/// What the checker saw.
#[derive(Clone, Debug)]
pub struct Findings(pub Vec<Finding>);

#[derive(Debug, Deserialize)]
struct OrdersAccount {
    orders: Orders,
    outbox: Outbox,
    interventions: Vec<Intervention>,
}

#[derive(Debug, Deserialize)]
struct Orders {
    pending: BTreeSet<String>,
    confirmed: BTreeSet<String>,
    cancelled: BTreeSet<String>,
    manual: BTreeSet<String>,
    settled: BTreeSet<String>,
}

#[derive(Debug, Deserialize)]
struct Outbox {
    written: i64,
    published: i64,
    refused: i64,
}

#[derive(Debug, Deserialize)]
struct Intervention {
    order: String,
}

#[derive(Debug, Deserialize)]
struct Payments {
    captured_twice: Vec<String>,
    refunded_without_capture: Vec<String>,
    charged: BTreeSet<String>,
}

#[derive(Debug, Deserialize)]
struct Stock {
    sku: String,
    on_hand: i64,
    reserved: i64,
    delivered: i64,
    sold: i64,
    reserved_for_orders: i64,
}

#[derive(Debug, Deserialize)]
struct Letters {
    letters: i64,
    written_twice: Vec<String>,
}

#[derive(Debug, Deserialize)]
struct Queues {
    queues: Vec<Queue>,
}

#[derive(Debug, Deserialize)]
struct Queue {
    name: String,
    ready: i64,
    leased: i64,
    scheduled: i64,
    dead_letters: i64,
}

/// All accounts, taken one after the other.
struct Accounts {
    orders: OrdersAccount,
    payments: Payments,
    stock: Vec<Stock>,
    letters: Letters,
    queues: Vec<Queue>,
}

/// Looks until all is as it has to be, or `patience` is over: what is under way when it begins may come to its end.
///
/// # Errors
/// A service gives no account to the end.
pub(crate) async fn check(directory: &Directory, patience: Duration) -> anyhow::Result<Findings> {
    let client = http_client();
    let began = Instant::now();
    loop {
        let outcome = Accounts::take(directory, &client).await.map(|accounts| accounts.judge());
        let is_right = outcome.as_ref().is_ok_and(Findings::are_right);
        if is_right || began.elapsed() >= patience {
            return outcome;
        }
        tokio::time::sleep(POLL_INTERVAL).await;
    }
}

impl Accounts {
    async fn take(directory: &Directory, client: &Client) -> anyhow::Result<Self> {
        let account = "/api/v1/account";
        Ok(Self {
            orders: ask(directory, client, "orders", account).await?,
            payments: ask(directory, client, "payments", account).await?,
            stock: ask(directory, client, "inventory", account).await?,
            letters: ask(directory, client, "notifications", account).await?,
            queues: ask::<Queues>(directory, client, "broker", "/api/v1/queues").await?.queues,
        })
    }

    fn judge(&self) -> Findings {
        let Orders { pending, confirmed, cancelled, manual, settled } = &self.orders.orders;
        let ended = confirmed.len() + cancelled.len() + manual.len() + settled.len();
        let names = |set: &mut dyn Iterator<Item = &String>| set.cloned().collect::<Vec<_>>();
        let Payments { captured_twice, refunded_without_capture, charged } = &self.payments;
        let asked: BTreeSet<&String> =
            self.orders.interventions.iter().map(|intervention| &intervention.order).collect();
        let orders = format!("{} orders", ended + pending.len());
        let mut findings = Vec::new();
        let mut add = |what, looked_at: String, wrong| {
            findings.push(Finding { what, looked_at, wrong });
        };
        add("every order has ended", orders, names(&mut pending.iter()));
        add(
            "what a person has to settle stands in the queue for people",
            format!("{} orders", manual.len()),
            names(&mut manual.iter().filter(|order| !asked.contains(order))),
        );
        add(
            "no order is both charged and cancelled",
            format!("{} cancelled", cancelled.len()),
            names(&mut cancelled.intersection(charged)),
        );
        add(
            "every confirmed order is charged",
            format!("{} confirmed", confirmed.len()),
            names(&mut confirmed.difference(charged)),
        );
        add(
            "no order is captured or refunded twice, nor refunded without a capture",
            format!("{} charged", charged.len()),
            [captured_twice.as_slice(), refunded_without_capture].concat(),
        );
        let bad_stock = self.stock.iter().filter(|stock| !stock.adds_up());
        add(
            "stock is never negative, and equal to deliveries less what was sold",
            format!("{} kinds of goods", self.stock.len()),
            bad_stock.map(|stock| format!("{}: {stock:?}", stock.sku)).collect(),
        );
        let Outbox { written, published, refused } = self.orders.outbox;
        let late = (written != published)
            .then(|| format!("{} are not, {refused} of them for ever", written - published));
        add(
            "every row of the outbox is published",
            format!("{written} rows"),
            late.into_iter().collect(),
        );
        let waiting = self.queues.iter().filter(|queue| queue.waiting() > 0);
        add(
            "no message waits for ever",
            format!("{} queues", self.queues.len()),
            waiting.map(|queue| format!("{}: {}", queue.name, queue.waiting())).collect(),
        );
        let Letters { letters, written_twice } = &self.letters;
        let dead: i64 = self.queues.iter().map(|queue| queue.dead_letters).sum();
        let missing = ended as i64 - letters - dead;
        let mut wrong = written_twice.clone();
        wrong.extend((missing > 0).then(|| format!("{missing} neither written nor put aside")));
        add(
            "every customer was written to once",
            format!("{letters} letters, {dead} put aside"),
            wrong,
        );
        Findings(findings)
    }
}

impl Stock {
    fn adds_up(&self) -> bool {
        self.reserved >= 0
            && self.on_hand >= self.reserved
            && self.on_hand == self.delivered - self.sold
            && self.reserved == self.reserved_for_orders
    }
}

impl Queue {
    fn waiting(&self) -> i64 {
        self.ready + self.leased + self.scheduled
    }
}

impl Findings {
    /// Whether all is as it has to be.
    pub fn are_right(&self) -> bool {
        self.0.iter().all(|finding| finding.wrong.is_empty())
    }
}

impl fmt::Display for Findings {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Finding { what, looked_at, wrong } in &self.0 {
            let verdict = if wrong.is_empty() { "ok   " } else { "WRONG" };
            writeln!(out, "  {verdict} {what} ({looked_at})")?;
            for name in wrong.iter().take(SHOWN_MAX) {
                writeln!(out, "          {name}")?;
            }
            if wrong.len() > SHOWN_MAX {
                writeln!(out, "          and {} more", wrong.len() - SHOWN_MAX)?;
            }
        }
        Ok(())
    }
}

async fn ask<T: DeserializeOwned>(
    directory: &Directory,
    client: &Client,
    service: &str,
    path: &str,
) -> anyhow::Result<T> {
    let instance = directory.instances(service).into_iter().next();
    let at = instance.with_context(|| format!("{service} is not there"))?.address;
    let answer = client.get(format!("http://{at}{path}")).timeout(ANSWER_TIMEOUT).send().await;
    let answer = answer.and_then(reqwest::Response::error_for_status);
    let answer = answer.with_context(|| format!("{service} gives no account"))?;
    answer.json().await.with_context(|| format!("cannot read the account of {service}"))
}
