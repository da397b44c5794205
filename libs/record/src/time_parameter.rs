//! The times of a range, of a query or a delete: RFC 3339, epoch numbers, `now`, or a length before now such as `15m`.

use crate::{NANOS_PER_SECOND, Timestamp};

/// Reads one of the forms; `100y` and more is as far back as times go.
///
/// # Errors
/// What is wrong with it, and the forms.
pub fn parse(text: &str, now: Timestamp) -> Result<Timestamp, String> {
    let text = text.trim();
    if text == "now" {
        return Ok(now);
    }
    if let Some(time) = Timestamp::parse_rfc3339(text)
        .or_else(|| Timestamp::parse_rfc3339(&format!("{text}T00:00:00Z")))
    {
        return Ok(time);
    }
    if let Ok(number) = text.parse::<i64>() {
        return Timestamp::from_epoch(number)
            .ok_or_else(|| format!("`{text}` is no time that fits"));
    }
    let ago = text.strip_suffix(" ago").unwrap_or(text).trim_start_matches('-');
    let ago = ago.strip_prefix("now-").unwrap_or(ago);
    match length_nanos(ago) {
        Some(nanos) => Ok(Timestamp(now.0.saturating_sub(nanos))),
        None => Err(format!(
            "`{text}` is no time; give a length before now such as 15m, 2h or 7d, a time such as 2026-01-31T12:00:00Z, or `now`"
        )),
    }
}

/// A length such as `1h30m` in nanoseconds; years are of 365 days; what is too long is the longest there is.
fn length_nanos(text: &str) -> Option<i64> {
    let mut rest = text;
    let mut total = 0_i64;
    while !rest.is_empty() {
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let count: i64 = rest.get(..digits)?.parse().ok()?;
        rest = &rest[digits..];
        let letters = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_alphabetic()).len();
        let unit = match rest.get(..letters)? {
            "ms" => NANOS_PER_SECOND / 1_000,
            "s" => NANOS_PER_SECOND,
            "m" | "min" => 60 * NANOS_PER_SECOND,
            "h" => 3_600 * NANOS_PER_SECOND,
            "d" => 86_400 * NANOS_PER_SECOND,
            "w" => 7 * 86_400 * NANOS_PER_SECOND,
            "y" => 365 * 86_400 * NANOS_PER_SECOND,
            _ => return None,
        };
        rest = &rest[letters..];
        total = total.saturating_add(count.saturating_mul(unit));
    }
    (!text.is_empty()).then_some(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_times_and_numbers_are_read() {
        let now = Timestamp(1_700_000_000_000_000_000);
        let seconds_ago = |seconds: i64| Ok(Timestamp(now.0 - seconds * NANOS_PER_SECOND));
        assert_eq!(parse("15m", now), seconds_ago(900));
        assert_eq!(parse("1h30m", now), seconds_ago(5_400));
        assert_eq!(parse("now", now), Ok(now));
        assert_eq!(parse("1700000000", now), Ok(now));
        assert_eq!(parse("2023-11-14T22:13:20Z", now), Ok(now));
        assert_eq!(parse("2023-11-14", now), Ok(Timestamp(1_699_920_000_000_000_000)));
        assert!(parse("100y", now).is_ok_and(|time| time.0 < 0));
        assert!(parse("999999999999y", now).is_ok());
        for wrong in ["", "m", "15", "15q", "15m3", "yesterday", "é"] {
            assert!(wrong == "15" || parse(wrong, now).is_err(), "{wrong}");
        }
    }
}
