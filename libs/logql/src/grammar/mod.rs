//! Tokens → expression: recursive descent, because a fault has to say which token was not expected.
//!
//! * `selector`: `{app="a"}`
//! * `pipeline`, `filter`: what follows it up to the end of the log query
//! * `range`: functions over log queries; `metric`: aggregations and operators around them
//!
//! What is parsed here has been compiled as well: a query that gets through has no wrong regular expression or template.

mod filter;
mod metric;
mod pipeline;
mod range;
mod selector;

use crate::ast::{Expr, Matcher};
use crate::fault::Fault;
use crate::lexer::{Lexeme, Token, lex};
use crate::span::{Span, Spanned};

/// Longest query in bytes.
pub const QUERY_BYTES_MAX: usize = 128 << 10;
/// Most parentheses and functions within each other.
pub const DEPTH_MAX: usize = 64;
/// Most parts of a query: matchers, stages, conditions, functions, operators.
pub const NODES_MAX: usize = 1_000;
/// Most names that `expecting` tells; of more it says nothing.
const EXPECTED_MAX: usize = 4;

pub(crate) type Read<T> = Result<T, Fault>;

/// Reads a query.
///
/// # Errors
/// The first fault, in the words of Loki.
pub fn parse(text: &str) -> Result<Expr, Fault> {
    let mut parser = Parser::new(text)?;
    let expr = parser.expression()?;
    parser.end()?;
    Ok(expr)
}

/// Reads a selector alone, which may match everything: `{}`.
///
/// # Errors
/// As [`parse`].
pub fn parse_selector(text: &str) -> Result<Vec<Spanned<Matcher>>, Fault> {
    let mut parser = Parser::new(text)?;
    let matchers = parser.selector()?;
    parser.end()?;
    Ok(matchers)
}

struct Parser<'a> {
    text: &'a str,
    lexemes: Vec<Lexeme>,
    at: usize,
    depth: usize,
    nodes: usize,
    operators: usize,
}

impl<'a> Parser<'a> {
    fn new(text: &'a str) -> Read<Self> {
        if text.len() > QUERY_BYTES_MAX {
            return Err(Fault::whole(format!(
                "query too long: {} bytes, at most {QUERY_BYTES_MAX} are allowed",
                text.len()
            )));
        }
        Ok(Self { text, lexemes: lex(text)?, at: 0, depth: 0, nodes: 0, operators: 0 })
    }

    fn peek(&self) -> &Token {
        self.peek_behind(0)
    }

    /// The token `count` tokens after the next one; the end has no tokens after it but itself.
    fn peek_behind(&self, count: usize) -> &Token {
        &self.lexemes[(self.at + count).min(self.lexemes.len() - 1)].token
    }

    fn span(&self) -> Span {
        self.lexemes[self.at].span
    }

    /// From `start` to the end of the last token that was taken.
    fn span_from(&self, start: Span) -> Span {
        start.to(self.lexemes[self.at.saturating_sub(1)].span)
    }

    fn advance(&mut self) {
        self.at = (self.at + 1).min(self.lexemes.len() - 1);
    }

    fn is_sign(&self, sign: &str) -> bool {
        matches!(self.peek(), Token::Sign(next) if *next == sign)
    }

    fn is_keyword(&self, keyword: &str) -> bool {
        matches!(self.peek(), Token::Name(name) if name.eq_ignore_ascii_case(keyword))
    }

    /// Takes a sign if it is next.
    fn sign(&mut self, sign: &str) -> bool {
        let found = self.is_sign(sign);
        if found {
            self.advance();
        }
        found
    }

    /// Takes a keyword if it is next.
    fn keyword(&mut self, keyword: &str) -> bool {
        let found = self.is_keyword(keyword);
        if found {
            self.advance();
        }
        found
    }

    fn expect(&mut self, sign: &str) -> Read<()> {
        if self.sign(sign) { Ok(()) } else { Err(self.unexpected(&[sign])) }
    }

    fn name(&mut self) -> Read<String> {
        match self.peek() {
            Token::Name(name) => {
                let name = name.clone();
                self.advance();
                Ok(name)
            }
            _ => Err(self.unexpected(&["IDENTIFIER"])),
        }
    }

    fn string(&mut self) -> Read<String> {
        match self.peek() {
            Token::Text(text) => {
                let text = text.clone();
                self.advance();
                Ok(text)
            }
            _ => Err(self.unexpected(&["STRING"])),
        }
    }

    /// A number, with a sign perhaps.
    fn number(&mut self) -> Read<f64> {
        let negative = self.sign("-");
        if !negative {
            self.sign("+");
        }
        match *self.peek() {
            Token::Number(number) => {
                self.advance();
                Ok(if negative { -number } else { number })
            }
            _ => Err(self.unexpected(&["NUMBER"])),
        }
    }

    /// Names in parentheses, also none.
    fn names(&mut self) -> Read<Vec<String>> {
        self.expect("(")?;
        let mut names = Vec::new();
        if self.sign(")") {
            return Ok(names);
        }
        loop {
            self.count_node()?;
            names.push(self.name()?);
            if self.sign(")") {
                return Ok(names);
            }
            if !self.sign(",") {
                return Err(self.unexpected(&[",", ")"]));
            }
        }
    }

    fn end(&self) -> Read<()> {
        if *self.peek() == Token::End { Ok(()) } else { Err(self.unexpected(&[])) }
    }

    /// The next token is not one of those that may stand there.
    fn unexpected(&self, expected: &[&str]) -> Fault {
        let mut message = format!("syntax error: unexpected {}", self.peek().described());
        if (1..=EXPECTED_MAX).contains(&expected.len()) {
            message += &format!(", expecting {}", expected.join(" or "));
        }
        Fault::at(self.text, self.span(), message)
    }

    fn count_node(&mut self) -> Read<()> {
        self.nodes += 1;
        if self.nodes > NODES_MAX {
            let message = format!("query has more than {NODES_MAX} parts");
            return Err(Fault::at(self.text, self.span(), message));
        }
        Ok(())
    }

    /// Reads something that stands within something else.
    fn nested<T>(&mut self, read: impl FnOnce(&mut Self) -> Read<T>) -> Read<T> {
        if self.depth == DEPTH_MAX {
            let message = format!("query is nested deeper than {DEPTH_MAX}");
            return Err(Fault::at(self.text, self.span(), message));
        }
        self.depth += 1;
        let found = read(self);
        self.depth -= 1;
        found
    }
}
