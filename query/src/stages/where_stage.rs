//! `where CONDITION`: only records or rows for which it is true.

use ql::{Arguments, Read};

use super::{Flow, Needs, Stage, StageHelp};
use crate::batch::{Batch, Records};
use crate::cell::Cell;
use crate::error::QueryError;
use crate::plan::TimeRange;
use crate::value::Computed;

pub(super) const HELP: StageHelp = StageHelp {
    name: "where",
    usage: "where CONDITION",
    summary: "keeps what the condition is true for; see `logq help functions` for what it can compute",
    example: "* | stats count() as n, p95(duration_ms) as slow by service | where n > 2 and slow >= 100",
    parse,
};

#[derive(Clone, Debug)]
struct Where {
    condition: Computed,
}

fn parse(arguments: &mut Arguments<'_>) -> Read<Box<dyn Stage>> {
    Ok(Box::new(Where { condition: Computed::new(arguments.condition()?) }))
}

fn holds(cells: &[Cell]) -> Vec<bool> {
    cells.iter().map(|cell| matches!(cell, Cell::Bool(true))).collect()
}

impl Stage for Where {
    fn needs(&self) -> Needs {
        Needs::of(self.condition.fields(), true)
    }

    fn begin(&mut self, _time: &TimeRange, _extent: &TimeRange) {
        self.condition.begin();
    }

    fn push(&mut self, batch: Batch, out: &mut Vec<Batch>) -> Result<Flow, QueryError> {
        let kept = match batch {
            Batch::Rows(mut rows) => {
                let keep = holds(&self.condition.of_rows(&rows));
                let mut keep = keep.iter();
                rows.rows.retain(|_| keep.next().is_some_and(|keep| *keep));
                Batch::Rows(rows)
            }
            Batch::Records(Records { pieces, order }) => {
                let keep: Vec<Vec<bool>> =
                    pieces.iter().map(|piece| holds(&self.condition.of_piece(piece))).collect();
                Batch::Records(match order {
                    Some(mut order) => {
                        order.retain(|(piece, row)| keep[*piece as usize][*row as usize]);
                        Records { pieces, order: Some(order) }
                    }
                    None => {
                        let pieces = pieces.iter().zip(&keep);
                        let pieces = pieces.map(|(piece, keep)| piece.filtered(keep));
                        Records { pieces: pieces.collect(), order: None }
                    }
                })
            }
        };
        out.push(kept);
        Ok(Flow::More)
    }

    fn per_record(&self) -> bool {
        true
    }

    fn aggregates(&self) -> bool {
        false
    }

    fn fork(&self) -> Option<Box<dyn Stage>> {
        Some(Box::new(self.clone()))
    }
}
