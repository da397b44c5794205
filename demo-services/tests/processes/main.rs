//! The shop as processes: each service is one of its own, which can be killed with -9 and started again.
//!
//! Whatever is killed when, the accounts add up in the end. A file for each thing that dies; `shop` and `asking` are what
//! they share.
#![allow(clippy::unwrap_used, reason = "the lint knows test functions only, not what they share")]

mod asking;
mod chaos;
mod logs;
mod orchestrator;
mod outages;
mod private;
mod shop;
