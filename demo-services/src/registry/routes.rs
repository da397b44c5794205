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

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::{DefaultBodyLimit, State};
use axum::http::{Method, StatusCode};
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use service::http::ErrorResponse;
use service::shutdown::Shutdown;
use tokio::time::{sleep, timeout};
use utoipa::{OpenApi, ToSchema};

use super::catalog::{Catalog, Listed, Snapshot, TooMany};
use crate::kit::directory::Instance;
use crate::kit::openapi::{self, ErrorBody, Route};
use crate::kit::request::{Asked, Body, Segment};

const BODY_BYTES_MAX: usize = 16 << 10;
/// Of names of services, instances and switches.
const NAME_BYTES_MAX: usize = 64;
const TAGS_MAX: usize = 8;
const TAG_KEY_BYTES_MAX: usize = 32;
const TAG_VALUE_BYTES_MAX: usize = 64;
/// The longest that an answer is held back.
const WAIT_MAX: Duration = Duration::from_secs(30);

#[derive(Clone, Debug)]
pub(super) struct Registry {
    catalog: Arc<Catalog>,
    stop: Shutdown,
}

#[derive(Serialize, ToSchema)]
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

#[derive(Serialize, ToSchema)]
struct Services {
    services: Vec<Instances>,
}

#[derive(Serialize, ToSchema)]
struct Instances {
    name: String,
    instances: Vec<Listed>,
}

#[derive(Serialize, ToSchema)]
struct Discovered {
    instances: Vec<Instance>,
}

#[derive(Serialize, ToSchema)]
struct Switches {
    switches: BTreeSet<String>,
}

#[derive(OpenApi)]
#[openapi(paths(
    openapi::document,
    register,
    heartbeat,
    deregister,
    services,
    discover,
    watch,
    switches,
    turn_on,
    turn_off,
))]
struct Document;

type Answer<T> = Result<T, ErrorResponse>;

pub(super) fn router(catalog: Arc<Catalog>, stop: Shutdown) -> Router {
    let description = "Instances of services, and failure switches.";
    let document = openapi::describe(Document::openapi(), "registry", description);
    let router = openapi::router(routes(), Registry { catalog, stop }, &document);
    router.layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
}

pub(super) fn routes() -> Vec<Route<Registry>> {
    vec![
        Route::new(Method::POST, "/api/v1/instances", register),
        Route::new(Method::DELETE, "/api/v1/instances/{id}", deregister),
        Route::new(Method::PUT, "/api/v1/instances/{id}/heartbeat", heartbeat),
        Route::new(Method::GET, "/api/v1/services", services),
        Route::new(Method::GET, "/api/v1/services/{name}", discover),
        Route::new(Method::GET, "/api/v1/watch", watch),
        Route::new(Method::GET, "/api/v1/switches", switches),
        Route::new(Method::PUT, "/api/v1/switches/{name}", turn_on),
        Route::new(Method::DELETE, "/api/v1/switches/{name}", turn_off),
    ]
}

#[utoipa::path(
    post, path = "/api/v1/instances", request_body = Instance,
    responses(
        (status = 201, description = "it is called from now on, as long as it says that it is there", body = Lease),
        (status = 400, description = "`bad_json`", body = ErrorBody),
        (status = 413, description = "`too_large`", body = ErrorBody),
        (status = 415, description = "`not_json`", body = ErrorBody),
        (status = 422, description = "`bad_field`, `bad_name` or `bad_tags`", body = ErrorBody),
        (status = 503, description = "`too_many_instances`", body = ErrorBody),
    ),
)]
async fn register(
    State(registry): State<Registry>,
    Body(instance): Body<Instance>,
) -> Answer<(StatusCode, Json<Lease>)> {
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

#[utoipa::path(
    put, path = "/api/v1/instances/{id}/heartbeat", params(("id" = String, Path)),
    responses(
        (status = 204, description = "its lease begins anew"),
        (status = 400, description = "`bad_path`", body = ErrorBody),
        (status = 404, description = "`unknown_instance`: it is to register again", body = ErrorBody),
    ),
)]
async fn heartbeat(State(registry): State<Registry>, Segment(id): Segment) -> Answer<StatusCode> {
    match registry.catalog.heartbeat(&id, Instant::now()) {
        true => Ok(StatusCode::NO_CONTENT),
        false => Err(unknown()),
    }
}

#[utoipa::path(
    delete, path = "/api/v1/instances/{id}", params(("id" = String, Path)),
    responses(
        (status = 204, description = "it is not called any more"),
        (status = 400, description = "`bad_path`", body = ErrorBody),
        (status = 404, description = "`unknown_instance`", body = ErrorBody),
    ),
)]
async fn deregister(State(registry): State<Registry>, Segment(id): Segment) -> Answer<StatusCode> {
    match registry.catalog.deregister(&id) {
        true => Ok(StatusCode::NO_CONTENT),
        false => Err(unknown()),
    }
}

#[utoipa::path(
    get, path = "/api/v1/services",
    responses(
        (status = 200, description = "all instances, healthy or not, by service", body = Services),
    ),
)]
async fn services(State(registry): State<Registry>) -> Json<Services> {
    let mut services = BTreeMap::<String, Vec<Listed>>::new();
    for listed in registry.catalog.list() {
        services.entry(listed.instance.service.clone()).or_default().push(listed);
    }
    let named = |(name, instances)| Instances { name, instances };
    Json(Services { services: services.into_iter().map(named).collect() })
}

#[utoipa::path(
    get, path = "/api/v1/services/{name}", params(("name" = String, Path), ("tag" = Option<Vec<String>>, Query, description = "`key:value`; all of them have to be there")),
    responses(
        (status = 200, description = "those that can be called", body = Discovered),
        (status = 400, description = "`bad_path`", body = ErrorBody),
        (status = 422, description = "`bad_tag`", body = ErrorBody),
    ),
)]
async fn discover(
    State(registry): State<Registry>,
    Segment(name): Segment,
    Asked(query): Asked<Vec<(String, String)>>,
) -> Answer<Json<Discovered>> {
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
    Ok(Json(Discovered { instances }))
}

#[utoipa::path(
    get, path = "/api/v1/watch", params(("revision" = Option<u64>, Query, description = "what the watcher knows; 0 for nothing"), ("wait_ms" = Option<u64>, Query, description = "at most 30 s")),
    responses(
        (status = 200, description = "the whole state, as soon as it is another one, or after the wait", body = Snapshot),
        (status = 400, description = "`bad_query`", body = ErrorBody),
    ),
)]
async fn watch(State(registry): State<Registry>, Asked(watch): Asked<Watch>) -> Json<Snapshot> {
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

#[utoipa::path(
    get, path = "/api/v1/switches",
    responses(
        (status = 200, description = "those that are on", body = Switches),
    ),
)]
async fn switches(State(registry): State<Registry>) -> Json<Switches> {
    Json(Switches { switches: registry.catalog.snapshot().switches })
}

#[utoipa::path(
    put, path = "/api/v1/switches/{name}", params(("name" = String, Path)),
    responses(
        (status = 200, description = "those that are on now", body = Switches),
        (status = 400, description = "`bad_path`", body = ErrorBody),
        (status = 409, description = "`too_many_switches`", body = ErrorBody),
        (status = 422, description = "`bad_name`", body = ErrorBody),
    ),
)]
async fn turn_on(registry: State<Registry>, name: Segment) -> Answer<Json<Switches>> {
    turn(registry, name, true).await
}

#[utoipa::path(
    delete, path = "/api/v1/switches/{name}", params(("name" = String, Path)),
    responses(
        (status = 200, description = "those that are on now", body = Switches),
        (status = 400, description = "`bad_path`", body = ErrorBody),
        (status = 422, description = "`bad_name`", body = ErrorBody),
    ),
)]
async fn turn_off(registry: State<Registry>, name: Segment) -> Answer<Json<Switches>> {
    turn(registry, name, false).await
}

async fn turn(
    State(registry): State<Registry>,
    Segment(name): Segment,
    on: bool,
) -> Answer<Json<Switches>> {
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
