//! The stages of a running query, and what comes out of them.

use std::sync::Arc;

use store::{Allowance, BLOCK_ROWS, Held};

use crate::batch::Batch;
use crate::error::QueryError;
use crate::execute::Sink;
use crate::stages::{Flow, Stage};

/// Stages with the memory that each holds.
pub(crate) struct Output {
    stages: Vec<(Box<dyn Stage>, Held)>,
    allowance: Arc<dyn Allowance>,
    /// Records or rows that may still be given out.
    pub(crate) left: usize,
    /// Given out.
    pub(crate) rows: u64,
    /// Cut off by the limit, as far as they came here.
    pub(crate) left_out: u64,
}

/// The first stages of a query once more, for a share of the sources.
pub(crate) struct Twin {
    /// Those that see one record at a time.
    pub(crate) first: Vec<Box<dyn Stage>>,
    /// The one that brings many together.
    pub(crate) last: Box<dyn Stage>,
}

impl Twin {
    pub(crate) fn push(&mut self, batch: Batch) -> Result<(), QueryError> {
        let mut batches = vec![batch];
        for stage in &mut self.first {
            let mut out = Vec::new();
            for batch in batches {
                stage.push(batch, &mut out)?;
            }
            batches = out;
        }
        for batch in batches {
            self.last.push(batch, &mut Vec::new())?;
        }
        Ok(())
    }
}

impl Output {
    pub(crate) fn new(
        stages: Vec<Box<dyn Stage>>,
        limit: usize,
        allowance: &Arc<dyn Allowance>,
    ) -> Self {
        let stages = stages.into_iter().map(|mut stage| {
            stage.within(allowance);
            (stage, Held::nothing(allowance))
        });
        let (stages, allowance) = (stages.collect(), Arc::clone(allowance));
        Self { stages, allowance, left: limit, rows: 0, left_out: 0 }
    }

    /// A twin of the stages up to the first that is no [per-record](Stage::per_record) one.
    pub(crate) fn fork(&self) -> Option<Twin> {
        let mut stages = self.stages.iter().map(|(stage, _)| stage);
        let mut first = Vec::new();
        loop {
            let stage = stages.next()?;
            let fork = stage.fork()?;
            if !stage.per_record() {
                return Some(Twin { first, last: fork });
            }
            first.push(fork);
        }
    }

    /// Takes over what the last stage of a twin has seen, and its memory.
    pub(crate) fn absorb(&mut self, twin: Box<dyn Stage>, held: Held) -> Result<(), QueryError> {
        let last = self.stages.iter_mut().find(|(stage, _)| !stage.per_record());
        let Some((stage, own)) = last else { return Ok(()) };
        stage.absorb(twin);
        // A stage that was stopped in it has taken over only a part.
        self.allowance.check()?;
        drop(held);
        Ok(own.set(stage.memory_bytes())?)
    }

    pub(crate) fn push(&mut self, batch: Batch, sink: &mut Sink<'_>) -> Result<Flow, QueryError> {
        self.push_into(0, vec![batch], sink)
    }

    /// Pushes batches into the stage at `index` and what comes out into those behind it.
    fn push_into(
        &mut self,
        index: usize,
        batches: Vec<Batch>,
        sink: &mut Sink<'_>,
    ) -> Result<Flow, QueryError> {
        let mut flow = Flow::More;
        for mut batch in batches {
            let Some((stage, held)) = self.stages.get_mut(index) else {
                let all = batch.len();
                batch.truncate(self.left);
                self.left -= batch.len();
                self.rows += batch.len() as u64;
                self.left_out += (all - batch.len()) as u64;
                let given = batch.in_blocks(BLOCK_ROWS, &mut |block| {
                    self.allowance.check()?;
                    Ok(if block.is_empty() { Flow::More } else { sink(block) })
                })?;
                if given == Flow::Enough || self.left == 0 {
                    return Ok(Flow::Enough);
                }
                continue;
            };
            let mut out = Vec::new();
            flow = stage.push(batch, &mut out)?;
            held.set(stage.memory_bytes())?;
            self.allowance.check()?;
            if self.push_into(index + 1, out, sink)? == Flow::Enough {
                return Ok(Flow::Enough);
            }
            if flow == Flow::Enough {
                return Ok(Flow::Enough);
            }
        }
        Ok(flow)
    }

    pub(crate) fn finish(&mut self, sink: &mut Sink<'_>) -> Result<(), QueryError> {
        for index in 0..self.stages.len() {
            let mut out = Vec::new();
            let (stage, held) = &mut self.stages[index];
            stage.finish(&mut out)?;
            self.allowance.check()?;
            // What came out is held until it has gone on, batch by batch.
            let sizes: Vec<usize> = out.iter().map(Batch::memory_bytes).collect();
            let mut left = sizes.iter().sum();
            held.set(left)?;
            for (batch, bytes) in out.into_iter().zip(sizes) {
                // Enough further on only means that the rest is not needed; later stages still finish, and what the
                // limit cuts off is counted.
                self.push_into(index + 1, vec![batch], sink)?;
                left -= bytes;
                self.stages[index].1.set(left)?;
                self.allowance.check()?;
            }
        }
        Ok(())
    }
}
