//! Carts: what a user is about to order. Whoever asks has their own and no other.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use rusqlite::{OptionalExtension, Transaction};
use service::http::ErrorResponse;
use service::semantics::database::{DELETE, INSERT, UPDATE};

use super::Catalog;
use super::interface::{Cart, CartItem, Quantity};
use super::reads::no_product;
use crate::kit::identity::Caller;
use crate::kit::openapi::ErrorBody;
use crate::kit::request::{Body, Segment};
use crate::kit::rows::{self, Row};

pub(super) const TABLES: &str = "
CREATE TABLE cart_items (
    user_id TEXT NOT NULL,
    sku TEXT NOT NULL REFERENCES products (sku),
    quantity INTEGER NOT NULL CHECK (quantity BETWEEN 1 AND 100),
    version INTEGER NOT NULL,
    PRIMARY KEY (user_id, sku)
) STRICT, WITHOUT ROWID;
";

const QUANTITY_MAX: u32 = 100;
/// Different items in a cart.
const ITEMS_MAX: u32 = 50;

#[utoipa::path(
    get, path = "/api/v1/cart", tag = "cart", security(("caller" = [])),
    responses(
        (status = 200, description = "the caller's cart", body = Cart),
        (status = 401, description = "`unauthenticated`", body = ErrorBody),
        (status = 503, description = "`busy`", body = ErrorBody),
    ),
)]
pub(super) async fn read(
    State(catalog): State<Catalog>,
    caller: Caller,
) -> Result<Json<Cart>, ErrorResponse> {
    let user = caller.user()?.to_owned();
    Ok(Json(catalog.database.run(move |tx| cart_of(tx, &user)).await?))
}

/// What became of an item.
enum Put {
    Done { cart: Cart, version: i64 },
    NoProduct,
    Full,
}

#[utoipa::path(
    put, path = "/api/v1/cart/items/{sku}", tag = "cart", params(("sku" = String, Path)),
    request_body = Quantity, security(("caller" = [])),
    responses(
        (status = 200, description = "the cart after it", body = Cart),
        (status = 400, description = "`bad_json` or `bad_path`", body = ErrorBody),
        (status = 401, description = "`unauthenticated`", body = ErrorBody),
        (status = 404, description = "`no_product`", body = ErrorBody),
        (status = 409, description = "`cart_full`", body = ErrorBody),
        (status = 413, description = "`too_large`", body = ErrorBody),
        (status = 415, description = "`not_json`", body = ErrorBody),
        (status = 422, description = "`bad_field` or `bad_quantity`", body = ErrorBody),
        (status = 503, description = "`busy`", body = ErrorBody),
    ),
)]
pub(super) async fn put_item(
    State(catalog): State<Catalog>,
    caller: Caller,
    Segment(sku): Segment,
    Body(Quantity { quantity }): Body<Quantity>,
) -> Result<Json<Cart>, ErrorResponse> {
    let user = caller.user()?.to_owned();
    if !(1..=QUANTITY_MAX).contains(&quantity) {
        let message = format!("a cart has 1 to {QUANTITY_MAX} of an item");
        return Err(ErrorResponse::new(StatusCode::UNPROCESSABLE_ENTITY, "bad_quantity", message));
    }
    let key = format!("{user},{sku}");
    match catalog.database.run(move |tx| put(tx, &user, &sku, quantity)).await? {
        Put::Done { cart, version } => {
            changed(if version == 1 { INSERT } else { UPDATE }, &key, Some(version));
            Ok(Json(cart))
        }
        Put::NoProduct => Err(no_product()),
        Put::Full => {
            let message = format!("a cart has {ITEMS_MAX} different items at most");
            Err(ErrorResponse::new(StatusCode::CONFLICT, "cart_full", message))
        }
    }
}

#[utoipa::path(
    delete, path = "/api/v1/cart/items/{sku}", tag = "cart", params(("sku" = String, Path)),
    security(("caller" = [])),
    responses(
        (status = 204, description = "the cart does not have it, or not any more"),
        (status = 400, description = "`bad_path`", body = ErrorBody),
        (status = 401, description = "`unauthenticated`", body = ErrorBody),
        (status = 503, description = "`busy`", body = ErrorBody),
    ),
)]
pub(super) async fn remove_item(
    State(catalog): State<Catalog>,
    caller: Caller,
    Segment(sku): Segment,
) -> Result<StatusCode, ErrorResponse> {
    remove(&catalog, caller.user()?, Some(sku)).await
}

#[utoipa::path(
    delete, path = "/api/v1/cart", tag = "cart", security(("caller" = [])),
    responses(
        (status = 204, description = "the cart is empty"),
        (status = 401, description = "`unauthenticated`", body = ErrorBody),
        (status = 503, description = "`busy`", body = ErrorBody),
    ),
)]
pub(super) async fn clear(
    State(catalog): State<Catalog>,
    caller: Caller,
) -> Result<StatusCode, ErrorResponse> {
    remove(&catalog, caller.user()?, None).await
}

/// Takes out one item, or all.
async fn remove(
    catalog: &Catalog,
    user: &str,
    sku: Option<String>,
) -> Result<StatusCode, ErrorResponse> {
    let of = user.to_owned();
    let removed: Vec<String> = catalog
        .database
        .run(move |tx| {
            let mut delete = tx.prepare_cached(
                "DELETE FROM cart_items WHERE user_id = ?1 AND sku = coalesce(?2, sku) RETURNING sku",
            )?;
            delete.query_map((of, sku), |row| row.get(0))?.collect()
        })
        .await?;
    for sku in removed {
        changed(DELETE, &format!("{user},{sku}"), None);
    }
    Ok(StatusCode::NO_CONTENT)
}

fn put(tx: &Transaction<'_>, user: &str, sku: &str, quantity: u32) -> rusqlite::Result<Put> {
    let is_sold = tx
        .prepare_cached("SELECT 1 FROM products WHERE sku = ?")?
        .query_one([sku], |_| Ok(()))
        .optional()?;
    if is_sold.is_none() {
        return Ok(Put::NoProduct);
    }
    let others: u32 = tx
        .prepare_cached("SELECT count(*) FROM cart_items WHERE user_id = ? AND sku <> ?")?
        .query_one([user, sku], |row| row.get(0))?;
    if others >= ITEMS_MAX {
        return Ok(Put::Full);
    }
    let version = tx
        .prepare_cached(
            "INSERT INTO cart_items VALUES (?1, ?2, ?3, 1) ON CONFLICT (user_id, sku)
            DO UPDATE SET quantity = excluded.quantity, version = version + 1 RETURNING version",
        )?
        .query_one((user, sku, quantity), |row| row.get(0))?;
    Ok(Put::Done { cart: cart_of(tx, user)?, version })
}

fn cart_of(tx: &Transaction<'_>, user: &str) -> rusqlite::Result<Cart> {
    let mut select = tx.prepare_cached(
        "SELECT sku, name, quantity, price_cents FROM cart_items JOIN products USING (sku)
        WHERE user_id = ? ORDER BY sku",
    )?;
    let items = select.query_map([user], |row| {
        let (quantity, price_cents) = (row.get("quantity")?, row.get("price_cents")?);
        Ok(CartItem {
            sku: row.get("sku")?,
            name: row.get("name")?,
            quantity,
            price_cents,
            amount_cents: u64::from(quantity) * u64::from(price_cents),
        })
    })?;
    let items: Vec<CartItem> = items.collect::<Result<_, _>>()?;
    let total_cents = items.iter().map(|item| item.amount_cents).sum();
    Ok(Cart { items, total_cents })
}

/// After the commit.
fn changed(operation: &str, key: &str, version: Option<i64>) {
    let (database, table) = ("catalog", "cart_items");
    rows::changed(Row { database, table, operation, key, version, ..Row::default() });
}
