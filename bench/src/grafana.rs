//! `bench grafana`: what Grafana asks of a day of records by Loki's API, each answer held against what was generated.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, bail};
use serde_json::Value;

use crate::corpus::{
    COMMON_WORD, CorpusOptions, DAY_END, DAY_START, Entry, Generator, Level, RARE_WORD,
};
use crate::home::{Home, Places};
use crate::load::{self, Batches, LoadOptions};
use crate::report;
use crate::samples::Samples;
use crate::server::{Installation, Server};
use crate::settle;
use crate::table::Table;

const RUNS: usize = 15;
const WARM_UPS: usize = 2;
/// Lines that Explore asks for.
const LINES: u64 = 1_000;

/// What to measure.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct GrafanaOptions {
    #[command(flatten)]
    pub(crate) corpus: CorpusOptions,
    #[command(flatten)]
    pub(crate) load: LoadOptions,
    #[command(flatten)]
    pub(crate) places: Places,
}

/// What was measured.
#[derive(Debug)]
pub(crate) struct GrafanaResults {
    corpus: CorpusOptions,
    rows: Vec<(&'static str, String, Samples)>,
    memory_peak_bytes: u64,
}

/// What is asked: its name, its path behind `/loki/api/v1/`, its query, and what the numbers of its answer add up to.
struct Question {
    name: &'static str,
    path: &'static str,
    query: String,
    more: &'static [(&'static str, &'static str)],
    total: Total,
}

/// What is known of an answer.
enum Total {
    /// The numbers of all series and steps.
    Numbers(u64),
    /// Lines.
    Lines(u64),
    /// A list of so many.
    List(u64),
    /// Series, whatever their numbers are.
    Series(u64),
}

/// What was generated.
#[derive(Debug, Default)]
struct Truth {
    records: u64,
    errors: u64,
    common: u64,
    with_rare_word: u64,
    of_first: u64,
    first: Option<Entry>,
    services: std::collections::BTreeSet<&'static str>,
}

impl Truth {
    fn of(corpus: &CorpusOptions) -> Self {
        let mut truth = Self::default();
        for entry in Generator::new(corpus) {
            truth.records += 1;
            truth.errors += u64::from(entry.level == Level::Error);
            truth.common += u64::from(entry.message.contains(COMMON_WORD));
            truth.with_rare_word += u64::from(entry.message.contains(RARE_WORD));
            truth.services.insert(entry.service);
            let first = truth.first.get_or_insert_with(|| entry.clone());
            truth.of_first += u64::from(first.correlation_id == entry.correlation_id);
        }
        truth
    }
}

fn questions(truth: &Truth) -> Vec<Question> {
    // Windows of a step, from one step into the day to its end: every record once.
    const STEPS: &[(&str, &str)] = &[("step", "300s"), ("start", "2026-01-01T00:05:00Z")];
    const BACKWARD: &[(&str, &str)] = &[("limit", "1000"), ("direction", "backward")];
    const FORWARD: &[(&str, &str)] = &[("limit", "1000"), ("direction", "forward")];
    let every = r#"{service_name=~".+"}"#;
    let id = truth.first.as_ref().map_or("", |first| &first.correlation_id);
    let services = truth.services.len() as u64;
    let ask = |name, path, query: String, more, total| Question { name, path, query, more, total };
    vec![
        ask(
            "histogram of Explore",
            "query_range",
            format!(
                "sum by (level, detected_level) (count_over_time({every} | drop __error__ [5m]))"
            ),
            STEPS,
            Total::Numbers(truth.records),
        ),
        ask(
            "histogram of lines with a common word",
            "query_range",
            format!(
                "sum by (level, detected_level) (count_over_time({every} |= `{COMMON_WORD}` | drop __error__ [5m]))"
            ),
            STEPS,
            Total::Numbers(truth.common),
        ),
        ask("newest 1,000 lines", "query_range", every.to_owned(), BACKWARD, Total::Lines(LINES)),
        ask("oldest 1,000 lines", "query_range", every.to_owned(), FORWARD, Total::Lines(LINES)),
        ask(
            "lines with a rare word",
            "query_range",
            format!("{every} |= `{RARE_WORD}`"),
            BACKWARD,
            Total::Lines(truth.with_rare_word.min(LINES)),
        ),
        ask(
            "lines of a correlation",
            "query_range",
            format!("{every} | correlation_id=`{id}`"),
            BACKWARD,
            Total::Lines(truth.of_first),
        ),
        ask(
            "errors by service",
            "query_range",
            "sum by (service_name) (count_over_time({level=\"error\"}[5m]))".to_owned(),
            STEPS,
            Total::Numbers(truth.errors),
        ),
        ask(
            "rate of each stream",
            "query_range",
            format!("rate({every}[5m])"),
            STEPS,
            Total::Series(0),
        ),
        ask(
            "p95 of a field by service",
            "query_range",
            format!(
                "quantile_over_time(0.95, {every} | unwrap duration_ms [5m]) by (service_name)"
            ),
            STEPS,
            Total::Series(services),
        ),
        ask("volumes of services", "index/volume", every.to_owned(), &[], Total::Series(services)),
        ask(
            "values of service_name",
            "label/service_name/values",
            String::new(),
            &[],
            Total::List(services),
        ),
        ask("all streams", "series", String::new(), &[], Total::List(0)),
        ask(
            "fields of 1,000 lines",
            "detected_fields",
            every.to_owned(),
            &[("line_limit", "1000")],
            Total::List(0),
        ),
        ask("patterns", "patterns", every.to_owned(), &[("step", "300s")], Total::List(0)),
    ]
}

/// Measures.
///
/// # Errors
/// When the server cannot be run or loaded, or an answer is wrong.
pub(crate) async fn run(options: &GrafanaOptions) -> anyhow::Result<GrafanaResults> {
    let home = Home::open(options.places.keep.as_deref())?;
    let installation = Installation::new(options.places.logq.as_deref(), home.path())?;
    let server = match home.holds(&options.corpus)? {
        true => installation.start()?,
        false => load_all(&installation, options, &home).await?,
    };
    let truth = Truth::of(&options.corpus);
    let client = crate::http::client();
    let mut rows = Vec::new();
    for question in questions(&truth) {
        let mut samples = Vec::new();
        for run in 0..WARM_UPS + RUNS {
            let mut parameters = vec![("query", question.query.as_str())];
            let named = |name: &str| question.more.iter().any(|(known, _)| *known == name);
            if !named("start") {
                parameters.push(("start", DAY_START));
            }
            parameters.push(("end", DAY_END));
            parameters.extend(question.more);
            let mut url =
                reqwest::Url::parse(&format!("{}/loki/api/v1/{}", server.query, question.path))?;
            url.query_pairs_mut().extend_pairs(parameters);
            let begun = Instant::now();
            let response = client.get(url).send().await?;
            let status = response.status();
            let text = response.text().await?;
            let elapsed = begun.elapsed();
            if !status.is_success() {
                bail!("{}: {status} {text}", question.name);
            }
            check(&question, &serde_json::from_str(&text)?)?;
            if run >= WARM_UPS {
                samples.push(elapsed);
            }
        }
        rows.push((question.name, question.query, Samples::new(samples)));
    }
    let memory_peak_bytes = server.usage()?.memory_peak_bytes;
    server.stop()?;
    Ok(GrafanaResults { corpus: options.corpus, rows, memory_peak_bytes })
}

async fn load_all(
    installation: &Installation,
    options: &GrafanaOptions,
    home: &Home,
) -> anyhow::Result<Server> {
    let server = installation.start()?;
    let batches = Batches::generate(&options.corpus, &options.load, |_| {})?;
    let records = batches.records;
    load::send(&server.ingest, Arc::new(batches), options.load.connections).await?;
    settle::until_published(&crate::http::client(), &server.ingest, records).await?;
    settle::until_compacted(&server, &installation.data()).await?;
    home.mark(&options.corpus)?;
    server.stop()?;
    installation.start()
}

fn check(question: &Question, answer: &Value) -> anyhow::Result<()> {
    let lists = [&answer["data"]["result"], &answer["data"], &answer["fields"]];
    let list = lists.into_iter().find_map(Value::as_array).context("an answer without a list")?;
    let values = || list.iter().filter_map(|one| one["values"].as_array()).flatten();
    let number = |sample: &Value| sample[1].as_str().and_then(|text| text.parse::<f64>().ok());
    let (found, expected) = match question.total {
        Total::Numbers(expected) => (values().filter_map(number).sum::<f64>() as u64, expected),
        Total::Lines(expected) => (values().count() as u64, expected),
        // Of which it is only known that there are some.
        Total::Series(0) | Total::List(0) => (u64::from(!list.is_empty()), 1),
        Total::Series(expected) | Total::List(expected) => (list.len() as u64, expected),
    };
    if found != expected {
        bail!("{}: there are {expected}, and the answer has {found}", question.name);
    }
    Ok(())
}

impl GrafanaResults {
    /// Everything that was measured, to be read.
    pub(crate) fn text(&self) -> String {
        let mut table = Table::new(["what", "query", "median", "p90", "max"]);
        for (name, query, samples) in &self.rows {
            let ms = |ms: f64| format!("{ms:.1} ms");
            let query = if query.is_empty() { String::new() } else { format!("``{query}``") };
            table.add([
                (*name).to_owned(),
                query.replace('|', "\\|"),
                ms(samples.median_ms()),
                ms(samples.p90_ms()),
                ms(samples.max_ms()),
            ]);
        }
        format!(
            "{} records of a day, seed {}, on {}; over HTTP on one kept-alive connection, {WARM_UPS} warm-ups and {RUNS} \
             runs, each answer checked\n\n{table}\nthe server had {:.0} MB at most since its start\n",
            self.corpus.records,
            self.corpus.seed,
            report::cores(),
            self.memory_peak_bytes as f64 / 1e6
        )
    }

    /// Writes the page and gives its path.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(crate) fn write(&self, folder: &Path) -> anyhow::Result<PathBuf> {
        let date = jiff::Timestamp::now().strftime("%Y-%m-%d").to_string();
        let path = folder.join(format!("{date}-grafana.md"));
        let page = format!(
            "# What Grafana asks, {date}\n\nMade with `cargo run --release -p bench -- grafana --records {}`.\n\n{}",
            self.corpus.records,
            self.text()
        );
        report::write(&path, &page)?;
        Ok(path)
    }
}
