//! What ties the lines of one order together, and how it travels: `x-correlation-id` for the whole interaction, and
//! W3C's `traceparent` (`00-TRACE-SPAN-FLAGS`: 32, 16 and 2 hex digits) for the call at hand.

use std::ops::Range;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use axum::http::{HeaderMap, StatusCode};
use fastrand::Rng;
use reqwest::{Client, Url};
use serde::Serialize;
use serde_json::Value;

pub(crate) const CORRELATION_HEADER: &str = "x-correlation-id";
const TRACE_HEADER: &str = "traceparent";
/// A longer id from outside is replaced: logq would not take it for one either.
const CORRELATION_BYTES_MAX: usize = 256;

/// The ids of one request in one service.
#[derive(Clone, Debug)]
pub(crate) struct Context {
    pub(crate) correlation_id: String,
    pub(crate) trace_id: u128,
    pub(crate) span_id: u64,
}

impl Context {
    /// Goes on with the caller's correlation and trace, and begins what the caller did not bring; the span is new.
    pub(crate) fn of_request(headers: &HeaderMap, ids: &Ids) -> Self {
        let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
        let correlation_id = text(CORRELATION_HEADER)
            .filter(|id| !id.is_empty() && id.len() <= CORRELATION_BYTES_MAX)
            .map_or_else(|| ids.short("ord"), str::to_owned);
        let trace_id =
            text(TRACE_HEADER).and_then(trace_of).unwrap_or_else(|| ids.draw(|rng| rng.u128(1..)));
        Self { correlation_id, trace_id, span_id: ids.draw(|rng| rng.u64(1..)) }
    }

    /// Posts `body` to the next service and reads its JSON answer, whatever the status is.
    pub(crate) async fn post(
        &self,
        client: &Client,
        url: &Url,
        timeout: Duration,
        body: &impl Serialize,
    ) -> reqwest::Result<(StatusCode, Value)> {
        let answer = client
            .post(url.clone())
            .timeout(timeout)
            .header(CORRELATION_HEADER, &self.correlation_id)
            .header(TRACE_HEADER, format!("00-{:032x}-{:016x}-01", self.trace_id, self.span_id))
            .json(body)
            .send()
            .await?;
        Ok((answer.status(), answer.json().await?))
    }
}

/// The trace id of a `traceparent`; `None` if it has none that is sound.
fn trace_of(header: &str) -> Option<u128> {
    let mut parts = header.split('-').skip(1);
    let (trace_id, span_id) = (parts.next()?, parts.next()?);
    let is_sound = |id: &str, digits| {
        let is_hex = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        id.len() == digits && id.bytes().all(is_hex) && id.bytes().any(|byte| byte != b'0')
    };
    let sound = is_sound(trace_id, 32) && is_sound(span_id, 16);
    sound.then(|| u128::from_str_radix(trace_id, 16).ok()).flatten()
}

/// Where a service takes its ids and its small delays from; the same seed draws the same.
#[derive(Debug)]
pub(crate) struct Ids {
    state: Mutex<(Rng, u32)>,
}

impl Ids {
    pub(crate) fn new(mut rng: Rng) -> Self {
        let first = rng.u32(..);
        Self { state: Mutex::new((rng, first)) }
    }

    /// `PREFIX-` and eight hex digits that do not come again within 2^32 calls: a counter behind a permutation, since
    /// 32 random bits would meet again after a day.
    pub(crate) fn short(&self, prefix: &str) -> String {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.1 = state.1.wrapping_add(1);
        format!("{prefix}-{:08x}", permuted(state.1))
    }

    /// A time from `milliseconds`.
    pub(crate) fn delay(&self, milliseconds: Range<u64>) -> Duration {
        Duration::from_millis(self.draw(|rng| rng.u64(milliseconds)))
    }

    fn draw<T>(&self, draw: impl FnOnce(&mut Rng) -> T) -> T {
        draw(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner).0)
    }
}

/// The last step of MurmurHash3 for 32 bits: each number has another one as its image.
fn permuted(mut number: u32) -> u32 {
    number = (number ^ (number >> 16)).wrapping_mul(0x85eb_ca6b);
    number = (number ^ (number >> 13)).wrapping_mul(0xc2b2_ae35);
    number ^ (number >> 16)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(correlation: &str, trace: &str, kept: bool) {
        let mut headers = HeaderMap::new();
        headers.insert(CORRELATION_HEADER, correlation.parse().unwrap());
        headers.insert(TRACE_HEADER, trace.parse().unwrap());
        let context = Context::of_request(&headers, &Ids::new(Rng::with_seed(1)));
        assert_eq!(context.correlation_id == correlation, kept, "{correlation}");
        assert_eq!(context.trace_id == 0xabc, kept, "{trace}");
        assert!(!context.correlation_id.is_empty() && context.trace_id != 0);
    }

    #[test]
    fn the_callers_ids_are_kept_if_they_are_sound() {
        let (trace, span) = (format!("{:032x}", 0xabc), format!("{:016x}", 0xdef));
        check("my-1", &format!("00-{trace}-{span}-01"), true);
        let long = "x".repeat(CORRELATION_BYTES_MAX + 1);
        for parent in [
            String::new(),
            trace.clone(),
            format!("00-{trace}"),
            format!("00-{}-{span}-01", trace.to_uppercase()),
            format!("00-+{}-{span}-01", &trace[1..]),
            format!("00-{}-{span}-01", "0".repeat(32)),
            format!("00-{trace}-{}-01", "0".repeat(16)),
        ] {
            check(if parent.is_empty() { "" } else { &long }, &parent, false);
        }
    }

    #[test]
    fn short_ids_do_not_come_again() {
        let ids = Ids::new(Rng::with_seed(7));
        let drawn: std::collections::HashSet<_> = (0..200_000).map(|_| ids.short("ord")).collect();
        assert_eq!(drawn.len(), 200_000);
    }
}
