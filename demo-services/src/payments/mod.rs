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
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use axum::extract::State;
use axum::http::Method;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use service::http::{ErrorResponse, JsonLine};
use service::semantics::record;
use tracing::{info, warn};
use utoipa::{IntoParams, OpenApi, ToSchema};

use self::ledger::{Movement, Payment};
use crate::idempotency::{self, Answer, Key, once};
use crate::kit::card::card_shown;
use crate::kit::context::{Context, Service};
use crate::kit::database::Database;
use crate::kit::openapi::{self, ErrorBody, Route};
use crate::kit::request::{Asked, Body, Segment};
use crate::kit::rows::{self, Row};
use crate::kit::web::{elapsed_ms, unavailable};
use crate::switches;

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
#[derive(Clone, Debug, Deserialize, ToSchema)]
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

#[derive(Debug, Deserialize, IntoParams)]
struct OfOrder {
    /// Of this order alone.
    order: Option<String>,
}

#[derive(OpenApi)]
#[openapi(paths(openapi::document, authorise, void, capture, refund, ledger_of, account))]
struct Document;

pub(crate) async fn open(context: &Context) -> anyhow::Result<Service> {
    let file = context.data.join("payments.db");
    let database = Database::open(&file, &[ledger::TABLES, idempotency::TABLE]).await?;
    let payments = Payments { context: context.clone(), database, slow: Mutex::default() };
    let description = "Authorisations of amounts on cards, and the ledger.";
    let document = openapi::describe(Document::openapi(), "payments", description);
    let router = openapi::router(routes(), Arc::new(payments), &document);
    Ok(Service { router, ..Service::default() })
}

fn routes() -> Vec<Route<Arc<Payments>>> {
    vec![
        Route::new(Method::POST, "/api/v1/authorisations", authorise),
        Route::new(Method::POST, "/api/v1/authorisations/{order}/void", void),
        Route::new(Method::POST, "/api/v1/authorisations/{order}/capture", capture),
        Route::new(Method::POST, "/api/v1/authorisations/{order}/refund", refund),
        Route::new(Method::GET, "/api/v1/ledger", ledger_of),
        Route::new(Method::GET, "/api/v1/account", account),
    ]
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
    async fn moved(&self, key: Key, movement: Movement) -> Result<Response, ErrorResponse> {
        let (began, told) = (Instant::now(), movement.clone());
        let request = movement.fingerprint();
        let answer = once(&self.database, key, request, move |tx| ledger::apply(tx, &movement));
        let answer = answer.await?;
        if !answer.replayed {
            tell(&told, &answer, began);
            if self.context.directory.is_on(switches::LATE_COMMIT) {
                warn!(order_id = told.order, "answer is held back after the commit");
                tokio::time::sleep(self.context.step_timeout * 2).await;
            }
        }
        Ok(answer.into_response())
    }
}

fn tell(movement: &Movement, answer: &Answer, began: Instant) {
    let Movement { order, kind, .. } = movement;
    let (order_id, duration_ms) = (order, elapsed_ms(began));
    let card = Some(movement.card.as_str()).filter(|card| !card.is_empty());
    // What is captured, voided or refunded is what was authorised.
    let amount_cents = answer.body["amount_cents"].as_u64().or(movement.amount_cents);
    if let Some(code) = answer.code() {
        return warn!(
            order_id,
            amount_cents,
            card,
            duration_ms,
            { record::ERROR_TYPE } = code,
            { record::ERROR_MESSAGE } = answer.body["error"]["message"].as_str(),
            "{}",
            if code == "card_declined" { "card declined" } else { "payment refused" }
        );
    }
    let authorisation = answer.body["authorisation"].as_str();
    info!(order_id, amount_cents, card, duration_ms, authorisation, "{}", kind.told());
    let (database, table, operation) = ("payments", "payments", kind.operation());
    let (key, state) = (order.as_str(), answer.body["state"].as_str());
    rows::changed(Row { database, table, operation, key, state, ..Row::default() });
}

#[utoipa::path(
    post, path = "/api/v1/authorisations", request_body = Authorise,
    responses(
        (status = 200, description = "it is authorised, now or by an earlier request with this key", body = Payment),
        (status = 400, description = "`idempotency_key_missing` or `bad_json`", body = ErrorBody),
        (status = 402, description = "`card_declined`", body = ErrorBody),
        (status = 409, description = "`payment_exists` or `payment_closed`", body = ErrorBody),
        (status = 413, description = "`too_large`", body = ErrorBody),
        (status = 415, description = "`not_json`", body = ErrorBody),
        (status = 422, description = "`bad_field` or `idempotency_key_reused`", body = ErrorBody),
        (status = 503, description = "`busy`", body = ErrorBody),
    ),
)]
async fn authorise(
    State(payments): State<Arc<Payments>>,
    key: Key,
    Body(Authorise { order_id, amount_cents, card }): Body<Authorise>,
) -> Result<Response, ErrorResponse> {
    info!(order_id, amount_cents, card = card_shown(&card), "authorisation requested");
    payments.process(&order_id, &card).await;
    let declined =
        card == CARD_DECLINED || payments.context.directory.is_on(switches::DECLINED_CARDS);
    let authorisation = payments.context.ids.short("auth");
    let movement =
        Movement::authorise(order_id, amount_cents, card_shown(&card), authorisation, declined);
    payments.moved(key, movement).await
}

#[utoipa::path(
    post, path = "/api/v1/authorisations/{order}/void", params(("order" = String, Path)),
    responses(
        (status = 200, description = "it is voided, or there was nothing", body = Payment),
        (status = 400, description = "`idempotency_key_missing` or `bad_path`", body = ErrorBody),
        (status = 409, description = "`captured`", body = ErrorBody),
        (status = 422, description = "`idempotency_key_reused`", body = ErrorBody),
        (status = 503, description = "`busy`", body = ErrorBody),
    ),
)]
async fn void(
    State(payments): State<Arc<Payments>>,
    Segment(order): Segment,
    key: Key,
) -> Result<Response, ErrorResponse> {
    payments.moved(key, Movement::of(order, ledger::Kind::Void)).await
}

#[utoipa::path(
    post, path = "/api/v1/authorisations/{order}/capture", params(("order" = String, Path)),
    responses(
        (status = 200, description = "it is captured", body = Payment),
        (status = 400, description = "`idempotency_key_missing` or `bad_path`", body = ErrorBody),
        (status = 409, description = "`not_authorised`", body = ErrorBody),
        (status = 422, description = "`idempotency_key_reused`", body = ErrorBody),
        (status = 503, description = "`busy`", body = ErrorBody),
    ),
)]
async fn capture(
    State(payments): State<Arc<Payments>>,
    Segment(order): Segment,
    key: Key,
) -> Result<Response, ErrorResponse> {
    payments.moved(key, Movement::of(order, ledger::Kind::Capture)).await
}

#[utoipa::path(
    post, path = "/api/v1/authorisations/{order}/refund", params(("order" = String, Path)),
    responses(
        (status = 200, description = "it is refunded, or there was nothing", body = Payment),
        (status = 400, description = "`idempotency_key_missing` or `bad_path`", body = ErrorBody),
        (status = 422, description = "`idempotency_key_reused`", body = ErrorBody),
        (status = 503, description = "`busy` or `refunds_down`", body = ErrorBody),
    ),
)]
async fn refund(
    State(payments): State<Arc<Payments>>,
    Segment(order): Segment,
    key: Key,
) -> Result<Response, ErrorResponse> {
    if payments.context.directory.is_on(switches::FAILING_REFUNDS) {
        return Err(unavailable("refunds_down", "refunds are not possible at the moment"));
    }
    payments.moved(key, Movement::of(order, ledger::Kind::Refund)).await
}

#[utoipa::path(
    get, path = "/api/v1/ledger", params(OfOrder),
    responses(
        (status = 200, description = "the newest movements, at most 1,000", body = Vec<ledger::Entry>),
        (status = 400, description = "`bad_query`", body = ErrorBody),
        (status = 503, description = "`busy`", body = ErrorBody),
    ),
)]
async fn ledger_of(
    State(payments): State<Arc<Payments>>,
    Asked(OfOrder { order }): Asked<OfOrder>,
) -> Result<Response, ErrorResponse> {
    let entries = payments.database.run(move |tx| ledger::entries(tx, order.as_deref())).await?;
    Ok(JsonLine(entries).into_response())
}

#[utoipa::path(
    get, path = "/api/v1/account",
    responses(
        (status = 200, description = "what the checker of the shop looks at", body = ledger::Account),
        (status = 503, description = "`busy`", body = ErrorBody),
    ),
)]
async fn account(State(payments): State<Arc<Payments>>) -> Result<Response, ErrorResponse> {
    let account = payments.database.run(ledger::account).await?;
    Ok(JsonLine(account).into_response())
}
