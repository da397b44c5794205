//! Operators between two sets of series, or a set and a number.
//!
//! Which series belong together is decided at each step by the labels that matching leaves, their signature, as in
//! Prometheus. Division by 0 is not a number, as in Loki.

use std::collections::{BTreeMap, HashMap};

use super::{MetricFault, Row};
use crate::ast::{BinaryOperator, Comparison, Group, Matching, Side};
use crate::labels::Labels;

const DUPLICATE: &str = "found duplicate series on one side of the binary operation, many-to-many matching not \
     allowed: matching labels must be unique on one side";
const MANY_TO_ONE: &str =
    "multiple matches for labels: many-to-one matching must be explicit (group_left/group_right)";
const AMBIGUOUS: &str = "multiple matches for labels: grouping labels must ensure unique matches";

/// The value of an operator; `None` if it is a comparison that does not hold and leaves out.
pub(super) fn operate(
    operator: BinaryOperator,
    returns_bool: bool,
    left: f64,
    right: f64,
) -> Option<f64> {
    Some(match operator {
        BinaryOperator::Compare(comparison) => {
            return compare(comparison, returns_bool, left, right);
        }
        BinaryOperator::Add => left + right,
        BinaryOperator::Subtract => left - right,
        BinaryOperator::Multiply => left * right,
        BinaryOperator::Divide if right == 0.0 => f64::NAN,
        BinaryOperator::Divide => left / right,
        BinaryOperator::Modulo => left % right,
        BinaryOperator::Power => left.powf(right),
        BinaryOperator::Or | BinaryOperator::And | BinaryOperator::Unless => return None,
    })
}

fn compare(comparison: Comparison, returns_bool: bool, left: f64, right: f64) -> Option<f64> {
    match (comparison.holds(left, right), returns_bool) {
        (holds, true) => Some(f64::from(u8::from(holds))),
        (holds, false) => holds.then_some(left),
    }
}

/// Applies an operator to each value and a number that stands on `side`. A comparison leaves the values of the series.
pub(super) fn with_number(
    operator: BinaryOperator,
    returns_bool: bool,
    rows: Vec<Row>,
    number: f64,
    side: Side,
) -> Vec<Row> {
    let filters = matches!(operator, BinaryOperator::Compare(_)) && !returns_bool;
    let apply = |value: f64| {
        let result = match side {
            Side::Left => operate(operator, returns_bool, number, value),
            Side::Right => operate(operator, returns_bool, value, number),
        };
        result.map(|result| if filters { value } else { result })
    };
    rows.into_iter()
        .map(|row| Row {
            labels: row.labels,
            values: row.values.into_iter().map(|value| value.and_then(apply)).collect(),
        })
        .collect()
}

/// Applies an operator to two sets of rows of the same steps.
///
/// # Errors
/// Several series match where there must be one.
pub fn combine(
    operator: BinaryOperator,
    returns_bool: bool,
    matching: Option<&Matching>,
    left: Vec<Row>,
    right: Vec<Row>,
) -> Result<Vec<Row>, MetricFault> {
    if operator.is_set() {
        return Ok(combine_sets(operator, matching, left, right));
    }
    let group = matching.and_then(|matching| matching.group.as_ref());
    let many_is_left = group.is_none_or(|group| group.side == Side::Left);
    let (many, one) = if many_is_left { (left, right) } else { (right, left) };
    let signatures = Signatures::of(matching, &many, &one);
    let steps = many.first().map_or(0, |row| row.values.len());
    let mut results = Results::new(steps);
    let mut places: HashMap<(usize, usize), usize> = HashMap::new();
    for step in 0..steps {
        let mut partners: Vec<Option<usize>> = vec![None; signatures.count];
        for (at, row) in one.iter().enumerate().filter(|(_, row)| row.values[step].is_some()) {
            if partners[signatures.second[at]].replace(at).is_some() {
                return Err(MetricFault::Matching(DUPLICATE));
            }
            debug_assert!(row.values.len() == steps);
        }
        let mut used = vec![false; signatures.count];
        for (at, row) in many.iter().enumerate() {
            let signature = signatures.first[at];
            let (Some(value), Some(partner)) = (row.values[step], partners[signature]) else {
                continue;
            };
            let Some(other) = one[partner].values[step] else { continue };
            if std::mem::replace(&mut used[signature], true) && group.is_none() {
                return Err(MetricFault::Matching(MANY_TO_ONE));
            }
            let (first, second) = if many_is_left { (value, other) } else { (other, value) };
            let Some(result) = operate(operator, returns_bool, first, second) else { continue };
            let place = *places.entry((at, partner)).or_insert_with(|| {
                results.place(result_labels(matching, group, &row.labels, &one[partner].labels))
            });
            if !results.set(place, step, result) {
                return Err(MetricFault::Matching(AMBIGUOUS));
            }
        }
    }
    Ok(results.rows())
}

fn combine_sets(
    operator: BinaryOperator,
    matching: Option<&Matching>,
    left: Vec<Row>,
    right: Vec<Row>,
) -> Vec<Row> {
    let signatures = Signatures::of(matching, &left, &right);
    let steps = left.first().or(right.first()).map_or(0, |row| row.values.len());
    let mut results = Results::new(steps);
    let mut places = |rows: &[Row]| -> Vec<usize> {
        rows.iter().map(|row| results.place(row.labels.clone())).collect()
    };
    let (left_places, right_places) = (places(&left), places(&right));
    for step in 0..steps {
        let present = |rows: &[Row], of: &[usize]| {
            let mut present = vec![false; signatures.count];
            for (row, signature) in rows.iter().zip(of) {
                present[*signature] |= row.values[step].is_some();
            }
            present
        };
        let in_left = present(&left, &signatures.first);
        let in_right = present(&right, &signatures.second);
        for ((row, signature), place) in left.iter().zip(&signatures.first).zip(&left_places) {
            let stays = match operator {
                BinaryOperator::And => in_right[*signature],
                BinaryOperator::Unless => !in_right[*signature],
                _ => true,
            };
            if let Some(value) = row.values[step].filter(|_| stays) {
                results.set(*place, step, value);
            }
        }
        if operator != BinaryOperator::Or {
            continue;
        }
        for ((row, signature), place) in right.iter().zip(&signatures.second).zip(&right_places) {
            if let Some(value) = row.values[step].filter(|_| !in_left[*signature]) {
                results.set(*place, step, value);
            }
        }
    }
    results.rows()
}

/// Numbers for the labels by which rows match.
struct Signatures {
    first: Vec<usize>,
    second: Vec<usize>,
    count: usize,
}

impl Signatures {
    fn of(matching: Option<&Matching>, first: &[Row], second: &[Row]) -> Self {
        let mut numbers: BTreeMap<Labels, usize> = BTreeMap::new();
        let mut number = |row: &Row| {
            let next = numbers.len();
            *numbers.entry(matched(matching, &row.labels)).or_insert(next)
        };
        let first = first.iter().map(&mut number).collect();
        let second = second.iter().map(&mut number).collect();
        Self { first, second, count: numbers.len() }
    }
}

fn matched(matching: Option<&Matching>, labels: &Labels) -> Labels {
    match matching {
        None => labels.clone(),
        Some(matching) if matching.on => labels.only(&matching.labels),
        Some(matching) => labels.except(&matching.labels),
    }
}

fn result_labels(
    matching: Option<&Matching>,
    group: Option<&Group>,
    many: &Labels,
    one: &Labels,
) -> Labels {
    let Some(group) = group else { return matched(matching, many) };
    let mut labels = many.clone();
    for name in &group.include {
        match one.get(name) {
            Some(value) => labels.set(name, value),
            None => labels.remove(name),
        }
    }
    labels
}

/// Rows by their labels.
struct Results {
    steps: usize,
    places: BTreeMap<Labels, usize>,
    rows: Vec<Row>,
}

impl Results {
    fn new(steps: usize) -> Self {
        Self { steps, places: BTreeMap::new(), rows: Vec::new() }
    }

    /// The place of the row with these labels, which is made if there is none.
    fn place(&mut self, labels: Labels) -> usize {
        let next = self.rows.len();
        let place = *self.places.entry(labels.clone()).or_insert(next);
        if place == next {
            self.rows.push(Row { labels, values: vec![None; self.steps] });
        }
        place
    }

    /// Whether there was no value yet.
    fn set(&mut self, place: usize, step: usize, value: f64) -> bool {
        self.rows[place].values[step].replace(value).is_none()
    }

    fn rows(mut self) -> Vec<Row> {
        self.rows.sort_by(|left, right| left.labels.cmp(&right.labels));
        self.rows
    }
}
