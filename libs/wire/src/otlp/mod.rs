//! OTLP logs and spans to records and back, after opentelemetry-proto 1.7 (`logs.proto`, `trace.proto`,
//! `common.proto`, `resource.proto`, `logs_service.proto`, `trace_service.proto`).
//!
//! Two kinds of senders write the same messages. A foreign one gets the rules of [`foreign`]: attributes
//! of resource, scope and record merge, and some of them have a meaning. Our own encoders mark theirs with
//! the scope `logq`; what they wrote is taken back word for word, see [`native`]. The decoders of the two
//! encodings differ only in how they read; what things mean stands in those two modules.

mod decode_json;
mod decode_json_span;
mod decode_protobuf;
mod decode_protobuf_span;
mod encode_json;
mod encode_json_span;
mod encode_protobuf;
mod encode_protobuf_span;
mod foreign;
mod json_envelope;
pub(crate) mod json_tree;
pub(crate) mod native;
pub(crate) mod reading;
mod reading_span;
pub(crate) mod response;
mod span_parts;

pub(crate) use decode_json::decode as decode_json;
pub(crate) use decode_protobuf::decode as decode_protobuf;
pub use encode_json::{OtlpJsonEncoder, encode_otlp_json};
pub use encode_protobuf::{OtlpEncoder, encode_otlp};
