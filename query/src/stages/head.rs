//! `head N`: the first N, ten if not said.

use std::collections::BTreeSet;

use ql::{Arguments, Read};

use super::{Flow, Needs, Stage, StageHelp};
use crate::batch::Batch;
use crate::error::QueryError;

pub(super) const HELP: StageHelp = StageHelp {
    name: "head",
    usage: "head [N]",
    summary: "keeps the first N records or rows (10 if N is left out); records come newest first",
    example: "level:error | head 5",
    parse,
};

#[derive(Debug)]
struct Head {
    left: usize,
}

fn parse(arguments: &mut Arguments<'_>) -> Read<Box<dyn Stage>> {
    let left = if arguments.is_empty() {
        10
    } else {
        arguments.integer(0..=u64::from(u32::MAX))?.node as usize
    };
    Ok(Box::new(Head { left }))
}

impl Stage for Head {
    fn needs(&self) -> Needs {
        Needs { fields: BTreeSet::new(), passes_records: true }
    }

    fn push(&mut self, mut batch: Batch, out: &mut Vec<Batch>) -> Result<Flow, QueryError> {
        batch.truncate(self.left);
        self.left -= batch.len();
        if !batch.is_empty() {
            out.push(batch);
        }
        Ok(if self.left == 0 { Flow::Enough } else { Flow::More })
    }

    fn limit(&self) -> Option<usize> {
        Some(self.left)
    }
}
