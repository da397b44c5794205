//! One run of a saga as a value: where it stands, what comes next, and what an outcome makes of it. No input, no output,
//! no clock: whatever this decides is decided the same after a kill.
//!
//! ```text
//!            done                         done, the last one
//!  running ───────▶ running (next step) ─────────────────────▶ completed
//!     │ refused, or no attempt left, or out of time
//!     ▼
//!  compensating ──▶ compensating (step before) ──────────────▶ compensated   nothing was left undone
//!                                              └─────────────▶ failed        something was: a person has to look
//! ```
//!
//! A step whose outcome is not known may have had its effect, so it is undone too; what was refused had none, and what
//! never left this process neither. Undoing what was never done is harmless: whoever is asked makes a note of it and
//! refuses the step if it comes late.
//!
//! A step that nobody answers is given up soon, for the customer waits. Undoing it is not: tries without an answer have a
//! limit of their own, which outlasts a restart of whoever is asked and an open circuit, since a person is asked behind
//! it. Undoing that is refused is not tried again: the answer to its idempotency key is what it is.

use serde::{Deserialize, Serialize};
use service::semantics::saga;
use utoipa::ToSchema;

/// What is decided by; the saga's definition in numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limits {
    pub(crate) steps: u32,
    /// Tries of a step.
    pub(crate) attempts_max: u32,
    /// Tries of undoing one that were answered, but not done.
    pub(crate) compensations_max: u32,
    /// Tries of undoing one that nobody answered.
    pub(crate) unanswered_max: u32,
}

/// Where a saga stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Instance {
    pub(crate) state: State,
    /// The step that is done or undone next, from 1.
    pub(crate) step: u32,
    /// Which try of it is next, from 1.
    pub(crate) attempt: u32,
    /// A try of doing it may have reached whoever is asked.
    pub(crate) asked: bool,
    /// Tries of undoing it so far that nobody answered.
    pub(crate) unanswered: u32,
    /// Steps whose undoing failed for good.
    pub(crate) left: Vec<u32>,
    /// Why it is undone.
    pub(crate) reason: Option<Reason>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum State {
    Running,
    Compensating,
    Completed,
    Compensated,
    Failed,
}

/// Why something was not done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct Reason {
    /// One of few.
    pub(crate) error_type: String,
    /// For people.
    pub(crate) message: String,
}

/// What is to be done next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Action {
    pub(crate) verb: Verb,
    pub(crate) step: u32,
    pub(crate) attempt: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verb {
    Execute,
    Compensate,
}

/// What became of an action.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Done,
    /// It was refused, and nothing happened.
    Refused(Reason),
    /// It may have happened or not.
    Unknown(Reason),
    /// The same, and nobody said anything.
    Unanswered(Reason),
    /// Nobody was there to be asked, or was to be asked.
    NotSent(Reason),
}

impl State {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Running => saga::STATE_RUNNING,
            Self::Compensating => saga::STATE_COMPENSATING,
            Self::Completed => saga::STATE_COMPLETED,
            Self::Compensated => saga::STATE_COMPENSATED,
            Self::Failed => saga::STATE_FAILED,
        }
    }

    /// The event that tells of it, if it is an end.
    pub(crate) fn end(self) -> Option<&'static str> {
        match self {
            Self::Running | Self::Compensating => None,
            Self::Completed => Some(saga::COMPLETED),
            Self::Compensated => Some(saga::COMPENSATED),
            Self::Failed => Some(saga::FAILED),
        }
    }

    pub(crate) fn is_end(self) -> bool {
        self.end().is_some()
    }
}

impl Reason {
    pub(crate) fn new(error_type: impl Into<String>, message: impl Into<String>) -> Self {
        Self { error_type: error_type.into(), message: message.into() }
    }
}

impl Outcome {
    /// Why it was not done.
    pub(crate) fn reason(&self) -> Option<&Reason> {
        match self {
            Self::Done => None,
            Self::Refused(reason)
            | Self::Unknown(reason)
            | Self::Unanswered(reason)
            | Self::NotSent(reason) => Some(reason),
        }
    }
}

impl Instance {
    /// One that has not begun.
    pub(crate) fn new() -> Self {
        let (state, asked, left) = (State::Running, false, Vec::new());
        Self { state, step: 1, attempt: 1, asked, unanswered: 0, left, reason: None }
    }

    /// What comes next; nothing after the end.
    pub(crate) fn next(&self) -> Option<Action> {
        let verb = match self.state {
            State::Running => Verb::Execute,
            State::Compensating => Verb::Compensate,
            State::Completed | State::Compensated | State::Failed => return None,
        };
        Some(Action { verb, step: self.step, attempt: self.attempt })
    }

    /// Where it stands while [`Instance::next`] is under way: for whoever goes on after a kill.
    pub(crate) fn asking(mut self) -> Self {
        self.asked = self.state == State::Running;
        self
    }

    /// Whether this outcome is followed by another try of the same.
    pub(crate) fn is_tried_again(&self, outcome: &Outcome, limits: Limits) -> bool {
        use Outcome::{Done, NotSent, Refused, Unanswered, Unknown};
        match (self.state, outcome) {
            (State::Running, Unknown(_) | Unanswered(_) | NotSent(_)) => {
                self.attempt < limits.attempts_max
            }
            (State::Compensating, Unanswered(_) | NotSent(_)) => {
                self.unanswered + 1 < limits.unanswered_max
            }
            (State::Compensating, Unknown(_)) => {
                self.attempt - self.unanswered < limits.compensations_max
            }
            (_, Done | Refused(_) | Unknown(_) | Unanswered(_) | NotSent(_)) => false,
        }
    }

    /// Where it stands after the outcome of [`Instance::next`].
    pub(crate) fn after(mut self, outcome: &Outcome, limits: Limits) -> Self {
        let is_again = self.is_tried_again(outcome, limits);
        match (self.state, outcome.reason()) {
            (State::Running, None) if self.step == limits.steps => self.state = State::Completed,
            (State::Running, None) => {
                (self.step, self.attempt, self.asked) = (self.step + 1, 1, false);
            }
            (State::Running, Some(reason)) => {
                let had_none = matches!(outcome, Outcome::Refused(_) | Outcome::NotSent(_));
                self.asked |= !had_none;
                match is_again {
                    true => self.attempt += 1,
                    false => return self.undone(reason.clone()),
                }
            }
            (State::Compensating, Some(_)) if is_again => {
                self.attempt += 1;
                let is_answered = matches!(outcome, Outcome::Unknown(_));
                self.unanswered += u32::from(!is_answered);
            }
            (State::Compensating, failed) => {
                self.left.extend(failed.map(|_| self.step));
                self.step_back();
            }
            (State::Completed | State::Compensated | State::Failed, _) => {}
        }
        self
    }

    /// It has no more time; what is under way may have its effect still.
    pub(crate) fn out_of_time(self) -> Self {
        match self.state {
            State::Running => {
                self.undone(Reason::new("timeout", "the saga took longer than it may"))
            }
            _ => self,
        }
    }

    /// Begins to undo: the step at hand if it may have happened, and all before it.
    fn undone(mut self, reason: Reason) -> Self {
        (self.state, self.reason) = (State::Compensating, Some(reason));
        if std::mem::take(&mut self.asked) {
            self.attempt = 1;
        } else {
            self.step_back();
        }
        self
    }

    fn step_back(&mut self) {
        (self.step, self.attempt, self.unanswered) = (self.step.saturating_sub(1), 1, 0);
        if self.step == 0 {
            let is_undone = self.left.is_empty();
            self.state = if is_undone { State::Compensated } else { State::Failed };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits =
        Limits { steps: 3, attempts_max: 2, compensations_max: 2, unanswered_max: 3 };

    /// Runs a saga whose outcomes are letters: done, refused, unknown, not answered, not sent (x); gives what was done and where it ended.
    fn run(outcomes: &str) -> (String, State) {
        let mut instance = Instance::new();
        let mut told = String::new();
        let mut outcomes = outcomes.chars();
        while let Some(action) = instance.next() {
            let reason = Reason::new("x", "y");
            let outcome = match outcomes.next() {
                Some('r') => Outcome::Refused(reason),
                Some('x') => Outcome::NotSent(reason),
                Some('u') => Outcome::Unknown(reason),
                Some('n') => Outcome::Unanswered(reason),
                _ => Outcome::Done,
            };
            told.push_str(&match action.verb {
                Verb::Execute => format!(" {}", action.step),
                Verb::Compensate => format!(" -{}", action.step),
            });
            instance = instance.after(&outcome, LIMITS);
        }
        (told.trim().to_owned(), instance.state)
    }

    #[test]
    fn what_was_done_is_undone_in_reverse() {
        for (outcomes, told, state) in [
            ("ddd", "1 2 3", State::Completed),
            ("r", "1", State::Compensated),
            ("ddr", "1 2 3 -2 -1", State::Compensated),
            // Not known, tried again, and done.
            ("dudd", "1 2 2 3", State::Completed),
            // Not known twice: it may have happened.
            ("duu", "1 2 2 -2 -1", State::Compensated),
            // Not known, then refused: the first may have happened.
            ("dur", "1 2 2 -2 -1", State::Compensated),
            // Undoing is tried again too, and a person is asked where it fails.
            ("ddrud", "1 2 3 -2 -2 -1", State::Compensated),
            ("ddruu", "1 2 3 -2 -2 -1", State::Failed),
            // What is refused to be undone would be refused again.
            ("ddrrd", "1 2 3 -2 -1", State::Failed),
            // What was never sent had no effect; what was sent once may have had one.
            ("xx", "1 1", State::Compensated),
            ("dxx", "1 2 2 -1", State::Compensated),
            ("dxdd", "1 2 2 3", State::Completed),
            ("dxu", "1 2 2 -2 -1", State::Compensated),
            ("dux", "1 2 2 -2 -1", State::Compensated),
            ("ddrxxd", "1 2 3 -2 -2 -2 -1", State::Compensated),
            // A step that nobody answers is given up soon, undoing it later, and answers are counted by themselves.
            ("dnn", "1 2 2 -2 -1", State::Compensated),
            ("ddrnnd", "1 2 3 -2 -2 -2 -1", State::Compensated),
            ("ddrnnn", "1 2 3 -2 -2 -2 -1", State::Failed),
            ("ddrnund", "1 2 3 -2 -2 -2 -2 -1", State::Compensated),
            ("ddrnuu", "1 2 3 -2 -2 -2 -1", State::Failed),
        ] {
            assert_eq!(run(outcomes), (told.to_owned(), state), "{outcomes}");
        }
    }

    #[test]
    fn one_that_has_no_more_time_is_undone_with_the_step_at_hand() {
        let running = Instance::new().after(&Outcome::Done, LIMITS);
        let undo = |step| Some(Action { verb: Verb::Compensate, step, attempt: 1 });
        // One that was not asked for yet is not undone.
        assert_eq!(running.clone().out_of_time().next(), undo(1));
        let undone = running.asking().out_of_time();
        assert_eq!(undone.next(), undo(2));
        assert_eq!(undone.clone().out_of_time(), undone);
    }

    proptest::proptest! {
        #[test]
        fn every_saga_ends_and_undoes_all_that_may_have_happened(outcomes in "[drunx]{0,40}") {
            let (told, state) = run(&outcomes);
            let steps: Vec<i32> = told.split(' ').map(|step| step.parse().unwrap()).collect();
            proptest::prop_assert!(state.is_end());
            proptest::prop_assert!(steps.len() <= 3 * (2 + 2 + 2));
            if state != State::Completed {
                let begun = steps.iter().copied().max().unwrap();
                let undone: std::collections::BTreeSet<i32> =
                    steps.iter().filter(|step| **step < 0).map(|step| -step).collect();
                // All but the last, which may never have happened.
                proptest::prop_assert!((1..begun).all(|step| undone.contains(&step)), "{}", told);
            }
        }
    }
}
