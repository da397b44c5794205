//! What can be seen of orders and their sagas, and what people do about those that stand half undone.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::{Value, json};
use service::http::JsonLine;

use super::steps::PLACE_ORDER;
use super::{Orders, store};
use crate::kit::identity::Caller;
use crate::kit::web::{Trouble, understood};
use crate::outbox;
use crate::saga::store as sagas;

/// Of a note.
const NOTE_BYTES_MAX: usize = 1_000;

#[derive(Debug, Deserialize)]
pub(super) struct Resolve {
    note: String,
}

/// An order that a user placed is for that user and for operators; to all others there is no such order. A guest has
/// nothing but the order's id to show, so a guest's order is for whoever knows that. The ids can be guessed: what is shown
/// is who the order is for, what it comes to and how it stands, and neither goods nor card.
pub(super) async fn order(
    State(orders): State<Arc<Orders>>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Response, Trouble> {
    let found = orders.database.run(move |tx| store::find(tx, &id)).await?;
    let is_for_caller = |order: &store::Order| {
        order.user.as_deref().is_none_or(|user| caller.may_act_for(user).is_ok())
    };
    match found.filter(is_for_caller) {
        Some(order) => Ok(JsonLine(order).into_response()),
        None => Err(Trouble::new(StatusCode::NOT_FOUND, "no_order", "there is no such order")),
    }
}

/// Steps, attempts and history of a saga.
pub(super) async fn saga(
    State(orders): State<Arc<Orders>>,
    Path(id): Path<String>,
) -> Result<Response, Trouble> {
    let found = orders.database.run(move |tx| {
        let Some(run) = sagas::find(tx, &id)? else { return Ok(None) };
        Ok(Some((sagas::history(tx, &id)?, run)))
    });
    let Some((history, run)) = found.await? else {
        return Err(Trouble::new(StatusCode::NOT_FOUND, "no_saga", "there is no such saga"));
    };
    let steps: Vec<Value> = (1..=PLACE_ORDER.limits().steps)
        .map(|number| {
            let of = |event: &str| {
                let is = |what: &&sagas::Happened| {
                    what.step == Some(number) && what.event.starts_with(event)
                };
                history.iter().filter(is).map(|what| what.attempt).max().flatten().unwrap_or(0)
            };
            let last = history.iter().rfind(|what| what.step == Some(number));
            json!({
                "number": number,
                "name": PLACE_ORDER.step(number).name,
                "attempts": of("saga.step."),
                "compensation_attempts": of("saga.compensation."),
                "last": last.map(|what| &what.event),
            })
        })
        .collect();
    let body = json!({
        "id": run.id,
        "name": run.name,
        "order_id": run.subject,
        "correlation_id": run.headers.get(service::telemetry::CORRELATION_HEADER),
        "state": run.instance.state.name(),
        "reason": run.instance.reason,
        "steps": steps,
        "history": history,
    });
    Ok(JsonLine(body).into_response())
}

pub(super) async fn interventions(State(orders): State<Arc<Orders>>) -> Result<Response, Trouble> {
    Ok(JsonLine(orders.database.run(sagas::interventions).await?).into_response())
}

pub(super) async fn resolve(
    State(orders): State<Arc<Orders>>,
    Path((saga, step)): Path<(String, u32)>,
    body: Result<Json<Resolve>, JsonRejection>,
) -> Result<Response, Trouble> {
    let Resolve { note } = understood(body)?;
    if note.trim().is_empty() || note.len() > NOTE_BYTES_MAX {
        let message = format!("say in a note of at most {NOTE_BYTES_MAX} bytes what was done");
        return Err(Trouble::new(StatusCode::UNPROCESSABLE_ENTITY, "bad_note", message));
    }
    let of = saga.clone();
    match orders.database.run(move |tx| sagas::resolve(tx, &of, step, &note)).await? {
        true => {
            tracing::info!(saga, step, "a person settled what could not be undone");
            Ok(StatusCode::NO_CONTENT.into_response())
        }
        false => {
            let message = "nothing waits for a person there";
            Err(Trouble::new(StatusCode::NOT_FOUND, "no_intervention", message))
        }
    }
}

/// What the shop's checker looks at.
pub(super) async fn account(State(orders): State<Arc<Orders>>) -> Result<Response, Trouble> {
    let account = orders.database.run(|tx| {
        let (orders, outbox) = (store::account(tx)?, outbox::account(tx)?);
        Ok(json!({"orders": orders, "outbox": outbox, "interventions": sagas::interventions(tx)?}))
    });
    Ok(JsonLine(account.await?).into_response())
}
