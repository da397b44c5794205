//! Whether the process is well, as a set of named checks that the roles keep up to date, and the routes that
//! tell: `/health/live`, `/health/ready`, `/metrics`.
//!
//! Live means that the process answers; ready means that it should be given work. A degraded process is
//! ready: what is wrong with it does not get better by sending the work elsewhere, and it says what is wrong: to who
//! looks after the process, where tokens tell who that is. Reasons and metrics may be about any tenant.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use axum::Extension;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use crate::doors::{Access, Routes};
use crate::http::JsonLine;
use crate::metrics::{CONTENT_TYPE, Metrics};
use crate::principal::Principal;

/// The state of one part of a process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "status", content = "reason", rename_all = "snake_case")]
pub enum Check {
    /// Not done with starting.
    Starting,
    /// Well.
    Ok,
    /// Works, but a person should look; with the reason.
    Degraded(String),
    /// Does not work; with the reason.
    Failed(String),
}

/// The state of the process as a whole: its worst check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// All checks are well.
    Ok,
    /// At least one is degraded.
    Degraded,
    /// At least one is still starting.
    Starting,
    /// At least one has failed.
    Failed,
    /// The process is about to end.
    ShuttingDown,
}

impl Status {
    /// Whether the process should be given work.
    pub fn is_ready(self) -> bool {
        matches!(self, Self::Ok | Self::Degraded)
    }
}

/// The checks of a process. Cheap to clone. Without any check it is well.
#[derive(Clone, Debug, Default)]
pub struct Health {
    state: Arc<Mutex<Checks>>,
}

#[derive(Debug, Default)]
struct Checks {
    shutting_down: bool,
    checks: BTreeMap<&'static str, Check>,
}

#[derive(Serialize)]
struct Answer<C = Check> {
    status: Status,
    checks: BTreeMap<&'static str, C>,
}

/// A check without its reason.
#[derive(Serialize)]
struct Bare {
    status: &'static str,
}

impl Answer {
    fn without_reasons(self) -> Answer<Bare> {
        let bare = |check: Check| Bare {
            status: match check {
                Check::Starting => "starting",
                Check::Ok => "ok",
                Check::Degraded(_) => "degraded",
                Check::Failed(_) => "failed",
            },
        };
        let checks = self.checks.into_iter().map(|(name, check)| (name, bare(check)));
        Answer { status: self.status, checks: checks.collect() }
    }
}

impl Health {
    /// No checks yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the state of a check, adding it if it is new. Changes are logged.
    pub fn set(&self, name: &'static str, check: Check) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let before = state.checks.insert(name, check.clone());
        drop(state);
        if before.as_ref() == Some(&check) {
            return;
        }
        match check {
            Check::Starting | Check::Ok => {
                tracing::info!(check = name, state = ?check, "health changed")
            }
            Check::Degraded(reason) => tracing::warn!(check = name, reason, "health degraded"),
            Check::Failed(reason) => tracing::error!(check = name, reason, "health failed"),
        }
    }

    /// From here on the process is not ready, so that whoever balances load goes elsewhere.
    pub fn begin_shutdown(&self) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).shutting_down = true;
    }

    /// The state of the process as a whole.
    pub fn status(&self) -> Status {
        self.answer().status
    }

    /// The state of one check.
    pub fn check(&self, name: &str) -> Option<Check> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).checks.get(name).cloned()
    }

    fn answer(&self) -> Answer {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let worst = state.checks.values().map(|check| match check {
            Check::Ok => Status::Ok,
            Check::Degraded(_) => Status::Degraded,
            Check::Starting => Status::Starting,
            Check::Failed(_) => Status::Failed,
        });
        let worst = worst.max().unwrap_or(Status::Ok);
        let status = if state.shutting_down { Status::ShuttingDown } else { worst };
        Answer { status, checks: state.checks.clone() }
    }
}

/// The three routes, to be merged with a role's own.
pub fn routes(health: Health, metrics: Metrics) -> Routes {
    Routes::new()
        .get("/health/live", Access::Open, live)
        .get("/health/ready", Access::Open, ready)
        .with_state(health.clone())
        .merge(
            Routes::new()
                .get("/metrics", Access::Operator, exposition)
                .with_state((health, metrics)),
        )
}

/// `/ready` in plain text, as clients of Loki ask for it.
pub fn plain_route(health: Health) -> Routes {
    Routes::new().get("/ready", Access::Open, plain).with_state(health)
}

async fn plain(State(health): State<Health>) -> (StatusCode, &'static str) {
    match health.answer().status.is_ready() {
        true => (StatusCode::OK, "ready\n"),
        false => (StatusCode::SERVICE_UNAVAILABLE, "not ready\n"),
    }
}

async fn live() -> Response {
    JsonLine(Answer::<Check> { status: Status::Ok, checks: BTreeMap::new() }).into_response()
}

async fn ready(State(health): State<Health>, principal: Option<Extension<Principal>>) -> Response {
    let answer = health.answer();
    let code =
        if answer.status.is_ready() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    match principal.is_some_and(|Extension(principal)| principal.is_operator()) {
        true => (code, JsonLine(answer)).into_response(),
        false => (code, JsonLine(answer.without_reasons())).into_response(),
    }
}

async fn exposition(State((health, metrics)): State<(Health, Metrics)>) -> Response {
    let answer = health.answer();
    metrics
        .gauge(
            "health_ok",
            "1 if all checks of /health/ready are well and the process is not about to end.",
        )
        .set(i64::from(answer.status == Status::Ok));
    let well = metrics.gauge_vec(
        "health_check_ok",
        "1 if a check of /health/ready is well; 0 if it is starting, degraded or failed. Some are made when there is something to tell.",
        &["check"],
    );
    for (name, check) in answer.checks {
        well.with_label_values(&[name]).set(i64::from(check == Check::Ok));
    }
    ([(header::CONTENT_TYPE, CONTENT_TYPE)], metrics.render()).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_check_speaks_for_the_process() {
        let health = Health::new();
        assert_eq!(health.status(), Status::Ok);
        health.set("journal", Check::Starting);
        assert!(!health.status().is_ready());
        health.set("journal", Check::Ok);
        health.set("disk", Check::Degraded("nearly full".into()));
        assert_eq!(health.status(), Status::Degraded);
        assert!(health.status().is_ready());
        health.set("index", Check::Failed("gone".into()));
        assert_eq!(health.status(), Status::Failed);
        health.begin_shutdown();
        assert_eq!(health.status(), Status::ShuttingDown);
        assert!(!health.status().is_ready());
    }
}
