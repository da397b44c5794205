//! One time that an alert fired, from its beginning to its end: what is remembered, shown and told.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::judge::Alert;
use crate::rules::Rule;
use crate::template;

/// Longest text of a record that is kept, bytes.
const TEXT_BYTES_MAX: usize = 2 << 10;
/// Attributes of a record that are kept.
const ATTRIBUTES_MAX: usize = 50;
/// Correlations that are kept.
const CORRELATIONS_MAX: usize = 100;

/// An alert that fired.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Incident {
    /// Of its labels, as Alertmanager computes it; together with `fired_at` it names the incident.
    pub(crate) fingerprint: String,
    /// Group, name and place of its rule.
    pub(crate) rule: String,
    /// Its identity.
    pub(crate) labels: BTreeMap<String, String>,
    /// Rendered when it began to fire.
    pub(crate) annotations: BTreeMap<String, String>,
    /// The numbers of its row.
    pub(crate) values: BTreeMap<String, Value>,
    /// Correlations that it is about.
    pub(crate) correlations: Vec<String>,
    /// Since when it fires, ns.
    pub(crate) fired_at: i64,
    /// When it was over.
    pub(crate) resolved_at: Option<i64>,
    /// The first records behind it, as they were when it began to fire.
    pub(crate) records: Vec<Map<String, Value>>,
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
            correlations: alert.correlations.iter().take(CORRELATIONS_MAX).cloned().collect(),
            fired_at: alert.fired_at.unwrap_or(alert.active_at),
            resolved_at: None,
            records: records.into_iter().map(bounded).collect(),
        };
        incident.annotations = template::annotations(rule, &incident, link);
        incident
    }
}

/// A record with its long texts cut, and no more attributes than a person reads.
fn bounded(record: Map<String, Value>) -> Map<String, Value> {
    let members = record.into_iter().map(|(name, value)| match value {
        Value::Object(attributes) => {
            let some = attributes.into_iter().take(ATTRIBUTES_MAX);
            (name, some.map(|(name, value)| (name, cut(value))).collect())
        }
        value => (name, cut(value)),
    });
    members.collect()
}

/// A value, or the begin of its text where that is long.
fn cut(value: Value) -> Value {
    let text = match value {
        Value::String(text) => text,
        Value::Array(_) | Value::Object(_) if value.to_string().len() > TEXT_BYTES_MAX => {
            value.to_string()
        }
        other => return other,
    };
    match text.len() > TEXT_BYTES_MAX {
        true => format!("{}…", &text[..text.floor_char_boundary(TEXT_BYTES_MAX)]).into(),
        false => text.into(),
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
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_kept_of_a_record_is_bounded() {
        let long = "ü".repeat(4 << 10);
        let attributes: Map<String, Value> =
            (0..1_000).map(|n| (format!("a{n}"), json!([long, {"deep": long}]))).collect();
        let record = json!({"message": long, "n": 1, "short": "s", "attributes": attributes});
        let Value::Object(record) = record else { unreachable!() };
        let kept = bounded(record);
        assert_eq!((&kept["n"], &kept["short"]), (&json!(1), &json!("s")));
        let bytes = Value::from(kept).to_string().len();
        assert!(bytes < (ATTRIBUTES_MAX + 2) * 2 * TEXT_BYTES_MAX, "{bytes}");
    }

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
