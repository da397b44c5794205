//! Rules as they were read: shaped like Prometheus' rule groups.

use std::collections::BTreeMap;
use std::time::Duration;

/// All rules of one file.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rules {
    /// In the order of the file.
    pub groups: Vec<Group>,
}

/// Rules that are evaluated together.
#[derive(Clone, Debug, PartialEq)]
pub struct Group {
    /// Unique in its file.
    pub name: String,
    /// How often.
    pub interval: Duration,
    /// In the order of the file.
    pub rules: Vec<Rule>,
}

/// One rule.
#[derive(Clone, Debug, PartialEq)]
pub struct Rule {
    /// The label `alertname` of its alerts.
    pub alert: String,
    /// What is looked for.
    pub kind: Kind,
    /// How far back each evaluation looks.
    pub window: Duration,
    /// How long it has to be so before the alert fires.
    pub hold: Duration,
    /// How long an alert goes on after it is no longer so.
    pub keep_firing_for: Duration,
    /// Labels of its alerts, beside those that are found.
    pub labels: BTreeMap<String, String>,
    /// Templates.
    pub annotations: BTreeMap<String, String>,
}

/// What is looked for.
#[derive(Clone, Debug, PartialEq)]
pub enum Kind {
    /// Rows of a query, an alert each; for a filter without stages one alert if any record matches.
    Query(String),
    /// Something that was there and is not any more.
    Absent {
        /// Which records show that it is there.
        query: String,
        /// Fields whose values together name a thing.
        by: Vec<String>,
        /// A thing that was silent for so long is forgotten.
        forget_after: Duration,
    },
    /// A share of records that is too large.
    Ratio {
        /// The bad ones.
        bad: String,
        /// All of them.
        total: String,
        /// Fields by which the share is taken; none for one share over all.
        by: Vec<String>,
        /// From 0 to 1.
        above: f64,
        /// With fewer records in all nothing is said.
        at_least: u64,
    },
    /// After a record of one kind, one of another must follow with the same correlation.
    Expect {
        /// What begins it.
        after: String,
        /// What must follow.
        then: String,
        /// Within this time.
        within: Duration,
    },
}

impl Kind {
    /// Its name in a file.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Query(_) => "query",
            Self::Absent { .. } => "absent",
            Self::Ratio { .. } => "ratio",
            Self::Expect { .. } => "expect",
        }
    }
}
