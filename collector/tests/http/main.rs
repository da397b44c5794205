//! The collector over a real socket.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod batches;
mod heartbeats;
mod server;
mod spans;
