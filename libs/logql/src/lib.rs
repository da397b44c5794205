//! LogQL, as much of it as Grafana writes: text → expression, a line through a pipeline, samples to series.
//!
//! ```text
//! text ─ lexer, grammar ─▶ Expr (as written, with spans) ─▶ Pipeline: a line → kept or not, its labels, its value
//!                                                       └─▶ metric: lines of a source → series
//! ```
//!
//! What must hold: every fault is a [`Fault`] and never a panic, on any text and any line; memory and depth are bounded;
//! an [`ast::Expr`] prints as a query that is parsed to the same. This crate does no I/O and knows neither HTTP nor where
//! lines are kept.
//!
//! Names and meanings are those of Loki's documentation, because Grafana builds on them, and so are the words of the faults
//! that its users meet.

pub mod ast;
mod fault;
mod grammar;
mod labels;
mod lexer;
pub mod metric;
mod names;
pub mod pipeline;
mod print;
mod quantity;
mod span;

pub use fault::{Fault, Place};
pub use grammar::{DEPTH_MAX, NODES_MAX, QUERY_BYTES_MAX, parse, parse_selector};
pub use labels::Labels;
pub use pipeline::Pipeline;
pub use quantity::{parse_bytes, parse_duration_ns, print_duration};
pub use span::{Span, Spanned};
