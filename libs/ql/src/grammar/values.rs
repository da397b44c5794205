//! The grammar of values: what stands after `field:`, and bare words.

use std::rc::Rc;

use crate::diagnostic::Diagnostic;
use crate::grammar::{Grammar, clip};
use crate::lexer::{self, Comparison};
use crate::span::{Span, Spanned};
use crate::syntax::{Limit, Node, OperandText, Target, Value, flat, literal};
use crate::wildcard::Piece;

impl Grammar<'_> {
    /// One value of `target`, or a bare word if there is none.
    pub(crate) fn value(&mut self, target: Option<&Rc<Target>>) -> Node {
        let start = self.at;
        let value = match self.peek() {
            Some('"') => self.take(lexer::quoted).map(Value::Quoted),
            Some('[' | '{') if target.is_some() => self.range(),
            Some('>' | '<' | '=') if target.is_some() => self.comparison(),
            Some('~') if target.is_some() => self.folded(),
            Some('/') if target.is_some() => match self.take(lexer::regex) {
                Some(pattern) => Some(Value::Regex(pattern)),
                None => self.bare(),
            },
            _ => self.bare(),
        };
        match value {
            Some(value) => self.leaf(target, start, value),
            None => Node::Invalid,
        }
    }

    fn bare(&mut self) -> Option<Value> {
        let start = self.at;
        let pieces = self.take(|rest| lexer::bare(rest, lexer::ends_bare))?;
        if self.text[start..].starts_with('\'') && pieces.len() == 1 && self.at > start + 1 {
            let span = Span::new(start, start + 1);
            self.report(
                Diagnostic::warning(
                    "single_quote",
                    span,
                    "`'` is no quote, it is searched as it stands",
                )
                .with_help("write `\"` around a text"),
            );
        }
        Some(Value::Bare(pieces))
    }

    fn folded(&mut self) -> Option<Value> {
        let start = self.at;
        self.advance(1);
        match self.peek() {
            Some('"') => {
                let text = self.take(lexer::quoted)?;
                Some(Value::Fold(vec![Piece::Text(text)]))
            }
            Some('/') if lexer::regex(self.rest()).is_ok() => {
                self.take(lexer::regex);
                self.report(
                    Diagnostic::error(
                        "folded_regex",
                        self.since(start),
                        "`~` is for texts, not for regular expressions",
                    )
                    .with_help("begin the regular expression with `(?i)`"),
                );
                None
            }
            _ => {
                let pieces = self.take(|rest| lexer::bare(rest, lexer::ends_bare))?;
                if pieces.is_empty() {
                    self.missing_value(start, "a text right after the `~`");
                    return None;
                }
                Some(Value::Fold(pieces))
            }
        }
    }

    fn comparison(&mut self) -> Option<Value> {
        let start = self.at;
        let operator = self.take(lexer::comparison)?;
        let operand_start = self.at;
        if self.peek() == Some('"') {
            let text = self.take(lexer::quoted)?;
            let operand = OperandText::at(self.since(operand_start), text, true);
            return Some(Value::Compare(operator, operand));
        }
        if let Some(operand) = self.operand(lexer::ends_bare, operator == Comparison::Equal)? {
            return Some(Value::Compare(operator, operand));
        }
        self.missing_value(start, "a value right after the operator");
        None
    }

    /// A bare operand; the inner `None` if nothing stands there, the outer if it was reported.
    fn operand(
        &mut self,
        ends: fn(char) -> bool,
        wildcards_are_text: bool,
    ) -> Option<Option<Spanned<OperandText>>> {
        let start = self.at;
        let pieces = self.take(|rest| lexer::bare(rest, ends))?;
        let span = self.since(start);
        if pieces.is_empty() {
            return Some(None);
        }
        let text = match literal(&pieces) {
            Some(text) => text.to_owned(),
            None if wildcards_are_text => flat(&pieces),
            None => {
                let written = clip(&self.text[span.start..span.end]);
                self.report(
                    Diagnostic::error(
                        "wildcard_in_comparison",
                        span,
                        format!("`{written}` cannot be compared with"),
                    )
                    .expecting("a value without `*` and `?`"),
                );
                return None;
            }
        };
        Some(Some(OperandText::at(span, text, false)))
    }

    fn range(&mut self) -> Option<Value> {
        let start = self.at;
        let included = self.peek() == Some('[');
        self.advance(1);
        let reported = self.diagnostics.len();
        let range = self.limits(included);
        if range.is_some() {
            return range;
        }
        let end = self.rest().find([']', '}', '|', '"']);
        let closes = end.filter(|end| self.rest()[*end..].starts_with([']', '}']));
        let (span, message) = match closes {
            Some(end) => {
                self.advance(end + 1);
                (self.since(start), "this is no range")
            }
            None => {
                self.advance(self.rest().find(lexer::ends_bare).unwrap_or(self.rest().len()));
                // `[1 TO 2)` is another bracket, and not one parenthesis too many.
                self.advance(usize::from(self.is_outside() && self.peek() == Some(')')));
                (Span::new(start, start + 1), "this range is not closed")
            }
        };
        // A limit that is wrong in itself has been reported already.
        if self.diagnostics.len() == reported {
            self.report(
                Diagnostic::error("bad_range", span, message)
                    .expecting("`[LOW TO HIGH]`, or `{LOW TO HIGH}` without the limits themselves")
                    .with_help("`*` leaves a side open; quote a text that begins with a bracket"),
            );
        }
        None
    }

    fn limits(&mut self, included: bool) -> Option<Value> {
        let lower = self.limit()?;
        self.skip_blanks();
        self.take(lexer::keyword("TO"))?;
        let upper = self.limit()?;
        self.skip_blanks();
        let upper_included = match self.peek()? {
            ']' => true,
            '}' => false,
            _ => return None,
        };
        self.advance(1);
        let lower = Limit { operand: lower, included };
        Some(Value::Range(lower, Limit { operand: upper, included: upper_included }))
    }

    /// A limit of a range; the inner `None` is `*`.
    fn limit(&mut self) -> Option<Option<Spanned<OperandText>>> {
        self.skip_blanks();
        let start = self.at;
        if self.peek() == Some('"') {
            let text = self.take(lexer::quoted)?;
            return Some(Some(OperandText::at(self.since(start), text, true)));
        }
        if let Some(after) = self.rest().strip_prefix('*')
            && after.chars().next().is_none_or(lexer::ends_limit)
        {
            self.advance(1);
            return Some(None);
        }
        self.operand(lexer::ends_limit, false)?.map(Some)
    }
}
