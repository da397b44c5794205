//! Begins files and lets go of them.
//!
//! A file gets its name when its header and checkpoint are durable, and from the moment of renaming on the file
//! before is not written any more: a start may already find the new one, with its word on how far to trust it.

use std::path::Path;

use file_system::JournalFile;

use super::{Checkpoint, CurrentFile, Purpose, RESERVE_SHARE, Spool, random};
use crate::error::{Result, SpoolError};
use crate::format::{
    Counters, FILE_VERSION, FileHeader, HEADER_BYTES, Head, Kind, NEW_SUFFIX, SUFFIX,
    encode_checkpoint, file_name, file_number,
};
use crate::quarantine;
use crate::recover::beginning;

impl Spool {
    /// Begins a new file with a checkpoint and room for an entry of `length` bytes.
    pub(super) fn begin_file(
        &mut self,
        length: u64,
        purpose: Purpose,
        checkpoint: Checkpoint<'_>,
    ) -> Result<()> {
        let file_bytes = self.options.file_bytes();
        let full = |needed: u64, spool: &Self| {
            let all = spool.disk_bytes.saturating_add(needed);
            (purpose == Purpose::Batch && all > spool.options.bytes_max).then_some(
                SpoolError::Full {
                    disk_bytes: spool.disk_bytes,
                    bytes_max: spool.options.bytes_max,
                },
            )
        };
        // Looked at first with what is known, because the state may be large to write down.
        if let Some(error) = full(3 * file_bytes, self) {
            return Err(error);
        }
        // The checkpoint will have it all; but whoever must go back to this file shall find it whole.
        if self.current.as_ref().is_some_and(|current| current.written > current.synced) {
            self.sync_current()?;
        }
        let state = checkpoint();
        let number = self.next_file;
        let cursor = match self.counters {
            Counters { first, next, .. } if first == next => beginning(number),
            Counters { cursor, .. } => cursor,
        };
        let mut files = self.files.clone();
        files.extend(self.current.as_ref().map(|current| current.info(self.counters.next)));
        let predecessor = files.last().copied();
        files.retain(|file| file.batches.1 > self.counters.first || Some(*file) == predecessor);
        let meta = encode_checkpoint(&Counters { cursor, ..self.counters }, &files);
        let head = Head::new(Kind::Checkpoint, self.counters.next, 0, &meta, &state);
        let least = (HEADER_BYTES + head.total() + length) * RESERVE_SHARE / (RESERVE_SHARE - 1);
        let usual = file_bytes.max(4 * head.total());
        let file_length = usual.max(least + RESERVE_SHARE);
        if let Some(error) = full(file_length + 2 * usual, self) {
            return Err(error);
        }
        let id = random::<8>().map(u64::from_le_bytes)?;
        let header = FileHeader {
            version: FILE_VERSION,
            spool_id: self.id,
            number,
            id,
            predecessor: match &self.current {
                Some(current) => (current.number, current.id, current.synced),
                None => predecessor.map_or((0, 0, 0), |file| (file.number, file.id, file.end)),
            },
        };
        let mut start = header.encode().to_vec();
        start.extend_from_slice(&head.encode(id, HEADER_BYTES));
        start.extend_from_slice(&meta);
        start.extend_from_slice(&state);
        let lengths =
            [file_length, (least + RESERVE_SHARE).next_multiple_of(4096).min(file_length)];
        let (file, file_length) = self.create(number, lengths, &start)?;
        self.finish_current();
        // Until it is counted anew, which may fail.
        self.disk_bytes += file_length;
        let written = start.len() as u64;
        let first_batch = self.counters.next;
        self.current = Some(CurrentFile {
            file,
            number,
            id,
            first_batch,
            length: file_length,
            synced: written,
            written,
        });
        self.counters.cursor = cursor;
        self.carried.clear();
        self.let_go();
        self.sweep();
        Ok(())
    }

    /// Creates a file whose name and beginning are durable, of the first length for which there is space.
    fn create(
        &mut self,
        number: u64,
        lengths: [u64; 2],
        start: &[u8],
    ) -> Result<(Box<dyn JournalFile>, u64)> {
        let path = self.folder.join(file_name(number));
        let new = self.folder.join(format!("{number:016}{NEW_SUFFIX}"));
        let failed = SpoolError::io("create", &path);
        if let Err(error) = self.fs.remove(&new) {
            return Err(failed(error));
        }
        let created = self.create_new(&new, lengths[0], start).or_else(|error| {
            let smaller =
                error.kind() == std::io::ErrorKind::StorageFull && lengths[1] < lengths[0];
            if smaller { self.create_new(&new, lengths[1], start) } else { Err(error) }
        });
        let created = match created {
            Ok(created) => created,
            Err(error) => return Err(failed(error)),
        };
        // From here on a start may find it, with its word on how far the current file is to be trusted.
        self.next_file += 1;
        let named = self.fs.rename(&new, &path).and_then(|()| self.fs.sync_folder(&self.folder));
        match named {
            Ok(()) => Ok(created),
            Err(error) => {
                self.finish_current();
                let removed = self.fs.remove(&new).and_then(|()| self.fs.remove(&path));
                if removed.is_err() {
                    self.disk_bytes += created.1;
                }
                Err(failed(error))
            }
        }
    }

    fn create_new(
        &self,
        path: &Path,
        length: u64,
        start: &[u8],
    ) -> std::io::Result<(Box<dyn JournalFile>, u64)> {
        let created = self.fs.create_preallocated(path, length).and_then(|mut file| {
            file.write_at(start, 0)?;
            file.sync()?;
            Ok((file, length))
        });
        if created.is_err() {
            let _ = self.fs.remove(path);
        }
        created
    }

    /// The current file is done with and ends where it is durable.
    fn finish_current(&mut self) {
        let info = self.current.take().map(|current| current.info(self.counters.next));
        self.files.extend(info);
    }

    /// Removes files that nothing needs any more; called when all acknowledgements are durable. The newest finished one stays, see the head of the crate.
    pub(super) fn let_go(&mut self) {
        let newest = self.files.last().map_or(0, |file| file.number);
        let files = std::mem::take(&mut self.files);
        self.files = files
            .into_iter()
            .filter(|file| {
                let needed = file.batches.1 > self.counters.first || file.number == newest;
                needed || !self.remove(&file_name(file.number))
            })
            .collect();
    }

    fn remove(&mut self, name: &str) -> bool {
        let path = self.folder.join(name);
        let length = self
            .listed()
            .ok()
            .and_then(|files| files.iter().find(|file| file.name == name).map(|file| file.length));
        match self.fs.remove(&path) {
            Ok(()) => {
                self.disk_bytes = self.disk_bytes.saturating_sub(length.unwrap_or(0));
                true
            }
            Err(error) => {
                tracing::warn!(file = %path.display(), %error, "cannot remove a spool file; trying again later");
                false
            }
        }
    }

    /// After a new file is durable: removes what crashes and failures left, gives unused space of finished files
    /// back, and counts what is there. What goes wrong is tried again with the next file.
    fn sweep(&mut self) {
        let unreadable = std::mem::take(&mut self.unreadable);
        self.unreadable = unreadable
            .into_iter()
            .filter(|number| {
                let path = self.folder.join(file_name(*number));
                let moved = quarantine::move_away(&*self.fs, &self.folder, &path);
                if let Err(error) = &moved {
                    tracing::warn!(file = %path.display(), %error, "cannot move an unreadable spool file away");
                }
                moved.is_err()
            })
            .collect();
        let current = self.current.as_ref().map_or(0, |current| current.number);
        for file in self.listed().unwrap_or_default() {
            let known = self.files.iter().any(|known| known.number == file.number)
                || self.unreadable.contains(&file.number);
            if file.new || (file.number != current && !known) {
                self.remove(&file.name);
            }
            let end = self.files.iter().find(|known| known.number == file.number);
            if let Some(end) = end.map(|known| known.end).filter(|end| *end < file.length) {
                self.cut(&file.name, end);
            }
        }
        if let Ok(files) = self.listed() {
            self.disk_bytes = files.iter().map(|file| file.length).sum();
        }
    }

    fn cut(&self, name: &str, end: u64) {
        let path = self.folder.join(name);
        // Synced, or the space would be taken again after a crash and the bound be passed.
        let cut = self.fs.open_write(&path).and_then(|mut file| {
            file.set_length(end)?;
            file.sync()
        });
        if let Err(error) = cut {
            tracing::warn!(file = %path.display(), %error, "cannot cut a finished spool file; trying again later");
        }
    }

    pub(super) fn listed(&self) -> Result<Vec<Listed>> {
        let files = self.fs.list(&self.folder).map_err(SpoolError::io("list", &self.folder))?;
        let listed = files.into_iter().filter_map(|(name, length)| {
            let named = file_number(&name, SUFFIX);
            let number = named.or_else(|| file_number(&name, NEW_SUFFIX))?;
            Some(Listed { name, number, new: named.is_none(), length })
        });
        Ok(listed.collect())
    }
}

/// A file of ours in the folder.
pub(super) struct Listed {
    name: String,
    number: u64,
    new: bool,
    pub(super) length: u64,
}
