//! Whole traces by their ids: all their spans, at any time, within the bounds of an answer.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;

use record::{Signal, TraceId};
use serde::Serialize;
use serde_json::{Map, Value};
use store::Held;
use story::Entry;

use super::shapes::Trace;
use super::{SPANS_MAX, SPANS_OF_A_TRACE_MAX};
use crate::error::QueryError;
use crate::memory::Account;
use crate::queries::Queries;
use crate::stories::{Gathered, of_traces};

/// Ids that one query asks for: few, so that the first traces are whole when not all fit.
const IDS_IN_A_QUERY: usize = 20;

/// Traces, and the memory that they take until they are written.
#[derive(Serialize)]
#[serde(transparent)]
pub(super) struct Traces {
    pub(super) list: Vec<Trace>,
    /// Why it may not be all of them.
    #[serde(skip)]
    pub(super) partial: Option<String>,
    #[serde(skip)]
    _held: Held,
}

impl Queries {
    /// Those of some traces that are there.
    ///
    /// # Errors
    /// As a query.
    pub(super) fn traces_of(
        &self,
        tenant: &str,
        ids: &[TraceId],
        account: &Arc<Account>,
    ) -> Result<Traces, QueryError> {
        self.whole_traces(tenant, ids, Gathered::new(account, SPANS_MAX))
    }

    /// Traces in the order of their ids, each once; only those with a span.
    ///
    /// # Errors
    /// As a query.
    pub(super) fn whole_traces(
        &self,
        tenant: &str,
        ids: &[TraceId],
        mut gathered: Gathered,
    ) -> Result<Traces, QueryError> {
        let counts: RefCell<HashMap<TraceId, usize>> = RefCell::default();
        let keep = |line: &Map<String, Value>| {
            let id = line.get("trace_id").and_then(Value::as_str).and_then(TraceId::from_hex);
            let mut counts = counts.borrow_mut();
            id.is_some_and(|id| {
                let count = counts.entry(id).or_default();
                *count += 1;
                *count <= SPANS_OF_A_TRACE_MAX
            })
        };
        for ids in ids.chunks(IDS_IN_A_QUERY) {
            if gathered.entries.len() >= SPANS_MAX {
                gathered.partial = Some(format!("only {SPANS_MAX} spans fit into an answer"));
                break;
            }
            self.gather(tenant, Signal::Spans, of_traces(ids), &keep, &mut gathered)?;
        }
        let counts = counts.into_inner();
        let Gathered { entries, partial, held, .. } = gathered;
        let mut by_trace: HashMap<TraceId, Vec<Entry>> = HashMap::new();
        for entry in entries {
            if let Some(id) = entry.trace_id {
                by_trace.entry(id).or_default().push(entry);
            }
        }
        let list = ids.iter().filter_map(|id| {
            let entries = by_trace.remove(id)?;
            let too_many = counts.get(id).is_some_and(|count| *count > SPANS_OF_A_TRACE_MAX);
            let cut = too_many
                .then(|| format!("only the newest {SPANS_OF_A_TRACE_MAX} spans of it are told"));
            Some(Trace::of(*id, entries, partial.iter().cloned().chain(cut).collect()))
        });
        let list = list.collect();
        Ok(Traces { list, partial, _held: held })
    }
}
