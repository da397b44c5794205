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
mod index;
mod meta;
mod narrow;
mod read;
mod rows;
mod write;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use arrow::array::RecordBatch;
use bytes::Bytes;
use file_system::{FileSystem, failpoint, write_whole};
use parquet::arrow::arrow_reader::ArrowReaderMetadata;
use tantivy::directory::OwnedBytes;

pub use meta::{RollUp, SegmentId, SegmentMeta};
pub use read::RowSet;
pub use rows::RowBitmap;
pub(crate) use write::{SegmentBuilder, SegmentFiles, SegmentName, build};

use crate::error::{Result, StoreError};
use crate::files::StoreFiles;
use index::IndexReader;

/// Suffix of the column file.
pub(crate) const RECORDS_SUFFIX: &str = ".records.parquet";
/// Suffix of the index file.
pub(crate) const INDEX_SUFFIX: &str = ".index.tantivy";

/// A segment on disk. Its files are mapped and opened when first needed, and removed when the last view
/// that holds it is gone, if it was [doomed](Segment::doom).
#[derive(Debug)]
pub struct Segment {
    meta: SegmentMeta,
    fs: Arc<dyn StoreFiles>,
    folder: PathBuf,
    records: OnceLock<(Bytes, ArrowReaderMetadata)>,
    index: OnceLock<IndexReader>,
    /// The roll-up as rows, once somebody has asked.
    roll_up: OnceLock<(RecordBatch, Vec<u32>)>,
    doomed: AtomicBool,
}

impl Segment {
    pub(crate) fn new(meta: SegmentMeta, fs: Arc<dyn StoreFiles>, folder: PathBuf) -> Self {
        Self {
            meta,
            fs,
            folder,
            records: OnceLock::new(),
            index: OnceLock::new(),
            roll_up: OnceLock::new(),
            doomed: AtomicBool::new(false),
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

    /// Whether only those who hold it keep its files.
    pub(crate) fn is_doomed(&self) -> bool {
        self.doomed.load(Ordering::Acquire)
    }

    /// The mapped bytes of the index.
    pub(crate) fn index_bytes(&self) -> Result<OwnedBytes> {
        self.map(INDEX_SUFFIX, self.meta.index_file.0)
    }

    fn index(&self) -> Result<&IndexReader> {
        if let Some(index) = self.index.get() {
            return Ok(index);
        }
        let index = IndexReader::open(&self.index_bytes()?)?;
        Ok(self.index.get_or_init(|| index))
    }

    fn map(&self, suffix: &str, length: u64) -> Result<OwnedBytes> {
        let path = self.folder.join(file_name(self.meta.id, suffix));
        let bytes = self.fs.map(&path).map_err(StoreError::io("read", &path))?;
        if bytes.len() as u64 != length {
            return Err(StoreError::corrupt(
                &path,
                format!("expected {length} bytes, found {}", bytes.len()),
            ));
        }
        Ok(bytes)
    }
}

impl Drop for Segment {
    fn drop(&mut self) {
        if *self.doomed.get_mut() {
            remove_files(&*self.fs, &self.folder, self.meta.id);
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
