//! `bench stories`: correlation lookups, traces and stories over as many spans as records.
//!
//! The corpus goes in as JSON lines, and once more as spans in OTLP's JSON: for each record the span that it was told in,
//! the child of the span before it in its trace. Each answer is held against the number of records of its id.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use reqwest::StatusCode;
use serde_json::Value;

use crate::corpus::{CorpusOptions, DAY_END, DAY_START, Entry, Generator, Level};
use crate::home::{Home, Places};
use crate::load::{self, Batches, LoadOptions};
use crate::report;
use crate::samples::Samples;
use crate::server::{Installation, Server};
use crate::settle;
use crate::table::Table;

const RUNS: usize = 41;
const WARM_UPS: usize = 3;
/// Spans of one request.
const SPANS_IN_A_REQUEST: usize = 5_000;
/// Where the server refuses a request for now.
const RETRY_AFTER: Duration = Duration::from_millis(500);

/// What to measure.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct StoriesOptions {
    #[command(flatten)]
    pub(crate) corpus: CorpusOptions,
    #[command(flatten)]
    pub(crate) load: LoadOptions,
    #[command(flatten)]
    pub(crate) places: Places,
}

/// What was measured.
#[derive(Debug)]
pub(crate) struct StoriesResults {
    corpus: CorpusOptions,
    load_seconds: Option<f64>,
    rows: Vec<(&'static str, &'static str, Samples)>,
    memory_peak_bytes: u64,
}

/// An interaction that is asked for.
struct Known {
    id: Arc<str>,
    trace: u128,
    records: usize,
    /// Of them in the trace of the first; an interaction goes over several.
    in_trace: usize,
}

/// What is asked: its name, its route with `{id}` and `{trace}`, and where the answer says how many it found.
const QUESTIONS: [(&str, &str, &str); 4] = [
    (
        "records of a correlation",
        "/api/v1/query?since=DAY&until=END&limit=10000&query=correlation%3A{id}",
        "rows",
    ),
    (
        "spans of a correlation",
        "/api/v1/query?since=DAY&until=END&limit=10000&query=from%20spans%20correlation%3A{id}",
        "rows",
    ),
    ("its story", "/api/v1/correlations/{id}", "records"),
    ("its trace as a tree", "/api/v1/traces/{trace}", "spans"),
];

/// Measures.
///
/// # Errors
/// When the server cannot be run or loaded, or an answer is wrong.
pub(crate) async fn run(options: &StoriesOptions) -> anyhow::Result<StoriesResults> {
    let home = Home::open(options.places.keep.as_deref())?;
    let installation = Installation::new(options.places.logq.as_deref(), home.path())?;
    let begun = Instant::now();
    let is_loaded = home.holds(&options.corpus)?;
    let server = match is_loaded {
        true => installation.start()?,
        false => load_all(&installation, options, &home).await?,
    };
    let load_seconds = (!is_loaded).then(|| begun.elapsed().as_secs_f64());
    let known = known(&options.corpus);
    let client = crate::http::client();
    let mut rows = Vec::new();
    for (name, route, member) in QUESTIONS {
        let mut samples = Vec::new();
        for (run, one) in known.iter().enumerate() {
            let path = route
                .replace("{id}", &one.id)
                .replace("{trace}", &format!("{:032x}", one.trace))
                .replace("DAY", DAY_START)
                .replace("END", DAY_END);
            let begun = Instant::now();
            let response = client.get(format!("{}{path}", server.query)).send().await?;
            let text = response.error_for_status()?.text().await?;
            let elapsed = begun.elapsed();
            let last = text.trim_end().lines().last().context("an empty answer")?;
            let told: Value = serde_json::from_str(last)?;
            let found = if member == "rows" { &told["summary"]["rows"] } else { &told[member] };
            let expected = if member == "spans" { one.in_trace } else { one.records };
            if found.as_u64() != Some(expected as u64) {
                bail!("{name}: {} has {expected} and the answer says {found}", one.id);
            }
            if run >= WARM_UPS {
                samples.push(elapsed);
            }
        }
        rows.push((name, route, Samples::new(samples)));
    }
    let memory_peak_bytes = server.usage()?.memory_peak_bytes;
    server.stop()?;
    Ok(StoriesResults { corpus: options.corpus, load_seconds, rows, memory_peak_bytes })
}

/// Interactions from all over the day.
fn known(corpus: &CorpusOptions) -> Vec<Known> {
    let mut all: BTreeMap<u64, Known> = BTreeMap::new();
    for entry in Generator::new(corpus) {
        let new = || Known {
            id: entry.correlation_id.clone(),
            trace: entry.trace_id,
            records: 0,
            in_trace: 0,
        };
        let known = all.entry(entry.correlation).or_insert_with(new);
        known.records += 1;
        known.in_trace += usize::from(known.trace == entry.trace_id);
    }
    let step = (all.len() / (WARM_UPS + RUNS)).max(1);
    all.into_values().step_by(step).take(WARM_UPS + RUNS).collect()
}

async fn load_all(
    installation: &Installation,
    options: &StoriesOptions,
    home: &Home,
) -> anyhow::Result<Server> {
    let server = installation.start()?;
    let batches = Batches::generate(&options.corpus, &options.load, |_| {})?;
    let records = batches.records;
    load::send(&server.ingest, Arc::new(batches), options.load.connections).await?;
    send_spans(&server.ingest, &options.corpus).await?;
    settle::until_published(&crate::http::client(), &server.ingest, 2 * records).await?;
    settle::until_compacted(&server, &installation.data()).await?;
    home.mark(&options.corpus)?;
    server.stop()?;
    installation.start()
}

async fn send_spans(ingest: &str, corpus: &CorpusOptions) -> anyhow::Result<()> {
    let client = crate::http::client();
    let mut before: HashMap<u128, u64> = HashMap::new();
    let mut entries = Generator::new(corpus).peekable();
    while entries.peek().is_some() {
        let mut by_service: BTreeMap<(&'static str, Arc<str>), String> = BTreeMap::new();
        for entry in entries.by_ref().take(SPANS_IN_A_REQUEST) {
            let parent = before.insert(entry.trace_id, entry.span_id);
            let spans = by_service.entry((entry.service, entry.host.clone())).or_default();
            write_span(&entry, parent, spans);
        }
        let resources: Vec<String> = by_service
            .iter()
            .map(|((service, host), spans)| {
                let text = |key: &str, value: &str| {
                    format!(r#"{{"key":"{key}","value":{{"stringValue":"{value}"}}}}"#)
                };
                format!(
                    r#"{{"resource":{{"attributes":[{},{}]}},"scopeSpans":[{{"spans":[{spans}]}}]}}"#,
                    text("service.name", service),
                    text("host.name", host)
                )
            })
            .collect();
        let body = bytes::Bytes::from(format!(r#"{{"resourceSpans":[{}]}}"#, resources.join(",")));
        loop {
            let request = client
                .post(format!("{ingest}/v1/traces"))
                .header("content-type", "application/json")
                .body(body.clone());
            let response = request.send().await?;
            if response.status() == StatusCode::TOO_MANY_REQUESTS {
                tokio::time::sleep(RETRY_AFTER).await;
                continue;
            }
            let status = response.status();
            let text = response.text().await?;
            if !status.is_success() || text.contains("partialSuccess") {
                bail!("spans were answered with {status}: {text}");
            }
            break;
        }
    }
    Ok(())
}

fn write_span(entry: &Entry, parent: Option<u64>, spans: &mut String) {
    if !spans.is_empty() {
        spans.push(',');
    }
    let begin = entry.timestamp_us * 1_000;
    let parent = parent.map_or_else(String::new, |id| format!(r#""parentSpanId":"{id:016x}","#));
    let status = if entry.level == Level::Error { r#","status":{"code":2}"# } else { "" };
    let name = entry.http.as_ref().map_or("work".into(), |http| format!("GET {}", http.path));
    write!(
        spans,
        r#"{{"traceId":"{:032x}","spanId":"{:016x}",{parent}"name":"{name}","kind":2,"startTimeUnixNano":"{begin}","endTimeUnixNano":"{}","attributes":[{{"key":"correlation_id","value":{{"stringValue":"{}"}}}},{{"key":"region","value":{{"stringValue":"{}"}}}}]{status}}}"#,
        entry.trace_id,
        entry.span_id,
        begin + (entry.duration_us * 1_000) as i64,
        entry.correlation_id,
        entry.region
    )
    .expect("writing to memory does not fail");
}

impl StoriesResults {
    /// Everything that was measured, to be read.
    pub(crate) fn text(&self) -> String {
        let mut table = Table::new(["what", "route", "runs", "median", "p90", "max"]);
        for (name, route, samples) in &self.rows {
            let ms = |ms: f64| format!("{ms:.2} ms");
            let route = route.split('?').next().unwrap_or(route);
            table.add([
                (*name).to_owned(),
                format!("`{route}`"),
                samples.runs().to_string(),
                ms(samples.median_ms()),
                ms(samples.p90_ms()),
                ms(samples.max_ms()),
            ]);
        }
        let loaded = self.load_seconds.map_or_else(String::new, |seconds| {
            format!("loaded and compacted in {seconds:.0} s; ")
        });
        format!(
            "{0} records and {0} spans, seed {1}, on {2}; over HTTP on one kept-alive connection, {WARM_UPS} warm-ups, each \
             answer checked\n\n{table}\n{loaded}the server had {3:.0} MB at most since its start\n",
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
        let path = folder.join(format!("{date}-stories.md"));
        let page = format!(
            "# Stories, {date}\n\nMade with `cargo run --release -p bench -- stories --records {}`.\n\n{}",
            self.corpus.records,
            self.text()
        );
        report::write(&path, &page)?;
        Ok(path)
    }
}
