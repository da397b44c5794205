//! The compaction thread: like-sized segments of a day become one; what is too old or too much goes.
//!
//! A merge reads its inputs window by window, so its memory is bounded by [`WINDOW_ROWS`], whatever the
//! size of the result. Retention runs on the same thread, so that nothing expires under a merge.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use arrow::array::AsArray;
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field as ArrowField, Schema, SchemaRef, TimestampNanosecondType};
use file_system::failpoint;
use ql::Field;
use record::{NANOS_PER_DAY, Timestamp};

use crate::allowance::Unbounded;
use crate::catalog::{CatalogChange, Marks};
use crate::chunk::Chunk;
use crate::combine::Combined;
use crate::damage::{Quarantined, Scrub};
use crate::deletes;
use crate::error::{Result, StoreError};
use crate::evaluate::Columns;
use crate::flush::caught;
use crate::observed::Work;
use crate::retention;
use crate::schema::{self, AttributeType};
use crate::segment::{
    self, RowSet, Segment, SegmentBuilder, SegmentFiles, SegmentId, SegmentMeta, SegmentName,
};
use crate::sender::{Sender, SenderState};
use crate::store::{Shared, locked};

/// Rows that a merge holds in memory.
pub(crate) const WINDOW_ROWS: usize = 32_768;
/// Segments with which merges do not wait for flushes any more.
const SEGMENTS_WAITING_MAX: usize = 256;
/// How often retention looks when nothing is flushed.
const TICK: Duration = Duration::from_secs(5);
/// Segments within this factor of rows are of like size.
const TIER_FACTOR: u32 = 4;

pub(crate) fn run(shared: &Arc<Shared>, wakes: &Receiver<()>) {
    let mut wait = TICK;
    let mut scrub = Scrub::default();
    loop {
        match wakes.recv_timeout(wait) {
            Ok(()) | Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
        shared.snapshots.expire(Instant::now());
        if !shared.options.maintenance {
            continue;
        }
        let turn = locked(&shared.compacting);
        scrub.work(shared);
        wait = deletes::work(shared).min(TICK);
        let done = caught("compact", || compact_due(shared).and_then(|()| expire(shared)));
        if let Err(error) = &done {
            tracing::error!(%error, "cannot compact; the segments stay as they are");
        }
        drop(turn);
        shared.trouble("compaction", done.err().map(|error| error.to_string()));
    }
}

fn compact_due(shared: &Arc<Shared>) -> Result<()> {
    while let Some(inputs) = next_merge(shared) {
        let (flushing, segments) = {
            let pieces = locked(&shared.pieces);
            (!pieces.sealed.is_empty(), pieces.segments.len())
        };
        // A flush gives memory back and frees the journal; a merge only makes later reads cheaper.
        if flushing && segments < SEGMENTS_WAITING_MAX {
            return Ok(());
        }
        merge(shared, &inputs)?;
    }
    Ok(())
}

/// Merges each day into as few segments as may be, then expires.
pub(crate) fn compact_everything(shared: &Arc<Shared>) -> Result<()> {
    let _turn = locked(&shared.compacting);
    merge_everything(shared)?;
    expire(shared)
}

/// Merges each day into as few segments as may be. The caller holds `compacting`.
pub(crate) fn merge_everything(shared: &Arc<Shared>) -> Result<()> {
    for segments in days(shared).into_values() {
        let mut inputs: Vec<Arc<Segment>> = Vec::new();
        let mut rows = 0;
        for segment in segments {
            let more = segment.meta().rows as usize;
            if rows + more > shared.options.compacted_rows && !inputs.is_empty() {
                merge_some(shared, &std::mem::take(&mut inputs))?;
                rows = 0;
            }
            rows += more;
            inputs.push(segment);
        }
        merge_some(shared, &inputs)?;
    }
    Ok(())
}

fn merge_some(shared: &Arc<Shared>, inputs: &[Arc<Segment>]) -> Result<()> {
    if inputs.len() < 2 { Ok(()) } else { merge(shared, inputs) }
}

/// Segments of one tenant, signal and day, oldest first; those that span days are together.
fn days(shared: &Shared) -> BTreeMap<(String, String, Option<i64>), Vec<Arc<Segment>>> {
    let mut days: BTreeMap<_, Vec<Arc<Segment>>> = BTreeMap::new();
    for segment in shared.view().segments() {
        let meta = segment.meta();
        let (first, last) = (
            meta.time_range.0.div_euclid(NANOS_PER_DAY),
            meta.time_range.1.div_euclid(NANOS_PER_DAY),
        );
        let day = (first == last).then_some(first);
        days.entry((meta.tenant.clone(), meta.signal.clone(), day))
            .or_default()
            .push(Arc::clone(segment));
    }
    for segments in days.values_mut() {
        segments.sort_by_key(|segment| (segment.meta().time_range, segment.meta().seq_range));
    }
    days
}

/// The first `compaction_width` or more segments of like size in a day that together stay within bounds.
fn next_merge(shared: &Shared) -> Option<Vec<Arc<Segment>>> {
    let options = &shared.options;
    for segments in days(shared).into_values() {
        let mut tiers: BTreeMap<u32, Vec<Arc<Segment>>> = BTreeMap::new();
        for segment in segments {
            let rows = segment.meta().rows.max(1);
            if (rows as usize) < options.compacted_rows / 2 {
                tiers.entry(rows.ilog(TIER_FACTOR)).or_default().push(segment);
            }
        }
        for tier in tiers.into_values() {
            let mut rows = 0;
            let fits = tier.iter().take_while(|segment| {
                rows += segment.meta().rows as usize;
                rows <= options.compacted_rows
            });
            let count = fits.count();
            if count >= options.compaction_width {
                return Some(tier[..count].to_vec());
            }
        }
    }
    None
}

/// Makes one segment of several and swaps it for them.
fn merge(shared: &Arc<Shared>, inputs: &[Arc<Segment>]) -> Result<()> {
    shared.observed.run(Work::Compaction, || merge_into_one(shared, inputs))
}

fn merge_into_one(shared: &Arc<Shared>, inputs: &[Arc<Segment>]) -> Result<()> {
    let first = inputs[0].meta();
    let name = SegmentName {
        id: shared.new_segment_id(),
        tenant: first.tenant.clone(),
        signal: first.signal.clone(),
        received_at_max: inputs
            .iter()
            .map(|segment| segment.meta().received_at_max)
            .max()
            .unwrap_or(0),
        journal_end: inputs.iter().map(|segment| segment.meta().journal_end).max().unwrap_or(0),
        replaces: replaced_by(shared, inputs)?,
        senders: senders(inputs)?,
    };
    let files = merge_files(name, inputs)?;
    write(shared, &files)?;
    failpoint::reach("compact.written");
    replace(shared, vec![files.meta], inputs, 0)?;
    shared.statistics.compactions.fetch_add(1, Ordering::Relaxed);
    shared.statistics.segments_compacted.fetch_add(inputs.len() as u64, Ordering::Relaxed);
    Ok(())
}

/// Writes a segment durably, so that it can be published.
pub(crate) fn write(shared: &Shared, files: &SegmentFiles) -> Result<()> {
    shared.settle()?;
    let folder = shared.segment_folder();
    segment::write_files(&*shared.fs, &folder, files)?;
    if let Err(error) = shared.fs.sync_folder(&folder) {
        segment::remove_files(&*shared.fs, &folder, files.meta.id);
        return Err(StoreError::io("sync", &folder)(error));
    }
    Ok(())
}

fn replace(
    shared: &Arc<Shared>,
    add: Vec<SegmentMeta>,
    old: &[Arc<Segment>],
    expired: u64,
) -> Result<()> {
    swap(shared, Swap { add, old, expired, ..Swap::default() })
}

/// Segments that take the place of others, and what became of the rows that are in none of them.
#[derive(Debug, Default)]
pub(crate) struct Swap<'a> {
    pub(crate) add: Vec<SegmentMeta>,
    pub(crate) old: &'a [Arc<Segment>],
    /// Rows dropped by retention.
    pub(crate) expired: u64,
    /// Rows that each delete has taken out. None of these deletes has rows in `add`.
    pub(crate) deleted: BTreeMap<u64, u64>,
    /// Why all of `old` cannot be read and is set apart.
    pub(crate) quarantine: Option<String>,
}

/// The catalog transaction and the swap of the view.
pub(crate) fn swap(shared: &Arc<Shared>, swap: Swap<'_>) -> Result<()> {
    let mut marks = locked(&shared.marks);
    let mut counters = marks.counters.clone();
    let deleted: u64 = swap.deleted.values().sum();
    counters.expired += swap.expired;
    counters.deleted += deleted;
    let quarantined = quarantined_by(&swap);
    let lost: u64 = quarantined.iter().map(|segment| u64::from(segment.meta.rows)).sum();
    counters.quarantined += lost;
    let change = CatalogChange {
        add: swap.add.clone(),
        remove: swap.old.iter().map(|segment| segment.meta().id).collect(),
        marks: Marks { next_segment_id: shared.next_segment_id(), counters, ..marks.clone() },
        deletes: deletes::changed_by(shared, &swap),
        quarantined: quarantined
            .iter()
            .map(|segment| (segment.meta.id, Some(Quarantined::clone(segment))))
            .collect(),
        ..CatalogChange::default()
    };
    shared.apply(&change)?;
    locked(&shared.deletes).take(change.deletes);
    failpoint::reach("replace.published");
    if deleted > 0 {
        failpoint::reach("delete.published");
    }
    *marks = change.marks;
    let new = change
        .add
        .into_iter()
        .map(|meta| Arc::new(Segment::new(meta, Arc::clone(&shared.segments))));
    let new: Vec<_> = new.collect();
    let mut counters = locked(&shared.counters);
    counters.expired += swap.expired;
    counters.deleted += deleted;
    counters.quarantined += lost;
    let set_apart = !quarantined.is_empty();
    shared.change_view(|pieces| {
        deletes::after_swap(&mut pieces.deletes, &swap);
        pieces.segments.retain(|segment| !change.remove.contains(&segment.meta().id));
        pieces.segments.extend(new);
        pieces.quarantined.extend(quarantined);
    });
    drop(counters);
    // Held until the view has them too: a backup takes both at one moment.
    drop(marks);
    failpoint::reach("replace.swapped");
    if !set_apart {
        swap.old.iter().for_each(|segment| segment.doom());
    }
    Ok(())
}

/// The inputs, and what they replaced and is still on the disk: should the catalog be made again from footers, none
/// of them may come back.
pub(crate) fn replaced_by(shared: &Shared, inputs: &[Arc<Segment>]) -> Result<Vec<SegmentId>> {
    let folder = shared.segment_folder();
    let files = shared.fs.list(&folder).map_err(StoreError::io("list", &folder))?;
    let there: BTreeSet<SegmentId> =
        files.iter().filter_map(|(name, _)| segment::segment_of_file(name)).collect();
    let mut replaced: BTreeSet<SegmentId> = inputs.iter().map(|input| input.meta().id).collect();
    let before = inputs.iter().flat_map(|input| &input.meta().replaces);
    replaced.extend(before.filter(|id| there.contains(id)));
    Ok(replaced.into_iter().collect())
}

/// What the footers of segments tell of senders, together.
pub(crate) fn senders(segments: &[Arc<Segment>]) -> Result<Vec<(Sender, SenderState)>> {
    let mut senders = BTreeMap::new();
    for segment in segments {
        for (sender, state) in segment.senders()? {
            segment::keep_newer(&mut senders, sender, state);
        }
    }
    Ok(senders.into_iter().collect())
}

fn quarantined_by(swap: &Swap<'_>) -> Vec<Arc<Quarantined>> {
    let Some(reason) = &swap.quarantine else { return Vec::new() };
    let found_at = Timestamp::now().0;
    let quarantined = swap.old.iter().map(|segment| {
        Arc::new(Quarantined { meta: segment.meta().clone(), reason: reason.clone(), found_at })
    });
    quarantined.collect()
}

/// Makes a segment again from its columns.
pub(crate) fn rewrite(shared: &Arc<Shared>, segment: &Arc<Segment>) -> Result<()> {
    merge(shared, std::slice::from_ref(segment))
}

fn merge_files(name: SegmentName, inputs: &[Arc<Segment>]) -> Result<SegmentFiles> {
    let (schema, indexed) = merged_schema(inputs)?;
    let mut builder = SegmentBuilder::new(name, &schema, indexed)?;
    for window in windows(inputs)? {
        let mut chunks = Vec::new();
        for (segment, rows) in inputs.iter().zip(window) {
            if !rows.is_empty() {
                let batch =
                    segment.read(&RowSet::Range(rows), &Columns::All, &Unbounded::allowance())?;
                let names = Arc::new(segment.meta().overflow_names.clone());
                chunks.push(Arc::new(Chunk::new(batch, names, segment.meta().received_at_max)));
            }
        }
        let combined = Combined::with_fields(&chunks, &schema);
        let (batch, names) =
            combined.batch(0..combined.rows()).map_err(StoreError::segment("merge"))?;
        let batch = to_schema(batch, &schema)?;
        builder.add(&batch, names)?;
    }
    builder.finish()
}

/// Gives a batch the merged schema's types: dictionaries where it says so, overflow where it has it.
pub(crate) fn to_schema(
    batch: arrow::array::RecordBatch,
    schema: &SchemaRef,
) -> Result<arrow::array::RecordBatch> {
    let columns = schema.fields().iter().map(|field| match batch.column_by_name(field.name()) {
        Some(column) => cast(column, field.data_type()),
        None => Ok(arrow::array::new_null_array(field.data_type(), batch.num_rows())),
    });
    let columns = columns.collect::<Result<Vec<_>, _>>().map_err(StoreError::segment("merge"))?;
    arrow::array::RecordBatch::try_new(Arc::clone(schema), columns)
        .map_err(StoreError::segment("merge"))
}

/// The union of the inputs' columns, and the attributes that are in the index of every input that has them.
pub(crate) fn merged_schema(inputs: &[Arc<Segment>]) -> Result<(SchemaRef, BTreeSet<String>)> {
    let mut attributes: BTreeMap<(String, AttributeType), (u64, bool)> = BTreeMap::new();
    let mut overflow = false;
    for input in inputs {
        overflow |= !input.meta().overflow_names.is_empty();
        for field in input.schema()?.fields() {
            let Some((attribute_type, name)) = AttributeType::of_column(field.name()) else {
                continue;
            };
            let few_values = matches!(field.data_type(), DataType::Dictionary(..));
            let column = attributes.entry((name.to_owned(), attribute_type)).or_insert((0, true));
            column.0 += u64::from(input.meta().rows);
            column.1 &= few_values;
        }
    }
    if attributes.len() > schema::ATTRIBUTE_COLUMNS_MAX {
        // The names that fewest rows can have lose their columns.
        let mut by_rows: Vec<_> =
            attributes.iter().map(|(key, (rows, _))| (*rows, key.clone())).collect();
        by_rows.sort_unstable_by(|a, b| b.cmp(a));
        for (_, key) in &by_rows[schema::ATTRIBUTE_COLUMNS_MAX..] {
            attributes.remove(key);
        }
        overflow = true;
    }
    let mut fields = schema::fixed_fields();
    let mut indexed = BTreeSet::new();
    for ((name, attribute_type), (_, few_values)) in attributes {
        let data_type = match attribute_type {
            AttributeType::String if few_values => schema::dictionary_type(),
            AttributeType::String => {
                indexed.insert(name.clone());
                DataType::Utf8
            }
            AttributeType::I64 => DataType::Int64,
            AttributeType::F64 => DataType::Float64,
            AttributeType::Bool => DataType::Boolean,
        };
        fields.push(ArrowField::new(attribute_type.column(&name), data_type, true));
    }
    if overflow {
        fields.push(ArrowField::new(schema::OVERFLOW, DataType::Utf8, true));
    }
    Ok((Arc::new(Schema::new(fields)), indexed))
}

/// Row ranges of the inputs, window after window: every row of a window is before every row of the next.
fn windows(inputs: &[Arc<Segment>]) -> Result<Vec<Vec<Range<u32>>>> {
    let mut times: Vec<Vec<i64>> = Vec::with_capacity(inputs.len());
    for segment in inputs {
        let all = RowSet::Range(0..segment.meta().rows);
        let batch = segment.read(
            &all,
            &Columns::Fields([Field::Timestamp].into()),
            &Unbounded::allowance(),
        )?;
        times.push(batch.column(0).as_primitive::<TimestampNanosecondType>().values().to_vec());
    }
    let mut at = vec![0_usize; inputs.len()];
    let mut windows = Vec::new();
    while at.iter().zip(&times).any(|(at, times)| *at < times.len()) {
        // The earliest time at which some input alone would fill its share of the window.
        let share = (WINDOW_ROWS / inputs.len()).max(1);
        let boundary =
            at.iter().zip(&times).filter_map(|(at, times)| times.get(at + share)).min().copied();
        let ends: Vec<usize> = at
            .iter()
            .zip(&times)
            .map(|(at, times)| match boundary {
                // Rows of the boundary's own time go along: equal times are never parted.
                Some(boundary) => at + times[*at..].partition_point(|time| *time <= boundary),
                None => times.len(),
            })
            .collect();
        windows.push(at.iter().zip(&ends).map(|(start, end)| *start as u32..*end as u32).collect());
        at = ends;
    }
    Ok(windows)
}

/// Drops whole segments that retention lets go.
fn expire(shared: &Arc<Shared>) -> Result<()> {
    let view = shared.view();
    let segments: Vec<_> = view.segments().iter().map(|segment| segment.meta().into()).collect();
    let goes = retention::expired(&segments, &shared.options, Timestamp::now().0);
    let expired = view.segments().iter().zip(goes).filter(|(_, goes)| *goes);
    let expired: Vec<Arc<Segment>> = expired.map(|(segment, _)| Arc::clone(segment)).collect();
    if expired.is_empty() {
        return Ok(());
    }
    let rows = expired.iter().map(|segment| u64::from(segment.meta().rows)).sum();
    tracing::info!(segments = expired.len(), rows, "records expired");
    failpoint::reach("expire.chosen");
    replace(shared, Vec::new(), &expired, rows)
}
