//! Whether a call is tried again, and when.
//!
//! Calls are tried again that may reach a service twice, which are reads, PUT, and what has an idempotency key: after
//! network errors, timeouts, 408, 429 and 5xx, as often as the policy says. The pauses are those of
//! [`crate::kit::backoff`], from `pause_min` to `pause_max`. A service that wants more time (`Retry-After`) has it, if that
//! is short; else the call ends as it is.

use std::time::Duration;

use axum::http::StatusCode;
use service::semantics::{record, retry};
use tracing::warn;

use super::call::{Answer, CallError};
use super::policy::Policy;
use crate::kit::backoff;
use crate::kit::ids::Ids;

/// The longest that a call waits because the service asks for it.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(2);

/// The pause before the next try, if there is one and it begins within the time that is `left`; tells of it, and of a
/// last try that failed. `attempt` is the one that ended like this, from 1.
pub(super) fn next_pause(
    policy: &Policy,
    ids: &Ids,
    operation: &str,
    attempt: u32,
    outcome: &Result<Answer, CallError>,
    left: Duration,
) -> Option<Duration> {
    let (error_type, wanted) = failure(outcome)?;
    let pause = drawn(policy, ids, attempt).max(wanted);
    macro_rules! told {
        ($event:expr, $($rest:tt)+) => {
            warn!(
                event_name = $event,
                { retry::OPERATION } = operation,
                { record::ATTEMPT } = attempt,
                { record::ERROR_TYPE } = error_type,
                { record::ERROR_MESSAGE } = outcome.as_ref().err().map(ToString::to_string),
                { retry::ATTEMPTS_MAX } = policy.attempts_max,
                $($rest)+
            )
        };
    }
    if attempt < policy.attempts_max && wanted <= RETRY_AFTER_MAX && pause < left {
        let delay_ms = pause.as_millis() as u64;
        told!(retry::SCHEDULED, { retry::DELAY_MS } = delay_ms, "call failed, trying again");
        return Some(pause);
    }
    // Who tries once has no tries to be exhausted.
    if policy.attempts_max > 1 {
        told!(retry::EXHAUSTED, "call failed");
    }
    None
}

/// Tells that a try which was to come did not: something else is in its way.
pub(super) fn given_up(policy: &Policy, operation: &str, attempt: u32, error: &CallError) {
    warn!(
        event_name = retry::EXHAUSTED,
        { retry::OPERATION } = operation,
        { record::ATTEMPT } = attempt,
        { record::ERROR_TYPE } = error.error_type(),
        { record::ERROR_MESSAGE } = %error,
        { retry::ATTEMPTS_MAX } = policy.attempts_max,
        "call given up"
    );
}

/// What is wrong, where another try may help, and how long the service wants to be left alone.
fn failure(outcome: &Result<Answer, CallError>) -> Option<(String, Duration)> {
    match outcome {
        Ok(answer) => {
            let again = [StatusCode::REQUEST_TIMEOUT, StatusCode::TOO_MANY_REQUESTS];
            let is_again = answer.status.is_server_error() || again.contains(&answer.status);
            let wanted = answer.retry_after().unwrap_or_default();
            is_again.then(|| (answer.status.as_str().to_owned(), wanted))
        }
        Err(error @ (CallError::Timeout | CallError::Unreachable { .. })) => {
            Some((error.error_type().to_owned(), Duration::ZERO))
        }
        Err(_) => None,
    }
}

fn drawn(policy: &Policy, ids: &Ids, attempt: u32) -> Duration {
    let doubled = backoff::doubled(policy.pause_min, policy.pause_max, attempt);
    let most = doubled.as_millis().min(u128::from(u32::MAX)) as u64;
    ids.delay(most / 2..most + 1)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use axum::body::Bytes;
    use axum::http::header::RETRY_AFTER;
    use axum::http::{HeaderMap, HeaderValue};

    use super::*;

    fn ids() -> Ids {
        Ids::new(fastrand::Rng::with_seed(7))
    }

    fn answer(status: u16, retry_after: Option<&'static str>) -> Result<Answer, CallError> {
        let mut headers = HeaderMap::new();
        if let Some(after) = retry_after {
            headers.insert(RETRY_AFTER, HeaderValue::from_static(after));
        }
        let status = StatusCode::from_u16(status).unwrap();
        Ok(Answer { status, headers, body: Bytes::new() })
    }

    #[test]
    fn pauses_double_within_their_bounds_and_are_drawn() {
        let ids = ids();
        for (attempt, most) in [(1, 50), (2, 100), (3, 200), (5, 800), (6, 1_000), (99, 1_000)] {
            let draw = |_| drawn(&Policy::READS, &ids, attempt).as_millis();
            let drawn: BTreeSet<_> = (0..200).map(draw).collect();
            let (least, greatest) = (*drawn.first().unwrap(), *drawn.last().unwrap());
            assert!(least >= most / 2 && greatest <= most, "{attempt}: {least} to {greatest}");
            assert!(drawn.len() > 10, "{attempt}: {drawn:?}");
        }
        let none = Policy { pause_min: Duration::ZERO, ..Policy::READS };
        assert_eq!(drawn(&none, &ids, 1), Duration::ZERO);
    }

    #[test]
    fn what_may_help_is_tried_again_as_often_as_the_policy_says() {
        let unreachable = || Err(CallError::Unreachable { reason: "refused".into() });
        let bad = Err(CallError::BadAnswer { reason: "too long".into() });
        for (outcome, attempt, is_again) in [
            (answer(200, None), 1, false),
            (answer(404, None), 1, false),
            (answer(409, None), 1, false),
            (answer(408, None), 1, true),
            (answer(429, None), 1, true),
            (answer(500, None), 1, true),
            (answer(503, Some("2")), 2, true),
            (answer(503, Some("3")), 1, false),
            (answer(429, Some("60")), 1, false),
            (answer(503, None), 3, false),
            (unreachable(), 1, true),
            (unreachable(), 3, false),
            (Err(CallError::Timeout), 2, true),
            (Err(CallError::NoInstance), 1, false),
            (Err(CallError::Full), 1, false),
            (Err(CallError::BreakerOpen { retry_after: Duration::ZERO }), 1, false),
            (bad, 1, false),
        ] {
            let pause = |policy: &Policy, attempt, left| {
                next_pause(policy, &ids(), "GET stock", attempt, &outcome, left)
            };
            let again = pause(&Policy::READS, attempt, Duration::MAX);
            assert_eq!(again.is_some(), is_again, "{attempt}: {outcome:?}");
            let too_late = pause(&Policy::READS, attempt, Duration::from_millis(25));
            assert_eq!(too_late, None, "{attempt}: {outcome:?}");
            assert_eq!(pause(&Policy::PAYMENTS, 1, Duration::MAX), None, "{outcome:?}");
        }
    }

    #[test]
    fn a_service_that_wants_a_little_time_has_it() {
        let wanted = answer(429, Some("1"));
        let pause = next_pause(&Policy::READS, &ids(), "GET stock", 1, &wanted, Duration::MAX);
        assert_eq!(pause, Some(Duration::from_secs(1)));
    }
}
