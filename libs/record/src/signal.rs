//! Which of the two tables a record is in, and how a span is laid into the fields of a record.
//!
//! A span (OpenTelemetry's span model) is a record of the signal [`Signal::Spans`]: its start is the timestamp, its
//! name the message; service, host, correlation, trace and span id stand in the same fields as those of a log
//! record. What only spans have stands in attributes of the names in [`span`]. So both signals go through the same
//! journal, columns, indexes and language, under the same promises.

/// Logs or spans.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Signal {
    /// Log records.
    #[default]
    Logs,
    /// Spans of traces.
    Spans,
}

impl Signal {
    /// Both of them.
    pub const ALL: [Signal; 2] = [Self::Logs, Self::Spans];

    /// As it is written after `from`, and in the catalog.
    pub fn name(self) -> &'static str {
        match self {
            Self::Logs => "logs",
            Self::Spans => "spans",
        }
    }
}

/// Names of the attributes that hold what only spans have. A sender's own attribute of such a name is kept as
/// `attribute.NAME`.
pub mod span {
    /// Text of 16 hex digits; absent on the first span of a trace.
    pub const PARENT_SPAN_ID: &str = "parent_span_id";
    /// Integer, nanoseconds from start to end; negative where the sender's end is before its start, absent where the
    /// sender told no end.
    pub const DURATION: &str = "duration";
    /// One of [`KINDS`]; absent if unspecified.
    pub const KIND: &str = "kind";
    /// One of [`STATUSES`]; always there.
    pub const STATUS: &str = "status";
    /// Text beside an error.
    pub const STATUS_MESSAGE: &str = "status_message";
    /// W3C `tracestate`, as it came.
    pub const TRACE_STATE: &str = "trace_state";
    /// JSON array of `{"time": nanoseconds, "name": text, "attributes": {…}}`.
    pub const EVENTS: &str = "events";
    /// JSON array of `{"trace_id": hex, "span_id": hex, "trace_state": text, "attributes": {…}}`.
    pub const LINKS: &str = "links";

    /// All of them.
    pub const NAMES: [&str; 8] =
        [PARENT_SPAN_ID, DURATION, KIND, STATUS, STATUS_MESSAGE, TRACE_STATE, EVENTS, LINKS];

    /// Kinds by OpenTelemetry's number, from 1 on.
    pub const KINDS: [&str; 5] = ["internal", "server", "client", "producer", "consumer"];

    /// Statuses by OpenTelemetry's number, from 0 on.
    pub const STATUSES: [&str; 3] = ["unset", "ok", "error"];
}
