//! What the engine knows, over HTTP on a port of its own.
//!
//! | route | gives |
//! |---|---|
//! | `GET /api/v1/alerts` | alerts that are pending or firing |
//! | `GET /api/v1/incidents?limit=` | alerts that fired, the newest first |
//! | `GET /api/v1/notifications?limit=` | what was told to whom, and what waits |
//! | `GET`, `POST /api/v2/silences`, `DELETE /api/v2/silence/{id}` | silences, as Alertmanager has them |
//! | `POST /api/v1/reload`, `/-/reload` | reads the rules anew; with any fault the ones before stay |
//! | `GET /prometheus/api/v1/rules`, `…/alerts` | rules and alerts in the shape of Prometheus' HTTP API |

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use record::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};
use service::doors::{Access, Routes};
use service::http::ErrorResponse;
use service::principal::{Principal, Right};

use crate::engine::{Engine, RuleView};
use crate::incident::{fingerprint, named};
use crate::judge::{Alert, State as AlertState};
use crate::rules::{Kind, Rule};
use crate::silence::{Compiled, Silence};
use crate::state::StateError;

/// Listed where nobody says how many.
const LIMIT_DEFAULT: usize = 100;
const LIMIT_MAX: usize = 10_000;

type Answered = Result<Json<Value>, ErrorResponse>;
type Engines = State<Arc<Engine>>;

/// The routes of an engine.
pub fn routes(engine: &Arc<Engine>) -> Routes {
    const QUERY: Access = Access::Right(Right::Query);
    const ADMIN: Access = Access::Right(Right::Admin);
    Routes::new()
        .get("/api/v1/alerts", QUERY, alerts)
        .get("/api/v1/incidents", QUERY, incidents)
        .get("/api/v1/notifications", QUERY, notifications)
        .get("/api/v2/silences", QUERY, silences)
        .post("/api/v2/silences", ADMIN, make_silence)
        .delete("/api/v2/silence/{id}", ADMIN, end_silence)
        .post("/api/v1/reload", Access::Operator, reload)
        .post("/-/reload", Access::Operator, reload)
        .with_state(Arc::clone(engine))
        .merge(prometheus_routes(engine))
}

/// Those in the shape of Prometheus' API, which Grafana asks of the address of a data source of logs.
pub fn prometheus_routes(engine: &Arc<Engine>) -> Routes {
    const QUERY: Access = Access::Right(Right::Query);
    Routes::new()
        .get("/prometheus/api/v1/rules", QUERY, prometheus_rules)
        .get("/prometheus/api/v1/alerts", QUERY, prometheus_alerts)
        .with_state(Arc::clone(engine))
}

/// The rules, for those who may see what they are about: the engine's alerts are about the records of one tenant.
fn seen(engine: &Engine, principal: &Principal) -> Vec<RuleView> {
    if principal.sees(&engine.options.tenant) { engine.rules() } else { Vec::new() }
}

#[derive(Deserialize)]
struct Limit {
    limit: Option<usize>,
}

impl Limit {
    /// None for those who may not see what the engine's alerts are about.
    fn of(&self, engine: &Engine, principal: &Principal) -> usize {
        let limit = self.limit.unwrap_or(LIMIT_DEFAULT).min(LIMIT_MAX);
        if principal.sees(&engine.options.tenant) { limit } else { 0 }
    }
}

async fn alerts(State(engine): Engines, principal: Principal) -> Answered {
    let rules = seen(&engine, &principal);
    let alerts = rules.iter().flat_map(|rule| rule.alerts.iter().map(|alert| shown(rule, alert)));
    Ok(Json(json!({"alerts": alerts.collect::<Vec<_>>()})))
}

fn shown(rule: &RuleView, alert: &Alert) -> Value {
    json!({
        "state": alert.state,
        "labels": alert.labels,
        "values": alert.values,
        "correlations": alert.correlations,
        "filter": alert.filter,
        "active_at": time(alert.active_at),
        "fired_at": alert.fired_at.map(time),
        "group": rule.group,
        "fingerprint": fingerprint(&alert.labels),
    })
}

async fn incidents(
    State(engine): Engines,
    principal: Principal,
    Query(limit): Query<Limit>,
) -> Answered {
    let limit = limit.of(&engine, &principal);
    let incidents = blocking(move || engine.book.incidents(limit)).await?;
    let incidents = incidents.into_iter().map(|incident| {
        json!({
            "labels": incident.labels,
            "annotations": incident.annotations,
            "values": incident.values,
            "correlations": incident.correlations,
            "records": incident.records,
            "fired_at": time(incident.fired_at),
            "resolved_at": incident.resolved_at.map(time),
            "fingerprint": incident.fingerprint,
        })
    });
    Ok(Json(json!({"incidents": incidents.collect::<Vec<_>>()})))
}

async fn notifications(
    State(engine): Engines,
    principal: Principal,
    Query(limit): Query<Limit>,
) -> Answered {
    let limit = limit.of(&engine, &principal);
    let notifications = blocking(move || engine.book.newest_notifications(limit)).await?;
    let notifications = notifications.into_iter().map(|one| {
        json!({
            "idempotency_key": one.idempotency_key,
            "receiver": one.receiver,
            "group_key": one.group_key,
            "made_at": time(one.made_at),
            "tries": one.tries,
            "next_at": one.outcome.is_none().then_some(time(one.next_at)),
            "error": one.error,
            "state": one.outcome.as_deref().unwrap_or("waiting"),
        })
    });
    Ok(Json(json!({"notifications": notifications.collect::<Vec<_>>()})))
}

async fn silences(State(engine): Engines, principal: Principal) -> Answered {
    if !principal.sees(&engine.options.tenant) {
        return Ok(Json(json!([])));
    }
    let now = Timestamp::now().0;
    let silences = Compiled::all(blocking(move || engine.silences()).await?, now);
    Ok(Json(silences.iter().map(|silence| silence.shown(now)).collect()))
}

/// Who may look after the alerts of another tenant is an operator.
fn is_theirs(engine: &Engine, principal: &Principal) -> Result<(), ErrorResponse> {
    if principal.sees(&engine.options.tenant) {
        return Ok(());
    }
    let message = "the alerts of this process are about another tenant's records";
    Err(ErrorResponse::new(StatusCode::FORBIDDEN, "forbidden", message))
}

async fn make_silence(State(engine): Engines, principal: Principal, body: Bytes) -> Answered {
    is_theirs(&engine, &principal)?;
    let refused = |why: String| ErrorResponse::new(StatusCode::BAD_REQUEST, "silence", why);
    let silence: Silence =
        serde_json::from_slice(&body).map_err(|error| refused(error.to_string()))?;
    let compiled = Compiled::new(silence, Timestamp::now().0).map_err(refused)?;
    let id = blocking(move || engine.silence(&compiled)).await?;
    Ok(Json(json!({"silenceID": id})))
}

async fn end_silence(
    State(engine): Engines,
    principal: Principal,
    Path(id): Path<String>,
) -> Answered {
    is_theirs(&engine, &principal)?;
    let missing = format!("there is no silence {id} that goes on");
    match blocking(move || engine.end_silence(&id)).await? {
        true => Ok(Json(json!({}))),
        false => Err(ErrorResponse::new(StatusCode::NOT_FOUND, "not_found", missing)),
    }
}

async fn reload(State(engine): Engines) -> Answered {
    let reloaded = tokio::task::spawn_blocking(move || engine.reload()).await;
    match reloaded.unwrap_or_else(|error| Err(error.to_string())) {
        Ok(rules) => Ok(Json(json!({"rules": rules}))),
        Err(faults) => Err(ErrorResponse::new(StatusCode::BAD_REQUEST, "rules", faults)
            .hint("the rules before are judged on")),
    }
}

/// <https://prometheus.io/docs/prometheus/latest/querying/api/#rules>
async fn prometheus_rules(State(engine): Engines, principal: Principal) -> Answered {
    let mut groups: Vec<(String, i64, Vec<Value>)> = Vec::new();
    for rule in seen(&engine, &principal) {
        let shown = prometheus_rule(&rule);
        match groups.last_mut().filter(|(name, ..)| *name == rule.group) {
            Some((_, _, rules)) => rules.push(shown),
            None => groups.push((rule.group, rule.interval, vec![shown])),
        }
    }
    let groups = groups.into_iter().map(|(name, interval, rules)| {
        json!({"name": name, "file": "", "interval": interval as f64 / 1e9, "limit": 0, "rules": rules})
    });
    Ok(Json(json!({"status": "success", "data": {"groups": groups.collect::<Vec<_>>()}})))
}

fn prometheus_rule(view: &RuleView) -> Value {
    let RuleView { rule, alerts, last, .. } = view;
    let has = |state: AlertState| alerts.iter().any(|alert| alert.state == state);
    let state = match (has(AlertState::Firing), has(AlertState::Pending)) {
        (true, _) => "firing",
        (false, true) => "pending",
        (false, false) => "inactive",
    };
    let error = last.as_ref().and_then(|last| last.error.as_deref());
    let took = last.as_ref().map_or(Duration::ZERO, |last| last.took);
    json!({
        "type": "alerting",
        "name": rule.alert,
        "query": query_of(rule),
        "duration": rule.hold.as_secs_f64(),
        "keepFiringFor": rule.keep_firing_for.as_secs_f64(),
        "labels": rule.labels,
        "annotations": rule.annotations,
        "alerts": alerts.iter().map(prometheus_alert).collect::<Vec<_>>(),
        "state": state,
        "health": match (last, error) { (None, _) => "unknown", (_, Some(_)) => "err", _ => "ok" },
        "lastError": error.unwrap_or_default(),
        "evaluationTime": took.as_secs_f64(),
        "lastEvaluation": last.as_ref().map_or("0001-01-01T00:00:00Z".to_owned(), |last| time(last.at)),
    })
}

/// What it asks, in one line.
fn query_of(rule: &Rule) -> String {
    match &rule.kind {
        Kind::Query(query) => query.clone(),
        Kind::Absent { query, by, .. } => format!("absent({query}) by {}", by.join(", ")),
        Kind::Ratio { bad, total, above, .. } => format!("({bad}) / ({total}) > {above}"),
        Kind::Expect { after, then, within } => {
            format!("after ({after}) expect ({then}) within {within:?}")
        }
    }
}

async fn prometheus_alerts(State(engine): Engines, principal: Principal) -> Answered {
    let rules = seen(&engine, &principal);
    let alerts = rules.iter().flat_map(|rule| rule.alerts.iter().map(prometheus_alert));
    Ok(Json(json!({"status": "success", "data": {"alerts": alerts.collect::<Vec<_>>()}})))
}

fn prometheus_alert(alert: &Alert) -> Value {
    // Prometheus has one value; of several the first by name stands there, of none a 1.
    let value = alert.values.values().find_map(Value::as_f64).unwrap_or(1.0);
    json!({
        "labels": named(&alert.labels),
        "annotations": {},
        "state": alert.state,
        "activeAt": time(alert.active_at),
        "value": format!("{value:e}"),
    })
}

fn time(at: i64) -> String {
    Timestamp(at).to_string()
}

async fn blocking<T: Send + 'static>(
    read: impl FnOnce() -> Result<T, StateError> + Send + 'static,
) -> Result<T, ErrorResponse> {
    let failed =
        |error: String| ErrorResponse::new(StatusCode::INTERNAL_SERVER_ERROR, "state", error);
    let read =
        tokio::task::spawn_blocking(read).await.map_err(|error| failed(error.to_string()))?;
    read.map_err(|error| failed(error.to_string()))
}
