//! `fields A, B`: only these columns, in this order.

use ql::{Arguments, Field, Read};

use super::{Flow, Needs, Stage, StageHelp};
use crate::batch::{Batch, Rows};
use crate::error::QueryError;

pub(super) const HELP: StageHelp = StageHelp {
    name: "fields",
    usage: "fields FIELD, FIELD …",
    summary: "keeps only these fields, in this order",
    example: "level:error | fields time, service, msg",
    parse,
};

#[derive(Debug)]
struct Fields {
    fields: Vec<Field>,
}

fn parse(arguments: &mut Arguments<'_>) -> Read<Box<dyn Stage>> {
    let fields = arguments.fields()?.into_iter().map(|field| field.node).collect();
    Ok(Box::new(Fields { fields }))
}

impl Stage for Fields {
    fn needs(&self) -> Needs {
        Needs { fields: self.fields.iter().cloned().collect(), passes_records: false }
    }

    fn push(&mut self, batch: Batch, out: &mut Vec<Batch>) -> Result<Flow, QueryError> {
        let mut columns: Vec<_> =
            self.fields.iter().map(|field| batch.column(field).into_iter()).collect();
        let rows = (0..batch.len())
            .map(|_| columns.iter_mut().map(|column| column.next().unwrap_or_default()).collect());
        let rows = rows.collect();
        out.push(Batch::Rows(Rows {
            names: self.fields.iter().map(|field| field.name().to_owned()).collect(),
            rows,
        }));
        Ok(Flow::More)
    }

    fn one_to_one(&self) -> bool {
        true
    }
}
