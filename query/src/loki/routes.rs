//! The routes. Each waits in the queue like a query, and writes its answer on the thread that found it.

use std::sync::Arc;
use std::time::Instant;

use axum::extract::{Path, Request as HttpRequest, State};
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
use crate::error::QueryError;
use crate::http::QueryApi;
use crate::memory::Account;
use crate::queries::Queries;

/// Lines that are looked at for their fields where nothing is said.
const SAMPLE_DEFAULT: usize = 100;
/// Fields of an answer.
const FIELDS_DEFAULT: usize = 1_000;
/// Streams of an answer of volumes; 0 stands for it as well.
const VOLUMES_DEFAULT: usize = 100;
/// Which Loki's API this is.
const LOKI_VERSION: &str = "3.5.0";

/// Answers a request on a thread that may block; what it gives back is the body.
type Look = fn(&Request<'_>) -> Result<Vec<u8>, Refusal>;

/// Routes that look for something, by GET and by POST.
const LOOKS: [(&str, Look); 13] = [
    ("/loki/api/v1/query_range", query_range),
    ("/loki/api/v1/query", query),
    ("/loki/api/v1/labels", labels),
    ("/loki/api/v1/label", labels),
    ("/loki/api/v1/label/{name}/values", label_values),
    ("/loki/api/v1/series", series),
    ("/loki/api/v1/index/stats", index_stats),
    ("/loki/api/v1/index/volume", index_volume),
    ("/loki/api/v1/detected_labels", detected_labels),
    ("/loki/api/v1/detected_fields", detected_fields),
    ("/loki/api/v1/detected_field/{name}/values", detected_values),
    ("/loki/api/v1/patterns", patterns),
    ("/loki/api/v1/format_query", format_query),
];

/// What is asked, by whom, and what is there to answer it.
struct Request<'r> {
    queries: &'r Queries,
    account: &'r Arc<Account>,
    tenant: &'r str,
    given: &'r Given,
    /// What stands for `{name}` in the path.
    name: &'r str,
    /// Whether labels are to be told apart by where they come from.
    categorized: bool,
}

/// Adds the routes.
pub(crate) fn routes(routes: Routes<Arc<QueryApi>>) -> Routes<Arc<QueryApi>> {
    const QUERY: Access = Access::Right(Right::Query);
    let looking = |routes: Routes<Arc<QueryApi>>, (path, look): (&'static str, Look)| {
        let handler = move |State(api): State<Arc<QueryApi>>,
                            principal: Principal,
                            name: Option<Path<String>>,
                            request: HttpRequest| async move {
            let name = name.map(|Path(name)| name).unwrap_or_default();
            match answer(&api, &principal, name, request, look).await {
                Ok(body) => answers::json(body),
                Err(refusal) => refusal.into_response(),
            }
        };
        routes
            .get(path, QUERY, handler)
            .worded(answers::not_let_in)
            .post(path, QUERY, handler)
            .worded(answers::not_let_in)
    };
    LOOKS
        .into_iter()
        .fold(routes, looking)
        .get("/loki/api/v1/tail", QUERY, tail::tail)
        .worded(answers::not_let_in)
        .get("/loki/api/v1/drilldown-limits", QUERY, drilldown_limits)
        .worded(answers::not_let_in)
        .get("/loki/api/v1/status/buildinfo", QUERY, build_info)
        .worded(answers::not_let_in)
}

async fn answer(
    api: &QueryApi,
    principal: &Principal,
    name: String,
    request: HttpRequest,
    look: Look,
) -> Result<Vec<u8>, Refusal> {
    let categorized = answers::categorizes(request.headers());
    let given = Given::of_request(request).await?;
    let tenant = Arc::clone(&principal.tenant);
    let looked = api.look(&principal.tenant, move |queries, account| {
        let (tenant, given, name) = (&*tenant, &given, &*name);
        let request = Request { queries, account, tenant, given, name, categorized };
        look(&request).map_err(QueryError::from)
    });
    looked.await.map_err(Refusal::from)
}

fn query_range(request: &Request<'_>) -> Result<Vec<u8>, Refusal> {
    let Request { queries, account, tenant, given, categorized, .. } = *request;
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
}

fn query(request: &Request<'_>) -> Result<Vec<u8>, Refusal> {
    let Request { queries, account, tenant, given, .. } = *request;
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
}

fn labels(request: &Request<'_>) -> Result<Vec<u8>, Refusal> {
    let Request { queries, account, tenant, given, .. } = *request;
    let matchers = matchers(given.query())?;
    Ok(success(&queries.loki_labels(tenant, &matchers, &given.time()?, account)?))
}

fn label_values(request: &Request<'_>) -> Result<Vec<u8>, Refusal> {
    let Request { queries, account, tenant, given, name, .. } = *request;
    let matchers = matchers(given.query())?;
    Ok(success(&queries.loki_values(tenant, name, &matchers, given.time()?, account)?))
}

fn series(request: &Request<'_>) -> Result<Vec<u8>, Refusal> {
    let Request { queries, account, tenant, given, .. } = *request;
    let selectors = given.matches().map(matchers).collect::<Result<Vec<_>, _>>()?;
    let streams = queries.loki_streams(tenant, &selectors, given.time()?, account)?;
    let labels: Vec<Object<'_>> = streams.iter().map(|(labels, _)| Object(labels)).collect();
    Ok(success(&labels))
}

fn index_stats(request: &Request<'_>) -> Result<Vec<u8>, Refusal> {
    let Request { queries, account, tenant, given, .. } = *request;
    let matchers = matchers(given.query())?;
    Ok(body_of(&queries.loki_volume(tenant, matchers, given.time()?, account)?))
}

fn index_volume(request: &Request<'_>) -> Result<Vec<u8>, Refusal> {
    let Request { queries, account, tenant, given, .. } = *request;
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
}

fn detected_labels(request: &Request<'_>) -> Result<Vec<u8>, Refusal> {
    let Request { queries, account, tenant, given, .. } = *request;
    let matchers = matchers(given.query())?;
    let labels = queries.loki_detected_labels(tenant, &matchers, &given.time()?, account)?;
    Ok(body_of(&json!({ "detectedLabels": labels })))
}

/// Which lines are looked at for their fields.
fn sample<'r>(request: &Request<'r>) -> Result<Sample<'r>, Refusal> {
    let Request { tenant, given, .. } = *request;
    let limit = match given.number("limit", given.number("field_limit", FIELDS_DEFAULT)?)? {
        0 => FIELDS_DEFAULT,
        limit => limit,
    };
    Ok(Sample {
        tenant,
        query: given.query(),
        time: given.time()?,
        lines: given.number("line_limit", SAMPLE_DEFAULT)?.clamp(1, LINES_MAX),
        limit,
    })
}

fn detected_fields(request: &Request<'_>) -> Result<Vec<u8>, Refusal> {
    let sample = sample(request)?;
    let fields = request.queries.loki_detected_fields(&sample, request.account)?;
    Ok(body_of(&json!({ "fields": fields, "limit": sample.limit })))
}

fn detected_values(request: &Request<'_>) -> Result<Vec<u8>, Refusal> {
    let sample = sample(request)?;
    let values = request.queries.loki_detected_values(&sample, request.name, request.account)?;
    Ok(body_of(&json!({ "values": values, "limit": sample.limit })))
}

fn patterns(request: &Request<'_>) -> Result<Vec<u8>, Refusal> {
    let Request { queries, account, tenant, given, .. } = *request;
    let time = given.time()?;
    let step_ns = given.step(&time)?;
    Ok(success(&queries.loki_patterns(tenant, given.query(), time, step_ns, account)?))
}

fn format_query(request: &Request<'_>) -> Result<Vec<u8>, Refusal> {
    match logql::parse(request.given.query()) {
        Ok(query) => Ok(success(&query.to_string())),
        Err(fault) => Err(Refusal::invalid_query(&fault)),
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
