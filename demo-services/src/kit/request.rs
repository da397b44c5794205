//! What comes in with a request: its body, a part of its path, its query. Each is refused with an error of ours if it is
//! not what was asked for, before a handler sees it.

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::StatusCode;
use axum::http::request::Parts;
use serde::de::DeserializeOwned;
use service::http::ErrorResponse;

/// A body of JSON. Refused with `not_json` (its content type), `bad_json`, `bad_field` or `too_large`; what is said of a
/// field does not quote it, since refusals are logged, and cards and passwords are fields.
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
            ErrorResponse::new(refusal.status(), code, unquoted(refusal.body_text()))
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

/// Words of serde without the value that it found.
fn unquoted(words: String) -> String {
    let begun = ["invalid type: ", "invalid value: ", "unknown variant "];
    let Some(from) = begun.iter().find_map(|begun| Some(words.find(begun)? + begun.len())) else {
        return words;
    };
    let (before, found) = words.split_at(from);
    let expected = found.rfind(", expected").unwrap_or(found.len());
    let kind = found[..expected].split(['`', '"']).next().unwrap_or_default().trim_end();
    format!("{before}{}{}", if kind.is_empty() { "…" } else { kind }, &found[expected..])
}

#[cfg(test)]
mod tests {
    use axum::body::Body as Bytes;
    use axum::http::header::CONTENT_TYPE;
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(rename_all = "snake_case")]
    enum Way {
        Road,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[allow(dead_code, reason = "only read")]
    struct Parcel {
        card: String,
        count: u8,
        way: Way,
    }

    #[tokio::test]
    async fn a_field_that_is_refused_is_named_and_not_quoted() {
        for (body, expected) in [
            (r#"{"card": 4000000000000259}"#, "card: invalid type: integer, expected a string"),
            (
                r#"{"card": ["4000000000000259"]}"#,
                "card: invalid type: sequence, expected a string",
            ),
            (
                r#"{"count": "4000000000000259, expected"}"#,
                "count: invalid type: string, expected u8",
            ),
            (r#"{"count": 4000000000000259}"#, "count: invalid value: integer, expected u8"),
            (r#"{"way": "4000000000000259"}"#, "way: unknown variant …, expected `road`"),
            (r#"{"card": "4000000000000259"}"#, "missing field `count`"),
            (r#"{"card": "4000000000000259", "x": 1}"#, "x: unknown field `x`, expected one of"),
        ] {
            let request = Request::post("/").header(CONTENT_TYPE, "application/json");
            let request = request.body(Bytes::from(body)).unwrap();
            let refused = Body::<Parcel>::from_request(request, &()).await.unwrap_err();
            assert_eq!(refused.code, "bad_field");
            assert!(refused.message.contains(expected), "{body}: {}", refused.message);
            assert!(!refused.message.contains("4000"), "{}", refused.message);
        }
    }
}
