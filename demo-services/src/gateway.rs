//! The gateway: the door of the shop. `POST /checkout` begins the interaction, hands it to orders, and tells the caller
//! how it ended.

use std::sync::Arc;
use std::time::Instant;

use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use axum::http::StatusCode;
use axum::routing::post;
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use service::semantics::{http, record};
use tracing::{error, info, warn};

use crate::call::{Peer, elapsed_ms};

const PATH: &str = "/checkout";

/// What a customer wants, and how it is paid.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub(crate) struct Checkout {
    pub(crate) customer: String,
    pub(crate) items: Vec<Item>,
    pub(crate) card: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub(crate) struct Item {
    pub(crate) sku: String,
    pub(crate) quantity: u32,
}

#[derive(Debug)]
pub(crate) struct Gateway {
    pub(crate) orders: Peer,
}

impl Gateway {
    pub(crate) fn router(self) -> Router {
        Router::new().route(PATH, post(checkout)).with_state(Arc::new(self))
    }
}

/// A line about the request as such.
macro_rules! request {
    ($level:ident, $event:expr, $($rest:tt)+) => {
        $level!(
            event_name = $event,
            { http::REQUEST_METHOD } = "POST",
            { http::URL_PATH } = PATH,
            $($rest)+
        )
    };
}

async fn checkout(
    State(gateway): State<Arc<Gateway>>,
    body: Result<Json<Checkout>, JsonRejection>,
) -> (StatusCode, Json<Value>) {
    let began = Instant::now();
    let customer = body.as_ref().ok().map(|checkout| checkout.customer.clone());
    let customer = customer.as_deref();
    request!(info, http::SERVER_STARTED, customer, "checkout received");
    let failure = |code, message| json!({"error": {"code": code, "message": message}});
    let (status, answer) = match body {
        Ok(Json(checkout)) => gateway.orders.post(1, &checkout).await.unwrap_or_else(|error| {
            (StatusCode::BAD_GATEWAY, failure("orders_unreachable", error.to_string()))
        }),
        Err(refusal) => (refusal.status(), failure("bad_request", refusal.body_text())),
    };
    let duration_ms = elapsed_ms(began);
    macro_rules! ended {
        ($level:ident, $($rest:tt)+) => {
            request!(
                $level,
                http::SERVER_COMPLETED,
                customer,
                { http::RESPONSE_STATUS_CODE } = status.as_u16(),
                duration_ms,
                $($rest)+
            )
        };
    }
    macro_rules! failed {
        ($level:ident) => {
            ended!(
                $level,
                { record::ERROR_TYPE } = answer["error"]["code"].as_str(),
                { record::ERROR_MESSAGE } = answer["error"]["message"].as_str(),
                "checkout failed"
            )
        };
    }
    if status.is_success() {
        let order_id = answer["order_id"].as_str();
        let amount_cents = answer["amount_cents"].as_u64();
        ended!(info, order_id, amount_cents, "checkout completed");
    } else if status.is_server_error() {
        failed!(error);
    } else {
        failed!(warn);
    }
    (status, Json(answer))
}
