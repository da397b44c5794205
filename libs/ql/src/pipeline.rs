//! From a text to a [`Query`]: the signal, the filter, and the text of each stage.
//!
//! Stages are parted at `|` outside of quotes, regular expressions and parentheses. What a stage's arguments
//! mean is the stage's own matter; it reads them with [`crate::Arguments`].

use nom::Parser;
use nom::character::complete::satisfy;
use nom::combinator::recognize;
use nom::multi::many0_count;
use nom::sequence::pair;

use record::Signal;

use crate::check::Check;
use crate::diagnostic::{DIAGNOSTICS_MAX, Diagnostic, DiagnosticSeverity, Diagnostics};
use crate::filter::Filter;
use crate::grammar::Grammar;
use crate::lexer::{self, Lexed};
use crate::nearest::nearest;
use crate::query::{Query, StageCall};
use crate::span::{Span, Spanned};

/// Longest query in bytes.
pub const QUERY_BYTES_MAX: usize = 64 * 1_024;
/// Most stages in one query.
pub const STAGES_MAX: usize = 64;

/// Reads a query and checks its filter.
///
/// # Errors
/// All faults that can be told apart, with the warnings among them, in the order of the text. No input
/// panics; bounds are [`QUERY_BYTES_MAX`], [`crate::DEPTH_MAX`], [`crate::LEAVES_MAX`],
/// [`crate::REGEXES_MAX`] and [`STAGES_MAX`].
pub fn parse(text: &str) -> Result<Query, Diagnostics> {
    if text.len() > QUERY_BYTES_MAX {
        let message =
            format!("a query has at most {QUERY_BYTES_MAX} bytes, this has {}", text.len());
        return Err(Diagnostic::error("query_too_long", Span::new(0, 0), message).into());
    }
    let mut grammar = Grammar::new(text);
    let signal = grammar.signal();
    let node = grammar.filter();
    let stages = grammar.stages();
    let mut check = Check::default();
    let filter = node.map_or(Filter::All, |node| check.filter(&node));
    let mut found = grammar.diagnostics;
    found.append(&mut check.diagnostics);
    found.sort_by_key(|one| one.span.start);
    let found = bounded(found);
    if found.iter().any(|one| one.severity == DiagnosticSeverity::Error) {
        return Err(Diagnostics(found));
    }
    Ok(Query { signal, filter, stages, warnings: found })
}

/// The stages of a query whose filter is faulty, so that their faults can be told with the filter's; none where the
/// fault is such that the stages cannot be told from the filter.
pub fn stages_behind_faults(text: &str) -> Vec<StageCall> {
    if text.len() > QUERY_BYTES_MAX {
        return Vec::new();
    }
    let mut grammar = Grammar::new(text);
    grammar.signal();
    grammar.filter();
    let stages = grammar.stages();
    if grammar.stopped { Vec::new() } else { stages }
}

/// Reads a filter alone, as [`parse`] does: for agents, rules and other places where stages have no meaning.
///
/// # Errors
/// As [`parse`]; also for stages, and for spans.
pub fn parse_filter(text: &str) -> Result<Filter, Diagnostics> {
    let query = parse(text)?;
    if let Some(stage) = query.stages.first() {
        let wrong =
            Diagnostic::error("unexpected_stage", stage.name.span, "only a filter is wanted here");
        return Err(wrong.with_help("leave out the `|` and what follows it").into());
    }
    if query.signal != Signal::Logs {
        let start = text.len() - text.trim_start().len();
        let span = Span::new(start, start + "from".len());
        return Err(
            Diagnostic::error("unexpected_signal", span, "only a filter is wanted here").into()
        );
    }
    Ok(query.filter)
}

/// At most [`DIAGNOSTICS_MAX`] of each severity.
fn bounded(found: Vec<Diagnostic>) -> Vec<Diagnostic> {
    let (mut errors, mut warnings) = (0, 0);
    let keep = |one: &Diagnostic| {
        let count = match one.severity {
            DiagnosticSeverity::Error => &mut errors,
            DiagnosticSeverity::Warning => &mut warnings,
        };
        *count += 1;
        *count <= DIAGNOSTICS_MAX
    };
    found.into_iter().filter(keep).collect()
}

impl Grammar<'_> {
    /// `from logs` or `from spans` at the beginning.
    fn signal(&mut self) -> Signal {
        self.skip_blanks();
        match self.take(lexer::from_signal) {
            Some("spans") => Signal::Spans,
            Some(_) => Signal::Logs,
            None => {
                self.warn_of_signal();
                Signal::Logs
            }
        }
    }

    fn warn_of_signal(&mut self) {
        let Some(rest) = self.rest().strip_prefix("from ") else { return };
        let word = rest.split(lexer::ends_bare).next().unwrap_or_default();
        if let Some(name) = nearest(word, ["spans", "logs"]) {
            let span = self.span_of("from ".len() + word.len());
            let message = format!("`from` and `{word}` are searched as words");
            self.report(
                Diagnostic::warning("nearly_signal", span, message)
                    .with_help(format!("did you mean `from {name}`?")),
            );
        }
    }

    fn stages(&mut self) -> Vec<StageCall> {
        let mut stages = Vec::new();
        while self.peek() == Some('|') {
            let bar = self.span_of(1);
            self.advance(1);
            self.skip_blanks();
            if stages.len() == STAGES_MAX {
                let message = format!("a query has at most {STAGES_MAX} stages");
                self.report(Diagnostic::error("too_many_stages", bar, message));
                self.stop();
                break;
            }
            if let Some(stage) = self.stage(bar) {
                stages.push(stage);
            }
        }
        stages
    }

    /// One stage up to the next `|`.
    fn stage(&mut self, bar: Span) -> Option<StageCall> {
        let start = self.at;
        if matches!(self.peek(), None | Some('|')) {
            let wrong = Diagnostic::error("empty_stage", bar, "no stage follows this `|`")
                .expecting("the name of a stage");
            let double = self.text[bar.end..].starts_with('|');
            self.report(if double {
                wrong.with_help("for alternatives write `OR`")
            } else {
                wrong
            });
            return None;
        }
        let name = self.take(stage_name);
        let name_span = self.since(start);
        let end = self.stage_end();
        let Some(name) = name else {
            let first = self.text[start..].chars().next().map_or(0, char::len_utf8);
            self.report(
                Diagnostic::error(
                    "bad_stage_name",
                    Span::new(start, start + first),
                    "this begins no stage",
                )
                .expecting("the name of a stage"),
            );
            return None;
        };
        let written = &self.text[name_span.end..end];
        let args = written.trim();
        let args_start = name_span.end + (written.len() - written.trim_start().len());
        Some(StageCall {
            name: Spanned::new(name.to_owned(), name_span),
            args: Spanned::new(args.to_owned(), Span::new(args_start, args_start + args.len())),
        })
    }

    /// Moves to the `|` that ends a stage, or to the end; says where that was.
    fn stage_end(&mut self) -> usize {
        let mut open = Vec::new();
        while let Some(character) = self.peek() {
            let fresh =
                self.text[..self.at].ends_with(|before: char| !lexer::is_name_character(before));
            match character {
                '|' if open.is_empty() => return self.at,
                '"' => {
                    if self.take(lexer::quoted).is_none() && self.rest().is_empty() {
                        break;
                    }
                    continue;
                }
                '/' if fresh && self.take(lexer::regex).is_some() => continue,
                '(' => open.push(self.at),
                ')' => {
                    open.pop();
                }
                '\\' => self.advance(1),
                _ => {}
            }
            self.advance(self.peek().map_or(0, char::len_utf8));
        }
        if let Some(at) = open.first() {
            let span = Span::new(*at, at + 1);
            let wrong = Diagnostic::error("unclosed_paren", span, "this parenthesis is not closed");
            self.report(wrong.expecting("a closing `)`"));
        }
        self.at
    }
}

fn stage_name(input: &str) -> Lexed<'_, &str> {
    let first = satisfy(|character| character.is_ascii_alphabetic() || character == '_');
    let more = satisfy(|character| character.is_ascii_alphanumeric() || character == '_');
    recognize(pair(first, many0_count(more))).parse(input)
}
