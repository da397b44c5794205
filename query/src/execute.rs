//! Runs a plan over one view.
//!
//! Two ways through the store. If order matters: the newest matching rows of each source, newest source
//! first, until no older source can hold a newer row; then their columns, block by block. If it does not
//! (`stats`): source by source on all threads, each with a twin of the first stage, and only the columns
//! that are needed.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde::Serialize;
use store::{Columns, RowSet, Source, View};

use crate::batch::{Batch, Piece, Records};
use crate::error::QueryError;
use crate::plan::{Plan, TimeRange};
use crate::stages::{Flow, Stage};

/// Rows read at a time.
const BLOCK_ROWS: usize = 65_536;
/// Rows of the first block that is given out, so that it comes early.
const FIRST_BLOCK_ROWS: usize = 512;

/// Bounds of one query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueryLimits {
    /// Wall time.
    pub deadline: Duration,
    /// Memory that its stages may hold.
    pub memory_bytes_max: usize,
    /// Records that it may give out or sort.
    pub rows_max: usize,
    /// Threads that work on it.
    pub threads: usize,
    /// Queries at the same time of single tenants; further ones are refused.
    pub queries_by_tenant: BTreeMap<String, usize>,
}

impl Default for QueryLimits {
    fn default() -> Self {
        Self {
            deadline: Duration::from_secs(30),
            memory_bytes_max: 256 << 20,
            rows_max: 1_000_000,
            threads: std::thread::available_parallelism().map_or(2, usize::from).min(8),
            queries_by_tenant: BTreeMap::new(),
        }
    }
}

/// What is said at the end of every answer.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Summary {
    /// Whether everything that matches was looked at and given out, up to the limit that was asked for.
    pub complete: bool,
    /// If not: why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Records or rows given out.
    pub rows: u64,
    /// Records that matched the filter, as far as was looked.
    pub matched: u64,
    /// Sources (segments and pieces of parts) looked into.
    pub sources_read: u64,
    /// Sources left out because of their times, or because enough newer records were found.
    pub sources_pruned: u64,
    /// Rows of the sources looked into.
    pub rows_in_sources: u64,
    /// Wall time.
    pub took_ms: f64,
    /// What may have been meant.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// A word of advice, such as that there are later records.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

/// Where results go; answers whether more is wanted.
pub(crate) type Sink<'a> = dyn FnMut(Batch) -> Flow + 'a;

/// A running query.
#[derive(Debug)]
pub(crate) struct Execution<'a> {
    pub(crate) view: &'a View,
    pub(crate) tenant: &'a str,
    pub(crate) time: TimeRange,
    /// Records or rows to give out at most.
    pub(crate) limit: usize,
    pub(crate) limits: &'a QueryLimits,
    pub(crate) cancelled: &'a AtomicBool,
    pub(crate) started: Instant,
}

impl Execution<'_> {
    /// Runs a plan, giving results to `sink` as they come.
    pub(crate) fn run(&self, mut plan: Plan, sink: &mut Sink<'_>) -> Result<Summary, QueryError> {
        let mut summary = Summary { complete: true, ..Summary::default() };
        summary.warnings = plan.warnings.iter().map(ToString::to_string).collect();
        let (mut sources, pruned) =
            self.view.sources(self.tenant, plan.signal.name(), self.time.clone());
        summary.sources_pruned = pruned as u64;
        sources.sort_by_key(|source| Reverse(source.time_range().1));

        let ordered = plan.ordered();
        let columns = plan.columns();
        let newest = plan.newest(self.limit);
        let filter = plan.filter.clone();
        let seconds = self.time.end.saturating_sub(self.time.start) as f64 / 1e9;
        plan.stages.iter_mut().for_each(|stage| stage.begin(seconds));
        let mut output = Output {
            stages: std::mem::take(&mut plan.stages),
            left: self.limit,
            rows: 0,
            limits: self.limits,
        };
        if ordered {
            self.run_ordered(&filter, &sources, newest, &columns, &mut output, sink, &mut summary)?;
        } else {
            self.run_unordered(&filter, &sources, &columns, &mut output, sink, &mut summary)?;
        }
        output.finish(sink)?;
        summary.rows = output.rows;
        if output.left == 0 && self.limit >= self.limits.rows_max && summary.complete {
            summary.complete = false;
            summary.reason = Some(format!("the bound of {} rows is reached", self.limits.rows_max));
        }
        summary.took_ms = self.started.elapsed().as_secs_f64() * 1e3;
        Ok(summary)
    }

    #[allow(clippy::too_many_arguments)]
    fn run_ordered(
        &self,
        filter: &ql::Filter,
        sources: &[Source],
        newest: usize,
        columns: &Columns,
        output: &mut Output<'_>,
        sink: &mut Sink<'_>,
        summary: &mut Summary,
    ) -> Result<(), QueryError> {
        let rows_max = self.limits.rows_max;
        let mut places =
            self.places(filter, sources, newest.min(rows_max.saturating_add(1)), summary)?;
        if places.len() > rows_max {
            places.truncate(rows_max);
            summary.complete = false;
            summary.reason =
                Some(format!("more than {rows_max} records match; only the newest are used"));
        }
        let mut block = FIRST_BLOCK_ROWS;
        let mut rest = places.as_slice();
        while !rest.is_empty() {
            self.check()?;
            let (now, later) = rest.split_at(block.min(rest.len()));
            rest = later;
            block = (block * 4).min(BLOCK_ROWS / 8);
            let records = fetch(sources, now, columns)?;
            if output.push(Batch::Records(records), sink)? == Flow::Enough {
                break;
            }
        }
        Ok(())
    }

    /// The newest matching rows, newest first.
    fn places(
        &self,
        filter: &ql::Filter,
        sources: &[Source],
        newest: usize,
        summary: &mut Summary,
    ) -> Result<Vec<Place>, QueryError> {
        // The oldest of the newest so far is on top.
        let mut heap: BinaryHeap<Reverse<Place>> = BinaryHeap::new();
        if newest == 0 {
            return Ok(Vec::new());
        }
        for (number, source) in sources.iter().enumerate() {
            self.check()?;
            if let Some(Reverse(oldest)) = heap.peek().filter(|_| heap.len() >= newest) {
                // Sources come by their latest time: if this one is too old, so are all others.
                if source.time_range().1 < oldest.time {
                    summary.sources_pruned += (sources.len() - number) as u64;
                    break;
                }
            }
            summary.sources_read += 1;
            summary.rows_in_sources += source.rows() as u64;
            let rows = source.select(filter, self.time.clone(), Some(newest))?;
            summary.matched += rows.len() as u64;
            for (index, (time, seq)) in source.keys(&rows)?.into_iter().enumerate() {
                let place = Place { time, seq, source: number as u32, row: rows.row(index) };
                if heap.len() < newest {
                    heap.push(Reverse(place));
                } else if heap.peek().is_some_and(|Reverse(oldest)| place > *oldest) {
                    heap.pop();
                    heap.push(Reverse(place));
                }
            }
        }
        // Ascending order of `Reverse` is newest first.
        Ok(heap.into_sorted_vec().into_iter().map(|Reverse(place)| place).collect())
    }

    fn run_unordered(
        &self,
        filter: &ql::Filter,
        sources: &[Source],
        columns: &Columns,
        output: &mut Output<'_>,
        sink: &mut Sink<'_>,
        summary: &mut Summary,
    ) -> Result<(), QueryError> {
        let twins = Mutex::new(Vec::new());
        let next = AtomicUsize::new(0);
        let matched = AtomicU64::new(0);
        let failed = AtomicBool::new(false);
        let work = |mut twin: Box<dyn Stage>| -> Result<(), QueryError> {
            while let Some(source) = sources.get(next.fetch_add(1, Ordering::Relaxed)) {
                if failed.load(Ordering::Relaxed) {
                    return Ok(());
                }
                let result = self.feed(filter, source, columns, twin.as_mut());
                matched.fetch_add(*result.as_ref().unwrap_or(&0), Ordering::Relaxed);
                if let Err(error) = result {
                    failed.store(true, Ordering::Relaxed);
                    return Err(error);
                }
            }
            twins.lock().unwrap_or_else(PoisonError::into_inner).push(twin);
            Ok(())
        };
        let threads = self.limits.threads.min(sources.len()).max(1);
        let forks: Vec<_> = (0..threads).filter_map(|_| output.stages[0].fork()).collect();
        if forks.is_empty() {
            debug_assert!(false, "a stage without order can be forked");
            return Ok(());
        }
        std::thread::scope(|scope| {
            let mut forks = forks.into_iter();
            let mine = forks.next();
            let others: Vec<_> = forks.map(|twin| scope.spawn(|| work(twin))).collect();
            let mut result = mine.map_or(Ok(()), work);
            for other in others {
                let other = other.join().unwrap_or(Err(QueryError::Cancelled));
                result = result.and(other);
            }
            result
        })?;
        summary.matched = matched.load(Ordering::Relaxed);
        summary.sources_read = sources.len() as u64;
        summary.rows_in_sources = sources.iter().map(|source| source.rows() as u64).sum();
        for twin in twins.into_inner().unwrap_or_else(PoisonError::into_inner) {
            output.stages[0].absorb(twin);
        }
        let _ = sink;
        Ok(())
    }

    /// Pushes what matches in a source into a stage; gives the number of records.
    fn feed(
        &self,
        filter: &ql::Filter,
        source: &Source,
        columns: &Columns,
        stage: &mut dyn Stage,
    ) -> Result<u64, QueryError> {
        self.check()?;
        let overflow_names = Arc::new(source.overflow_names().clone());
        if let Some((batch, counts)) = source.roll_up(filter, self.time.clone()) {
            let piece = Piece { batch, overflow_names: Arc::clone(&overflow_names) };
            if stage.push_roll_up(&piece, &counts) {
                return Ok(counts.iter().map(|count| u64::from(*count)).sum());
            }
        }
        let mut push = |batch| {
            let records = Records {
                pieces: vec![Piece { batch, overflow_names: Arc::clone(&overflow_names) }],
                order: None,
            };
            stage.push(Batch::Records(records), &mut Vec::new())?;
            match stage.memory_bytes() > self.limits.memory_bytes_max {
                true => Err(QueryError::Memory { limit_bytes: self.limits.memory_bytes_max }),
                false => Ok(()),
            }
        };
        if *columns == Columns::Fields([].into()) {
            // No column is read: the number of rows is all there is to know.
            let count = source.count(filter, self.time.clone())?;
            push(rows_without_columns(count))?;
            return Ok(count as u64);
        }
        let rows = source.select(filter, self.time.clone(), None)?;
        for block in blocks(&rows) {
            self.check()?;
            push(source.read(&block, columns)?)?;
        }
        Ok(rows.len() as u64)
    }

    fn check(&self) -> Result<(), QueryError> {
        if self.cancelled.load(Ordering::Relaxed) {
            return Err(QueryError::Cancelled);
        }
        if self.started.elapsed() > self.limits.deadline {
            return Err(QueryError::Deadline { seconds: self.limits.deadline.as_secs() });
        }
        Ok(())
    }
}

fn rows_without_columns(rows: usize) -> arrow::array::RecordBatch {
    let options = arrow::array::RecordBatchOptions::new().with_row_count(Some(rows));
    let schema = Arc::new(arrow::datatypes::Schema::empty());
    arrow::array::RecordBatch::try_new_with_options(schema, Vec::new(), &options)
        .expect("no columns fit any row count")
}

fn blocks(rows: &RowSet) -> Vec<RowSet> {
    match rows {
        RowSet::Range(range) => {
            let starts = range.clone().step_by(BLOCK_ROWS);
            starts
                .map(|start| RowSet::Range(start..range.end.min(start + BLOCK_ROWS as u32)))
                .collect()
        }
        RowSet::List(list) => {
            list.chunks(BLOCK_ROWS).map(|rows| RowSet::List(rows.to_vec())).collect()
        }
    }
}

/// Where a record lies; ordered by (timestamp, record_seq).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    time: i64,
    seq: u64,
    source: u32,
    row: u32,
}

/// Reads the columns of places, in their order.
fn fetch(sources: &[Source], places: &[Place], columns: &Columns) -> Result<Records, QueryError> {
    let mut by_source: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    for place in places {
        by_source.entry(place.source).or_default().push(place.row);
    }
    let mut pieces = Vec::with_capacity(by_source.len());
    let mut numbers: BTreeMap<u32, u32> = BTreeMap::new();
    for (source, rows) in &mut by_source {
        rows.sort_unstable();
        let from = &sources[*source as usize];
        let batch = from.read(&RowSet::List(rows.clone()), columns)?;
        numbers.insert(*source, pieces.len() as u32);
        pieces.push(Piece { batch, overflow_names: Arc::new(from.overflow_names().clone()) });
    }
    let order = places.iter().map(|place| {
        let row = by_source[&place.source].partition_point(|row| *row < place.row);
        (numbers[&place.source], row as u32)
    });
    let order = order.collect();
    Ok(Records { pieces, order: Some(order) })
}

/// The stages and what comes out of them.
struct Output<'a> {
    stages: Vec<Box<dyn Stage>>,
    left: usize,
    rows: u64,
    limits: &'a QueryLimits,
}

impl Output<'_> {
    fn push(&mut self, batch: Batch, sink: &mut Sink<'_>) -> Result<Flow, QueryError> {
        self.push_into(0, vec![batch], sink)
    }

    /// Pushes batches into the stage at `index` and what comes out into those behind it.
    fn push_into(
        &mut self,
        index: usize,
        batches: Vec<Batch>,
        sink: &mut Sink<'_>,
    ) -> Result<Flow, QueryError> {
        let mut flow = Flow::More;
        for mut batch in batches {
            let Some(stage) = self.stages.get_mut(index) else {
                batch.truncate(self.left);
                self.left -= batch.len();
                self.rows += batch.len() as u64;
                if (!batch.is_empty() && sink(batch) == Flow::Enough) || self.left == 0 {
                    return Ok(Flow::Enough);
                }
                continue;
            };
            let mut out = Vec::new();
            flow = stage.push(batch, &mut out)?;
            if stage.memory_bytes() > self.limits.memory_bytes_max {
                return Err(QueryError::Memory { limit_bytes: self.limits.memory_bytes_max });
            }
            if self.push_into(index + 1, out, sink)? == Flow::Enough {
                return Ok(Flow::Enough);
            }
            if flow == Flow::Enough {
                return Ok(Flow::Enough);
            }
        }
        Ok(flow)
    }

    fn finish(&mut self, sink: &mut Sink<'_>) -> Result<(), QueryError> {
        for index in 0..self.stages.len() {
            let mut out = Vec::new();
            self.stages[index].finish(&mut out)?;
            // Enough further on only means that the rest is not needed; later stages still finish.
            self.push_into(index + 1, out, sink)?;
        }
        Ok(())
    }
}
