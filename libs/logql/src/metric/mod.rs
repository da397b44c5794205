//! Metric queries: lines of a source → series of numbers, one a step.
//!
//! ```text
//! step t sees the lines of (t - offset - range, t - offset]
//! ──────────┬───────────────────┬──▶ time        range: lines → numbers a series     aggregate: series → fewer
//!       t - range               t                binary: two → one                   evaluate: the whole expression
//! ```
//!
//! The source hands out the lines of a selector, in any order; the stages of the query are applied here, but for those
//! that the source applies. What is held are sums for each series and step, and no lines; only a quantile and the rate of
//! a counter hold the values of their windows.

mod aggregate;
mod binary;
mod collected;
mod evaluate;
mod range;
mod samples;
mod window;

use thiserror::Error;

pub use aggregate::aggregate;
pub use binary::combine;
pub use collected::Collected;
pub use evaluate::evaluate;

use crate::ast::LogQuery;
use crate::fault::Fault;
use crate::labels::Labels;

/// Most steps of a query.
pub const STEPS_MAX: usize = 11_001;

/// A number at a time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    /// Nanoseconds since the epoch.
    pub time_ns: i64,
    /// May be infinite or not a number.
    pub value: f64,
}

/// What is known of a set of labels: points in the order of time.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)]
pub struct Series {
    pub labels: Labels,
    pub points: Vec<Point>,
}

/// What a query comes to.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// The same number at each step.
    Scalar(Vec<Point>),
    /// Series by their labels, or in the order that the query asks for; none without points.
    Series(Vec<Series>),
}

/// The times at which a query is evaluated: first, first + step, … up to last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Steps {
    first_ns: i64,
    step_ns: i64,
    count: usize,
}

impl Steps {
    /// One time.
    pub fn instant(time_ns: i64) -> Self {
        Self { first_ns: time_ns, step_ns: 1, count: 1 }
    }

    /// Times from `start_ns` to `end_ns`, both included.
    ///
    /// # Errors
    /// The step is not above 0, the end is before the start, or there are more than [`STEPS_MAX`].
    pub fn range(start_ns: i64, end_ns: i64, step_ns: i64) -> Result<Self, MetricFault> {
        if step_ns <= 0 || end_ns < start_ns {
            return Err(MetricFault::Steps);
        }
        let length = i128::from(end_ns) - i128::from(start_ns);
        match usize::try_from(length / i128::from(step_ns) + 1) {
            Ok(count) if count <= STEPS_MAX => Ok(Self { first_ns: start_ns, step_ns, count }),
            _ => Err(MetricFault::TooManySteps),
        }
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.count
    }

    /// All of them, in order.
    pub fn times(&self) -> impl Iterator<Item = i64> + use<> {
        let Self { first_ns, step_ns, count } = *self;
        (0..count as i64).map(move |at| first_ns.saturating_add(at.saturating_mul(step_ns)))
    }
}

/// How much a query may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Series of the answer.
    pub series_max: usize,
    /// Series of each part of the expression.
    pub parts_max: usize,
    /// Values of all series and windows together, 16 bytes each.
    pub values_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { series_max: 500, parts_max: 20_000, values_max: 16_000_000 }
    }
}

/// Which lines are asked for: those that match the selector of `query`, after `after_ns`, up to and including `until_ns`.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs)]
pub struct Wanted<'q> {
    /// Its stages are applied to what comes; a source may leave out what they do not keep.
    pub query: &'q LogQuery,
    pub after_ns: i64,
    pub until_ns: i64,
}

/// Where lines come from.
pub trait Source {
    /// Which stages of the query it applies itself, so that lines come only if they pass them; none where it is not said.
    fn applies(&self, _query: &LogQuery) -> Vec<bool> {
        Vec::new()
    }

    /// Lets `collected` take the lines, each once, in any order.
    ///
    /// # Errors
    /// What it answers, or [`MetricFault::Source`].
    fn collect(
        &mut self,
        wanted: &Wanted<'_>,
        collected: Collected,
    ) -> Result<Collected, MetricFault>;

    /// Is asked now and then whether to go on.
    ///
    /// # Errors
    /// [`MetricFault::Source`], if not.
    fn check(&mut self) -> Result<(), MetricFault> {
        Ok(())
    }

    /// Is told how many values of 16 bytes the evaluation holds beside what is collected.
    ///
    /// # Errors
    /// [`MetricFault::Source`], if that is too much.
    fn holds(&mut self, _values: usize) -> Result<(), MetricFault> {
        Ok(())
    }
}

/// Why a query has no answer.
#[derive(Debug, Error)]
pub enum MetricFault {
    /// It has more series than [`Limits::series_max`], or a part of it more than [`Limits::parts_max`].
    #[error(
        "maximum of series ({0}) reached for a single query; ask for fewer streams, a shorter time, or aggregate by fewer labels"
    )]
    TooManySeries(usize),
    /// It would hold more values than [`Limits::values_max`].
    #[error(
        "maximum of values ({0}) reached for a single query; ask for fewer streams, a shorter time or a longer step"
    )]
    TooManyValues(usize),
    /// More than [`STEPS_MAX`].
    #[error(
        "exceeded maximum resolution of 11,000 points per time series; make the step longer or the time shorter"
    )]
    TooManySteps,
    /// No steps at all.
    #[error("the step has to be above 0, and the end not before the start")]
    Steps,
    /// A line has an error that no stage dropped.
    #[error(
        "pipeline error: '{error}' for series: '{labels}'; filter such lines with | __error__=\"\", or take them with | drop __error__"
    )]
    #[allow(missing_docs)]
    Pipeline { error: String, labels: Labels },
    /// Series of two operands cannot be told apart.
    #[error("{0}")]
    Matching(&'static str),
    /// A stage or an expression is wrong.
    #[error(transparent)]
    Query(#[from] Fault),
    /// The source could not go on.
    #[error(transparent)]
    Source(Box<dyn std::error::Error + Send + Sync>),
}

/// What is left of [`Limits::values_max`].
#[derive(Debug)]
struct Budget {
    left: usize,
    max: usize,
}

impl Budget {
    fn new(limits: &Limits) -> Self {
        Self { left: limits.values_max, max: limits.values_max }
    }

    fn take(&mut self, values: usize) -> Result<(), MetricFault> {
        match self.left.checked_sub(values) {
            Some(left) => {
                self.left = left;
                Ok(())
            }
            None => Err(MetricFault::TooManyValues(self.max)),
        }
    }

    fn used(&self) -> usize {
        self.max - self.left
    }
}

/// A series with a place for each step.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// Its labels, none of them empty.
    pub labels: Labels,
    /// One a step; `None` where there is no point.
    pub values: Vec<Option<f64>>,
}

#[cfg(test)]
mod tests;
