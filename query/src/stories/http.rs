//! The routes of traces and stories. Each answers with one object, in the queue like a query.

use std::sync::Arc;

use axum::extract::{Path, Query, Request as HttpRequest, State};
use axum::response::{IntoResponse, Response};
use record::TraceId;
use serde::{Deserialize, Serialize};
use service::doors::{Access, Routes};
use service::principal::{Principal, Right};

use super::ROWS_DEFAULT;
use super::diff::Sides;
use crate::error::QueryError;
use crate::http::{QueryApi, refused};
use crate::memory::Account;
use crate::parameters;
use crate::queries::Queries;

/// Adds the routes.
pub(crate) fn routes(routes: Routes<Arc<QueryApi>>) -> Routes<Arc<QueryApi>> {
    const QUERY: Access = Access::Right(Right::Query);
    routes
        .get("/api/v1/traces/{id}", QUERY, trace)
        .get("/api/v1/correlations/{id}", QUERY, story)
        .get("/api/v1/stories", QUERY, stories)
        .post("/api/v1/stories", QUERY, stories)
        .get("/api/v1/diff", QUERY, diff)
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct View {
    /// Rows at most; of more the middle is left out.
    rows: Option<usize>,
}

/// A view, and why it is not whole.
#[derive(Serialize)]
struct Told<T> {
    complete: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    #[serde(flatten)]
    view: T,
}

impl<T> Told<T> {
    fn new((view, partial): (T, Option<String>)) -> Self {
        Self { complete: partial.is_none(), reason: partial, view }
    }
}

type Asked<T> = Result<Query<T>, axum::extract::rejection::QueryRejection>;

fn parameters_of<T>(asked: Asked<T>) -> Result<T, QueryError> {
    let wrong = |rejection: axum::extract::rejection::QueryRejection| QueryError::Parameter {
        name: "url",
        detail: rejection.body_text(),
    };
    asked.map(|Query(parameters)| parameters).map_err(wrong)
}

async fn trace(
    State(api): State<Arc<QueryApi>>,
    principal: Principal,
    Path(id): Path<String>,
    view: Asked<View>,
) -> Response {
    let tenant = Arc::clone(&principal.tenant);
    let asked = parameters_of(view).and_then(|view| {
        let detail = "is a trace id of 32 hex digits".to_owned();
        let trace = TraceId::from_hex(&id).ok_or(QueryError::Parameter { name: "id", detail })?;
        Ok((trace, view.rows.unwrap_or(ROWS_DEFAULT)))
    });
    let (trace, rows) = match asked {
        Ok(asked) => asked,
        Err(error) => return refused(error),
    };
    let tell = move |queries: &Queries, account: &Arc<Account>| {
        queries.trace(&tenant, trace, rows, account).map(Told::new)
    };
    answered(&api, &principal, tell).await
}

async fn story(
    State(api): State<Arc<QueryApi>>,
    principal: Principal,
    Path(id): Path<String>,
    view: Asked<View>,
) -> Response {
    let rows = match parameters_of(view) {
        Ok(view) => view.rows.unwrap_or(ROWS_DEFAULT),
        Err(error) => return refused(error),
    };
    let tenant = Arc::clone(&principal.tenant);
    let tell = move |queries: &Queries, account: &Arc<Account>| {
        queries.story(&tenant, &id, rows, account).map(Told::new)
    };
    answered(&api, &principal, tell).await
}

async fn stories(
    State(api): State<Arc<QueryApi>>,
    principal: Principal,
    request: HttpRequest,
) -> Response {
    let request = match parameters::read(request, &principal.tenant).await {
        Ok(request) => request,
        Err(error) => return refused(error),
    };
    let tell = move |queries: &Queries, account: &Arc<Account>| queries.stories(&request, account);
    answered(&api, &principal, tell).await
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Compared {
    query: String,
    other: String,
    since: Option<String>,
    until: Option<String>,
}

async fn diff(
    State(api): State<Arc<QueryApi>>,
    principal: Principal,
    compared: Asked<Compared>,
) -> Response {
    let Compared { query, other, since, until } = match parameters_of(compared) {
        Ok(compared) => compared,
        Err(error) => return refused(error),
    };
    let sides = Sides { tenant: principal.tenant.to_string(), query, other, since, until };
    let tell = move |queries: &Queries, account: &Arc<Account>| queries.difference(&sides, account);
    answered(&api, &principal, tell).await
}

async fn answered<T: Serialize + Send + 'static>(
    api: &Arc<QueryApi>,
    principal: &Principal,
    tell: impl FnOnce(&Queries, &Arc<Account>) -> Result<T, QueryError> + Send + 'static,
) -> Response {
    match api.look(&principal.tenant, tell).await {
        Ok(told) => axum::Json(told).into_response(),
        Err(error) => refused(error),
    }
}
