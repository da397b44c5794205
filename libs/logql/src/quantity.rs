//! Durations and sizes as queries and lines write them: `1h30m`, `500ms`, `1w`, `1y`, `10KB`, `1.5MiB`.
//!
//! A day has 24 hours, a week 7 days, a year 365 days. Sizes with an `i` count in 1024, all others in 1000, and
//! their case does not matter; the case of a duration's units does, so that `5m` is a time and `5M` a size.

use std::fmt::Write;

/// Units of a duration in nanoseconds.
const DURATIONS: [(&str, i64); 10] = [
    ("ns", 1),
    ("us", 1_000),
    ("µs", 1_000),
    ("μs", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
    ("d", 86_400_000_000_000),
    ("w", 604_800_000_000_000),
];
const YEAR_NS: i64 = 365 * 86_400_000_000_000;
/// What a duration is printed in: units that Go's own parser knows as well.
const PRINTED: [(&str, i64); 6] = [
    ("h", 3_600_000_000_000),
    ("m", 60_000_000_000),
    ("s", 1_000_000_000),
    ("ms", 1_000_000),
    ("us", 1_000),
    ("ns", 1),
];
/// Units of a size in bytes, in lower case.
const SIZES: [(&str, u64); 25] = [
    ("b", 1),
    ("k", 1_000),
    ("kb", 1_000),
    ("ki", 1 << 10),
    ("kib", 1 << 10),
    ("m", 1_000_000),
    ("mb", 1_000_000),
    ("mi", 1 << 20),
    ("mib", 1 << 20),
    ("g", 1_000_000_000),
    ("gb", 1_000_000_000),
    ("gi", 1 << 30),
    ("gib", 1 << 30),
    ("t", 1_000_000_000_000),
    ("tb", 1_000_000_000_000),
    ("ti", 1 << 40),
    ("tib", 1 << 40),
    ("p", 1_000_000_000_000_000),
    ("pb", 1_000_000_000_000_000),
    ("pi", 1 << 50),
    ("pib", 1 << 50),
    ("e", 1_000_000_000_000_000_000),
    ("eb", 1_000_000_000_000_000_000),
    ("ei", 1 << 60),
    ("eib", 1 << 60),
];

/// A duration in nanoseconds, with a sign perhaps; `None` if it is none or too long.
pub fn parse_duration_ns(text: &str) -> Option<i64> {
    let (negative, mut rest) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    if rest == "0" {
        return Some(0);
    }
    if rest.is_empty() {
        return None;
    }
    let mut total = 0i64;
    while !rest.is_empty() {
        let (number, after) = number(rest)?;
        let unit = &after[..after.find(starts_number).unwrap_or(after.len())];
        let unit_ns = match unit {
            "y" => YEAR_NS,
            unit => DURATIONS.iter().find(|(name, _)| *name == unit)?.1,
        };
        total = total.checked_add(scaled(number, unit_ns)?)?;
        rest = &after[unit.len()..];
    }
    Some(if negative { -total } else { total })
}

/// A size in bytes; without a unit too. `None` if it is none or too large.
pub fn parse_bytes(text: &str) -> Option<u64> {
    let (number, unit) = number(text)?;
    let unit = unit.trim().to_ascii_lowercase();
    let unit_bytes = match unit.as_str() {
        "" => 1,
        unit => SIZES.iter().find(|(name, _)| *name == unit)?.1,
    };
    if let Ok(whole) = number.parse::<u64>() {
        return whole.checked_mul(unit_bytes);
    }
    let bytes = number.parse::<f64>().ok()? * unit_bytes as f64;
    (bytes < u64::MAX as f64).then_some(bytes as u64)
}

/// A duration so that it is parsed to the same.
pub fn print_duration(duration_ns: i64) -> String {
    if duration_ns == 0 {
        return "0s".to_owned();
    }
    let mut text = String::from(if duration_ns < 0 { "-" } else { "" });
    let mut rest = duration_ns.unsigned_abs();
    for (unit, unit_ns) in PRINTED {
        let count = rest / unit_ns.unsigned_abs();
        rest %= unit_ns.unsigned_abs();
        if count > 0 {
            write!(text, "{count}{unit}").expect("a string takes whatever is written");
        }
    }
    text
}

fn starts_number(character: char) -> bool {
    character.is_ascii_digit() || character == '.'
}

/// The number that a text begins with, and what follows.
fn number(text: &str) -> Option<(&str, &str)> {
    let end = text.find(|character| !starts_number(character)).unwrap_or(text.len());
    let (number, rest) = text.split_at(end);
    let digits = number.bytes().filter(u8::is_ascii_digit).count();
    (digits > 0 && number.len() - digits <= 1).then_some((number, rest))
}

fn scaled(number: &str, unit: i64) -> Option<i64> {
    if let Ok(whole) = number.parse::<i64>() {
        return whole.checked_mul(unit);
    }
    let value = number.parse::<f64>().ok()? * unit as f64;
    (value < i64::MAX as f64).then_some(value as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 3_600_000_000_000;

    #[test]
    fn durations_are_sums_of_numbers_with_units() {
        for (text, expected) in [
            ("1h30m", Some(HOUR + HOUR / 2)),
            ("1.5h", Some(HOUR + HOUR / 2)),
            ("500ms", Some(500_000_000)),
            ("10µs", Some(10_000)),
            ("1w", Some(168 * HOUR)),
            ("1d", Some(24 * HOUR)),
            ("1y", Some(365 * 24 * HOUR)),
            ("-5m", Some(-HOUR / 12)),
            ("0", Some(0)),
            ("5", None),
            ("5M", None),
            ("m", None),
            ("", None),
            ("-", None),
            ("5minutes", None),
            ("1.2.3s", None),
            ("300y", None),
            ("99999999999999999999h", None),
        ] {
            assert_eq!(parse_duration_ns(text), expected, "{text}");
        }
    }

    #[test]
    fn sizes_count_in_1000_unless_an_i_says_otherwise() {
        for (text, expected) in [
            ("1B", Some(1)),
            ("10KB", Some(10_000)),
            ("10kb", Some(10_000)),
            ("1KiB", Some(1024)),
            ("1.5MiB", Some(1_572_864)),
            ("5M", Some(5_000_000)),
            ("2 GB", Some(2_000_000_000)),
            ("42", Some(42)),
            ("1h", None),
            ("", None),
            ("KB", None),
            ("99999EB", None),
        ] {
            assert_eq!(parse_bytes(text), expected, "{text}");
        }
    }

    #[test]
    fn a_printed_duration_is_parsed_to_the_same() {
        for duration_ns in [0, 1, -1, HOUR, 90 * 60 * 1_000_000_000, -1_234_567_891_011, i64::MAX] {
            let printed = print_duration(duration_ns);
            assert_eq!(parse_duration_ns(&printed), Some(duration_ns), "{printed}");
        }
        assert_eq!(print_duration(HOUR + HOUR / 2), "1h30m");
    }
}
