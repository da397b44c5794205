//! The gateway: the one door of the shop. It knows who asks, how often one may ask, and who answers; it keeps what may
//! be kept, and its answers say nothing of what goes on inside.
//!
//! ```text
//! request ─▶ how often ([`limits`]) ─▶ who ([`doors`]) ─▶ route ([`routes`]) ─▶ kept? ([`cache`]) ─▶ forward ([`forward`])
//! ```
//!
//! Nothing of a request's headers goes through but what [`forward`] names, so that nobody outside can say who he is to a
//! service. `POST /checkout` ([`checkout`]) is an order, `GET /api/v1/home` ([`home`]) one answer out of several services.

mod cache;
mod checkout;
mod doors;
mod forward;
mod home;
mod limits;
mod openapi;
mod refusal;
mod routes;
mod settings;
mod status;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::{ConnectInfo, Request, State};
use axum::http::{HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use service::semantics::{http, record};
use service::telemetry::CORRELATION_HEADER;
use tower_http::cors::{Any, CorsLayer};
use tower_http::set_header::SetResponseHeaderLayer;
use tracing::{error, info, warn};

use self::cache::Cache;
use self::limits::Limits;
use self::refusal::{Refusal, Refused};
use self::settings::Settings;
use crate::idempotency;
use crate::kit::client::{Balance, Dependency, Policy};
use crate::kit::context::{Context, Service};
use crate::kit::identity::Keys;
use crate::kit::web::{self, elapsed_ms};

/// The services that it calls.
pub(crate) const CALLS: [&str; 6] =
    ["catalog", "inventory", "orders", "payments", "shipping", "users"];
/// An order waits for its saga.
const ORDERS_TIMEOUT: Duration = Duration::from_secs(15);
const CORRELATION: HeaderName = HeaderName::from_static(CORRELATION_HEADER);
/// How long pages of other origins may remember what they may do.
const CORS_AGE: Duration = Duration::from_secs(600);

/// What all requests share.
struct Gateway {
    settings: Settings,
    context: Context,
    keys: Keys,
    limits: Limits,
    cache: Cache,
    services: BTreeMap<&'static str, Dependency>,
}

/// # Errors
/// The key of tokens cannot be used.
pub(crate) async fn open(context: &Context) -> anyhow::Result<Service> {
    open_with(context, Settings::default())
}

fn open_with(context: &Context, settings: Settings) -> anyhow::Result<Service> {
    let keys = Keys::of_shop(&context.data)?;
    let services: BTreeMap<_, _> = CALLS
        .map(|name| {
            let policy = match name {
                "orders" => Policy { timeout: ORDERS_TIMEOUT, ..Policy::WRITES },
                "users" => Policy { balance: Balance::Random, ..Policy::READS },
                _ => Policy::READS,
            };
            (name, Dependency::new(context, name, policy))
        })
        .into();
    let dependencies = services.values().cloned().collect();
    let gateway = Arc::new(Gateway {
        cache: Cache::new(&context.metrics, &settings),
        limits: Limits::new(&settings),
        context: context.clone(),
        settings,
        keys,
        services,
    });
    let router = routes::router()
        .merge(checkout::router())
        .merge(home::router())
        .merge(status::router())
        .merge(openapi::router())
        .merge(crate::kit::health::route(context, dependencies).with_state(()))
        .fallback(async || Refused::from(web::no_route()))
        .method_not_allowed_fallback(async || Refused::from(web::wrong_method()))
        .layer(from_fn_with_state(Arc::clone(&gateway), through))
        .with_state(gateway)
        // Around the rest, so that pages of other origins can read refusals too.
        .layer(cors());
    Ok(Service { router: secured(router), ..Service::default() })
}

/// Every request but what browsers ask before theirs, which is answered around this: how often, who asks, and a line
/// about how it was answered.
async fn through(
    State(gateway): State<Arc<Gateway>>,
    mut request: Request,
    next: Next,
) -> Response {
    let began = Instant::now();
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let address = request.extensions().get::<ConnectInfo<SocketAddr>>().map(|at| at.0.ip());
    let caller = doors::caller_of(&gateway.keys, request.headers());
    let user = caller.as_ref().ok().and_then(|caller| caller.user.clone());
    // A token that is no good counts as well, for its address: else one could try as many as one likes.
    let admitted = gateway.limits.admit(&method, &path, user.as_deref(), address);
    let answer = match admitted.and_then(|admitted| Ok((admitted, caller?))) {
        Err(refused) => refused.into_response(),
        Ok((_under_way, caller)) => {
            request.extensions_mut().insert(caller);
            next.run(request).await
        }
    };
    tell(&method, &path, user.as_deref(), &answer, began);
    answer
}

impl Gateway {
    fn service(&self, name: &str) -> Result<&Dependency, Refused> {
        self.services.get(name).ok_or_else(|| {
            let message = "this part of the shop is not there";
            Refused::new(StatusCode::NOT_FOUND, "no_route", message)
        })
    }
}

fn tell(method: &Method, path: &str, user: Option<&str>, answer: &Response, began: Instant) {
    // The way of an order is told by itself.
    if answer.extensions().get::<checkout::Told>().is_some() {
        return;
    }
    let status = answer.status();
    let refusal = answer.extensions().get::<Refusal>();
    macro_rules! line {
        ($level:ident, $text:expr) => {
            $level!(
                event_name = http::SERVER_COMPLETED,
                { http::REQUEST_METHOD } = method.as_str(),
                // Somebody may have put anything there.
                { http::URL_PATH } = path.chars().take(256).collect::<String>(),
                { http::RESPONSE_STATUS_CODE } = status.as_u16(),
                { record::DURATION_MS } = elapsed_ms(began),
                { record::ERROR_TYPE } = refusal.map(|refusal| refusal.code.as_str()),
                { record::ERROR_MESSAGE } = refusal.map(|refusal| refusal.message.as_str()),
                user,
                $text
            )
        };
    }
    match status.as_u16() {
        500.. => line!(error, "request failed"),
        400.. => line!(warn, "request refused"),
        _ => line!(info, "request answered"),
    }
}

/// Pages of any origin may read, with a token that they were given; cookies mean nothing here.
fn cors() -> CorsLayer {
    let headers = [
        header::AUTHORIZATION,
        header::CONTENT_TYPE,
        header::IF_NONE_MATCH,
        idempotency::KEY,
        CORRELATION,
    ];
    let exposed =
        [header::ETAG, header::RETRY_AFTER, idempotency::REPLAYED, cache::X_CACHE, CORRELATION];
    CorsLayer::new()
        .allow_origin(Any)
        .allow_methods([Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE])
        .allow_headers(headers)
        .expose_headers(exposed)
        .max_age(CORS_AGE)
}

/// What browsers are told about every answer.
fn secured(router: Router) -> Router {
    let headers = [
        ("x-content-type-options", "nosniff"),
        ("x-frame-options", "DENY"),
        ("referrer-policy", "no-referrer"),
        ("content-security-policy", "default-src 'none'; frame-ancestors 'none'"),
    ];
    let router = headers.into_iter().fold(router, |router, (name, value)| {
        router.layer(SetResponseHeaderLayer::overriding(
            HeaderName::from_static(name),
            HeaderValue::from_static(value),
        ))
    });
    let control = HeaderValue::from_static("no-store");
    router.layer(SetResponseHeaderLayer::if_not_present(header::CACHE_CONTROL, control))
}
