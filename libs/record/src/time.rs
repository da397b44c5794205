//! Times: nanoseconds since the Unix epoch, UTC.
//!
//! Reads RFC 3339 (by hand: it is on the hot path of every record) and epoch numbers by their magnitude;
//! writes RFC 3339 with as many digits as the time has.

use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

/// Nanoseconds in a second.
pub const NANOS_PER_SECOND: i64 = 1_000_000_000;
/// Nanoseconds in a UTC day.
pub const NANOS_PER_DAY: i64 = 86_400 * NANOS_PER_SECOND;

/// Nanoseconds since the Unix epoch; years 1677 to 2262.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// The system clock.
    pub fn now() -> Self {
        match SystemTime::now().duration_since(UNIX_EPOCH) {
            Ok(since) => Self(i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)),
            Err(before) => {
                Self(i64::try_from(before.duration().as_nanos()).map_or(i64::MIN, |nanos| -nanos))
            }
        }
    }

    /// The UTC day it falls on, counted from the epoch.
    pub fn day(self) -> i64 {
        self.0.div_euclid(NANOS_PER_DAY)
    }

    /// Reads RFC 3339; a space for the `T`, a comma before the fraction and a missing zone (UTC) are accepted.
    /// `None` if it is no such text, or does not fit.
    pub fn parse_rfc3339(text: &str) -> Option<Self> {
        let bytes = text.as_bytes();
        if bytes.len() < 19 || !bytes.is_ascii() {
            return None;
        }
        let digits = |range: std::ops::Range<usize>| {
            bytes[range].iter().try_fold(0_i64, |number, byte| {
                byte.is_ascii_digit().then(|| number * 10 + i64::from(byte - b'0'))
            })
        };
        let separators =
            bytes[4] == b'-' && bytes[7] == b'-' && bytes[13] == b':' && bytes[16] == b':';
        if !separators || !matches!(bytes[10], b'T' | b't' | b' ') {
            return None;
        }
        let (year, month, day) = (digits(0..4)?, digits(5..7)?, digits(8..10)?);
        let (hour, minute, second) = (digits(11..13)?, digits(14..16)?, digits(17..19)?);
        let (nanos, zone) = fraction(&bytes[19..])?;
        let offset_seconds = zone_offset(zone)?;
        if !(1..=12).contains(&month)
            || day < 1
            || day > days_in_month(year, month)
            || hour > 23
            || minute > 59
            || second > 60
        {
            return None;
        }
        let seconds =
            days_from_civil(year, month, day) * 86_400 + hour * 3_600 + minute * 60 + second
                - offset_seconds;
        // Summed in i128, because the first and the last second of the range overflow half-way.
        i64::try_from(i128::from(seconds) * i128::from(NANOS_PER_SECOND) + i128::from(nanos))
            .ok()
            .map(Self)
    }

    /// Reads an epoch number as seconds, milliseconds, microseconds or nanoseconds, by its magnitude:
    /// each unit covers the years 1973 to 5138 (10 to 11, 12 to 14, 15 to 17, 18 and more digits).
    pub fn from_epoch(number: i64) -> Option<Self> {
        let scale = match number.unsigned_abs() {
            0..100_000_000_000 => NANOS_PER_SECOND,
            100_000_000_000..100_000_000_000_000 => 1_000_000,
            100_000_000_000_000..100_000_000_000_000_000 => 1_000,
            _ => 1,
        };
        number.checked_mul(scale).map(Self)
    }

    /// As [`Timestamp::from_epoch`], for a number with a fraction.
    pub fn from_epoch_f64(number: f64) -> Option<Self> {
        if !number.is_finite() {
            return None;
        }
        let scale = match number.abs() {
            n if n < 1e11 => 1e9,
            n if n < 1e14 => 1e6,
            n if n < 1e17 => 1e3,
            _ => 1.0,
        };
        // Whole and fraction apart, so that a fraction of milliseconds is not blurred by the whole.
        let whole = number.trunc() * scale;
        let nanos = (number.fract() * scale).round();
        (whole.abs() < 9.2e18).then(|| Self(whole as i64 + nanos as i64))
    }
}

impl fmt::Display for Timestamp {
    /// RFC 3339 in UTC with 0, 3, 6 or 9 digits of fraction.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.div_euclid(NANOS_PER_SECOND);
        let nanos = self.0.rem_euclid(NANOS_PER_SECOND);
        let (year, month, day) = civil_from_days(seconds.div_euclid(86_400));
        let of_day = seconds.rem_euclid(86_400);
        write!(
            f,
            "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}",
            of_day / 3_600,
            of_day / 60 % 60,
            of_day % 60
        )?;
        match nanos {
            0 => {}
            n if n % 1_000_000 == 0 => write!(f, ".{:03}", n / 1_000_000)?,
            n if n % 1_000 == 0 => write!(f, ".{:06}", n / 1_000)?,
            n => write!(f, ".{n:09}")?,
        }
        f.write_str("Z")
    }
}

/// Splits `.123456789` or `,123` from the zone; digits beyond nanoseconds are dropped.
fn fraction(rest: &[u8]) -> Option<(i64, &[u8])> {
    if !matches!(rest.first(), Some(b'.' | b',')) {
        return Some((0, rest));
    }
    let length = rest[1..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    if length == 0 {
        return None;
    }
    let mut nanos = 0;
    for place in 0..9 {
        nanos = nanos * 10 + if place < length { i64::from(rest[1 + place] - b'0') } else { 0 };
    }
    Some((nanos, &rest[1 + length..]))
}

/// Reads `Z`, `+hh:mm`, `-hhmm`, `+hh` or nothing, in seconds east of UTC.
fn zone_offset(zone: &[u8]) -> Option<i64> {
    let (sign, zone) = match zone {
        [] | [b'Z' | b'z'] => return Some(0),
        [b' ', rest @ ..] => return if rest.is_empty() { None } else { zone_offset(rest) },
        [b'+', rest @ ..] => (1, rest),
        [b'-', rest @ ..] => (-1, rest),
        _ => return None,
    };
    let two = |pair: &[u8]| {
        (pair[0].is_ascii_digit() && pair[1].is_ascii_digit())
            .then(|| i64::from(pair[0] - b'0') * 10 + i64::from(pair[1] - b'0'))
    };
    let (hours, minutes) = match zone.len() {
        2 => (two(zone)?, 0),
        4 => (two(&zone[..2])?, two(&zone[2..])?),
        5 if zone[2] == b':' => (two(&zone[..2])?, two(&zone[3..])?),
        _ => return None,
    };
    (hours < 24 && minutes < 60).then_some(sign * (hours * 3_600 + minutes * 60))
}

fn days_in_month(year: i64, month: i64) -> i64 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        _ => 31,
    }
}

/// Days since the epoch of a proleptic Gregorian date, after Howard Hinnant's `days_from_civil`.
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

/// The inverse, after Howard Hinnant's `civil_from_days`.
fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day_of_year - (153 * shifted + 2) / 5 + 1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_forms_that_loggers_write_are_read() {
        let expected = Some(Timestamp(1_700_000_000_123_000_000));
        for text in [
            "2023-11-14T22:13:20.123Z",
            "2023-11-14 22:13:20,123",
            "2023-11-14t22:13:20.123000000999z",
            "2023-11-15T00:13:20.123+02:00",
            "2023-11-14T17:13:20.123-0500",
            "2023-11-14 22:13:20.123 +00",
        ] {
            assert_eq!(Timestamp::parse_rfc3339(text), expected, "{text}");
        }
    }

    #[test]
    fn what_is_no_time_or_does_not_fit_is_refused() {
        for text in [
            "",
            "2023-02-29T00:00:00Z",
            "2023-11-14T24:00:00Z",
            "2023-11-14",
            "3000-01-01T00:00:00Z",
            "2023-11-14T22:13:20.Z",
            "2023-11-14T22:13:20 ",
            "2023-11-14T22:13:20+1:00",
        ] {
            assert_eq!(Timestamp::parse_rfc3339(text), None, "{text}");
        }
    }

    #[test]
    fn an_epoch_number_is_read_by_its_magnitude() {
        for number in
            [1_700_000_000, 1_700_000_000_000, 1_700_000_000_000_000, 1_700_000_000_000_000_000]
        {
            assert_eq!(
                Timestamp::from_epoch(number),
                Some(Timestamp(1_700_000_000_000_000_000)),
                "{number}"
            );
        }
        assert_eq!(
            Timestamp::from_epoch_f64(1_700_000_000.25),
            Some(Timestamp(1_700_000_000_250_000_000))
        );
        assert_eq!(Timestamp::from_epoch_f64(f64::NAN), None);
    }

    proptest! {
        #[test]
        fn every_time_is_read_back_as_it_was_written(nanos in any::<i64>()) {
            let time = Timestamp(nanos);
            prop_assert_eq!(Timestamp::parse_rfc3339(&time.to_string()), Some(time));
        }

        #[test]
        fn reading_never_panics(text in ".{0,40}") {
            let _ = Timestamp::parse_rfc3339(&text);
        }
    }
}
