//! What is wrong with a query, where, and what would be right.
//!
//! A diagnostic renders as the line of the query with carets under the span:
//!
//! ```text
//! error[unknown_level]: `eror` is no level
//!   | level:eror timeout
//!   |       ^^^^ expected a level or a number from 0 to 24
//!   = help: did you mean `error`?
//! ```
//!
//! Columns are counted as terminals show them, so that carets stand right under wide characters. A long line
//! is cut around the span, a query of several lines shows the line's number.

use std::fmt;

use unicode_width::UnicodeWidthChar;

use crate::span::Span;

/// Most diagnostics that one query reports of each kind; further faults are not looked for.
pub const DIAGNOSTICS_MAX: usize = 20;
/// Most columns of the query line that are shown on each side of a span.
const CONTEXT_COLUMNS: usize = 60;

/// Whether the query can run all the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DiagnosticSeverity {
    /// It cannot.
    Error,
    /// It can, but probably means something else.
    Warning,
}

/// One finding about a query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// Error or warning.
    pub severity: DiagnosticSeverity,
    /// Stable name in snake_case, for programs.
    pub code: &'static str,
    /// What is wrong, in one line.
    pub message: String,
    /// Where, in bytes of the query.
    pub span: Span,
    /// What was expected there; stands beside the carets.
    pub expected: Option<String>,
    /// What to do about it.
    pub help: Option<String>,
}

impl Diagnostic {
    /// An error.
    pub fn error(code: &'static str, span: Span, message: impl Into<String>) -> Self {
        let severity = DiagnosticSeverity::Error;
        Self { severity, code, message: message.into(), span, expected: None, help: None }
    }

    /// A warning.
    pub fn warning(code: &'static str, span: Span, message: impl Into<String>) -> Self {
        Self { severity: DiagnosticSeverity::Warning, ..Self::error(code, span, message) }
    }

    /// Says what was expected at the span.
    pub fn expecting(self, expected: impl Into<String>) -> Self {
        Self { expected: Some(expected.into()), ..self }
    }

    /// Says what to do.
    pub fn with_help(self, help: impl Into<String>) -> Self {
        Self { help: Some(help.into()), ..self }
    }

    /// Asks whether `nearest` was meant, if there is one.
    pub fn did_you_mean(self, nearest: Option<&str>) -> Self {
        match nearest {
            Some(name) => self.with_help(format!("did you mean `{name}`?")),
            None => self,
        }
    }

    /// The finding with the query's line and carets; several lines, the last without a line end.
    pub fn render(&self, query: &str) -> String {
        let severity = match self.severity {
            DiagnosticSeverity::Error => "error",
            DiagnosticSeverity::Warning => "warning",
        };
        let mut text = format!("{severity}[{}]: {}", self.code, self.message);
        let shown = Excerpt::of(query, self.span);
        let margin = " ".repeat(shown.number.len());
        text += &format!("\n{} | {}", shown.number, shown.line);
        let carets = format!("{}{}", " ".repeat(shown.indent), "^".repeat(shown.carets));
        text += &format!("\n{margin} | {carets}");
        if let Some(expected) = &self.expected {
            text += &format!(" expected {expected}");
        }
        if let Some(help) = &self.help {
            text += &format!("\n{margin} = help: {help}");
        }
        text
    }
}

impl fmt::Display for Diagnostic {
    /// In one line, without the query.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.message)?;
        if let Some(expected) = &self.expected {
            write!(f, ", expected {expected}")?;
        }
        self.help.as_ref().map_or(Ok(()), |help| write!(f, " ({help})"))
    }
}

impl std::error::Error for Diagnostic {}

/// All that is wrong with a query: at least one error, in the order of the text, warnings among them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostics(pub Vec<Diagnostic>);

impl Diagnostics {
    /// The first error; what a caller shows who can show only one.
    pub fn first(&self) -> &Diagnostic {
        let is_error = |one: &&Diagnostic| one.severity == DiagnosticSeverity::Error;
        self.0.iter().find(is_error).unwrap_or(&self.0[0])
    }

    /// All findings with the query's lines and carets, an empty line between them.
    pub fn render(&self, query: &str) -> String {
        let all: Vec<_> = self.0.iter().map(|one| one.render(query)).collect();
        all.join("\n\n")
    }
}

impl From<Diagnostic> for Diagnostics {
    fn from(one: Diagnostic) -> Self {
        Self(vec![one])
    }
}

impl fmt::Display for Diagnostics {
    /// One line each, without the query.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, one) in self.0.iter().enumerate() {
            let separator = if index == 0 { "" } else { "\n" };
            write!(f, "{separator}{one}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Diagnostics {}

/// The part of the query that is shown, with the place of the carets in columns.
struct Excerpt {
    number: String,
    line: String,
    indent: usize,
    carets: usize,
}

impl Excerpt {
    fn of(query: &str, span: Span) -> Self {
        let start = floor_boundary(query, span.start);
        let line_start = query[..start].rfind('\n').map_or(0, |at| at + 1);
        let line_end = query[start..].find('\n').map_or(query.len(), |at| start + at);
        let end = floor_boundary(query, span.end).clamp(start, line_end);
        let number = match query.trim_end().contains('\n') {
            true => (query[..line_start].matches('\n').count() + 1).to_string(),
            false => " ".to_owned(),
        };
        let (before, cut_before) = last_columns(&query[line_start..start], CONTEXT_COLUMNS);
        let (marked, cut_marked) = first_columns(&query[start..end], 2 * CONTEXT_COLUMNS);
        let rest = if cut_marked { "" } else { &query[end..line_end] };
        let (after, cut_after) = first_columns(rest, CONTEXT_COLUMNS);
        let ellipsis = |cut: bool| if cut { "…" } else { "" };
        let line = format!(
            "{}{before}{marked}{after}{}",
            ellipsis(cut_before),
            ellipsis(cut_marked || cut_after)
        );
        Self {
            number,
            line: line.trim_end().to_owned(),
            indent: width(&before) + usize::from(cut_before),
            carets: width(&marked).max(1),
        }
    }
}

fn floor_boundary(text: &str, at: usize) -> usize {
    (0..=at.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0)
}

/// The first columns of `text` in printable form, and whether something was cut.
fn first_columns(text: &str, columns: usize) -> (String, bool) {
    take_columns(text.chars(), columns)
}

fn last_columns(text: &str, columns: usize) -> (String, bool) {
    let (reversed, cut) = take_columns(text.chars().rev(), columns);
    (reversed.chars().rev().collect(), cut)
}

fn take_columns(characters: impl Iterator<Item = char>, columns: usize) -> (String, bool) {
    let mut taken = String::new();
    let mut used = 0;
    for character in characters {
        // Control characters have no width of their own, and would move the cursor.
        let shown = if character.is_control() { ' ' } else { character };
        used += shown.width().unwrap_or(0);
        if used > columns {
            return (taken, true);
        }
        taken.push(shown);
    }
    (taken, false)
}

fn width(text: &str) -> usize {
    text.chars().map(|character| character.width().unwrap_or(0)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(query: &str, start: usize, end: usize) -> String {
        Diagnostic::error("code", Span::new(start, end), "wrong").expecting("right").render(query)
    }

    #[test]
    fn carets_stand_under_the_span() {
        insta::assert_snapshot!(check("level:eror x", 6, 10), @r"
        error[code]: wrong
          | level:eror x
          |       ^^^^ expected right
        ");
    }

    #[test]
    fn wide_characters_and_tabs_take_their_columns() {
        insta::assert_snapshot!(check("カード\tx", 10, 11), @r"
        error[code]: wrong
          | カード x
          |        ^ expected right
        ");
    }

    #[test]
    fn the_line_of_the_span_is_shown_with_its_number() {
        insta::assert_snapshot!(check("one\ntwo bad\nthree", 8, 11), @r"
        error[code]: wrong
        2 | two bad
          |     ^^^ expected right
        ");
    }

    #[test]
    fn a_long_line_is_cut_around_the_span() {
        let query = format!("{} bad {}", "a".repeat(200), "b".repeat(200));
        insta::assert_snapshot!(check(&query, 201, 204), @r"
        error[code]: wrong
          | …aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa bad bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb…
          |                                                              ^^^ expected right
        ");
    }

    #[test]
    fn a_span_outside_of_the_query_does_no_harm() {
        for (start, end) in [(0, 0), (3, 3), (9, 12), (1, 2), (2, 1)] {
            assert!(check("aé", start, end).contains('^'));
        }
    }
}
