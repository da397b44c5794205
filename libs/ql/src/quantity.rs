//! Durations (`200ms`, `1h30m`) and sizes (`1MiB`), and the unit that an attribute's name tells.
//!
//! Both are read exactly, into whole nanoseconds and whole bytes; what is smaller is cut off.

use nom::bytes::complete::take_while1;
use nom::character::complete::{char, digit1};
use nom::combinator::opt;
use nom::sequence::preceded;
use nom::{IResult, Parser};

/// Nanoseconds of each unit of a duration, largest first; the first of a size is how it is printed.
const DURATION_UNITS: [(&str, i128); 11] = [
    ("w", 604_800_000_000_000),
    ("d", 86_400_000_000_000),
    ("h", 3_600_000_000_000),
    ("m", 60_000_000_000),
    ("min", 60_000_000_000),
    ("s", 1_000_000_000),
    ("ms", 1_000_000),
    ("us", 1_000),
    ("µs", 1_000),
    ("μs", 1_000),
    ("ns", 1),
];

/// Bytes of each unit of a size, largest first among those of 1,024.
const SIZE_UNITS: [(&str, i128); 12] = [
    ("PiB", 1 << 50),
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("PB", 1_000_000_000_000_000),
    ("TB", 1_000_000_000_000),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("kB", 1_000),
    ("KB", 1_000),
    ("B", 1),
];

/// The last part of a name that tells the unit of its numbers, and that unit in nanoseconds.
const NAME_UNITS: [(&str, i128); 22] = [
    ("ns", 1),
    ("nanos", 1),
    ("nanoseconds", 1),
    ("us", 1_000),
    ("micros", 1_000),
    ("microseconds", 1_000),
    ("ms", 1_000_000),
    ("msec", 1_000_000),
    ("millis", 1_000_000),
    ("milliseconds", 1_000_000),
    ("s", 1_000_000_000),
    ("sec", 1_000_000_000),
    ("secs", 1_000_000_000),
    ("second", 1_000_000_000),
    ("seconds", 1_000_000_000),
    ("min", 60_000_000_000),
    ("mins", 60_000_000_000),
    ("minutes", 60_000_000_000),
    ("h", 3_600_000_000_000),
    ("hours", 3_600_000_000_000),
    ("d", 86_400_000_000_000),
    ("days", 86_400_000_000_000),
];

/// Nanoseconds of a duration with its units (`1.5s`, `1h30m`, `-5ms`); `None` for all else, also for a bare number.
pub fn duration_nanos(text: &str) -> Option<i128> {
    let (negative, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let mut nanos = 0_i128;
    loop {
        let (after, part) = quantity(rest, &DURATION_UNITS)?;
        nanos = nanos.checked_add(part)?;
        if after.is_empty() {
            return Some(if negative { -nanos } else { nanos });
        }
        rest = after;
    }
}

/// Bytes of a size with its unit; `None` for all else.
pub(crate) fn size_bytes(text: &str) -> Option<i128> {
    let (rest, bytes) = quantity(text, &SIZE_UNITS)?;
    rest.is_empty().then_some(bytes)
}

/// The shortest text that [`duration_nanos`] reads back.
pub(crate) fn print_duration(nanos: i128) -> String {
    print(nanos, &DURATION_UNITS)
}

/// The shortest text that [`size_bytes`] reads back.
pub(crate) fn print_size(bytes: i128) -> String {
    print(bytes, &SIZE_UNITS)
}

/// The unit, in nanoseconds, of the numbers under `name`: told by its last part (`_ms`, `.ms`, `-ms`, `Ms`), else nanoseconds.
pub(crate) fn unit_nanos_of(name: &str) -> i128 {
    let last = name.rsplit(['_', '.', '-', '/']).next().unwrap_or(name);
    let border = last.char_indices().rev().find(|(_, letter)| letter.is_ascii_uppercase());
    let camel = border.map_or("", |(at, _)| if at > 0 { &last[at..] } else { "" });
    let whole = last.len() < name.len();
    let unit = NAME_UNITS.iter().find(|(unit, _)| {
        (whole && last.eq_ignore_ascii_case(unit)) || camel.eq_ignore_ascii_case(unit)
    });
    unit.map_or(1, |(_, nanos)| *nanos)
}

fn print(amount: i128, units: &[(&str, i128)]) -> String {
    let whole = |unit: &&(&str, i128)| amount % unit.1 == 0;
    let (name, scale) = match amount {
        0 => units.last(),
        _ => units.iter().find(whole),
    }
    .expect("the last unit is 1 and divides all");
    format!("{}{name}", amount / scale)
}

/// Reads one number with its unit from the start of `text`.
fn quantity<'a>(text: &'a str, units: &[(&str, i128)]) -> Option<(&'a str, i128)> {
    let (rest, (whole, fraction, name)) = parts(text).ok()?;
    let (_, scale) = units.iter().find(|(unit, _)| *unit == name)?;
    let whole = whole.parse::<i128>().ok()?.checked_mul(*scale)?;
    // Digits beyond the 18th are below a nanosecond of a week.
    let fraction = fraction.unwrap_or("");
    let fraction = &fraction[..fraction.len().min(18)];
    let part = match fraction.parse::<i128>() {
        Ok(digits) => digits * scale / 10_i128.pow(fraction.len() as u32),
        Err(_) => 0,
    };
    Some((rest, whole.checked_add(part)?))
}

fn parts(text: &str) -> IResult<&str, (&str, Option<&str>, &str)> {
    let fraction = opt(preceded(char('.'), digit1));
    (digit1, fraction, take_while1(char::is_alphabetic)).parse(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_exact_and_may_have_several_units() {
        for (text, nanos) in [
            ("200ms", 200_000_000),
            ("1.5s", 1_500_000_000),
            ("1h30m", 5_400_000_000_000),
            ("2m", 120_000_000_000),
            ("1d", 86_400_000_000_000),
            ("7µs", 7_000),
            ("-5ms", -5_000_000),
            ("0.1ns", 0),
        ] {
            assert_eq!(duration_nanos(text), Some(nanos), "{text}");
        }
        for text in ["", "5", "ms", "5 ms", "5mss", "1h30", "5MB", "--5s", "1e3s"] {
            assert_eq!(duration_nanos(text), None, "{text}");
        }
        assert_eq!(duration_nanos(&format!("{}w", i128::MAX)), None);
    }

    #[test]
    fn sizes_are_of_1000_or_1024() {
        assert_eq!(size_bytes("1MiB"), Some(1_048_576));
        assert_eq!(size_bytes("10kB"), Some(10_000));
        assert_eq!(size_bytes("1.5KiB"), Some(1_536));
        assert_eq!(size_bytes("10K"), None);
    }

    #[test]
    fn what_is_printed_is_read_back() {
        for nanos in [0, 1, 1_000, 1_500_000, 200_000_000, 90_000_000_000, 604_800_000_000_000, -5]
        {
            assert_eq!(duration_nanos(&print_duration(nanos)), Some(nanos));
        }
        assert_eq!(print_duration(200_000_000), "200ms");
        assert_eq!(print_size(1_048_576), "1MiB");
        assert_eq!(print_size(1_500), "1500B");
    }

    #[test]
    fn the_name_tells_the_unit() {
        for (name, nanos) in [
            ("duration_ms", 1_000_000),
            ("http.duration.ms", 1_000_000),
            ("elapsedMs", 1_000_000),
            ("elapsed_seconds", 1_000_000_000),
            ("took_us", 1_000),
            ("duration", 1),
            ("items", 1),
            ("ms", 1),
        ] {
            assert_eq!(unit_nanos_of(name), nanos, "{name}");
        }
    }
}
