//! A whole query: signal, filter, and the calls of stages behind it.

use record::Signal;

use crate::diagnostic::Diagnostic;
use crate::filter::Filter;
use crate::span::Spanned;

/// A query that was parsed and checked.
#[derive(Clone, Debug, PartialEq)]
pub struct Query {
    /// From `from spans`; logs if it does not say.
    pub signal: Signal,
    /// What stands before the first `|`.
    pub filter: Filter,
    /// What stands after it, one call between two `|`.
    pub stages: Vec<StageCall>,
    /// What is probably not meant as it is written.
    pub warnings: Vec<Diagnostic>,
}

/// One stage as written; the language does not know the stages themselves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StageCall {
    /// The stage's name.
    pub name: Spanned<String>,
    /// The text behind the name up to the next `|`, without the blanks around it. Its span counts from the
    /// start of the query; read it with [`crate::Arguments`].
    pub args: Spanned<String>,
}
