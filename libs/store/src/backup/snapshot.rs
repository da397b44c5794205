//! Snapshots of a running store: a copy of the catalog, and a hold on the files that it names.
//!
//! Segments change only under the lock of the marks, from the transaction until the view has them. So whoever holds it
//! sees the same segments in the catalog and in the view, and a hold on those of the view keeps their files.
//!
//! A snapshot is leased: after [`LEASE`] in which nobody asked for anything of it, it goes, and with it whatever only it
//! kept on the disk. At most [`SNAPSHOTS_MAX`] are held. `DATA/snapshots/` has their copies of the catalog; a start
//! removes what a crash left there.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use file_system::{FileReader, FileSystem, failpoint};
use record::Timestamp;

use super::contents::describe;
use super::manifest::CATALOG;
use super::{BackupError, Manifest};
use crate::error::{Result, StoreError};
use crate::segment::Segment;
use crate::store::{Shared, Store, locked};

/// Snapshots at once.
pub const SNAPSHOTS_MAX: usize = 4;
/// How long a snapshot is held for a client that asks for nothing.
pub const LEASE: Duration = Duration::from_secs(600);
const COPY_SUFFIX: &str = ".catalog.db";

/// The snapshots that are held.
#[derive(Debug, Default)]
pub(crate) struct Snapshots {
    held: Mutex<BTreeMap<String, Arc<Snapshot>>>,
    /// Those held, being made, or still read from.
    slots: Arc<AtomicUsize>,
    begun: AtomicU64,
}

/// One of [`SNAPSHOTS_MAX`].
#[derive(Debug)]
struct Slot(Arc<AtomicUsize>);

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

/// A copy of the catalog, gone with whoever holds it.
#[derive(Debug)]
struct CatalogCopy {
    fs: Arc<dyn FileSystem>,
    path: PathBuf,
}

impl Drop for CatalogCopy {
    fn drop(&mut self) {
        if let Err(error) = self.fs.remove(&self.path) {
            tracing::warn!(path = %self.path.display(), %error, "cannot remove a copy of the catalog");
        }
    }
}

#[derive(Debug)]
struct Snapshot {
    manifest: Manifest,
    segments: Vec<Arc<Segment>>,
    catalog: CatalogCopy,
    renewed: Mutex<Instant>,
    _slot: Slot,
}

/// A snapshot that is held, for a person to look at.
#[derive(Clone, Debug, PartialEq)]
pub struct SnapshotStatus {
    /// Names it in requests.
    pub id: String,
    /// When it was made, RFC 3339.
    pub created_at: String,
    /// Bytes of all its files.
    pub bytes: u64,
    /// Bytes that are on the disk only for it: of segments that were merged away or expired since.
    pub bytes_kept_for_it: u64,
    /// When it goes if nobody asks for anything of it.
    pub lease_left: Duration,
}

/// A file of a snapshot, to be read. While it is read its snapshot is held.
#[derive(Debug)]
pub struct SnapshotFile {
    snapshot: Arc<Snapshot>,
    reader: Box<dyn FileReader>,
    length: u64,
}

impl SnapshotFile {
    /// As the manifest says.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// Fills `buffer` from a position on, as far as the file goes; renews the lease.
    ///
    /// # Errors
    /// The operating system's answer.
    pub fn read_at(&self, buffer: &mut [u8], position: u64) -> std::io::Result<usize> {
        self.snapshot.renew();
        self.reader.read_at(buffer, position)
    }
}

impl Snapshot {
    fn renew(&self) {
        *locked(&self.renewed) = Instant::now();
    }

    fn is_due(&self, now: Instant) -> bool {
        now.saturating_duration_since(*locked(&self.renewed)) >= LEASE
    }
}

impl Snapshots {
    fn slot(&self) -> Result<Slot, BackupError> {
        let slot = Slot(Arc::clone(&self.slots));
        match self.slots.fetch_add(1, Ordering::AcqRel) {
            SNAPSHOTS_MAX.. => Err(BackupError::TooManySnapshots { max: SNAPSHOTS_MAX }),
            _ => Ok(slot),
        }
    }

    /// Lets go of those whose lease has ended.
    pub(crate) fn expire(&self, now: Instant) {
        let mut due = Vec::new();
        locked(&self.held).retain(|id, snapshot| {
            let keep = !snapshot.is_due(now);
            if !keep {
                due.push((id.clone(), Arc::clone(snapshot)));
            }
            keep
        });
        // Dropped here, without the lock: files are unlinked.
        for (id, _snapshot) in due {
            tracing::warn!(snapshot = id, "a backup did not end its snapshot; its lease has ended");
        }
    }

    fn get(&self, id: &str) -> Result<Arc<Snapshot>, BackupError> {
        self.expire(Instant::now());
        let snapshot = locked(&self.held).get(id).cloned();
        let snapshot = snapshot.ok_or_else(|| BackupError::NoSuchSnapshot { id: id.to_owned() })?;
        snapshot.renew();
        Ok(snapshot)
    }
}

impl Store {
    /// Flushes, and holds what is in segments then: everything that was acknowledged before the call. Gives the
    /// snapshot's id and what is in it. Taking batches goes on meanwhile.
    ///
    /// # Errors
    /// [`BackupError::TooManySnapshots`]; what kept the flush from ending or the catalog from being copied.
    pub fn begin_snapshot(&self) -> Result<(String, Manifest), BackupError> {
        let shared = &self.shared;
        shared.snapshots.expire(Instant::now());
        let slot = shared.snapshots.slot()?;
        self.flush()?;
        let number = shared.snapshots.begun.fetch_add(1, Ordering::Relaxed);
        let id = format!("{:x}-{number}", Timestamp::now().0);
        let folder = shared.folder.join("snapshots");
        shared.fs.create_folder(&folder).map_err(StoreError::io("create", &folder))?;
        let fs: Arc<dyn FileSystem> = Arc::clone(&shared.fs) as _;
        let catalog = CatalogCopy { fs, path: folder.join(format!("{id}{COPY_SUFFIX}")) };
        let segments = copy_catalog(shared, &catalog.path)?;
        failpoint::check("backup.snapshot").map_err(BackupError::io("copy", &catalog.path))?;
        let manifest = describe(&*shared.fs, &catalog.path, &segments)?;
        let renewed = Mutex::new(Instant::now());
        let snapshot =
            Snapshot { manifest: manifest.clone(), segments, catalog, renewed, _slot: slot };
        locked(&shared.snapshots.held).insert(id.clone(), Arc::new(snapshot));
        Ok((id, manifest))
    }

    /// Renews the lease of a snapshot; gives what is in it.
    ///
    /// # Errors
    /// [`BackupError::NoSuchSnapshot`].
    pub fn renew_snapshot(&self, id: &str) -> Result<Manifest, BackupError> {
        Ok(self.shared.snapshots.get(id)?.manifest.clone())
    }

    /// Opens a file of a snapshot by its name in the manifest; renews the lease.
    ///
    /// # Errors
    /// [`BackupError::NoSuchSnapshot`], [`BackupError::NoSuchFile`], or whatever the disk says.
    pub fn open_snapshot_file(&self, id: &str, name: &str) -> Result<SnapshotFile, BackupError> {
        let snapshot = self.shared.snapshots.get(id)?;
        let Some(file) = snapshot.manifest.file(name) else {
            return Err(BackupError::NoSuchFile { name: name.to_owned() });
        };
        let path = match name {
            CATALOG => snapshot.catalog.path.clone(),
            segment => self.shared.folder.join(segment),
        };
        let length = file.length;
        let reader = self.shared.fs.open_read(&path).map_err(StoreError::io("read", &path))?;
        Ok(SnapshotFile { snapshot, reader, length })
    }

    /// Lets go of a snapshot.
    ///
    /// # Errors
    /// [`BackupError::NoSuchSnapshot`].
    pub fn end_snapshot(&self, id: &str) -> Result<(), BackupError> {
        let snapshot = locked(&self.shared.snapshots.held).remove(id);
        snapshot.map(drop).ok_or_else(|| BackupError::NoSuchSnapshot { id: id.to_owned() })
    }

    /// The snapshots that are held.
    pub fn snapshots(&self) -> Vec<SnapshotStatus> {
        let now = Instant::now();
        self.shared.snapshots.expire(now);
        let held = locked(&self.shared.snapshots.held).clone();
        let status = |(id, snapshot): (String, Arc<Snapshot>)| {
            let doomed = snapshot.segments.iter().filter(|segment| segment.is_doomed());
            SnapshotStatus {
                id,
                created_at: snapshot.manifest.created_at.clone(),
                bytes: snapshot.manifest.bytes(),
                bytes_kept_for_it: doomed.map(|segment| segment.meta().bytes()).sum(),
                lease_left: LEASE
                    .saturating_sub(now.saturating_duration_since(*locked(&snapshot.renewed))),
            }
        };
        held.into_iter().map(status).collect()
    }
}

/// Copies the catalog and takes hold of the segments that it names, at one moment.
fn copy_catalog(shared: &Shared, path: &Path) -> Result<Vec<Arc<Segment>>> {
    let _marks = locked(&shared.marks);
    locked(&shared.catalog).copy_to(path)?;
    Ok(shared.view().segments().to_vec())
}

/// Removes copies of the catalog that a crash left.
pub(crate) fn remove_copies(fs: &dyn FileSystem, data: &Path) -> Result<()> {
    let folder = data.join("snapshots");
    let files = match fs.list(&folder) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        files => files.map_err(StoreError::io("list", &folder))?,
    };
    for (name, _) in files.iter().filter(|(name, _)| name.contains(COPY_SUFFIX)) {
        let path = folder.join(name);
        fs.remove(&path).map_err(StoreError::io("remove", &path))?;
    }
    Ok(())
}
