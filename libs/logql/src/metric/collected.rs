//! What a range function holds of the lines that it has seen: sums for each series and pane.
//!
//! Lines may come in any order, and shared out to twins, which are brought together again.

use std::collections::btree_map::Entry as Place;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::samples::Samples;
use super::window::Panes;
use super::{Limits, MetricFault, Steps};
use crate::ast::{Grouping, RangeAggregation, RangeFunction};
use crate::labels::Labels;
use crate::pipeline::{
    ERROR_DETAILS_LABEL, ERROR_LABEL, Entry, Kept, Needs, Origin, Outcome, Pipeline, needs,
};

/// What a pane counts for, in values of 16 bytes.
const PANE_VALUES: usize = 8;
/// Bytes of a value, of which [`Limits::values_max`] speaks.
const VALUE_BYTES: usize = 16;
/// What a series takes beside its panes and the texts of its labels.
const SERIES_BYTES: usize = 256;

/// What one range function has seen.
#[derive(Debug)]
pub struct Collected {
    function: Arc<Function>,
    places: HashMap<Labels, usize>,
    series: Vec<Held>,
    values: usize,
}

/// What is the same for all twins.
#[derive(Debug)]
struct Function {
    aggregation: RangeAggregation,
    summed: Option<Grouping>,
    unwrapped: Option<String>,
    pipeline: Pipeline,
    panes: Panes,
    series_max: usize,
    values_max: usize,
    values_left: AtomicUsize,
    needs: Needs,
}

/// What a series holds.
#[derive(Debug, Default)]
pub(super) struct Held {
    pub(super) samples: BTreeMap<usize, Samples>,
    /// Times and values, where sums are not enough.
    pub(super) values: BTreeMap<usize, Vec<(i64, f64)>>,
}

impl Collected {
    /// Nothing yet. `applied` says of each stage whether lines come only if they pass it; `summed`, by which labels
    /// series are added up, where nothing else is wanted.
    ///
    /// # Errors
    /// A stage is wrong.
    pub(super) fn new(
        aggregation: &RangeAggregation,
        summed: Option<&Grouping>,
        applied: &[bool],
        steps: &Steps,
        limits: &Limits,
        values_left: usize,
    ) -> Result<Self, MetricFault> {
        let mut aggregation = aggregation.clone();
        let range = &mut aggregation.range;
        let mut applied = applied.iter().copied();
        range.query.node.stages.retain(|_| !applied.next().unwrap_or(false));
        let query = &range.query.node;
        let unwrapped = query.unwrapped().map(|unwrap| unwrap.label.clone());
        let function = Function {
            pipeline: Pipeline::compile(query)?,
            panes: Panes::new(steps, range.range_ns, range.offset_ns),
            needs: needs_of(&aggregation, summed),
            summed: summed.cloned(),
            unwrapped,
            series_max: limits.parts_max,
            values_max: limits.values_max,
            values_left: AtomicUsize::new(values_left),
            aggregation,
        };
        Ok(Self::of(Arc::new(function)))
    }

    fn of(function: Arc<Function>) -> Self {
        Self { function, places: HashMap::new(), series: Vec::new(), values: 0 }
    }

    /// An empty twin for a share of the lines; see [`Collected::absorb`].
    #[must_use]
    pub fn fork(&self) -> Self {
        Self::of(Arc::clone(&self.function))
    }

    /// What is looked at of each line.
    pub fn needs(&self) -> &Needs {
        &self.function.needs
    }

    /// Which of the spans between the borders of windows a time is in; lines of one are alike if their text and labels
    /// are. `None` before the first and after the last.
    pub fn pane(&self, time_ns: i64) -> Option<usize> {
        self.function.panes.of(time_ns)
    }

    /// After which time the first window begins, and at which the last one ends.
    pub(super) fn time(&self) -> (i64, i64) {
        (self.function.panes.after_ns(), self.function.panes.until_ns())
    }

    /// Memory that it holds, bytes, about.
    pub fn memory_bytes(&self) -> usize {
        self.values.saturating_mul(VALUE_BYTES)
    }

    /// Takes a line, or so many that are alike.
    ///
    /// # Errors
    /// Too many series or values; a line with an error.
    pub fn take(&mut self, entry: &Entry<'_>, lines: u64) -> Result<(), MetricFault> {
        let function = Arc::clone(&self.function);
        let Some(pane) = function.panes.of(entry.timestamp_ns) else { return Ok(()) };
        let Outcome::Kept(kept) = function.pipeline.apply(entry) else { return Ok(()) };
        if let Some(error) = kept.labels.error() {
            let mut labels = kept.labels.all();
            labels.remove(ERROR_LABEL);
            labels.remove(ERROR_DETAILS_LABEL);
            return Err(MetricFault::Pipeline { error: error.to_owned(), labels });
        }
        let place = self.place(function.series_of(&kept))?;
        let value = function.value_of(&kept);
        if function.keeps_values() {
            let count = usize::try_from(lines).unwrap_or(usize::MAX);
            self.spend(count)?;
            let values = self.series[place].values.entry(pane).or_default();
            values.extend(std::iter::repeat_n((entry.timestamp_ns, value), count));
            return Ok(());
        }
        self.add(place, pane, Samples::alike(entry.timestamp_ns, value, lines))
    }

    /// Takes over what a twin has seen.
    ///
    /// # Errors
    /// Too many series.
    pub fn absorb(&mut self, twin: Self) -> Result<(), MetricFault> {
        let mut labels: Vec<(Labels, usize)> = twin.places.into_iter().collect();
        labels.sort_unstable_by_key(|(_, place)| *place);
        for ((labels, _), held) in labels.into_iter().zip(twin.series) {
            self.function.give_back(series_values(&labels));
            let place = self.place(labels)?;
            for (pane, samples) in held.samples {
                self.function.give_back(PANE_VALUES);
                self.add(place, pane, samples)?;
            }
            for (pane, mut values) in held.values {
                self.values += values.len();
                self.series[place].values.entry(pane).or_default().append(&mut values);
            }
        }
        Ok(())
    }

    fn place(&mut self, labels: Labels) -> Result<usize, MetricFault> {
        if let Some(place) = self.places.get(&labels) {
            return Ok(*place);
        }
        let place = self.series.len();
        if place == self.function.series_max {
            return Err(MetricFault::TooManySeries(self.function.series_max));
        }
        self.spend(series_values(&labels))?;
        self.places.insert(labels, place);
        self.series.push(Held::default());
        Ok(place)
    }

    fn add(&mut self, place: usize, pane: usize, samples: Samples) -> Result<(), MetricFault> {
        match self.series[place].samples.entry(pane) {
            Place::Occupied(mut held) => *held.get_mut() = held.get().add(samples),
            Place::Vacant(free) => {
                free.insert(samples);
                self.spend(PANE_VALUES)?;
            }
        }
        Ok(())
    }

    fn spend(&mut self, values: usize) -> Result<(), MetricFault> {
        self.values = self.values.saturating_add(values);
        let take = |left: usize| left.checked_sub(values);
        let left = &self.function.values_left;
        let taken = left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take);
        taken.map(|_| ()).map_err(|_| MetricFault::TooManyValues(self.function.values_max))
    }

    /// Panes, and what each series holds.
    pub(super) fn into_series(self) -> (Vec<(Labels, Held)>, CollectedPanes) {
        let mut labels: Vec<(Labels, usize)> = self.places.into_iter().collect();
        labels.sort_unstable_by_key(|(_, place)| *place);
        let series = labels.into_iter().map(|(labels, _)| labels).zip(self.series).collect();
        (series, CollectedPanes(self.function))
    }
}

/// What a series counts for, in values of 16 bytes.
fn series_values(labels: &Labels) -> usize {
    let texts: usize = labels.iter().map(|(name, value)| name.len() + value.len()).sum();
    (SERIES_BYTES + texts).div_ceil(VALUE_BYTES)
}

/// The panes of what was collected.
pub(super) struct CollectedPanes(Arc<Function>);

impl CollectedPanes {
    pub(super) fn panes(&self) -> &Panes {
        &self.0.panes
    }
}

impl Function {
    fn give_back(&self, values: usize) {
        self.values_left.fetch_add(values, Ordering::Relaxed);
    }

    fn keeps_values(&self) -> bool {
        matches!(self.aggregation.function, RangeFunction::Quantile | RangeFunction::RateCounter)
    }

    /// The labels of the series that a line belongs to.
    fn series_of(&self, kept: &Kept<'_>) -> Labels {
        let (aggregation, summed) = (&self.aggregation, self.summed.as_ref());
        let unwrapped = self.unwrapped.as_deref();
        let by = |grouping: &Grouping| -> Labels {
            let value =
                |name: &String| kept.labels.get(name).map(|value| (name.clone(), value.to_owned()));
            grouping
                .labels
                .iter()
                .filter_map(value)
                .filter(|(_, value)| !value.is_empty())
                .collect()
        };
        match (&aggregation.grouping, summed) {
            _ if aggregation.function == RangeFunction::Absent => return Labels::new(),
            (Some(grouping), _) | (None, Some(grouping)) if !grouping.without => {
                return by(grouping);
            }
            _ => {}
        }
        // What is unwrapped is the value, and so no label. What came with the line may be another one for each line, and
        // makes a series only if it is asked for by its name.
        let is_label = |name: &str, value: &str, origin: Origin| {
            !value.is_empty()
                && origin != Origin::Metadata
                && name != ERROR_LABEL
                && name != ERROR_DETAILS_LABEL
                && Some(name) != unwrapped
        };
        let pairs =
            kept.labels.iter().filter(|(name, value, origin)| is_label(name, value, *origin));
        let labels: Labels = pairs.map(|(name, value, _)| (name, value)).collect();
        match aggregation.grouping.as_ref().or(summed) {
            Some(grouping) => labels.except(&grouping.labels),
            None => labels,
        }
    }

    fn value_of(&self, kept: &Kept<'_>) -> f64 {
        match self.aggregation.function {
            RangeFunction::Bytes | RangeFunction::BytesRate => kept.line.len() as f64,
            _ => kept.value.unwrap_or(1.0),
        }
    }
}

/// What a range function looks at of each line.
fn needs_of(aggregation: &RangeAggregation, summed: Option<&Grouping>) -> Needs {
    use RangeFunction::{Absent, Bytes, BytesRate, First, Last, RateCounter};
    let function = aggregation.function;
    let grouping = aggregation.grouping.as_ref().or(summed);
    let mut wanted = match grouping {
        _ if function == Absent => Needs::of_labels([]),
        Some(grouping) if !grouping.without => Needs::of_labels(&grouping.labels),
        _ => Needs { stream: true, ..Needs::of_labels([]) },
    };
    wanted.line = matches!(function, Bytes | BytesRate);
    wanted.time = matches!(function, First | Last | RateCounter);
    needs(&aggregation.range.query.node, wanted)
}
