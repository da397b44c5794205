//! Functions over ranges: the lines of a selector → a number for each series and step.

use super::collected::{Collected, Held};
use super::samples::Samples;
use super::window::Panes;
use super::{Budget, Limits, MetricFault, Row, Source, Steps, Wanted};
use crate::ast::{Grouping, MatchOperator, RangeAggregation, RangeFunction};
use crate::labels::Labels;

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
    let query = &aggregation.range.query.node;
    let applied = source.applies(query);
    let nothing = Collected::new(aggregation, summed, &applied, steps, limits, budget.left)?;
    let (after_ns, until_ns) = nothing.time();
    let collected = source.collect(&Wanted { query, after_ns, until_ns }, nothing)?;
    let (series, panes) = collected.into_series();
    budget.take(series.len().saturating_mul(steps.count()))?;
    source.holds(budget.used())?;
    if aggregation.function == RangeFunction::Absent {
        return Ok(absent(aggregation, panes.panes(), &series));
    }
    let row = |(labels, held): (Labels, Held)| {
        let values = values(aggregation, steps, panes.panes(), held, source)?;
        Ok(Row { labels, values })
    };
    let mut rows: Vec<Row> = series.into_iter().map(row).collect::<Result<_, MetricFault>>()?;
    rows.sort_by(|left, right| left.labels.cmp(&right.labels));
    Ok(rows)
}

fn values(
    aggregation: &RangeAggregation,
    steps: &Steps,
    panes: &Panes,
    held: Held,
    source: &mut dyn Source,
) -> Result<Vec<Option<f64>>, MetricFault> {
    source.check()?;
    let range = &aggregation.range;
    if aggregation.function == RangeFunction::Quantile {
        let quantile = aggregation.parameter.unwrap_or_default();
        let window = |(first, behind): &(usize, usize)| {
            source.check()?;
            let values = held.values.range(*first..*behind).flat_map(|(_, values)| values);
            Ok(quantile_of(quantile, values.map(|(_, value)| *value).collect()))
        };
        return panes.windows().iter().map(window).collect();
    }
    let mut samples: Vec<(usize, Samples)> = held.samples.into_iter().collect();
    samples.extend(
        held.values.into_iter().filter_map(|(pane, values)| Some((pane, in_order(values)?))),
    );
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
    let windows = steps.times().zip(windows);
    Ok(windows.map(|(time_ns, samples)| value(samples?, time_ns)).collect())
}

/// Samples of a counter, as they followed each other.
fn in_order(mut values: Vec<(i64, f64)>) -> Option<Samples> {
    values.sort_by(|left, right| left.0.cmp(&right.0).then_with(|| left.1.total_cmp(&right.1)));
    let samples = values.into_iter().map(|(time_ns, value)| Samples::alike(time_ns, value, 1));
    samples.reduce(Samples::add)
}

/// 1 where there is no line, under the labels that the selector says outright.
fn absent(aggregation: &RangeAggregation, panes: &Panes, all: &[(Labels, Held)]) -> Vec<Row> {
    let held: Vec<(usize, ())> =
        all.iter().flat_map(|(_, held)| held.samples.keys().map(|pane| (*pane, ()))).collect();
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
