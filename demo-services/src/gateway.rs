//! The gateway: the door of the shop. `POST /checkout` begins the interaction, hands it to orders, and tells the caller
//! how it ended and under which correlation id.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse;
use axum::routing::post;
use axum::{Json, Router};
use reqwest::{Client, Url};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::context::{CORRELATION_HEADER, Context, Ids};
use crate::log_file::{LogFile, elapsed_ms};

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
    pub(crate) log: LogFile,
    pub(crate) ids: Ids,
    pub(crate) client: Client,
    pub(crate) orders: Url,
    pub(crate) orders_timeout: Duration,
}

impl Gateway {
    pub(crate) fn router(self) -> Router {
        Router::new().route("/checkout", post(checkout)).with_state(Arc::new(self))
    }
}

async fn checkout(
    State(gateway): State<Arc<Gateway>>,
    headers: HeaderMap,
    body: Result<Json<Checkout>, JsonRejection>,
) -> impl IntoResponse {
    let began = Instant::now();
    let Gateway { log, ids, client, orders, orders_timeout } = &*gateway;
    let context = Context::of_request(&headers, ids);
    let customer = body.as_ref().ok().map(|checkout| checkout.customer.clone());
    let fields =
        json!({"customer": customer, "http.request.method": "POST", "url.path": "/checkout"});
    log.info(&context, "checkout received", fields);
    let failure = |code, message| json!({"error": {"code": code, "message": message}});
    let (status, answer) = match body {
        Ok(Json(checkout)) => {
            context.post(client, orders, *orders_timeout, &checkout).await.unwrap_or_else(|error| {
                (StatusCode::BAD_GATEWAY, failure("orders_unreachable", error.to_string()))
            })
        }
        Err(refusal) => (refusal.status(), failure("bad_request", refusal.body_text())),
    };
    let mut fields = json!({
        "customer": customer, "http.response.status_code": status.as_u16(), "duration_ms": elapsed_ms(began),
    });
    if status.is_success() {
        fields["order_id"] = answer["order_id"].clone();
        fields["amount_cents"] = answer["amount_cents"].clone();
        log.info(&context, "checkout completed", fields);
    } else {
        fields["error.type"] = answer["error"]["code"].clone();
        fields["error.message"] = answer["error"]["message"].clone();
        let write = if status.is_server_error() { LogFile::error } else { LogFile::warn };
        write(log, &context, "checkout failed", fields);
    }
    (status, [(CORRELATION_HEADER, context.correlation_id)], Json(answer))
}
