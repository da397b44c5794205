//! What is told of sagas: events as `docs/formats/semantics.md` names them, with the words of the definition for people.

use std::time::{Duration, Instant};

use service::semantics::{record, retry, saga};
use tracing::{error, info, warn};

use super::definition::Definition;
use super::instance::{Action, Outcome, Reason, State};
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

pub(super) fn begun(definition: &Definition, run: &Run, action: Action) {
    match action {
        Action::Execute { step, attempt } => {
            let of = definition.step(step);
            step!(info, saga::STEP_STARTED, run, (step, of.name), attempt, "{}", of.says.started);
        }
        Action::Compensate { step, attempt } => {
            let of = definition.step(step);
            let name = of.name;
            step!(info, saga::COMPENSATION_STARTED, run, (step, name), attempt, "undoing {name}");
        }
    }
}

/// `again` is how long until the next try, if there is one.
pub(super) fn done(
    definition: &Definition,
    run: &Run,
    action: Action,
    began: Instant,
    outcome: &Outcome,
    again: Option<Duration>,
) {
    let duration_ms = began.elapsed().as_micros() as f64 / 1_000.0;
    let delay_ms = again.map(|again| again.as_millis() as u64);
    macro_rules! failed {
        ($level:ident, $event:expr, $step:expr, $attempt:expr, $reason:expr, $($text:tt)+) => {
            step!(
                $level,
                $event,
                run,
                $step,
                $attempt,
                { record::DURATION_MS } = duration_ms,
                { record::ERROR_TYPE } = $reason.error_type,
                { record::ERROR_MESSAGE } = $reason.message,
                { retry::DELAY_MS } = delay_ms,
                $($text)+
            )
        };
    }
    match (action, outcome) {
        (Action::Execute { step, attempt }, Outcome::Done) => {
            let of = definition.step(step);
            let text = of.says.completed;
            step!(
                info,
                saga::STEP_COMPLETED,
                run,
                (step, of.name),
                attempt,
                { record::DURATION_MS } = duration_ms,
                "{text}"
            );
        }
        (
            Action::Execute { step, attempt },
            Outcome::Refused(reason) | Outcome::Unknown(reason) | Outcome::Unanswered(reason),
        ) => {
            let of = definition.step(step);
            let text = match reason.error_type.as_str() {
                "timeout" => format!("{} timed out", of.says.failed),
                _ => format!("{} failed", of.says.failed),
            };
            failed!(warn, saga::STEP_FAILED, (step, of.name), attempt, reason, "{text}");
        }
        (Action::Compensate { step, attempt }, Outcome::Done) => {
            let of = definition.step(step);
            step!(
                info,
                saga::COMPENSATION_COMPLETED,
                run,
                (step, of.name),
                attempt,
                { record::DURATION_MS } = duration_ms,
                "{}",
                of.says.undone
            );
        }
        (
            Action::Compensate { step, attempt },
            Outcome::Refused(reason) | Outcome::Unknown(reason) | Outcome::Unanswered(reason),
        ) => {
            let of = definition.step(step);
            let name = (step, of.name);
            match again {
                Some(_) => failed!(
                    warn,
                    saga::COMPENSATION_FAILED,
                    name,
                    attempt,
                    reason,
                    "undoing {} failed",
                    of.name
                ),
                None => failed!(
                    error,
                    saga::COMPENSATION_FAILED,
                    name,
                    attempt,
                    reason,
                    "undoing {} failed for good, a person has to look",
                    of.name
                ),
            }
        }
    }
}

pub(super) fn ended(definition: &Definition, run: &Run, duration: Duration) {
    let duration_ms = duration.as_millis() as f64;
    let none = Reason::new("", "");
    let reason = run.instance.reason.as_ref().unwrap_or(&none);
    let says = &definition.says;
    macro_rules! ended {
        ($event:expr, $text:expr) => {
            told!(
                error,
                $event,
                run,
                { record::DURATION_MS } = duration_ms,
                { record::ERROR_TYPE } = reason.error_type,
                { record::ERROR_MESSAGE } = reason.message,
                "{}",
                $text
            )
        };
    }
    match run.instance.state {
        State::Completed => told!(
            info,
            saga::COMPLETED,
            run,
            { record::DURATION_MS } = duration_ms,
            "{}",
            says.completed
        ),
        State::Compensated => ended!(saga::COMPENSATED, says.compensated),
        State::Failed => ended!(saga::FAILED, says.failed),
        State::Running | State::Compensating => {}
    }
}
