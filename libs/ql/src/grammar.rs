//! The grammar of filters: text to [`Node`]s, with as many faults reported at once as can be told apart.
//!
//! ```text
//! filter      = conjunction ( 'OR' conjunction )*
//! conjunction = negation ( ['AND'] negation )*
//! negation    = ( '-' | 'NOT' )* primary
//! primary     = '(' filter ')' | NAME ':' value | NAME ':' '(' values ')' | '"phrase"' | word
//! value       = text | '"text"' | '/regex/' | '~' text | ( '>' '>=' '<' '<=' '=' ) text | range
//! range       = ( '[' | '{' ) limit 'TO' limit ( ']' | '}' )
//! values      = filter, of values instead of words
//! ```
//!
//! The recursion is by hand, because it must be bounded ([`DEPTH_MAX`]) and go on after a fault; its parts are
//! nom parsers. Whatever happens, each step moves `at` forward or ends the loop that called it.

mod values;
mod warnings;

use std::rc::Rc;

use nom::Err;

use crate::diagnostic::{DIAGNOSTICS_MAX, Diagnostic, DiagnosticSeverity};
use crate::field::Field;
use crate::lexer::{self, FaultKind, Lexed};
use crate::span::{Span, Spanned};
use crate::syntax::{Node, Target, Value};

/// Deepest nesting of parentheses.
pub const DEPTH_MAX: usize = 64;
/// Most words and values in one query.
pub const LEAVES_MAX: usize = 1_024;
/// Longest name of a field in bytes.
pub(crate) const NAME_BYTES_MAX: usize = 1_024;

/// The place in the text, and what was found so far.
pub(crate) struct Grammar<'a> {
    pub(crate) text: &'a str,
    pub(crate) at: usize,
    depth: usize,
    leaves: usize,
    pub(crate) stopped: bool,
    pub(crate) diagnostics: Vec<Diagnostic>,
}

impl<'a> Grammar<'a> {
    pub(crate) fn new(text: &'a str) -> Self {
        Self { text, at: 0, depth: 0, leaves: 0, stopped: false, diagnostics: Vec::new() }
    }

    /// The whole filter, up to the first `|` or the end; `None` if there is nothing.
    pub(crate) fn filter(&mut self) -> Option<Node> {
        self.skip_blanks();
        if self.ends() && self.peek() != Some(')') {
            return None;
        }
        let mut members = Vec::new();
        loop {
            members.push(self.disjunction(None));
            if self.peek() != Some(')') {
                return Some(Node::And(members));
            }
            self.report(
                Diagnostic::error("unexpected_close", self.span_of(1), "this `)` closes nothing")
                    .with_help("remove it, or quote the text that it belongs to"),
            );
            self.advance(1);
            self.skip_blanks();
            if self.ends() && self.peek() != Some(')') {
                return Some(Node::Invalid);
            }
        }
    }

    /// What is left of the text.
    pub(crate) fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    pub(crate) fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    /// The next `length` bytes.
    pub(crate) fn span_of(&self, length: usize) -> Span {
        Span::new(self.at, (self.at + length).min(self.text.len()))
    }

    pub(crate) fn since(&self, start: usize) -> Span {
        Span::new(start, self.at)
    }

    pub(crate) fn skip_blanks(&mut self) {
        self.take(lexer::blanks);
    }

    /// Keeps a finding. After too many errors the rest of the text is not read; warnings beyond the bound are
    /// left out, because what is read must not depend on them.
    pub(crate) fn report(&mut self, found: Diagnostic) {
        let severity = found.severity;
        let alike = self.diagnostics.iter().filter(|one| one.severity == severity).count();
        if self.stopped || alike == DIAGNOSTICS_MAX {
            return;
        }
        self.diagnostics.push(found);
        if severity == DiagnosticSeverity::Error && alike + 1 == DIAGNOSTICS_MAX {
            self.stop();
        }
    }

    /// Reads a part if it stands here. A part that is broken is reported, and read as the rest of the word.
    pub(crate) fn take<T>(&mut self, part: impl FnOnce(&'a str) -> Lexed<'a, T>) -> Option<T> {
        match part(self.rest()) {
            Ok((rest, part)) => {
                self.at = self.text.len() - rest.len();
                Some(part)
            }
            Err(Err::Failure(fault)) => {
                self.broken(self.text.len() - fault.rest.len(), fault.kind);
                None
            }
            Err(_) => None,
        }
    }

    /// Moves on by `length` bytes, unless nothing more is to be read.
    pub(crate) fn advance(&mut self, length: usize) {
        self.at = (self.at + length).min(self.text.len());
    }

    /// For use after an error. Reads nothing more, and says nothing more: what follows would only be the echo of one fault.
    pub(crate) fn stop(&mut self) {
        self.stopped = true;
        self.at = self.text.len();
    }

    fn broken(&mut self, at: usize, kind: FaultKind) {
        match kind {
            FaultKind::UnclosedQuote => {
                self.report(
                    Diagnostic::error(
                        "unclosed_quote",
                        Span::new(at, at + 1),
                        "this quote is not closed",
                    )
                    .expecting("a closing `\"`")
                    .with_help("write `\\\"` for a quote that is part of the text"),
                );
                self.stop();
            }
            FaultKind::BadEscape | FaultKind::Other => {
                let escaped = self.text[at..].chars().take(2).map(char::len_utf8).sum::<usize>();
                self.report(
                    Diagnostic::error(
                        "bad_escape",
                        Span::new(at, at + escaped),
                        "a `\\` before a letter or a digit, or at the end, means nothing",
                    )
                    .with_help("write `\\\\` for a backslash"),
                );
                let rest = &self.text[at + escaped..];
                let end = rest.find(lexer::ends_bare).unwrap_or(rest.len());
                self.advance((at + escaped + end).saturating_sub(self.at));
                if self.peek() == Some('"') {
                    self.advance(1);
                }
            }
        }
    }

    /// Whether no parenthesis is open.
    pub(crate) fn is_outside(&self) -> bool {
        self.depth == 0
    }

    /// Whether a filter ends here.
    fn ends(&self) -> bool {
        matches!(self.peek(), None | Some(')' | '|'))
    }

    /// The values of `group` if it is given, else terms.
    fn disjunction(&mut self, group: Option<&Rc<Target>>) -> Node {
        let mut members = vec![self.conjunction(group)];
        loop {
            let operator = self.span_of(2);
            if self.take(lexer::keyword("OR")).is_none() {
                break;
            }
            self.skip_blanks();
            if self.ends() {
                self.dangling("OR", operator, "right");
                break;
            }
            members.push(self.conjunction(group));
        }
        if members.len() == 1 { members.remove(0) } else { Node::Or(members) }
    }

    fn conjunction(&mut self, group: Option<&Rc<Target>>) -> Node {
        let mut members = Vec::new();
        loop {
            self.skip_blanks();
            if self.ends() {
                break;
            }
            if lexer::keyword("OR")(self.rest()).is_ok() {
                if members.is_empty() {
                    self.dangling("OR", self.span_of(2), "left");
                    members.push(Node::Invalid);
                }
                break;
            }
            let operator = self.span_of(3);
            if self.take(lexer::keyword("AND")).is_some() {
                self.skip_blanks();
                let operator_follows = lexer::operator(self.rest()).is_ok();
                if members.is_empty() {
                    self.dangling("AND", operator, "left");
                } else if self.ends() || operator_follows {
                    self.dangling("AND", operator, "right");
                }
                continue;
            }
            let start = self.at;
            let first = members.is_empty();
            members.push(self.negation(group));
            self.warn_of_lower_case_operator(start, first);
        }
        if members.len() == 1 { members.remove(0) } else { Node::And(members) }
    }

    fn negation(&mut self, group: Option<&Rc<Target>>) -> Node {
        let mut negated = false;
        loop {
            let operator = self.span_of(3);
            if self.take(lexer::keyword("NOT")).is_some() {
                self.skip_blanks();
                if self.ends() {
                    self.dangling("NOT", operator, "right");
                    return Node::Invalid;
                }
            } else if self.minus_applies() {
                self.advance(1);
            } else {
                break;
            }
            negated = !negated;
        }
        let inner = self.primary(group);
        if negated { Node::Not(Box::new(inner)) } else { inner }
    }

    /// Whether a `-` stands here and right before something that it can exclude.
    fn minus_applies(&self) -> bool {
        let excluded = |rest: &str| {
            rest.chars().next().is_some_and(|next| !next.is_whitespace() && !")|".contains(next))
        };
        self.rest().strip_prefix('-').is_some_and(excluded)
    }

    fn primary(&mut self, group: Option<&Rc<Target>>) -> Node {
        if self.peek() == Some('(') {
            return self.parentheses(group);
        }
        match group {
            Some(target) => self.value(Some(target)),
            None => self.term(),
        }
    }

    fn parentheses(&mut self, group: Option<&Rc<Target>>) -> Node {
        let open = self.span_of(1);
        if self.depth == DEPTH_MAX {
            let message = format!("parentheses are nested more than {DEPTH_MAX} deep");
            self.report(Diagnostic::error("too_deep", open, message));
            self.stop();
            return Node::Invalid;
        }
        self.advance(1);
        self.skip_blanks();
        if self.peek() == Some(')') {
            self.advance(1);
            self.report(
                Diagnostic::error(
                    "empty_group",
                    self.since(open.start),
                    "nothing is in these parentheses",
                )
                .expecting("a word or `field:value`")
                .with_help("quote a text that has parentheses in it"),
            );
            return Node::Invalid;
        }
        self.depth += 1;
        let inner = self.disjunction(group);
        self.depth -= 1;
        if self.peek() == Some(')') {
            self.advance(1);
            return inner;
        }
        let unclosed = Diagnostic::error("unclosed_paren", open, "this parenthesis is not closed")
            .expecting("a closing `)`");
        self.report(match self.peek() {
            Some('|') => unclosed.with_help("a `|` begins a stage; for alternatives write `OR`"),
            _ => unclosed,
        });
        Node::Invalid
    }

    /// A word, a phrase, or a field with its value.
    fn term(&mut self) -> Node {
        let start = self.at;
        if self.peek() == Some('"') {
            let Some(text) = self.take(lexer::quoted) else { return Node::Invalid };
            if self.peek() != Some(':') {
                return self.leaf(None, start, Value::Quoted(text));
            }
            let span = self.since(start);
            self.advance(1);
            return self.field_value(Field::Attribute(text), span);
        }
        if let Some(name) = self.take(lexer::name_colon) {
            let span = Span::new(start, start + name.len());
            if name == "any" {
                return self.target_value(Target::Any, span);
            }
            self.warn_of_name(name, span);
            return self.field_value(Field::resolve(name), span);
        }
        self.warn_of_operator();
        self.value(None)
    }

    fn field_value(&mut self, field: Field, name: Span) -> Node {
        // Escapes do not count: printed, the same name has more of them.
        if field.name().len() > NAME_BYTES_MAX {
            let message = format!("a field's name has at most {NAME_BYTES_MAX} bytes");
            self.report(Diagnostic::error("name_too_long", name, message));
            self.stop();
            return Node::Invalid;
        }
        self.target_value(Target::Field(field), name)
    }

    /// What stands after the colon.
    fn target_value(&mut self, target: Target, name: Span) -> Node {
        let target = Rc::new(target);
        match self.peek() {
            Some('(') => self.parentheses(Some(&target)),
            None | Some(')' | '|') => {
                self.missing_value(name.start, "a value right after the colon")
            }
            Some(blank) if blank.is_whitespace() => {
                self.missing_value(name.start, "a value right after the colon, without a blank")
            }
            Some(_) => self.value(Some(&target)),
        }
    }

    pub(crate) fn missing_value(&mut self, start: usize, expected: &str) -> Node {
        let span = self.since(start);
        let written = &self.text[span.start..span.end];
        let wrong =
            Diagnostic::error("missing_value", span, format!("`{}` has no value", clip(written)))
                .expecting(expected);
        self.report(match written.strip_suffix(':') {
            Some(name) => {
                wrong.with_help(format!("`{}:*` finds the records that have the field", clip(name)))
            }
            None => wrong,
        });
        Node::Invalid
    }

    /// Counts a leaf.
    pub(crate) fn leaf(&mut self, target: Option<&Rc<Target>>, start: usize, value: Value) -> Node {
        self.leaves += 1;
        let span = self.since(start);
        if self.leaves > LEAVES_MAX {
            let message = format!("a query has at most {LEAVES_MAX} words and values");
            self.report(Diagnostic::error("too_many_terms", span, message));
            self.stop();
            return Node::Invalid;
        }
        Node::Leaf(target.cloned(), Spanned::new(value, span))
    }

    fn dangling(&mut self, word: &str, operator: Span, side: &str) {
        self.report(
            Diagnostic::error(
                "dangling_operator",
                operator,
                format!("`{word}` has nothing on its {side}"),
            )
            .expecting("a word or `field:value` beside it")
            .with_help(format!("write `\"{word}\"` to search the word itself")),
        );
    }
}

/// The first part of a text for a message.
pub(crate) fn clip(text: &str) -> String {
    const CHARACTERS_MAX: usize = 40;
    match text.char_indices().nth(CHARACTERS_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}
