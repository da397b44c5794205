//! What chance decides, and what was done when: kept in memory, so that a failure can tell what happened around it.

use std::fmt;
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// A small generator; each actor has one of its own, so that they do not disturb each other's choices.
#[derive(Debug)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64, actor: &str) -> Self {
        Self(actor.bytes().fold(seed ^ 0x9e37_79b9_7f4a_7c15, |seed, byte| {
            (seed ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        }))
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }

    pub(crate) fn pick<T: Copy>(&mut self, among: &[T]) -> T {
        among[self.below(among.len() as u64) as usize]
    }

    pub(crate) fn between_ms(&mut self, from: u64, to: u64) -> Duration {
        Duration::from_millis(from + self.below(to - from))
    }
}

/// Who acted, and what was done.
#[derive(Debug)]
struct Entry {
    at: Duration,
    actor: String,
    what: String,
}

/// Everything that was done, in order. Grows with the number of actions, which are a few each second.
#[derive(Debug)]
pub(crate) struct Timeline {
    started: Instant,
    entries: Mutex<Vec<Entry>>,
}

impl Timeline {
    pub(crate) fn new() -> Self {
        Self { started: Instant::now(), entries: Mutex::default() }
    }

    pub(crate) fn now(&self) -> Duration {
        self.started.elapsed()
    }

    pub(crate) fn note(&self, actor: &str, what: impl Into<String>) {
        let entry = Entry { at: self.now(), actor: actor.to_owned(), what: what.into() };
        self.entries.lock().unwrap().push(entry);
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.lock().unwrap().len()
    }

    /// What was done in a span of time, a line each; of logs only by those that `actors` names.
    pub(crate) fn around(&self, from: Duration, to: Duration, actors: &[String]) -> String {
        let entries = self.entries.lock().unwrap();
        let told = entries
            .iter()
            .filter(|entry| (from..=to).contains(&entry.at))
            .filter(|entry| !entry.actor.starts_with("log ") || actors.contains(&entry.actor));
        told.map(Entry::to_string).collect()
    }
}

/// All of it.
impl fmt::Display for Timeline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.entries.lock().unwrap().iter().try_for_each(|entry| entry.fmt(f))
    }
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { at, actor, what } = self;
        writeln!(f, "  {:9.3} s  {actor:<10} {what}", at.as_secs_f64())
    }
}
