//! Runs a plan over one view.
//!
//! Two ways through the store. If order matters: the newest matching rows of each source, newest source
//! first, until no older source can hold a newer row; then their columns, block by block. If it does not
//! (`stats`): source by source on all threads, each with a twin of the first stage, and only the columns
//! that are needed.
//!
//! All that is held (row numbers, places, blocks, what stages keep) is taken from the query's [`Account`], and the
//! account is asked once a block whether to go on.

use std::cmp::Reverse;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use store::{Allowance, Columns, Held, RowSet, Source, View};

use crate::batch::{self, Batch, Piece, Records};
use crate::error::QueryError;
use crate::limits::{QueryLimits, Summary};
use crate::memory::Account;
use crate::ordered::{Cursor, Ordered};
use crate::output::{Output, Twin};
use crate::plan::{Plan, TimeRange};
use crate::stages::Flow;

/// Where results go; answers whether more is wanted.
pub(crate) type Sink<'a> = dyn FnMut(Batch) -> Flow + 'a;

/// A running query.
#[derive(Debug)]
pub(crate) struct Execution<'a> {
    pub(crate) view: &'a View,
    pub(crate) tenant: &'a str,
    pub(crate) time: TimeRange,
    /// Records at and above it are not wanted.
    pub(crate) below: Option<Cursor>,
    /// Records or rows to give out at most.
    pub(crate) limit: usize,
    pub(crate) limits: &'a QueryLimits,
    pub(crate) account: Arc<Account>,
    /// The account as the store and the stages know it.
    pub(crate) allowance: Arc<dyn Allowance>,
    /// Sources that turned out to be damaged.
    pub(crate) skipped: Mutex<Skipped>,
}

/// What is left out of an answer.
#[derive(Debug, Default)]
pub(crate) struct Skipped {
    segments: usize,
    rows: u64,
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

        let aggregates = plan.aggregates();
        let pages = plan.pages();
        let ordered = plan.ordered();
        let columns = plan.columns();
        let newest = plan.newest(self.limit);
        let filter = plan.filter.clone();
        let extent = extent(&sources, &self.time);
        plan.stages.iter_mut().for_each(|stage| stage.begin(&self.time, &extent));
        let mut output = Output::new(std::mem::take(&mut plan.stages), self.limit, &self.allowance);
        let sources_total = sources.iter().map(Source::rows).sum();
        self.account.begins(sources_total);
        if ordered {
            let asked = Ordered { filter: &filter, sources: &sources, newest, columns: &columns };
            if let Some(around) = &plan.around {
                self.run_context(around, &asked, &mut output, sink, &mut summary)?;
            } else {
                let last = self.run_ordered(&asked, self.below, &mut output, sink, &mut summary)?;
                if pages && output.left == 0 {
                    summary.next = last.map(|last| last.to_string());
                }
            }
        } else {
            self.run_unordered(&filter, &sources, &columns, &mut output, &mut summary)?;
        }
        output.finish(sink)?;
        self.tell_unreadable(plan.signal.name(), &mut summary);
        summary.rows = output.rows;
        if aggregates {
            summary.rows_left_out = output.left_out;
        }
        self.judge(&output, &mut summary);
        summary.took_ms = self.account.started().elapsed().as_secs_f64() * 1e3;
        Ok(summary)
    }

    /// Says what is not in the answer because it is damaged.
    fn tell_unreadable(&self, signal: &str, summary: &mut Summary) {
        let (segments, rows) = self.view.unreadable(self.tenant, signal, self.time.clone());
        let skipped = self.skipped.lock().unwrap_or_else(PoisonError::into_inner);
        let segments = segments + skipped.segments;
        if segments > 0 && summary.complete {
            let rows = rows + skipped.rows;
            summary.complete = false;
            summary.reason = Some(format!(
                "{segments} segments with {rows} records in or near this time are damaged; `logq check` on the \
                 collector's machine tells more"
            ));
        }
    }

    /// After a source failed: it is left out if its files are damaged, so that everything else is answered.
    pub(crate) fn skip_damaged(
        &self,
        source: &Source,
        error: QueryError,
    ) -> Result<(), QueryError> {
        if !matches!(error, QueryError::Store(_)) {
            return Err(error);
        }
        let Some(damage) = source.damage() else { return Err(error) };
        tracing::error!(damage, "a query leaves a damaged segment out");
        let mut skipped = self.skipped.lock().unwrap_or_else(PoisonError::into_inner);
        skipped.segments += 1;
        skipped.rows += source.rows() as u64;
        Ok(())
    }

    /// Says what was cut off, and whether that was asked for.
    fn judge(&self, output: &Output, summary: &mut Summary) {
        let rows_max = self.limits.rows_max;
        if output.left == 0 && self.limit >= rows_max && summary.complete && summary.next.is_none()
        {
            summary.complete = false;
            summary.reason = Some(format!("the bound of {rows_max} rows is reached"));
        } else if summary.rows_left_out > 0 {
            summary.warnings.push(format!(
                "{} more rows are left out by the limit of {}; give a larger one to see them",
                summary.rows_left_out, self.limit
            ));
        }
    }

    fn run_unordered(
        &self,
        filter: &ql::Filter,
        sources: &[Source],
        columns: &Columns,
        output: &mut Output,
        summary: &mut Summary,
    ) -> Result<(), QueryError> {
        let twins = Mutex::new(Vec::new());
        let next = AtomicUsize::new(0);
        let matched = AtomicU64::new(0);
        let failed = AtomicBool::new(false);
        let work = |mut twin: Twin| -> Result<(), QueryError> {
            twin.last.within(&self.allowance);
            let mut held = Held::nothing(&self.allowance);
            while let Some(source) = sources.get(next.fetch_add(1, Ordering::Relaxed)) {
                match self.feed(filter, source, columns, &mut twin, &mut held, &failed) {
                    Ok(count) => {
                        matched.fetch_add(count, Ordering::Relaxed);
                    }
                    Err(error) => {
                        if let Err(error) = self.skip_damaged(source, error) {
                            failed.store(true, Ordering::Relaxed);
                            return Err(error);
                        }
                    }
                }
            }
            twins.lock().unwrap_or_else(PoisonError::into_inner).push((twin.last, held));
            Ok(())
        };
        let threads = self.limits.threads.min(sources.len()).max(1);
        let forks: Vec<Twin> = (0..threads).filter_map(|_| output.fork()).collect();
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
        for (twin, held) in twins.into_inner().unwrap_or_else(PoisonError::into_inner) {
            output.absorb(twin, held)?;
        }
        Ok(())
    }

    /// Pushes what matches in a source into a stage; gives the number of records.
    fn feed(
        &self,
        filter: &ql::Filter,
        source: &Source,
        columns: &Columns,
        twin: &mut Twin,
        held: &mut Held,
        failed: &AtomicBool,
    ) -> Result<u64, QueryError> {
        self.allowance.check()?;
        self.account.scanned(source.rows());
        let overflow_names = Arc::new(source.overflow_names().clone());
        if twin.first.is_empty()
            && let Some((batch, counts)) = source.roll_up(filter, self.time.clone())
        {
            let piece = Piece::new(batch, Arc::clone(&overflow_names));
            if twin.last.push_roll_up(&piece, &counts) {
                held.set(twin.last.memory_bytes())?;
                return Ok(counts.iter().map(|count| u64::from(*count)).sum());
            }
        }
        if *columns == Columns::Fields([].into()) {
            // No column is read: the number of rows is all there is to know.
            let count = source.count(filter, self.time.clone(), &self.allowance)?;
            twin.push(Batch::Records(records(rows_without_columns(count), overflow_names)))?;
            held.set(twin.last.memory_bytes())?;
            return Ok(count as u64);
        }
        let rows = source.select(filter, self.time.clone(), None, &self.allowance)?;
        let _rows = Held::take(&self.allowance, memory_of(&rows))?;
        if rows.is_empty() {
            return Ok(0);
        }
        for batch in source.batches(&rows, columns, &self.allowance)? {
            if failed.load(Ordering::Relaxed) {
                return Ok(0);
            }
            let batch = batch?;
            // Twice: the stage looks at cells of it.
            let _block = Held::take(&self.allowance, 2 * batch::memory_of(&batch))?;
            let records = records(batch, Arc::clone(&overflow_names));
            twin.push(Batch::Records(records))?;
            held.set(twin.last.memory_bytes())?;
        }
        Ok(rows.len() as u64)
    }
}

/// The part of a time in which there are records; all of it if there are none.
fn extent(sources: &[Source], time: &TimeRange) -> TimeRange {
    let first = sources.iter().map(|source| source.time_range().0).min();
    let last = sources.iter().map(|source| source.time_range().1).max();
    match first.zip(last) {
        Some((first, last)) => first.max(time.start)..last.saturating_add(1).min(time.end),
        None => time.clone(),
    }
}

/// What row numbers take.
pub(crate) fn memory_of(rows: &RowSet) -> usize {
    match rows {
        RowSet::Range(_) => 0,
        RowSet::List(rows) => rows.capacity() * size_of::<u32>(),
    }
}

fn records(
    batch: arrow::array::RecordBatch,
    overflow_names: Arc<std::collections::BTreeSet<String>>,
) -> Records {
    Records { pieces: vec![Piece::new(batch, overflow_names)], order: None }
}

fn rows_without_columns(rows: usize) -> arrow::array::RecordBatch {
    let options = arrow::array::RecordBatchOptions::new().with_row_count(Some(rows));
    let schema = Arc::new(arrow::datatypes::Schema::empty());
    arrow::array::RecordBatch::try_new_with_options(schema, Vec::new(), &options)
        .expect("no columns fit any row count")
}
