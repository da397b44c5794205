//! `patterns`: the templates of the messages found, with how many messages each has, how they are spread over the time,
//! and the newest of them. `patterns as FIELD` writes each record's template into a field instead.

use std::sync::{Arc, Mutex, PoisonError};

use ql::{Arguments, Field, Read};
use store::{Allowance, BLOCK_ROWS};
use templates::{Bounds, Miner, Templates};

use super::{Flow, Needs, Stage, StageHelp};
use crate::batch::{Batch, Column, Records, Rows};
use crate::cell::Cell;
use crate::error::QueryError;
use crate::plan::TimeRange;
use crate::sorting::sort_within;

pub(super) const HELP: StageHelp = StageHelp {
    name: "patterns",
    usage: "patterns [from FIELD] [as FIELD]",
    summary: "the templates of the messages, or of the texts in FIELD: what messages of one statement have in common, with <*> for what varies; the commonest first, with count, percent, spread over the time and the newest message; `as FIELD` writes the template of each record into a field instead",
    example: "* | patterns | head 20",
    parse,
};

/// Parts of the time that a trend has.
const TREND_PARTS: usize = 20;
/// Characters of a sample.
const SAMPLE_CHARACTERS_MAX: usize = 300;
/// What a shape takes here beside its sample and in the miner.
const SHAPE_BYTES: usize = 160;

fn parse(arguments: &mut Arguments<'_>) -> Read<Box<dyn Stage>> {
    let from = match arguments.keyword("from") {
        Some(_) => arguments.field()?.node,
        None => Field::Message,
    };
    Ok(match arguments.keyword("as") {
        Some(_) => {
            let into = Field::resolve(&arguments.name()?.node);
            Box::new(Labels {
                from,
                into,
                miner: Miner::new(Bounds::default()),
                kept: Vec::new(),
                bytes: 0,
            })
        }
        None => Box::new(Patterns {
            from,
            found: Arc::default(),
            allowance: store::Unbounded::allowance(),
        }),
    })
}

/// The table of templates. Twins look at the same findings: what a message is like is seen beside all others only.
#[derive(Debug)]
struct Patterns {
    from: Field,
    found: Arc<Mutex<Found>>,
    allowance: Arc<dyn Allowance>,
}

struct Found {
    miner: Miner,
    shapes: Vec<Shape>,
    spread: Spread,
    sample_bytes: usize,
}

impl Default for Found {
    fn default() -> Self {
        Self {
            miner: Miner::new(Bounds::default()),
            shapes: Vec::new(),
            spread: Spread::default(),
            sample_bytes: 0,
        }
    }
}

impl std::fmt::Debug for Found {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Found").field("shapes", &self.shapes.len()).finish_non_exhaustive()
    }
}

/// The messages of one shape.
#[derive(Clone, Debug, Default)]
struct Shape {
    count: u64,
    trend: [u32; TREND_PARTS],
    newest: i64,
    sample: String,
}

/// The time that a trend covers, in parts of equal length.
#[derive(Clone, Copy, Debug, Default)]
struct Spread {
    start: i64,
    /// Of a part.
    width: i64,
}

impl Spread {
    fn of(extent: &TimeRange) -> Self {
        let length = i128::from(extent.end) - i128::from(extent.start);
        let width = (length + TREND_PARTS as i128 - 1) / TREND_PARTS as i128;
        Self { start: extent.start, width: i64::try_from(width).unwrap_or(i64::MAX).max(1) }
    }

    fn part(&self, time: i64) -> usize {
        let offset = i128::from(time) - i128::from(self.start);
        (offset / i128::from(self.width.max(1))).clamp(0, TREND_PARTS as i128 - 1) as usize
    }
}

impl Shape {
    /// Keeps the newest; of those of one time the smallest, so that the order in which they come does not matter.
    fn take_sample(&mut self, time: i64, sample: String) {
        if self.count == 0 || time > self.newest || (time == self.newest && sample < self.sample) {
            (self.newest, self.sample) = (time, sample);
        }
    }
}

impl Found {
    fn add(&mut self, message: &str, time: Option<i64>) {
        let number = self.miner.add(message) as usize;
        if number >= self.shapes.len() {
            self.shapes.resize_with(number + 1, Shape::default);
        }
        let shape = &mut self.shapes[number];
        if let Some(time) = time {
            let part = self.spread.part(time);
            shape.trend[part] = shape.trend[part].saturating_add(1);
        }
        let time = time.unwrap_or(i64::MIN);
        if shape.count == 0 || time >= shape.newest {
            let sample: String = message.chars().take(SAMPLE_CHARACTERS_MAX).collect();
            self.sample_bytes -= shape.sample.len();
            shape.take_sample(time, sample);
            self.sample_bytes += shape.sample.len();
        }
        shape.count += 1;
    }

    fn add_batch(&mut self, from: &Field, batch: &Batch) {
        if let Batch::Records(Records { pieces, order: None }) = batch {
            for piece in pieces {
                let (texts, times) = (piece.reader(from), piece.reader(&Field::Timestamp));
                for row in 0..piece.batch.num_rows() {
                    let time = time_of(&times.cell(row));
                    match texts.single() {
                        // Most often it is the message, which need not be copied.
                        Some(Column::Text(texts)) => self.add(texts.value(row), time),
                        _ => self.add_cell(&texts.cell(row), time),
                    }
                }
            }
            return;
        }
        let times = batch.column(&Field::Timestamp);
        for (text, time) in batch.column(from).iter().zip(&times) {
            self.add_cell(text, time_of(time));
        }
    }

    fn add_cell(&mut self, cell: &Cell, time: Option<i64>) {
        match cell {
            Cell::Null => {}
            Cell::Text(text) => self.add(text, time),
            other => self.add(&other.to_string(), time),
        }
    }

    fn bytes(&self) -> usize {
        self.miner.memory_bytes() + self.shapes.len() * SHAPE_BYTES + self.sample_bytes
    }

    /// One row for each template, in no order.
    fn rows(self) -> Vec<(u64, Vec<Cell>)> {
        let templates = self.miner.finish();
        let mut groups: Vec<Shape> = vec![Shape::default(); templates.len()];
        for (number, shape) in self.shapes.into_iter().enumerate() {
            let group = &mut groups[templates.group_of(number as u32) as usize];
            group.take_sample(shape.newest, shape.sample);
            group.count += shape.count;
            for (sum, count) in group.trend.iter_mut().zip(shape.trend) {
                *sum = sum.saturating_add(count);
            }
        }
        let all: u64 = groups.iter().map(|group| group.count).sum();
        let rows = groups.into_iter().enumerate().map(|(number, group)| {
            let percent = group.count as f64 * 100.0 / all.max(1) as f64;
            let trend = group.trend.iter();
            let cells = vec![
                Cell::I64(group.count as i64),
                Cell::float((percent * 100.0).round() / 100.0),
                Cell::List(trend.map(|count| Cell::I64(i64::from(*count))).collect()),
                Cell::text(templates.template(number as u32)),
                Cell::text(&group.sample),
            ];
            (group.count, cells)
        });
        rows.collect()
    }
}

fn time_of(cell: &Cell) -> Option<i64> {
    match cell {
        Cell::Time(time) => Some(time.0),
        _ => None,
    }
}

impl Stage for Patterns {
    fn needs(&self) -> Needs {
        Needs::of([&self.from, &Field::Timestamp], false)
    }

    fn begin(&mut self, _time: &TimeRange, extent: &TimeRange) {
        let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        found.spread = Spread::of(extent);
    }

    fn within(&mut self, allowance: &Arc<dyn Allowance>) {
        self.allowance = Arc::clone(allowance);
    }

    fn push(&mut self, batch: Batch, _out: &mut Vec<Batch>) -> Result<Flow, QueryError> {
        let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        found.add_batch(&self.from, &batch);
        Ok(Flow::More)
    }

    fn finish(&mut self, out: &mut Vec<Batch>) -> Result<(), QueryError> {
        let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        // Grouping takes several times what is kept.
        let _grouping = store::Held::take(&self.allowance, found.miner.memory_bytes() * 4)?;
        let rows = std::mem::take(&mut *found).rows();
        self.allowance.check()?;
        let rows = sort_within(rows, &self.allowance, |(a, left), (b, right)| {
            b.cmp(a).then_with(|| left[3].cmp(&right[3]))
        })?;
        let names: Arc<[String]> =
            ["count", "percent", "trend", "pattern", "sample"].map(str::to_owned).into();
        let mut rows = rows.into_iter().map(|(_, row)| row).peekable();
        while rows.peek().is_some() {
            let block = rows.by_ref().take(BLOCK_ROWS).collect();
            out.push(Batch::Rows(Rows { names: Arc::clone(&names), rows: block }));
        }
        Ok(())
    }

    fn memory_bytes(&self) -> usize {
        // What twins share counts once: with the one that holds it last.
        match Arc::strong_count(&self.found) {
            1 => self.found.lock().unwrap_or_else(PoisonError::into_inner).bytes(),
            twins => self.found.lock().unwrap_or_else(PoisonError::into_inner).bytes() / twins,
        }
    }

    fn ordered(&self) -> bool {
        false
    }

    fn fork(&self) -> Option<Box<dyn Stage>> {
        let (from, found) = (self.from.clone(), Arc::clone(&self.found));
        Some(Box::new(Patterns { from, found, allowance: Arc::clone(&self.allowance) }))
    }
}

/// Writes templates into records, once all of them were seen.
struct Labels {
    from: Field,
    into: Field,
    miner: Miner,
    /// With the shape of every row, as [`Batch::whole_column`] has them.
    kept: Vec<(Batch, Vec<Option<u32>>)>,
    bytes: usize,
}

impl std::fmt::Debug for Labels {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Labels")
            .field("from", &self.from)
            .field("into", &self.into)
            .finish_non_exhaustive()
    }
}

impl Stage for Labels {
    fn needs(&self) -> Needs {
        Needs::of([&self.from], true)
    }

    fn push(&mut self, batch: Batch, _out: &mut Vec<Batch>) -> Result<Flow, QueryError> {
        let shapes = batch.whole_column(&self.from).into_iter().map(|cell| match cell {
            Cell::Null => None,
            Cell::Text(text) => Some(self.miner.add(&text)),
            other => Some(self.miner.add(&other.to_string())),
        });
        let shapes: Vec<Option<u32>> = shapes.collect();
        self.bytes += batch.memory_bytes() + size_of_val(shapes.as_slice());
        self.kept.push((batch, shapes));
        Ok(Flow::More)
    }

    fn finish(&mut self, out: &mut Vec<Batch>) -> Result<(), QueryError> {
        let templates: Templates =
            std::mem::replace(&mut self.miner, Miner::new(Bounds::default())).finish();
        let texts: Vec<Cell> = (0..templates.len())
            .map(|group| Cell::text(templates.template(group as u32)))
            .collect();
        for (mut batch, shapes) in self.kept.drain(..) {
            let cells = shapes.into_iter().map(|shape| match shape {
                Some(shape) => texts[templates.group_of(shape) as usize].clone(),
                None => Cell::Null,
            });
            let cells = cells.collect();
            batch.make(&self.into, cells);
            out.push(batch);
        }
        Ok(())
    }

    fn memory_bytes(&self) -> usize {
        self.bytes + self.miner.memory_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trend_covers_its_extent_in_parts_of_one_length() {
        for (extent, times) in [
            (0..20, vec![(0, 0), (1, 1), (19, 19)]),
            (100..110, vec![(100, 0), (109, 9)]),
            (i64::MIN..i64::MAX, vec![(i64::MIN, 0), (0, 9), (i64::MAX - 1, 19)]),
            (0..20, vec![(-5, 0), (25, 19)]),
            (7..7, vec![(7, 0)]),
        ] {
            for (time, part) in times {
                assert_eq!(Spread::of(&extent).part(time), part, "{time} in {extent:?}");
            }
        }
    }
}
