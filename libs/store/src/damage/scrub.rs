//! The part of the compaction thread that looks for damage and repairs what can be repaired.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{left_to_look_at, move_files};
use crate::compact::{self, Swap};
use crate::error::{Result, StoreError};
use crate::flush::caught;
use crate::segment::{Segment, SegmentId};
use crate::store::Shared;

/// Read at most in one turn; a turn comes every few seconds.
const TURN_BYTES: u64 = 64 << 20;
/// Rest after all segments were read, before they are read again.
const REST: Duration = Duration::from_secs(24 * 3_600);

/// How far the scrub has come.
#[derive(Debug, Default)]
pub(crate) struct Scrub {
    /// The last segment that was read.
    last: Option<SegmentId>,
    rests_since: Option<Instant>,
}

impl Scrub {
    /// Repairs what is known to be damaged, then reads on a little. The caller holds `compacting`.
    pub(crate) fn work(&mut self, shared: &Arc<Shared>) {
        repair(shared);
        if self.rests_since.is_some_and(|since| since.elapsed() < REST) {
            return;
        }
        self.rests_since = None;
        let mut segments = shared.view().segments().to_vec();
        segments.sort_by_key(|segment| segment.meta().id);
        let mut bytes = 0;
        let start =
            self.last.map_or(0, |last| segments.partition_point(|one| one.meta().id <= last));
        for segment in &segments[start..] {
            if bytes > TURN_BYTES {
                repair(shared);
                return;
            }
            bytes += segment.meta().bytes();
            segment.verify();
            self.last = Some(segment.meta().id);
        }
        repair(shared);
        (self.last, self.rests_since) = (None, Some(Instant::now()));
    }
}

/// Builds damaged indexes again, and sets segments apart whose columns are damaged.
pub(crate) fn repair(shared: &Arc<Shared>) {
    let mut trouble = None;
    for segment in shared.view().segments() {
        if segment.damage().is_none() {
            continue;
        }
        if let Err(error) = caught("repair", || repair_one(shared, segment)) {
            tracing::error!(%error, "cannot repair or set apart a damaged segment; tried again");
            trouble = Some(error.to_string());
        }
    }
    shared.trouble("repair", trouble);
}

fn repair_one(shared: &Arc<Shared>, segment: &Arc<Segment>) -> Result<()> {
    let id = segment.meta().id;
    if segment.damaged_records().is_none() {
        // The columns are checked as they are read.
        match compact::rewrite(shared, segment) {
            Ok(()) => {
                tracing::warn!(segment = id.0, "built a damaged index again from the columns");
                return Ok(());
            }
            Err(StoreError::Corrupt { .. }) if segment.damaged_records().is_some() => {}
            Err(error) => return Err(error),
        }
    }
    let reason = segment.damage().unwrap_or_default();
    let rows = segment.meta().rows;
    tracing::error!(segment = id.0, rows, reason, "segment is damaged; set apart");
    let old = [Arc::clone(segment)];
    compact::swap(shared, Swap { old: &old, quarantine: Some(reason), ..Swap::default() })?;
    move_files(&*shared.fs, &shared.folder, id)?;
    shared.trouble("quarantine", left_to_look_at(&*shared.fs, &shared.folder));
    Ok(())
}
