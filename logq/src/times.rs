//! Times as people say them, in the zone of this machine: `yesterday 14:00`, `monday`, `09:30`.
//!
//! Whatever else is written goes to the server as it stands, which knows lengths (`15m`, `-2h`), RFC 3339 and `now`.

use jiff::civil::{Time, Weekday};
use jiff::{ToSpan, Zoned};

/// Reads `--since` and `--until`.
///
/// # Errors
/// For a day with a time that is none.
pub(crate) fn parse(text: &str) -> Result<String, String> {
    said(text.trim(), &Zoned::now())
}

fn said(text: &str, now: &Zoned) -> Result<String, String> {
    let lower = text.to_lowercase();
    let mut words = lower.split_whitespace();
    let first = words.next().unwrap_or_default();
    let day = match first {
        "today" => Some(now.date()),
        "yesterday" => now.date().checked_sub(1.day()).ok(),
        name => weekday(name).and_then(|day| last(day, now)),
    };
    let (date, clock) = match day {
        Some(date) => (date, words.next()),
        // A time alone is of today.
        None if clock(first).is_some() => (now.date(), Some(first)),
        None => return Ok(text.to_owned()),
    };
    let time = match clock {
        None => Time::midnight(),
        Some(word) => self::clock(word)
            .ok_or_else(|| format!("`{word}` is no time of a day; write it as 14:00"))?,
    };
    if let Some(more) = words.next() {
        return Err(format!("`{more}` is not expected behind a time"));
    }
    let zoned = date.to_datetime(time).to_zoned(now.time_zone().clone());
    zoned.map(|zoned| zoned.timestamp().to_string()).map_err(|error| error.to_string())
}

fn weekday(name: &str) -> Option<Weekday> {
    Some(match name {
        "monday" | "mon" => Weekday::Monday,
        "tuesday" | "tue" => Weekday::Tuesday,
        "wednesday" | "wed" => Weekday::Wednesday,
        "thursday" | "thu" => Weekday::Thursday,
        "friday" | "fri" => Weekday::Friday,
        "saturday" | "sat" => Weekday::Saturday,
        "sunday" | "sun" => Weekday::Sunday,
        _ => return None,
    })
}

/// The last such day before today.
fn last(day: Weekday, now: &Zoned) -> Option<jiff::civil::Date> {
    (1..=7)
        .filter_map(|back| now.date().checked_sub(back.days()).ok())
        .find(|date| date.weekday() == day)
}

/// `14:00`, `14:00:30`.
fn clock(word: &str) -> Option<Time> {
    let mut parts = word.split(':');
    let (hour, minute) = (parts.next()?, parts.next()?);
    let second = parts.next().unwrap_or("0");
    let number = |part: &str| part.parse::<i8>().ok();
    match parts.next() {
        None => Time::new(number(hour)?, number(minute)?, number(second)?, 0).ok(),
        Some(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_and_times_are_of_the_zone_of_the_machine() {
        // A Saturday, in winter.
        let now: Zoned = "2026-11-28T15:30:00+01:00[Europe/Berlin]".parse().unwrap();
        for (text, time) in [
            ("yesterday 14:00", "2026-11-27T13:00:00Z"),
            ("Yesterday", "2026-11-26T23:00:00Z"),
            ("today 09:30:15", "2026-11-28T08:30:15Z"),
            ("09:30", "2026-11-28T08:30:00Z"),
            ("monday", "2026-11-22T23:00:00Z"),
            ("sat 10:00", "2026-11-21T09:00:00Z"),
            ("15m", "15m"),
            ("-2h", "-2h"),
            ("2026-11-01", "2026-11-01"),
            ("now", "now"),
            ("", ""),
        ] {
            assert_eq!(said(text, &now).as_deref(), Ok(time), "{text}");
        }
        for wrong in ["yesterday 25:00", "today noon", "today 10:00 later"] {
            assert!(said(wrong, &now).is_err(), "{wrong}");
        }
    }
}
