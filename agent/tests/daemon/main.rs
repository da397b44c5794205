//! The agent as a process, against a collector that fails as it is told: what is read arrives once, in order, under
//! names that are never used twice, or it is said what did not.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod bad_input;
mod collector;
mod dead_letters;
mod full;
mod identity;
mod kill;
mod metrics;
mod pipes;
mod process;
mod reload;
mod sampling;
mod shipping;
