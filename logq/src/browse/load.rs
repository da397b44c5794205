//! Asks the server, in the background. What comes back goes to the state as events.
//!
//! A new question takes the place of the one of its kind that is under way: that connection is dropped, and the server
//! stops working on it. No answer may be larger than [`ANSWER_BYTES_MAX`]; a page that is ends there and goes on below.

use std::time::Duration;

use reqwest::{Client, Response};
use serde_json::{Value, json};
use tokio::sync::mpsc::Sender;
use tokio::task::JoinHandle;

use super::condition;
use super::event::{Chart, Event, Page, Question, Request};
use super::row::{Row, plain};
use crate::client;
use crate::lines::Lines;

const ANSWER_BYTES_MAX: usize = 32 << 20;
/// Silence after which a connection that follows passes for dead; the server says something every 10 s.
const SILENCE_MAX: Duration = Duration::from_secs(30);
/// Pauses before connecting again: doubled from the first to the last.
const RETRY_FIRST: Duration = Duration::from_millis(200);
const RETRY_LAST: Duration = Duration::from_secs(5);

/// A question under way; it ends with this.
#[derive(Debug, Default)]
struct UnderWay(Option<JoinHandle<()>>);

impl UnderWay {
    fn replace(&mut self, next: Option<JoinHandle<()>>) {
        if let Some(before) = std::mem::replace(&mut self.0, next) {
            before.abort();
        }
    }
}

#[derive(Debug)]
pub(super) struct Loader {
    server: Server,
    events: Sender<Event>,
    page: UnderWay,
    chart: UnderWay,
    follow: UnderWay,
    look: UnderWay,
}

/// Where questions go.
#[derive(Clone, Debug)]
pub(crate) struct Server {
    client: Client,
    addr: String,
}

impl Loader {
    pub(super) fn new(client: Client, addr: &str, events: Sender<Event>) -> Self {
        let server = Server::new(client, addr);
        let none = UnderWay::default;
        Self { server, events, page: none(), chart: none(), follow: none(), look: none() }
    }

    /// Begins to answer a request.
    pub(super) fn begin(&mut self, request: Request) {
        let (server, events) = (self.server.clone(), self.events.clone());
        match request {
            Request::Page { number, place, question, below, limit } => {
                self.page.replace(Some(tokio::spawn(async move {
                    let answer = server.rows(&question, below.as_deref(), Some(limit)).await;
                    let _ = events.send(Event::Page { number, place, answer }).await;
                })));
            }
            Request::Chart { number, question } => {
                self.chart.replace(Some(tokio::spawn(async move {
                    let answer = server.rows(&question, None, None).await;
                    let answer = answer.map(|page| Chart::of(&page.rows));
                    let _ = events.send(Event::Chart { number, answer }).await;
                })));
            }
            Request::Follow { number, query } => {
                self.follow.replace(Some(tokio::spawn(async move {
                    follow(&server, number, &query, &events).await;
                })));
            }
            Request::Unfollow => self.follow.replace(None),
            Request::Fields(question) => {
                self.look.replace(Some(tokio::spawn(async move {
                    let answer = server.fields(&question).await;
                    let _ = events.send(Event::Fields(answer)).await;
                })));
            }
            Request::Values { field, question } => {
                self.look.replace(Some(tokio::spawn(async move {
                    let answer = server.rows(&question, None, None).await;
                    let answer = answer.map(|page| values(&page.rows));
                    let _ = events.send(Event::Values { field, answer }).await;
                })));
            }
            Request::Leave => {}
        }
    }
}

impl Server {
    pub(crate) fn new(client: Client, addr: &str) -> Self {
        Self { client, addr: addr.trim_end_matches('/').to_owned() }
    }

    async fn post(&self, route: &str, body: &Value) -> Result<Response, String> {
        let url = format!("{}/api/v1/{route}", self.addr);
        let sent = self.client.post(&url).json(body).send().await;
        let response = sent
            .map_err(|error| format!("cannot reach {}: {}", self.addr, client::reason(&error)))?;
        if response.status().is_success() { Ok(response) } else { Err(refused(response).await) }
    }

    pub(crate) async fn rows(
        &self,
        question: &Question,
        below: Option<&str>,
        limit: Option<usize>,
    ) -> Result<Page, String> {
        let body = json!({
            "query": question.query, "since": question.since, "until": question.until,
            "below": below, "limit": limit,
        });
        let mut response = self.post("query", &body).await?;
        let (mut lines, mut page, mut bytes, mut whole) =
            (Lines::default(), Page::default(), 0, false);
        while let Some(chunk) = chunk(&mut response).await? {
            bytes += chunk.len();
            lines.push(&chunk, &mut |line| {
                if line.starts_with(b"{\"summary\":") {
                    whole = true;
                    conclude(line, &mut page);
                } else {
                    page.rows.extend(Row::read(line));
                }
            });
            if bytes > ANSWER_BYTES_MAX && !whole {
                let last = page.rows.last().and_then(Row::cursor);
                page.next = last.map(|cursor| cursor.to_string());
                page.remarks.push("the records are large; fewer of them are loaded at once".into());
                return Ok(page);
            }
        }
        if !whole {
            page.remarks.push("the answer was cut off; it may be partial".into());
        }
        Ok(page)
    }

    pub(crate) async fn fields(&self, question: &Question) -> Result<Vec<String>, String> {
        let body = json!({
            "query": question.query, "since": question.since, "until": question.until,
        });
        let mut response = self.post("fields", &body).await?;
        let mut bytes = Vec::new();
        while let Some(chunk) = chunk(&mut response).await? {
            bytes.extend_from_slice(&chunk);
            if bytes.len() > ANSWER_BYTES_MAX {
                return Err("there are too many fields".into());
            }
        }
        let answer: Value = serde_json::from_slice(&bytes).map_err(|error| error.to_string())?;
        let seen = answer["fields"].as_array().into_iter().flatten();
        let written = |name: &str| match ql::Field::resolve(name) {
            ql::Field::Attribute(name) => condition::attribute(&name),
            fixed => fixed.to_string(),
        };
        Ok(seen.filter_map(|field| field["name"].as_str()).map(written).collect())
    }
}

/// The values that a `top` found, as a query writes them.
pub(crate) fn values(rows: &[Row]) -> Vec<String> {
    let first = rows.iter().filter_map(|row| row.members().first());
    let known = first.filter(|(_, value)| !value.is_null());
    known.map(|(_, value)| condition::value(&plain(value))).collect()
}

async fn chunk(
    response: &mut Response,
) -> Result<Option<impl AsRef<[u8]> + std::ops::Deref<Target = [u8]> + use<>>, String> {
    response
        .chunk()
        .await
        .map_err(|error| format!("the answer was cut off: {}", client::reason(&error)))
}

/// Takes over what the last line says.
fn conclude(line: &[u8], page: &mut Page) {
    let last: Value = serde_json::from_slice(line).unwrap_or_default();
    let summary = &last["summary"];
    page.next = summary["next"].as_str().map(str::to_owned);
    page.took_ms = summary["took_ms"].as_f64().unwrap_or_default();
    if summary["complete"] == false {
        let reason = summary["reason"].as_str().unwrap_or("no reason was given");
        page.remarks.push(format!("the answer is partial: {reason}"));
    }
    if let Some(hint) = summary["hint"].as_str().filter(|_| page.rows.is_empty()) {
        page.remarks.push(format!("nothing found in this time range; {hint}"));
    }
    let warnings = summary["warnings"].as_array().into_iter().flatten().filter_map(Value::as_str);
    page.remarks.extend(warnings.map(str::to_owned));
}

/// Why the server does not answer.
async fn refused(response: Response) -> String {
    let status = response.status();
    let body = response.bytes().await.unwrap_or_default();
    let answer: Value = serde_json::from_slice(&body).unwrap_or_default();
    match answer["error"]["message"].as_str() {
        Some(message) => message.to_owned(),
        None => format!("the server answers {status}"),
    }
}

/// Follows until it is refused or nobody listens; a connection that is lost is made again where it ended.
async fn follow(server: &Server, number: u64, query: &str, events: &Sender<Event>) {
    let (mut after, mut retry) = (None, RETRY_FIRST);
    loop {
        let body = json!({ "query": query, "after": after });
        let url = format!("{}/api/v1/tail", server.addr);
        let sent = server.client.post(&url).json(&body).send().await;
        let (reason, is_final) = match sent {
            Ok(response) if response.status().is_success() => {
                retry = RETRY_FIRST;
                match listen(response, number, &mut after, events).await {
                    Some(reason) => (reason, false),
                    None => return,
                }
            }
            Ok(response) => {
                let is_final =
                    response.status().is_client_error() && response.status().as_u16() != 429;
                (refused(response).await, is_final)
            }
            Err(error) => {
                (format!("cannot reach {}: {}", server.addr, client::reason(&error)), false)
            }
        };
        let lost = Event::FollowLost { number, reason, refused: is_final };
        if events.send(lost).await.is_err() || is_final {
            return;
        }
        tokio::time::sleep(retry).await;
        retry = (retry * 2).min(RETRY_LAST);
    }
}

/// Gives on what comes; says why nothing more does, unless nobody listens any more.
async fn listen(
    mut response: Response,
    number: u64,
    after: &mut Option<u64>,
    events: &Sender<Event>,
) -> Option<String> {
    let (mut lines, mut rows) = (Lines::default(), Vec::new());
    loop {
        let chunk = match tokio::time::timeout(SILENCE_MAX, response.chunk()).await {
            Ok(Ok(Some(chunk))) => chunk,
            Ok(Ok(None)) => return Some("the server ended the connection".into()),
            Ok(Err(error)) => return Some(client::reason(&error)),
            Err(_) => return Some("the server is silent".into()),
        };
        let mut blocks = Vec::new();
        lines.push(&chunk, &mut |line| {
            if !line.starts_with(b"{\"tail\":") {
                rows.extend(Row::read(line));
                return;
            }
            let position: Value = serde_json::from_slice(line).unwrap_or_default();
            let first = after.is_none();
            *after = position["tail"]["after"].as_u64().or(*after);
            let skipped = position["tail"]["skipped"].as_u64().unwrap_or_default();
            let rows = std::mem::take(&mut rows);
            if first {
                blocks.push(Event::Following { number });
            }
            if skipped > 0 || !rows.is_empty() {
                blocks.push(Event::Followed { number, rows, skipped });
            }
        });
        for block in blocks {
            events.send(block).await.ok()?;
        }
    }
}
