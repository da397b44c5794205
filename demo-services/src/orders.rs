//! Orders: `POST /orders` looks whether the goods are there, adds up the price and has it paid. A payment that does not
//! answer in time is asked for once more. An order is a saga of two steps, and is told as one.

use std::sync::Arc;
use std::time::Instant;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use serde_json::{Value, json};
use service::http::ErrorResponse;
use service::semantics::{http, record, retry, saga};
use tracing::{error, info, warn};

use crate::call::{Peer, elapsed_ms};
use crate::gateway::{Checkout, Item};
use crate::ids::Ids;

const ATTEMPTS_MAX: u32 = 2;

const SAGA: &str = "place-order";
/// Names and numbers of the steps.
const RESERVE: (&str, u32) = ("reserve-stock", 1);
const AUTHORISE: (&str, u32) = ("authorise-payment", 2);

/// What the shop sells: the name, the price in cents, and how many one order can have. Selling does not lower that: what
/// becomes of an order depends on the order alone, so that a seed gives the same outcomes however orders overlap.
pub(crate) const PRODUCTS: [(&str, u64, u32); 6] = [
    ("teapot", 3_450, 3),
    ("cup", 890, 24),
    ("saucer", 540, 24),
    ("oolong-100g", 1_290, 40),
    ("sencha-100g", 1_150, 40),
    ("kettle", 7_900, 5),
];

#[derive(Debug)]
pub(crate) struct Orders {
    pub(crate) ids: Arc<Ids>,
    pub(crate) payments: Peer,
}

/// A line about an order as a whole.
macro_rules! order {
    ($level:ident, $event:expr, $order_id:expr, $($rest:tt)+) => {
        $level!(
            event_name = $event,
            { saga::NAME } = SAGA,
            { saga::ID } = $order_id,
            order_id = $order_id,
            $($rest)+
        )
    };
}

/// A line about one of its steps.
macro_rules! step {
    ($level:ident, $event:expr, $step:expr, $order_id:expr, $($rest:tt)+) => {
        order!(
            $level,
            $event,
            $order_id,
            { saga::STEP_NAME } = $step.0,
            { saga::STEP_NUMBER } = $step.1,
            $($rest)+
        )
    };
}

impl Orders {
    pub(crate) fn router(self) -> Router {
        Router::new().route("/orders", post(place)).with_state(Arc::new(self))
    }

    /// The authorisation of the amount.
    async fn pay(
        &self,
        order_id: &str,
        amount_cents: u64,
        card: &str,
    ) -> Result<Value, ErrorResponse> {
        for attempt in 1..=ATTEMPTS_MAX {
            let began = Instant::now();
            step!(
                info,
                saga::STEP_STARTED,
                AUTHORISE,
                order_id,
                amount_cents,
                attempt,
                "payment requested"
            );
            let request = json!({"order_id": order_id, "amount_cents": amount_cents, "attempt": attempt, "card": card});
            let reason = match self.payments.post(attempt, &request).await {
                Ok((StatusCode::OK, answer)) => return Ok(answer["authorisation"].clone()),
                Ok((status @ StatusCode::PAYMENT_REQUIRED, _)) => {
                    return refuse(status, "card_declined", "the card was declined");
                }
                Err(error) if error.is_timeout() => {
                    step!(
                        warn,
                        saga::STEP_FAILED,
                        AUTHORISE,
                        order_id,
                        amount_cents,
                        attempt,
                        duration_ms = elapsed_ms(began),
                        { record::ERROR_TYPE } = "timeout",
                        // Absent after the last one: there is none to come.
                        { retry::DELAY_MS } = (attempt < ATTEMPTS_MAX).then_some(0),
                        "payment timed out"
                    );
                    continue;
                }
                Ok((status, _)) => format!("payments answered {status}"),
                Err(error) => error.to_string(),
            };
            return refuse(StatusCode::BAD_GATEWAY, "payment_failed", reason);
        }
        let message = "the payment did not come through in time";
        refuse(StatusCode::GATEWAY_TIMEOUT, "payment_timeout", message)
    }
}

/// The price of all items in cents, if they are there.
fn reserve(order_id: &str, items: &[Item]) -> Result<u64, ErrorResponse> {
    if items.is_empty() {
        return refuse(StatusCode::UNPROCESSABLE_ENTITY, "no_items", "the order has no items");
    }
    let mut amount_cents = 0;
    for Item { sku, quantity } in items {
        let product = PRODUCTS.iter().find(|(name, ..)| name == sku);
        let Some((_, price_cents, stock)) = product.filter(|_| *quantity > 0) else {
            let message = format!("the shop cannot sell {quantity} of {sku:?}");
            return refuse(StatusCode::UNPROCESSABLE_ENTITY, "bad_item", message);
        };
        if quantity > stock {
            let error_type = "out_of_stock";
            step!(
                warn,
                saga::STEP_FAILED,
                RESERVE,
                order_id,
                { record::ERROR_TYPE } = error_type,
                sku,
                quantity,
                stock,
                "out of stock"
            );
            let message = format!("there are {stock} of {sku}, not {quantity}");
            return refuse(StatusCode::CONFLICT, error_type, message);
        }
        amount_cents += price_cents * u64::from(*quantity);
    }
    let items = items.len();
    step!(info, saga::STEP_COMPLETED, RESERVE, order_id, items, amount_cents, "stock reserved");
    Ok(amount_cents)
}

fn refuse<T>(
    status: StatusCode,
    code: &'static str,
    message: impl Into<String>,
) -> Result<T, ErrorResponse> {
    Err(ErrorResponse::new(status, code, message))
}

async fn place(
    State(orders): State<Arc<Orders>>,
    Json(Checkout { customer, items, card }): Json<Checkout>,
) -> Response {
    let began = Instant::now();
    let order_id = orders.ids.short("o");
    let (order_id, customer) = (order_id.as_str(), customer.as_str());
    order!(
        info,
        saga::STARTED,
        order_id,
        { saga::STEP_COUNT } = AUTHORISE.1,
        customer,
        "order received"
    );
    let outcome = async {
        let amount_cents = reserve(order_id, &items)?;
        Ok((amount_cents, orders.pay(order_id, amount_cents, &card).await?))
    };
    let outcome = outcome.await;
    let duration_ms = elapsed_ms(began);
    match outcome {
        Ok((amount_cents, authorisation)) => {
            order!(
                info,
                saga::COMPLETED,
                order_id,
                customer,
                amount_cents,
                duration_ms,
                "order confirmed"
            );
            let answer = json!({"order_id": order_id, "amount_cents": amount_cents, "authorisation": authorisation});
            (StatusCode::CREATED, Json(answer)).into_response()
        }
        Err(failure) => {
            let ErrorResponse { status, code, message, .. }: &ErrorResponse = &failure;
            order!(
                error,
                saga::FAILED,
                order_id,
                customer,
                duration_ms,
                { http::RESPONSE_STATUS_CODE } = status.as_u16(),
                { record::ERROR_TYPE } = code,
                { record::ERROR_MESSAGE } = message,
                "order failed"
            );
            failure.into_response()
        }
    }
}
