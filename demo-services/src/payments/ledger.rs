//! The ledger: what state the payment of each order is in, and every movement that led there.

use axum::http::StatusCode;
use rusqlite::{OptionalExtension, Transaction, params};
use serde::Serialize;
use serde_json::json;
use service::semantics::database;
use utoipa::ToSchema;

use crate::idempotency::Answer;
use crate::kit::clock::now_ms;

pub(super) const TABLES: &str = "
    CREATE TABLE payments (
        order_id TEXT PRIMARY KEY,
        state TEXT NOT NULL,
        amount_cents INTEGER NOT NULL,
        card TEXT NOT NULL,             -- its last digits
        authorisation TEXT
    ) STRICT;
    CREATE TABLE ledger (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        order_id TEXT NOT NULL,
        kind TEXT NOT NULL,
        amount_cents INTEGER NOT NULL,
        at_ms INTEGER NOT NULL
    ) STRICT;
    CREATE INDEX ledger_by_order ON ledger (order_id);";

/// Entries that are shown.
const SHOWN_MAX: u32 = 1_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Authorise,
    Void,
    Capture,
    Refund,
}

/// What is to be done to the payment of an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Movement {
    pub(super) order: String,
    pub(super) kind: Kind,
    /// Of an authorisation; what follows is about the same amount.
    pub(super) amount_cents: Option<u64>,
    /// Its last digits.
    pub(super) card: String,
    authorisation: Option<String>,
    declined: bool,
}

/// The payment of an order.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Payment {
    order_id: String,
    /// `authorised`, `declined`, `voided`, `captured` or `refunded`.
    state: String,
    amount_cents: i64,
    /// None if there never was one.
    authorisation: Option<String>,
}

/// An entry of the ledger.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(super) struct Entry {
    order_id: String,
    /// `authorise`, `void`, `capture` or `refund`.
    kind: String,
    amount_cents: i64,
    /// Milliseconds since 1970.
    at_ms: i64,
}

/// What the shop's checker looks at.
#[derive(Clone, Debug, Default, Serialize, ToSchema)]
pub(super) struct Account {
    /// Orders with more than one capture.
    captured_twice: Vec<String>,
    /// Orders with a refund and no capture.
    refunded_without_capture: Vec<String>,
    /// Orders that were captured and not refunded.
    charged: Vec<String>,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Authorise => "authorise",
            Self::Void => "void",
            Self::Capture => "capture",
            Self::Refund => "refund",
        }
    }

    /// What is told of one that was done.
    pub(super) fn told(self) -> &'static str {
        match self {
            Self::Authorise => "payment authorised",
            Self::Void => "authorisation voided",
            Self::Capture => "payment captured",
            Self::Refund => "payment refunded",
        }
    }

    pub(super) fn operation(self) -> &'static str {
        if self == Self::Authorise { database::INSERT } else { database::UPDATE }
    }
}

impl Movement {
    pub(super) fn of(order: String, kind: Kind) -> Self {
        let (card, authorisation) = (String::new(), None);
        Self { order, kind, amount_cents: None, card, authorisation, declined: false }
    }

    pub(super) fn authorise(
        order: String,
        amount_cents: u64,
        card: String,
        authorisation: String,
        declined: bool,
    ) -> Self {
        let authorisation = Some(authorisation);
        let (kind, amount_cents) = (Kind::Authorise, Some(amount_cents));
        Self { order, kind, amount_cents, card, authorisation, declined }
    }

    /// What an idempotency key stands for: the request, and nothing that was drawn for it.
    pub(super) fn fingerprint(&self) -> String {
        let amount_cents = self.amount_cents.unwrap_or(0);
        format!("{} {} {amount_cents} {}", self.kind.name(), self.order, self.card)
    }
}

/// Moves money, or refuses.
pub(super) fn apply(tx: &Transaction<'_>, movement: &Movement) -> rusqlite::Result<Answer> {
    let state: Option<String> = tx
        .prepare_cached("SELECT state FROM payments WHERE order_id = ?")?
        .query_row([&movement.order], |row| row.get(0))
        .optional()?;
    let refused = |code, message: &str| Ok(Answer::refusal(StatusCode::CONFLICT, code, message));
    match (movement.kind, state.as_deref()) {
        (Kind::Authorise, None) if movement.declined => {
            insert(tx, movement, "declined")?;
            let status = StatusCode::PAYMENT_REQUIRED;
            Ok(Answer::refusal(status, "card_declined", "the card was declined"))
        }
        (Kind::Authorise, None) => {
            insert(tx, movement, "authorised")?;
            enter(tx, movement)?;
            answer(tx, &movement.order)
        }
        (Kind::Authorise, Some("declined" | "voided" | "refunded")) => {
            refused("payment_closed", "the payment of this order is closed")
        }
        (Kind::Authorise, Some(_)) => refused("payment_exists", "this order has a payment already"),
        // A note, so that an authorisation that comes late is refused.
        (Kind::Void | Kind::Refund, None) => {
            insert(tx, movement, "voided")?;
            answer(tx, &movement.order)
        }
        (Kind::Void, Some("captured")) => {
            refused("captured", "the payment was captured; refund it")
        }
        (Kind::Void | Kind::Refund, Some("authorised")) => {
            enter(tx, &Movement::of(movement.order.clone(), Kind::Void))?;
            set_state(tx, &movement.order, "voided")
        }
        (Kind::Refund, Some("captured")) => {
            enter(tx, movement)?;
            set_state(tx, &movement.order, "refunded")
        }
        (Kind::Void | Kind::Refund, Some(_)) => answer(tx, &movement.order),
        (Kind::Capture, Some("authorised")) => {
            enter(tx, movement)?;
            set_state(tx, &movement.order, "captured")
        }
        (Kind::Capture, Some("captured")) => answer(tx, &movement.order),
        (Kind::Capture, _) => refused("not_authorised", "there is no authorisation to capture"),
    }
}

fn insert(tx: &Transaction<'_>, movement: &Movement, state: &str) -> rusqlite::Result<()> {
    tx.prepare_cached(
        "INSERT INTO payments (order_id, state, amount_cents, card, authorisation) VALUES (?, ?, ?, ?, ?)",
    )?
    .execute(params![
        movement.order,
        state,
        i64::try_from(movement.amount_cents.unwrap_or(0)).unwrap_or(i64::MAX),
        movement.card,
        movement.authorisation
    ])?;
    Ok(())
}

fn set_state(tx: &Transaction<'_>, order: &str, state: &str) -> rusqlite::Result<Answer> {
    tx.prepare_cached("UPDATE payments SET state = ? WHERE order_id = ?")?
        .execute([state, order])?;
    answer(tx, order)
}

/// A movement of the amount that the order's payment has.
fn enter(tx: &Transaction<'_>, movement: &Movement) -> rusqlite::Result<()> {
    tx.prepare_cached(
        "INSERT INTO ledger (order_id, kind, amount_cents, at_ms)
         SELECT order_id, ?, amount_cents, ? FROM payments WHERE order_id = ?",
    )?
    .execute(params![movement.kind.name(), now_ms(), movement.order])?;
    Ok(())
}

fn answer(tx: &Transaction<'_>, order: &str) -> rusqlite::Result<Answer> {
    tx.prepare_cached("SELECT state, amount_cents, authorisation FROM payments WHERE order_id = ?")?
        .query_row([order], |row| {
            let (state, amount_cents, authorisation) = (row.get(0)?, row.get(1)?, row.get(2)?);
            let order_id = order.to_owned();
            let payment = Payment { order_id, state, amount_cents, authorisation };
            Ok(Answer::new(StatusCode::OK, json!(payment)))
        })
}

/// The newest entries, of one order or of all.
pub(super) fn entries(tx: &Transaction<'_>, order: Option<&str>) -> rusqlite::Result<Vec<Entry>> {
    let mut query = tx.prepare_cached(
        "SELECT order_id, kind, amount_cents, at_ms FROM ledger
         WHERE ?1 IS NULL OR order_id = ?1 ORDER BY number DESC LIMIT ?2",
    )?;
    let rows = query.query_map(params![order, SHOWN_MAX], |row| {
        let (order_id, kind) = (row.get(0)?, row.get(1)?);
        Ok(Entry { order_id, kind, amount_cents: row.get(2)?, at_ms: row.get(3)? })
    })?;
    rows.collect()
}

pub(super) fn account(tx: &Transaction<'_>) -> rusqlite::Result<Account> {
    let mut query = tx.prepare_cached(
        "SELECT order_id, sum(kind = 'capture'), sum(kind = 'refund')
         FROM ledger GROUP BY order_id ORDER BY order_id",
    )?;
    let mut account = Account::default();
    let mut rows = query.query([])?;
    while let Some(row) = rows.next()? {
        let (order, captures, refunds): (String, u32, u32) =
            (row.get(0)?, row.get(1)?, row.get(2)?);
        if captures > 1 || refunds > 1 {
            account.captured_twice.push(order.clone());
        }
        if refunds > captures {
            account.refunded_without_capture.push(order);
        } else if captures > refunds {
            account.charged.push(order);
        }
    }
    Ok(account)
}
