//! The query language: text → spans → checked filter, diagnostics, and the naive evaluator.

mod cidr;
mod diagnostic;
mod field;
mod filter;
mod lexer;
mod literal;
mod moment;
mod nearest;
mod number;
mod pattern;
mod phrase;
mod print;
mod quantity;
mod query;
mod severity_range;
mod span;
mod test;
mod wildcard;

pub use cidr::Network;
pub use diagnostic::{DIAGNOSTICS_MAX, Diagnostic, DiagnosticSeverity, Diagnostics};
pub use field::Field;
pub use filter::{AnyTest, Filter, Leaf, matches};
pub use literal::{Literal, Operand, Range};
pub use moment::TimeRange;
pub use nearest::nearest;
pub use number::Number;
pub use pattern::Pattern;
pub use phrase::{PHRASE_TOKENS_MAX, Phrase, Word};
pub use query::{Query, Signal, StageCall};
pub use severity_range::SeverityRange;
pub use span::{Span, Spanned};
pub use test::Test;
pub use wildcard::{Piece, WILDCARD_BYTES_MAX, Wildcard};
