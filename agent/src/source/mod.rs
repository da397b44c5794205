//! Where lines come from without end: each source hands out lines with the position behind them, so that its
//! caller can make durable how far it got.

pub mod file;
pub(crate) mod journald;
