//! What agent and store say of the same records, and where the two do not fit.
//!
//! An agent's own counts must balance. Across, for one epoch: what was acknowledged is in the store, and what
//! the store has beyond that is still spooled, its acknowledgement being on the way. Both sides count while the
//! heartbeat travels, so each is compared with the moment that makes the comparison certain: nothing may be
//! missing that was acknowledged when the heartbeat was written, by what the store had when it arrived; and
//! nothing may be too much by what the store had when the heartbeat before arrived, which was earlier than this
//! one was written.

use std::fmt;

use serde::{Deserialize, Serialize};
use store::SenderAccount;

use super::heartbeat::{Heartbeat, Rfc3339};

/// The answer of `GET /api/v1/agents`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgentList {
    /// No agent holds anything older that is to come, by the collector's clock.
    pub watermark: Rfc3339,
    /// By tenant and id.
    pub agents: Vec<AgentStatus>,
}

/// An agent as it was last heard of, and what the store has of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgentStatus {
    /// Whose records.
    pub tenant: String,
    /// What it said.
    #[serde(flatten)]
    pub heartbeat: Heartbeat,
    /// When it said so.
    pub heard_ago_ms: u64,
    /// It was not heard of for 30 s, and is not judged.
    pub silent: bool,
    /// By how much its clock is ahead of the collector's, less the time that the heartbeat took.
    pub clock_ahead_ms: i64,
    /// What the store has of its epoch now.
    pub store: SenderAccount,
    /// What the store had of its epoch when the heartbeat came.
    pub store_at_heartbeat: SenderAccount,
    /// Records that the store had of its epoch when the heartbeat before came; 0 if there was none.
    pub records_before_heartbeat: u64,
    /// What the store had of all its epochs when the heartbeat came.
    pub store_all_epochs: SenderAccount,
    /// Too many newer epochs of it are known, so that what the store has of this one cannot be told.
    pub epoch_retired: bool,
    /// What does not add up, a sentence each.
    pub faults: Vec<String>,
}

/// What does not add up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum AgentFault {
    /// What went in is not what came out or is still there.
    Unbalanced { taken: u128, accounted: u128 },
    /// The store has less than was acknowledged.
    Lost { epoch: String, acknowledged: u64, stored: u64 },
    /// The store has more than was acknowledged and may be on its way to be.
    Surplus { epoch: String, acknowledged: u64, spooled: u64, stored: u64 },
}

impl fmt::Display for AgentFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unbalanced { taken, accounted } => {
                let what = if taken > accounted { "are missing" } else { "are there too often" };
                write!(
                    f,
                    "read + reported is {taken}, filtered + dropped + dead-lettered + held + spooled + \
                     acknowledged is {accounted}: {} records {what}",
                    taken.abs_diff(*accounted)
                )
            }
            Self::Lost { epoch, acknowledged, stored } => write!(
                f,
                "{acknowledged} records of epoch {epoch} were acknowledged, the store has {stored}: {} records \
                 are LOST",
                acknowledged - stored
            ),
            Self::Surplus { epoch, acknowledged, spooled, stored } => write!(
                f,
                "the store has {stored} records of epoch {epoch}, {acknowledged} were acknowledged and {spooled} \
                 are spooled: {} records are there too often",
                stored - acknowledged - spooled
            ),
        }
    }
}

/// What does not add up in a heartbeat, by what the store had of its epoch when it came and when the one before came.
pub(crate) fn faults(heartbeat: &Heartbeat, stored: u64, stored_before: u64) -> Vec<AgentFault> {
    let ledger = &heartbeat.ledger;
    let sum = |counts: &[u64]| counts.iter().map(|count| u128::from(*count)).sum::<u128>();
    let taken = sum(&[ledger.read, ledger.reported]);
    let accounted = sum(&[
        ledger.filtered,
        ledger.dropped_total(),
        ledger.dead_lettered,
        ledger.held,
        ledger.spooled,
        ledger.acknowledged,
    ]);
    let mut faults = Vec::new();
    if taken != accounted {
        faults.push(AgentFault::Unbalanced { taken, accounted });
    }
    let epoch = || heartbeat.epoch.clone();
    let (acknowledged, spooled) = (heartbeat.acknowledged_in_epoch.records, ledger.spooled);
    if stored < acknowledged {
        faults.push(AgentFault::Lost { epoch: epoch(), acknowledged, stored });
    }
    if stored_before > acknowledged.saturating_add(spooled) {
        let stored = stored_before;
        faults.push(AgentFault::Surplus { epoch: epoch(), acknowledged, spooled, stored });
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agents::heartbeat::tests::heartbeat;

    fn check(change: impl FnOnce(&mut Heartbeat), stored: u64, before: u64, says: &[&str]) {
        let mut heartbeat: Heartbeat = serde_json::from_value(heartbeat()).unwrap();
        change(&mut heartbeat);
        let faults: Vec<String> =
            faults(&heartbeat, stored, before).iter().map(ToString::to_string).collect();
        assert_eq!(faults.len(), says.len(), "{faults:?}");
        for (fault, says) in faults.iter().zip(says) {
            assert!(fault.ends_with(says), "{fault}");
        }
    }

    #[test]
    fn a_fault_says_by_how_much_it_does_not_add_up() {
        // 60 of the epoch are acknowledged, 20 are spooled.
        check(|_| {}, 60, 0, &[]);
        check(|_| {}, 60, 60, &[]);
        check(|heartbeat| heartbeat.ledger.held -= 3, 60, 60, &["is 99: 3 records are missing"]);
        check(|heartbeat| heartbeat.ledger.held += 1, 60, 60, &["1 records are there too often"]);
        check(|_| {}, 59, 59, &["the store has 59: 1 records are LOST"]);
        check(|_| {}, 0, 0, &["60 records are LOST"]);
        check(|_| {}, 81, 81, &["20 are spooled: 1 records are there too often"]);
    }

    #[test]
    fn what_is_accepted_while_a_heartbeat_travels_is_no_fault() {
        check(|_| {}, 80, 80, &[]);
        check(|_| {}, 1_000, 80, &[]);
    }

    #[test]
    fn the_largest_counts_do_not_overflow() {
        let all = |heartbeat: &mut Heartbeat| {
            heartbeat.ledger.read = u64::MAX;
            heartbeat.ledger.spooled = u64::MAX;
            heartbeat.ledger.dropped = [("a".into(), u64::MAX), ("b".into(), u64::MAX)].into();
            heartbeat.acknowledged_in_epoch.records = u64::MAX;
        };
        check(all, 0, u64::MAX, &["are there too often", "are LOST"]);
    }
}
