//! What the agent knows and must not forget: how far each file is read, which batches are settled, its account.
//!
//! The state is kept nowhere but in the spool, as changes that ride in its entries: a batch and the positions that
//! it covers are durable in one write, or not at all. A [`Note`] is what one entry changes; [`State::apply`] is the
//! only way in which the state changes, in the running process and in the replay alike.
//!
//! Notes and checkpoints are JSON: a person can read them, and a newer agent can add to them.

use std::collections::{BTreeMap, BTreeSet};

use record::{Signal, Timestamp};
use serde::{Deserialize, Serialize};

use crate::delivery::StoreIdentity;
use crate::source::file::KnownFile;

/// Everything durable that is no batch.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct State {
    #[serde(default)]
    pub(crate) ledger: Ledger,
    #[serde(default)]
    pub(crate) epoch: Epoch,
    /// Who acknowledged last.
    #[serde(default)]
    pub(crate) store: Option<StoreIdentity>,
    /// Files by their ids, over all sources.
    #[serde(default)]
    pub(crate) files: BTreeMap<u64, KnownFile>,
    /// Positions of sources that are no files, by the sources' names: the journal's cursor.
    #[serde(default)]
    pub(crate) cursors: BTreeMap<String, String>,
    /// Sources that were started once: `start_at` is for those that were not.
    #[serde(default)]
    pub(crate) started: BTreeSet<String>,
    /// Records that wait for an error of their correlation: the sampler's checkpoint, base64. Brought up to date
    /// for a checkpoint only; between two the replica of the sampler is what counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) sample: Option<String>,
    /// What happened to the agent and is not yet in a batch as a record, by number.
    #[serde(default)]
    pub(crate) unsaid: BTreeMap<u64, Report>,
    /// How many reports there were.
    #[serde(default)]
    pub(crate) reports: u64,
    /// Dead letters that came back into the spool and whose files may still be there.
    #[serde(default)]
    pub(crate) requeued: BTreeSet<String>,
}

/// Something that the agent has to say, which becomes a record of its own.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Report {
    /// The event's name, `logq.agent.epoch_began`.
    pub(crate) event: String,
    /// When it happened, ns.
    pub(crate) at: i64,
    pub(crate) warning: bool,
    pub(crate) message: String,
    pub(crate) attributes: BTreeMap<String, serde_json::Value>,
}

/// The account of every record since the agent's identity was made.
///
/// `read + reported = filtered + dropped + dead_lettered + held + spooled + acknowledged`, at every durable moment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ledger {
    /// Records made of what sources gave.
    pub read: u64,
    /// Records that the agent made to say something itself.
    pub reported: u64,
    /// Dropped because the configuration says so.
    pub filtered: u64,
    /// Dropped for another reason, by reason.
    pub dropped: BTreeMap<String, u64>,
    /// Refused by the collector, or not to be sent; kept as dead letters.
    pub dead_lettered: u64,
    /// Waiting for an error of their correlation.
    pub held: u64,
    /// In the spool.
    pub spooled: u64,
    /// Acknowledged by a collector.
    pub acknowledged: u64,
}

impl Ledger {
    /// All that was dropped.
    pub fn dropped_total(&self) -> u64 {
        self.dropped.values().sum()
    }

    /// Records that are missing from the account; 0 when it adds up.
    pub fn missing(&self) -> i64 {
        let there = self.filtered
            + self.dropped_total()
            + self.dead_lettered
            + self.held
            + self.spooled
            + self.acknowledged;
        (self.read + self.reported) as i64 - there as i64
    }
}

/// One sequence of batch names.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Epoch {
    pub(crate) id: String,
    /// The spool's number of the batch that is number 0 of the epoch.
    pub(crate) first_number: u64,
    /// Acknowledged in it.
    #[serde(default)]
    pub(crate) records: u64,
    #[serde(default)]
    pub(crate) batches: u64,
}

/// What one entry of the spool changes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Note {
    /// Records in the entry's payload; for an acknowledgement, in the batch that is settled.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(crate) records: u64,
    /// They are spans and go where spans go.
    #[serde(default, skip_serializing_if = "is_false")]
    pub(crate) spans: bool,
    /// When the oldest of them was read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) oldest: Option<i64>,
    #[serde(default, skip_serializing_if = "Counts::is_empty")]
    pub(crate) counts: Counts,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) files: BTreeMap<u64, FileChange>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) cursors: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub(crate) started: BTreeSet<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) epoch: Option<Epoch>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) store: Option<StoreIdentity>,
    /// What changed among the records that wait for an error, base64.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) sample: Option<String>,
    /// How the front of the spool was settled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) settled: Option<Settled>,
    /// What is to become a record.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) say: Vec<Report>,
    /// What is in this batch as a record.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) said: Vec<u64>,
    /// The dead letter that this batch is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) requeued: Option<String>,
    /// A dead letter whose file is gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) requeue_done: Option<String>,
}

/// What became of the batch at the front of the spool.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Settled {
    /// A collector has it; all of it but for so many records.
    Acknowledged { rejected: u64 },
    /// It was set aside.
    DeadLettered,
    /// It was damaged and is gone.
    Damaged,
}

/// Counted while a batch was filled.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Counts {
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(crate) read: u64,
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(crate) reported: u64,
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(crate) filtered: u64,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) dropped: BTreeMap<String, u64>,
}

/// What became of one file.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct FileChange {
    /// Who it is, if it is new or that changed. Its offset counts only for a file that is not known yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) known: Option<KnownFile>,
    /// Up to where everything is in this or an earlier entry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) position: Option<Position>,
    /// It is read to its end and nothing more will come.
    #[serde(default, skip_serializing_if = "is_false")]
    pub(crate) finished: bool,
    /// It need not be remembered any more.
    #[serde(default, skip_serializing_if = "is_false")]
    pub(crate) forgotten: bool,
}

/// A place in a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Position {
    pub(crate) offset: u64,
    /// Parts already taken of the long line that the place is in.
    #[serde(default, skip_serializing_if = "is_zero_parts")]
    pub(crate) parts: u32,
}

impl State {
    /// Applies one entry; `payload` says whether it brought the spool a batch.
    pub(crate) fn apply(&mut self, note: &Note, payload: bool) {
        let ledger = &mut self.ledger;
        if payload {
            ledger.spooled += note.records;
        }
        if let Some(settled) = note.settled {
            ledger.spooled = ledger.spooled.saturating_sub(note.records);
            match settled {
                Settled::Acknowledged { rejected } => {
                    let taken = note.records.saturating_sub(rejected);
                    ledger.acknowledged += taken;
                    self.epoch.records += taken;
                    self.epoch.batches += 1;
                }
                Settled::DeadLettered => ledger.dead_lettered += note.records,
                Settled::Damaged => {
                    *ledger.dropped.entry(DAMAGED.to_owned()).or_default() += note.records;
                }
            }
        }
        let counts = &note.counts;
        ledger.read += counts.read;
        ledger.reported += counts.reported;
        ledger.filtered += counts.filtered;
        for (reason, count) in &counts.dropped {
            *ledger.dropped.entry(reason.clone()).or_default() += count;
        }
        for (id, change) in &note.files {
            self.change_file(*id, change);
        }
        for report in &note.say {
            self.unsaid.insert(self.reports, report.clone());
            self.reports += 1;
        }
        for number in &note.said {
            self.unsaid.remove(number);
        }
        if let Some(id) = &note.requeued {
            self.ledger.dead_lettered = self.ledger.dead_lettered.saturating_sub(note.records);
            self.requeued.insert(id.clone());
        }
        if let Some(id) = &note.requeue_done {
            self.requeued.remove(id);
        }
        self.cursors.extend(note.cursors.clone());
        self.started.extend(note.started.iter().cloned());
        if let Some(epoch) = &note.epoch {
            self.epoch = epoch.clone();
        }
        if let Some(store) = &note.store {
            self.store = Some(store.clone());
        }
    }

    fn change_file(&mut self, id: u64, change: &FileChange) {
        if change.forgotten {
            self.files.remove(&id);
            return;
        }
        if let Some(known) = &change.known {
            let position = self.files.get(&id).map(|file| (file.offset, file.parts));
            let mut file = known.clone();
            if let Some(position) = position
                && position.0 <= file.offset
            {
                (file.offset, file.parts) = position;
            }
            self.files.insert(id, file);
        }
        let Some(file) = self.files.get_mut(&id) else { return };
        if let Some(position) = change.position {
            (file.offset, file.parts) = (position.offset, position.parts);
        }
        file.finished |= change.finished;
    }
}

/// Why records are gone that were in a damaged piece of the spool.
pub(crate) const DAMAGED: &str = "spool_damaged";

impl FileChange {
    /// Takes in a later change of the same file.
    pub(crate) fn then_known(&mut self, mut known: KnownFile) {
        if let Some(before) = &self.known {
            // Where a new file begins stays what it was; what was read since is in `position`.
            if before.offset <= known.offset {
                (known.offset, known.parts) = (before.offset, before.parts);
            }
        }
        // It goes on after all.
        self.finished = false;
        self.known = Some(known);
    }
}

impl Counts {
    pub(crate) fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl Note {
    /// Whether it says nothing.
    pub(crate) fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// What the entry's records are.
    pub(crate) fn signal(&self) -> Signal {
        if self.spans { Signal::Spans } else { Signal::Logs }
    }

    /// Whether all records of the entry are the agent's own.
    pub(crate) fn has_only_reports(&self) -> bool {
        self.records > 0 && self.records == self.counts.reported
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("a note has only text keys and finite numbers")
    }

    /// When the oldest record of the entry was read.
    pub(crate) fn oldest(&self) -> Option<Timestamp> {
        self.oldest.map(Timestamp)
    }
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

fn is_zero_parts(number: &u32) -> bool {
    *number == 0
}

fn is_false(flag: &bool) -> bool {
    !*flag
}
