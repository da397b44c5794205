//! The folder of a backup, as its client fills it.
//!
//! Whatever happens while it is filled, the backup that its manifest names stays whole: new files have names of their
//! own, by their content; the manifest is replaced at once, when all that it names is durable; and only then are files
//! removed that it does not name.

use std::collections::HashSet;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use file_system::{FileSystem, JournalFile, RealFileSystem, failpoint, write_whole};

use super::contents::checksum;
use super::manifest::{SEGMENTS, is_stored_name};
use super::{BackupError, BackupFile, Manifest};
use crate::lock::{FolderLock, lock_file};

/// The manifest's place in a backup.
pub(super) const MANIFEST: &str = "manifest.json";

/// What there is of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    /// All of it, as the manifest says.
    Whole,
    /// Nothing.
    Absent,
    /// Other bytes than the manifest says.
    Damaged,
}

/// A folder that is being filled; locked.
#[derive(Debug)]
pub struct BackupFolder {
    path: PathBuf,
    previous: Option<Manifest>,
    _lock: FolderLock,
}

/// A file that is being written.
#[derive(Debug)]
pub struct BackupWriter {
    file: Box<dyn JournalFile>,
    temporary: PathBuf,
    path: PathBuf,
    expected: BackupFile,
    length: u64,
    crc32c: u32,
}

impl BackupFolder {
    /// Makes the folder if need be and locks it.
    ///
    /// # Errors
    /// [`BackupError::Unusable`] if it cannot be made, or has other things in it than a backup; a lock that another
    /// process holds; the manifest of a newer program, or a damaged one.
    pub fn open(path: &Path) -> Result<Self, BackupError> {
        let fs = RealFileSystem;
        let cannot = |error: std::io::Error| {
            BackupError::unusable(path, format!("cannot be the folder of a backup: {error}"))
        };
        fs.create_folder(path).map_err(cannot)?;
        refuse_other_content(path).map_err(cannot)??;
        fs.create_folder(&path.join(SEGMENTS)).map_err(cannot)?;
        let lock = lock_file(path)?;
        let previous = match read_manifest(path) {
            Ok(manifest) => manifest,
            Err(error) if error.is_usage() => return Err(error),
            Err(error) => {
                let manifest = path.join(MANIFEST);
                return Err(BackupError::damaged(
                    &manifest,
                    format!(
                        "{error}; remove it to make the backup anew, its files that are whole are kept"
                    ),
                ));
            }
        };
        Ok(Self { path: path.to_owned(), previous, _lock: lock })
    }

    /// Refuses a snapshot of another store than the one whose backup is here.
    ///
    /// # Errors
    /// [`BackupError::Unusable`].
    pub fn belongs_to(&self, manifest: &Manifest) -> Result<(), BackupError> {
        match &self.previous {
            Some(previous) if previous.store_id != manifest.store_id => {
                let detail = format!(
                    "has a backup of store {}, this is store {}; choose another folder",
                    previous.store_id, manifest.store_id
                );
                Err(BackupError::unusable(&self.path, detail))
            }
            _ => Ok(()),
        }
    }

    /// Looks for a file, and reads all of it.
    ///
    /// # Errors
    /// Whatever the disk says, but for a file that is not there.
    pub fn kept(&self, file: &BackupFile) -> Result<Kept, BackupError> {
        state_of(&self.path, file)
    }

    /// Begins to write a file; its space is reserved.
    ///
    /// # Errors
    /// A full disk, or whatever else it says.
    pub fn create(&self, file: &BackupFile) -> Result<BackupWriter, BackupError> {
        let path = self.path.join(file.stored_name());
        let mut temporary = path.clone().into_os_string();
        temporary.push(".tmp");
        let temporary = PathBuf::from(temporary);
        let created = RealFileSystem
            .remove(&temporary)
            .and_then(|()| RealFileSystem.create_preallocated(&temporary, file.length))
            .map_err(BackupError::io("create", &temporary))?;
        let expected = file.clone();
        Ok(BackupWriter { file: created, temporary, path, expected, length: 0, crc32c: 0 })
    }

    /// Makes the manifest the one of this backup, when all files are durable; then removes what it does not name.
    ///
    /// # Errors
    /// Whatever the disk says; before the manifest is replaced the previous backup is as it was.
    pub fn commit(&mut self, manifest: Manifest) -> Result<(), BackupError> {
        let fs = RealFileSystem;
        let segments = self.path.join(SEGMENTS);
        fs.sync_folder(&segments)
            .and_then(|()| fs.sync_folder(&self.path))
            .and_then(|()| write_whole(&fs, &self.path, MANIFEST, &manifest.to_json()))
            .and_then(|_| fs.sync_folder(&self.path))
            .map_err(BackupError::io("write", &self.path.join(MANIFEST)))?;
        failpoint::reach("backup.committed");
        let named: HashSet<PathBuf> =
            manifest.files.iter().map(|file| self.path.join(file.stored_name())).collect();
        self.previous = Some(manifest);
        for folder in [&self.path, &segments] {
            for (name, _) in fs.list(folder).map_err(BackupError::io("list", folder))? {
                let path = folder.join(&name);
                // Files that are not ours are left alone, whoever put them there.
                if is_stored_name(&name) && !named.contains(&path) {
                    fs.remove(&path).map_err(BackupError::io("remove", &path))?;
                }
            }
        }
        Ok(())
    }
}

impl BackupWriter {
    /// Adds bytes.
    ///
    /// # Errors
    /// More than the manifest says, or whatever the disk says.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), BackupError> {
        if bytes.len() as u64 > self.expected.length.saturating_sub(self.length) {
            return Err(BackupError::damaged(&self.path, "more came than the manifest says"));
        }
        self.file
            .write_at(bytes, self.length)
            .map_err(BackupError::io("write", &self.temporary))?;
        self.length += bytes.len() as u64;
        self.crc32c = crc32c::crc32c_append(self.crc32c, bytes);
        Ok(())
    }

    /// Checks what was written, makes it durable and gives it its name.
    ///
    /// # Errors
    /// [`crate::StoreError::Corrupt`] if other bytes came than the manifest says; whatever the disk says.
    pub fn finish(mut self) -> Result<(), BackupError> {
        if (self.length, self.crc32c) != (self.expected.length, self.expected.crc32c) {
            let Self { length, crc32c, expected, .. } = &self;
            let detail = format!(
                "{length} bytes with checksum {crc32c:08x} came, the manifest says {} with {:08x}",
                expected.length, expected.crc32c
            );
            return Err(BackupError::damaged(Path::new(&expected.name), detail));
        }
        self.file
            .sync()
            .and_then(|()| RealFileSystem.rename(&self.temporary, &self.path))
            .map_err(BackupError::io("write", &self.path))?;
        failpoint::reach("backup.file_copied");
        Ok(())
    }
}

impl Drop for BackupWriter {
    fn drop(&mut self) {
        // After the rename there is nothing under this name.
        let _ = RealFileSystem.remove(&self.temporary);
    }
}

/// The manifest of a backup; `None` where there is none.
pub(super) fn read_manifest(backup: &Path) -> Result<Option<Manifest>, BackupError> {
    let path = backup.join(MANIFEST);
    match RealFileSystem.read(&path) {
        Ok(bytes) => Manifest::parse(&bytes, &path).map(Some),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(BackupError::io("read", &path)(error)),
    }
}

/// What there is of a file in a backup.
pub(super) fn state_of(backup: &Path, file: &BackupFile) -> Result<Kept, BackupError> {
    let path = backup.join(file.stored_name());
    match checksum(&RealFileSystem, &path) {
        Ok(found) if found == (file.length, file.crc32c) => Ok(Kept::Whole),
        Ok(_) => Ok(Kept::Damaged),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Kept::Absent),
        // A sector that cannot be read is as good as one that was read wrong.
        Err(error) if error.raw_os_error() == Some(EIO) => Ok(Kept::Damaged),
        Err(error) => Err(BackupError::io("read", &path)(error)),
    }
}

/// Linux's number of an input or output error, which has no kind of its own.
const EIO: i32 = 5;

/// Without a manifest there may be what an interrupted first backup left, and nothing else.
fn refuse_other_content(path: &Path) -> std::io::Result<Result<(), BackupError>> {
    if path.join(MANIFEST).exists() {
        return Ok(Ok(()));
    }
    for entry in std::fs::read_dir(path)? {
        let name = entry?.file_name();
        let name = name.to_string_lossy();
        let ours =
            ["LOCK", SEGMENTS, "manifest.json.tmp"].contains(&&*name) || is_stored_name(&name);
        if !ours {
            let detail =
                format!("is not empty and no backup: it has {name}; choose another folder");
            return Ok(Err(BackupError::unusable(path, detail)));
        }
    }
    Ok(Ok(()))
}
