//! `rename FIELD as NAME, …`: the same values under another name.

use ql::{Arguments, Field, LIST_MAX, Read};

use super::{Flow, Needs, Stage, StageHelp};
use crate::batch::Batch;
use crate::cell::Cell;
use crate::error::QueryError;

pub(super) const HELP: StageHelp = StageHelp {
    name: "rename",
    usage: "rename FIELD as NAME, FIELD as NAME …",
    summary: "gives fields other names; what had the new name before is gone",
    example: "* | stats count() by service | rename count as records, service as program",
    parse,
};

#[derive(Clone, Debug)]
struct Rename {
    names: Vec<(Field, Field)>,
}

fn parse(arguments: &mut Arguments<'_>) -> Read<Box<dyn Stage>> {
    let mut names = Vec::new();
    loop {
        let field = arguments.field()?;
        if arguments.keyword("as").is_none() {
            return Err(arguments.unexpected("`as` and the new name"));
        }
        let name = arguments.name()?;
        names.push((field.node, Field::resolve(&name.node)));
        if arguments.sign(',').is_none() || names.len() == LIST_MAX {
            break;
        }
    }
    Ok(Box::new(Rename { names }))
}

impl Stage for Rename {
    fn needs(&self) -> Needs {
        Needs::of(self.names.iter().map(|(field, _)| field), true)
    }

    fn push(&mut self, mut batch: Batch, out: &mut Vec<Batch>) -> Result<Flow, QueryError> {
        for (from, to) in self.names.iter().filter(|(from, to)| from != to) {
            let cells = batch.whole_column(from);
            match &mut batch {
                Batch::Records(_) => {
                    let nothing = vec![Cell::Null; cells.len()];
                    batch.make(to, cells);
                    batch.make(from, nothing);
                }
                Batch::Rows(rows) => rows.rename(from, to),
            }
        }
        out.push(batch);
        Ok(Flow::More)
    }

    fn one_to_one(&self) -> bool {
        true
    }

    fn per_record(&self) -> bool {
        true
    }

    fn fork(&self) -> Option<Box<dyn Stage>> {
        Some(Box::new(self.clone()))
    }
}
