//! What travels between agents and the collector, and how it becomes records.
//!
//! Bytes in, borrowed records out: [`decompress`] undoes the transport's compression within a bound,
//! [`decode`] reads one body of one of the [`Format`]s and hands each record to a sink without copying it.
//! [`OtlpEncoder`] and [`OtlpJsonEncoder`] are the way back, and `record → OTLP → record` is the identity, for log
//! records and for spans.
//! The crate does no I/O and knows nothing of HTTP but the names of a few headers and status numbers.
//!
//! The journal keeps bodies as they were received and decodes them again when it is replayed, so the same
//! bytes must give the same records for ever: a change of any rule in here is a new [`DECODER_VERSION`].

mod batch_name;
mod builder;
mod compression;
mod decode;
mod error;
mod fit;
mod format;
mod hex;
mod json_lines;
mod json_text;
mod limits;
mod otlp;
mod protobuf;
mod unique;
mod zipkin;

pub use batch_name::{BatchName, header};
pub use compression::{compress, decompress};
pub use decode::{Decoded, decode};
pub use error::{DecodeError, RejectReason, Rejected};
pub use format::{Encoding, Format};
pub use limits::Limits;
pub use otlp::response::{export_response, grpc_code, grpc_retry_details, status};
pub use otlp::{OtlpEncoder, OtlpJsonEncoder, encode_otlp, encode_otlp_json};

/// The version of all the rules by which bytes become records; the journal notes it with every entry.
pub const DECODER_VERSION: u16 = 1;
