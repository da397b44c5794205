//! `GET /api/v1/ledger`: the account of every record, which `logq audit` prints. `POST /api/v1/flush`: puts
//! everything accepted so far into segments and answers when it is there.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::json;
use service::http::{ErrorResponse, JsonLine};

use crate::Collector;

pub(crate) async fn show(State(collector): State<Arc<Collector>>) -> Response {
    let ledger = collector.store.ledger();
    let (store_id, generation) = collector.store.identity();
    let adds_up = ledger.adds_up();
    let missing = ledger.missing();
    JsonLine(json!({
        "store_id": store_id,
        "generation": generation,
        "ledger": ledger,
        "missing": missing,
        "adds_up": adds_up,
        "troubles": collector.store.troubles(),
    }))
    .into_response()
}

pub(crate) async fn flush(State(collector): State<Arc<Collector>>) -> Response {
    let store = Arc::clone(&collector.store);
    match tokio::task::spawn_blocking(move || store.flush()).await {
        Ok(Ok(())) => {
            JsonLine(json!({ "segments": collector.store.view().segments().len() })).into_response()
        }
        Ok(Err(error)) => {
            ErrorResponse::new(StatusCode::SERVICE_UNAVAILABLE, "flush_failed", error.to_string())
                .into_response()
        }
        Err(_) => {
            ErrorResponse::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "the flush stopped")
                .into_response()
        }
    }
}
