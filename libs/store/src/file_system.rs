//! The one door to the disk: every file of the store is made, read, renamed and removed through
//! [`FileSystem`].
//!
//! Two kinds of files exist. Journal files are preallocated, written at positions and synced. All others
//! (segments, quarantined bytes) are written once, whole, under a temporary name and then renamed. Reads
//! are maps of whole files that never change any more.

use std::fmt::Debug;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use tantivy::directory::{Directory, MmapDirectory, OwnedBytes};

/// File operations of the store. All paths are absolute or relative to the process.
pub trait FileSystem: Debug + Send + Sync + 'static {
    /// Makes a folder and its parents; fine if it exists.
    fn create_folder(&self, path: &Path) -> io::Result<()>;
    /// Creates a new file of `length` zero bytes whose space is reserved; fails if it exists.
    fn create_preallocated(&self, path: &Path, length: u64) -> io::Result<Box<dyn JournalFile>>;
    /// Writes a whole file and syncs it; replaces what was there.
    fn write_synced(&self, path: &Path, content: &[u8]) -> io::Result<()>;
    /// Reads a whole file.
    fn read(&self, path: &Path) -> io::Result<Vec<u8>>;
    /// Maps a whole file that will not change any more.
    fn map(&self, path: &Path) -> io::Result<OwnedBytes>;
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
pub trait JournalFile: Debug + Send {
    /// Writes all bytes at a position.
    fn write_at(&mut self, bytes: &[u8], position: u64) -> io::Result<()>;
    /// Returns when everything written is on the disk (`fdatasync`).
    fn sync(&mut self) -> io::Result<()>;
}

/// The operating system's files.
#[derive(Debug, Default)]
pub struct RealFileSystem;

impl FileSystem for RealFileSystem {
    fn create_folder(&self, path: &Path) -> io::Result<()> {
        std::fs::create_dir_all(path)
    }

    fn create_preallocated(&self, path: &Path, length: u64) -> io::Result<Box<dyn JournalFile>> {
        let file = OpenOptions::new().write(true).create_new(true).open(path)?;
        if let Err(error) =
            rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), 0, length)
        {
            // A file system without fallocate still works, only with slower syncs.
            if error != rustix::io::Errno::OPNOTSUPP {
                let _ = std::fs::remove_file(path);
                return Err(error.into());
            }
        }
        file.sync_all()?;
        Ok(Box::new(RealJournalFile(file)))
    }

    fn write_synced(&self, path: &Path, content: &[u8]) -> io::Result<()> {
        let file = OpenOptions::new().write(true).create(true).truncate(true).open(path)?;
        let written = file.write_all_at(content, 0).and_then(|()| file.sync_all());
        if written.is_err() {
            // Half a file is worth nothing, and its space may be what is missing.
            let _ = std::fs::remove_file(path);
        }
        written
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        std::fs::read(path)
    }

    fn map(&self, path: &Path) -> io::Result<OwnedBytes> {
        // tantivy's directory owns the one safe memory map in our dependency tree.
        let folder = path.parent().unwrap_or(Path::new("."));
        let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
        let directory = MmapDirectory::open(folder).map_err(io::Error::other)?;
        let slice = directory.open_read(Path::new(name)).map_err(io::Error::other)?;
        slice.read_bytes()
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        std::fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        match std::fs::remove_file(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other,
        }
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<(String, u64)>> {
        let mut files = Vec::new();
        for entry in std::fs::read_dir(folder)? {
            let entry = entry?;
            let metadata = entry.metadata()?;
            if let (true, Ok(name)) = (metadata.is_file(), entry.file_name().into_string()) {
                files.push((name, metadata.len()));
            }
        }
        files.sort();
        Ok(files)
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        File::open(folder)?.sync_all()
    }
}

#[derive(Debug)]
struct RealJournalFile(File);

impl JournalFile for RealJournalFile {
    fn write_at(&mut self, bytes: &[u8], position: u64) -> io::Result<()> {
        self.0.write_all_at(bytes, position)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.0.sync_data()
    }
}

/// Writes `content` under `name` in `folder` so that after a crash there is the whole file or none.
///
/// # Errors
/// Whatever the file system says; the temporary file is gone then.
pub(crate) fn write_whole(
    fs: &dyn FileSystem,
    folder: &Path,
    name: &str,
    content: &[u8],
) -> io::Result<PathBuf> {
    let temporary = folder.join(format!("{name}.tmp"));
    let path = folder.join(name);
    fs.write_synced(&temporary, content)?;
    if let Err(error) = fs.rename(&temporary, &path) {
        let _ = fs.remove(&temporary);
        return Err(error);
    }
    Ok(path)
}
