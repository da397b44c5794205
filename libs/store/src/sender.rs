//! What is known of those who name batches: of a sender (one epoch of an agent) in detail, of an agent in sums.
//!
//! A sender's state is made by the batches that were accepted and by nothing else, so that the journal can
//! make it again. It is kept in the catalog as JSON; members that came later have defaults.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde::{Deserialize, Serialize};

/// Batches of a sender whose content can still be compared.
pub(crate) const CHECKSUMS_KEPT: usize = 1_024;
/// Batches of a sender that may be accepted ahead of a missing one.
pub(crate) const AHEAD_MAX: usize = 1_024;
/// Retired epochs of an agent whose names are remembered.
pub(crate) const RETIRED_MAX: usize = 1_024;

/// Who names batches: one sequence of numbers.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(crate) struct Sender {
    /// Whose records.
    pub(crate) tenant: String,
    /// The agent's id.
    pub(crate) agent: String,
    /// The life of its spool.
    pub(crate) epoch: String,
}

/// All epochs of one agent.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(crate) struct Agent {
    /// Whose records.
    pub(crate) tenant: String,
    /// The agent's id.
    pub(crate) agent: String,
}

impl Sender {
    pub(crate) fn of_agent(&self) -> Agent {
        Agent { tenant: self.tenant.clone(), agent: self.agent.clone() }
    }
}

/// What was accepted from a sender or an agent, since the data folder was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SenderAccount {
    /// Records in accepted batches; a batch that came twice counts once.
    pub records_accepted: u64,
    /// Accepted batches, those without records too.
    pub batches_accepted: u64,
    /// Batches that the sender calls settled and that were never seen here.
    pub lost_batches: u64,
}

impl SenderAccount {
    /// Adds another account; sums stop at the largest number, since anybody can claim to have lost any number.
    pub(crate) fn add(&mut self, other: SenderAccount) {
        self.records_accepted = self.records_accepted.saturating_add(other.records_accepted);
        self.batches_accepted = self.batches_accepted.saturating_add(other.batches_accepted);
        self.lost_batches = self.lost_batches.saturating_add(other.lost_batches);
    }
}

/// What is known of a sender's batches.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SenderState {
    /// Every batch below was accepted, or is lost.
    pub(crate) next: u64,
    /// Accepted ones at or above `next`.
    pub(crate) ahead: BTreeSet<u64>,
    /// Batches that were never seen here when the sender moved its mark over them.
    pub(crate) lost: u64,
    /// When it was last heard of, ns.
    pub(crate) last_received_at: i64,
    /// (sequence, checksum) of the last batches, oldest first.
    pub(crate) checksums: VecDeque<(u64, u64)>,
    /// Records in accepted batches.
    #[serde(default)]
    pub(crate) records_accepted: u64,
    /// Accepted batches.
    #[serde(default)]
    pub(crate) batches_accepted: u64,
    /// The last batch that moved the mark over a gap, and how many were lost in it: told again with a duplicate,
    /// because the answer that told it first may not have arrived.
    #[serde(default)]
    pub(crate) last_gap: Option<(u64, u64)>,
}

/// A batch, as its name and its bytes tell it apart from others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Claim {
    pub(crate) sequence: u64,
    /// Everything below is settled for the sender; at most `sequence`.
    pub(crate) first_unacknowledged: u64,
    pub(crate) checksum: u64,
    pub(crate) records: u32,
}

/// How a batch stands to those that were accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    New,
    Duplicate,
    OtherContent,
    TooOldToCompare,
    TooFarAhead,
}

impl SenderState {
    pub(crate) fn account(&self) -> SenderAccount {
        SenderAccount {
            records_accepted: self.records_accepted,
            batches_accepted: self.batches_accepted,
            lost_batches: self.lost,
        }
    }

    pub(crate) fn standing(&self, batch: Claim) -> Standing {
        let Claim { sequence, first_unacknowledged, .. } = batch;
        if sequence < self.next || self.ahead.contains(&sequence) {
            let known = self.checksums.iter().rev().find(|(known, _)| *known == sequence);
            return match known {
                Some((_, checksum)) if *checksum == batch.checksum => Standing::Duplicate,
                Some(_) => Standing::OtherContent,
                None => Standing::TooOldToCompare,
            };
        }
        if self.ahead.len() >= AHEAD_MAX {
            let next = self.absorbed_from(self.next.max(first_unacknowledged));
            if sequence > next && self.ahead.range(next..).count() >= AHEAD_MAX {
                return Standing::TooFarAhead;
            }
        }
        Standing::New
    }

    /// Takes a batch in, whatever its standing; gives the number of batches lost in a gap before it.
    pub(crate) fn enter(&mut self, batch: Claim) -> u64 {
        let lost = self.move_mark(batch.first_unacknowledged);
        if lost > 0 {
            self.lost = self.lost.saturating_add(lost);
            self.last_gap = Some((batch.sequence, lost));
        }
        if batch.sequence >= self.next {
            self.ahead.insert(batch.sequence);
            self.absorb();
        }
        self.checksums.push_back((batch.sequence, batch.checksum));
        if self.checksums.len() > CHECKSUMS_KEPT {
            self.checksums.pop_front();
        }
        self.records_accepted += u64::from(batch.records);
        self.batches_accepted += 1;
        lost
    }

    /// What was lost in the gap that this batch told of, if it was the last to tell of one.
    pub(crate) fn lost_before(&self, sequence: u64) -> u64 {
        self.last_gap.filter(|(told_by, _)| *told_by == sequence).map_or(0, |(_, lost)| lost)
    }

    /// Everything below `first` is settled for the sender; what was never seen of it is lost.
    fn move_mark(&mut self, first: u64) -> u64 {
        if first <= self.next {
            return 0;
        }
        let kept = self.ahead.split_off(&first);
        let lost = first - self.next - self.ahead.len() as u64;
        self.ahead = kept;
        self.next = first;
        self.absorb();
        lost
    }

    fn absorb(&mut self) {
        let next = self.absorbed_from(self.next);
        self.ahead = self.ahead.split_off(&next);
        self.next = next;
    }

    /// The first sequence from `next` on that was not accepted. The highest number of all has none after it.
    fn absorbed_from(&self, next: u64) -> u64 {
        let run = self.ahead.range(next..).zip(next..u64::MAX);
        next + run.take_while(|(accepted, expected)| *accepted == expected).count() as u64
    }
}

/// What is left of an agent's epochs that are no longer kept in detail.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct AgentState {
    /// How many.
    pub(crate) epochs: u64,
    /// Their sums.
    pub(crate) account: SenderAccount,
    /// Hashes of the names of the last ones, oldest first: their batches can no longer be compared.
    pub(crate) retired: VecDeque<u64>,
}

impl AgentState {
    pub(crate) fn retire(&mut self, epoch: &str, account: SenderAccount) {
        self.epochs += 1;
        self.account.add(account);
        self.retired.push_back(hash(epoch));
        if self.retired.len() > RETIRED_MAX {
            self.retired.pop_front();
        }
    }

    pub(crate) fn has_retired(&self, epoch: &str) -> bool {
        self.retired.contains(&hash(epoch))
    }
}

fn hash(epoch: &str) -> u64 {
    twox_hash::XxHash3_64::oneshot(epoch.as_bytes())
}

/// What is left of agents of which nothing is kept in detail.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Forgotten {
    /// How many senders.
    pub(crate) senders: u64,
    /// Their sums.
    pub(crate) account: SenderAccount,
}

/// What changed of senders and agents; `None` is gone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct SenderChange {
    pub(crate) senders: BTreeMap<Sender, Option<SenderState>>,
    pub(crate) agents: BTreeMap<Agent, Option<AgentState>>,
    /// All that was ever forgotten.
    pub(crate) forgotten: Forgotten,
}

impl SenderChange {
    /// Both changes, one after the other, as one.
    pub(crate) fn then(mut self, newer: SenderChange) -> SenderChange {
        self.senders.extend(newer.senders);
        self.agents.extend(newer.agents);
        SenderChange { forgotten: newer.forgotten, ..self }
    }
}
