//! Bounds of the gateway. The defaults fit a shop on one machine with shoppers of one address.

use std::num::NonZeroU32;
use std::time::Duration;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Settings {
    /// Requests a second of one client, and how many may come at once.
    pub(crate) per_second: NonZeroU32,
    pub(crate) burst: NonZeroU32,
    /// The same for what is expensive, logins and registrations, of one address.
    pub(crate) expensive_per_second: NonZeroU32,
    pub(crate) expensive_burst: NonZeroU32,
    /// Requests of one client that may be under way: fewer than calls of a service may wait.
    pub(crate) at_once_max: usize,
    /// Places in which clients are counted.
    pub(crate) clients_max: u64,
    /// Answers that are kept, how long one may be, and how long it is kept at most, whatever a service says.
    pub(crate) answers_max: usize,
    pub(crate) answer_bytes_max: usize,
    pub(crate) answer_age_max: Duration,
    /// How long a client may take to send a body.
    pub(crate) body_timeout: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        let number = |number| NonZeroU32::new(number).unwrap_or(NonZeroU32::MIN);
        Self {
            per_second: number(500),
            burst: number(250),
            expensive_per_second: number(5),
            expensive_burst: number(20),
            at_once_max: 128,
            clients_max: 50_000,
            answers_max: 1_000,
            answer_bytes_max: 64 << 10,
            answer_age_max: Duration::from_secs(60),
            body_timeout: Duration::from_secs(10),
        }
    }
}
