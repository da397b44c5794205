//! Appends groups of entries to the current file and makes them durable.

use std::path::PathBuf;
use std::sync::Arc;

use file_system::{FileSystem, JournalFile, failpoint};

use super::entry::{self, Entry};
use super::{FILE_HEADER_BYTES, FileHeader, file_name};
use crate::error::{Result, StoreError};

/// The writing end of the journal; owned by one thread.
#[derive(Debug)]
pub(crate) struct JournalWriter {
    fs: Arc<dyn FileSystem>,
    folder: PathBuf,
    /// Preallocated length of a file.
    file_bytes: u64,
    /// `None` after a failure, until the next group opens a new file.
    file: Option<OpenFile>,
    /// The last file that was written and how much of it is to be trusted.
    previous: (u64, u64),
    next_file_id: u64,
    group: Vec<u8>,
}

#[derive(Debug)]
struct OpenFile {
    handle: Box<dyn JournalFile>,
    file_id: u64,
    length: u64,
    /// Where the next group goes; everything before is durable.
    synced_to: u64,
}

impl JournalWriter {
    /// Continues after the files that recovery has seen; opens no file yet.
    pub(crate) fn new(
        fs: Arc<dyn FileSystem>,
        folder: PathBuf,
        file_bytes: u64,
        last_file: (u64, u64),
    ) -> Self {
        Self {
            fs,
            folder,
            file_bytes,
            file: None,
            previous: last_file,
            next_file_id: last_file.0 + 1,
            group: Vec::new(),
        }
    }

    /// Makes a group durable: when this returns, every entry is on the disk, or none is to be acknowledged.
    ///
    /// # Errors
    /// [`StoreError::Full`] or [`StoreError::Io`]; the file in use is given up then and the next group
    /// begins a new one.
    pub(crate) fn append(&mut self, entries: &mut [Entry<'_>]) -> Result<()> {
        let Some(first) = entries.first() else { return Ok(()) };
        let first_record_seq = first.first_record_seq;
        let bytes_max: u64 = entries.iter().map(entry::encoded_bytes_max).sum();
        if self.file.as_ref().is_none_or(|file| file.synced_to + bytes_max > file.length) {
            self.roll();
            self.open(first_record_seq, bytes_max)?;
        }
        let file = self.file.as_mut().expect("opened above");
        self.group.clear();
        for entry in entries {
            entry.synced_to = file.synced_to;
            entry::encode(
                entry,
                file.file_id,
                file.synced_to + self.group.len() as u64,
                &mut self.group,
            );
        }
        let written = file.handle.write_at(&self.group, file.synced_to).and_then(|()| {
            failpoint::check("journal.written")?;
            file.handle.sync()
        });
        if let Err(error) = written {
            let path = self.folder.join(file_name(file.file_id));
            self.roll();
            return Err(StoreError::io("write", &path)(error));
        }
        file.synced_to += self.group.len() as u64;
        failpoint::reach("journal.synced");
        Ok(())
    }

    /// Ends the current file, so that the next group begins a new one; gives that one's id, which is the
    /// journal's floor once everything before it is in segments.
    pub(crate) fn roll(&mut self) -> u64 {
        if let Some(file) = self.file.take() {
            self.previous = (file.file_id, file.synced_to);
        }
        self.next_file_id
    }

    /// Removes the files below the floor.
    pub(crate) fn remove_below(
        fs: &dyn FileSystem,
        folder: &std::path::Path,
        floor: u64,
    ) -> Result<()> {
        for (file_id, path) in super::list_files(fs, folder)? {
            if file_id < floor {
                failpoint::reach("journal.unlink");
                fs.remove(&path).map_err(StoreError::io("remove", &path))?;
            }
        }
        Ok(())
    }

    fn open(&mut self, first_record_seq: u64, bytes_max: u64) -> Result<()> {
        let file_id = self.next_file_id;
        let path = self.folder.join(file_name(file_id));
        let length = self.file_bytes.max(FILE_HEADER_BYTES + bytes_max);
        let header = FileHeader {
            file_id,
            previous_file_id: self.previous.0,
            previous_end: self.previous.1,
            first_record_seq,
        };
        let opened = self.fs.create_preallocated(&path, length).and_then(|mut handle| {
            failpoint::reach("journal.created");
            handle.write_at(&header.to_bytes(), 0)?;
            handle.sync()?;
            self.fs.sync_folder(&self.folder)?;
            Ok(handle)
        });
        match opened {
            Ok(handle) => {
                self.next_file_id += 1;
                self.file =
                    Some(OpenFile { handle, file_id, length, synced_to: FILE_HEADER_BYTES });
                Ok(())
            }
            Err(error) => {
                // Nothing in it is acknowledged; a leftover without entries does no harm, but its id is used up.
                let _ = self.fs.remove(&path);
                self.next_file_id += 1;
                Err(StoreError::io("create", &path)(error))
            }
        }
    }
}
