//! The pieces that line headers are made of, as nom parsers.

use nom::Parser;
use nom::bytes::complete::{take_while, take_while1};
use nom::character::complete::char;
use nom::combinator::verify;
use nom::sequence::{delimited, terminated};
use record::Severity;

pub(super) use crate::time_format::layout::Parsed;

/// Everything up to the next space, at least one character.
pub(super) fn word(input: &str) -> Parsed<'_, &str> {
    take_while1(|c| c != ' ').parse(input)
}

/// Digits, as text.
pub(super) fn number(input: &str) -> Parsed<'_, &str> {
    take_while1(|c: char| c.is_ascii_digit()).parse(input)
}

/// A word in capitals, as levels are written.
pub(super) fn capitals(input: &str) -> Parsed<'_, &str> {
    take_while1(|c: char| c.is_ascii_uppercase()).parse(input)
}

/// A word in capitals that is known to be a level.
pub(super) fn level(input: &str) -> Parsed<'_, &str> {
    verify(capitals, |word: &str| Severity::from_text(word).is_some()).parse(input)
}

/// The name of a logger: a dotted path of identifiers.
pub(super) fn logger(input: &str) -> Parsed<'_, &str> {
    let inside = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '$' | '.' | '-' | '/');
    verify(take_while1(inside), |name: &str| {
        !name.starts_with(|c: char| c.is_ascii_digit() || c == '-')
    })
    .parse(input)
}

/// `name: `, or `name:` at the end of the line: what follows is the message.
pub(super) fn logger_and_colon(input: &str) -> Parsed<'_, &str> {
    terminated(logger, colon).parse(input)
}

/// A colon with a space, or with nothing behind it.
pub(super) fn colon(input: &str) -> Parsed<'_, ()> {
    let (rest, _) = char(':').parse(input)?;
    if rest.is_empty() {
        return Ok((rest, ()));
    }
    let (rest, _) = char(' ').parse(rest)?;
    Ok((rest, ()))
}

/// `[…]` without brackets inside.
pub(super) fn bracketed(input: &str) -> Parsed<'_, &str> {
    delimited(char('['), take_while(|c| c != ']'), char(']')).parse(input)
}

/// `[…]`, brackets inside in pairs.
pub(super) fn nested_brackets(input: &str) -> Parsed<'_, &str> {
    let mut depth = 0_usize;
    if input.starts_with('[') {
        for (at, byte) in input.bytes().enumerate() {
            match byte {
                b'[' => depth += 1,
                b']' if depth == 1 => return Ok((&input[at + 1..], &input[1..at])),
                b']' => depth -= 1,
                _ => {}
            }
        }
    }
    Err(nom::Err::Error(()))
}
