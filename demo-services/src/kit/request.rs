//! What comes in with a request: its body, a part of its path, its query. Each is refused with an error of ours if it is
//! not what was asked for, before a handler sees it.

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::StatusCode;
use axum::http::request::Parts;
use serde::de::DeserializeOwned;
use service::http::ErrorResponse;

/// A body of JSON. Refused with `not_json` (its content type), `bad_json`, `bad_field` or `too_large`.
#[derive(Clone, Debug)]
pub(crate) struct Body<T>(pub(crate) T);

/// The one parameter of a route's path, as text.
#[derive(Clone, Debug)]
pub(crate) struct Segment(pub(crate) String);

/// The parameters of a route's path, as texts.
#[derive(Clone, Debug)]
pub(crate) struct Segments<const N: usize>(pub(crate) [String; N]);

/// The query, `?page=1&limit=20`. Refused with `bad_query`.
#[derive(Clone, Debug)]
pub(crate) struct Asked<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Body<T> {
    type Rejection = ErrorResponse;

    async fn from_request(request: Request, state: &S) -> Result<Self, ErrorResponse> {
        let refusal = |refusal: JsonRejection| {
            let code = match refusal.status() {
                StatusCode::PAYLOAD_TOO_LARGE => "too_large",
                StatusCode::UNSUPPORTED_MEDIA_TYPE => "not_json",
                StatusCode::UNPROCESSABLE_ENTITY => "bad_field",
                _ => "bad_json",
            };
            ErrorResponse::new(refusal.status(), code, refusal.body_text())
        };
        let Json(body) = Json::from_request(request, state).await.map_err(refusal)?;
        Ok(Self(body))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Segment {
    type Rejection = ErrorResponse;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ErrorResponse> {
        Segments::from_request_parts(parts, state).await.map(|Segments([text])| Self(text))
    }
}

impl<const N: usize, S: Send + Sync> FromRequestParts<S> for Segments<N> {
    type Rejection = ErrorResponse;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ErrorResponse> {
        let Path(texts) = Path::<Vec<String>>::from_request_parts(parts, state)
            .await
            .map_err(|error| ErrorResponse::new(error.status(), "bad_path", error.body_text()))?;
        let texts = texts.try_into().map_err(|texts: Vec<String>| {
            let message = format!("the path has {} parameters", texts.len());
            ErrorResponse::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", message)
        });
        texts.map(Self)
    }
}

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Asked<T> {
    type Rejection = ErrorResponse;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ErrorResponse> {
        let Query(query) = Query::from_request_parts(parts, state)
            .await
            .map_err(|error| ErrorResponse::new(error.status(), "bad_query", error.body_text()))?;
        Ok(Self(query))
    }
}
