//! Records newest first, page by page: the places of the newest matching rows, then their columns in blocks.
//!
//! A page begins below the last record of the page before, by (timestamp, record_seq), which no two records share. So
//! what is held is a page however many records match, and an answer can go on where another one ended.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fmt;
use std::str::FromStr;

use ql::Filter;
use store::{Columns, Held, RowSet, Source};

use crate::batch::Batch;
use crate::error::QueryError;
use crate::execute::{Execution, Sink, memory_of};
use crate::limits::Summary;
use crate::output::Output;
use crate::places::{self, Place};
use crate::sorting::sort_within;
use crate::stages::Flow;

/// Rows of the first block that is given out, so that it comes early.
const FIRST_BLOCK_ROWS: usize = 512;
/// Records of the first page, and of later ones.
const FIRST_PAGE_ROWS: usize = 4_096;
const PAGE_ROWS_MAX: usize = 131_072;

/// A place in the order of records; a page begins below it. Written as `TIMESTAMP_NS,RECORD_SEQ`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cursor {
    /// Nanoseconds since 1970.
    pub time: i64,
    /// The record's sequence.
    pub seq: u64,
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{},{}", self.time, self.seq)
    }
}

impl FromStr for Cursor {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || "is no cursor; take it from `next` of a summary".to_owned();
        let (time, seq) = text.split_once(',').ok_or_else(wrong)?;
        Ok(Self {
            time: time.parse().map_err(|_| wrong())?,
            seq: seq.parse().map_err(|_| wrong())?,
        })
    }
}

/// What is asked of an ordered query.
#[derive(Clone, Copy)]
pub(crate) struct Ordered<'a> {
    pub(crate) filter: &'a Filter,
    /// Newest first by their latest time.
    pub(crate) sources: &'a [Source],
    /// How many of the newest records are enough.
    pub(crate) newest: usize,
    pub(crate) columns: &'a Columns,
}

/// How far the pages have come.
pub(crate) struct Position {
    /// Records are wanted below it.
    below: Option<Cursor>,
    /// Records of exactly its time that are not wanted any more, at most.
    of_its_time: usize,
    /// Sources that were looked into.
    read: Vec<bool>,
}

impl Execution<'_> {
    /// Gives the newest records to the stages; says where the last one was.
    pub(crate) fn run_ordered(
        &self,
        ordered: &Ordered<'_>,
        below: Option<Cursor>,
        output: &mut Output,
        sink: &mut Sink<'_>,
        summary: &mut Summary,
    ) -> Result<Option<Cursor>, QueryError> {
        let rows_max = self.limits.rows_max;
        let mut left = ordered.newest.min(rows_max.saturating_add(1));
        let mut allowed = rows_max;
        let mut position = self.position(ordered, below)?;
        let mut page = FIRST_PAGE_ROWS;
        let mut block = FIRST_BLOCK_ROWS;
        let mut last = None;
        while left > 0 {
            let wanted = left.min(page);
            let (mut places, _held) = self.places(ordered, wanted, &mut position)?;
            let found = places.len();
            summary.matched += found as u64;
            if found > allowed {
                places.truncate(allowed);
                summary.complete = false;
                summary.reason =
                    Some(format!("more than {rows_max} records match; only the newest are used"));
            }
            allowed -= places.len();
            last = places.last().map(Place::cursor).or(last);
            let flow = self.give(ordered, &places, &mut block, output, sink)?;
            if flow == Flow::Enough || found < wanted || places.len() < found {
                break;
            }
            left -= found;
            position.go_below(&places);
            page = page.saturating_mul(4).min(PAGE_ROWS_MAX);
        }
        self.tell_sources(ordered, &position, summary);
        Ok(last)
    }

    pub(crate) fn position(
        &self,
        ordered: &Ordered<'_>,
        below: Option<Cursor>,
    ) -> Result<Position, QueryError> {
        let mut of_its_time = 0;
        if let Some(cursor) = below {
            let moment = cursor.time..cursor.time.saturating_add(1);
            for source in ordered.sources {
                of_its_time +=
                    source.select(ordered.filter, moment.clone(), None, &self.allowance)?.len();
            }
        }
        Ok(Position { below, of_its_time, read: vec![false; ordered.sources.len()] })
    }

    pub(crate) fn tell_sources(
        &self,
        ordered: &Ordered<'_>,
        position: &Position,
        summary: &mut Summary,
    ) {
        for (source, read) in ordered.sources.iter().zip(&position.read) {
            if *read {
                summary.sources_read += 1;
                summary.rows_in_sources += source.rows() as u64;
            } else {
                summary.sources_pruned += 1;
            }
        }
    }

    /// Reads the columns of places and gives them to the stages, block by block.
    fn give(
        &self,
        ordered: &Ordered<'_>,
        places: &[Place],
        block: &mut usize,
        output: &mut Output,
        sink: &mut Sink<'_>,
    ) -> Result<Flow, QueryError> {
        let (sources, columns) = (ordered.sources, ordered.columns);
        let mut rest = places;
        while !rest.is_empty() {
            self.allowance.check()?;
            let rows = places::block(sources, rest, *block, columns, &*self.allowance)?;
            let (now, later) = rest.split_at(rows);
            rest = later;
            *block = block.saturating_mul(4);
            let records = places::fetch(sources, now, columns, &self.allowance)?;
            // Twice: stages look at cells of it, and the sink writes lines.
            let _block = Held::take(&self.allowance, 2 * records.memory_bytes())?;
            if output.push(Batch::Records(records), sink)? == Flow::Enough {
                return Ok(Flow::Enough);
            }
        }
        Ok(Flow::More)
    }

    /// The newest matching rows below the position, newest first, and the memory that they take.
    pub(crate) fn places(
        &self,
        ordered: &Ordered<'_>,
        newest: usize,
        position: &mut Position,
    ) -> Result<(Vec<Place>, Held), QueryError> {
        // The oldest of the newest so far is on top.
        let mut heap: BinaryHeap<Reverse<Place>> = BinaryHeap::new();
        let mut held = Held::nothing(&self.allowance);
        for (number, source) in ordered.sources.iter().enumerate() {
            self.allowance.check()?;
            let (first, last) = source.time_range();
            if let Some(Reverse(oldest)) = heap.peek().filter(|_| heap.len() >= newest) {
                // Sources come by their latest time: if this one is too old, so are all others.
                if last < oldest.time {
                    break;
                }
            }
            if position.below.is_some_and(|below| first > below.time) {
                continue;
            }
            if !std::mem::replace(&mut position.read[number], true) {
                self.account.scanned(source.rows());
            }
            match self.collect(ordered, number, newest, position, &mut heap, &mut held) {
                Ok(()) => {}
                Err(error) => self.skip_damaged(source, error)?,
            }
        }
        // Ascending order of `Reverse` is newest first.
        let places = sort_within(heap.into_vec(), &self.allowance, Ord::cmp)?;
        Ok((places.into_iter().map(|Reverse(place)| place).collect(), held))
    }

    /// Puts the places of a source's newest matching rows into the heap.
    fn collect(
        &self,
        ordered: &Ordered<'_>,
        number: usize,
        newest: usize,
        position: &Position,
        heap: &mut BinaryHeap<Reverse<Place>>,
        held: &mut Held,
    ) -> Result<(), QueryError> {
        let source = &ordered.sources[number];
        let mut time = self.time.clone();
        if let Some(below) = position.below {
            time.end = time.end.min(below.time.saturating_add(1));
        }
        // Those of the position's time come first and are not wanted.
        let asked = newest.saturating_add(position.of_its_time);
        let rows = source.select(ordered.filter, time, Some(asked), &self.allowance)?;
        let _rows = Held::take(&self.allowance, memory_of(&rows))?;
        self.add_places(source, number as u32, &rows, newest, position, heap, held)
    }

    #[allow(clippy::too_many_arguments)]
    fn add_places(
        &self,
        source: &Source,
        number: u32,
        rows: &RowSet,
        newest: usize,
        position: &Position,
        heap: &mut BinaryHeap<Reverse<Place>>,
        held: &mut Held,
    ) -> Result<(), QueryError> {
        let mut index = 0;
        for batch in source.batches(rows, &Source::key_columns(), &self.allowance)? {
            for (time, seq) in Source::keys_of(&batch?) {
                let place = Place { time, seq, source: number, row: rows.row(index) };
                index += 1;
                if position.below.is_some_and(|below| place.cursor() >= below) {
                    continue;
                }
                if heap.len() < newest {
                    heap.push(Reverse(place));
                } else if heap.peek().is_some_and(|Reverse(oldest)| place > *oldest) {
                    heap.pop();
                    heap.push(Reverse(place));
                }
            }
            held.set(heap.capacity() * size_of::<Place>())?;
        }
        Ok(())
    }
}

impl Position {
    pub(crate) fn at_the_top(sources: usize) -> Self {
        Self { below: None, of_its_time: 0, read: vec![false; sources] }
    }

    fn go_below(&mut self, page: &[Place]) {
        let Some(last) = page.last() else { return };
        let of_its_time = page.iter().rev().take_while(|place| place.time == last.time).count();
        let same = self.below.is_some_and(|below| below.time == last.time);
        self.of_its_time = of_its_time + if same { self.of_its_time } else { 0 };
        self.below = Some(last.cursor());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_read_as_it_is_written() {
        let cursor = Cursor { time: -5, seq: u64::MAX };
        assert_eq!(cursor.to_string().parse(), Ok(cursor));
        for text in ["", "5", "5,", ",5", "a,b", "5,-1", "5,5,5"] {
            assert!(text.parse::<Cursor>().is_err(), "{text}");
        }
    }
}
