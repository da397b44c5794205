//! `/api/dependencies`: which service calls which, and how often, counted from the spans of a time.
//!
//! A call is a span whose parent is a span of another service. A served span that shares its id with the span of the
//! call (Zipkin) is called by that one. What is looked at is a row of 48 bytes a span, sorted by ids.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::sync::Arc;

use ql::{Field, Filter};
use record::{SpanId, TraceId, span};
use serde::Serialize;
use store::{Allowance, Held, Stopped};

use super::DEPENDENCY_SPANS_MAX;
use super::search::plan;
use crate::UNKNOWN_SERVICE;
use crate::batch::Batch;
use crate::cell::Cell;
use crate::error::QueryError;
use crate::memory::Account;
use crate::queries::{Prepared, Queries};
use crate::stages::Flow;

/// Calls from one service to another.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Dependency {
    parent: String,
    child: String,
    call_count: u64,
}

/// A span as far as it matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Row {
    trace: TraceId,
    id: SpanId,
    parent: Option<SpanId>,
    /// Number of the service.
    service: u32,
    is_call: bool,
    is_served: bool,
}

/// The spans that are looked at.
#[derive(Debug, Default)]
struct Rows {
    rows: Vec<Row>,
    services: Vec<Arc<str>>,
    numbers: HashMap<Arc<str>, u32>,
}

impl Queries {
    /// Who calls whom in a time, as the newest of its spans tell.
    ///
    /// # Errors
    /// As a query.
    pub(super) fn dependencies(
        &self,
        tenant: &str,
        time: Range<i64>,
        account: &Arc<Account>,
    ) -> Result<Vec<Dependency>, QueryError> {
        let mut held = Held::nothing(&(Arc::clone(account) as Arc<dyn Allowance>));
        let fields = "fields trace_id, span_id, parent_span_id, service, kind";
        let prepared =
            Prepared::within(plan(Filter::All, fields)?, tenant, time, DEPENDENCY_SPANS_MAX);
        let (mut rows, mut stopped) = (Rows::default(), None);
        self.run_on(
            Arc::clone(account),
            prepared,
            &mut |batch| match rows.add(&batch, &mut held) {
                Ok(()) => Flow::More,
                Err(reason) => {
                    stopped = Some(reason);
                    Flow::Enough
                }
            },
        )?;
        if let Some(stopped) = stopped {
            return Err(stopped.into());
        }
        account.check()?;
        Ok(rows.calls())
    }
}

impl Rows {
    fn add(&mut self, batch: &Batch, held: &mut Held) -> Result<(), Stopped> {
        let attribute = |name: &str| batch.column(&Field::Attribute(name.to_owned()));
        let (parents, kinds) = (attribute(span::PARENT_SPAN_ID), attribute(span::KIND));
        let traces = batch.column(&Field::TraceId);
        let (ids, services) = (batch.column(&Field::SpanId), batch.column(&Field::Service));
        let before = self.rows.capacity();
        for row in 0..batch.len() {
            let text = |cells: &[Cell]| match cells.get(row) {
                Some(Cell::Text(text)) => Some(Arc::clone(text)),
                _ => None,
            };
            let trace = text(&traces).and_then(|id| TraceId::from_hex(&id));
            let id = text(&ids).and_then(|id| SpanId::from_hex(&id));
            let Some((trace, id)) = trace.zip(id) else { continue };
            let parent = text(&parents).and_then(|id| SpanId::from_hex(&id));
            let kind = text(&kinds);
            let kind = kind.as_deref().unwrap_or_default();
            let service = self.number(text(&services).unwrap_or_else(|| UNKNOWN_SERVICE.into()));
            let is_call = matches!(kind, "client" | "producer");
            let is_served = matches!(kind, "server" | "consumer");
            self.rows.push(Row { trace, id, parent, service, is_call, is_served });
        }
        held.grow((self.rows.capacity() - before) * size_of::<Row>())
    }

    fn number(&mut self, service: Arc<str>) -> u32 {
        if let Some(number) = self.numbers.get(&service) {
            return *number;
        }
        let number = self.services.len() as u32;
        self.services.push(Arc::clone(&service));
        self.numbers.insert(service, number);
        number
    }

    fn calls(mut self) -> Vec<Dependency> {
        self.rows.sort_unstable();
        // A span that was sent twice calls once.
        self.rows.dedup();
        let mut counts: BTreeMap<(&str, &str), u64> = BTreeMap::new();
        for row in &self.rows {
            let calls =
                |parent: &&Row| parent.is_call && row.is_served && parent.service != row.service;
            let caller = self.with_id(row.trace, row.id).iter().find(calls);
            let Some(caller) = caller.or_else(|| self.parent_of(row)) else { continue };
            let name = |number: u32| &*self.services[number as usize];
            *counts.entry((name(caller.service), name(row.service))).or_default() += 1;
        }
        let dependency = |((parent, child), call_count): ((&str, &str), u64)| Dependency {
            parent: parent.to_owned(),
            child: child.to_owned(),
            call_count,
        };
        counts.into_iter().map(dependency).collect()
    }

    /// A span's parent, if it is of another service.
    fn parent_of(&self, row: &Row) -> Option<&Row> {
        let parents = self.with_id(row.trace, row.parent?);
        let is_own = parents.iter().any(|parent| parent.service == row.service);
        parents.first().filter(|_| !is_own)
    }

    fn with_id(&self, trace: TraceId, id: SpanId) -> &[Row] {
        let first = self.rows.partition_point(|row| (row.trace, row.id) < (trace, id));
        let rows = &self.rows[first..];
        &rows[..rows.partition_point(|row| (row.trace, row.id) == (trace, id))]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn calls(spans: &[(u8, u8, u8, &str, &str)]) -> Vec<(String, String, u64)> {
        let mut rows = Rows::default();
        for (trace, id, parent, service, kind) in spans {
            let service = rows.number((*service).into());
            rows.rows.push(Row {
                trace: TraceId([*trace; 16]),
                id: SpanId([*id; 8]),
                parent: SpanId::from_bytes([*parent; 8]),
                service,
                is_call: *kind == "client",
                is_served: *kind == "server",
            });
        }
        let calls = rows.calls().into_iter();
        calls.map(|call| (call.parent, call.child, call.call_count)).collect()
    }

    fn call(parent: &str, child: &str, count: u64) -> (String, String, u64) {
        (parent.to_owned(), child.to_owned(), count)
    }

    #[test]
    fn a_call_is_a_span_below_one_of_another_service() {
        let spans = [
            (1, 1, 0, "a", "server"),
            (1, 2, 1, "a", "client"),
            (1, 3, 2, "b", "server"),
            (1, 4, 1, "b", ""),
            // Sent twice.
            (1, 4, 1, "b", ""),
            (1, 5, 3, "c", "server"),
            // Of another trace, and without its parent.
            (2, 6, 1, "c", "server"),
        ];
        assert_eq!(calls(&spans), [call("a", "b", 2), call("b", "c", 1)]);
        assert_eq!(calls(&[]), []);
    }

    #[test]
    fn spans_that_share_an_id_call_each_other_once() {
        let spans = [
            (1, 1, 0, "a", "client"),
            (1, 1, 0, "b", "server"),
            (1, 2, 1, "b", "client"),
            (1, 2, 1, "c", "server"),
        ];
        assert_eq!(calls(&spans), [call("a", "b", 1), call("b", "c", 1)]);
    }
}
