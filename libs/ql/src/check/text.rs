//! Checks of bare words, of the message, of `any:`, and of fields whose values are texts or of any type.

use std::cmp::Ordering;

use crate::check::{
    Check, Checked, is_star, limits, operand, phrase, reversed, unsuitable, wildcard,
};
use crate::cidr::Network;
use crate::diagnostic::Diagnostic;
use crate::field::Field;
use crate::filter::{AnyTest, Filter, Leaf};
use crate::lexer::Comparison;
use crate::literal::{Literal, Operand, Range};
use crate::phrase::{Phrase, Word};
use crate::span::Span;
use crate::syntax::{Value, literal};
use crate::test::Test;
use crate::wildcard::{Piece, Wildcard};

/// A word, a phrase or a wildcard without a field.
pub(super) fn bare(value: &Value, span: Span) -> Checked<Filter> {
    if is_star(value) {
        return Ok(Filter::All);
    }
    let text = match value {
        Value::Bare(pieces) => match literal(pieces) {
            Some(text) => text,
            None => {
                let test = Test::Token(token(pieces, span)?);
                return Ok(Filter::field(Field::Message, test));
            }
        },
        Value::Quoted(text) => text,
        Value::Regex(_) | Value::Fold(_) | Value::Compare(..) | Value::Range(..) => {
            return Err(unsuitable("a word", "this", "a word or a phrase", span));
        }
    };
    let phrase = phrase(text, span)?;
    Ok(match text.contains(char::is_whitespace) {
        true => Filter::field(Field::Message, Test::Words(phrase)),
        false => Filter::Test(Leaf::Word(Word::new(phrase))),
    })
}

impl Check {
    pub(super) fn message(&mut self, value: &Value, span: Span) -> Checked<Test> {
        let exact = |text: &str| Literal::new(text, "message");
        Ok(match value {
            Value::Quoted(text) => Test::Words(phrase(text, span)?),
            Value::Bare(pieces) => match literal(pieces) {
                Some(text) => Test::Words(phrase(text, span)?),
                None => Test::Token(token(pieces, span)?),
            },
            Value::Regex(pattern) => Test::Regex(self.regex(pattern, span)?),
            Value::Fold(pieces) => fold(pieces, "message", span)?,
            Value::Compare(Comparison::Equal, operand) => Test::Equals(exact(&operand.node.text)),
            Value::Compare(..) | Value::Range(..) => {
                let expected = "a word, a phrase, `/regex/`, or `=` or `~` for the whole text";
                return Err(unsuitable("message", "comparison", expected, span));
            }
        })
    }

    pub(super) fn text(&mut self, field: &Field, value: &Value, span: Span) -> Checked<Test> {
        let name = field.name();
        if let Some(range) = range(field, value, span)? {
            return Ok(range);
        }
        Ok(match value {
            Value::Quoted(text) => Test::Equals(Literal::new(text, name)),
            Value::Bare(pieces) => match literal(pieces) {
                None => Test::Wildcard(wildcard(pieces, false, span)?),
                Some(text) => match network(text, span)? {
                    Some(network) => Test::Cidr(network),
                    None => Test::Equals(Literal::new(text, name)),
                },
            },
            Value::Regex(pattern) => Test::Regex(self.regex(pattern, span)?),
            Value::Fold(pieces) => fold(pieces, name, span)?,
            Value::Compare(_, operand) => Test::Equals(Literal::new(&operand.node.text, name)),
            Value::Range(..) => Test::Exists,
        })
    }

    pub(super) fn any(&mut self, value: &Value, span: Span) -> Checked<Filter> {
        if is_star(value) {
            return Ok(Filter::All);
        }
        let words = |text: &str| Phrase::new(text).map(Test::Words);
        let equal = |text: &str| (words(text), Test::Equals(Literal::new(text, "any")));
        let (message, value) = match value {
            Value::Quoted(text) => equal(text),
            Value::Compare(Comparison::Equal, operand) => equal(&operand.node.text),
            Value::Bare(pieces) => match literal(pieces) {
                None => (
                    token(pieces, span).ok().map(Test::Token),
                    Test::Wildcard(wildcard(pieces, false, span)?),
                ),
                Some(text) => match network(text, span)? {
                    Some(network) => (None, Test::Cidr(network)),
                    None => equal(text),
                },
            },
            Value::Fold(pieces) => {
                let message = match literal(pieces) {
                    Some(text) => words(text),
                    None => token(pieces, span).ok().map(Test::Token),
                };
                (message, fold(pieces, "any", span)?)
            }
            Value::Regex(pattern) => {
                let test = Test::Regex(self.regex(pattern, span)?);
                (Some(test.clone()), test)
            }
            Value::Compare(..) | Value::Range(..) => {
                return Err(unsuitable("any", "comparison", "a value or `/regex/`", span));
            }
        };
        Ok(Filter::Test(Leaf::Any(AnyTest { message, value })))
    }
}

/// A pattern for one word of the message.
fn token(pieces: &[Piece], span: Span) -> Checked<Wildcard> {
    let texts = || {
        pieces.iter().filter_map(|piece| match piece {
            Piece::Text(text) => Some(text),
            Piece::AnyRun | Piece::AnyOne => None,
        })
    };
    if texts().next().is_none() {
        return Err(Diagnostic::error("no_word", span, "these wildcards match any word")
            .expecting("a letter or a digit among them")
            .with_help("write `*` for every record")
            .into());
    }
    if !texts().flat_map(|text| text.chars()).all(char::is_alphanumeric) {
        return Err(Diagnostic::error(
            "wildcard_across_words",
            span,
            "a wildcard matches inside one word of the message, and this is more than one",
        )
        .expecting("letters and digits beside the wildcards")
        .with_help("write the words apart, or `msg:/…/`, or `field:…` for a field")
        .into());
    }
    wildcard(pieces, true, span)
}

fn fold(pieces: &[Piece], name: &str, span: Span) -> Checked<Test> {
    Ok(match literal(pieces) {
        Some(text) => Test::Fold(Literal::new(text, name)),
        None => Test::Wildcard(wildcard(pieces, true, span)?),
    })
}

fn network(text: &str, span: Span) -> Checked<Option<Network>> {
    match Network::parse(text) {
        None => Ok(None),
        Some(Ok(network)) => Ok(Some(network)),
        Some(Err(bits)) => {
            Err(Diagnostic::error("bad_cidr", span, format!("`{text}` is no network"))
                .expecting(format!("at most {bits} bits after the `/`"))
                .with_help("quote it to search the text")
                .into())
        }
    }
}

fn range(field: &Field, value: &Value, span: Span) -> Checked<Option<Test>> {
    let read = limits(value, |operand| {
        // Only attributes can be numbers; texts are compared as texts.
        let is_text = operand.node.quoted || field.attribute().is_none();
        let text = &operand.node.text;
        Ok(if is_text { Operand::Text(text.clone()) } else { Operand::new(text, field.name()) })
    })?;
    let Some((lower, upper)) = read else { return Ok(None) };
    match (operand(&lower), operand(&upper)) {
        (None, None) => return Ok(Some(Test::Exists)),
        (Some(low), Some(high)) => match low.order(high) {
            Some(Ordering::Greater) => return Err(reversed(span)),
            Some(_) => {}
            None => {
                let message = "one limit is a text and the other a number";
                return Err(Diagnostic::error("bad_range", span, message)
                    .expecting("two limits of one kind")
                    .with_help("quote both to compare texts")
                    .into());
            }
        },
        _ => {}
    }
    Ok(Some(Test::Range(Range { lower, upper })))
}
