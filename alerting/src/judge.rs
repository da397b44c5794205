//! Which alerts there are: pending, firing, resolved, from what was found at each moment.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::find::{Found, nanos};
use crate::rules::Rule;

/// The label with the rule's name.
pub(crate) const ALERTNAME: &str = "alertname";

/// What an alert is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// It is so, and not for long enough yet.
    Pending,
    /// It is so, or was a moment ago.
    Firing,
    /// It is over.
    Resolved,
}

/// One alert.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Alert {
    /// Its identity: the rule's name and labels, and those that were found.
    pub labels: BTreeMap<String, String>,
    /// The numbers of the last moment at which it was so.
    pub values: BTreeMap<String, Value>,
    /// Correlations that it is about.
    #[serde(default)]
    pub correlations: Vec<String>,
    /// A filter that finds the records behind it.
    pub filter: String,
    /// What it is in.
    pub state: State,
    /// Since when it is so.
    pub active_at: i64,
    /// Since when it fires.
    pub fired_at: Option<i64>,
    /// When it was so the last time.
    pub true_at: i64,
    /// When it was over.
    pub resolved_at: Option<i64>,
}

/// An alert that began to fire, or was over.
#[derive(Clone, Debug, PartialEq)]
pub struct Transition {
    /// When.
    pub at: i64,
    /// As it is from then on.
    pub alert: Alert,
}

/// The alerts of one rule.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Judge {
    /// By their labels, as JSON.
    alerts: BTreeMap<String, Alert>,
}

impl Judge {
    /// Alerts that are pending or firing.
    pub fn alerts(&self) -> impl Iterator<Item = &Alert> {
        self.alerts.values()
    }

    /// Takes what was found at `at`, which is later than the moment before, unless the clock was set back: then what was so
    /// is so since now. Says what changed.
    pub fn step(&mut self, rule: &Rule, at: i64, found: Vec<Found>) -> Vec<Transition> {
        for alert in self.alerts.values_mut() {
            (alert.active_at, alert.true_at) = (alert.active_at.min(at), alert.true_at.min(at));
        }
        let mut transitions = Vec::new();
        let mut is_so: BTreeSet<String> = BTreeSet::new();
        for one in found {
            let labels = labels_of(rule, &one);
            let key = serde_json::to_string(&labels).unwrap_or_default();
            is_so.insert(key.clone());
            let alert = self.alerts.entry(key).or_insert_with(|| Alert {
                labels,
                values: BTreeMap::new(),
                correlations: Vec::new(),
                filter: String::new(),
                state: State::Pending,
                active_at: at,
                fired_at: None,
                true_at: at,
                resolved_at: None,
            });
            (alert.values, alert.correlations, alert.filter, alert.true_at) =
                (one.values, one.correlations, one.filter, at);
            if alert.state == State::Pending
                && at.saturating_sub(alert.active_at) >= nanos(rule.hold)
            {
                (alert.state, alert.fired_at) = (State::Firing, Some(at));
                transitions.push(Transition { at, alert: alert.clone() });
            }
        }
        self.alerts.retain(|key, alert| {
            if is_so.contains(key) {
                return true;
            }
            match alert.state {
                State::Pending => false,
                _ if at.saturating_sub(alert.true_at) < nanos(rule.keep_firing_for) => true,
                _ => {
                    (alert.state, alert.resolved_at) = (State::Resolved, Some(at));
                    transitions.push(Transition { at, alert: alert.clone() });
                    false
                }
            }
        });
        transitions
    }
}

/// The rule's own labels win over those that were found.
fn labels_of(rule: &Rule, found: &Found) -> BTreeMap<String, String> {
    let mut labels = found.labels.clone();
    labels.extend(rule.labels.iter().map(|(name, value)| (name.clone(), value.clone())));
    labels.insert(ALERTNAME.to_owned(), rule.alert.clone());
    labels
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::rules::Kind;

    const S: i64 = crate::SECOND;

    #[test]
    fn a_clock_that_is_set_back_neither_keeps_an_alert_nor_holds_one_up() {
        let seconds = Duration::from_secs;
        let rule = Rule {
            alert: "A".to_owned(),
            kind: Kind::Query("*".to_owned()),
            window: seconds(60),
            hold: seconds(10),
            keep_firing_for: seconds(10),
            labels: BTreeMap::new(),
            annotations: BTreeMap::new(),
        };
        let mut judge = Judge::default();
        let mut step = |at: i64, is_so: bool| {
            let found = if is_so { vec![Found::default()] } else { Vec::new() };
            let changed = judge.step(&rule, at * S, found);
            changed.first().map(|transition| transition.alert.state)
        };
        assert_eq!(step(5_000, true), None, "pending");
        // Back by an hour: it has to be so for ten seconds of the new time.
        assert_eq!(step(1_400, true), None);
        assert_eq!(step(1_410, true), Some(State::Firing));
        assert_eq!(step(5_010, true), None);
        assert_eq!(step(1_420, false), None, "kept for ten seconds");
        assert_eq!(step(1_430, false), Some(State::Resolved));
    }
}
