//! `logq search`: asks the query service and prints what comes, as it comes.

use std::io::{self, IsTerminal};

use anyhow::{Context, Result};
use serde::Deserialize;
use serde_json::json;

use crate::arguments::{Limit, OutputForm, Search};
use crate::client;
use crate::exit::Exit;
use crate::lines::Lines;
use crate::output::progress::{self, Progress};
use crate::output::{Out, Printer, Style, dimmed_error};

/// Records that are asked for at once when all are wanted.
const PAGE_ROWS: usize = 100_000;

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
    #[serde(default)]
    warnings: Vec<String>,
    hint: Option<String>,
    /// Where the next page begins.
    next: Option<String>,
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

/// How the answer to one request ended.
enum Ended {
    /// With its summary, if it came.
    Whole(Option<Summary>),
    /// Whoever reads us has seen enough.
    Enough,
    /// Somebody pressed Ctrl-C.
    Interrupted,
    /// As this exit code says.
    Failed(Exit),
}

pub(crate) async fn run(search: &Search) -> Result<Exit> {
    run_through(search, true).await
}

/// The same; with `pager` it goes through one if it is for a person.
pub(crate) async fn run_through(search: &Search, pager: bool) -> Result<Exit> {
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
    let client = match search.asking.server.client() {
        Ok(client) => client,
        Err(exit) => return Ok(exit),
    };
    let for_a_person = matches!(search.asking.output, OutputForm::Text | OutputForm::Table);
    let out = Out::new(pager && for_a_person && !search.no_pager);
    let style = Style::of_stdout(search.color);
    let mut printer = Printer::new(out, search.asking.output, style, &search.query);
    let (mut rows, mut took_ms, mut below) = (0, 0.0, None);
    loop {
        let ended = page(&client, search, below.as_deref(), &mut printer).await?;
        let mut summary = match ended {
            Ended::Whole(Some(summary)) => summary,
            Ended::Whole(None) => {
                finish(&mut printer)?;
                eprintln!("logq: the answer ended without its summary; it may be partial");
                return Ok(Exit::Partial);
            }
            Ended::Enough => return Ok(Exit::Success),
            Ended::Interrupted => {
                // Who leaves a pager has seen enough.
                let paged = printer.is_paged();
                finish(&mut printer)?;
                return Ok(if paged { Exit::Success } else { Exit::Partial });
            }
            Ended::Failed(exit) => {
                finish(&mut printer)?;
                return Ok(exit);
            }
        };
        rows += summary.rows;
        took_ms += summary.took_ms;
        below = summary.next.take().filter(|_| search.limit == Some(Limit::All));
        if below.is_none() {
            let known: Vec<String> = plan.warnings.iter().map(ToString::to_string).collect();
            summary.warnings.retain(|warning| !known.contains(warning));
            finish(&mut printer)?;
            return Ok(conclude(&Summary { rows, took_ms, ..summary }));
        }
    }
}

/// Prints what has waited; a pager has been read before anything is said below it.
fn finish(printer: &mut Printer<Out>) -> Result<()> {
    match printer.close() {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(error).context("cannot print")
        }
        _ => Ok(()),
    }
}

/// Asks once, and prints what comes.
async fn page(
    client: &reqwest::Client,
    search: &Search,
    below: Option<&str>,
    printer: &mut Printer<Out>,
) -> Result<Ended> {
    let limit = match search.limit {
        None => None,
        Some(Limit::All) => Some(PAGE_ROWS),
        Some(Limit::Rows(rows)) => Some(rows),
    };
    let mut progress = Progress::new();
    let request = json!({
        "query": search.query, "since": search.time.since, "until": search.time.until, "limit": limit,
        "below": below, "progress": progress.wanted(),
    });
    let url = search.asking.server.url("query");
    let answer = tokio::select! {
        answer = client.post(&url).json(&request).send() => answer,
        _ = tokio::signal::ctrl_c() => return Ok(Ended::Interrupted),
    };
    let mut response = match answer {
        Ok(response) => response,
        Err(error) => {
            finish(printer)?;
            return Ok(Ended::Failed(client::unreachable(&search.asking.server.addr, &error)));
        }
    };
    if !response.status().is_success() {
        finish(printer)?;
        return Ok(Ended::Failed(refused(&search.asking.server.addr, response).await));
    }
    let mut lines = Lines::default();
    let mut last = None;
    loop {
        let chunk = tokio::select! {
            chunk = response.chunk() => chunk,
            // Dropping the connection ends the query on the server.
            _ = tokio::signal::ctrl_c() => {
                progress.clear();
                return Ok(Ended::Interrupted);
            }
        };
        let chunk = match chunk {
            Ok(Some(chunk)) => chunk,
            Ok(None) => return Ok(Ended::Whole(last.map(|LastLine { summary }| summary))),
            Err(error) => {
                progress.clear();
                finish(printer)?;
                eprintln!(
                    "logq: the answer was cut off and is partial: {}",
                    client::reason(&error)
                );
                return Ok(Ended::Failed(Exit::Partial));
            }
        };
        let mut failed = None;
        lines.push(&chunk, &mut |line| {
            if line.starts_with(progress::PREFIX) {
                // On the terminal of a pager it would be in the way.
                if !printer.is_paged() {
                    progress.show(line);
                }
            } else if line.starts_with(b"{\"summary\":") {
                progress.clear();
                last = serde_json::from_slice::<LastLine>(line).ok();
            } else if failed.is_none() {
                progress.clear();
                failed = printer.line(line).err();
            }
        });
        // What is here already is shown while more is looked for.
        match failed.or_else(|| printer.flush().err()) {
            Some(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(Ended::Enough),
            Some(error) => return Err(error).context("cannot print"),
            None => {}
        }
    }
}

fn conclude(summary: &Summary) -> Exit {
    for warning in &summary.warnings {
        eprintln!("logq: {warning}");
    }
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
        eprintln!("{}", dimmed_error(&format!("{rows} in {:.1} ms", summary.took_ms)));
    }
    if summary.rows == 0 { Exit::Failure } else { Exit::Success }
}

/// Says why a server does not answer the query.
pub(crate) async fn refused(addr: &str, response: reqwest::Response) -> Exit {
    let status = response.status();
    let body = response.bytes().await.unwrap_or_default();
    if let Some(exit) = client::not_let_in(addr, status, &body) {
        return exit;
    }
    let message = match serde_json::from_slice::<ErrorAnswer>(&body) {
        Ok(answer) if status == reqwest::StatusCode::NOT_FOUND => {
            eprintln!("logq: {}", answer.error.message);
            return Exit::Failure;
        }
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
