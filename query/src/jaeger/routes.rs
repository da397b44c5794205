//! The routes. Each answers with one envelope, in the queue like a query, and writes it on the thread that found it.

use std::sync::Arc;

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, RawQuery, State};
use axum::response::Response;
use serde::Serialize;
use service::doors::{Access, Routes};
use service::principal::{Principal, Right};

use super::answers::{self, Envelope};
use super::parameters::{self, Given};
use crate::error::QueryError;
use crate::http::QueryApi;
use crate::memory::Account;
use crate::queries::Queries;

/// What stands behind a service in the path of its operations.
const OPERATIONS: &str = "/operations";

/// Adds the routes.
pub(crate) fn routes(routes: Routes<Arc<QueryApi>>) -> Routes<Arc<QueryApi>> {
    const QUERY: Access = Access::Right(Right::Query);
    let refused = answers::not_let_in;
    // Grafana takes the escapes out of a service before it asks, so that its name may be several parts of the path.
    routes
        .get("/api/services", QUERY, services)
        .worded(refused)
        .get("/api/services/{*service}", QUERY, operations_of_service)
        .worded(refused)
        .get("/api/operations", QUERY, operations)
        .worded(refused)
        .get("/api/traces", QUERY, traces)
        .worded(refused)
        .get("/api/traces/{id}", QUERY, trace)
        .worded(refused)
        .get("/api/dependencies", QUERY, dependencies)
        .worded(refused)
}

async fn services(State(api): State<Arc<QueryApi>>, principal: Principal) -> Response {
    let tenant = Arc::clone(&principal.tenant);
    let find = move |queries: &Queries, account: &Arc<Account>| {
        queries.services(&tenant, account).map(Envelope::counted)
    };
    answered(&api, &principal, Ok(find)).await
}

async fn operations_of_service(
    State(api): State<Arc<QueryApi>>,
    principal: Principal,
    path: Result<Path<String>, PathRejection>,
) -> Response {
    let tenant = Arc::clone(&principal.tenant);
    let find = path_of(path).and_then(|path| {
        let nothing = || QueryError::NotFound("there is only SERVICE/operations".to_owned());
        let service = path.strip_suffix(OPERATIONS).ok_or_else(nothing)?.to_owned();
        Ok(move |queries: &Queries, account: &Arc<Account>| {
            queries.operation_names(&tenant, &service, account).map(Envelope::counted)
        })
    });
    answered(&api, &principal, find).await
}

async fn operations(
    State(api): State<Arc<QueryApi>>,
    principal: Principal,
    RawQuery(query): RawQuery,
) -> Response {
    let tenant = Arc::clone(&principal.tenant);
    let find = Given::of(query.as_deref()).operations().map(|(service, kind)| {
        move |queries: &Queries, account: &Arc<Account>| {
            let found = queries.operations(&tenant, &service, kind.as_deref(), account);
            found.map(Envelope::counted)
        }
    });
    answered(&api, &principal, find).await
}

async fn traces(
    State(api): State<Arc<QueryApi>>,
    principal: Principal,
    RawQuery(query): RawQuery,
) -> Response {
    let tenant = Arc::clone(&principal.tenant);
    let find = Given::of(query.as_deref()).traces().map(|asked| {
        move |queries: &Queries, account: &Arc<Account>| match asked {
            parameters::Traces::Search(search) => {
                queries.search_traces(&tenant, &search, account).map(Envelope::new)
            }
            parameters::Traces::Ids(ids) => {
                let traces = queries.traces_of(&tenant, &ids, account)?;
                let missing = ids.iter().filter(|id| traces.list.iter().all(|it| it.id != **id));
                let missing = missing.map(ToString::to_string).collect();
                let partial = traces.partial.clone();
                Ok(Envelope::without(traces, missing, partial.as_deref()))
            }
        }
    });
    answered(&api, &principal, find).await
}

async fn trace(
    State(api): State<Arc<QueryApi>>,
    principal: Principal,
    path: Result<Path<String>, PathRejection>,
) -> Response {
    let tenant = Arc::clone(&principal.tenant);
    let find = path_of(path).and_then(|id| parameters::trace_id(&id)).map(|id| {
        move |queries: &Queries, account: &Arc<Account>| match queries.traces_of(
            &tenant,
            &[id],
            account,
        )? {
            traces if traces.list.is_empty() => Err(answers::not_found(traces.partial.as_deref())),
            traces => Ok(Envelope::new(traces)),
        }
    });
    answered(&api, &principal, find).await
}

async fn dependencies(
    State(api): State<Arc<QueryApi>>,
    principal: Principal,
    RawQuery(query): RawQuery,
) -> Response {
    let tenant = Arc::clone(&principal.tenant);
    let find = Given::of(query.as_deref()).dependencies().map(|time| {
        move |queries: &Queries, account: &Arc<Account>| {
            queries.dependencies(&tenant, time, account).map(Envelope::new)
        }
    });
    answered(&api, &principal, find).await
}

fn path_of(path: Result<Path<String>, PathRejection>) -> Result<String, QueryError> {
    let wrong =
        |error: PathRejection| QueryError::Parameter { name: "path", detail: error.body_text() };
    path.map(|Path(path)| path).map_err(wrong)
}

async fn answered<T: Serialize>(
    api: &Arc<QueryApi>,
    principal: &Principal,
    find: Result<
        impl FnOnce(&Queries, &Arc<Account>) -> Result<Envelope<T>, QueryError> + Send + 'static,
        QueryError,
    >,
) -> Response {
    let find = match find {
        Ok(find) => find,
        Err(error) => return answers::refused(&error),
    };
    let written = api.look(&principal.tenant, move |queries, account| {
        let envelope = find(queries, account)?;
        let mut body = serde_json::to_vec(&envelope).expect("only texts are keys of our types");
        body.push(b'\n');
        Ok(body)
    });
    match written.await {
        Ok(body) => answers::json(body),
        Err(error) => answers::refused(&error),
    }
}
