//! The stages after `|`. Each is one file: its help, how its arguments are read, what it does, its tests.
//!
//! To add one, write its file and name it in [`STAGES`].

mod context;
mod dedup;
mod eval;
mod extract;
mod fields;
mod groups;
mod head;
mod parse;
mod patterns;
mod rename;
mod sort;
mod stats;
mod stats_functions;
mod tail;
mod timechart;
mod top;
mod where_stage;

use std::any::Any;
use std::collections::BTreeSet;
use std::fmt::Debug;
use std::sync::Arc;

use ql::{Arguments, Diagnostic, Diagnostics, Field, Read, StageCall};
use store::Allowance;

use crate::batch::{Batch, Piece};
use crate::error::QueryError;
use crate::plan::TimeRange;
pub(crate) use context::Around;

/// Every stage, by name.
pub const STAGES: &[&StageHelp] = &[
    &context::HELP,
    &dedup::HELP,
    &eval::HELP,
    &extract::HELP,
    &fields::HELP,
    &head::HELP,
    &parse::HELP,
    &patterns::HELP,
    &top::RARE,
    &rename::HELP,
    &sort::HELP,
    &stats::HELP,
    &tail::HELP,
    &timechart::HELP,
    &top::TOP,
    &where_stage::HELP,
];

/// What is said of a stage, and how it is made.
#[derive(Debug)]
pub struct StageHelp {
    /// Its name in a query.
    pub name: &'static str,
    /// Its arguments.
    pub usage: &'static str,
    /// What it does, in a line.
    pub summary: &'static str,
    /// A query that shows it.
    pub example: &'static str,
    /// Reads its arguments, all of them.
    pub parse: fn(&mut Arguments<'_>) -> Read<Box<dyn Stage>>,
}

/// A step of a query. Batches are pushed in, what comes out goes to the next one.
#[allow(private_interfaces, reason = "nothing outside of this crate has a stage")]
pub trait Stage: Debug + Send + Any {
    /// The fields it reads, and whether what it gives out is still records with all their fields.
    fn needs(&self) -> Needs;

    /// Says what the query's time range is, and the part of it in which there are records, before the first batch.
    fn begin(&mut self, _time: &TimeRange, _extent: &TimeRange) {}

    /// Gives it what it may use, before the first batch. A stage that works for long on what it holds (sorting, taking
    /// over a twin, making its result) asks once a block whether to go on.
    fn within(&mut self, _allowance: &Arc<dyn Allowance>) {}

    /// Takes counts by minute, service and severity in place of the records themselves: `counts[i]` records
    /// are like row i. Answers `false`, having taken nothing, if it has to see the records.
    fn push_roll_up(&mut self, _rows: &Piece, _counts: &[u32]) -> bool {
        false
    }

    /// Takes a batch. Answers whether it wants more.
    ///
    /// # Errors
    /// When a bound is reached.
    fn push(&mut self, batch: Batch, out: &mut Vec<Batch>) -> Result<Flow, QueryError>;

    /// No more batches come.
    ///
    /// # Errors
    /// When a bound is reached.
    fn finish(&mut self, _out: &mut Vec<Batch>) -> Result<(), QueryError> {
        Ok(())
    }

    /// Memory held, bytes; asked after each batch, so it has to be quick.
    fn memory_bytes(&self) -> usize {
        0
    }

    /// Whether the order of its input matters.
    fn ordered(&self) -> bool {
        true
    }

    /// If it only passes the first so many on: how many.
    fn limit(&self) -> Option<usize> {
        None
    }

    /// Whether each record that goes in comes out as one, in the same order.
    fn one_to_one(&self) -> bool {
        false
    }

    /// Whether it makes rows out of many records; a limit cuts them only by the way, and says so.
    fn aggregates(&self) -> bool {
        !self.needs().passes_records && !self.one_to_one()
    }

    /// If it asks for what is around matches: for what; then the plan does it.
    fn around(&self) -> Option<&Around> {
        None
    }

    /// Tells a stage that only its first `count` results are used.
    fn limit_hint(&mut self, _count: usize) {}

    /// Whether what becomes of a record depends on nothing but the record; then it has a [`Stage::fork`].
    fn per_record(&self) -> bool {
        false
    }

    /// An empty twin that can take a share of an input whose order does not matter; see [`Stage::absorb`].
    fn fork(&self) -> Option<Box<dyn Stage>> {
        None
    }

    /// Takes over what a twin has seen.
    fn absorb(&mut self, _twin: Box<dyn Stage>) {}
}

/// Whether a stage wants more input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// Yes.
    More,
    /// No: whatever else comes changes nothing.
    Enough,
}

/// What a stage reads of records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Needs {
    /// The fields.
    pub fields: BTreeSet<Field>,
    /// Whether records come out whole, so that later stages and the output may ask for any field.
    pub passes_records: bool,
}

impl Needs {
    pub(crate) fn of<'a>(
        fields: impl IntoIterator<Item = &'a Field>,
        passes_records: bool,
    ) -> Self {
        Self { fields: fields.into_iter().cloned().collect(), passes_records }
    }
}

/// Makes the stages of a query, reporting all faults together.
///
/// # Errors
/// Unknown stages with the nearest name, and whatever the stages say of their arguments.
pub(crate) fn plan(calls: &[StageCall]) -> Result<Vec<Box<dyn Stage>>, Diagnostics> {
    let mut stages = Vec::new();
    let mut faults = Vec::new();
    for (number, call) in calls.iter().enumerate() {
        let Some(help) = STAGES.iter().find(|help| help.name == call.name.node) else {
            faults.push(ql::unknown_stage(&call.name, STAGES.iter().map(|help| help.name)));
            continue;
        };
        let mut arguments = Arguments::new(call);
        match (help.parse)(&mut arguments)
            .and_then(|stage| arguments.finish(help.usage).map(|()| stage))
        {
            Ok(stage) if stage.around().is_some() && number > 0 => {
                let message = "this stage stands right behind the filter";
                faults.push(Diagnostic::error("misplaced_stage", call.name.span, message));
            }
            Ok(stage) => stages.push(stage),
            Err(fault) => faults.push(*fault),
        }
    }
    if faults.is_empty() { Ok(stages) } else { Err(Diagnostics(faults)) }
}
