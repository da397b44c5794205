//! `bench shop`: the demo shop at rest, and a hundred orders a second through it with the whole pipeline beside it.
//!
//! At rest: `logq-demo up` without shoppers, all ten services in one process. Under load: `logq up --demo`, which is shop,
//! agent, collector, query and alerting in one process, and `logq-demo shoppers` as another one on the same cores. Orders
//! are placed on time, however long those before take. Afterwards the shop's accounts have to add up (`logq-demo check`),
//! and logq has to have a line about the end of each order that the gateway counted.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use jiff::Timestamp;
use serde_json::Value;

use crate::home::Home;
use crate::process::Usage;
use crate::report;
use crate::server::Installation;
use crate::table::Table;

const READY_TIMEOUT: Duration = Duration::from_secs(60);
/// How long what was written may take to be found, once all orders are answered.
const FOUND_TIMEOUT: Duration = Duration::from_secs(60);
const POLL_INTERVAL: Duration = Duration::from_millis(50);
/// Between the start and the measure at rest.
const SETTLING: Duration = Duration::from_secs(5);
/// What the gateway says when an order has ended.
const ENDS: [&str; 3] = ["checkout completed", "checkout failed", "checkout is under way"];

/// What to measure.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct ShopOptions {
    /// Orders a second
    #[arg(long, default_value_t = 100)]
    rate: u32,
    /// How many orders
    #[arg(long, default_value_t = 6_000)]
    orders: u64,
    /// How long it is looked at at rest
    #[arg(long, default_value_t = 30)]
    rest_seconds: u64,
    /// The server's binary; `logq-demo` has to be beside it [default: `logq` beside this program]
    #[arg(long)]
    logq: Option<PathBuf>,
    /// Folder for the report
    #[arg(long)]
    pub(crate) results: Option<PathBuf>,
}

/// What was measured.
#[derive(Debug)]
pub(crate) struct ShopResults {
    options: ShopOptions,
    rest: Rest,
    load: Load,
}

#[derive(Debug)]
struct Rest {
    cores: f64,
    memory_peak_bytes: u64,
}

#[derive(Debug)]
struct Load {
    /// From the first order to the last answer.
    took: Duration,
    /// `6000 orders: …`
    said: String,
    server: Duration,
    shoppers: Duration,
    memory_peak_bytes: u64,
    /// Milliseconds that the gateway took for an order that was completed.
    completed: [f64; 2],
    /// Until logq had all lines, from the last answer.
    found_after: Duration,
    ends: u64,
    records: u64,
    checked: String,
}

/// A process that is killed when it is dropped, and what it says.
struct Running {
    child: Child,
    lines: Receiver<String>,
}

impl Running {
    fn start(command: &mut Command) -> anyhow::Result<Self> {
        let started = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn();
        let mut child = started.with_context(|| format!("cannot start {command:?}"))?;
        let stdout = child.stdout.take().context("stdout was asked for")?;
        let (sender, lines) = mpsc::channel();
        std::thread::spawn(move || {
            // Read to the end, so that it never waits for us; nobody may listen any more.
            BufReader::new(stdout).lines().map_while(Result::ok).for_each(|line| {
                let _ = sender.send(line);
            });
        });
        Ok(Self { child, lines })
    }

    /// What it says up to the line that has this.
    fn says(&self, last: &str) -> anyhow::Result<Vec<String>> {
        let deadline = Instant::now() + READY_TIMEOUT;
        let mut said = Vec::new();
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let line = self.lines.recv_timeout(left);
            said.push(line.with_context(|| format!("it did not say {last:?}, but {said:?}"))?);
            if said.last().is_some_and(|line| line.contains(last)) {
                return Ok(said);
            }
        }
    }

    fn usage(&self) -> anyhow::Result<Usage> {
        Usage::of(self.child.id())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Both fail only for a child that has been waited for, which is then gone.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Measures.
///
/// # Errors
/// When something cannot be run, the accounts do not add up, or a line is missing.
pub(crate) async fn run(options: &ShopOptions) -> anyhow::Result<ShopResults> {
    let home = Home::open(None)?;
    let installation = Installation::new(options.logq.as_deref(), home.path())?;
    let demo = installation.binary().with_file_name("logq-demo");
    ensure!(
        demo.is_file(),
        "no shop at {}: build it with `cargo build --release -p demo-services`",
        demo.display()
    );
    let rest = rest(&demo, &home, Duration::from_secs(options.rest_seconds))?;
    let load = load(&installation, &demo, &home, options).await?;
    Ok(ShopResults { options: options.clone(), rest, load })
}

fn rest(demo: &Path, home: &Home, time: Duration) -> anyhow::Result<Rest> {
    let anywhere = "127.0.0.1:0";
    let mut command = Command::new(demo);
    command.args(["up", "--rate", "0/s", "--gateway-http", anywhere, "--registry-http", anywhere]);
    command.arg("--data").arg(home.path().join("rest")).arg("--logs").arg(home.path().join("logs"));
    let shop = Running::start(command.stderr(Stdio::null()))?;
    shop.says("seed")?;
    std::thread::sleep(SETTLING);
    let (before, began) = (shop.usage()?, Instant::now());
    std::thread::sleep(time);
    let after = shop.usage()?;
    Ok(Rest {
        cores: (after.cpu - before.cpu).as_secs_f64() / began.elapsed().as_secs_f64(),
        memory_peak_bytes: after.memory_peak_bytes,
    })
}

async fn load(
    installation: &Installation,
    demo: &Path,
    home: &Home,
    options: &ShopOptions,
) -> anyhow::Result<Load> {
    let log = std::fs::File::create(installation.log()).context("cannot write a log")?;
    let mut command = Command::new(installation.binary());
    command.args(["up", "--demo", "--demo-http", "127.0.0.1:0"]).stderr(log);
    command.arg("--data").arg(installation.data());
    command.arg("--config").arg(home.path().join("logq.toml"));
    let server = Running::start(command.env("LOGQ__AGENT__HTTP", "127.0.0.1:0"))?;
    let said = server.says("| sort timestamp'")?;
    let word = |name: &str| {
        let line = said.iter().find_map(|line| line.trim().strip_prefix(name));
        line.map(|line| line.trim().split(',').next().unwrap_or_default().to_owned())
            .with_context(|| format!("it does not say where {name} is: {said:?}"))
    };
    let (query, checkout, broken) = (word("query")?, word("shop")?, word("break it")?);
    let gateway = checkout.trim_end_matches("/checkout");

    let mut shoppers = Command::new(demo);
    shoppers.args(["shoppers", "--gateway", gateway]);
    shoppers.args(["--rate", &format!("{}/s", options.rate)]);
    shoppers.args(["--orders", &options.orders.to_string()]).stderr(Stdio::null());
    let (before, began) = (server.usage()?, Instant::now());
    let mut shoppers = Running::start(&mut shoppers)?;
    let mut by_shoppers = Duration::ZERO;
    while shoppers.child.try_wait()?.is_none() {
        // What it had at the end is not to be read any more: a poll too little is missing.
        by_shoppers = shoppers.usage().map_or(by_shoppers, |usage| usage.cpu);
        std::thread::sleep(POLL_INTERVAL);
    }
    let (took, after) = (began.elapsed(), server.usage()?);
    let said = shoppers.says("orders:")?.pop().unwrap_or_default();

    let ended = ENDS.map(|end| format!("\"{end}\"")).join(" OR ");
    let count = format!("service:gateway ({ended}) | stats count() as n");
    let ask = |query_text: &str| ask(installation.binary(), &query, query_text);
    // The demo's own shoppers go on: what is found lies between what was counted before and after.
    let ends = loop {
        let before = counted(gateway).await?;
        let found = ask(&count)?["n"].as_u64().unwrap_or(0);
        if (before..=counted(gateway).await?).contains(&found) {
            break found;
        }
        let late = began.elapsed() - took;
        ensure!(late < FOUND_TIMEOUT, "the gateway counted {before} orders, and {found} are found");
        std::thread::sleep(POLL_INTERVAL);
    };
    let found_after = began.elapsed() - took;
    let times = ask(
        "service:gateway \"checkout completed\" | stats p50(duration_ms) as p50, p99(duration_ms) as p99",
    )?;
    let time = |name: &str| times[name].as_f64().with_context(|| format!("no {name} in {times}"));
    let records = ask("* | stats count() as n")?["n"].as_u64().unwrap_or(0);
    let memory_peak_bytes = server.usage()?.memory_peak_bytes;

    let mut check = Command::new(demo);
    check.args(["check", "--patience", "60"]);
    check.args(broken.split_whitespace().skip_while(|word| *word != "--registry"));
    let checked = check.output().context("cannot run the checker")?;
    let text = String::from_utf8_lossy(&checked.stdout).into_owned();
    ensure!(checked.status.success(), "the accounts do not add up:\n{text}");
    Ok(Load {
        took,
        said,
        server: after.cpu - before.cpu,
        shoppers: by_shoppers,
        memory_peak_bytes,
        completed: [time("p50")?, time("p99")?],
        found_after,
        ends,
        records,
        checked: text,
    })
}

/// Orders that the gateway has answered, as its metrics say.
async fn counted(gateway: &str) -> anyhow::Result<u64> {
    let answer = crate::http::client().get(format!("{gateway}/metrics")).send().await;
    let text = answer.context("the gateway tells no metrics")?.text().await?;
    let is_order = |line: &&str| {
        line.starts_with("http_server_request_duration_seconds_count{")
            && line.contains("http_route=\"/checkout\"")
    };
    let count = |line: &str| line.rsplit(' ').next()?.parse::<u64>().ok();
    Ok(text.lines().filter(is_order).filter_map(count).sum())
}

/// The one row of a query's answer.
fn ask(logq: &Path, server: &str, query: &str) -> anyhow::Result<Value> {
    let mut command = Command::new(logq);
    command.args([query, "--addr", server, "-o", "json", "--since", "1d"]);
    let output = command.output().context("cannot ask logq")?;
    if !output.status.success() {
        bail!("{query:?} failed: {}", String::from_utf8_lossy(&output.stderr));
    }
    let row = String::from_utf8_lossy(&output.stdout).lines().next().map(serde_json::from_str);
    row.context("there is no row")?.context("a row is no JSON")
}

impl ShopResults {
    /// Everything that was measured, to be read.
    pub(crate) fn text(&self) -> String {
        let Self { options, rest, load } = self;
        let mut table = Table::new(["what", "figure", "aim"]);
        let mut row = |what: &str, figure: String, aim: &str| {
            table.add([what.to_owned(), figure, aim.to_owned()]);
        };
        let mb = |bytes: u64| format!("{:.0} MB", bytes as f64 / 1e6);
        row("at rest: memory, peak", mb(rest.memory_peak_bytes), "under 150 MB");
        row("at rest: CPU", format!("{:.2} % of a core", rest.cores * 100.0), "under 5 %");
        let seconds = load.took.as_secs_f64();
        let rate = options.orders as f64 / seconds;
        row("under load: first order to last answer", format!("{seconds:.1} s"), "");
        row("orders answered a second", format!("{rate:.1}"), "");
        row("what became of them", load.said.clone(), "");
        let [p50, p99] = load.completed;
        row("completed orders, at the gateway", format!("p50 {p50:.0} ms, p99 {p99:.0} ms"), "");
        let cores = |time: Duration| time.as_secs_f64() / seconds;
        row("CPU of shop and pipeline", format!("{:.2} cores", cores(load.server)), "");
        row("CPU of the generator", format!("{:.2} cores", cores(load.shoppers)), "two with both");
        row("memory of shop and pipeline, peak", mb(load.memory_peak_bytes), "");
        row(
            "logq has all of it after the last answer",
            format!("{:.2} s", load.found_after.as_secs_f64()),
            "",
        );
        row("ends of orders, counted and found", load.ends.to_string(), "equal");
        row("records in all", load.records.to_string(), "");
        format!(
            "{} orders, {} a second, beside the demo's own shoppers, on {}; at rest for {} s\n\n{table}\n```text\n{}\n```\n",
            options.orders,
            options.rate,
            report::cores(),
            options.rest_seconds,
            load.checked.trim_end(),
        )
    }

    /// Writes the page and gives its path.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(crate) fn write(&self, folder: &Path) -> anyhow::Result<PathBuf> {
        let date = Timestamp::now().strftime("%Y-%m-%d").to_string();
        let path = folder.join(format!("{date}-shop.md"));
        let page = format!(
            "# The demo shop, {date}\n\nMade with `cargo run --release -p bench -- shop`.\n\n{}",
            self.text()
        );
        report::write(&path, &page)?;
        Ok(path)
    }

    /// # Errors
    /// When an aim is missed.
    pub(crate) fn check(&self) -> anyhow::Result<()> {
        let Self { options, rest, load } = self;
        ensure!(rest.memory_peak_bytes < 150_000_000, "at rest it has more than 150 MB");
        ensure!(rest.cores < 0.05, "at rest it takes more than a twentieth of a core");
        // The slowest card has its answer after some three seconds.
        let aim = Duration::from_secs_f64(options.orders as f64 / f64::from(options.rate) + 5.0);
        ensure!(load.took < aim, "the orders took {:?}, longer than {aim:?}", load.took);
        Ok(())
    }
}
