//! The body of a webhook, in the shape of Alertmanager's version 4 (`template.Data` of its sources).

use std::collections::BTreeMap;

use record::Timestamp;
use serde::Serialize;

use crate::incident::{Incident, label, named};

/// What stands for "not over yet".
const NEVER: &str = "0001-01-01T00:00:00Z";

type Texts = BTreeMap<String, String>;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Body<'a> {
    receiver: &'a str,
    status: &'static str,
    alerts: Vec<Alert<'a>>,
    group_labels: Texts,
    common_labels: Texts,
    common_annotations: Texts,
    #[serde(rename = "externalURL")]
    external_url: &'a str,
    version: &'static str,
    group_key: String,
    truncated_alerts: usize,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Alert<'a> {
    status: &'static str,
    labels: Texts,
    annotations: &'a Texts,
    starts_at: String,
    ends_at: String,
    #[serde(rename = "generatorURL")]
    generator_url: &'a str,
    fingerprint: &'a str,
}

/// The body that tells of these incidents of a group.
pub(super) fn body(
    receiver: &str,
    group_labels: &Texts,
    incidents: &[&Incident],
    truncated_alerts: usize,
    link: &str,
) -> Vec<u8> {
    let status = |is_over: bool| if is_over { "resolved" } else { "firing" };
    let labels: Vec<Texts> = incidents.iter().map(|incident| named(&incident.labels)).collect();
    let body = Body {
        receiver,
        status: status(incidents.iter().all(|incident| incident.resolved_at.is_some())),
        group_labels: named(group_labels),
        common_labels: common(labels.iter()),
        common_annotations: common(incidents.iter().map(|incident| &incident.annotations)),
        alerts: incidents
            .iter()
            .zip(&labels)
            .map(|(incident, labels)| Alert {
                status: status(incident.resolved_at.is_some()),
                labels: labels.clone(),
                annotations: &incident.annotations,
                starts_at: Timestamp(incident.fired_at).to_string(),
                ends_at: incident
                    .resolved_at
                    .map_or(NEVER.to_owned(), |at| Timestamp(at).to_string()),
                generator_url: link,
                fingerprint: &incident.fingerprint,
            })
            .collect(),
        external_url: link,
        version: "4",
        group_key: group_key(group_labels),
        truncated_alerts,
    };
    let mut bytes = serde_json::to_vec(&body).unwrap_or_default();
    bytes.push(b'\n');
    bytes
}

/// `{}:{alertname="X"}`: the route, of which there is one, and the group's labels.
pub(super) fn group_key(labels: &Texts) -> String {
    let labels = labels.iter().map(|(name, value)| format!("{}={value:?}", label(name)));
    format!("{{}}:{{{}}}", labels.collect::<Vec<_>>().join(", "))
}

/// What all have alike.
fn common<'a>(mut all: impl Iterator<Item = &'a Texts>) -> Texts {
    let mut common = all.next().cloned().unwrap_or_default();
    for other in all {
        common.retain(|name, value| other.get(name) == Some(value));
    }
    common
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(texts: &[(&str, &str)]) -> Texts {
        texts.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn a_body_is_that_of_alertmanager_byte_for_byte() {
        let incident = |at: &str, labels: &[(&str, &str)], annotations: &[(&str, &str)]| Incident {
            fingerprint: crate::incident::fingerprint(&texts(labels)),
            rule: String::new(),
            labels: texts(labels),
            annotations: texts(annotations),
            values: BTreeMap::new(),
            correlations: Vec::new(),
            fired_at: Timestamp::parse_rfc3339(at).unwrap().0,
            resolved_at: None,
            records: Vec::new(),
        };
        let one = incident("2026-11-28T12:57:24.447432736Z", &[("alertname", "X")], &[]);
        let labels = [("alertname", "X"), ("service", "a b")];
        let other = incident("2026-11-28T12:00:00Z", &labels, &[("summary", "s")]);
        let group = texts(&[("alertname", "X")]);
        let body = body("wh", &group, &[&one, &other], 0, "http://vm:9078");
        // What Alertmanager 0.25 posted of the same two; its generatorURL was empty.
        let theirs = concat!(
            r#"{"receiver":"wh","status":"firing","alerts":[{"status":"firing","labels":{"alertname":"X"},"annotations":{},"startsAt":"2026-11-28T12:57:24.447432736Z","endsAt":"0001-01-01T00:00:00Z","generatorURL":"","fingerprint":"d2aeefc389ca7746"},{"status":"firing","labels":{"alertname":"X","service":"a b"},"annotations":{"summary":"s"},"startsAt":"2026-11-28T12:00:00Z","endsAt":"0001-01-01T00:00:00Z","generatorURL":"","fingerprint":"0968acf802e719c8"}],"groupLabels":{"alertname":"X"},"commonLabels":{"alertname":"X"},"commonAnnotations":{},"externalURL":"http://vm:9078","version":"4","groupKey":"{}:{alertname=\"X\"}","truncatedAlerts":0}"#,
            "\n"
        );
        let ours = String::from_utf8(body).unwrap();
        assert_eq!(
            ours.replace(r#""generatorURL":"http://vm:9078""#, r#""generatorURL":"""#),
            theirs
        );
    }
}
