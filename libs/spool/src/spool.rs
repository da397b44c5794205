//! The writing end: appends entries, begins files, lets go of them.

mod files;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use file_system::{FileSystem, JournalFile};

use crate::error::{Result, SpoolError};
use crate::format::{Acknowledgement, Carried, Counters, FileInfo, Head, Kind, file_name};
use crate::front::Located;
use crate::options::{SpoolOptions, Usage};
use crate::recover::{Opening, Replay, recover};
use crate::scan::ScannedFile;
use crate::{NOTE_BYTES_MAX, PAYLOAD_BYTES_MAX, UNSYNCED_ACKNOWLEDGEMENTS_MAX, quarantine};

/// Acknowledgements that are carried are synced before they grow beyond this.
const CARRIED_BYTES_MAX: usize = 1 << 20;
/// Share of a file that is kept for acknowledgements, so that a full disk does not keep the queue from draining.
const RESERVE_SHARE: u64 = 16;
const COPY_BYTES: usize = 256 << 10;

/// Gives the user's state when a new file is begun: all changes whose calls returned well, and not the one that
/// belongs to the call in progress.
pub type Checkpoint<'a> = &'a mut dyn FnMut() -> Vec<u8>;

/// The durable queue; see the head of the crate. One thread owns it.
#[derive(Debug)]
pub struct Spool {
    pub(crate) fs: Arc<dyn FileSystem>,
    pub(crate) folder: PathBuf,
    options: SpoolOptions,
    id: u128,
    pub(crate) counters: Counters,
    /// Files that are not written any more and still needed, oldest first.
    pub(crate) files: Vec<FileInfo>,
    /// `None` after a start and after a failure, until the next change begins a new file.
    pub(crate) current: Option<CurrentFile>,
    next_file: u64,
    unreadable: Vec<u64>,
    disk_bytes: u64,
    carried: Carried,
    pub(crate) located: Option<Located>,
    pub(crate) reader: Option<ScannedFile>,
}

#[derive(Debug)]
pub(crate) struct CurrentFile {
    file: Box<dyn JournalFile>,
    pub(crate) number: u64,
    pub(crate) id: u64,
    first_batch: u64,
    length: u64,
    /// Everything before is durable.
    pub(crate) synced: u64,
    written: u64,
}

/// What room is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Purpose {
    Batch,
    Note,
    Acknowledge,
}

impl Spool {
    /// Opens the spool in `folder`, makes it if there is none, and replays the changes of the state. Memory is
    /// bounded by the state and one note; payloads are looked at when they are at the [front](Self::front).
    ///
    /// No file is begun yet, so that a full disk does not keep anybody from starting.
    ///
    /// # Errors
    /// [`SpoolError::Io`], after which `replay` may have been called, and [`SpoolError::NewerVersion`]. Damage
    /// is no error; it is in the [`Opening`].
    pub fn open(
        fs: Arc<dyn FileSystem>,
        folder: &Path,
        options: SpoolOptions,
        replay: &mut dyn FnMut(Replay<'_>),
    ) -> Result<(Self, Opening)> {
        fs.create_folder(folder).map_err(SpoolError::io("create", folder))?;
        // What is seen now must not be otherwise after a crash.
        fs.sync_folder(folder).map_err(SpoolError::io("sync", folder))?;
        let recovered = recover(&*fs, folder, replay)?;
        let mut opening = recovered.opening;
        if opening.created
            && let Some(parent) = folder.parent().filter(|parent| !parent.as_os_str().is_empty())
        {
            fs.sync_folder(parent).map_err(SpoolError::io("sync", parent))?;
        }
        if let (Some((from, to)), Some(newest)) = (recovered.unconfirmed, recovered.files.last()) {
            confirm(&*fs, &folder.join(file_name(newest.number)), from, to)?;
        }
        for damage in &mut opening.damaged {
            damage.quarantined =
                quarantine::keep(&*fs, folder, &damage.file, damage.from, damage.to);
        }
        let mut spool = Self {
            fs,
            folder: folder.to_owned(),
            options,
            id: recovered
                .spool_id
                .map_or_else(random::<16>, |id| Ok(id.to_le_bytes()))
                .map(u128::from_le_bytes)?,
            counters: recovered.counters,
            files: recovered.files,
            current: None,
            next_file: recovered.next_file,
            unreadable: recovered.unreadable,
            disk_bytes: 0,
            carried: Carried::default(),
            located: None,
            reader: None,
        };
        spool.disk_bytes = spool.listed()?.iter().map(|file| file.length).sum();
        Ok((spool, opening))
    }

    /// A random id, made with the spool. A copy of the folder has the same.
    pub fn id(&self) -> u128 {
        self.id
    }

    /// How much there is.
    pub fn usage(&self) -> Usage {
        let Counters { next, first, payload_bytes, .. } = self.counters;
        Usage {
            batches: next - first,
            payload_bytes,
            disk_bytes: self.disk_bytes,
            oldest: (first < next).then_some(first),
            next,
        }
    }

    /// Appends a batch; gives its number. It is durable when this returns.
    ///
    /// # Errors
    /// The batch is not in the queue and its number is given to the next one. After a crash before any other
    /// call succeeded it may be there nevertheless, with its note. [`SpoolError::Full`]: the bound is reached;
    /// [`SpoolError::TooLarge`]: it never fits; [`SpoolError::Io`]: it can be tried again.
    pub fn append(
        &mut self,
        note: &[u8],
        payload: &[u8],
        checkpoint: Checkpoint<'_>,
    ) -> Result<u64> {
        let number = self.counters.next;
        self.write_synced(Purpose::Batch, note, payload, checkpoint)?;
        self.counters.next += 1;
        self.counters.payload_bytes += payload.len() as u64;
        Ok(number)
    }

    /// Makes a change of the state durable that belongs to no batch.
    ///
    /// # Errors
    /// As for [`append`](Self::append), but never [`SpoolError::Full`].
    pub fn note(&mut self, note: &[u8], checkpoint: Checkpoint<'_>) -> Result<()> {
        self.write_synced(Purpose::Note, note, &[], checkpoint)
    }

    /// Takes the front off the queue; `number` is its last one (they are several only where damage took a run
    /// of batches). Written at once and durable later, see the head of the crate and [`sync`](Self::sync).
    ///
    /// # Errors
    /// The front is what it was. [`SpoolError::NotTheFront`] if `number` is not it; [`SpoolError::Io`]: it can
    /// be tried again.
    pub fn acknowledge(
        &mut self,
        number: u64,
        note: &[u8],
        checkpoint: Checkpoint<'_>,
    ) -> Result<()> {
        self.check_size(note, &[])?;
        let located = self.locate()?;
        let Some(located) = located.as_ref().filter(|front| front.last == number) else {
            let front = located.map(|front| front.last);
            return Err(SpoolError::NotTheFront { number, front });
        };
        if self.carried.count as usize >= UNSYNCED_ACKNOWLEDGEMENTS_MAX
            || self.carried.bytes() > CARRIED_BYTES_MAX
        {
            self.sync(checkpoint)?;
        }
        let taken = located.head.map_or(0, |head| u64::from(head.payload_bytes));
        let left = self.counters.payload_bytes.saturating_sub(taken);
        let payload_bytes = if number + 1 == self.counters.next { 0 } else { left };
        let meta = Acknowledgement { cursor: located.after, payload_bytes, note }.encode();
        let length = Head::new(Kind::Acknowledge, number, 0, &meta, &[]).total();
        self.make_room(length, Purpose::Acknowledge, checkpoint)?;
        self.write(Kind::Acknowledge, number, &meta, &[])?;
        self.carried.push(number, &meta);
        let next = self.counters.next;
        self.counters = Counters { next, first: number + 1, cursor: located.after, payload_bytes };
        self.located = None;
        Ok(())
    }

    /// Makes all acknowledgements durable.
    ///
    /// # Errors
    /// [`SpoolError::Io`]; they stand all the same, and the next call tries again.
    pub fn sync(&mut self, checkpoint: Checkpoint<'_>) -> Result<()> {
        match &self.current {
            Some(current) if current.written > current.synced => self.sync_current(),
            // The file failed; a checkpoint in a new one has all that was not durable.
            None if self.carried.count > 0 => self.begin_file(0, Purpose::Note, checkpoint),
            _ => Ok(()),
        }
    }

    fn check_size(&self, note: &[u8], payload: &[u8]) -> Result<()> {
        let bytes = (note.len() + payload.len()) as u64;
        let bytes_max = self.options.entry_bytes_max();
        if note.len() > NOTE_BYTES_MAX || payload.len() > PAYLOAD_BYTES_MAX || bytes > bytes_max {
            return Err(SpoolError::TooLarge { bytes, bytes_max });
        }
        Ok(())
    }

    fn write_synced(
        &mut self,
        purpose: Purpose,
        note: &[u8],
        payload: &[u8],
        checkpoint: Checkpoint<'_>,
    ) -> Result<()> {
        self.check_size(note, payload)?;
        let kind = if purpose == Purpose::Batch { Kind::Batch } else { Kind::Note };
        let number = self.counters.next;
        let length = Head::new(kind, number, 0, &self.carried.meta(note), payload).total();
        self.make_room(length, purpose, checkpoint)?;
        // A new file has all of it in its checkpoint, so this may be less than was thought of above.
        let meta = self.carried.meta(note);
        self.write(kind, number, &meta, payload)?;
        self.sync_current()
    }

    /// Sees to it that an entry of this length fits the current file.
    fn make_room(
        &mut self,
        length: u64,
        purpose: Purpose,
        checkpoint: Checkpoint<'_>,
    ) -> Result<()> {
        let fits = self.current.as_ref().is_some_and(|current| {
            let reserve = match purpose {
                Purpose::Acknowledge => 0,
                Purpose::Batch | Purpose::Note => current.length / RESERVE_SHARE,
            };
            current.written + length + reserve <= current.length
        });
        if fits { Ok(()) } else { self.begin_file(length, purpose, checkpoint) }
    }

    fn write(&mut self, kind: Kind, number: u64, meta: &[u8], payload: &[u8]) -> Result<()> {
        let current = self.current.as_mut().expect("room was made in it");
        let head = Head::new(kind, number, current.synced, meta, payload);
        let mut bytes = head.encode(current.id, current.written).to_vec();
        bytes.extend_from_slice(meta);
        let written = current.file.write_at(&bytes, current.written).and_then(|()| {
            if payload.is_empty() {
                return Ok(());
            }
            current.file.write_at(payload, current.written + bytes.len() as u64)
        });
        match written {
            Ok(()) => {
                current.written += head.total();
                Ok(())
            }
            Err(error) => Err(self.give_up("write", error)),
        }
    }

    fn sync_current(&mut self) -> Result<()> {
        let Some(current) = self.current.as_mut() else { return Ok(()) };
        if let Err(error) = current.file.sync() {
            return Err(self.give_up("sync", error));
        }
        current.synced = current.written;
        self.carried.clear();
        self.let_go();
        Ok(())
    }

    /// The current file is never written again.
    fn give_up(&mut self, action: &'static str, error: std::io::Error) -> SpoolError {
        let Some(current) = self.current.take() else {
            return SpoolError::io(action, &self.folder)(error);
        };
        let path = self.folder.join(file_name(current.number));
        tracing::warn!(file = %path.display(), %error, "spool file failed; the next change begins a new one");
        self.files.push(current.info(self.counters.next));
        SpoolError::io(action, &path)(error)
    }
}

impl CurrentFile {
    /// What is to be known of it when it is not written any more.
    pub(crate) fn info(&self, next: u64) -> FileInfo {
        let batches = (self.first_batch, next);
        FileInfo { number: self.number, id: self.id, end: self.synced, batches }
    }
}

/// Writes the bytes from `from` to `to` once more and syncs them.
fn confirm(fs: &dyn FileSystem, path: &Path, mut from: u64, to: u64) -> Result<()> {
    let mut again = || {
        let reader = fs.open_read(path)?;
        let mut file = fs.open_write(path)?;
        let mut buffer = vec![0; COPY_BYTES.min((to - from) as usize)];
        while from < to {
            let count = buffer.len().min((to - from) as usize);
            if reader.read_at(&mut buffer[..count], from)? < count {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
            file.write_at(&buffer[..count], from)?;
            from += count as u64;
        }
        file.sync()
    };
    again().map_err(SpoolError::io("write again", path))
}

fn random<const N: usize>() -> Result<[u8; N]> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|error| SpoolError::Io {
        action: "read",
        path: "the system's random numbers".into(),
        source: std::io::Error::other(error.to_string()),
    })?;
    Ok(bytes)
}
