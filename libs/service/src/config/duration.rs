//! Durations as people write them: `30s`, `500ms`, `1h30m`. A unit is always needed.

use std::time::Duration;

const UNITS: &[(&str, u64)] = &[
    ("d", 86_400_000_000_000),
    ("h", 3_600_000_000_000),
    ("m", 60_000_000_000),
    ("s", 1_000_000_000),
    ("ms", 1_000_000),
    ("us", 1_000),
    ("ns", 1),
];

/// Reads `30s`, `1.5h`, `1h30m`, `250us`.
///
/// # Errors
/// What is expected instead.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let problem = || {
        let text = text.trim();
        match text.parse::<f64>() {
            Ok(_) => format!("`{text}` has no unit; write it like \"{text}s\" or \"{text}ms\""),
            Err(_) => {
                format!("`{text}` is no duration; write it like \"30s\", \"500ms\" or \"1h30m\"")
            }
        }
    };
    let mut rest = text.trim();
    if rest.is_empty() {
        return Err(problem());
    }
    let mut nanos = 0_u64;
    while !rest.is_empty() {
        let split =
            |rest: &str, of: fn(char) -> bool| rest.len() - rest.trim_start_matches(of).len();
        let digits = split(rest, |c| c.is_ascii_digit() || c == '.');
        let letters = split(&rest[digits..], |c| c.is_ascii_alphabetic());
        let (number, unit) = (&rest[..digits], &rest[digits..digits + letters]);
        let (_, unit) = UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(problem)?;
        let part = match number.parse::<u64>() {
            Ok(number) => number.checked_mul(*unit),
            Err(_) => {
                let part = number.parse::<f64>().map_err(|_| problem())? * *unit as f64;
                (part < 1.8e19).then(|| part.round() as u64)
            }
        };
        nanos = part.and_then(|part| nanos.checked_add(part)).ok_or_else(problem)?;
        rest = rest[digits + letters..].trim_start();
    }
    Ok(Duration::from_nanos(nanos))
}

/// Writes a duration so that [`parse_duration`] reads it back: `1h30m`, `0s`. At most 584 years.
pub fn format_duration(duration: Duration) -> String {
    let mut nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
    if nanos == 0 {
        return "0s".to_owned();
    }
    let mut text = String::new();
    for (name, unit) in UNITS {
        if nanos >= *unit {
            text.push_str(&format!("{}{name}", nanos / unit));
            nanos %= unit;
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn durations_need_a_unit() {
        assert_eq!(parse_duration(" 1h 30m "), Ok(Duration::from_secs(5_400)));
        assert_eq!(parse_duration("1.5s"), Ok(Duration::from_millis(1_500)));
        assert_eq!(format_duration(Duration::from_millis(90_250)), "1m30s250ms");
        assert!(parse_duration("30").unwrap_err().contains("30s"));
        for text in ["", "s", "-1s", "1x", "1..5s", "1s2", "99999999999d"] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn every_duration_is_read_back(nanos in any::<u64>()) {
            let duration = Duration::from_nanos(nanos);
            prop_assert_eq!(parse_duration(&format_duration(duration)), Ok(duration));
        }

        #[test]
        fn reading_never_panics(text in "\\PC{0,12}|[0-9.dhmsun ]{0,20}") {
            let _ = parse_duration(&text);
        }
    }
}
