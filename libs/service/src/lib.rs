//! What every process needs: configuration, telemetry, metrics, health, an HTTP server that stops, doors, signals.
//!
//! Imports nothing of ours, so that every role and the demo shop can use it. Nothing here is global but the
//! log subscriber and the signal handlers, of which a process has one by nature.

pub mod config;
pub mod credentials;
pub mod doors;
pub mod grpc;
pub mod health;
pub mod http;
pub mod http_requests;
pub mod metrics;
pub mod principal;
mod process;
pub mod reread;
pub mod shutdown;
pub mod signature;
pub mod telemetry;
pub mod tls;
pub mod tokens;

/// The names by which the story of a correlation is told.
pub use semantics;
