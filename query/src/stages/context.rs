//! `context N [by host | by correlation]`: what stands around each match.
//!
//! It has to ask the store for other records than those that match, so it is no step that batches flow through: the
//! plan takes it out, and [`crate::context`] does it.

use ql::{Arguments, Diagnostic, Field, Read};

use super::{Flow, Needs, Stage, StageHelp};
use crate::batch::Batch;
use crate::error::QueryError;

pub(super) const HELP: StageHelp = StageHelp {
    name: "context",
    usage: "context [N] [by host | by correlation]",
    summary: "adds the N records before and after each match (5 if N is left out) that come from the same source file, or have the same host or correlation id; matches get the field context.hit; stands right behind the filter",
    example: "level:error | context 3 by correlation",
    parse,
};

/// Most records on each side.
const RECORDS_MAX: u64 = 10_000;
const RECORDS_DEFAULT: usize = 5;

/// What is wanted around a match.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Around {
    /// On each side.
    pub(crate) records: usize,
    /// In these fields they are the same as the match.
    pub(crate) same: Vec<Field>,
}

#[derive(Debug)]
struct Context(Around);

fn parse(arguments: &mut Arguments<'_>) -> Read<Box<dyn Stage>> {
    let records = match arguments.next_is_integer() {
        true => arguments.integer(1..=RECORDS_MAX)?.node as usize,
        false => RECORDS_DEFAULT,
    };
    let same = match arguments.keyword("by") {
        None => vec![Field::SourceAgent, Field::SourcePath],
        Some(_) => {
            let name =
                arguments.name().map_err(|_| arguments.unexpected("`host` or `correlation`"))?;
            match Field::resolve(&name.node) {
                Field::Host => vec![Field::Host],
                Field::CorrelationId => vec![Field::CorrelationId],
                _ => {
                    let message = "records around a match can be of the same host or correlation";
                    let wrong = Diagnostic::error("bad_context", name.span, message);
                    return Err(wrong.expecting("`host` or `correlation`").into());
                }
            }
        }
    };
    Ok(Box::new(Context(Around { records, same })))
}

impl Stage for Context {
    fn needs(&self) -> Needs {
        Needs::of(&self.0.same, true)
    }

    fn around(&self) -> Option<&Around> {
        Some(&self.0)
    }

    fn push(&mut self, batch: Batch, out: &mut Vec<Batch>) -> Result<Flow, QueryError> {
        out.push(batch);
        Ok(Flow::More)
    }
}
