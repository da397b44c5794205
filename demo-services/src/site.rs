//! What each service stands on: its port, its health and metrics, its log, and an end that waits for what is under way.

use std::io;
use std::net::SocketAddr;
use std::path::Path;

use anyhow::Context;
use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::map_response;
use axum::response::Response;
use service::doors::Doors;
use service::health::{self, Health};
use service::http::{ServerLimits, serve};
use service::metrics::Metrics;
use service::shutdown::{Shutdown, Trigger};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::log_file::LogFile;

/// Of a request; an order is a few hundred bytes.
const BODY_BYTES_MAX: usize = 16 << 10;

/// A service that is not served yet; connections wait.
#[derive(Debug)]
pub(crate) struct Site {
    pub(crate) addr: SocketAddr,
    listener: TcpListener,
    metrics: Metrics,
}

/// A service that is served.
#[derive(Debug)]
pub(crate) struct Open {
    health: Health,
    stop: Trigger,
    ended: JoinHandle<io::Result<usize>>,
}

impl Site {
    /// Takes the port and opens the log, `FOLDER/SERVICE.log`.
    pub(crate) async fn take(
        service: &'static str,
        addr: SocketAddr,
        folder: &Path,
    ) -> anyhow::Result<(Self, LogFile)> {
        let metrics = Metrics::new();
        let lost = "demo_log_lines_lost_total";
        let lost = metrics.counter(lost, "Lines of the log that could not be written.");
        let log = LogFile::open(folder, service, lost)
            .with_context(|| format!("cannot open {service}.log in {}", folder.display()))?;
        let listener = TcpListener::bind(addr).await.with_context(|| {
            format!("{service} cannot listen on {addr}; set --{service}-http to another address")
        })?;
        Ok((Self { addr: listener.local_addr()?, listener, metrics }, log))
    }

    /// Serves `router`, health and metrics.
    pub(crate) fn serve(self, router: Router) -> Open {
        let answers = self.metrics.counter_vec(
            "demo_requests_total",
            "Requests by the status of the answer.",
            &["status_code"],
        );
        let count = move |answer: Response| {
            answers.with_label_values(&[answer.status().as_str()]).inc();
            std::future::ready(answer)
        };
        let health = Health::new();
        let router = router
            .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
            .layer(map_response(count))
            .merge(health::routes(health.clone(), self.metrics).behind(&Doors::open()));
        let (stop, stopping) = Shutdown::new();
        let stopped = async move { stopping.requested().await };
        let ended = tokio::spawn(serve(self.listener, router, stopped, ServerLimits::default()));
        Open { health, stop, ended }
    }
}

impl Open {
    /// Takes no more requests and waits for those under way.
    pub(crate) async fn close(self) -> anyhow::Result<()> {
        self.health.begin_shutdown();
        self.stop.set_off();
        self.ended.await.context("a server panicked")??;
        Ok(())
    }
}
