//! The records around matches: for each match, the newest before it and the oldest after it that have the same fields.

use std::collections::{BTreeMap, BTreeSet};

use ql::{Field, Filter};
use store::{Columns, Held};

use crate::batch::{Batch, Records};
use crate::cell::Cell;
use crate::error::QueryError;
use crate::execute::{Execution, Sink};
use crate::limits::Summary;
use crate::ordered::{Ordered, Position};
use crate::output::Output;
use crate::places::{self, Place};
use crate::stages::{Around, Flow};

/// Matches around which is looked, the newest.
const MATCHES_MAX: usize = 1_000;
/// What is looked at after a match at first; then ten times as much, until there is enough.
const FIRST_NANOS_AFTER: i64 = 1_000_000_000;
/// The field of the matches among the others.
const HIT: &str = "context.hit";

/// Matches that have the same fields, and what matches records with those fields; nothing if they lack them.
type Alike = (Option<Filter>, Vec<Place>);

impl Execution<'_> {
    /// Gives matches and what stands around them to the stages, newest first.
    pub(crate) fn run_context(
        &self,
        around: &Around,
        ordered: &Ordered<'_>,
        output: &mut Output,
        sink: &mut Sink<'_>,
        summary: &mut Summary,
    ) -> Result<(), QueryError> {
        let mut position = Position::at_the_top(ordered.sources.len());
        let (mut hits, _held) = self.places(ordered, MATCHES_MAX + 1, &mut position)?;
        summary.matched = hits.len() as u64;
        if hits.len() > MATCHES_MAX {
            hits.truncate(MATCHES_MAX);
            summary.complete = false;
            summary.reason = Some(format!("only what is around the newest {MATCHES_MAX} matches"));
        }
        let mut all: BTreeSet<Place> = hits.iter().copied().collect();
        let mut alone = 0;
        for (filter, hits) in self.by_filter(around, ordered, &hits)? {
            let Some(filter) = filter else {
                alone += hits.len();
                continue;
            };
            let same = Ordered { filter: &filter, ..*ordered };
            for hit in hits {
                self.allowance.check()?;
                all.extend(self.before(&same, hit, around.records)?);
                all.extend(self.after(&same, hit, around.records)?);
                let _places = Held::take(&self.allowance, all.len() * size_of::<Place>())?;
            }
        }
        if alone > 0 {
            let names: Vec<&str> = around.same.iter().map(Field::name).collect();
            summary
                .warnings
                .push(format!("{alone} matches stand alone: they have no {}", names.join(" and ")));
        }
        self.tell_sources(ordered, &position, summary);
        let places: Vec<Place> = all.into_iter().rev().collect();
        let hits: BTreeSet<Place> = hits.into_iter().collect();
        self.give_marked(ordered, &places, &hits, output, sink)
    }

    /// The matches by what they have in common with what is around them; without a filter those that lack the fields.
    fn by_filter(
        &self,
        around: &Around,
        ordered: &Ordered<'_>,
        hits: &[Place],
    ) -> Result<Vec<Alike>, QueryError> {
        if hits.is_empty() {
            return Ok(Vec::new());
        }
        let columns = Columns::Fields(around.same.iter().cloned().collect());
        let records = places::fetch(ordered.sources, hits, &columns, &self.allowance)?;
        let batch = Batch::Records(records);
        let values: Vec<Vec<Cell>> = around.same.iter().map(|field| batch.column(field)).collect();
        let mut by_value: BTreeMap<Vec<Cell>, Vec<Place>> = BTreeMap::new();
        for (index, hit) in hits.iter().enumerate() {
            let key = values.iter().map(|column| column[index].clone()).collect();
            by_value.entry(key).or_default().push(*hit);
        }
        Ok(by_value.into_iter().map(|(key, hits)| (equal_to(&around.same, &key), hits)).collect())
    }

    fn before(
        &self,
        same: &Ordered<'_>,
        hit: Place,
        records: usize,
    ) -> Result<Vec<Place>, QueryError> {
        let mut position = self.position(same, Some(hit.cursor()))?;
        Ok(self.places(same, records, &mut position)?.0)
    }

    fn after(
        &self,
        same: &Ordered<'_>,
        hit: Place,
        records: usize,
    ) -> Result<Vec<Place>, QueryError> {
        let last = same.sources.iter().map(|source| source.time_range().1).max();
        let end = last.map_or(hit.time, |last| last.saturating_add(1)).min(self.time.end);
        let mut length = FIRST_NANOS_AFTER;
        loop {
            let until = hit.time.saturating_add(length).min(end);
            let mut found: Vec<Place> = Vec::new();
            for (number, source) in same.sources.iter().enumerate() {
                let (first, last) = source.time_range();
                if last < hit.time || first >= until {
                    continue;
                }
                let rows = source.select(same.filter, hit.time..until, None, &self.allowance)?;
                let keys = source.keys(&rows, &self.allowance)?;
                let places = keys.into_iter().enumerate().map(|(index, (time, seq))| Place {
                    time,
                    seq,
                    source: number as u32,
                    row: rows.row(index),
                });
                found.extend(places.filter(|place| *place > hit));
            }
            if found.len() >= records || until >= end {
                found.sort_unstable();
                found.truncate(records);
                return Ok(found);
            }
            length = length.saturating_mul(10);
        }
    }

    fn give_marked(
        &self,
        ordered: &Ordered<'_>,
        places: &[Place],
        hits: &BTreeSet<Place>,
        output: &mut Output,
        sink: &mut Sink<'_>,
    ) -> Result<(), QueryError> {
        let (sources, columns) = (ordered.sources, ordered.columns);
        let mut rest = places;
        while !rest.is_empty() {
            let rows = places::block(sources, rest, rest.len(), columns, &*self.allowance)?;
            let (now, later) = rest.split_at(rows);
            rest = later;
            let records = places::fetch(sources, now, columns, &self.allowance)?;
            let _block = Held::take(&self.allowance, 2 * records.memory_bytes())?;
            if output.push(marked(records, now, hits), sink)? == Flow::Enough {
                break;
            }
        }
        Ok(())
    }
}

fn marked(records: Records, places: &[Place], hits: &BTreeSet<Place>) -> Batch {
    let order: Vec<(u32, u32)> = records.places().collect();
    let mut batch = Batch::Records(records);
    let mut cells = vec![Cell::Null; batch.whole_column(&Field::RecordSeq).len()];
    let Batch::Records(records) = &batch else { return batch };
    let mut first_of_piece = vec![0; records.pieces.len()];
    for piece in 1..records.pieces.len() {
        first_of_piece[piece] =
            first_of_piece[piece - 1] + records.pieces[piece - 1].batch.num_rows();
    }
    for ((piece, row), place) in order.into_iter().zip(places) {
        if hits.contains(place) {
            cells[first_of_piece[piece as usize] + row as usize] = Cell::Bool(true);
        }
    }
    batch.make(&Field::Attribute(HIT.to_owned()), cells);
    batch
}

/// Equality in all of the fields; `None` if one of them is missing.
fn equal_to(fields: &[Field], values: &[Cell]) -> Option<Filter> {
    let tests = fields.iter().zip(values).map(|(field, value)| match value {
        Cell::Text(text) => Some(Filter::equals(field, text)),
        _ => None,
    });
    Some(Filter::and(tests.collect::<Option<Vec<Filter>>>()?))
}
