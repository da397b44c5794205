//! Times of lines: layouts, zones, and years that are not written.
//!
//! A time without a zone is of [`TimeOptions::timezone`] (UTC unless said otherwise). A time without a year is
//! of the latest year in which it is not more than 24 hours ahead of the moment of reading, unless
//! [`TimeOptions::year`] says it. In a gap or fold of daylight saving the offset before it counts. What does not
//! exist, or does not fit 64-bit nanoseconds (years 1677 to 2262), is `None`: the caller then keeps its text.

pub mod layout;

use jiff::civil::DateTime;
use jiff::fmt::strtime::BrokenDownTime;
use jiff::tz::{Offset, TimeZone};
use record::{NANOS_PER_DAY, NANOS_PER_SECOND, Timestamp};
use thiserror::Error;

pub use layout::CivilTime;

/// Fewest digits of a time that is a number in a text.
const EPOCH_TEXT_DIGITS_MIN: usize = 9;

/// How the times of a source are to be read.
#[derive(Clone, Debug, Default)]
pub struct TimeOptions {
    /// A strftime-like layout, as jiff reads it (`%d/%b/%Y:%H:%M:%S %z`); without it RFC 3339 and epoch numbers.
    pub format: Option<String>,
    /// An IANA name (`Europe/Berlin`), `UTC`, or an offset (`+02:00`, `-0530`, `+02`).
    pub timezone: Option<String>,
    /// The year of times that are written without one.
    pub year: Option<i16>,
}

/// Why [`TimeOptions`] cannot be used.
#[derive(Debug, Error)]
#[allow(missing_docs)]
pub enum TimeOptionsError {
    #[error(
        "unknown timezone {name:?}: give an IANA name such as Europe/Berlin, or an offset such as +02:00"
    )]
    Timezone { name: String },
    #[error("time format {format:?} cannot be used: {reason}")]
    Format { format: String, reason: String },
    #[error("year {year} is outside of 1678 to 2261")]
    Year { year: i16 },
}

/// Reads the times of one source.
#[derive(Clone, Debug)]
pub struct TimeReader {
    format: Option<String>,
    zone: TimeZone,
    year: Option<i16>,
}

impl TimeReader {
    /// Checks the options.
    ///
    /// # Errors
    /// An unknown zone, a format with an unknown directive, a year that does not fit 64-bit nanoseconds.
    pub fn new(options: &TimeOptions) -> Result<Self, TimeOptionsError> {
        if let Some(format) = &options.format {
            check_format(format)?;
        }
        if let Some(year) = options.year
            && !(1678..=2261).contains(&year)
        {
            return Err(TimeOptionsError::Year { year });
        }
        let zone = match &options.timezone {
            Some(name) => read_zone(name)?,
            None => TimeZone::UTC,
        };
        Ok(Self { format: options.format.clone(), zone, year: options.year })
    }

    /// Reads the text of a field that means time: by the format if there is one, else RFC 3339 (a space for
    /// the `T`, a comma before the fraction and a missing zone are accepted) or an epoch number of nine digits
    /// and more, by its magnitude; fewer would be a date such as `20240131`.
    pub fn read(&self, text: &str, now: Timestamp) -> Option<Timestamp> {
        let text = text.trim();
        if let Some(format) = &self.format {
            return self.read_by_format(format, text, now);
        }
        if let Some(time) = Timestamp::parse_rfc3339(text) {
            return if has_zone(text) { Some(time) } else { self.in_zone(time) };
        }
        epoch_text(text)
    }

    /// Reads a number that means time: by the format if it has one that reads numbers (`%s`), else as an epoch
    /// number by its magnitude.
    pub fn read_integer(&self, number: i64, now: Timestamp) -> Option<Timestamp> {
        self.read_number(&number, now).or_else(|| Timestamp::from_epoch(number))
    }

    /// As [`TimeReader::read_integer`], for a number with a fraction.
    pub fn read_float(&self, number: f64, now: Timestamp) -> Option<Timestamp> {
        self.read_number(&number, now).or_else(|| Timestamp::from_epoch_f64(number))
    }

    fn read_number(&self, number: &impl ToString, now: Timestamp) -> Option<Timestamp> {
        let format = self.format.as_ref()?;
        self.read_by_format(format, &number.to_string(), now)
    }

    /// Places a civil time in its zone and, if it has none, in its year.
    pub fn resolve(&self, time: &CivilTime, now: Timestamp) -> Option<Timestamp> {
        let Some(year) = time.year.or(self.year) else {
            return self.in_latest_year(now, |year| self.resolve_in_year(time, year));
        };
        self.resolve_in_year(time, year)
    }

    fn resolve_in_year(&self, time: &CivilTime, year: i16) -> Option<Timestamp> {
        let small = |number: u8| i8::try_from(number).ok();
        let leap = i64::from(time.second == 60);
        let second = small(time.second)? - i8::from(time.second == 60);
        let civil = DateTime::new(
            year,
            small(time.month)?,
            small(time.day)?,
            small(time.hour)?,
            small(time.minute)?,
            second,
            i32::try_from(time.nanos).ok()?,
        )
        .ok()?;
        let time = match time.offset_seconds {
            Some(seconds) => {
                from_jiff(Offset::from_seconds(seconds).ok()?.to_timestamp(civil).ok()?)?
            }
            None => self.place(civil)?,
        };
        time.0.checked_add(leap * NANOS_PER_SECOND).map(Timestamp)
    }

    /// The latest year that puts the time not more than a day after `now`. A 29th of February can lie up to
    /// eight years back.
    fn in_latest_year(
        &self,
        now: Timestamp,
        mut at: impl FnMut(i16) -> Option<Timestamp>,
    ) -> Option<Timestamp> {
        let latest = Timestamp(now.0.saturating_add(NANOS_PER_DAY));
        let latest_day = jiff::Timestamp::from_nanosecond(latest.0.into()).ok()?;
        let next_year = self.zone.to_datetime(latest_day).year() + 1;
        (0..=9).find_map(|back| at(next_year - back).filter(|time| *time <= latest))
    }

    fn read_by_format(&self, format: &str, text: &str, now: Timestamp) -> Option<Timestamp> {
        let mut parts = BrokenDownTime::parse(format, text).ok()?;
        if let Some(time) = parts.timestamp() {
            return from_jiff(time);
        }
        let dated = parts.month().is_some() || parts.day_of_year().is_some();
        if parts.year().is_none() && parts.iso_week_year().is_none() && dated {
            if let Some(year) = self.year {
                return self.finish(&mut parts, year);
            }
            return self.in_latest_year(now, |year| self.finish(&mut parts, year));
        }
        self.place_parts(&parts)
    }

    fn finish(&self, parts: &mut BrokenDownTime, year: i16) -> Option<Timestamp> {
        parts.set_year(Some(year)).ok()?;
        self.place_parts(parts)
    }

    fn place_parts(&self, parts: &BrokenDownTime) -> Option<Timestamp> {
        if parts.offset().is_some() {
            return from_jiff(parts.to_timestamp().ok()?);
        }
        self.place(parts.to_datetime().ok()?)
    }

    fn place(&self, civil: DateTime) -> Option<Timestamp> {
        from_jiff(self.zone.to_ambiguous_timestamp(civil).compatible().ok()?)
    }

    /// Reads a time again that was taken for UTC because it names no zone.
    fn in_zone(&self, as_utc: Timestamp) -> Option<Timestamp> {
        if self.zone == TimeZone::UTC {
            return Some(as_utc);
        }
        let time = jiff::Timestamp::from_nanosecond(i128::from(as_utc.0)).ok()?;
        self.place(TimeZone::UTC.to_datetime(time))
    }
}

fn from_jiff(time: jiff::Timestamp) -> Option<Timestamp> {
    i64::try_from(time.as_nanosecond()).ok().map(Timestamp)
}

/// `1700000000` or `1700000000.123456789`, without a detour over floats.
fn epoch_text(text: &str) -> Option<Timestamp> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = whole.strip_prefix('-').unwrap_or(whole);
    let all_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if digits.len() < EPOCH_TEXT_DIGITS_MIN || !all_digits(digits) || !all_digits(fraction) {
        return None;
    }
    let whole: i64 = whole.parse().ok()?;
    let time = Timestamp::from_epoch(whole)?;
    let unit = time.0.checked_div(whole).unwrap_or(NANOS_PER_SECOND);
    // Nine digits at most, times a unit of 10^9 at most: it fits.
    let nine = fraction.bytes().chain(std::iter::repeat(b'0')).take(9);
    let nanos = nine.fold(0, |nanos, digit| nanos * 10 + i64::from(digit - b'0'));
    let part = nanos * unit / NANOS_PER_SECOND;
    time.0.checked_add(if text.starts_with('-') { -part } else { part }).map(Timestamp)
}

/// Whether an RFC 3339 text, known to be one, ends with `Z` or an offset.
fn has_zone(text: &str) -> bool {
    text.get(19..).is_some_and(|rest| rest.contains(['Z', 'z', '+', '-']))
}

fn check_format(format: &str) -> Result<(), TimeOptionsError> {
    let refuse = |reason: String| TimeOptionsError::Format { format: format.to_owned(), reason };
    // Parsing tells nothing of an unknown directive when the text ends before it, so write one instead.
    let sample = jiff::Timestamp::UNIX_EPOCH.to_zoned(TimeZone::UTC);
    BrokenDownTime::from(&sample).to_string(format).map_err(|error| refuse(error.to_string()))?;
    if format.contains("%Z") {
        return Err(refuse("%Z names no time zone uniquely: use %z, or --timezone".into()));
    }
    if !format.contains('%') {
        return Err(refuse("it has no directive such as %Y or %H".into()));
    }
    Ok(())
}

fn read_zone(name: &str) -> Result<TimeZone, TimeOptionsError> {
    if matches!(name, "UTC" | "utc" | "Z" | "z") {
        return Ok(TimeZone::UTC);
    }
    let unknown = || TimeOptionsError::Timezone { name: name.to_owned() };
    if name.starts_with(['+', '-']) {
        let seconds = layout::offset(name).ok_or_else(unknown)?;
        return Ok(TimeZone::fixed(Offset::from_seconds(seconds).map_err(|_| unknown())?));
    }
    TimeZone::get(name).map_err(|_| unknown())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn reader(format: Option<&str>, timezone: Option<&str>, year: Option<i16>) -> TimeReader {
        TimeReader::new(&TimeOptions {
            format: format.map(Into::into),
            timezone: timezone.map(Into::into),
            year,
        })
        .unwrap()
    }

    fn at(text: &str) -> Timestamp {
        Timestamp::parse_rfc3339(text).unwrap()
    }

    fn bsd(text: &str) -> CivilTime {
        let (rest, time) = layout::bsd(text).unwrap();
        assert_eq!(rest, "");
        time
    }

    #[test]
    fn a_layout_reads_its_own_form() {
        let utc = reader(None, None, Some(2005));
        type Layout = fn(&str) -> layout::Parsed<'_, CivilTime>;
        let cases: [(&str, Layout, &str); 12] = [
            ("2015-10-18 18:01:47,978", layout::iso, "2015-10-18T18:01:47.978Z"),
            ("2015-10-18T18:01:47.978+02:00", layout::iso, "2015-10-18T16:01:47.978Z"),
            ("17/06/09 20:10:40", layout::slashed, "2017-06-09T20:10:40Z"),
            ("2026/11/21 08:00:00", layout::slashed_year, "2026-11-21T08:00:00Z"),
            ("10/Oct/2000:13:55:36 -0700", layout::common_log, "2000-10-10T20:55:36Z"),
            ("1121 08:00:00.123456", layout::klog, "2005-11-21T08:00:00.123456Z"),
            ("081109 203615", layout::compact, "2008-11-09T20:36:15Z"),
            ("Jun 14 15:16:01", layout::bsd, "2005-06-14T15:16:01Z"),
            ("Jul  1 00:21:28", layout::bsd, "2005-07-01T00:21:28Z"),
            ("Sun Dec 04 04:47:44 2005", layout::ctime, "2005-12-04T04:47:44Z"),
            ("Fri Sep 09 10:42:29.902022 2011", layout::ctime, "2011-09-09T10:42:29.902022Z"),
            ("Dec 31 23:59:60", layout::bsd, "2006-01-01T00:00:00Z"),
        ];
        for (text, layout, expected) in cases {
            let (rest, civil) = layout(text).unwrap();
            assert_eq!(rest, "", "{text}");
            assert_eq!(utc.resolve(&civil, Timestamp(0)), Some(at(expected)), "{text}");
        }
    }

    #[test]
    fn a_time_without_year_is_of_the_latest_year_not_a_day_ahead() {
        let utc = reader(None, None, None);
        let cases = [
            ("Jun 14 15:16:01", "2026-06-14T15:16:00Z", "2026-06-14T15:16:01Z"),
            ("Jun 14 15:16:01", "2026-06-13T15:16:01Z", "2026-06-14T15:16:01Z"),
            ("Jun 14 15:16:01", "2026-06-13T15:16:00Z", "2025-06-14T15:16:01Z"),
            ("Jan  1 00:10:00", "2025-12-31T23:50:00Z", "2026-01-01T00:10:00Z"),
            ("Dec 31 23:59:59", "2026-01-01T00:00:01Z", "2025-12-31T23:59:59Z"),
            ("Feb 29 12:00:00", "2027-03-01T00:00:00Z", "2024-02-29T12:00:00Z"),
            ("Feb 29 12:00:00", "1903-03-01T00:00:00Z", "1896-02-29T12:00:00Z"),
        ];
        for (text, now, expected) in cases {
            assert_eq!(utc.resolve(&bsd(text), at(now)), Some(at(expected)), "{text} at {now}");
        }
        assert_eq!(utc.resolve(&bsd("Feb 30 12:00:00"), at("2026-01-01T00:00:00Z")), None);
    }

    #[test]
    fn a_zone_moves_only_times_that_name_none() {
        let berlin = reader(None, Some("Europe/Berlin"), None);
        let now = Timestamp(0);
        assert_eq!(berlin.read("2024-07-01 12:00:00", now), Some(at("2024-07-01T10:00:00Z")));
        assert_eq!(berlin.read("2024-07-01T12:00:00Z", now), Some(at("2024-07-01T12:00:00Z")));
        assert_eq!(berlin.read("2024-07-01T12:00:00-01:00", now), Some(at("2024-07-01T13:00:00Z")));
        assert_eq!(
            berlin.read("1700000000", now),
            Some(Timestamp(1_700_000_000 * NANOS_PER_SECOND))
        );
        assert_eq!(berlin.read("1700000000.25", now), Some(at("2023-11-14T22:13:20.25Z")));
        assert_eq!(
            berlin.read("-1700000000123.5", now).map(|time| time.0),
            Some(-1_700_000_000_123_500_000)
        );
        assert_eq!(berlin.read("20240131", now), None);
        let offset = reader(None, Some("-0530"), None);
        assert_eq!(offset.read("2024-07-01 12:00:00.5", now), Some(at("2024-07-01T17:30:00.5Z")));
    }

    #[test]
    fn a_format_of_the_user_is_read() {
        let cases = [
            ("%d/%b/%Y:%H:%M:%S %z", "10/Oct/2000:13:55:36 -0700", "2000-10-10T20:55:36Z"),
            ("%Y%m%d %H%M%S%.f", "20240701 120000.25", "2024-07-01T12:00:00.25Z"),
            ("%s", "1700000000", "2023-11-14T22:13:20Z"),
            ("%b %d %H:%M:%S", "Mar 04 05:06:07", "2026-03-04T05:06:07Z"),
        ];
        for (format, text, expected) in cases {
            let times = reader(Some(format), None, None);
            assert_eq!(
                times.read(text, at("2026-04-01T00:00:00Z")),
                Some(at(expected)),
                "{format}"
            );
            assert_eq!(times.read("no time", Timestamp(0)), None);
        }
        let fixed = reader(Some("%b %d %H:%M:%S"), Some("+01:00"), Some(1999));
        assert_eq!(fixed.read("Mar 04 05:06:07", Timestamp(0)), Some(at("1999-03-04T04:06:07Z")));
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let utc = reader(None, None, None);
        for text in ["3000-01-01T00:00:00Z", "", "soon", "1e300", "inf", "NaN"] {
            assert_eq!(utc.read(text, Timestamp(0)), None, "{text}");
        }
        let (_, civil) = layout::iso("3000-01-01 00:00:00").unwrap();
        assert_eq!(utc.resolve(&civil, Timestamp(0)), None);
    }

    #[test]
    fn unusable_options_are_refused_with_what_to_do() {
        let refused = |format: Option<&str>, timezone: Option<&str>, year| {
            TimeReader::new(&TimeOptions {
                format: format.map(Into::into),
                timezone: timezone.map(Into::into),
                year,
            })
            .unwrap_err()
            .to_string()
        };
        assert!(refused(Some("%Y %i"), None, None).contains("%Y %i"));
        assert!(refused(Some("%Y %Z"), None, None).contains("use %z"));
        assert!(refused(None, Some("Mars/Olympus"), None).contains("IANA"));
        assert!(refused(None, Some("+25:00"), None).contains("+25:00"));
        assert!(refused(None, None, Some(3000)).contains("3000"));
    }

    proptest! {
        #[test]
        fn reading_never_panics(text in "[ -~é]{0,40}", now in any::<i64>()) {
            for times in [
                reader(None, Some("Europe/Berlin"), None),
                reader(Some("%b %d %H:%M:%S"), None, None),
            ] {
                let _ = times.read(&text, Timestamp(now));
            }
        }

        #[test]
        fn every_civil_time_resolves_or_is_refused(
            year in proptest::option::of(any::<i16>()),
            parts in any::<[u8; 5]>(),
            nanos in any::<u32>(),
            offset_seconds in proptest::option::of(any::<i32>()),
            now in any::<i64>(),
        ) {
            let [month, day, hour, minute, second] = parts;
            let civil = CivilTime { year, month, day, hour, minute, second, nanos, offset_seconds };
            for times in [reader(None, None, None), reader(None, Some("America/New_York"), None)] {
                let _ = times.resolve(&civil, Timestamp(now));
            }
        }
    }
}
