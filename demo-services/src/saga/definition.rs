//! What a saga consists of, as data: steps in order, whom each one asks, and how it is undone.

use std::collections::BTreeSet;
use std::time::Duration;

use rusqlite::Transaction;
use serde_json::Value;

use super::instance::Limits;
use super::store::Run;
use crate::kit::backoff;

/// A kind of saga.
#[derive(Debug)]
pub(crate) struct Definition {
    /// `place-order`.
    pub(crate) name: &'static str,
    /// Where what happens to it is announced.
    pub(crate) exchange: &'static str,
    pub(crate) steps: &'static [Step],
    /// Tries of a step, and of undoing one: those that were answered, and those that nobody answered.
    pub(crate) attempts_max: u32,
    pub(crate) compensations_max: u32,
    pub(crate) unanswered_max: u32,
    /// Before the second try; doubles up to the longest.
    pub(crate) pause_min: Duration,
    pub(crate) pause_max: Duration,
    /// After so long it is undone.
    pub(crate) timeout: Duration,
    /// Takes out of its data what is not to outlive it.
    pub(crate) forget: fn(&mut Value),
    /// What else belongs to its end, in the transaction that ends it.
    pub(crate) ended: fn(&Transaction<'_>, &Run) -> rusqlite::Result<()>,
    /// What is told of that, after the commit.
    pub(crate) told: fn(&Run),
    pub(crate) says: SagaTexts,
}

/// A step. Every request carries an idempotency key, so that it can be sent again.
#[derive(Debug)]
pub(crate) struct Step {
    /// `authorise-payment`.
    pub(crate) name: &'static str,
    /// Who is asked. A step without is done by the saga's own end.
    pub(crate) asks: Option<Asked>,
    pub(crate) says: StepTexts,
}

/// Who does a step, and undoes it.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) service: &'static str,
    /// From the saga's data.
    pub(crate) execute: fn(&Value) -> Request,
    pub(crate) compensate: fn(&Value) -> Request,
    /// What the saga's data take from the answer.
    pub(crate) learn: fn(&mut Value, &Value),
}

/// A POST.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Request {
    pub(crate) path: String,
    pub(crate) body: Value,
}

/// What is told of a step, for people.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StepTexts {
    pub(crate) started: &'static str,
    pub(crate) completed: &'static str,
    pub(crate) failed: &'static str,
    pub(crate) undone: &'static str,
}

/// What is told of a saga, for people.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SagaTexts {
    pub(crate) started: &'static str,
    pub(crate) completed: &'static str,
    pub(crate) compensated: &'static str,
    pub(crate) failed: &'static str,
}

impl Definition {
    pub(crate) fn limits(&self) -> Limits {
        Limits {
            steps: u32::try_from(self.steps.len()).unwrap_or(u32::MAX),
            attempts_max: self.attempts_max,
            compensations_max: self.compensations_max,
            unanswered_max: self.unanswered_max,
        }
    }

    /// Whom its steps ask, each once.
    pub(crate) fn services(&self) -> BTreeSet<&'static str> {
        self.steps.iter().filter_map(|step| step.asks.as_ref()).map(|asked| asked.service).collect()
    }

    /// The step of this number, from 1.
    pub(crate) fn step(&self, number: u32) -> &'static Step {
        &self.steps[number as usize - 1]
    }

    /// How long to wait before try `attempt`, which is the second or a later one.
    pub(crate) fn pause(&self, attempt: u32) -> Duration {
        backoff::pause(self.pause_min, self.pause_max, attempt.saturating_sub(1))
    }
}
