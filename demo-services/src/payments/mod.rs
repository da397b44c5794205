//! Payments: authorises amounts on cards, captures them, voids and refunds. Its database is its own, and so is its ledger,
//! in which every movement stands once.
//!
//! ```text
//!            authorise              capture              refund
//!  (nothing) ─────────▶ authorised ─────────▶ captured ─────────▶ refunded
//!      │ void                │ void
//!      └────────▶ voided ◀───┘            declined: the card was refused
//! ```
//!
//! Voiding or refunding what was never there is done too, and makes a note: an authorisation that comes late is refused.
//! The number of the card decides what happens, as with the test cards of real processors.
//!
//! Failure switches: `declined-cards` declines every card; `late-commit` does what it is asked, and answers too late;
//! `failing-refunds` refunds nothing.

mod ledger;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use service::http::JsonLine;
use service::semantics::record;
use tracing::{info, warn};

use self::ledger::Movement;
use crate::idempotency::{self, Answer, Key, once};
use crate::kit::context::{Context, Service};
use crate::kit::database::Database;
use crate::kit::rows::{self, Row};
use crate::kit::web::{Trouble, elapsed_ms, understood};

/// A card that is authorised, as is any that is not named here.
pub const CARD_GOOD: &str = "4000000000000077";
/// A card that is declined.
pub const CARD_DECLINED: &str = "4000000000000002";
/// A card whose first try takes too long, and whose second is authorised.
pub const CARD_SLOW_ONCE: &str = "4000000000000119";
/// A card whose every try takes too long.
pub const CARD_SLOW: &str = "4000000000000259";

/// Orders whose card was slow once that are remembered.
const SLOW_MAX: usize = 1_000;

/// What an authorisation needs.
#[derive(Clone, Debug, Deserialize, Serialize)]
struct Authorise {
    order_id: String,
    amount_cents: u64,
    card: String,
}

#[derive(Debug)]
struct Payments {
    context: Context,
    database: Database,
    slow: Mutex<VecDeque<String>>,
}

#[derive(Debug, Deserialize)]
struct OfOrder {
    order: Option<String>,
}

pub(crate) async fn open(context: &Context) -> anyhow::Result<Service> {
    let file = context.data.join("payments.db");
    let database = Database::open(&file, &[ledger::TABLES, idempotency::TABLE])?;
    let payments = Payments { context: context.clone(), database, slow: Mutex::default() };
    let router = Router::new()
        .route("/api/v1/authorisations", post(authorise))
        .route("/api/v1/authorisations/{order}/void", post(void))
        .route("/api/v1/authorisations/{order}/capture", post(capture))
        .route("/api/v1/authorisations/{order}/refund", post(refund))
        .route("/api/v1/ledger", get(ledger_of))
        .route("/api/v1/account", get(account))
        .with_state(Arc::new(payments));
    Ok(Service { router, ..Service::default() })
}

impl Payments {
    /// Waits as a slow processor does, past the time that the caller has.
    async fn process(&self, order: &str, card: &str) {
        let is_slow = match card {
            CARD_SLOW => true,
            CARD_SLOW_ONCE => self.is_first_try(order),
            _ => false,
        };
        if !is_slow {
            return tokio::time::sleep(self.context.ids.delay(2..30)).await;
        }
        let began = Instant::now();
        tokio::time::sleep(self.context.step_timeout / 2).await;
        let duration_ms = elapsed_ms(began);
        warn!(order_id = order, duration_ms, "card processor is slow");
        // The caller gives up in here, and the request ends with its connection.
        tokio::time::sleep(self.context.step_timeout * 2).await;
    }

    fn is_first_try(&self, order: &str) -> bool {
        let mut slow = self.slow.lock().unwrap_or_else(PoisonError::into_inner);
        if slow.iter().any(|known| known == order) {
            return false;
        }
        if slow.len() == SLOW_MAX {
            slow.pop_front();
        }
        slow.push_back(order.to_owned());
        true
    }

    /// Moves money once, tells of it, and answers, too late if that switch is on.
    async fn moved(&self, key: Key, movement: Movement) -> Result<Response, Trouble> {
        let (began, told) = (Instant::now(), movement.clone());
        let request = movement.fingerprint();
        let answer = once(&self.database, key, request, move |tx| ledger::apply(tx, &movement));
        let answer = answer.await?;
        if !answer.replayed {
            tell(&told, &answer, began);
            if self.context.directory.is_on("late-commit") {
                warn!(order_id = told.order, "answer is held back after the commit");
                tokio::time::sleep(self.context.step_timeout * 2).await;
            }
        }
        Ok(answer.into_response())
    }
}

fn tell(movement: &Movement, answer: &Answer, began: Instant) {
    let Movement { order, kind, amount_cents, card, .. } = movement;
    let duration_ms = elapsed_ms(began);
    match answer.code() {
        None => {
            info!(
                order_id = order,
                amount_cents,
                card,
                duration_ms,
                authorisation = answer.body["authorisation"].as_str(),
                "{}",
                kind.told()
            );
            rows::changed(Row {
                database: "payments",
                table: "payments",
                operation: kind.operation(),
                key: order,
                state: answer.body["state"].as_str(),
                message: None,
            });
        }
        Some(code) => warn!(
            order_id = order,
            amount_cents,
            card,
            duration_ms,
            { record::ERROR_TYPE } = code,
            { record::ERROR_MESSAGE } = answer.body["error"]["message"].as_str(),
            "{}",
            if code == "card_declined" { "card declined" } else { "payment refused" }
        ),
    }
}

async fn authorise(
    State(payments): State<Arc<Payments>>,
    key: Key,
    body: Result<Json<Authorise>, JsonRejection>,
) -> Result<Response, Trouble> {
    let Authorise { order_id, amount_cents, card } = understood(body)?;
    info!(order_id, amount_cents, card = card_shown(&card), "authorisation requested");
    payments.process(&order_id, &card).await;
    let declined = card == CARD_DECLINED || payments.context.directory.is_on("declined-cards");
    let authorisation = payments.context.ids.short("auth");
    let movement =
        Movement::authorise(order_id, amount_cents, card_shown(&card), authorisation, declined);
    payments.moved(key, movement).await
}

async fn void(
    State(payments): State<Arc<Payments>>,
    Path(order): Path<String>,
    key: Key,
) -> Result<Response, Trouble> {
    payments.moved(key, Movement::of(order, ledger::Kind::Void)).await
}

async fn capture(
    State(payments): State<Arc<Payments>>,
    Path(order): Path<String>,
    key: Key,
) -> Result<Response, Trouble> {
    payments.moved(key, Movement::of(order, ledger::Kind::Capture)).await
}

async fn refund(
    State(payments): State<Arc<Payments>>,
    Path(order): Path<String>,
    key: Key,
) -> Result<Response, Trouble> {
    if payments.context.directory.is_on("failing-refunds") {
        return Err(Trouble::unavailable("refunds_down", "refunds are not possible at the moment"));
    }
    payments.moved(key, Movement::of(order, ledger::Kind::Refund)).await
}

async fn ledger_of(
    State(payments): State<Arc<Payments>>,
    Query(OfOrder { order }): Query<OfOrder>,
) -> Result<Response, Trouble> {
    let entries = payments.database.run(move |tx| ledger::entries(tx, order.as_deref())).await?;
    Ok((StatusCode::OK, JsonLine(entries)).into_response())
}

async fn account(State(payments): State<Arc<Payments>>) -> Result<Response, Trouble> {
    let account = payments.database.run(ledger::account).await?;
    Ok(JsonLine(account).into_response())
}

/// The last four digits; the rest of a card's number has no place in a log or a database.
pub(crate) fn card_shown(card: &str) -> String {
    let tail = card.char_indices().rev().nth(3).map_or("", |(at, _)| &card[at..]);
    format!("…{tail}")
}
