//! What is wrong with a query, in the words and with the places that clients of Loki know.
//!
//! ```text
//! parse error at line 1, col 5: syntax error: unexpected IDENTIFIER, expecting STRING     there is a place
//! parse error : queries require at least one regexp or equality matcher …                 it is about the whole
//! ```
//!
//! Lines and columns count from 1, columns in characters.

use std::fmt;

use crate::span::Span;

/// Why a query is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// What is wrong, without the place.
    pub message: String,
    /// Where; `None` if it is about the query as a whole.
    pub place: Option<Place>,
}

/// A place in a query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// In bytes of the query.
    pub span: Span,
    /// Counts from 1.
    pub line: usize,
    /// In characters, counts from 1.
    pub column: usize,
}

impl Fault {
    /// About the query as a whole.
    pub(crate) fn whole(message: impl Into<String>) -> Self {
        Self { message: message.into(), place: None }
    }

    /// At a place of `text`.
    pub(crate) fn at(text: &str, span: Span, message: impl Into<String>) -> Self {
        let before = text.get(..span.start).unwrap_or(text);
        let line = before.matches('\n').count() + 1;
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        let column = before[line_start..].chars().count() + 1;
        Self { message: message.into(), place: Some(Place { span, line, column }) }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Some(Place { line, column, .. }) => {
                write!(f, "parse error at line {line}, col {column}: {}", self.message)
            }
            None => write!(f, "parse error : {}", self.message),
        }
    }
}

impl std::error::Error for Fault {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_count_characters_of_the_line() {
        let text = "{a=\n  \"é\" x";
        let at = text.find('x').unwrap();
        let fault = Fault::at(text, Span::new(at, at + 1), "wrong");
        assert_eq!(fault.to_string(), "parse error at line 2, col 7: wrong");
        assert_eq!(Fault::whole("wrong").to_string(), "parse error : wrong");
    }
}
