//! The parameters of requests, read exactly as Loki reads them; those that are not known are passed over.
//!
//! | kind | how |
//! |---|---|
//! | times | with a point: seconds; up to 10 signs: whole seconds; longer: nanoseconds; else RFC 3339 |
//! | `start` | else `since` (1h) before the earlier of `end` and now |
//! | `step`, `interval` | seconds, or a duration with units |
//! | `direction` | `forward` or `backward`, in any case |

use std::ops::Range;

use axum::body::to_bytes;
use axum::extract::Request as HttpRequest;
use axum::http::Method;
use logql::metric::Steps;
use logql::parse_duration_ns;
use record::{NANOS_PER_SECOND, Timestamp};

use super::answers::Refusal;
use super::lines::Direction;
use super::{LINES_DEFAULT, LINES_MAX};

/// Longest body of a request.
const BODY_BYTES_MAX: usize = 256 << 10;
const HOUR_NS: i64 = 3_600 * NANOS_PER_SECOND;
/// Steps of a range where nothing else is asked for.
const STEPS_DEFAULT: i64 = 250;

/// The parameters of a request.
#[derive(Debug)]
pub(super) struct Given {
    pairs: Vec<(String, String)>,
    now: Timestamp,
}

impl Given {
    /// Those of a URL.
    ///
    /// # Errors
    /// They are no form.
    pub(super) fn of_url(query: Option<&str>) -> Result<Self, Refusal> {
        let pairs = form(query.unwrap_or_default().as_bytes())?;
        Ok(Self { pairs, now: Timestamp::now() })
    }

    /// Those of a URL, and of a POST's form.
    ///
    /// # Errors
    /// They are no form; the body is too long.
    pub(super) async fn of_request(request: HttpRequest) -> Result<Self, Refusal> {
        let mut given = Self::of_url(request.uri().query())?;
        if request.method() == Method::POST {
            let body = to_bytes(request.into_body(), BODY_BYTES_MAX).await.map_err(|_| {
                Refusal::bad_request(format!("the body is longer than {BODY_BYTES_MAX} bytes"))
            })?;
            given.pairs.extend(form(&body)?);
        }
        Ok(given)
    }

    /// A parameter that is there and not empty.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        let mut named = self.pairs.iter().filter(|(known, _)| known == name);
        named.find(|(_, value)| !value.is_empty()).map(|(_, value)| value.as_str())
    }

    /// All values of `match[]` and `match`.
    pub(super) fn matches(&self) -> impl Iterator<Item = &str> {
        let named = self.pairs.iter().filter(|(name, _)| name == "match[]" || name == "match");
        named.map(|(_, value)| value.as_str())
    }

    /// The query, which there has to be.
    pub(super) fn query(&self) -> &str {
        self.text("query").unwrap_or_default()
    }

    /// From `start` until `end`.
    pub(super) fn time(&self) -> Result<Range<i64>, Refusal> {
        let end = self.moment("end")?.unwrap_or(self.now.0);
        let since = self.since()?;
        let start = match self.moment("start")? {
            Some(start) => start,
            None => end.min(self.now.0).saturating_sub(since),
        };
        if end < start {
            return Err(Refusal::bad_request(format!(
                "end timestamp must not be before or equal to start time: start {}, end {}",
                Timestamp(start),
                Timestamp(end)
            )));
        }
        Ok(start..end)
    }

    /// How far back is looked where there is no start.
    fn since(&self) -> Result<i64, Refusal> {
        let Some(text) = self.text("since") else { return Ok(HOUR_NS) };
        let since = parse_duration_ns(text).filter(|since| *since >= 0);
        since.ok_or_else(|| bad("since", text, "give a duration such as 1h"))
    }

    /// A time.
    pub(super) fn moment(&self, name: &'static str) -> Result<Option<i64>, Refusal> {
        let read = |text: &str| {
            moment(text).ok_or_else(|| bad(name, text, "give seconds, nanoseconds, or RFC 3339"))
        };
        self.text(name).map(read).transpose()
    }

    /// `time`, of an instant query.
    pub(super) fn instant(&self) -> Result<i64, Refusal> {
        Ok(self.moment("time")?.unwrap_or(self.now.0))
    }

    /// When a tail begins.
    pub(super) fn tail_start(&self) -> Result<i64, Refusal> {
        Ok(match self.moment("start")? {
            Some(start) => start,
            None => self.now.0.saturating_sub(self.since()?),
        })
    }

    /// How many lines; `bounded` where there is a most.
    pub(super) fn limit(&self, bounded: bool) -> Result<usize, Refusal> {
        let Some(text) = self.text("limit") else { return Ok(LINES_DEFAULT) };
        let limit: usize = text.parse().ok().filter(|limit| *limit > 0).ok_or_else(|| {
            Refusal::bad_request(format!("limit must be a positive value: {text:?}"))
        })?;
        match bounded && limit > LINES_MAX {
            true => Err(Refusal::bad_request(format!(
                "max entries limit per query exceeded, limit > max_entries_limit_per_query ({limit} > {LINES_MAX})"
            ))),
            false => Ok(limit),
        }
    }

    /// A number, or what it is where nothing is said.
    pub(super) fn number(&self, name: &'static str, default: usize) -> Result<usize, Refusal> {
        let Some(text) = self.text(name) else { return Ok(default) };
        text.parse().map_err(|_| bad(name, text, "give a whole number"))
    }

    pub(super) fn direction(&self) -> Result<Direction, Refusal> {
        match self.text("direction") {
            None => Ok(Direction::Backward),
            Some(text) if text.eq_ignore_ascii_case("backward") => Ok(Direction::Backward),
            Some(text) if text.eq_ignore_ascii_case("forward") => Ok(Direction::Forward),
            Some(text) => Err(Refusal::bad_request(format!("invalid direction '{text}'"))),
        }
    }

    /// The steps of a range.
    pub(super) fn steps(&self, time: &Range<i64>) -> Result<Steps, Refusal> {
        if let Some(text) = self.text("interval") {
            span(text)
                .filter(|interval| *interval >= 0)
                .ok_or_else(|| bad("interval", text, "give seconds or a duration"))?;
        }
        Ok(Steps::range(time.start, time.end, self.step(time)?)?)
    }

    /// The length of a step, nanoseconds, above 0.
    pub(super) fn step(&self, time: &Range<i64>) -> Result<i64, Refusal> {
        let Some(text) = self.text("step") else {
            let length = time.end.saturating_sub(time.start);
            return Ok((length / NANOS_PER_SECOND / STEPS_DEFAULT).max(1) * NANOS_PER_SECOND);
        };
        span(text).filter(|step| *step > 0).ok_or_else(|| {
            Refusal::bad_request(format!(
                "zero or negative query resolution step widths are not accepted. Try a positive integer: step {text:?}"
            ))
        })
    }
}

fn form(bytes: &[u8]) -> Result<Vec<(String, String)>, Refusal> {
    serde_urlencoded::from_bytes(bytes)
        .map_err(|error| Refusal::bad_request(format!("the parameters are no form: {error}")))
}

fn bad(name: &str, text: &str, wanted: &str) -> Refusal {
    let text: String = text.chars().take(64).collect();
    Refusal::bad_request(format!("{name}: could not parse {text:?}; {wanted}"))
}

/// A time, nanoseconds.
fn moment(text: &str) -> Option<i64> {
    if text.contains('.')
        && let Ok(seconds) = text.parse::<f64>()
    {
        let milliseconds = (seconds * 1e3).round();
        let nanoseconds = milliseconds * 1e6;
        return (nanoseconds.abs() < i64::MAX as f64).then(|| milliseconds as i64 * 1_000_000);
    }
    match text.parse::<i64>() {
        Ok(seconds) if text.len() <= 10 => seconds.checked_mul(NANOS_PER_SECOND),
        Ok(nanoseconds) => Some(nanoseconds),
        Err(_) => Timestamp::parse_rfc3339(text).map(|time| time.0),
    }
}

/// Seconds, or a duration with units; nanoseconds.
fn span(text: &str) -> Option<i64> {
    match text.parse::<f64>() {
        Ok(seconds) => {
            let nanoseconds = (seconds * 1e9).round();
            (nanoseconds.abs() < i64::MAX as f64).then_some(nanoseconds as i64)
        }
        Err(_) => parse_duration_ns(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(query: &str) -> Given {
        Given { now: Timestamp(2_000_000_000_000_000_000), ..Given::of_url(Some(query)).unwrap() }
    }

    #[test]
    fn times_are_read_by_their_length_and_form() {
        let second = 1_700_000_000_000_000_000;
        for (text, expected) in [
            ("1700000000", Some(second)),
            ("1700000000.123", Some(second + 123_000_000)),
            ("1700000000.1239", Some(second + 124_000_000)),
            ("1700000000000000000", Some(second)),
            ("1700000000000000001", Some(second + 1)),
            ("2023-11-14T22:13:20Z", Some(second)),
            ("2023-11-14T22:13:20.000Z", Some(second)),
            ("2023-11-14T23:13:20.000000007+01:00", Some(second + 7)),
            ("4000000000", Some(4_000_000_000_000_000_000)),
            ("abc", None),
            ("1e300", None),
            ("9999999999.5", None),
            ("99999999999999999999", None),
        ] {
            assert_eq!(moment(text), expected, "{text}");
        }
    }

    #[test]
    fn steps_are_read_with_and_without_units() {
        for (text, expected) in [
            ("15000ms", Some(15_000_000_000)),
            ("15", Some(15_000_000_000)),
            ("15.000000", Some(15_000_000_000)),
            ("1m30s", Some(90_000_000_000)),
            ("x", None),
        ] {
            assert_eq!(span(text), expected, "{text}");
        }
        for (query, expected) in [
            ("start=1&end=101&step=10", Ok(11)),
            ("start=0&end=11000&step=1", Ok(11_001)),
            ("start=0&end=11001&step=1", Err("exceeded maximum resolution")),
            ("start=0&end=1&step=0", Err("zero or negative")),
            ("start=0&end=1&step=-1", Err("zero or negative")),
            ("start=0&end=1&interval=x", Err("interval: could not parse")),
            ("start=0&end=100000", Ok(251)),
            ("start=0&end=10", Ok(11)),
        ] {
            let given = given(query);
            let steps = given.time().and_then(|time| given.steps(&time));
            match (steps, expected) {
                (Ok(steps), Ok(count)) => assert_eq!(steps.count(), count, "{query}"),
                (Err(refusal), Err(said)) => assert!(refusal.message.contains(said), "{query}"),
                (other, _) => panic!("{query}: {other:?}"),
            }
        }
    }

    #[test]
    fn a_range_has_its_defaults() {
        let now = 2_000_000_000_000_000_000;
        for (query, expected) in [
            ("", now - HOUR_NS..now),
            ("since=5m", now - HOUR_NS / 12..now),
            ("start=5&since=5m", 5_000_000_000..now),
            (
                "end=1000000000000000000",
                1_000_000_000_000_000_000 - HOUR_NS..1_000_000_000_000_000_000,
            ),
            ("end=3000000000000000000", now - HOUR_NS..3_000_000_000_000_000_000),
        ] {
            assert_eq!(given(query).time().unwrap(), expected, "{query}");
        }
        for query in ["start=9&end=8", "start=x", "since=-1h", "since=5"] {
            assert!(given(query).time().is_err(), "{query}");
        }
    }

    #[test]
    fn limits_and_directions_are_held_to_their_bounds() {
        let limit = |query: &str| given(query).limit(true).map_err(|refusal| refusal.message);
        assert_eq!(limit(""), Ok(100));
        assert_eq!(limit("limit=5000"), Ok(5_000));
        for query in ["limit=0", "limit=-1", "limit=x", "limit=5001"] {
            assert!(limit(query).is_err(), "{query}");
        }
        assert_eq!(given("limit=5001").limit(false).unwrap(), 5_001);
        assert_eq!(given("direction=BACKWARD").direction().unwrap(), Direction::Backward);
        assert_eq!(given("direction=Forward").direction().unwrap(), Direction::Forward);
        assert!(given("direction=up").direction().is_err());
    }

    proptest::proptest! {
        #[test]
        fn any_url_is_read_or_refused(query in ".*", text in "-?[0-9.eEmsh:TZ-]{0,24}") {
            let _ = Given::of_url(Some(&query)).map(|given| read(&given));
            for name in ["start", "end", "time", "since", "step", "interval", "limit", "direction"] {
                let pairs = vec![(name.to_owned(), text.clone())];
                read(&Given { pairs, now: Timestamp(i64::MAX) });
            }
        }
    }

    /// All that may be asked for.
    fn read(given: &Given) {
        if let Ok(time) = given.time() {
            assert!(time.start <= time.end);
            let _ = (given.steps(&time), given.step(&time));
        }
        let _ = (given.instant(), given.tail_start(), given.limit(true), given.direction());
    }
}
