//! The time range of a search, and how times are shown; all of them in UTC.

use record::Timestamp;

pub(super) const SECOND: i64 = 1_000_000_000;
const DAY: i64 = 86_400 * SECOND;
const LENGTH_MIN: i64 = SECOND;
const LENGTH_MAX: i64 = 100 * 365 * DAY;
/// How far an interaction may reach from one of its records.
const STORY_REACH: i64 = DAY;

/// Nanoseconds throughout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Range {
    /// So long before now.
    Last(i64),
    Between {
        since: i64,
        until: i64,
    },
}

impl Range {
    /// Reads what `--since` says.
    pub(super) fn since(text: &str, now: i64) -> Result<Self, String> {
        let since = record::time_parameter::parse(text, Timestamp(now))?;
        Ok(Self::Last(now.saturating_sub(since.0).clamp(LENGTH_MIN, LENGTH_MAX)))
    }

    /// Wide enough for all of an interaction that has a record at `time`.
    pub(super) fn around(time: i64) -> Self {
        let (since, until) = (time.saturating_sub(STORY_REACH), time.saturating_add(STORY_REACH));
        Self::Between { since, until }
    }

    pub(super) fn halved(self) -> Self {
        self.of_length(self.length() / 2)
    }

    pub(super) fn doubled(self) -> Self {
        self.of_length(self.length().saturating_mul(2))
    }

    fn length(self) -> i64 {
        match self {
            Self::Last(length) => length,
            Self::Between { since, until } => until.saturating_sub(since),
        }
    }

    fn of_length(self, length: i64) -> Self {
        let length = length.clamp(LENGTH_MIN, LENGTH_MAX);
        match self {
            Self::Last(_) => Self::Last(length),
            Self::Between { since, until } => {
                let since = (since.saturating_add(until.saturating_sub(since) / 2))
                    .saturating_sub(length / 2);
                Self::Between { since, until: since.saturating_add(length) }
            }
        }
    }

    /// As the API takes it: what does not say until when goes on until now.
    pub(super) fn resolved(self, now: i64) -> (String, Option<String>) {
        match self {
            Self::Last(length) => (Timestamp(now.saturating_sub(length)).to_string(), None),
            Self::Between { since, until } => {
                (Timestamp(since).to_string(), Some(Timestamp(until).to_string()))
            }
        }
    }

    /// Whether times in it need their day.
    pub(super) fn has_days(self) -> bool {
        self.length() > DAY / 2
    }

    pub(super) fn text(self) -> String {
        match self {
            Self::Last(length) => format!("last {}", length_text(length)),
            Self::Between { since, until } => {
                format!("{} to {}", minute(since), minute(until))
            }
        }
    }
}

fn length_text(nanos: i64) -> String {
    let units =
        [(365 * DAY, "y"), (DAY, "d"), (3_600 * SECOND, "h"), (60 * SECOND, "m"), (SECOND, "s")];
    let mut rest = nanos.max(SECOND);
    let mut text = String::new();
    let mut parts = 0;
    for (unit, name) in units {
        // Two of them say enough.
        if rest >= unit && parts < 2 {
            text += &format!("{}{name}", rest / unit);
            rest %= unit;
            parts += 1;
        }
    }
    text
}

/// Such as `11-28 05:13`.
pub(super) fn minute(nanos: i64) -> String {
    let text = Timestamp(nanos).to_string();
    let part = |range: std::ops::Range<usize>| text.get(range).unwrap_or_default().to_owned();
    format!("{} {}", part(5..10), part(11..16))
}

/// Such as `05:13:33.120`.
pub(super) fn clock(nanos: i64) -> String {
    let text = Timestamp(nanos).to_string();
    let millis = nanos.rem_euclid(SECOND) / 1_000_000;
    format!("{}.{millis:03}", text.get(11..19).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_halved_and_doubled_within_bounds() {
        let last = Range::since("15m", 1_000 * DAY).unwrap();
        assert_eq!(last.text(), "last 15m");
        assert_eq!(last.halved().text(), "last 7m30s");
        assert_eq!(last.doubled().doubled().text(), "last 1h");
        assert!(Range::since("soon", 0).is_err());
        let day = Range::around(10 * DAY);
        assert_eq!(day.text(), "01-10 00:00 to 01-12 00:00");
        assert_eq!(day.halved().text(), "01-10 12:00 to 01-11 12:00");
        assert_eq!(day.doubled().halved(), day);
        for range in [last, day] {
            let widest = (0..80).fold(range, |range, _| range.doubled());
            let narrowest = (0..80).fold(range, |range, _| range.halved());
            assert!(widest.length() <= LENGTH_MAX && narrowest.length() >= LENGTH_MIN);
        }
    }

    #[test]
    fn times_are_shown_short() {
        assert_eq!(clock(5 * SECOND + 7_000_000), "00:00:05.007");
        assert_eq!(minute(DAY), "01-02 00:00");
    }
}
