//! `stats count() as n, p95(duration_ms) by service, bin(5m)`: one row a group.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use ql::{AggregateCall, Argument, Arguments, Diagnostic, Field, GroupBy, Read, Span};
use store::{Allowance, BLOCK_ROWS, Held, Unbounded};

use super::groups::{Groups, field_of};
use super::stats_functions::{Function, State};
use super::{Flow, Needs, Stage, StageHelp};
use crate::batch::{Batch, Piece, Rows};
use crate::cell::Cell;
use crate::error::QueryError;
use crate::plan::TimeRange;
use crate::sorting::sort_within;

pub(super) const HELP: StageHelp = StageHelp {
    name: "stats",
    usage: "stats FUNCTION(FIELD) [as NAME], … [by FIELD | bin(5m) | bin(FIELD, 100) [as NAME], …]",
    summary: "one row a group: count, count_distinct, sum, avg, min, max, stddev, p50 to p99, quantile, rate, first, last, values",
    example: "level:error | stats count() as errors, p95(duration_ms) by service, bin(5m)",
    parse,
};

const FUNCTIONS: [&str; 15] = [
    "count",
    "count_distinct",
    "sum",
    "avg",
    "min",
    "max",
    "stddev",
    "p50",
    "p95",
    "p99",
    "quantile",
    "rate",
    "first",
    "last",
    "values",
];

#[derive(Debug)]
pub(super) struct Stats {
    aggregates: Vec<Aggregate>,
    keys: Vec<GroupBy>,
    names: Vec<String>,
    groups: Groups,
    states: Vec<State>,
    bytes: usize,
    /// How long the time of a group is.
    seconds: f64,
    allowance: Arc<dyn Allowance>,
}

#[derive(Clone, Debug)]
pub(super) struct Aggregate {
    function: Function,
    /// `None` counts rows.
    field: Option<Field>,
}

fn parse(arguments: &mut Arguments<'_>) -> Read<Box<dyn Stage>> {
    let calls = arguments.aggregates()?;
    let keys = arguments.group_keys()?;
    let aggregates = calls.iter().map(aggregate).collect::<Read<Vec<_>>>()?;
    // Keys first, as people read a table.
    let named = keys.iter().map(|key| (key.column().to_owned(), key.span));
    let named: Vec<_> = named.chain(calls.iter().map(|call| (call.column(), call.span))).collect();
    distinct_columns(&named)?;
    let keys = keys.into_iter().map(|key| key.by).collect();
    Ok(Box::new(Stats::new(aggregates, keys, named.into_iter().map(|(name, _)| name).collect())))
}

/// # Errors
/// When two columns have the same name.
pub(super) fn distinct_columns(named: &[(String, Span)]) -> Read<()> {
    for (index, (name, span)) in named.iter().enumerate() {
        if named[..index].iter().any(|(other, _)| other == name) {
            let message = format!("there are two columns `{name}`");
            let wrong = Diagnostic::error("column_twice", *span, message);
            return Err(wrong.with_help("name one of them with `as NAME`").into());
        }
    }
    Ok(())
}

impl Aggregate {
    /// How many records or rows.
    pub(super) fn count() -> Self {
        Self { function: Function::Count, field: None }
    }

    /// What it gives where there is nothing.
    pub(super) fn of_nothing(&self) -> Cell {
        self.function.of_nothing()
    }
}

pub(super) fn aggregate(call: &AggregateCall) -> Read<Aggregate> {
    let of = |function| Ok(Aggregate { function, field: Some(call.one_field()?.clone()) });
    match call.function.node.as_str() {
        "count" if call.arguments.is_empty() => {
            Ok(Aggregate { function: Function::Count, field: None })
        }
        "count" => of(Function::Count),
        "rate" if call.arguments.is_empty() => {
            Ok(Aggregate { function: Function::Rate, field: None })
        }
        "rate" => of(Function::Rate),
        "count_distinct" => of(Function::CountDistinct),
        "sum" => of(Function::Sum),
        "avg" => of(Function::Avg),
        "min" => of(Function::Min),
        "max" => of(Function::Max),
        "stddev" => of(Function::Stddev),
        "first" => of(Function::First),
        "last" => of(Function::Last),
        "values" => of(Function::Values),
        "quantile" => {
            let arguments: Vec<_> = call.arguments.iter().map(|argument| &argument.node).collect();
            match arguments.as_slice() {
                [Argument::Field(field), Argument::Number(share)]
                    if (0.0..=1.0).contains(share) =>
                {
                    Ok(Aggregate {
                        function: Function::Quantile(*share),
                        field: Some(field.clone()),
                    })
                }
                _ => Err(call.wrong("`quantile(FIELD, SHARE)` with a share from 0 to 1")),
            }
        }
        name => match name.strip_prefix('p').and_then(|percent| percent.parse::<f64>().ok()) {
            Some(percent) if (0.0..=100.0).contains(&percent) => {
                of(Function::Quantile(percent / 100.0))
            }
            _ => Err(ql::unknown_function(&call.function, FUNCTIONS).into()),
        },
    }
}

impl Stats {
    pub(super) fn new(aggregates: Vec<Aggregate>, keys: Vec<GroupBy>, names: Vec<String>) -> Self {
        let states = aggregates.iter().map(|aggregate| aggregate.function.state()).collect();
        Self {
            aggregates,
            keys,
            names,
            groups: Groups::default(),
            states,
            bytes: 0,
            seconds: 1.0,
            allowance: Unbounded::allowance(),
        }
    }

    fn needs_time(&self) -> bool {
        self.aggregates.iter().any(|aggregate| aggregate.function.needs_time())
    }

    fn grow(&mut self) {
        let groups = self.groups.len();
        self.states.iter_mut().for_each(|state| state.grow(groups));
    }

    fn add_piece(&mut self, piece: &Piece) {
        let rows = piece.batch.num_rows();
        if self.keys.is_empty() && self.aggregates.iter().all(|aggregate| aggregate.field.is_none())
        {
            let group = self.groups.number(&[]);
            self.grow();
            self.states.iter_mut().for_each(|state| state.count_many(group as usize, rows as u64));
            return;
        }
        let groups = self.groups.of_piece(&self.keys, piece);
        self.grow();
        let times = if self.needs_time() { times_of(piece) } else { Vec::new() };
        for (aggregate, state) in self.aggregates.iter().zip(&mut self.states) {
            match &aggregate.field {
                None => state.count_rows(&groups),
                Some(field) => {
                    aggregate.function.add_column(state, &groups, &piece.reader(field), &times)
                }
            }
        }
    }

    fn add_batch(&mut self, batch: &Batch) {
        let groups = self.groups.of_batch(&self.keys, batch);
        self.grow();
        // Rows of stages have no time; their order stands in.
        let times: Vec<(i64, u64)> = (0..batch.len()).map(|row| (0, row as u64)).collect();
        for (aggregate, state) in self.aggregates.iter().zip(&mut self.states) {
            match &aggregate.field {
                None => state.count_rows(&groups),
                Some(field) => {
                    let cells = batch.column(field);
                    aggregate.function.add_cells(state, &groups, |row| cells[row].clone(), &times);
                }
            }
        }
    }
}

fn times_of(piece: &Piece) -> Vec<(i64, u64)> {
    let (times, seqs) = (piece.reader(&Field::Timestamp), piece.reader(&Field::RecordSeq));
    (0..piece.batch.num_rows())
        .map(|row| match (times.cell(row), seqs.cell(row)) {
            (Cell::Time(time), Cell::I64(seq)) => (time.0, seq as u64),
            (Cell::Time(time), _) => (time.0, 0),
            _ => (0, 0),
        })
        .collect()
}

impl Stage for Stats {
    fn needs(&self) -> Needs {
        let mut fields: BTreeSet<Field> =
            self.aggregates.iter().filter_map(|aggregate| aggregate.field.clone()).collect();
        fields.extend(self.keys.iter().map(|key| field_of(key).clone()));
        if self.needs_time() {
            fields.extend([Field::Timestamp, Field::RecordSeq]);
        }
        Needs { fields, passes_records: false }
    }

    fn within(&mut self, allowance: &Arc<dyn Allowance>) {
        self.allowance = Arc::clone(allowance);
    }

    fn begin(&mut self, time: &TimeRange, _extent: &TimeRange) {
        let bin = self.keys.iter().find_map(|key| match key {
            GroupBy::TimeBin { width, .. } => Some(width.as_secs_f64()),
            _ => None,
        });
        let whole = || time.end.saturating_sub(time.start) as f64 / 1e9;
        self.seconds = bin.unwrap_or_else(whole);
    }

    fn push_roll_up(&mut self, rows: &Piece, counts: &[u32]) -> bool {
        let minutes = |width: &Duration| width.as_nanos().is_multiple_of(60_000_000_000);
        let counted = self.aggregates.iter().all(|aggregate| aggregate.field.is_none());
        let grouped = self.keys.iter().all(|key| match key {
            GroupBy::Field(field) => matches!(field, Field::Service | Field::Severity),
            GroupBy::TimeBin { field: Field::Timestamp, width } => minutes(width),
            _ => false,
        });
        if !counted || !grouped {
            return false;
        }
        let groups = self.groups.of_piece(&self.keys, rows);
        self.grow();
        for state in &mut self.states {
            groups
                .iter()
                .zip(counts)
                .for_each(|(group, count)| state.count_many(*group as usize, u64::from(*count)));
        }
        true
    }

    fn push(&mut self, batch: Batch, _out: &mut Vec<Batch>) -> Result<Flow, QueryError> {
        match &batch {
            // In any order: piece by piece, column by column.
            Batch::Records(records) if records.order.is_none() => {
                records.pieces.iter().for_each(|piece| self.add_piece(piece))
            }
            other => self.add_batch(other),
        }
        self.bytes = self.groups.bytes + self.states.iter().map(State::bytes).sum::<usize>();
        Ok(Flow::More)
    }

    fn finish(&mut self, out: &mut Vec<Batch>) -> Result<(), QueryError> {
        if self.keys.is_empty() && self.groups.len() == 0 {
            // The whole is a group even if it is empty.
            self.groups.number(&[]);
            self.grow();
        }
        let groups = std::mem::take(&mut self.groups).into_keys();
        let row_bytes = size_of::<Vec<Cell>>() + self.names.len() * size_of::<Cell>();
        let _rows = Held::take(&self.allowance, groups.len() * row_bytes)?;
        let order = groups.into_iter().enumerate().collect();
        let order = sort_within(order, &self.allowance, |(_, a), (_, b)| a.cmp(b))?;
        let names: Arc<[String]> = self.names.iter().cloned().collect();
        // No group is no block, but still a table.
        let blocks = order.len().div_ceil(BLOCK_ROWS).max(1);
        let mut order = order.into_iter();
        for _ in 0..blocks {
            self.allowance.check()?;
            let rows = order.by_ref().take(BLOCK_ROWS).map(|(group, key)| {
                let mut row = Vec::with_capacity(self.names.len());
                row.extend(key.iter().cloned());
                let results = self.aggregates.iter().zip(&mut self.states);
                row.extend(results.map(|(aggregate, state)| {
                    aggregate.function.result(state, group, self.seconds)
                }));
                row
            });
            let rows = rows.collect();
            out.push(Batch::Rows(Rows { names: Arc::clone(&names), rows }));
        }
        Ok(())
    }

    fn memory_bytes(&self) -> usize {
        self.bytes
    }

    fn ordered(&self) -> bool {
        false
    }

    fn fork(&self) -> Option<Box<dyn Stage>> {
        Some(Box::new(Stats::new(self.aggregates.clone(), self.keys.clone(), self.names.clone())))
    }

    fn absorb(&mut self, twin: Box<dyn Stage>) {
        let Ok(twin) = (twin as Box<dyn std::any::Any>).downcast::<Stats>() else {
            debug_assert!(false, "a twin is of the same kind");
            return;
        };
        if self.groups.len() == 0 {
            // The first twin: nothing has to be joined.
            let Stats { groups, states, bytes, .. } = *twin;
            (self.groups, self.states, self.bytes) = (groups, states, bytes);
            return;
        }
        let mut groups: Vec<u32> = Vec::with_capacity(twin.groups.len());
        for keys in twin.groups.keys().chunks(BLOCK_ROWS) {
            // Whoever made us absorb it asks as well, and then says why.
            if self.allowance.check().is_err() {
                return;
            }
            groups.extend(keys.iter().map(|key| self.groups.number(key)));
        }
        self.grow();
        let go_on = || self.allowance.check().is_ok();
        for ((aggregate, state), other) in
            self.aggregates.iter().zip(&mut self.states).zip(twin.states)
        {
            aggregate.function.absorb(state, other, &groups, &go_on);
        }
        self.bytes = self.groups.bytes + self.states.iter().map(State::bytes).sum::<usize>();
    }
}
