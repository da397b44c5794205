//! What the store asks of files beyond what every durable log does: maps of whole files.
//!
//! Everything else goes through [`file_system::FileSystem`], the one door to the disk. Maps are only made of
//! files that never change any more: journal files that are replayed, and segments.

use std::io;
use std::path::Path;

use file_system::{FileSystem, RealFileSystem};
use tantivy::directory::{Directory, MmapDirectory, OwnedBytes};

/// File operations of the store.
pub trait StoreFiles: FileSystem {
    /// Maps a whole file that will not change any more.
    ///
    /// # Errors
    /// The operating system's answer.
    fn map(&self, path: &Path) -> io::Result<OwnedBytes>;
}

impl StoreFiles for RealFileSystem {
    fn map(&self, path: &Path) -> io::Result<OwnedBytes> {
        // tantivy's directory owns the one safe memory map in our dependency tree.
        let folder = path.parent().unwrap_or(Path::new("."));
        let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
        let directory = MmapDirectory::open(folder).map_err(io::Error::other)?;
        let slice = directory.open_read(Path::new(name)).map_err(io::Error::other)?;
        slice.read_bytes()
    }
}
