//! Which named batches were accepted: the other half of "nothing is doubled".
//!
//! Per (tenant, agent, epoch) it keeps the first sequence number not yet accepted, the accepted ones above
//! it, and checksums of the last [`CHECKSUMS_KEPT`] batches. A batch seen before with the same bytes is a
//! duplicate; with other bytes, or too old to compare, it is a conflict. The state is written in the
//! catalog transaction of each flush; between flushes the journal has it.

use std::collections::{BTreeSet, HashMap, VecDeque};

use record::Timestamp;
use serde::{Deserialize, Serialize};
use wire::BatchName;

use crate::error::{Result, StoreError};

/// Batches of an agent whose content can still be compared.
pub(crate) const CHECKSUMS_KEPT: usize = 1_024;
/// Batches of an agent that may be accepted ahead of a missing one.
pub(crate) const AHEAD_MAX: usize = 1_024;
/// An agent not heard of for this long is forgotten.
const FORGET_AFTER_NS: i64 = 30 * record::NANOS_PER_DAY;

/// Who names batches: one sequence of numbers.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(crate) struct Sender {
    /// Whose records.
    pub tenant: String,
    /// The agent's id.
    pub agent: String,
    /// The life of its spool.
    pub epoch: String,
}

/// What is known of a sender's batches.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SenderState {
    /// Every batch below was accepted or given up.
    pub next: u64,
    /// Accepted ones at or above `next`.
    pub ahead: BTreeSet<u64>,
    /// Batches that the sender gave up: it moved its mark over them.
    pub lost: u64,
    /// When the last one was received, ns.
    pub last_received_at: i64,
    /// (sequence, checksum) of the last batches, oldest first.
    pub(crate) checksums: VecDeque<(u64, u64)>,
}

/// What to do with a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    New,
    Duplicate,
}

/// All senders.
#[derive(Clone, Debug, Default)]
pub(crate) struct Dedup {
    senders: HashMap<Sender, SenderState>,
    /// Senders changed since the last [`Dedup::take_changed`].
    changed: BTreeSet<Sender>,
}

/// Checksum of a batch's bytes as they were received.
pub(crate) fn checksum(payload: &[u8]) -> u64 {
    twox_hash::XxHash3_64::oneshot(payload)
}

impl Dedup {
    pub(crate) fn restore(senders: impl IntoIterator<Item = (Sender, SenderState)>) -> Self {
        Self { senders: senders.into_iter().collect(), changed: BTreeSet::new() }
    }

    pub(crate) fn state(&self, sender: &Sender) -> Option<&SenderState> {
        self.senders.get(sender)
    }

    pub(crate) fn senders(&self) -> impl Iterator<Item = (&Sender, &SenderState)> {
        self.senders.iter()
    }

    /// Puts a state back, after a group that could not be written.
    pub(crate) fn put_back(&mut self, sender: Sender, state: Option<SenderState>) {
        match state {
            Some(state) => self.senders.insert(sender, state),
            None => self.senders.remove(&sender),
        };
    }

    /// Checks a batch and, if it is new, marks it accepted.
    ///
    /// # Errors
    /// [`StoreError::Conflict`], [`StoreError::TooFarAhead`].
    pub(crate) fn accept(
        &mut self,
        sender: &Sender,
        name: &BatchName,
        checksum: u64,
        received_at: Timestamp,
    ) -> Result<Verdict> {
        let state = self.senders.entry(sender.clone()).or_default();
        self.changed.insert(sender.clone());
        state.last_received_at = state.last_received_at.max(received_at.0);
        if let Some(first) = name.first_unacknowledged {
            state.move_mark(first.min(name.sequence));
        }
        if name.sequence < state.next || state.ahead.contains(&name.sequence) {
            let conflict = |detail| StoreError::Conflict {
                agent: sender.agent.clone(),
                sequence: name.sequence,
                detail,
            };
            return match state
                .checksums
                .iter()
                .rev()
                .find(|(sequence, _)| *sequence == name.sequence)
            {
                Some((_, known)) if *known == checksum => Ok(Verdict::Duplicate),
                Some(_) => Err(conflict("it was accepted before with other content")),
                None => Err(conflict("it is older than what can still be compared")),
            };
        }
        if name.sequence > state.next && state.ahead.len() >= AHEAD_MAX {
            return Err(StoreError::TooFarAhead {
                agent: sender.agent.clone(),
                sequence: name.sequence,
            });
        }
        state.ahead.insert(name.sequence);
        state.absorb();
        state.checksums.push_back((name.sequence, checksum));
        if state.checksums.len() > CHECKSUMS_KEPT {
            state.checksums.pop_front();
        }
        Ok(Verdict::New)
    }

    /// The senders changed since the last call, and those that are forgotten now.
    pub(crate) fn take_changed(
        &mut self,
        now: Timestamp,
    ) -> (Vec<(Sender, SenderState)>, Vec<Sender>) {
        let old: Vec<Sender> = self
            .senders
            .iter()
            .filter(|(_, state)| state.last_received_at < now.0.saturating_sub(FORGET_AFTER_NS))
            .map(|(sender, _)| sender.clone())
            .collect();
        for sender in &old {
            self.senders.remove(sender);
        }
        let changed = std::mem::take(&mut self.changed);
        let changed = changed
            .into_iter()
            .filter_map(|sender| Some((sender.clone(), self.senders.get(&sender)?.clone())))
            .collect();
        (changed, old)
    }
}

impl SenderState {
    /// Everything below `first` is settled for the sender; what we never saw of it is lost.
    fn move_mark(&mut self, first: u64) {
        if first <= self.next {
            return;
        }
        let kept = self.ahead.split_off(&first);
        self.lost += first - self.next - self.ahead.len() as u64;
        self.ahead = kept;
        self.next = first;
        self.absorb();
    }

    fn absorb(&mut self) {
        while self.ahead.remove(&self.next) {
            self.next += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sender() -> Sender {
        Sender { tenant: "default".into(), agent: "a".into(), epoch: "e".into() }
    }

    fn accept(
        dedup: &mut Dedup,
        sequence: u64,
        first: Option<u64>,
        content: u64,
    ) -> Result<Verdict> {
        let name = BatchName {
            agent: "a".into(),
            epoch: "e".into(),
            sequence,
            first_unacknowledged: first,
        };
        dedup.accept(&sender(), &name, content, Timestamp(1))
    }

    #[test]
    fn a_batch_is_new_once_and_a_duplicate_after() {
        let mut dedup = Dedup::default();
        for sequence in [0, 1, 5, 3] {
            assert_eq!(accept(&mut dedup, sequence, None, sequence).unwrap(), Verdict::New);
            assert_eq!(accept(&mut dedup, sequence, None, sequence).unwrap(), Verdict::Duplicate);
        }
        let state = dedup.state(&sender()).unwrap();
        assert_eq!((state.next, state.ahead.len()), (2, 2));
    }

    #[test]
    fn other_content_under_the_same_name_is_a_conflict() {
        let mut dedup = Dedup::default();
        accept(&mut dedup, 0, None, 7).unwrap();
        assert!(matches!(accept(&mut dedup, 0, None, 8), Err(StoreError::Conflict { .. })));
    }

    #[test]
    fn a_batch_too_old_to_compare_is_a_conflict_and_never_dropped_silently() {
        let mut dedup = Dedup::default();
        for sequence in 0..=CHECKSUMS_KEPT as u64 {
            accept(&mut dedup, sequence, None, 0).unwrap();
        }
        assert!(matches!(accept(&mut dedup, 0, None, 0), Err(StoreError::Conflict { .. })));
        assert_eq!(accept(&mut dedup, 1, None, 0).unwrap(), Verdict::Duplicate);
    }

    #[test]
    fn the_mark_moves_over_gaps_and_calls_them_lost() {
        let mut dedup = Dedup::default();
        accept(&mut dedup, 0, Some(0), 0).unwrap();
        accept(&mut dedup, 4, Some(0), 0).unwrap();
        accept(&mut dedup, 6, Some(5), 0).unwrap();
        let state = dedup.state(&sender()).unwrap();
        assert_eq!((state.next, state.lost), (5, 3));
        assert!(matches!(accept(&mut dedup, 2, None, 0), Err(StoreError::Conflict { .. })));
    }

    #[test]
    fn too_many_ahead_of_a_missing_one_are_refused_but_the_missing_one_is_taken() {
        let mut dedup = Dedup::default();
        for sequence in 1..=AHEAD_MAX as u64 {
            accept(&mut dedup, sequence, None, 0).unwrap();
        }
        assert!(matches!(
            accept(&mut dedup, AHEAD_MAX as u64 + 1, None, 0),
            Err(StoreError::TooFarAhead { .. })
        ));
        assert_eq!(accept(&mut dedup, 0, None, 0).unwrap(), Verdict::New);
        assert_eq!(dedup.state(&sender()).unwrap().next, AHEAD_MAX as u64 + 1);
    }
}
