//! `/api/traces?service=…`: the newest traces of which one span has all that is asked for.

use std::collections::HashSet;
use std::ops::{Bound, Range};
use std::sync::Arc;

use ql::{Field, Filter, Number, Operand, Test};
use record::{TraceId, span};

use super::traces::Traces;
use super::{SPANS_MAX, tags};
use crate::UNKNOWN_SERVICE;
use crate::cell::Cell;
use crate::error::QueryError;
use crate::memory::Account;
use crate::plan::Plan;
use crate::queries::{Prepared, Queries};
use crate::stages::Flow;
use crate::stories::Gathered;

/// What is asked of one span of each trace.
#[derive(Debug)]
pub(super) struct Search {
    pub(super) service: String,
    pub(super) operation: Option<String>,
    pub(super) tags: Vec<(String, String)>,
    /// Nanoseconds that it takes at least.
    pub(super) least: Option<i64>,
    /// Nanoseconds that it takes at most.
    pub(super) most: Option<i64>,
    /// When it begins, nanoseconds.
    pub(super) time: Range<i64>,
    /// Traces.
    pub(super) limit: usize,
}

impl Search {
    fn filter(&self) -> Filter {
        let mut members =
            vec![of_service(&self.service), Filter::field(Field::TraceId, Test::Exists)];
        members.extend(self.operation.iter().map(|name| Filter::equals(&Field::Message, name)));
        members.extend(self.tags.iter().map(|(key, value)| tags::filter(key, value)));
        members.extend(self.duration());
        Filter::and(members)
    }

    fn duration(&self) -> Option<Filter> {
        let limit = |nanos: i64| Bound::Included(Operand::Number(Number::Integer(nanos.into())));
        let lower = self.least.map_or(Bound::Unbounded, limit);
        // Jaeger counts whole microseconds: what is less does not make a span too long.
        let whole = |nanos: i64| nanos.saturating_sub(nanos % 1_000).saturating_add(999);
        let upper = self.most.map_or(Bound::Unbounded, |nanos| limit(whole(nanos)));
        if lower == Bound::Unbounded && upper == Bound::Unbounded {
            return None;
        }
        let test = Test::Range(ql::Range { lower, upper });
        Some(Filter::field(Field::Attribute(span::DURATION.to_owned()), test))
    }
}

/// Spans of a service.
pub(super) fn of_service(name: &str) -> Filter {
    let named = Filter::equals(&Field::Service, name);
    if name != UNKNOWN_SERVICE {
        return named;
    }
    let nameless = Filter::negated(Filter::field(Field::Service, Test::Exists));
    Filter::or(vec![named, nameless])
}

/// A query of spans: a filter, and stages as they are written.
pub(super) fn plan(filter: Filter, stages: &str) -> Result<Plan, QueryError> {
    Ok(Plan { filter, ..Plan::new(&format!("from spans * | {stages}"))? })
}

impl Queries {
    /// The newest traces with a span that is asked for, whole.
    ///
    /// # Errors
    /// As a query.
    pub(super) fn search_traces(
        &self,
        tenant: &str,
        search: &Search,
        account: &Arc<Account>,
    ) -> Result<Traces, QueryError> {
        let mut gathered = Gathered::new(account, SPANS_MAX);
        let plan = plan(search.filter(), "fields trace_id")?;
        let rows_max = self.limits().rows_max;
        let prepared = Prepared::within(plan, tenant, search.time.clone(), rows_max);
        let (mut ids, mut seen) = (Vec::new(), HashSet::new());
        // It ends with the trace that fills the answer, however many spans match.
        let summary = self.run_on(Arc::clone(account), prepared, &mut |batch| {
            for cell in batch.column(&Field::TraceId) {
                let Cell::Text(text) = cell else { continue };
                let Some(id) = TraceId::from_hex(&text) else { continue };
                if seen.insert(id) {
                    ids.push(id);
                }
                if ids.len() >= search.limit {
                    return Flow::Enough;
                }
            }
            Flow::More
        })?;
        if ids.len() < search.limit {
            gathered.partial = summary.reason;
        }
        self.whole_traces(tenant, &ids, gathered)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn search(service: &str) -> Search {
        Search {
            service: service.to_owned(),
            operation: None,
            tags: Vec::new(),
            least: None,
            most: None,
            time: 0..1,
            limit: 1,
        }
    }

    #[test]
    fn what_is_asked_for_becomes_a_filter_whatever_signs_are_in_it() {
        let asked = Search {
            operation: Some("GET \"/a\" *".to_owned()),
            tags: vec![("http.status_code".to_owned(), "500".to_owned())],
            least: Some(1_200_000_000),
            most: Some(2_000_000_500),
            ..search("a/b\\\" OR *")
        };
        insta::assert_snapshot!(asked.filter(), @r#"service:="a/b\\\" OR *" trace_id:* message:="GET \"/a\" *" (http.status_code:=500 OR resource.http.status_code:=500) duration:[1200000000 TO 2000000999]"#);
        insta::assert_snapshot!(search(UNKNOWN_SERVICE).filter(), @"(service:=unknown_service OR -service:*) trace_id:*");
    }

    #[test]
    fn a_filter_is_the_one_of_its_text() {
        let asked = Search { least: Some(5_000_000), ..search("a b") };
        let written = ql::parse_filter("service:\"a b\" trace_id:* duration:>=5000000").unwrap();
        assert_eq!(asked.filter().to_string(), written.to_string());
    }
}
