//! The record: what one log entry is, everywhere in logq.
//!
//! OpenTelemetry's log data model is the reference. This crate holds the model and the rules that every
//! other crate must agree on: severities, ids, times, attribute values, the table of JSON keys with a
//! meaning, and the tokenizer. It does no I/O and imports nothing of ours.

mod ids;
pub mod keys;
mod record;
mod severity;
mod signal;
mod time;
pub mod time_parameter;
pub mod tokenizer;
mod value;

pub use ids::{SpanId, TraceId};
pub use record::{Record, RecordRef, Source, SourceRef};
pub use severity::{Level, Severity};
pub use signal::{Signal, span};
pub use time::{NANOS_PER_DAY, NANOS_PER_SECOND, Timestamp};
pub use value::{Value, ValueRef};

/// Longest correlation id in bytes; a longer one stays an attribute.
pub const CORRELATION_ID_BYTES_MAX: usize = 256;
