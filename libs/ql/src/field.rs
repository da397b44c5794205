//! The fields of a record, by the names that a query can give them.
//!
//! Every name that is not in the table is an attribute; a name in quotes is always an attribute, so that
//! `"span":x` reaches an attribute called `span`. Names are case-sensitive.

use std::fmt;

use record::{RecordRef, keys};

use crate::nearest;

/// What a test looks at.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(missing_docs)]
pub enum Field {
    Timestamp,
    ObservedTimestamp,
    Severity,
    SeverityText,
    Service,
    Host,
    CorrelationId,
    TraceId,
    SpanId,
    Message,
    EventName,
    SourceAgent,
    SourcePath,
    SourceOffset,
    RecordSeq,
    Attribute(String),
}

/// The fixed fields with their names: the canonical one first, then the aliases.
const NAMES: [(Field, &[&str]); 15] = [
    (Field::Timestamp, &["timestamp", "time", "ts", "@timestamp"]),
    (Field::ObservedTimestamp, &["observed_timestamp", "observed"]),
    (Field::Severity, &["severity", "level", "severity_number"]),
    (Field::SeverityText, &["severity_text"]),
    (Field::Service, &["service", "service.name"]),
    (Field::Host, &["host", "host.name", "hostname"]),
    (Field::CorrelationId, &["correlation_id", "correlation", "correlationId", "correlation-id"]),
    (Field::TraceId, &["trace_id", "trace", "traceId", "trace.id"]),
    (Field::SpanId, &["span_id", "span", "spanId", "span.id"]),
    (Field::Message, &["message", "msg", "body"]),
    (Field::EventName, &["event_name", "event", "event.name"]),
    (Field::SourceAgent, &["source.agent"]),
    (Field::SourcePath, &["source.path"]),
    (Field::SourceOffset, &["source.offset"]),
    (Field::RecordSeq, &["record_seq"]),
];

impl Field {
    /// The field of an unquoted name: a fixed field by its name or an alias, else the attribute of that name.
    pub fn resolve(name: &str) -> Self {
        let fixed = NAMES.iter().find(|(_, names)| names.contains(&name));
        fixed.map_or_else(|| Self::Attribute(name.to_owned()), |(field, _)| field.clone())
    }

    /// The canonical name.
    pub fn name(&self) -> &str {
        if let Self::Attribute(name) = self {
            return name;
        }
        let (_, names) =
            NAMES.iter().find(|(field, _)| field == self).expect("every fixed field has a row");
        names[0]
    }

    /// Its names: the canonical one, then the aliases.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let row = NAMES.iter().find(|(field, _)| field == self);
        let aliases = row.map_or(&[][..], |(_, names)| &names[1..]);
        std::iter::once(self.name()).chain(aliases.iter().copied())
    }

    /// The attribute's name, if it is one.
    pub fn attribute(&self) -> Option<&str> {
        if let Self::Attribute(name) = self { Some(name) } else { None }
    }

    /// All fixed fields, in the order of the record.
    pub fn fixed() -> impl Iterator<Item = Self> {
        NAMES.iter().map(|(field, _)| field.clone())
    }

    /// The canonical names and aliases of all fixed fields.
    pub fn known_names() -> impl Iterator<Item = &'static str> {
        NAMES.iter().flat_map(|(_, names)| names.iter().copied())
    }

    /// The text of a fixed field that is a text, but for the message; `None` also for other fields.
    pub fn text_of<'a>(&self, record: &RecordRef<'a>) -> Option<&'a str> {
        match self {
            Self::SeverityText => record.severity_text,
            Self::Service => record.service,
            Self::Host => record.host,
            Self::CorrelationId => record.correlation_id,
            Self::EventName => record.event_name,
            Self::SourceAgent => record.source.agent,
            Self::SourcePath => record.source.path,
            _ => None,
        }
    }

    /// A fixed field's name that `name` was nearly, if it was mistyped.
    pub(crate) fn nearly(name: &str) -> Option<&'static str> {
        nearest::mistyped(name, Self::known_names())
    }

    /// The fixed field into which decoders put a key of this name when nothing better is there.
    pub(crate) fn taken_by(name: &str) -> Option<Self> {
        let (role, _) = keys::role(name)?;
        Some(match role {
            keys::Role::Timestamp => Self::Timestamp,
            keys::Role::ObservedTimestamp => Self::ObservedTimestamp,
            keys::Role::Message => Self::Message,
            keys::Role::Severity | keys::Role::SeverityNumber => Self::Severity,
            keys::Role::Service => Self::Service,
            keys::Role::Host => Self::Host,
            keys::Role::CorrelationId => Self::CorrelationId,
            keys::Role::TraceId => Self::TraceId,
            keys::Role::SpanId => Self::SpanId,
            keys::Role::EventName => Self::EventName,
        })
    }
}

impl fmt::Display for Field {
    /// The name as it can be written in a query: in quotes where it must be.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        crate::print::field_name(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_aliases_resolve_and_others_are_attributes() {
        for (field, names) in NAMES {
            for name in names {
                assert_eq!(Field::resolve(name), field);
            }
            assert_eq!(field.name(), names[0]);
        }
        assert_eq!(Field::resolve("Service"), Field::Attribute("Service".into()));
        assert_eq!(Field::resolve("order_id").name(), "order_id");
    }

    #[test]
    fn near_misses_are_told_from_other_names() {
        assert_eq!(Field::nearly("levle"), Some("level"));
        assert_eq!(Field::nearly("corelation"), Some("correlation"));
        assert_eq!(Field::nearly("sevice"), Some("service"));
        for name in ["cost", "port", "user", "url.path", "items", "service"] {
            assert_eq!(Field::nearly(name), None, "{name}");
        }
    }
}
