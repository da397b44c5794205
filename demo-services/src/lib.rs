//! Three small services that call each other over HTTP, and customers who keep them busy: gateway → orders → payments.
//!
//! Each writes JSON lines to a log of its own, and every line carries the correlation id of its order. The services share
//! a process and nothing else: each has its port, its log, its ids, its health and its metrics. What becomes of an
//! order depends on the order alone, so that a seed always gives the same outcomes.

mod call;
mod customers;
mod gateway;
mod ids;
mod orders;
mod payments;
mod site;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use fastrand::Rng;
use reqwest::{Client, Url};
use service::shutdown::Shutdown;
use tokio::sync::oneshot;
use tokio::task::JoinSet;

pub use crate::customers::Rate;
pub use crate::payments::{CARD_DECLINED, CARD_GOOD, CARD_SLOW, CARD_SLOW_ONCE};

use crate::call::Peer;
use crate::gateway::Gateway;
use crate::ids::Ids;
use crate::orders::Orders;
use crate::payments::Payments;
use crate::site::Site;

/// How long the gateway waits for orders beyond both attempts to pay.
const ORDERS_MARGIN: Duration = Duration::from_secs(10);

/// How the shop is run.
#[derive(Debug)]
pub struct DemoOptions {
    /// The folder of `gateway.log`, `orders.log` and `payments.log`; made if absent.
    pub logs: PathBuf,
    /// How often a customer places an order. 2/s.
    pub rate: Rate,
    /// After so many orders the shop closes by itself.
    pub orders_max: Option<u64>,
    /// Where the gateway listens. 127.0.0.1:8080.
    pub gateway_http: SocketAddr,
    /// Where orders listens. A free port of 127.0.0.1.
    pub orders_http: SocketAddr,
    /// Where payments listens. A free port of 127.0.0.1.
    pub payments_http: SocketAddr,
    /// Listen where others than this machine can reach the shop; it asks nobody who they are.
    pub insecure: bool,
    /// How long orders waits for one answer of payments. 1 s.
    pub payment_timeout: Duration,
    /// What orders and ids are drawn from.
    pub seed: u64,
    /// Where the services send their spans: an OTLP receiver, `http://host:port`. Nowhere.
    pub collector: Option<String>,
    /// Told when all three services listen.
    pub started: Option<oneshot::Sender<Started>>,
}

impl DemoOptions {
    /// The defaults, and a seed that differs from run to run.
    pub fn new(logs: PathBuf) -> Self {
        let at = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        Self {
            logs,
            rate: Rate::DEFAULT,
            orders_max: None,
            gateway_http: at(8080),
            orders_http: at(0),
            payments_http: at(0),
            insecure: false,
            payment_timeout: Duration::from_secs(1),
            seed: fastrand::u64(..),
            collector: None,
            started: None,
        }
    }
}

/// Where the services listen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Started {
    /// `POST /checkout`.
    pub gateway: SocketAddr,
    /// `POST /orders`.
    pub orders: SocketAddr,
    /// `POST /payments`.
    pub payments: SocketAddr,
}

/// Runs the shop until `shutdown`, or until the customers have had their orders. Whatever was begun is finished before
/// it returns.
///
/// # Errors
/// If a port or a log cannot be opened at the start.
pub async fn run(options: DemoOptions, shutdown: Shutdown) -> anyhow::Result<()> {
    let DemoOptions { logs, payment_timeout, .. } = options;
    for (key, addr) in [
        ("gateway-http", options.gateway_http),
        ("orders-http", options.orders_http),
        ("payments-http", options.payments_http),
    ] {
        anyhow::ensure!(
            options.insecure || addr.ip().to_canonical().is_loopback(),
            "--{key} is {addr}, which others than this machine can reach, and the shop asks nobody who they are; listen \
             on 127.0.0.1, or say --insecure if the network keeps everybody else away"
        );
    }
    std::fs::create_dir_all(&logs)
        .with_context(|| format!("cannot make the folder {}", logs.display()))?;
    // One stream of draws for each, so that none depends on when another draws.
    let mut rng = Rng::with_seed(options.seed);
    let customers_rng = rng.fork();
    let mut take = async |service, addr| {
        let ids = Arc::new(Ids::new(rng.fork()));
        let collector = options.collector.clone();
        let site = Site::take(service, addr, &logs, collector, ids.clone()).await?;
        anyhow::Ok((site, ids))
    };
    let (gateway, _) = take("gateway", options.gateway_http).await?;
    let (orders, orders_ids) = take("orders", options.orders_http).await?;
    let (payments, payments_ids) = take("payments", options.payments_http).await?;
    let started = Started { gateway: gateway.addr, orders: orders.addr, payments: payments.addr };
    // A proxy from the environment has nothing to do with calls within the machine.
    let client = Client::builder()
        .no_proxy()
        .tls_backend_preconfigured(service::tls::no_trust())
        .build()
        .context("cannot make an HTTP client")?;
    let peer = |service, addr, timeout| {
        let url = url(addr, service);
        Peer { service, url, client: client.clone(), timeout }
    };
    let gateway_does =
        Gateway { orders: peer("orders", started.orders, payment_timeout * 2 + ORDERS_MARGIN) };
    let orders_does =
        Orders { ids: orders_ids, payments: peer("payments", started.payments, payment_timeout) };
    let payments_does = Payments {
        ids: payments_ids,
        slow_after: payment_timeout / 2,
        slow_for: payment_timeout * 2,
    };
    let open = [
        gateway.serve(gateway_does.router()),
        orders.serve(orders_does.router()),
        payments.serve(payments_does.router()),
    ];
    if let Some(sender) = options.started {
        // Whoever asked may have stopped listening.
        let _ = sender.send(started);
    }
    let checkout = url(started.gateway, "checkout");
    let (rate, orders_max) = (options.rate, options.orders_max);
    customers::place_orders(customers_rng, rate, orders_max, client, checkout, &shutdown).await;
    // Callers before those whom they call, so that what is under way can be finished.
    let mut exports = JoinSet::new();
    for service in open {
        exports.spawn(service.close().await?);
    }
    exports.join_all().await;
    Ok(())
}

fn url(addr: SocketAddr, path: &str) -> Url {
    format!("http://{addr}/{path}").parse().expect("an address and a plain word make a URL")
}
