//! A circuit breaker: leaves a dependency alone that fails too often, and looks carefully whether it is well again.
//!
//! ```text
//!           of the last `window` outcomes, at least `calls_min`, `failure_ratio` failed
//!   closed ─────────────────────────────────────────────────────────────────────────────▶ open
//!     ▲                                                                          ▲         │
//!     │  all trials succeeded                                      a trial failed│         │ after `open_for`,
//!     └──────────────────────────────────── half open ───────────────────────────┘◀────────┘ with the next call
//! ```
//!
//! Half open, no more than `trials` calls are let through before it is decided. What was let through in an earlier state
//! decides nothing in a later one.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use service::metrics::{GaugeVec, Metrics};
use service::semantics::{circuit_breaker as names, http};
use tracing::{info, warn};

use super::policy::BreakerPolicy;

/// What a caller is told while trials are under way: nobody knows when they end.
const TRIALS_TAKE: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(super) struct Breaker {
    service: &'static str,
    policy: BreakerPolicy,
    states: GaugeVec,
    circuit: Mutex<Circuit>,
}

#[derive(Debug)]
struct Circuit {
    state: State,
    /// How often the state changed.
    changes: u64,
}

#[derive(Debug)]
enum State {
    /// The last outcomes; true for a failure.
    Closed(VecDeque<bool>),
    Open {
        until: Instant,
    },
    HalfOpen {
        admitted: u32,
        succeeded: u32,
    },
}

/// A call that was let through. Dropped without an outcome it was no trial, and another call may be one.
#[derive(Debug)]
pub(super) struct Permit {
    breaker: Arc<Breaker>,
    changes: u64,
}

impl Breaker {
    /// `service` is what it guards, and its name.
    pub(super) fn new(service: &'static str, policy: BreakerPolicy, metrics: &Metrics) -> Self {
        let states = metrics.gauge_vec(
            "shop_circuit_breaker_state",
            "1 for the state that a circuit breaker is in, 0 for the others.",
            &["name", "state"],
        );
        let circuit = Circuit { state: State::Closed(VecDeque::new()), changes: 0 };
        let breaker = Self { service, policy, states, circuit: Mutex::new(circuit) };
        breaker.show(names::STATE_CLOSED);
        breaker
    }

    /// Lets a call through, or says when to come again.
    pub(super) fn admit(self: &Arc<Self>, now: Instant) -> Result<Permit, Duration> {
        let mut circuit = self.lock();
        if let State::Open { until } = circuit.state {
            if now < until {
                return Err(until - now);
            }
            self.change(&mut circuit, State::HalfOpen { admitted: 0, succeeded: 0 }, 0);
        }
        if let State::HalfOpen { admitted, .. } = &mut circuit.state {
            if *admitted >= self.policy.trials.max(1) {
                return Err(TRIALS_TAKE.min(self.policy.open_for));
            }
            *admitted += 1;
        }
        Ok(Permit { breaker: Arc::clone(self), changes: circuit.changes })
    }

    /// One of [`names`]' states. It is half open as soon as a call would be let through, not only with that call: nobody
    /// may ever come, and it would look broken for ever.
    pub(super) fn state(&self, now: Instant) -> &'static str {
        match self.lock().state {
            State::Open { until } if now >= until => names::STATE_HALF_OPEN,
            ref state => state.name(),
        }
    }

    /// Sets the gauge to the state of now.
    pub(super) fn show_now(&self) {
        self.show(self.state(Instant::now()));
    }

    fn settle(&self, changes: u64, failed: bool, now: Instant) {
        let mut circuit = self.lock();
        if circuit.changes != changes {
            return;
        }
        let open = State::Open { until: now + self.policy.open_for };
        match &mut circuit.state {
            State::Closed(outcomes) => {
                while outcomes.len() >= self.policy.window.max(1) {
                    outcomes.pop_front();
                }
                outcomes.push_back(failed);
                let (calls, failures) =
                    (outcomes.len(), outcomes.iter().filter(|failed| **failed).count());
                let is_too_much = failures as f64 >= self.policy.failure_ratio * calls as f64;
                if calls >= self.policy.calls_min && is_too_much {
                    self.change(&mut circuit, open, failures);
                }
            }
            State::HalfOpen { .. } if failed => self.change(&mut circuit, open, 1),
            State::HalfOpen { succeeded, .. } => {
                *succeeded += 1;
                if *succeeded >= self.policy.trials {
                    self.change(&mut circuit, State::Closed(VecDeque::new()), 0);
                }
            }
            // What was let through has changed the state since.
            State::Open { .. } => {}
        }
    }

    fn release(&self, changes: u64) {
        let mut circuit = self.lock();
        if circuit.changes == changes
            && let State::HalfOpen { admitted, .. } = &mut circuit.state
        {
            *admitted = admitted.saturating_sub(1);
        }
    }

    /// Told under the lock, so that changes are told in their order.
    fn change(&self, circuit: &mut Circuit, to: State, failures: usize) {
        let before = std::mem::replace(&mut circuit.state, to).name();
        circuit.changes += 1;
        let state = circuit.state.name();
        self.show(state);
        macro_rules! changed {
            ($level:ident, $($rest:tt)+) => {
                $level!(
                    event_name = names::CHANGED,
                    { names::NAME } = self.service,
                    { names::STATE } = state,
                    { names::PREVIOUS_STATE } = before,
                    { http::PEER_NAME } = self.service,
                    $($rest)+
                )
            };
        }
        match circuit.state {
            State::Open { .. } => changed!(
                warn,
                { names::FAILURE_COUNT } = failures,
                { names::OPEN_FOR_MS } = self.policy.open_for.as_millis() as u64,
                "circuit opened"
            ),
            State::HalfOpen { .. } => changed!(info, "circuit half open"),
            State::Closed(_) => changed!(info, "circuit closed"),
        }
    }

    fn show(&self, current: &str) {
        for state in [names::STATE_CLOSED, names::STATE_OPEN, names::STATE_HALF_OPEN] {
            self.states.with_label_values(&[self.service, state]).set(i64::from(state == current));
        }
    }

    fn lock(&self) -> MutexGuard<'_, Circuit> {
        self.circuit.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn name(&self) -> &'static str {
        match self {
            Self::Closed(_) => names::STATE_CLOSED,
            Self::Open { .. } => names::STATE_OPEN,
            Self::HalfOpen { .. } => names::STATE_HALF_OPEN,
        }
    }
}

impl Permit {
    /// How the call ended.
    pub(super) fn settle(mut self, failed: bool, now: Instant) {
        self.breaker.settle(self.changes, failed, now);
        // Nothing is left to be released.
        self.changes = u64::MAX;
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.breaker.release(self.changes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: BreakerPolicy = BreakerPolicy {
        window: 4,
        calls_min: 3,
        failure_ratio: 0.5,
        open_for: Duration::from_secs(5),
        trials: 2,
    };

    fn breaker() -> Arc<Breaker> {
        Arc::new(Breaker::new("stock", POLICY, &Metrics::new()))
    }

    fn calls(breaker: &Arc<Breaker>, now: Instant, failed: &[bool]) {
        for failed in failed {
            breaker.admit(now).unwrap().settle(*failed, now);
        }
    }

    #[test]
    fn it_opens_by_the_ratio_of_the_last_outcomes() {
        for (failed, state) in [
            (&[true, true][..], "closed"),
            (&[false, false, true], "closed"),
            (&[true, true, true], "open"),
            (&[true, true, false], "open"),
            (&[false, false, true, true], "open"),
            // The first two have left the window.
            (&[true, false, false, false, false, true], "closed"),
        ] {
            let breaker = breaker();
            calls(&breaker, Instant::now(), failed);
            assert_eq!(breaker.state(Instant::now()), state, "{failed:?}");
        }
    }

    #[test]
    fn open_it_refuses_until_its_time_is_over() {
        let (breaker, now) = (breaker(), Instant::now());
        calls(&breaker, now, &[true; 3]);
        let second = Duration::from_secs(1);
        assert_eq!(breaker.admit(now + second).unwrap_err(), 4 * second);
        // Also where nobody calls.
        let states = [4, 5].map(|seconds| breaker.state(now + seconds * second));
        assert_eq!(states, ["open", "half_open"]);
        assert!(breaker.admit(now + 5 * second).is_ok());
        assert_eq!(breaker.state(now), "half_open");
    }

    #[test]
    fn trials_close_it_if_all_succeed_and_one_failure_opens_it() {
        for (failed, state) in [([false, false], "closed"), ([false, true], "open")] {
            let (breaker, now) = (breaker(), Instant::now());
            calls(&breaker, now, &[true; 3]);
            let later = now + POLICY.open_for;
            let trials = [breaker.admit(later).unwrap(), breaker.admit(later).unwrap()];
            assert!(breaker.admit(later).is_err());
            for (trial, failed) in trials.into_iter().zip(failed) {
                trial.settle(failed, later);
            }
            assert_eq!(breaker.state(later), state);
        }
    }

    #[test]
    fn a_trial_without_an_outcome_makes_room_for_another() {
        let (breaker, now) = (breaker(), Instant::now());
        let late = breaker.admit(now).unwrap();
        calls(&breaker, now, &[true; 3]);
        let later = now + POLICY.open_for;
        let (_first, second) = (breaker.admit(later).unwrap(), breaker.admit(later).unwrap());
        drop(second);
        assert!(breaker.admit(later).is_ok());
        // Let through while it was closed: no trial.
        late.settle(true, later);
        assert_eq!(breaker.state(later), "half_open");
    }
}
