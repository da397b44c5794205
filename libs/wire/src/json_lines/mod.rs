//! JSON lines to records: one object a line, or one array of objects, or one object over several lines.
//!
//! A bad line among good ones is rejected with its number and the others are taken. The body as a whole is
//! refused when a line is too long, when an array breaks off after its first element (nothing says where
//! the next element begins), and when there is nothing readable in it at all.
//!
//! ```text
//! body   = [BOM] (lines | array | object)
//! lines  = *((object | array | nothing) [CR] LF)        an array in a line is as many records
//! ```
//!
//! A line that is not UTF-8 is read with U+FFFD for what is broken, and its bytes are kept as base64.

mod fields;
mod parser;

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use record::{RecordRef, Timestamp, keys};

use crate::builder::{Builder, Emit, Scalar, Text};
use crate::{DecodeError, Decoded, Limits, RejectReason};

use parser::{ParseError, is_complete, parse_array, parse_object};

const WHAT: &str = "JSON lines";
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

pub(crate) fn decode(
    body: &[u8],
    received_at: Timestamp,
    limits: &Limits,
    sink: &mut dyn FnMut(&RecordRef<'_>),
) -> Result<Decoded, DecodeError> {
    let body = body.strip_prefix(BYTE_ORDER_MARK).unwrap_or(body);
    let mut to =
        Emit { received_at, limits, record_bytes_max: None, decoded: Decoded::default(), sink };
    if !(first_byte(body) == Some(b'[') && decode_array_body(body, &mut to)?) {
        decode_lines(body, &mut to)?;
    }
    let decoded = to.decoded;
    match decoded.rejected.first() {
        Some(first) if decoded.accepted == 0 => {
            Err(malformed(first.line.unwrap_or(1), &first.detail))
        }
        _ if decoded.accepted == 0 && decoded.rejected_total > 0 => {
            Err(malformed(1, "no record could be read"))
        }
        _ => Ok(decoded),
    }
}

/// Reads the whole body as one array. False if it is none, so that it must be lines; nothing is emitted then.
fn decode_array_body(body: &[u8], to: &mut Emit<'_, '_>) -> Result<bool, DecodeError> {
    let first_line = body.split(|byte| *byte == b'\n').next().unwrap_or(body);
    // Several arrays, one a line: only then does a complete one end before the body does.
    let several = !is_blank(&body[first_line.len()..])
        && first_line.trim_ascii_end().ends_with(b"]")
        && std::str::from_utf8(first_line).is_ok_and(is_complete);
    if several {
        return Ok(false);
    }
    let text = String::from_utf8_lossy(body);
    decode_array(&text, None, to).map(|outcome| outcome.is_ok())
}

/// Reads an array of records. The inner error says that it is none; no record was emitted then and no
/// rejection counted.
fn decode_array(
    text: &str,
    line: Option<u32>,
    to: &mut Emit<'_, '_>,
) -> Result<Result<(), ParseError>, DecodeError> {
    let accepted = to.decoded.accepted;
    let rejected = (to.decoded.rejected.len(), to.decoded.rejected_total);
    to.record_bytes_max = Some(to.limits.record_bytes_max);
    let mut builder = Builder::new(to.limits);
    let outcome = parse_array(text, &mut builder, to, line);
    to.record_bytes_max = None;
    match outcome {
        Err(error) if accepted != to.decoded.accepted => {
            Err(malformed(line.unwrap_or(error.line), &error.detail))
        }
        Err(error) => {
            to.decoded.rejected.truncate(rejected.0);
            to.decoded.rejected_total = rejected.1;
            Ok(Err(error))
        }
        Ok(()) => Ok(Ok(())),
    }
}

fn decode_lines(body: &[u8], to: &mut Emit<'_, '_>) -> Result<(), DecodeError> {
    let limits = to.limits;
    // Checked once for all lines, which is far cheaper than line by line; a line's end is never inside a character.
    let text = std::str::from_utf8(body).ok();
    let mut builder = Builder::new(limits);
    let mut number = 0_u32;
    let mut start = 0;
    while start < body.len() {
        let end = memchr::memchr(b'\n', &body[start..]).map_or(body.len(), |at| start + at);
        let (line_start, bytes) = (start, body[start..end].trim_ascii());
        start = end + 1;
        number = number.saturating_add(1);
        if bytes.is_empty() {
            continue;
        }
        if bytes.len() > limits.record_bytes_max {
            return Err(DecodeError::LineTooLong {
                line: number,
                bytes: bytes.len(),
                limit_bytes: limits.record_bytes_max,
            });
        }
        let Some(text) = text else {
            decode_doubtful_line(bytes, number, to)?;
            continue;
        };
        // Blanks were cut off as bytes; the range of the line in the text is the same.
        let line = text[line_start..end].trim_ascii();
        if bytes[0] == b'[' {
            let outcome = decode_array(line, Some(number), to)?;
            reject_on_error(outcome, number, to);
            continue;
        }
        match parse_object(line, &mut builder) {
            Ok(()) => builder.emit(to, Some(number)),
            Err(error) => {
                builder.reset();
                let rest = text[line_start..].trim_ascii();
                let first = to.decoded == Decoded::default();
                let may_go_on = error.cut_off && first && rest.len() > line.len();
                if may_go_on && rest.len() <= limits.record_bytes_max {
                    if parse_object(rest, &mut builder).is_ok() {
                        builder.emit(to, Some(number));
                        return Ok(());
                    }
                    builder.reset();
                }
                reject_on_error(Err(error), number, to);
            }
        }
    }
    Ok(())
}

/// A line of a body that is not UTF-8 as a whole; this one may be.
fn decode_doubtful_line(
    bytes: &[u8],
    number: u32,
    to: &mut Emit<'_, '_>,
) -> Result<(), DecodeError> {
    let line = String::from_utf8_lossy(bytes);
    let outcome = if bytes[0] == b'[' {
        decode_array(&line, Some(number), to)?
    } else {
        // Declared before the builder, which borrows it.
        let original;
        let mut builder = Builder::new(to.limits);
        let outcome = parse_object(&line, &mut builder);
        if outcome.is_ok() {
            if matches!(line, Cow::Owned(_)) {
                original = STANDARD.encode(bytes);
                let value = Scalar::Text(Text::Body(&original));
                builder.attribute(Text::Body(keys::ORIGINAL_BYTES), value);
            }
            builder.emit(to, Some(number));
        }
        outcome
    };
    reject_on_error(outcome, number, to);
    Ok(())
}

fn reject_on_error(outcome: Result<(), ParseError>, line: u32, to: &mut Emit<'_, '_>) {
    if let Err(error) = outcome {
        to.decoded.reject(to.limits, Some(line), RejectReason::Malformed, || error.detail);
    }
}

fn malformed(line: u32, detail: &str) -> DecodeError {
    DecodeError::Malformed { what: WHAT, detail: format!("line {line}: {detail}") }
}

fn first_byte(body: &[u8]) -> Option<u8> {
    body.trim_ascii_start().first().copied()
}

fn is_blank(body: &[u8]) -> bool {
    body.trim_ascii().is_empty()
}
