//! Payments: `POST /payments` authorises an amount on a card. The number of the card decides what happens, as with the
//! test cards of real processors, so that every failure can be had on purpose.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::json;
use service::http::ErrorResponse;

use crate::context::{Context, Ids};
use crate::log_file::{LogFile, elapsed_ms};

/// A card that is authorised, as is any that is not named here.
pub const CARD_GOOD: &str = "4000000000000077";
/// A card that is declined.
pub const CARD_DECLINED: &str = "4000000000000002";
/// A card whose first attempt takes too long, and whose second is authorised.
pub const CARD_SLOW_ONCE: &str = "4000000000000119";
/// A card whose every attempt takes too long.
pub const CARD_SLOW: &str = "4000000000000259";

#[derive(Debug, Deserialize)]
struct PaymentRequest {
    order_id: String,
    amount_cents: u64,
    card: String,
    /// From 1.
    attempt: u32,
}

#[derive(Debug)]
pub(crate) struct Payments {
    pub(crate) log: LogFile,
    pub(crate) ids: Ids,
    /// When a slow processor is spoken of in the log, and when it answers: long after the caller gave up.
    pub(crate) slow_after: Duration,
    pub(crate) slow_for: Duration,
}

impl Payments {
    pub(crate) fn router(self) -> Router {
        Router::new().route("/payments", post(authorise)).with_state(Arc::new(self))
    }
}

async fn authorise(
    State(payments): State<Arc<Payments>>,
    headers: HeaderMap,
    Json(PaymentRequest { order_id, amount_cents, card, attempt }): Json<PaymentRequest>,
) -> Response {
    let began = Instant::now();
    let Payments { log, ids, slow_after, slow_for } = &*payments;
    let context = Context::of_request(&headers, ids);
    let mut fields = json!({
        "order_id": order_id, "amount_cents": amount_cents, "attempt": attempt, "card": card_shown(&card),
    });
    log.info(&context, "authorisation requested", fields.clone());
    if card == CARD_SLOW || (card == CARD_SLOW_ONCE && attempt == 1) {
        tokio::time::sleep(*slow_after).await;
        fields["duration_ms"] = elapsed_ms(began).into();
        log.warn(&context, "card processor is slow", fields.clone());
        // The caller gives up in here, and this request ends with its connection.
        tokio::time::sleep(*slow_for).await;
    } else {
        tokio::time::sleep(ids.delay(2..30)).await;
    }
    fields["duration_ms"] = elapsed_ms(began).into();
    if card == CARD_DECLINED {
        fields["error.type"] = "card_declined".into();
        log.warn(&context, "card declined", fields);
        let message = "the card was declined";
        return ErrorResponse::new(StatusCode::PAYMENT_REQUIRED, "card_declined", message)
            .into_response();
    }
    log.info(&context, "payment authorised", fields);
    Json(json!({"authorisation": ids.short("auth")})).into_response()
}

/// The last four digits; the rest of a card's number has no place in a log.
fn card_shown(card: &str) -> String {
    let tail = card.char_indices().rev().nth(3).map_or("", |(at, _)| &card[at..]);
    format!("…{tail}")
}
