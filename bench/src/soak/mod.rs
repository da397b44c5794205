//! `bench soak`: minutes of records at a steady rate, questions meanwhile, `kill -9` at random moments.
//!
//! Two agents send named batches in order, each again until it is acknowledged, also across kills. A run fails when a
//! record is missing or there twice, an answer is wrong, the rate is not reached, `logq audit` does not add up, or
//! memory has a trend. Every wait has a deadline.

mod account;
mod killer;
mod progress;
mod querier;
mod raw;
mod report;
mod sender;
mod stream;
mod trend;
mod watch;

use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use tokio::task::JoinHandle;

use self::killer::Kill;
use self::progress::Progress;
use self::querier::Asked;
pub(crate) use self::report::SoakResult;
use self::sender::{Delivered, Lane};
use self::stream::{LANES, Stream};
use self::trend::Trend;
use self::watch::Second;
use crate::corpus::SEED_DEFAULT;
use crate::home::Home;
use crate::process::Usage;
use crate::server::{Installation, Server};

/// What is sent late may take this long beyond the wanted time, or as long again.
const OVERTIME_MIN: Duration = Duration::from_secs(120);
/// Lines of the server's log that a failed run shows.
const LOG_LINES: usize = 40;
const LOG_BYTES_READ: u64 = 64 << 10;

/// How long, how much, how rough.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct SoakOptions {
    /// Seconds in which records are due
    #[arg(long, default_value_t = 600, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    seconds: u64,
    /// Million bytes of JSON lines a second
    #[arg(long, default_value_t = 20.0, value_parser = parse_positive)]
    megabytes_per_second: f64,
    /// Mean seconds between two kills; 0 for none
    #[arg(long, default_value_t = 45, value_parser = clap::value_parser!(u64).range(0..=86_400))]
    kills_every: u64,
    /// Seed of the records, the kills and the questions
    #[arg(long, default_value_t = SEED_DEFAULT)]
    seed: u64,
    /// The server's binary [default: `logq` beside this program]
    #[arg(long)]
    logq: Option<PathBuf>,
    /// Folder for the data, kept afterwards
    #[arg(long)]
    keep: Option<PathBuf>,
    /// Also write `DATE-soak.txt` into this folder
    #[arg(long)]
    pub(crate) results: Option<PathBuf>,
}

/// What the parts of a run brought back.
#[derive(Debug)]
struct Run {
    server: Option<Server>,
    kills: Vec<Kill>,
    delivered: Delivered,
    /// From the beginning to the last acknowledgement.
    elapsed: Duration,
    asked: Asked,
    seconds: Vec<Second>,
    own_cpu: Duration,
}

/// Runs it. What does not hold is in the result.
///
/// # Errors
/// When it could not begin.
pub(crate) async fn run(options: &SoakOptions) -> anyhow::Result<SoakResult> {
    let home = Home::open(options.keep.as_deref())?;
    let installation = Installation::new(options.logq.as_deref(), home.path())?;
    ensure!(
        !installation.data().exists(),
        "{} has data already; name an empty folder",
        home.path().display()
    );
    installation.fix_ports()?;
    let stream = Arc::new(Stream::generate(options.seed, options.bytes_per_second())?);
    let server = installation.start()?;
    let (ingest, query) = (server.ingest.clone(), server.query.clone());
    let progress = Arc::new(Progress::new());
    progress.up(1, server.pid());
    // Told at once: a run that is broken off can be repeated.
    let _ = writeln!(std::io::stderr(), "seed {}, ingest {ingest}, query {query}", options.seed);

    let run = go(options, &installation, server, &stream, &progress).await?;
    let (mut checks, mut at_rest) = (Vec::new(), Vec::new());
    let mut stopped = Err("the server did not run at the end".to_owned());
    if let Some(server) = run.server {
        (checks, at_rest) =
            account::check(&installation, &server, options.seed, &stream, &progress).await;
        stopped = server
            .stop()
            .map(|elapsed| format!("after {:.2} s", elapsed.as_secs_f64()))
            .map_err(|error| format!("{error:#}"));
    }
    checks.push(("SIGTERM ends it with success", stopped));
    let mut result = SoakResult {
        seed: options.seed,
        wanted_mb_per_s: options.megabytes_per_second,
        batches_due: options.batches_total(&stream),
        batches_acknowledged: progress.acknowledged().iter().sum(),
        records: progress.acknowledged_records(),
        raw_bytes: progress.acknowledged_bytes(),
        elapsed: run.elapsed,
        delivered: run.delivered,
        kills: run.kills,
        asked: run.asked,
        at_rest,
        trend: Trend::of(&run.seconds),
        seconds: run.seconds,
        own_cpu: run.own_cpu,
        checks,
        faults: progress.faults(),
        server_log: String::new(),
    };
    result.judge();
    if !result.holds() {
        result.server_log = last_lines(&installation.log()).unwrap_or_default();
    }
    Ok(result)
}

/// Lets all parts go, and gathers them again when the last batch is acknowledged.
async fn go(
    options: &SoakOptions,
    installation: &Installation,
    server: Server,
    stream: &Arc<Stream>,
    progress: &Arc<Progress>,
) -> anyhow::Result<Run> {
    let (ingest, query) = (server.ingest.clone(), server.query.clone());
    let own_before = Usage::of_self()?.cpu;
    let due = Duration::from_secs(options.seconds);
    let deadline = progress.begun + due + due.max(OVERTIME_MIN);
    let lanes: Vec<JoinHandle<Delivered>> = (0..LANES)
        .map(|number| Lane {
            number,
            ingest: ingest.clone(),
            batches_total: options.batches_total(stream),
            deadline,
        })
        .map(|lane| tokio::spawn(lane.run(Arc::clone(stream), Arc::clone(progress))))
        .collect();
    let watcher =
        tokio::spawn(watch::run(installation.data(), ingest.clone(), Arc::clone(progress)));
    let mean = (options.kills_every > 0).then(|| Duration::from_secs(options.kills_every));
    let killer = tokio::spawn(killer::run(
        installation.clone(),
        server,
        mean,
        options.seed,
        Arc::clone(progress),
    ));
    let asking = {
        let (stream, progress, seed) = (Arc::clone(stream), Arc::clone(progress), options.seed);
        tokio::task::spawn_blocking(move || querier::run(&query, seed, &stream, &progress))
    };

    let mut delivered = Delivered::default();
    for lane in lanes {
        match lane.await {
            Ok(of_lane) => delivered.add(of_lane),
            Err(error) => progress.abort(format!("an agent's task ended: {error}")),
        }
    }
    let elapsed = progress.begun.elapsed();
    progress.end();
    let asked = asking.await.context("the thread that asks ended")?;
    let asked = asked.unwrap_or_else(|error| {
        progress.fault(format!("nothing was asked: {error:#}"));
        Asked::default()
    });
    let (server, kills) = killer.await.context("the task that kills ended")?;
    let seconds = watcher.await.context("the task that watches ended")?;
    let own_cpu = Usage::of_self()?.cpu - own_before;
    Ok(Run { server, kills, delivered, elapsed, asked, seconds, own_cpu })
}

impl SoakOptions {
    fn bytes_per_second(&self) -> f64 {
        self.megabytes_per_second * 1e6
    }

    /// Batches that are due within the time; at least one for each lane.
    fn batches_total(&self, stream: &Stream) -> u64 {
        let due = Duration::from_secs(self.seconds);
        let beyond = (LANES as u64..).find(|number| stream.due(*number) >= due);
        beyond.unwrap_or(LANES as u64)
    }
}

fn last_lines(path: &std::path::Path) -> std::io::Result<String> {
    use std::io::{Read, Seek, SeekFrom};
    let mut file = std::fs::File::open(path)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(LOG_BYTES_READ)))?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<&str> = text.lines().collect();
    Ok(lines[lines.len().saturating_sub(LOG_LINES)..].join("\n"))
}

fn parse_positive(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(number) if (0.1..=10_000.0).contains(&number) => Ok(number),
        _ => Err("expected a number from 0.1 to 10000".to_owned()),
    }
}

impl SoakResult {
    /// # Errors
    /// When something does not hold.
    pub(crate) fn check(&self) -> anyhow::Result<()> {
        if !self.holds() {
            bail!(
                "the soak does not hold; what failed stands above, and seed {} repeats it",
                self.seed
            );
        }
        Ok(())
    }
}
