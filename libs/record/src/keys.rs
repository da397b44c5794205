//! The keys of structured logs that mean one of the record's fixed fields.
//!
//! The one table of its kind: every decoder and every agent parser asks here. Names are case-sensitive.
//! Among several keys of one role the one of the lowest rank wins, wherever it stands; the others stay
//! attributes, and so does a value that does not fit its role.

/// A fixed field that a key can mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum Role {
    Timestamp,
    ObservedTimestamp,
    Message,
    /// A word (`warn`), or a number of pino's and bunyan's scale (10, 20 … 60).
    Severity,
    /// OpenTelemetry's number, 1 to 24.
    SeverityNumber,
    Service,
    Host,
    CorrelationId,
    TraceId,
    SpanId,
    EventName,
}

impl Role {
    /// How many roles there are; `role as usize` is below it.
    pub const COUNT: usize = 11;
}

/// Attribute that keeps the text of a time that could not be read or does not fit.
pub const TIMESTAMP_TEXT: &str = "logq.timestamp_text";
/// Attribute that keeps the original bytes, as base64, of a line that was not UTF-8.
pub const ORIGINAL_BYTES: &str = "logq.original_bytes";
/// Attribute that numbers the parts of a line that was too long for one record: `1/3`, `2/3` …
pub const LINE_PART: &str = "logq.line_part";
/// Attribute that says that a line did not parse and is shipped whole as the message.
pub const UNPARSED: &str = "logq.unparsed";

/// Attribute that says that a record of several lines was handed out before its end was known, at a bound.
pub const RECORD_CUT: &str = "logq.record_cut";
/// OpenTelemetry's attribute of the stream that a line was written to, `stdout` or `stderr`.
pub const IO_STREAM: &str = "log.iostream";

/// The role of a key and its rank in that role (0 wins); `None` for an ordinary attribute.
pub fn role(key: &str) -> Option<(Role, u8)> {
    use Role::*;
    Some(match key {
        "@timestamp" => (Timestamp, 0),
        "timestamp" => (Timestamp, 1),
        "time" => (Timestamp, 2),
        "ts" => (Timestamp, 3),
        "date" => (Timestamp, 4),
        "datetime" => (Timestamp, 5),
        "observed_timestamp" => (ObservedTimestamp, 0),
        "message" => (Message, 0),
        "msg" => (Message, 1),
        "log" => (Message, 2),
        "body" => (Message, 3),
        "level" => (Severity, 0),
        "severity" => (Severity, 1),
        "log.level" => (Severity, 2),
        "lvl" => (Severity, 3),
        "severity_text" => (Severity, 4),
        "severityText" => (Severity, 5),
        "levelname" => (Severity, 6),
        "loglevel" => (Severity, 7),
        "severity_number" => (SeverityNumber, 0),
        "severityNumber" => (SeverityNumber, 1),
        "service" => (Service, 0),
        "service.name" => (Service, 1),
        "service_name" => (Service, 2),
        "serviceName" => (Service, 3),
        "app" => (Service, 4),
        "application" => (Service, 5),
        "host" => (Host, 0),
        "host.name" => (Host, 1),
        "hostname" => (Host, 2),
        "host_name" => (Host, 3),
        "correlation_id" => (CorrelationId, 0),
        "correlationId" => (CorrelationId, 1),
        "correlation-id" => (CorrelationId, 2),
        "x-correlation-id" => (CorrelationId, 3),
        "request_id" => (CorrelationId, 4),
        "requestId" => (CorrelationId, 5),
        "x-request-id" => (CorrelationId, 6),
        "trace_id" => (TraceId, 0),
        "traceId" => (TraceId, 1),
        "trace.id" => (TraceId, 2),
        "traceid" => (TraceId, 3),
        "span_id" => (SpanId, 0),
        "spanId" => (SpanId, 1),
        "span.id" => (SpanId, 2),
        "spanid" => (SpanId, 3),
        "event_name" => (EventName, 0),
        "event.name" => (EventName, 1),
        "eventName" => (EventName, 2),
        _ => return None,
    })
}

/// The key of OpenTelemetry baggage (`a=1,correlation_id=x;p`), read for the correlation id after all others.
pub const BAGGAGE: &str = "baggage";

/// The value of `correlation_id` in a W3C baggage header, percent-decoding left to the caller.
pub fn correlation_in_baggage(baggage: &str) -> Option<&str> {
    baggage.split(',').find_map(|member| {
        let (key, value) = member.split_once('=')?;
        let value = value.split(';').next().unwrap_or(value).trim();
        (key.trim() == "correlation_id" && !value.is_empty()).then_some(value)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_case_sensitive_and_ranked() {
        assert_eq!(role("correlation_id"), Some((Role::CorrelationId, 0)));
        assert_eq!(role("x-request-id"), Some((Role::CorrelationId, 6)));
        assert_eq!(role("Correlation_ID"), None);
        assert_eq!(role("url.path"), None);
    }

    #[test]
    fn baggage_gives_its_correlation_id() {
        assert_eq!(correlation_in_baggage("user=1, correlation_id = abc;ttl=1"), Some("abc"));
        assert_eq!(correlation_in_baggage("xcorrelation_id=abc"), None);
        assert_eq!(correlation_in_baggage(""), None);
    }
}
