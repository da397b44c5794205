//! Hands a request on to a service, and its answer back: with those headers that mean something there, and with errors
//! that say nothing of what is behind the door.
//!
//! | what came of the call | answer |
//! |---|---|
//! | no instance, circuit open, too many calls, or 503 | 503 `unavailable`, with `retry-after` |
//! | no answer in time, or 504 | 504 `timeout` |
//! | not reached, not understood, another 5xx, or a redirection | 502 `bad_gateway` |
//! | 4xx with an error as ours are | the same |
//! | 4xx with anything else | the same status, `refused` |

use std::time::Duration;

use axum::body::Bytes;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::Value;
use service::http::ErrorResponse;

use super::doors::Asking;
use super::refusal::{Refusal, Refused};
use crate::kit::client::{Answer, Call, CallError, Dependency};
use crate::kit::identity::{ROLES_HEADER, USER_HEADER};

/// Headers of a request that go through. Who asks is not among them: that is said here. Nor is an idempotency key, for with
/// one a call is tried again: none of the routes' services keeps it.
const IN: [HeaderName; 2] = [header::ACCEPT, header::CONTENT_TYPE];
/// Headers of an answer that do.
const OUT: [HeaderName; 4] =
    [header::CONTENT_TYPE, header::CACHE_CONTROL, header::ETAG, header::RETRY_AFTER];
/// When to come again where a service is not to be had.
const COME_AGAIN: Duration = Duration::from_secs(1);

/// A call to a service, in the name of whoever asks.
pub(super) fn call(
    method: Method,
    path: &str,
    headers: &HeaderMap,
    body: Bytes,
    asking: &Asking,
) -> Call {
    let mut call = Call::of(method, path);
    for (name, value) in headers_in(headers, asking) {
        call = call.header(name, value);
    }
    if body.is_empty() { call } else { call.bytes(body) }
}

/// Headers of a request as a service sees them.
fn headers_in(headers: &HeaderMap, asking: &Asking) -> Vec<(HeaderName, HeaderValue)> {
    let through = |name: HeaderName| Some((name.clone(), headers.get(&name)?.clone()));
    let mut seen: Vec<_> = IN.into_iter().filter_map(through).collect();
    let identity = [
        (USER_HEADER, asking.user.clone().unwrap_or_default()),
        (ROLES_HEADER, asking.roles.join(",")),
    ];
    for (name, value) in identity.into_iter().filter(|(_, value)| !value.is_empty()) {
        let value = HeaderValue::try_from(value).ok();
        seen.extend(value.map(|value| (HeaderName::from_static(name), value)));
    }
    seen
}

/// What comes of it: an answer that may be handed on.
pub(super) async fn send(service: &Dependency, call: Call) -> Result<Answer, Refused> {
    let answer = service.send(call).await.map_err(|error| refused(&error))?;
    match answer.status.as_u16() {
        200..300 | 304 | 400..500 => Ok(answer),
        status => Err(failed(status)),
    }
}

/// What is said of a service that answered with a failure. What went wrong in there is for its own log.
pub(super) fn failed(status: u16) -> Refused {
    let error = match status {
        503 => unavailable(COME_AGAIN),
        504 => too_late(),
        _ => broken(),
    };
    Refused::from(error).because(format!("the service answered {status}"))
}

/// What is said of a call that had no answer.
pub(super) fn refused(error: &CallError) -> Refused {
    let said = match error {
        CallError::BreakerOpen { retry_after } => unavailable((*retry_after).max(COME_AGAIN)),
        CallError::NoInstance | CallError::Full => unavailable(COME_AGAIN),
        CallError::Timeout => too_late(),
        CallError::Unreachable { .. } | CallError::BadAnswer { .. } => broken(),
    };
    Refused::from(said).because(format!("{}: {error}", error.error_type()))
}

/// Headers of an answer as they go out.
pub(super) fn headers_out(answer: &Answer) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for name in OUT {
        for value in answer.headers.get_all(&name) {
            headers.append(name.clone(), value.clone());
        }
    }
    headers
}

/// The answer as it goes out; an error of the service is told of.
pub(super) fn response(answer: &Answer) -> Response {
    let status = answer.status;
    if !status.is_client_error() {
        return (status, headers_out(answer), answer.body.clone()).into_response();
    }
    let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    let Some(refusal) = Refusal::of(&body) else {
        // Words of a framework, or of somebody else's.
        return Refused::new(status, "refused", "the shop does not do that").into_response();
    };
    let mut response = (status, headers_out(answer), answer.body.clone()).into_response();
    response.extensions_mut().insert(refusal);
    response
}

fn unavailable(come_again: Duration) -> ErrorResponse {
    let message = "this part of the shop is closed at the moment";
    ErrorResponse::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", message)
        .retry_after(come_again)
}

fn too_late() -> ErrorResponse {
    let message = "this part of the shop did not answer in time";
    ErrorResponse::new(StatusCode::GATEWAY_TIMEOUT, "timeout", message)
}

fn broken() -> ErrorResponse {
    let message = "this part of the shop did not answer as it should";
    ErrorResponse::new(StatusCode::BAD_GATEWAY, "bad_gateway", message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_without_an_answer_has_a_status_and_a_code_and_says_nothing_of_the_inside() {
        let reason = || "10.1.2.3:4567 refused".to_owned();
        for (error, status, code, retry_after) in [
            (CallError::NoInstance, 503, "unavailable", Some(1)),
            (CallError::Full, 503, "unavailable", Some(1)),
            (
                CallError::BreakerOpen { retry_after: Duration::from_millis(10) },
                503,
                "unavailable",
                Some(1),
            ),
            (
                CallError::BreakerOpen { retry_after: Duration::from_secs(4) },
                503,
                "unavailable",
                Some(4),
            ),
            (CallError::Timeout, 504, "timeout", None),
            (CallError::Unreachable { reason: reason() }, 502, "bad_gateway", None),
            (CallError::BadAnswer { reason: reason() }, 502, "bad_gateway", None),
        ] {
            let refused = refused(&error);
            let said = refused.error();
            let found =
                (said.status.as_u16(), said.code, said.retry_after.map(|after| after.as_secs()));
            assert_eq!(found, (status, code, retry_after), "{error:?}");
            assert!(!said.message.contains("10.1"), "{error:?}");
            assert!(refused.refusal().message.starts_with(error.error_type()), "{error:?}");
        }
    }

    #[test]
    fn an_answer_that_failed_has_a_status_and_a_code() {
        for (status, expected) in
            [(500, 502), (501, 502), (502, 502), (503, 503), (504, 504), (302, 502)]
        {
            assert_eq!(failed(status).error().status.as_u16(), expected, "{status}");
        }
    }

    #[test]
    fn nobody_outside_says_who_he_is() {
        let mut headers = HeaderMap::new();
        for name in
            [USER_HEADER, ROLES_HEADER, "x-service-name", "authorization", "cookie", "accept"]
        {
            headers.insert(name, HeaderValue::from_static("operator"));
        }
        let asking = Asking { user: Some("u-1".to_owned()), roles: vec!["customer".to_owned()] };
        for (asking, expected) in [
            (Asking::default(), vec![("accept", "operator")]),
            (
                asking,
                vec![("accept", "operator"), (USER_HEADER, "u-1"), (ROLES_HEADER, "customer")],
            ),
        ] {
            let sent = headers_in(&headers, &asking);
            let text = |(name, value): &(HeaderName, HeaderValue)| {
                (name.to_string(), value.to_str().unwrap().to_owned())
            };
            let mut sent: Vec<_> = sent.iter().map(text).collect();
            sent.sort_unstable();
            let sent: Vec<_> = sent.iter().map(|(name, value)| (&name[..], &value[..])).collect();
            assert_eq!(sent, expected);
        }
    }
}
