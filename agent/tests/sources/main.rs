//! The sources that are no plain files, on the real binary: the journal of systemd, OTLP, logs of containers.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod journald;
mod kubernetes;
mod otlp;
mod process;
#[path = "../server/mod.rs"]
mod server;
