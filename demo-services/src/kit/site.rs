//! What an instance of a service stands on: its port, its health and metrics, its telemetry, and an end that waits for
//! what is under way.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use axum::extract::DefaultBodyLimit;
use axum::http::{HeaderValue, header};
use service::doors::Doors;
use service::health::{self, Health};
use service::http::{ServerLimits, serve};
use service::metrics::Metrics;
use service::shutdown::{Shutdown, Trigger};
use service::telemetry::{Lines, Telemetry, TelemetryOptions};
use tokio::net::TcpListener;
use tokio::task::{JoinHandle, JoinSet};
use tower_http::set_header::SetResponseHeaderLayer;

use super::context::{Context, STEP_TIMEOUT, Service};
use super::directory::Directory;
use super::ids::Ids;

/// Of a request; an order is a few hundred bytes.
const BODY_BYTES_MAX: usize = 16 << 10;
/// How long the last spans may take to the collector.
const EXPORT_DEADLINE: Duration = Duration::from_secs(5);

/// An instance that is not served yet; connections wait.
#[derive(Debug)]
pub(crate) struct Site {
    pub(crate) addr: SocketAddr,
    service: &'static str,
    instance: String,
    listener: TcpListener,
    metrics: Metrics,
    health: Health,
    telemetry: Telemetry,
    ids: Arc<Ids>,
    stop: Trigger,
    stopping: Shutdown,
}

/// An instance that is served.
#[derive(Debug)]
pub(crate) struct Open {
    health: Health,
    stop: Trigger,
    ended: JoinHandle<io::Result<usize>>,
    work: JoinSet<()>,
    telemetry: Telemetry,
}

impl Site {
    /// Takes the port and opens the log, `FOLDER/INSTANCE.log`. Spans go to the collector, if there is one.
    pub(crate) async fn take(
        service: &'static str,
        instance: &str,
        addr: SocketAddr,
        folder: &Path,
        collector: Option<String>,
        ids: Arc<Ids>,
    ) -> anyhow::Result<Self> {
        let metrics = Metrics::new();
        let new_id = Arc::clone(&ids);
        let options = TelemetryOptions {
            lines: Lines::file(folder.join(format!("{instance}.log"))),
            collector,
            correlation_ids: Arc::new(move || new_id.short("ord")),
            ..TelemetryOptions::new(service)
        };
        let telemetry = Telemetry::start(options, &metrics)
            .with_context(|| format!("cannot open {instance}.log in {}", folder.display()))?;
        let listener = TcpListener::bind(addr)
            .await
            .with_context(|| format!("{service} cannot listen on {addr}; name another address"))?;
        let (stop, stopping) = Shutdown::new();
        Ok(Self {
            addr: listener.local_addr()?,
            service,
            instance: instance.to_owned(),
            listener,
            metrics,
            health: Health::new(),
            telemetry,
            ids,
            stop,
            stopping,
        })
    }

    /// What the service is given; its own files are in `data`.
    pub(crate) fn context(&self, data: &Path, directory: &Directory) -> Context {
        Context {
            service: self.service,
            instance: self.instance.clone(),
            data: data.to_owned(),
            ids: Arc::clone(&self.ids),
            directory: directory.clone(),
            step_timeout: STEP_TIMEOUT,
            metrics: self.metrics.clone(),
            health: self.health.clone(),
            stop: self.stopping.clone(),
        }
    }

    /// Serves its routes, health and metrics, and does its work. Every answer says in `server` who it is from: ports are
    /// used again, and whoever calls a dead instance may reach another service.
    pub(crate) fn serve(self, Service { router, quiet, work }: Service) -> Open {
        let Self { service, listener, metrics, health, telemetry, stop, stopping, .. } = self;
        let router = telemetry
            .observe(router.layer(DefaultBodyLimit::max(BODY_BYTES_MAX)))
            .merge(telemetry.quiet(quiet))
            .merge(health::routes(health.clone(), metrics).behind(&Doors::open()))
            .layer(SetResponseHeaderLayer::overriding(
                header::SERVER,
                HeaderValue::from_static(service),
            ));
        let stopped = async move { stopping.requested().await };
        let ended = tokio::spawn(serve(listener, router, stopped, ServerLimits::default()));
        let work = work.into_iter().map(|work| telemetry.scope(work)).collect();
        Open { health, stop, ended, work, telemetry }
    }
}

impl Open {
    /// Ends at once: connections break, nothing is finished, nobody is told.
    pub(crate) fn kill(mut self) {
        self.ended.abort();
        self.work.abort_all();
    }

    /// Takes no more requests, waits for those under way and for its work; then gives what remains to be exported.
    pub(crate) async fn close(mut self) -> anyhow::Result<impl Future<Output = ()>> {
        self.health.begin_shutdown();
        self.stop.set_off();
        self.ended.await.context("a server panicked")??;
        while let Some(ended) = self.work.join_next().await {
            ended.context("a service panicked in what it does beside answering")?;
        }
        Ok(self.telemetry.close(EXPORT_DEADLINE))
    }
}
