//! Stock: levels, reservations and deliveries. The database itself refuses a level below zero.

use axum::http::StatusCode;
use rusqlite::{OptionalExtension, Transaction, params};
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;

use crate::idempotency::Answer;
use crate::kit::clock::now_ms;

pub(super) const TABLES: &str = "
    CREATE TABLE stock (
        sku TEXT PRIMARY KEY,
        on_hand INTEGER NOT NULL,
        reserved INTEGER NOT NULL DEFAULT 0,
        CHECK (reserved >= 0 AND on_hand >= reserved)
    ) STRICT;
    CREATE TABLE reservations (
        order_id TEXT PRIMARY KEY,
        state TEXT NOT NULL,
        items TEXT NOT NULL             -- JSON
    ) STRICT;
    CREATE TABLE deliveries (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        sku TEXT NOT NULL,
        quantity INTEGER NOT NULL,
        at_ms INTEGER NOT NULL
    ) STRICT;";

/// What is there in the beginning.
const BEGINNING: [(&str, i64); 16] = [
    ("teapot", 1_000),
    ("teapot-blue", 1_000),
    ("teapot-green", 1_000),
    ("teapot-large", 1_000),
    ("cup", 1_000),
    ("cup-blue", 1_000),
    ("cup-large", 1_000),
    ("saucer", 1_000),
    ("saucer-blue", 1_000),
    ("oolong-100g", 1_000),
    ("oolong-250g", 1_000),
    ("sencha-100g", 1_000),
    ("sencha-250g", 1_000),
    ("kettle", 1_000),
    ("kettle-copper", 1_000),
    // Sold out for good: an order of it always fails.
    ("kettle-silver", 0),
];
/// What is available of something when a delivery is ordered, which comes at once, and how much it brings.
const LOW: i64 = 200;
const DELIVERY: u32 = 1_000;

/// Some of something.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
pub(super) struct Item {
    pub(super) sku: String,
    pub(super) quantity: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Reserve,
    Release,
    Commit,
    Return,
}

/// What is to be done for an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Change {
    pub(super) order: String,
    pub(super) kind: Kind,
    pub(super) items: Vec<Item>,
    /// Nothing is there, whatever is there.
    is_out: bool,
}

/// What is reserved for an order.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Reservation {
    order_id: String,
    /// `reserved`, `released`, `committed` or `returned`.
    state: String,
    /// What was ordered because little was left.
    deliveries: Vec<Item>,
}

/// How much there is of something.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(super) struct Level {
    sku: String,
    on_hand: i64,
    reserved: i64,
}

/// What the shop's checker looks at: on hand is what was delivered and not sold, reserved is what orders have reserved, and
/// nothing is below zero.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(super) struct Account {
    sku: String,
    on_hand: i64,
    reserved: i64,
    delivered: i64,
    /// Of orders that are committed.
    sold: i64,
    /// Of orders that are reserved.
    reserved_for_orders: i64,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Reserve => "reserve",
            Self::Release => "release",
            Self::Commit => "commit",
            Self::Return => "return",
        }
    }

    /// What is told of one that was done.
    pub(super) fn told(self) -> &'static str {
        match self {
            Self::Reserve => "stock reserved",
            Self::Release => "reservation released",
            Self::Commit => "stock taken off the shelves",
            Self::Return => "stock put back",
        }
    }
}

impl Change {
    pub(super) fn reserve(order: String, items: Vec<Item>, is_out: bool) -> Self {
        Self { order, kind: Kind::Reserve, items, is_out }
    }

    pub(super) fn of(order: String, kind: Kind) -> Self {
        Self { order, kind, items: Vec::new(), is_out: false }
    }

    /// What an idempotency key stands for.
    pub(super) fn fingerprint(&self) -> String {
        format!("{} {} {}", self.kind.name(), self.order, json!(self.items))
    }
}

/// Puts in what is not known yet, as deliveries.
pub(super) fn fill(tx: &Transaction<'_>) -> rusqlite::Result<()> {
    for (sku, quantity) in BEGINNING {
        let new = tx.execute(
            "INSERT OR IGNORE INTO stock (sku, on_hand) VALUES (?, ?)",
            params![sku, quantity],
        )?;
        if new > 0 {
            note_delivery(tx, sku, quantity)?;
        }
    }
    Ok(())
}

/// Changes stock, or refuses and changes nothing.
pub(super) fn apply(tx: &Transaction<'_>, change: &Change) -> rusqlite::Result<Answer> {
    let found: Option<(String, String)> = tx
        .prepare_cached("SELECT state, items FROM reservations WHERE order_id = ?")?
        .query_row([&change.order], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let (state, items) = match &found {
        None => (None, Vec::new()),
        Some((state, items)) => {
            (Some(state.as_str()), serde_json::from_str(items).unwrap_or_default())
        }
    };
    let order = change.order.as_str();
    let refused = |code, message: &str| Ok(Answer::refusal(StatusCode::CONFLICT, code, message));
    match (change.kind, state) {
        (Kind::Reserve, None) => reserve(tx, change),
        (Kind::Reserve, Some("released")) => {
            refused("order_cancelled", "this order was cancelled before its reservation came")
        }
        (Kind::Reserve, Some(_)) => refused("reserved", "this order has a reservation already"),
        (Kind::Release | Kind::Return, None) => {
            note(tx, order, "released", &[])?;
            Ok(done(order, "released"))
        }
        (Kind::Release | Kind::Return, Some("reserved")) => {
            shift(tx, &items, 0, -1)?;
            note(tx, order, "released", &items)?;
            Ok(done(order, "released"))
        }
        (Kind::Release, Some("committed")) => {
            refused("committed", "the goods are on their way; have them returned")
        }
        (Kind::Commit, Some("reserved")) => {
            shift(tx, &items, -1, -1)?;
            note(tx, order, "committed", &items)?;
            Ok(done(order, "committed"))
        }
        (Kind::Return, Some("committed")) => {
            shift(tx, &items, 1, 0)?;
            note(tx, order, "returned", &items)?;
            Ok(done(order, "returned"))
        }
        (Kind::Commit, None | Some("released" | "returned")) => {
            refused("not_reserved", "there is no reservation to commit")
        }
        (_, Some(state)) => Ok(done(order, state)),
    }
}

fn done(order: &str, state: &str) -> Answer {
    let (order_id, state, deliveries) = (order.to_owned(), state.to_owned(), Vec::new());
    Answer::new(StatusCode::OK, json!(Reservation { order_id, state, deliveries }))
}

fn reserve(tx: &Transaction<'_>, change: &Change) -> rusqlite::Result<Answer> {
    // One sku may be named twice.
    let mut wanted = std::collections::BTreeMap::<&str, i64>::new();
    for item in &change.items {
        *wanted.entry(&item.sku).or_default() += i64::from(item.quantity);
    }
    let mut available = Vec::new();
    for (sku, quantity) in &wanted {
        let level: Option<i64> = tx
            .prepare_cached("SELECT on_hand - reserved FROM stock WHERE sku = ?")?
            .query_row([sku], |row| row.get(0))
            .optional()?;
        let there = if change.is_out { 0 } else { level.unwrap_or(0) };
        if there < *quantity {
            let message = format!("there are {there} of {sku}, not {quantity}");
            return Ok(Answer::refusal(StatusCode::CONFLICT, "out_of_stock", message));
        }
        available.push((*sku, there - quantity));
    }
    shift(tx, &change.items, 0, 1)?;
    note(tx, &change.order, "reserved", &change.items)?;
    let mut deliveries = Vec::new();
    for (sku, left) in available {
        if left < LOW {
            tx.prepare_cached("UPDATE stock SET on_hand = on_hand + ? WHERE sku = ?")?
                .execute(params![DELIVERY, sku])?;
            note_delivery(tx, sku, DELIVERY.into())?;
            deliveries.push(Item { sku: sku.to_owned(), quantity: DELIVERY });
        }
    }
    let (order_id, state) = (change.order.clone(), "reserved".to_owned());
    Ok(Answer::new(StatusCode::CREATED, json!(Reservation { order_id, state, deliveries })))
}

/// Adds the items, times a factor, to what is on hand and to what is reserved.
fn shift(
    tx: &Transaction<'_>,
    items: &[Item],
    on_hand: i64,
    reserved: i64,
) -> rusqlite::Result<()> {
    let mut update = tx.prepare_cached(
        "UPDATE stock SET on_hand = on_hand + ?, reserved = reserved + ? WHERE sku = ?",
    )?;
    for Item { sku, quantity } in items {
        let quantity = i64::from(*quantity);
        update.execute(params![on_hand * quantity, reserved * quantity, sku])?;
    }
    Ok(())
}

fn note(tx: &Transaction<'_>, order: &str, state: &str, items: &[Item]) -> rusqlite::Result<()> {
    tx.prepare_cached(
        "INSERT INTO reservations (order_id, state, items) VALUES (?1, ?2, ?3)
         ON CONFLICT (order_id) DO UPDATE SET state = ?2",
    )?
    .execute(params![order, state, json!(items).to_string()])?;
    Ok(())
}

fn note_delivery(tx: &Transaction<'_>, sku: &str, quantity: i64) -> rusqlite::Result<()> {
    tx.prepare_cached("INSERT INTO deliveries (sku, quantity, at_ms) VALUES (?, ?, ?)")?
        .execute(params![sku, quantity, now_ms()])?;
    Ok(())
}

pub(super) fn levels(tx: &Transaction<'_>) -> rusqlite::Result<Vec<Level>> {
    let mut query = tx.prepare_cached("SELECT sku, on_hand, reserved FROM stock ORDER BY sku")?;
    let rows = query.query_map([], |row| {
        Ok(Level { sku: row.get(0)?, on_hand: row.get(1)?, reserved: row.get(2)? })
    })?;
    rows.collect()
}

pub(super) fn account(tx: &Transaction<'_>) -> rusqlite::Result<Vec<Account>> {
    let mut query = tx.prepare_cached(
        "WITH moved AS MATERIALIZED (
            SELECT item.value ->> 'sku' AS sku,
                sum(iif(state = 'committed', item.value ->> 'quantity', 0)) AS sold,
                sum(iif(state = 'reserved', item.value ->> 'quantity', 0)) AS reserved_for_orders
            FROM reservations, json_each(reservations.items) AS item
            WHERE state IN ('committed', 'reserved') GROUP BY 1),
         delivered AS MATERIALIZED (
            SELECT sku, sum(quantity) AS delivered FROM deliveries GROUP BY sku)
         SELECT sku, on_hand, reserved, ifnull(delivered, 0), ifnull(sold, 0),
            ifnull(reserved_for_orders, 0)
         FROM stock LEFT JOIN moved USING (sku) LEFT JOIN delivered USING (sku) ORDER BY sku",
    )?;
    let rows = query.query_map([], |row| {
        Ok(Account {
            sku: row.get(0)?,
            on_hand: row.get(1)?,
            reserved: row.get(2)?,
            delivered: row.get(3)?,
            sold: row.get(4)?,
            reserved_for_orders: row.get(5)?,
        })
    })?;
    rows.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kit::database::Database;

    async fn states(changes: &[(Kind, &str, u32)]) -> (Vec<String>, Vec<Account>) {
        let folder = tempfile::tempdir().unwrap();
        let database = Database::open(&folder.path().join("a.db"), &[TABLES]).await.unwrap();
        database.run(fill).await.unwrap();
        let mut told = Vec::new();
        for (kind, order, quantity) in changes.iter().copied() {
            let items = vec![Item { sku: "cup".to_owned(), quantity }];
            let change = Change { items, ..Change::of(order.to_owned(), kind) };
            let answer = database.run(move |tx| apply(tx, &change)).await.unwrap();
            let state = answer.body["state"].as_str().or(answer.code()).unwrap();
            told.push(state.to_owned());
        }
        let account = database.run(account).await.unwrap();
        for line in &account {
            assert_eq!(line.on_hand, line.delivered - line.sold, "{line:?}");
            assert_eq!(line.reserved, line.reserved_for_orders, "{line:?}");
        }
        (told, account.into_iter().filter(|line| line.sku == "cup").collect())
    }

    #[tokio::test]
    async fn whatever_comes_in_whatever_order_the_account_adds_up() {
        use Kind::{Commit, Release, Reserve, Return};
        for (changes, told) in [
            (
                &[(Reserve, "a", 3), (Commit, "a", 0), (Return, "a", 0)][..],
                "reserved committed returned",
            ),
            (
                &[(Reserve, "a", 3), (Release, "a", 0), (Commit, "a", 0)],
                "reserved released not_reserved",
            ),
            // Undone before it came.
            (&[(Release, "a", 0), (Reserve, "a", 3)], "released order_cancelled"),
            (
                &[(Reserve, "a", 3), (Return, "a", 0), (Release, "a", 0)],
                "reserved released released",
            ),
            (
                &[(Reserve, "a", 3), (Commit, "a", 0), (Release, "a", 0)],
                "reserved committed committed",
            ),
            (&[(Reserve, "a", 1_001)], "out_of_stock"),
            // A delivery comes before the shelf is empty.
            (&[(Reserve, "a", 900), (Reserve, "b", 900)], "reserved reserved"),
        ] {
            assert_eq!(states(changes).await.0.join(" "), told, "{changes:?}");
        }
    }
}
