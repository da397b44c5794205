//! Traces and stories: what records and spans of one interaction say together, found here and told by the crate `story`.
//!
//! An interaction is known by its correlation id, over any number of traces. What shares a trace with a record of it and
//! names no other correlation belongs to it too.

mod diff;
mod http;
mod list;

use std::collections::BTreeSet;
use std::sync::Arc;

use ql::{Field, Filter};
use record::{Signal, Timestamp, TraceId};
use serde_json::{Map, Value};
use store::{Allowance, Held};
use story::{Entry, Story, Telling, Trace};

use crate::batch::Batch;
use crate::cell::Cell;
use crate::error::QueryError;
use crate::json;
use crate::memory::Account;
use crate::plan::Plan;
use crate::queries::{Prepared, Queries, Request};
use crate::stages::Flow;

pub(crate) use http::routes;

/// Records and spans of one interaction that are looked at.
const ENTRIES_MAX: usize = 100_000;
/// Traces that one interaction is followed over.
const TRACES_MAX: usize = 500;
/// Ids that one query asks for.
const IDS_IN_A_QUERY: usize = 100;
/// What an entry takes in memory, in bytes of its line.
const MEMORY_PER_BYTE: usize = 4;
/// Rows of a view where nothing else is asked for.
const ROWS_DEFAULT: usize = 2_000;

/// What was found, and the memory that it takes.
#[derive(Debug)]
pub(crate) struct Gathered {
    pub(crate) entries: Vec<Entry>,
    /// Why it is not all of it.
    pub(crate) partial: Option<String>,
    /// Entries that there may be.
    most: usize,
    pub(crate) held: Held,
    pub(crate) account: Arc<Account>,
}

/// Which interactions are meant: those of what a query finds in a time.
#[derive(Debug)]
struct Asked<'a> {
    tenant: &'a str,
    query: &'a str,
    since: Option<&'a str>,
    until: Option<&'a str>,
}

/// Ids, the newest first.
#[derive(Debug)]
struct Correlations {
    ids: Vec<String>,
    /// Whether there are more than were asked for.
    more: bool,
    /// Why not everything was looked at.
    partial: Option<String>,
}

impl Gathered {
    /// Nothing yet, and room for `most` entries; all within one account.
    pub(crate) fn new(account: &Arc<Account>, most: usize) -> Self {
        let held = Held::nothing(&(Arc::clone(account) as Arc<dyn Allowance>));
        Self { entries: Vec::new(), partial: None, most, held, account: Arc::clone(account) }
    }
}

/// What belongs to some of these traces.
pub(crate) fn of_traces(ids: &[TraceId]) -> Filter {
    Filter::or(ids.iter().map(|id| Filter::equals(&Field::TraceId, &id.to_string())).collect())
}

impl Queries {
    /// Adds what a filter finds of one signal, at any time, but for what `keep` does not want.
    ///
    /// # Errors
    /// As a query.
    pub(crate) fn gather(
        &self,
        tenant: &str,
        signal: Signal,
        filter: Filter,
        keep: &dyn Fn(&Map<String, Value>) -> bool,
        gathered: &mut Gathered,
    ) -> Result<(), QueryError> {
        let plan = Plan::of_filter(filter, signal.name());
        let most = gathered.most;
        let only_the_newest = || Some(format!("only the newest {most} records and spans are told"));
        let room = most.saturating_sub(gathered.entries.len());
        let prepared = Prepared::of_all_times(plan, tenant, room + 1);
        let account = Arc::clone(&gathered.account);
        let mut lines = Vec::new();
        let mut failed = None;
        let summary = self.run_on(account, prepared, &mut |batch: Batch| {
            lines.clear();
            json::write_lines(&batch, &mut lines);
            for line in lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
                if gathered.entries.len() >= most {
                    gathered.partial = only_the_newest();
                    return Flow::Enough;
                }
                let Ok(Value::Object(line)) = serde_json::from_slice::<Value>(line) else {
                    continue;
                };
                if keep(&line) {
                    gathered.entries.extend(Entry::read(signal, line));
                }
            }
            match gathered.held.grow(lines.len() * MEMORY_PER_BYTE) {
                Ok(()) => Flow::More,
                Err(stopped) => {
                    failed = Some(stopped);
                    Flow::Enough
                }
            }
        })?;
        if let Some(stopped) = failed {
            return Err(stopped.into());
        }
        // There may be more behind those that were not kept.
        if summary.next.is_some() {
            gathered.partial = only_the_newest();
        }
        if !summary.complete {
            gathered.partial = summary.reason.or(gathered.partial.take());
        }
        Ok(())
    }

    /// Everything of one trace.
    ///
    /// # Errors
    /// As a query.
    pub(crate) fn trace_entries(
        &self,
        tenant: &str,
        trace: TraceId,
        account: &Arc<Account>,
    ) -> Result<Gathered, QueryError> {
        let mut gathered = Gathered::new(account, ENTRIES_MAX);
        for signal in [Signal::Spans, Signal::Logs] {
            self.gather(tenant, signal, of_traces(&[trace]), &|_| true, &mut gathered)?;
        }
        Ok(gathered)
    }

    /// Everything of one correlation.
    ///
    /// # Errors
    /// As a query.
    pub(crate) fn correlation_entries(
        &self,
        tenant: &str,
        correlation: &str,
        account: &Arc<Account>,
    ) -> Result<Gathered, QueryError> {
        let mut gathered = Gathered::new(account, ENTRIES_MAX);
        let filter = Filter::equals(&Field::CorrelationId, correlation);
        for signal in [Signal::Spans, Signal::Logs] {
            self.gather(tenant, signal, filter.clone(), &|_| true, &mut gathered)?;
        }
        let traces: BTreeSet<TraceId> =
            gathered.entries.iter().filter_map(|entry| entry.trace_id).collect();
        if traces.len() > TRACES_MAX {
            gathered.partial = Some(format!(
                "it goes over {} traces, {TRACES_MAX} of them are looked at",
                traces.len()
            ));
        }
        let traces: Vec<TraceId> = traces.into_iter().take(TRACES_MAX).collect();
        // What names another correlation belongs to that one; what names this one is here already.
        let of_nobody = |line: &Map<String, Value>| !line.contains_key("correlation_id");
        for ids in traces.chunks(IDS_IN_A_QUERY) {
            for signal in [Signal::Spans, Signal::Logs] {
                self.gather(tenant, signal, of_traces(ids), &of_nobody, &mut gathered)?;
            }
        }
        Ok(gathered)
    }

    /// How a story is told now.
    pub(crate) fn telling(&self, rows_max: usize) -> Telling {
        let now = Timestamp::now();
        Telling { now: now.0, watermark: self.watermark_at(now).map(|time| time.0), rows_max }
    }

    /// The story of a correlation.
    ///
    /// # Errors
    /// [`QueryError::NotFound`]; as a query.
    pub(crate) fn story(
        &self,
        tenant: &str,
        correlation: &str,
        rows_max: usize,
        account: &Arc<Account>,
    ) -> Result<(Story, Option<String>), QueryError> {
        let gathered = self.correlation_entries(tenant, correlation, account)?;
        if gathered.entries.is_empty() {
            return Err(QueryError::NotFound(format!(
                "nothing is known of the correlation {correlation:?}"
            )));
        }
        let story = Story::of(correlation, &gathered.entries, &self.telling(rows_max));
        Ok((story, gathered.partial))
    }

    /// The tree of a trace.
    ///
    /// # Errors
    /// [`QueryError::NotFound`]; as a query.
    pub(crate) fn trace(
        &self,
        tenant: &str,
        trace: TraceId,
        rows_max: usize,
        account: &Arc<Account>,
    ) -> Result<(Trace, Option<String>), QueryError> {
        let gathered = self.trace_entries(tenant, trace, account)?;
        if gathered.entries.is_empty() {
            return Err(QueryError::NotFound(format!("nothing is known of the trace {trace}")));
        }
        Ok((Trace::of(trace, &gathered.entries, rows_max), gathered.partial))
    }

    /// The correlations of what a query finds.
    fn correlations(
        &self,
        asked: &Asked<'_>,
        most: usize,
        account: &Arc<Account>,
    ) -> Result<Correlations, QueryError> {
        // Its own faults first: with carets into what was written.
        let plan = Plan::new(asked.query)?;
        if !plan.stages.is_empty() || plan.around.is_some() {
            let detail = "is a filter, without stages: it says which interactions are meant";
            return Err(QueryError::Parameter { name: "query", detail: detail.to_owned() });
        }
        let stages = format!(
            "stats max(timestamp) as newest by correlation_id | sort -newest | head {}",
            most + 2
        );
        let request = Request {
            query: format!("{} | {stages}", asked.query),
            tenant: asked.tenant.to_owned(),
            since: asked.since.map(str::to_owned),
            until: asked.until.map(str::to_owned),
            ..Request::default()
        };
        let mut ids = Vec::new();
        let prepared = self.prepare(&request)?;
        let summary = self.run_on(Arc::clone(account), prepared, &mut |batch| {
            // What has no correlation is a row too.
            ids.extend(batch.column(&Field::CorrelationId).into_iter().filter_map(
                |cell| match cell {
                    Cell::Text(text) => Some(text.to_string()),
                    _ => None,
                },
            ));
            Flow::More
        })?;
        let more = ids.len() > most;
        ids.truncate(most);
        Ok(Correlations { ids, more, partial: summary.reason })
    }
}
