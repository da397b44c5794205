//! `/api/v1/explain`, `/api/v1/fields`, `/api/v1/stats`: what a query would do, which fields records have, what is stored.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ql::{Field, Filter, Leaf};
use record::Timestamp;
use serde::Serialize;
use serde_json::Value;
use store::{Allowance, Columns, Source, View};

use crate::batch::Batch;
use crate::error::QueryError;
use crate::json;
use crate::memory::Account;
use crate::queries::{Prepared, Queries, Request};
use crate::stages::{Flow, STAGES};

/// Newest records that are looked at for their fields.
const SAMPLE_RECORDS: usize = 10_000;
/// Values that are told of a field.
const EXAMPLES_MAX: usize = 3;
const EXAMPLE_CHARACTERS_MAX: usize = 60;

/// What a query would do.
#[derive(Debug, Serialize)]
pub(crate) struct Explanation {
    signal: &'static str,
    /// As it was understood, in its plainest form.
    filter: String,
    from: String,
    until: String,
    stages: Vec<String>,
    /// `all`, or those that are read of matching records.
    columns: Vec<String>,
    /// Whether records are read newest first, or in any order on all threads.
    order: &'static str,
    segments: Part,
    memory: Part,
    /// Segments and pieces of memory outside of the time.
    sources_pruned_by_time: usize,
    /// Rows that can match, at most, as far as indexes know.
    rows_at_most: u64,
    /// Whether exactly those match.
    exact: bool,
    warnings: Vec<String>,
}

/// Sources of one kind within the time.
#[derive(Debug, Default, Serialize)]
struct Part {
    sources: usize,
    rows: u64,
    /// Of them without a row that can match.
    sources_pruned_by_index: usize,
}

/// One field of the records looked at.
#[derive(Debug, Serialize)]
pub(crate) struct FieldSeen {
    name: String,
    /// JSON types of its values.
    types: BTreeSet<&'static str>,
    /// Records that have it.
    records: u64,
    examples: Vec<String>,
}

/// Fields of the newest records that match.
#[derive(Debug, Serialize)]
pub(crate) struct FieldsSeen {
    /// The commonest first.
    fields: Vec<FieldSeen>,
    /// Records looked at.
    records: u64,
    /// Whether those are all that match.
    all: bool,
}

/// What a tenant has stored.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Stored {
    tenant: String,
    records: u64,
    segments: usize,
    /// On the disk, in segments.
    bytes: u64,
    /// Records that are in the journal only.
    records_in_memory: u64,
    oldest: Option<String>,
    newest: Option<String>,
}

impl Queries {
    /// What a query would do, without running it.
    ///
    /// # Errors
    /// As [`Queries::prepare`]; when an index cannot be read.
    pub(crate) fn explain(
        &self,
        request: &Request,
        account: &Arc<Account>,
    ) -> Result<Explanation, QueryError> {
        let Prepared { plan, time, tenant, .. } = self.prepare(request)?;
        let allowance = Arc::clone(account) as Arc<dyn Allowance>;
        let view = self.store.view();
        let (sources, pruned) = view.sources(&tenant, plan.signal.name(), time.clone());
        let (mut segments, mut memory) = (Part::default(), Part::default());
        let (mut rows_at_most, mut exact) = (0, true);
        for source in &sources {
            let whole = time.start <= source.time_range().0 && source.time_range().1 < time.end;
            let (rows, is_exact) = source.estimate(&plan.filter, &allowance)?;
            rows_at_most += rows as u64;
            exact &= is_exact && whole;
            let part = if source.is_segment() { &mut segments } else { &mut memory };
            part.sources += 1;
            part.rows += source.rows() as u64;
            part.sources_pruned_by_index += usize::from(rows == 0);
        }
        let columns = match plan.columns() {
            Columns::All => vec!["all".to_owned()],
            Columns::Fields(fields) => fields.iter().map(|field| field.name().to_owned()).collect(),
        };
        let parsed = ql::parse(&request.query)
            .map_err(|faults| QueryError::of_query(faults, &request.query))?;
        let stages = parsed.stages.iter().map(|call| {
            let help = STAGES.iter().find(|help| help.name == call.name.node);
            let summary = help.map_or("", |help| help.summary);
            format!("{} {}: {summary}", call.name.node, call.args.node)
        });
        Ok(Explanation {
            signal: plan.signal.name(),
            filter: plan.filter.to_string(),
            from: Timestamp(time.start).to_string(),
            until: Timestamp(time.end).to_string(),
            stages: stages.collect(),
            columns,
            order: if plan.ordered() { "newest first" } else { "any, on all threads" },
            segments,
            memory,
            sources_pruned_by_time: pruned,
            rows_at_most,
            exact,
            warnings: plan.warnings.iter().map(ToString::to_string).collect(),
        })
    }

    /// The fields of the newest records that match.
    ///
    /// # Errors
    /// As a query.
    pub(crate) fn fields(
        &self,
        request: &Request,
        account: &Arc<Account>,
    ) -> Result<FieldsSeen, QueryError> {
        let request = Request { limit: Some(SAMPLE_RECORDS), ..request.clone() };
        let prepared = self.prepare(&request)?;
        let mut fields: BTreeMap<String, FieldSeen> = BTreeMap::new();
        let mut lines = Vec::new();
        let summary = self.run_on(Arc::clone(account), prepared, &mut |batch: Batch| {
            lines.clear();
            json::write_lines(&batch, &mut lines);
            for line in lines.split(|byte| *byte == b'\n') {
                if let Ok(Value::Object(record)) = serde_json::from_slice(line) {
                    see(record, &mut fields);
                }
            }
            Flow::More
        })?;
        let mut fields: Vec<FieldSeen> = fields.into_values().collect();
        fields.sort_by(|a, b| b.records.cmp(&a.records).then_with(|| a.name.cmp(&b.name)));
        let all = summary.rows < SAMPLE_RECORDS as u64;
        Ok(FieldsSeen { fields, records: summary.rows, all })
    }

    /// What a tenant has stored.
    pub(crate) fn stored(&self, tenant: &str) -> Stored {
        let view = self.store.view();
        let mut stored = Stored { tenant: tenant.to_owned(), ..Stored::default() };
        let (sources, _) = view.sources(tenant, "logs", i64::MIN..i64::MAX);
        for source in &sources {
            stored.records += source.rows() as u64;
            match source.segment_bytes() {
                Some(bytes) => {
                    stored.segments += 1;
                    stored.bytes += bytes;
                }
                None => stored.records_in_memory += source.rows() as u64,
            }
        }
        let time = |time: Option<i64>| time.map(|time| Timestamp(time).to_string());
        stored.oldest = time(sources.iter().map(|source| source.time_range().0).min());
        stored.newest = time(sources.iter().map(|source| source.time_range().1).max());
        stored
    }
}

/// Notes the fields of a record as it is given out.
fn see(record: serde_json::Map<String, Value>, fields: &mut BTreeMap<String, FieldSeen>) {
    for (name, value) in record {
        match value {
            Value::Object(attributes) if name == "attributes" => see(attributes, fields),
            value => {
                let field = fields.entry(name).or_insert_with_key(|name| FieldSeen {
                    name: name.clone(),
                    types: BTreeSet::new(),
                    records: 0,
                    examples: Vec::new(),
                });
                field.records += 1;
                field.types.insert(match &value {
                    Value::Number(number) if number.is_f64() => "float",
                    Value::Number(_) => "integer",
                    Value::Bool(_) => "boolean",
                    _ => "text",
                });
                if field.examples.len() < EXAMPLES_MAX {
                    let text = match value {
                        Value::String(text) => text,
                        other => other.to_string(),
                    };
                    let text: String = text.chars().take(EXAMPLE_CHARACTERS_MAX).collect();
                    if !field.examples.contains(&text) {
                        field.examples.push(text);
                    }
                }
            }
        }
    }
}

/// Attributes that a filter asks for and that no record of the tenant has, with what may have been meant.
pub(crate) fn unknown_fields(
    filter: &Filter,
    view: &View,
    tenant: &str,
    signal: &str,
) -> Vec<String> {
    let mut asked: BTreeSet<String> = BTreeSet::new();
    filter.for_each_leaf(&mut |leaf| {
        if let Leaf::Field { field: Field::Attribute(name), .. } = leaf {
            asked.insert(name.clone());
        }
    });
    if asked.is_empty() {
        return Vec::new();
    }
    let (sources, _) = view.sources(tenant, signal, i64::MIN..i64::MAX);
    let mut known: BTreeSet<String> = BTreeSet::new();
    sources.iter().for_each(|source: &Source| source.add_attribute_names(&mut known));
    let mut names: Vec<&str> = known.iter().map(String::as_str).collect();
    Field::known_names().for_each(|name| names.push(name));
    let unknown = asked.iter().filter(|name| !known.contains(*name));
    unknown
        .map(|name| match ql::nearest(name, names.iter().copied()) {
            Some(near) => format!("no record has a field `{name}`; did you mean `{near}`?"),
            None => format!("no record has a field `{name}`; `logq fields` lists them"),
        })
        .collect()
}
