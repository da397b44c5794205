//! Prints a filter as a query that parses to the same filter.
//!
//! The form is canonical, not pretty: canonical field names, quotes around whatever is not plainly a word,
//! every value with its own field name, parentheses around each nested `And` and `Or`.

use std::fmt::{self, Display, Formatter, Write};
use std::ops::Bound;

use crate::field::Field;
use crate::filter::{Filter, Leaf};
use crate::literal::{Operand, Range};
use crate::moment::TimeRange;
use crate::quantity::{print_duration, print_size};
use crate::severity_range::SeverityRange;
use crate::test::Test;
use crate::wildcard::{Piece, Wildcard};

/// Words that mean something to the parser where they stand bare.
const RESERVED: [&str; 6] = ["AND", "OR", "NOT", "TO", "from", "any"];

impl Display for Filter {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_char('*'),
            Self::And(members) => joined(members, " ", f),
            Self::Or(members) => joined(members, " OR ", f),
            Self::Not(inner) => {
                f.write_char('-')?;
                member(inner, f)
            }
            Self::Test(leaf) => leaf.fmt(f),
        }
    }
}

impl Display for Leaf {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Word(word) => text(word.id(), f),
            Self::Field { field, test } => {
                write!(f, "{field}:")?;
                print_test(test, f)
            }
            Self::Any(any) => {
                f.write_str("any:")?;
                print_test(&any.value, f)
            }
        }
    }
}

/// The name of a field, in quotes where the bare name would mean something else or does not parse.
pub(crate) fn field_name(field: &Field, f: &mut Formatter<'_>) -> fmt::Result {
    let name = field.name();
    let bare = field.attribute().is_none_or(|name| {
        !name.is_empty()
            && !name.starts_with('-')
            && name.chars().all(crate::lexer::is_name_character)
            && !RESERVED.contains(&name)
            && Field::resolve(name) == *field
    });
    if bare { f.write_str(name) } else { quoted(name, f) }
}

/// `text` bare if it is plainly a word, else in quotes.
pub(crate) fn text(text: &str, f: &mut Formatter<'_>) -> fmt::Result {
    let plain = |character: char| character.is_alphanumeric() || "_-.@".contains(character);
    let bare = !text.is_empty()
        && !text.starts_with('-')
        && text.chars().all(plain)
        && !RESERVED.contains(&text);
    if bare { f.write_str(text) } else { quoted(text, f) }
}

/// `text` in quotes.
pub(crate) fn quoted(text: &str, f: &mut Formatter<'_>) -> fmt::Result {
    f.write_char('"')?;
    for character in text.chars() {
        match character {
            '"' | '\\' => write!(f, "\\{character}")?,
            '\n' => f.write_str("\\n")?,
            '\r' => f.write_str("\\r")?,
            '\t' => f.write_str("\\t")?,
            other => f.write_char(other)?,
        }
    }
    f.write_char('"')
}

fn joined(members: &[Filter], separator: &str, f: &mut Formatter<'_>) -> fmt::Result {
    for (index, one) in members.iter().enumerate() {
        if index > 0 {
            f.write_str(separator)?;
        }
        member(one, f)?;
    }
    Ok(())
}

fn member(filter: &Filter, f: &mut Formatter<'_>) -> fmt::Result {
    match filter {
        Filter::And(_) | Filter::Or(_) => write!(f, "({filter})"),
        other => other.fmt(f),
    }
}

fn print_test(test: &Test, f: &mut Formatter<'_>) -> fmt::Result {
    match test {
        Test::Exists => f.write_char('*'),
        Test::Equals(literal) => {
            f.write_char('=')?;
            text(literal.text(), f)
        }
        Test::Fold(literal) => {
            f.write_char('~')?;
            text(literal.text(), f)
        }
        Test::Wildcard(pattern) => {
            f.write_str(if pattern.is_folded() { "~" } else { "" })?;
            wildcard(pattern, f)
        }
        Test::Token(pattern) => wildcard(pattern, f),
        Test::Regex(pattern) => regex(pattern.as_str(), f),
        Test::Range(limits) => range(limits, f),
        Test::Cidr(network) => network.fmt(f),
        Test::Words(phrase) => quoted(phrase.text(), f),
        Test::Severity(severities) => severity_range(severities, f),
        Test::Time(times) => time_range(times, f),
        Test::TraceId(id) => id.fmt(f),
        Test::SpanId(id) => id.fmt(f),
    }
}

fn wildcard(pattern: &Wildcard, f: &mut Formatter<'_>) -> fmt::Result {
    for piece in pattern.pieces() {
        match piece {
            Piece::AnyRun => f.write_char('*')?,
            Piece::AnyOne => f.write_char('?')?,
            Piece::Text(text) => {
                for character in text.chars() {
                    let plain = character.is_alphanumeric() || "_.@".contains(character);
                    write!(f, "{}{character}", if plain { "" } else { "\\" })?;
                }
            }
        }
    }
    Ok(())
}

fn regex(pattern: &str, f: &mut Formatter<'_>) -> fmt::Result {
    f.write_char('/')?;
    let mut escaped = false;
    for character in pattern.chars() {
        if character == '/' && !escaped {
            f.write_char('\\')?;
        }
        f.write_char(character)?;
        escaped = character == '\\' && !escaped;
    }
    f.write_char('/')
}

fn range(limits: &Range, f: &mut Formatter<'_>) -> fmt::Result {
    match (&limits.lower, &limits.upper) {
        (Bound::Included(lower), Bound::Unbounded) => write!(f, ">={lower}"),
        (Bound::Excluded(lower), Bound::Unbounded) => write!(f, ">{lower}"),
        (Bound::Unbounded, Bound::Included(upper)) => write!(f, "<={upper}"),
        (Bound::Unbounded, Bound::Excluded(upper)) => write!(f, "<{upper}"),
        (lower, upper) => {
            match lower {
                Bound::Included(lower) => write!(f, "[{lower}")?,
                Bound::Excluded(lower) => write!(f, "{{{lower}")?,
                Bound::Unbounded => f.write_str("[*")?,
            }
            f.write_str(" TO ")?;
            match upper {
                Bound::Included(upper) => write!(f, "{upper}]"),
                Bound::Excluded(upper) => write!(f, "{upper}}}"),
                Bound::Unbounded => f.write_str("*]"),
            }
        }
    }
}

impl Display for Operand {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => number.fmt(f),
            Self::Duration { nanos, .. } => f.write_str(&print_duration(*nanos)),
            Self::Size { bytes } => f.write_str(&print_size(*bytes)),
            // In quotes it is a text, whatever it looks like.
            Self::Text(operand) => quoted(operand, f),
        }
    }
}

fn severity_range(severities: &SeverityRange, f: &mut Formatter<'_>) -> fmt::Result {
    if let Some(level) = severities.level() {
        return f.write_str(level.name());
    }
    match (severities.first, severities.last) {
        _ if severities.is_empty() => write!(f, ">{}", SeverityRange::MAX),
        (first, last) if first == last => write!(f, "{first}"),
        (first, SeverityRange::MAX) => write!(f, ">={first}"),
        (first, last) => write!(f, "[{first} TO {last}]"),
    }
}

fn time_range(times: &TimeRange, f: &mut Formatter<'_>) -> fmt::Result {
    match (times.first.0, times.last.0) {
        _ if times.is_empty() => write!(f, ">{}", record::Timestamp(i64::MAX)),
        (first, last) if first == last => write!(f, "{}", times.first),
        (i64::MIN, _) => write!(f, "<={}", times.last),
        (_, i64::MAX) => write!(f, ">={}", times.first),
        _ => write!(f, "[{} TO {}]", times.first, times.last),
    }
}
