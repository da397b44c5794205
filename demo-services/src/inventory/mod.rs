//! Inventory: what is on the shelves, and what is reserved for orders. Its database is its own.
//!
//! ```text
//!            reserve              commit               return
//!  (nothing) ───────▶ reserved ─────────▶ committed ─────────▶ returned
//!      │ release          │ release
//!      └──────▶ released ◀┘
//! ```
//!
//! Releasing or returning what was never there is done too, and makes a note: a reservation that comes late is refused.
//! Deliveries fill up what runs low, but for what is sold out for good, the silver kettle.
//!
//! Failure switches: `out-of-stock` has every reservation refused; `failing-commits` has every commit fail.

mod stock;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Instant;

use axum::extract::State;
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use service::http::{ErrorResponse, JsonLine};
use service::semantics::{database, record};
use tracing::{info, warn};
use utoipa::{OpenApi, ToSchema};

use self::stock::{Change, Item, Kind, Reservation};
use crate::idempotency::{self, Answer, Key, once};
use crate::kit::context::{Context, Service};
use crate::kit::database::Database;
use crate::kit::openapi::{self, ErrorBody, Route};
use crate::kit::request::{Body, Segment};
use crate::kit::rows::{self, Row};
use crate::kit::web::{elapsed_ms, unavailable};
use crate::switches;

/// Different items of one reservation.
const ITEMS_MAX: usize = 50;

/// What a reservation needs.
#[derive(Clone, Debug, Deserialize, ToSchema)]
struct Reserve {
    order_id: String,
    items: Vec<Item>,
}

#[derive(Debug)]
struct Inventory {
    context: Context,
    database: Database,
}

#[derive(OpenApi)]
#[openapi(paths(openapi::document, reserve, release, commit, give_back, levels, account))]
struct Document;

pub(crate) async fn open(context: &Context) -> anyhow::Result<Service> {
    let file = context.data.join("inventory.db");
    let database = Database::open(&file, &[stock::TABLES, idempotency::TABLE]).await?;
    database.run(stock::fill).await?;
    let inventory = Inventory { context: context.clone(), database };
    let description = "Stock, and what of it is reserved for orders.";
    let document = openapi::describe(Document::openapi(), "inventory", description);
    let router = openapi::router(routes(), Arc::new(inventory), &document);
    Ok(Service { router, ..Service::default() })
}

fn routes() -> Vec<Route<Arc<Inventory>>> {
    vec![
        Route::new(Method::POST, "/api/v1/reservations", reserve),
        Route::new(Method::POST, "/api/v1/reservations/{order}/release", release),
        Route::new(Method::POST, "/api/v1/reservations/{order}/commit", commit),
        Route::new(Method::POST, "/api/v1/reservations/{order}/return", give_back),
        Route::new(Method::GET, "/api/v1/stock", levels),
        Route::new(Method::GET, "/api/v1/account", account),
    ]
}

impl Inventory {
    async fn change(&self, key: Key, change: Change) -> Result<Response, ErrorResponse> {
        let (began, told) = (Instant::now(), change.clone());
        let request = change.fingerprint();
        let answer = once(&self.database, key, request, move |tx| stock::apply(tx, &change));
        let answer = answer.await?;
        if !answer.replayed {
            tell(&told, &answer, began);
        }
        Ok(answer.into_response())
    }
}

fn tell(change: &Change, answer: &Answer, began: Instant) {
    let Change { order, kind, items, .. } = change;
    let (duration_ms, items) = (elapsed_ms(began), items.len());
    if let Some(code) = answer.code() {
        let message = answer.body["error"]["message"].as_str();
        return warn!(
            order_id = order,
            duration_ms,
            { record::ERROR_TYPE } = code,
            { record::ERROR_MESSAGE } = message,
            "{}",
            if code == "out_of_stock" { "out of stock" } else { "change of stock refused" }
        );
    }
    info!(order_id = order, items, duration_ms, "{}", kind.told());
    let operation = if *kind == Kind::Reserve { database::INSERT } else { database::UPDATE };
    let (key, state) = (order.as_str(), answer.body["state"].as_str());
    let (database, table) = ("inventory", "reservations");
    rows::changed(Row { database, table, operation, key, state, ..Row::default() });
    for delivery in answer.body["deliveries"].as_array().into_iter().flatten() {
        let (sku, quantity) = (delivery["sku"].as_str(), delivery["quantity"].as_i64());
        info!(sku, quantity, "delivery put on the shelves");
    }
}

#[utoipa::path(
    post, path = "/api/v1/reservations", request_body = Reserve,
    responses(
        (status = 201, description = "it is reserved, now or by an earlier request with this key", body = Reservation),
        (status = 400, description = "`idempotency_key_missing`, `bad_json` or `bad_items`", body = ErrorBody),
        (status = 409, description = "`out_of_stock`, `reserved` or `order_cancelled`", body = ErrorBody),
        (status = 413, description = "`too_large`", body = ErrorBody),
        (status = 415, description = "`not_json`", body = ErrorBody),
        (status = 422, description = "`bad_field` or `idempotency_key_reused`", body = ErrorBody),
        (status = 503, description = "`busy`", body = ErrorBody),
    ),
)]
async fn reserve(
    State(inventory): State<Arc<Inventory>>,
    key: Key,
    Body(Reserve { order_id, items }): Body<Reserve>,
) -> Result<Response, ErrorResponse> {
    let is_sound = |item: &Item| item.quantity > 0 && item.sku.len() <= 64;
    if items.is_empty() || items.len() > ITEMS_MAX || !items.iter().all(is_sound) {
        let message = format!("a reservation has 1 to {ITEMS_MAX} items, each at least once");
        return Err(ErrorResponse::new(StatusCode::BAD_REQUEST, "bad_items", message));
    }
    let is_out = inventory.context.directory.is_on(switches::OUT_OF_STOCK);
    inventory.change(key, Change::reserve(order_id, items, is_out)).await
}

#[utoipa::path(
    post, path = "/api/v1/reservations/{order}/release", params(("order" = String, Path)),
    responses(
        (status = 200, description = "it is released, or there was nothing", body = Reservation),
        (status = 400, description = "`idempotency_key_missing` or `bad_path`", body = ErrorBody),
        (status = 409, description = "`committed`", body = ErrorBody),
        (status = 422, description = "`idempotency_key_reused`", body = ErrorBody),
        (status = 503, description = "`busy`", body = ErrorBody),
    ),
)]
async fn release(
    State(inventory): State<Arc<Inventory>>,
    Segment(order): Segment,
    key: Key,
) -> Result<Response, ErrorResponse> {
    inventory.change(key, Change::of(order, Kind::Release)).await
}

#[utoipa::path(
    post, path = "/api/v1/reservations/{order}/commit", params(("order" = String, Path)),
    responses(
        (status = 200, description = "the goods are off the shelves", body = Reservation),
        (status = 400, description = "`idempotency_key_missing` or `bad_path`", body = ErrorBody),
        (status = 409, description = "`not_reserved`", body = ErrorBody),
        (status = 422, description = "`idempotency_key_reused`", body = ErrorBody),
        (status = 503, description = "`busy` or `shelves_down`", body = ErrorBody),
    ),
)]
async fn commit(
    State(inventory): State<Arc<Inventory>>,
    Segment(order): Segment,
    key: Key,
) -> Result<Response, ErrorResponse> {
    if inventory.context.directory.is_on(switches::FAILING_COMMITS) {
        return Err(unavailable("shelves_down", "nothing leaves the shelves at the moment"));
    }
    inventory.change(key, Change::of(order, Kind::Commit)).await
}

#[utoipa::path(
    post, path = "/api/v1/reservations/{order}/return", params(("order" = String, Path)),
    responses(
        (status = 200, description = "they are back, or there was nothing", body = Reservation),
        (status = 400, description = "`idempotency_key_missing` or `bad_path`", body = ErrorBody),
        (status = 422, description = "`idempotency_key_reused`", body = ErrorBody),
        (status = 503, description = "`busy`", body = ErrorBody),
    ),
)]
async fn give_back(
    State(inventory): State<Arc<Inventory>>,
    Segment(order): Segment,
    key: Key,
) -> Result<Response, ErrorResponse> {
    inventory.change(key, Change::of(order, Kind::Return)).await
}

#[utoipa::path(
    get, path = "/api/v1/stock",
    responses(
        (status = 200, description = "how much there is of everything", body = Vec<stock::Level>),
        (status = 503, description = "`busy`", body = ErrorBody),
    ),
)]
async fn levels(State(inventory): State<Arc<Inventory>>) -> Result<Response, ErrorResponse> {
    Ok(JsonLine(inventory.database.run(stock::levels).await?).into_response())
}

#[utoipa::path(
    get, path = "/api/v1/account",
    responses(
        (status = 200, description = "what the checker of the shop looks at", body = Vec<stock::Account>),
        (status = 503, description = "`busy`", body = ErrorBody),
    ),
)]
async fn account(State(inventory): State<Arc<Inventory>>) -> Result<Response, ErrorResponse> {
    Ok(JsonLine(inventory.database.run(stock::account).await?).into_response())
}
