//! The one door: a body of any format to records.

use record::{RecordRef, Timestamp};

use crate::{DecodeError, Format, Limits, RejectReason, Rejected, json_lines, otlp, zipkin};

/// What became of a body.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Decoded {
    /// Records handed to the sink.
    pub accepted: u32,
    /// Records not taken, in order, at most [`Limits::rejected_listed_max`] of them.
    pub rejected: Vec<Rejected>,
    /// Records not taken, all of them.
    pub rejected_total: u32,
    /// Accepted records whose time could not be read and was replaced by the observed time.
    pub timestamps_replaced: u64,
}

impl Decoded {
    pub(crate) fn reject(
        &mut self,
        limits: &Limits,
        line: Option<u32>,
        reason: RejectReason,
        detail: impl FnOnce() -> String,
    ) {
        if self.rejected.len() < limits.rejected_listed_max {
            let ordinal = self.accepted.saturating_add(self.rejected_total);
            self.rejected.push(Rejected { ordinal, line, reason, detail: detail() });
        }
        self.rejected_total = self.rejected_total.saturating_add(1);
    }
}

/// Reads one body, already decompressed, and hands each record to `sink` in the order of the body.
///
/// The record is borrowed from the body and from buffers that the next one uses again. A record without a
/// time gets its observed time; one without that gets `received_at`.
///
/// # Errors
/// See [`DecodeError`]. The sink may have seen records by then; they do not count, and the caller must
/// drop them. A body with some bad records among good ones is no error: see [`Decoded::rejected`].
pub fn decode(
    format: Format,
    body: &[u8],
    received_at: Timestamp,
    limits: &Limits,
    sink: &mut dyn FnMut(&RecordRef<'_>),
) -> Result<Decoded, DecodeError> {
    if body.len() > limits.decoded_bytes_max {
        return Err(DecodeError::BodyTooLarge { limit_bytes: limits.decoded_bytes_max });
    }
    let signal = format.signal();
    match format {
        Format::OtlpProtobuf | Format::OtlpTracesProtobuf => {
            otlp::decode_protobuf(signal, body, received_at, limits, sink)
        }
        Format::OtlpJson | Format::OtlpTracesJson => {
            otlp::decode_json(signal, body, received_at, limits, sink)
        }
        Format::JsonLines => json_lines::decode(body, received_at, limits, sink),
        Format::ZipkinJson => zipkin::decode(body, received_at, limits, sink),
    }
}
