//! Label filters: `status >= 400 and (method="GET" or duration > 10ms), size < 1KB`.
//!
//! A comma or nothing between two conditions means `and`, which binds closer than `or`.

use super::{Parser, Read};
use crate::ast::{Comparison, LabelFilter, Quantity, QuantityFilter};
use crate::lexer::Token;
use crate::names::Named;

impl Parser<'_> {
    pub(super) fn label_filter(&mut self) -> Read<LabelFilter> {
        let mut any = vec![self.all_of()?];
        while self.keyword("or") {
            any.push(self.all_of()?);
        }
        Ok(joined(any, LabelFilter::Any))
    }

    fn all_of(&mut self) -> Read<LabelFilter> {
        let mut all = vec![self.condition()?];
        loop {
            let follows = match self.peek() {
                Token::Name(_) if self.is_keyword("or") => false,
                Token::Name(_) | Token::Sign("(") => true,
                _ => false,
            };
            if !self.sign(",") && !self.keyword("and") && !follows {
                return Ok(joined(all, LabelFilter::All));
            }
            all.push(self.condition()?);
        }
    }

    fn condition(&mut self) -> Read<LabelFilter> {
        self.count_node()?;
        if self.sign("(") {
            let inner = self.nested(Self::label_filter)?;
            self.expect(")")?;
            return Ok(inner);
        }
        let name = self.name()?;
        let sign = match *self.peek() {
            Token::Sign(sign) => sign,
            _ => return Err(self.unexpected(&[])),
        };
        let texts = matches!(self.peek_behind(1), Token::Text(_));
        match (sign, texts) {
            ("=~" | "!~", _) | ("=" | "!=", true) => Ok(LabelFilter::Text(self.matcher(name)?)),
            _ => {
                let comparison = match sign {
                    "=" => Some(Comparison::Equal),
                    sign => Named::named(sign),
                };
                let Some(comparison) = comparison else {
                    return Err(self.unexpected(&[]));
                };
                self.advance();
                let quantity = self.quantity()?;
                Ok(LabelFilter::Quantity(QuantityFilter { name, comparison, quantity }))
            }
        }
    }

    fn quantity(&mut self) -> Read<Quantity> {
        let negative = self.sign("-");
        let quantity = match *self.peek() {
            Token::Number(number) => Quantity::Number(if negative { -number } else { number }),
            Token::Duration(duration_ns) => {
                Quantity::Duration(if negative { -duration_ns } else { duration_ns })
            }
            Token::Bytes(bytes) if !negative => Quantity::Bytes(bytes),
            _ => return Err(self.unexpected(&["NUMBER", "DURATION", "BYTES"])),
        };
        self.advance();
        Ok(quantity)
    }
}

/// Several are one of many; one is itself.
fn joined(mut all: Vec<LabelFilter>, of: fn(Vec<LabelFilter>) -> LabelFilter) -> LabelFilter {
    match all.len() {
        1 => all.remove(0),
        _ => of(all),
    }
}
