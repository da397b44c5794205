//! `logq delete`: says how many records match, asks, hides them, waits until they are gone, and shows the proof.

use std::io::{IsTerminal, Write, stderr, stdin};
use std::time::Duration;

use anyhow::{Context, Result};
use collector::DeleteReport;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::arguments::Delete;
use crate::exit::Exit;

/// How often a delete is asked how far it is.
const POLL: Duration = Duration::from_millis(200);

/// The answer to a dry run.
#[derive(Debug, Deserialize)]
struct Counts {
    rows_before: u64,
    rows_matched: u64,
}

#[derive(Debug, Deserialize)]
struct ErrorAnswer {
    error: ErrorBody,
}

#[derive(Debug, Deserialize)]
struct ErrorBody {
    message: String,
    hint: Option<String>,
}

/// The collector, for one tenant.
struct Server<'a> {
    client: reqwest::Client,
    delete: &'a Delete,
}

pub(crate) async fn run(delete: &Delete) -> Result<Exit> {
    // Faults of the query show without a server, with carets.
    match query::Plan::new(&delete.query) {
        Ok(plan) => {
            for warning in &plan.warnings {
                eprintln!("{}\n", warning.render(&delete.query));
            }
        }
        Err(error) => {
            eprintln!("{error}");
            return Ok(Exit::Usage);
        }
    }
    let client = match crate::client::new(&delete.collector.addr, &delete.collector.access) {
        Ok(client) => client,
        Err(exit) => return Ok(exit),
    };
    let server = Server { client, delete };
    let counts: Counts = match server.post(true).await? {
        Ok(counts) => counts,
        Err(exit) => return Ok(exit),
    };
    let Counts { rows_before, rows_matched } = counts;
    let whose = whose(delete);
    println!("{rows_matched} of {rows_before} records of {whose} match, {}", times(delete));
    if rows_matched == 0 {
        return Ok(Exit::Failure);
    }
    if delete.dry_run {
        return Ok(Exit::Success);
    }
    if !delete.yes {
        if !stdin().is_terminal() {
            eprintln!(
                "logq: nothing is deleted without a yes, and there is no terminal to ask on; say --yes"
            );
            return Ok(Exit::Usage);
        }
        if !confirmed()? {
            eprintln!("logq: nothing was deleted");
            return Ok(Exit::Failure);
        }
    }
    let report: DeleteReport = match server.post(false).await? {
        Ok(report) => report,
        Err(exit) => return Ok(exit),
    };
    let hidden = report.rows_hidden.map_or("its".to_owned(), |rows| rows.to_string());
    println!("delete {}: {hidden} records are hidden from now on", report.id);
    if delete.no_wait {
        println!(
            "they are removed from the disk in the background: GET /api/v1/deletes/{}",
            report.id
        );
        return Ok(Exit::Success);
    }
    match server.wait(report.id).await? {
        Ok(report) => Ok(prove(&report)),
        Err(exit) => Ok(exit),
    }
}

fn whose(delete: &Delete) -> String {
    let access = &delete.collector.access;
    match &access.tenant {
        Some(tenant) => format!("tenant {tenant}"),
        None if access.token.is_some() || access.token_file.is_some() => {
            "the token's tenant".to_owned()
        }
        None => format!("tenant {}", service::principal::TENANT_DEFAULT),
    }
}

fn times(delete: &Delete) -> String {
    match (&delete.since, &delete.until) {
        (None, None) => "of all times".to_owned(),
        (Some(since), None) => format!("since {since}"),
        (None, Some(until)) => format!("of all times until {until}"),
        (Some(since), Some(until)) => format!("since {since} until {until}"),
    }
}

fn confirmed() -> Result<bool> {
    eprint!("Delete them for good? [y/N] ");
    stderr().flush().context("cannot ask")?;
    let mut answer = String::new();
    stdin().read_line(&mut answer).context("cannot read the answer")?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

fn prove(report: &DeleteReport) -> Exit {
    let row = |name: &str, count: Option<u64>| {
        let count = count.map_or("not counted".to_owned(), |count| count.to_string());
        println!("{name:<24}{count:>16}");
    };
    row("rows before", report.rows_before);
    row("hidden", report.rows_hidden);
    row("removed", Some(report.rows_removed));
    row("segments rewritten", Some(report.segments_rewritten));
    row("segments dropped", Some(report.segments_dropped));
    row("found now", report.rows_left);
    match report.rows_left {
        Some(0) => {
            println!("delete {} is done", report.id);
            Exit::Success
        }
        _ => {
            eprintln!(
                "logq: delete {} is done, but not all of it is gone; this is a bug",
                report.id
            );
            Exit::Failure
        }
    }
}

impl Server<'_> {
    async fn post<T: DeserializeOwned>(&self, dry_run: bool) -> Result<Result<T, Exit>> {
        let Delete { query, since, until, .. } = self.delete;
        let body = serde_json::json!({
            "query": query, "since": since, "until": until, "dry_run": dry_run,
        });
        self.answer(self.client.post(self.url("/api/v1/delete")).json(&body)).await
    }

    /// Waits until the delete is done; its records are looked for once more then.
    async fn wait(&self, id: u64) -> Result<Result<DeleteReport, Exit>> {
        let mut told = None;
        loop {
            let url = self.url(&format!("/api/v1/deletes/{id}"));
            let report: DeleteReport = match self.answer(self.client.get(&url)).await? {
                Ok(report) => report,
                Err(exit) => {
                    eprintln!("logq: delete {id} goes on in the background");
                    return Ok(Err(exit));
                }
            };
            if report.state == "done" {
                return self.answer(self.client.get(format!("{url}?verify=true"))).await;
            }
            if let Some(trouble) = report.trouble.filter(|trouble| told.as_ref() != Some(trouble)) {
                eprintln!("logq: delete {id} waits: {trouble}");
                told = Some(trouble);
            }
            tokio::time::sleep(POLL).await;
        }
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.delete.collector.addr.trim_end_matches('/'))
    }

    /// What the collector answers, or how to end if it does not.
    async fn answer<T: DeserializeOwned>(
        &self,
        request: reqwest::RequestBuilder,
    ) -> Result<Result<T, Exit>> {
        let response = match request.send().await {
            Ok(response) => response,
            Err(error) => {
                return Ok(Err(crate::client::unreachable(&self.delete.collector.addr, &error)));
            }
        };
        let status = response.status();
        let body = response.bytes().await.context("the answer was cut off")?;
        if status.is_success() {
            let not_ours = || format!("{} is no collector of logq", self.delete.collector.addr);
            return serde_json::from_slice(&body).map(Ok).with_context(not_ours);
        }
        if let Some(exit) = crate::client::not_let_in(&self.delete.collector.addr, status, &body) {
            return Ok(Err(exit));
        }
        match serde_json::from_slice::<ErrorAnswer>(&body) {
            Ok(answer) => eprintln!("{}", answer.error.hint.unwrap_or(answer.error.message)),
            Err(_) => eprintln!("logq: {}", String::from_utf8_lossy(&body[..body.len().min(500)])),
        }
        match status.as_u16() {
            400..=499 if status.as_u16() != 429 => Ok(Err(Exit::Usage)),
            _ => Ok(Err(Exit::Unreachable)),
        }
    }
}
