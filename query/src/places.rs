//! Where the records of an ordered query lie, and how they are read in blocks.

use std::collections::BTreeMap;
use std::sync::Arc;

use store::{Allowance, Columns, RowSet, Source};

use crate::batch::{Piece, Records};
use crate::error::QueryError;
use crate::ordered::Cursor;

/// Where a record lies; ordered by (timestamp, record_seq).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    pub(crate) time: i64,
    pub(crate) seq: u64,
    pub(crate) source: u32,
    pub(crate) row: u32,
}

impl Place {
    pub(crate) fn cursor(&self) -> Cursor {
        Cursor { time: self.time, seq: self.seq }
    }
}

/// How many of the first places can be read at once: at most `rows`, and not much more memory than a block.
pub(crate) fn block(
    sources: &[Source],
    places: &[Place],
    rows: usize,
    columns: &Columns,
    allowance: &dyn Allowance,
) -> Result<usize, QueryError> {
    let (rows_max, bytes_max) = allowance.block();
    let rows = rows.min(rows_max).min(places.len());
    let mut row_bytes: BTreeMap<u32, usize> = BTreeMap::new();
    let mut bytes = 0_usize;
    for (count, place) in places[..rows].iter().enumerate() {
        let of_row = match row_bytes.get(&place.source) {
            Some(bytes) => *bytes,
            None => {
                let bytes = sources[place.source as usize].row_bytes(columns)?;
                *row_bytes.entry(place.source).or_insert(bytes)
            }
        };
        bytes = bytes.saturating_add(of_row);
        if bytes > bytes_max {
            return Ok(count.max(1));
        }
    }
    Ok(rows)
}

/// Reads the columns of places, in their order.
pub(crate) fn fetch(
    sources: &[Source],
    places: &[Place],
    columns: &Columns,
    allowance: &Arc<dyn Allowance>,
) -> Result<Records, QueryError> {
    let mut by_source: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    for place in places {
        by_source.entry(place.source).or_default().push(place.row);
    }
    let mut pieces = Vec::with_capacity(by_source.len());
    let mut numbers: BTreeMap<u32, u32> = BTreeMap::new();
    for (source, rows) in &mut by_source {
        rows.sort_unstable();
        let from = &sources[*source as usize];
        let batch = from.read(&RowSet::List(rows.clone()), columns, allowance)?;
        numbers.insert(*source, pieces.len() as u32);
        pieces.push(Piece::new(batch, Arc::new(from.overflow_names().clone())));
    }
    let order = places.iter().map(|place| {
        let row = by_source[&place.source].partition_point(|row| *row < place.row);
        (numbers[&place.source], row as u32)
    });
    let order = order.collect();
    Ok(Records { pieces, order: Some(order) })
}
