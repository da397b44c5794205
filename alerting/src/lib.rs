//! Alert rules: what is asked, what is found at a moment, and which alerts that makes over time.
//!
//! ```text
//! YAML ─▶ read: Rules, or all faults with their places
//!            └─▶ find: queries at a moment ─▶ Found ─▶ Judge: pending ─▶ firing ─▶ resolved ─▶ Transition
//!                                                        ├─▶ lab: the same over stored history, or over test records
//!                                                        └─▶ engine: the same all day ─▶ incidents ─▶ notifications
//! ```
//!
//! What must not be known here: where records are kept and how a query runs. A [`QueryRunner`] is handed in.

mod cases;
mod engine;
mod expect;
mod find;
mod http;
mod incident;
mod judge;
mod lab;
mod mute;
mod notify;
mod options;
mod read;
mod rules;
mod runner;
mod silence;
mod state;
mod template;

#[cfg(test)]
mod tests;

pub use cases::{BEGIN, Case, Cases};
pub use engine::{Engine, Parts, ReadRules, Running, Watermark};
pub use find::{Found, Memory, find};
pub use http::{prometheus_routes, routes};
pub use judge::{Alert, Judge, State, Transition};
pub use lab::{Backtest, Fired, Lab, RuleHistory};
pub use options::{AlertingOptions, Grouping, ReceiverOptions, TABLE};
pub use read::{Fault, Faults, QueryFault, read, read_files};
pub use rules::{Group, Kind, Rule, Rules};
pub use runner::{Answer, QueryRunner, RunError};
pub use silence::Matcher;

/// Nanoseconds of a second.
const SECOND: i64 = 1_000_000_000;
