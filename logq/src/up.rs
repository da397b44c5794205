//! `logq up`: collector and query in one process, and the demo beside them if it is wanted.
//!
//! They stop in the order in which records travel: the shop, its agent, then what takes them in and answers.

use std::io::Write;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use alerting::{Engine, Parts, ReadRules};
use anyhow::{Context, Result};
use axum::Router;
use axum::http::{StatusCode, Uri};
use collector::Collector;
use query::{Queries, QueryApi};
use record::Timestamp;
use service::doors::exposure::{self, Exposed};
use service::doors::{Entrance, Routes};
use service::health::{self, Check, Health};
use service::http::{ErrorResponse, Listener, ServerLimits, serve};
use service::http_requests::RequestDurations;
use service::metrics::Metrics;
use service::shutdown::Shutdown;
use store::{Store, StoreError};
use tokio::net::TcpListener;

use crate::arguments::Up;
use crate::demo::Demo;
use crate::exit::Exit;
use crate::ready::Ready;
use crate::rules::{OverQueries, faults_of};
use crate::settings::Settings;

/// What alerting must not forget, in the data folder.
const ALERTING_STATE: &str = "alerting.db";
const DEMO_RULES: &str = include_str!("../../alerting/rules/demo.yaml");
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
    let entrance = match entrance(up, &settings) {
        Ok(entrance) => entrance,
        Err(error) => {
            eprintln!("logq: {error}");
            return Ok(Exit::Usage);
        }
    };
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
    let grpc = listen(&settings.ingest_grpc, "collector.grpc").await?;
    let query = listen(&settings.query_http, "query.http").await?;
    let alerting = listen(&settings.alerting.http, "alerting.http").await?;
    let listeners = Listeners { ingest, grpc, query, alerting };
    let demo = up.demo.then_some((up.demo_http, up.insecure));
    serve_until_stopped(settings, entrance, store, listeners, demo, shutdown).await
}

/// What stands before the listeners, and whether they may listen where they are to.
fn entrance(up: &Up, settings: &Settings) -> Result<Entrance, String> {
    let doors = &settings.doors;
    let told = |exposed: Exposed| exposed.to_string();
    if doors.tokens.is_none() && !up.insecure {
        exposure::check("collector.http", &settings.ingest_http).map_err(told)?;
        exposure::check("collector.grpc", &settings.ingest_grpc).map_err(told)?;
        exposure::check("query.http", &settings.query_http).map_err(told)?;
        exposure::check("alerting.http", &settings.alerting.http).map_err(told)?;
    }
    if up.demo && !up.insecure {
        // The shop asks nobody for a token, whatever the others do.
        exposure::check("--demo-http", &up.demo_http.to_string()).map_err(told)?;
    }
    if up.demo && (doors.tokens.is_some() || doors.tls.is_some()) {
        return Err("the demo's agent has neither token nor certificate; run --demo without \
                    `tokens` and `tls` in [doors]"
            .to_owned());
    }
    let entrance = doors.open()?;
    let addresses = [
        &settings.ingest_http,
        &settings.ingest_grpc,
        &settings.query_http,
        &settings.alerting.http,
    ];
    let only_here = addresses.iter().all(|addr| exposure::check("", addr).is_ok());
    if !only_here && !entrance.doors.have_tokens() {
        tracing::warn!("others than this machine can reach this process, and need no token");
    } else if !only_here && entrance.tls.is_none() {
        tracing::warn!(
            "tokens come in over plain HTTP from others than this machine; see tls in [doors]"
        );
    }
    Ok(entrance)
}

/// Where requests come in.
struct Listeners {
    ingest: TcpListener,
    grpc: TcpListener,
    query: TcpListener,
    alerting: TcpListener,
}

async fn serve_until_stopped(
    settings: Settings,
    entrance: Entrance,
    store: Arc<Store>,
    Listeners { ingest, grpc, query, alerting }: Listeners,
    demo: Option<(SocketAddr, bool)>,
    shutdown: Shutdown,
) -> Result<Exit> {
    let (metrics, health) = (Metrics::new(), Health::new());
    health.set("store", Check::Ok);
    let collector = Collector::new(Arc::clone(&store), settings.collector.clone(), &metrics);
    let of_agents = Arc::clone(&collector);
    let queries = Queries::new(Arc::clone(&store), settings.query.clone())
        .with_watermark(move |now| of_agents.watermark(now));
    let api = QueryApi::new(queries.clone(), settings.query_queue.clone(), &metrics);
    let entrance = Entrance { doors: entrance.doors.counted(&metrics), ..entrance };
    let ready = Ready {
        data: settings.data,
        scheme: entrance.scheme(),
        ingest: ingest.local_addr()?,
        grpc: grpc.local_addr()?,
        query: query.local_addr()?,
        alerting: alerting.local_addr()?,
    };
    let of_agents = Arc::clone(&collector);
    let parts = Parts {
        runner: Box::new(OverQueries::new(queries.clone(), &settings.alerting.tenant)),
        watermark: Box::new(move |now| of_agents.watermark(Timestamp(now)).0),
        read_rules: read_rules(settings.alerting.rules.clone(), demo.is_some()),
        link: match &settings.alerting.link {
            Some(link) => link.clone(),
            None => format!("{}://{}", ready.scheme, ready.query),
        },
    };
    let state = ready.data.join(ALERTING_STATE);
    let (options, registry, page) = (settings.alerting, metrics.clone(), health.clone());
    let started = tokio::task::spawn_blocking(move || {
        Engine::start(options, &state, parts, &registry, &page)
    });
    let engine = match started.await.context("alerting panicked")? {
        Ok(engine) => engine,
        Err(error) => {
            eprintln!("logq: {error}");
            close(store).await?;
            return Ok(Exit::Usage);
        }
    };
    let (stop, stopping) = Shutdown::new();
    let durations = RequestDurations::new(&metrics);
    let serving = |listener: Listener, router: Router| {
        let router = durations.measure(router);
        let stopping = stopping.clone();
        let stopped = async move { stopping.requested().await };
        tokio::spawn(serve(listener, router, stopped, ServerLimits::default()))
    };
    let over_http = |listener: TcpListener, routes: Routes| {
        let routes = routes.merge(health::routes(health.clone(), metrics.clone()));
        let router = routes.behind(&entrance.doors).fallback(not_found);
        serving(entrance.listener(listener), router)
    };
    let for_grafana =
        alerting::prometheus_routes(engine.engine()).merge(health::plain_route(health.clone()));
    let over_grpc = collector.grpc_routes().behind(&entrance.doors).fallback(collector::not_served);
    let servers = [
        over_http(ingest, collector.routes()),
        serving(entrance.listener(grpc).http2(), over_grpc),
        over_http(query, api.routes().merge(for_grafana)),
        over_http(alerting, alerting::routes(engine.engine())),
    ];
    let watch = tokio::spawn(watch(Arc::clone(&store), entrance, health.clone(), shutdown.clone()));
    let ended = match demo {
        None => {
            announce(&ready.block());
            shutdown.requested().await;
            health.begin_shutdown();
            Ok(())
        }
        Some(demo) => demo_until_stopped(demo, &ready, &queries, &health, &shutdown).await,
    };
    stop.set_off();
    for server in servers {
        server.await.context("a server panicked")?.context("cannot serve")?;
    }
    watch.abort();
    tokio::task::spawn_blocking(move || engine.stop()).await.context("alerting panicked")?;
    let closed = close(store).await?;
    ended.map(|()| closed)
}

/// The rules that are named; with the demo and none named, those of the demo.
fn read_rules(files: Vec<String>, is_demo: bool) -> ReadRules {
    Box::new(move || match files.is_empty() && is_demo {
        true => alerting::read(DEMO_RULES, &faults_of).map_err(|faults| faults.to_string()),
        false => alerting::read_files(&files, &faults_of),
    })
}

/// Prints; whoever closed our output has no use for it, and the process goes on.
fn announce(block: &str) {
    let _ = writeln!(std::io::stdout(), "{block}");
}

/// The demo, from its start to its end; the servers have to run for longer.
async fn demo_until_stopped(
    (gateway, insecure): (SocketAddr, bool),
    ready: &Ready,
    queries: &Queries,
    health: &Health,
    shutdown: &Shutdown,
) -> Result<()> {
    let demo = Demo::start(&ready.data, gateway, ready.ingest, insecure).await?;
    tokio::select! {
        story = demo.story(queries) => {
            announce(&ready.demo_block(&demo, &story));
            shutdown.requested().await;
        }
        () = shutdown.requested() => {}
    }
    health.begin_shutdown();
    demo.stop().await
}

/// Everything in memory goes into segments before the process ends; what cannot stays in the journal.
async fn close(store: Arc<Store>) -> Result<Exit> {
    let closed = tokio::task::spawn_blocking(move || store.close());
    match closed.await.context("closing the store panicked")? {
        Ok(()) => Ok(Exit::Success),
        Err(error) => {
            eprintln!(
                "logq: stopped, but the last records are only in the journal: {error}; the next start reads them from there"
            );
            Ok(Exit::Failure)
        }
    }
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
        .hint("records go to /v1/logs, /v1/traces and /ingest/jsonl of the ingest port, queries to /api/v1/query of the query port; alerts are at /api/v1/alerts of theirs")
}

/// Shows the troubles of the store and of the doors on the health page, and takes them off again.
async fn watch(store: Arc<Store>, entrance: Entrance, health: Health, shutdown: Shutdown) {
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
        if let Some(trouble) = entrance.trouble() {
            health.set("doors", Check::Degraded(trouble));
        } else if health.check("doors").is_some() {
            health.set("doors", Check::Ok);
        }
    }
}
