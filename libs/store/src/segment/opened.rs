//! What is open of the segments of a store, within a bound: footers of column files, maps of indexes, roll-ups as
//! rows. What was not asked for the longest is closed first, and opened again when somebody asks.
//!
//! Column files are read page by page and never mapped: what a process maps counts as its memory, and a read that
//! fails is an error where a mapped page that fails is the end of the process. Indexes are mapped, because looking up a
//! term touches a few pages of many.

use std::fmt::{self, Debug};
use std::io::{self, Cursor};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use arrow::array::RecordBatch;
use bytes::Bytes;
use file_system::FileReader;
use lru::LruCache;
use parquet::arrow::arrow_reader::ArrowReaderMetadata;
use parquet::errors::ParquetError;
use parquet::file::reader::{ChunkReader, Length};

use super::SegmentId;
use super::index::IndexReader;
use super::widths::ColumnWidth;
use crate::files::StoreFiles;
use crate::store::locked;

/// Where the segments of a store live, and what is open of them.
#[derive(Debug)]
pub(crate) struct SegmentFolder {
    pub(super) fs: Arc<dyn StoreFiles>,
    pub(super) path: PathBuf,
    pub(super) footers: Opened<Footer>,
    /// Weighed by the bytes mapped, of which only what was touched is in memory, and that can be taken back.
    pub(super) indexes: Opened<IndexReader>,
    pub(super) roll_ups: Opened<(RecordBatch, Arc<[u32]>)>,
}

impl SegmentFolder {
    /// `open_bytes` for footers and for roll-ups each, `mapped_bytes` for indexes.
    pub(crate) fn new(
        fs: Arc<dyn StoreFiles>,
        path: PathBuf,
        open_bytes: usize,
        mapped_bytes: usize,
    ) -> Arc<Self> {
        Arc::new(Self {
            fs,
            path,
            footers: Opened::new(open_bytes),
            indexes: Opened::new(mapped_bytes),
            roll_ups: Opened::new(open_bytes),
        })
    }

    /// Memory of what is open, about, and bytes of mapped indexes.
    pub(crate) fn open_bytes(&self) -> (usize, usize) {
        (self.footers.bytes() + self.roll_ups.bytes(), self.indexes.bytes())
    }

    pub(super) fn close(&self, id: SegmentId) {
        self.footers.remove(id);
        self.indexes.remove(id);
        self.roll_ups.remove(id);
    }
}

/// The footer of a column file, read.
#[derive(Clone, Debug)]
pub(super) struct Footer {
    pub(super) metadata: ArrowReaderMetadata,
    /// What its rows take in memory, by column.
    pub(super) widths: Arc<[ColumnWidth]>,
}

/// Something of each segment, within a bound of bytes.
pub(super) struct Opened<T> {
    bytes_max: usize,
    kept: Mutex<Kept<T>>,
}

struct Kept<T> {
    by_segment: LruCache<SegmentId, (T, usize)>,
    bytes: usize,
}

impl<T: Clone> Opened<T> {
    pub(super) fn new(bytes_max: usize) -> Self {
        let kept = Kept { by_segment: LruCache::unbounded(), bytes: 0 };
        Self { bytes_max, kept: Mutex::new(kept) }
    }

    pub(super) fn get(&self, id: SegmentId) -> Option<T> {
        locked(&self.kept).by_segment.get(&id).map(|(value, _)| value.clone())
    }

    /// Keeps something that takes about `bytes`; the last one is kept however large it is.
    pub(super) fn keep(&self, id: SegmentId, value: T, bytes: usize) {
        let mut closed = Vec::new();
        let mut kept = locked(&self.kept);
        if let Some((_, before)) = kept.by_segment.put(id, (value, bytes)) {
            kept.bytes -= before;
        }
        kept.bytes += bytes;
        while kept.bytes > self.bytes_max && kept.by_segment.len() > 1 {
            let Some((_, (value, bytes))) = kept.by_segment.pop_lru() else { break };
            kept.bytes -= bytes;
            closed.push(value);
        }
        // Closing a map takes a while, and nobody has to wait for it.
        drop(kept);
        drop(closed);
    }

    fn remove(&self, id: SegmentId) {
        let mut kept = locked(&self.kept);
        let removed = kept.by_segment.pop(&id);
        kept.bytes -= removed.as_ref().map_or(0, |(_, bytes)| *bytes);
        drop(kept);
        drop(removed);
    }

    fn bytes(&self) -> usize {
        locked(&self.kept).bytes
    }
}

impl<T> Debug for Opened<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Opened").field("bytes_max", &self.bytes_max).finish_non_exhaustive()
    }
}

/// A file as the Parquet reader wants it.
#[derive(Debug)]
pub(super) struct PagesOf {
    pub(super) reader: Box<dyn FileReader>,
    /// Its length as the catalog knows it, and as it was checked.
    pub(super) length: u64,
}

/// The longest run of bytes that is read at once where the reader does not say how many it wants.
const HEADER_BYTES: u64 = 64 << 10;

impl PagesOf {
    fn bytes(&self, start: u64, length: usize) -> parquet::errors::Result<Bytes> {
        let mut buffer = vec![0; length];
        let count = self.reader.read_at(&mut buffer, start).map_err(external)?;
        if count < length {
            let detail = format!("the file ends {} bytes too early", length - count);
            return Err(external(io::Error::new(io::ErrorKind::UnexpectedEof, detail)));
        }
        Ok(buffer.into())
    }
}

impl Length for PagesOf {
    fn len(&self) -> u64 {
        self.length
    }
}

impl ChunkReader for PagesOf {
    type T = Cursor<Bytes>;

    /// Only asked for headers of pages: the first bytes at a place.
    fn get_read(&self, start: u64) -> parquet::errors::Result<Cursor<Bytes>> {
        let length = self.length.saturating_sub(start).min(HEADER_BYTES) as usize;
        Ok(Cursor::new(self.bytes(start, length)?))
    }

    fn get_bytes(&self, start: u64, length: usize) -> parquet::errors::Result<Bytes> {
        if start.saturating_add(length as u64) > self.length {
            return Err(ParquetError::EOF(format!("{length} bytes at {start} are not there")));
        }
        self.bytes(start, length)
    }
}

fn external(error: io::Error) -> ParquetError {
    ParquetError::External(Box::new(error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::{append, found, lines, options, parse};
    use crate::{Store, StoreOptions};

    #[test]
    fn what_was_not_asked_for_the_longest_is_closed_first() {
        let opened = Opened::new(10);
        for id in 1..=3 {
            opened.keep(SegmentId(id), id, 4);
            opened.get(SegmentId(1));
        }
        let open = [1, 2, 3].map(|id| opened.get(SegmentId(id)));
        assert_eq!((open, opened.bytes()), ([Some(1), None, Some(3)], 8));
        opened.keep(SegmentId(9), 9, 100);
        assert_eq!(
            (opened.get(SegmentId(9)), opened.bytes()),
            (Some(9), 100),
            "the last one stays"
        );
        opened.remove(SegmentId(9));
        assert_eq!(opened.bytes(), 0);
    }

    #[test]
    fn answers_are_the_same_when_hardly_anything_may_stay_open() {
        let bound = 64 << 10;
        let folder = tempfile::tempdir().unwrap();
        let tight = StoreOptions {
            open_bytes: bound,
            mapped_bytes: bound,
            maintenance: false,
            ..options()
        };
        let store = Store::open(folder.path(), tight).unwrap();
        append(&store, None, &lines(0..2_000)).unwrap();
        store.flush().unwrap();
        assert_eq!(store.view().segments().len(), 20);
        let queries =
            ["*", "level:error", "correlation:c17", "message", "n:<500", "service:s1 number"];
        let mut weights = Vec::new();
        for query in queries.repeat(2) {
            let count = found(&store, &parse(query)).len();
            let expected = match query {
                "*" | "message" => 2_000,
                "level:error" => 666,
                "correlation:c17" => 10,
                "n:<500" => 500,
                _ => 400,
            };
            assert_eq!(count, expected, "{query}");
            weights.push(store.open_bytes());
        }
        let footers = weights.iter().map(|(open, _)| *open).max().unwrap();
        let mapped = weights.iter().map(|(_, mapped)| *mapped).max().unwrap();
        assert!((1..=bound).contains(&footers), "{weights:?}");
        assert!((1..=bound).contains(&mapped), "{weights:?}");
    }
}
