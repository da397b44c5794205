//! A segment: an immutable pair of files, Parquet columns and a tantivy index.
//!
//! ```text
//! DATA/segments/0000000000000042.records.parquet   rows in (timestamp, record_seq) order; footer key `logq`
//! DATA/segments/0000000000000042.index.tantivy     see [`bundle`] and [`index`]
//! ```
//!
//! The index narrows, the columns decide: [`Segment::select`] asks the index for the rows that can match
//! and reads the filter's columns only where the index is not exact.

mod bundle;
mod footer;
mod index;
mod meta;
mod narrow;
mod opened;
mod read;
mod rows;
mod widths;
mod write;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use file_system::{FileSystem, failpoint, write_whole};

pub(crate) use footer::{keep_newer, read_footer};
pub use meta::{RollUp, SegmentId, SegmentMeta};
pub(crate) use opened::SegmentFolder;
pub use read::RowSet;
pub use rows::RowBitmap;
pub(crate) use write::{SegmentBuilder, SegmentFiles, SegmentName, build};

use crate::error::{Result, StoreError};
use crate::files::StoreFiles;
use index::IndexReader;

/// Suffix of the column file.
pub(crate) const RECORDS_SUFFIX: &str = ".records.parquet";
/// Read at a time for a checksum.
const CHECKSUM_BLOCK_BYTES: usize = 256 << 10;
/// Suffix of the index file.
pub(crate) const INDEX_SUFFIX: &str = ".index.tantivy";

/// A segment on disk. Its files are opened when needed, checked when first opened, and removed when the last view
/// that holds it is gone, if it was [doomed](Segment::doom).
#[derive(Debug)]
pub struct Segment {
    meta: SegmentMeta,
    home: Arc<SegmentFolder>,
    /// Whether length and checksum of each file were once found right.
    checked_records: AtomicBool,
    checked_index: AtomicBool,
    doomed: AtomicBool,
    /// What is wrong with each file, once that was found.
    damaged_records: OnceLock<String>,
    damaged_index: OnceLock<String>,
}

impl Segment {
    pub(crate) fn new(meta: SegmentMeta, home: Arc<SegmentFolder>) -> Self {
        Self {
            meta,
            home,
            checked_records: AtomicBool::new(false),
            checked_index: AtomicBool::new(false),
            doomed: AtomicBool::new(false),
            damaged_records: OnceLock::new(),
            damaged_index: OnceLock::new(),
        }
    }

    /// What the catalog knows of it.
    pub fn meta(&self) -> &SegmentMeta {
        &self.meta
    }

    /// From now on its files go when nobody holds it any more.
    pub(crate) fn doom(&self) {
        self.doomed.store(true, Ordering::Release);
    }

    /// What is wrong with its files, if that was found.
    pub(crate) fn damage(&self) -> Option<String> {
        let found = [&self.damaged_records, &self.damaged_index];
        let found: Vec<&str> =
            found.into_iter().filter_map(|damage| damage.get()).map(String::as_str).collect();
        (!found.is_empty()).then(|| found.join("; "))
    }

    /// What is wrong with its columns, if that was found.
    pub(crate) fn damaged_records(&self) -> Option<&str> {
        self.damaged_records.get().map(String::as_str)
    }

    /// Reads both files as they are on the disk now; what is wrong is noted.
    pub(crate) fn verify(&self) {
        for suffix in [RECORDS_SUFFIX, INDEX_SUFFIX] {
            if let Err(error) = self.check(suffix) {
                tracing::debug!(%error, "segment cannot be verified");
            }
        }
    }

    /// Whether only those who hold it keep its files.
    pub(crate) fn is_doomed(&self) -> bool {
        self.doomed.load(Ordering::Acquire)
    }

    fn index(&self) -> Result<IndexReader> {
        if let Some(index) = self.home.indexes.get(self.meta.id) {
            return Ok(index);
        }
        self.check_once(INDEX_SUFFIX)?;
        let path = self.path(INDEX_SUFFIX);
        let bytes = self.home.fs.map(&path).map_err(StoreError::io("map", &path))?;
        let (index, mapped) = (IndexReader::open(&bytes)?, bytes.len());
        self.home.indexes.keep(self.meta.id, index.clone(), mapped);
        Ok(index)
    }

    fn path(&self, suffix: &str) -> PathBuf {
        self.home.path.join(file_name(self.meta.id, suffix))
    }

    /// Checks a file unless it was found right before: it never changes, and the scrub reads it again now and then.
    fn check_once(&self, suffix: &str) -> Result<()> {
        let (checked, noted) = match suffix {
            RECORDS_SUFFIX => (&self.checked_records, &self.damaged_records),
            _ => (&self.checked_index, &self.damaged_index),
        };
        if checked.load(Ordering::Acquire) && noted.get().is_none() {
            return Ok(());
        }
        self.check(suffix)?;
        checked.store(true, Ordering::Release);
        Ok(())
    }

    /// Reads a file for its length and checksum. One that is gone or changed is noted as damaged.
    fn check(&self, suffix: &str) -> Result<()> {
        let (expected, noted) = match suffix {
            RECORDS_SUFFIX => (self.meta.records_file, &self.damaged_records),
            _ => (self.meta.index_file, &self.damaged_index),
        };
        let path = self.path(suffix);
        let checked = match noted.get() {
            Some(known) => Err(StoreError::corrupt(&path, known.as_str())),
            None => check_file(&*self.home.fs, &path, expected),
        };
        if let Err(StoreError::Corrupt { detail, .. }) = &checked {
            noted.get_or_init(|| detail.clone());
        }
        checked
    }
}

/// Reads a file whose length and crc32c are known.
fn check_file(fs: &dyn StoreFiles, path: &Path, expected: (u64, u32)) -> Result<()> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let found = match checksum(fs, path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Err(StoreError::corrupt(path, format!("{name} is gone")));
        }
        found => found.map_err(StoreError::io("read", path))?,
    };
    if found.0 != expected.0 {
        let detail = format!("{name} has {} bytes instead of {}", found.0, expected.0);
        return Err(StoreError::corrupt(path, detail));
    }
    if found.1 != expected.1 {
        let detail = format!("the checksum of {name} is {:08x}, not {:08x}", found.1, expected.1);
        return Err(StoreError::corrupt(path, detail));
    }
    Ok(())
}

/// Length and crc32c of a file.
fn checksum(fs: &dyn StoreFiles, path: &Path) -> std::io::Result<(u64, u32)> {
    let reader = fs.open_read(path)?;
    let mut buffer = vec![0; CHECKSUM_BLOCK_BYTES];
    let (mut length, mut crc) = (0, 0);
    loop {
        let count = reader.read_at(&mut buffer, length)?;
        crc = crc32c::crc32c_append(crc, &buffer[..count]);
        length += count as u64;
        if count < buffer.len() {
            return Ok((length, crc));
        }
    }
}

impl Drop for Segment {
    fn drop(&mut self) {
        self.home.close(self.meta.id);
        if *self.doomed.get_mut() {
            remove_files(&*self.home.fs, &self.home.path, self.meta.id);
        }
    }
}

/// Writes both files durably, but for the folder, which the caller syncs once for all of a flush.
pub(crate) fn write_files(fs: &dyn FileSystem, folder: &Path, files: &SegmentFiles) -> Result<()> {
    let id = files.meta.id;
    let written =
        write_whole(fs, folder, &file_name(id, INDEX_SUFFIX), &files.index).and_then(|_| {
            failpoint::check("segment.half_written")?;
            write_whole(fs, folder, &file_name(id, RECORDS_SUFFIX), &files.records)
        });
    if let Err(error) = written {
        remove_files(fs, folder, id);
        return Err(StoreError::io("write", folder)(error));
    }
    Ok(())
}

/// Removes what there is of a segment's files; what cannot be removed now is found again at the next start.
pub(crate) fn remove_files(fs: &dyn FileSystem, folder: &Path, id: SegmentId) {
    for suffix in [RECORDS_SUFFIX, INDEX_SUFFIX] {
        let path = folder.join(file_name(id, suffix));
        failpoint::reach("segment.unlink");
        if let Err(error) = fs.remove(&path) {
            tracing::warn!(path = %path.display(), %error, "cannot remove a file of a replaced segment");
        }
    }
}

pub(crate) fn file_name(id: SegmentId, suffix: &str) -> String {
    format!("{:016}{suffix}", id.0)
}

/// The segment that a file belongs to.
pub(crate) fn segment_of_file(name: &str) -> Option<SegmentId> {
    let id = name.strip_suffix(RECORDS_SUFFIX).or_else(|| name.strip_suffix(INDEX_SUFFIX))?;
    id.parse().ok().map(SegmentId)
}
