//! `logq ship`: whole files, once, as named batches.

use std::io::{IsTerminal, stderr};
use std::time::Duration;

use agent::time_format::TimeOptions;
use agent::{ShipError, ShipOptions, ShipReport};
use anyhow::Result;
use indicatif::{ProgressBar, ProgressStyle};

use crate::arguments::Ship;
use crate::exit::Exit;

pub(crate) async fn run(arguments: Ship) -> Result<Exit> {
    let format = match arguments.format.parse() {
        Ok(format) => format,
        Err(error) => {
            let error: agent::format::UnknownFormat = error;
            eprintln!("logq: {error}");
            return Ok(Exit::Usage);
        }
    };
    let mut options = ShipOptions::new(arguments.collector.addr, arguments.files);
    options.credentials = arguments.collector.access.credentials();
    options.service = arguments.service;
    options.host = arguments.host;
    options.format = format;
    options.pattern = arguments.pattern;
    options.correlation = arguments.correlation;
    options.give_up_after = Duration::from_secs(arguments.give_up_after);
    options.time = TimeOptions {
        format: arguments.time_format,
        timezone: arguments.timezone,
        year: arguments.year,
    };
    let bar = progress_bar();
    let shipped = agent::ship(options, |progress| {
        bar.set_length(progress.bytes_total.unwrap_or(progress.bytes_read));
        bar.set_position(progress.bytes_read);
        let stalled = progress
            .stalled
            .as_ref()
            .map_or_else(String::new, |reason| format!(" · waiting: {reason}"));
        bar.set_message(format!("{} records accepted{stalled}", progress.records_accepted));
    })
    .await;
    bar.finish_and_clear();
    Ok(match shipped {
        Ok(report) => {
            print(&report);
            if report.is_complete() { Exit::Success } else { Exit::Failure }
        }
        Err(error) => failed(&error),
    })
}

fn failed(error: &ShipError) -> Exit {
    if let Some(report) = error.report() {
        print(report);
    }
    let mut message = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(inner) = source {
        message = format!("{message}: {inner}");
        source = inner.source();
    }
    eprintln!("logq: {message}");
    match error {
        error if error.is_usage() => Exit::Usage,
        error if error.is_unreachable() => Exit::Unreachable,
        _ => Exit::Failure,
    }
}

fn print(report: &ShipReport) {
    let line = |name: &str, counts: &agent::ReportTotal, format: &str| {
        let mut line = format!(
            "{name}: {} lines read, {} records accepted, {} lines did not parse",
            counts.lines, counts.records_accepted, counts.lines_unparsed
        );
        if !format.is_empty() {
            line.push_str(&format!(" ({format})"));
        }
        if counts.timestamps_replaced > 0 {
            line.push_str(&format!(", {} times could not be read", counts.timestamps_replaced));
        }
        if counts.parts > 0 {
            line.push_str(&format!(", {} records are parts of long lines", counts.parts));
        }
        println!("{line}");
    };
    for file in &report.files {
        line(&file.path, &file.counts, file.format.map_or("", |format| format.name()));
    }
    if report.files.len() > 1 {
        line("total", &report.total(), "");
    }
    if report.retries > 0 || report.duplicates > 0 {
        println!(
            "{} batches, {} sent again, {} of them had arrived before",
            report.batches, report.retries, report.duplicates
        );
    }
    if report.records_rejected > 0 {
        let reason = report.rejection.as_deref().unwrap_or("no reason was given");
        println!("{} records were refused by the collector: {reason}", report.records_rejected);
    }
    if report.store_changes > 0 {
        println!(
            "another store answered on the way; what an earlier one accepted may not be in it"
        );
    }
}

/// Bytes done of bytes in all, on a terminal; else nothing.
pub(crate) fn progress_bar() -> ProgressBar {
    if !stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{bar:32} {percent:>3}% {bytes}/{total_bytes} {msg}");
    let bar = ProgressBar::new(0);
    if let Ok(style) = style {
        bar.set_style(style);
    }
    bar
}
