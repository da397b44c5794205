//! Functions over ranges: the lines of a selector → a number for each series and step.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, HashMap};

use super::window::Panes;
use super::{Budget, Limits, MetricFault, Row, Source, Steps, Wanted};
use crate::ast::{Grouping, MatchOperator, RangeAggregation, RangeFunction};
use crate::labels::Labels;
use crate::pipeline::{ERROR_DETAILS_LABEL, ERROR_LABEL, Kept, Outcome, Pipeline};

/// What a pane counts for, in values of 16 bytes.
const PANE_VALUES: usize = 8;

/// What is known of the samples of a pane or a window; two of them that follow each other can be added.
#[derive(Clone, Copy, Debug)]
struct Samples {
    count: f64,
    sum: f64,
    mean: f64,
    /// Sum of the squared distances from the mean.
    squares: f64,
    min: f64,
    max: f64,
    first: (i64, f64),
    last: (i64, f64),
    /// How much a counter has grown, its restarts taken into account.
    growth: f64,
}

impl Samples {
    fn one(time_ns: i64, value: f64) -> Self {
        let at = (time_ns, value);
        Self {
            count: 1.0,
            sum: value,
            mean: value,
            squares: 0.0,
            min: value,
            max: value,
            first: at,
            last: at,
            growth: 0.0,
        }
    }

    fn add(self, later: Self) -> Self {
        let count = self.count + later.count;
        let distance = later.mean - self.mean;
        let grown = match later.first.1 >= self.last.1 {
            true => later.first.1 - self.last.1,
            // It began again at 0.
            false => later.first.1,
        };
        Self {
            count,
            sum: self.sum + later.sum,
            mean: self.mean + distance * later.count / count,
            squares: self.squares
                + later.squares
                + distance * distance * self.count * later.count / count,
            min: self.min.min(later.min),
            max: self.max.max(later.max),
            first: self.first,
            last: later.last,
            growth: self.growth + later.growth + grown,
        }
    }

    /// The rate of a counter a second, as Prometheus extrapolates it to the borders of the window.
    fn counter_rate(&self, end_ns: i64, range_ns: i64) -> Option<f64> {
        let seconds = |from_ns: i64, to_ns: i64| to_ns.saturating_sub(from_ns) as f64 / 1e9;
        let sampled = seconds(self.first.0, self.last.0);
        if self.count < 2.0 || sampled <= 0.0 {
            return None;
        }
        let mut before = seconds(end_ns.saturating_sub(range_ns), self.first.0);
        let behind = seconds(self.last.0, end_ns);
        if self.growth > 0.0 && self.first.1 >= 0.0 {
            // A counter does not come from below 0.
            before = before.min(sampled * (self.first.1 / self.growth));
        }
        let average = sampled / (self.count - 1.0);
        let reached = |gap: f64| if gap < average * 1.1 { gap } else { average / 2.0 };
        let extrapolated = sampled + reached(before) + reached(behind);
        Some(self.growth * (extrapolated / sampled) / (range_ns as f64 / 1e9))
    }
}

/// What a series holds.
#[derive(Debug, Default)]
struct Held {
    samples: BTreeMap<usize, Samples>,
    /// Of a quantile only.
    values: BTreeMap<usize, Vec<f64>>,
}

/// Evaluates a range function. Where the sum over series is all that is wanted, `summed` says of which.
///
/// # Errors
/// Too many series, a line with an error, or what the source says.
pub(super) fn evaluate_range(
    aggregation: &RangeAggregation,
    summed: Option<&Grouping>,
    steps: &Steps,
    limits: &Limits,
    budget: &mut Budget,
    source: &mut dyn Source,
) -> Result<Vec<Row>, MetricFault> {
    let range = &aggregation.range;
    let query = &range.query.node;
    let pipeline = Pipeline::compile(query)?;
    let panes = Panes::new(steps, range.range_ns, range.offset_ns);
    let wanted = Wanted { query, after_ns: panes.after_ns(), until_ns: panes.until_ns() };
    let unwrapped = query.unwrapped().map(|unwrap| unwrap.label.as_str());
    let mut places: HashMap<Labels, usize> = HashMap::new();
    let mut all: Vec<Held> = Vec::new();
    let mut taken = 0;
    source.lines(&wanted, &mut |entry| {
        let Some(pane) = panes.of(entry.timestamp_ns) else { return Ok(()) };
        let Outcome::Kept(kept) = pipeline.apply(entry) else { return Ok(()) };
        if let Some(error) = kept.labels.error() {
            let mut labels = kept.labels.all();
            labels.remove(ERROR_LABEL);
            labels.remove(ERROR_DETAILS_LABEL);
            return Err(MetricFault::Pipeline { error: error.to_owned(), labels });
        }
        let labels = series_of(aggregation, summed, unwrapped, &kept);
        let next = all.len();
        let place = *places.entry(labels).or_insert(next);
        if place == next {
            if next == limits.series_max {
                return Err(MetricFault::TooManySeries(limits.series_max));
            }
            all.push(Held::default());
        }
        let value = value_of(aggregation.function, &kept);
        if aggregation.function == RangeFunction::Quantile {
            budget.take(1)?;
            taken += 1;
            all[place].values.entry(pane).or_default().push(value);
            return Ok(());
        }
        let sample = Samples::one(entry.timestamp_ns, value);
        match all[place].samples.entry(pane) {
            Entry::Occupied(mut held) => *held.get_mut() = held.get().add(sample),
            Entry::Vacant(free) => {
                budget.take(PANE_VALUES)?;
                taken += PANE_VALUES;
                free.insert(sample);
            }
        }
        Ok(())
    })?;
    budget.take(all.len().saturating_mul(steps.count()))?;
    budget.give_back(taken);
    if aggregation.function == RangeFunction::Absent {
        return Ok(absent(aggregation, &panes, all));
    }
    let mut rows: Vec<Row> = places
        .into_iter()
        .map(|(labels, place)| Row {
            labels,
            values: values(aggregation, steps, &panes, &all[place]),
        })
        .collect();
    rows.sort_by(|left, right| left.labels.cmp(&right.labels));
    Ok(rows)
}

/// The labels of the series that a line belongs to.
fn series_of(
    aggregation: &RangeAggregation,
    summed: Option<&Grouping>,
    unwrapped: Option<&str>,
    kept: &Kept<'_>,
) -> Labels {
    let by = |grouping: &Grouping| -> Labels {
        let value =
            |name: &String| kept.labels.get(name).map(|value| (name.clone(), value.to_owned()));
        grouping.labels.iter().filter_map(value).filter(|(_, value)| !value.is_empty()).collect()
    };
    match (&aggregation.grouping, summed) {
        _ if aggregation.function == RangeFunction::Absent => return Labels::new(),
        (Some(grouping), _) | (None, Some(grouping)) if !grouping.without => return by(grouping),
        _ => {}
    }
    // What is unwrapped is the value, and so no label.
    let is_label = |name: &str, value: &str| {
        !value.is_empty()
            && name != ERROR_LABEL
            && name != ERROR_DETAILS_LABEL
            && Some(name) != unwrapped
    };
    let pairs = kept.labels.iter().filter(|(name, value, _)| is_label(name, value));
    let labels: Labels = pairs.map(|(name, value, _)| (name, value)).collect();
    match aggregation.grouping.as_ref().or(summed) {
        Some(grouping) => labels.except(&grouping.labels),
        None => labels,
    }
}

fn value_of(function: RangeFunction, kept: &Kept<'_>) -> f64 {
    match function {
        RangeFunction::Bytes | RangeFunction::BytesRate => kept.line.len() as f64,
        _ => kept.value.unwrap_or(1.0),
    }
}

fn values(
    aggregation: &RangeAggregation,
    steps: &Steps,
    panes: &Panes,
    held: &Held,
) -> Vec<Option<f64>> {
    let range = &aggregation.range;
    if aggregation.function == RangeFunction::Quantile {
        let quantile = aggregation.parameter.unwrap_or_default();
        let window = |(first, behind): &(usize, usize)| {
            let values = held.values.range(*first..*behind).flat_map(|(_, values)| values);
            quantile_of(quantile, values.copied().collect())
        };
        return panes.windows().iter().map(window).collect();
    }
    let samples: Vec<(usize, Samples)> =
        held.samples.iter().map(|(pane, one)| (*pane, *one)).collect();
    let windows = panes.sums(&samples, Samples::add);
    let seconds = range.range_ns as f64 / 1e9;
    let value = |samples: Samples, time_ns: i64| match aggregation.function {
        RangeFunction::Count => Some(samples.count),
        RangeFunction::Rate | RangeFunction::BytesRate => Some(samples.sum / seconds),
        RangeFunction::RateCounter => {
            samples.counter_rate(time_ns.saturating_sub(range.offset_ns), range.range_ns)
        }
        RangeFunction::Bytes | RangeFunction::Sum => Some(samples.sum),
        RangeFunction::Avg => Some(samples.mean),
        RangeFunction::Min => Some(samples.min),
        RangeFunction::Max => Some(samples.max),
        RangeFunction::Stdvar => Some(samples.squares / samples.count),
        RangeFunction::Stddev => Some((samples.squares / samples.count).sqrt()),
        RangeFunction::First => Some(samples.first.1),
        RangeFunction::Last => Some(samples.last.1),
        RangeFunction::Quantile | RangeFunction::Absent => None,
    };
    steps.times().zip(windows).map(|(time_ns, samples)| value(samples?, time_ns)).collect()
}

/// 1 where there is no line, under the labels that the selector says outright.
fn absent(aggregation: &RangeAggregation, panes: &Panes, all: Vec<Held>) -> Vec<Row> {
    let held: Vec<(usize, ())> =
        all.iter().flat_map(|held| held.samples.keys().map(|pane| (*pane, ()))).collect();
    let windows = panes.sums(&held, |(), ()| ());
    let values = windows.into_iter().map(|lines| lines.is_none().then_some(1.0)).collect();
    let matchers = aggregation.range.query.node.matchers.iter().map(|matcher| &matcher.node);
    let equal =
        matchers.filter(|one| one.operator == MatchOperator::Equal && !one.value.is_empty());
    let labels = equal.map(|one| (one.name.as_str(), one.value.as_str())).collect();
    vec![Row { labels, values }]
}

/// The quantile, between the two values nearest to it; beyond 0 and 1 it is infinite.
fn quantile_of(quantile: f64, mut values: Vec<f64>) -> Option<f64> {
    let last = values.len().checked_sub(1)?;
    if quantile.is_nan() {
        return Some(f64::NAN);
    }
    if !(0.0..=1.0).contains(&quantile) {
        return Some(if quantile < 0.0 { f64::NEG_INFINITY } else { f64::INFINITY });
    }
    values.sort_by(f64::total_cmp);
    let rank = quantile * last as f64;
    let (lower, weight) = (rank.floor() as usize, rank.fract());
    let upper = (lower + 1).min(last);
    Some(values[lower] * (1.0 - weight) + values[upper] * weight)
}
