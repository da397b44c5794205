//! `tail N`: the last N, in the order in which they come.

use std::collections::VecDeque;

use ql::{Arguments, Read};

use super::{Flow, Needs, Stage, StageHelp};
use crate::batch::Batch;
use crate::error::QueryError;

pub(super) const HELP: StageHelp = StageHelp {
    name: "tail",
    usage: "tail [N]",
    summary: "the last N records or rows (10 if N is left out); records come newest first, so of records these are the oldest",
    example: "* | stats count() by service | sort count | tail 3",
    parse,
};

#[derive(Debug)]
struct Tail {
    wanted: usize,
    kept: VecDeque<Batch>,
    rows: usize,
    bytes: usize,
}

fn parse(arguments: &mut Arguments<'_>) -> Read<Box<dyn Stage>> {
    let wanted = match arguments.is_empty() {
        true => 10,
        false => arguments.integer(0..=u64::from(u32::MAX))?.node as usize,
    };
    Ok(Box::new(Tail { wanted, kept: VecDeque::new(), rows: 0, bytes: 0 }))
}

impl Stage for Tail {
    fn needs(&self) -> Needs {
        Needs::of([], true)
    }

    fn push(&mut self, batch: Batch, _out: &mut Vec<Batch>) -> Result<Flow, QueryError> {
        self.rows += batch.len();
        self.bytes += batch.memory_bytes();
        self.kept.push_back(batch);
        while let Some(first) = self.kept.front()
            && self.rows - first.len() >= self.wanted
        {
            self.rows -= first.len();
            self.bytes -= first.memory_bytes();
            self.kept.pop_front();
        }
        Ok(Flow::More)
    }

    fn finish(&mut self, out: &mut Vec<Batch>) -> Result<(), QueryError> {
        if let Some(first) = self.kept.front_mut() {
            first.skip(self.rows.saturating_sub(self.wanted));
        }
        out.extend(self.kept.drain(..));
        Ok(())
    }

    fn memory_bytes(&self) -> usize {
        self.bytes
    }

    fn aggregates(&self) -> bool {
        false
    }
}
