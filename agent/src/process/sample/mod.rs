//! Sampling by whole correlations: of the correlations in which nothing goes wrong only some are kept.
//!
//! A record belongs to its correlation id, or else to its trace id; one without either is kept. What becomes of it:
//!
//! 1. kept, if the hash of its id falls into the share that is kept ([`share_of`]): the same one on every host;
//! 2. kept, if it is an error or worse; all that is held of its correlation is released before it, in order, and what
//!    follows within a window after the last error is kept too;
//! 3. else held for a window, in case an error follows, and then dropped.
//!
//! Held records take at most [`SampleSettings::held_bytes_max`]; beyond it, the correlation that holds the oldest
//! record is dropped early. At most [`KEPT_IDS_MAX`] ids are remembered for their errors, the latest ones.
//!
//! **Time** is the sampler's own: it counts what the wall clock moves on between two calls. A clock that goes back
//! stops it for that one step, so nothing is held for ever; one that leaps ahead ends windows early; the time in
//! which the agent does not run does not count.
//!
//! **A crash.** Held records are gone from their source's point of view, so they must be durable. Whoever uses the
//! sampler writes [`Sampler::take_changes`] down atomically with the batch and the positions that they belong to, a
//! whole state from time to time ([`Sampler::checkpoint_before`] where the log begins anew just before these changes,
//! else [`Sampler::checkpoint`]), and replays both. What was pushed after the last changes were written is read and
//! pushed again. So each record is released, held or counted as dropped exactly once.

mod kept_ids;
mod saved;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use record::{CORRELATION_ID_BYTES_MAX, Level, RecordRef, Timestamp};
use wire::{Format, Limits};

use super::ProcessError;
pub use kept_ids::KEPT_IDS_MAX;
use kept_ids::KeptIds;
pub use saved::SampleChanges;
use saved::State;

/// Most bytes that may be set as [`SampleSettings::held_bytes_max`].
const HELD_BYTES_LIMIT: usize = 1 << 30;
/// What a held record takes beside its bytes: its places in the tables. Estimated.
const HELD_OVERHEAD_BYTES: usize = 160;

/// Which correlations are kept.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SampleSettings {
    /// The share of correlations that is kept in any case: 0 to 1.
    pub keep_ratio: f64,
    /// How long a record waits for an error of its correlation; 10 s.
    pub window: Duration,
    /// What held records may take in memory, in bytes; 8 MiB, at most 1 GiB. Twice that for a moment, while changes
    /// that drop or release them are not yet taken.
    pub held_bytes_max: usize,
}

impl Default for SampleSettings {
    fn default() -> Self {
        Self { keep_ratio: 1.0, window: Duration::from_secs(10), held_bytes_max: 8 << 20 }
    }
}

/// A held record's number: in the order in which they were held, never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HeldId(pub u64);

/// What became of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sampled {
    /// The sink has had it, after what was held of its correlation.
    Kept,
    /// It waits.
    Held(HeldId),
    /// It was dropped at once, because it alone is larger than all that may be held.
    Dropped,
}

/// What became of all records so far:
/// `pushed = kept + released + held + window_passed + held_too_much + unreadable`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SampleCounts {
    /// Handed to the sink at once.
    pub kept: u64,
    /// Handed to the sink after they were held.
    pub released: u64,
    /// Dropped, because no error came in time.
    pub window_passed: u64,
    /// Dropped early, because too much was held.
    pub held_too_much: u64,
    /// Held records that could not be read back. Always 0, unless the saved state was changed from outside.
    pub unreadable: u64,
}

/// A record that waits.
#[derive(Clone, Debug)]
struct Held {
    /// When it was held, by the sampler's clock, in ns.
    at: u64,
    correlation: Arc<str>,
    /// The record as an OTLP request of its own.
    body: Bytes,
}

impl Held {
    fn bytes(&self) -> usize {
        self.body.len() + self.correlation.len() + HELD_OVERHEAD_BYTES
    }
}

/// Holds and keeps the records of one agent.
#[derive(Debug)]
pub struct Sampler {
    settings: SampleSettings,
    window: u64,
    clock: Clock,
    next_id: u64,
    held: BTreeMap<HeldId, Held>,
    held_bytes: usize,
    /// The held records of each correlation, oldest first.
    correlations: HashMap<Arc<str>, VecDeque<HeldId>>,
    kept_ids: KeptIds,
    counts: SampleCounts,
    /// Held records from here on were in no changes yet.
    unsaved_from: u64,
    /// Held records that were in changes, and have gone since; at most as much as was held.
    gone: BTreeMap<HeldId, Held>,
    /// What was the state when changes were taken last.
    saved: State,
}

impl Sampler {
    /// Holds nothing yet.
    ///
    /// # Errors
    /// [`ProcessError::Range`] for a ratio outside of 0 to 1, a window of nothing or more than an hour, more than 1 GiB.
    pub fn new(settings: SampleSettings) -> Result<Self, ProcessError> {
        let wrong = |key, value: String, wanted| Err(ProcessError::Range { key, value, wanted });
        if !(0.0..=1.0).contains(&settings.keep_ratio) {
            return wrong("keep_ratio", settings.keep_ratio.to_string(), "from 0 to 1");
        }
        if settings.window.is_zero() || settings.window > Duration::from_secs(3_600) {
            let value = format!("{:?}", settings.window);
            return wrong("window", value, "above 0 and at most an hour");
        }
        if settings.held_bytes_max > HELD_BYTES_LIMIT {
            let value = settings.held_bytes_max.to_string();
            return wrong("held_bytes_max", value, "at most 1 GiB");
        }
        Ok(Self {
            settings,
            window: u64::try_from(settings.window.as_nanos()).unwrap_or(u64::MAX),
            clock: Clock::default(),
            next_id: 0,
            held: BTreeMap::new(),
            held_bytes: 0,
            correlations: HashMap::new(),
            kept_ids: KeptIds::default(),
            counts: SampleCounts::default(),
            unsaved_from: 0,
            gone: BTreeMap::new(),
            saved: State::default(),
        })
    }

    /// Decides about a record. `sink` gets what is kept: first what was held of its correlation, then the record.
    /// `now` is the wall clock.
    pub fn push(
        &mut self,
        record: &RecordRef<'_>,
        now: Timestamp,
        mut sink: impl FnMut(&RecordRef<'_>),
    ) -> Sampled {
        self.expire(now);
        let hex;
        let id = record.correlation_id.filter(|id| id.len() <= CORRELATION_ID_BYTES_MAX);
        let correlation = match (id, record.trace_id) {
            (Some(id), _) => id,
            (None, Some(id)) => {
                hex = id.to_string();
                &hex
            }
            (None, None) => return self.keep(record, sink),
        };
        let hash = stable_hash(correlation.as_bytes());
        if share_of_hash(hash) < self.settings.keep_ratio {
            return self.keep(record, sink);
        }
        if record.severity.number() >= *Level::Error.numbers().start() {
            self.release(correlation, &mut sink);
            self.kept_ids.keep(hash, self.clock.nanos.saturating_add(self.window));
            return self.keep(record, sink);
        }
        if self.kept_ids.contains(hash) {
            return self.keep(record, sink);
        }
        self.hold(correlation, record)
    }

    /// Drops what has waited for a window. [`Sampler::push`] does it too; this is for times without records.
    pub fn expire(&mut self, now: Timestamp) {
        let nanos = self.clock.read(now);
        self.kept_ids.expire(nanos);
        while let Some(oldest) = self.held.first_entry()
            && nanos.saturating_sub(oldest.get().at) >= self.window
        {
            let id = *oldest.key();
            let correlation = Arc::clone(&oldest.get().correlation);
            self.forget(id);
            if let Some(ids) = self.correlations.get_mut(&correlation) {
                ids.pop_front();
                if ids.is_empty() {
                    self.correlations.remove(&correlation);
                }
            }
            self.counts.window_passed += 1;
        }
    }

    /// What became of all records so far, also before the last start.
    pub fn counts(&self) -> SampleCounts {
        self.counts
    }

    /// How many records are held.
    pub fn held(&self) -> usize {
        self.held.len()
    }

    /// What they take in memory, in bytes.
    pub fn held_bytes(&self) -> usize {
        self.held_bytes
    }

    fn keep(&mut self, record: &RecordRef<'_>, mut sink: impl FnMut(&RecordRef<'_>)) -> Sampled {
        sink(record);
        self.counts.kept += 1;
        Sampled::Kept
    }

    fn hold(&mut self, correlation: &str, record: &RecordRef<'_>) -> Sampled {
        let held = Held {
            at: self.clock.nanos,
            correlation: match self.correlations.get_key_value(correlation) {
                Some((known, _)) => Arc::clone(known),
                None => correlation.into(),
            },
            body: wire::encode_otlp([record]).into(),
        };
        if held.bytes() > self.settings.held_bytes_max {
            self.counts.held_too_much += 1;
            return Sampled::Dropped;
        }
        while self.held_bytes + held.bytes() > self.settings.held_bytes_max && self.drop_oldest() {}
        let id = HeldId(self.next_id);
        self.insert(id, held);
        Sampled::Held(id)
    }

    /// Drops the correlation that holds the oldest record; false if nothing is held.
    fn drop_oldest(&mut self) -> bool {
        let Some((_, oldest)) = self.held.first_key_value() else { return false };
        let correlation = Arc::clone(&oldest.correlation);
        for id in self.correlations.remove(&correlation).unwrap_or_default() {
            self.forget(id);
            self.counts.held_too_much += 1;
        }
        true
    }

    fn release(&mut self, correlation: &str, sink: &mut impl FnMut(&RecordRef<'_>)) {
        for id in self.correlations.remove(correlation).unwrap_or_default() {
            let Some(held) = self.forget(id) else { continue };
            let limits = Limits { decoded_bytes_max: usize::MAX, ..Limits::default() };
            let mut read = 0;
            let decoded = wire::decode(
                Format::OtlpProtobuf,
                &held.body,
                Timestamp::default(),
                &limits,
                &mut |record| {
                    read += 1;
                    sink(record);
                },
            );
            match (decoded, read) {
                (Ok(_), 1) => self.counts.released += 1,
                _ => self.counts.unreadable += 1,
            }
        }
    }

    fn insert(&mut self, id: HeldId, held: Held) {
        self.next_id = self.next_id.max(id.0.saturating_add(1));
        self.held_bytes += held.bytes();
        self.correlations.entry(Arc::clone(&held.correlation)).or_default().push_back(id);
        self.held.insert(id, held);
    }

    /// Takes a record out of the held ones, but not out of its correlation.
    fn forget(&mut self, id: HeldId) -> Option<Held> {
        let held = self.held.remove(&id)?;
        self.held_bytes -= held.bytes();
        if id.0 < self.unsaved_from {
            self.gone.insert(id, held.clone());
        }
        Some(held)
    }
}

/// Counts how far the wall clock moves on.
#[derive(Debug, Default)]
struct Clock {
    nanos: u64,
    read_at: Option<Timestamp>,
}

impl Clock {
    fn read(&mut self, now: Timestamp) -> u64 {
        let before = self.read_at.replace(now).unwrap_or(now);
        let moved = now.0.saturating_sub(before.0).max(0).unsigned_abs();
        self.nanos = self.nanos.saturating_add(moved);
        self.nanos
    }
}

/// Where a correlation stands between 0 and 1; it is kept if that is below [`SampleSettings::keep_ratio`].
///
/// FNV-1a of 64 bits over the bytes of the id, mixed by the last step of MurmurHash3, and the upper 53 bits of that
/// as a fraction. It must be the same for ever, in all versions of all agents: an id that is kept in one place
/// must be kept in all. A trace id is hashed as 32 lower-case hex digits.
pub fn share_of(id: &str) -> f64 {
    share_of_hash(stable_hash(id.as_bytes()))
}

fn share_of_hash(hash: u64) -> f64 {
    (hash >> 11) as f64 / (1_u64 << 53) as f64
}

fn stable_hash(bytes: &[u8]) -> u64 {
    let fnv = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
    let mut hash = bytes.iter().fold(0xcbf2_9ce4_8422_2325, fnv);
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    hash ^ (hash >> 33)
}

#[cfg(test)]
mod tests;
