//! `logq up --demo`: the demo shop, an agent that follows its logs, and one story to begin with.
//!
//! The shop writes to `DATA/demo-logs/` and keeps its databases in `DATA/demo-shop/`; the agent keeps its state in `DATA/agent/` and ships to the collector of this
//! process as it would to any other. A port that is taken is replaced by a free one. The story is an order that this
//! process places itself, with a card that payments is always too slow for, so that there is one however chance falls;
//! it counts as found when a query finds its lines of all services that it went through.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use agent::daemon::{self, AgentError, AgentOptions};
use anyhow::{Context, Result};
use demo_services::{CARD_SLOW, DemoOptions};
use query::{Flow, Queries, Request};
use serde::Deserialize;
use serde_json::json;
use service::shutdown::{Shutdown, Trigger};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout_at};

/// How long the first story may take to be found.
const STORY_TIMEOUT: Duration = Duration::from_secs(20);
const POLL_INTERVAL: Duration = Duration::from_millis(50);
/// The variable that moves the agent's port, as it does for an agent of its own.
const AGENT_HTTP_VARIABLE: &str = "LOGQ__AGENT__HTTP";
const AGENT_HTTP: &str = "127.0.0.1:3102";
/// The folder of the shop's logs within the data folder.
pub(crate) const LOGS: &str = "demo-logs";
const SERVICES: [&str; 5] = ["gateway", "orders", "inventory", "payments", "notifications"];
/// Where failure switches are turned; another port if this one is taken.
const REGISTRY_HTTP: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8081);
/// The folder of the shop's databases within the data folder.
const SHOP: &str = "demo-shop";
/// What is said last: by the gateway to whoever ordered, and by whoever heard of the order's end.
const LAST_MESSAGES: [&str; 2] = ["checkout failed", "message processed"];

/// The running demo.
#[derive(Debug)]
pub(crate) struct Demo {
    pub(crate) gateway: SocketAddr,
    pub(crate) registry: SocketAddr,
    pub(crate) agent_http: SocketAddr,
    shop: Running<Result<()>>,
    agent: Running<Result<(), AgentError>>,
}

/// An interaction that can be asked for.
#[derive(Debug)]
pub(crate) struct Story {
    pub(crate) correlation_id: String,
    /// What it is, in a few words.
    pub(crate) title: &'static str,
}

/// What is looked at in a record of the shop.
#[derive(Debug, Deserialize)]
struct Line {
    service: String,
    message: String,
}

/// A task and what ends it.
#[derive(Debug)]
struct Running<T> {
    stop: Trigger,
    ended: JoinHandle<T>,
}

impl Demo {
    /// Starts the shop and the agent.
    ///
    /// # Errors
    /// If one of them cannot start for any reason but a port that is taken.
    pub(crate) async fn start(
        data: &Path,
        gateway: SocketAddr,
        collector: SocketAddr,
        insecure: bool,
    ) -> Result<Self> {
        // The agent's globs and the records' `source.path` should not depend on where this was started.
        let data = std::path::absolute(data).context("cannot tell where the data folder is")?;
        let logs = data.join(LOGS);
        let spans_to = format!("http://{}", reachable(collector));
        let places = ShopPlaces { data: data.join(SHOP), logs: logs.clone(), spans_to, insecure };
        // Nobody has it yet, but the gateway is about to.
        let registry = match gateway.port() == REGISTRY_HTTP.port() {
            true => SocketAddr::new(REGISTRY_HTTP.ip(), 0),
            false => free_if_taken(REGISTRY_HTTP),
        };
        let ports = [free_if_taken(gateway), registry];
        let shop = start_shop(&places, ports).await;
        let (shop, at) = shop.context("cannot start the demo shop")?;
        let wanted = std::env::var(AGENT_HTTP_VARIABLE).unwrap_or(AGENT_HTTP.to_owned());
        let options = |http: &str| {
            let mut options = agent_options(&data, &logs, http, collector)?;
            options.insecure = insecure;
            anyhow::Ok(options)
        };
        let agent = match start_agent(options(&wanted)?).await {
            Err(AgentError::Listen { .. }) => start_agent(options("127.0.0.1:0")?).await,
            other => other,
        };
        match agent {
            Ok((agent, agent_http)) => {
                let demo_services::Started { gateway, registry, .. } = at;
                Ok(Self { gateway, registry, agent_http, shop, agent })
            }
            Err(error) => {
                let _ = shop.stop().await;
                Err(error).context("cannot start the agent of the demo")
            }
        }
    }

    /// What `logq-demo break` has to be told, if the registry is not at the usual place.
    pub(crate) fn registry_argument(&self) -> String {
        match self.registry == REGISTRY_HTTP {
            true => String::new(),
            false => format!(" --registry http://{}", self.registry),
        }
    }

    /// Places an order that goes wrong, and waits until a query finds what all services say of it.
    ///
    /// # Errors
    /// Why there is none to show.
    pub(crate) async fn story(&self, queries: &Queries) -> Result<Story> {
        let deadline = Instant::now() + STORY_TIMEOUT;
        let placed = timeout_at(deadline, self.place_order()).await;
        let story = placed.context("the shop did not answer in time")??;
        loop {
            let lines = lines_of(queries.clone(), story.correlation_id.clone()).await?;
            let told = |service: &&str| lines.iter().any(|line| line.service == **service);
            let said = |message: &&str| lines.iter().any(|line| line.message == **message);
            if SERVICES.iter().all(told) && LAST_MESSAGES.iter().all(said) {
                return Ok(story);
            }
            anyhow::ensure!(
                Instant::now() < deadline,
                "after {} s a query finds {} records of {}; http://{}/status says what the agent does",
                STORY_TIMEOUT.as_secs(),
                lines.len(),
                story.correlation_id,
                self.agent_http
            );
            sleep(POLL_INTERVAL).await;
        }
    }

    async fn place_order(&self) -> Result<Story> {
        let order = json!({
            "customer": "cust-001", "items": [{"sku": "teapot", "quantity": 1}], "card": CARD_SLOW,
        });
        let client = reqwest::Client::builder()
            .no_proxy()
            .tls_backend_preconfigured(service::tls::no_trust())
            .build()?;
        let url = format!("http://{}/checkout", self.gateway);
        let sent = client.post(url).json(&order).send().await;
        let answer = sent.context("the shop did not take an order")?;
        let correlation_id = answer.headers().get("x-correlation-id");
        let correlation_id = correlation_id.and_then(|id| id.to_str().ok());
        let correlation_id = correlation_id.context("the shop's answer has no correlation id")?;
        let title = match answer.status().as_u16() {
            504 => {
                "an order that failed: its payment timed out twice, and what was done before is undone"
            }
            _ => "an order that failed",
        };
        Ok(Story { correlation_id: correlation_id.to_owned(), title })
    }

    /// Closes the shop, then lets the agent ship what it wrote. The collector has to be there still.
    ///
    /// # Errors
    /// What went wrong in them since they were started.
    pub(crate) async fn stop(self) -> Result<()> {
        let shop = self.shop.stop().await.context("the demo shop broke down");
        let agent = self.agent.stop().await;
        let agent = agent.and_then(|ended| ended.map_err(Into::into));
        shop.and_then(|ended| ended)?;
        agent.context("the agent of the demo broke down")
    }
}

impl<T> Running<T> {
    async fn stop(self) -> Result<T> {
        self.stop.set_off();
        Ok(self.ended.await?)
    }
}

/// What the shop needs to know but for its ports.
struct ShopPlaces {
    data: PathBuf,
    logs: PathBuf,
    spans_to: String,
    insecure: bool,
}

/// The address, or one with a free port if somebody has that one.
fn free_if_taken(wanted: SocketAddr) -> SocketAddr {
    match std::net::TcpListener::bind(wanted) {
        Ok(_) => wanted,
        Err(error) => {
            tracing::info!(%wanted, %error, "looking for a free port for the demo");
            SocketAddr::new(wanted.ip(), 0)
        }
    }
}

async fn start_shop(
    places: &ShopPlaces,
    [gateway, registry]: [SocketAddr; 2],
) -> Result<(Running<Result<()>>, demo_services::Started)> {
    let mut options = DemoOptions::new(places.data.clone(), places.logs.clone());
    (options.gateway_http, options.registry_http) = (gateway, registry);
    options.insecure = places.insecure;
    options.collector = Some(places.spans_to.clone());
    let (started, running) = oneshot::channel();
    options.started = Some(started);
    let (stop, stopping) = Shutdown::new();
    let ended = tokio::spawn(demo_services::run(options, stopping));
    match running.await {
        Ok(at) => Ok((Running { stop, ended }, at)),
        Err(_) => {
            ended.await??;
            anyhow::bail!("it ended before it began")
        }
    }
}

async fn start_agent(
    options: AgentOptions,
) -> Result<(Running<Result<(), AgentError>>, SocketAddr), AgentError> {
    let (started, running) = oneshot::channel();
    let (stop, stopping) = Shutdown::new();
    let ended = tokio::spawn(daemon::run(options, None, stopping, started));
    let broken = |error: &str| AgentError::Start { source: std::io::Error::other(error) };
    match running.await {
        Ok(started) => Ok((Running { stop, ended }, started.http)),
        Err(_) => match ended.await {
            Ok(Err(error)) => Err(error),
            Ok(Ok(())) => Err(broken("it ended before it began")),
            Err(error) => Err(broken(&error.to_string())),
        },
    }
}

/// The agent's table, as a file would say it.
fn agent_options(
    data: &Path,
    logs: &Path,
    http: &str,
    collector: SocketAddr,
) -> Result<AgentOptions> {
    let text = |path: &Path| {
        let text = path.to_str().map(str::to_owned);
        text.with_context(|| format!("the demo needs a data folder in UTF-8, not {path:?}"))
    };
    let table = json!({"agent": {
        "state": text(&data.join("agent"))?,
        "collector": [format!("http://{}", reachable(collector))],
        "http": http,
        // So that nobody who tries it out waits for it, or for its account.
        "batch_age": "200ms",
        "heartbeat_interval": "1s",
        "sources": [{
            "kind": "file",
            "name": "demo-services",
            "include": [format!("{}/*.log", glob_escaped(&text(logs)?))],
            "start_at": "beginning",
            "format": "json",
        }],
    }});
    let table = toml::to_string(&table).context("cannot write the agent's table")?;
    Ok(AgentOptions::load(Some(("the demo's [agent]", &table)), [])?)
}

/// The address at which this machine reaches a listener that may be on all of its addresses.
fn reachable(listener: SocketAddr) -> SocketAddr {
    let ip = match listener.ip() {
        ip if !ip.is_unspecified() => ip,
        IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
    };
    SocketAddr::new(ip, listener.port())
}

/// Characters with a meaning in globs stand for themselves in brackets.
fn glob_escaped(path: &str) -> String {
    let mut glob = String::with_capacity(path.len());
    for character in path.chars() {
        match character {
            '*' | '?' | '[' | ']' | '{' | '}' | '\\' => glob.extend(['[', character, ']']),
            other => glob.push(other),
        }
    }
    glob
}

/// What a query finds of an interaction.
async fn lines_of(queries: Queries, correlation_id: String) -> Result<Vec<Line>> {
    let ask = move || {
        let prepared = queries.prepare(&Request {
            query: format!("correlation:\"{correlation_id}\" | fields service, message"),
            tenant: service::principal::TENANT_DEFAULT.to_owned(),
            ..Request::default()
        })?;
        let mut lines = Vec::new();
        queries.run(prepared, &Arc::new(AtomicBool::new(false)), &mut |batch| {
            query::write_lines(&batch, &mut lines);
            Flow::More
        })?;
        anyhow::Ok(lines)
    };
    let lines = tokio::task::spawn_blocking(ask).await??;
    let lines = serde_json::Deserializer::from_slice(&lines).into_iter();
    lines.collect::<Result<_, _>>().context("cannot read the answer of a query")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_agent_can_be_made_for_any_folder() {
        for folder in ["/srv/logq", "/a b/\"x\"", "/odd[1]{a,b}*?", "/back\\slash", "/tab\there"] {
            let data = Path::new(folder);
            let options = agent_options(
                data,
                &data.join("demo-logs"),
                AGENT_HTTP,
                ([0, 0, 0, 0], 4318).into(),
            );
            let options = options.unwrap_or_else(|error| panic!("{folder}: {error:#}"));
            assert_eq!(options.state, data.join("agent"));
            assert_eq!(options.collectors, ["http://127.0.0.1:4318"]);
        }
    }
}
