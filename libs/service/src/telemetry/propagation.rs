//! How the origin of work travels in headers.
//!
//! Out go W3C's `traceparent`, `tracestate` and `baggage`, and `x-correlation-id` for whoever knows no baggage. In come
//! the same, and B3 where there is no sound `traceparent`: the single `b3` header (`TRACE-SPAN-SAMPLED-PARENT`, the last
//! two may be absent) or `x-b3-traceid`, `x-b3-spanid`, `x-b3-sampled` and `x-b3-flags`; trace ids of 64 bits are
//! filled up with zeros (<https://github.com/openzipkin/b3-propagation>). Headers that make no sense are as if absent.

use std::collections::BTreeMap;

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use opentelemetry::Context;
use opentelemetry::propagation::{Extractor, Injector, TextMapPropagator};
use opentelemetry::trace::{SpanContext, SpanId, TraceContextExt, TraceFlags, TraceId, TraceState};
use opentelemetry_sdk::propagation::{BaggagePropagator, TraceContextPropagator};

use super::origin::correlation_of;

/// The correlation id alone.
pub const CORRELATION_HEADER: &str = "x-correlation-id";

/// What the headers say, on top of nothing.
pub(super) fn extract(headers: &dyn Extractor) -> Context {
    let none = Context::new();
    let parent = match headers.get("traceparent") {
        Some(parent) if is_plain(parent) => {
            TraceContextPropagator::new().extract_with_context(&none, headers)
        }
        _ => none.clone(),
    };
    let context = match parent.has_active_span() {
        true => parent,
        false => b3(headers).map_or(none.clone(), |parent| none.with_remote_span_context(parent)),
    };
    BaggagePropagator::new().extract_with_context(&context, headers)
}

/// Writes what is being done here into `headers`.
pub(super) fn inject(headers: &mut dyn Injector) {
    Context::map_current(|context| {
        TraceContextPropagator::new().inject_context(context, headers);
        BaggagePropagator::new().inject_context(context, headers);
        if let Some(id) = correlation_of(context) {
            headers.set(CORRELATION_HEADER, id);
        }
    });
}

/// Whether the four fields of version 0 hold nothing but lower-case hex digits; the library takes signs for digits.
fn is_plain(traceparent: &str) -> bool {
    let is_plain = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f' | b'-');
    traceparent.trim().bytes().take(55).all(is_plain)
}

fn b3(headers: &dyn Extractor) -> Option<SpanContext> {
    if let Some(single) = headers.get("b3") {
        let mut parts = single.trim().split('-');
        let (trace_id, span_id) = (parts.next()?, parts.next()?);
        return b3_context(trace_id, span_id, parts.next() == Some("0"));
    }
    let get = |name| headers.get(name).map(str::trim);
    let dropped =
        matches!(get("x-b3-sampled"), Some("0" | "false")) && get("x-b3-flags") != Some("1");
    b3_context(get("x-b3-traceid")?, get("x-b3-spanid")?, dropped)
}

fn b3_context(trace_id: &str, span_id: &str, dropped: bool) -> Option<SpanContext> {
    let is_hex = |id: &str| id.bytes().all(|byte| byte.is_ascii_hexdigit());
    if !matches!(trace_id.len(), 16 | 32)
        || span_id.len() != 16
        || !is_hex(trace_id)
        || !is_hex(span_id)
    {
        return None;
    }
    let trace_id = TraceId::from(u128::from_str_radix(trace_id, 16).ok()?);
    let span_id = SpanId::from(u64::from_str_radix(span_id, 16).ok()?);
    let flags = if dropped { TraceFlags::default() } else { TraceFlags::SAMPLED };
    let context = SpanContext::new(trace_id, span_id, flags, true, TraceState::default());
    context.is_valid().then_some(context)
}

/// The headers of an HTTP message.
pub(super) struct HttpHeaders<'a>(pub(super) &'a HeaderMap);

impl Extractor for HttpHeaders<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).and_then(|value| value.to_str().ok())
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(HeaderName::as_str).collect()
    }
}

/// The headers of an HTTP message that is to be sent.
pub(super) struct HttpHeadersOut<'a>(pub(super) &'a mut HeaderMap);

impl Injector for HttpHeadersOut<'_> {
    fn set(&mut self, key: &str, value: String) {
        // An empty `tracestate` says nothing.
        if value.is_empty() {
            return;
        }
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(key), HeaderValue::try_from(value)) {
            self.0.insert(name, value);
        }
    }
}

/// The headers of a queue's message. Brokers may have changed the case of their names.
pub(super) struct MessageHeaders<'a>(pub(super) &'a BTreeMap<String, String>);

impl Extractor for MessageHeaders<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        let exact = self.0.get(key);
        let found = exact.or_else(|| {
            self.0.iter().find(|(name, _)| name.eq_ignore_ascii_case(key)).map(|(_, value)| value)
        });
        found.map(String::as_str)
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(String::as_str).collect()
    }
}

/// The headers of a queue's message that is to be published.
pub(super) struct MessageHeadersOut<'a>(pub(super) &'a mut BTreeMap<String, String>);

impl Injector for MessageHeadersOut<'_> {
    fn set(&mut self, key: &str, value: String) {
        if !value.is_empty() {
            self.0.insert(key.to_owned(), value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
    const SPAN: &str = "b7ad6b7169203331";

    fn check(headers: &[(&str, &str)], expected: Option<(&str, bool)>) {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.insert(HeaderName::try_from(*name).unwrap(), value.parse().unwrap());
        }
        let context = extract(&HttpHeaders(&map));
        let span = context.span();
        let ids = span.span_context();
        let found = ids.is_valid().then(|| (ids.trace_id().to_string(), ids.is_sampled()));
        assert_eq!(found, expected.map(|(id, sampled)| (id.to_owned(), sampled)), "{headers:?}");
        assert!(found.is_none() || ids.span_id().to_string() == SPAN, "{headers:?}");
    }

    #[test]
    fn the_callers_trace_is_understood_in_every_way_it_is_written() {
        let w3c = format!("00-{TRACE}-{SPAN}-01");
        let short = &TRACE[16..];
        let filled = format!("{}{short}", "0".repeat(16));
        check(&[("traceparent", &w3c)], Some((TRACE, true)));
        check(&[("traceparent", &format!("00-{TRACE}-{SPAN}-00"))], Some((TRACE, false)));
        check(
            &[("traceparent", &w3c), ("b3", &format!("{}-{SPAN}", "1".repeat(32)))],
            Some((TRACE, true)),
        );
        check(
            &[("traceparent", "00-x"), ("b3", &format!("{TRACE}-{SPAN}-1"))],
            Some((TRACE, true)),
        );
        check(&[("b3", &format!("{TRACE}-{SPAN}"))], Some((TRACE, true)));
        check(&[("b3", &format!("{TRACE}-{SPAN}-0-{SPAN}"))], Some((TRACE, false)));
        check(&[("b3", &format!("{TRACE}-{SPAN}-d"))], Some((TRACE, true)));
        check(&[("b3", &format!("{short}-{SPAN}"))], Some((&filled, true)));
        check(&[("x-b3-traceid", TRACE), ("x-b3-spanid", SPAN)], Some((TRACE, true)));
        check(
            &[("x-b3-traceid", TRACE), ("x-b3-spanid", SPAN), ("x-b3-sampled", "0")],
            Some((TRACE, false)),
        );
        check(
            &[
                ("x-b3-traceid", TRACE),
                ("x-b3-spanid", SPAN),
                ("x-b3-sampled", "0"),
                ("x-b3-flags", "1"),
            ],
            Some((TRACE, true)),
        );
    }

    #[test]
    fn what_makes_no_sense_is_as_if_absent() {
        let zeros = "0".repeat(32);
        for header in [
            "".to_owned(),
            TRACE.to_owned(),
            format!("00-{TRACE}"),
            format!("00-{}-{SPAN}-01", TRACE.to_uppercase()),
            format!("00-+{}-{SPAN}-01", &TRACE[1..]),
            format!("00-{zeros}-{SPAN}-01"),
            format!("00-{TRACE}-{}-01", "0".repeat(16)),
        ] {
            check(&[("traceparent", &header)], None);
        }
        for header in [
            "0".to_owned(),
            "-".to_owned(),
            format!("{TRACE}-"),
            format!("+{}-{SPAN}", &TRACE[1..]),
            format!("{zeros}-{SPAN}"),
        ] {
            check(&[("b3", &header)], None);
        }
        check(&[("x-b3-traceid", TRACE)], None);
        check(&[], None);
    }

    #[test]
    fn message_headers_are_found_in_any_case() {
        let headers = BTreeMap::from([("TraceParent".to_owned(), format!("00-{TRACE}-{SPAN}-01"))]);
        assert!(extract(&MessageHeaders(&headers)).span().span_context().is_valid());
    }
}
