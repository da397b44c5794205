//! The rules lab: what rules would have done over stored history.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::{Map, Value};

use crate::find::{Memory, filter_of, find, nanos, whole};
use crate::judge::{Alert, Judge, State, Transition};
use crate::rules::{Kind, Rule, Rules};
use crate::runner::{QueryRunner, RunError};

/// Records that are shown of an alert.
const SAMPLES: usize = 5;
/// Alerts of a rule of which records are shown.
const SAMPLED_MAX: usize = 10;

/// Evaluates rules at moments of the past.
#[derive(Debug)]
pub struct Lab<'a> {
    rules: &'a Rules,
    states: Vec<(Judge, Memory)>,
}

/// What a rule would have done.
#[derive(Clone, Debug, Default)]
pub struct RuleHistory {
    /// The rule.
    pub alert: String,
    /// Evaluations that could be made.
    pub evaluations: usize,
    /// Evaluations that failed, and why the first of them did.
    pub failures: (usize, Option<String>),
    /// Alerts that fired, with when they were over if they were.
    pub fired: Vec<Fired>,
    /// Time in which at least one alert fired, nanoseconds.
    pub firing_nanos: i64,
}

/// An alert of the past.
#[derive(Clone, Debug, Serialize)]
pub struct Fired {
    /// As it was at its end.
    #[serde(flatten)]
    pub alert: Alert,
    /// Records behind it when it began to fire, the newest first; told of the first alerts only.
    pub samples: Vec<Map<String, Value>>,
}

/// What all rules of a file would have done.
#[derive(Clone, Debug, Default)]
pub struct Backtest {
    /// From when, nanoseconds since 1970.
    pub from: i64,
    /// Until when.
    pub until: i64,
    /// In the order of the file.
    pub rules: Vec<RuleHistory>,
}

impl<'a> Lab<'a> {
    /// Nothing was found yet.
    pub fn new(rules: &'a Rules) -> Self {
        let count = rules.groups.iter().map(|group| group.rules.len()).sum();
        Self { rules, states: vec![Default::default(); count] }
    }

    /// Evaluates the rules whose turn it is at a moment, which is later than the one before: turns are whole intervals
    /// since 1970, as those of the engine are.
    ///
    /// # Errors
    /// For each rule that could not be evaluated.
    pub fn step(
        &mut self,
        at: i64,
        runner: &dyn QueryRunner,
    ) -> Vec<(&'a Rule, Result<Vec<Transition>, RunError>)> {
        let rules = self.rules.groups.iter().flat_map(|group| {
            let interval = nanos(group.interval).max(1);
            group.rules.iter().map(move |rule| (rule, at.rem_euclid(interval) == 0))
        });
        rules
            .zip(&mut self.states)
            .filter(|((_, is_turn), _)| *is_turn)
            .map(|((rule, _), (judge, memory))| {
                let found = find(rule, at, memory, runner);
                (rule, found.map(|found| judge.step(rule, at, found)))
            })
            .collect()
    }

    /// Alerts that are pending or firing now.
    pub fn alerts(&self) -> impl Iterator<Item = &Alert> {
        self.states.iter().flat_map(|(judge, _)| judge.alerts())
    }

    /// Evaluates each rule at its group's interval (or every `step`) over a range of history.
    pub fn backtest(
        rules: &Rules,
        from: i64,
        until: i64,
        step: Option<std::time::Duration>,
        runner: &dyn QueryRunner,
    ) -> Backtest {
        let of_group = rules.groups.iter().flat_map(|group| {
            let step = nanos(step.unwrap_or(group.interval)).max(1);
            group.rules.iter().map(move |rule| history(rule, (from, until, step), runner))
        });
        Backtest { from, until, rules: of_group.collect() }
    }
}

fn history(
    rule: &Rule,
    (from, until, step): (i64, i64, i64),
    runner: &dyn QueryRunner,
) -> RuleHistory {
    let mut history = RuleHistory { alert: rule.alert.clone(), ..RuleHistory::default() };
    let (mut judge, mut memory) = (Judge::default(), Memory::default());
    // Open alerts by their labels: where they stand among those that fired.
    let mut open: BTreeMap<BTreeMap<String, String>, usize> = BTreeMap::new();
    let occupied = Occupied::of(rule, from, until, step, runner);
    // Moments are whole steps since 1970, as those of the engine are.
    let first = from.div_euclid(step).saturating_add(1).saturating_mul(step);
    let moments = std::iter::successors(Some(first), |at| at.checked_add(step));
    for at in moments.take_while(|at| *at <= until) {
        // Where no record matches nothing is asked: what is found then is known.
        let found = match occupied.as_ref().filter(|occupied| !occupied.is(at)) {
            Some(_) => Ok(Vec::new()),
            None => find(rule, at, &mut memory, runner),
        };
        let found = match found {
            Ok(found) => found,
            Err(error) => {
                history.failures.0 += 1;
                history.failures.1.get_or_insert(error.0);
                continue;
            }
        };
        history.evaluations += 1;
        for Transition { alert, .. } in judge.step(rule, at, found) {
            if alert.state == State::Firing {
                open.insert(alert.labels.clone(), history.fired.len());
                let samples = match history.fired.len() < SAMPLED_MAX {
                    true => {
                        samples(&alert.filter, at.saturating_sub(nanos(rule.window)), at, runner)
                    }
                    false => Vec::new(),
                };
                history.fired.push(Fired { alert, samples });
            } else if let Some(place) = open.remove(&alert.labels) {
                history.fired[place].alert = alert;
            }
        }
        if judge.alerts().any(|alert| alert.state == State::Firing) {
            history.firing_nanos = history.firing_nanos.saturating_add(step);
        }
    }
    history
}

/// The records that a filter finds, the newest first; none where they cannot be had.
fn samples(filter: &str, from: i64, at: i64, runner: &dyn QueryRunner) -> Vec<Map<String, Value>> {
    runner.run(filter, from, at, SAMPLES).map(|answer| answer.rows).unwrap_or_default()
}

/// When records match that a rule looks for, so that moments without any need no query.
struct Occupied {
    /// Beginnings of bins with records.
    bins: BTreeSet<i64>,
    bin: i64,
    /// How far back a moment looks.
    reach: i64,
}

impl Occupied {
    /// `None` where something is found also without any record, or it cannot be told.
    fn of(rule: &Rule, from: i64, until: i64, step: i64, runner: &dyn QueryRunner) -> Option<Self> {
        let (query, reach) = match &rule.kind {
            Kind::Query(query) => (query, 0),
            Kind::Ratio { bad, .. } => (bad, 0),
            Kind::Expect { after, within, .. } => (after, nanos(*within)),
            Kind::Absent { .. } => return None,
        };
        // Before anything was: what a query says of nothing at all.
        let nothing = find(rule, i64::MIN / 2, &mut Memory::default(), runner).ok()?;
        if !nothing.is_empty() {
            return None;
        }
        let reach = reach.saturating_add(nanos(rule.window));
        let bin = step.max(crate::SECOND) / crate::SECOND * crate::SECOND;
        let text = format!(
            "{} | stats count() as count by bin({}s)",
            filter_of(query),
            bin / crate::SECOND
        );
        let rows = whole(runner, &text, from.saturating_sub(reach), until).ok()?;
        let times = rows.iter().filter_map(|row| {
            let text = row.values().find_map(Value::as_str)?;
            record::Timestamp::parse_rfc3339(text).map(|time| time.0)
        });
        Some(Self { bins: times.collect(), bin, reach })
    }

    fn is(&self, at: i64) -> bool {
        let first = at.saturating_sub(self.reach).saturating_sub(self.bin);
        self.bins.range(first..=at).next().is_some()
    }
}
