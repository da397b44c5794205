//! The compaction thread: like-sized segments of a day become one; what is too old or too much goes.
//!
//! A merge reads its inputs window by window, so its memory is bounded by [`WINDOW_ROWS`], whatever the
//! size of the result. Retention runs on the same thread, so that nothing expires under a merge.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use arrow::array::AsArray;
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field as ArrowField, Schema, SchemaRef, TimestampNanosecondType};
use file_system::failpoint;
use ql::Field;
use record::{NANOS_PER_DAY, Timestamp};

use crate::catalog::{CatalogChange, Marks};
use crate::chunk::Chunk;
use crate::combine::Combined;
use crate::error::{Result, StoreError};
use crate::evaluate::Columns;
use crate::flush::caught;
use crate::retention;
use crate::schema::{self, AttributeType};
use crate::segment::{self, RowSet, Segment, SegmentBuilder, SegmentMeta, SegmentName};
use crate::store::{Shared, locked};

/// Rows that a merge holds in memory.
const WINDOW_ROWS: usize = 32_768;
/// Segments with which merges do not wait for flushes any more.
const SEGMENTS_WAITING_MAX: usize = 256;
/// How often retention looks when nothing is flushed.
const TICK: Duration = Duration::from_secs(5);
/// Segments within this factor of rows are of like size.
const TIER_FACTOR: u32 = 4;

pub(crate) fn run(shared: &Arc<Shared>, wakes: &Receiver<()>) {
    loop {
        match wakes.recv_timeout(TICK) {
            Ok(()) | Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
        let turn = locked(&shared.compacting);
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
    expire(shared)
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
        replaces: inputs.iter().map(|segment| segment.meta().id).collect(),
    };
    let files = merge_files(name, inputs)?;
    let folder = shared.segment_folder();
    segment::write_files(&*shared.fs, &folder, &files)?;
    failpoint::reach("compact.written");
    let meta = files.meta;
    let published = shared
        .fs
        .sync_folder(&folder)
        .map_err(StoreError::io("sync", &folder))
        .and_then(|()| replace(shared, vec![meta.clone()], inputs, 0));
    if published.is_err() {
        segment::remove_files(&*shared.fs, &folder, meta.id);
        return published;
    }
    shared.statistics.compactions.fetch_add(1, Ordering::Relaxed);
    shared.statistics.segments_compacted.fetch_add(inputs.len() as u64, Ordering::Relaxed);
    Ok(())
}

/// The catalog transaction and the swap of the view.
fn replace(
    shared: &Arc<Shared>,
    add: Vec<SegmentMeta>,
    old: &[Arc<Segment>],
    expired: u64,
) -> Result<()> {
    let mut marks = locked(&shared.marks);
    let mut counters = marks.counters.clone();
    counters.expired += expired;
    let change = CatalogChange {
        add,
        remove: old.iter().map(|segment| segment.meta().id).collect(),
        marks: Marks { next_segment_id: shared.next_segment_id(), counters, ..marks.clone() },
        ..CatalogChange::default()
    };
    locked(&shared.catalog).apply(&change)?;
    failpoint::reach("replace.published");
    *marks = change.marks;
    drop(marks);
    let new = change
        .add
        .into_iter()
        .map(|meta| Arc::new(Segment::new(meta, Arc::clone(&shared.fs), shared.segment_folder())));
    let new: Vec<_> = new.collect();
    let mut counters = locked(&shared.counters);
    counters.expired += expired;
    shared.change_view(|pieces| {
        pieces.segments.retain(|segment| !change.remove.contains(&segment.meta().id));
        pieces.segments.extend(new);
    });
    drop(counters);
    failpoint::reach("replace.swapped");
    old.iter().for_each(|segment| segment.doom());
    Ok(())
}

fn merge_files(name: SegmentName, inputs: &[Arc<Segment>]) -> Result<segment::SegmentFiles> {
    let (schema, indexed) = merged_schema(inputs)?;
    let mut builder = SegmentBuilder::new(name, &schema, indexed)?;
    for window in windows(inputs)? {
        let mut chunks = Vec::new();
        for (segment, rows) in inputs.iter().zip(window) {
            if !rows.is_empty() {
                let batch = segment.read(&RowSet::Range(rows), &Columns::All)?;
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
fn to_schema(
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
fn merged_schema(inputs: &[Arc<Segment>]) -> Result<(SchemaRef, BTreeSet<String>)> {
    let mut attributes: BTreeMap<(String, AttributeType), (u64, bool)> = BTreeMap::new();
    let mut overflow = false;
    for input in inputs {
        overflow |= !input.meta().overflow_names.is_empty();
        for field in input.records()?.1.schema().fields() {
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
        let batch = segment.read(&all, &Columns::Fields([Field::Timestamp].into()))?;
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
