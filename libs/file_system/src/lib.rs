//! The one door to the disk: durable files are made, read, renamed and removed through [`FileSystem`].
//!
//! Two kinds of files exist. Journal files are preallocated, written at positions and synced, and may be read
//! meanwhile. All others are written once, whole, under a temporary name and then renamed.
//!
//! What a caller may rely on after a crash: bytes that a successful sync covered, and names that a successful
//! [`sync_folder`](FileSystem::sync_folder) covered. Everything else may be there, be missing, or be there in
//! parts. [`ModelFileSystem`] does all of that on purpose.

pub mod failpoint;
mod model;
mod real;

use std::fmt::Debug;
use std::io;
use std::path::{Path, PathBuf};

pub use model::{Fault, ModelFileSystem, SECTOR_BYTES};
pub use real::{DiskSpace, RealFileSystem, disk_space};

/// File operations. All paths are absolute or relative to the process.
///
/// # Errors
/// Every operation gives the operating system's answer.
pub trait FileSystem: Debug + Send + Sync + 'static {
    /// Makes a folder and its parents; fine if it exists.
    fn create_folder(&self, path: &Path) -> io::Result<()>;
    /// Creates a new file of `length` zero bytes whose space is reserved; fails if it exists.
    fn create_preallocated(&self, path: &Path, length: u64) -> io::Result<Box<dyn JournalFile>>;
    /// Opens a file that exists for writing.
    fn open_write(&self, path: &Path) -> io::Result<Box<dyn JournalFile>>;
    /// Opens a file that exists for reading; it may be written meanwhile.
    fn open_read(&self, path: &Path) -> io::Result<Box<dyn FileReader>>;
    /// Writes a whole file and syncs it; replaces what was there.
    fn write_synced(&self, path: &Path, content: &[u8]) -> io::Result<()>;
    /// Reads a whole file.
    fn read(&self, path: &Path) -> io::Result<Vec<u8>>;
    /// Renames a file over whatever has the new name.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a file; fine if it is gone.
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// Names and lengths of the files in a folder, sorted by name.
    fn list(&self, folder: &Path) -> io::Result<Vec<(String, u64)>>;
    /// Makes creations, renames and removals in a folder durable.
    fn sync_folder(&self, folder: &Path) -> io::Result<()>;
}

/// A file that is written at positions and synced.
///
/// # Errors
/// Every operation gives the operating system's answer. After a failed sync nobody knows what of the file is
/// on the disk, and a second sync that succeeds proves nothing.
pub trait JournalFile: Debug + Send {
    /// Writes all bytes at a position.
    fn write_at(&mut self, bytes: &[u8], position: u64) -> io::Result<()>;
    /// Returns when everything written is on the disk (`fdatasync`).
    fn sync(&mut self) -> io::Result<()>;
    /// Cuts the file or fills it up with zeros.
    fn set_length(&mut self, length: u64) -> io::Result<()>;
}

/// A file that is read at positions.
///
/// # Errors
/// Every operation gives the operating system's answer.
pub trait FileReader: Debug + Send + Sync {
    /// Fills `buffer` from a position on; gives fewer bytes only where the file ends.
    fn read_at(&self, buffer: &mut [u8], position: u64) -> io::Result<usize>;
    /// Length of the file now.
    fn length(&self) -> io::Result<u64>;
}

/// Writes `content` under `name` in `folder` so that after a crash there is the whole file or none.
///
/// # Errors
/// Whatever the file system says; the temporary file is gone then.
pub fn write_whole(
    fs: &dyn FileSystem,
    folder: &Path,
    name: &str,
    content: &[u8],
) -> io::Result<PathBuf> {
    let temporary = folder.join(format!("{name}.tmp"));
    let path = folder.join(name);
    fs.write_synced(&temporary, content)?;
    failpoint::reach("file.written");
    if let Err(error) = fs.rename(&temporary, &path) {
        let _ = fs.remove(&temporary);
        return Err(error);
    }
    failpoint::reach("file.renamed");
    Ok(path)
}
