//! Queries against a store, from text to batches: what the HTTP routes and the alert engine call.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use record::Timestamp;
use store::{Store, View};

use crate::error::QueryError;
use crate::execute::{Execution, QueryLimits, Sink, Summary};
use crate::plan::Plan;
use crate::time_parameter;

/// Records or rows given out if the caller does not say.
pub const LIMIT_DEFAULT: usize = 100;
/// How far back a query looks if the caller does not say.
pub const SINCE_DEFAULT: &str = "15m";

/// A query as a caller gives it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Request {
    /// In the query language.
    pub query: String,
    /// Whose records.
    pub tenant: String,
    /// From when, inclusive; see [`time_parameter::parse`].
    pub since: Option<String>,
    /// Until when, exclusive; now if not said.
    pub until: Option<String>,
    /// Records or rows at most.
    pub limit: Option<usize>,
}

/// Answers queries over a store.
#[derive(Clone, Debug)]
pub struct Queries {
    store: Arc<Store>,
    limits: QueryLimits,
}

/// A query that is checked and waits to be run.
#[derive(Debug)]
pub struct Prepared {
    plan: Plan,
    time: Range<i64>,
    tenant: String,
    limit: usize,
}

impl Queries {
    /// Queries over a store, each within `limits`.
    pub fn new(store: Arc<Store>, limits: QueryLimits) -> Self {
        Self { store, limits }
    }

    /// What each of them is held to.
    pub(crate) fn limits(&self) -> &QueryLimits {
        &self.limits
    }

    /// Checks a query without running it.
    ///
    /// # Errors
    /// [`QueryError::Query`] or [`QueryError::Parameter`].
    pub fn prepare(&self, request: &Request) -> Result<Prepared, QueryError> {
        let plan = Plan::new(&request.query)?;
        let now = Timestamp::now();
        let time = |name, text: &Option<String>, default: &str| {
            let text = text.as_deref().filter(|text| !text.trim().is_empty()).unwrap_or(default);
            time_parameter::parse(text, now)
                .map_err(|detail| QueryError::Parameter { name, detail })
        };
        let (since, until) =
            (time("since", &request.since, SINCE_DEFAULT)?, time("until", &request.until, "now")?);
        if since > until {
            let detail = format!("is {since}, later than `until`, which is {until}");
            return Err(QueryError::Parameter { name: "since", detail });
        }
        let limit = request.limit.unwrap_or(LIMIT_DEFAULT).min(self.limits.rows_max);
        Ok(Prepared { plan, time: since.0..until.0, tenant: request.tenant.clone(), limit })
    }

    /// Runs a query; blocks. Results go to `sink` as they come.
    ///
    /// # Errors
    /// When a bound is reached, `cancelled` is set, or the store cannot be read.
    pub fn run(
        &self,
        prepared: Prepared,
        cancelled: &AtomicBool,
        sink: &mut Sink<'_>,
    ) -> Result<Summary, QueryError> {
        let view = self.store.view();
        let Prepared { plan, time, tenant, limit } = prepared;
        let signal = plan.signal.name();
        let execution = Execution {
            view: &view,
            tenant: &tenant,
            time: time.clone(),
            limit,
            limits: &self.limits,
            cancelled,
            started: Instant::now(),
        };
        let mut summary = execution.run(plan, sink)?;
        if summary.matched == 0 {
            summary.hint = hint(&view, &tenant, signal, &time);
        }
        Ok(summary)
    }
}

/// Says when there are records outside of a range in which nothing was found.
fn hint(view: &View, tenant: &str, signal: &str, time: &Range<i64>) -> Option<String> {
    let (sources, _) = view.sources(tenant, signal, i64::MIN..i64::MAX);
    let first = sources.iter().map(|source| source.time_range().0).min()?;
    let last = sources.iter().map(|source| source.time_range().1).max()?;
    if last >= time.end {
        return Some(format!(
            "there are later records, up to {}; --until gives a later end",
            Timestamp(last)
        ));
    }
    (first < time.start).then(|| {
        format!(
            "there are records from {} to {}; --since gives an earlier start",
            Timestamp(first),
            Timestamp(last)
        )
    })
}
