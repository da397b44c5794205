//! What is asked of a shop of processes: orders, how they end, what the accounts say.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::process::Output;

use reqwest::{Client, Method};
use serde_json::{Value, json};

use super::shop::{PATIENCE, Shop, program, until};

/// An answer, read whole.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) correlation_id: String,
    pub(crate) body: Value,
}

/// How an order ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct End {
    pub(crate) order: String,
    /// `confirmed`, `cancelled` or `manual`.
    pub(crate) state: String,
    /// The movements of its payment, oldest first: `authorise capture`.
    pub(crate) ledger: String,
}

/// An order of one thing.
pub(crate) fn order_of(sku: &str, card: &str) -> Value {
    let items = json!([{"sku": sku, "quantity": 1}]);
    json!({"customer": "cust-001", "items": items, "card": card})
}

/// A key that was not used before.
pub(crate) fn new_key() -> String {
    format!("{:016x}", fastrand::u64(..))
}

impl Shop {
    /// A request to an instance; nothing where there is no answer.
    pub(crate) async fn ask(&self, at: SocketAddr, method: Method, path: &str) -> Option<Answer> {
        Self::answer(self.client.request(method, format!("http://{at}{path}"))).await
    }

    /// What an instance says that is no JSON.
    pub(crate) async fn text(&self, at: SocketAddr, path: &str) -> String {
        let answer = self.client.get(format!("http://{at}{path}")).send().await;
        answer.unwrap().text().await.unwrap()
    }

    async fn answer(request: reqwest::RequestBuilder) -> Option<Answer> {
        let answer = request.timeout(PATIENCE).send().await.ok()?;
        let status = answer.status().as_u16();
        let id = answer.headers().get("x-correlation-id").and_then(|id| id.to_str().ok());
        let correlation_id = id.unwrap_or_default().to_owned();
        let body = serde_json::from_slice(&answer.bytes().await.ok()?).unwrap_or_default();
        Some(Answer { status, correlation_id, body })
    }

    /// Sends an order to the gateway, once.
    pub(crate) async fn order(&self, key: &str, order: &Value) -> Option<Answer> {
        place(&self.client, self.gateway, key, order).await
    }

    /// Sends an order to orders itself, once.
    pub(crate) fn order_at_orders(
        &self,
        key: &str,
        order: &Value,
    ) -> impl Future<Output = Option<Answer>> + Send + use<> {
        let url = format!("http://{}/api/v1/orders", self.at("orders-1"));
        Self::answer(self.client.post(url).header("idempotency-key", key).json(order))
    }

    /// Sends an order to the gateway, then to orders itself while nobody says what became of it, and waits for its end.
    /// It is sent with the same key every time. The gateway may keep its door to orders shut for a while after a death.
    pub(crate) async fn ended(&self, key: &str, order: &Value) -> End {
        let id_in = |answer: Answer| answer.body["order_id"].as_str().map(str::to_owned);
        let id = match self.order(key, order).await.and_then(id_in) {
            Some(id) => id,
            None => {
                let again = async || self.order_at_orders(key, order).await.and_then(id_in);
                until("the order is taken", again).await
            }
        };
        self.end_of(&id).await
    }

    /// Waits for the end of an order.
    pub(crate) async fn end_of(&self, order: &str) -> End {
        let path = format!("/api/v1/orders/{order}");
        let state = until("the order ends", async || {
            // As whoever runs the shop: an order is shown to its owner and to him.
            let request = self.client.get(format!("http://{}{path}", self.at("orders-1")));
            let answer = Self::answer(request.header("x-user-roles", "operator")).await?;
            let state = answer.body["state"].as_str().unwrap_or_default();
            (!["", "pending"].contains(&state)).then(|| state.to_owned())
        })
        .await;
        let (order, ledger) = (order.to_owned(), self.ledger(order).await);
        End { order, state, ledger }
    }

    /// The movements of an order's payment, oldest first.
    pub(crate) async fn ledger(&self, order: &str) -> String {
        let path = format!("/api/v1/ledger?order={order}");
        let answer = self.ask(self.at("payments-1"), Method::GET, &path).await.unwrap();
        kinds(&answer.body)
    }

    /// The newest movements of all orders, oldest first.
    pub(crate) async fn movements(&self) -> String {
        let answer = self.ask(self.at("payments-1"), Method::GET, "/api/v1/ledger").await.unwrap();
        kinds(&answer.body)
    }

    /// Orders of each state.
    pub(crate) async fn orders(&self) -> BTreeMap<String, usize> {
        let account = self.ask(self.at("orders-1"), Method::GET, "/api/v1/account").await.unwrap();
        let count =
            |(state, ids): (&String, &Value)| (state.clone(), ids.as_array().unwrap().len());
        account.body["orders"].as_object().unwrap().iter().map(count).collect()
    }

    /// Holds all accounts against each other, and gives what the checker says.
    pub(crate) async fn check(&self) -> String {
        let registry = format!("http://{}", self.registry);
        let mut checker = program(&["check", "--patience", "60", "--registry", &registry]);
        let Output { status, stdout, stderr } = checker.output().await.unwrap();
        let (text, errors) = (String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
        let is_right = text.lines().all(|line| line.starts_with("  ok ")) && !text.is_empty();
        assert!(status.success() && is_right, "{text}{errors}{}", self.orders_said().await);
        text.into_owned()
    }

    /// Where a person has to look.
    async fn orders_said(&self) -> String {
        let account = self.ask(self.at("orders-1"), Method::GET, "/api/v1/account").await;
        account.map(|answer| answer.body["interventions"].to_string()).unwrap_or_default()
    }
}

/// Sends an order to a gateway, once; nothing where there is no answer.
pub(crate) async fn place(
    client: &Client,
    gateway: SocketAddr,
    key: &str,
    order: &Value,
) -> Option<Answer> {
    let request = client.post(format!("http://{gateway}/checkout")).header("idempotency-key", key);
    Shop::answer(request.json(order)).await
}

fn kinds(ledger: &Value) -> String {
    let entries = ledger.as_array().unwrap();
    entries.iter().rev().map(|entry| entry["kind"].as_str().unwrap()).collect::<Vec<_>>().join(" ")
}
