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

use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::extract::{DefaultBodyLimit, Path, Query, State};
use axum::http::StatusCode;
use axum::routing::{get, post, put};
use axum::{Json, Router};
use rusqlite::Transaction;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use service::http::ErrorResponse;
use tokio::time::Instant;

use super::deliveries;
use super::message::{BATCH_MAX, Binding, Delivery, Message, Queue, Settlement, Written};
use super::server::Server;
use super::stats::{self, DeadLetter, Stats};
use super::store::{self, Published, StoreError};
use crate::kit::database::DatabaseError;

/// A request: a full batch, and what JSON adds.
const REQUEST_BYTES_MAX: usize = 16 << 20;
/// The longest that a request waits for messages.
const WAIT_MAX: Duration = Duration::from_secs(30);
const CONSUMER_BYTES_MAX: usize = 128;
/// When whoever was refused for want of room is to try again.
const RETRY_AFTER: Duration = Duration::from_secs(1);

type Answer<T> = Result<Json<T>, ErrorResponse>;

#[derive(Deserialize)]
struct Declaration {
    bindings: Vec<Binding>,
    deliveries_max: u32,
    pause_min_ms: u64,
    lease_ms: u64,
}

#[derive(Deserialize)]
struct Publish {
    messages: Vec<Message>,
}

#[derive(Serialize)]
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

#[derive(Deserialize)]
struct Receive {
    max: usize,
    wait_ms: u64,
    /// Who receives, for the log.
    consumer: String,
}

#[derive(Serialize)]
struct Deliveries {
    deliveries: Vec<Delivery>,
}

#[derive(Deserialize)]
struct Settle {
    settlements: Vec<Settlement>,
}

#[derive(Serialize)]
struct Page {
    dead_letters: Vec<DeadLetter>,
}

#[derive(Deserialize)]
struct After {
    #[serde(default)]
    after: u64,
}

pub(super) fn router(server: Server) -> Router {
    Router::new()
        .route("/api/v1/queues", get(queues))
        .route("/api/v1/queues/{name}", put(declare))
        .route("/api/v1/queues/{name}/receive", post(receive))
        .route("/api/v1/queues/{name}/settle", post(settle))
        .route("/api/v1/queues/{name}/dead-letters", get(dead_letters))
        .route("/api/v1/queues/{name}/dead-letters/{id}/redrive", post(redrive))
        .route("/api/v1/messages", post(publish))
        .layer(DefaultBodyLimit::max(REQUEST_BYTES_MAX))
        .with_state(server)
}

impl From<StoreError> for ErrorResponse {
    fn from(error: StoreError) -> Self {
        let message = error.to_string();
        let (status, code) = match error {
            StoreError::NoQueue { .. } => (StatusCode::NOT_FOUND, "no_queue"),
            StoreError::NoDeadLetter { .. } => (StatusCode::NOT_FOUND, "no_dead_letter"),
            StoreError::TooManyQueues { .. } => (StatusCode::CONFLICT, "too_many_queues"),
            StoreError::QueueFull { .. } => (StatusCode::TOO_MANY_REQUESTS, "queue_full"),
            StoreError::Database(DatabaseError::Busy) => (StatusCode::SERVICE_UNAVAILABLE, "busy"),
            StoreError::Database(_) => {
                tracing::error!(error = message, "the broker's database failed");
                (StatusCode::INTERNAL_SERVER_ERROR, "database_failed")
            }
        };
        let answer = Self::new(status, code, message);
        match status {
            StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
                answer.retry_after(RETRY_AFTER)
            }
            _ => answer,
        }
    }
}

async fn declare(
    State(server): State<Server>,
    Path(name): Path<String>,
    body: Result<Json<Declaration>, JsonRejection>,
) -> Answer<Queue> {
    let Declaration { bindings, deliveries_max, pause_min_ms, lease_ms } = read(body)?;
    let pause_min = Duration::from_millis(pause_min_ms);
    let lease = Duration::from_millis(lease_ms);
    let queue = Queue { name, bindings, deliveries_max, pause_min, lease };
    queue.checked().map_err(bad_request)?;
    server.declare(queue.clone()).await?;
    Ok(Json(queue))
}

async fn publish(
    State(server): State<Server>,
    body: Result<Json<Publish>, JsonRejection>,
) -> Answer<WhatBecame> {
    let Publish { messages } = read(body)?;
    batch(messages.len())?;
    let written: Result<Vec<_>, _> = messages.into_iter().map(Written::from).collect();
    let (written, limits) = (written.map_err(bad_request)?, server.limits);
    let publish = move |tx: &Transaction<'_>, now_ms| store::publish(tx, &written, limits, now_ms);
    let published = server.write(publish).await?;
    for (queue, copies) in &published.copies {
        server.figures.published.with_label_values(&[queue]).inc_by(*copies);
        server.wake(queue);
    }
    server.figures.known.inc_by(published.known);
    server.figures.unrouted.inc_by(published.unrouted);
    let copies = published.copies.values().sum();
    let Published { known, unrouted, routed, .. } = published;
    Ok(Json(WhatBecame { copies, known, unrouted, routed }))
}

async fn receive(
    State(server): State<Server>,
    Path(name): Path<String>,
    body: Result<Json<Receive>, JsonRejection>,
) -> Answer<Deliveries> {
    let Receive { max, wait_ms, consumer } = read(body)?;
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

async fn settle(
    State(server): State<Server>,
    Path(name): Path<String>,
    body: Result<Json<Settle>, JsonRejection>,
) -> Answer<Value> {
    let Settle { settlements } = read(body)?;
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
    Ok(Json(json!({"settled": settled.done + settled.scheduled + settled.dead})))
}

async fn queues(State(server): State<Server>) -> Answer<Stats> {
    Ok(Json(server.stats().await?))
}

async fn dead_letters(
    State(server): State<Server>,
    Path(name): Path<String>,
    after: Result<Query<After>, QueryRejection>,
) -> Answer<Page> {
    let Query(After { after }) = after.map_err(|error| bad_request(error.body_text()))?;
    let page = move |tx: &Transaction<'_>, _| stats::dead_letters(tx, &name, after);
    Ok(Json(Page { dead_letters: server.write(page).await? }))
}

async fn redrive(
    State(server): State<Server>,
    Path((name, id)): Path<(String, String)>,
) -> Answer<Value> {
    let queue = name.clone();
    let redrive = move |tx: &Transaction<'_>, now_ms| deliveries::redrive(tx, &queue, &id, now_ms);
    let redriven = server.write(redrive).await?;
    server.wake(&name);
    Ok(Json(json!({"redriven": redriven})))
}

fn read<T>(body: Result<Json<T>, JsonRejection>) -> Result<T, ErrorResponse> {
    let refused = |rejection: JsonRejection| {
        ErrorResponse::new(rejection.status(), "bad_request", rejection.body_text())
    };
    body.map(|Json(body)| body).map_err(refused)
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
