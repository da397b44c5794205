//! How much of a source is let through in a second: a token bucket for records and one for bytes.
//!
//! A bucket holds what may pass at once (the burst) and fills steadily. What passes may leave it in debt, so that
//! one record that is larger than the burst passes when the bucket is full, and is paid for afterwards. Time is only
//! ever added as the difference of two readings, and never more than fills the bucket: a clock that stands still
//! stops the filling, one that goes back counts for nothing, one that leaps forward gives one burst.

use std::time::{Duration, Instant};

use record::{RecordRef, ValueRef};

use super::ProcessError;

/// Longest time that a caller is told to wait before it asks again.
const WAIT_MAX: Duration = Duration::from_secs(10);

/// How much may pass. At least one of the two rates is set.
#[derive(Clone, Debug, PartialEq)]
pub struct RateLimit {
    /// Records per second, above 0.
    pub records_per_second: Option<f64>,
    /// Bytes per second, above 0: of the message, and of names and texts of attributes.
    pub bytes_per_second: Option<f64>,
    /// How much time's worth may pass at once after a silence; 1 s where nothing is said. Above 0, up to an hour.
    pub burst: Duration,
    /// What becomes of what is beyond it.
    pub policy: RatePolicy,
}

/// What becomes of records beyond the limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RatePolicy {
    /// They are dropped and counted: for sources that cannot wait.
    #[default]
    Drop,
    /// The source waits: for files, which lose nothing by it.
    Block,
}

impl Default for RateLimit {
    fn default() -> Self {
        Self {
            records_per_second: None,
            bytes_per_second: None,
            burst: Duration::from_secs(1),
            policy: RatePolicy::Drop,
        }
    }
}

/// The limit at work.
#[derive(Debug)]
pub(super) struct RateLimiter {
    records: Option<Bucket>,
    bytes: Option<Bucket>,
    pub(super) policy: RatePolicy,
}

impl RateLimiter {
    pub(super) fn new(limit: &RateLimit) -> Result<Self, ProcessError> {
        let wrong = |key, value: String, wanted| Err(ProcessError::Range { key, value, wanted });
        for (key, rate) in [
            ("records_per_second", limit.records_per_second),
            ("bytes_per_second", limit.bytes_per_second),
        ] {
            if let Some(rate) = rate
                && !(rate.is_finite() && rate >= 0.001)
            {
                return wrong(key, rate.to_string(), "a number of at least 0.001");
            }
        }
        if limit.records_per_second.is_none() && limit.bytes_per_second.is_none() {
            let wanted = "set, or bytes_per_second must be";
            return wrong("records_per_second", "missing".to_owned(), wanted);
        }
        if limit.burst.is_zero() || limit.burst > Duration::from_secs(3_600) {
            return wrong("burst", format!("{:?}", limit.burst), "above 0 and at most an hour");
        }
        let bucket = |rate: f64| Bucket::new(rate, limit.burst);
        Ok(Self {
            records: limit.records_per_second.map(bucket),
            bytes: limit.bytes_per_second.map(bucket),
            policy: limit.policy,
        })
    }

    /// Lets the record pass and takes its share, or says when to ask again; then nothing is taken.
    pub(super) fn admit(&mut self, record: &RecordRef<'_>, now: Instant) -> Result<(), Duration> {
        let size = if self.bytes.is_some() { text_bytes(record) as f64 } else { 0.0 };
        let mut wait = Duration::ZERO;
        for (bucket, amount) in [(&mut self.records, 1.0), (&mut self.bytes, size)] {
            if let Some(bucket) = bucket {
                wait = wait.max(bucket.wait(amount, now));
            }
        }
        if wait > Duration::ZERO {
            return Err(wait);
        }
        for (bucket, amount) in [(&mut self.records, 1.0), (&mut self.bytes, size)] {
            if let Some(bucket) = bucket {
                bucket.tokens -= amount;
            }
        }
        Ok(())
    }
}

#[derive(Debug)]
struct Bucket {
    rate: f64,
    capacity: f64,
    tokens: f64,
    read_at: Option<Instant>,
}

impl Bucket {
    fn new(rate: f64, burst: Duration) -> Self {
        // Below one record at a time nothing would ever pass.
        let capacity = (rate * burst.as_secs_f64()).max(1.0);
        Self { rate, capacity, tokens: capacity, read_at: None }
    }

    /// How long until `amount` may pass; zero if it may now.
    fn wait(&mut self, amount: f64, now: Instant) -> Duration {
        let since = self.read_at.map_or(Duration::ZERO, |then| now.saturating_duration_since(then));
        self.read_at = Some(now);
        self.tokens = (self.tokens + since.as_secs_f64() * self.rate).min(self.capacity);
        let missing = amount.min(self.capacity) - self.tokens;
        if missing <= 0.0 {
            return Duration::ZERO;
        }
        // A wait of no length would be taken for leave to pass.
        let seconds = (missing / self.rate).clamp(1e-6, WAIT_MAX.as_secs_f64());
        Duration::from_secs_f64(seconds)
    }
}

fn text_bytes(record: &RecordRef<'_>) -> usize {
    let attribute = |(name, value): &(&str, ValueRef<'_>)| {
        name.len() + if let ValueRef::String(text) = value { text.len() } else { 8 }
    };
    record.message.len() + record.attributes.iter().map(attribute).sum::<usize>()
}

#[cfg(test)]
mod tests {
    use record::Record;

    use super::*;

    fn limiter(records: Option<f64>, bytes: Option<f64>, burst_seconds: u64) -> RateLimiter {
        RateLimiter::new(&RateLimit {
            records_per_second: records,
            bytes_per_second: bytes,
            burst: Duration::from_secs(burst_seconds),
            policy: RatePolicy::Drop,
        })
        .unwrap()
    }

    fn passed(limiter: &mut RateLimiter, tries: usize, message: &str, now: Instant) -> usize {
        let record = Record { message: message.to_owned(), ..Record::default() };
        (0..tries).filter(|_| record.with_ref(|r| limiter.admit(r, now)).is_ok()).count()
    }

    #[test]
    fn a_burst_passes_and_then_the_rate() {
        let start = Instant::now();
        let mut limiter = limiter(Some(10.0), None, 2);
        assert_eq!(passed(&mut limiter, 100, "", start), 20);
        assert_eq!(passed(&mut limiter, 100, "", start + Duration::from_millis(500)), 5);
        assert_eq!(passed(&mut limiter, 100, "", start + Duration::from_secs(3_600)), 20);
    }

    #[test]
    fn bytes_are_limited_and_one_large_record_is_paid_for_afterwards() {
        let start = Instant::now();
        let mut limiter = limiter(Some(1_000.0), Some(100.0), 1);
        assert_eq!(passed(&mut limiter, 100, &"x".repeat(50), start), 2);
        let later = start + Duration::from_secs(1);
        assert_eq!(passed(&mut limiter, 1, &"x".repeat(1_000), later), 1);
        assert_eq!(passed(&mut limiter, 1, "x", later + Duration::from_secs(8)), 0);
        assert_eq!(passed(&mut limiter, 1, "x", later + Duration::from_secs(10)), 1);
    }

    #[test]
    fn who_waits_as_told_passes() {
        let record = Record::default();
        let mut now = Instant::now();
        let mut limiter = limiter(Some(3.0), None, 1);
        assert_eq!(passed(&mut limiter, 10, "", now), 3);
        for _ in 0..10 {
            let wait = record.with_ref(|r| limiter.admit(r, now)).unwrap_err();
            // What is lost by rounding to nanoseconds is asked for again.
            now += wait + Duration::from_nanos(10);
            assert_eq!(record.with_ref(|r| limiter.admit(r, now)), Ok(()));
        }
    }

    #[test]
    fn a_clock_that_goes_back_gives_nothing_and_stops_nothing() {
        let start = Instant::now() + Duration::from_secs(100);
        let mut limiter = limiter(Some(10.0), None, 1);
        assert_eq!(passed(&mut limiter, 100, "", start), 10);
        let back = start - Duration::from_secs(50);
        assert_eq!(passed(&mut limiter, 100, "", back), 0);
        assert_eq!(passed(&mut limiter, 100, "", back), 0);
        assert_eq!(passed(&mut limiter, 100, "", back + Duration::from_millis(200)), 2);
    }

    #[test]
    fn rates_that_let_nothing_pass_are_refused() {
        for rate in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            let limit = RateLimit { records_per_second: Some(rate), ..RateLimit::default() };
            assert!(RateLimiter::new(&limit).is_err(), "{rate}");
        }
        assert!(RateLimiter::new(&RateLimit::default()).is_err());
    }
}
