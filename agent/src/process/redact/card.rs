//! Numbers of payment cards: 13 to 19 digits, alone or in the groups that are printed on cards (parted by single
//! spaces or single dashes), with the prefix and length of a known scheme (ISO/IEC 7812) and a right check digit
//! (Luhn).
//!
//! One in ten numbers of the right prefix and length passes the check by chance, so an order number of 16 digits
//! that begins with a 4 is sometimes taken for a card. A run of digits that touches a letter, or is part of a
//! fraction, or is negative, is never one.

use std::ops::Range;

use record::ValueRef;

const DIGITS_MIN: usize = 13;
const DIGITS_MAX: usize = 19;
/// Most groups that a number is parted into.
const GROUPS_MAX: usize = 5;

/// Calls `found` with the place of each card number.
pub(super) fn find(text: &str, found: &mut dyn FnMut(Range<usize>)) {
    let bytes = text.as_bytes();
    // A number covers at least one of any 13 places that stand 13 apart, so only those are looked at.
    let mut probe = DIGITS_MIN - 1;
    while let Some(byte) = bytes.get(probe) {
        let inside = byte.is_ascii_digit() || (matches!(byte, b' ' | b'-') && links(bytes, probe));
        if !inside {
            probe += DIGITS_MIN;
            continue;
        }
        let run = run_around(bytes, probe);
        if run.len() >= DIGITS_MIN {
            find_in_run(bytes, run.clone(), found);
        }
        probe = run.end + DIGITS_MIN;
    }
}

/// Whether an integer is a card number.
pub(super) fn is_card(value: ValueRef<'_>) -> bool {
    let ValueRef::I64(number) = value else { return false };
    if number < 1_000_000_000_000 {
        return false;
    }
    is_card_number(number.to_string().as_bytes())
}

/// Whether the separator at `at` stands between two digits.
fn links(bytes: &[u8], at: usize) -> bool {
    let digit = |at: usize| bytes.get(at).is_some_and(u8::is_ascii_digit);
    at > 0 && digit(at - 1) && digit(at + 1)
}

/// The digits and linking separators around `at`, which is one of them.
fn run_around(bytes: &[u8], at: usize) -> Range<usize> {
    let belongs = |at: usize| {
        bytes[at].is_ascii_digit() || (matches!(bytes[at], b' ' | b'-') && links(bytes, at))
    };
    let start = (0..at).rev().take_while(|at| belongs(*at)).last().unwrap_or(at);
    let end = (at..bytes.len()).find(|at| !belongs(*at)).unwrap_or(bytes.len());
    start..end
}

/// Tries each group of digits of a run as the first of a number, and the longest number first.
fn find_in_run(bytes: &[u8], run: Range<usize>, found: &mut dyn FnMut(Range<usize>)) {
    let mut start = run.start;
    while start < run.end {
        let number = begins_apart(bytes, start).then(|| number_at(bytes, start, run.end)).flatten();
        let past = match number {
            Some(end) => {
                found(start..end);
                end
            }
            None => group_end(bytes, start, run.end),
        };
        // The separator after it.
        start = past + 1;
    }
}

/// The end of the card number that begins with the group at `start`.
fn number_at(bytes: &[u8], start: usize, run_end: usize) -> Option<usize> {
    let mut digits = [0_u8; DIGITS_MAX];
    let (mut count, mut lengths) = (0, [0_usize; GROUPS_MAX]);
    let mut at = start;
    let mut separator = None;
    let mut best = None;
    for groups in 1..=GROUPS_MAX {
        let end = group_end(bytes, at, run_end);
        if count + (end - at) > DIGITS_MAX {
            break;
        }
        digits[count..count + (end - at)].copy_from_slice(&bytes[at..end]);
        count += end - at;
        lengths[groups - 1] = end - at;
        let whole = ends_apart(bytes, end, separator) && is_printed_so(&lengths[..groups]);
        if whole && is_card_number(&digits[..count]) {
            best = Some(end);
        }
        if end >= run_end || separator.is_some_and(|separator| separator != bytes[end]) {
            break;
        }
        separator = Some(bytes[end]);
        at = end + 1;
    }
    best
}

fn group_end(bytes: &[u8], start: usize, run_end: usize) -> usize {
    (start..run_end).find(|at| !bytes[*at].is_ascii_digit()).unwrap_or(run_end)
}

/// The groups in which schemes print their numbers.
fn is_printed_so(lengths: &[usize]) -> bool {
    matches!(
        lengths,
        [DIGITS_MIN..=DIGITS_MAX]
            | [4, 4, 4, 4]
            | [4, 4, 4, 4, 1..=3]
            | [4, 6, 5]
            | [4, 6, 4]
            | [4, 4, 4, 1]
    )
}

/// Whether no letter and no other number runs into the one that begins here.
fn begins_apart(bytes: &[u8], start: usize) -> bool {
    let Some(before) = start.checked_sub(1) else { return true };
    let digit_before = before > 0 && bytes[before - 1].is_ascii_digit();
    match bytes[before] {
        b'.' | b',' => !digit_before,
        // An escape of JSON: `\n4111…`.
        b'n' | b't' | b'r' => before > 0 && bytes[before - 1] == b'\\',
        // Behind a word it parts, else it is the sign of a negative number.
        b'-' => before > 0 && bytes[before - 1].is_ascii_alphanumeric(),
        other => !other.is_ascii_alphanumeric() && other != b'_',
    }
}

fn ends_apart(bytes: &[u8], end: usize, separator: Option<u8>) -> bool {
    let digit_after = bytes.get(end + 1).is_some_and(u8::is_ascii_digit);
    match bytes.get(end) {
        None => true,
        Some(b'.' | b',') => !digit_after,
        Some(b'-') => !digit_after || separator != Some(b'-'),
        Some(other) => !other.is_ascii_alphanumeric() && *other != b'_',
    }
}

/// Whether the digits (ASCII) are a number of a known scheme with a right check digit.
fn is_card_number(digits: &[u8]) -> bool {
    digits.len() >= DIGITS_MIN && has_known_prefix(digits) && passes_luhn(digits)
}

fn has_known_prefix(digits: &[u8]) -> bool {
    let prefix = digits[..4].iter().fold(0_u16, |sum, digit| sum * 10 + u16::from(digit - b'0'));
    let length = digits.len();
    match prefix {
        // Visa
        4000..=4999 => matches!(length, 13 | 16 | 19),
        // Mastercard
        2221..=2720 | 5100..=5599 => length == 16,
        // American Express
        3400..=3499 | 3700..=3799 => length == 15,
        // Diners Club
        3000..=3059 | 3095 | 3600..=3699 | 3800..=3999 => matches!(length, 14 | 16..=19),
        // JCB, Discover, UnionPay
        3528..=3589 | 6011 | 6440..=6599 | 6200..=6299 => (16..=19).contains(&length),
        // Maestro
        5018 | 5020 | 5038 | 5893 | 6304 | 6759 | 6761..=6763 => true,
        _ => false,
    }
}

fn passes_luhn(digits: &[u8]) -> bool {
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(place, digit)| {
            let digit = u32::from(digit - b'0');
            match place % 2 {
                0 => digit,
                _ => digit * 2 - if digit > 4 { 9 } else { 0 },
            }
        })
        .sum();
    sum.is_multiple_of(10)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Vec<&str> {
        let mut all = Vec::new();
        find(text, &mut |range| all.push(&text[range]));
        all
    }

    #[test]
    fn numbers_of_all_schemes_are_found_wherever_they_stand() {
        let numbers = [
            "4111111111111111",
            "4111 1111 1111 1111",
            "4111-1111-1111-1111",
            "4222222222222",
            "5555555555554444",
            "2223003122003222",
            "378282246310005",
            "3782 822463 10005",
            "30569309025904",
            "3056 930902 5904",
            "6011111111111117",
            "3530111333300000",
            "6200000000000005",
            "6759649826438453",
        ];
        for number in numbers {
            for text in [
                number.to_owned(),
                format!("paid with {number}."),
                format!("pan={number},exp=12/29"),
                format!("order 12345 {number} 123 2026"),
                format!("[\"a\\n{number}\"]"),
                format!("{}{number}{}", "é".repeat(9), "ß".repeat(20)),
            ] {
                assert_eq!(found(&text), [number], "{text}");
            }
        }
        assert_eq!(found("4111111111111111 4111111111111111").len(), 2);
        assert_eq!(found("4111 1111 1111 1111 5555 5555 5555 4444").len(), 2);
    }

    #[test]
    fn other_numbers_are_left_alone() {
        for text in [
            "4111111111111112",
            "1111111111111117",
            "41111111111111111111111",
            "id 550e8400-e29b-41d4-a716-446655440000",
            "4111a111-1111-4111-8111-411111111111",
            "deadbeef4111111111111111",
            "4111111111111111cafe",
            "x_4111111111111111",
            "block blk_-4111111111111111",
            "id=-4111111111111111",
            "took 0.4111111111111111 s",
            "4111111111111111.5",
            "1792000000000 1792000000000000 1792000000000000000",
            "2026-01-02 03:04:05 2026-01-02 03:04:06",
            "4111  1111  1111  1111",
            "4111 1111-1111 1111",
            "+49 30 1234567 8901234",
            "10.1.2.3 4000 8 15 16 23 42",
            "41 11 11 11 11 11 11 11",
        ] {
            assert_eq!(found(text), [""; 0], "{text}");
        }
    }

    #[test]
    fn a_million_digits_take_no_time_to_tell() {
        assert_eq!(found(&"4".repeat(1 << 20)), [""; 0]);
        assert_eq!(found(&"4 ".repeat(1 << 19)), [""; 0]);
        assert_eq!(found(&"4111-".repeat(1 << 18)), [""; 0]);
    }
}
