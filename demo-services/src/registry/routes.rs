//! The registry over HTTP, under `/api/v1`.
//!
//! ```text
//! POST   /instances                  an Instance; answers its lease       PUT     /switches/{name}   turns it on
//! PUT    /instances/{id}/heartbeat   404: register again                  DELETE  /switches/{name}   turns it off
//! DELETE /instances/{id}                                                  GET     /switches          those that are on
//! GET    /services                   all instances, healthy or not, by service
//! GET    /services/{name}            ?tag=key:value&…  those that can be called and have all the tags
//! GET    /watch                      ?revision=N&wait_ms=…  the state, once it is not that of N, or after the wait
//! ```

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::rejection::JsonRejection;
use axum::extract::{DefaultBodyLimit, Path, Query, State};
use axum::http::StatusCode;
use axum::routing::{get, post, put};
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use service::http::ErrorResponse;
use service::shutdown::Shutdown;
use tokio::time::{sleep, timeout};

use super::catalog::{Catalog, Listed, Snapshot, TooMany};
use crate::kit::directory::Instance;

const BODY_BYTES_MAX: usize = 16 << 10;
/// Of names of services, instances and switches.
const NAME_BYTES_MAX: usize = 64;
const TAGS_MAX: usize = 8;
const TAG_KEY_BYTES_MAX: usize = 32;
const TAG_VALUE_BYTES_MAX: usize = 64;
/// The longest that an answer is held back.
const WAIT_MAX: Duration = Duration::from_secs(30);

#[derive(Clone, Debug)]
struct Registry {
    catalog: Arc<Catalog>,
    stop: Shutdown,
}

#[derive(Serialize)]
struct Lease {
    lease_ms: u64,
    heartbeat_ms: u64,
}

#[derive(Deserialize)]
struct Watch {
    /// What the watcher knows; 0 for nothing.
    #[serde(default)]
    revision: u64,
    #[serde(default)]
    wait_ms: u64,
}

type Answer<T> = Result<T, ErrorResponse>;

pub(super) fn router(catalog: Arc<Catalog>, stop: Shutdown) -> Router {
    Router::new()
        .route("/api/v1/instances", post(register))
        .route("/api/v1/instances/{id}", axum::routing::delete(deregister))
        .route("/api/v1/instances/{id}/heartbeat", put(heartbeat))
        .route("/api/v1/services", get(services))
        .route("/api/v1/services/{name}", get(discover))
        .route("/api/v1/watch", get(watch))
        .route("/api/v1/switches", get(switches))
        .route("/api/v1/switches/{name}", put(turn_on).delete(turn_off))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .with_state(Registry { catalog, stop })
}

async fn register(
    State(registry): State<Registry>,
    body: Result<Json<Instance>, JsonRejection>,
) -> Answer<(StatusCode, Json<Lease>)> {
    let Json(instance) = body.map_err(|refusal| {
        ErrorResponse::new(refusal.status(), "bad_request", refusal.body_text())
    })?;
    sound(&instance)?;
    registry.catalog.register(instance, Instant::now()).map_err(|TooMany { max }| {
        let message = format!("the registry has {max} instances, which is all that it takes");
        ErrorResponse::new(StatusCode::SERVICE_UNAVAILABLE, "too_many_instances", message)
            .retry_after(registry.catalog.settings.lease)
    })?;
    let ms = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    let settings = &registry.catalog.settings;
    let lease = Lease { lease_ms: ms(settings.lease), heartbeat_ms: ms(settings.heartbeat) };
    Ok((StatusCode::CREATED, Json(lease)))
}

async fn heartbeat(State(registry): State<Registry>, Path(id): Path<String>) -> Answer<StatusCode> {
    match registry.catalog.heartbeat(&id, Instant::now()) {
        true => Ok(StatusCode::NO_CONTENT),
        false => Err(unknown()),
    }
}

async fn deregister(
    State(registry): State<Registry>,
    Path(id): Path<String>,
) -> Answer<StatusCode> {
    match registry.catalog.deregister(&id) {
        true => Ok(StatusCode::NO_CONTENT),
        false => Err(unknown()),
    }
}

async fn services(State(registry): State<Registry>) -> Json<Value> {
    let mut services = BTreeMap::<String, Vec<Listed>>::new();
    for listed in registry.catalog.list() {
        services.entry(listed.instance.service.clone()).or_default().push(listed);
    }
    let named = |(name, instances)| json!({"name": name, "instances": instances});
    Json(json!({"services": services.into_iter().map(named).collect::<Vec<_>>()}))
}

async fn discover(
    State(registry): State<Registry>,
    Path(name): Path<String>,
    Query(query): Query<Vec<(String, String)>>,
) -> Answer<Json<Value>> {
    let tags = query.iter().filter(|(key, _)| key == "tag").map(|(_, tag)| {
        tag.split_once(':')
            .ok_or_else(|| bad("bad_tag", format!("the tag {tag:?} is not of the form key:value")))
    });
    let tags = tags.collect::<Result<Vec<_>, _>>()?;
    let mut instances = registry.catalog.snapshot().instances;
    instances.retain(|instance| {
        let has =
            |(key, value): &(&str, &str)| instance.tags.get(*key).is_some_and(|is| is == value);
        instance.service == name && tags.iter().all(has)
    });
    Ok(Json(json!({"instances": instances})))
}

async fn watch(State(registry): State<Registry>, Query(watch): Query<Watch>) -> Json<Snapshot> {
    let Registry { catalog, stop } = registry;
    let mut revisions = catalog.revisions();
    let news = async {
        // Of another registry, which was here before: its instances have to come here first.
        let is_foreign = !(catalog.first..=*revisions.borrow()).contains(&watch.revision);
        if is_foreign && watch.revision > 0 {
            sleep(catalog.settings.settling.saturating_sub(catalog.began.elapsed())).await;
        }
        // Fails only if the catalog is gone, and that is here.
        let _ = revisions.wait_for(|revision| *revision != watch.revision).await;
    };
    tokio::select! {
        _ = timeout(Duration::from_millis(watch.wait_ms).min(WAIT_MAX), news) => {}
        () = stop.requested() => {}
    }
    Json(catalog.snapshot())
}

async fn switches(State(registry): State<Registry>) -> Json<Value> {
    Json(json!({"switches": registry.catalog.snapshot().switches}))
}

async fn turn_on(registry: State<Registry>, name: Path<String>) -> Answer<Json<Value>> {
    turn(registry, name, true).await
}

async fn turn_off(registry: State<Registry>, name: Path<String>) -> Answer<Json<Value>> {
    turn(registry, name, false).await
}

async fn turn(
    State(registry): State<Registry>,
    Path(name): Path<String>,
    on: bool,
) -> Answer<Json<Value>> {
    named("switch", &name)?;
    registry.catalog.turn(&name, on).map_err(|TooMany { max }| {
        let message = format!("{max} switches are on, which is all that the registry takes");
        ErrorResponse::new(StatusCode::CONFLICT, "too_many_switches", message)
    })?;
    Ok(switches(State(registry)).await)
}

fn unknown() -> ErrorResponse {
    let message = "no such instance is registered";
    ErrorResponse::new(StatusCode::NOT_FOUND, "unknown_instance", message)
        .hint("register it with POST /api/v1/instances")
}

fn bad(code: &'static str, message: String) -> ErrorResponse {
    ErrorResponse::new(StatusCode::UNPROCESSABLE_ENTITY, code, message)
}

/// Whether an instance is one that can be kept.
fn sound(instance: &Instance) -> Answer<()> {
    named("service", &instance.service)?;
    named("id", &instance.id)?;
    let fits = |(key, value): (&String, &String)| {
        (1..=TAG_KEY_BYTES_MAX).contains(&key.len())
            && !key.contains(':')
            && value.len() <= TAG_VALUE_BYTES_MAX
    };
    if instance.tags.len() > TAGS_MAX || !instance.tags.iter().all(fits) {
        let message = format!(
            "an instance has at most {TAGS_MAX} tags, with keys of 1 to {TAG_KEY_BYTES_MAX} bytes without a colon and \
             values of at most {TAG_VALUE_BYTES_MAX}"
        );
        return Err(bad("bad_tags", message));
    }
    Ok(())
}

fn named(what: &str, name: &str) -> Answer<()> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    let is_sound = (1..=NAME_BYTES_MAX).contains(&name.len())
        && name.bytes().all(is_plain)
        // Would be steps in a path.
        && !name.bytes().all(|byte| byte == b'.');
    match is_sound {
        true => Ok(()),
        false => Err(bad(
            "bad_name",
            format!("a {what} has a name of 1 to {NAME_BYTES_MAX} letters, digits, -, _ and ."),
        )),
    }
}
