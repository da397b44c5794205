//! Queries against a store, from text to batches: what the HTTP routes and the alert engine call.

use std::ops::Range;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};

use record::{Timestamp, time_parameter};
use store::{Allowance, Store, View};

use crate::error::QueryError;
use crate::execute::{Execution, Sink};
use crate::limits::{QueryLimits, Summary};
use crate::memory::{Account, Pool};
use crate::ordered::Cursor;
use crate::plan::Plan;

/// Records given out if the caller does not say; rows of an aggregate are then given out all.
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
    /// Records or rows at most; see [`LIMIT_DEFAULT`].
    pub limit: Option<usize>,
    /// Only records below this place, which the [summary](Summary::next) of another answer told.
    pub below: Option<Cursor>,
    /// Whether to tell on the way how far it is.
    pub progress: bool,
}

/// Answers queries over a store.
#[derive(Clone, Debug)]
pub struct Queries {
    store: Arc<Store>,
    limits: QueryLimits,
    memory: Arc<Pool>,
}

/// A query that is checked and waits to be run.
#[derive(Debug)]
pub struct Prepared {
    plan: Plan,
    time: Range<i64>,
    tenant: String,
    limit: usize,
    below: Option<Cursor>,
}

impl Queries {
    /// Queries over a store, each within `limits`, and all clones together within its bound of memory.
    pub fn new(store: Arc<Store>, limits: QueryLimits) -> Self {
        let memory = Pool::new(limits.memory_total_bytes_max);
        Self { store, limits, memory }
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
        let default = if plan.aggregates() { usize::MAX } else { LIMIT_DEFAULT };
        let limit = request.limit.unwrap_or(default).min(self.limits.rows_max);
        if request.below.is_some() && !plan.pages() {
            let detail =
                "goes with a filter alone, and with stages that give a record for a record";
            return Err(QueryError::Parameter { name: "below", detail: detail.to_owned() });
        }
        let (tenant, below) = (request.tenant.clone(), request.below);
        Ok(Prepared { plan, time: since.0..until.0, tenant, limit, below })
    }

    /// Runs a query; blocks. Results go to `sink` as they come. It ends within a block of rows after `cancelled` is
    /// set.
    ///
    /// # Errors
    /// When a bound is reached, `cancelled` is set, or the store cannot be read.
    pub fn run(
        &self,
        prepared: Prepared,
        cancelled: &Arc<AtomicBool>,
        sink: &mut Sink<'_>,
    ) -> Result<Summary, QueryError> {
        self.run_on(self.account(cancelled), prepared, sink)
    }

    /// What a query may use that begins now.
    pub(crate) fn account(&self, cancelled: &Arc<AtomicBool>) -> Arc<Account> {
        self.memory.account(self.limits.memory_bytes_max, self.limits.deadline, cancelled)
    }

    /// Memory that all queries hold now.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.memory.used_bytes()
    }

    /// Runs a query on an account that others draw on as well.
    pub(crate) fn run_on(
        &self,
        account: Arc<Account>,
        prepared: Prepared,
        sink: &mut Sink<'_>,
    ) -> Result<Summary, QueryError> {
        let view = self.store.view();
        let Prepared { plan, time, tenant, limit, below } = prepared;
        let signal = plan.signal.name();
        let execution = Execution {
            view: &view,
            tenant: &tenant,
            time: time.clone(),
            below,
            limit,
            limits: &self.limits,
            allowance: Arc::clone(&account) as Arc<dyn Allowance>,
            skipped: Mutex::default(),
            account,
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
    let (mut sources, _) = view.sources(tenant, signal, i64::MIN..i64::MAX);
    // Times of records that are deleted are not to be told.
    sources.retain(|source| !source.is_screened());
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
