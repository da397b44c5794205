//! The query language: text → spans → checked filter, diagnostics, and the naive evaluator.
//!
//! ```text
//! text ─ lexer, grammar ─▶ syntax (as written, with spans) ─ check ─▶ Filter (typed tests) ─▶ matches(&Record), matches_ref(&RecordRef)
//!   └─ pipeline: the text of each stage ─▶ Arguments, read by the stages of the query crate
//! ```
//!
//! What must hold: every fault is a [`Diagnostic`] and never a panic, on any text; memory and depth are bounded;
//! a [`Filter`] prints as a query that parses to the same filter; a value meets a test only in the functions of
//! [`Test`], for every evaluator. This crate does no I/O and knows no stage, no index and no column.
//!
//! The language itself is [`LANGUAGE`].

mod arguments;
mod check;
mod cidr;
mod diagnostic;
mod expression;
mod field;
mod filter;
mod format;
mod grammar;
mod language;
mod lexer;
mod literal;
mod moment;
mod nearest;
mod number;
mod pattern;
mod phrase;
mod pipeline;
mod print;
mod quantity;
mod query;
mod severity_range;
mod span;
mod syntax;
mod test;
mod wildcard;

pub use arguments::{
    AggregateCall, Argument, Arguments, GroupBy, GroupKey, LIST_MAX, Read, SortKey, Token,
    unknown_function, unknown_stage,
};
pub use check::REGEXES_MAX;
pub use cidr::Network;
pub use diagnostic::{DIAGNOSTICS_MAX, Diagnostic, DiagnosticSeverity, Diagnostics};
pub use expression::{
    Arithmetic, Comparison, Constant, EXPRESSION_NODES_MAX, Expression, FUNCTIONS, Function,
    FunctionHelp, Type,
};
pub use field::Field;
pub use filter::{AnyTest, Filter, Leaf, matches, matches_ref};
pub use format::format;
pub use grammar::{DEPTH_MAX, LEAVES_MAX};
pub use language::LANGUAGE;
pub use literal::{Literal, Operand, Range};
pub use moment::TimeRange;
pub use nearest::nearest;
pub use number::Number;
pub use pattern::Pattern;
pub use phrase::{PHRASE_TOKENS_MAX, Phrase, Word};
pub use pipeline::{QUERY_BYTES_MAX, STAGES_MAX, parse, parse_filter, stages_behind_faults};
pub use quantity::duration_nanos;
pub use query::{Query, StageCall};
pub use record::Signal;
pub use severity_range::SeverityRange;
pub use span::{Span, Spanned};
pub use test::Test;
pub use wildcard::{Piece, WILDCARD_BYTES_MAX, Wildcard};
