//! `dedup FIELD, …`: of those that are equal in these fields only the first.

use ahash::AHashSet;
use ql::{Arguments, Field, Read};

use super::{Flow, Needs, Stage, StageHelp};
use crate::batch::Batch;
use crate::cell::Cell;
use crate::error::QueryError;

pub(super) const HELP: StageHelp = StageHelp {
    name: "dedup",
    usage: "dedup FIELD, FIELD …",
    summary: "of records or rows that are equal in these fields the first only, which of records is the newest; what lacks all of the fields stays",
    example: "level:error | dedup service, msg",
    parse,
};

/// What a key takes in the set beside its cells.
const KEY_BYTES: usize = 48;

#[derive(Debug)]
struct Dedup {
    fields: Vec<Field>,
    seen: AHashSet<Vec<Cell>>,
    bytes: usize,
}

fn parse(arguments: &mut Arguments<'_>) -> Read<Box<dyn Stage>> {
    let fields = arguments.fields()?.into_iter().map(|field| field.node).collect();
    Ok(Box::new(Dedup { fields, seen: AHashSet::new(), bytes: 0 }))
}

impl Stage for Dedup {
    fn needs(&self) -> Needs {
        Needs::of(&self.fields, true)
    }

    fn push(&mut self, mut batch: Batch, out: &mut Vec<Batch>) -> Result<Flow, QueryError> {
        let mut columns: Vec<_> =
            self.fields.iter().map(|field| batch.column(field).into_iter()).collect();
        let keep: Vec<bool> = (0..batch.len())
            .map(|_| {
                let key: Vec<Cell> =
                    columns.iter_mut().map(|column| column.next().unwrap_or_default()).collect();
                if key.iter().all(Cell::is_null) {
                    return true;
                }
                let bytes = key.iter().map(Cell::memory_bytes).sum::<usize>() + KEY_BYTES;
                let new = self.seen.insert(key);
                self.bytes += if new { bytes } else { 0 };
                new
            })
            .collect();
        batch.retain(&keep);
        out.push(batch);
        Ok(Flow::More)
    }

    fn memory_bytes(&self) -> usize {
        self.bytes
    }

    fn aggregates(&self) -> bool {
        false
    }
}
