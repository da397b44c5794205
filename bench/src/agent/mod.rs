//! `bench agent`: the real `logq-agent` shipping, idle, and following many files; rsyslog beside it in the same run.
//!
//! All ship the same file, which is there when they start: the corpus as JSON lines, read as text (`raw`), as JSON,
//! and by a pattern with named groups. Against `logq up`, which answers when a batch is durable; and, because the
//! server works on the same cores, against receivers that throw everything away. Rounds go over all subjects before
//! the next one begins, so that a machine that changes its speed changes it for all.

mod child;
mod discard;
mod report;

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use serde::Serialize;

use self::child::{Agent, Measured, Queue};
use self::discard::Discard;
use crate::corpus::{CorpusOptions, Generator, SEED_DEFAULT};
use crate::home::Home;
use crate::server::Installation;
use crate::settle;

/// Megabytes are a million bytes of lines as they stand in the file.
const MEGABYTE: f64 = 1_000_000.0;
/// As many as make 200 MB.
const RECORDS_DEFAULT: u64 = 484_000;
/// Longer than any run takes on a machine that is busy with other things.
const TIMEOUT: Duration = Duration::from_secs(300);
const POLL_INTERVAL: Duration = Duration::from_millis(5);
/// After this the memory of an idle process is read.
const IDLE: Duration = Duration::from_secs(10);
/// Until processes that have read many files are at rest.
const SETTLE: Duration = Duration::from_secs(10);
/// Over this the CPU time of those that follow many files is taken.
const WINDOW: Duration = Duration::from_secs(30);
/// Reads a line of the corpus as far as its message.
const PATTERN: &str = r#"^\{"timestamp":"(?<time>[^"]+)","level":"(?<level>[a-z]+)","service":"(?<service>[^"]+)","host":"(?<host>[^"]+)","correlation_id":"(?<correlation_id>[^"]+)","trace_id":"(?<trace_id>[0-9a-f]+)","span_id":"(?<span_id>[0-9a-f]+)","message":"(?<message>(?:[^"\\]|\\.)*)""#;

/// What to measure.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct AgentOptions {
    /// Records of the file that is shipped
    #[arg(long, default_value_t = RECORDS_DEFAULT, value_parser = clap::value_parser!(u64).range(1..))]
    records: u64,
    /// Seed of the corpus
    #[arg(long, default_value_t = SEED_DEFAULT)]
    seed: u64,
    /// How often each figure is taken; the median counts
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=99))]
    rounds: u16,
    /// Files that are followed idle
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    files: u32,
    /// The agent's binary [default: `logq-agent` beside this program]
    #[arg(long)]
    agent: Option<PathBuf>,
    /// The server's binary [default: `logq` beside this program]
    #[arg(long)]
    logq: Option<PathBuf>,
    /// Also write `DATE-agent.md` and its raw figures into this folder
    #[arg(long)]
    pub(crate) results: Option<PathBuf>,
}

/// Who ships what to whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Subject {
    /// To `logq up`.
    Agent {
        format: &'static str,
    },
    /// To a receiver that answers at once and keeps nothing.
    AgentAlone {
        format: &'static str,
    },
    Rsyslog(Queue),
}

/// Those that are measured; rsyslog only where it is installed.
const SUBJECTS: [(&str, Subject); 7] = [
    ("logq-agent, raw, to logq", Subject::Agent { format: "raw" }),
    ("logq-agent, json, to logq", Subject::Agent { format: "json" }),
    ("logq-agent, regex, to logq", Subject::Agent { format: "regex" }),
    ("logq-agent, raw, to a receiver that discards", Subject::AgentAlone { format: "raw" }),
    ("logq-agent, json, to a receiver that discards", Subject::AgentAlone { format: "json" }),
    ("rsyslog, queue in memory, to a listener that discards", Subject::Rsyslog(Queue::Memory)),
    ("rsyslog, queue on disk, to a listener that discards", Subject::Rsyslog(Queue::Disk)),
];

/// Everything that was measured. Units are in the names; `_mb` is 1,000,000 bytes.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct AgentResult {
    records: u64,
    seed: u64,
    raw_bytes: u64,
    /// Of other work on the machine, over the minute before.
    load_average_before: f64,
    rsyslog_version: Option<String>,
    shipping: Vec<Shipping>,
    idle: Vec<Resting>,
    many_files: u32,
    following: Vec<Resting>,
    binary_bytes: u64,
    /// Without debug information and symbols; absent where there is no `strip`.
    binary_stripped_bytes: Option<u64>,
}

/// One subject that ships the file.
#[derive(Clone, Debug, Serialize)]
struct Shipping {
    what: &'static str,
    runs: Vec<ShippingRun>,
}

/// From the start of the process to the last acknowledgement, or to the last byte at a receiver that gives none.
#[derive(Clone, Copy, Debug, Serialize)]
struct ShippingRun {
    elapsed_s: f64,
    cpu_s: f64,
    memory_peak_bytes: u64,
    /// Of the server; absent where the receiver is part of this program.
    server_cpu_s: Option<f64>,
}

/// A process that has nothing to do.
#[derive(Clone, Debug, Serialize)]
struct Resting {
    what: &'static str,
    runs: Vec<RestingRun>,
}

#[derive(Clone, Copy, Debug, Serialize)]
struct RestingRun {
    memory_bytes: u64,
    memory_peak_bytes: u64,
    /// Share of one core over the time that it was watched.
    cpu_share: f64,
}

/// Where everything is.
struct Bench<'a> {
    options: &'a AgentOptions,
    home: &'a Path,
    agent: PathBuf,
    rsyslogd: Option<PathBuf>,
    corpus: PathBuf,
    corpus_bytes: u64,
}

/// Measures.
///
/// # Errors
/// When a program cannot be run, and when a single record is not accounted for.
pub(crate) async fn run(options: &AgentOptions) -> anyhow::Result<AgentResult> {
    let load_average_before = load_average()?;
    let home = Home::open(None)?;
    let agent = match &options.agent {
        Some(path) => path.clone(),
        None => std::env::current_exe()?.with_file_name("logq-agent"),
    };
    if !agent.is_file() {
        bail!("no agent at {}: build it with `cargo build --release -p agent`", agent.display());
    }
    let corpus = home.path().join("app.log");
    let corpus_bytes = write_corpus(options, &corpus)?;
    let rsyslogd = child::installed("rsyslogd");
    let bench = Bench { options, home: home.path(), agent, rsyslogd, corpus, corpus_bytes };
    let shipping = bench.shipping().await?;
    let small = home.path().join("small");
    let idle = bench.resting("idle", &small, 1, IDLE, Duration::ZERO).await?;
    let many = home.path().join("many");
    let following = bench.resting("following", &many, options.files, SETTLE, WINDOW).await?;
    let (binary_bytes, binary_stripped_bytes) = bench.binary_sizes()?;
    Ok(AgentResult {
        records: options.records,
        seed: options.seed,
        raw_bytes: bench.corpus_bytes,
        load_average_before,
        rsyslog_version: bench.rsyslog_version(),
        shipping,
        idle,
        many_files: options.files,
        following,
        binary_bytes,
        binary_stripped_bytes,
    })
}

fn load_average() -> anyhow::Result<f64> {
    let text = fs::read_to_string("/proc/loadavg").context("cannot read /proc/loadavg")?;
    let first = text.split_whitespace().next().and_then(|load| load.parse().ok());
    first.context("/proc/loadavg has another form than proc(5) says")
}

fn write_corpus(options: &AgentOptions, path: &Path) -> anyhow::Result<u64> {
    let file = File::create(path).context("cannot write the corpus")?;
    let mut out = BufWriter::new(file);
    let mut line = Vec::new();
    for entry in Generator::new(&CorpusOptions { records: options.records, seed: options.seed }) {
        line.clear();
        entry.write_line(&mut line);
        out.write_all(&line)?;
    }
    // Writing it back must not fall into the first run.
    out.into_inner()?.sync_all()?;
    Ok(fs::metadata(path)?.len())
}

impl Bench<'_> {
    async fn shipping(&self) -> anyhow::Result<Vec<Shipping>> {
        let there = |subject| self.rsyslogd.is_some() || !matches!(subject, Subject::Rsyslog(_));
        let subjects = SUBJECTS.iter().filter(|(_, subject)| there(*subject));
        let mut all: Vec<_> = subjects
            .map(|(what, subject)| (subject, Shipping { what, runs: Vec::new() }))
            .collect();
        for round in 0..self.options.rounds {
            for (number, (subject, shipping)) in all.iter_mut().enumerate() {
                let home = self.home.join(format!("shipping-{round}-{number}"));
                let run = match subject {
                    Subject::Agent { format } => self.ship_to_logq(&home, format).await,
                    Subject::AgentAlone { format } => self.ship_alone(&home, format).await,
                    Subject::Rsyslog(queue) => self.ship_by_rsyslog(&home, *queue).await,
                };
                let run = run.with_context(|| shipping.what)?;
                eprintln!("{}: {:.2} s, {:.2} s of CPU", shipping.what, run.elapsed_s, run.cpu_s);
                shipping.runs.push(run);
                fs::remove_dir_all(&home).context("cannot remove what a run left")?;
            }
        }
        Ok(all.into_iter().map(|(_, shipping)| shipping).collect())
    }

    async fn ship_to_logq(&self, home: &Path, format: &str) -> anyhow::Result<ShippingRun> {
        let installation = Installation::new(self.options.logq.as_deref(), &home.join("server"))?;
        let server = installation.start()?;
        let (run, records) = self.ship(home, format, &server.ingest).await?;
        let server_cpu = server.usage()?.cpu;
        let ledger = settle::ledger(&crate::http::client(), &server.ingest).await?;
        if ledger.accepted != records {
            bail!("{records} records were acknowledged, and the server has {}", ledger.accepted);
        }
        server.stop()?;
        Ok(ShippingRun { server_cpu_s: Some(server_cpu.as_secs_f64()), ..run })
    }

    async fn ship_alone(&self, home: &Path, format: &str) -> anyhow::Result<ShippingRun> {
        let receiver = Discard::http()?;
        let (run, _) = self.ship(home, format, &format!("http://{}", receiver.addr)).await?;
        if receiver.received() == 0 {
            bail!("nothing arrived");
        }
        Ok(run)
    }

    /// Gives also how many records were acknowledged, the agent's own among them.
    async fn ship(
        &self,
        home: &Path,
        format: &str,
        collector: &str,
    ) -> anyhow::Result<(ShippingRun, u64)> {
        let pattern = match format {
            "regex" => format!("pattern = '''{PATTERN}'''\n"),
            _ => String::new(),
        };
        let source = format!("include = [{:?}]\nformat = {format:?}\n{pattern}", self.corpus);
        let agent = Agent::start(&self.agent, home, collector, &source)?;
        let status = agent.until_acknowledged(self.options.records, TIMEOUT).await?;
        let run = ended(&agent.process)?;
        let unparsed: u64 = status.sources.iter().map(|source| source.unparsed).sum();
        if status.ledger.read != self.options.records || unparsed > 0 {
            bail!("of {} lines: {status:?}", self.options.records);
        }
        agent.process.stop()?;
        Ok((run, status.ledger.acknowledged))
    }

    async fn ship_by_rsyslog(&self, home: &Path, queue: Queue) -> anyhow::Result<ShippingRun> {
        let receiver = Discard::stream()?;
        let process = self.start_rsyslog(home, &self.corpus, &receiver, queue)?;
        until_received(&receiver, self.corpus_bytes, &process).await?;
        ended(&process)
    }

    fn start_rsyslog(
        &self,
        home: &Path,
        file: &Path,
        to: &Discard,
        queue: Queue,
    ) -> anyhow::Result<Measured> {
        let program = self.rsyslogd.as_deref().context("rsyslog is not installed")?;
        child::rsyslog(program, home, file, to.addr, queue)
    }

    /// Processes that have read `files` small files, at rest for `settle` and then watched for `window`. rsyslog
    /// only with one.
    async fn resting(
        &self,
        what: &str,
        folder: &Path,
        files: u32,
        settle: Duration,
        window: Duration,
    ) -> anyhow::Result<Vec<Resting>> {
        const LINE: &str = "2026-01-01T00:00:00Z INFO ready\n";
        for file in 0..files {
            let folder = folder.join(format!("{:03}", file % 100));
            fs::create_dir_all(&folder)?;
            fs::write(folder.join(format!("{file}.log")), LINE)?;
        }
        let glob = folder.join("*/*.log");
        let mut agent = Resting { what: "logq-agent", runs: Vec::new() };
        let mut rsyslog = Resting { what: "rsyslog", runs: Vec::new() };
        for round in 0..self.options.rounds {
            let home = self.home.join(format!("{what}-{round}"));
            let server =
                Installation::new(self.options.logq.as_deref(), &home.join("server"))?.start()?;
            let source = format!("include = [{glob:?}]\n");
            let started = Agent::start(&self.agent, &home, &server.ingest, &source)?;
            let status = started.until_acknowledged(u64::from(files), TIMEOUT).await?;
            if status.sources.iter().map(|source| source.files_known).sum::<usize>()
                > files as usize
            {
                bail!("there are {files} files: {status:?}");
            }
            agent.runs.push(rest(&started.process, settle, window).await?);
            started.process.stop()?;
            server.stop()?;
            if self.rsyslogd.is_some() && files == 1 {
                let receiver = Discard::stream()?;
                let home = home.join("rsyslog");
                let process = self.start_rsyslog(&home, &glob, &receiver, Queue::Memory)?;
                until_received(&receiver, LINE.len() as u64, &process).await?;
                rsyslog.runs.push(rest(&process, settle, window).await?);
            }
            fs::remove_dir_all(&home)?;
            eprintln!("{what} {files} files: round {} is done", round + 1);
        }
        let measured = [agent, rsyslog].into_iter().filter(|it| !it.runs.is_empty());
        Ok(measured.collect())
    }

    fn binary_sizes(&self) -> anyhow::Result<(u64, Option<u64>)> {
        let stripped = self.home.join("stripped");
        let strip = Command::new("strip").arg("-o").arg(&stripped).arg(&self.agent).status();
        let stripped = match strip {
            Ok(status) if status.success() => Some(fs::metadata(&stripped)?.len()),
            _ => None,
        };
        Ok((fs::metadata(&self.agent)?.len(), stripped))
    }

    fn rsyslog_version(&self) -> Option<String> {
        let said = Command::new(self.rsyslogd.as_ref()?).arg("-v").output().ok()?.stdout;
        let said = String::from_utf8_lossy(&said).into_owned();
        said.split_whitespace().nth(1).map(str::to_owned)
    }
}

/// What a run took, at its end.
fn ended(process: &Measured) -> anyhow::Result<ShippingRun> {
    let elapsed = process.spawned.elapsed();
    let usage = process.usage()?;
    Ok(ShippingRun {
        elapsed_s: elapsed.as_secs_f64(),
        cpu_s: usage.cpu.as_secs_f64(),
        memory_peak_bytes: usage.memory_peak_bytes,
        server_cpu_s: None,
    })
}

async fn until_received(receiver: &Discard, bytes: u64, from: &Measured) -> anyhow::Result<()> {
    while receiver.received() < bytes {
        if from.spawned.elapsed() > TIMEOUT {
            bail!("{} of {bytes} bytes arrived in time", receiver.received());
        }
        tokio::time::sleep(POLL_INTERVAL).await;
    }
    Ok(())
}

/// Leaves it alone for `settle`, and watches it for `window`; without a window, for the whole time.
async fn rest(
    process: &Measured,
    settle: Duration,
    window: Duration,
) -> anyhow::Result<RestingRun> {
    let mut before = process.usage()?;
    let mut begun = Instant::now();
    tokio::time::sleep(settle).await;
    if !window.is_zero() {
        (before, begun) = (process.usage()?, Instant::now());
        tokio::time::sleep(window).await;
    }
    let (usage, watched) = (process.usage()?, begun.elapsed());
    Ok(RestingRun {
        memory_bytes: usage.memory_bytes,
        memory_peak_bytes: usage.memory_peak_bytes,
        cpu_share: (usage.cpu - before.cpu).as_secs_f64() / watched.as_secs_f64(),
    })
}
