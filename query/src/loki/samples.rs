//! Metric queries: the lines of a range, on all threads and only the columns that are looked at.
//!
//! Where nothing but the labels of streams is looked at, lines are counted by stream and span of time first, and each of
//! these is given to the evaluation once.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use logql::Labels;
use logql::ast::{LogQuery, Metric};
use logql::metric::{Answer, Collected, Limits, MetricFault, Source, Steps, Wanted, evaluate};
use logql::pipeline::Entry;
use record::Signal;
use store::{Allowance, Columns, Held, View};

use super::push_down::push_down;
use super::record::{Attributes, Lines, StreamKey, Streams};
use super::{PARTS_MAX, SERIES_MAX};
use crate::batch::Batch;
use crate::error::QueryError;
use crate::memory::Account;
use crate::plan::Plan;
use crate::queries::{Prepared, Queries};
use crate::stages::{Flow, Needs, Stage};

/// Bytes of a value of an answer: as it is evaluated, as a point, and written.
const VALUE_BYTES: usize = 48;

/// What a metric query comes to.
#[derive(Debug)]
pub(super) struct Evaluated {
    pub(super) answer: Answer,
    /// Lines that were looked at.
    pub(super) lines: u64,
    /// Why not everything was.
    pub(super) partial: Option<String>,
}

impl Queries {
    /// Evaluates a metric query at each step.
    ///
    /// # Errors
    /// What is wrong with it, or with a line; a bound is reached.
    pub(super) fn loki_metric(
        &self,
        tenant: &str,
        metric: &Metric,
        steps: &Steps,
        account: &Arc<Account>,
    ) -> Result<Evaluated, MetricFault> {
        let view = self.store.view();
        let attributes = Attributes::of(&view, tenant, i64::MIN..i64::MAX);
        let allowance = Arc::clone(account) as Arc<dyn Allowance>;
        let held = Held::nothing(&allowance);
        let mut samples = Samples {
            queries: self,
            view: &view,
            tenant,
            account,
            attributes,
            held,
            collected_bytes: 0,
            lines: 0,
            partial: None,
        };
        let values_max = self.limits().memory_bytes_max / VALUE_BYTES;
        let limits = Limits { series_max: SERIES_MAX, parts_max: PARTS_MAX, values_max };
        let answer = evaluate(metric, steps, &limits, &mut samples)?;
        Ok(Evaluated { answer, lines: samples.lines, partial: samples.partial })
    }
}

/// The records of a tenant as a source of lines.
struct Samples<'q> {
    queries: &'q Queries,
    view: &'q View,
    tenant: &'q str,
    account: &'q Arc<Account>,
    attributes: Attributes,
    /// What the evaluation holds.
    held: Held,
    /// What the last range function holds.
    collected_bytes: usize,
    lines: u64,
    partial: Option<String>,
}

fn failed(error: QueryError) -> MetricFault {
    MetricFault::Source(Box::new(error))
}

impl Source for Samples<'_> {
    fn applies(&self, query: &LogQuery) -> Vec<bool> {
        push_down(query, &self.attributes).applied
    }

    fn collect(
        &mut self,
        wanted: &Wanted<'_>,
        collected: Collected,
    ) -> Result<Collected, MetricFault> {
        let mut plan =
            Plan::of_filter(push_down(wanted.query, &self.attributes).filter, Signal::Logs.name());
        let columns = self.attributes.columns(collected.needs());
        let slot = Arc::new(Slot::default());
        plan.stages.push(Box::new(Collecting {
            collected: Some(collected),
            columns,
            slot: Arc::clone(&slot),
        }));
        // A window has its end and not its beginning.
        let time = wanted.after_ns.saturating_add(1)..wanted.until_ns.saturating_add(1);
        let prepared = Prepared::within(plan, self.tenant, time, usize::MAX);
        let ran = self
            .queries
            .run_over(self.view, Arc::clone(self.account), prepared, &mut |_| Flow::More);
        let slot = &*slot;
        if let Some(fault) = taken(&slot.fault) {
            return Err(fault);
        }
        let summary = ran.map_err(failed)?;
        self.lines += summary.matched;
        self.partial = self.partial.take().or(summary.reason);
        let collected = taken(&slot.collected).ok_or_else(|| failed(QueryError::Cancelled))?;
        self.collected_bytes = collected.memory_bytes();
        Ok(collected)
    }

    fn check(&mut self) -> Result<(), MetricFault> {
        let allowance: &dyn Allowance = &**self.account;
        allowance.check().map_err(|stopped| failed(stopped.into()))
    }

    fn holds(&mut self, values: usize) -> Result<(), MetricFault> {
        let bytes = values.saturating_mul(VALUE_BYTES).saturating_add(self.collected_bytes);
        self.held.set(bytes).map_err(|stopped| failed(stopped.into()))
    }
}

/// Where the stage leaves what it comes to.
#[derive(Debug, Default)]
struct Slot {
    collected: Mutex<Option<Collected>>,
    fault: Mutex<Option<MetricFault>>,
}

fn taken<T>(place: &Mutex<Option<T>>) -> Option<T> {
    place.lock().unwrap_or_else(PoisonError::into_inner).take()
}

/// The last stage of a plan whose lines are for a range function.
#[derive(Debug)]
struct Collecting {
    /// There until it is left in the slot.
    collected: Option<Collected>,
    columns: Columns,
    slot: Arc<Slot>,
}

impl Collecting {
    /// Leaves a fault for who evaluates; the query ends.
    fn stopped(&self, fault: MetricFault) -> QueryError {
        *self.slot.fault.lock().unwrap_or_else(PoisonError::into_inner) = Some(fault);
        QueryError::Cancelled
    }
}

impl Stage for Collecting {
    fn needs(&self) -> Needs {
        match &self.columns {
            Columns::All => Needs { fields: [].into(), passes_records: true },
            Columns::Fields(fields) => Needs { fields: fields.clone(), passes_records: false },
        }
    }

    fn ordered(&self) -> bool {
        false
    }

    fn aggregates(&self) -> bool {
        true
    }

    fn push(&mut self, batch: Batch, _out: &mut Vec<Batch>) -> Result<Flow, QueryError> {
        let Batch::Records(records) = &batch else { return Ok(Flow::More) };
        let Some(collected) = &mut self.collected else { return Ok(Flow::Enough) };
        for piece in &records.pieces {
            let needs = collected.needs().clone();
            let lines = Lines::new(piece, &needs);
            let took = match !needs.line && !needs.time && lines.streams_say_all() {
                true => take_streams(collected, &lines),
                false => take_lines(collected, &lines),
            };
            if let Err(fault) = took {
                return Err(self.stopped(fault));
            }
        }
        Ok(Flow::More)
    }

    fn finish(&mut self, _out: &mut Vec<Batch>) -> Result<(), QueryError> {
        *self.slot.collected.lock().unwrap_or_else(PoisonError::into_inner) = self.collected.take();
        Ok(())
    }

    fn memory_bytes(&self) -> usize {
        self.collected.as_ref().map_or(0, Collected::memory_bytes)
    }

    fn fork(&self) -> Option<Box<dyn Stage>> {
        let collected = self.collected.as_ref().map(Collected::fork);
        let (columns, slot) = (self.columns.clone(), Arc::clone(&self.slot));
        Some(Box::new(Self { collected, columns, slot }))
    }

    fn absorb(&mut self, twin: Box<dyn Stage>) {
        let twin: Box<dyn std::any::Any> = twin;
        let Ok(twin) = twin.downcast::<Self>() else { return };
        if let (Some(collected), Some(of_twin)) = (&mut self.collected, twin.collected)
            && let Err(fault) = collected.absorb(of_twin)
        {
            self.stopped(fault);
        }
    }
}

fn take_streams(collected: &mut Collected, lines: &Lines<'_>) -> Result<(), MetricFault> {
    // By stream and span: how many lines, and a time among theirs.
    let mut counts: HashMap<(StreamKey, usize), (i64, u64)> = HashMap::new();
    for row in 0..lines.rows() {
        let timestamp_ns = lines.time(row);
        if let Some(pane) = collected.pane(timestamp_ns) {
            counts.entry((lines.stream_key(row), pane)).or_insert((timestamp_ns, 0)).1 += 1;
        }
    }
    let mut streams = Streams::default();
    for ((key, _), (timestamp_ns, count)) in counts {
        let metadata = lines.metadata_of_stream(key);
        let stream = streams.labels(lines, key);
        let entry = Entry { timestamp_ns, line: "", stream, metadata: &metadata };
        collected.take(&entry, count)?;
    }
    Ok(())
}

fn take_lines(collected: &mut Collected, lines: &Lines<'_>) -> Result<(), MetricFault> {
    let mut streams = Streams::default();
    let says_all = lines.streams_say_all();
    for row in 0..lines.rows() {
        let key = lines.stream_key(row);
        let metadata: Labels = match says_all {
            true => lines.metadata_of_stream(key),
            false => lines.metadata(row),
        };
        let stream = streams.labels(lines, key);
        let (timestamp_ns, line) = (lines.time(row), lines.line(row));
        collected.take(&Entry { timestamp_ns, line, stream, metadata: &metadata }, 1)?;
    }
    Ok(())
}
