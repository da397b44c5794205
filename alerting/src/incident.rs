//! One time that an alert fired, from its beginning to its end: what is remembered, shown and told.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::judge::Alert;
use crate::rules::Rule;
use crate::template;

/// An alert that fired.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Incident {
    /// Of its labels, as Alertmanager computes it; together with `fired_at` it names the incident.
    pub fingerprint: String,
    /// Group, name and place of its rule.
    pub rule: String,
    /// Its identity.
    pub labels: BTreeMap<String, String>,
    /// Rendered when it began to fire.
    pub annotations: BTreeMap<String, String>,
    /// The numbers of its row.
    pub values: BTreeMap<String, Value>,
    /// Correlations that it is about.
    pub correlations: Vec<String>,
    /// Since when it fires, ns.
    pub fired_at: i64,
    /// When it was over.
    pub resolved_at: Option<i64>,
    /// The first records behind it, as they were when it began to fire.
    pub records: Vec<Map<String, Value>>,
}

impl Incident {
    /// Of an alert that began to fire; `link` is where people reach the query port.
    pub(crate) fn begun(
        key: &str,
        rule: &Rule,
        alert: &Alert,
        records: Vec<Map<String, Value>>,
        link: &str,
    ) -> Self {
        let mut incident = Self {
            fingerprint: fingerprint(&alert.labels),
            rule: key.to_owned(),
            labels: alert.labels.clone(),
            annotations: BTreeMap::new(),
            values: alert.values.clone(),
            correlations: alert.correlations.clone(),
            fired_at: alert.fired_at.unwrap_or(alert.active_at),
            resolved_at: None,
            records,
        };
        incident.annotations = template::annotations(rule, &incident, link);
        incident
    }
}

/// Labels with names that Prometheus allows: `error.type` becomes `error_type`.
pub(crate) fn named(labels: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    labels.iter().map(|(name, value)| (label(name), value.clone())).collect()
}

pub(crate) fn label(name: &str) -> String {
    let allowed = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
    let mut text: String = name.chars().map(allowed).collect();
    if text.starts_with(|c: char| c.is_ascii_digit()) {
        text.insert(0, '_');
    }
    text
}

/// FNV-1a over the sorted labels, each name and value followed by a byte 255, as Prometheus' `LabelSet.Fingerprint` does.
pub(crate) fn fingerprint(labels: &BTreeMap<String, String>) -> String {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    let mut add = |byte: u8| hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    for (name, value) in &named(labels) {
        for text in [name, value] {
            text.bytes().for_each(&mut add);
            add(255);
        }
    }
    format!("{hash:016x}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fingerprint_is_that_of_alertmanager() {
        // As Alertmanager 0.25 sent them.
        let labels = BTreeMap::from([("alertname".to_owned(), "X".to_owned())]);
        assert_eq!(fingerprint(&labels), "d2aeefc389ca7746");
        let labels = [("alertname", "X"), ("service", "a b")];
        let labels = labels.map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(fingerprint(&BTreeMap::from(labels)), "0968acf802e719c8");
    }
}
