//! The routes. Each waits in the queue like a query, and writes its answer on the thread that found it.

use std::sync::Arc;
use std::time::Instant;

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request as HttpRequest, State};
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use logql::ast::Expr;
use logql::metric::{Answer, Point, Series, Steps};
use ql::Filter;
use serde_json::json;
use service::doors::{Access, Routes};
use service::principal::{Principal, Right};

use super::answers::{self, Object, Refusal, body_of, success};
use super::detected::Sample;
use super::lines::Asked;
use super::parameters::Given;
use super::samples::Evaluated;
use super::streams::{Counted, Together, matchers};
use super::{LINES_MAX, SERIES_MAX, tail};
use crate::http::QueryApi;
use crate::memory::Account;
use crate::queries::Queries;

/// Lines that are looked at for their fields, and the most of them.
const SAMPLE_DEFAULT: usize = 100;
/// Fields of an answer.
const FIELDS_DEFAULT: usize = 1_000;
/// Streams of an answer of volumes; 0 stands for it as well.
const VOLUMES_DEFAULT: usize = 100;
/// Which Loki's API this is.
const LOKI_VERSION: &str = "3.5.0";

/// Adds the routes.
pub(crate) fn routes(routes: Routes<Arc<QueryApi>>) -> Routes<Arc<QueryApi>> {
    const QUERY: Access = Access::Right(Right::Query);
    macro_rules! ask {
        ($routes:expr, $($path:literal => $handler:expr),+ $(,)?) => {
            $routes$(
                .get(concat!("/loki/api/v1/", $path), QUERY, $handler)
                .worded(answers::not_let_in)
                .post(concat!("/loki/api/v1/", $path), QUERY, $handler)
                .worded(answers::not_let_in)
            )+
        };
    }
    ask!(routes,
        "query_range" => query_range,
        "query" => query,
        "labels" => labels,
        "label" => labels,
        "label/{name}/values" => label_values,
        "series" => series,
        "index/stats" => index_stats,
        "index/volume" => index_volume,
        "detected_labels" => detected_labels,
        "detected_fields" => detected_fields,
        "detected_field/{name}/values" => detected_values,
        "patterns" => patterns,
        "format_query" => format_query,
    )
    .get("/loki/api/v1/tail", QUERY, tail::tail)
    .worded(answers::not_let_in)
    .get("/loki/api/v1/drilldown-limits", QUERY, drilldown_limits)
    .worded(answers::not_let_in)
    .get("/loki/api/v1/status/buildinfo", QUERY, build_info)
    .worded(answers::not_let_in)
    .get("/ready", Access::Open, ready)
}

/// Looks on a thread that may block, and answers with what is written there.
async fn looked(
    api: &Arc<QueryApi>,
    principal: &Principal,
    look: impl FnOnce(&Queries, &str, &Arc<Account>) -> Result<Vec<u8>, Refusal> + Send + 'static,
) -> Response {
    let tenant = Arc::clone(&principal.tenant);
    let looked =
        api.look(&principal.tenant, move |queries, account| Ok(look(queries, &tenant, account)));
    match looked.await.map_err(Refusal::from).and_then(|body| body) {
        Ok(body) => answers::json(body),
        Err(refusal) => refusal.into_response(),
    }
}

/// The same with the parameters of the request.
async fn asked(
    api: Arc<QueryApi>,
    principal: Principal,
    request: HttpRequest,
    look: impl FnOnce(&Queries, &str, &Given, &Arc<Account>) -> Result<Vec<u8>, Refusal>
    + Send
    + 'static,
) -> Response {
    match Given::of_request(request).await {
        Ok(given) => {
            let look = move |queries: &Queries, tenant: &str, account: &Arc<Account>| {
                look(queries, tenant, &given, account)
            };
            looked(&api, &principal, look).await
        }
        Err(refusal) => refusal.into_response(),
    }
}

async fn query_range(
    State(api): State<Arc<QueryApi>>,
    principal: Principal,
    headers: HeaderMap,
    request: HttpRequest,
) -> Response {
    let categorized = answers::categorizes(&headers);
    asked(api, principal, request, move |queries, tenant, given, account| {
        let began = Instant::now();
        match logql::parse(given.query())? {
            Expr::Log(query) => {
                let asked = Asked {
                    tenant,
                    query: &query.node,
                    time: given.time()?,
                    limit: given.limit(true)?,
                    direction: given.direction()?,
                    also: Filter::All,
                };
                let found = queries.loki_lines(&asked, account)?;
                Ok(answers::of_lines(&found, categorized, began.elapsed()))
            }
            Expr::Metric(metric) => {
                given.limit(false)?;
                let steps = given.steps(&given.time()?)?;
                let evaluated = queries.loki_metric(tenant, &metric.node, &steps, account)?;
                Ok(answers::of_numbers(&evaluated, false, began.elapsed()))
            }
        }
    })
    .await
}

async fn query(
    State(api): State<Arc<QueryApi>>,
    principal: Principal,
    request: HttpRequest,
) -> Response {
    asked(api, principal, request, |queries, tenant, given, account| {
        let began = Instant::now();
        match logql::parse(given.query())? {
            Expr::Log(_) => Err(Refusal::bad_request(
                "log queries are not supported as an instant query type, please change your query to a range query type",
            )),
            Expr::Metric(metric) => {
                given.limit(false)?;
                let steps = Steps::instant(given.instant()?);
                let evaluated = queries.loki_metric(tenant, &metric.node, &steps, account)?;
                Ok(answers::of_numbers(&evaluated, true, began.elapsed()))
            }
        }
    })
    .await
}

async fn labels(
    State(api): State<Arc<QueryApi>>,
    principal: Principal,
    request: HttpRequest,
) -> Response {
    asked(api, principal, request, |queries, tenant, given, account| {
        let matchers = matchers(given.query())?;
        Ok(success(&queries.loki_labels(tenant, &matchers, &given.time()?, account)?))
    })
    .await
}

async fn label_values(
    State(api): State<Arc<QueryApi>>,
    principal: Principal,
    name: Result<Path<String>, PathRejection>,
    request: HttpRequest,
) -> Response {
    asked(api, principal, request, move |queries, tenant, given, account| {
        let matchers = matchers(given.query())?;
        let name = name_of(name)?;
        Ok(success(&queries.loki_values(tenant, &name, &matchers, given.time()?, account)?))
    })
    .await
}

fn name_of(path: Result<Path<String>, PathRejection>) -> Result<String, Refusal> {
    path.map(|Path(name)| name).map_err(|error| Refusal::bad_request(error.body_text()))
}

async fn series(
    State(api): State<Arc<QueryApi>>,
    principal: Principal,
    request: HttpRequest,
) -> Response {
    asked(api, principal, request, |queries, tenant, given, account| {
        let selectors = given.matches().map(matchers).collect::<Result<Vec<_>, _>>()?;
        let streams = queries.loki_streams(tenant, &selectors, given.time()?, account)?;
        let labels: Vec<Object<'_>> = streams.iter().map(|(labels, _)| Object(labels)).collect();
        Ok(success(&labels))
    })
    .await
}

async fn index_stats(
    State(api): State<Arc<QueryApi>>,
    principal: Principal,
    request: HttpRequest,
) -> Response {
    asked(api, principal, request, |queries, tenant, given, account| {
        let matchers = matchers(given.query())?;
        Ok(body_of(&queries.loki_volume(tenant, matchers, given.time()?, account)?))
    })
    .await
}

async fn index_volume(
    State(api): State<Arc<QueryApi>>,
    principal: Principal,
    request: HttpRequest,
) -> Response {
    asked(api, principal, request, |queries, tenant, given, account| {
        let began = Instant::now();
        let labels = given.text("targetLabels").unwrap_or_default().split(',');
        let labels = labels.map(str::trim).filter(|label| !label.is_empty());
        let limit = match given.number("limit", VOLUMES_DEFAULT)? {
            0 => VOLUMES_DEFAULT,
            limit => limit,
        };
        let together = Together {
            labels: labels.map(str::to_owned).collect(),
            names: given.text("aggregateBy") == Some("labels"),
            limit,
        };
        let time = given.time()?;
        let (matchers, end) = (matchers(given.query())?, time.end);
        let volumes = queries.loki_volumes(tenant, matchers, time, &together, account)?;
        let series = |(labels, bytes): Counted| Series {
            labels,
            points: vec![Point { time_ns: end, value: bytes as f64 }],
        };
        let answer = Answer::Series(volumes.into_iter().map(series).collect());
        let evaluated = Evaluated { answer, lines: 0, partial: None };
        Ok(answers::of_numbers(&evaluated, true, began.elapsed()))
    })
    .await
}

async fn detected_labels(
    State(api): State<Arc<QueryApi>>,
    principal: Principal,
    request: HttpRequest,
) -> Response {
    asked(api, principal, request, |queries, tenant, given, account| {
        let matchers = matchers(given.query())?;
        let labels = queries.loki_detected_labels(tenant, &matchers, &given.time()?, account)?;
        Ok(body_of(&json!({ "detectedLabels": labels })))
    })
    .await
}

/// Which lines are looked at for their fields.
fn sample<'g>(tenant: &'g str, given: &'g Given) -> Result<Sample<'g>, Refusal> {
    let limit = given.number("limit", given.number("field_limit", FIELDS_DEFAULT)?)?;
    Ok(Sample {
        tenant,
        query: given.query(),
        time: given.time()?,
        lines: given.number("line_limit", SAMPLE_DEFAULT)?.clamp(1, LINES_MAX),
        limit,
    })
}

async fn detected_fields(
    State(api): State<Arc<QueryApi>>,
    principal: Principal,
    request: HttpRequest,
) -> Response {
    asked(api, principal, request, |queries, tenant, given, account| {
        let sample = sample(tenant, given)?;
        let fields = queries.loki_detected_fields(&sample, account)?;
        Ok(body_of(&json!({ "fields": fields, "limit": sample.limit })))
    })
    .await
}

async fn detected_values(
    State(api): State<Arc<QueryApi>>,
    principal: Principal,
    name: Result<Path<String>, PathRejection>,
    request: HttpRequest,
) -> Response {
    asked(api, principal, request, move |queries, tenant, given, account| {
        let sample = sample(tenant, given)?;
        let values = queries.loki_detected_values(&sample, &name_of(name)?, account)?;
        Ok(body_of(&json!({ "values": values, "limit": sample.limit })))
    })
    .await
}

async fn patterns(
    State(api): State<Arc<QueryApi>>,
    principal: Principal,
    request: HttpRequest,
) -> Response {
    asked(api, principal, request, |queries, tenant, given, account| {
        let time = given.time()?;
        let step_ns = given.step(&time)?;
        Ok(success(&queries.loki_patterns(tenant, given.query(), time, step_ns, account)?))
    })
    .await
}

async fn format_query(request: HttpRequest) -> Response {
    let given = match Given::of_request(request).await {
        Ok(given) => given,
        Err(refusal) => return refusal.into_response(),
    };
    match logql::parse(given.query()) {
        Ok(query) => answers::json(success(&query.to_string())),
        Err(fault) => {
            let body = json!({ "status": "invalid-query", "error": fault.to_string() });
            let mut response = answers::json(body_of(&body));
            *response.status_mut() = axum::http::StatusCode::BAD_REQUEST;
            response
        }
    }
}

async fn drilldown_limits(State(api): State<Arc<QueryApi>>) -> Response {
    let timeout = api.queries.limits().deadline.as_nanos();
    let timeout = logql::print_duration(i64::try_from(timeout).unwrap_or(i64::MAX));
    answers::json(body_of(&json!({
        "limits": {
            "discover_log_levels": true,
            "discover_service_name": ["service_name"],
            "log_level_fields": ["detected_level", "level"],
            "max_entries_limit_per_query": LINES_MAX,
            "max_query_bytes_read": "0B",
            "max_query_length": "0s",
            "max_query_lookback": "0s",
            "max_query_range": "0s",
            "max_query_series": SERIES_MAX,
            "query_timeout": timeout,
            "retention_period": "0s",
            "volume_enabled": true,
            "volume_max_series": super::NAMES_MAX,
            "metric_aggregation_enabled": false,
            "pattern_persistence_enabled": false,
        },
        "pattern_ingester_enabled": true,
        "version": LOKI_VERSION,
    })))
}

async fn build_info() -> Response {
    answers::json(body_of(&json!({
        "version": LOKI_VERSION,
        "revision": option_env!("LOGQ_REVISION").unwrap_or("unknown"),
        "branch": format!("logq-{}", env!("CARGO_PKG_VERSION")),
        "buildUser": "",
        "buildDate": "",
        "goVersion": "",
    })))
}

async fn ready() -> &'static str {
    "ready\n"
}
