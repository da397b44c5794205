//! How a service is called: what is waited for, what is tried again, and what is left alone.

use std::time::Duration;

use super::call::Call;

/// Bounds of the calls of one dependency.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Policy {
    /// Of one try, to the end of its answer.
    pub(crate) timeout: Duration,
    /// Tries of one call that may be repeated; 1 for what must never be done twice.
    pub(crate) attempts_max: u32,
    /// Before the second try; twice as long before each further one, and between half and all of that.
    pub(crate) pause_min: Duration,
    /// The longest pause.
    pub(crate) pause_max: Duration,
    /// Which instance is asked.
    pub(crate) balance: Balance,
    pub(crate) breaker: BreakerPolicy,
    /// Calls at once, with their pauses.
    pub(crate) concurrency_max: usize,
    /// Calls that may wait for others to end, each no longer than `timeout`.
    pub(crate) waiting_max: usize,
}

/// How the instances of a service share its calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Balance {
    /// One after the other.
    RoundRobin,
    /// Any.
    Random,
    /// The one with the fewest calls of ours under way; of several, one after the other.
    LeastConnections,
}

/// When a dependency is left alone.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct BreakerPolicy {
    /// Outcomes that are looked at: the last so many.
    pub(crate) window: usize,
    /// With fewer of them, nothing is concluded.
    pub(crate) calls_min: usize,
    /// It opens once so many of them failed, from 0 to 1.
    pub(crate) failure_ratio: f64,
    /// How long nothing is let through.
    pub(crate) open_for: Duration,
    /// Tries that are let through then, to see; all have to succeed.
    pub(crate) trials: u32,
}

impl BreakerPolicy {
    /// Of all that have none of their own.
    pub(crate) const USUAL: Self = Self {
        window: 20,
        calls_min: 10,
        failure_ratio: 0.5,
        open_for: Duration::from_secs(5),
        trials: 3,
    };
}

impl Policy {
    /// For this call.
    pub(super) fn of(self, call: &Call) -> Self {
        let attempts_max = if call.may_be_repeated() { self.attempts_max } else { 1 };
        Self { timeout: call.timeout.unwrap_or(self.timeout), attempts_max, ..self }
    }

    /// Mostly for what changes nothing.
    pub(crate) const READS: Self = Self {
        timeout: Duration::from_secs(2),
        attempts_max: 3,
        pause_min: Duration::from_millis(50),
        pause_max: Duration::from_secs(1),
        balance: Balance::RoundRobin,
        breaker: BreakerPolicy::USUAL,
        concurrency_max: 64,
        waiting_max: 256,
    };
    /// For what has an idempotency key, or may be done twice for another reason.
    pub(crate) const WRITES: Self = Self {
        timeout: Duration::from_secs(3),
        pause_min: Duration::from_millis(100),
        balance: Balance::LeastConnections,
        ..Self::READS
    };
    /// For what moves money: one try, whatever becomes of it.
    pub(crate) const PAYMENTS: Self =
        Self { attempts_max: 1, concurrency_max: 32, waiting_max: 64, ..Self::WRITES };
}
