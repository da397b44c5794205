//! What a process says of itself while it runs.
//!
//! [`init`] is for programs of logq: compact lines on standard error, filtered by `LOGQ_LOG`.
//!
//! With the feature `telemetry` there is more, for services that are watched, by logq or by anything else that speaks
//! OpenTelemetry: structured lines with the ids of what is being done, a middleware and a client that carry those ids
//! over HTTP, headers that carry them over queues, and spans for an OTLP receiver. A process with one service calls
//! `Telemetry::install`; this one has two, and is `examples/two_services.rs`. Whole numbers of a span have to be `i64`:
//! others become text on their way (tracing-opentelemetry knows no other integer).
//!
#![cfg_attr(feature = "telemetry", doc = "```no_run")]
#![cfg_attr(feature = "telemetry", doc = include_str!("../../examples/two_services.rs"))]
#![cfg_attr(feature = "telemetry", doc = "```")]

#[cfg(feature = "telemetry")]
mod client;
#[cfg(feature = "telemetry")]
mod export;
#[cfg(feature = "telemetry")]
mod lines;
#[cfg(feature = "telemetry")]
pub mod messages;
#[cfg(feature = "telemetry")]
mod origin;
#[cfg(feature = "telemetry")]
mod propagation;
#[cfg(feature = "telemetry")]
mod scoped;
#[cfg(feature = "telemetry")]
mod server;
#[cfg(feature = "telemetry")]
mod setup;
#[cfg(feature = "telemetry")]
mod unanswered;

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

#[cfg(feature = "telemetry")]
pub use self::{
    client::Call,
    lines::Lines,
    messages::Message,
    origin::{
        CORRELATION_BYTES_MAX, Origin, correlation_id, fail, new_correlation_id, trace_and_span_id,
    },
    propagation::CORRELATION_HEADER,
    scoped::Scoped,
    server::CorrelationIds,
    setup::{Telemetry, TelemetryError, TelemetryOptions, carry},
};

/// The variable that holds the filter, for example `warn,collector=debug`; without it `info`.
pub const FILTER_VARIABLE: &str = "LOGQ_LOG";

/// Starts logging. A second call changes nothing, and a filter that cannot be read is named and replaced by
/// `info`: a process never fails to start for its own log lines.
pub fn init() {
    let wanted = std::env::var(FILTER_VARIABLE).unwrap_or_default();
    let (filter, error) = match EnvFilter::try_new(if wanted.is_empty() { "info" } else { &wanted })
    {
        Ok(filter) => (filter, None),
        Err(error) => (EnvFilter::new("info"), Some(error)),
    };
    let started = tracing_subscriber::fmt()
        .compact()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr)
        .try_init();
    if let (Ok(()), Some(error)) = (started, error) {
        tracing::warn!(%error, variable = FILTER_VARIABLE, "log filter not understood, using info");
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_second_start_changes_nothing() {
        super::init();
        super::init();
    }
}
