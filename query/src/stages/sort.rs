//! `sort FIELD, -FIELD`: by these fields, ascending or with `-` descending; what lacks a field comes last.
//!
//! By `timestamp` means by (timestamp, record_seq), the order of records everywhere: those of one moment stand as they
//! came in, or the other way round with `-`. Other equals keep the order in which they reach the stage.

use std::cmp::{Ordering, Reverse};

use ql::{Arguments, Field, Read};

use super::{Flow, Needs, Stage, StageHelp};
use crate::batch::{Batch, Records, Rows};
use crate::cell::Cell;
use crate::error::QueryError;

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
    /// (key, batch, place in it).
    order: Vec<(Vec<Cell>, u32, u32)>,
    bytes: usize,
}

fn parse(arguments: &mut Arguments<'_>) -> Read<Box<dyn Stage>> {
    let mut keys = Vec::new();
    for key in arguments.sort_keys()? {
        let is_time = key.field.node == Field::Timestamp;
        keys.push((key.field.node, key.descending));
        if is_time {
            keys.push((Field::RecordSeq, key.descending));
        }
    }
    Ok(Box::new(Sort { keys, limit: None, batches: Vec::new(), order: Vec::new(), bytes: 0 }))
}

impl Stage for Sort {
    fn needs(&self) -> Needs {
        Needs {
            fields: self.keys.iter().map(|(field, _)| field.clone()).collect(),
            passes_records: true,
        }
    }

    fn push(&mut self, batch: Batch, _out: &mut Vec<Batch>) -> Result<Flow, QueryError> {
        let mut columns: Vec<_> =
            self.keys.iter().map(|(field, _)| batch.column(field).into_iter()).collect();
        let number = self.batches.len() as u32;
        for place in 0..batch.len() {
            let key: Vec<Cell> =
                columns.iter_mut().map(|column| column.next().unwrap_or_default()).collect();
            self.bytes +=
                48 + key.iter().map(|cell| size_of::<Cell>() + cell.heap_bytes()).sum::<usize>();
            self.order.push((key, number, place as u32));
        }
        self.bytes += batch_bytes(&batch);
        self.batches.push(batch);
        if let Some(limit) =
            self.limit.filter(|limit| self.order.len() > limit.saturating_mul(4) + 65_536)
        {
            self.keep_first(limit);
        }
        Ok(Flow::More)
    }

    fn finish(&mut self, out: &mut Vec<Batch>) -> Result<(), QueryError> {
        self.sort();
        if let Some(limit) = self.limit {
            self.order.truncate(limit);
        }
        out.extend(self.gather());
        Ok(())
    }

    fn memory_bytes(&self) -> usize {
        self.bytes
    }

    fn limit_hint(&mut self, count: usize) {
        self.limit = Some(count);
    }
}

impl Sort {
    fn sort(&mut self) {
        let keys = &self.keys;
        self.order.sort_by(|(a, ..), (b, ..)| {
            keys.iter().zip(a.iter().zip(b)).fold(
                Ordering::Equal,
                |order, ((_, descending), (a, b))| {
                    order.then_with(|| match (a.is_null(), b.is_null()) {
                        (false, false) if *descending => Reverse(a).cmp(&Reverse(b)),
                        (false, false) => a.cmp(b),
                        (a, b) => a.cmp(&b),
                    })
                },
            )
        });
    }

    /// Forgets what cannot be among the first `limit` any more.
    fn keep_first(&mut self, limit: usize) {
        self.sort();
        self.order.truncate(limit);
        let kept = self.gather();
        self.bytes = kept.iter().map(batch_bytes).sum();
        self.order = std::mem::take(&mut self.order)
            .into_iter()
            .enumerate()
            .map(|(place, (key, ..))| {
                self.bytes += 48
                    + key.iter().map(|cell| size_of::<Cell>() + cell.heap_bytes()).sum::<usize>();
                (key, 0, place as u32)
            })
            .collect();
        self.batches = kept.into_iter().collect();
    }

    /// The rows in order, as one batch.
    fn gather(&mut self) -> Option<Batch> {
        let batches = std::mem::take(&mut self.batches);
        match batches.first()? {
            Batch::Rows(first) => {
                let names = first.names.clone();
                let rows: Vec<Vec<Vec<Cell>>> = batches
                    .into_iter()
                    .map(|batch| match batch {
                        Batch::Rows(rows) => rows.rows,
                        Batch::Records(_) => Vec::new(),
                    })
                    .collect();
                let rows = self.order.iter().filter_map(|(_, batch, place)| {
                    rows[*batch as usize].get(*place as usize).cloned()
                });
                Some(Batch::Rows(Rows { names, rows: rows.collect() }))
            }
            Batch::Records(_) => Some(Batch::Records(self.gather_records(&batches))),
        }
    }

    fn gather_records(&self, batches: &[Batch]) -> Records {
        let mut gathered =
            Records { pieces: Vec::new(), order: Some(Vec::with_capacity(self.order.len())) };
        // The places of each batch, its pieces renumbered behind those before it.
        let mut places: Vec<Vec<(u32, u32)>> = Vec::with_capacity(batches.len());
        for batch in batches {
            let Batch::Records(records) = batch else { continue };
            let first = gathered.pieces.len() as u32;
            places.push(records.places().map(|(piece, row)| (piece + first, row)).collect());
            gathered.pieces.extend(records.pieces.iter().cloned());
        }
        let order =
            self.order.iter().map(|(_, batch, place)| places[*batch as usize][*place as usize]);
        gathered.order = Some(order.collect());
        gathered.compacted()
    }
}

fn batch_bytes(batch: &Batch) -> usize {
    match batch {
        Batch::Records(records) => {
            records.pieces.iter().map(|piece| piece.batch.get_array_memory_size()).sum()
        }
        Batch::Rows(rows) => {
            rows.rows.iter().flatten().map(|cell| size_of::<Cell>() + cell.heap_bytes()).sum()
        }
    }
}
