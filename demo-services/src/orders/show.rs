//! What can be seen of orders and their sagas, and what people do about those that stand half undone.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use rusqlite::Transaction;
use serde::{Deserialize, Serialize};
use service::http::{ErrorResponse, JsonLine};
use service::telemetry::CORRELATION_HEADER;
use utoipa::ToSchema;

use super::steps::PLACE_ORDER;
use super::{Orders, store};
use crate::kit::identity::Caller;
use crate::kit::openapi::ErrorBody;
use crate::kit::request::{Body, Segment, Segments};
use crate::outbox::{self, OutboxAccount};
use crate::saga::instance::Reason;
use crate::saga::store as sagas;

/// Of a note.
const NOTE_BYTES_MAX: usize = 1_000;

/// A saga as it is shown.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Shown {
    id: String,
    name: String,
    order_id: String,
    correlation_id: Option<String>,
    /// `running`, `compensating`, `completed`, `compensated` or `failed`.
    state: &'static str,
    /// Why it is undone.
    reason: Option<Reason>,
    steps: Vec<ShownStep>,
    history: Vec<sagas::Happened>,
}

#[derive(Debug, Serialize, ToSchema)]
struct ShownStep {
    /// From 1.
    number: u32,
    name: &'static str,
    attempts: u32,
    compensation_attempts: u32,
    /// The last event of it.
    last: Option<String>,
}

/// What the shop's checker looks at.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Account {
    orders: store::Account,
    outbox: OutboxAccount,
    interventions: Vec<sagas::Intervention>,
}

#[derive(Debug, Deserialize, ToSchema)]
pub(super) struct Resolve {
    /// What was done.
    note: String,
}

/// An order that a user placed is for that user and for operators; to all others there is no such order. A guest has
/// nothing but the order's id to show, so a guest's order is for whoever knows that. The ids can be guessed: what is shown
/// is who the order is for, what it comes to and how it stands, and neither goods nor card.
#[utoipa::path(
    get, path = "/api/v1/orders/{id}", params(("id" = String, Path)), security(("caller" = [])),
    responses(
        (status = 200, description = "the order", body = store::Order),
        (status = 400, description = "`bad_path`", body = ErrorBody),
        (status = 404, description = "`no_order`", body = ErrorBody),
        (status = 503, description = "`busy`", body = ErrorBody),
    ),
)]
pub(super) async fn order(
    State(orders): State<Arc<Orders>>,
    caller: Caller,
    Segment(id): Segment,
) -> Result<Response, ErrorResponse> {
    let found = orders.database.run(move |tx| store::find(tx, &id)).await?;
    let is_for_caller = |order: &store::Order| {
        order.user.as_deref().is_none_or(|user| caller.may_act_for(user).is_ok())
    };
    match found.filter(is_for_caller) {
        Some(order) => Ok(JsonLine(order).into_response()),
        None => {
            Err(ErrorResponse::new(StatusCode::NOT_FOUND, "no_order", "there is no such order"))
        }
    }
}

/// Steps, attempts and history of a saga.
#[utoipa::path(
    get, path = "/api/v1/sagas/{id}", params(("id" = String, Path)),
    responses(
        (status = 200, description = "its steps, and what happened to it", body = Shown),
        (status = 400, description = "`bad_path`", body = ErrorBody),
        (status = 404, description = "`no_saga`", body = ErrorBody),
        (status = 503, description = "`busy`", body = ErrorBody),
    ),
)]
pub(super) async fn saga(
    State(orders): State<Arc<Orders>>,
    Segment(id): Segment,
) -> Result<Response, ErrorResponse> {
    let found = orders.database.run(move |tx| {
        let Some(run) = sagas::find(tx, &id)? else { return Ok(None) };
        Ok(Some((sagas::history(tx, &id)?, run)))
    });
    let Some((history, run)) = found.await? else {
        return Err(ErrorResponse::new(StatusCode::NOT_FOUND, "no_saga", "there is no such saga"));
    };
    let shown = Shown {
        steps: steps_of(&history),
        id: run.id,
        name: run.name,
        order_id: run.subject,
        correlation_id: run.headers.get(CORRELATION_HEADER).cloned(),
        state: run.instance.state.name(),
        reason: run.instance.reason,
        history,
    };
    Ok(JsonLine(shown).into_response())
}

fn steps_of(history: &[sagas::Happened]) -> Vec<ShownStep> {
    let step = |number| {
        let of_step = || history.iter().filter(move |what| what.step == Some(number));
        let tries = |event: &str| {
            let tried = of_step().filter(|what| what.event.starts_with(event));
            tried.filter_map(|what| what.attempt).max().unwrap_or(0)
        };
        ShownStep {
            number,
            name: PLACE_ORDER.step(number).name,
            attempts: tries("saga.step."),
            compensation_attempts: tries("saga.compensation."),
            last: of_step().next_back().map(|what| what.event.clone()),
        }
    };
    (1..=PLACE_ORDER.limits().steps).map(step).collect()
}

#[utoipa::path(
    get, path = "/api/v1/interventions",
    responses(
        (status = 200, description = "what people have to settle, the oldest first", body = Vec<sagas::Intervention>),
        (status = 503, description = "`busy`", body = ErrorBody),
    ),
)]
pub(super) async fn interventions(
    State(orders): State<Arc<Orders>>,
) -> Result<Response, ErrorResponse> {
    Ok(JsonLine(orders.database.run(sagas::interventions).await?).into_response())
}

#[utoipa::path(
    post, path = "/api/v1/interventions/{saga}/{step}/resolve", request_body = Resolve,
    params(("saga" = String, Path), ("step" = u32, Path)),
    responses(
        (status = 204, description = "it is settled"),
        (status = 400, description = "`bad_json` or `bad_path`", body = ErrorBody),
        (status = 404, description = "`no_intervention`", body = ErrorBody),
        (status = 413, description = "`too_large`", body = ErrorBody),
        (status = 415, description = "`not_json`", body = ErrorBody),
        (status = 422, description = "`bad_field` or `bad_note`", body = ErrorBody),
        (status = 503, description = "`busy`", body = ErrorBody),
    ),
)]
pub(super) async fn resolve(
    State(orders): State<Arc<Orders>>,
    Segments([saga, step]): Segments<2>,
    Body(Resolve { note }): Body<Resolve>,
) -> Result<StatusCode, ErrorResponse> {
    if note.trim().is_empty() || note.len() > NOTE_BYTES_MAX {
        let message = format!("say in a note of at most {NOTE_BYTES_MAX} bytes what was done");
        return Err(ErrorResponse::new(StatusCode::UNPROCESSABLE_ENTITY, "bad_note", message));
    }
    let of = saga.clone();
    let resolve = move |tx: &Transaction<'_>, number| {
        let left = sagas::resolve(tx, &of, number, &note)?;
        if left == Some(0) {
            store::settled(tx, &of)?;
        }
        Ok(left.is_some())
    };
    let is_settled = match step.parse() {
        Ok(number) => orders.database.run(move |tx| resolve(tx, number)).await?,
        Err(_) => false,
    };
    if !is_settled {
        let message = "nothing waits for a person there";
        return Err(ErrorResponse::new(StatusCode::NOT_FOUND, "no_intervention", message));
    }
    tracing::info!(saga, step, "a person settled what could not be undone");
    Ok(StatusCode::NO_CONTENT)
}

#[utoipa::path(
    get, path = "/api/v1/account",
    responses(
        (status = 200, description = "what the checker of the shop looks at", body = Account),
        (status = 503, description = "`busy`", body = ErrorBody),
    ),
)]
pub(super) async fn account(State(orders): State<Arc<Orders>>) -> Result<Response, ErrorResponse> {
    let account = orders.database.run(|tx| {
        let (orders, outbox) = (store::account(tx)?, outbox::account(tx)?);
        Ok(Account { orders, outbox, interventions: sagas::interventions(tx)? })
    });
    Ok(JsonLine(account.await?).into_response())
}
