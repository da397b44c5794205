//! `POST /api/v1/delete`: hides the records that match at once, or with `dry_run` only says how many there are.
//! `GET /api/v1/deletes`, `GET /api/v1/deletes/{id}`: how far the tenant's deletes are, and the proof of those that
//! are done; `?verify=true` looks at all segments again.

use std::sync::Arc;

use axum::body::{Body, to_bytes};
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use record::{Timestamp, time_parameter};
use serde::{Deserialize, Serialize};
use serde_json::json;
use service::http::{ErrorResponse, JsonLine};
use service::principal::Principal;
use store::{DeleteRequest, DeleteStatus, Store, StoreError};

use crate::Collector;
use crate::refusal::Refusal;

/// Deletes counted at the same time, for each reads what may match; further ones wait.
pub(crate) const DELETES_MAX: usize = 2;
/// Longest body of a delete.
const BODY_BYTES_MAX: usize = 64 << 10;
/// Deletes listed if the caller does not say.
const LIST_DEFAULT: usize = 100;
/// Deletes listed at most.
const LIST_MAX: usize = 10_000;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    query: String,
    #[serde(default)]
    since: Option<String>,
    #[serde(default)]
    until: Option<String>,
    #[serde(default)]
    dry_run: bool,
}

/// The answer to a request that is refused.
type Refused = Box<Response>;

/// A delete and how far it is, as the API tells it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeleteReport {
    /// Its name.
    pub id: u64,
    /// `hidden` until the last of its records is gone from the disk, then `done`.
    pub state: String,
    /// Whose records.
    pub tenant: String,
    /// `logs` or `spans`.
    pub signal: String,
    /// Which of them.
    pub query: String,
    /// From when; `None` is since ever.
    pub since: Option<String>,
    /// Until when; `None` is without an end.
    pub until: Option<String>,
    /// When it was made.
    pub created_at: String,
    /// When it was done.
    pub done_at: Option<String>,
    /// Records of the tenant and these times that could be found before.
    pub rows_before: Option<u64>,
    /// Records that it hid.
    pub rows_hidden: Option<u64>,
    /// Records that are gone from the disk.
    pub rows_removed: u64,
    /// Records that match in segments and parts, hidden or not; only if it was asked to verify.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rows_left: Option<u64>,
    /// Segments written again without them.
    pub segments_rewritten: u64,
    /// Segments of which nothing was left.
    pub segments_dropped: u64,
    /// Segments that may have some of them still.
    pub segments_left: u64,
    /// Why it does not get on.
    pub trouble: Option<String>,
}

impl From<DeleteStatus> for DeleteReport {
    fn from(status: DeleteStatus) -> Self {
        let done = status.is_done();
        let DeleteStatus { delete, segments_left, trouble } = status;
        let time = |nanos: i64| Timestamp(nanos).to_string();
        let (since, until) = delete.time;
        Self {
            id: delete.id,
            state: if done { "done" } else { "hidden" }.to_owned(),
            tenant: delete.tenant,
            signal: delete.signal,
            query: delete.query,
            since: (since > i64::MIN).then(|| time(since)),
            until: (until < i64::MAX).then(|| time(until)),
            created_at: time(delete.created_at),
            done_at: delete.done_at.map(time),
            rows_before: delete.rows_before,
            rows_hidden: delete.rows_hidden,
            rows_removed: delete.rows_removed,
            rows_left: None,
            segments_rewritten: delete.segments_rewritten,
            segments_dropped: delete.segments_dropped,
            segments_left,
            trouble,
        }
    }
}

pub(crate) async fn make(
    State(collector): State<Arc<Collector>>,
    principal: Principal,
    body: Body,
) -> Response {
    made(&collector, principal.tenant, body).await.unwrap_or_else(|refused| *refused)
}

async fn made(
    collector: &Arc<Collector>,
    tenant: Arc<str>,
    body: Body,
) -> Result<Response, Refused> {
    let body = to_bytes(body, BODY_BYTES_MAX)
        .await
        .map_err(|_| wrong(format!("the body is cut off or longer than {BODY_BYTES_MAX} bytes")))?;
    let asked: Asked = serde_json::from_slice(&body)
        .map_err(|error| wrong(format!("the body is no JSON object of a delete: {error}")))?;
    let time = times(&asked, Timestamp::now())?;
    let request = DeleteRequest::new(tenant, &asked.query, time).map_err(|faults| {
        let first = faults.first();
        let answer = ErrorResponse::new(StatusCode::BAD_REQUEST, first.code, first.message.clone())
            .span(first.span.start, first.span.end)
            .hint(faults.render(&asked.query));
        Refused::from(answer.into_response())
    })?;
    if asked.dry_run {
        let counts = ask(collector, move |store| store.count_for_delete(&request)).await?;
        let answer = json!({
            "dry_run": true, "rows_before": counts.before, "rows_matched": counts.matched,
        });
        return Ok(JsonLine(answer).into_response());
    }
    let status = ask(collector, move |store| store.delete(request)).await?;
    tracing::info!(id = status.delete.id, tenant = status.delete.tenant, "records are deleted");
    Ok(JsonLine(DeleteReport::from(status)).into_response())
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct ListParameters {
    limit: Option<String>,
}

pub(crate) async fn list(
    State(collector): State<Arc<Collector>>,
    Query(parameters): Query<ListParameters>,
    Principal { tenant, .. }: Principal,
) -> Response {
    let limit = match parameters.limit.as_deref().map(str::parse) {
        None => LIST_DEFAULT,
        Some(Ok(limit)) => LIST_MAX.min(limit),
        Some(Err(_)) => return *wrong("limit: is no number of deletes".to_owned()),
    };
    let deletes = collector.store.deletes(&tenant, limit).into_iter();
    let deletes: Vec<_> = deletes.map(DeleteReport::from).collect();
    JsonLine(json!({ "deletes": deletes })).into_response()
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct ShowParameters {
    verify: Option<String>,
}

pub(crate) async fn show(
    State(collector): State<Arc<Collector>>,
    Path(id): Path<String>,
    Query(parameters): Query<ShowParameters>,
    principal: Principal,
) -> Response {
    shown(&collector, &id, &parameters, principal.tenant).await.unwrap_or_else(|refused| *refused)
}

async fn shown(
    collector: &Arc<Collector>,
    id: &str,
    parameters: &ShowParameters,
    tenant: Arc<str>,
) -> Result<Response, Refused> {
    let found = id.parse().ok().and_then(|id| collector.store.delete_status(&tenant, id));
    let Some(status) = found else {
        let message = format!("tenant {tenant} has no delete {id}");
        let refused = ErrorResponse::new(StatusCode::NOT_FOUND, "unknown_delete", message);
        return Err(refused.hint("GET /api/v1/deletes lists them").into_response().into());
    };
    let id = status.delete.id;
    let mut report = DeleteReport::from(status);
    if parameters.verify.as_deref() == Some("true") {
        report.rows_left =
            ask(collector, move |store| store.rows_left_of_delete(&tenant, id)).await?;
    }
    Ok(JsonLine(report).into_response())
}

/// Asks the store on a blocking thread.
async fn ask<T: Send + 'static>(
    collector: &Arc<Collector>,
    question: impl FnOnce(&Store) -> store::Result<T> + Send + 'static,
) -> Result<T, Refused> {
    let _permit = collector.deletes.acquire().await.map_err(|_| refused(StoreError::Closed))?;
    let store = Arc::clone(&collector.store);
    match tokio::task::spawn_blocking(move || question(&store)).await {
        Ok(answer) => answer.map_err(refused),
        Err(_) => {
            let stopped = "the delete stopped; this is a bug, please report it";
            let status = StatusCode::INTERNAL_SERVER_ERROR;
            Err(ErrorResponse::new(status, "internal", stopped).into_response().into())
        }
    }
}

fn refused(error: StoreError) -> Refused {
    match &error {
        StoreError::TooManyDeletes { .. } | StoreError::Full { .. } | StoreError::Closed => {
            (&Refusal::Store(error)).into_response().into()
        }
        _ => {
            let status = StatusCode::SERVICE_UNAVAILABLE;
            ErrorResponse::new(status, "store_unreadable", error.to_string()).into_response().into()
        }
    }
}

/// Without `since` and `until` all times, those of the future too.
fn times(asked: &Asked, now: Timestamp) -> Result<std::ops::Range<i64>, Refused> {
    let time = |name: &str, text: &Option<String>, default: i64| match text {
        None => Ok(default),
        Some(text) => time_parameter::parse(text, now)
            .map(|time| time.0)
            .map_err(|detail| wrong(format!("{name}: {detail}"))),
    };
    let since = time("since", &asked.since, i64::MIN)?;
    let until = time("until", &asked.until, i64::MAX)?;
    if since > until {
        let (since, until) = (Timestamp(since), Timestamp(until));
        return Err(wrong(format!("since: is {since}, later than `until`, which is {until}")));
    }
    Ok(since..until)
}

fn wrong(detail: String) -> Refused {
    ErrorResponse::new(StatusCode::BAD_REQUEST, "bad_parameter", detail).into_response().into()
}
