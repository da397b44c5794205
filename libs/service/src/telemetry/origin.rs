//! Where work comes from: the correlation that it belongs to, and the span that caused it.
//!
//! Both travel in OpenTelemetry's context, the correlation id as the member `correlation_id` of the baggage: whatever
//! is done within a span that has it (further spans, lines, calls, messages) has it too. An id from outside is taken if
//! it is 1 to 256 printable ASCII characters, which is what fits every header and every store; else there is a new one.

use std::collections::BTreeMap;

use axum::http::HeaderMap;
use opentelemetry::baggage::{Baggage, BaggageExt};
use opentelemetry::trace::{Status, TraceContextExt};
use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::trace::{IdGenerator, RandomIdGenerator};
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt;

use super::propagation::{self, HttpHeaders, MessageHeaders};
use crate::semantics::record;

/// A longer correlation id is replaced: logq would not take it for one either.
pub const CORRELATION_BYTES_MAX: usize = 256;

/// The correlation of a piece of work, and the remote span that caused it, if there is one.
#[derive(Clone, Debug)]
pub struct Origin {
    context: Context,
}

impl Origin {
    /// Work that nobody outside asked for: a timer, a job. An id that cannot be one is replaced by a new one.
    pub fn of_correlation(id: &str) -> Self {
        let id = Some(id).filter(|id| is_correlation_id(id)).map(str::to_owned);
        Self::of(Context::new(), id.unwrap_or_else(new_correlation_id))
    }

    /// What the headers of a message say, see [`super::messages`].
    pub fn of_message(headers: &BTreeMap<String, String>) -> Self {
        let context = propagation::extract(&MessageHeaders(headers));
        let id = correlation_in(
            &context,
            headers.get(propagation::CORRELATION_HEADER).map(String::as_str),
        );
        Self::of(context, id.unwrap_or_else(new_correlation_id))
    }

    /// What the headers of a request say; `new_id` makes the correlation id if they have none.
    pub fn of_request(headers: &HeaderMap, new_id: impl FnOnce() -> String) -> Self {
        let context = propagation::extract(&HttpHeaders(headers));
        let named = headers.get(propagation::CORRELATION_HEADER);
        let id = correlation_in(&context, named.and_then(|id| id.to_str().ok()));
        Self::of(context, id.unwrap_or_else(new_id))
    }

    fn of(context: Context, id: String) -> Self {
        let mut baggage = Baggage::new();
        // First, so that a caller's full baggage does not keep it out.
        baggage.insert(record::CORRELATION_ID, id);
        for (key, (value, metadata)) in context.baggage() {
            if key.as_str() != record::CORRELATION_ID {
                baggage.insert_with_metadata(key.clone(), value.clone(), metadata.as_str());
            }
        }
        Self { context: context.with_baggage(baggage) }
    }

    /// The correlation id.
    pub fn correlation_id(&self) -> String {
        correlation_of(&self.context).unwrap_or_default()
    }

    /// Makes `span`, which nobody has entered yet, the beginning of the work: the child of the remote span if there is
    /// one, the first of a new trace else. A span of level INFO or above; any other is not there.
    pub fn begin(self, span: &Span) {
        // Fails where there is no such span; what is done in it then belongs to whatever is around it.
        let _ = span.set_parent(self.context);
    }
}

/// The correlation id of what is being done here.
pub fn correlation_id() -> Option<String> {
    Context::map_current(correlation_of)
}

/// The trace and the span of what is being done here, as hex.
pub fn trace_and_span_id() -> Option<(String, String)> {
    Context::map_current(|context| {
        let span = context.span();
        let ids = span.span_context();
        ids.is_valid().then(|| (ids.trace_id().to_string(), ids.span_id().to_string()))
    })
}

/// Marks the current span as failed. `error_type` is one of few values, the message is for people.
pub fn fail(error_type: &'static str, message: impl Into<String>) {
    let span = Span::current();
    span.set_attribute(record::ERROR_TYPE, error_type);
    span.set_status(Status::error(message.into()));
}

/// An id that nobody had before.
pub fn new_correlation_id() -> String {
    RandomIdGenerator::default().new_trace_id().to_string()
}

/// What is to be exported with each span.
pub(super) fn correlation_attribute(context: &Context) -> Option<KeyValue> {
    correlation_of(context).map(|id| KeyValue::new(record::CORRELATION_ID, id))
}

pub(super) fn correlation_of(context: &Context) -> Option<String> {
    context.baggage().get(record::CORRELATION_ID).map(|id| id.as_str().to_owned())
}

fn correlation_in(context: &Context, named: Option<&str>) -> Option<String> {
    let named = named.filter(|id| is_correlation_id(id)).map(str::to_owned);
    named.or_else(|| correlation_of(context).filter(|id| is_correlation_id(id)))
}

fn is_correlation_id(id: &str) -> bool {
    let printable = |byte: u8| (b' '..=b'~').contains(&byte);
    (1..=CORRELATION_BYTES_MAX).contains(&id.len()) && id.bytes().all(printable)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(headers: &[(&str, &str)], expected: &str) {
        let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let headers: BTreeMap<_, _> = headers.collect();
        let found = Origin::of_message(&headers).correlation_id();
        match expected {
            "new" => assert_eq!(found.len(), 32, "{headers:?}"),
            expected => assert_eq!(found, expected, "{headers:?}"),
        }
    }

    #[test]
    fn a_sound_correlation_id_is_kept_and_any_other_is_replaced() {
        let long = "x".repeat(CORRELATION_BYTES_MAX + 1);
        check(&[("x-correlation-id", "ord-1")], "ord-1");
        check(&[("x-correlation-id", &long[1..])], &long[1..]);
        check(&[("baggage", "tenant=a, correlation_id=b%2F1;p=1")], "b/1");
        check(&[("x-correlation-id", "ord-1"), ("baggage", "correlation_id=b")], "ord-1");
        check(&[("x-correlation-id", ""), ("baggage", "correlation_id=b")], "b");
        for bad in ["", "a\nb", "ä", &long] {
            check(&[("x-correlation-id", bad)], "new");
        }
        check(&[("baggage", "correlation_id=%00")], "new");
        check(&[], "new");
    }

    #[test]
    fn a_full_baggage_does_not_keep_the_correlation_id_out() {
        let members: Vec<_> = (0..64).map(|number| format!("k{number}=v")).collect();
        check(&[("x-correlation-id", "ord-1"), ("baggage", &members.join(","))], "ord-1");
    }
}
