//! `POST /checkout`: an order, from a guest or from somebody who is logged in. It begins the interaction, hands it to
//! orders, and tells how it ended.

use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use serde_json::Value;
use service::http::JsonLine;
use service::semantics::{http, record};
use tracing::{error, info, warn};

use super::doors::Asking;
use super::refusal::{Refusal, Refused, read_body};
use super::{Gateway, forward};
use crate::idempotency::{KEY, REPLAYED};
use crate::kit::client::Answer;
use crate::kit::identity::random_hex;
use crate::kit::web::elapsed_ms;

pub(super) const PATH: &str = "/checkout";
const CUSTOMER_CHARS_SHOWN: usize = 64;

/// On answers of requests that were told of already.
#[derive(Clone, Debug)]
pub(super) struct Told;

pub(super) fn router() -> Router<Arc<Gateway>> {
    Router::new().route(PATH, post(checkout))
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
    asking: Asking,
    request: Request,
) -> Response {
    let began = Instant::now();
    let headers = request.headers().clone();
    let body = read_body(request, gateway.settings.body_timeout).await;
    let order = body.and_then(|body| understood(&body));
    let customer = order.as_ref().ok().and_then(|order| order["customer"].as_str());
    let customer: Option<String> =
        customer.map(|customer| customer.chars().take(CUSTOMER_CHARS_SHOWN).collect());
    let (customer, user) = (customer.as_deref(), asking.user.as_deref());
    request!(info, http::SERVER_STARTED, customer, user, "checkout received");
    let placed = match order {
        Ok(order) => gateway.place(&order, &headers, &asking).await,
        Err(refused) => Err(refused),
    };
    let body = placed.as_ref().map_or(&Value::Null, |placed| &placed.body).clone();
    let mut response = placed.map_or_else(Refused::into_response, Placed::into_response);
    let status = response.status();
    let refusal = response.extensions().get::<Refusal>();
    macro_rules! ended {
        ($level:ident, $text:expr) => {
            request!(
                $level,
                http::SERVER_COMPLETED,
                customer,
                user,
                { http::RESPONSE_STATUS_CODE } = status.as_u16(),
                { record::DURATION_MS } = elapsed_ms(began),
                { record::ERROR_TYPE } = refusal.map(|refusal| refusal.code.as_str()),
                { record::ERROR_MESSAGE } = refusal.map(|refusal| refusal.message.as_str()),
                order_id = body["order_id"].as_str(),
                amount_cents = body["amount_cents"].as_u64(),
                $text
            )
        };
    }
    match status.as_u16() {
        202 => ended!(info, "checkout is under way"),
        200..300 => ended!(info, "checkout completed"),
        500.. => ended!(error, "checkout failed"),
        _ => ended!(warn, "checkout failed"),
    }
    response.extensions_mut().insert(Told);
    response
}

fn understood(body: &[u8]) -> Result<Value, Refused> {
    serde_json::from_slice(body).map_err(|error| {
        let message = format!("this is no JSON: {error}");
        Refused::new(StatusCode::BAD_REQUEST, "bad_json", message)
    })
}

/// What orders made of an order: it is on its way, or there is a reason why not.
struct Placed {
    status: StatusCode,
    body: Value,
    replayed: Option<HeaderValue>,
    refusal: Option<Refusal>,
}

impl Placed {
    /// What went wrong behind the door is said in words of ours.
    fn of(answer: &Answer) -> Result<Self, Refused> {
        let mut status = answer.status;
        let mut body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        let refusal = match Refusal::of(&body) {
            _ if status.is_success() => None,
            None => return Err(forward::failed(status.as_u16())),
            refusal => refusal,
        };
        let (mapped, message) = match refusal.as_ref().map_or("", |refusal| &refusal.code) {
            "step_timeout" => (
                StatusCode::GATEWAY_TIMEOUT,
                "the order did not come through in time; nothing was charged",
            ),
            "step_failed" => {
                (StatusCode::BAD_GATEWAY, "the order could not be carried out; nothing was charged")
            }
            "manual_intervention" => (
                StatusCode::INTERNAL_SERVER_ERROR,
                "something went wrong; a person is looking at it",
            ),
            // It did not become an order.
            _ if status.is_server_error() => return Err(forward::failed(status.as_u16())),
            _ => (status, ""),
        };
        if !message.is_empty() {
            body["error"]["message"] = message.into();
        }
        status = mapped;
        let replayed = answer.headers.get(REPLAYED).cloned();
        Ok(Self { status, body, replayed, refusal })
    }
}

impl IntoResponse for Placed {
    fn into_response(self) -> Response {
        let mut response = (self.status, JsonLine(self.body)).into_response();
        response.headers_mut().extend(self.replayed.map(|value| (REPLAYED, value)));
        if let Some(refusal) = self.refusal {
            response.extensions_mut().insert(refusal);
        }
        response
    }
}

impl Gateway {
    async fn place(
        &self,
        order: &Value,
        headers: &HeaderMap,
        asking: &Asking,
    ) -> Result<Placed, Refused> {
        let body = Bytes::from(order.to_string());
        let call = forward::call(Method::POST, "/api/v1/orders", headers, body, asking);
        let call = match headers.get(KEY) {
            Some(key) => call.header(KEY, key.clone()),
            // So that it is placed once, however often the call is tried. It cannot be another's key.
            None => call.idempotency_key(&random_hex(16)),
        };
        let answer = self.service("orders")?.send(call).await;
        Placed::of(&answer.map_err(|error| forward::refused(&error))?)
    }
}
