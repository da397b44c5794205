//! `logq-demo`: the shop as a program of its own.

use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use clap::builder::{PossibleValue, PossibleValuesParser};
use clap::{Args, Parser, Subcommand};
use demo_services::scenario::{self, SCENARIOS};
use demo_services::{DemoOptions, Rate, SWITCHES, ServiceOptions};
use reqwest::Url;
use service::shutdown::Shutdown;
use tokio::sync::oneshot;

/// A shop of small services, with logs to be followed from one to the next
#[derive(Debug, Parser)]
#[command(name = "logq-demo", version, arg_required_else_help = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs the whole shop in this process, with shoppers
    Up(Up),
    /// Runs some services in this process, beside others elsewhere
    Run(Run),
    /// Runs one pattern alone in a shop of its own, and sees whether it behaves as it should
    Scenario(Scenario),
    /// Turns a failure switch on
    Break(Switch),
    /// Turns a failure switch off
    Heal(Switch),
    /// Sends shoppers to a gateway
    Shoppers(Shoppers),
    /// Holds the accounts of all services against each other; exits with 1 if they do not add up
    Check(Check),
    /// Prints who calls whom, and who hears whom
    Topology,
}

#[derive(Debug, Args)]
struct Places {
    /// Folder for databases, one in it for each service; made if absent
    #[arg(long, value_name = "FOLDER", default_value = "logq-demo-data")]
    data: PathBuf,
    /// Folder for logs, one for each service; made if absent
    #[arg(long, value_name = "FOLDER", default_value = "logq-demo-logs")]
    logs: PathBuf,
    /// Where the services send their spans, an OTLP receiver over HTTP [default: nowhere]
    #[arg(long, value_name = "URL", env = "LOGQ_INGEST_ADDR")]
    collector: Option<String>,
    /// Listen beyond this machine, although the shop asks nobody who they are
    #[arg(long)]
    insecure: bool,
}

#[derive(Debug, Args)]
struct Up {
    #[command(flatten)]
    places: Places,
    /// How often an order is placed: N/s; 0/s for none
    #[arg(long, default_value = "2/s")]
    rate: Rate,
    /// Stop after this many orders [default: go on until stopped]
    #[arg(long, value_name = "N")]
    orders: Option<u64>,
    /// Where the gateway listens
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8080")]
    gateway_http: SocketAddr,
    /// Where the registry listens
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8081")]
    registry_http: SocketAddr,
    /// Draw the same orders and ids as another run; over a new data folder, for ids would come again [default: another one
    /// each time]
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
}

#[derive(Debug, Args)]
struct Run {
    /// Names of services, as `topology` prints them
    #[arg(required = true, value_name = "SERVICE")]
    services: Vec<String>,
    #[command(flatten)]
    places: Places,
    /// Which instance it is
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    number: u32,
    /// Where it listens
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:0")]
    http: SocketAddr,
    /// Where the registry is, if it is not one of the services
    #[arg(long, value_name = "URL", env = "LOGQ_DEMO_REGISTRY")]
    registry: Option<Url>,
}

#[derive(Debug, Args)]
struct Scenario {
    /// Which one
    #[arg(required_unless_present = "list")]
    name: Option<String>,
    /// Print their names, one a line
    #[arg(long)]
    list: bool,
    /// Where to send what it leaves behind, the ingest address of a logq [default: nowhere]
    #[arg(long, value_name = "URL", env = "LOGQ_INGEST_ADDR")]
    ingest: Option<String>,
}

#[derive(Debug, Args)]
struct Registry {
    /// Where the registry is
    #[arg(
        long,
        value_name = "URL",
        env = "LOGQ_DEMO_REGISTRY",
        default_value = "http://127.0.0.1:8081"
    )]
    registry: Url,
}

#[derive(Debug, Args)]
struct Switch {
    /// Which one
    #[arg(value_parser = switches())]
    name: String,
    #[command(flatten)]
    at: Registry,
}

/// Their names, each with what it breaks.
fn switches() -> PossibleValuesParser {
    let named =
        |(name, breaks): &(&'static str, &'static str)| PossibleValue::new(*name).help(*breaks);
    SWITCHES.iter().map(named).collect::<Vec<_>>().into()
}

#[derive(Debug, Args)]
struct Shoppers {
    /// Where the gateway is
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8080")]
    gateway: Url,
    /// How often an order is placed: N/s
    #[arg(long, default_value = "2/s")]
    rate: Rate,
    /// Stop after this many orders [default: go on until stopped]
    #[arg(long, value_name = "N")]
    orders: Option<u64>,
    /// Draw the same orders as another run [default: others each time]
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
}

#[derive(Debug, Args)]
struct Check {
    #[command(flatten)]
    at: Registry,
    /// How many seconds what is under way may take to its end
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    patience: u64,
}

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    let arguments = Arguments::parse();
    service::telemetry::init();
    match arguments.command {
        Command::Up(up) => run_whole(up).await?,
        Command::Run(run) => run_some(run).await?,
        Command::Scenario(scenario) => play(scenario).await?,
        Command::Break(Switch { name, at }) => turn(&at, &name, true).await?,
        Command::Heal(Switch { name, at }) => turn(&at, &name, false).await?,
        Command::Shoppers(shoppers) => send(shoppers).await?,
        Command::Check(Check { at, patience }) => {
            let findings = demo_services::check(at.registry, Duration::from_secs(patience)).await?;
            print(&findings.to_string());
            return Ok(ExitCode::from(u8::from(!findings.are_right())));
        }
        Command::Topology => print(&demo_services::topology()),
    }
    Ok(ExitCode::SUCCESS)
}

/// Whoever closed our output has no use for it.
fn print(text: &str) {
    let mut out = std::io::stdout();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

async fn run_whole(up: Up) -> anyhow::Result<()> {
    let shutdown = Shutdown::on_signals().context("cannot listen for signals")?;
    let (sender, started) = oneshot::channel();
    let Places { data, logs, collector, insecure } = up.places;
    let mut options = DemoOptions::new(data, logs);
    (options.rate, options.orders_max) = (up.rate, up.orders);
    (options.gateway_http, options.registry_http) = (up.gateway_http, up.registry_http);
    (options.insecure, options.collector) = (insecure, collector);
    if let Some(seed) = up.seed {
        let is_empty =
            std::fs::read_dir(&options.data).map_or(true, |mut files| files.next().is_none());
        anyhow::ensure!(
            is_empty,
            "--seed draws the same ids again, and {} has some of them; name an empty folder by --data",
            options.data.display()
        );
        options.seed = seed;
    }
    options.started = Some(sender);
    let more = format!(
        "  logs            {}\n  seed            {}\n",
        options.logs.display(),
        options.seed
    );
    tokio::spawn(async move {
        if let Ok(at) = started.await {
            print(&format!("logq-demo is open\n{}{more}", listed(&at.instances)));
        }
    });
    demo_services::run(options, shutdown).await
}

fn listed(instances: &[(String, SocketAddr)]) -> String {
    instances.iter().map(|(id, at)| format!("  {id:15} http://{at}\n")).collect()
}

async fn run_some(run: Run) -> anyhow::Result<()> {
    let shutdown = Shutdown::on_signals().context("cannot listen for signals")?;
    let (sender, started) = oneshot::channel::<Vec<(String, SocketAddr)>>();
    tokio::spawn(async move {
        if let Ok(instances) = started.await {
            print(&format!("logq-demo runs\n{}", listed(&instances)));
        }
    });
    let Places { data, logs, collector, insecure } = run.places;
    let options = ServiceOptions {
        services: run.services,
        number: run.number,
        http: run.http,
        registry: run.registry,
        data,
        logs,
        insecure,
        collector,
    };
    demo_services::run_services(options, sender, shutdown).await
}

async fn play(scenario: Scenario) -> anyhow::Result<()> {
    if scenario.list {
        let names: String =
            SCENARIOS.iter().map(|scenario| format!("{}\n", scenario.name)).collect();
        print(&names);
        return Ok(());
    }
    let named = scenario::named(&scenario.name.unwrap_or_default())?;
    print(&format!("{}: {}\n\n", named.name, named.shows));
    let report = named.play(scenario.ingest.as_deref()).await?;
    let mut text: String = report.saw.iter().map(|line| format!("  {line}\n")).collect();
    text.push_str("\nit behaved as it should\n");
    match report.shipped {
        Some(records) => {
            text.push_str(&format!("{records} records are shipped; to see it:\n\n"));
            for left in &report.left {
                text.push_str(&format!(
                    "  logq story {}    # {}\n",
                    left.correlation_id, left.title
                ));
            }
        }
        None => {
            text.push_str("to see it, run a logq and set LOGQ_INGEST_ADDR to its ingest address\n")
        }
    }
    print(&text);
    Ok(())
}

async fn turn(at: &Registry, switch: &str, on: bool) -> anyhow::Result<()> {
    demo_services::turn(&at.registry, switch, on).await?;
    print(&format!("{switch} is {}\n", if on { "broken" } else { "healed" }));
    Ok(())
}

async fn send(shoppers: Shoppers) -> anyhow::Result<()> {
    let shutdown = Shutdown::on_signals().context("cannot listen for signals")?;
    let rng = shoppers.seed.map_or_else(fastrand::Rng::new, fastrand::Rng::with_seed);
    let Shoppers { gateway, rate, orders, .. } = shoppers;
    let placed = demo_services::place_orders(gateway, rng, rate, orders, &shutdown).await;
    let demo_services::Placed { placed, completed, refused, accepted, failed } = placed;
    print(&format!(
        "{placed} orders: {completed} completed, {refused} refused, {accepted} under way, {failed} failed\n"
    ));
    Ok(())
}
