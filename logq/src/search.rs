//! `logq search`: asks the query service and prints what comes, as it comes.

use std::io::{self, BufWriter, IsTerminal, Write};

use anyhow::{Context, Result};
use serde::Deserialize;

use crate::arguments::{OutputForm, Search};
use crate::exit::Exit;
use crate::lines::Lines;
use crate::text::TextPrinter;

/// The last line of an answer.
#[derive(Debug, Deserialize)]
struct LastLine {
    summary: Summary,
}

#[derive(Debug, Deserialize)]
struct Summary {
    complete: bool,
    reason: Option<String>,
    #[serde(default)]
    rows_left_out: u64,
    rows: u64,
    took_ms: f64,
    hint: Option<String>,
}

/// An error answer.
#[derive(Debug, Deserialize)]
struct ErrorAnswer {
    error: ErrorBody,
}

#[derive(Debug, Deserialize)]
struct ErrorBody {
    message: String,
    hint: Option<String>,
}

pub(crate) async fn run(search: &Search) -> Result<Exit> {
    // Faults of the query show without a server, with carets.
    let plan = match query::Plan::new(&search.query) {
        Ok(plan) => plan,
        Err(error) => {
            eprintln!("{error}");
            return Ok(Exit::Usage);
        }
    };
    for warning in &plan.warnings {
        eprintln!("{}\n", warning.render(&search.query));
    }
    let url = format!("{}/api/v1/query", search.addr.trim_end_matches('/'));
    let request = serde_json::json!({
        "query": search.query, "since": search.since, "until": search.until, "limit": search.limit,
    });
    let client = match crate::client::new(&search.addr, &search.access) {
        Ok(client) => client,
        Err(exit) => return Ok(exit),
    };
    let sent = client.post(&url).json(&request).send().await;
    let mut response = match sent {
        Ok(response) => response,
        Err(error) => return Ok(crate::client::unreachable(&search.addr, &error)),
    };
    if !response.status().is_success() {
        return Ok(refused(&search.addr, response).await);
    }
    let mut printer = Printer::new(search.output);
    let mut lines = Lines::default();
    let mut last = None;
    loop {
        let chunk = match response.chunk().await {
            Ok(Some(chunk)) => chunk,
            Ok(None) => break,
            Err(error) => {
                eprintln!("logq: the answer was cut off: {error}");
                return Ok(Exit::Partial);
            }
        };
        let mut failed = None;
        lines.push(&chunk, &mut |line| {
            if line.starts_with(b"{\"summary\":") {
                last = serde_json::from_slice::<LastLine>(line).ok();
            } else if failed.is_none() {
                failed = printer.line(line).err();
            }
        });
        match failed {
            // Whoever reads us has seen enough.
            Some(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(Exit::Success),
            Some(error) => return Err(error).context("cannot print"),
            None => {}
        }
    }
    if let Err(error) = printer.finish() {
        return if error.kind() == io::ErrorKind::BrokenPipe {
            Ok(Exit::Success)
        } else {
            Err(error).context("cannot print")
        };
    }
    Ok(conclude(last.map(|last| last.summary)))
}

fn conclude(summary: Option<Summary>) -> Exit {
    let Some(summary) = summary else {
        eprintln!("logq: the answer ended without its summary; it may be partial");
        return Exit::Partial;
    };
    if !summary.complete {
        eprintln!(
            "logq: the answer is partial: {}",
            summary.reason.as_deref().unwrap_or("no reason was given")
        );
        return Exit::Partial;
    }
    if summary.rows_left_out > 0 {
        eprintln!("logq: {} more rows are left out; a larger -n shows them", summary.rows_left_out);
    }
    if let Some(hint) = &summary.hint {
        eprintln!("logq: nothing found in this time range; {hint}");
    }
    if io::stdout().is_terminal() && io::stderr().is_terminal() {
        let rows =
            if summary.rows == 1 { "1 row".to_owned() } else { format!("{} rows", summary.rows) };
        eprintln!("{}", crate::text::dimmed(&format!("{rows} in {:.1} ms", summary.took_ms)));
    }
    if summary.rows == 0 { Exit::Failure } else { Exit::Success }
}

pub(crate) async fn refused(addr: &str, response: reqwest::Response) -> Exit {
    let status = response.status();
    let body = response.bytes().await.unwrap_or_default();
    if let Some(exit) = crate::client::not_let_in(addr, status, &body) {
        return exit;
    }
    let message = match serde_json::from_slice::<ErrorAnswer>(&body) {
        Ok(answer) => answer.error.hint.unwrap_or(answer.error.message),
        Err(_) => String::from_utf8_lossy(&body[..body.len().min(500)]).into_owned(),
    };
    eprintln!("{message}");
    match status.as_u16() {
        400..=499 if status.as_u16() != 429 => Exit::Usage,
        429 | 504 => Exit::Partial,
        _ => Exit::Unreachable,
    }
}

pub(crate) enum Printer {
    Json(BufWriter<io::StdoutLock<'static>>),
    Text(TextPrinter<BufWriter<io::StdoutLock<'static>>>),
}

impl Printer {
    pub(crate) fn new(form: OutputForm) -> Self {
        let out = BufWriter::with_capacity(64 << 10, io::stdout().lock());
        match form {
            OutputForm::Json => Printer::Json(out),
            OutputForm::Text => Printer::Text(TextPrinter::new(out, crate::text::colours_wanted())),
        }
    }

    pub(crate) fn line(&mut self, line: &[u8]) -> io::Result<()> {
        match self {
            Printer::Json(out) => {
                out.write_all(line)?;
                out.write_all(b"\n")
            }
            Printer::Text(printer) => printer.line(line),
        }
    }

    /// What was printed so far is out; rows of a table wait for its widths.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        match self {
            Printer::Json(out) => out.flush(),
            Printer::Text(printer) => printer.flush(),
        }
    }

    pub(crate) fn finish(&mut self) -> io::Result<()> {
        match self {
            Printer::Json(out) => out.flush(),
            Printer::Text(printer) => printer.finish(),
        }
    }
}
