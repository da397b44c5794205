//! `bench report`: both measurements, written down with their raw output.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;
use serde_json::json;

use crate::corpus::{self, CorpusOptions};
use crate::ingest::{self, IngestOptions, IngestResult};
use crate::load::LoadOptions;
use crate::queries::{self, QueryOptions, QueryResults};

/// What to measure, and where to write it.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct ReportOptions {
    /// Records for `ingest`
    #[arg(long, default_value_t = corpus::RECORDS_DEFAULT)]
    ingest_records: u64,
    /// Records for `queries`
    #[arg(long, default_value_t = queries::RECORDS_DEFAULT)]
    query_records: u64,
    /// Seed of both corpora
    #[arg(long, default_value_t = corpus::SEED_DEFAULT)]
    seed: u64,
    #[command(flatten)]
    load: LoadOptions,
    /// The server's binary [default: `logq` beside this program]
    #[arg(long)]
    logq: Option<PathBuf>,
    /// Folder for the report
    #[arg(long, default_value = "bench/results")]
    results: PathBuf,
}

/// Measures both, writes `DATE-ingest-and-queries.md` and its raw figures beside it, and gives the report's path.
///
/// # Errors
/// When a measurement fails, an answer was wrong (the report is written all the same), or a file cannot be written.
pub(crate) async fn run(options: &ReportOptions) -> anyhow::Result<PathBuf> {
    let ingest = ingest::run(&IngestOptions {
        corpus: CorpusOptions { records: options.ingest_records, seed: options.seed },
        load: options.load,
        logq: options.logq.clone(),
        keep: None,
    })
    .await?;
    let queries = queries::run(&QueryOptions {
        records: options.query_records,
        seed: options.seed,
        load: options.load,
        logq: options.logq.clone(),
        keep: None,
    })
    .await?;
    let date = jiff::Timestamp::now().strftime("%Y-%m-%d").to_string();
    let report = options.results.join(format!("{date}-ingest-and-queries.md"));
    write(&report, &page(&date, &ingest, &queries))?;
    let raw = serde_json::to_string_pretty(&json!({ "ingest": ingest, "queries": queries }))?;
    write(&report.with_extension("json"), &format!("{raw}\n"))?;
    queries.check()?;
    Ok(report)
}

fn page(date: &str, ingest: &IngestResult, queries: &QueryResults) -> String {
    let cores = cores();
    format!(
        "# Ingest and queries, {date}\n\n\
         On {cores}, shared by the server and the load generator; release builds, the server's embedded defaults. MB is \
         1,000,000 bytes of JSON lines before packing. Targets are those of the design. Made with `cargo run --release \
         -p bench -- report`; every single sample is in the JSON file beside this page.\n\n\
         ## Ingest\n\n{}\n## Queries\n\n{}\n\
         ## Raw output\n\n```\n{}```\n\n```\n{}```\n",
        ingest.table(),
        queries.table(),
        ingest.text(),
        queries.text(),
    )
}

/// How many cores everything shares, in words.
pub(crate) fn cores() -> String {
    match std::thread::available_parallelism().map_or(1, usize::from) {
        2 => "two cores".to_owned(),
        cores => format!("{cores} cores"),
    }
}

/// Writes a file, and the folder that it is in.
///
/// # Errors
/// When that cannot be written.
pub(crate) fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)
            .with_context(|| format!("cannot create {}", folder.display()))?;
    }
    fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}
