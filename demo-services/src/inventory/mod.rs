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

use std::sync::Arc;
use std::time::Instant;

use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use service::http::JsonLine;
use service::semantics::{database, record};
use tracing::{info, warn};

use self::stock::{Change, Kind};
use crate::idempotency::{self, Answer, Key, once};
use crate::kit::context::{Context, Service};
use crate::kit::database::Database;
use crate::kit::rows::{self, Row};
use crate::kit::web::{Trouble, elapsed_ms, understood};

pub(crate) use self::stock::Item;

/// Different items of one reservation.
const ITEMS_MAX: usize = 50;

#[derive(Clone, Debug, Deserialize)]
struct Reserve {
    order_id: String,
    items: Vec<Item>,
}

#[derive(Debug)]
struct Inventory {
    context: Context,
    database: Database,
}

pub(crate) async fn open(context: &Context) -> anyhow::Result<Service> {
    let file = context.data.join("inventory.db");
    let database = Database::open(&file, &[stock::TABLES, idempotency::TABLE])?;
    database.run(stock::fill).await?;
    let inventory = Inventory { context: context.clone(), database };
    let router = Router::new()
        .route("/api/v1/reservations", post(reserve))
        .route("/api/v1/reservations/{order}/release", post(release))
        .route("/api/v1/reservations/{order}/commit", post(commit))
        .route("/api/v1/reservations/{order}/return", post(give_back))
        .route("/api/v1/stock", get(levels))
        .route("/api/v1/account", get(account))
        .with_state(Arc::new(inventory));
    Ok(Service { router, ..Service::default() })
}

impl Inventory {
    async fn change(&self, key: Key, change: Change) -> Result<Response, Trouble> {
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
    rows::changed(Row { database, table, operation, key, state, message: None });
    for delivery in answer.body["deliveries"].as_array().into_iter().flatten() {
        let (sku, quantity) = (delivery["sku"].as_str(), delivery["quantity"].as_i64());
        info!(sku, quantity, "delivery put on the shelves");
    }
}

async fn reserve(
    State(inventory): State<Arc<Inventory>>,
    key: Key,
    body: Result<Json<Reserve>, JsonRejection>,
) -> Result<Response, Trouble> {
    let Reserve { order_id, items } = understood(body)?;
    let is_sound = |item: &Item| item.quantity > 0 && item.sku.len() <= 64;
    if items.is_empty() || items.len() > ITEMS_MAX || !items.iter().all(is_sound) {
        let message = format!("a reservation has 1 to {ITEMS_MAX} items, each at least once");
        return Err(Trouble::new(axum::http::StatusCode::BAD_REQUEST, "bad_items", message));
    }
    let is_out = inventory.context.directory.is_on("out-of-stock");
    inventory.change(key, Change::reserve(order_id, items, is_out)).await
}

async fn release(
    State(inventory): State<Arc<Inventory>>,
    Path(order): Path<String>,
    key: Key,
) -> Result<Response, Trouble> {
    inventory.change(key, Change::of(order, Kind::Release)).await
}

async fn commit(
    State(inventory): State<Arc<Inventory>>,
    Path(order): Path<String>,
    key: Key,
) -> Result<Response, Trouble> {
    if inventory.context.directory.is_on("failing-commits") {
        return Err(Trouble::unavailable(
            "shelves_down",
            "nothing leaves the shelves at the moment",
        ));
    }
    inventory.change(key, Change::of(order, Kind::Commit)).await
}

async fn give_back(
    State(inventory): State<Arc<Inventory>>,
    Path(order): Path<String>,
    key: Key,
) -> Result<Response, Trouble> {
    inventory.change(key, Change::of(order, Kind::Return)).await
}

async fn levels(State(inventory): State<Arc<Inventory>>) -> Result<Response, Trouble> {
    Ok(JsonLine(inventory.database.run(stock::levels).await?).into_response())
}

async fn account(State(inventory): State<Arc<Inventory>>) -> Result<Response, Trouble> {
    Ok(JsonLine(inventory.database.run(stock::account).await?).into_response())
}
