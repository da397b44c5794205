//! One record or span, read from the line of JSON in which the query service gives it out.

use record::{Severity, Signal, SpanId, Timestamp, TraceId, span};
use serde_json::{Map, Value};

/// A log record or a span.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Which of the two.
    pub signal: Signal,
    /// When it happened, or began; nanoseconds, by the clock of whoever told it.
    pub time: i64,
    /// Its place in the store's order.
    pub record_seq: u64,
    /// Who told it; empty if nobody knows.
    pub service: String,
    /// On which host.
    pub host: Option<String>,
    /// OpenTelemetry's number; spans have none.
    pub severity: Severity,
    /// The interaction that it says it belongs to.
    pub correlation_id: Option<String>,
    /// The trace that it belongs to.
    pub trace_id: Option<TraceId>,
    /// The span that it is, or that it was told in.
    pub span_id: Option<SpanId>,
    /// The span's parent.
    pub parent: Option<SpanId>,
    /// Nanoseconds from start to end; spans only, negative where the sender said so.
    pub duration: Option<i64>,
    /// A record's message, a span's name.
    pub message: String,
    /// The record's `event_name`.
    pub event_name: Option<String>,
    /// All other attributes.
    pub attributes: Map<String, Value>,
}

impl Entry {
    /// Reads a line; `None` where it is no record.
    pub fn read(signal: Signal, mut line: Map<String, Value>) -> Option<Self> {
        let time = Timestamp::parse_rfc3339(line.get("timestamp")?.as_str()?)?.0;
        let record_seq = line.get("record_seq").and_then(Value::as_u64).unwrap_or_default();
        let mut text = |name: &str| match line.remove(name) {
            Some(Value::String(text)) => Some(text),
            _ => None,
        };
        let trace_id = text("trace_id").and_then(|id| TraceId::from_hex(&id));
        let span_id = text("span_id").and_then(|id| SpanId::from_hex(&id));
        let correlation_id = text("correlation_id");
        let (service, host) = (text("service").unwrap_or_default(), text("host"));
        let (message, event_name) = (text("message").unwrap_or_default(), text("event_name"));
        let severity = line.get("severity_number").and_then(Value::as_i64);
        let severity = severity.and_then(Severity::from_number).unwrap_or_default();
        let attributes = match line.remove("attributes") {
            Some(Value::Object(attributes)) => attributes,
            _ => Map::new(),
        };
        let (mut parent, mut duration) = (None, None);
        if signal == Signal::Spans {
            let of = |name: &str| attributes.get(name);
            parent = of(span::PARENT_SPAN_ID).and_then(Value::as_str).and_then(SpanId::from_hex);
            duration = of(span::DURATION).and_then(Value::as_i64);
        }
        Some(Self {
            signal,
            time,
            record_seq,
            service,
            host,
            severity,
            correlation_id,
            trace_id,
            span_id,
            parent,
            duration,
            message,
            event_name,
            attributes,
        })
    }

    /// Whether it is a span.
    pub fn is_span(&self) -> bool {
        self.signal == Signal::Spans
    }

    /// When it ended: for records, and spans without an end, when it happened. Never before its beginning.
    pub fn end(&self) -> i64 {
        self.time.saturating_add(self.duration.unwrap_or(0).max(0))
    }

    /// A text among its attributes.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.attributes.get(name)?.as_str()
    }

    /// An integer among its attributes, also as its decimal text: some SDKs know no others on spans.
    pub fn int(&self, name: &str) -> Option<i64> {
        match self.attributes.get(name)? {
            Value::String(text) => text.parse().ok(),
            value => value.as_i64(),
        }
    }

    /// A span's kind, or the empty text.
    pub fn kind(&self) -> &str {
        self.text(span::KIND).filter(|_| self.is_span()).unwrap_or_default()
    }

    /// Whether a span failed, or a record tells of an error.
    pub fn is_error(&self) -> bool {
        match self.signal {
            Signal::Spans => self.text(span::STATUS) == Some("error"),
            Signal::Logs => self.severity.number() >= 17,
        }
    }

    /// What it is, for people: a call is named by whom it calls where its name is only a method (as OpenTelemetry's
    /// conventions have it).
    pub(crate) fn title(&self) -> String {
        let method = self.text(semantics::http::REQUEST_METHOD);
        if self.kind() != "client" || method != Some(self.message.as_str()) {
            return self.message.clone();
        }
        let peer = self
            .text(semantics::http::PEER_NAME)
            .or_else(|| self.text(semantics::http::SERVER_ADDRESS))
            .unwrap_or_default();
        let path = self.text(semantics::http::URL_PATH).unwrap_or_default();
        format!("{} {peer}{path}", self.message).trim_end().to_owned()
    }

    /// Whose clock told its time: the host's if it is known, else the service's.
    pub(crate) fn clock(&self) -> &str {
        self.host.as_deref().unwrap_or(&self.service)
    }

    /// Spans that a span links to.
    pub(crate) fn links(&self) -> Vec<(TraceId, SpanId)> {
        let Some(text) = self.text(span::LINKS).filter(|_| self.is_span()) else {
            return Vec::new();
        };
        let links: Vec<Map<String, Value>> = serde_json::from_str(text).unwrap_or_default();
        let id = |link: &Map<String, Value>| {
            let trace = TraceId::from_hex(link.get("trace_id")?.as_str()?)?;
            Some((trace, SpanId::from_hex(link.get("span_id")?.as_str()?)?))
        };
        links.iter().filter_map(id).collect()
    }
}
