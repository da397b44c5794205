//! The time layouts that line headers begin with, as small nom parsers.
//!
//! A parser here decides only by shape (how many digits, which separators); whether the date exists is the
//! business of [`TimeReader::resolve`](super::TimeReader::resolve), so that `Feb 30` is a time that cannot be
//! read, and not a line that does not parse.

use nom::branch::alt;
use nom::bytes::complete::{tag, take, take_while_m_n, take_while1};
use nom::character::complete::{char, one_of, space1};
use nom::combinator::{map, map_opt, opt};
use nom::sequence::preceded;
use nom::{IResult, Parser};

/// A time as it stands on a clock, not checked yet; `year` and `offset_seconds` may be missing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct CivilTime {
    pub year: Option<i16>,
    pub month: u8,
    pub day: u8,
    pub hour: u8,
    pub minute: u8,
    /// 60 is a leap second.
    pub second: u8,
    pub nanos: u32,
    /// East of UTC.
    pub offset_seconds: Option<i32>,
}

/// What a parser of a header answers: the rest of the line and what it read.
pub type Parsed<'a, T> = IResult<&'a str, T, ()>;

/// `2015-10-18 18:01:47,978`, with `T` or a space, `,` or `.` before an optional fraction, an optional zone.
pub fn iso(input: &str) -> Parsed<'_, CivilTime> {
    let (rest, (year, _, month, _, day)) =
        (digits::<4>, char('-'), digits::<2>, char('-'), digits::<2>).parse(input)?;
    let (rest, (hour, minute, second)) = preceded(one_of("T "), clock).parse(rest)?;
    let (rest, nanos) = fraction(rest)?;
    let (rest, offset_seconds) = opt(zone).parse(rest)?;
    let year = i16::try_from(year).ok();
    Ok((rest, civil(year, month, day, (hour, minute, second), nanos, offset_seconds)))
}

/// `17/06/09 20:10:40`: year, month and day of two digits.
pub fn slashed(input: &str) -> Parsed<'_, CivilTime> {
    let (rest, (year, _, month, _, day)) =
        (digits::<2>, char('/'), digits::<2>, char('/'), digits::<2>).parse(input)?;
    let (rest, time) = preceded(char(' '), clock).parse(rest)?;
    let (rest, nanos) = fraction(rest)?;
    Ok((rest, civil(Some(full_year(year)), month, day, time, nanos, None)))
}

/// `2026/11/21 08:00:00`: as nginx and Go write it.
pub fn slashed_year(input: &str) -> Parsed<'_, CivilTime> {
    let (rest, (year, _, month, _, day)) =
        (digits::<4>, char('/'), digits::<2>, char('/'), digits::<2>).parse(input)?;
    let (rest, time) = preceded(char(' '), clock).parse(rest)?;
    let (rest, nanos) = fraction(rest)?;
    Ok((rest, civil(i16::try_from(year).ok(), month, day, time, nanos, None)))
}

/// `10/Oct/2000:13:55:36 -0700`: of the common log format.
pub fn common_log(input: &str) -> Parsed<'_, CivilTime> {
    let (rest, (day, _, month, _, year)) =
        (digits::<2>, char('/'), month_name, char('/'), digits::<4>).parse(input)?;
    let (rest, (_, time, _, offset)) = (char(':'), clock, char(' '), zone).parse(rest)?;
    Ok((rest, civil(i16::try_from(year).ok(), month, day, time, 0, Some(offset))))
}

/// `1121 08:00:00.123456`: month and day together, without a year.
pub fn klog(input: &str) -> Parsed<'_, CivilTime> {
    let (rest, (month, day, _, time)) =
        (digits::<2>, digits::<2>, char(' '), clock).parse(input)?;
    let (rest, nanos) = fraction(rest)?;
    Ok((rest, civil(None, month, day, time, nanos, None)))
}

/// `081109 203615`: date and time without separators.
pub fn compact(input: &str) -> Parsed<'_, CivilTime> {
    let (rest, (year, month, day)) = (digits::<2>, digits::<2>, digits::<2>).parse(input)?;
    let (rest, time) = preceded(char(' '), (digits::<2>, digits::<2>, digits::<2>)).parse(rest)?;
    Ok((rest, civil(Some(full_year(year)), month, day, time, 0, None)))
}

/// `Jun 14 15:16:01` or `Jul  1 00:21:28`: without a year.
pub fn bsd(input: &str) -> Parsed<'_, CivilTime> {
    let (rest, (month, _, day, _, time)) =
        (month_name, space1, one_or_two_digits, char(' '), clock).parse(input)?;
    let (rest, nanos) = fraction(rest)?;
    Ok((rest, civil(None, month, day, time, nanos, None)))
}

/// `Sun Dec 04 04:47:44 2005` or `Fri Sep 09 10:42:29.902022 2011`: as C's `ctime` writes it.
pub fn ctime(input: &str) -> Parsed<'_, CivilTime> {
    let weekday = take_while_m_n(3, 3, |c: char| c.is_ascii_alphabetic());
    let (rest, (_, _, month, _, day, _, time)) =
        (weekday, char(' '), month_name, space1, one_or_two_digits, char(' '), clock)
            .parse(input)?;
    let (rest, nanos) = fraction(rest)?;
    let (rest, year) = preceded(char(' '), digits::<4>).parse(rest)?;
    Ok((rest, civil(i16::try_from(year).ok(), month, day, time, nanos, None)))
}

/// The offset that stands alone in `text`, in seconds east of UTC.
pub fn offset(text: &str) -> Option<i32> {
    zone(text).ok().filter(|(rest, _)| rest.is_empty()).map(|(_, seconds)| seconds)
}

fn civil(
    year: Option<i16>,
    month: u32,
    day: u32,
    (hour, minute, second): (u32, u32, u32),
    nanos: u32,
    offset_seconds: Option<i32>,
) -> CivilTime {
    // Every part has two digits at most, so it fits.
    let byte = |number: u32| u8::try_from(number).unwrap_or(u8::MAX);
    CivilTime {
        year,
        month: byte(month),
        day: byte(day),
        hour: byte(hour),
        minute: byte(minute),
        second: byte(second),
        nanos,
        offset_seconds,
    }
}

/// POSIX: 69 to 99 are of the last century.
fn full_year(two_digits: u32) -> i16 {
    let century = if two_digits >= 69 { 1900 } else { 2000 };
    century + i16::try_from(two_digits).unwrap_or_default()
}

fn digits<const N: usize>(input: &str) -> Parsed<'_, u32> {
    map_opt(take_while_m_n(N, N, |c: char| c.is_ascii_digit()), |text: &str| text.parse().ok())
        .parse(input)
}

fn one_or_two_digits(input: &str) -> Parsed<'_, u32> {
    map_opt(take_while_m_n(1, 2, |c: char| c.is_ascii_digit()), |text: &str| text.parse().ok())
        .parse(input)
}

/// `hh:mm:ss`.
fn clock(input: &str) -> Parsed<'_, (u32, u32, u32)> {
    map(
        (digits::<2>, char(':'), digits::<2>, char(':'), digits::<2>),
        |(hour, _, minute, _, second)| (hour, minute, second),
    )
    .parse(input)
}

/// `.123` or `,123456789` or nothing, in nanoseconds; digits beyond the ninth are dropped.
fn fraction(input: &str) -> Parsed<'_, u32> {
    let some = preceded(one_of(".,"), take_while1(|c: char| c.is_ascii_digit()));
    let (rest, text) = opt(some).parse(input)?;
    let text = text.unwrap_or_default().as_bytes();
    let nanos = (0..9).fold(0, |nanos, place| {
        nanos * 10 + text.get(place).map_or(0, |digit| u32::from(digit - b'0'))
    });
    Ok((rest, nanos))
}

/// `Z`, `+02:00`, `-0500` or `+02`, in seconds.
fn zone(input: &str) -> Parsed<'_, i32> {
    let signed = map_opt(
        (one_of("+-"), digits::<2>, opt(char(':')), opt(digits::<2>)),
        |(sign, hours, colon, minutes)| {
            let minutes = if colon.is_some() { minutes? } else { minutes.unwrap_or(0) };
            let seconds = i32::try_from(hours * 3_600 + minutes * 60).ok()?;
            (hours < 24 && minutes < 60).then_some(if sign == '-' { -seconds } else { seconds })
        },
    );
    alt((map(tag("Z"), |_| 0), signed)).parse(input)
}

fn month_name(input: &str) -> Parsed<'_, u32> {
    map_opt(take(3_usize), |name: &str| {
        Some(match name {
            "Jan" => 1,
            "Feb" => 2,
            "Mar" => 3,
            "Apr" => 4,
            "May" => 5,
            "Jun" => 6,
            "Jul" => 7,
            "Aug" => 8,
            "Sep" => 9,
            "Oct" => 10,
            "Nov" => 11,
            "Dec" => 12,
            _ => return None,
        })
    })
    .parse(input)
}
