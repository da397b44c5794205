//! What of the sampler is written down: the changes since the last time, or all of it.
//!
//! Both are of one form; a checkpoint begins with [`WHOLE`], which forgets what was before. All integers are
//! little-endian. The writer's medium guards against damage; here only lengths are checked.
//!
//! ```text
//! 1        version, 1
//! then pieces, each:
//! 1        kind
//!   1 whole:  nothing
//!   2 held:   8 id · 8 at (ns of the sampler's clock) · 2 length, correlation · 4 length, record (OTLP request)
//!   3 gone:   8 id
//!   4 kept:   8 hash of the id · 8 until (ns of the sampler's clock)
//!   5 state:  8 clock (ns) · 8 next id · 5 × 8 counts, in the order of SampleCounts
//! ```
//!
//! Counts and clock are written whole, not as differences, so that changes that a checkpoint has already may be
//! replayed once more.

use std::collections::BTreeMap;

use bytes::Bytes;
use record::CORRELATION_ID_BYTES_MAX;

use super::{Clock, Held, HeldId, SampleCounts, SampleSettings, Sampler};
use crate::process::ProcessError;

const VERSION: u8 = 1;
const WHOLE: u8 = 1;
const HELD: u8 = 2;
const GONE: u8 = 3;
const KEPT: u8 = 4;
const STATE: u8 = 5;

/// The numbers of a sampler.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct State {
    nanos: u64,
    next_id: u64,
    counts: SampleCounts,
}

/// What changed in a sampler since its changes were taken last.
#[derive(Clone, Debug)]
pub struct SampleChanges {
    held: Vec<(HeldId, Held)>,
    gone: Vec<(HeldId, Held)>,
    kept: Vec<(u64, u64)>,
    before: State,
    after: State,
}

impl SampleChanges {
    /// Records that are held and were not at the last time.
    pub fn held(&self) -> impl Iterator<Item = HeldId> {
        self.held.iter().map(|(id, _)| *id)
    }

    /// Records that were held at the last time, and have been released or dropped since.
    pub fn gone(&self) -> impl Iterator<Item = HeldId> {
        self.gone.iter().map(|(id, _)| *id)
    }

    /// What became of all records so far.
    pub fn counts(&self) -> SampleCounts {
        self.after.counts
    }

    /// The bytes to be written down, as [`Sampler::replay`] reads them.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = vec![VERSION];
        push_state(&mut out, &self.after);
        self.gone.iter().for_each(|(id, _)| push(&mut out, GONE, &[id.0]));
        push_kept(&mut out, &self.kept);
        self.held.iter().for_each(|(id, held)| push_held(&mut out, *id, held));
        out
    }
}

fn push(out: &mut Vec<u8>, kind: u8, numbers: &[u64]) {
    out.push(kind);
    numbers.iter().for_each(|number| out.extend(number.to_le_bytes()));
}

fn push_state(out: &mut Vec<u8>, state: &State) {
    let SampleCounts { kept, released, window_passed, held_too_much, unreadable } = state.counts;
    let counts = [kept, released, window_passed, held_too_much, unreadable];
    push(out, STATE, &[state.nanos, state.next_id]);
    counts.iter().for_each(|count| out.extend(count.to_le_bytes()));
}

fn push_kept(out: &mut Vec<u8>, kept: &[(u64, u64)]) {
    kept.iter().for_each(|(hash, until)| push(out, KEPT, &[*hash, *until]));
}

fn push_held(out: &mut Vec<u8>, id: HeldId, held: &Held) {
    push(out, HELD, &[id.0, held.at]);
    let correlation = held.correlation.as_bytes();
    out.extend((correlation.len() as u16).to_le_bytes());
    out.extend(correlation);
    out.extend((held.body.len() as u32).to_le_bytes());
    out.extend(&held.body);
}

impl Sampler {
    /// What changed since the last call, to be written down with the batch and the positions it belongs to. If it
    /// is not written in the end, the sampler must be made anew from what was.
    pub fn take_changes(&mut self) -> SampleChanges {
        let unsaved = HeldId(self.unsaved_from)..;
        let after = self.state();
        let changes = SampleChanges {
            held: self.held.range(unsaved).map(|(id, held)| (*id, held.clone())).collect(),
            gone: std::mem::take(&mut self.gone).into_iter().collect(),
            kept: self.kept_ids.take_unsaved(),
            before: self.saved,
            after,
        };
        self.unsaved_from = self.next_id;
        self.saved = after;
        changes
    }

    /// Whether records were held, released or dropped since the last call of [`Sampler::take_changes`].
    pub fn has_changes(&self) -> bool {
        let ends =
            |counts: &SampleCounts| (counts.window_passed, counts.held_too_much, counts.unreadable);
        self.unsaved_from != self.next_id
            || !self.gone.is_empty()
            || ends(&self.counts) != ends(&self.saved.counts)
    }

    /// The whole state as it is now.
    pub fn checkpoint(&self) -> Vec<u8> {
        let held = self.held.iter().map(|(id, held)| (*id, held));
        self.whole(&self.state(), held)
    }

    /// The whole state as it was before `changes`, which must be those that were taken last, nothing having been
    /// pushed since: for a log that begins anew just when they are to be written. Only the ids that are kept for
    /// their errors are those of now.
    pub fn checkpoint_before(&self, changes: &SampleChanges) -> Vec<u8> {
        let unsaved = changes.held.first().map_or(HeldId(u64::MAX), |(id, _)| *id);
        let mut held: BTreeMap<HeldId, &Held> =
            self.held.range(..unsaved).map(|(id, held)| (*id, held)).collect();
        held.extend(changes.gone.iter().map(|(id, held)| (*id, held)));
        self.whole(&changes.before, held.into_iter())
    }

    fn whole<'h>(&self, state: &State, held: impl Iterator<Item = (HeldId, &'h Held)>) -> Vec<u8> {
        let mut out = vec![VERSION, WHOLE];
        push_state(&mut out, state);
        push_kept(&mut out, &self.kept_ids.all());
        held.for_each(|(id, held)| push_held(&mut out, id, held));
        out
    }

    /// A sampler in the state of this checkpoint.
    ///
    /// # Errors
    /// As [`Sampler::new`] and [`Sampler::replay`].
    pub fn restore(settings: SampleSettings, checkpoint: &[u8]) -> Result<Self, ProcessError> {
        let mut sampler = Self::new(settings)?;
        sampler.replay(checkpoint)?;
        Ok(sampler)
    }

    /// Repeats changes, or goes to the state of a checkpoint.
    ///
    /// # Errors
    /// [`ProcessError::SavedState`] if these are no such bytes; the sampler is to be thrown away then.
    pub fn replay(&mut self, saved: &[u8]) -> Result<(), ProcessError> {
        let mut reading = Reading { saved, at: 0 };
        if reading.byte()? != VERSION {
            return Err(reading.wrong("the version is not known"));
        }
        while reading.at < saved.len() {
            match reading.byte()? {
                WHOLE => *self = Self::new(self.settings)?,
                HELD => self.replay_held(&mut reading)?,
                GONE => self.replay_gone(HeldId(reading.number()?)),
                KEPT => {
                    let (hash, until) = (reading.number()?, reading.number()?);
                    self.kept_ids.keep(hash, until.min(self.clock.nanos + self.window));
                }
                STATE => {
                    self.clock = Clock { nanos: reading.counter()?, read_at: None };
                    self.next_id = self.next_id.max(reading.counter()?);
                    self.counts = SampleCounts {
                        kept: reading.counter()?,
                        released: reading.counter()?,
                        window_passed: reading.counter()?,
                        held_too_much: reading.counter()?,
                        unreadable: reading.counter()?,
                    };
                }
                _ => return Err(reading.wrong("a piece of this kind is not known")),
            }
        }
        self.kept_ids.take_unsaved();
        self.unsaved_from = self.next_id;
        self.gone.clear();
        self.saved = self.state();
        Ok(())
    }

    fn state(&self) -> State {
        State { nanos: self.clock.nanos, next_id: self.next_id, counts: self.counts }
    }

    fn replay_held(&mut self, reading: &mut Reading<'_>) -> Result<(), ProcessError> {
        let (id, at) = (HeldId(reading.counter()?), reading.number()?);
        // What was held later than now would be held too long.
        let at = at.min(self.clock.nanos);
        let length = usize::from(u16::from_le_bytes(reading.array()?));
        if length > CORRELATION_ID_BYTES_MAX {
            return Err(reading.wrong("the correlation id is too long"));
        }
        let correlation = std::str::from_utf8(reading.bytes(length)?);
        let correlation =
            correlation.map_err(|_| reading.wrong("the correlation id is no text"))?;
        let length = u32::from_le_bytes(reading.array()?);
        let body = Bytes::copy_from_slice(reading.bytes(length as usize)?);
        if self.held.contains_key(&id) {
            return Ok(());
        }
        // Ids ascend, so the oldest record is the first one.
        if self.held.last_key_value().is_some_and(|(last, _)| *last > id) {
            return Err(reading.wrong("held records are not in their order"));
        }
        let known = self.correlations.get_key_value(correlation);
        let correlation = known.map_or_else(|| correlation.into(), |(known, _)| known.clone());
        self.insert(id, Held { at, correlation, body });
        Ok(())
    }

    fn replay_gone(&mut self, id: HeldId) {
        let Some(held) = self.forget(id) else { return };
        if let Some(ids) = self.correlations.get_mut(&held.correlation) {
            ids.retain(|other| *other != id);
            if ids.is_empty() {
                self.correlations.remove(&held.correlation);
            }
        }
    }
}

struct Reading<'a> {
    saved: &'a [u8],
    at: usize,
}

impl<'a> Reading<'a> {
    fn bytes(&mut self, length: usize) -> Result<&'a [u8], ProcessError> {
        let rest = &self.saved[self.at..];
        let bytes = rest.get(..length).ok_or_else(|| self.wrong("it ends in the middle"))?;
        self.at += length;
        Ok(bytes)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], ProcessError> {
        let bytes = self.bytes(N)?;
        Ok(bytes.try_into().expect("it is as long as was asked"))
    }

    fn byte(&mut self) -> Result<u8, ProcessError> {
        Ok(self.array::<1>()?[0])
    }

    fn number(&mut self) -> Result<u64, ProcessError> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    /// A number that can be counted on from.
    fn counter(&mut self) -> Result<u64, ProcessError> {
        let number = self.number()?;
        if number > u64::MAX / 2 { Err(self.wrong("a number is too large")) } else { Ok(number) }
    }

    fn wrong(&self, reason: &'static str) -> ProcessError {
        ProcessError::SavedState { at: self.at, reason }
    }
}
