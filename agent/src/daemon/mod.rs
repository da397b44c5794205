//! The agent that runs beside services: sources → records → batches → spool → collector.
//!
//! ```text
//! agent-source (one a source)   lines, records, filter, redaction ─▶ intake ─┐ one lock, one open batch
//! agent-spool                   takes full batches, compresses, fsyncs ◀─────┘
//! tokio                         ships the front of the spool, heartbeats, status page, reload
//! agent-reporter                what happened to the agent itself ─▶ intake
//! ```
//!
//! What is not in the spool yet is read again after a crash, because positions are only in the spool; what is in
//! the spool is sent again under its name until a collector acknowledges it.

mod dead_letters;
mod durable;
mod files;
mod heartbeat;
mod identity;
mod intake;
mod journald;
mod keys;
mod metrics;
mod options;
mod otlp;
mod pipes;
mod reports;
mod shipper;
mod sources;
mod start;
mod state;
mod status;
mod stream;

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::{Duration, Instant};

use record::Timestamp;
use service::doors::Entrance;
use service::doors::exposure::Exposed;
use service::health::{Check, Health};
use service::http::{ServerLimits, serve};
use service::http_requests::RequestDurations;
use service::metrics::{Metrics, SECONDS_BUCKETS};
use service::shutdown::Shutdown;
use thiserror::Error;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{oneshot, watch};

use durable::{Durable, StopTime, write_spool};
use intake::Intake;
use pipes::StandardInput;
use shipper::{Figures, Shipper, Until};
use sources::Running;
use status::Overview;

pub use dead_letters::DeadLetter;
pub(crate) use dead_letters::DeadLetters;
pub use keys::TABLE;
pub(crate) use options::describe;
pub use options::{AgentOptions, load_file};
pub(crate) use start::lock;
pub use state::Ledger;
pub use status::{AgentStatus, FileStatus, SourceStatus};
pub use stream::SourceCounts;

/// How often sources are looked at, and dead letters that are to be shipped again.
const TICK: Duration = Duration::from_millis(500);
/// How long sources may take to get what they have read into the spool, at the end and at a reload.
const SYNC_TIMEOUT: Duration = Duration::from_secs(10);

/// What is said while a new configuration cannot be taken over yet.
const WAITS: &str = "the new one waits until the spool takes what the old sources have read";

/// Why the agent cannot start.
#[derive(Debug, Error)]
#[allow(missing_docs)]
pub enum AgentError {
    /// Another process has the state folder.
    #[error(
        "the state folder {path} is used by another agent; give this one a folder of its own (`state`)"
    )]
    Locked { path: PathBuf },
    /// The state folder cannot be used.
    #[error("cannot use the state folder {path}")]
    State { path: PathBuf, source: io::Error },
    /// The spool cannot be used.
    #[error(transparent)]
    Spool(#[from] spool::SpoolError),
    /// The status port cannot be had.
    #[error("cannot listen on {addr}; set `agent.http` to another address")]
    Listen { addr: String, source: io::Error },
    /// A source cannot be started.
    #[error("{0}")]
    Source(String),
    /// Others could reach a listener, and nobody needs a token.
    #[error(transparent)]
    Exposed(#[from] Exposed),
    /// Tokens or certificates cannot be used.
    #[error("{0}")]
    Doors(String),
    /// The machine gives no thread or no signal handler.
    #[error("cannot start")]
    Start { source: io::Error },
}

/// What is known once the agent runs.
#[derive(Clone, Debug)]
pub struct Started {
    /// The agent's id.
    pub agent: String,
    /// Where status, health and metrics are.
    pub http: SocketAddr,
    /// How many sources it has.
    pub sources: usize,
}

/// Reads the configuration anew.
pub type Reload = Box<dyn Fn() -> Result<AgentOptions, String> + Send + Sync>;

/// Runs the agent until `shutdown`, or until all its sources have come to their end and everything is shipped.
///
/// SIGHUP reads the configuration anew by `reload`; without one it is left to the process.
///
/// # Errors
/// It cannot start; nothing was read.
pub async fn run(
    options: AgentOptions,
    reload: Option<Reload>,
    shutdown: Shutdown,
    started: oneshot::Sender<Started>,
) -> Result<(), AgentError> {
    let mut agent = Agent::start(options).await?;
    // Without anything to read anew the signal keeps its usual meaning; with it nobody who was told that the agent runs
    // ends it by asking.
    let hangup = reload.as_ref().and_then(|_| signal(SignalKind::hangup()).ok());
    let _ = started.send(agent.started.clone());
    agent.work(reload, hangup, &shutdown).await;
    agent.stop(&shutdown).await;
    Ok(())
}

struct Agent {
    options: AgentOptions,
    overview: Arc<Overview>,
    intake: Arc<Intake>,
    durable: Arc<Durable>,
    dead_letters: DeadLetters,
    health: Health,
    collectors: watch::Sender<Vec<shipper::Named>>,
    until: watch::Sender<Until>,
    running: Running,
    stdin: Arc<StandardInput>,
    stop_time: StopTime,
    writer: std::thread::JoinHandle<u64>,
    shipping: tokio::task::JoinHandle<()>,
    heartbeats: tokio::task::JoinHandle<()>,
    server: tokio::task::JoinHandle<io::Result<usize>>,
    server_stop: service::shutdown::Trigger,
    started: Started,
    _lock: std::fs::File,
}

impl Agent {
    async fn start(options: AgentOptions) -> Result<Self, AgentError> {
        let start_failed = |source| AgentError::Start { source };
        let collectors = options.collectors().map_err(AgentError::Source)?;
        options.check_exposure()?;
        let Entrance { doors, tls } = options.doors.open().map_err(AgentError::Doors)?;
        let opening = {
            let options = options.clone();
            tokio::task::spawn_blocking(move || start::open(&options))
        };
        let opened = opening.await.map_err(|error| start_failed(io::Error::other(error)))??;
        // The folder first: of two faults, the one that names the other process helps more.
        let listener = TcpListener::bind(&options.http)
            .await
            .map_err(|source| AgentError::Listen { addr: options.http.clone(), source })?;
        let http = listener.local_addr().map_err(start_failed)?;

        let durable = Arc::new(opened.durable);
        let sampler = options.sampler(durable.sampler_checkpoint());
        let intake = Arc::new(Intake::new(options.batch, sampler));
        let (health, metrics) = (Health::new(), Metrics::new());
        let doors = doors.of_tenant(options.tenant()).counted(&metrics);
        let entrance = Entrance { doors, tls };
        let request_durations = RequestDurations::new(&metrics);
        let (figures, at) = (Arc::new(Figures::default()), Arc::new(AtomicUsize::new(0)));
        let (collectors, collectors_seen) = watch::channel(collectors);
        let overview = Arc::new(Overview {
            agent: opened.agent.clone(),
            host: options.host.clone(),
            started: Timestamp::now(),
            durable: Arc::clone(&durable),
            intake: Arc::clone(&intake),
            figures: Arc::clone(&figures),
            health: health.clone(),
            collectors: collectors_seen.clone(),
            at: Arc::clone(&at),
            entrance: entrance.clone(),
            request_durations: request_durations.clone(),
            dead_letters: opened.dead_letters.clone(),
            state: options.state.clone(),
            spool_bytes_max: options.spool_bytes_max,
            views: Default::default(),
            deaf: Default::default(),
        });
        let stop_time = StopTime::default();
        let writer = {
            let (intake, durable) = (Arc::clone(&intake), Arc::clone(&durable));
            let (health, stop) = (health.clone(), stop_time.clone());
            let work = move || write_spool(&intake, &durable, &health, &stop);
            std::thread::Builder::new().name("agent-spool".to_owned()).spawn(work)
        };
        let writer = writer.map_err(start_failed)?;
        let reporter = {
            let (intake, durable) = (Arc::clone(&intake), Arc::clone(&durable));
            let (agent, host) = (opened.agent.clone(), options.host.clone());
            let work = move || reports::say(&durable, &intake, &agent, &host);
            std::thread::Builder::new().name("agent-reporter".to_owned()).spawn(work)
        };
        reporter.map_err(start_failed)?;
        let prepared = sources::prepare(&options.sources).map_err(AgentError::Source)?;
        let stdin = Arc::new(StandardInput::default());
        let running = sources::start(prepared, &intake, &durable, &overview, &stdin)
            .map_err(AgentError::Source)?;

        let (until, until_seen) = watch::channel(Until::Told);
        let shipper = Shipper {
            agent: opened.agent.clone(),
            spool: durable.spool_id(),
            durable: Arc::clone(&durable),
            dead_letters: opened.dead_letters.clone(),
            collectors: collectors_seen,
            failover_after: options.failover_after,
            figures,
            request_seconds: metrics.histogram(
                "agent_ship_request_duration_seconds",
                "Time of a request with a batch, whether it was taken or not.",
                SECONDS_BUCKETS,
            ),
            health: health.clone(),
            at,
        };
        let (server_stop, server_stopping) = Shutdown::new();
        let routes = status::routes(Arc::clone(&overview), health.clone(), metrics);
        let router = request_durations.measure(routes.behind(&entrance.doors));
        let listener = entrance.listener(listener);
        let server = tokio::spawn(async move {
            serve(listener, router, server_stopping.requested(), ServerLimits::default()).await
        });
        let started = Started { agent: opened.agent, http, sources: options.sources.len() };
        Ok(Self {
            shipping: tokio::spawn(shipper.run(until_seen)),
            heartbeats: tokio::spawn(heartbeat::send(
                Arc::clone(&overview),
                options.heartbeat_interval,
            )),
            options,
            overview,
            intake,
            durable,
            dead_letters: opened.dead_letters,
            health,
            collectors,
            until,
            running,
            stdin,
            stop_time,
            writer,
            server,
            server_stop,
            started,
            _lock: opened.lock,
        })
    }

    /// Until told to stop, or until nothing more can come.
    async fn work(
        &mut self,
        reload: Option<Reload>,
        mut hangup: Option<Signal>,
        shutdown: &Shutdown,
    ) {
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut requeue_error = String::new();
        loop {
            let hung_up = async {
                match &mut hangup {
                    Some(hangup) => hangup.recv().await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = shutdown.requested() => return,
                Some(()) = hung_up => if let Some(reload) = &reload {
                    self.reload(reload(), shutdown).await;
                },
                _ = ticks.tick() => {
                    if let Some(trouble) = self.overview.entrance.trouble() {
                        self.health.set("doors", Check::Degraded(trouble));
                    } else if self.health.check("doors").is_some() {
                        self.health.set("doors", Check::Ok);
                    }
                    if self.running.is_finished() {
                        return;
                    }
                    let (durable, dead_letters) = (Arc::clone(&self.durable), self.dead_letters.clone());
                    let requeue = move || dead_letters.requeue(&durable);
                    let error = match tokio::task::spawn_blocking(requeue).await {
                        Ok(Err(error)) => error.to_string(),
                        _ => String::new(),
                    };
                    if !error.is_empty() && error != requeue_error {
                        tracing::warn!(error, "cannot ship a dead letter again; it is tried twice a second");
                    }
                    requeue_error = error;
                }
            }
        }
    }

    /// Takes over a new configuration, or goes on with the old one and says why.
    async fn reload(&mut self, read: Result<AgentOptions, String>, shutdown: &Shutdown) {
        let refused = |health: &Health, why: String| {
            tracing::error!("the configuration was not taken over: {why}");
            health.set("configuration", Check::Degraded(format!("not taken over: {why}")));
        };
        let new = match read {
            Ok(new) => new,
            Err(faults) => return refused(&self.health, faults),
        };
        for (key, same) in [
            ("state", new.state == self.options.state),
            ("http", new.http == self.options.http),
            ("host", new.host == self.options.host),
            (
                "tenant",
                new.tenant() == self.options.tenant() || self.options.doors.tokens.is_none(),
            ),
            ("spool_max", new.spool_bytes_max == self.options.spool_bytes_max),
            ("dead_letters_max", new.dead_letters_bytes_max == self.options.dead_letters_bytes_max),
            ("failover_after", new.failover_after == self.options.failover_after),
            ("heartbeat_interval", new.heartbeat_interval == self.options.heartbeat_interval),
        ] {
            if !same {
                return refused(
                    &self.health,
                    format!("`agent.{key}` cannot change while the agent runs; start it anew"),
                );
            }
        }
        if new.doors != self.options.doors {
            let why = "`doors` cannot change while the agent runs, but for what is in their files";
            return refused(&self.health, why.to_owned());
        }
        if let Err(exposed) = new.check_exposure() {
            return refused(&self.health, exposed.to_string());
        }
        let (collectors, prepared) = match (new.collectors(), sources::prepare(&new.sources)) {
            (Ok(collectors), Ok(prepared)) => (collectors, prepared),
            (Err(error), _) | (_, Err(error)) => return refused(&self.health, error),
        };
        if self.intake.is_blocked() {
            let why = "the spool takes nothing, so the sources cannot be changed; try again later";
            return refused(&self.health, why.to_owned());
        }
        let old = std::mem::take(&mut self.running);
        let (intake, durable, overview) =
            (Arc::clone(&self.intake), Arc::clone(&self.durable), Arc::clone(&self.overview));
        let (shutdown, stdin) = (shutdown.clone(), Arc::clone(&self.stdin));
        let before = self.options.sources.clone();
        let restarted = tokio::task::spawn_blocking(move || {
            old.stop(|| shutdown.is_requested(), || intake.stop());
            // The new sources begin where the durable state says that the old ones ended.
            while intake.sync(Instant::now() + TICK).is_err() {
                if shutdown.is_requested() {
                    return Err("the agent was told to stop meanwhile".to_owned());
                }
                overview.health.set("configuration", Check::Degraded(WAITS.to_owned()));
            }
            let error = match sources::start(prepared, &intake, &durable, &overview, &stdin) {
                Ok(running) => return Ok((running, None)),
                Err(error) => error,
            };
            // A port may be taken; the sources before did run.
            let prepared = sources::prepare(&before)?;
            let running = sources::start(prepared, &intake, &durable, &overview, &stdin)
                .map_err(|again| format!("{error}; and the sources before: {again}"))?;
            Ok((running, Some(error)))
        });
        match restarted.await {
            Ok(Ok((running, None))) => self.running = running,
            Ok(Ok((running, Some(error)))) => {
                self.running = running;
                return refused(&self.health, error);
            }
            Ok(Err(error)) => return refused(&self.health, error),
            Err(error) => return refused(&self.health, error.to_string()),
        }
        self.intake.reconfigure(new.batch, |old| new.sampler(old.map(|old| old.checkpoint())));
        self.collectors.send_replace(collectors);
        self.health.set("configuration", Check::Ok);
        tracing::info!(sources = new.sources.len(), "configuration taken over");
        self.options = new;
    }

    /// Gets everything that was read into the spool, and as much as there is time for to the collector.
    async fn stop(self, shutdown: &Shutdown) {
        self.health.begin_shutdown();
        let told = shutdown.is_requested();
        let drain = self.options.drain;
        let (running, intake, stdin, writer) =
            (self.running, Arc::clone(&self.intake), self.stdin, self.writer);
        let deadline = Instant::now() + SYNC_TIMEOUT;
        if told {
            self.stop_time.set(deadline);
        }
        let ending = tokio::task::spawn_blocking(move || {
            stdin.end();
            running.stop(|| Instant::now() >= deadline, || intake.stop());
            intake.end();
            writer.join().unwrap_or(0)
        });
        let stop_time = self.stop_time;
        let hurry = async {
            // Where all sources have ended there is no hurry, until somebody is in one.
            shutdown.requested().await;
            if !told {
                stop_time.set(Instant::now() + SYNC_TIMEOUT);
            }
            std::future::pending().await
        };
        let ended = tokio::select! {
            ended = ending => ended,
            never = hurry => never,
        };
        match ended {
            Ok(0) => {}
            Ok(records) => tracing::error!(
                records,
                "the spool took nothing to the end; what came from files is read again, what came from pipes is lost"
            ),
            Err(error) => tracing::error!(%error, "could not stop in order"),
        }
        self.until.send_replace(Until::Empty);
        let mut shipping = self.shipping;
        let drained = async {
            tokio::select! {
                _ = &mut shipping => true,
                () = async {
                    // Without being told to stop there is no hurry: all sources have ended.
                    shutdown.requested().await;
                    tokio::time::sleep(drain).await;
                } => false,
            }
        };
        if !drained.await {
            tracing::info!("what is left in the spool is shipped after the next start");
            shipping.abort();
        }
        self.heartbeats.abort();
        let _ = tokio::time::timeout(Duration::from_secs(1), heartbeat::send_once(&self.overview))
            .await;
        if let Err(error) = self.durable.sync() {
            tracing::warn!(%error, "the last acknowledgements are not durable; their batches are sent again");
        }
        self.server_stop.set_off();
        let _ = self.server.await;
    }
}
