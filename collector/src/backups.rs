//! Backups of a running store, for `logq backup`: a snapshot is begun, its files are fetched one by one, and it is ended.
//!
//! ```text
//! POST   /api/v1/backups                    flushes, and holds what is in segments then; answers with id and manifest
//! GET    /api/v1/backups                    what is held
//! GET    /api/v1/backups/{id}               the manifest again; renews the lease, as every request does
//! GET    /api/v1/backups/{id}/files/{name}  the bytes of a file; `Range: bytes=FROM-` or `FROM-TO` gives some of them
//! DELETE /api/v1/backups/{id}
//! ```
//!
//! A file is read and sent block by block, whatever its size.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::header::{ACCEPT_RANGES, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, RANGE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use serde_json::json;
use service::http::{ErrorResponse, JsonLine};
use store::StoreError;
use store::backup::{BackupError, LEASE, Manifest, SnapshotFile};

use crate::Collector;

/// Bytes that are read and sent at once.
const BLOCK_BYTES: u64 = 256 << 10;

pub(crate) async fn begin(State(collector): State<Arc<Collector>>) -> Response {
    let begun = blocking(move || collector.store.begin_snapshot()).await;
    begun.map_or_else(refused, |(id, manifest)| {
        (StatusCode::CREATED, snapshot(&id, &manifest)).into_response()
    })
}

pub(crate) async fn list(State(collector): State<Arc<Collector>>) -> Response {
    let held = collector.store.snapshots().into_iter().map(|held| {
        json!({
            "id": held.id,
            "created_at": held.created_at,
            "bytes": held.bytes,
            "bytes_kept_for_it": held.bytes_kept_for_it,
            "lease_left_seconds": held.lease_left.as_secs(),
        })
    });
    JsonLine(json!({ "snapshots": held.collect::<Vec<_>>() })).into_response()
}

pub(crate) async fn show(
    State(collector): State<Arc<Collector>>,
    Path(id): Path<String>,
) -> Response {
    let shown = collector.store.renew_snapshot(&id);
    shown.map_or_else(refused, |manifest| snapshot(&id, &manifest).into_response())
}

pub(crate) async fn end(
    State(collector): State<Arc<Collector>>,
    Path(id): Path<String>,
) -> Response {
    // Files may be unlinked.
    let ended = blocking(move || collector.store.end_snapshot(&id)).await;
    ended.map_or_else(refused, |()| StatusCode::NO_CONTENT.into_response())
}

pub(crate) async fn file(
    State(collector): State<Arc<Collector>>,
    Path((id, name)): Path<(String, String)>,
    headers: HeaderMap,
) -> Response {
    let file = match blocking(move || collector.store.open_snapshot_file(&id, &name)).await {
        Ok(file) => file,
        Err(error) => return refused(error),
    };
    let length = file.length();
    let range = headers.get(RANGE).and_then(|range| range.to_str().ok()).and_then(parse_range);
    let (status, from, to) = match range {
        None => (StatusCode::OK, 0, length),
        Some((from, to)) if from < length => {
            (StatusCode::PARTIAL_CONTENT, from, to.unwrap_or(length).min(length))
        }
        Some(_) => {
            let refusal = ErrorResponse::new(
                StatusCode::RANGE_NOT_SATISFIABLE,
                "bad_range",
                format!("the file has {length} bytes"),
            );
            return refusal.into_response();
        }
    };
    let mut response = (status, Body::from_stream(blocks(file, from, to))).into_response();
    let answers = response.headers_mut();
    answers.insert(CONTENT_TYPE, axum::http::HeaderValue::from_static("application/octet-stream"));
    answers.insert(ACCEPT_RANGES, axum::http::HeaderValue::from_static("bytes"));
    answers.insert(CONTENT_LENGTH, (to - from).into());
    if status == StatusCode::PARTIAL_CONTENT
        && let Ok(range) = format!("bytes {from}-{}/{length}", to - 1).parse()
    {
        answers.insert(CONTENT_RANGE, range);
    }
    response
}

/// `bytes=FROM-` or `bytes=FROM-TO` as the first byte and the one after the last. Other forms may be answered with the
/// whole file, and are.
fn parse_range(range: &str) -> Option<(u64, Option<u64>)> {
    let (from, to) = range.strip_prefix("bytes=")?.split_once('-')?;
    let from = from.parse().ok()?;
    match to {
        "" => Some((from, None)),
        to => {
            let end = to.parse::<u64>().ok()?.checked_add(1)?;
            (end > from).then_some((from, Some(end)))
        }
    }
}

fn blocks(
    file: SnapshotFile,
    from: u64,
    to: u64,
) -> impl futures_util::Stream<Item = std::io::Result<Bytes>> {
    futures_util::stream::try_unfold((file, from), move |(file, at)| async move {
        if at >= to {
            return Ok(None);
        }
        let read = move || {
            let mut block = vec![0; BLOCK_BYTES.min(to - at) as usize];
            let read = file.read_at(&mut block, at)?;
            block.truncate(read);
            Ok::<_, std::io::Error>((file, block))
        };
        let read = tokio::task::spawn_blocking(read).await;
        let (file, block) = read.map_err(std::io::Error::other)??;
        if block.is_empty() {
            // The answer is cut off, which its client notices by the length.
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        let next = at + block.len() as u64;
        Ok(Some((Bytes::from(block), (file, next))))
    })
}

fn snapshot(id: &str, manifest: &Manifest) -> JsonLine<serde_json::Value> {
    JsonLine(json!({ "id": id, "lease_seconds": LEASE.as_secs(), "manifest": manifest }))
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, BackupError> + Send + 'static,
) -> Result<T, BackupError> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|_| Err(StoreError::Closed.into()))
}

fn refused(error: BackupError) -> Response {
    let (status, code) = match &error {
        BackupError::TooManySnapshots { .. } => (StatusCode::TOO_MANY_REQUESTS, "too_many_backups"),
        BackupError::NoSuchSnapshot { .. } => (StatusCode::NOT_FOUND, "no_such_backup"),
        BackupError::NoSuchFile { .. } => (StatusCode::NOT_FOUND, "no_such_file"),
        BackupError::Store(StoreError::Full { .. }) => {
            (StatusCode::INSUFFICIENT_STORAGE, "disk_full")
        }
        BackupError::Store(StoreError::Closed) => {
            (StatusCode::SERVICE_UNAVAILABLE, "shutting_down")
        }
        BackupError::Store(_) | BackupError::Unusable { .. } => {
            tracing::error!(%error, "cannot make a backup");
            (StatusCode::SERVICE_UNAVAILABLE, "backup_failed")
        }
    };
    let mut response = ErrorResponse::new(status, code, error.to_string());
    if status == StatusCode::TOO_MANY_REQUESTS {
        response.retry_after = Some(Duration::from_secs(10));
    }
    response.into_response()
}

#[cfg(test)]
mod tests {
    use super::parse_range;

    #[test]
    fn ranges_of_one_piece_are_read_and_others_are_passed_over() {
        for (text, range) in [
            ("bytes=0-", Some((0, None))),
            ("bytes=5-9", Some((5, Some(10)))),
            ("bytes=9-5", None),
            ("bytes=-5", None),
            ("bytes=1-2,4-5", None),
            ("lines=1-2", None),
            ("bytes=0-18446744073709551615", None),
        ] {
            assert_eq!(parse_range(text), range, "{text}");
        }
    }
}
