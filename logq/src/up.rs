//! `logq up`: collector and query in one process.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use axum::http::{StatusCode, Uri};
use collector::Collector;
use query::{Queries, QueryApi};
use service::health::{self, Check, Health};
use service::http::{ErrorResponse, ServerLimits, serve};
use service::metrics::Metrics;
use service::shutdown::Shutdown;
use store::{Store, StoreError};
use tokio::net::TcpListener;

use crate::arguments::Up;
use crate::exit::Exit;
use crate::settings::Settings;

/// How often the store's troubles are taken over into the health page.
const HEALTH_INTERVAL: Duration = Duration::from_millis(200);

pub(crate) async fn run(up: &Up) -> Result<Exit> {
    service::telemetry::init();
    let mut settings = match Settings::load(up.config.as_deref()) {
        Ok(settings) => settings,
        Err(error) => {
            eprintln!("{error:#}");
            return Ok(Exit::Usage);
        }
    };
    if let Some(data) = &up.data {
        settings.data.clone_from(data);
    }
    // Before anything is opened: a signal during a long recovery must not be lost.
    let shutdown = Shutdown::on_signals().context("cannot listen for signals")?;
    let (data, options) = (settings.data.clone(), settings.store.clone());
    let opened = tokio::task::spawn_blocking(move || Store::open(&data, options))
        .await
        .context("opening the store panicked")?;
    let store = match opened {
        Ok(store) => Arc::new(store),
        Err(error @ (StoreError::Locked { .. } | StoreError::NewerVersion { .. })) => {
            eprintln!("logq: {error}");
            return Ok(Exit::Usage);
        }
        Err(error) => {
            return Err(error).with_context(|| format!("cannot open {}", settings.data.display()));
        }
    };
    // The folder first: of two faults, the one that names the other process helps more.
    let ingest = listen(&settings.ingest_http, "collector.http").await?;
    let query = listen(&settings.query_http, "query.http").await?;
    serve_until_stopped(settings, store, ingest, query, shutdown).await
}

async fn serve_until_stopped(
    settings: Settings,
    store: Arc<Store>,
    ingest: TcpListener,
    query: TcpListener,
    shutdown: Shutdown,
) -> Result<Exit> {
    let (metrics, health) = (Metrics::new(), Health::new());
    health.set("store", Check::Ok);
    let collector = Collector::new(Arc::clone(&store), settings.collector.clone(), &metrics);
    let queries = Queries::new(Arc::clone(&store), settings.query.clone());
    let api = QueryApi::new(queries, settings.query_concurrency, &metrics);
    let common = health::routes(health.clone(), metrics);
    let (ingest_addr, query_addr) = (ingest.local_addr()?, query.local_addr()?);
    let limits = ServerLimits::default();
    let stop = |shutdown: Shutdown, health: Health| async move {
        shutdown.requested().await;
        health.begin_shutdown();
    };
    let ingest = serve(
        ingest,
        collector.router().merge(common.clone()).fallback(not_found),
        stop(shutdown.clone(), health.clone()),
        limits,
    );
    let query = serve(
        query,
        api.router().merge(common).fallback(not_found),
        stop(shutdown.clone(), health.clone()),
        limits,
    );
    let watch = tokio::spawn(watch_store(Arc::clone(&store), health, shutdown));
    println!("{}", ready_block(&settings.data, ingest_addr, query_addr));
    let (ingest, query) = tokio::join!(ingest, query);
    ingest.and(query).context("cannot serve")?;
    watch.abort();
    // Everything in memory goes into segments before the process ends; what cannot stays in the journal.
    let closed = tokio::task::spawn_blocking(move || store.close())
        .await
        .context("closing the store panicked")?;
    if let Err(error) = closed {
        eprintln!(
            "logq: stopped, but the last records are only in the journal: {error}; the next start reads them from there"
        );
        return Ok(Exit::Failure);
    }
    Ok(Exit::Success)
}

async fn listen(addr: &str, key: &str) -> Result<TcpListener> {
    TcpListener::bind(addr)
        .await
        .with_context(|| format!("cannot listen on {addr}; is another logq running? set `{key}` or LOGQ__{} to another address", key.to_uppercase().replace('.', "__")))
}

/// What is answered for a path that is not served.
async fn not_found(uri: Uri) -> ErrorResponse {
    let message = format!("there is nothing at {}", uri.path());
    ErrorResponse::new(StatusCode::NOT_FOUND, "not_found", message)
        .hint("records go to /v1/logs and /ingest/jsonl of the ingest port, queries to /api/v1/query of the query port")
}

/// Shows the store's troubles on the health page, and takes them off again.
async fn watch_store(store: Arc<Store>, health: Health, shutdown: Shutdown) {
    let mut ticks = tokio::time::interval(HEALTH_INTERVAL);
    while !shutdown.is_requested() {
        ticks.tick().await;
        let troubles: Vec<String> = store
            .troubles()
            .iter()
            .map(|(subject, detail)| format!("{subject}: {detail}"))
            .collect();
        health.set(
            "store",
            if troubles.is_empty() { Check::Ok } else { Check::Degraded(troubles.join("; ")) },
        );
    }
}

fn ready_block(data: &Path, ingest: SocketAddr, query: SocketAddr) -> String {
    let version = env!("CARGO_PKG_VERSION");
    let mut ship = "logq ship".to_owned();
    let mut search = "logq".to_owned();
    // Commands that work as they stand, also when the ports are not the usual ones.
    if ingest.to_string() != "127.0.0.1:4318" {
        ship.push_str(&format!(" --addr http://{ingest}"));
    }
    if query.to_string() != "127.0.0.1:3100" {
        search.push_str(&format!(" --addr http://{query}"));
    }
    format!(
        "logq {version} is ready\n  data     {}\n  ingest   http://{ingest}\n  query    http://{query}\n\n  \
         send a file   {ship} --service NAME FILE\n  search        {search} 'level:>=warn'\n  stop          Ctrl-C",
        data.display()
    )
}
