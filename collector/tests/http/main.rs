//! The collector over a real socket.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod batches;
#[path = "../../../tests/server/grpc.rs"]
mod client;
mod grpc;
mod heartbeats;
mod server;
mod spans;
