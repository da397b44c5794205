//! Drives sagas: writes down what it is about to do, asks the service, writes down what came of it.
//!
//! While the failure switch `killed-orchestrator` is on, it stands still as a dead one would, in the middle of whatever
//! it was doing; afterwards it goes on from its database, as after a real kill.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::http::StatusCode;
use rusqlite::Transaction;
use serde_json::{Value, json};
use service::metrics::{CounterVec, Gauge};
use service::semantics::saga;
use service::telemetry::{self, Origin, messages};
use tokio::sync::{Semaphore, oneshot};
use tracing::{Instrument, info_span, warn};

use super::definition::{Definition, Request, Step};
use super::instance::{Action, Instance, Outcome, Reason};
use super::store::{self, Happened, Run};
use super::tell;
use crate::kit::abort::AbortAt;
use crate::kit::client::{Call, CallError, Dependency};
use crate::kit::clock::now_ms;
use crate::kit::context::Context;
use crate::kit::database::{Database, DatabaseError};
use crate::outbox::{self, Outbox};

/// Sagas that are driven at once; further ones wait in the database.
const DRIVEN_MAX: usize = 256;
/// How often it looks for sagas that nobody drives.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// How long it waits for the services that it asks before it goes on with what was left; those that are found by then may
/// have something to undo.
const FOUND_WITHIN: Duration = Duration::from_secs(10);
const FOUND_INTERVAL: Duration = Duration::from_millis(20);
/// The failure switch.
pub(crate) const KILLED: &str = "killed-orchestrator";

/// Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Coordinator {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    definition: &'static Definition,
    /// Where what happened is announced.
    exchange: &'static str,
    context: Context,
    database: Database,
    outbox: Outbox,
    services: BTreeMap<&'static str, Dependency>,
    abort: AbortAt,
    driven: Mutex<BTreeSet<String>>,
    room: Arc<Semaphore>,
    ended: CounterVec,
    open: Gauge,
}

/// It stands still; the database says how to go on.
struct Stopped;

impl Coordinator {
    /// One that asks `services`, which are all that the definition names.
    pub(crate) fn new(
        definition: &'static Definition,
        exchange: &'static str,
        context: &Context,
        database: Database,
        outbox: Outbox,
        services: BTreeMap<&'static str, Dependency>,
    ) -> Self {
        let metrics = &context.metrics;
        let shared = Shared {
            definition,
            exchange,
            context: context.clone(),
            database,
            outbox,
            services,
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
        self.shared.announce(tx, run, saga::STARTED, json!({}))
    }

    /// Begins to drive a saga that was put in. The end comes through the receiver, unless the coordinator dies before.
    pub(crate) fn begin(&self, run: Run) -> oneshot::Receiver<Run> {
        tell::started(self.shared.definition, &run);
        self.shared.outbox.wake();
        let (sender, ended) = oneshot::channel();
        self.drive(run, Some(sender));
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
                match shared.database.run(|tx| store::open(tx, DRIVEN_MAX as u32)).await {
                    Ok(open) => self.resume(open),
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

    fn resume(&self, open: Vec<Run>) {
        self.shared.open.set(open.len() as i64);
        for run in open {
            // One that was just put in is about to be driven by whoever did.
            let is_new = now_ms() - run.started_ms < LOOK_INTERVAL.as_millis() as i64;
            if !is_new && !self.shared.driven().contains(&run.id) {
                self.drive(run, None);
            }
        }
    }

    fn drive(&self, run: Run, waiting: Option<oneshot::Sender<Run>>) {
        let shared = Arc::clone(&self.shared);
        if !shared.driven().insert(run.id.clone()) {
            return;
        }
        let span = info_span!("saga.drive", otel.name = format!("saga {}", run.name));
        Origin::of_message(&run.headers).begin(&span);
        let is_resumed = waiting.is_none();
        let work = async move {
            let _room = Arc::clone(&shared.room).acquire_owned().await;
            let id = run.id.clone();
            let ended = match is_resumed {
                true => shared.resume(run).await,
                false => shared.drive(run).await,
            };
            shared.driven().remove(&id);
            if let (Ok(run), Some(waiting)) = (ended, waiting) {
                // Whoever waited may have gone.
                let _ = waiting.send(run);
            }
        };
        tokio::spawn(telemetry::carry(work.instrument(span)));
    }
}

impl Shared {
    fn driven(&self) -> std::sync::MutexGuard<'_, BTreeSet<String>> {
        self.driven.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_killed(&self) -> bool {
        self.context.directory.is_on(KILLED)
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

    /// Goes on with a saga that nobody drove a moment ago. It may have been driven to its end since it was looked up.
    async fn resume(&self, run: Run) -> Result<Run, Stopped> {
        let found = self.database.run(move |tx| store::find(tx, &run.id)).await?;
        let run = found.filter(|run| !run.instance.state.is_end()).ok_or(Stopped)?;
        tell::resumed(&run);
        self.drive(run).await
    }

    /// A place at which it can be made to die.
    fn pass(&self, place: &str, action: Action) -> Result<(), Stopped> {
        let (place, step) = match action {
            Action::Execute { step, .. } => (place.to_owned(), step),
            Action::Compensate { step, .. } => (format!("{place}-undo"), step),
        };
        self.abort.pass(&place, self.definition.step(step).name);
        match self.is_killed() || self.context.stop.is_requested() {
            true => Err(Stopped),
            false => Ok(()),
        }
    }

    async fn drive(&self, mut run: Run) -> Result<Run, Stopped> {
        while let Some(action) = run.instance.next() {
            if now_ms() > run.deadline_ms && matches!(action, Action::Execute { .. }) {
                run.instance = run.instance.out_of_time();
                let at = run.clone();
                self.write(move |tx| store::update(tx, &at)).await?;
                continue;
            }
            run = self.step(run, action).await?;
        }
        Ok(run)
    }

    /// One try of doing or undoing a step.
    async fn step(&self, mut run: Run, action: Action) -> Result<Run, Stopped> {
        self.pass("before-call", action)?;
        let (number, attempt, event) = match action {
            Action::Execute { step, attempt } => (step, attempt, saga::STEP_STARTED),
            Action::Compensate { step, attempt } => (step, attempt, saga::COMPENSATION_STARTED),
        };
        let begins = Happened::now(event, Some((number, attempt)), None);
        let id = run.id.clone();
        self.write(move |tx| store::happened(tx, &id, &begins)).await?;
        tell::begun(self.definition, &run, action);
        let began = Instant::now();
        let (outcome, answer) = self.carry_out(&run, action).await;
        self.pass("after-reply", action)?;
        if let (Action::Execute { step, .. }, Some(answer)) = (action, &answer)
            && let Some(asked) = &self.definition.step(step).asks
        {
            (asked.learn)(&mut run.data, answer);
        }
        let limits = self.definition.limits();
        let again = run.instance.is_tried_again(&outcome, limits);
        let again = again.then(|| self.definition.pause(attempt + 1));
        let before = run.clone();
        run.instance = run.instance.after(outcome.clone(), limits);
        if run.instance.state.is_end() {
            (self.definition.forget)(&mut run.data);
        }
        self.write_outcome(&before, &run, action, &outcome).await?;
        tell::done(self.definition, &before, action, began, &outcome, again);
        self.outbox.wake();
        if run.instance.state.is_end() {
            self.count_end(&run);
        }
        if let Some(pause) = again {
            tokio::time::sleep(pause).await;
        }
        Ok(run)
    }

    fn count_end(&self, run: &Run) {
        let took_ms = u64::try_from(now_ms() - run.started_ms).unwrap_or(0);
        tell::ended(self.definition, run, Duration::from_millis(took_ms));
        self.ended.with_label_values(&[run.name.as_str(), run.instance.state.name()]).inc();
    }

    /// Everything that came of a step, and of the end if it was the last one, in one transaction.
    async fn write_outcome(
        &self,
        before: &Run,
        run: &Run,
        action: Action,
        outcome: &Outcome,
    ) -> Result<(), Stopped> {
        let (number, attempt, done, failed) = match action {
            Action::Execute { step, attempt } => {
                (step, attempt, saga::STEP_COMPLETED, saga::STEP_FAILED)
            }
            Action::Compensate { step, attempt } => {
                (step, attempt, saga::COMPENSATION_COMPLETED, saga::COMPENSATION_FAILED)
            }
        };
        let reason = match outcome {
            Outcome::Done => None,
            Outcome::Refused(reason) | Outcome::Unknown(reason) | Outcome::Unanswered(reason) => {
                Some(reason.clone())
            }
        };
        let event = if reason.is_none() { done } else { failed };
        let what = Happened::now(event, Some((number, attempt)), reason.as_ref());
        let left = run.instance.left.len() > before.instance.left.len();
        let end = run.instance.state.is_end().then(|| match run.instance.state.name() {
            saga::STATE_COMPLETED => saga::COMPLETED,
            saga::STATE_COMPENSATED => saga::COMPENSATED,
            _ => saga::FAILED,
        });
        let (definition, exchange) = (self.definition, self.exchange);
        let (ids, run) = (Arc::clone(&self.context.ids), run.clone());
        self.write(move |tx| {
            store::happened(tx, &run.id, &what)?;
            store::update(tx, &run)?;
            let announce = |event, more| {
                outbox::put(tx, &message(ids.short("m"), exchange, &run, event, more))
            };
            if let (true, Some(reason)) = (left, &reason) {
                store::ask_people(tx, &run.id, number, reason)?;
                let step = definition.step(number).name;
                announce(
                    saga::COMPENSATION_FAILED,
                    json!({"step": step, "error": reason.error_type}),
                )?;
            }
            let Some(event) = end else { return Ok(()) };
            store::happened(
                tx,
                &run.id,
                &Happened::now(event, None, run.instance.reason.as_ref()),
            )?;
            (definition.ended)(tx, &run)?;
            let error = run.instance.reason.as_ref().map(|reason| &reason.error_type);
            announce(event, json!({"error": error}))
        })
        .await
    }

    fn announce(
        &self,
        tx: &Transaction<'_>,
        run: &Run,
        event: &str,
        more: Value,
    ) -> rusqlite::Result<()> {
        let id = self.context.ids.short("m");
        outbox::put(tx, &message(id, self.exchange, run, event, more))
    }

    async fn write(
        &self,
        work: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<()> + Send + 'static,
    ) -> Result<(), Stopped> {
        self.database.run(work).await.map_err(|error| {
            warn!(%error, "a saga stands still until its database takes it");
            Stopped
        })
    }

    /// Asks the service; gives the answer's body too if it was done.
    async fn carry_out(&self, run: &Run, action: Action) -> (Outcome, Option<Value>) {
        let (number, verb) = match action {
            Action::Execute { step, .. } => (step, saga::ACTION_EXECUTE),
            Action::Compensate { step, .. } => (step, saga::ACTION_COMPENSATE),
        };
        let Step { name, asks, .. } = self.definition.step(number);
        let Some(asked) = asks else { return (Outcome::Done, None) };
        let Request { path, body } = match action {
            Action::Execute { .. } => (asked.execute)(&run.data),
            Action::Compensate { .. } => (asked.compensate)(&run.data),
        };
        let Some(service) = self.services.get(asked.service) else {
            let reason = Reason::new("no_instance", format!("{} is not known", asked.service));
            return (Outcome::Unknown(reason), None);
        };
        let key = format!("{}/{name}/{verb}", run.id);
        let call = Call::post(&path).json(&body).idempotency_key(&key);
        match service.send(call).await {
            Ok(answer) => judge(answer.status, &answer.body),
            Err(error) => {
                let reason = Reason::new(error.error_type(), format!("{}: {error}", asked.service));
                match error {
                    CallError::BadAnswer { .. } => (Outcome::Unknown(reason), None),
                    _ => (Outcome::Unanswered(reason), None),
                }
            }
        }
    }
}

/// What an answer means: refused is what will be refused again, everything else may have happened. Who does not know the
/// path is not the service that was meant: that one died, and another one has its port now.
fn judge(status: StatusCode, body: &[u8]) -> (Outcome, Option<Value>) {
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    if status.is_success() {
        return (Outcome::Done, Some(body));
    }
    let code = body["error"]["code"].as_str().unwrap_or(status.as_str()).to_owned();
    let message = body["error"]["message"].as_str().unwrap_or_default().to_owned();
    let reason = Reason::new(code, message);
    if [StatusCode::NOT_FOUND, StatusCode::METHOD_NOT_ALLOWED].contains(&status) {
        return (Outcome::Unanswered(reason), None);
    }
    let again = [StatusCode::REQUEST_TIMEOUT, StatusCode::TOO_MANY_REQUESTS].contains(&status);
    match status.is_client_error() && !again {
        true => (Outcome::Refused(reason), None),
        false => (Outcome::Unknown(reason), None),
    }
}

/// What others hear of a saga.
fn message(
    id: String,
    exchange: &'static str,
    run: &Run,
    event: &str,
    more: Value,
) -> crate::broker::Message {
    let mut body = json!({"saga": run.name, "saga_id": run.id, "order_id": run.subject});
    if let (Some(body), Value::Object(more)) = (body.as_object_mut(), more) {
        body.extend(more);
    }
    crate::broker::Message {
        id,
        exchange: exchange.to_owned(),
        routing_key: event.to_owned(),
        kind: event.to_owned(),
        headers: run.headers.clone(),
        body,
    }
}

impl From<DatabaseError> for Stopped {
    fn from(_: DatabaseError) -> Self {
        Self
    }
}
