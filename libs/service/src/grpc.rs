//! gRPC's unary calls on the HTTP server: one message in, one message or a status out.
//!
//! ```text
//! request  = HEADERS (POST, content-type application/grpc[+proto], grpc-encoding) message
//! response = HEADERS (200, content-type application/grpc) message HEADERS (grpc-status 0)
//!          | HEADERS (200, content-type application/grpc, grpc-status, grpc-message)
//! message  = packed u8 (0 or 1) · length u32, big-endian · bytes
//! ```
//!
//! After gRPC's PROTOCOL-HTTP2.md. Why this stands on the HTTP server and not on a gRPC library is told in
//! `docs/adr/2026-11-28-grpc-on-the-http-server.md`.

use std::fmt::Write;

use axum::body::{Body, Bytes};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Uri};
use axum::response::{IntoResponse, Response};
use http_body_util::{BodyExt, Full};

use crate::doors::Refused;

/// The call that takes logs, after OTLP's `logs_service.proto`.
pub const EXPORT_LOGS: &str = "/opentelemetry.proto.collector.logs.v1.LogsService/Export";
/// The call that takes spans, after `trace_service.proto`.
pub const EXPORT_SPANS: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";

/// The header that names how messages are packed.
pub const ENCODING: &str = "grpc-encoding";
/// The header that tells which packings are known.
pub const ACCEPT_ENCODING: HeaderName = HeaderName::from_static("grpc-accept-encoding");
/// The header with `google.rpc.Status` and its details, as base64.
pub const DETAILS: HeaderName = HeaderName::from_static("grpc-status-details-bin");
/// Bytes before a message.
pub const PREFIX_BYTES: usize = 5;

const TYPE: &str = "application/grpc";
const STATUS: HeaderName = HeaderName::from_static("grpc-status");
const MESSAGE: HeaderName = HeaderName::from_static("grpc-message");

/// Codes of gRPC.
#[allow(missing_docs)]
pub mod code {
    pub const INVALID_ARGUMENT: u8 = 3;
    pub const ALREADY_EXISTS: u8 = 6;
    pub const PERMISSION_DENIED: u8 = 7;
    pub const RESOURCE_EXHAUSTED: u8 = 8;
    pub const UNIMPLEMENTED: u8 = 12;
    pub const UNAVAILABLE: u8 = 14;
    pub const UNAUTHENTICATED: u8 = 16;
}

/// The code for an HTTP status of a refused export: what OTLP's exporters try again is UNAVAILABLE, they give up on all
/// else.
pub fn code_of_export(status: u16) -> u8 {
    match status {
        400 => code::INVALID_ARGUMENT,
        409 => code::ALREADY_EXISTS,
        413 => code::RESOURCE_EXHAUSTED,
        415 => code::UNIMPLEMENTED,
        _ => code::UNAVAILABLE,
    }
}

/// A message out of its frame.
#[derive(Debug, PartialEq, Eq)]
pub struct Message {
    /// Whether it is packed as [`ENCODING`] says.
    pub packed: bool,
    /// As it came.
    pub bytes: Bytes,
}

/// A body is not one message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the gRPC message {0}")]
pub struct BadFrame(pub &'static str);

/// The one message of a request, of which [`ENCODING`] names how it is packed or does not.
///
/// # Errors
/// There is none, there are several, or it is packed and nobody says how.
pub fn message(body: &Bytes, is_named: bool) -> Result<Message, BadFrame> {
    let Some((prefix, rest)) = body.split_first_chunk::<PREFIX_BYTES>() else {
        return Err(BadFrame("is cut off before its length"));
    };
    let [packed, length @ ..] = *prefix;
    match (u32::from_be_bytes(length) as usize).cmp(&rest.len()) {
        std::cmp::Ordering::Greater => Err(BadFrame("is shorter than it says")),
        std::cmp::Ordering::Less => Err(BadFrame("is followed by more; this call takes one")),
        std::cmp::Ordering::Equal if packed > 1 => Err(BadFrame("begins with neither 0 nor 1")),
        std::cmp::Ordering::Equal if packed == 1 && !is_named => {
            Err(BadFrame("says that it is packed, and grpc-encoding not how"))
        }
        std::cmp::Ordering::Equal => {
            Ok(Message { packed: packed == 1, bytes: body.slice(PREFIX_BYTES..) })
        }
    }
}

/// Whether a request is one of gRPC.
pub fn is_grpc(headers: &HeaderMap) -> bool {
    let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    // Of what may follow, such as `+proto`, only protobuf is ever sent to these services.
    content_type.is_some_and(|content_type| content_type.starts_with(TYPE))
}

/// A message, and that all went well.
pub fn answer(message: &[u8]) -> Response {
    let mut frame = Vec::with_capacity(PREFIX_BYTES + message.len());
    frame.push(0);
    // An answer is some hundred bytes.
    frame.extend_from_slice(&u32::try_from(message.len()).unwrap_or(u32::MAX).to_be_bytes());
    frame.extend_from_slice(message);
    let trailers = HeaderMap::from_iter([(STATUS, HeaderValue::from_static("0"))]);
    let body = Full::new(Bytes::from(frame)).with_trailers(async { Some(Ok(trailers)) });
    ([(CONTENT_TYPE, TYPE)], Body::new(body)).into_response()
}

/// A status without a message: one block of headers, at whose end the answer ends.
pub fn status(code: u8, message: &str) -> Response {
    let mut response = ([(CONTENT_TYPE, TYPE)], Body::empty()).into_response();
    let headers = response.headers_mut();
    headers.insert(STATUS, HeaderValue::from(u16::from(code)));
    if let Ok(message) = HeaderValue::from_str(&percent_encoded(message)) {
        headers.insert(MESSAGE, message);
    }
    response
}

/// What somebody gets who does not come in.
pub fn not_let_in(_: &HeaderMap, refused: &Refused) -> Response {
    let code = match refused.status() {
        401 => code::UNAUTHENTICATED,
        403 => code::PERMISSION_DENIED,
        _ => code::INVALID_ARGUMENT,
    };
    status(code, &refused.to_string())
}

/// What any other call gets, metrics above all: logs and spans are what is kept here.
pub async fn not_served(uri: Uri) -> Response {
    status(code::UNIMPLEMENTED, &format!("{} is not served; logs and traces are", uri.path()))
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
        let of = |body: &'static [u8]| message(&Bytes::from_static(body), true);
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
        }
        let unnamed = |body: &'static [u8]| message(&Bytes::from_static(body), false);
        assert!(unnamed(b"\x00\x00\x00\x00\x00").is_ok());
        assert!(unnamed(b"\x01\x00\x00\x00\x00").unwrap_err().to_string().contains("not how"));
    }

    #[test]
    fn a_message_of_a_status_is_ascii() {
        assert_eq!(percent_encoded("50% of ü\n"), "50%25 of %C3%BC%0A");
    }
}
