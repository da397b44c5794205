//! `tail`: lines as they come in, over a websocket.
//!
//! ```text
//! GET …/tail?query=…&start=…&limit=…  400 if the query is wrong, else the upgrade
//! {"streams":[{"stream":{…},"values":[["TIME","TEXT"]]}]}      the newest lines since `start`, then what comes
//! close 1011 and why                                           a metric query, or a look that failed
//! ```
//!
//! When the process ends the connection is dropped without a close frame: clients take that as a reason to connect again,
//! and any close frame as the end.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade};
use axum::extract::{RawQuery, State};
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use logql::Labels;
use logql::ast::{Expr, LogQuery};
use logql::pipeline::Pipeline;
use ql::{Field, Filter, Number, Operand, Test};
use record::{Signal, Timestamp};
use serde::Serialize;
use service::principal::Principal;
use tokio::sync::OwnedSemaphorePermit;

use super::answers::{self, CATEGORIZE, Object, Refusal, Streams};
use super::lines::{Asked, Direction, Line, each_kept};
use super::parameters::Given;
use super::push_down::without_attributes;
use crate::error::QueryError;
use crate::http::QueryApi;
use crate::plan::Plan;
use crate::stages::Flow;
use crate::tail::{Follower, LOOK_EVERY};

/// Longest that may be waited for late lines, as Loki has it; lines come in order of their arrival here.
const DELAY_MAX: usize = 5;
/// How often a client is asked whether it is there, and how long it may say nothing.
const PING_EVERY: Duration = Duration::from_secs(10);
const SILENCE_MAX: Duration = Duration::from_secs(35);
/// How long a client may take to take a message.
const SEND_MAX: Duration = Duration::from_secs(30);
/// Longest message of a client, which has nothing to say.
const MESSAGE_BYTES_MAX: usize = 4 << 10;
/// About the most bytes of lines in a frame; what is more is skipped.
const FRAME_BYTES_MAX: usize = 4 << 20;
/// The code of a close frame for something that went wrong.
const WENT_WRONG: u16 = 1011;
/// Longest reason in a close frame, bytes.
const REASON_BYTES_MAX: usize = 120;

/// What a client wants to see.
struct Wanted {
    query: LogQuery,
    pipeline: Pipeline,
    start: i64,
    limit: usize,
    categorized: bool,
}

/// A frame of lines.
#[derive(Serialize)]
struct Frame<'l> {
    #[serde(rename = "encodingFlags", skip_serializing_if = "Option::is_none")]
    encoding_flags: Option<[&'static str; 1]>,
    streams: Streams<'l>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    dropped_entries: Vec<Dropped<'l>>,
}

/// Lines that were left out, because there were too many at once.
#[derive(Serialize)]
struct Dropped<'l> {
    timestamp: String,
    labels: Object<'l>,
}

pub(super) async fn tail(
    State(api): State<Arc<QueryApi>>,
    principal: Principal,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    upgrade: WebSocketUpgrade,
) -> Response {
    match begin(&api, query.as_deref(), &headers) {
        Ok((wanted, place)) => {
            let tenant = principal.tenant;
            let upgrade =
                upgrade.max_message_size(MESSAGE_BYTES_MAX).max_frame_size(MESSAGE_BYTES_MAX);
            upgrade.on_upgrade(move |socket| async move {
                match wanted {
                    Some(wanted) => serve(&api, &tenant, wanted, socket).await,
                    None => {
                        let mut socket = socket;
                        close(&mut socket, "only log selector is supported").await;
                    }
                }
                drop(place);
            })
        }
        Err(refusal) => refusal.into_response(),
    }
}

/// What is wanted; nothing if it is not lines.
fn begin(
    api: &QueryApi,
    query: Option<&str>,
    headers: &HeaderMap,
) -> Result<(Option<Wanted>, OwnedSemaphorePermit), Refusal> {
    let given = Given::of_url(query)?;
    let place = Arc::clone(&api.followers).try_acquire_owned();
    let place = place.map_err(|_| Refusal::from(QueryError::Busy))?;
    if given.number("delay_for", 0)? > DELAY_MAX {
        return Err(Refusal::bad_request("delay_for can't be greater than 5"));
    }
    let Expr::Log(query) = logql::parse(given.query())? else { return Ok((None, place)) };
    let query = query.node;
    let wanted = Wanted {
        pipeline: Pipeline::compile(&query)?,
        start: given.tail_start()?,
        limit: given.limit(true)?,
        categorized: answers::categorizes(headers),
        query,
    };
    Ok((Some(wanted), place))
}

async fn serve(api: &Arc<QueryApi>, tenant: &Arc<str>, wanted: Wanted, mut socket: WebSocket) {
    // What is there already, and what comes from there on.
    let wanted = Arc::new(wanted);
    // Which attributes there will be is not known.
    let plan = Plan::of_filter(without_attributes(&wanted.query), Signal::Logs.name());
    let follower = Follower::of_plan(&api.queries, plan, tenant);
    let backlog = {
        let (tenant, wanted, after) = (Arc::clone(tenant), Arc::clone(&wanted), follower.after());
        api.look(&Arc::clone(&tenant), move |queries, account| {
            let asked = Asked {
                tenant: &tenant,
                query: &wanted.query,
                time: wanted.start..i64::MAX,
                limit: wanted.limit,
                direction: Direction::Backward,
                also: up_to(after),
            };
            let found = queries.loki_lines(&asked, account).map_err(QueryError::from)?;
            let lines: Vec<&Line> = found.lines.iter().rev().collect();
            Ok((!lines.is_empty()).then(|| frame(lines.into_iter(), 0, wanted.categorized)))
        })
        .await
    };
    match backlog.map_err(Refusal::from) {
        Ok(Some(frame)) => {
            let sent = tokio::time::timeout(SEND_MAX, socket.send(Message::Text(frame.into())));
            if !matches!(sent.await, Ok(Ok(()))) {
                return;
            }
        }
        Ok(None) => {}
        Err(refusal) => return close(&mut socket, &refusal.message).await,
    }
    follow(follower, wanted, socket).await;
}

/// Sends what comes, until the client goes.
async fn follow(mut follower: Follower, wanted: Arc<Wanted>, socket: WebSocket) {
    let (mut to_client, mut from_client) = socket.split();
    let mut looks = tokio::time::interval(LOOK_EVERY);
    looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut pings = tokio::time::interval(PING_EVERY);
    let mut heard = Instant::now();
    loop {
        let message = tokio::select! {
            from_client = from_client.next() => match from_client {
                Some(Ok(Message::Close(_))) => {
                    // The answer is ready, and goes out with this.
                    let _ = tokio::time::timeout(SEND_MAX, to_client.flush()).await;
                    return;
                }
                Some(Err(_)) | None => return,
                Some(Ok(_)) => {
                    heard = Instant::now();
                    continue;
                }
            },
            _ = pings.tick() => match heard.elapsed() < SILENCE_MAX {
                true => Message::Ping(Bytes::new()),
                false => return,
            },
            _ = looks.tick() => {
                let wanted = Arc::clone(&wanted);
                let looked = tokio::task::spawn_blocking(move || {
                    let looked = look(&mut follower, &wanted);
                    (looked, follower)
                });
                let Ok((looked, back)) = looked.await else { return };
                follower = back;
                match looked {
                    Ok(None) => continue,
                    Ok(Some(frame)) => Message::Text(frame.into()),
                    // That passes: the client connects again if nothing is said.
                    Err(QueryError::Deadline { .. } | QueryError::MemoryTotal { .. }) => return,
                    Err(error) => {
                        let frame = close_frame(&error.to_string());
                        let _ = tokio::time::timeout(SEND_MAX, to_client.send(frame)).await;
                        return;
                    }
                }
            }
        };
        // Who does not read for so long is gone, or as good as gone.
        let sent = tokio::time::timeout(SEND_MAX, to_client.send(message)).await;
        if !matches!(sent, Ok(Ok(()))) {
            return;
        }
    }
}

/// A frame of what is new.
fn look(follower: &mut Follower, wanted: &Wanted) -> Result<Option<String>, QueryError> {
    let mut lines: Vec<Line> = Vec::new();
    let (mut bytes, mut too_much) = (0, 0);
    let skipped = follower.look(&mut |batch| {
        each_kept(&batch, &wanted.pipeline, &mut |timestamp_ns, _, kept| {
            let Some(kept) = kept else { return Flow::More };
            if bytes > FRAME_BYTES_MAX {
                too_much += 1;
                return Flow::More;
            }
            let line = Line::new(timestamp_ns, &kept);
            bytes += line.bytes();
            lines.push(line);
            Flow::More
        });
    })?;
    let skipped = skipped + too_much;
    let nothing = lines.is_empty() && skipped == 0;
    Ok((!nothing).then(|| frame(lines.iter(), skipped, wanted.categorized)))
}

fn frame<'l>(lines: impl Iterator<Item = &'l Line>, skipped: usize, categorized: bool) -> String {
    let labels: Labels = [("skipped_lines", skipped.to_string())].into_iter().collect();
    let dropped = Dropped { timestamp: Timestamp::now().0.to_string(), labels: Object(&labels) };
    let dropped_entries = if skipped > 0 { vec![dropped] } else { Vec::new() };
    let encoding_flags = categorized.then_some([CATEGORIZE]);
    let frame = Frame { encoding_flags, streams: Streams::of(lines, categorized), dropped_entries };
    serde_json::to_string(&frame).expect("only texts are keys of our types")
}

fn up_to(record_seq: u64) -> Filter {
    let upper = Operand::Number(Number::Integer(record_seq.into()));
    let range =
        ql::Range { lower: std::ops::Bound::Unbounded, upper: std::ops::Bound::Included(upper) };
    Filter::field(Field::RecordSeq, Test::Range(range))
}

fn close_frame(reason: &str) -> Message {
    let mut end = reason.len().min(REASON_BYTES_MAX);
    while !reason.is_char_boundary(end) {
        end -= 1;
    }
    Message::Close(Some(CloseFrame { code: WENT_WRONG, reason: reason[..end].into() }))
}

async fn close(socket: &mut WebSocket, reason: &str) {
    let _ = socket.send(close_frame(reason)).await;
}
