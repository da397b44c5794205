//! What the shop says of itself at its door: `GET /services`, who is there, and `GET /health`, whether all is well.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde_json::json;
use service::http::JsonLine;

use super::{CALLS, Gateway};

pub(super) const SERVICES: &str = "/services";
pub(super) const HEALTH: &str = "/health";

pub(super) fn router() -> Router<Arc<Gateway>> {
    Router::new().route(SERVICES, get(services)).route(HEALTH, get(health))
}

/// Which instances of each service can be called. Addresses are nobody's business.
async fn services(State(gateway): State<Arc<Gateway>>) -> Response {
    let mut services = BTreeMap::<String, Vec<String>>::new();
    for instance in gateway.context.directory.all() {
        services.entry(instance.service).or_default().push(instance.id);
    }
    JsonLine(services).into_response()
}

/// All that the gateway calls: `healthy`, `degraded` if something is missing, `unhealthy` if everything is.
async fn health(State(gateway): State<Arc<Gateway>>) -> Response {
    let seen: Vec<_> = CALLS
        .iter()
        .filter_map(|name| Some((*name, gateway.services.get(name)?.report())))
        .map(|(name, seen)| {
            let is_well = seen.instances > 0 && seen.breaker == "closed";
            (name, is_well, seen)
        })
        .collect();
    let well = seen.iter().filter(|(_, is_well, _)| *is_well).count();
    let (code, status) = match well {
        0 => (StatusCode::SERVICE_UNAVAILABLE, "unhealthy"),
        all if all == seen.len() => (StatusCode::OK, "healthy"),
        _ => (StatusCode::OK, "degraded"),
    };
    let services: BTreeMap<_, _> = seen
        .into_iter()
        .map(|(name, is_well, seen)| {
            let status = if is_well { "healthy" } else { "unhealthy" };
            (name, json!({"status": status, "instances": seen.instances, "breaker": seen.breaker}))
        })
        .collect();
    (code, JsonLine(json!({"status": status, "services": services}))).into_response()
}
