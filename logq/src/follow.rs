//! `logq tail` and `logq wait`: records as they come in.
//!
//! The server sends what is new every 200 ms, in the order of times. A lost connection is made again, from the last
//! record on that the server told of; what it left out is said.

use std::io;
use std::time::Duration;

use anyhow::{Context, Result};
use serde::Deserialize;
use serde_json::json;

use crate::arguments::{Follow, Search, Wait};
use crate::client;
use crate::exit::Exit;
use crate::lines::Lines;
use crate::output::{ColorChoice, Out, Printer, Style};

/// Silence after which a connection passes for dead; the server says something every 10 s.
const SILENCE_MAX: Duration = Duration::from_secs(30);
/// Pauses between two tries to connect again: doubled from the first to the last.
const RETRY_FIRST: Duration = Duration::from_millis(200);
const RETRY_LAST: Duration = Duration::from_secs(5);

#[derive(Deserialize)]
struct PositionLine {
    tail: Position,
}

#[derive(Clone, Copy, Deserialize)]
struct Position {
    after: u64,
    skipped: u64,
}

/// How a connection ended.
enum Ended {
    /// The reader of the lines has enough.
    Enough,
    /// The server refused, or cannot be used.
    Refused(Exit),
    /// It can be made again.
    Lost(String),
}

/// What a line asks for.
pub(crate) enum Next {
    More,
    Enough,
}

/// One follower.
struct Follower<'a> {
    client: reqwest::Client,
    addr: &'a str,
    query: &'a str,
    after: Option<u64>,
}

impl Follower<'_> {
    /// Reads lines until the connection or the reader ends.
    async fn connect(
        &mut self,
        connected: &mut bool,
        line: &mut impl FnMut(&[u8]) -> io::Result<Next>,
    ) -> Result<Ended> {
        let url = format!("{}/api/v1/tail", self.addr.trim_end_matches('/'));
        let body = json!({ "query": self.query, "after": self.after });
        let mut response = match self.client.post(&url).json(&body).send().await {
            Ok(response) => response,
            Err(error) => return Ok(Ended::Lost(client::reason(&error))),
        };
        if response.status().is_server_error() {
            return Ok(Ended::Lost(response.status().to_string()));
        }
        if !response.status().is_success() {
            return Ok(Ended::Refused(crate::search::refused(self.addr, response).await));
        }
        *connected = true;
        let mut lines = Lines::default();
        loop {
            let chunk = match tokio::time::timeout(SILENCE_MAX, response.chunk()).await {
                Ok(Ok(Some(chunk))) => chunk,
                Ok(Ok(None)) => return Ok(Ended::Lost("the server ended the connection".into())),
                Ok(Err(error)) => return Ok(Ended::Lost(client::reason(&error))),
                Err(_) => return Ok(Ended::Lost("the server is silent".into())),
            };
            let mut done = Ok(Next::More);
            lines.push(&chunk, &mut |bytes| {
                if !matches!(done, Ok(Next::More)) {
                    return;
                }
                match serde_json::from_slice::<PositionLine>(bytes) {
                    Ok(PositionLine { tail }) if bytes.starts_with(b"{\"tail\":") => {
                        self.after = Some(tail.after);
                        if tail.skipped > 0 {
                            eprintln!(
                                "logq: {} records are left out: too many at once",
                                tail.skipped
                            );
                        }
                    }
                    _ => done = line(bytes),
                }
            });
            match done {
                Ok(Next::More) => {}
                Ok(Next::Enough) => return Ok(Ended::Enough),
                // Whoever reads us has seen enough.
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                    return Ok(Ended::Enough);
                }
                Err(error) => return Err(error).context("cannot print"),
            }
        }
    }
}

pub(crate) async fn tail(follow: &Follow) -> Result<Exit> {
    if let Err(exit) = checked(&follow.query) {
        return Ok(exit);
    }
    let client = match follow.asking.server.client() {
        Ok(client) => client,
        Err(exit) => return Ok(exit),
    };
    let style = Style::of_stdout(ColorChoice::Auto);
    let mut printer = Printer::new(Out::new(false), follow.asking.output, style, &follow.query);
    let mut follower =
        Follower { client, addr: &follow.asking.server.addr, query: &follow.query, after: None };
    let mut retry = RETRY_FIRST;
    let mut ever = false;
    loop {
        let mut connected = false;
        let mut print = |line: &[u8]| {
            printer.line(line)?;
            printer.flush()?;
            Ok(Next::More)
        };
        match follower.connect(&mut connected, &mut print).await? {
            Ended::Enough => return Ok(Exit::Success),
            Ended::Refused(exit) => return Ok(exit),
            Ended::Lost(reason) => {
                ever |= connected;
                if !ever {
                    eprintln!("logq: cannot reach {}: {reason}", follow.asking.server.addr);
                    return Ok(Exit::Unreachable);
                }
                if connected {
                    retry = RETRY_FIRST;
                    eprintln!("logq: {reason}; connecting again");
                }
                tokio::time::sleep(retry).await;
                retry = (retry * 2).min(RETRY_LAST);
            }
        }
    }
}

/// `logq -f 'QUERY'`: first what is there, then what comes.
pub(crate) async fn search(search: Search) -> Result<Exit> {
    match crate::search::run_through(&search, false).await? {
        Exit::Success | Exit::Failure => {}
        other => return Ok(other),
    }
    tail(&Follow { query: search.query, asking: search.asking }).await
}

pub(crate) async fn wait(wait: &Wait) -> Result<Exit> {
    if let Err(exit) = checked(&wait.query) {
        return Ok(exit);
    }
    let client = match wait.asking.server.client() {
        Ok(client) => client,
        Err(exit) => return Ok(exit),
    };
    match tokio::time::timeout(wait.timeout, first_match(client, wait)).await {
        Ok(found) => found,
        Err(_) => {
            let waited = service::config::format_duration(wait.timeout);
            eprintln!("logq: nothing matched within {waited}");
            Ok(Exit::Failure)
        }
    }
}

/// Prints the first record that matches, of those that are there and of those that come.
async fn first_match(client: reqwest::Client, wait: &Wait) -> Result<Exit> {
    let mut retry = RETRY_FIRST;
    loop {
        match look_and_follow(&client, wait).await? {
            Ok(line) => return print_one(&line, wait),
            Err(Ended::Refused(exit)) => return Ok(exit),
            Err(_) => {
                tokio::time::sleep(retry).await;
                retry = (retry * 2).min(RETRY_LAST);
            }
        }
    }
}

async fn look_and_follow(client: &reqwest::Client, wait: &Wait) -> Result<Result<Vec<u8>, Ended>> {
    // What comes in while the search runs lies behind the position that is asked for before it.
    let after = match position(client, wait).await {
        Ok(after) => after,
        Err(ended) => return Ok(Err(ended)),
    };
    match newest(client, wait).await {
        Ok(Some(line)) => return Ok(Ok(line)),
        Ok(None) => {}
        Err(ended) => return Ok(Err(ended)),
    }
    let mut follower = Follower {
        client: client.clone(),
        addr: &wait.asking.server.addr,
        query: &wait.query,
        after: Some(after),
    };
    let (mut found, mut connected) = (None, false);
    let ended = follower
        .connect(&mut connected, &mut |line| {
            found = Some(line.to_vec());
            Ok(Next::Enough)
        })
        .await?;
    Ok(found.ok_or(ended))
}

/// The record_seq of the last record that is there.
async fn position(client: &reqwest::Client, wait: &Wait) -> Result<u64, Ended> {
    let body = json!({ "query": wait.query, "limit": 0 });
    let answer = answer(client, wait, "tail", &body).await?;
    let first = answer.split(|byte| *byte == b'\n').next().unwrap_or_default();
    match serde_json::from_slice::<PositionLine>(first) {
        Ok(line) => Ok(line.tail.after),
        Err(error) => Err(Ended::Lost(error.to_string())),
    }
}

/// The newest record that is there already.
async fn newest(client: &reqwest::Client, wait: &Wait) -> Result<Option<Vec<u8>>, Ended> {
    let body = json!({ "query": wait.query, "since": wait.since, "limit": 1 });
    let answer = answer(client, wait, "query", &body).await?;
    let first = answer.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let is_record = !first.is_empty() && !first.starts_with(b"{\"summary\":");
    Ok(is_record.then(|| first.to_vec()))
}

async fn answer(
    client: &reqwest::Client,
    wait: &Wait,
    route: &str,
    body: &serde_json::Value,
) -> Result<Vec<u8>, Ended> {
    let url = wait.asking.server.url(route);
    let lost = |error: &reqwest::Error| Ended::Lost(client::reason(error));
    let sent = client.post(&url).json(body).send().await;
    let response = sent.map_err(|error| lost(&error))?;
    match response.status() {
        status if status.is_server_error() => Err(Ended::Lost(status.to_string())),
        status if status.is_success() => {
            response.bytes().await.map(Vec::from).map_err(|error| lost(&error))
        }
        _ => Err(Ended::Refused(crate::search::refused(&wait.asking.server.addr, response).await)),
    }
}

fn print_one(line: &[u8], wait: &Wait) -> Result<Exit> {
    let style = Style::of_stdout(ColorChoice::Auto);
    let mut printer = Printer::new(Out::new(false), wait.asking.output, style, &wait.query);
    match printer.line(line).and_then(|()| printer.finish()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(error).context("cannot print")
        }
        _ => Ok(Exit::Success),
    }
}

fn checked(query: &str) -> Result<(), Exit> {
    match query::Plan::new(query) {
        Ok(plan) => {
            for warning in &plan.warnings {
                eprintln!("{}\n", warning.render(query));
            }
            Ok(())
        }
        Err(error) => {
            eprintln!("{error}");
            Err(Exit::Usage)
        }
    }
}
