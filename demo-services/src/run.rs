//! What can be done with the shop from outside: run it whole, run some of its services, break and heal it, send shoppers
//! to it, and check its accounts.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use fastrand::Rng;
use reqwest::Url;
use service::shutdown::Shutdown;
use tokio::sync::oneshot;

use crate::check::Findings;
use crate::kit::client::http_client;
use crate::kit::context::STEP_TIMEOUT;
use crate::kit::directory::Directory;
use crate::shop::{KINDS, Kind, Running, Settings, Wanted, base};
use crate::traffic::{self, Placed, Rate, Shoppers};

const TURN_TIMEOUT: Duration = Duration::from_secs(5);
/// How long whoever asks the registry waits to hear of the services.
const HEARD_WITHIN: Duration = Duration::from_secs(10);

/// How the whole shop is run in this process.
#[derive(Debug)]
pub struct DemoOptions {
    /// The folder of the services' databases, a folder for each; made if absent.
    pub data: PathBuf,
    /// The folder of `INSTANCE.log`; made if absent.
    pub logs: PathBuf,
    /// How often a shopper places an order. 2/s.
    pub rate: Rate,
    /// After so many orders the shop closes by itself.
    pub orders_max: Option<u64>,
    /// Where the gateway listens. 127.0.0.1:8080.
    pub gateway_http: SocketAddr,
    /// Where the registry listens. 127.0.0.1:8081.
    pub registry_http: SocketAddr,
    /// Listen where others than this machine can reach the shop; most of it asks nobody who they are.
    pub insecure: bool,
    /// How long a step of an order may take. 1 s.
    pub step_timeout: Duration,
    /// What orders and ids are drawn from.
    pub seed: u64,
    /// Where the services send their spans: an OTLP receiver, `http://host:port`. Nowhere.
    pub collector: Option<String>,
    /// Told when all services are found.
    pub started: Option<oneshot::Sender<Started>>,
}

impl DemoOptions {
    /// The defaults, and a seed that differs from run to run.
    pub fn new(data: PathBuf, logs: PathBuf) -> Self {
        let at = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        Self {
            data,
            logs,
            rate: Rate::DEFAULT,
            orders_max: None,
            gateway_http: at(8080),
            registry_http: at(8081),
            insecure: false,
            step_timeout: STEP_TIMEOUT,
            seed: fastrand::u64(..),
            collector: None,
            started: None,
        }
    }
}

/// Where the shop is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Started {
    /// `POST /checkout`.
    pub gateway: SocketAddr,
    /// Where failure switches are turned.
    pub registry: SocketAddr,
    /// All instances and where they listen, in the order of their names.
    pub instances: Vec<(String, SocketAddr)>,
}

/// How some services are run in this process.
#[derive(Clone, Debug)]
pub struct ServiceOptions {
    /// Their names.
    pub services: Vec<String>,
    /// Which instance of each it is, from 1.
    pub number: u32,
    /// Where they listen; with port 0 each has a free one. Only one service can have a port that is named.
    pub http: SocketAddr,
    /// Where the registry is; it need not be named where it is one of the services.
    pub registry: Option<Url>,
    /// As in [`DemoOptions`].
    pub data: PathBuf,
    /// As in [`DemoOptions`].
    pub logs: PathBuf,
    /// As in [`DemoOptions`].
    pub insecure: bool,
    /// As in [`DemoOptions`].
    pub collector: Option<String>,
}

/// Runs the shop until `shutdown`, or until the shoppers have had their orders. Requests under way are answered before it
/// returns; a saga that is not done then goes on at the next start.
///
/// # Errors
/// If a port, a log or a database cannot be opened at the start.
pub async fn run(options: DemoOptions, shutdown: Shutdown) -> anyhow::Result<()> {
    for (key, addr) in [("gateway", options.gateway_http), ("registry", options.registry_http)] {
        check_exposure(key, addr, options.insecure)?;
    }
    let settings = Settings {
        data: options.data,
        logs: options.logs,
        collector: options.collector,
        step_timeout: options.step_timeout,
        seed: options.seed,
    };
    let wanted: Vec<_> = KINDS
        .iter()
        .map(|kind| match kind.name {
            "gateway" => Wanted { addr: options.gateway_http, ..Wanted::one(kind.name) },
            "registry" => Wanted { addr: options.registry_http, ..Wanted::one(kind.name) },
            name => Wanted::one(name),
        })
        .collect();
    let shop = Running::start(&settings, None, &wanted).await?;
    shop.found().await?;
    let at = |id: &str| shop.address(id).context("it was started a moment ago");
    let (gateway, registry) = (at("gateway-1")?, at("registry-1")?);
    if let Some(sender) = options.started {
        let instances = shop.addresses();
        // Whoever asked may have stopped listening.
        let _ = sender.send(Started { gateway, registry, instances });
    }
    let rng = Rng::with_seed(options.seed);
    place_orders(base(gateway), rng, options.rate, options.orders_max, &shutdown).await;
    shop.close().await
}

/// Runs some services until `shutdown`. `started` is told where they listen.
///
/// # Errors
/// There is no such service, or as [`run`].
pub async fn run_services(
    options: ServiceOptions,
    started: oneshot::Sender<Vec<(String, SocketAddr)>>,
    shutdown: Shutdown,
) -> anyhow::Result<()> {
    let ServiceOptions { services, number, http, .. } = options;
    anyhow::ensure!(
        services.len() == 1 || http.port() == 0,
        "only one service can listen on port {}",
        http.port()
    );
    check_exposure("the service", http, options.insecure)?;
    let wanted = services.iter().map(|name| {
        let kind = Kind::named(name)?;
        anyhow::ensure!(
            number == 1 || kind.is_many,
            "there can be one instance of {name}: what it knows is in a database of its own"
        );
        anyhow::Ok(Wanted { kind: kind.name, number, addr: http })
    });
    let wanted: Vec<_> = wanted.collect::<Result<_, _>>()?;
    let settings = Settings {
        data: options.data,
        logs: options.logs,
        collector: options.collector,
        step_timeout: STEP_TIMEOUT,
        seed: fastrand::u64(..),
    };
    let shop = Running::start(&settings, options.registry, &wanted).await?;
    // Whoever asked may have stopped listening.
    let _ = started.send(shop.addresses());
    shutdown.requested().await;
    shop.close().await
}

fn check_exposure(what: &str, addr: SocketAddr, insecure: bool) -> anyhow::Result<()> {
    anyhow::ensure!(
        insecure || addr.ip().to_canonical().is_loopback(),
        "{what} is to listen on {addr}, which others than this machine can reach, and the shop asks nobody who they are; \
         listen on 127.0.0.1, or say --insecure if the network keeps everybody else away"
    );
    Ok(())
}

/// Sends shoppers to a gateway.
pub async fn place_orders(
    gateway: Url,
    mut rng: Rng,
    rate: Rate,
    orders_max: Option<u64>,
    shutdown: &Shutdown,
) -> Placed {
    let shoppers = Arc::new(Shoppers::new(http_client(), gateway, &mut rng));
    traffic::place_orders(shoppers, rng, rate, orders_max, shutdown).await
}

/// Turns a failure switch at the registry.
///
/// # Errors
/// It is not there, or does not take it.
pub async fn turn(registry: &Url, switch: &str, on: bool) -> anyhow::Result<()> {
    let url = registry.join(&format!("/api/v1/switches/{switch}"))?;
    let client = http_client();
    let request = if on { client.put(url) } else { client.delete(url) };
    let answer = request.timeout(TURN_TIMEOUT).send().await;
    let answer = answer.with_context(|| format!("no registry answers at {registry}"))?;
    anyhow::ensure!(
        answer.status().is_success(),
        "the registry answers {}: {}",
        answer.status(),
        answer.text().await.unwrap_or_default()
    );
    Ok(())
}

/// Holds the accounts of all services against each other; what is under way has `patience` to come to its end.
///
/// # Errors
/// A service is not there, or gives no account.
pub async fn check(registry: Url, patience: Duration) -> anyhow::Result<Findings> {
    let (_stop, stopping) = Shutdown::new();
    let directory = Directory::of(registry.clone());
    tokio::spawn(directory.clone().watch(stopping));
    let heard = async {
        while directory.instances("orders").is_empty() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let heard = tokio::time::timeout(HEARD_WITHIN, heard).await;
    heard.with_context(|| format!("the registry at {registry} does not tell of orders"))?;
    crate::check::check(&directory, patience).await
}
