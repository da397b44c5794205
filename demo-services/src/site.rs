//! What each service stands on: its port, its health and metrics, its telemetry, and an end that waits for what is under
//! way.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use axum::Router;
use axum::extract::DefaultBodyLimit;
use service::doors::Doors;
use service::health::{self, Health};
use service::http::{ServerLimits, serve};
use service::metrics::Metrics;
use service::shutdown::{Shutdown, Trigger};
use service::telemetry::{Lines, Telemetry, TelemetryOptions};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::ids::Ids;

/// Of a request; an order is a few hundred bytes.
const BODY_BYTES_MAX: usize = 16 << 10;
/// How long the last spans may take to the collector.
const EXPORT_DEADLINE: Duration = Duration::from_secs(5);

/// A service that is not served yet; connections wait.
#[derive(Debug)]
pub(crate) struct Site {
    pub(crate) addr: SocketAddr,
    listener: TcpListener,
    metrics: Metrics,
    telemetry: Telemetry,
}

/// A service that is served.
#[derive(Debug)]
pub(crate) struct Open {
    health: Health,
    stop: Trigger,
    ended: JoinHandle<io::Result<usize>>,
    telemetry: Telemetry,
}

impl Site {
    /// Takes the port and opens the log, `FOLDER/SERVICE.log`. Spans go to the collector, if there is one.
    pub(crate) async fn take(
        service: &'static str,
        addr: SocketAddr,
        folder: &Path,
        collector: Option<String>,
        ids: Arc<Ids>,
    ) -> anyhow::Result<Self> {
        let metrics = Metrics::new();
        let options = TelemetryOptions {
            lines: Lines::file(folder.join(format!("{service}.log"))),
            collector,
            correlation_ids: Arc::new(move || ids.short("ord")),
            ..TelemetryOptions::new(service)
        };
        let telemetry = Telemetry::start(options, &metrics)
            .with_context(|| format!("cannot open {service}.log in {}", folder.display()))?;
        let listener = TcpListener::bind(addr).await.with_context(|| {
            format!("{service} cannot listen on {addr}; set --{service}-http to another address")
        })?;
        Ok(Self { addr: listener.local_addr()?, listener, metrics, telemetry })
    }

    /// Serves `router`, health and metrics.
    pub(crate) fn serve(self, router: Router) -> Open {
        let Self { listener, metrics, telemetry, .. } = self;
        let health = Health::new();
        let router = telemetry
            .observe(router.layer(DefaultBodyLimit::max(BODY_BYTES_MAX)))
            .merge(health::routes(health.clone(), metrics).behind(&Doors::open()));
        let (stop, stopping) = Shutdown::new();
        let stopped = async move { stopping.requested().await };
        let ended = tokio::spawn(serve(listener, router, stopped, ServerLimits::default()));
        Open { health, stop, ended, telemetry }
    }
}

impl Open {
    /// Takes no more requests and waits for those under way; then gives what remains to be exported.
    pub(crate) async fn close(self) -> anyhow::Result<impl Future<Output = ()>> {
        self.health.begin_shutdown();
        self.stop.set_off();
        self.ended.await.context("a server panicked")??;
        Ok(self.telemetry.close(EXPORT_DEADLINE))
    }
}
