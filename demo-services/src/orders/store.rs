//! Orders in their database.

use rusqlite::{OptionalExtension, Transaction, params};
use serde::Serialize;
use serde_json::json;
use utoipa::ToSchema;

use super::Placement;
use super::steps::order_state;
use crate::kit::clock::now_ms;
use crate::saga::store::{Run, has_interventions};

pub(super) const TABLE: &str = "
    CREATE TABLE orders (
        id TEXT PRIMARY KEY,
        saga TEXT NOT NULL UNIQUE,
        key TEXT NOT NULL UNIQUE,       -- the idempotency key it was placed with
        request TEXT NOT NULL,          -- what the key stands for
        customer TEXT NOT NULL,
        user TEXT,                      -- who placed it, if they had logged in
        items TEXT NOT NULL,            -- JSON
        amount_cents INTEGER NOT NULL,
        state TEXT NOT NULL,            -- pending, confirmed, cancelled, manual or settled
        placed_ms INTEGER NOT NULL
    ) STRICT;
    CREATE INDEX orders_by_state ON orders (state, id);";

/// Orders that an account names, of each kind.
const NAMED_MAX: u32 = 100_000;

/// An order as it is shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(super) struct Order {
    pub(super) id: String,
    pub(super) saga: String,
    pub(super) customer: String,
    pub(super) amount_cents: i64,
    pub(super) state: String,
    /// Who placed it; nobody for a guest's.
    #[serde(skip)]
    pub(super) user: Option<String>,
}

/// What the shop's checker looks at.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct Account {
    pub(super) pending: Vec<String>,
    pub(super) confirmed: Vec<String>,
    pub(super) cancelled: Vec<String>,
    pub(super) manual: Vec<String>,
    /// Orders that people settled; how, is in their notes.
    pub(super) settled: Vec<String>,
}

pub(super) fn insert(
    tx: &Transaction<'_>,
    placement: &Placement,
    run: &Run,
    amount_cents: u64,
) -> rusqlite::Result<()> {
    let Placement { order, key, request, user } = placement;
    tx.prepare_cached(
        "INSERT INTO orders (id, saga, key, request, customer, user, items, amount_cents, state, placed_ms)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, 'pending', ?)",
    )?
    .execute(params![
        run.subject,
        run.id,
        key,
        request,
        order.customer,
        user,
        json!(order.items).to_string(),
        i64::try_from(amount_cents).unwrap_or(i64::MAX),
        now_ms(),
    ])?;
    Ok(())
}

/// The order that was placed with this key, and what the key stood for.
pub(super) fn by_key(
    tx: &Transaction<'_>,
    key: &str,
) -> rusqlite::Result<Option<(String, String)>> {
    tx.prepare_cached("SELECT id, request FROM orders WHERE key = ?")?
        .query_row([key], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()
}

pub(super) fn find(tx: &Transaction<'_>, id: &str) -> rusqlite::Result<Option<Order>> {
    let columns = "SELECT id, saga, customer, amount_cents, state, user FROM orders WHERE id = ?";
    tx.prepare_cached(columns)?
        .query_row([id], |row| {
            Ok(Order {
                id: row.get(0)?,
                saga: row.get(1)?,
                customer: row.get(2)?,
                amount_cents: row.get(3)?,
                state: row.get(4)?,
                user: row.get(5)?,
            })
        })
        .optional()
}

/// The order's part of the end of its saga. People may have settled by then what could not be undone.
pub(super) fn saga_ended(tx: &Transaction<'_>, run: &Run) -> rusqlite::Result<()> {
    let state = match order_state(run) {
        "manual" if !has_interventions(tx, &run.id)? => "settled",
        state => state,
    };
    tx.prepare_cached("UPDATE orders SET state = ? WHERE id = ?")?
        .execute([state, run.subject.as_str()])?;
    Ok(())
}

/// People settled all that was left of the order with this saga.
pub(super) fn settled(tx: &Transaction<'_>, saga: &str) -> rusqlite::Result<()> {
    tx.execute("UPDATE orders SET state = 'settled' WHERE saga = ? AND state = 'manual'", [saga])?;
    Ok(())
}

pub(super) fn account(tx: &Transaction<'_>) -> rusqlite::Result<Account> {
    let of = |state: &str| -> rusqlite::Result<Vec<String>> {
        let mut query =
            tx.prepare_cached("SELECT id FROM orders WHERE state = ? ORDER BY id LIMIT ?")?;
        query.query_map(params![state, NAMED_MAX], |row| row.get(0))?.collect()
    };
    Ok(Account {
        pending: of("pending")?,
        confirmed: of("confirmed")?,
        cancelled: of("cancelled")?,
        manual: of("manual")?,
        settled: of("settled")?,
    })
}
