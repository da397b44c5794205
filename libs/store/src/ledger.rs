//! The collector's half of the account of every record.
//!
//! `received = duplicate + rejected + accepted` counts what came in; `accepted = in parts + indexed +
//! expired + quarantined + deleted` compares what was taken with what is there. The first four are counters; in
//! parts and indexed are counted anew from the view each time, so that the equation can fail.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Counts of records since the data folder was made. Written with every flush; between flushes the journal
/// brings back what was accepted, while duplicates and whole refused requests since then are forgotten by a
/// crash, on both sides of the equation.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counters {
    /// In batches that had been accepted before.
    pub duplicate: u64,
    /// By reason.
    pub rejected: BTreeMap<String, u64>,
    /// Journaled and acknowledged.
    pub accepted: u64,
    /// Dropped by retention.
    pub expired: u64,
    /// In damaged pieces of the journal, as far as their neighbours tell.
    pub quarantined: u64,
    /// Removed from segments by deletes; what is hidden only counts as indexed still.
    #[serde(default)]
    pub deleted: u64,
    /// Whose time could not be read, so that the time of receipt stands in.
    pub timestamps_replaced: u64,
}

impl Counters {
    /// All refused ones.
    pub fn rejected_total(&self) -> u64 {
        self.rejected.values().sum()
    }
}

/// The account at one moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ledger {
    /// Everything that came in.
    pub received: u64,
    /// The counters behind it.
    #[serde(flatten)]
    pub counters: Counters,
    /// Rows in parts of the view.
    pub in_parts: u64,
    /// Rows in segments of the view.
    pub indexed: u64,
    /// Batches that their senders call settled and that were never seen here; what was in them is not known.
    pub lost_batches: u64,
    /// Senders kept in detail.
    pub senders: u64,
    /// Senders of which only sums are left: too many of one agent or in all, or not heard of for 30 days.
    #[serde(default)]
    pub senders_forgotten: u64,
}

impl Ledger {
    /// Accepted records less those that can be accounted for; 0 when it adds up.
    pub fn missing(&self) -> i64 {
        let Counters { expired, quarantined, deleted, .. } = self.counters;
        let there = self.in_parts + self.indexed + expired + quarantined + deleted;
        self.counters.accepted as i64 - there as i64
    }

    /// Whether both equations hold.
    pub fn adds_up(&self) -> bool {
        self.missing() == 0
            && self.received
                == self.counters.duplicate + self.counters.rejected_total() + self.counters.accepted
    }
}
