//! How our own encoders write a record, so that it is the same record when it is read.
//!
//! A scope of the name `logq` and version `1` says that record attributes are to be taken word for word:
//! none of them means a fixed field, but these, which OTLP has no field for.
//!
//! | record | OTLP |
//! |---|---|
//! | service, host | `service.name`, `host.name` of the resource, and nothing else there |
//! | correlation id | attribute `correlation_id` |
//! | source | attributes `logq.source.agent`, `logq.source.path`, `logq.source.offset` |
//! | a time of 0 or below, which OTLP takes for "unknown" or for the far future | `logq.timestamp`, `logq.observed_timestamp`, i64 ns |
//! | an attribute that has one of these names, or begins with `logq.attribute.` | the same with `logq.attribute.` before it |
//! | of a span: its observed time, which OTLP has not | `logq.observed_timestamp`, i64 ns, always |
//! | of a span: what is in an attribute of [`record::span`] | its field; if it does not fit, as an escaped attribute |
//!
//! Any other OTLP consumer finds service, host, correlation id, trace and body where it expects them.

use record::{RecordRef, Timestamp, ValueRef};

use super::reading_span::field_named;
use super::span_parts::SpanParts;

pub(crate) const SCOPE_NAME: &str = "logq";
pub(crate) const SCOPE_VERSION: &str = "1";

pub(crate) const SERVICE: &str = "service.name";
pub(crate) const HOST: &str = "host.name";

pub(crate) const CORRELATION_ID: &str = "correlation_id";
pub(crate) const SOURCE_AGENT: &str = "logq.source.agent";
pub(crate) const SOURCE_PATH: &str = "logq.source.path";
pub(crate) const SOURCE_OFFSET: &str = "logq.source.offset";
pub(crate) const TIMESTAMP: &str = "logq.timestamp";
pub(crate) const OBSERVED_TIMESTAMP: &str = "logq.observed_timestamp";
/// Stands before the name of an attribute that would be taken for one of the above.
pub(crate) const ESCAPE: &str = "logq.attribute.";

/// Whether an attribute of this name must be escaped.
pub(crate) fn is_reserved(name: &str) -> bool {
    match name {
        CORRELATION_ID | SOURCE_AGENT | SOURCE_PATH | SOURCE_OFFSET | TIMESTAMP
        | OBSERVED_TIMESTAMP => true,
        _ => name.starts_with(ESCAPE),
    }
}

/// A time as OTLP can say it.
pub(crate) fn unix_nano(time: Timestamp) -> Option<u64> {
    u64::try_from(time.0).ok().filter(|nanos| *nanos > 0)
}

/// Calls `push` with each attribute of a log record as it travels: prefix, name, value.
pub(crate) fn for_each_attribute(
    record: &RecordRef<'_>,
    mut push: impl FnMut(&'static str, &str, ValueRef<'_>),
) {
    if unix_nano(record.observed_timestamp).is_none() {
        push("", OBSERVED_TIMESTAMP, ValueRef::I64(record.observed_timestamp.0));
    }
    for_each_fixed_field(record, &mut push);
    for (name, value) in record.attributes {
        push(if is_reserved(name) { ESCAPE } else { "" }, name, *value);
    }
}

/// As [`for_each_attribute`], of a span: without those that went into its fields.
pub(super) fn for_each_span_attribute(
    record: &RecordRef<'_>,
    parts: &SpanParts<'_>,
    mut push: impl FnMut(&'static str, &str, ValueRef<'_>),
) {
    push("", OBSERVED_TIMESTAMP, ValueRef::I64(record.observed_timestamp.0));
    for_each_fixed_field(record, &mut push);
    for (name, value) in record.attributes.iter().filter(|(name, _)| !parts.took(name)) {
        let escaped = is_reserved(name) || field_named(name).is_some();
        push(if escaped { ESCAPE } else { "" }, name, *value);
    }
}

/// What a record has in fields of its own and OTLP in attributes.
fn for_each_fixed_field(
    record: &RecordRef<'_>,
    push: &mut impl FnMut(&'static str, &str, ValueRef<'_>),
) {
    if let Some(id) = record.correlation_id {
        push("", CORRELATION_ID, ValueRef::String(id));
    }
    if unix_nano(record.timestamp).is_none() {
        push("", TIMESTAMP, ValueRef::I64(record.timestamp.0));
    }
    for (name, text) in [(SOURCE_AGENT, record.source.agent), (SOURCE_PATH, record.source.path)] {
        if let Some(text) = text {
            push("", name, ValueRef::String(text));
        }
    }
    if let Some(offset) = record.source.offset {
        match i64::try_from(offset) {
            Ok(offset) => push("", SOURCE_OFFSET, ValueRef::I64(offset)),
            Err(_) => push("", SOURCE_OFFSET, ValueRef::String(&offset.to_string())),
        }
    }
}
