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
use std::time::Duration;

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

use super::answers::{self, Object, Refusal, Streams};
use super::lines::{Asked, Direction, Line, each_kept};
use super::parameters::Given;
use super::push_down::of_stream;
use crate::error::QueryError;
use crate::http::QueryApi;
use crate::plan::Plan;
use crate::stages::Flow;
use crate::tail::{Follower, LOOK_EVERY};

/// Longest that may be waited for late lines, as Loki has it; lines come in order of their arrival here.
const DELAY_MAX: usize = 5;
/// How often a client is asked whether it is there.
const PING_EVERY: Duration = Duration::from_secs(10);
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
    // Which attributes there will be is not known: all stages are the lines' own.
    let filter = wanted.query.matchers.iter().map(|matcher| of_stream(&matcher.node)).collect();
    let plan = Plan::of_filter(Filter::and(filter), Signal::Logs.name());
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
            Ok(queries.loki_lines(&asked, account).map(|found| {
                let lines: Vec<&Line> = found.lines.iter().rev().collect();
                (!lines.is_empty()).then(|| frame(lines.into_iter(), 0, wanted.categorized))
            }))
        })
        .await
    };
    match backlog.map_err(Refusal::from).and_then(|backlog| backlog) {
        Ok(Some(frame)) => {
            if socket.send(Message::Text(frame.into())).await.is_err() {
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
    loop {
        let message = tokio::select! {
            from_client = from_client.next() => match from_client {
                Some(Ok(Message::Close(_)) | Err(_)) | None => return,
                Some(Ok(_)) => continue,
            },
            _ = pings.tick() => Message::Ping(Bytes::new()),
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
                    Err(error) => {
                        let _ = to_client.send(close_frame(&error.to_string())).await;
                        return;
                    }
                }
            }
        };
        if to_client.send(message).await.is_err() {
            return;
        }
    }
}

/// A frame of what is new.
fn look(follower: &mut Follower, wanted: &Wanted) -> Result<Option<String>, QueryError> {
    let mut lines: Vec<Line> = Vec::new();
    let skipped = follower.look(&mut |batch| {
        each_kept(&batch, &wanted.pipeline, &mut |timestamp_ns, _, kept| {
            lines.extend(kept.map(|kept| Line::new(timestamp_ns, &kept)));
            Flow::More
        });
    })?;
    let nothing = lines.is_empty() && skipped == 0;
    Ok((!nothing).then(|| frame(lines.iter(), skipped, wanted.categorized)))
}

fn frame<'l>(lines: impl Iterator<Item = &'l Line>, skipped: usize, categorized: bool) -> String {
    let labels: Labels = [("skipped_lines", skipped.to_string())].into_iter().collect();
    let dropped = Dropped { timestamp: Timestamp::now().0.to_string(), labels: Object(&labels) };
    let dropped_entries = if skipped > 0 { vec![dropped] } else { Vec::new() };
    let frame = Frame { streams: Streams::of(lines, categorized), dropped_entries };
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
