//! A data folder made of a backup.
//!
//! All of the backup is checked first. Then the folder is built beside its place, as `.NAME.restoring`, with a VERSION
//! that no program starts with, and renamed when it is whole: a kill in between leaves nothing that is taken for data,
//! and the next restore builds it anew.
//!
//! The store keeps its id and gets a higher generation, so that agents notice. The generation is the time of the restore
//! in milliseconds, or one more than that of the backup if a clock was ahead: of two stores that were restored from the
//! same backup neither passes for the other.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use file_system::{FileSystem, RealFileSystem, failpoint};
use record::Timestamp;

use super::contents::{BLOCK_BYTES, ledger_of, segment_files};
use super::folder::{MANIFEST, read_manifest, state_of};
use super::manifest::{CATALOG, SEGMENTS};
use super::{BackupError, BackupFile, Kept, Manifest};
use crate::catalog::{Catalog, SqliteCatalog};
use crate::ledger::Ledger;
use crate::lock::{FolderLock, VERSION, lock_file, share_lock};

const NANOS_PER_MS: i64 = 1_000_000;
/// In VERSION while the folder is built.
const UNFINISHED: &[u8] = b"restoring, not to be started\n";

/// Told how many bytes more are done, and how many there are to do in all.
pub type Progress<'p> = &'p mut dyn FnMut(u64, u64);

/// A backup that was looked through.
#[derive(Debug)]
pub struct Checked {
    /// What it says that it has.
    pub manifest: Manifest,
    /// Files that are missing or damaged, a sentence each; none if it is whole.
    pub faults: Vec<String>,
    /// Nobody changes it meanwhile.
    _lock: Option<FolderLock>,
}

/// A data folder that was made.
#[derive(Debug)]
pub struct Restored {
    /// What is in it.
    pub manifest: Manifest,
    /// The generation of the store from now on.
    pub generation: u64,
}

/// Looks through a backup: its manifest, and the checksum of every file. See [`Progress`].
///
/// # Errors
/// [`BackupError::Unusable`] if it is none; a manifest that is damaged or of a newer program.
pub fn check_backup(backup: &Path, progress: Progress<'_>) -> Result<Checked, BackupError> {
    if !backup.is_dir() {
        return Err(BackupError::unusable(backup, "is no folder with a backup"));
    }
    let lock = share_lock(backup)?;
    let Some(manifest) = read_manifest(backup)? else {
        let detail =
            format!("has no {MANIFEST}: it is no backup, or the first one into it did not end");
        return Err(BackupError::unusable(backup, detail));
    };
    let mut faults = Vec::new();
    for file in &manifest.files {
        let path = backup.join(file.stored_name());
        match state_of(backup, file)? {
            Kept::Whole => {}
            Kept::Absent => faults.push(format!("{} is missing", path.display())),
            Kept::Damaged => {
                faults.push(format!("{} is damaged: its checksum does not fit", path.display()));
            }
        }
        progress(file.length, manifest.bytes());
    }
    Ok(Checked { manifest, faults, _lock: lock })
}

/// Makes `data`, which must be absent or empty, of a backup. All of it is read, then copied.
///
/// # Errors
/// [`BackupError::Unusable`] if `data` has something in it; [`StoreError::Corrupt`] naming the first damaged file;
/// whatever the disk says. Nothing is left behind then.
pub fn restore(
    backup: &Path,
    data: &Path,
    progress: Progress<'_>,
) -> Result<Restored, BackupError> {
    let (data, building) = places(data)?;
    let Checked { manifest, faults, _lock: _backup_lock } =
        check_backup(backup, &mut |bytes, all| progress(bytes, 2 * all))?;
    if let Some(first) = faults.first() {
        let detail = format!(
            "{first} ({} of {} files are not as they were)",
            faults.len(),
            manifest.files.len()
        );
        return Err(BackupError::damaged(backup, detail));
    }
    let fs = RealFileSystem;
    fs.create_folder(&building).map_err(BackupError::io("create", &building))?;
    let lock = lock_file(&building)?;
    let all = manifest.bytes();
    let built = build(backup, &building, &manifest, &mut |bytes| progress(bytes, 2 * all))
        .and_then(|generation| {
            put_in_place(&building, &data)?;
            Ok(generation)
        });
    drop(lock);
    match built {
        Ok(generation) => Ok(Restored { manifest, generation }),
        Err(error) => {
            // Its space may be what is missing. What cannot be removed is cleared by the next restore.
            let _ = std::fs::remove_dir_all(&building);
            Err(error)
        }
    }
}

/// Where the folder is to be, and where it is built.
fn places(data: &Path) -> Result<(PathBuf, PathBuf), BackupError> {
    let cannot =
        |error: std::io::Error| BackupError::unusable(data, format!("cannot be made: {error}"));
    let place = match std::fs::canonicalize(data) {
        Ok(place) => {
            if std::fs::read_dir(&place).map_err(cannot)?.next().is_some() {
                let detail = "is not empty; restore into a new folder, nothing was touched";
                return Err(BackupError::unusable(data, detail));
            }
            place
        }
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let parent = match data.parent() {
                Some(parent) if !parent.as_os_str().is_empty() => parent,
                _ => Path::new("."),
            };
            std::fs::create_dir_all(parent).map_err(cannot)?;
            let name = data.file_name().ok_or_else(|| cannot(ErrorKind::InvalidInput.into()))?;
            std::fs::canonicalize(parent).map_err(cannot)?.join(name)
        }
        Err(error) => return Err(cannot(error)),
    };
    let name = place.file_name().ok_or_else(|| cannot(ErrorKind::InvalidInput.into()))?;
    let building = place.with_file_name(format!(".{}.restoring", name.to_string_lossy()));
    Ok((place, building))
}

/// Builds all of the folder but its place; gives the generation.
fn build(
    backup: &Path,
    building: &Path,
    manifest: &Manifest,
    progress: &mut dyn FnMut(u64),
) -> Result<u64, BackupError> {
    let fs = RealFileSystem;
    clear(building).map_err(BackupError::io("clear", building))?;
    let (version, segments) = (building.join(VERSION), building.join(SEGMENTS));
    fs.write_synced(&version, UNFINISHED).map_err(BackupError::io("write", &version))?;
    fs.create_folder(&segments).map_err(BackupError::io("create", &segments))?;
    for file in &manifest.files {
        copy(&backup.join(file.stored_name()), &building.join(&file.name), file, progress)?;
    }
    let generation = put_catalog_right(&building.join(CATALOG), manifest)?;
    failpoint::reach("restore.copied");
    let number = format!("{}\n", manifest.folder_version);
    fs.sync_folder(&segments)
        .and_then(|()| fs.write_synced(&version, number.as_bytes()))
        .and_then(|()| fs.sync_folder(building))
        .map_err(BackupError::io("write", building))?;
    Ok(generation)
}

/// Removes what a restore left that was killed; but for the lock, which is held.
fn clear(building: &Path) -> std::io::Result<()> {
    for entry in std::fs::read_dir(building)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            std::fs::remove_dir_all(entry.path())?;
        } else if entry.file_name() != "LOCK" {
            std::fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

fn copy(
    from: &Path,
    to: &Path,
    file: &BackupFile,
    progress: &mut dyn FnMut(u64),
) -> Result<(), BackupError> {
    let source = RealFileSystem.open_read(from).map_err(BackupError::io("read", from))?;
    let mut target = RealFileSystem
        .create_preallocated(to, file.length)
        .map_err(BackupError::io("create", to))?;
    let mut block = vec![0; BLOCK_BYTES];
    let (mut length, mut crc) = (0, 0);
    while length < file.length {
        let read = source.read_at(&mut block, length).map_err(BackupError::io("read", from))?;
        if read == 0 {
            break;
        }
        target.write_at(&block[..read], length).map_err(BackupError::io("write", to))?;
        length += read as u64;
        crc = crc32c::crc32c_append(crc, &block[..read]);
        progress(read as u64);
    }
    target.sync().map_err(BackupError::io("sync", to))?;
    match (length, crc) == (file.length, file.crc32c) {
        true => Ok(()),
        false => Err(BackupError::damaged(from, "it changed while it was read")),
    }
}

/// Holds the catalog against the manifest, and gives the store its new generation.
fn put_catalog_right(path: &Path, manifest: &Manifest) -> Result<u64, BackupError> {
    let mut catalog = SqliteCatalog::open(path)?;
    let state = catalog.load()?;
    let whole = state.store_id == manifest.store_id
        && state.generation == manifest.generation
        && state.segments.len() as u64 == manifest.segments
        && state.segments.iter().flat_map(segment_files).all(|file| manifest.files.contains(&file))
        && counts(&ledger_of(state)) == counts(&manifest.ledger);
    if !whole {
        return Err(BackupError::damaged(path, "it does not say the same as the manifest"));
    }
    let now_ms = u64::try_from(Timestamp::now().0 / NANOS_PER_MS).unwrap_or(0);
    let generation = now_ms.max(manifest.generation.saturating_add(1));
    catalog.set_generation(generation)?;
    Ok(generation)
}

/// What a manifest of any version has of the account.
fn counts(ledger: &Ledger) -> [u64; 6] {
    let counters = &ledger.counters;
    [
        ledger.received,
        counters.accepted,
        ledger.indexed,
        counters.expired,
        counters.quarantined,
        counters.deleted,
    ]
}

fn put_in_place(building: &Path, data: &Path) -> Result<(), BackupError> {
    match RealFileSystem.rename(building, data) {
        Ok(()) => {}
        Err(error) if error.kind() == ErrorKind::DirectoryNotEmpty => {
            return Err(BackupError::unusable(data, "is not empty any more; nothing was touched"));
        }
        Err(error)
            if matches!(error.kind(), ErrorKind::ResourceBusy | ErrorKind::CrossesDevices) =>
        {
            let detail = "is a mount point, so it cannot be put there whole; name a folder in it";
            return Err(BackupError::unusable(data, detail));
        }
        Err(error) => return Err(BackupError::io("rename", building)(error)),
    }
    failpoint::reach("restore.renamed");
    let parent = data.parent().unwrap_or(Path::new("/"));
    RealFileSystem.sync_folder(parent).map_err(BackupError::io("sync", parent))
}
