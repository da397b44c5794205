//! Shipping: books parcels, and cancels them. Its database is its own.
//!
//! Cancelling what was never booked is done too, and makes a note: a booking that comes late is refused.
//!
//! Failure switch: `slow-shipping` has every booking take longer than its caller waits.

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Instant;

use axum::extract::State;
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use rusqlite::{OptionalExtension, Transaction};
use serde::{Deserialize, Serialize};
use serde_json::json;
use service::http::{ErrorResponse, JsonLine};
use service::semantics::{database, record};
use tracing::{info, warn};
use utoipa::{OpenApi, ToSchema};

use crate::idempotency::{self, Answer, Key, once};
use crate::kit::context::{Context, Service};
use crate::kit::database::Database;
use crate::kit::openapi::{self, ErrorBody, Route};
use crate::kit::request::{Body, Segment};
use crate::kit::rows::{self, Row};
use crate::kit::web::elapsed_ms;
use crate::switches;

const TABLE: &str = "
    CREATE TABLE shipments (
        order_id TEXT PRIMARY KEY,
        state TEXT NOT NULL,            -- booked or cancelled
        tracking TEXT
    ) STRICT;";

/// What a booking needs.
#[derive(Debug, Deserialize, ToSchema)]
struct Book {
    order_id: String,
}

/// The parcel of an order.
#[derive(Debug, Serialize, ToSchema)]
struct Shipment {
    order_id: String,
    /// `booked` or `cancelled`.
    state: String,
    /// None if it was cancelled before it was booked.
    tracking: Option<String>,
}

#[derive(Debug)]
struct Shipping {
    context: Context,
    database: Database,
}

#[derive(OpenApi)]
#[openapi(paths(openapi::document, book, show, cancel))]
struct Document;

pub(crate) async fn open(context: &Context) -> anyhow::Result<Service> {
    let file = context.data.join("shipping.db");
    let database = Database::open(&file, &[TABLE, idempotency::TABLE]).await?;
    let shipping = Shipping { context: context.clone(), database };
    let document = openapi::describe(Document::openapi(), "shipping", "Parcels.");
    let router = openapi::router(routes(), Arc::new(shipping), &document);
    Ok(Service { router, ..Service::default() })
}

fn routes() -> Vec<Route<Arc<Shipping>>> {
    vec![
        Route::new(Method::POST, "/api/v1/shipments", book),
        Route::new(Method::GET, "/api/v1/shipments/{order}", show),
        Route::new(Method::POST, "/api/v1/shipments/{order}/cancel", cancel),
    ]
}

#[utoipa::path(
    post, path = "/api/v1/shipments", request_body = Book,
    responses(
        (status = 200, description = "it is booked, now or by an earlier request with this key", body = Shipment),
        (status = 400, description = "`idempotency_key_missing` or `bad_json`", body = ErrorBody),
        (status = 409, description = "`order_cancelled`", body = ErrorBody),
        (status = 413, description = "`too_large`", body = ErrorBody),
        (status = 415, description = "`not_json`", body = ErrorBody),
        (status = 422, description = "`bad_field` or `idempotency_key_reused`", body = ErrorBody),
        (status = 503, description = "`busy`", body = ErrorBody),
    ),
)]
async fn book(
    State(shipping): State<Arc<Shipping>>,
    key: Key,
    Body(Book { order_id }): Body<Book>,
) -> Result<Response, ErrorResponse> {
    let began = Instant::now();
    if shipping.context.directory.is_on(switches::SLOW_SHIPPING) {
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

#[utoipa::path(
    post, path = "/api/v1/shipments/{order}/cancel", params(("order" = String, Path)),
    responses(
        (status = 200, description = "it is cancelled, or there was none", body = Shipment),
        (status = 400, description = "`idempotency_key_missing` or `bad_path`", body = ErrorBody),
        (status = 422, description = "`idempotency_key_reused`", body = ErrorBody),
        (status = 503, description = "`busy`", body = ErrorBody),
    ),
)]
async fn cancel(
    State(shipping): State<Arc<Shipping>>,
    Segment(order_id): Segment,
    key: Key,
) -> Result<Response, ErrorResponse> {
    let began = Instant::now();
    let (order, request) = (order_id.clone(), format!("cancel {order_id}"));
    let work = move |tx: &Transaction<'_>| set_state(tx, &order, "cancelled", None);
    let answer = once(&shipping.database, key, request, work).await?;
    tell(&order_id, &answer, database::UPDATE, "parcel cancelled", began);
    Ok(answer.into_response())
}

#[utoipa::path(
    get, path = "/api/v1/shipments/{order}", params(("order" = String, Path)),
    responses(
        (status = 200, description = "the parcel", body = Shipment),
        (status = 400, description = "`bad_path`", body = ErrorBody),
        (status = 404, description = "`no_shipment`", body = ErrorBody),
        (status = 503, description = "`busy`", body = ErrorBody),
    ),
)]
async fn show(
    State(shipping): State<Arc<Shipping>>,
    Segment(order): Segment,
) -> Result<Response, ErrorResponse> {
    let found = shipping.database.run(move |tx| match state(tx, &order)? {
        Some(_) => show_in(tx, &order).map(Some),
        None => Ok(None),
    });
    match found.await? {
        Some(answer) => Ok(JsonLine(answer.body).into_response()),
        None => Err(ErrorResponse::new(
            StatusCode::NOT_FOUND,
            "no_shipment",
            "there is no parcel for it",
        )),
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
    rows::changed(Row { database, table, operation, key, state, ..Row::default() });
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
            let order_id = order.to_owned();
            let shipment = Shipment { order_id, state: row.get(0)?, tracking: row.get(1)? };
            Ok(Answer::new(StatusCode::OK, json!(shipment)))
        },
    )
}
