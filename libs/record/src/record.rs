//! The record itself, owned and borrowed.
//!
//! [`RecordRef`] is what decoders hand on and the store takes in: nothing is copied between the bytes of a
//! request and the columns of a part. [`Record`] is the owned form for everything that is not the hot path.

use std::collections::BTreeMap;

use crate::{Severity, SpanId, Timestamp, TraceId, Value, ValueRef};

/// One structured log entry.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Record {
    /// When it happened, by the line's own clock.
    pub timestamp: Timestamp,
    /// When the pipeline first saw it.
    pub observed_timestamp: Timestamp,
    /// OpenTelemetry's number.
    pub severity: Severity,
    /// The severity as it came.
    pub severity_text: Option<String>,
    /// Which service wrote it.
    pub service: Option<String>,
    /// On which host.
    pub host: Option<String>,
    /// The business interaction it belongs to; opaque, at most 256 bytes, never invented by the pipeline.
    pub correlation_id: Option<String>,
    /// W3C trace id.
    pub trace_id: Option<TraceId>,
    /// W3C span id.
    pub span_id: Option<SpanId>,
    /// The human-readable text.
    pub message: String,
    /// OpenTelemetry's event name.
    pub event_name: Option<String>,
    /// Everything else, flat.
    pub attributes: BTreeMap<String, Value>,
    /// Where it was read from.
    pub source: Source,
}

/// Where a record was read from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Source {
    /// The agent that read it.
    pub agent: Option<String>,
    /// The file or stream.
    pub path: Option<String>,
    /// Byte offset of the line in it.
    pub offset: Option<u64>,
}

/// A borrowed [`Record`]. Absent texts are `None`, never empty (but the message may be); attribute names
/// are unique; floats are finite.
#[derive(Clone, Copy, Debug, PartialEq)]
#[allow(missing_docs)]
pub struct RecordRef<'a> {
    pub timestamp: Timestamp,
    pub observed_timestamp: Timestamp,
    pub severity: Severity,
    pub severity_text: Option<&'a str>,
    pub service: Option<&'a str>,
    pub host: Option<&'a str>,
    pub correlation_id: Option<&'a str>,
    pub trace_id: Option<TraceId>,
    pub span_id: Option<SpanId>,
    pub message: &'a str,
    pub event_name: Option<&'a str>,
    pub attributes: &'a [(&'a str, ValueRef<'a>)],
    pub source: SourceRef<'a>,
}

/// A borrowed [`Source`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct SourceRef<'a> {
    pub agent: Option<&'a str>,
    pub path: Option<&'a str>,
    pub offset: Option<u64>,
}

impl RecordRef<'_> {
    /// Copies the record out of its borrow.
    pub fn to_record(&self) -> Record {
        let own = |text: Option<&str>| text.map(str::to_owned);
        Record {
            timestamp: self.timestamp,
            observed_timestamp: self.observed_timestamp,
            severity: self.severity,
            severity_text: own(self.severity_text),
            service: own(self.service),
            host: own(self.host),
            correlation_id: own(self.correlation_id),
            trace_id: self.trace_id,
            span_id: self.span_id,
            message: self.message.to_owned(),
            event_name: own(self.event_name),
            attributes: self
                .attributes
                .iter()
                .map(|(name, value)| ((*name).to_owned(), value.to_value()))
                .collect(),
            source: Source {
                agent: own(self.source.agent),
                path: own(self.source.path),
                offset: self.source.offset,
            },
        }
    }
}

impl Record {
    /// Calls `use_it` with the borrowed form of this record.
    pub fn with_ref<T>(&self, use_it: impl FnOnce(&RecordRef<'_>) -> T) -> T {
        let attributes: Vec<_> =
            self.attributes.iter().map(|(name, value)| (name.as_str(), value.as_ref())).collect();
        use_it(&RecordRef {
            timestamp: self.timestamp,
            observed_timestamp: self.observed_timestamp,
            severity: self.severity,
            severity_text: self.severity_text.as_deref(),
            service: self.service.as_deref(),
            host: self.host.as_deref(),
            correlation_id: self.correlation_id.as_deref(),
            trace_id: self.trace_id,
            span_id: self.span_id,
            message: &self.message,
            event_name: self.event_name.as_deref(),
            attributes: &attributes,
            source: SourceRef {
                agent: self.source.agent.as_deref(),
                path: self.source.path.as_deref(),
                offset: self.source.offset,
            },
        })
    }
}
