//! `eval NAME = EXPRESSION, …`: fields that are computed, one after the other.

use ql::{Arguments, Field, LIST_MAX, Read};

use super::{Flow, Needs, Stage, StageHelp};
use crate::batch::Batch;
use crate::error::QueryError;
use crate::plan::TimeRange;
use crate::value::Computed;

pub(super) const HELP: StageHelp = StageHelp {
    name: "eval",
    usage: "eval NAME = EXPRESSION, NAME = EXPRESSION …",
    summary: "computes fields; a later one may use those before it; see `logq help functions`",
    example: "duration_ms:* | eval seconds = duration_ms / 1000, slow = if(seconds > 1, \"yes\", \"no\") | fields time, seconds, slow",
    parse,
};

#[derive(Clone, Debug)]
struct Eval {
    fields: Vec<(Field, Computed)>,
}

fn parse(arguments: &mut Arguments<'_>) -> Read<Box<dyn Stage>> {
    let mut fields = Vec::new();
    loop {
        let name = arguments.name()?;
        arguments.expect_sign('=')?;
        let expression = arguments.expression()?;
        fields.push((Field::resolve(&name.node), Computed::new(expression.node)));
        if arguments.sign(',').is_none() || fields.len() == LIST_MAX {
            break;
        }
    }
    arguments.expression_ends()?;
    Ok(Box::new(Eval { fields }))
}

impl Stage for Eval {
    fn needs(&self) -> Needs {
        let fields = self.fields.iter().flat_map(|(_, computed)| computed.fields());
        Needs::of(fields, true)
    }

    fn begin(&mut self, _time: &TimeRange, _extent: &TimeRange) {
        self.fields.iter_mut().for_each(|(_, computed)| computed.begin());
    }

    fn push(&mut self, mut batch: Batch, out: &mut Vec<Batch>) -> Result<Flow, QueryError> {
        for (field, computed) in &self.fields {
            let cells = computed.of_whole(&batch);
            batch.make(field, cells);
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
