//! The reading end: finds the first unacknowledged batch on disk.
//!
//! There is no index. A cursor stands at or before that batch and is moved over what is done with; memory is one
//! entry and a window.

use std::ops::RangeInclusive;

use crate::error::Result;
use crate::format::{FileInfo, Head, Kind, Place, decode_meta, file_name};
use crate::quarantine;
use crate::recover::{Damage, beginning};
use crate::scan::ScannedFile;
use crate::spool::Spool;

/// What is to be dealt with next. It stays at the front until it is acknowledged by its last number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Front {
    /// A batch as it was appended.
    Batch {
        /// Its number.
        number: u64,
        /// What was given with it.
        note: Vec<u8>,
        /// The batch.
        payload: Vec<u8>,
    },
    /// Batches that cannot be given as they were. Acknowledging them says that the loss was dealt with; until
    /// then every start finds them again.
    Damaged {
        /// Which; the last one is what is acknowledged.
        numbers: RangeInclusive<u64>,
        /// The note, if it survived; then it is one batch.
        note: Option<Vec<u8>>,
        /// The payload, if it survived; then it is one batch.
        payload: Option<Vec<u8>>,
        /// Where the damage was seen just now; `None` if the bytes are gone, or were seen at the start.
        damage: Option<Damage>,
    },
}

impl Front {
    /// The number to acknowledge.
    pub fn last(&self) -> u64 {
        match self {
            Self::Batch { number, .. } => *number,
            Self::Damaged { numbers, .. } => *numbers.end(),
        }
    }
}

/// Where the front was found.
#[derive(Clone, Debug)]
pub(crate) struct Located {
    first: u64,
    pub(crate) last: u64,
    place: Place,
    /// `None` if the batches are gone.
    pub(crate) head: Option<Head>,
    /// Behind it.
    pub(crate) after: Place,
    damage: Option<Damage>,
}

impl Spool {
    /// The first batch that is not acknowledged; `None` if there is none. Reads it from the disk each time.
    ///
    /// # Errors
    /// [`SpoolError::Io`](crate::SpoolError::Io) if it cannot be read; it may be tried again.
    pub fn front(&mut self) -> Result<Option<Front>> {
        let Some(located) = self.locate()? else { return Ok(None) };
        let numbers = located.first..=located.last;
        let damage = located.damage;
        let (Some(head), Some(file)) = (located.head, self.reader.as_mut()) else {
            return Ok(Some(Front::Damaged { numbers, note: None, payload: None, damage }));
        };
        let place = located.place;
        let meta = file.meta(place.position, &head)?;
        let note = meta.as_deref().and_then(decode_meta).map(|(_, note)| note.to_vec());
        let payload = file.payload(place.position, &head)?;
        if let (Some(note), Some(payload)) = (&note, &payload) {
            let (note, payload) = (note.clone(), payload.clone());
            return Ok(Some(Front::Batch { number: located.first, note, payload }));
        }
        let what = if note.is_some() { "a payload" } else { "an entry whose note is damaged" };
        let path = file.path.clone();
        let damage = Some(self.damage(path, place.position, place.position + head.total(), what));
        Ok(Some(Front::Damaged { numbers, note, payload, damage }))
    }

    /// Finds the front and remembers where it is.
    pub(crate) fn locate(&mut self) -> Result<Option<Located>> {
        if self.counters.first == self.counters.next {
            return Ok(None);
        }
        if self.located.is_none() {
            // The current file grew since.
            self.reader.iter_mut().for_each(ScannedFile::forget);
            self.located = Some(self.search()?);
        }
        Ok(self.located.clone())
    }

    fn search(&mut self) -> Result<Located> {
        let first = self.counters.first;
        let mut bad: Option<(u64, u64, u64)> = None;
        let mut place = self.counters.cursor;
        loop {
            let Some(info) = self.file_from(place.file) else {
                return Ok(self.gone(self.counters.next, place, bad));
            };
            if info.number > place.file {
                place = beginning(info.number);
            }
            let length = match self.read(&info)? {
                Some(file) => file.length()?,
                None => 0,
            };
            let limit = info.end.min(length);
            if place.position >= limit {
                let behind = beginning(info.number + 1);
                if info.batches.1 > first {
                    return Ok(self.gone(info.batches.1, behind, bad));
                }
                place = behind;
                continue;
            }
            let Some(file) = self.reader.as_mut() else { continue };
            let Some(head) = file.head_at(place.position, limit)? else {
                let to = file.next_head(place.position + 1, limit)?;
                let from = bad
                    .filter(|(number, ..)| *number == info.number)
                    .map_or(place.position, |(_, from, _)| from);
                bad = Some((info.number, from, to));
                place.position = to;
                continue;
            };
            let after = Place { position: place.position + head.total(), ..place };
            if head.kind == Kind::Batch && head.number == first {
                let head = Some(head);
                return Ok(Located { first, last: first, place, head, after, damage: None });
            }
            if head.kind == Kind::Batch && head.number > first {
                return Ok(self.gone(head.number, place, bad));
            }
            place = after;
        }
    }

    /// The batches up to before `until` are not there; perhaps bad bytes (file, from, to) tell why.
    fn gone(&self, until: u64, after: Place, bad: Option<(u64, u64, u64)>) -> Located {
        let damage = bad.map(|(number, from, to)| {
            self.damage(self.folder.join(file_name(number)), from, to, "no entry")
        });
        let first = self.counters.first;
        Located { first, last: until - 1, place: after, head: None, after, damage }
    }

    /// The first file at or after a number that is still needed.
    fn file_from(&self, number: u64) -> Option<FileInfo> {
        let next = self.counters.next;
        let current = self.current.as_ref().map(|current| current.info(next));
        self.files.iter().copied().chain(current).find(|file| file.number >= number)
    }

    /// Opens a file for reading, unless it is; `None` if it is gone.
    fn read(&mut self, info: &FileInfo) -> Result<Option<&ScannedFile>> {
        if self.reader.as_ref().is_none_or(|file| file.number != info.number) {
            let path = self.folder.join(file_name(info.number));
            self.reader = ScannedFile::open(&*self.fs, &path, info.number, info.id)?;
        }
        Ok(self.reader.as_ref())
    }

    fn damage(&self, file: std::path::PathBuf, from: u64, to: u64, what: &'static str) -> Damage {
        let quarantined = quarantine::keep(&*self.fs, &self.folder, &file, from, to);
        Damage { file, from, to, what, lost: None, changes_lost: false, quarantined }
    }
}
