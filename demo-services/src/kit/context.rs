//! What a service is given when it starts, and what it gives back.

use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use service::health::Health;
use service::metrics::Metrics;
use service::shutdown::Shutdown;

use super::directory::Directory;
use super::ids::Ids;

/// How long a step of a saga may take, if nothing else is said.
pub(crate) const STEP_TIMEOUT: Duration = Duration::from_secs(1);

/// What a service is given. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Context {
    /// Its name, as others find it: `orders`.
    pub(crate) service: &'static str,
    /// Which one of its instances this is: `orders-1`.
    pub(crate) instance: String,
    /// The folder of its own files; nobody else's are there.
    pub(crate) data: PathBuf,
    pub(crate) ids: Arc<Ids>,
    /// How long a step of a saga may take.
    pub(crate) step_timeout: Duration,
    pub(crate) directory: Directory,
    pub(crate) metrics: Metrics,
    pub(crate) health: Health,
    /// When to stop. Work beside the requests ends by itself then.
    pub(crate) stop: Shutdown,
}

/// Something that a service does beside answering, until it is told to stop.
pub(crate) type Work = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A service that is ready to answer.
#[derive(Default)]
pub(crate) struct Service {
    pub(crate) router: Router,
    /// Requests that machines send all the time, and that belong to no interaction: without spans.
    pub(crate) quiet: Router,
    /// Run within the service's telemetry.
    pub(crate) work: Vec<Work>,
}
