//! A delete that is not done: which segments and chunks it concerns, and the filter that hides its records.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::AsArray;
use arrow::compute::kernels::aggregate;
use arrow::datatypes::UInt64Type;
use ql::{Field, Filter, Test, TimeRange};
use record::Timestamp;

use super::{Delete, DeleteCounts};
use crate::allowance::Unbounded;
use crate::error::{Result, StoreError};
use crate::segment::{SegmentId, SegmentMeta};
use crate::view::{Source, View};

/// A delete that hides; part of every view until it is done.
#[derive(Clone, Debug)]
pub(crate) struct ActiveDelete {
    pub(crate) id: u64,
    pub(crate) tenant: String,
    pub(crate) signal: String,
    pub(crate) time: Range<i64>,
    pub(crate) before_seq: u64,
    /// The cut that takes the last of its records out of parts and journal.
    pub(crate) cut: u64,
    /// Segments that were looked into or made since the start and have none of its records.
    pub(crate) clean: BTreeSet<SegmentId>,
    /// Set when all segments are clean: no segment with this id or a higher one ever had any of its records.
    pub(crate) clean_from: Option<SegmentId>,
    filter: Filter,
    /// The time lies in `time`.
    within: Filter,
    /// The record_seq is below `before_seq`.
    before: Filter,
}

impl ActiveDelete {
    /// # Errors
    /// When the query, which was read when the delete was made, cannot be read any more.
    pub(crate) fn new(delete: &Delete, cut: u64) -> Result<Self> {
        let unreadable = |error: ql::Diagnostics| {
            StoreError::catalog("read a delete of")(format!("delete {}: {error}", delete.id))
        };
        let last = Timestamp(delete.time.1.saturating_sub(1));
        let range = TimeRange::new(Timestamp(delete.time.0), last);
        let before = format!("record_seq:<{}", delete.before_seq);
        Ok(Self {
            id: delete.id,
            tenant: delete.tenant.clone(),
            signal: delete.signal.clone(),
            time: delete.time.0..delete.time.1,
            before_seq: delete.before_seq,
            cut,
            clean: BTreeSet::new(),
            clean_from: None,
            filter: ql::parse(&delete.query).map_err(unreadable)?.filter,
            within: Filter::field(Field::Timestamp, Test::Time(range)),
            before: ql::parse_filter(&before).map_err(unreadable)?,
        })
    }

    fn overlaps(&self, (first, last): (i64, i64)) -> bool {
        first < self.time.end && last >= self.time.start
    }

    /// Whether a segment may have records of it.
    pub(crate) fn concerns(&self, segment: &SegmentMeta) -> bool {
        self.tenant == segment.tenant
            && self.signal == segment.signal
            && self.overlaps(segment.time_range)
            && segment.seq_range.0 < self.before_seq
            && !self.clean.contains(&segment.id)
    }

    /// Whether a source of its tenant and signal may have records of it.
    fn concerns_source(&self, source: &Source) -> bool {
        match source {
            Source::Segment(segment) => self.concerns(segment.meta()),
            Source::Chunk(chunk) => {
                let seqs = chunk.batch.column(1).as_primitive::<UInt64Type>();
                self.overlaps(chunk.time_range)
                    && aggregate::min(seqs).is_some_and(|first| first < self.before_seq)
            }
            Source::Screened(source, _) => self.concerns_source(source),
        }
    }

    /// What its records in a source match, with no more tests than are needed there.
    pub(crate) fn condition(&self, source: &Source) -> Filter {
        let (first, last) = source.time_range();
        let mut members = vec![self.filter.clone()];
        if first < self.time.start || last >= self.time.end {
            members.push(self.within.clone());
        }
        members.extend(self.old_enough(source));
        Filter::and(members)
    }

    /// The test of the record_seq, where a source may have later ones.
    fn old_enough(&self, source: &Source) -> Option<Filter> {
        match source {
            Source::Segment(segment) if segment.meta().seq_range.1 < self.before_seq => None,
            Source::Screened(source, _) => self.old_enough(source),
            _ => Some(self.before.clone()),
        }
    }

    /// How many records there are that it could be about and that no older delete hides, and how many match.
    ///
    /// # Errors
    /// When a segment cannot be read.
    pub(crate) fn count(&self, view: &View) -> Result<DeleteCounts> {
        let (sources, _) =
            view.sources_without(&self.tenant, &self.signal, self.time.clone(), |other| {
                other.id < self.id
            });
        let mut counts = DeleteCounts::default();
        for source in sources {
            let old_enough = self.old_enough(&source).unwrap_or(Filter::All);
            counts.before +=
                source.count(&old_enough, self.time.clone(), &Unbounded::allowance())? as u64;
            counts.matched += source.count(
                &self.condition(&source),
                i64::MIN..i64::MAX,
                &Unbounded::allowance(),
            )? as u64;
        }
        Ok(counts)
    }
}

/// The source as it is seen through some deletes: as it is, if none of them concerns it.
pub(crate) fn screened<'a>(
    source: Source,
    deletes: impl Iterator<Item = &'a Arc<ActiveDelete>>,
) -> Source {
    let hidden: Vec<Filter> = deletes
        .filter(|delete| delete.concerns_source(&source))
        .map(|delete| delete.condition(&source))
        .collect();
    match hidden.is_empty() {
        true => source,
        false => {
            let shown = Filter::negated(Filter::or(hidden));
            Source::Screened(Box::new(source), Arc::new(shown))
        }
    }
}
