//! `top N FIELD, …` and `rare N FIELD, …`: the values that most and that fewest records have.

use std::cmp::Reverse;
use std::sync::Arc;

use ql::{Arguments, Field, GroupBy, Read};
use store::Allowance;

use super::stats::{Aggregate, Stats};
use super::{Flow, Needs, Stage, StageHelp};
use crate::batch::{Batch, Piece, Rows};
use crate::cell::Cell;
use crate::error::QueryError;
use crate::sorting::sort_within;

pub(super) const TOP: StageHelp = StageHelp {
    name: "top",
    usage: "top [N] FIELD, FIELD …",
    summary: "the N commonest values (10 if N is left out), how many have them, and the percentage",
    example: "level:error | top 5 service",
    parse: |arguments| parse(arguments, false),
};

pub(super) const RARE: StageHelp = StageHelp {
    name: "rare",
    usage: "rare [N] FIELD, FIELD …",
    summary: "the N rarest values (10 if N is left out), how many have them, and the percentage",
    example: "* | rare 5 service, level",
    parse: |arguments| parse(arguments, true),
};

const WANTED_DEFAULT: usize = 10;
const WANTED_MAX: u64 = 1_000_000;

#[derive(Debug)]
struct Top {
    stats: Stats,
    fields: Vec<Field>,
    wanted: usize,
    rare: bool,
    allowance: Arc<dyn Allowance>,
}

fn parse(arguments: &mut Arguments<'_>, rare: bool) -> Read<Box<dyn Stage>> {
    let wanted = match arguments.next_is_integer() {
        true => arguments.integer(1..=WANTED_MAX)?.node as usize,
        false => WANTED_DEFAULT,
    };
    let fields = arguments.fields()?.into_iter().map(|field| field.node).collect();
    Ok(Box::new(Top::new(fields, wanted, rare)))
}

impl Top {
    fn new(fields: Vec<Field>, wanted: usize, rare: bool) -> Self {
        let keys = fields.iter().cloned().map(GroupBy::Field).collect();
        let names = fields.iter().map(|field| field.name().to_owned());
        let names = names.chain(["count".to_owned()]).collect();
        let stats = Stats::new(vec![Aggregate::count()], keys, names);
        Self { stats, fields, wanted, rare, allowance: store::Unbounded::allowance() }
    }
}

impl Stage for Top {
    fn needs(&self) -> Needs {
        self.stats.needs()
    }

    fn within(&mut self, allowance: &Arc<dyn Allowance>) {
        self.allowance = Arc::clone(allowance);
        self.stats.within(allowance);
    }

    fn push_roll_up(&mut self, rows: &Piece, counts: &[u32]) -> bool {
        self.stats.push_roll_up(rows, counts)
    }

    fn push(&mut self, batch: Batch, out: &mut Vec<Batch>) -> Result<Flow, QueryError> {
        self.stats.push(batch, out)
    }

    fn finish(&mut self, out: &mut Vec<Batch>) -> Result<(), QueryError> {
        let mut groups = Vec::new();
        self.stats.finish(&mut groups)?;
        let mut names: Vec<String> = Vec::new();
        let mut rows: Vec<(i64, Vec<Cell>)> = Vec::new();
        for group in groups {
            let Batch::Rows(group) = group else { continue };
            names = group.names.to_vec();
            let counted = group.rows.into_iter().map(|row| match row.last() {
                Some(Cell::I64(count)) => (*count, row),
                _ => (0, row),
            });
            // What has none of the fields has no value that could be common.
            let valued =
                counted.filter(|(_, row)| row[..row.len() - 1].iter().any(|c| !c.is_null()));
            rows.extend(valued);
        }
        let all: i64 = rows.iter().map(|(count, _)| count).sum();
        let rare = self.rare;
        let mut rows = sort_within(rows, &self.allowance, |(a, _), (b, _)| match rare {
            true => a.cmp(b),
            false => Reverse(a).cmp(&Reverse(b)),
        })?;
        rows.truncate(self.wanted);
        names.push("percent".to_owned());
        let rows = rows.into_iter().map(|(count, mut row)| {
            let percent = count as f64 * 100.0 / all.max(1) as f64;
            row.push(Cell::float((percent * 100.0).round() / 100.0));
            row
        });
        out.push(Batch::Rows(Rows { names: names.into(), rows: rows.collect() }));
        Ok(())
    }

    fn memory_bytes(&self) -> usize {
        self.stats.memory_bytes()
    }

    fn ordered(&self) -> bool {
        false
    }

    fn fork(&self) -> Option<Box<dyn Stage>> {
        Some(Box::new(Top::new(self.fields.clone(), self.wanted, self.rare)))
    }

    fn absorb(&mut self, twin: Box<dyn Stage>) {
        match (twin as Box<dyn std::any::Any>).downcast::<Top>() {
            Ok(twin) => self.stats.absorb(Box::new(twin.stats)),
            Err(_) => debug_assert!(false, "a twin is of the same kind"),
        }
    }
}
