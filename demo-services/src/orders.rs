//! Orders: `POST /orders` looks whether the goods are there, adds up the price and has it paid. A payment that does not
//! answer in time is asked for once more.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use reqwest::{Client, Url};
use serde_json::{Value, json};
use service::http::ErrorResponse;

use crate::context::{Context, Ids};
use crate::gateway::{Checkout, Item};
use crate::log_file::{LogFile, elapsed_ms};

const ATTEMPTS_MAX: u32 = 2;

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
    pub(crate) log: LogFile,
    pub(crate) ids: Ids,
    pub(crate) client: Client,
    pub(crate) payments: Url,
    pub(crate) payment_timeout: Duration,
}

impl Orders {
    pub(crate) fn router(self) -> Router {
        Router::new().route("/orders", post(place)).with_state(Arc::new(self))
    }

    /// The price of all items in cents, if they are there.
    fn reserve(
        &self,
        context: &Context,
        order_id: &str,
        items: &[Item],
    ) -> Result<u64, ErrorResponse> {
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
                let fields =
                    json!({"order_id": order_id, "sku": sku, "quantity": quantity, "stock": stock});
                self.log.warn(context, "out of stock", fields);
                let message = format!("there are {stock} of {sku}, not {quantity}");
                return refuse(StatusCode::CONFLICT, "out_of_stock", message);
            }
            amount_cents += price_cents * u64::from(*quantity);
        }
        let fields =
            json!({"order_id": order_id, "items": items.len(), "amount_cents": amount_cents});
        self.log.info(context, "stock reserved", fields);
        Ok(amount_cents)
    }

    /// The authorisation of the amount.
    async fn pay(
        &self,
        context: &Context,
        order_id: &str,
        amount_cents: u64,
        card: &str,
    ) -> Result<Value, ErrorResponse> {
        for attempt in 1..=ATTEMPTS_MAX {
            let began = Instant::now();
            let mut fields =
                json!({"order_id": order_id, "amount_cents": amount_cents, "attempt": attempt});
            self.log.info(context, "payment requested", fields.clone());
            let mut request = fields.clone();
            request["card"] = card.into();
            let answer =
                context.post(&self.client, &self.payments, self.payment_timeout, &request).await;
            fields["duration_ms"] = elapsed_ms(began).into();
            let reason = match answer {
                Ok((StatusCode::OK, answer)) => return Ok(answer["authorisation"].clone()),
                Ok((status @ StatusCode::PAYMENT_REQUIRED, _)) => {
                    return refuse(status, "card_declined", "the card was declined");
                }
                Err(error) if error.is_timeout() => {
                    self.log.warn(context, "payment timed out", fields);
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

fn refuse<T>(
    status: StatusCode,
    code: &'static str,
    message: impl Into<String>,
) -> Result<T, ErrorResponse> {
    Err(ErrorResponse::new(status, code, message))
}

async fn place(
    State(orders): State<Arc<Orders>>,
    headers: HeaderMap,
    Json(Checkout { customer, items, card }): Json<Checkout>,
) -> Response {
    let began = Instant::now();
    let context = Context::of_request(&headers, &orders.ids);
    let order_id = orders.ids.short("o");
    let mut fields = json!({"order_id": order_id, "customer": customer});
    orders.log.info(&context, "order received", fields.clone());
    let outcome = async {
        let amount_cents = orders.reserve(&context, &order_id, &items)?;
        Ok((amount_cents, orders.pay(&context, &order_id, amount_cents, &card).await?))
    };
    let outcome = outcome.await;
    fields["duration_ms"] = elapsed_ms(began).into();
    match outcome {
        Ok((amount_cents, authorisation)) => {
            fields["amount_cents"] = amount_cents.into();
            orders.log.info(&context, "order confirmed", fields);
            let answer = json!({"order_id": order_id, "amount_cents": amount_cents, "authorisation": authorisation});
            (StatusCode::CREATED, Json(answer)).into_response()
        }
        Err(failure) => {
            let ErrorResponse { status, code, message, .. } = &failure;
            fields["http.response.status_code"] = status.as_u16().into();
            fields["error.type"] = (*code).into();
            fields["error.message"] = message.as_str().into();
            orders.log.error(&context, "order failed", fields);
            failure.into_response()
        }
    }
}
