//! What the record attributes of a foreign sender mean.
//!
//! | attribute of the record | field |
//! |---|---|
//! | `service.name`, `host.name` | service and host; the resource's, if it differs, stays under `resource.` |
//! | `correlation_id`, `correlationId`, `x-request-id` … | correlation id, by rank; then those of the resource |
//! | `event.name` | event name, if the record has none (OpenTelemetry before 1.5) |
//! | `baggage` | its `correlation_id`, if nothing else gave one; stays an attribute |
//! | `logq.source.agent`, `.path`, `.offset` | source |
//!
//! Keys such as `level` or `message` mean nothing here: OTLP has fields for them.

use record::keys::{self, Role};

use super::native;
use crate::builder::{Builder, Candidate, Scalar, Text};

/// Adds an attribute of a record.
pub(super) fn attribute<'b>(builder: &mut Builder<'b>, name: Text<'b>, value: Scalar<'b>) {
    let key = builder.text(name);
    match keys::role(key) {
        Some((role, rank)) if has_meaning(role, key) => {
            return builder.offer(role, Candidate { rank, name, value });
        }
        Some(_) => {}
        None if key == keys::BAGGAGE => builder.fields.baggage = builder.word(value),
        None if key.starts_with("logq.source.") && builder.source_field(name, value) => return,
        None => {}
    }
    builder.attribute(name, value);
}

/// The rank of a key among those of the correlation id.
pub(super) fn correlation_rank(key: &str) -> Option<u8> {
    match keys::role(key) {
        Some((Role::CorrelationId, rank)) => Some(rank),
        _ => None,
    }
}

fn has_meaning(role: Role, key: &str) -> bool {
    match role {
        Role::CorrelationId => true,
        Role::Service => key == native::SERVICE,
        Role::Host => key == native::HOST,
        Role::EventName => key == "event.name",
        _ => false,
    }
}
