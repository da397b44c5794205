//! A whole metric expression → its answer.

use super::aggregate::aggregate;
use super::binary::{combine, operate, with_number};
use super::range::evaluate_range;
use super::{Answer, Budget, Limits, MetricFault, Point, Row, Series, Source, Steps};
use crate::ast::{
    Binary, BinaryOperator, Grouping, LabelReplace, Metric, RangeAggregation, RangeFunction, Side,
    VectorAggregation, VectorFunction,
};
use crate::fault::Fault;
use crate::labels::Labels;
use crate::pipeline::anchored_regex;

/// Evaluates an expression at each step, with lines of `source`.
///
/// # Errors
/// More series than the limit, a line with an error, series that cannot be matched, or what the source says.
pub fn evaluate(
    metric: &Metric,
    steps: &Steps,
    limits: &Limits,
    source: &mut dyn Source,
) -> Result<Answer, MetricFault> {
    let mut evaluation = Evaluation { steps, limits, budget: Budget::new(limits), source };
    let point = |(time_ns, value): (i64, f64)| Point { time_ns, value };
    let rows = match evaluation.value(metric)? {
        Value::Number(number) => {
            return Ok(Answer::Scalar(
                steps.times().map(|time_ns| point((time_ns, number))).collect(),
            ));
        }
        Value::Rows(rows) => rows,
    };
    let series = rows.into_iter().map(|row| {
        let points =
            steps.times().zip(row.values).filter_map(|(time_ns, value)| Some((time_ns, value?)));
        Series { labels: row.labels, points: points.map(point).collect() }
    });
    let series: Vec<Series> = series.filter(|series| !series.points.is_empty()).collect();
    match series.len() > limits.series_max {
        true => Err(MetricFault::TooManySeries(limits.series_max)),
        false => Ok(Answer::Series(series)),
    }
}

enum Value {
    Number(f64),
    Rows(Vec<Row>),
}

struct Evaluation<'e> {
    steps: &'e Steps,
    limits: &'e Limits,
    budget: Budget,
    source: &'e mut dyn Source,
}

impl Evaluation<'_> {
    fn value(&mut self, metric: &Metric) -> Result<Value, MetricFault> {
        Ok(match metric {
            Metric::Literal(number) => Value::Number(*number),
            Metric::Vector(number) => Value::Rows(vec![self.constant(*number)]),
            Metric::Range(aggregation) => Value::Rows(self.range(aggregation, None)?),
            Metric::Aggregate(aggregation) => Value::Rows(self.aggregation(aggregation)?),
            Metric::Binary(binary) => return self.binary(binary),
            Metric::LabelReplace(replace) => {
                let rows = self.rows(&replace.of.node)?;
                Value::Rows(label_replace(replace, rows)?)
            }
        })
    }

    fn constant(&self, number: f64) -> Row {
        Row { labels: Labels::new(), values: vec![Some(number); self.steps.count()] }
    }

    fn rows(&mut self, metric: &Metric) -> Result<Vec<Row>, MetricFault> {
        Ok(match self.value(metric)? {
            Value::Number(number) => vec![self.constant(number)],
            Value::Rows(rows) => rows,
        })
    }

    fn range(
        &mut self,
        aggregation: &RangeAggregation,
        summed: Option<&Grouping>,
    ) -> Result<Vec<Row>, MetricFault> {
        let Self { steps, limits, budget, source } = self;
        evaluate_range(aggregation, summed, steps, limits, budget, *source)
    }

    fn aggregation(&mut self, aggregation: &VectorAggregation) -> Result<Vec<Row>, MetricFault> {
        let VectorAggregation { function, parameter, of, grouping } = aggregation;
        // A sum of sums is made at once: each line may be a series of its own before it.
        if *function == VectorFunction::Sum
            && let Metric::Range(range) = &of.node
            && range.grouping.is_none()
            && is_sum(range.function)
        {
            let all = Grouping { without: false, labels: Vec::new() };
            let grouping = grouping.as_ref().unwrap_or(&all);
            return self.range(range, Some(grouping));
        }
        let rows = self.rows(&of.node)?;
        Ok(aggregate(*function, *parameter, grouping.as_ref(), rows))
    }

    fn binary(&mut self, binary: &Binary) -> Result<Value, MetricFault> {
        let Binary { operator, returns_bool, matching, left, right } = binary;
        let (left, right) = (self.value(&left.node)?, self.value(&right.node)?);
        Ok(match (left, right) {
            (Value::Number(left), Value::Number(right)) => {
                // There is nothing that a comparison of two numbers could leave out.
                let returns_bool = *returns_bool || matches!(operator, BinaryOperator::Compare(_));
                Value::Number(operate(*operator, returns_bool, left, right).unwrap_or(f64::NAN))
            }
            (Value::Rows(rows), Value::Number(number)) if !operator.is_set() => {
                Value::Rows(with_number(*operator, *returns_bool, rows, number, Side::Right))
            }
            (Value::Number(number), Value::Rows(rows)) if !operator.is_set() => {
                Value::Rows(with_number(*operator, *returns_bool, rows, number, Side::Left))
            }
            (left, right) => {
                let rows = |value: Value| match value {
                    Value::Number(number) => vec![self.constant(number)],
                    Value::Rows(rows) => rows,
                };
                let (left, right) = (rows(left), rows(right));
                Value::Rows(combine(*operator, *returns_bool, matching.as_ref(), left, right)?)
            }
        })
    }
}

/// Whether the function of two sets of lines is the sum of that of each.
fn is_sum(function: RangeFunction) -> bool {
    matches!(
        function,
        RangeFunction::Count
            | RangeFunction::Rate
            | RangeFunction::Bytes
            | RangeFunction::BytesRate
            | RangeFunction::Sum
    )
}

fn label_replace(replace: &LabelReplace, mut rows: Vec<Row>) -> Result<Vec<Row>, MetricFault> {
    let regex = anchored_regex(&replace.regex).map_err(Fault::whole)?;
    for row in &mut rows {
        let source = row.labels.get(&replace.source).unwrap_or_default();
        let Some(captures) = regex.captures(source) else { continue };
        let mut value = String::new();
        captures.expand(&replace.replacement, &mut value);
        match value.is_empty() {
            true => row.labels.remove(&replace.destination),
            false => row.labels.set(replace.destination.clone(), value),
        }
    }
    let mut labels: Vec<&Labels> = rows.iter().map(|row| &row.labels).collect();
    labels.sort();
    match labels.windows(2).any(|pair| pair[0] == pair[1]) {
        true => Err(MetricFault::Matching("vector cannot contain metrics with the same labelset")),
        false => Ok(rows),
    }
}
