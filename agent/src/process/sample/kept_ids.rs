//! The ids of correlations that had an error lately, by their hash, each until its window ends.

use std::collections::{BTreeSet, HashMap};

/// Most ids that are remembered; beyond it the one whose window ends first is forgotten early.
pub const KEPT_IDS_MAX: usize = 65_536;

/// The ids of correlations that had an error lately.
#[derive(Debug, Default)]
pub(super) struct KeptIds {
    until: HashMap<u64, u64>,
    by_end: BTreeSet<(u64, u64)>,
    /// Those that were in no changes yet.
    unsaved: BTreeSet<u64>,
}

impl KeptIds {
    /// Remembers the id of this hash until then.
    pub(super) fn keep(&mut self, hash: u64, until: u64) {
        if let Some(before) = self.until.insert(hash, until) {
            self.by_end.remove(&(before, hash));
        }
        self.by_end.insert((until, hash));
        self.unsaved.insert(hash);
        if self.until.len() > KEPT_IDS_MAX
            && let Some((_, first)) = self.by_end.pop_first()
        {
            self.until.remove(&first);
            self.unsaved.remove(&first);
        }
    }

    pub(super) fn contains(&self, hash: u64) -> bool {
        self.until.contains_key(&hash)
    }

    /// Forgets the ids whose window has ended.
    pub(super) fn expire(&mut self, now: u64) {
        while let Some((until, hash)) = self.by_end.first().copied()
            && until <= now
        {
            self.by_end.pop_first();
            self.until.remove(&hash);
            self.unsaved.remove(&hash);
        }
    }

    /// All, with their ends.
    pub(super) fn all(&self) -> Vec<(u64, u64)> {
        self.by_end.iter().map(|(until, hash)| (*hash, *until)).collect()
    }

    /// Those that were not taken before, with their ends.
    pub(super) fn take_unsaved(&mut self) -> Vec<(u64, u64)> {
        let unsaved = std::mem::take(&mut self.unsaved);
        unsaved.into_iter().filter_map(|hash| Some((hash, *self.until.get(&hash)?))).collect()
    }
}
