//! The tokens of expressions, for `where` and `eval`.
//!
//! In expressions `-` and `/` are operators, so names have only letters, digits and `_ . @ $`, and do not
//! begin with a digit; any other name stands in backticks. Texts stand in quotes.

use std::time::Duration;

use nom::Parser;
use nom::branch::alt;
use nom::bytes::complete::{tag, take_till1, take_while1};
use nom::character::complete::{char, satisfy};
use nom::combinator::{map, not, opt, recognize};
use nom::sequence::{delimited, preceded};

use crate::arguments::{Arguments, Read, duration, float};
use crate::diagnostic::Diagnostic;
use crate::field::Field;
use crate::grammar::clip;
use crate::lexer::{self, Lexed};
use crate::number::Number;
use crate::quantity;
use crate::span::Spanned;

/// One token of an expression.
#[derive(Clone, Debug, PartialEq)]
pub enum Token {
    /// A bare name: a field, a function, or a word of the expression's grammar (`and`, `true`).
    Name(String),
    /// A name in backticks: always a field.
    Field(Field),
    /// A number without sign; a size is its bytes.
    Number(f64),
    /// A whole number without sign that fits.
    Integer(i64),
    /// A duration with its unit.
    Duration(Duration),
    /// A text in quotes.
    Text(String),
    /// An operator, a comma or a parenthesis.
    Sign(&'static str),
}

/// Longer ones first.
const SIGNS: [&str; 20] = [
    "==", "!=", ">=", "<=", "=~", "!~", "&&", "||", "(", ")", ",", "+", "-", "*", "/", "%", "=",
    "<", ">", "!",
];

impl Arguments<'_> {
    /// The next token of an expression; `None` at the end.
    ///
    /// # Errors
    /// When what stands here begins no token, or a quote does not close.
    pub fn token(&mut self) -> Read<Option<Spanned<Token>>> {
        if self.is_empty() {
            return Ok(None);
        }
        if let Some(text) = self.part(lexer::quoted)? {
            return Ok(Some(text.map(Token::Text)));
        }
        if let Some(sign) = self.part(sign)? {
            return Ok(Some(sign.map(Token::Sign)));
        }
        if let Some(field) = self.part(backticks)? {
            return Ok(Some(field.map(|name| Token::Field(Field::resolve(name)))));
        }
        if let Some(name) = self.part(expression_name)? {
            return Ok(Some(name.map(|name| Token::Name(name.to_owned()))));
        }
        let Some(digits) = self.part(digits)? else {
            return Err(self.unexpected("a name, a number, a text in quotes or an operator"));
        };
        match number(digits.node) {
            Some(token) => Ok(Some(Spanned::new(token, digits.span))),
            None => {
                let message = format!("`{}` is no number", clip(digits.node));
                Err(Diagnostic::error("bad_number", digits.span, message)
                    .expecting("a number, a duration like `5m` or a size like `1MiB`")
                    .into())
            }
        }
    }

    /// The next token, left where it stands.
    ///
    /// # Errors
    /// As [`Arguments::token`].
    pub fn peek_token(&self) -> Read<Option<Spanned<Token>>> {
        self.clone().token()
    }
}

fn sign(input: &str) -> Lexed<'_, &'static str> {
    let found = SIGNS.into_iter().find(|sign| input.starts_with(sign)).unwrap_or("==");
    map(tag(found), move |_| found).parse(input)
}

fn backticks(input: &str) -> Lexed<'_, &str> {
    delimited(char('`'), take_till1(|character| character == '`'), char('`')).parse(input)
}

fn expression_name(input: &str) -> Lexed<'_, &str> {
    let part = |character: char| character.is_alphanumeric() || "_.@$".contains(character);
    let no_start = satisfy(|first: char| first.is_numeric() || first == '.');
    preceded(not(no_start), take_while1(part)).parse(input)
}

/// What begins with a digit, up to what cannot be part of a number or its unit.
fn digits(input: &str) -> Lexed<'_, &str> {
    let part = |character: char| character.is_alphanumeric() || character == '.';
    let exponent = (alt((char('+'), char('-'))), take_while1(|digit: char| digit.is_ascii_digit()));
    let (_, run) = take_while1(part).parse(input)?;
    let base = run.strip_suffix(['e', 'E']).unwrap_or("");
    let signed = !base.is_empty() && Number::parse(base).is_some();
    match signed {
        true => recognize((take_while1(part), opt(exponent))).parse(input),
        false => take_while1(part).parse(input),
    }
}

fn number(text: &str) -> Option<Token> {
    if let Ok(integer) = text.parse() {
        return Some(Token::Integer(integer));
    }
    let size = || quantity::size_bytes(text).map(Number::Integer);
    match Number::parse(text).or_else(size) {
        Some(number) => Some(Token::Number(float(number))),
        None => duration(text).map(Token::Duration),
    }
}
