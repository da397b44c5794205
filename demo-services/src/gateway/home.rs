//! `GET /api/v1/home`: the backend for a front end. One answer with what a page needs, asked of several services at
//! once; the part of one that is down or slow is missing, and the answer says so.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::Method;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use service::http::JsonLine;
use service::semantics::record;
use tracing::warn;

use super::doors::Asking;
use super::{Gateway, forward, routes};
use crate::kit::web::PRIVATE;

pub(super) const PATH: &str = "/api/v1/home";
/// A page waits no longer for any of its parts, whatever is tried again behind it.
const PART_TIMEOUT: Duration = Duration::from_secs(1);

/// A part of the page.
struct Part {
    name: &'static str,
    service: &'static str,
    /// `{me}` is whoever asks.
    path: &'static str,
    for_users: bool,
    /// What of the service's answer is shown.
    shown: fn(Value) -> serde_json::Result<Value>,
}

/// What is read of inventory's answer.
#[derive(Deserialize)]
struct Level {
    sku: String,
    on_hand: i64,
    reserved: i64,
}

static PARTS: [Part; 4] = [
    Part {
        name: "products",
        service: "catalog",
        path: "/api/v1/products?page=1&limit=6",
        for_users: false,
        shown: Ok,
    },
    Part {
        name: "in_stock",
        service: "inventory",
        path: "/api/v1/stock",
        for_users: false,
        shown: in_stock,
    },
    Part { name: "cart", service: "catalog", path: "/api/v1/cart", for_users: true, shown: Ok },
    Part {
        name: "profile",
        service: "users",
        path: "/api/v1/users/{me}",
        for_users: true,
        shown: Ok,
    },
];

pub(super) fn router() -> Router<Arc<Gateway>> {
    Router::new().route(PATH, get(home))
}

async fn home(State(gateway): State<Arc<Gateway>>, asking: Asking) -> Response {
    let parts = PARTS.iter().filter(|part| asking.user.is_some() || !part.for_users);
    let parts = parts.map(async |part| (part.name, gateway.part(part, &asking).await));
    let (mut page, mut missing) = (Map::new(), Vec::new());
    for (name, part) in futures_util::future::join_all(parts).await {
        let part = part.unwrap_or_else(|error| {
            warn!(part = name, { record::ERROR_TYPE } = error, "a part of the page is missing");
            missing.push(name);
            Value::Null
        });
        page.insert(name.to_owned(), part);
    }
    page.insert("missing".to_owned(), json!(missing));
    ([(header::CACHE_CONTROL, PRIVATE)], JsonLine(page)).into_response()
}

/// What can be had; how many there are is for who runs the shop.
fn in_stock(levels: Value) -> serde_json::Result<Value> {
    let levels: Vec<Level> = serde_json::from_value(levels)?;
    let there = levels.into_iter().filter(|level| level.on_hand > level.reserved);
    Ok(there.map(|level| level.sku).collect())
}

impl Gateway {
    /// A part, or what is wrong with it.
    async fn part(&self, part: &Part, asking: &Asking) -> Result<Value, &'static str> {
        let service = self.services.get(part.service).ok_or("no_service")?;
        let me = routes::encoded(asking.user.as_deref().unwrap_or_default());
        let path = part.path.replace("{me}", &me);
        let call = forward::call(Method::GET, &path, &HeaderMap::new(), Bytes::new(), asking);
        let answer =
            service.send(call.within(PART_TIMEOUT)).await.map_err(|error| error.error_type())?;
        if !answer.status.is_success() {
            return Err("refused");
        }
        let body = answer.json().map_err(|error| error.error_type())?;
        (part.shown)(body).map_err(|_| "bad_answer")
    }
}
