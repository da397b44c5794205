//! The groups of `stats … by`: for each row the number of its group.
//!
//! Keys of few values (dictionaries, severities, time bins) are numbered by their codes, so that most rows
//! cost a few array look-ups and no hashing.

use std::sync::Arc;
use std::time::Duration;

use ahash::AHashMap;
use arrow::array::{Array, Int32Array, StringArray};
use ql::{Field, GroupBy};
use record::Timestamp;

use crate::batch::{Batch, Column, Piece};
use crate::cell::Cell;

/// The field that a key is made of.
pub(super) fn field_of(key: &GroupBy) -> &Field {
    match key {
        GroupBy::Field(field)
        | GroupBy::TimeBin { field, .. }
        | GroupBy::NumberBin { field, .. } => field,
    }
}

/// The key's cell for a value.
fn cell_of(key: &GroupBy, value: Cell) -> Cell {
    match key {
        GroupBy::Field(_) => value,
        GroupBy::TimeBin { width, .. } => match value {
            Cell::Time(time) => Cell::Time(time_bin(time, *width)),
            _ => Cell::Null,
        },
        GroupBy::NumberBin { width, .. } => match value.as_f64() {
            Some(number) => {
                let start = (number / width).floor() * width;
                // Whole bins of whole numbers stay whole.
                if start.fract() == 0.0 && start.abs() < 9e15 {
                    Cell::I64(start as i64)
                } else {
                    Cell::float(start)
                }
            }
            None => Cell::Null,
        },
    }
}

/// The start of the bin that a time falls in; bins are aligned to the epoch.
fn time_bin(time: Timestamp, span: Duration) -> Timestamp {
    let span = i64::try_from(span.as_nanos()).unwrap_or(i64::MAX).max(1);
    Timestamp(time.0.div_euclid(span).saturating_mul(span))
}

/// What a group takes beside its key: its entry in the table and its place in the list.
const GROUP_BYTES: usize = 96;

/// All groups seen.
#[derive(Clone, Debug, Default)]
pub(super) struct Groups {
    /// Keys are shared with the list.
    numbers: AHashMap<Arc<[Cell]>, u32>,
    keys: Vec<Arc<[Cell]>>,
    pub(super) bytes: usize,
}

impl Groups {
    pub(super) fn len(&self) -> usize {
        self.keys.len()
    }

    pub(super) fn keys(&self) -> &[Arc<[Cell]>] {
        &self.keys
    }

    /// The keys by their numbers; the table is given up.
    pub(super) fn into_keys(self) -> Vec<Arc<[Cell]>> {
        self.keys
    }

    pub(super) fn number(&mut self, key: &[Cell]) -> u32 {
        if let Some(number) = self.numbers.get(key) {
            return *number;
        }
        let number = self.keys.len() as u32;
        self.bytes += key.iter().map(Cell::memory_bytes).sum::<usize>() + GROUP_BYTES;
        let key: Arc<[Cell]> = key.into();
        self.keys.push(Arc::clone(&key));
        self.numbers.insert(key, number);
        number
    }

    /// The group of each row of a piece.
    pub(super) fn of_piece(&mut self, keys: &[GroupBy], piece: &Piece) -> Vec<u32> {
        let coded: Vec<Coded> = keys.iter().map(|key| Coded::of_piece(key, piece)).collect();
        self.of_coded(&coded, piece.batch.num_rows())
    }

    /// The group of each row of a batch, in its order.
    pub(super) fn of_batch(&mut self, keys: &[GroupBy], batch: &Batch) -> Vec<u32> {
        let coded: Vec<Coded> =
            keys.iter().map(|key| Coded::of_cells(key, batch.column(field_of(key)))).collect();
        self.of_coded(&coded, batch.len())
    }

    fn of_coded(&mut self, coded: &[Coded], rows: usize) -> Vec<u32> {
        const UNKNOWN: u32 = u32::MAX;
        let mut combinations = 1_usize;
        for key in coded {
            combinations = combinations.saturating_mul(key.values.len());
        }
        let mut cells: Vec<Cell> = Vec::with_capacity(coded.len());
        let mut key_of = |groups: &mut Self, row: usize| {
            cells.clear();
            cells.extend(coded.iter().map(|key| key.values[key.codes[row] as usize].clone()));
            groups.number(&cells)
        };
        // Few combinations: a table says which group each is.
        if combinations <= 1 << 16 {
            let mut table = vec![UNKNOWN; combinations];
            return (0..rows)
                .map(|row| {
                    let place = coded
                        .iter()
                        .fold(0, |place, key| place * key.values.len() + key.codes[row] as usize);
                    if table[place] == UNKNOWN {
                        table[place] = key_of(self, row);
                    }
                    table[place]
                })
                .collect();
        }
        let mut known: AHashMap<Vec<u32>, u32> = AHashMap::new();
        (0..rows)
            .map(|row| {
                let codes: Vec<u32> = coded.iter().map(|key| key.codes[row]).collect();
                *known.entry(codes).or_insert_with(|| key_of(self, row))
            })
            .collect()
    }
}

/// One key of each row, as a place among its values.
struct Coded {
    values: Vec<Cell>,
    codes: Vec<u32>,
}

impl Coded {
    fn of_piece(key: &GroupBy, piece: &Piece) -> Self {
        let reader = piece.reader(field_of(key));
        let rows = piece.batch.num_rows();
        match (reader.single(), key) {
            (Some(Column::Dictionary(keys, values)), GroupBy::Field(_)) => {
                if values.len() > rows {
                    // Most values are not here.
                    return Self::of_few(keys, values);
                }
                let mut cells: Vec<Cell> =
                    (0..values.len()).map(|value| Cell::text(values.value(value))).collect();
                cells.push(Cell::Null);
                let none = values.len() as u32;
                let codes = (0..rows)
                    .map(|row| if keys.is_null(row) { none } else { keys.value(row) as u32 });
                Self { codes: codes.collect(), values: cells }
            }
            (Some(Column::Severity(numbers)), GroupBy::Field(_)) => {
                // Four numbers a level: codes are levels.
                let mut values = vec![Cell::Null];
                values.extend(record::Level::ALL.map(|level| Cell::text(level.name())));
                let codes = numbers.values().iter().map(|number| u32::from(number.div_ceil(4)));
                Self { codes: codes.collect(), values }
            }
            (Some(Column::Time(times)), GroupBy::TimeBin { width: span, .. }) => {
                let mut coder = Coder::default();
                let mut last: Option<(i64, i64, u32)> = None;
                let width = i64::try_from(span.as_nanos()).unwrap_or(i64::MAX).max(1);
                let codes = times.values().iter().map(|time| match last {
                    Some((start, end, code)) if (start..end).contains(time) => code,
                    _ => {
                        let start = time_bin(Timestamp(*time), *span);
                        let code = coder.code(Cell::Time(start));
                        last = Some((start.0, start.0.saturating_add(width), code));
                        code
                    }
                });
                let codes = codes.collect();
                Self { codes, values: coder.values }
            }
            _ => Self::of_cells(key, (0..rows).map(|row| reader.cell(row))),
        }
    }

    /// Of a dictionary with more values than rows.
    fn of_few(keys: &Int32Array, values: &StringArray) -> Self {
        const UNKNOWN: u32 = u32::MAX;
        let mut cells = vec![Cell::Null];
        let mut table = vec![UNKNOWN; values.len()];
        let codes = keys.iter().map(|key| {
            let Some(key) = key else { return 0 };
            let code = &mut table[key as usize];
            if *code == UNKNOWN {
                *code = cells.len() as u32;
                cells.push(Cell::text(values.value(key as usize)));
            }
            *code
        });
        Self { codes: codes.collect(), values: cells }
    }

    fn of_cells(key: &GroupBy, cells: impl IntoIterator<Item = Cell>) -> Self {
        let mut coder = Coder::default();
        let codes = cells.into_iter().map(|cell| coder.code(cell_of(key, cell))).collect();
        Self { codes, values: coder.values }
    }
}

#[derive(Default)]
struct Coder {
    codes: AHashMap<Cell, u32>,
    values: Vec<Cell>,
}

impl Coder {
    fn code(&mut self, cell: Cell) -> u32 {
        if let Some(code) = self.codes.get(&cell) {
            return *code;
        }
        let code = self.values.len() as u32;
        self.values.push(cell.clone());
        self.codes.insert(cell, code);
        code
    }
}
