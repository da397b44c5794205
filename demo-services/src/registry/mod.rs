//! The registry: which instances of which services there are, and which failure switches are on.
//!
//! ```text
//! instance ── register, heartbeat, deregister ──▶ catalog ◀── /health/ready is asked ── checks
//! caller   ── watch: waits for a newer revision ──▶  │
//!                                                    └──▶ lines about what came and went, of no correlation
//! ```
//!
//! All of it is in memory. A registry that was started anew knows nothing: heartbeats tell instances to register again, and
//! until they had the time for that, who watched its predecessor is left with what that one knew. Failure switches are off
//! then.

mod catalog;
mod checks;
mod routes;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use crate::kit::client::http_client;
use crate::kit::context::{Context, Service};

use self::catalog::Catalog;

/// Times of a registry.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Settings {
    /// An instance that was silent for so long is taken out.
    pub(crate) lease: Duration,
    /// How often instances are to say that they are there.
    pub(crate) heartbeat: Duration,
    /// How often each instance is asked whether it is ready.
    pub(crate) check_interval: Duration,
    /// How long its answer may take.
    pub(crate) check_timeout: Duration,
    /// After so many failures in a row it is unhealthy.
    pub(crate) failures_max: u32,
    /// How long instances have after a start to register again.
    pub(crate) settling: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            lease: Duration::from_secs(3),
            heartbeat: Duration::from_secs(1),
            check_interval: Duration::from_secs(2),
            check_timeout: Duration::from_secs(1),
            failures_max: 2,
            settling: Duration::from_secs(2),
        }
    }
}

/// The service, with the usual times.
#[allow(clippy::unused_async, reason = "services are opened alike, and others wait for something")]
pub(crate) async fn open(context: &Context) -> anyhow::Result<Service> {
    Ok(open_with(context, Settings::default()))
}

/// The service with times of its own.
pub(crate) fn open_with(context: &Context, settings: Settings) -> Service {
    let catalog = Arc::new(Catalog::new(settings, &context.metrics));
    let stop = context.stop.clone();
    let work = vec![
        checks::expire(Arc::clone(&catalog), stop.clone()),
        checks::check(Arc::clone(&catalog), http_client(), stop.clone()),
    ];
    Service { quiet: routes::router(catalog, stop), work, ..Service::default() }
}
