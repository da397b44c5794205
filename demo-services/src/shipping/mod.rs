//! Shipping: books parcels, and cancels them. Its database is its own.
//!
//! Cancelling what was never booked is done too, and makes a note: a booking that comes late is refused.
//!
//! Failure switch: `slow-shipping` has every booking take longer than its caller waits.

use std::sync::Arc;
use std::time::Instant;

use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use rusqlite::{OptionalExtension, Transaction};
use serde::Deserialize;
use serde_json::json;
use service::http::JsonLine;
use service::semantics::{database, record};
use tracing::{info, warn};

use crate::idempotency::{self, Answer, Key, once};
use crate::kit::context::{Context, Service};
use crate::kit::database::Database;
use crate::kit::rows::{self, Row};
use crate::kit::web::{Trouble, elapsed_ms, understood};

const TABLE: &str = "
    CREATE TABLE shipments (
        order_id TEXT PRIMARY KEY,
        state TEXT NOT NULL,            -- booked or cancelled
        tracking TEXT
    ) STRICT;";

#[derive(Debug, Deserialize)]
struct Book {
    order_id: String,
}

#[derive(Debug)]
struct Shipping {
    context: Context,
    database: Database,
}

pub(crate) async fn open(context: &Context) -> anyhow::Result<Service> {
    let file = context.data.join("shipping.db");
    let database = Database::open(&file, &[TABLE, idempotency::TABLE])?;
    let shipping = Shipping { context: context.clone(), database };
    let router = Router::new()
        .route("/api/v1/shipments", post(book))
        .route("/api/v1/shipments/{order}", get(show))
        .route("/api/v1/shipments/{order}/cancel", post(cancel))
        .with_state(Arc::new(shipping));
    Ok(Service { router, ..Service::default() })
}

async fn book(
    State(shipping): State<Arc<Shipping>>,
    key: Key,
    body: Result<Json<Book>, JsonRejection>,
) -> Result<Response, Trouble> {
    let Book { order_id } = understood(body)?;
    let began = Instant::now();
    if shipping.context.directory.is_on("slow-shipping") {
        warn!(order_id, "carrier is slow");
        tokio::time::sleep(shipping.context.step_timeout * 2).await;
    }
    let tracking = shipping.context.ids.short("trk");
    let (order, request) = (order_id.clone(), format!("book {order_id}"));
    let work = move |tx: &Transaction<'_>| match state(tx, &order)?.as_deref() {
        None => set_state(tx, &order, "booked", Some(&tracking)),
        Some("booked") => show_in(tx, &order),
        Some(_) => Ok(Answer::refusal(
            StatusCode::CONFLICT,
            "order_cancelled",
            "this order was cancelled before its parcel was booked",
        )),
    };
    let answer = once(&shipping.database, key, request, work).await?;
    tell(&order_id, &answer, database::INSERT, "parcel booked", began);
    Ok(answer.into_response())
}

async fn cancel(
    State(shipping): State<Arc<Shipping>>,
    Path(order_id): Path<String>,
    key: Key,
) -> Result<Response, Trouble> {
    let began = Instant::now();
    let (order, request) = (order_id.clone(), format!("cancel {order_id}"));
    let work = move |tx: &Transaction<'_>| set_state(tx, &order, "cancelled", None);
    let answer = once(&shipping.database, key, request, work).await?;
    tell(&order_id, &answer, database::UPDATE, "parcel cancelled", began);
    Ok(answer.into_response())
}

async fn show(
    State(shipping): State<Arc<Shipping>>,
    Path(order): Path<String>,
) -> Result<Response, Trouble> {
    let found = shipping.database.run(move |tx| match state(tx, &order)? {
        Some(_) => show_in(tx, &order).map(Some),
        None => Ok(None),
    });
    match found.await? {
        Some(answer) => Ok(JsonLine(answer.body).into_response()),
        None => {
            Err(Trouble::new(StatusCode::NOT_FOUND, "no_shipment", "there is no parcel for it"))
        }
    }
}

fn tell(order: &str, answer: &Answer, operation: &str, text: &'static str, began: Instant) {
    let duration_ms = elapsed_ms(began);
    if answer.replayed {
        return;
    }
    if let Some(code) = answer.code() {
        return warn!(
            order_id = order,
            duration_ms,
            { record::ERROR_TYPE } = code,
            "parcel not booked"
        );
    }
    info!(order_id = order, tracking = answer.body["tracking"].as_str(), duration_ms, "{text}");
    let (database, table, key) = ("shipping", "shipments", order);
    let state = answer.body["state"].as_str();
    rows::changed(Row { database, table, operation, key, state, message: None });
}

fn state(tx: &Transaction<'_>, order: &str) -> rusqlite::Result<Option<String>> {
    tx.prepare_cached("SELECT state FROM shipments WHERE order_id = ?")?
        .query_row([order], |row| row.get(0))
        .optional()
}

fn set_state(
    tx: &Transaction<'_>,
    order: &str,
    state: &str,
    tracking: Option<&str>,
) -> rusqlite::Result<Answer> {
    tx.prepare_cached(
        "INSERT INTO shipments (order_id, state, tracking) VALUES (?1, ?2, ?3)
         ON CONFLICT (order_id) DO UPDATE SET state = ?2",
    )?
    .execute((order, state, tracking))?;
    show_in(tx, order)
}

fn show_in(tx: &Transaction<'_>, order: &str) -> rusqlite::Result<Answer> {
    tx.prepare_cached("SELECT state, tracking FROM shipments WHERE order_id = ?")?.query_row(
        [order],
        |row| {
            let (state, tracking): (String, Option<String>) = (row.get(0)?, row.get(1)?);
            let body = json!({"order_id": order, "state": state, "tracking": tracking});
            Ok(Answer::new(StatusCode::OK, body))
        },
    )
}
