//! Which labels and streams there are, and how much of each.
//!
//! Bytes are an estimate: lines times the mean length of a message in the segments and parts of the time.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::AsArray;
use logql::Labels;
use logql::ast::{Expr, Matcher};
use ql::{Field, Filter, Test};
use record::Signal;
use serde::Serialize;
use store::schema::MESSAGE;
use store::{Allowance, Columns, RowSet, Source};

use super::NAMES_MAX;
use super::answers::Refusal;
use super::push_down::of_stream;
use super::record::{SERVICE_NAME, STREAM_LABELS};
use crate::UNKNOWN_SERVICE;
use crate::cell::Cell;
use crate::error::QueryError;
use crate::memory::Account;
use crate::plan::Plan;
use crate::queries::{Prepared, Queries};
use crate::stages::Flow;

/// How much there is of some streams.
#[derive(Debug, Default, Serialize)]
pub(super) struct Volume {
    streams: usize,
    /// Segments and pieces of memory.
    chunks: usize,
    bytes: u64,
    entries: u64,
}

/// A stream, or what streams have in common, and how many lines it has.
pub(super) type Counted = (Labels, u64);

/// How streams are brought together.
#[derive(Debug)]
pub(super) struct Together {
    /// By the values of these labels; where there are none, by those that the selector names.
    pub(super) labels: Vec<String>,
    /// Whether the names of labels are counted, and not their values.
    pub(super) names: bool,
    pub(super) limit: usize,
}

/// The matchers of a selector; the stages of a whole query are passed over.
pub(super) fn matchers(query: &str) -> Result<Vec<Matcher>, Refusal> {
    if query.trim().is_empty() {
        return Ok(Vec::new());
    }
    let matchers = match logql::parse_selector(query) {
        Ok(matchers) => matchers,
        Err(fault) => match logql::parse(query) {
            Ok(Expr::Log(query)) => query.node.matchers,
            _ => return Err(fault.into()),
        },
    };
    Ok(matchers.into_iter().map(|matcher| matcher.node).collect())
}

fn filter_of(matchers: &[Matcher]) -> Filter {
    Filter::and(matchers.iter().map(of_stream).collect())
}

impl Queries {
    /// The streams that match in a time, each with its lines; those with the most lines if there are too many.
    pub(super) fn loki_streams(
        &self,
        tenant: &str,
        selectors: &[Vec<Matcher>],
        time: Range<i64>,
        account: &Arc<Account>,
    ) -> Result<Vec<Counted>, QueryError> {
        let filters = selectors.iter().map(|matchers| filter_of(matchers));
        let filter = if selectors.is_empty() { Filter::All } else { Filter::or(filters.collect()) };
        self.counted(tenant, filter, &STREAM_LABELS, time, account)
    }

    /// Counts records by the values of labels.
    fn counted(
        &self,
        tenant: &str,
        filter: Filter,
        labels: &[(&'static str, Field)],
        time: Range<i64>,
        account: &Arc<Account>,
    ) -> Result<Vec<Counted>, QueryError> {
        let names: Vec<&str> = labels.iter().map(|(_, field)| field.name()).collect();
        let stages = format!(
            "* | stats count() as lines by {} | sort -lines | head {NAMES_MAX}",
            names.join(", ")
        );
        let plan = Plan { filter, ..Plan::new(&stages)? };
        let prepared = Prepared::within(plan, tenant, time, NAMES_MAX);
        let view = self.store.view();
        let mut counted = Vec::new();
        self.run_over(&view, Arc::clone(account), prepared, &mut |batch| {
            let lines = batch.column(&Field::Attribute("lines".to_owned()));
            let columns: Vec<Vec<Cell>> =
                labels.iter().map(|(_, field)| batch.column(field)).collect();
            for (row, lines) in lines.iter().enumerate() {
                let mut of_row = Labels::new();
                for ((name, _), column) in labels.iter().zip(&columns) {
                    match &column[row] {
                        Cell::Text(text) => of_row.set(*name, &**text),
                        _ if *name == SERVICE_NAME => of_row.set(*name, UNKNOWN_SERVICE),
                        _ => {}
                    }
                }
                let lines = lines.as_f64().unwrap_or_default() as u64;
                counted.push((of_row, lines));
            }
            Flow::More
        })?;
        Ok(counted)
    }

    /// The names of labels that a stream has which matches in a time.
    pub(super) fn loki_labels(
        &self,
        tenant: &str,
        matchers: &[Matcher],
        time: &Range<i64>,
        account: &Arc<Account>,
    ) -> Result<Vec<&'static str>, QueryError> {
        let mut names = Vec::new();
        for (name, field) in STREAM_LABELS {
            let mut members = vec![filter_of(matchers)];
            // Every stream has a service.
            if name != SERVICE_NAME {
                members.push(Filter::field(field, Test::Exists));
            }
            if self.is_any(tenant, Filter::and(members), time, account)? {
                names.push(name);
            }
        }
        Ok(names)
    }

    fn is_any(
        &self,
        tenant: &str,
        filter: Filter,
        time: &Range<i64>,
        account: &Arc<Account>,
    ) -> Result<bool, QueryError> {
        let plan = Plan { filter, ..Plan::new("* | fields timestamp")? };
        let prepared = Prepared::within(plan, tenant, time.clone(), 1);
        let view = self.store.view();
        let mut any = false;
        self.run_over(&view, Arc::clone(account), prepared, &mut |_| {
            any = true;
            Flow::Enough
        })?;
        Ok(any)
    }

    /// The values of a label, in their order; none if no stream has it.
    pub(super) fn loki_values(
        &self,
        tenant: &str,
        name: &str,
        matchers: &[Matcher],
        time: Range<i64>,
        account: &Arc<Account>,
    ) -> Result<Vec<String>, QueryError> {
        let Some(label) = STREAM_LABELS.into_iter().find(|(label, _)| *label == name) else {
            return Ok(Vec::new());
        };
        let counted = self.counted(tenant, filter_of(matchers), &[label], time, account)?;
        let values = counted.iter().filter_map(|(labels, _)| labels.get(name));
        let mut values: Vec<String> = values.map(str::to_owned).collect();
        values.sort_unstable();
        Ok(values)
    }

    /// How much there is.
    pub(super) fn loki_volume(
        &self,
        tenant: &str,
        matchers: Vec<Matcher>,
        time: Range<i64>,
        account: &Arc<Account>,
    ) -> Result<Volume, QueryError> {
        let (chunks, mean) = self.mean_line_bytes(tenant, time.clone(), account)?;
        let streams = self.loki_streams(tenant, &[matchers], time, account)?;
        let entries = streams.iter().map(|(_, lines)| lines).sum();
        if entries == 0 {
            return Ok(Volume::default());
        }
        let bytes = (entries as f64 * mean) as u64;
        Ok(Volume { streams: streams.len(), chunks, bytes, entries })
    }

    /// How many bytes streams have, brought together, the largest first.
    pub(super) fn loki_volumes(
        &self,
        tenant: &str,
        matchers: Vec<Matcher>,
        time: Range<i64>,
        together: &Together,
        account: &Arc<Account>,
    ) -> Result<Vec<Counted>, QueryError> {
        let named: Vec<String> = match together.labels.is_empty() {
            true => matchers.iter().map(|matcher| matcher.name.clone()).collect(),
            false => together.labels.clone(),
        };
        let (_, mean) = self.mean_line_bytes(tenant, time.clone(), account)?;
        let mut volumes: BTreeMap<Labels, u64> = BTreeMap::new();
        for (labels, lines) in self.loki_streams(tenant, &[matchers], time, account)? {
            let kept = labels.iter().filter(|(name, _)| named.iter().any(|one| one == name));
            // Streams that lack a label which is asked for are not asked for.
            if !together.names && named.iter().any(|name| labels.get(name).is_none()) {
                continue;
            }
            match together.names {
                true => {
                    for (name, _) in kept {
                        *volumes.entry([(name, "")].into_iter().collect()).or_default() += lines;
                    }
                }
                false => *volumes.entry(kept.collect()).or_default() += lines,
            }
        }
        let bytes = |lines: u64| (lines as f64 * mean) as u64;
        let mut volumes: Vec<Counted> =
            volumes.into_iter().map(|(labels, lines)| (labels, bytes(lines))).collect();
        volumes.sort_by(|left, right| right.1.cmp(&left.1).then_with(|| left.0.cmp(&right.0)));
        volumes.truncate(together.limit);
        Ok(volumes)
    }

    /// How many segments and pieces there are in a time, and how long a message in them is.
    fn mean_line_bytes(
        &self,
        tenant: &str,
        time: Range<i64>,
        account: &Arc<Account>,
    ) -> Result<(usize, f64), QueryError> {
        let allowance = Arc::clone(account) as Arc<dyn Allowance>;
        let view = self.store.view();
        let (sources, _) = view.sources(tenant, Signal::Logs.name(), time);
        let columns = Columns::Fields([Field::Message].into());
        let (mut rows, mut bytes) = (0.0, 0.0);
        for source in &sources {
            let of_source = source.rows() as f64;
            rows += of_source;
            bytes += of_source * message_bytes(source, &columns, &allowance)?;
        }
        Ok((sources.len(), if rows > 0.0 { bytes / rows } else { 0.0 }))
    }
}

fn message_bytes(
    source: &Source,
    columns: &Columns,
    allowance: &Arc<dyn Allowance>,
) -> Result<f64, QueryError> {
    if source.is_segment() {
        return Ok(source.row_bytes(columns)? as f64);
    }
    // In memory their lengths are there without reading.
    let messages = source.read(&RowSet::Range(0..source.rows() as u32), columns, allowance)?;
    let column = messages.column_by_name(MESSAGE).map(|column| column.as_string::<i32>());
    let ends = column.map_or(&[0][..], |column| column.value_offsets());
    let bytes = ends.last().unwrap_or(&0) - ends.first().unwrap_or(&0);
    Ok(f64::from(bytes) / source.rows().max(1) as f64)
}
