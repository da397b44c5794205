//! Payments: `POST /payments` authorises an amount on a card. The number of the card decides what happens, as with the
//! test cards of real processors, so that every failure can be had on purpose.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::json;
use service::http::ErrorResponse;
use service::semantics::{http, record};
use tracing::{info, warn};

use crate::call::elapsed_ms;
use crate::ids::Ids;

const PATH: &str = "/payments";

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
    pub(crate) ids: Arc<Ids>,
    /// When a slow processor is spoken of in the log, and when it answers: long after the caller gave up.
    pub(crate) slow_after: Duration,
    pub(crate) slow_for: Duration,
}

impl Payments {
    pub(crate) fn router(self) -> Router {
        Router::new().route(PATH, post(authorise)).with_state(Arc::new(self))
    }
}

async fn authorise(
    State(payments): State<Arc<Payments>>,
    Json(PaymentRequest { order_id, amount_cents, card, attempt }): Json<PaymentRequest>,
) -> Response {
    let began = Instant::now();
    let Payments { ids, slow_after, slow_for } = &*payments;
    let shown = card_shown(&card);
    let (order_id, shown) = (order_id.as_str(), shown.as_str());
    macro_rules! payment {
        ($level:ident, $($rest:tt)+) => {
            $level!(order_id, amount_cents, attempt, card = shown, $($rest)+)
        };
    }
    macro_rules! request {
        ($level:ident, $event:expr, $($rest:tt)+) => {
            payment!(
                $level,
                event_name = $event,
                { http::REQUEST_METHOD } = "POST",
                { http::URL_PATH } = PATH,
                $($rest)+
            )
        };
    }
    request!(info, http::SERVER_STARTED, "authorisation requested");
    if card == CARD_SLOW || (card == CARD_SLOW_ONCE && attempt == 1) {
        tokio::time::sleep(*slow_after).await;
        payment!(warn, duration_ms = elapsed_ms(began), "card processor is slow");
        // The caller gives up in here, and this request ends with its connection.
        tokio::time::sleep(*slow_for).await;
    } else {
        tokio::time::sleep(ids.delay(2..30)).await;
    }
    let duration_ms = elapsed_ms(began);
    if card == CARD_DECLINED {
        let (status, error_type) = (StatusCode::PAYMENT_REQUIRED, "card_declined");
        request!(
            warn,
            http::SERVER_COMPLETED,
            { http::RESPONSE_STATUS_CODE } = status.as_u16(),
            { record::ERROR_TYPE } = error_type,
            duration_ms,
            "card declined"
        );
        return ErrorResponse::new(status, error_type, "the card was declined").into_response();
    }
    let status = StatusCode::OK.as_u16();
    request!(
        info,
        http::SERVER_COMPLETED,
        { http::RESPONSE_STATUS_CODE } = status,
        duration_ms,
        "payment authorised"
    );
    Json(json!({"authorisation": ids.short("auth")})).into_response()
}

/// The last four digits; the rest of a card's number has no place in a log.
fn card_shown(card: &str) -> String {
    let tail = card.char_indices().rev().nth(3).map_or("", |(at, _)| &card[at..]);
    format!("…{tail}")
}
