//! A shop for one scenario: what it needs of the services, and a hand on everything in it.

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use reqwest::{Client, Method, StatusCode, header};
use serde_json::{Value, json};
use service::telemetry::CORRELATION_HEADER;
use tempfile::TempDir;

use super::ship::ship;
use super::{Left, Report};
use crate::kit::client::http_client;
use crate::payments::CARD_GOOD;
use crate::shop::{KINDS, Running, Settings, Wanted};

/// Short, so that what waits for it does not take long.
const STEP_TIMEOUT: Duration = Duration::from_millis(600);
/// How long something may take to become so.
const PATIENCE: Duration = Duration::from_secs(20);
const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// An answer, read whole.
#[derive(Clone, Debug)]
pub(super) struct Answered {
    pub(super) status: StatusCode,
    pub(super) headers: reqwest::header::HeaderMap,
    pub(super) body: Value,
}

pub(super) struct Stage {
    folder: TempDir,
    pub(super) settings: Settings,
    pub(super) shop: Running,
    client: Client,
    report: Report,
}

impl Stage {
    /// All services, one instance each.
    pub(super) async fn open(ingest: Option<&str>) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir().context("cannot make a folder for the scenario")?;
        let settings = Settings {
            data: folder.path().join("data"),
            logs: folder.path().join("logs"),
            collector: ingest.map(str::to_owned),
            step_timeout: STEP_TIMEOUT,
            seed: fastrand::u64(..),
        };
        let wanted = KINDS.iter().map(|kind| Wanted::one(kind.name)).collect::<Vec<_>>();
        let shop = Running::start(&settings, None, &wanted).await?;
        shop.found().await?;
        let client = http_client();
        Ok(Self { folder, settings, shop, client, report: Report::default() })
    }

    /// Notes what was seen.
    pub(super) fn saw(&mut self, what: impl Into<String>) {
        self.report.saw.push(what.into());
    }

    /// Notes an interaction, and how its story has to end.
    pub(super) fn leaves(
        &mut self,
        answer: &Answered,
        outcome: &'static str,
        first_error: Option<&'static str>,
        title: impl Into<String>,
    ) {
        let (correlation_id, title) = (answer.correlation_id(), title.into());
        self.report.left.push(Left { correlation_id, outcome, first_error, title });
    }

    /// A request to an instance.
    pub(super) async fn ask(
        &self,
        instance: &str,
        method: Method,
        path: &str,
        body: Option<&Value>,
        headers: &[(&str, &str)],
    ) -> anyhow::Result<Answered> {
        let at = self.shop.address(instance).with_context(|| format!("{instance} is not there"))?;
        let mut request = self.client.request(method, format!("http://{at}{path}"));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(body) = body {
            request =
                request.header(header::CONTENT_TYPE, "application/json").body(body.to_string());
        }
        let answer = request.send().await.with_context(|| format!("{instance} does not answer"))?;
        let (status, headers) = (answer.status(), answer.headers().clone());
        let body = serde_json::from_slice(&answer.bytes().await?).unwrap_or_default();
        Ok(Answered { status, headers, body })
    }

    pub(super) async fn get(&self, instance: &str, path: &str) -> anyhow::Result<Answered> {
        self.ask(instance, Method::GET, path, None, &[]).await
    }

    /// The metrics of an instance, as Prometheus reads them.
    pub(super) async fn metrics(&self, instance: &str) -> anyhow::Result<String> {
        let at = self.shop.address(instance).with_context(|| format!("{instance} is not there"))?;
        let answer = self.client.get(format!("http://{at}/metrics")).send().await;
        Ok(answer.with_context(|| format!("{instance} does not answer"))?.text().await?)
    }

    /// Orders a cup at the gateway, with a good card.
    pub(super) async fn order(&self) -> anyhow::Result<Answered> {
        let key = format!("{:016x}", fastrand::u64(..));
        self.order_as(&key, &an_order("cup", 1, CARD_GOOD)).await
    }

    pub(super) async fn order_as(&self, key: &str, order: &Value) -> anyhow::Result<Answered> {
        let headers = [("idempotency-key", key)];
        self.ask("gateway-1", Method::POST, "/checkout", Some(order), &headers).await
    }

    /// Turns a failure switch, and waits until all services know.
    pub(super) async fn turn(&self, switch: &str, on: bool) -> anyhow::Result<()> {
        let method = if on { Method::PUT } else { Method::DELETE };
        let path = format!("/api/v1/switches/{switch}");
        let turned = self.ask("registry-1", method, &path, None, &[]).await?;
        ensure!(turned.status.is_success(), "the switch {switch} does not turn: {}", turned.body);
        let known = tokio::time::timeout(PATIENCE, self.shop.all_know(switch, on)).await;
        known.with_context(|| format!("not everybody knows of the switch {switch}"))
    }

    /// Waits until `look` gives something.
    pub(super) async fn becomes<T>(
        &self,
        what: &str,
        look: impl AsyncFn() -> anyhow::Result<Option<T>>,
    ) -> anyhow::Result<T> {
        let began = Instant::now();
        loop {
            if let Some(found) = look().await? {
                return Ok(found);
            }
            ensure!(began.elapsed() < PATIENCE, "not within {} s: {what}", PATIENCE.as_secs());
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    }

    /// The state of an order, once it has ended.
    pub(super) async fn end_of(&self, order: &str) -> anyhow::Result<String> {
        let path = format!("/api/v1/orders/{order}");
        self.becomes("the order ends", async || {
            let state = self.get("orders-1", &path).await?.text("state");
            Ok((state != "pending" && !state.is_empty()).then_some(state))
        })
        .await
    }

    /// The movements of an order's payment, oldest first: `authorise capture`.
    pub(super) async fn ledger(&self, order: &str) -> anyhow::Result<String> {
        let ledger = self.get("payments-1", &format!("/api/v1/ledger?order={order}")).await?;
        let entries = ledger.body.as_array().cloned().unwrap_or_default();
        let kinds = entries.iter().rev().filter_map(|entry| entry["kind"].as_str());
        Ok(kinds.collect::<Vec<_>>().join(" "))
    }

    /// Holds all accounts against each other.
    pub(super) async fn check(&mut self) -> anyhow::Result<()> {
        let findings = crate::check::check(&self.shop.directory, PATIENCE).await?;
        ensure!(findings.are_right(), "the accounts do not add up:\n{findings}");
        self.saw("all accounts add up");
        Ok(())
    }

    /// Ends an instance at once, as kill -9 would.
    pub(super) fn kill(&mut self, instance: &str) {
        self.shop.kill(instance);
        self.saw(format!("{instance} is killed"));
    }

    /// Runs one more instance, or one again.
    pub(super) async fn run(&mut self, kind: &'static str, number: u32) -> anyhow::Result<()> {
        self.shop.run(&self.settings, &Wanted { number, ..Wanted::one(kind) }).await?;
        self.shop.found().await
    }

    /// Closes the shop and ships its logs.
    pub(super) async fn close(self, ingest: Option<&str>) -> anyhow::Result<Report> {
        let Self { folder, settings, shop, mut report, .. } = self;
        shop.close().await?;
        if let Some(ingest) = ingest {
            report.shipped = Some(ship(&settings.logs, ingest).await?);
        }
        drop(folder);
        Ok(report)
    }
}

impl Answered {
    pub(super) fn correlation_id(&self) -> String {
        let id = self.headers.get(CORRELATION_HEADER).and_then(|id| id.to_str().ok());
        id.unwrap_or_default().to_owned()
    }

    /// A header, empty if it is not there.
    pub(super) fn header(&self, name: &str) -> String {
        let value = self.headers.get(name).and_then(|value| value.to_str().ok());
        value.unwrap_or_default().to_owned()
    }

    /// A field of the body.
    pub(super) fn text(&self, field: &str) -> String {
        self.body[field].as_str().unwrap_or_default().to_owned()
    }

    /// The code of an error.
    pub(super) fn code(&self) -> &str {
        self.body["error"]["code"].as_str().unwrap_or_default()
    }

    /// Fails unless the status is this one.
    pub(super) fn expect(&self, status: u16, what: &str) -> anyhow::Result<&Self> {
        let found = self.status.as_u16();
        ensure!(found == status, "{what} is answered with {found} and not {status}: {}", self.body);
        Ok(self)
    }
}

/// An order of one thing.
pub(super) fn an_order(sku: &str, quantity: u32, card: &str) -> Value {
    let items = json!([{"sku": sku, "quantity": quantity}]);
    json!({"customer": "cust-001", "items": items, "card": card})
}
