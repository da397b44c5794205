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
use service::semantics::circuit_breaker;

use super::Gateway;
use crate::kit::client::{Dependency, Report};

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
    let seen = gateway.services.values().map(Dependency::report);
    let seen: Vec<_> = seen
        .map(|seen| (seen.instances > 0 && seen.breaker != circuit_breaker::STATE_OPEN, seen))
        .collect();
    let well = seen.iter().filter(|(is_well, _)| *is_well).count();
    let (code, status) = match well {
        0 => (StatusCode::SERVICE_UNAVAILABLE, "unhealthy"),
        all if all == seen.len() => (StatusCode::OK, "healthy"),
        _ => (StatusCode::OK, "degraded"),
    };
    let services: BTreeMap<_, _> = seen
        .into_iter()
        .map(|(is_well, Report { name, instances, breaker, .. })| {
            let status = if is_well { "healthy" } else { "unhealthy" };
            (name, json!({"status": status, "instances": instances, "breaker": breaker}))
        })
        .collect();
    (code, JsonLine(json!({"status": status, "services": services}))).into_response()
}
