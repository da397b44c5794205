//! `bench queries`: the latencies of the design's table on the real server, each answer held against the truth.

mod client;
mod lifecycle;
mod questions;
mod truth;
mod verify;

use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, bail};
use serde::Serialize;

use crate::corpus::{CorpusOptions, Generator, RECORDS_MAX, SEED_DEFAULT};
use crate::disk::DiskUsage;
use crate::home::Home;
use crate::load::{self, Batches, LoadOptions};
use crate::samples::Samples;
use crate::server::{Installation, Server};
use crate::settle;
use crate::table::Table;
pub(crate) use client::{QueryClient, Request};
use questions::{QUESTIONS, Question, RUNS, Target, WARM_UPS};
use truth::Truth;

/// Records where nothing else is asked for.
pub(crate) const RECORDS_DEFAULT: u64 = 1_000_000;
/// Fewer than this have fewer interactions than there are runs.
const RECORDS_MIN: u64 = 1_000;

/// What to measure.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct QueryOptions {
    /// Records of the corpus
    #[arg(long, default_value_t = RECORDS_DEFAULT, value_parser = clap::value_parser!(u64).range(RECORDS_MIN..=RECORDS_MAX))]
    pub(crate) records: u64,
    /// Seed of the corpus
    #[arg(long, default_value_t = SEED_DEFAULT)]
    pub(crate) seed: u64,
    #[command(flatten)]
    pub(crate) load: LoadOptions,
    /// The server's binary [default: `logq` beside this program]
    #[arg(long)]
    pub(crate) logq: Option<PathBuf>,
    /// Folder for the data, kept afterwards, and used as it is when it holds this corpus already
    #[arg(long)]
    pub(crate) keep: Option<PathBuf>,
}

/// What was measured.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct QueryResults {
    pub(crate) records: u64,
    pub(crate) seed: u64,
    pub(crate) segments: u64,
    pub(crate) rows: Vec<Row>,
}

/// One row of the table.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Row {
    pub(crate) name: &'static str,
    /// The query, of the last run.
    pub(crate) query: String,
    pub(crate) runs: usize,
    pub(crate) median_ms: f64,
    pub(crate) p90_ms: f64,
    pub(crate) target_ms: f64,
    pub(crate) then_ms: Option<f64>,
    /// Why an answer was wrong; `None` when every one was right.
    pub(crate) wrong: Option<String>,
    pub(crate) samples_ms: Samples,
}

impl Row {
    fn new(
        name: &'static str,
        query: String,
        target: Target,
        samples: Samples,
        wrong: Option<String>,
    ) -> Self {
        Self {
            name,
            query,
            runs: samples.runs(),
            median_ms: samples.median_ms(),
            p90_ms: samples.p90_ms(),
            target_ms: target.at_most_ms,
            then_ms: target.then_ms,
            wrong,
            samples_ms: samples,
        }
    }
}

/// Measures.
///
/// # Errors
/// When the server cannot be run or loaded. A wrong answer is no error here, so that the other rows are measured; see
/// [`QueryResults::check`].
pub(crate) async fn run(options: &QueryOptions) -> anyhow::Result<QueryResults> {
    let corpus = CorpusOptions { records: options.records, seed: options.seed };
    let home = Home::open(options.keep.as_deref())?;
    let installation = Installation::new(options.logq.as_deref(), home.path())?;
    let mut truth = Truth::new(&corpus, WARM_UPS + RUNS);
    let server = if home.holds(&corpus)? {
        Generator::new(&corpus).for_each(|entry| truth.observe(&entry));
        installation.start()?
    } else {
        let batches = Batches::generate(&corpus, &options.load, |entry| truth.observe(entry))?;
        load_all(&installation, batches, &options.load, &home, &corpus).await?
    };
    let client = QueryClient::new(&server.query)?;
    let all = client.ask(&questions::count_all()).await?;
    verify::count(&all.rows, truth.records).context("the server does not hold the corpus")?;

    let mut rows = Vec::new();
    for question in &QUESTIONS {
        rows.push(measure(&client, question, &truth).await?);
    }
    let segments = DiskUsage::of(&installation.data())?.segments;
    let (server, samples) = lifecycle::start_to_first_answer(&installation, server, &truth).await?;
    rows.push(Row::new(
        lifecycle::START_NAME,
        questions::newest().query,
        lifecycle::START_TARGET,
        samples,
        None,
    ));
    let samples = lifecycle::acknowledged_to_searchable(&server).await?;
    let query = "correlation:ID".to_owned();
    rows.push(Row::new(
        lifecycle::SEARCHABLE_NAME,
        query,
        lifecycle::SEARCHABLE_TARGET,
        samples,
        None,
    ));
    server.stop()?;
    Ok(QueryResults { records: truth.records, seed: options.seed, segments, rows })
}

/// Loads the corpus, waits until it is published and compacted, and starts the server anew.
pub(crate) async fn load_all(
    installation: &Installation,
    batches: Batches,
    load: &LoadOptions,
    home: &Home,
    corpus: &CorpusOptions,
) -> anyhow::Result<Server> {
    let server = installation.start()?;
    let records = batches.records;
    let loaded = load::send(&server.ingest, Arc::new(batches), load.connections).await?;
    if loaded.acknowledged != records {
        bail!("{records} records were sent and {} acknowledged", loaded.acknowledged);
    }
    settle::until_published(&crate::http::client(), &server.ingest, records).await?;
    settle::until_compacted(&server, &installation.data()).await?;
    home.mark(corpus)?;
    // What is measured is a server with its data on the disk, not one that has just written them.
    server.stop()?;
    installation.start()
}

async fn measure(client: &QueryClient, question: &Question, truth: &Truth) -> anyhow::Result<Row> {
    let mut samples = Vec::with_capacity(RUNS);
    let mut wrong = None;
    let mut last: Option<Request> = None;
    for run in 0..WARM_UPS + RUNS {
        let request = (question.request)(truth, run);
        let answer = client.ask(&request).await?;
        if let Err(error) = (question.verify)(truth, run, &answer.rows) {
            wrong.get_or_insert_with(|| format!("{error:#}"));
        }
        if run >= WARM_UPS {
            samples.push(answer.elapsed);
        }
        last = Some(request);
    }
    let query = last.map_or_else(String::new, |request| request.query);
    Ok(Row::new(question.name, query, question.target, Samples::new(samples), wrong))
}

impl QueryResults {
    /// The figures beside the design's targets.
    pub(crate) fn table(&self) -> Table<8> {
        let mut table =
            Table::new(["what", "query", "runs", "median", "p90", "target", "then", "answer"]);
        for row in &self.rows {
            table.add([
                row.name.to_owned(),
                // A bar inside a cell would end it.
                format!("`{}`", row.query.replace('|', "\\|")),
                row.runs.to_string(),
                format!("{:.2} ms", row.median_ms),
                format!("{:.2} ms", row.p90_ms),
                format!("≤ {} ms", row.target_ms),
                row.then_ms.map_or_else(String::new, |then| format!("{then} ms")),
                if row.wrong.is_some() { "WRONG" } else { "right" }.to_owned(),
            ]);
        }
        table
    }

    /// Everything that was measured, to be read.
    pub(crate) fn text(&self) -> String {
        let mut out = String::new();
        self.write_text(&mut out).expect("writing to memory does not fail");
        out
    }

    fn write_text(&self, out: &mut String) -> std::fmt::Result {
        writeln!(
            out,
            "{} records in {} segments, seed {}; over HTTP on one kept-alive connection, {WARM_UPS} warm-ups before the \
             runs, each answer checked",
            self.records, self.segments, self.seed,
        )?;
        writeln!(out, "\n{}", self.table())?;
        for row in &self.rows {
            if let Some(wrong) = &row.wrong {
                writeln!(out, "WRONG: {}: {wrong}", row.name)?;
            }
        }
        Ok(())
    }

    /// # Errors
    /// When any answer was wrong.
    pub(crate) fn check(&self) -> anyhow::Result<()> {
        let wrong: Vec<&str> =
            self.rows.iter().filter(|row| row.wrong.is_some()).map(|row| row.name).collect();
        if !wrong.is_empty() {
            bail!("wrong answers: {}", wrong.join("; "));
        }
        Ok(())
    }
}
