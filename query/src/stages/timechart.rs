//! `timechart 5m count() by service`: one row a bin of time and series, empty bins among them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use ql::{Arguments, Field, GroupBy, Read};
use record::Timestamp;
use store::{Allowance, BLOCK_ROWS};

use super::stats::{Aggregate, Stats, aggregate, distinct_columns};
use super::{Flow, Needs, Stage, StageHelp};
use crate::batch::{Batch, Piece, Rows};
use crate::cell::Cell;
use crate::error::QueryError;
use crate::plan::TimeRange;

pub(super) const HELP: StageHelp = StageHelp {
    name: "timechart",
    usage: "timechart [SPAN] FUNCTION(FIELD) [as NAME], … [by FIELD, …]",
    summary: "as stats by time, but with a row for every bin of SPAN in the time searched, also for those without records; without SPAN about 60 bins",
    example: "level:error | timechart 1m count() by service",
    parse,
};

/// Bins that are filled at most; of a longer time only those between the first and the last record, and beyond it none.
const BINS_MAX: i64 = 10_000;
/// Bins of a span that is left out, about.
const BINS_WANTED: i64 = 60;
const SECOND: i64 = 1_000_000_000;
/// Spans that people read well.
const SPANS: [i64; 22] = [
    SECOND / 1_000,
    SECOND / 100,
    SECOND / 10,
    SECOND,
    2 * SECOND,
    5 * SECOND,
    10 * SECOND,
    15 * SECOND,
    30 * SECOND,
    60 * SECOND,
    2 * 60 * SECOND,
    5 * 60 * SECOND,
    10 * 60 * SECOND,
    15 * 60 * SECOND,
    30 * 60 * SECOND,
    3_600 * SECOND,
    2 * 3_600 * SECOND,
    6 * 3_600 * SECOND,
    12 * 3_600 * SECOND,
    86_400 * SECOND,
    7 * 86_400 * SECOND,
    30 * 86_400 * SECOND,
];

#[derive(Clone, Debug)]
struct Chart {
    aggregates: Vec<Aggregate>,
    series: Vec<Field>,
    names: Vec<String>,
    /// `None` until the time is known.
    width: Option<i64>,
    time: TimeRange,
}

#[derive(Debug)]
struct Timechart {
    chart: Chart,
    stats: Stats,
    allowance: Arc<dyn Allowance>,
}

fn parse(arguments: &mut Arguments<'_>) -> Read<Box<dyn Stage>> {
    let width = match arguments.duration() {
        Ok(width) => Some(i64::try_from(width.node.as_nanos()).unwrap_or(i64::MAX)),
        Err(_) => None,
    };
    let calls = match arguments.is_empty() {
        true => return Err(arguments.unexpected("a function such as `count()`")),
        false => arguments.aggregates()?,
    };
    let by = match arguments.keyword("by") {
        Some(_) => arguments.fields()?,
        None => Vec::new(),
    };
    let mut named = vec![("timestamp".to_owned(), calls[0].span)];
    named.extend(by.iter().map(|field| (field.node.name().to_owned(), field.span)));
    named.extend(calls.iter().map(|call| (call.column(), call.span)));
    distinct_columns(&named)?;
    let aggregates = calls.iter().map(aggregate).collect::<Read<Vec<_>>>()?;
    let chart = Chart {
        aggregates,
        series: by.into_iter().map(|field| field.node).collect(),
        names: named.into_iter().map(|(name, _)| name).collect(),
        width,
        time: i64::MIN..i64::MAX,
    };
    Ok(Box::new(Timechart::new(chart)))
}

impl Chart {
    fn width(&self) -> i64 {
        self.width.unwrap_or(60 * SECOND)
    }

    fn stats(&self) -> Stats {
        let width = Duration::from_nanos(self.width().unsigned_abs());
        let mut keys = vec![GroupBy::TimeBin { field: Field::Timestamp, width }];
        keys.extend(self.series.iter().cloned().map(GroupBy::Field));
        Stats::new(self.aggregates.clone(), keys, self.names.clone())
    }

    /// The starts of the bins to fill.
    fn bins(&self, first: i64, last: i64) -> impl Iterator<Item = i64> + use<> {
        let width = self.width().max(1);
        let start_of = |time: i64| time.div_euclid(width).saturating_mul(width);
        let count = |from: i64, to: i64| (to.saturating_sub(from)) / width + 1;
        let whole = (start_of(self.time.start), start_of(self.time.end.saturating_sub(1)));
        let (from, to) = match whole {
            (from, to) if count(from, to) <= BINS_MAX => (from.min(first), to.max(last)),
            _ => (first, last),
        };
        let bins = if count(from, to) <= BINS_MAX { count(from, to) } else { 0 };
        (0..bins).map(move |bin| from.saturating_add(bin.saturating_mul(width)))
    }
}

impl Timechart {
    fn new(chart: Chart) -> Self {
        let stats = chart.stats();
        Self { chart, stats, allowance: store::Unbounded::allowance() }
    }

    /// Puts rows for the empty bins of each series between the others.
    fn filled(&self, rows: Vec<Vec<Cell>>) -> Result<Vec<Vec<Cell>>, QueryError> {
        let series_count = self.chart.series.len();
        let time_of = |row: &[Cell]| match row.first() {
            Some(Cell::Time(time)) => Some(time.0),
            _ => None,
        };
        let times = rows.iter().filter_map(|row| time_of(row));
        let Some((first, last)) = times.clone().min().zip(times.max()) else {
            let (first, last) = (self.chart.time.start, self.chart.time.end);
            if series_count > 0 || first == i64::MIN || last == i64::MAX {
                return Ok(rows);
            }
            let start = first.div_euclid(self.chart.width()).saturating_mul(self.chart.width());
            let bins = self.chart.bins(start, start);
            return Ok(bins.map(|bin| self.empty_row(bin, &[])).collect());
        };
        let mut by_place: BTreeMap<(Vec<Cell>, i64), Vec<Cell>> = BTreeMap::new();
        for row in rows {
            let time = time_of(&row).unwrap_or(i64::MIN);
            by_place.insert((row[1..=series_count].to_vec(), time), row);
        }
        let mut series: Vec<Vec<Cell>> =
            by_place.keys().map(|(series, _)| series.clone()).collect();
        series.dedup();
        let bins: Vec<i64> = self.chart.bins(first, last).collect();
        let mut filled = Vec::new();
        // A row without a time is in no bin.
        for one in &series {
            filled.extend(by_place.remove(&(one.clone(), i64::MIN)));
        }
        if bins.is_empty() || bins.len().saturating_mul(series.len()) > BINS_MAX as usize * 10 {
            filled.extend(by_place.into_values());
            filled.sort();
            return Ok(filled);
        }
        for bin in bins {
            self.allowance.check()?;
            for one in &series {
                let row = by_place.remove(&(one.clone(), bin));
                filled.push(row.unwrap_or_else(|| self.empty_row(bin, one)));
            }
        }
        Ok(filled)
    }

    fn empty_row(&self, bin: i64, series: &[Cell]) -> Vec<Cell> {
        let mut row = vec![Cell::Time(Timestamp(bin))];
        row.extend_from_slice(series);
        row.extend(self.chart.aggregates.iter().map(Aggregate::of_nothing));
        row
    }
}

impl Stage for Timechart {
    fn needs(&self) -> Needs {
        self.stats.needs()
    }

    fn begin(&mut self, time: &TimeRange, extent: &TimeRange) {
        self.chart.time = time.clone();
        if self.chart.width.is_none() {
            let length = |time: &TimeRange| time.end.saturating_sub(time.start);
            let bin = length(time).min(length(extent)) / BINS_WANTED;
            let longest = SPANS[SPANS.len() - 1];
            self.chart.width = Some(SPANS.into_iter().find(|span| *span >= bin).unwrap_or(longest));
        }
        self.stats = self.chart.stats();
        self.stats.begin(time, extent);
    }

    fn within(&mut self, allowance: &Arc<dyn Allowance>) {
        self.allowance = Arc::clone(allowance);
        self.stats.within(allowance);
    }

    fn push_roll_up(&mut self, rows: &Piece, counts: &[u32]) -> bool {
        self.stats.push_roll_up(rows, counts)
    }

    fn push(&mut self, batch: Batch, out: &mut Vec<Batch>) -> Result<Flow, QueryError> {
        self.stats.push(batch, out)
    }

    fn finish(&mut self, out: &mut Vec<Batch>) -> Result<(), QueryError> {
        let mut groups = Vec::new();
        self.stats.finish(&mut groups)?;
        let rows = groups.into_iter().flat_map(|group| match group {
            Batch::Rows(rows) => rows.rows,
            Batch::Records(_) => Vec::new(),
        });
        let rows = self.filled(rows.collect())?;
        let names: Arc<[String]> = self.chart.names.clone().into();
        let blocks = rows.len().div_ceil(BLOCK_ROWS).max(1);
        let mut rows = rows.into_iter();
        for _ in 0..blocks {
            let block = rows.by_ref().take(BLOCK_ROWS).collect();
            out.push(Batch::Rows(Rows { names: Arc::clone(&names), rows: block }));
        }
        Ok(())
    }

    fn memory_bytes(&self) -> usize {
        self.stats.memory_bytes()
    }

    fn ordered(&self) -> bool {
        false
    }

    fn fork(&self) -> Option<Box<dyn Stage>> {
        Some(Box::new(Timechart::new(self.chart.clone())))
    }

    fn absorb(&mut self, twin: Box<dyn Stage>) {
        match (twin as Box<dyn std::any::Any>).downcast::<Timechart>() {
            Ok(twin) => self.stats.absorb(Box::new(twin.stats)),
            Err(_) => debug_assert!(false, "a twin is of the same kind"),
        }
    }
}
