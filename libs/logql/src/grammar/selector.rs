//! `{app="a", pod=~"p.*"}`

use super::{Parser, Read};
use crate::ast::Matcher;
use crate::lexer::Token;
use crate::names::Named;
use crate::span::Spanned;

impl Parser<'_> {
    /// A selector, which may be empty.
    pub(super) fn selector(&mut self) -> Read<Vec<Spanned<Matcher>>> {
        self.expect("{")?;
        let mut matchers = Vec::new();
        if self.sign("}") {
            return Ok(matchers);
        }
        loop {
            let start = self.span();
            let name = match self.peek() {
                Token::Name(_) => self.name()?,
                _ => return Err(self.unexpected(&["IDENTIFIER", "}"])),
            };
            let matcher = self.matcher(name)?;
            matchers.push(Spanned::new(matcher, self.span_from(start)));
            if self.sign("}") {
                return Ok(matchers);
            }
            if !self.sign(",") {
                return Err(self.unexpected(&["}", ","]));
            }
            // As in Prometheus, a comma may stand behind the last one.
            if self.sign("}") {
                return Ok(matchers);
            }
        }
    }

    /// The operator and the text behind a name.
    pub(super) fn matcher(&mut self, name: String) -> Read<Matcher> {
        self.count_node()?;
        let operator = match self.peek() {
            Token::Sign(sign) => Named::named(sign),
            _ => None,
        };
        let Some(operator) = operator else {
            return Err(self.unexpected(&["=", "!=", "=~", "!~"]));
        };
        self.advance();
        Ok(Matcher { name, operator, value: self.string()? })
    }
}
