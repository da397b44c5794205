//! `logq-demo`: the shop as a program of its own.

use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::Context;
use clap::Parser;
use demo_services::{DemoOptions, Rate, run};
use service::shutdown::Shutdown;
use tokio::sync::oneshot;

/// Three small services and their customers, with logs to be followed from one to the next
#[derive(Debug, Parser)]
#[command(name = "logq-demo", version)]
struct Arguments {
    /// Folder for gateway.log, orders.log and payments.log; made if absent
    #[arg(long, value_name = "FOLDER")]
    logs: PathBuf,
    /// How often an order is placed: N/s, N/m or N/h; 0/s for none
    #[arg(long, default_value = "2/s")]
    rate: Rate,
    /// Stop after this many orders [default: go on until stopped]
    #[arg(long, value_name = "N")]
    orders: Option<u64>,
    /// Where the gateway listens
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8080")]
    gateway_http: SocketAddr,
    /// Where orders listens
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:0")]
    orders_http: SocketAddr,
    /// Where payments listens
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:0")]
    payments_http: SocketAddr,
    /// Listen beyond this machine, although the shop asks nobody who they are
    #[arg(long)]
    insecure: bool,
    /// Where the services send their spans, an OTLP receiver over HTTP [default: nowhere]
    #[arg(long, value_name = "URL", env = "LOGQ_INGEST_ADDR")]
    collector: Option<String>,
    /// Draw the same orders and correlation ids as another run [default: another one each time]
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    service::telemetry::init();
    let shutdown = Shutdown::on_signals().context("cannot listen for signals")?;
    let (sender, started) = oneshot::channel();
    let mut options = DemoOptions::new(arguments.logs);
    options.rate = arguments.rate;
    options.orders_max = arguments.orders;
    options.gateway_http = arguments.gateway_http;
    options.orders_http = arguments.orders_http;
    options.payments_http = arguments.payments_http;
    options.insecure = arguments.insecure;
    options.collector = arguments.collector;
    options.seed = arguments.seed.unwrap_or(options.seed);
    options.started = Some(sender);
    let ready = format!("  logs      {}\n  seed      {}\n", options.logs.display(), options.seed);
    tokio::spawn(async move {
        if let Ok(at) = started.await {
            // Whoever closed our output has no use for the addresses.
            let _ = writeln!(
                std::io::stdout(),
                "logq-demo is open\n  gateway   http://{}\n  orders    http://{}\n  payments  http://{}\n{ready}",
                at.gateway,
                at.orders,
                at.payments,
            );
        }
    });
    run(options, shutdown).await
}
