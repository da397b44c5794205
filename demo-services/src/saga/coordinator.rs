//! Coordinates sagas: keeps account of which ones are driven, begins new ones, and takes up those that a kill left behind.
//! How one is driven is in [`super::drive`].
//!
//! While the failure switch `killed-orchestrator` is on, it stands still as a dead one would, in the middle of whatever
//! it was doing; afterwards it goes on from its database, as after a real kill.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rusqlite::Transaction;
use serde_json::{Value, json};
use service::metrics::{CounterVec, Gauge};
use service::semantics::saga;
use service::telemetry::{self, Origin, messages};
use tokio::sync::{Semaphore, oneshot};
use tracing::{Instrument, info_span, warn};

use super::definition::Definition;
use super::drive::announce;
use super::instance::Instance;
use super::store::{self, Happened, Left, Run};
use super::tell;
use crate::kit::abort::AbortAt;
use crate::kit::client::{Dependency, Policy};
use crate::kit::clock::now_ms;
use crate::kit::context::Context;
use crate::kit::database::Database;
use crate::outbox::Outbox;
use crate::switches::KILLED_ORCHESTRATOR;

/// Sagas that are driven at once; further ones wait in the database.
const DRIVEN_MAX: usize = 256;
/// How often it looks for sagas that nobody drives.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// How long it waits for the services that it asks before it goes on with what was left; those that are found by then may
/// have something to undo.
const FOUND_WITHIN: Duration = Duration::from_secs(10);
const FOUND_INTERVAL: Duration = Duration::from_millis(20);

/// Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Coordinator {
    shared: Arc<Shared>,
}

#[derive(Debug)]
pub(super) struct Shared {
    pub(super) definition: &'static Definition,
    pub(super) context: Context,
    pub(super) database: Database,
    pub(super) outbox: Outbox,
    pub(super) services: BTreeMap<&'static str, Dependency>,
    pub(super) abort: AbortAt,
    pub(super) ended: CounterVec,
    driven: Mutex<BTreeSet<String>>,
    room: Arc<Semaphore>,
    open: Gauge,
}

/// A saga that is driven, until this is dropped.
struct Driven {
    id: String,
    shared: Arc<Shared>,
}

impl Drop for Driven {
    fn drop(&mut self) {
        self.shared.driven().remove(&self.id);
    }
}

impl Coordinator {
    /// One that asks whom the definition names, by this policy.
    pub(crate) fn new(
        definition: &'static Definition,
        policy: Policy,
        context: &Context,
        database: Database,
        outbox: Outbox,
    ) -> Self {
        let metrics = &context.metrics;
        let services = definition.services().into_iter();
        let shared = Shared {
            definition,
            context: context.clone(),
            database,
            outbox,
            services: services
                .map(|service| (service, Dependency::new(context, service, policy)))
                .collect(),
            abort: AbortAt::from_env(),
            driven: Mutex::default(),
            room: Arc::new(Semaphore::new(DRIVEN_MAX)),
            ended: metrics.counter_vec(
                "shop_sagas_ended_total",
                "Sagas that ended, by how.",
                &["saga", "state"],
            ),
            open: metrics.gauge("shop_sagas_open", "Sagas that have not ended."),
        };
        Self { shared: Arc::new(shared) }
    }

    /// Whom it asks.
    pub(crate) fn services(&self) -> Vec<Dependency> {
        self.shared.services.values().cloned().collect()
    }

    /// A new saga within the work at hand, to be put in by [`Coordinator::insert`].
    pub(crate) fn prepare(&self, id: String, subject: String, data: Value) -> Run {
        let mut headers = BTreeMap::new();
        messages::inject(&mut headers);
        let started_ms = now_ms();
        let timeout_ms = self.shared.definition.timeout.as_millis() as i64;
        Run {
            id,
            name: self.shared.definition.name.to_owned(),
            subject,
            instance: Instance::new(),
            data,
            headers,
            started_ms,
            deadline_ms: started_ms + timeout_ms,
        }
    }

    /// Puts a saga in, together with whatever else the transaction does.
    pub(crate) fn insert(&self, tx: &Transaction<'_>, run: &Run) -> rusqlite::Result<()> {
        store::insert(tx, run, &Happened::now(saga::STARTED, None, None))?;
        announce(tx, self.shared.definition, run, saga::STARTED, json!({}))
    }

    /// Begins to drive a saga that was put in. The end comes through the receiver, unless the coordinator dies before.
    pub(crate) fn begin(&self, run: Run) -> oneshot::Receiver<Run> {
        tell::started(self.shared.definition, &run);
        self.shared.outbox.wake();
        let (sender, ended) = oneshot::channel();
        if let Some((driven, span)) = self.take(&run.id, &run.headers) {
            let work = async move {
                let _room = driven.shared.room.acquire().await;
                if let Ok(run) = driven.shared.drive(run).await {
                    // Whoever waited may have gone.
                    let _ = sender.send(run);
                }
            };
            tokio::spawn(telemetry::carry(work.instrument(span)));
        }
        ended
    }

    /// Looks for sagas that nobody drives, until it is time to stop: those that a kill left behind.
    pub(crate) async fn run(self) {
        let shared = &self.shared;
        tokio::select! {
            () = shared.context.stop.requested() => {}
            () = shared.services_found() => {}
        }
        loop {
            if !shared.is_killed() {
                let look = |tx: &Transaction<'_>| {
                    Ok((store::open(tx, DRIVEN_MAX)?, store::open_count(tx)?))
                };
                match shared.database.run(look).await {
                    Ok((left, count)) => {
                        shared.open.set(count.into());
                        left.into_iter().for_each(|left| self.resume(left));
                    }
                    Err(error) => warn!(%error, "cannot look for sagas that were left"),
                }
            }
            tokio::select! {
                () = shared.context.stop.requested() => break,
                () = tokio::time::sleep(LOOK_INTERVAL) => {}
            }
        }
        // Those under way end their request at hand and write it down.
        let _ = shared.room.acquire_many(DRIVEN_MAX as u32).await;
    }

    /// Goes on with a saga, unless somebody drives it.
    fn resume(&self, left: Left) {
        // One that was just put in is about to be driven by whoever did.
        if now_ms() - left.started_ms < LOOK_INTERVAL.as_millis() as i64 {
            return;
        }
        if let Some((driven, span)) = self.take(&left.id, &left.headers) {
            let work = async move {
                let _room = driven.shared.room.acquire().await;
                // It stands still again: the next look finds it.
                let _ = driven.shared.resume(left.id).await;
            };
            tokio::spawn(telemetry::carry(work.instrument(span)));
        }
    }

    /// The leave to drive a saga, and the span of driving it within its own correlation; none if it is driven already.
    fn take(
        &self,
        id: &str,
        headers: &BTreeMap<String, String>,
    ) -> Option<(Driven, tracing::Span)> {
        if !self.shared.driven().insert(id.to_owned()) {
            return None;
        }
        let driven = Driven { id: id.to_owned(), shared: Arc::clone(&self.shared) };
        let name = self.shared.definition.name;
        let span = info_span!("saga.drive", otel.name = format!("saga {name}"));
        Origin::of_message(headers).begin(&span);
        Some((driven, span))
    }
}

impl Shared {
    fn driven(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.driven.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn is_killed(&self) -> bool {
        self.context.directory.is_on(KILLED_ORCHESTRATOR)
    }

    /// Waits until there is somebody to ask. Right after a start nobody is known, and a saga that goes on then would fail.
    async fn services_found(&self) {
        let began = Instant::now();
        let directory = &self.context.directory;
        while self.services.keys().any(|service| directory.instances(service).is_empty()) {
            if began.elapsed() > FOUND_WITHIN && !directory.all().is_empty() {
                return;
            }
            tokio::time::sleep(FOUND_INTERVAL).await;
        }
    }
}
