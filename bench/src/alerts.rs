//! `bench alerts`: many rules over a large store while records come in, and a week of history judged minute by minute.
//!
//! The corpus lies in one day of the past; what the rules look at is sent while they run, some hundred records a second. The lag of
//! an evaluation is the time from its moment until it begins. Without agents a moment is judged after `max_delay`, which is a second
//! here, so that lag beyond a second is what the engine adds. Every evaluation has to succeed.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use serde_json::Value;

use crate::corpus::{CorpusOptions, DAY_END};
use crate::home::{Home, Places};
use crate::load::{self, Batches, LoadOptions};
use crate::report;
use crate::server::{Installation, Server};
use crate::settle;
use crate::table::Table;

const INTERVAL: Duration = Duration::from_secs(15);
const BACKTEST_SINCE: &str = "2025-12-26T00:00:00Z";
/// Services in what is sent while rules run.
const SERVICES: usize = 20;
const SEND_EVERY: Duration = Duration::from_millis(500);

/// What to measure.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct AlertsOptions {
    #[command(flatten)]
    pub(crate) corpus: CorpusOptions,
    #[command(flatten)]
    pub(crate) load: LoadOptions,
    /// Rules that are judged every 15 s
    #[arg(long, default_value_t = 200)]
    pub(crate) rules: usize,
    /// How long they are judged
    #[arg(long, default_value_t = 180)]
    pub(crate) seconds: u64,
    /// Records that come in each second meanwhile
    #[arg(long, default_value_t = 500)]
    pub(crate) rate: usize,
    #[command(flatten)]
    pub(crate) places: Places,
}

/// What was measured.
#[derive(Debug)]
pub(crate) struct AlertsResults {
    options: AlertsOptions,
    evaluations: u64,
    failed: u64,
    /// The bound of the bucket in which the median and the 99th percentile lie, seconds.
    lag: (f64, f64),
    took_mean: Duration,
    cores: f64,
    memory_peak_bytes: u64,
    firing: u64,
    backtest: (Duration, u64, u64),
}

/// Measures.
///
/// # Errors
/// When the server cannot be run or loaded, or an evaluation fails.
pub(crate) async fn run(options: &AlertsOptions) -> anyhow::Result<AlertsResults> {
    let home = Home::open(options.places.keep.as_deref())?;
    let installation = Installation::new(options.places.logq.as_deref(), home.path())?;
    if !home.holds(&options.corpus)? {
        let server = installation.start()?;
        let batches = Batches::generate(&options.corpus, &options.load, |_| {})?;
        let records = batches.records;
        load::send(&server.ingest, Arc::new(batches), options.load.connections).await?;
        settle::until_published(&crate::http::client(), &server.ingest, records).await?;
        settle::until_compacted(&server, &installation.data()).await?;
        home.mark(&options.corpus)?;
        server.stop()?;
    }
    let rules = home.path().join("rules.yaml");
    std::fs::write(&rules, many_rules(options.rules)).context("cannot write the rules")?;
    let more = format!("rules = [{rules:?}]\nmax_delay = \"1s\"\n");
    let config = home.path().join("logq.toml");
    let text =
        std::fs::read_to_string(&config)?.replace("[alerting]\n", &format!("[alerting]\n{more}"));
    std::fs::write(&config, text).context("cannot write the server's config")?;
    let server = installation.start()?;
    // The first moments come while the server reads its folder.
    tokio::time::sleep(INTERVAL).await;
    let (before, used, began) = (Figures::of(&server).await?, server.usage()?.cpu, Instant::now());
    send(&server, options).await?;
    let (after, now_used) = (Figures::of(&server).await?, server.usage()?.cpu);
    let elapsed = began.elapsed().as_secs_f64();
    let evaluations = after.ok - before.ok;
    if evaluations == 0 || after.failed > 0 {
        bail!(
            "{evaluations} evaluations, {} failed; see {}",
            after.failed,
            installation.log().display()
        );
    }
    let buckets: Vec<(f64, u64)> = after
        .lag
        .iter()
        .zip(&before.lag)
        .map(|((bound, now), (_, then))| (*bound, now - then))
        .collect();
    let backtest = backtest(&installation, home.path(), &server)?;
    let memory_peak_bytes = server.usage()?.memory_peak_bytes;
    server.stop()?;
    Ok(AlertsResults {
        options: options.clone(),
        evaluations,
        failed: after.failed,
        lag: (quantile(&buckets, 0.5), quantile(&buckets, 0.99)),
        took_mean: Duration::from_secs_f64((after.seconds - before.seconds) / evaluations as f64),
        cores: (now_used - used).as_secs_f64() / elapsed,
        memory_peak_bytes,
        firing: after.firing,
        backtest,
    })
}

/// Of each four: errors of a service, a share, a path that is slow, a service that may go silent.
fn many_rules(count: usize) -> String {
    let mut text = String::from("groups:\n");
    for number in 0..count {
        // Ten to a group.
        if number % 10 == 0 {
            let _ = writeln!(
                text,
                "  - name: group-{}\n    interval: {}s\n    rules:",
                number / 10,
                INTERVAL.as_secs()
            );
        }
        let service = number % SERVICES;
        let what = match number % 4 {
            0 => format!(
                "query: 'service:live-{service} level:error | stats count() as n by service | where n >= 5'"
            ),
            1 => format!(
                "ratio: {{bad: 'service:live-{service} level:error', total: 'service:live-{service}', above: 20%, at_least: 20}}"
            ),
            2 => format!(
                "query: 'service:live-{service} duration_ms:>900ms | stats count() as n, p95(duration_ms) as p95 by path | where n >= 10'"
            ),
            _ => format!("absent: {{query: 'service:live-{service}', by: [service]}}"),
        };
        let _ = writeln!(text, "      - alert: Rule{number}\n        {what}\n        window: 5m");
    }
    text
}

/// Records that happen now, for as long as is measured.
async fn send(server: &Server, options: &AlertsOptions) -> anyhow::Result<()> {
    let client = crate::http::client();
    let until = Instant::now() + Duration::from_secs(options.seconds);
    let mut number = 0_usize;
    let mut next = Instant::now();
    let each = (options.rate as f64 * SEND_EVERY.as_secs_f64()) as usize;
    while Instant::now() < until {
        let mut lines = String::new();
        for _ in 0..each {
            number += 1;
            let level = if number.is_multiple_of(29) { "error" } else { "info" };
            let _ = writeln!(
                lines,
                r#"{{"service":"live-{}","level":"{level}","message":"request {number} is done","duration_ms":{},"path":"/p/{}","correlation_id":"live-{}"}}"#,
                number % SERVICES,
                number * 7_919 % 1_000,
                number % 13,
                number / 5
            );
        }
        let request = client.post(format!("{}/ingest/jsonl", server.ingest)).body(lines);
        request.send().await?.error_for_status()?;
        next += SEND_EVERY;
        tokio::time::sleep_until(next.into()).await;
    }
    Ok(())
}

/// What the server counts of its rules.
#[derive(Debug, Default)]
struct Figures {
    ok: u64,
    failed: u64,
    seconds: f64,
    firing: u64,
    /// Bounds in seconds, and how many evaluations were not later, counted up.
    lag: Vec<(f64, u64)>,
}

impl Figures {
    async fn of(server: &Server) -> anyhow::Result<Self> {
        let response =
            crate::http::client().get(format!("{}/metrics", server.query)).send().await?;
        let text = response.error_for_status()?.text().await?;
        let mut figures = Self::default();
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let Some((name, value)) = line.rsplit_once(' ') else { continue };
            let value: f64 = value.parse().with_context(|| format!("no number: {line}"))?;
            match name {
                r#"logq_rule_evaluations_total{outcome="ok"}"# => figures.ok = value as u64,
                r#"logq_rule_evaluations_total{outcome="failed"}"# => figures.failed = value as u64,
                "logq_rule_evaluation_duration_seconds_sum" => figures.seconds = value,
                "logq_alerts_firing" => figures.firing = value as u64,
                _ => {
                    let bucket = name.strip_prefix("logq_rule_evaluation_lag_seconds_bucket{le=\"");
                    if let Some(bound) = bucket.and_then(|rest| rest.strip_suffix("\"}")) {
                        let bound = if bound == "+Inf" { f64::INFINITY } else { bound.parse()? };
                        figures.lag.push((bound, value as u64));
                    }
                }
            }
        }
        Ok(figures)
    }
}

/// The bound of the bucket in which this part of all lies.
fn quantile(buckets: &[(f64, u64)], part: f64) -> f64 {
    let all = buckets.last().map_or(0, |(_, count)| *count) as f64;
    let found = buckets.iter().find(|(_, count)| *count as f64 >= all * part);
    found.map_or(f64::INFINITY, |(bound, _)| *bound)
}

/// A week that ends with the corpus' day, three kinds of rules, every minute: how long it took, evaluations, alerts.
fn backtest(
    installation: &Installation,
    home: &Path,
    server: &Server,
) -> anyhow::Result<(Duration, u64, u64)> {
    let file = home.join("history.yaml");
    let rules = "\
groups:
  - name: history
    interval: 1m
    rules:
      - alert: Errors
        query: 'level:error | stats count() as n by service | where n >= 40'
      - alert: Share
        ratio: {bad: 'level:error', total: '*', above: 5%, at_least: 100}
      - alert: Unanswered
        expect: {after: 'level:error', then: 'level:info', within: 10s}
";
    std::fs::write(&file, rules).context("cannot write the rules")?;
    let began = Instant::now();
    let output = Command::new(installation.binary())
        .args(["rules", "backtest"])
        .arg(&file)
        .args(["--addr", &server.query, "--since", BACKTEST_SINCE, "--until", DAY_END])
        .args(["--step", "1m", "-o", "json"])
        .output()
        .context("cannot run the backtest")?;
    let took = began.elapsed();
    if !output.status.success() {
        bail!("the backtest failed: {}", String::from_utf8_lossy(&output.stderr));
    }
    let told: Value = serde_json::from_slice(&output.stdout)?;
    let rules = told["rules"].as_array().context("the backtest tells of no rules")?;
    let evaluations = rules.iter().filter_map(|rule| rule["evaluations"].as_u64()).sum();
    let fired =
        rules.iter().filter_map(|rule| rule["fired"].as_array()).map(Vec::len).sum::<usize>();
    if rules.iter().any(|rule| rule["failed"] != 0) {
        bail!("evaluations of the backtest failed: {told}");
    }
    Ok((took, evaluations, fired as u64))
}

impl AlertsResults {
    /// Everything that was measured, to be read.
    pub(crate) fn text(&self) -> String {
        let Self { options, .. } = self;
        let mut table = Table::new(["what", "figure", "aim"]);
        let mut row = |what: &str, figure: String, aim: &str| {
            table.add([what.to_owned(), figure, aim.to_owned()]);
        };
        row("evaluations", format!("{}, {} failed", self.evaluations, self.failed), "none failed");
        row("lag, median", format!("at most {} s", self.lag.0), "");
        row("lag, p99", format!("at most {} s", self.lag.1), "under 15 s");
        row("one evaluation, mean", format!("{:.2} ms", self.took_mean.as_secs_f64() * 1e3), "");
        row("CPU of the server, ingest included", format!("{:.2} cores", self.cores), "stated");
        row(
            "memory of the server, peak",
            format!("{:.0} MB", self.memory_peak_bytes as f64 / 1e6),
            "",
        );
        row("alerts that fired at the end", self.firing.to_string(), "");
        let (took, evaluations, fired) = self.backtest;
        row(
            "a week, every minute, three rules",
            format!("{:.1} s: {evaluations} evaluations, {fired} alerts", took.as_secs_f64()),
            "under 30 s",
        );
        format!(
            "{} rules every {} s for {} s over {} records, {} more a second, on {}; max_delay 1 s\n\n{table}",
            options.rules,
            INTERVAL.as_secs(),
            options.seconds,
            options.corpus.records,
            options.rate,
            report::cores(),
        )
    }

    /// Writes the page and gives its path.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(crate) fn write(&self, folder: &Path) -> anyhow::Result<PathBuf> {
        let date = jiff::Timestamp::now().strftime("%Y-%m-%d").to_string();
        let path = folder.join(format!("{date}-alerts.md"));
        let page = format!(
            "# Alerts, {date}\n\nMade with `cargo run --release -p bench -- alerts`.\n\n{}",
            self.text()
        );
        report::write(&path, &page)?;
        Ok(path)
    }
}
