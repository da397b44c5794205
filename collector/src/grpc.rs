//! OTLP over gRPC: `LogsService/Export` and `TraceService/Export`, two calls of one message each.
//!
//! ```text
//! request  = HEADERS (POST, content-type application/grpc[+proto], grpc-encoding) message
//! response = HEADERS (200, content-type application/grpc) message HEADERS (grpc-status 0)
//!          | HEADERS (200, content-type application/grpc, grpc-status, grpc-message)
//! message  = packed u8 (0 or 1) · length u32, big-endian · bytes
//! ```
//!
//! After gRPC's PROTOCOL-HTTP2.md. A message goes to the journal as it came, packed or not, like the body of an HTTP
//! request; why this stands on the HTTP server and not on a gRPC library is told in
//! `docs/adr/2026-11-28-grpc-on-the-http-server.md`.

use std::fmt::Write;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt, Full};
use record::Signal;
use service::doors::Refused;
use service::principal::Principal;
use wire::{DecodeError, Format};

use crate::Collector;
use crate::ingest::Framing;
use crate::refusal::Refusal;

/// Names how messages are packed.
pub(crate) const ENCODING: &str = "grpc-encoding";
/// Bytes before a message.
pub(crate) const PREFIX_BYTES: usize = 5;

const TYPE: &str = "application/grpc";
const STATUS: HeaderName = HeaderName::from_static("grpc-status");
const MESSAGE: HeaderName = HeaderName::from_static("grpc-message");
const DETAILS: HeaderName = HeaderName::from_static("grpc-status-details-bin");
const ACCEPT_ENCODING: HeaderName = HeaderName::from_static("grpc-accept-encoding");
/// What [`wire::decompress`] undoes.
const ENCODINGS: &str = "identity,gzip,zstd,deflate";

const INVALID_ARGUMENT: u8 = 3;
const ALREADY_EXISTS: u8 = 6;
const RESOURCE_EXHAUSTED: u8 = 8;
const UNIMPLEMENTED: u8 = 12;
const UNAVAILABLE: u8 = 14;

/// A message out of its frame.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Message {
    pub(crate) packed: bool,
    pub(crate) bytes: Bytes,
}

/// The one message of a request.
pub(crate) fn message(body: &Bytes) -> Result<Message, Refusal> {
    let frame = |detail| Refusal::Frame { detail };
    let Some((prefix, rest)) = body.split_first_chunk::<PREFIX_BYTES>() else {
        return Err(frame("is cut off before its length"));
    };
    let [packed, length @ ..] = *prefix;
    match (u32::from_be_bytes(length) as usize).cmp(&rest.len()) {
        std::cmp::Ordering::Greater => Err(frame("is shorter than it says")),
        std::cmp::Ordering::Less => Err(frame("is followed by more; this call takes one")),
        std::cmp::Ordering::Equal if packed > 1 => Err(frame("begins with neither 0 nor 1")),
        std::cmp::Ordering::Equal => {
            Ok(Message { packed: packed == 1, bytes: body.slice(PREFIX_BYTES..) })
        }
    }
}

pub(crate) async fn export_logs(
    State(collector): State<Arc<Collector>>,
    principal: Principal,
    headers: HeaderMap,
    body: Body,
) -> Response {
    export(Signal::Logs, &collector, principal, headers, body).await
}

pub(crate) async fn export_spans(
    State(collector): State<Arc<Collector>>,
    principal: Principal,
    headers: HeaderMap,
    body: Body,
) -> Response {
    export(Signal::Spans, &collector, principal, headers, body).await
}

async fn export(
    signal: Signal,
    collector: &Arc<Collector>,
    principal: Principal,
    headers: HeaderMap,
    body: Body,
) -> Response {
    if !is_grpc(&headers) {
        return StatusCode::UNSUPPORTED_MEDIA_TYPE.into_response();
    }
    let format = Format::otlp_protobuf(signal);
    match collector.ingest_framed(Framing::Grpc, principal.tenant, format, &headers, body).await {
        Ok(accepted) => {
            let first =
                accepted.rejected.first().map_or_else(String::new, |first| first.detail.clone());
            let message = wire::export_response(format, u64::from(accepted.rejected_total), &first);
            let mut response = answer(&message);
            collector.tell(&accepted.appended, response.headers_mut());
            response
        }
        Err(refusal) => refused(&refusal),
    }
}

/// Somebody does not come in, said in the form of gRPC.
pub(crate) fn not_let_in(_: &HeaderMap, refused: &Refused) -> Response {
    status(wire::grpc_code(refused.status()), &refused.to_string())
}

/// What any other call gets, metrics above all: logs and spans are what is kept here.
pub async fn not_served(uri: Uri) -> Response {
    status(UNIMPLEMENTED, &format!("{} is not served; logs and traces are", uri.path()))
}

fn is_grpc(headers: &HeaderMap) -> bool {
    let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    // Of what may follow, such as `+proto`, only protobuf is ever sent to these services.
    content_type.is_some_and(|content_type| content_type.starts_with(TYPE))
}

/// A message, and that all went well.
fn answer(message: &[u8]) -> Response {
    let mut frame = BytesMut::with_capacity(PREFIX_BYTES + message.len());
    frame.extend_from_slice(&[0]);
    // An answer is some hundred bytes.
    frame.extend_from_slice(&u32::try_from(message.len()).unwrap_or(u32::MAX).to_be_bytes());
    frame.extend_from_slice(message);
    let trailers = HeaderMap::from_iter([(STATUS, HeaderValue::from_static("0"))]);
    let body = Full::new(frame.freeze()).with_trailers(async { Some(Ok(trailers)) });
    ([(CONTENT_TYPE, TYPE)], Body::new(body)).into_response()
}

/// What OTLP's exporters try again is UNAVAILABLE; they give up on all else that is told here.
fn refused(refusal: &Refusal) -> Response {
    let code = match refusal.status() {
        400 => INVALID_ARGUMENT,
        409 => ALREADY_EXISTS,
        413 => RESOURCE_EXHAUSTED,
        415 => UNIMPLEMENTED,
        _ => UNAVAILABLE,
    };
    let message = refusal.to_string();
    let mut response = status(code, &message);
    let headers = response.headers_mut();
    if let Refusal::Decode(DecodeError::UnknownEncoding(_)) = refusal {
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static(ENCODINGS));
    }
    if let Some(after) = refusal.retry_after() {
        let details = wire::grpc_retry_details(code, &message, after);
        if let Ok(details) = HeaderValue::from_str(&details) {
            headers.insert(DETAILS, details);
        }
    }
    response
}

/// A status without a message: one block of headers, at whose end the answer ends.
fn status(code: u8, message: &str) -> Response {
    let mut response = ([(CONTENT_TYPE, TYPE)], Body::empty()).into_response();
    let headers = response.headers_mut();
    headers.insert(STATUS, HeaderValue::from(u16::from(code)));
    if let Ok(message) = HeaderValue::from_str(&percent_encoded(message)) {
        headers.insert(MESSAGE, message);
    }
    response
}

/// As `grpc-message` is written: everything but visible ASCII and blanks as `%41`.
fn percent_encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'%' | ..b' ' | 0x7f.. => {
                write!(encoded, "%{byte:02X}").expect("a String takes everything");
            }
            _ => encoded.push(char::from(byte)),
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_what_its_prefix_says() {
        let of = |body: &'static [u8]| message(&Bytes::from_static(body));
        let taken = of(b"\x00\x00\x00\x00\x02ab").unwrap();
        assert_eq!(taken, Message { packed: false, bytes: Bytes::from_static(b"ab") });
        let taken = of(b"\x01\x00\x00\x00\x00").unwrap();
        assert_eq!(taken, Message { packed: true, bytes: Bytes::new() });
        for (body, detail) in [
            (&b""[..], "cut off"),
            (b"\x00\x00\x00\x00", "cut off"),
            (b"\x00\x00\x00\x00\x03ab", "shorter"),
            (b"\x00\xff\xff\xff\xffab", "shorter"),
            (b"\x00\x00\x00\x00\x01ab", "followed by more"),
            (b"\x02\x00\x00\x00\x02ab", "neither 0 nor 1"),
        ] {
            let error = of(body).unwrap_err();
            assert!(error.to_string().contains(detail), "{body:?}: {error}");
            assert_eq!(error.status(), 400);
        }
    }

    #[test]
    fn a_message_of_a_status_is_ascii() {
        assert_eq!(percent_encoded("50% of ü\n"), "50%25 of %C3%BC%0A");
    }
}
