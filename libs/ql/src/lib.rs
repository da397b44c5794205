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
//! The language itself:
//!
//! | written | finds |
//! |---|---|
//! | `word`, `nova-compute` | the word, or adjacent words, in the message; or a whole correlation or trace id |
//! | `"two words"` | adjacent words in the message |
//! | `fail*`, `*out`, `f?o` | a word of the message by wildcard |
//! | `*`, nothing | every record |
//! | `a b`, `a AND b`, `a OR b`, `-a`, `NOT a`, `(…)` | AND binds closer than OR; in `f:(-5)` the `-` excludes |
//! | `f:value`, `f:"value"` | equal by the type of the record's value: `500` is the integer, the float and the text |
//! | `f:=value` | the same, wildcards standing for themselves; of the message: the whole text, exact |
//! | `f:~value` | equal, folded to lower case; wildcards too; of the message: the whole text |
//! | `f:/api/*` | `*` and `?` over the whole value; a number as it is printed |
//! | `f:/^u-[0-9]+$/` | regular expression anywhere in the value, or in the raw message |
//! | `f:10.0.0.0/8` | an address in the network |
//! | `f:>5`, `f:>=200ms`, `f:<1MiB`, `f:[1 TO 5]`, `f:{1 TO *}` | numbers; a duration in the unit of the name (`_ms`, `.s`; else ns); texts with texts when the operand is one or is quoted |
//! | `f:*` | the field is there |
//! | `f:(a OR b)`, `f:(a b -c)` | the operators over values of one field |
//! | `level:error`, `level:>=warn`, `level:17` | a level is its four numbers; `>` is above all four |
//! | `time:2026-01-01`, `time:>=2026-01-01T10:00Z` | a beginning of a time is the whole period |
//! | `trace:4BF9…`, `trace:4bf9*` | hex of any case |
//! | `any:value` | words of the message, ids, fixed texts and every attribute |
//! | `"odd name":x`, `"span":x` | a name in quotes is always an attribute's |

mod arguments;
mod check;
mod cidr;
mod diagnostic;
mod expression;
mod field;
mod filter;
mod grammar;
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
pub use grammar::{DEPTH_MAX, LEAVES_MAX};
pub use literal::{Literal, Operand, Range};
pub use moment::TimeRange;
pub use nearest::nearest;
pub use number::Number;
pub use pattern::Pattern;
pub use phrase::{PHRASE_TOKENS_MAX, Phrase, Word};
pub use pipeline::{QUERY_BYTES_MAX, STAGES_MAX, parse, parse_filter};
pub use query::{Query, Signal, StageCall};
pub use severity_range::SeverityRange;
pub use span::{Span, Spanned};
pub use test::Test;
pub use wildcard::{Piece, WILDCARD_BYTES_MAX, Wildcard};
