//! The smallest parts of a query: names, quoted and bare texts, regular expressions, operators.
//!
//! * **Name**: letters, digits and `_ . - @ / $`; any other name stands in quotes.
//! * **Quoted text**: `"…"`; in it `\"`, `\\`, `\n`, `\r`, `\t`, and `\` before any other character that is no
//!   letter and no digit, which then stands for itself.
//! * **Bare text**: up to a blank, `(`, `)`, `|` or `"`; `*` and `?` are wildcards, and `\` before a character
//!   that is no letter and no digit takes its meaning away. So `C:\temp` is an error and not `C:temp`.
//! * **Regular expression**: `/…/`, where the closing `/` is the *first* unescaped `/`, and a blank, `)`, `|` or
//!   the end follows it. Nor may the text begin with a blank or hold a blank right before a `|`, so that a
//!   lone `/` does not swallow the next stage. What begins with `/` and is not of this form is bare text:
//!   `url.path:/api/*` and `url.path:/` are paths. `url.path:/api/` is a regular expression; write
//!   `url.path:"/api/"` for the path.

use nom::branch::alt;
use nom::bytes::complete::{tag, take_while, take_while1};
use nom::character::complete::{char, multispace0};
use nom::combinator::{not, peek, value};
use nom::error::{ErrorKind, ParseError};
use nom::sequence::{preceded, terminated};
use nom::{Err, IResult, Parser};

use crate::wildcard::Piece;

/// What a lexer gives: the rest and the part, or a fault.
pub(crate) type Lexed<'a, T> = IResult<&'a str, T, Fault<'a>>;

/// Why there is no such part. As a `nom::Err::Error` another part may stand there, as a `Failure` none can.
#[derive(Debug, PartialEq)]
pub(crate) struct Fault<'a> {
    /// The query from the place of the fault.
    pub(crate) rest: &'a str,
    pub(crate) kind: FaultKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FaultKind {
    /// Something else stands there.
    Other,
    /// A quote that does not close; the fault is at the quote.
    UnclosedQuote,
    /// A `\` before a letter, a digit or the end; the fault is at the `\`.
    BadEscape,
}

impl<'a> ParseError<&'a str> for Fault<'a> {
    fn from_error_kind(rest: &'a str, _: ErrorKind) -> Self {
        Self { rest, kind: FaultKind::Other }
    }

    fn append(_: &'a str, _: ErrorKind, other: Self) -> Self {
        other
    }
}

/// An operator of comparison after the colon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Comparison {
    Equal,
    Greater,
    GreaterOrEqual,
    Less,
    LessOrEqual,
}

pub(crate) fn is_name_character(character: char) -> bool {
    character.is_alphanumeric() || "_.-@/$".contains(character)
}

/// Whether a bare text ends before it.
pub(crate) fn ends_bare(character: char) -> bool {
    character.is_whitespace() || "()|\"".contains(character)
}

/// Whether the limit of a range ends before it.
pub(crate) fn ends_limit(character: char) -> bool {
    ends_bare(character) || "]}".contains(character)
}

/// Blanks, also none.
pub(crate) fn blanks(input: &str) -> Lexed<'_, ()> {
    value((), take_while(char::is_whitespace)).parse(input)
}

/// A bare name.
pub(crate) fn name(input: &str) -> Lexed<'_, &str> {
    take_while1(is_name_character).parse(input)
}

/// A name and the colon behind it; but `std::vec` is a word. A third colon begins the value `::1`.
pub(crate) fn name_colon(input: &str) -> Lexed<'_, &str> {
    let double = (tag("::"), not(char(':')));
    terminated(name, (not(double), char(':'))).parse(input)
}

/// A word of the language, which ends where words end.
pub(crate) fn keyword<'a>(word: &'static str) -> impl FnMut(&'a str) -> Lexed<'a, &'a str> {
    move |input| {
        let (rest, found) = tag(word).parse(input)?;
        match rest.chars().next() {
            Some(next) if !ends_bare(next) => {
                Err(Err::Error(Fault { rest: input, kind: FaultKind::Other }))
            }
            _ => Ok((rest, found)),
        }
    }
}

/// `AND` or `OR`.
pub(crate) fn operator(input: &str) -> Lexed<'_, &str> {
    alt((keyword("AND"), keyword("OR"))).parse(input)
}

/// `from logs` or `from spans`.
pub(crate) fn from_signal(input: &str) -> Lexed<'_, &str> {
    preceded((keyword("from"), multispace0), alt((keyword("logs"), keyword("spans")))).parse(input)
}

pub(crate) fn comparison(input: &str) -> Lexed<'_, Comparison> {
    alt((
        value(Comparison::GreaterOrEqual, tag(">=")),
        value(Comparison::LessOrEqual, tag("<=")),
        value(Comparison::Greater, tag(">")),
        value(Comparison::Less, tag("<")),
        value(Comparison::Equal, tag("=")),
    ))
    .parse(input)
}

/// `level=error`, `size>5`: a name, an operator and more, in a bare word.
pub(crate) fn misplaced_operator(input: &str) -> Lexed<'_, (&str, &str)> {
    let operator = alt((tag("=="), tag(">="), tag("<="), tag("="), tag(">"), tag("<")));
    let more = peek(take_while1(|character| character != '='));
    terminated((name, operator), more).parse(input)
}

/// A quoted text, without its quotes and escapes.
pub(crate) fn quoted(input: &str) -> Lexed<'_, String> {
    let unclosed = Err::Failure(Fault { rest: input, kind: FaultKind::UnclosedQuote });
    let mut text = String::new();
    let (mut rest, _) = char('"').parse(input)?;
    loop {
        let plain;
        (rest, plain) =
            take_while(|character: char| character != '"' && character != '\\').parse(rest)?;
        text.push_str(plain);
        match rest.chars().next() {
            None => return Err(unclosed),
            Some('"') => return Ok((&rest[1..], text)),
            Some(_) if rest.len() == 1 => return Err(unclosed),
            Some(_) => {
                let control = |letter, meant| value(meant, tag(letter));
                let letters = (control("\\n", '\n'), control("\\r", '\r'), control("\\t", '\t'));
                let character;
                (rest, character) = match alt(letters).parse(rest) {
                    Err(Err::Error(Fault { .. })) => escape(rest)?,
                    done => done?,
                };
                text.push(character);
            }
        }
    }
}

/// A bare text with its wildcards, up to a character that `ends` it; may be empty.
pub(crate) fn bare(input: &str, ends: fn(char) -> bool) -> Lexed<'_, Vec<Piece>> {
    let mut pieces = Vec::new();
    let mut rest = input;
    while let Some(character) = rest.chars().next().filter(|character| !ends(*character)) {
        match character {
            '*' => {
                pieces.push(Piece::AnyRun);
                rest = &rest[1..];
            }
            '?' => {
                pieces.push(Piece::AnyOne);
                rest = &rest[1..];
            }
            '\\' => {
                let character;
                (rest, character) = escape(rest)?;
                push(&mut pieces, character.encode_utf8(&mut [0; 4]));
            }
            _ => {
                let plain = |character: char| !ends(character) && !"*?\\".contains(character);
                let text;
                (rest, text) = take_while1(plain).parse(rest)?;
                push(&mut pieces, text);
            }
        }
    }
    Ok((rest, pieces))
}

/// A regular expression, without its slashes; see the head of this file.
pub(crate) fn regex(input: &str) -> Lexed<'_, String> {
    let other = || Err(Err::Error(Fault { rest: input, kind: FaultKind::Other }));
    let (body, _) = char('/').parse(input)?;
    let mut pattern = String::new();
    let mut characters = body.char_indices();
    let mut blank = true;
    while let Some((at, character)) = characters.next() {
        match character {
            '/' => {
                let rest = &body[at + 1..];
                let next = rest.chars().next();
                let closes =
                    next.is_none_or(|next| next.is_whitespace() || next == ')' || next == '|');
                return if closes { Ok((rest, pattern)) } else { other() };
            }
            '|' if blank && at > 0 => return other(),
            '\\' => match characters.next() {
                Some((_, '/')) => pattern.push('/'),
                Some((_, escaped)) => pattern.extend(['\\', escaped]),
                None => return other(),
            },
            blank if blank.is_whitespace() && at == 0 => return other(),
            plain => pattern.push(plain),
        }
        blank = character.is_whitespace();
    }
    other()
}

/// `\` and a character that is no letter and no digit.
fn escape(input: &str) -> Lexed<'_, char> {
    let (rest, _) = char('\\').parse(input)?;
    match rest.chars().next() {
        Some(character) if !character.is_alphanumeric() => {
            Ok((&rest[character.len_utf8()..], character))
        }
        _ => Err(Err::Failure(Fault { rest: input, kind: FaultKind::BadEscape })),
    }
}

fn push(pieces: &mut Vec<Piece>, text: &str) {
    match pieces.last_mut() {
        Some(Piece::Text(before)) => before.push_str(text),
        _ => pieces.push(Piece::Text(text.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_regex_ends_at_the_first_slash_that_a_value_can_end_with() {
        for (input, expected) in [
            ("/a b/ c", Some("a b")),
            ("/a|b/|stats", Some("a|b")),
            ("/a/)", Some("a")),
            (r"/a\/b/", Some("a/b")),
            (r"/a\\/", Some(r"a\\")),
            ("/api/* x:/y/", None),
            ("/api | eval x = a / b", None),
            ("/ x/", None),
            ("/api", None),
            ("//", Some("")),
        ] {
            let found = regex(input).ok().map(|(_, pattern)| pattern);
            assert_eq!(found.as_deref(), expected, "{input}");
        }
    }

    #[test]
    fn escapes_are_of_signs_only() {
        assert_eq!(quoted(r#""a\"b\\c\n" x"#).unwrap(), (" x", "a\"b\\c\n".to_owned()));
        let fault = |found: Lexed<'_, String>| match found {
            Err(Err::Failure(fault)) => fault.kind,
            other => panic!("{other:?}"),
        };
        assert_eq!(fault(quoted(r#""a\d""#)), FaultKind::BadEscape);
        assert_eq!(fault(quoted(r#""a\""#)), FaultKind::UnclosedQuote);
        assert_eq!(fault(quoted(r#""a\"#)), FaultKind::UnclosedQuote);
        let text = |text: &str| Piece::Text(text.to_owned());
        assert_eq!(
            bare(r"a\*b**?c d", ends_bare).unwrap(),
            (" d", vec![text("a*b"), Piece::AnyRun, Piece::AnyRun, Piece::AnyOne, text("c")])
        );
    }
}
