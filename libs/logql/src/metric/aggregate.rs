//! Aggregations: the series of a group → one series, or the first of them in an order.

use std::collections::BTreeMap;

use super::Row;
use crate::ast::{Grouping, VectorFunction};
use crate::labels::Labels;

/// Aggregates rows that are all of the same steps; `parameter` is how many `topk` and `bottomk` leave.
pub fn aggregate(
    function: VectorFunction,
    parameter: Option<u64>,
    grouping: Option<&Grouping>,
    rows: Vec<Row>,
) -> Vec<Row> {
    match function {
        VectorFunction::Sort => return sorted(rows, false),
        VectorFunction::SortDescending => return sorted(rows, true),
        _ => {}
    }
    let mut groups: BTreeMap<Labels, Vec<Row>> = BTreeMap::new();
    for row in rows {
        groups.entry(group_of(&row.labels, grouping)).or_default().push(row);
    }
    let count = usize::try_from(parameter.unwrap_or(1)).unwrap_or(usize::MAX);
    match function {
        VectorFunction::TopK | VectorFunction::BottomK => {
            let descends = function == VectorFunction::TopK;
            let chosen = groups.into_values().flat_map(|group| first_of(group, count, descends));
            sorted(chosen.collect(), descends)
        }
        _ => groups
            .into_iter()
            .map(|(labels, group)| Row { labels, values: folded(function, &group) })
            .collect(),
    }
}

fn group_of(labels: &Labels, grouping: Option<&Grouping>) -> Labels {
    match grouping {
        None => Labels::new(),
        Some(grouping) if grouping.without => labels.except(&grouping.labels),
        Some(grouping) => labels.only(&grouping.labels),
    }
}

fn folded(function: VectorFunction, group: &[Row]) -> Vec<Option<f64>> {
    let steps = group.first().map_or(0, |row| row.values.len());
    let at = |step: usize| group.iter().filter_map(move |row| row.values[step]);
    (0..steps).map(|step| fold(function, &mut at(step))).collect()
}

fn fold(function: VectorFunction, values: &mut dyn Iterator<Item = f64>) -> Option<f64> {
    let first = values.next()?;
    let (mut count, mut sum, mut min, mut max) = (1.0, first, first, first);
    let (mut mean, mut squares) = (first, 0.0);
    for value in values {
        count += 1.0;
        sum += value;
        min = min.min(value);
        max = max.max(value);
        let distance = value - mean;
        mean += distance / count;
        squares += distance * (value - mean);
    }
    Some(match function {
        VectorFunction::Avg => sum / count,
        VectorFunction::Min => min,
        VectorFunction::Max => max,
        VectorFunction::Count => count,
        VectorFunction::Stdvar => squares / count,
        VectorFunction::Stddev => f64::sqrt(squares / count),
        _ => sum,
    })
}

/// Leaves at each step the values of the first `count` rows.
fn first_of(mut group: Vec<Row>, count: usize, descends: bool) -> Vec<Row> {
    let steps = group.first().map_or(0, |row| row.values.len());
    for step in 0..steps {
        let mut present: Vec<(usize, f64)> = group
            .iter()
            .enumerate()
            .filter_map(|(at, row)| row.values[step].map(|value| (at, value)))
            .collect();
        present.sort_by(|(_, left), (_, right)| order(*left, *right, descends));
        for (at, _) in present.into_iter().skip(count) {
            group[at].values[step] = None;
        }
    }
    group.retain(|row| row.values.iter().any(Option::is_some));
    group
}

/// By the value of an instant; over many steps there is no such order, and the rows stay as they are.
fn sorted(mut rows: Vec<Row>, descends: bool) -> Vec<Row> {
    let value = |row: &Row| match row.values[..] {
        [value] => value,
        _ => None,
    };
    rows.sort_by(|left, right| match (value(left), value(right)) {
        (Some(left), Some(right)) => order(left, right, descends),
        _ => std::cmp::Ordering::Equal,
    });
    rows
}

/// What is not a number comes last.
fn order(left: f64, right: f64, descends: bool) -> std::cmp::Ordering {
    match (left.is_nan(), right.is_nan()) {
        (false, false) if descends => right.total_cmp(&left),
        (false, false) => left.total_cmp(&right),
        (left, right) => left.cmp(&right),
    }
}
