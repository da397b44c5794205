//! The functions of `stats`: each keeps one state a group and can take over the state of a twin.

use std::collections::{BTreeSet, HashSet};

use arrow::array::Array;
use store::BLOCK_ROWS;

use crate::batch::{Column, FieldReader};
use crate::cell::Cell;

/// Values listed by `values()`; further ones are left out.
const VALUES_MAX: usize = 1_000;
/// Memory of a number in a list, which has up to twice the room that it needs.
const NUMBER_BYTES: usize = 16;

/// What a function computes.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Function {
    /// Rows, or rows that have the field.
    Count,
    CountDistinct,
    Sum,
    Avg,
    Min,
    Max,
    /// Of the population.
    Stddev,
    /// Exact, between neighbours in proportion (as numpy's and DuckDB's default).
    Quantile(f64),
    /// Rows, or rows that have the field, a second.
    Rate,
    /// By time.
    First,
    Last,
    /// Different values, sorted.
    Values,
}

/// The state of a function for all groups.
#[derive(Debug)]
pub(super) enum State {
    Counts(Vec<u64>),
    /// With the memory of all values.
    Sets(Vec<HashSet<Cell, ahash::RandomState>>, usize),
    /// The smallest values, at most [`VALUES_MAX`] of each group, with the memory of all.
    Smallest(Vec<BTreeSet<Cell>>, usize),
    Sums(Vec<Sum>),
    /// With the memory of texts.
    Extremes(Vec<Cell>, usize),
    /// With the memory of all numbers.
    Numbers(Vec<Vec<f64>>, usize),
    Moments(Vec<Moments>),
    /// Value and its place in time, with the memory of texts.
    Ends(Vec<Option<((i64, u64), Cell)>>, usize),
}

/// A sum that stays an integer while it can.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sum {
    integers: i128,
    floats: f64,
    float_seen: bool,
    count: u64,
}

/// Count, mean and sum of squared distances (Welford).
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Moments {
    count: f64,
    mean: f64,
    squares: f64,
}

impl Function {
    /// What it gives of no record.
    pub(super) fn of_nothing(&self) -> Cell {
        match self {
            Function::Count | Function::CountDistinct => Cell::I64(0),
            Function::Rate => Cell::F64(0.0),
            _ => Cell::Null,
        }
    }

    pub(super) fn state(&self) -> State {
        match self {
            Function::Count | Function::Rate => State::Counts(Vec::new()),
            Function::CountDistinct => State::Sets(Vec::new(), 0),
            Function::Values => State::Smallest(Vec::new(), 0),
            Function::Sum | Function::Avg => State::Sums(Vec::new()),
            Function::Min | Function::Max => State::Extremes(Vec::new(), 0),
            Function::Stddev => State::Moments(Vec::new()),
            Function::Quantile(_) => State::Numbers(Vec::new(), 0),
            Function::First | Function::Last => State::Ends(Vec::new(), 0),
        }
    }

    pub(super) fn needs_time(&self) -> bool {
        matches!(self, Function::First | Function::Last)
    }

    /// Adds rows: `groups[i]` is the group of row i, `cell(i)` its value.
    pub(super) fn add_cells(
        &self,
        state: &mut State,
        groups: &[u32],
        mut cell: impl FnMut(usize) -> Cell,
        times: &[(i64, u64)],
    ) {
        for (row, group) in groups.iter().enumerate() {
            let value = cell(row);
            if !value.is_null() {
                self.add(
                    state,
                    *group as usize,
                    value,
                    times.get(row).copied().unwrap_or_default(),
                );
            }
        }
    }

    /// As [`Function::add_cells`], from columns, without making cells of numbers.
    pub(super) fn add_column(
        &self,
        state: &mut State,
        groups: &[u32],
        reader: &FieldReader,
        times: &[(i64, u64)],
    ) {
        macro_rules! numbers {
            ($array:expr, $values:expr, $bytes:expr) => {{
                let array = $array;
                *$bytes += NUMBER_BYTES * (array.len() - array.null_count());
                for (row, group) in groups.iter().enumerate() {
                    if array.is_valid(row) {
                        $values[*group as usize].push(array.value(row) as f64);
                    }
                }
            }};
        }
        match (&mut *state, reader.single()) {
            (State::Numbers(values, bytes), Some(Column::F64(array))) => {
                numbers!(array, values, bytes)
            }
            (State::Numbers(values, bytes), Some(Column::I64(array))) => {
                numbers!(array, values, bytes)
            }
            (State::Sums(sums), Some(Column::F64(array))) => {
                for (row, group) in groups.iter().enumerate() {
                    if array.is_valid(row) {
                        sums[*group as usize].add_float(array.value(row));
                    }
                }
            }
            (State::Sums(sums), Some(Column::I64(array))) => {
                for (row, group) in groups.iter().enumerate() {
                    if array.is_valid(row) {
                        sums[*group as usize].add_integer(array.value(row));
                    }
                }
            }
            _ => self.add_cells(state, groups, |row| reader.cell(row), times),
        }
    }

    fn add(&self, state: &mut State, group: usize, value: Cell, time: (i64, u64)) {
        match state {
            State::Counts(counts) => counts[group] += 1,
            State::Sets(sets, bytes) => {
                let more = set_entry_bytes(&value);
                if sets[group].insert(value) {
                    *bytes += more;
                }
            }
            State::Smallest(sets, bytes) => add_small(&mut sets[group], bytes, value),
            State::Sums(sums) => match value {
                Cell::I64(number) => sums[group].add_integer(number),
                Cell::F64(number) => sums[group].add_float(number),
                _ => {}
            },
            State::Extremes(extremes, bytes) => {
                let kept = &mut extremes[group];
                if kept.is_null()
                    || (*self == Function::Min && value < *kept)
                    || (*self == Function::Max && value > *kept)
                {
                    *bytes = *bytes + value.heap_bytes() - kept.heap_bytes();
                    *kept = value;
                }
            }
            State::Numbers(numbers, bytes) => {
                *bytes += NUMBER_BYTES;
                numbers[group].extend(value.as_f64());
            }
            State::Moments(moments) => {
                if let Some(number) = value.as_f64() {
                    moments[group].merge(&Moments { count: 1.0, mean: number, squares: 0.0 });
                }
            }
            State::Ends(ends, bytes) => {
                let kept = &mut ends[group];
                let better = kept.as_ref().is_none_or(|(known, _)| match self {
                    Function::First => time < *known,
                    _ => time > *known,
                });
                if better {
                    let before = kept.as_ref().map_or(0, |(_, value)| value.heap_bytes());
                    *bytes = *bytes + value.heap_bytes() - before;
                    *kept = Some((time, value));
                }
            }
        }
    }

    /// The result of a group; takes it out of the state. `seconds` is how long its time is.
    pub(super) fn result(&self, state: &mut State, group: usize, seconds: f64) -> Cell {
        match state {
            State::Counts(counts) if *self == Function::Rate => {
                Cell::float(counts[group] as f64 / seconds)
            }
            State::Counts(counts) => Cell::I64(counts[group] as i64),
            State::Sets(sets, _) => Cell::I64(sets[group].len() as i64),
            State::Smallest(sets, _) => {
                Cell::List(std::mem::take(&mut sets[group]).into_iter().collect())
            }
            State::Sums(sums) => match self {
                Function::Avg => sums[group].average(),
                _ => sums[group].total(),
            },
            State::Extremes(extremes, _) => std::mem::take(&mut extremes[group]),
            State::Numbers(numbers, _) => match self {
                Function::Quantile(share) => quantile(&mut numbers[group], *share),
                _ => Cell::Null,
            },
            State::Moments(moments) => {
                let moments = moments[group];
                if moments.count == 0.0 {
                    Cell::Null
                } else {
                    Cell::float((moments.squares / moments.count).max(0.0).sqrt())
                }
            }
            State::Ends(ends, _) => ends[group].take().map_or(Cell::Null, |(_, value)| value),
        }
    }

    /// Adds a twin's state: `groups[g]` is the group here of the twin's group g. Gives up when `go_on` says no.
    pub(super) fn absorb(
        &self,
        state: &mut State,
        twin: State,
        groups: &[u32],
        go_on: &dyn Fn() -> bool,
    ) {
        let mut done = 0_usize;
        let mut more = || {
            done += 1;
            !done.is_multiple_of(BLOCK_ROWS) || go_on()
        };
        match (state, twin) {
            (State::Counts(counts), State::Counts(twin)) => {
                twin.iter().zip(groups).for_each(|(count, group)| counts[*group as usize] += count);
            }
            (State::Sets(sets, bytes), State::Sets(twin, _)) => {
                for (value, group) in each(twin, groups).take_while(|_| more()) {
                    let entry = set_entry_bytes(&value);
                    if sets[group].insert(value) {
                        *bytes += entry;
                    }
                }
            }
            (State::Smallest(sets, bytes), State::Smallest(twin, _)) => {
                for (value, group) in each(twin, groups).take_while(|_| more()) {
                    add_small(&mut sets[group], bytes, value);
                }
            }
            (State::Sums(sums), State::Sums(twin)) => {
                twin.iter().zip(groups).for_each(|(sum, group)| sums[*group as usize].merge(sum));
            }
            (State::Numbers(numbers, bytes), State::Numbers(twin, twin_bytes)) => {
                *bytes += twin_bytes;
                for (values, group) in twin.into_iter().zip(groups).take_while(|_| more()) {
                    let numbers = &mut numbers[*group as usize];
                    if numbers.is_empty() { *numbers = values } else { numbers.extend(values) }
                }
            }
            (State::Moments(moments), State::Moments(twin)) => {
                twin.iter()
                    .zip(groups)
                    .for_each(|(other, group)| moments[*group as usize].merge(other));
            }
            (state @ State::Extremes(..), State::Extremes(twin, _)) => {
                for (value, group) in
                    twin.into_iter().zip(groups).filter(|(value, _)| !value.is_null())
                {
                    self.add(state, *group as usize, value, (0, 0));
                }
            }
            (state @ State::Ends(..), State::Ends(twin, _)) => {
                for (end, group) in twin.into_iter().zip(groups) {
                    if let Some((time, value)) = end {
                        self.add(state, *group as usize, value, time);
                    }
                }
            }
            _ => debug_assert!(false, "twins have the same functions"),
        }
    }
}

impl State {
    /// Makes room for groups.
    pub(super) fn grow(&mut self, groups: usize) {
        match self {
            State::Counts(counts) => counts.resize(groups, 0),
            State::Sets(sets, _) => sets.resize_with(groups, HashSet::default),
            State::Smallest(sets, _) => sets.resize_with(groups, BTreeSet::default),
            State::Sums(sums) => sums.resize(groups, Sum::default()),
            State::Extremes(extremes, _) => extremes.resize(groups, Cell::Null),
            State::Numbers(numbers, _) => numbers.resize(groups, Vec::new()),
            State::Moments(moments) => moments.resize(groups, Moments::default()),
            State::Ends(ends, _) => ends.resize(groups, None),
        }
    }

    /// Counts rows without looking at a field.
    pub(super) fn count_rows(&mut self, groups: &[u32]) {
        if let State::Counts(counts) = self {
            groups.iter().for_each(|group| counts[*group as usize] += 1);
        }
    }

    /// Counts rows of one group.
    pub(super) fn count_many(&mut self, group: usize, rows: u64) {
        if let State::Counts(counts) = self {
            counts[group] += rows;
        }
    }

    /// Memory held, about; known without a look at the groups.
    pub(super) fn bytes(&self) -> usize {
        match self {
            State::Counts(counts) => size_of_val(counts.as_slice()),
            State::Sets(sets, bytes) => size_of_val(sets.as_slice()) + bytes,
            State::Smallest(sets, bytes) => size_of_val(sets.as_slice()) + bytes,
            State::Sums(sums) => size_of_val(sums.as_slice()),
            State::Extremes(extremes, bytes) => size_of_val(extremes.as_slice()) + bytes,
            State::Numbers(numbers, bytes) => size_of_val(numbers.as_slice()) + bytes,
            State::Moments(moments) => size_of_val(moments.as_slice()),
            State::Ends(ends, bytes) => size_of_val(ends.as_slice()) + bytes,
        }
    }
}

/// What a value takes in a set: tables have up to twice the room that they need.
fn set_entry_bytes(value: &Cell) -> usize {
    size_of::<Cell>() + 1 + value.memory_bytes()
}

/// Keeps the smallest values.
fn add_small(set: &mut BTreeSet<Cell>, bytes: &mut usize, value: Cell) {
    if set.len() == VALUES_MAX && set.last().is_some_and(|last| value >= *last) {
        return;
    }
    let more = set_entry_bytes(&value);
    if set.insert(value) {
        *bytes += more;
    }
    if set.len() > VALUES_MAX
        && let Some(largest) = set.pop_last()
    {
        *bytes -= set_entry_bytes(&largest);
    }
}

/// The values of a twin's sets, each with its group here.
fn each<S: IntoIterator<Item = Cell>>(
    sets: Vec<S>,
    groups: &[u32],
) -> impl Iterator<Item = (Cell, usize)> {
    let sets = sets.into_iter().zip(groups);
    sets.flat_map(|(set, group)| set.into_iter().map(|value| (value, *group as usize)))
}

impl Sum {
    fn add_integer(&mut self, number: i64) {
        self.integers += i128::from(number);
        self.count += 1;
    }

    fn add_float(&mut self, number: f64) {
        self.floats += number;
        self.float_seen = true;
        self.count += 1;
    }

    fn merge(&mut self, other: &Sum) {
        self.integers += other.integers;
        self.floats += other.floats;
        self.float_seen |= other.float_seen;
        self.count += other.count;
    }

    fn total(&self) -> Cell {
        match i64::try_from(self.integers) {
            _ if self.count == 0 => Cell::Null,
            Ok(integers) if !self.float_seen => Cell::I64(integers),
            _ => Cell::float(self.integers as f64 + self.floats),
        }
    }

    fn average(&self) -> Cell {
        if self.count == 0 {
            Cell::Null
        } else {
            Cell::float((self.integers as f64 + self.floats) / self.count as f64)
        }
    }
}

impl Moments {
    fn merge(&mut self, other: &Moments) {
        let count = self.count + other.count;
        if count == 0.0 {
            return;
        }
        let distance = other.mean - self.mean;
        self.squares += other.squares + distance * distance * self.count * other.count / count;
        self.mean += distance * other.count / count;
        self.count = count;
    }
}

fn quantile(numbers: &mut [f64], share: f64) -> Cell {
    let Some(last) = numbers.len().checked_sub(1) else { return Cell::Null };
    let place = share * last as f64;
    let (below, above) = (place.floor() as usize, place.ceil() as usize);
    let (_, low, rest) = numbers.select_nth_unstable_by(below, f64::total_cmp);
    let low = *low;
    let high = if above == below {
        low
    } else {
        rest.iter().copied().min_by(f64::total_cmp).unwrap_or(low)
    };
    Cell::float(low + (high - low) * (place - below as f64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_lie_between_neighbours_in_proportion() {
        let mut numbers = [4.0, 1.0, 3.0, 2.0];
        assert_eq!(quantile(&mut numbers, 0.0), Cell::F64(1.0));
        assert_eq!(quantile(&mut numbers, 0.5), Cell::F64(2.5));
        assert_eq!(quantile(&mut numbers, 1.0), Cell::F64(4.0));
        assert_eq!(quantile(&mut [], 0.5), Cell::Null);
    }
}
