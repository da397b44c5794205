//! What is told of sagas: events as `docs/formats/semantics.md` names them, with the words of the definition for people.

use std::time::Duration;

use service::semantics::{record, retry, saga};
use tracing::{error, info, warn};

use super::definition::Definition;
use super::instance::{Action, Outcome, State, Verb};
use super::store::Run;

/// A line about a saga as a whole.
macro_rules! told {
    ($level:ident, $event:expr, $run:expr, $($rest:tt)+) => {
        $level!(
            event_name = $event,
            { saga::NAME } = $run.name,
            { saga::ID } = $run.id,
            { saga::STATE } = $run.instance.state.name(),
            order_id = $run.subject,
            $($rest)+
        )
    };
}

/// A line about one of its steps.
macro_rules! step {
    ($level:ident, $event:expr, $run:expr, $step:expr, $attempt:expr, $($rest:tt)+) => {
        told!(
            $level,
            $event,
            $run,
            { saga::STEP_NAME } = $step.1,
            { saga::STEP_NUMBER } = $step.0,
            { record::ATTEMPT } = $attempt,
            $($rest)+
        )
    };
}

pub(super) fn started(definition: &Definition, run: &Run) {
    told!(
        info,
        saga::STARTED,
        run,
        { saga::STEP_COUNT } = definition.steps.len(),
        { saga::TIMEOUT_MS } = definition.timeout.as_millis() as u64,
        "{}",
        definition.says.started
    );
}

pub(super) fn resumed(run: &Run) {
    info!(
        { saga::NAME } = run.name,
        { saga::ID } = run.id,
        { saga::STATE } = run.instance.state.name(),
        order_id = run.subject,
        step = run.instance.step,
        "saga goes on where it was"
    );
}

/// A try that came to its end.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tried<'a> {
    pub(super) action: Action,
    pub(super) outcome: &'a Outcome,
    pub(super) took: Duration,
    /// How long until the next try, if there is one.
    pub(super) again: Option<Duration>,
}

pub(super) fn begun(definition: &Definition, run: &Run, action: Action) {
    let of = definition.step(action.step);
    let (event, text) = match action.verb {
        Verb::Execute => (saga::STEP_STARTED, of.says.started.to_owned()),
        Verb::Compensate => (saga::COMPENSATION_STARTED, format!("undoing {}", of.name)),
    };
    step!(info, event, run, (action.step, of.name), action.attempt, "{text}");
}

/// The event that tells of an outcome.
pub(super) fn event(action: Action, outcome: &Outcome) -> &'static str {
    match (action.verb, outcome) {
        (Verb::Execute, Outcome::Done) => saga::STEP_COMPLETED,
        (Verb::Execute, _) => saga::STEP_FAILED,
        (Verb::Compensate, Outcome::Done) => saga::COMPENSATION_COMPLETED,
        (Verb::Compensate, _) => saga::COMPENSATION_FAILED,
    }
}

/// The run stands where the outcome led it.
pub(super) fn done(definition: &Definition, run: &Run, tried: Tried<'_>) {
    let Tried { action, outcome, took, again } = tried;
    let (event, reason) = (event(action, outcome), outcome.reason());
    let of = definition.step(action.step);
    let text = match (action.verb, reason) {
        (Verb::Execute, None) => of.says.completed.to_owned(),
        (Verb::Execute, Some(reason)) if reason.error_type == "timeout" => {
            format!("{} timed out", of.says.failed)
        }
        (Verb::Execute, Some(_)) => format!("{} failed", of.says.failed),
        (Verb::Compensate, None) => of.says.undone.to_owned(),
        (Verb::Compensate, Some(_)) if again.is_some() => format!("undoing {} failed", of.name),
        (Verb::Compensate, Some(_)) => {
            format!("undoing {} failed for good, a person has to look", of.name)
        }
    };
    macro_rules! line {
        ($level:ident) => {
            step!(
                $level,
                event,
                run,
                (action.step, of.name),
                action.attempt,
                { record::DURATION_MS } = took.as_micros() as f64 / 1_000.0,
                { record::ERROR_TYPE } = reason.map(|reason| reason.error_type.as_str()),
                { record::ERROR_MESSAGE } = reason.map(|reason| reason.message.as_str()),
                { retry::DELAY_MS } = again.map(|again| again.as_millis() as u64),
                "{text}"
            )
        };
    }
    match (reason, action.verb, again) {
        (None, ..) => line!(info),
        (Some(_), Verb::Compensate, None) => line!(error),
        (Some(_), ..) => line!(warn),
    }
}

pub(super) fn ended(definition: &Definition, run: &Run, duration: Duration) {
    let (state, says) = (run.instance.state, &definition.says);
    let (Some(event), reason) = (state.end(), run.instance.reason.as_ref()) else { return };
    macro_rules! line {
        ($level:ident, $text:expr) => {
            told!(
                $level,
                event,
                run,
                { record::DURATION_MS } = duration.as_millis() as f64,
                { record::ERROR_TYPE } = reason.map(|reason| reason.error_type.as_str()),
                { record::ERROR_MESSAGE } = reason.map(|reason| reason.message.as_str()),
                "{}",
                $text
            )
        };
    }
    match state {
        State::Completed => line!(info, says.completed),
        State::Compensated => line!(error, says.compensated),
        State::Failed => line!(error, says.failed),
        State::Running | State::Compensating => {}
    }
}
