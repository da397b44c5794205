//! What is in a snapshot: the manifest made of a copy of the catalog and of the segments that are held.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use file_system::FileSystem;
use record::Timestamp;

use super::manifest::{CATALOG, SEGMENTS};
use super::{BackupFile, MANIFEST_VERSION, Manifest};
use crate::catalog::{CatalogState, SqliteCatalog};
use crate::dedup::Dedup;
use crate::error::{Result, StoreError};
use crate::ledger::Ledger;
use crate::lock::FOLDER_VERSION;
use crate::segment::{self, INDEX_SUFFIX, RECORDS_SUFFIX, Segment, SegmentId, SegmentMeta};

/// Bytes read at once.
pub(super) const BLOCK_BYTES: usize = 1 << 20;

/// Reads the copy, and holds it against the segments.
pub(super) fn describe(
    fs: &dyn FileSystem,
    catalog: &Path,
    segments: &[Arc<Segment>],
) -> Result<Manifest> {
    // Read back: a row whose checksum does not fit shall be told now and not at the restore.
    let state = SqliteCatalog::read_copy(catalog)?;
    let named: BTreeSet<SegmentId> = state.segments.iter().map(|meta| meta.id).collect();
    let held: BTreeSet<SegmentId> = segments.iter().map(|segment| segment.meta().id).collect();
    if named != held {
        return Err(StoreError::corrupt(
            catalog,
            format!(
                "it names {} segments, {} of {} are held",
                named.len(),
                named.intersection(&held).count(),
                held.len()
            ),
        ));
    }
    let (length, crc32c) = checksum(fs, catalog).map_err(StoreError::io("read", catalog))?;
    let mut files = vec![BackupFile { name: CATALOG.to_owned(), length, crc32c }];
    files.extend(state.segments.iter().flat_map(segment_files));
    Ok(Manifest {
        format_version: MANIFEST_VERSION,
        folder_version: FOLDER_VERSION,
        logq: env!("CARGO_PKG_VERSION").to_owned(),
        created_at: Timestamp::now().to_string(),
        segments: state.segments.len() as u64,
        store_id: state.store_id.clone(),
        generation: state.generation,
        ledger: ledger_of(state),
        files,
    })
}

/// The two files of a segment.
pub(super) fn segment_files(meta: &SegmentMeta) -> [BackupFile; 2] {
    let file = |suffix, (length, crc32c)| BackupFile {
        name: format!("{}/{}", SEGMENTS, segment::file_name(meta.id, suffix)),
        length,
        crc32c,
    };
    [file(INDEX_SUFFIX, meta.index_file), file(RECORDS_SUFFIX, meta.records_file)]
}

/// The account of a catalog alone.
pub(super) fn ledger_of(state: CatalogState) -> Ledger {
    let counters = state.marks.counters;
    let dedup = Dedup::restore(state.senders, state.agents, state.marks.forgotten);
    Ledger {
        received: counters.duplicate + counters.rejected_total() + counters.accepted,
        counters,
        in_parts: 0,
        indexed: state.segments.iter().map(|meta| u64::from(meta.rows)).sum(),
        lost_batches: dedup.account().lost_batches,
        senders: dedup.len() as u64,
        senders_forgotten: dedup.senders_forgotten(),
    }
}

/// Length and crc32c of a file, read block by block.
pub(super) fn checksum(fs: &dyn FileSystem, path: &Path) -> std::io::Result<(u64, u32)> {
    let reader = fs.open_read(path)?;
    let mut block = vec![0; BLOCK_BYTES];
    let (mut length, mut crc) = (0, 0);
    loop {
        match reader.read_at(&mut block, length)? {
            0 => return Ok((length, crc)),
            read => {
                length += read as u64;
                crc = crc32c::crc32c_append(crc, &block[..read]);
            }
        }
    }
}
