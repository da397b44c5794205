//! Times of a query: an instant, or a period that is named by its beginning.
//!
//! `2026-01-01T10:00:00Z` (RFC 3339 with seconds) and epoch numbers are instants. What stops earlier is the
//! whole period: `2026` and `2026-01` and `2026-01-01`, `2026-01-01T10`, `2026-01-01T10:30`, the last two with
//! or without a zone; without it is UTC. Comparisons see the period as a whole: above it, or below it.

use record::{NANOS_PER_DAY, NANOS_PER_SECOND, Timestamp};

/// The times from `first` to `last`, both included; empty if `first` is later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct TimeRange {
    pub first: Timestamp,
    pub last: Timestamp,
}

impl TimeRange {
    /// No time at all.
    pub const EMPTY: TimeRange =
        TimeRange { first: Timestamp(i64::MAX), last: Timestamp(i64::MIN) };

    /// From `first` to `last`, or [`TimeRange::EMPTY`].
    pub fn new(first: Timestamp, last: Timestamp) -> Self {
        if first > last { Self::EMPTY } else { Self { first, last } }
    }

    /// Whether `time` lies in it.
    pub fn contains(&self, time: Timestamp) -> bool {
        self.first <= time && time <= self.last
    }

    /// Whether no time lies in it.
    pub fn is_empty(&self) -> bool {
        self.first > self.last
    }
}

/// Reads an instant or a period; `None` if it is neither, or does not fit the years 1677 to 2262.
pub(crate) fn parse(text: &str) -> Option<TimeRange> {
    if !text.is_ascii() {
        return None;
    }
    let instant = |time: Timestamp| TimeRange { first: time, last: time };
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if text.len() == 4 && digits(text) {
        let year: i64 = text.parse().ok()?;
        return until(month_start(year, 1)?, month_start(year + 1, 1));
    }
    if let Some((year, month)) = text.split_once('-')
        && year.len() == 4
        && month.len() == 2
        && digits(year)
        && digits(month)
    {
        let (year, month): (i64, i64) = (year.parse().ok()?, month.parse().ok()?);
        let next = if month == 12 { (year + 1, 1) } else { (year, month + 1) };
        return until(month_start(year, month)?, month_start(next.0, next.1));
    }
    if let Some(period) = day_or_shorter(text) {
        return Some(period);
    }
    if let Some(time) = Timestamp::parse_rfc3339(text) {
        return Some(instant(time));
    }
    match text.parse::<i64>() {
        Ok(number) => Timestamp::from_epoch(number).map(instant),
        Err(_) if text.bytes().all(|byte| byte.is_ascii_digit() || b"-.".contains(&byte)) => {
            text.parse().ok().and_then(Timestamp::from_epoch_f64).map(instant)
        }
        Err(_) => None,
    }
}

fn day_or_shorter(text: &str) -> Option<TimeRange> {
    let (start, nanos) = match text.len() {
        10 => (format!("{text}T00:00:00Z"), NANOS_PER_DAY),
        13.. => {
            let (hour, rest) = text.split_at(13);
            match rest.strip_prefix(':') {
                None => (format!("{hour}:00:00{rest}"), 3_600 * NANOS_PER_SECOND),
                Some(rest) if rest.len() >= 2 && !rest[2..].starts_with(':') => {
                    let (minute, zone) = rest.split_at(2);
                    (format!("{hour}:{minute}:00{zone}"), 60 * NANOS_PER_SECOND)
                }
                Some(_) => return None,
            }
        }
        _ => return None,
    };
    let first = Timestamp::parse_rfc3339(&start)?;
    Some(TimeRange { first, last: Timestamp(first.0.saturating_add(nanos - 1)) })
}

fn month_start(year: i64, month: i64) -> Option<Timestamp> {
    Timestamp::parse_rfc3339(&format!("{year:04}-{month:02}-01T00:00:00Z"))
}

fn until(first: Timestamp, next: Option<Timestamp>) -> Option<TimeRange> {
    let last = next.map_or(i64::MAX, |next| next.0 - 1);
    Some(TimeRange { first, last: Timestamp(last) })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_prefix_is_the_whole_period() {
        for (text, first, last) in [
            ("2026", "2026-01-01T00:00:00Z", "2026-12-31T23:59:59.999999999Z"),
            ("2026-02", "2026-02-01T00:00:00Z", "2026-02-28T23:59:59.999999999Z"),
            ("2026-12", "2026-12-01T00:00:00Z", "2026-12-31T23:59:59.999999999Z"),
            ("2026-01-01", "2026-01-01T00:00:00Z", "2026-01-01T23:59:59.999999999Z"),
            ("2026-01-01T10", "2026-01-01T10:00:00Z", "2026-01-01T10:59:59.999999999Z"),
            ("2026-01-01T10:30Z", "2026-01-01T10:30:00Z", "2026-01-01T10:30:59.999999999Z"),
            ("2026-01-01T10:30+02:00", "2026-01-01T08:30:00Z", "2026-01-01T08:30:59.999999999Z"),
            ("2026-01-01T10:30:05Z", "2026-01-01T10:30:05Z", "2026-01-01T10:30:05Z"),
            ("1700000000.5", "2023-11-14T22:13:20.500Z", "2023-11-14T22:13:20.500Z"),
            ("1700000000123", "2023-11-14T22:13:20.123Z", "2023-11-14T22:13:20.123Z"),
        ] {
            let range = parse(text).unwrap_or_else(|| panic!("{text}"));
            let shown = (range.first.to_string(), range.last.to_string());
            assert_eq!(shown, (first.to_owned(), last.to_owned()), "{text}");
        }
    }

    #[test]
    fn other_texts_are_no_times() {
        for text in [
            "",
            "now-15m",
            "2026-13",
            "2026-02-30",
            "2026-01-01T",
            "2026-1-1",
            "yesterday",
            "-",
            ".",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn reading_never_panics(text in "[0-9T:Z+. é-]{0,30}") {
            let _ = parse(&text);
        }
    }
}
