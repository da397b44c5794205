//! Benchmarks of logq from outside: a corpus from a seed, a load generator, and the design's table of targets.
//!
//! This program imports nothing of ours. It starts the real binary, speaks HTTP to it as a customer would, and holds
//! every answer against what the generator knows. See `README.md` for what is measured, and `results/` for what came out.

mod agent;
mod alerts;
mod cli;
mod corpus;
mod disk;
mod grafana;
mod home;
mod http;
mod ingest;
mod load;
mod process;
mod queries;
mod report;
mod samples;
mod server;
mod settle;
mod shop;
mod soak;
mod stories;
mod table;

use std::io::Write;
use std::path::PathBuf;

use clap::{Parser, Subcommand};
use serde::Serialize;

/// Benchmarks of logq.
#[derive(Debug, Parser)]
#[command(name = "bench", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Write the corpus as JSON lines
    Corpus {
        #[command(flatten)]
        corpus: corpus::CorpusOptions,
        /// File to write [default: stdout]
        #[arg(long)]
        output: Option<PathBuf>,
    },
    /// Measure from received bytes to published segments
    Ingest {
        #[command(flatten)]
        options: ingest::IngestOptions,
        /// Print all figures as one JSON object
        #[arg(long)]
        json: bool,
    },
    /// Measure the latency of queries, and check their answers
    Queries {
        #[command(flatten)]
        options: queries::QueryOptions,
        /// Print all figures as one JSON object
        #[arg(long)]
        json: bool,
    },
    /// Measure the agent beside rsyslog: shipping, idle, following many files
    Agent {
        #[command(flatten)]
        options: agent::AgentOptions,
        /// Print all figures as one JSON object
        #[arg(long)]
        json: bool,
    },
    /// Measure the command line beside rg and jq on the raw file
    Cli {
        #[command(flatten)]
        options: cli::CliOptions,
    },
    /// Measure lookups, traces and stories over as many spans as records
    Stories {
        #[command(flatten)]
        options: stories::StoriesOptions,
    },
    /// Measure what Grafana asks by Loki's API
    Grafana {
        #[command(flatten)]
        options: grafana::GrafanaOptions,
    },
    /// Measure many alert rules while records come in, and a week of history judged by them
    Alerts {
        #[command(flatten)]
        options: alerts::AlertsOptions,
    },
    /// Measure the demo shop at rest, and under a hundred orders a second with the pipeline beside it
    Shop {
        #[command(flatten)]
        options: shop::ShopOptions,
    },
    /// Minutes at a steady rate, with questions and `kill -9`; fails if anything does not hold
    Soak {
        #[command(flatten)]
        options: soak::SoakOptions,
    },
    /// Measure ingest and queries and write the report
    Report {
        #[command(flatten)]
        options: report::ReportOptions,
    },
}

// One thread: on two cores the server needs them more than its load generator does.
#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    match Arguments::parse().command {
        Command::Corpus { corpus, output } => corpus::write_corpus(&corpus, output.as_deref()),
        Command::Ingest { options, json } => {
            let result = ingest::run(&options).await?;
            print(&result, &result.text(), json)
        }
        Command::Queries { options, json } => {
            let results = queries::run(&options).await?;
            print(&results, &results.text(), json)?;
            results.check()
        }
        Command::Agent { options, json } => {
            let result = agent::run(&options).await?;
            print(&result, &result.text(), json)?;
            if let Some(folder) = &options.results {
                let report = result.write(folder)?;
                writeln!(std::io::stdout(), "{}", report.display())?;
            }
            Ok(())
        }
        Command::Cli { options } => {
            let result = cli::run(&options).await?;
            std::io::stdout().write_all(result.text().as_bytes())?;
            if let Some(folder) = &options.results {
                let report = result.write(folder)?;
                writeln!(std::io::stdout(), "{}", report.display())?;
            }
            result.check()
        }
        Command::Alerts { options } => {
            let result = alerts::run(&options).await?;
            std::io::stdout().write_all(result.text().as_bytes())?;
            if let Some(folder) = &options.places.results {
                let report = result.write(folder)?;
                writeln!(std::io::stdout(), "{}", report.display())?;
            }
            Ok(())
        }
        Command::Grafana { options } => {
            let result = grafana::run(&options).await?;
            std::io::stdout().write_all(result.text().as_bytes())?;
            if let Some(folder) = &options.places.results {
                let report = result.write(folder)?;
                writeln!(std::io::stdout(), "{}", report.display())?;
            }
            Ok(())
        }
        Command::Stories { options } => {
            let result = stories::run(&options).await?;
            std::io::stdout().write_all(result.text().as_bytes())?;
            if let Some(folder) = &options.places.results {
                let report = result.write(folder)?;
                writeln!(std::io::stdout(), "{}", report.display())?;
            }
            Ok(())
        }
        Command::Shop { options } => {
            let result = shop::run(&options).await?;
            std::io::stdout().write_all(result.text().as_bytes())?;
            if let Some(folder) = &options.results {
                let report = result.write(folder)?;
                writeln!(std::io::stdout(), "{}", report.display())?;
            }
            result.check()
        }
        Command::Soak { options } => {
            let result = soak::run(&options).await?;
            std::io::stdout().write_all(result.text().as_bytes())?;
            if let Some(folder) = &options.results {
                let report = result.write(folder)?;
                writeln!(std::io::stdout(), "{}", report.display())?;
            }
            result.check()
        }
        Command::Report { options } => {
            let report = report::run(&options).await?;
            writeln!(std::io::stdout(), "{}", report.display())?;
            Ok(())
        }
    }
}

fn print(result: &impl Serialize, text: &str, json: bool) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    if json {
        serde_json::to_writer_pretty(&mut out, result)?;
        writeln!(out)?;
    } else {
        out.write_all(text.as_bytes())?;
    }
    Ok(())
}
