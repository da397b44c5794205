//! One process owns a data folder: `DATA/LOCK` is held by `flock` and names its owner, `DATA/VERSION`
//! tells the format.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::Path;

use crate::error::{Result, StoreError};

/// Version of the data folder's layout; a newer one is refused.
pub(crate) const FOLDER_VERSION: u32 = 1;
/// The file that tells it.
pub(crate) const VERSION: &str = "VERSION";
const LOCK: &str = "LOCK";

/// Holds the lock until dropped; the operating system releases it when the process dies.
#[derive(Debug)]
pub(crate) struct FolderLock {
    _file: File,
}

/// Creates the folder if need be, locks it and checks its version.
///
/// # Errors
/// [`StoreError::Locked`] with the owner's name; [`StoreError::NewerVersion`].
pub(crate) fn lock_folder(data: &Path) -> Result<FolderLock> {
    std::fs::create_dir_all(data).map_err(StoreError::io("create", data))?;
    let lock = lock_file(data)?;
    check_version(data)?;
    Ok(lock)
}

/// Holds off those who write, where there is something to hold on to: a backup may lie on a disk that cannot be
/// written, or have been copied without its lock.
///
/// # Errors
/// [`StoreError::Locked`] with the owner's name.
pub(crate) fn share_lock(folder: &Path) -> Result<Option<FolderLock>> {
    let path = folder.join(LOCK);
    let Ok(file) = File::open(&path) else { return Ok(None) };
    match file.try_lock_shared() {
        Ok(()) => Ok(Some(FolderLock { _file: file })),
        Err(TryLockError::WouldBlock) => Err(owned(folder, file)),
        Err(TryLockError::Error(source)) => Err(StoreError::io("lock", &path)(source)),
    }
}

/// Locks a folder that is there, whatever is in it.
///
/// # Errors
/// [`StoreError::Locked`] with the owner's name.
pub(crate) fn lock_file(folder: &Path) -> Result<FolderLock> {
    let path = folder.join(LOCK);
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(&path)
        .map_err(StoreError::io("open", &path))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Err(owned(folder, file)),
        Err(TryLockError::Error(source)) => return Err(StoreError::io("lock", &path)(source)),
    }
    // Who owns it is a courtesy to the second process; a full disk must not keep the first from starting.
    let _ = file
        .set_len(0)
        .and_then(|()| file.rewind())
        .and_then(|()| writeln!(file, "{}", owner_name()));
    Ok(FolderLock { _file: file })
}

fn owned(folder: &Path, mut lock: File) -> StoreError {
    let mut owner = String::new();
    let _ = lock.read_to_string(&mut owner);
    let owner = match owner.trim() {
        "" => "another process".to_owned(),
        owner => owner.to_owned(),
    };
    StoreError::Locked { path: folder.to_owned(), owner }
}

fn owner_name() -> String {
    let program = std::env::args_os().next().map(std::path::PathBuf::from);
    let name = program
        .as_deref()
        .and_then(Path::file_name)
        .map_or("logq".into(), |name| name.to_string_lossy());
    format!("{name} (process {})", std::process::id())
}

fn check_version(data: &Path) -> Result<()> {
    let path = data.join(VERSION);
    match std::fs::read_to_string(&path) {
        Ok(text) => match text.trim().parse::<u32>() {
            Ok(found) if found <= FOLDER_VERSION => Ok(()),
            Ok(found) => Err(StoreError::NewerVersion { path, found, supported: FOLDER_VERSION }),
            Err(_) => Err(StoreError::corrupt(
                &path,
                format!("expected a number, found {:?}", text.trim()),
            )),
        },
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let mut file = File::create(&path).map_err(StoreError::io("create", &path))?;
            writeln!(file, "{FOLDER_VERSION}")
                .and_then(|()| file.sync_all())
                .map_err(StoreError::io("write", &path))
        }
        Err(error) => Err(StoreError::io("read", &path)(error)),
    }
}
