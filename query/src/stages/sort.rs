//! `sort FIELD, -FIELD`: by these fields, ascending or with `-` descending; what lacks a field comes last.
//!
//! By `timestamp` means by (timestamp, record_seq), the order of records everywhere: those of one moment stand as they
//! came in, or the other way round with `-`. Other equals keep the order in which they reach the stage.

use std::cmp::{Ordering, Reverse};
use std::sync::Arc;

use ql::{Arguments, Field, Read};
use store::{Allowance, BLOCK_ROWS, Held, Unbounded};

use super::{Flow, Needs, Stage, StageHelp};
use crate::batch::{Batch, Records, Rows};
use crate::cell::Cell;
use crate::error::QueryError;
use crate::sorting::sort_within;

pub(super) const HELP: StageHelp = StageHelp {
    name: "sort",
    usage: "sort FIELD, -FIELD …",
    summary: "sorts by these fields, a leading - for descending; what lacks a field comes last; records of one time in the order in which they came in",
    example: "* | stats count() by service | sort -count",
    parse,
};

#[derive(Debug)]
struct Sort {
    keys: Vec<(Field, bool)>,
    limit: Option<usize>,
    batches: Vec<Batch>,
    order: Vec<Entry>,
    bytes: usize,
    allowance: Arc<dyn Allowance>,
}

/// Key, batch, place in it.
type Entry = (Key, u32, u32);

/// The values that a row is sorted by. Of one there is no list: a million of them are given back in a moment.
#[derive(Debug)]
enum Key {
    One(Cell),
    Several(Box<[Cell]>),
}

impl Key {
    fn cells(&self) -> &[Cell] {
        match self {
            Self::One(cell) => std::slice::from_ref(cell),
            Self::Several(cells) => cells,
        }
    }
}

/// If only the first so many are wanted: rows beyond which the others are forgotten, or memory, in blocks.
const ROWS_KEPT: usize = 65_536;
const BLOCKS_KEPT: usize = 4;
/// What a row takes beside its batch and its key: its place here, and later in what comes out.
const ENTRY_BYTES: usize = 48 + 16;

fn parse(arguments: &mut Arguments<'_>) -> Read<Box<dyn Stage>> {
    let mut keys = Vec::new();
    for key in arguments.sort_keys()? {
        let is_time = key.field.node == Field::Timestamp;
        keys.push((key.field.node, key.descending));
        if is_time {
            keys.push((Field::RecordSeq, key.descending));
        }
    }
    Ok(Box::new(Sort {
        keys,
        limit: None,
        batches: Vec::new(),
        order: Vec::new(),
        bytes: 0,
        allowance: Unbounded::allowance(),
    }))
}

impl Stage for Sort {
    fn needs(&self) -> Needs {
        Needs {
            fields: self.keys.iter().map(|(field, _)| field.clone()).collect(),
            passes_records: true,
        }
    }

    fn within(&mut self, allowance: &Arc<dyn Allowance>) {
        self.allowance = Arc::clone(allowance);
    }

    fn push(&mut self, batch: Batch, _out: &mut Vec<Batch>) -> Result<Flow, QueryError> {
        let mut columns: Vec<_> =
            self.keys.iter().map(|(field, _)| batch.column(field).into_iter()).collect();
        let number = self.batches.len() as u32;
        for place in 0..batch.len() {
            let mut cells = columns.iter_mut().map(|column| column.next().unwrap_or_default());
            let key = match cells.len() {
                1 => Key::One(cells.next().unwrap_or_default()),
                _ => Key::Several(cells.collect()),
            };
            self.bytes += entry_bytes(&key);
            self.order.push((key, number, place as u32));
        }
        self.bytes += batch.memory_bytes();
        self.batches.push(batch);
        if let Some(limit) = self.limit {
            let rows = self.order.len();
            let many = rows > limit.saturating_mul(4).saturating_add(ROWS_KEPT);
            let large = self.bytes / BLOCKS_KEPT > self.allowance.block().1;
            if many || (large && rows > limit.saturating_mul(2)) {
                self.keep_first(limit)?;
            }
        }
        Ok(Flow::More)
    }

    fn finish(&mut self, out: &mut Vec<Batch>) -> Result<(), QueryError> {
        self.sort()?;
        if let Some(limit) = self.limit {
            self.order.truncate(limit);
        }
        self.gather(out)
    }

    fn memory_bytes(&self) -> usize {
        self.bytes
    }

    fn limit_hint(&mut self, count: usize) {
        self.limit = Some(count);
    }
}

impl Sort {
    fn sort(&mut self) -> Result<(), QueryError> {
        let (keys, order) = (&self.keys, std::mem::take(&mut self.order));
        self.order = sort_within(order, &self.allowance, |(a, ..), (b, ..)| {
            keys.iter().zip(a.cells().iter().zip(b.cells())).fold(
                Ordering::Equal,
                |order, ((_, descending), (a, b))| {
                    order.then_with(|| match (a.is_null(), b.is_null()) {
                        (false, false) if *descending => Reverse(a).cmp(&Reverse(b)),
                        (false, false) => a.cmp(b),
                        (a, b) => a.cmp(&b),
                    })
                },
            )
        })?;
        Ok(())
    }

    /// Forgets what cannot be among the first `limit` any more.
    fn keep_first(&mut self, limit: usize) -> Result<(), QueryError> {
        self.sort()?;
        self.order.truncate(limit);
        let mut kept = Vec::new();
        self.gather(&mut kept)?;
        self.bytes = kept.iter().map(Batch::memory_bytes).sum();
        // In the order in which they were gathered.
        let places = kept.iter().enumerate().flat_map(|(number, batch)| {
            (0..batch.len()).map(move |place| (number as u32, place as u32))
        });
        let order = std::mem::take(&mut self.order).into_iter().zip(places);
        self.order = order.map(|((key, ..), (batch, place))| (key, batch, place)).collect();
        self.bytes += self.order.iter().map(|(key, ..)| entry_bytes(key)).sum::<usize>();
        self.batches = kept;
        Ok(())
    }

    /// The rows in order; rows of stages in blocks, for what takes them makes something of each block.
    fn gather(&mut self, out: &mut Vec<Batch>) -> Result<(), QueryError> {
        let batches = std::mem::take(&mut self.batches);
        let names = match batches.first() {
            None => return Ok(()),
            Some(Batch::Rows(first)) => first.names.clone(),
            Some(Batch::Records(_)) => {
                // If fewer than half of them are left, those are copied.
                let all: usize = batches.iter().map(Batch::len).sum();
                let copied = if self.order.len() * 2 < all { self.bytes / 2 } else { 0 };
                let _copy = Held::take(&self.allowance, copied)?;
                out.push(Batch::Records(self.gather_records(&batches)?));
                return Ok(());
            }
        };
        let rows_of = |batch| match batch {
            Batch::Rows(rows) => rows.rows,
            Batch::Records(_) => Vec::new(),
        };
        let mut rows: Vec<Vec<Vec<Cell>>> = batches.into_iter().map(rows_of).collect();
        for block in self.order.chunks(BLOCK_ROWS) {
            self.allowance.check()?;
            let taken = block.iter().filter_map(|(_, batch, place)| {
                Some(std::mem::take(rows[*batch as usize].get_mut(*place as usize)?))
            });
            out.push(Batch::Rows(Rows { names: names.clone(), rows: taken.collect() }));
        }
        Ok(())
    }

    fn gather_records(&self, batches: &[Batch]) -> Result<Records, QueryError> {
        let mut gathered = Records { pieces: Vec::new(), order: None };
        // The places of each batch, its pieces renumbered behind those before it.
        let mut places: Vec<Vec<(u32, u32)>> = Vec::with_capacity(batches.len());
        for batch in batches {
            let Batch::Records(records) = batch else { continue };
            self.allowance.check()?;
            let first = gathered.pieces.len() as u32;
            places.push(records.places().map(|(piece, row)| (piece + first, row)).collect());
            gathered.pieces.extend(records.pieces.iter().cloned());
        }
        let mut order = Vec::with_capacity(self.order.len());
        for block in self.order.chunks(BLOCK_ROWS) {
            self.allowance.check()?;
            let place_of = |(_, batch, place): &Entry| places[*batch as usize][*place as usize];
            order.extend(block.iter().map(place_of));
        }
        gathered.order = Some(order);
        Ok(gathered.compacted())
    }
}

fn entry_bytes(key: &Key) -> usize {
    ENTRY_BYTES + key.cells().iter().map(Cell::memory_bytes).sum::<usize>()
}
