//! Queries against a store, from text to batches: what the HTTP routes and the alert engine call.

use std::ops::Range;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ql::{Field, Filter};
use record::{Timestamp, time_parameter};
use store::{Allowance, Store, View};

use crate::cell::Cell;
use crate::error::QueryError;
use crate::execute::{Execution, Sink};
use crate::limits::{QueryLimits, Summary};
use crate::looking::unknown_fields;
use crate::memory::{Account, Pool};
use crate::ordered::Cursor;
use crate::plan::Plan;
use crate::stages::Flow;

/// Records given out if the caller does not say; rows of an aggregate are then given out all.
pub const LIMIT_DEFAULT: usize = 100;
/// How far back a query looks if the caller does not say.
pub const SINCE_DEFAULT: &str = "15m";

/// How long is looked for a newest match to tell of.
const HINT_WITHIN: Duration = Duration::from_millis(500);

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
    /// Of whoever follows: only records with a larger record_seq.
    pub after: Option<u64>,
}

/// Tells how far records are complete: nothing older can still come.
#[derive(Clone)]
struct Watermark(Arc<dyn Fn(Timestamp) -> Timestamp + Send + Sync>);

impl std::fmt::Debug for Watermark {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Watermark")
    }
}

/// Answers queries over a store.
#[derive(Clone, Debug)]
pub struct Queries {
    watermark: Option<Watermark>,
    pub(crate) store: Arc<Store>,
    limits: QueryLimits,
    memory: Arc<Pool>,
}

/// A query that is checked and waits to be run.
#[derive(Debug)]
pub struct Prepared {
    pub(crate) plan: Plan,
    pub(crate) time: Range<i64>,
    pub(crate) tenant: String,
    limit: usize,
    below: Option<Cursor>,
}

impl Prepared {
    pub(crate) fn of_all_times(plan: Plan, tenant: &str, limit: usize) -> Self {
        Self::within(plan, tenant, i64::MIN..i64::MAX, limit)
    }

    /// Of a time that is known as numbers.
    pub(crate) fn within(plan: Plan, tenant: &str, time: Range<i64>, limit: usize) -> Self {
        Self { plan, time, tenant: tenant.to_owned(), limit, below: None }
    }
}

impl Queries {
    /// Queries over a store, each within `limits`, and all clones together within its bound of memory.
    pub fn new(store: Arc<Store>, limits: QueryLimits) -> Self {
        let memory = Pool::new(limits.memory_total_bytes_max);
        Self { watermark: None, store, limits, memory }
    }

    /// With somebody who knows how far records are complete at a time.
    #[must_use]
    pub fn with_watermark(
        mut self,
        watermark: impl Fn(Timestamp) -> Timestamp + Send + Sync + 'static,
    ) -> Self {
        self.watermark = Some(Watermark(Arc::new(watermark)));
        self
    }

    pub(crate) fn watermark_at(&self, now: Timestamp) -> Option<Timestamp> {
        self.watermark.as_ref().map(|watermark| watermark.0(now))
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

    /// Sources that queries looked into since the start, and the rows of those.
    pub(crate) fn scanned(&self) -> (u64, u64) {
        self.memory.scanned()
    }

    /// Runs a query on an account that others draw on as well. Where nothing matches, it says where there is something.
    pub(crate) fn run_on(
        &self,
        account: Arc<Account>,
        prepared: Prepared,
        sink: &mut Sink<'_>,
    ) -> Result<Summary, QueryError> {
        let view = self.store.view();
        let signal = prepared.plan.signal.name();
        let (filter, time) = (prepared.plan.filter.clone(), prepared.time.clone());
        let tenant = prepared.tenant.clone();
        let mut summary = self.run_over(&view, account, prepared, sink)?;
        if summary.matched == 0 {
            let unknown = unknown_fields(&filter, &view, &tenant, signal);
            summary.hint = match unknown.is_empty() {
                true => self.hint(&view, &tenant, signal, &filter, &time),
                false => None,
            };
            summary.warnings.extend(unknown);
        }
        Ok(summary)
    }

    /// Runs a query over one view.
    pub(crate) fn run_over(
        &self,
        view: &View,
        account: Arc<Account>,
        prepared: Prepared,
        sink: &mut Sink<'_>,
    ) -> Result<Summary, QueryError> {
        let Prepared { plan, time, tenant, limit, below } = prepared;
        let execution = Execution {
            view,
            tenant: &tenant,
            time,
            below,
            limit,
            limits: &self.limits,
            allowance: Arc::clone(&account) as Arc<dyn Allowance>,
            skipped: Mutex::default(),
            account,
        };
        execution.run(plan, sink)
    }

    /// Says where there is something when nothing was found in a range.
    fn hint(
        &self,
        view: &View,
        tenant: &str,
        signal: &'static str,
        filter: &Filter,
        time: &Range<i64>,
    ) -> Option<String> {
        let (sources, _) = view.sources(tenant, signal, i64::MIN..i64::MAX);
        if sources.is_empty() {
            return Some("nothing is stored yet".to_owned());
        }
        match self.newest_match(view, tenant, filter, signal) {
            Some(Some(newest)) if newest >= time.end => Some(format!(
                "the newest match is later, at {}; --until takes a later end",
                Timestamp(newest)
            )),
            Some(Some(newest)) if newest < time.start => {
                let age = Timestamp::now().0.saturating_sub(newest);
                let (told, since) = age_in_words(age);
                Some(format!("newest match {told} ago: --since {since}"))
            }
            Some(Some(_)) => None,
            Some(None) => Some("nothing matches at any time".to_owned()),
            // It took too long to find out.
            None => {
                let first = sources.iter().map(|source| source.time_range().0).min()?;
                (first < time.start).then(|| {
                    format!(
                        "there are records from {} on; --since gives an earlier start",
                        Timestamp(first)
                    )
                })
            }
        }
    }

    /// When the newest record of all times that matches was; `None` if that cannot be found out quickly.
    fn newest_match(
        &self,
        view: &View,
        tenant: &str,
        filter: &Filter,
        signal: &'static str,
    ) -> Option<Option<i64>> {
        let cancelled = Arc::new(AtomicBool::new(false));
        let limit_bytes = self.limits.memory_bytes_max;
        let account = self.memory.account(limit_bytes, HINT_WITHIN, &cancelled);
        let mut newest = None;
        let execution = Execution {
            view,
            tenant,
            time: i64::MIN..i64::MAX,
            below: None,
            limit: 1,
            limits: &self.limits,
            allowance: Arc::clone(&account) as Arc<dyn Allowance>,
            skipped: Mutex::default(),
            account,
        };
        let plan = Plan::of_filter(filter.clone(), signal);
        let ran = execution.run(plan, &mut |batch| {
            newest = match batch.column(&Field::Timestamp).first() {
                Some(Cell::Time(time)) => Some(time.0),
                _ => None,
            };
            Flow::Enough
        });
        ran.is_ok().then_some(newest)
    }
}

/// A length of time as a person says it, and as `--since` takes it, a little longer.
fn age_in_words(nanos: i64) -> (String, String) {
    let seconds = nanos / 1_000_000_000;
    let units =
        [(86_400, "day", 'd'), (3_600, "hour", 'h'), (60, "minute", 'm'), (1, "second", 's')];
    let (length, name, letter) =
        units.into_iter().find(|(length, ..)| seconds >= *length).unwrap_or(units[3]);
    let count = seconds / length;
    let plural = if count == 1 { "" } else { "s" };
    (format!("{count} {name}{plural}"), format!("{}{letter}", count + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_age_is_told_in_its_largest_unit() {
        for (seconds, told, since) in [
            (0, "0 seconds", "1s"),
            (59, "59 seconds", "60s"),
            (60, "1 minute", "2m"),
            (7_200, "2 hours", "3h"),
            (3 * 86_400 + 5, "3 days", "4d"),
        ] {
            assert_eq!(age_in_words(seconds * 1_000_000_000), (told.into(), since.into()));
        }
    }
}
