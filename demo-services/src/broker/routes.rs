//! The broker behind HTTP, under `/api/v1`.
//!
//! ```text
//! PUT  queues/{name}                            a Queue without its name       declares it
//! POST messages                                 {messages: […]}                all are stored, or none
//! POST queues/{name}/receive                    {max, wait_ms, consumer}       waits until there is one, or wait_ms
//! POST queues/{name}/settle                     {settlements: […]}
//! GET  queues                                                                  figures of all
//! GET  queues/{name}/dead-letters?after=NUMBER                                 a page of them
//! POST queues/{name}/dead-letters/{id}/redrive
//! ```
//!
//! An answer is given when the database has all of it.

use std::time::Duration;

use axum::extract::{DefaultBodyLimit, State};
use axum::http::{Method, StatusCode};
use axum::{Json, Router};
use rusqlite::Transaction;
use serde::{Deserialize, Serialize};
use service::http::ErrorResponse;
use tokio::time::Instant;
use utoipa::{OpenApi, ToSchema};

use super::deliveries;
use super::message::{BATCH_MAX, Binding, Delivery, Message, Queue, Settlement, Written};
use super::server::Server;
use super::stats::{self, DeadLetter, Stats};
use super::store::{self, Published, StoreError};
use crate::kit::openapi::{self, ErrorBody, Route};
use crate::kit::request::{Asked, Body, Segment, Segments};

/// A request: a full batch, and what JSON adds.
const REQUEST_BYTES_MAX: usize = 16 << 20;
/// The longest that a request waits for messages.
const WAIT_MAX: Duration = Duration::from_secs(30);
const CONSUMER_BYTES_MAX: usize = 128;
/// When whoever was refused for want of room is to try again.
const RETRY_AFTER: Duration = Duration::from_secs(1);

type Answer<T> = Result<Json<T>, ErrorResponse>;

/// A queue without its name.
#[derive(Deserialize, ToSchema)]
struct Declaration {
    bindings: Vec<Binding>,
    deliveries_max: u32,
    pause_min_ms: u64,
    lease_ms: u64,
}

#[derive(Deserialize, ToSchema)]
struct Publish {
    messages: Vec<Message>,
}

#[derive(Serialize, ToSchema)]
struct WhatBecame {
    /// Copies in queues.
    copies: u64,
    /// Messages that were known by their id.
    known: u64,
    /// Messages that no queue is bound for.
    unrouted: u64,
    /// How many queues are bound for each message, in order.
    routed: Vec<usize>,
}

#[derive(Deserialize, ToSchema)]
struct Receive {
    max: usize,
    wait_ms: u64,
    /// Who receives, for the log.
    consumer: String,
}

#[derive(Serialize, ToSchema)]
struct Deliveries {
    deliveries: Vec<Delivery>,
}

#[derive(Deserialize, ToSchema)]
struct Settle {
    settlements: Vec<Settlement>,
}

#[derive(Serialize, ToSchema)]
struct Page {
    dead_letters: Vec<DeadLetter>,
}

#[derive(Deserialize)]
struct After {
    #[serde(default)]
    after: u64,
}

/// How many deliveries it was of effect for.
#[derive(Serialize, ToSchema)]
struct Settled {
    settled: u64,
}

#[derive(Serialize, ToSchema)]
struct Redriven {
    /// Copies that are in the queue again.
    redriven: usize,
}

#[derive(OpenApi)]
#[openapi(paths(
    openapi::document,
    queues,
    declare,
    receive,
    settle,
    dead_letters,
    redrive,
    publish
))]
struct Document;

pub(super) fn router(server: Server) -> Router {
    let description = "Queues, and the messages in them.";
    let document = openapi::describe(Document::openapi(), "broker", description);
    openapi::router(routes(), server, &document).layer(DefaultBodyLimit::max(REQUEST_BYTES_MAX))
}

pub(super) fn routes() -> Vec<Route<Server>> {
    vec![
        Route::new(Method::GET, "/api/v1/queues", queues),
        Route::new(Method::PUT, "/api/v1/queues/{name}", declare),
        Route::new(Method::POST, "/api/v1/queues/{name}/receive", receive),
        Route::new(Method::POST, "/api/v1/queues/{name}/settle", settle),
        Route::new(Method::GET, "/api/v1/queues/{name}/dead-letters", dead_letters),
        Route::new(Method::POST, "/api/v1/queues/{name}/dead-letters/{id}/redrive", redrive),
        Route::new(Method::POST, "/api/v1/messages", publish),
    ]
}

impl From<StoreError> for ErrorResponse {
    fn from(error: StoreError) -> Self {
        let message = error.to_string();
        let (status, code) = match error {
            StoreError::NoQueue { .. } => (StatusCode::NOT_FOUND, "no_queue"),
            StoreError::NoDeadLetter { .. } => (StatusCode::NOT_FOUND, "no_dead_letter"),
            StoreError::TooManyQueues { .. } => (StatusCode::CONFLICT, "too_many_queues"),
            StoreError::QueueFull { .. } => (StatusCode::TOO_MANY_REQUESTS, "queue_full"),
            StoreError::Database(error) => return error.into(),
        };
        let answer = Self::new(status, code, message);
        match status {
            StatusCode::TOO_MANY_REQUESTS => answer.retry_after(RETRY_AFTER),
            _ => answer,
        }
    }
}

#[utoipa::path(
    put, path = "/api/v1/queues/{name}", request_body = Declaration, params(("name" = String, Path)),
    responses(
        (status = 200, description = "the queue as it is from now on", body = Queue),
        (status = 400, description = "`bad_request`, `bad_json` or `bad_path`: what is too large, empty or unreadable", body = ErrorBody),
        (status = 409, description = "`too_many_queues`", body = ErrorBody),
        (status = 413, description = "`too_large`", body = ErrorBody),
        (status = 415, description = "`not_json`", body = ErrorBody),
        (status = 422, description = "`bad_field`", body = ErrorBody),
        (status = 503, description = "`busy`", body = ErrorBody),
    ),
)]
async fn declare(
    State(server): State<Server>,
    Segment(name): Segment,
    Body(body): Body<Declaration>,
) -> Answer<Queue> {
    let Declaration { bindings, deliveries_max, pause_min_ms, lease_ms } = body;
    let pause_min = Duration::from_millis(pause_min_ms);
    let lease = Duration::from_millis(lease_ms);
    let queue = Queue { name, bindings, deliveries_max, pause_min, lease };
    queue.checked().map_err(bad_request)?;
    server.declare(queue.clone()).await?;
    Ok(Json(queue))
}

#[utoipa::path(
    post, path = "/api/v1/messages", request_body = Publish,
    responses(
        (status = 200, description = "all are stored, those that were known included", body = WhatBecame),
        (status = 400, description = "`bad_request`, `bad_json` or `bad_path`: what is too large, empty or unreadable", body = ErrorBody),
        (status = 413, description = "`too_large`", body = ErrorBody),
        (status = 415, description = "`not_json`", body = ErrorBody),
        (status = 422, description = "`bad_field`", body = ErrorBody),
        (status = 429, description = "`queue_full`: none is stored", body = ErrorBody),
        (status = 503, description = "`busy`", body = ErrorBody),
    ),
)]
async fn publish(State(server): State<Server>, Body(body): Body<Publish>) -> Answer<WhatBecame> {
    let Publish { messages } = body;
    batch(messages.len())?;
    let written: Result<Vec<_>, _> = messages.into_iter().map(Written::from).collect();
    let (written, limits) = (written.map_err(bad_request)?, server.limits);
    let told = server.clone();
    let publish = move |tx: &Transaction<'_>, now_ms| {
        let published = store::publish(tx, &written, limits, now_ms)?;
        // Here, since the publisher may be gone when it is done. Whoever is woken looks after the commit: the database does
        // one piece of work after the other.
        for (queue, copies) in &published.copies {
            told.figures.published.with_label_values(&[queue]).inc_by(*copies);
            told.wake(queue);
        }
        told.figures.known.inc_by(published.known);
        told.figures.unrouted.inc_by(published.unrouted);
        Ok(published)
    };
    let published = server.write(publish).await?;
    let copies = published.copies.values().sum();
    let Published { known, unrouted, routed, .. } = published;
    Ok(Json(WhatBecame { copies, known, unrouted, routed }))
}

#[utoipa::path(
    post, path = "/api/v1/queues/{name}/receive", request_body = Receive, params(("name" = String, Path)),
    responses(
        (status = 200, description = "messages that are lent, or none within the wait", body = Deliveries),
        (status = 400, description = "`bad_request`, `bad_json` or `bad_path`: what is too large, empty or unreadable", body = ErrorBody),
        (status = 404, description = "`no_queue`", body = ErrorBody),
        (status = 413, description = "`too_large`", body = ErrorBody),
        (status = 415, description = "`not_json`", body = ErrorBody),
        (status = 422, description = "`bad_field`", body = ErrorBody),
        (status = 503, description = "`busy`", body = ErrorBody),
    ),
)]
async fn receive(
    State(server): State<Server>,
    Segment(name): Segment,
    Body(body): Body<Receive>,
) -> Answer<Deliveries> {
    let Receive { max, wait_ms, consumer } = body;
    batch(max)?;
    if consumer.len() > CONSUMER_BYTES_MAX {
        return Err(bad_request(format!("a consumer has at most {CONSUMER_BYTES_MAX} bytes")));
    }
    let deadline = Instant::now() + Duration::from_millis(wait_ms).min(WAIT_MAX);
    let deliveries = server.lend(name.clone(), consumer, max, deadline).await?;
    let again = deliveries.iter().filter(|delivery| delivery.attempt > 1).count();
    server.figures.delivered.with_label_values(&[&name]).inc_by(deliveries.len() as u64);
    server.figures.redelivered.with_label_values(&[&name]).inc_by(again as u64);
    Ok(Json(Deliveries { deliveries }))
}

#[utoipa::path(
    post, path = "/api/v1/queues/{name}/settle", request_body = Settle, params(("name" = String, Path)),
    responses(
        (status = 200, description = "what it said is so", body = Settled),
        (status = 400, description = "`bad_request`, `bad_json` or `bad_path`: what is too large, empty or unreadable", body = ErrorBody),
        (status = 404, description = "`no_queue`", body = ErrorBody),
        (status = 413, description = "`too_large`", body = ErrorBody),
        (status = 415, description = "`not_json`", body = ErrorBody),
        (status = 422, description = "`bad_field`", body = ErrorBody),
        (status = 503, description = "`busy`", body = ErrorBody),
    ),
)]
async fn settle(
    State(server): State<Server>,
    Segment(name): Segment,
    Body(body): Body<Settle>,
) -> Answer<Settled> {
    let Settle { settlements } = body;
    batch(settlements.len())?;
    let queue = name.clone();
    let settle =
        move |tx: &Transaction<'_>, now_ms| deliveries::settle(tx, &queue, &settlements, now_ms);
    let settled = server.write(settle).await?;
    server.figures.acknowledged.with_label_values(&[&name]).inc_by(settled.done);
    server.figures.dead_lettered.with_label_values(&[&name]).inc_by(settled.dead);
    if settled.scheduled > 0 {
        // Those who wait did not know of that time.
        server.wake(&name);
    }
    Ok(Json(Settled { settled: settled.done + settled.scheduled + settled.dead }))
}

#[utoipa::path(
    get, path = "/api/v1/queues",
    responses(
        (status = 200, description = "figures of all queues", body = Stats),
        (status = 503, description = "`busy`", body = ErrorBody),
    ),
)]
async fn queues(State(server): State<Server>) -> Answer<Stats> {
    Ok(Json(server.stats().await?))
}

#[utoipa::path(
    get, path = "/api/v1/queues/{name}/dead-letters", params(("name" = String, Path), ("after" = Option<u64>, Query, description = "the number of the last one of the page before")),
    responses(
        (status = 200, description = "a page of them", body = Page),
        (status = 400, description = "`bad_query` or `bad_path`", body = ErrorBody),
        (status = 404, description = "`no_queue`", body = ErrorBody),
        (status = 503, description = "`busy`", body = ErrorBody),
    ),
)]
async fn dead_letters(
    State(server): State<Server>,
    Segment(name): Segment,
    Asked(After { after }): Asked<After>,
) -> Answer<Page> {
    let page = move |tx: &Transaction<'_>, _| stats::dead_letters(tx, &name, after);
    Ok(Json(Page { dead_letters: server.write(page).await? }))
}

#[utoipa::path(
    post, path = "/api/v1/queues/{name}/dead-letters/{id}/redrive", params(("name" = String, Path), ("id" = String, Path)),
    responses(
        (status = 200, description = "it is in the queue again", body = Redriven),
        (status = 400, description = "`bad_path`", body = ErrorBody),
        (status = 404, description = "`no_queue` or `no_dead_letter`", body = ErrorBody),
        (status = 503, description = "`busy`", body = ErrorBody),
    ),
)]
async fn redrive(
    State(server): State<Server>,
    Segments([name, id]): Segments<2>,
) -> Answer<Redriven> {
    let queue = name.clone();
    let redrive = move |tx: &Transaction<'_>, now_ms| deliveries::redrive(tx, &queue, &id, now_ms);
    let redriven = server.write(redrive).await?;
    server.wake(&name);
    Ok(Json(Redriven { redriven }))
}

fn batch(count: usize) -> Result<(), ErrorResponse> {
    match count {
        1..=BATCH_MAX => Ok(()),
        _ => Err(bad_request(format!("{count} at once; 1 to {BATCH_MAX} are allowed"))),
    }
}

fn bad_request(message: String) -> ErrorResponse {
    ErrorResponse::new(StatusCode::BAD_REQUEST, "bad_request", message)
}
