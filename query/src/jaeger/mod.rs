//! The read API of Jaeger's query service, version 1, as far as Grafana's Jaeger data source and Jaeger's own page ask it.
//!
//! ```text
//! GET /api/services, /api/services/SERVICE/operations, /api/operations   names.rs
//! GET /api/traces?service=…, /api/traces?traceID=…, /api/traces/ID       search.rs ─▶ traces.rs ─▶ shapes.rs, tags.rs
//! GET /api/dependencies                                                  dependencies.rs
//! ```
//!
//! It reads the table of spans only; logs of a trace are no spans. Shapes are those of `jaeger-query`'s JSON:
//! microseconds as integers, ids in lower-case hex, every answer and every error in one envelope (`answers.rs`). A trace
//! in an answer always has a span: Grafana looks at the first one without asking. What is left out for a bound is said
//! in the `warnings` of the traces.

mod answers;
mod dependencies;
mod names;
mod parameters;
mod routes;
mod search;
mod shapes;
mod shared_ids;
mod tags;
mod traces;

#[cfg(test)]
mod tests;

pub(crate) use routes::routes;

/// Traces where nothing else is asked for.
const TRACES_DEFAULT: usize = 20;
/// The most traces of one answer, however many are asked for.
const TRACES_MAX: usize = 1_500;
/// Spans of one trace that are told, the newest.
const SPANS_OF_A_TRACE_MAX: usize = 20_000;
/// Spans of one answer.
const SPANS_MAX: usize = 100_000;
/// The most names of one answer, those with the most spans.
const NAMES_MAX: usize = 10_000;
/// The newest spans that are looked at for who calls whom.
const DEPENDENCY_SPANS_MAX: usize = 500_000;
