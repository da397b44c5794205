//! Reads the arguments of stages: names, keys, numbers, durations, texts, and the tokens of expressions.
//!
//! The stages themselves live in the query crate; this is what they have in common, so that all of them
//! read a field or a duration alike and report faults in places of the whole query. Every method skips the
//! blanks before it, and moves on only if it succeeds.

mod calls;
mod token;

use std::ops::RangeInclusive;
use std::time::Duration;

use nom::Err;

pub use calls::{AggregateCall, Argument, GroupBy, GroupKey};
pub use token::Token;

use crate::diagnostic::Diagnostic;
use crate::field::Field;
use crate::grammar::clip;
use crate::lexer::{self, FaultKind, Lexed};
use crate::nearest::nearest;
use crate::number::Number;
use crate::pattern::Pattern;
use crate::quantity;
use crate::query::StageCall;
use crate::span::{Span, Spanned};

/// Most members of one list (fields, keys, aggregates, arguments).
pub const LIST_MAX: usize = 256;

/// Names that are listed also to who only mistyped one.
const SHORT_LIST: usize = 12;

/// A part of a stage's arguments, or what is wrong there. Boxed, because it is returned everywhere.
pub type Read<T> = Result<T, Box<Diagnostic>>;

/// A place in the arguments of a stage.
#[derive(Clone, Debug)]
pub struct Arguments<'a> {
    text: &'a str,
    /// Where the text begins in the query.
    base: usize,
    at: usize,
}

/// A field to sort by.
#[derive(Clone, Debug, PartialEq)]
pub struct SortKey {
    /// The field, or the column that a stage before made.
    pub field: Spanned<Field>,
    /// Written with `-`: largest first.
    pub descending: bool,
}

impl<'a> Arguments<'a> {
    /// The arguments of `call`, from their beginning.
    pub fn new(call: &'a StageCall) -> Self {
        Self { text: &call.args.node, base: call.args.span.start, at: 0 }
    }

    /// Whether nothing is left.
    pub fn is_empty(&self) -> bool {
        self.rest().trim_start().is_empty()
    }

    /// The place of what is left, or of the end.
    pub fn rest_span(&self) -> Span {
        let end = self.base + self.text.len();
        Span::new(end - self.rest().trim_start().len(), end)
    }

    /// Takes all that is left as it stands.
    pub fn take_rest(&mut self) -> Spanned<&'a str> {
        let span = self.rest_span();
        let rest = self.rest().trim_start();
        self.at = self.text.len();
        Spanned::new(rest, span)
    }

    /// # Errors
    /// When something is left; `expected` says what could have stood there.
    pub fn finish(&self, expected: &str) -> Read<()> {
        if self.is_empty() { Ok(()) } else { Err(self.unexpected(expected)) }
    }

    /// What to report when something else than `expected` stands here.
    pub fn unexpected(&self, expected: &str) -> Box<Diagnostic> {
        let span = self.rest_span();
        let word = self.next_word();
        let (span, message) = match word {
            "" => (span, "the stage ends too early".to_owned()),
            word => {
                let span = Span::new(span.start, span.start + word.len());
                (span, format!("`{}` is not expected here", clip(word)))
            }
        };
        Diagnostic::error("bad_argument", span, message).expecting(expected).into()
    }

    /// Takes the word `keyword` (`by`, `as`), if it stands here as a whole.
    pub fn keyword(&mut self, keyword: &'static str) -> Option<Span> {
        let found = self.part(lexer::keyword(keyword)).ok()??;
        Some(found.span)
    }

    /// Takes the sign `sign` (`,`, `=`), if it stands here.
    pub fn sign(&mut self, sign: char) -> Option<Span> {
        let start = self.rest_span().start;
        if !self.rest().trim_start().starts_with(sign) {
            return None;
        }
        self.at = start - self.base + sign.len_utf8();
        Some(Span::new(start, start + sign.len_utf8()))
    }

    /// Takes `sign`.
    ///
    /// # Errors
    /// When something else stands here.
    pub fn expect_sign(&mut self, sign: char) -> Read<Span> {
        self.sign(sign).ok_or_else(|| self.unexpected(&format!("`{sign}`")))
    }

    /// A name, bare or in quotes: of a new column, of a way to do something.
    ///
    /// # Errors
    /// When no name stands here, or a quote does not close.
    pub fn name(&mut self) -> Read<Spanned<String>> {
        if let Some(text) = self.part(lexer::quoted)? {
            return Ok(text);
        }
        let name = self.part(lexer::name)?.filter(|name| !name.node.starts_with('-'));
        name.map(|name| name.map(str::to_owned)).ok_or_else(|| self.unexpected("a name"))
    }

    /// A field of the record, or a column that a stage before made (`errors`, `p95(duration_ms)`), which is
    /// an attribute of that name. A name in quotes is always an attribute's.
    ///
    /// # Errors
    /// When no name stands here, or a quote does not close.
    pub fn field(&mut self) -> Read<Spanned<Field>> {
        if let Some(text) = self.part(lexer::quoted)? {
            return Ok(text.map(Field::Attribute));
        }
        let mut ahead = self.clone();
        let name = ahead.name().map_err(|_| self.unexpected("a field"))?;
        if ahead.rest().starts_with('(') {
            let call = self.call()?;
            return Ok(Spanned::new(Field::Attribute(call.column()), call.span));
        }
        *self = ahead;
        Ok(name.map(|name| Field::resolve(&name)))
    }

    /// One or more fields, with commas or only blanks between them.
    ///
    /// # Errors
    /// As [`Arguments::field`]; when there are more than [`LIST_MAX`].
    pub fn fields(&mut self) -> Read<Vec<Spanned<Field>>> {
        self.list(Self::field)
    }

    /// One or more fields to sort by: `-` before a field is descending, `+` or nothing ascending.
    ///
    /// # Errors
    /// As [`Arguments::fields`].
    pub fn sort_keys(&mut self) -> Read<Vec<SortKey>> {
        self.list(|this| {
            let descending = this.sign('-').is_some();
            if !descending {
                this.sign('+');
            }
            Ok(SortKey { field: this.field()?, descending })
        })
    }

    /// A whole number in `allowed`.
    ///
    /// # Errors
    /// When something else stands here.
    pub fn integer(&mut self, allowed: RangeInclusive<u64>) -> Read<Spanned<u64>> {
        let expected = match (*allowed.start(), *allowed.end()) {
            (first, u64::MAX) => format!("a whole number, {first} or more"),
            (first, last) => format!("a whole number from {first} to {last}"),
        };
        self.word_as(&expected, |word| word.parse().ok().filter(|number| allowed.contains(number)))
    }

    /// Whether a whole number stands here, as in `top 5 service`.
    pub fn next_is_integer(&self) -> bool {
        let word = self.next_word();
        !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_digit())
    }

    /// A finite number.
    ///
    /// # Errors
    /// When something else stands here.
    pub fn number(&mut self) -> Read<Spanned<f64>> {
        self.word_as("a number", |word| Number::parse(word).map(float))
    }

    /// A duration with its unit, more than zero: `200ms`, `5m`, `1h30m`.
    ///
    /// # Errors
    /// When something else stands here.
    pub fn duration(&mut self) -> Read<Spanned<Duration>> {
        self.word_as("a duration like `30s` or `5m`", duration)
    }

    /// A text in quotes.
    ///
    /// # Errors
    /// When something else stands here.
    pub fn text(&mut self) -> Read<Spanned<String>> {
        self.part(lexer::quoted)?.ok_or_else(|| self.unexpected("a text in quotes"))
    }

    /// A regular expression between slashes, if one stands here.
    ///
    /// # Errors
    /// When it does not compile.
    pub fn regex(&mut self) -> Read<Option<Spanned<Pattern>>> {
        let Some(found) = self.part(lexer::regex)? else { return Ok(None) };
        let pattern = Pattern::new(&found.node).map_err(|reason| {
            let message = format!("this regular expression is wrong: {reason}");
            Box::new(Diagnostic::error("bad_regex", found.span, message))
        })?;
        Ok(Some(Spanned::new(pattern, found.span)))
    }

    /// `as NAME`, if it stands here.
    ///
    /// # Errors
    /// When no name follows the `as`.
    pub fn alias(&mut self) -> Read<Option<Spanned<String>>> {
        match self.keyword("as") {
            Some(_) => self.name().map(Some),
            None => Ok(None),
        }
    }

    /// One or more of what `read` reads, with commas or only blanks between them; ends before `by`, `as`
    /// and signs.
    fn list<T>(&mut self, mut read: impl FnMut(&mut Self) -> Read<T>) -> Read<Vec<T>> {
        let mut all = vec![read(self)?];
        loop {
            let comma = self.sign(',').is_some();
            if !comma && self.list_ends() {
                return Ok(all);
            }
            if all.len() == LIST_MAX {
                let message = format!("a list has at most {LIST_MAX} members");
                return Err(Diagnostic::error("list_too_long", self.rest_span(), message).into());
            }
            all.push(read(self)?);
        }
    }

    fn list_ends(&self) -> bool {
        let rest = self.rest().trim_start();
        let member = |first: char| lexer::is_name_character(first) || first == '"' || first == '+';
        let keyword = |word| lexer::keyword(word)(rest).is_ok();
        !rest.starts_with(member) || keyword("by") || keyword("as")
    }

    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    /// What stands here up to a blank, a comma or a parenthesis; the sign itself if one stands here.
    fn next_word(&self) -> &'a str {
        let rest = self.rest().trim_start();
        let ends = |character: char| character.is_whitespace() || "(),=\"".contains(character);
        match rest.find(ends) {
            Some(0) => &rest[..1],
            Some(end) => &rest[..end],
            None => rest,
        }
    }

    /// Takes the next word if `read` can read it.
    fn word_as<T>(
        &mut self,
        expected: &str,
        read: impl FnOnce(&str) -> Option<T>,
    ) -> Read<Spanned<T>> {
        let word = self.next_word();
        let start = self.rest_span().start;
        let Some(node) = read(word) else { return Err(self.unexpected(expected)) };
        self.at = start - self.base + word.len();
        Ok(Spanned::new(node, Span::new(start, start + word.len())))
    }

    /// Takes a part if it stands here.
    fn part<T>(&mut self, part: impl FnOnce(&'a str) -> Lexed<'a, T>) -> Read<Option<Spanned<T>>> {
        let rest = self.rest().trim_start();
        let place = |rest: &str| self.base + self.text.len() - rest.len();
        match part(rest) {
            Ok((after, node)) => {
                let span = Span::new(place(rest), place(after));
                self.at = self.text.len() - after.len();
                Ok(Some(Spanned::new(node, span)))
            }
            Err(Err::Failure(fault)) => {
                let at = place(fault.rest);
                Err(match fault.kind {
                    FaultKind::UnclosedQuote => Diagnostic::error(
                        "unclosed_quote",
                        Span::new(at, at + 1),
                        "this quote is not closed",
                    )
                    .expecting("a closing `\"`"),
                    FaultKind::BadEscape | FaultKind::Other => Diagnostic::error(
                        "bad_escape",
                        Span::new(at, at + 1),
                        "a `\\` before a letter or a digit, or at the end, means nothing",
                    )
                    .with_help("write `\\\\` for a backslash"),
                }
                .into())
            }
            Err(_) => Ok(None),
        }
    }
}

/// What to report for a stage that is none of `known`.
pub fn unknown_stage<'a>(
    name: &Spanned<String>,
    known: impl IntoIterator<Item = &'a str>,
) -> Diagnostic {
    unknown("unknown_stage", "stage", name, known)
}

/// What to report for a function that is none of `known`.
pub fn unknown_function<'a>(
    name: &Spanned<String>,
    known: impl IntoIterator<Item = &'a str>,
) -> Diagnostic {
    unknown("unknown_function", "function", name, known)
}

fn unknown<'a>(
    code: &'static str,
    kind: &str,
    name: &Spanned<String>,
    known: impl IntoIterator<Item = &'a str>,
) -> Diagnostic {
    let known: Vec<&str> = known.into_iter().collect();
    let message = format!("there is no {kind} `{}`", clip(&name.node));
    let wrong = Diagnostic::error(code, name.span, message);
    match nearest(&name.node, known.iter().copied()) {
        // Who only mistyped needs no list of all.
        near @ Some(_) if known.len() > SHORT_LIST => wrong.did_you_mean(near),
        near => wrong.expecting(format!("one of {}", known.join(", "))).did_you_mean(near),
    }
}

pub(crate) fn float(number: Number) -> f64 {
    match number {
        Number::Integer(number) => number as f64,
        Number::Float(number) => number,
    }
}

fn duration(word: &str) -> Option<Duration> {
    let nanos = u64::try_from(quantity::duration_nanos(word)?).ok()?;
    (nanos > 0).then(|| Duration::from_nanos(nanos))
}
