//! Makes the catalog again from the segments' footers; the journal is replayed on top of it.
//!
//! What no footer tells: whether the last flush was published as a whole before its journal files went. So the whole
//! journal is replayed, and records whose numbers are in segments are left out ([`RowNumbers`]). The mark `rebuilding`
//! keeps it so through further starts, until a flush has set the journal's floor anew.
//!
//! A segment that another one `replaces` is left out. Which batches were accepted stands, for the senders of each cut,
//! in the footer of its first segment: without it what is sent again would be taken for new.

use std::collections::{BTreeMap, HashSet};
use std::ops::Range;
use std::path::Path;

use arrow::array::{Array, AsArray};
use arrow::datatypes::UInt64Type;
use ql::Field;

use crate::allowance::Unbounded;
use crate::catalog::{CatalogChange, Marks};
use crate::error::{Result, StoreError};
use crate::evaluate::Columns;
use crate::files::StoreFiles;
use crate::ledger::Counters;
use crate::segment::{self, RECORDS_SUFFIX, RowSet, SegmentId, SegmentMeta};
use crate::sender::{Sender, SenderChange, SenderState};
use crate::store::Shared;

/// What the segments tell.
#[derive(Debug, Default)]
pub(super) struct Rebuilt {
    pub(super) segments: Vec<SegmentMeta>,
    senders: BTreeMap<Sender, SenderState>,
}

/// Whether there is anything that a catalog should know of.
pub(super) fn has_segments(fs: &dyn StoreFiles, data: &Path) -> Result<bool> {
    let folder = data.join("segments");
    // No folder is an empty one: it is made at the first start.
    let files = fs.list(&folder).unwrap_or_default();
    Ok(files.iter().any(|(name, _)| name.ends_with(RECORDS_SUFFIX)))
}

/// Reads all footers. Files without a good one go to the quarantine.
pub(super) fn state(fs: &dyn StoreFiles, data: &Path) -> Result<Rebuilt> {
    let folder = data.join("segments");
    // It may be gone with the catalog.
    fs.create_folder(&folder).map_err(StoreError::io("create", &folder))?;
    let mut rebuilt = Rebuilt::default();
    let mut replaced: HashSet<SegmentId> = HashSet::new();
    for (name, _) in fs.list(&folder).map_err(StoreError::io("list", &folder))? {
        let Some(id) = segment::segment_of_file(&name).filter(|_| name.ends_with(RECORDS_SUFFIX))
        else {
            continue;
        };
        match segment::read_footer(fs, &folder, id) {
            Ok((meta, senders)) => {
                replaced.extend(&meta.replaces);
                rebuilt.segments.push(meta);
                for (sender, state) in senders {
                    segment::keep_newer(&mut rebuilt.senders, sender, state);
                }
            }
            Err(error) => {
                tracing::error!(file = name, %error, "a segment without a good footer is set apart");
                super::move_files(fs, data, id)?;
            }
        }
    }
    rebuilt.segments.retain(|meta| !replaced.contains(&meta.id));
    Ok(rebuilt)
}

/// All that a lost catalog is made of.
#[cfg(test)]
pub(crate) fn catalog_change(fs: &dyn StoreFiles, data: &Path) -> Result<CatalogChange> {
    Ok(state(fs, data)?.into_change())
}

impl Rebuilt {
    pub(super) fn into_change(self) -> CatalogChange {
        let rows = self.segments.iter().map(|meta| u64::from(meta.rows)).sum();
        let ids = self.segments.iter().map(|meta| meta.id.0);
        let seqs = self.segments.iter().map(|meta| meta.seq_range.1);
        let senders = self.senders.into_iter().map(|(sender, state)| (sender, Some(state)));
        CatalogChange {
            marks: Marks {
                journal_floor: 0,
                next_record_seq: seqs.max().map_or(0, |last| last + 1),
                next_segment_id: ids.max().map_or(1, |last| last + 1),
                counters: Counters { accepted: rows, ..Counters::default() },
                rebuilding: true,
                ..Marks::default()
            },
            senders: SenderChange { senders: senders.collect(), ..SenderChange::default() },
            add: self.segments,
            ..CatalogChange::default()
        }
    }
}

/// The record_seq of rows in segments, from some number on.
#[derive(Debug, Default)]
pub(crate) struct RowNumbers(HashSet<u64>);

impl RowNumbers {
    pub(crate) fn contains(&self, seq: u64) -> bool {
        self.0.contains(&seq)
    }

    /// How many of a range there are.
    pub(crate) fn count(&self, range: Range<u64>) -> u64 {
        self.0.iter().filter(|seq| range.contains(seq)).count() as u64
    }
}

/// The numbers, from `first` on, that are in segments. A segment that cannot be read has none.
pub(crate) fn in_segments(shared: &Shared, first: u64) -> RowNumbers {
    let mut numbers = RowNumbers::default();
    let columns = Columns::Fields([Field::RecordSeq].into());
    for segment in shared.view().segments() {
        if segment.meta().seq_range.1 < first {
            continue;
        }
        match segment.read(
            &RowSet::Range(0..segment.meta().rows),
            &columns,
            &Unbounded::allowance(),
        ) {
            Ok(batch) => {
                let seqs = batch.column(0).as_primitive::<UInt64Type>();
                debug_assert_eq!(seqs.null_count(), 0);
                numbers.0.extend(seqs.values().iter().filter(|seq| **seq >= first));
            }
            Err(error) => tracing::error!(%error, "cannot read which records a segment has"),
        }
    }
    numbers
}
