//! The story of an interaction, and the tree of a trace: what some records and spans say together.
//!
//! ```text
//! records + spans ─▶ Entry ─▶ Forest (who called whom) ─▶ clocks (what they differ by)
//!                       └───▶ Told (docs/formats/semantics.md) ─▶ sagas, messages, commands …
//!                                       └─▶ order, outcome, holes ─▶ Story
//! ```
//!
//! Plain functions over what was found; where it is found, and how it is shown, is not known here. No I/O, no clock: the
//! time of telling is an argument. All is bounded by the number of entries, and no input makes it panic.

mod clocks;
mod entry;
mod forest;
mod holes;
mod order;
mod outcome;
mod story;
mod things;
mod told;
mod trace;

#[cfg(test)]
mod tests;

pub use clocks::Clock;
pub use entry::Entry;
pub use holes::Hole;
pub use outcome::Outcome;
pub use story::{FirstError, Gap, Message, Row, Saga, SagaStep, Service, Story, Telling};
pub use trace::{Trace, TraceRow};

/// Nanoseconds of a millisecond.
const MILLISECOND: i64 = 1_000_000;
/// Nanoseconds of a second.
const SECOND: i64 = 1_000 * MILLISECOND;

/// Nanoseconds as milliseconds.
fn milliseconds(nanos: i64) -> f64 {
    nanos as f64 / MILLISECOND as f64
}
