//! Drives one saga: writes down what it is about to do, asks, writes down what came of it, and tells of it.

use std::time::{Duration, Instant};

use rusqlite::Transaction;
use serde_json::{Value, json};
use service::semantics::saga;
use tracing::warn;

use super::ask::ask;
use super::coordinator::Shared;
use super::definition::Definition;
use super::instance::{Action, Outcome, Verb};
use super::store::{self, Happened, Run};
use super::tell::{self, Tried};
use crate::broker::Message;
use crate::kit::clock::now_ms;
use crate::outbox;

/// It stands still; the database says how to go on.
pub(super) struct Stopped;

impl Shared {
    /// Goes on with a saga that nobody drove a moment ago. It may have been driven to its end since it was looked up.
    pub(super) async fn resume(&self, id: String) -> Result<Run, Stopped> {
        let found = self.write(move |tx| store::find(tx, &id)).await?;
        let run = found.filter(|run| !run.instance.state.is_end()).ok_or(Stopped)?;
        tell::resumed(&run);
        self.drive(run).await
    }

    /// To its end.
    pub(super) async fn drive(&self, mut run: Run) -> Result<Run, Stopped> {
        while let Some(action) = run.instance.next() {
            run = match now_ms() > run.deadline_ms && action.verb == Verb::Execute {
                true => self.out_of_time(run).await?,
                false => self.step(run, action).await?,
            };
        }
        Ok(run)
    }

    async fn out_of_time(&self, mut run: Run) -> Result<Run, Stopped> {
        run.instance = run.instance.out_of_time();
        self.write(move |tx| store::update(tx, &run).map(|()| run)).await
    }

    /// One try of doing or undoing a step.
    async fn step(&self, run: Run, action: Action) -> Result<Run, Stopped> {
        self.abort_at("before-call", action);
        // What has begun is finished and written down; nothing more is begun.
        if self.is_killed() || self.context.stop.is_requested() {
            return Err(Stopped);
        }
        let mut run = self.write(move |tx| begin(tx, run, action)).await?;
        tell::begun(self.definition, &run, action);
        let began = Instant::now();
        let (outcome, answer) = ask(self.definition, &self.services, &run, action).await;
        self.abort_at("after-reply", action);
        if self.is_killed() {
            return Err(Stopped);
        }
        if let (Verb::Execute, Some(answer)) = (action.verb, &answer)
            && let Some(asked) = &self.definition.step(action.step).asks
        {
            (asked.learn)(&mut run.data, answer);
        }
        let left = run.instance.left.len();
        let again = run.instance.is_tried_again(&outcome, self.definition.limits());
        let pause = again.then(|| self.definition.pause(action.attempt + 1));
        let (definition, came) = (self.definition, outcome.clone());
        let run = self.write(move |tx| end(tx, definition, run, action, &came)).await?;
        let tried = Tried { action, outcome: &outcome, took: began.elapsed(), again: pause };
        tell::done(definition, &run, tried);
        if run.instance.left.len() > left || run.instance.state.is_end() {
            // Something was announced.
            self.outbox.wake();
        }
        if run.instance.state.is_end() {
            self.tell_end(&run);
        }
        if let Some(pause) = pause {
            tokio::time::sleep(pause).await;
        }
        Ok(run)
    }

    fn tell_end(&self, run: &Run) {
        let took_ms = u64::try_from(now_ms() - run.started_ms).unwrap_or(0);
        tell::ended(self.definition, run, Duration::from_millis(took_ms));
        (self.definition.told)(run);
        self.ended.with_label_values(&[run.name.as_str(), run.instance.state.name()]).inc();
    }

    /// A place at which it can be made to die.
    fn abort_at(&self, place: &str, action: Action) {
        let step = self.definition.step(action.step).name;
        match action.verb {
            Verb::Execute => self.abort.pass(place, step),
            Verb::Compensate => self.abort.pass(&format!("{place}-undo"), step),
        }
    }

    async fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, Stopped> {
        self.database.run(work).await.map_err(|error| {
            warn!(%error, "a saga stands still until its database takes it");
            Stopped
        })
    }
}

/// Writes down that an action begins.
fn begin(tx: &Transaction<'_>, run: Run, action: Action) -> rusqlite::Result<Run> {
    let event = match action.verb {
        Verb::Execute => saga::STEP_STARTED,
        Verb::Compensate => saga::COMPENSATION_STARTED,
    };
    store::happened(tx, &run.id, &Happened::now(event, Some(action), None))?;
    store::stand(tx, &run.id, &run.instance.clone().asking())?;
    Ok(run)
}

/// Writes down everything that came of an action, and what belongs to the saga's end if it was the last one.
fn end(
    tx: &Transaction<'_>,
    definition: &Definition,
    mut run: Run,
    action: Action,
    outcome: &Outcome,
) -> rusqlite::Result<Run> {
    let left = run.instance.left.len();
    run.instance = run.instance.after(outcome, definition.limits());
    let end = run.instance.state.end();
    if end.is_some() {
        (definition.forget)(&mut run.data);
    }
    let reason = outcome.reason();
    store::happened(
        tx,
        &run.id,
        &Happened::now(tell::event(action, outcome), Some(action), reason),
    )?;
    store::update(tx, &run)?;
    if let Some(reason) = reason.filter(|_| run.instance.left.len() > left) {
        store::ask_people(tx, &run.id, action.step, reason)?;
        let step = definition.step(action.step).name;
        let more = json!({"step": step, "error": reason.error_type});
        announce(tx, definition, &run, saga::COMPENSATION_FAILED, more)?;
    }
    if let Some(event) = end {
        let reason = run.instance.reason.as_ref();
        store::happened(tx, &run.id, &Happened::now(event, None, reason))?;
        (definition.ended)(tx, &run)?;
        let error = reason.map(|reason| &reason.error_type);
        announce(tx, definition, &run, event, json!({"error": error}))?;
        store::forget_old(tx)?;
    }
    Ok(run)
}

/// Tells others of a saga, if the transaction is committed. What is told has its own name in each saga: its event, and the
/// step if it is about one.
pub(super) fn announce(
    tx: &Transaction<'_>,
    definition: &Definition,
    run: &Run,
    event: &str,
    more: Value,
) -> rusqlite::Result<()> {
    let id = match more["step"].as_str() {
        Some(step) => format!("{}.{event}.{step}", run.id),
        None => format!("{}.{event}", run.id),
    };
    let mut body = json!({"saga": run.name, "saga_id": run.id, "order_id": run.subject});
    if let (Some(body), Value::Object(more)) = (body.as_object_mut(), more) {
        body.extend(more);
    }
    let message = Message {
        id,
        exchange: definition.exchange.to_owned(),
        routing_key: event.to_owned(),
        kind: event.to_owned(),
        headers: run.headers.clone(),
        body,
    };
    outbox::put(tx, &message)
}
