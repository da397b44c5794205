//! `index.tantivy`: all files of a one-segment tantivy index in one.
//!
//! ```text
//! file  = file contents, one after the other · table · table length u32 · crc32c of table u32 · magic "LQI1"
//! table = JSON: [[name, start, length], …]
//! ```
//!
//! tantivy reads it through [`BundleDirectory`], which only slices the mapped bytes.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tantivy::directory::error::{DeleteError, OpenReadError, OpenWriteError};
use tantivy::directory::{
    Directory, FileHandle, OwnedBytes, RamDirectory, WatchCallback, WatchHandle, WritePtr,
};

const MAGIC: &[u8; 4] = b"LQI1";
const TRAILER_BYTES: usize = 12;

/// Packs the named files of a directory in memory into one.
pub(super) fn pack(
    directory: &RamDirectory,
    names: impl Iterator<Item = PathBuf>,
) -> io::Result<Vec<u8>> {
    let mut out = Vec::new();
    let mut table: Vec<(String, usize, usize)> = Vec::new();
    for name in names {
        let content = directory.open_read(&name).map_err(io::Error::other)?.read_bytes()?;
        table.push((name.to_string_lossy().into_owned(), out.len(), content.len()));
        out.extend_from_slice(&content);
    }
    let table = serde_json::to_vec(&table)?;
    let crc = crc32c::crc32c(&table);
    out.extend_from_slice(&table);
    out.extend_from_slice(&(table.len() as u32).to_le_bytes());
    out.extend_from_slice(&crc.to_le_bytes());
    out.extend_from_slice(MAGIC);
    Ok(out)
}

/// A read-only directory over the bytes of a bundle.
#[derive(Clone, Debug)]
pub(super) struct BundleDirectory {
    files: Arc<HashMap<PathBuf, OwnedBytes>>,
}

impl BundleDirectory {
    /// `None` if the table is damaged.
    pub(super) fn open(bytes: &OwnedBytes) -> Option<Self> {
        let table_end = bytes.len().checked_sub(TRAILER_BYTES)?;
        let trailer = &bytes[table_end..];
        let length = u32::from_le_bytes(trailer[..4].try_into().ok()?) as usize;
        let crc = u32::from_le_bytes(trailer[4..8].try_into().ok()?);
        let table = &bytes[table_end.checked_sub(length)?..table_end];
        if &trailer[8..] != MAGIC || crc32c::crc32c(table) != crc {
            return None;
        }
        let table: Vec<(String, usize, usize)> = serde_json::from_slice(table).ok()?;
        let mut files = HashMap::new();
        for (name, start, length) in table {
            let end = start.checked_add(length).filter(|end| *end <= bytes.len())?;
            files.insert(PathBuf::from(name), bytes.slice(start..end));
        }
        Some(Self { files: Arc::new(files) })
    }

    fn get(&self, path: &Path) -> Result<&OwnedBytes, OpenReadError> {
        self.files.get(path).ok_or_else(|| OpenReadError::FileDoesNotExist(path.to_owned()))
    }
}

impl Directory for BundleDirectory {
    fn get_file_handle(&self, path: &Path) -> Result<Arc<dyn FileHandle>, OpenReadError> {
        Ok(Arc::new(self.get(path)?.clone()))
    }

    fn delete(&self, path: &Path) -> Result<(), DeleteError> {
        Err(DeleteError::IoError { io_error: Arc::new(read_only()), filepath: path.to_owned() })
    }

    fn exists(&self, path: &Path) -> Result<bool, OpenReadError> {
        Ok(self.files.contains_key(path))
    }

    fn open_write(&self, path: &Path) -> Result<WritePtr, OpenWriteError> {
        Err(OpenWriteError::IoError { io_error: Arc::new(read_only()), filepath: path.to_owned() })
    }

    fn atomic_read(&self, path: &Path) -> Result<Vec<u8>, OpenReadError> {
        Ok(self.get(path)?.to_vec())
    }

    fn atomic_write(&self, _path: &Path, _data: &[u8]) -> io::Result<()> {
        Err(read_only())
    }

    fn sync_directory(&self) -> io::Result<()> {
        Ok(())
    }

    fn watch(&self, _watch_callback: WatchCallback) -> tantivy::Result<WatchHandle> {
        Ok(WatchHandle::empty())
    }
}

fn read_only() -> io::Error {
    io::Error::new(io::ErrorKind::PermissionDenied, "segments never change")
}
