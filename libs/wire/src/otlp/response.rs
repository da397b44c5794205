//! What an OTLP sender gets back: `ExportLogsServiceResponse` or `ExportTraceServiceResponse`, and
//! `google.rpc.Status`, in the encoding of its request.
//!
//! ```text
//! ExportLogsServiceResponse  { 1: partial_success { 1: rejected_log_records int64, 2: error_message } }
//! ExportTraceServiceResponse { 1: partial_success { 1: rejected_spans int64, 2: error_message } }
//! Status                     { 1: code int32, 2: message }
//! ```
//! JSON ends with a newline, for those who ask by hand.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use record::Signal;

use crate::Format;
use crate::json_text::{push, push_string};
use crate::protobuf::{push_bytes_field, push_varint_field};

/// The body of a 200 answer. Full success (nothing rejected, no message) is the empty message; a message
/// with nothing rejected is a warning.
pub fn export_response(format: Format, rejected: u64, message: &str) -> Vec<u8> {
    let full = rejected == 0 && message.is_empty();
    if is_protobuf(format) {
        let mut response = Vec::new();
        if !full {
            let mut partial = Vec::new();
            push_number(&mut partial, rejected);
            push_text(&mut partial, message);
            push_bytes_field(&mut response, 1, &partial);
        }
        return response;
    }
    let mut response = String::from("{");
    if !full {
        let member = match format.signal() {
            Signal::Logs => "rejectedLogRecords",
            Signal::Spans => "rejectedSpans",
        };
        push(
            &mut response,
            format_args!("\"partialSuccess\":{{\"{member}\":\"{rejected}\",\"errorMessage\":"),
        );
        push_string(&mut response, message);
        response.push('}');
    }
    response.push_str("}\n");
    response.into_bytes()
}

/// The body of an error answer; `code` is gRPC's, see [`grpc_code`].
pub fn status(format: Format, code: u8, message: &str) -> Vec<u8> {
    if is_protobuf(format) {
        let mut status = Vec::new();
        push_number(&mut status, u64::from(code));
        push_text(&mut status, message);
        return status;
    }
    let mut status = String::new();
    push(&mut status, format_args!("{{\"code\":{code},\"message\":"));
    push_string(&mut status, message);
    status.push_str("}\n");
    status.into_bytes()
}

/// What gRPC's trailer `grpc-status-details-bin` says to a sender that is to come again: a status with
/// `google.rpc.RetryInfo`, in base64.
///
/// ```text
/// Status    { 1: code, 2: message, 3: details { 1: type_url, 2: RetryInfo } }
/// RetryInfo { 1: retry_delay { 1: seconds int64, 2: nanos int32 } }
/// ```
pub fn grpc_retry_details(code: u8, message: &str, after: Duration) -> String {
    let (mut delay, mut info, mut any) = (Vec::new(), Vec::new(), Vec::new());
    push_number(&mut delay, after.as_secs());
    if after.subsec_nanos() > 0 {
        push_varint_field(&mut delay, 2, after.subsec_nanos().into());
    }
    push_bytes_field(&mut info, 1, &delay);
    push_bytes_field(&mut any, 1, b"type.googleapis.com/google.rpc.RetryInfo");
    push_bytes_field(&mut any, 2, &info);
    let mut status = status(Format::OtlpProtobuf, code, message);
    push_bytes_field(&mut status, 3, &any);
    STANDARD_NO_PAD.encode(status)
}

/// gRPC's code for an HTTP status, after `google/rpc/code.proto`.
pub fn grpc_code(http_status: u16) -> u8 {
    match http_status {
        200..=299 => 0,
        400 | 413 | 415 => 3,
        401 => 16,
        403 => 7,
        404 => 5,
        409 => 10,
        429 => 8,
        501 | 405 => 12,
        502..=504 => 14,
        500 => 13,
        _ => 2,
    }
}

fn is_protobuf(format: Format) -> bool {
    matches!(format, Format::OtlpProtobuf | Format::OtlpTracesProtobuf)
}

fn push_number(out: &mut Vec<u8>, number: u64) {
    if number != 0 {
        push_varint_field(out, 1, number);
    }
}

fn push_text(out: &mut Vec<u8>, text: &str) {
    if !text.is_empty() {
        push_bytes_field(out, 2, text.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceResponse;
    use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse;
    use prost::Message;

    use super::*;

    #[test]
    fn full_success_is_empty() {
        assert_eq!(export_response(Format::OtlpProtobuf, 0, ""), b"");
        assert_eq!(export_response(Format::OtlpJson, 0, ""), b"{}\n");
    }

    #[test]
    fn partial_success_is_read_by_others() {
        let bytes = export_response(Format::OtlpProtobuf, 300, "too deep");
        let response = ExportLogsServiceResponse::decode(&*bytes).unwrap();
        let partial = response.partial_success.unwrap();
        assert_eq!((partial.rejected_log_records, &*partial.error_message), (300, "too deep"));
        assert_eq!(
            String::from_utf8(export_response(Format::OtlpJson, 3, "a \"b\"")).unwrap(),
            concat!(
                r#"{"partialSuccess":{"rejectedLogRecords":"3","errorMessage":"a \"b\""}}"#,
                "\n"
            )
        );
        let bytes = export_response(Format::OtlpTracesProtobuf, 2, "too large");
        let response = ExportTraceServiceResponse::decode(&*bytes).unwrap();
        let partial = response.partial_success.unwrap();
        assert_eq!((partial.rejected_spans, &*partial.error_message), (2, "too large"));
        assert_eq!(
            export_response(Format::OtlpTracesJson, 2, ""),
            b"{\"partialSuccess\":{\"rejectedSpans\":\"2\",\"errorMessage\":\"\"}}\n"
        );
    }

    #[test]
    fn a_status_has_code_and_message() {
        assert_eq!(status(Format::OtlpProtobuf, 3, "bad"), b"\x08\x03\x12\x03bad");
        assert_eq!(status(Format::OtlpJson, 3, "bad"), b"{\"code\":3,\"message\":\"bad\"}\n");
        assert_eq!(grpc_code(503), 14);
        let details = grpc_retry_details(14, "busy", Duration::from_millis(1_500));
        let expected =
            b"\x08\x0e\x12\x04busy\x1a\x36\x0a\x28type.googleapis.com/google.rpc.RetryInfo\x12\x0a\
            \x0a\x08\x08\x01\x10\x80\xca\xb5\xee\x01";
        assert_eq!(STANDARD_NO_PAD.decode(details).unwrap(), expected);
    }
}
