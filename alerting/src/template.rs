//! Annotations: texts with `{{ labels.service }}`, `{{ values.n }}`, `{{ records[0].message }}`, `{{ correlations }}`,
//! `{{ story }}`, in the language of minijinja. What a rule does not ask for is there as well: the first records and a
//! link to a story.

use std::collections::BTreeMap;

use minijinja::Environment;
use serde_json::{Map, Value, json};

use crate::incident::Incident;
use crate::rules::Rule;

/// Steps that one template may take.
const FUEL: u64 = 50_000;
/// Longest annotation, bytes.
const BYTES_MAX: usize = 16 << 10;
/// The annotation with the first records, a line each.
pub(crate) const RECORDS: &str = "records";
/// The annotation with the link to a story.
pub(crate) const STORY: &str = "story";

fn environment() -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_fuel(Some(FUEL));
    environment
}

/// What is wrong with a template.
pub(crate) fn fault(text: &str) -> Option<String> {
    let error = environment().template_from_str(text).err()?;
    Some(error.detail().map_or_else(|| error.kind().to_string(), str::to_owned))
}

/// The annotations of an incident that has none yet. A template that fails says so in its place: an alert is not held back.
pub(crate) fn annotations(rule: &Rule, of: &Incident, link: &str) -> BTreeMap<String, String> {
    let story = story(of, link);
    let environment = environment();
    let records = &of.records;
    let context = minijinja::Value::from(minijinja::value::Serde(json!({
        "labels": of.labels, "values": of.values, "records": records, "correlations": of.correlations, "story": story,
    })));
    let mut annotations: BTreeMap<String, String> = rule
        .annotations
        .iter()
        .map(|(name, text)| {
            let rendered = environment
                .template_from_str(text)
                .and_then(|template| template.render(&context))
                .unwrap_or_else(|error| format!("(the template failed: {error})"));
            (name.clone(), cut(rendered))
        })
        .collect();
    if !records.is_empty() {
        let lines: Vec<String> = records.iter().map(line).collect();
        annotations.entry(RECORDS.to_owned()).or_insert_with(|| cut(lines.join("\n")));
    }
    if let Some(story) = story {
        annotations.entry(STORY.to_owned()).or_insert(story);
    }
    annotations
}

/// A link to the story of the first correlation.
fn story(of: &Incident, link: &str) -> Option<String> {
    let named = of.correlations.first().map(String::as_str);
    let of_records = of.records.iter().find_map(|record| record.get("correlation_id")?.as_str());
    let id = named.or(of_records)?;
    let mut url = reqwest::Url::parse(link).ok()?;
    url.path_segments_mut().ok()?.pop_if_empty().extend(["api", "v1", "correlations", id]);
    Some(url.to_string())
}

fn line(record: &Map<String, Value>) -> String {
    let text = |name: &str| record.get(name).and_then(Value::as_str).unwrap_or_default();
    let severity = text("severity").to_uppercase();
    let parts = [text("timestamp"), &severity, text("service"), text("message")];
    parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ")
}

fn cut(mut text: String) -> String {
    if text.len() > BYTES_MAX {
        text.truncate(text.floor_char_boundary(BYTES_MAX));
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::rules::Kind;

    fn rendered(template: &str) -> BTreeMap<String, String> {
        let rule = Rule {
            alert: "A".to_owned(),
            kind: Kind::Query("*".to_owned()),
            window: Duration::from_secs(60),
            hold: Duration::ZERO,
            keep_firing_for: Duration::ZERO,
            labels: BTreeMap::new(),
            annotations: BTreeMap::from([("summary".to_owned(), template.to_owned())]),
        };
        let record = json!({"timestamp": "T", "severity": "error", "message": "no", "correlation_id": "a/b"});
        let Value::Object(record) = record else { unreachable!() };
        let incident = Incident {
            fingerprint: String::new(),
            rule: String::new(),
            labels: BTreeMap::from([("service".to_owned(), "orders".to_owned())]),
            annotations: BTreeMap::new(),
            values: BTreeMap::from([("n".to_owned(), json!(3))]),
            correlations: Vec::new(),
            fired_at: 0,
            resolved_at: None,
            records: vec![record],
        };
        annotations(&rule, &incident, "http://logs/base/")
    }

    #[test]
    fn an_alert_has_what_its_rule_says_and_records_and_a_story() {
        let all = rendered("{{ values.n }} of {{ labels.service }}: {{ records[0].message }}");
        assert_eq!(all["summary"], "3 of orders: no");
        assert_eq!(all["records"], "T ERROR no");
        assert_eq!(all["story"], "http://logs/base/api/v1/correlations/a%2Fb");
    }

    #[test]
    fn a_template_that_fails_or_does_not_end_holds_nothing_back() {
        let endless =
            "{% for a in range(9999) %}{% for b in range(9999) %}x{% endfor %}{% endfor %}";
        for template in ["{{ 1 / 'a' }}", endless, "{{ nothing.of.it }}"] {
            let text = &rendered(template)["summary"];
            assert!(text.starts_with("(the template failed"), "{text}");
        }
        assert!(rendered("{{ 'ü' * 100000 }}")["summary"].len() < BYTES_MAX + 10);
        assert!(fault("{{ a").is_some());
        assert_eq!(fault("{{ a }}"), None);
    }
}
