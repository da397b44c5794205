//! Traces and stories: what records and spans of one interaction say together, found here and told by the crate `story`.
//!
//! An interaction is known by its correlation id, over any number of traces. What shares a trace with a record of it and
//! names no other correlation belongs to it too.

mod diff;
mod http;
mod list;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use record::{Signal, Timestamp, TraceId};
use serde_json::{Map, Value};
use store::{Allowance, Held};
use story::{Entry, Story, Telling, Trace};

use crate::batch::Batch;
use crate::error::QueryError;
use crate::json;
use crate::memory::Account;
use crate::plan::Plan;
use crate::queries::{Prepared, Queries};
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

impl Queries {
    /// Nothing yet, and room for `most` entries.
    pub(crate) fn gathered(&self, most: usize) -> Gathered {
        let account = self.account(&Arc::new(AtomicBool::new(false)));
        let held = Held::nothing(&(Arc::clone(&account) as Arc<dyn Allowance>));
        Gathered { entries: Vec::new(), partial: None, most, held, account }
    }

    /// Adds what a filter finds of one signal, at any time, but for what `keep` does not want.
    ///
    /// # Errors
    /// As a query.
    pub(crate) fn gather(
        &self,
        tenant: &str,
        signal: Signal,
        filter: &str,
        keep: &dyn Fn(&Map<String, Value>) -> bool,
        gathered: &mut Gathered,
    ) -> Result<(), QueryError> {
        let plan = Plan::new(&format!("from {} {filter}", signal.name()))?;
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
    ) -> Result<Gathered, QueryError> {
        let mut gathered = self.gathered(ENTRIES_MAX);
        for signal in [Signal::Spans, Signal::Logs] {
            self.gather(tenant, signal, &format!("trace_id:{trace}"), &|_| true, &mut gathered)?;
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
    ) -> Result<Gathered, QueryError> {
        let mut gathered = self.gathered(ENTRIES_MAX);
        let filter = format!("correlation_id:{}", Value::from(correlation));
        for signal in [Signal::Spans, Signal::Logs] {
            self.gather(tenant, signal, &filter, &|_| true, &mut gathered)?;
        }
        let traces: BTreeSet<TraceId> =
            gathered.entries.iter().filter_map(|entry| entry.trace_id).collect();
        if traces.len() > TRACES_MAX {
            gathered.partial = Some(format!(
                "it goes over {} traces, {TRACES_MAX} of them are looked at",
                traces.len()
            ));
        }
        let traces: Vec<String> = traces.iter().take(TRACES_MAX).map(TraceId::to_string).collect();
        // What names another correlation belongs to that one; what names this one is here already.
        let of_nobody = |line: &Map<String, Value>| !line.contains_key("correlation_id");
        for ids in traces.chunks(IDS_IN_A_QUERY) {
            let filter = format!("trace_id:({})", ids.join(" OR "));
            for signal in [Signal::Spans, Signal::Logs] {
                self.gather(tenant, signal, &filter, &of_nobody, &mut gathered)?;
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
    ) -> Result<(Story, Option<String>), QueryError> {
        let gathered = self.correlation_entries(tenant, correlation)?;
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
    ) -> Result<(Trace, Option<String>), QueryError> {
        let gathered = self.trace_entries(tenant, trace)?;
        if gathered.entries.is_empty() {
            return Err(QueryError::NotFound(format!("nothing is known of the trace {trace}")));
        }
        Ok((Trace::of(trace, &gathered.entries, rows_max), gathered.partial))
    }

    /// The correlations of what a query finds, the newest first.
    fn correlations(
        &self,
        tenant: &str,
        query: &str,
        since: Option<&str>,
        until: Option<&str>,
        most: usize,
    ) -> Result<Vec<String>, QueryError> {
        // Its own faults first: with carets into what was written.
        let plan = Plan::new(query)?;
        if !plan.stages.is_empty() || plan.around.is_some() {
            let detail = "is a filter, without stages: it says which interactions are meant";
            return Err(QueryError::Parameter { name: "query", detail: detail.to_owned() });
        }
        let text = format!(
            "{query} | stats max(timestamp) as newest by correlation_id | sort -newest | head {}",
            most + 1
        );
        let request = crate::queries::Request {
            query: text,
            tenant: tenant.to_owned(),
            since: since.map(str::to_owned),
            until: until.map(str::to_owned),
            ..Default::default()
        };
        let mut ids = Vec::new();
        let cancelled = Arc::new(AtomicBool::new(false));
        self.run(self.prepare(&request)?, &cancelled, &mut |batch| {
            let field = ql::Field::CorrelationId;
            let cells = batch.column(&field);
            ids.extend(cells.iter().filter_map(|cell| match cell {
                crate::cell::Cell::Text(text) => Some(text.to_string()),
                _ => None,
            }));
            Flow::More
        })?;
        ids.truncate(most);
        Ok(ids)
    }
}
