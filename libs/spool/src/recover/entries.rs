//! Replays the entries of one file, and tells torn ends from damage.
//!
//! Bad bytes before a place that a later entry vouches for are damage. Behind it they are what never was
//! confirmed: an entry that was being written, or acknowledgements that the next synced entry carries.

use super::{Recovery, Replay};
use crate::error::Result;
use crate::format::{
    Acknowledgement, Counters, HEADER_BYTES, Head, Kind, decode_checkpoint, decode_meta,
};
use crate::scan::ScannedFile;

/// An entry with a good head.
struct Entry {
    position: u64,
    head: Head,
    meta: Option<Vec<u8>>,
}

impl Entry {
    fn end(&self) -> u64 {
        self.position + self.head.total()
    }
}

/// Bad bytes that may be torn acknowledgements, and the good ones behind them: either a later entry vouches for
/// their place, or the next synced entry carries them, or they were never confirmed.
#[derive(Default)]
struct Doubt {
    bad: Vec<(u64, u64)>,
    waiting: Vec<Entry>,
}

impl Recovery<'_> {
    /// Replays entries up to `limit`; gives where the last one ends that counts. All of it was durable, or what
    /// lies before `vouched`.
    pub(super) fn walk_entries(
        &mut self,
        file: &mut ScannedFile,
        start: u64,
        limit: u64,
        vouched: Option<u64>,
    ) -> Result<u64> {
        let vouched = vouched.unwrap_or(limit);
        let (mut position, mut end) = (start, start);
        let mut doubt = Doubt::default();
        while position < limit {
            let Some(head) = file.head_at(position, limit)? else {
                let next = file.next_head(position + 1, limit)?;
                doubt.bad.push((position, next));
                position = next;
                continue;
            };
            let entry = Entry { position, head, meta: file.meta(position, &head)? };
            position = entry.end();
            let sure = position <= vouched && head.kind != Kind::Acknowledge;
            let good =
                sure || entry.meta.is_some() && file.payload_is_good(entry.position, &head)?;
            if !good {
                doubt.bad.push((entry.position, position));
                continue;
            }
            self.settle(file, &mut doubt, head.synced_to, &mut end)?;
            if head.kind != Kind::Acknowledge {
                // What is still in doubt was not synced before, and is carried by this one.
                doubt = Doubt::default();
            } else if !doubt.bad.is_empty() {
                doubt.waiting.push(entry);
                continue;
            }
            self.apply(file, &entry)?;
            end = position;
        }
        self.settle(file, &mut doubt, vouched, &mut end)?;
        Ok(end)
    }

    /// Everything before `synced` was durable: bad bytes there are damage, entries that waited for this count.
    fn settle(
        &mut self,
        file: &mut ScannedFile,
        doubt: &mut Doubt,
        synced: u64,
        end: &mut u64,
    ) -> Result<()> {
        for (from, to) in std::mem::take(&mut doubt.bad) {
            if from < synced {
                self.damage(&file.path, from, to.min(synced), "no entry", true);
            }
            if to > synced {
                doubt.bad.push((from.max(synced), to));
            }
        }
        for entry in doubt.waiting.extract_if(.., |entry| entry.end() <= synced) {
            self.apply(file, &entry)?;
            *end = entry.end();
        }
        Ok(())
    }

    fn apply(&mut self, file: &mut ScannedFile, entry: &Entry) -> Result<()> {
        let Entry { position, head, meta } = entry;
        let (position, meta, next) = (*position, meta.as_deref(), entry.end());
        let bad_meta = |recovery: &mut Self| {
            recovery.damage(&file.path, position, next, "an entry whose note is damaged", true);
        };
        match head.kind {
            Kind::Checkpoint => {
                let counters = meta.and_then(decode_checkpoint).map(|(counters, _)| counters);
                let good = counters.is_some() && file.payload_is_good(position, head)?;
                if !good {
                    let lost = self.result.opening.state_lost;
                    self.damage(&file.path, position, next, "a checkpoint", lost);
                }
                self.advance(file, position, head.number);
                if let Some(counters) =
                    counters.filter(|counters| counters.first >= self.result.counters.first)
                {
                    let next = counters.next.max(self.result.counters.next);
                    self.result.counters = Counters { next, ..counters };
                }
            }
            Kind::Batch | Kind::Note => {
                let decoded = meta.and_then(decode_meta);
                let note = decoded.as_ref().map(|(_, note)| *note);
                for (number, acknowledgement) in decoded.into_iter().flat_map(|(all, _)| all) {
                    self.acknowledged(file, position, number, Some(acknowledgement));
                }
                self.advance(file, position, head.number);
                if note.is_none() {
                    bad_meta(self);
                }
                if head.kind == Kind::Note {
                    note.into_iter().for_each(|note| self.say(Replay::Note(note)));
                } else if head.number == self.result.counters.next {
                    self.result.counters.next += 1;
                    self.result.counters.payload_bytes += u64::from(head.payload_bytes);
                    let number = head.number;
                    note.into_iter().for_each(|note| self.say(Replay::Batch { number, note }));
                }
            }
            Kind::Acknowledge => {
                let decoded = meta.and_then(Acknowledgement::decode);
                if decoded.is_none() {
                    bad_meta(self);
                }
                self.acknowledged(file, position, head.number, decoded);
            }
        }
        Ok(())
    }

    fn acknowledged(
        &mut self,
        file: &ScannedFile,
        position: u64,
        number: u64,
        acknowledgement: Option<Acknowledgement<'_>>,
    ) {
        if number < self.result.counters.first {
            // It was read where it was written, and is now carried.
            return;
        }
        self.advance(file, position, number.saturating_add(1));
        self.result.counters.first = number.saturating_add(1);
        if let Some(Acknowledgement { cursor, payload_bytes, note }) = acknowledgement {
            self.result.counters.cursor = cursor;
            self.result.counters.payload_bytes = payload_bytes;
            self.say(Replay::Acknowledged { number, note });
        }
    }

    /// The next batch has this number: those between are gone.
    fn advance(&mut self, file: &ScannedFile, position: u64, number: u64) {
        let next = self.result.counters.next;
        if self.adrift {
            self.adrift = false;
            (self.result.counters.next, self.result.counters.first) = (number, number);
            return;
        }
        if number <= next {
            return;
        }
        self.result.counters.next = number;
        let damaged = &mut self.result.opening.damaged;
        if !damaged.last().is_some_and(|damage| damage.changes_lost && damage.lost.is_none()) {
            self.damage(&file.path, position, position, "entries before it are missing", true);
        }
        let last = self.result.opening.damaged.last_mut().expect("there is one now");
        last.lost = Some(next..=number - 1);
    }
}

/// Up to where the file is known durable from what it says itself, and where its last entry ends.
pub(super) fn vouched(file: &mut ScannedFile, start: u64, length: u64) -> Result<(u64, u64)> {
    // A file has its name only after its checkpoint is durable.
    let mut vouched = start.max(HEADER_BYTES + 1);
    let (mut position, mut last) = (start, start);
    while position < length {
        let Some(head) = file.head_at(position, length)? else {
            position = file.next_head(position + 1, length)?;
            continue;
        };
        last = position + head.total();
        vouched = vouched.max(if position == HEADER_BYTES { last } else { head.synced_to });
        position = last;
    }
    Ok((vouched, last))
}
