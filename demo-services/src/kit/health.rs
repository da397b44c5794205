//! `GET /api/v1/health`: how an instance is, and what it knows of those whom it calls.
//!
//! The status is that of `/health/ready` in the words of the shop, and looks at dependencies besides: `checking` while
//! nothing was ever heard of one of them, `degraded` while a circuit breaker is open or one that was there is gone.
//! Nobody is called to find out.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use axum::extract::State;
use axum::routing::get;
use axum::{Json, Router};
use serde::Serialize;
use service::health::Status;
use service::semantics::circuit_breaker;

use super::client::{Dependency, Report};
use super::context::Context;

#[derive(Debug)]
struct Looked {
    context: Context,
    began: Instant,
    dependencies: Vec<Watched>,
}

#[derive(Debug)]
struct Watched {
    dependency: Dependency,
    /// There was an instance of it at some time.
    was_there: AtomicBool,
}

#[derive(Serialize)]
struct Answer {
    status: &'static str,
    service: &'static str,
    instance: String,
    version: &'static str,
    uptime_s: u64,
    dependencies: Vec<Report>,
}

/// The route, for a service that calls `dependencies`.
pub(crate) fn route(context: &Context, dependencies: Vec<Dependency>) -> Router {
    let watched = |dependency| Watched { dependency, was_there: AtomicBool::new(false) };
    let dependencies = dependencies.into_iter().map(watched).collect();
    let looked = Looked { context: context.clone(), began: Instant::now(), dependencies };
    Router::new().route("/api/v1/health", get(answer)).with_state(Arc::new(looked))
}

async fn answer(State(looked): State<Arc<Looked>>) -> Json<Answer> {
    let Looked { context, began, dependencies } = &*looked;
    let mut worst = Status::Ok;
    let mut is_checking = false;
    let reports = dependencies.iter().map(|watched| {
        let report = watched.dependency.report();
        let is_there = report.instances > 0;
        let was_there = watched.was_there.fetch_or(is_there, Ordering::Relaxed);
        // It was seen, or looked for.
        let is_missed = was_there || report.last_latency_ms.is_some();
        is_checking |= !is_there && !is_missed;
        if report.breaker == circuit_breaker::STATE_OPEN || (!is_there && is_missed) {
            worst = Status::Degraded;
        }
        report
    });
    let dependencies = reports.collect();
    let status = match context.health.status().max(worst) {
        Status::Ok if is_checking => "checking",
        Status::Ok => "healthy",
        Status::Degraded => "degraded",
        Status::Starting => "starting",
        Status::Failed => "unhealthy",
        Status::ShuttingDown => "shutting_down",
    };
    Json(Answer {
        status,
        service: context.service,
        instance: context.instance.clone(),
        version: env!("CARGO_PKG_VERSION"),
        uptime_s: began.elapsed().as_secs(),
        dependencies,
    })
}
