//! A notification as text, for Slack's incoming webhooks and what understands them (Mattermost, Rocket.Chat, Discord's `/slack`).

use std::collections::BTreeMap;
use std::fmt::Write;

use serde_json::json;

use super::webhook::group_key;
use crate::incident::Incident;
use crate::template;

/// Alerts that are told in full.
const ALERTS_MAX: usize = 10;
/// Slack cuts texts at 40,000 characters.
const BYTES_MAX: usize = 30_000;

/// `{"text": …}` in Slack's mrkdwn.
pub(super) fn body(
    group_labels: &BTreeMap<String, String>,
    incidents: &[&Incident],
    left_out: usize,
) -> Vec<u8> {
    let firing = incidents.iter().filter(|incident| incident.resolved_at.is_none()).count();
    let state = match firing {
        0 => "RESOLVED".to_owned(),
        count => format!("FIRING:{count}"),
    };
    let name = group_labels.get("alertname").cloned().unwrap_or_else(|| group_key(group_labels));
    let mut text = format!("*[{state}] {}*", escaped(&name));
    for incident in incidents.iter().take(ALERTS_MAX) {
        text.push('\n');
        text.push_str(&of_incident(incident));
    }
    let more = incidents.len().saturating_sub(ALERTS_MAX) + left_out;
    if more > 0 {
        let _ = write!(text, "\nand {more} more");
    }
    if text.len() > BYTES_MAX {
        text.truncate(text.floor_char_boundary(BYTES_MAX));
        text.push('…');
    }
    json!({"text": text}).to_string().into_bytes()
}

fn of_incident(incident: &Incident) -> String {
    let labels = incident.labels.iter().filter(|(name, _)| *name != "alertname");
    let labels: Vec<String> = labels.map(|(name, value)| format!("{name}={value}")).collect();
    let mark = if incident.resolved_at.is_some() { "✓" } else { "●" };
    let mut text = format!("{mark} {}", escaped(&labels.join(" ")));
    let annotation = |name: &str| incident.annotations.get(name).map(|text| escaped(text));
    if let Some(summary) = annotation("summary") {
        let _ = write!(text, ": {summary}");
    }
    if incident.resolved_at.is_some() {
        return text;
    }
    if let Some(story) = annotation(template::STORY) {
        let _ = write!(text, " <{story}|story>");
    }
    if let Some(records) = annotation(template::RECORDS) {
        // What ends a block of code must not be in it.
        let _ = write!(text, "\n```{}```", records.replace("```", "` ` `"));
    }
    text
}

/// The three characters that mean something to Slack.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_has_what_people_need_and_nothing_that_slack_would_obey() {
        let texts = |texts: &[(&str, &str)]| -> BTreeMap<String, String> {
            texts.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
        };
        let firing = Incident {
            labels: texts(&[("alertname", "Failing"), ("service", "payments")]),
            annotations: texts(&[
                ("summary", "3 failed <!channel>"),
                ("records", "T ERROR payments no ``` & so on"),
                ("story", "http://logs/api/v1/correlations/c-1"),
            ]),
            ..Incident::default()
        };
        let over = Incident { resolved_at: Some(2), ..firing.clone() };
        let group = texts(&[("alertname", "Failing")]);
        let told = |incidents: &[&Incident]| -> String {
            let body: serde_json::Value =
                serde_json::from_slice(&body(&group, incidents, 0)).unwrap();
            body["text"].as_str().unwrap().to_owned()
        };
        insta::assert_snapshot!(told(&[&firing, &over]), @r"
        *[FIRING:1] Failing*
        ● service=payments: 3 failed &lt;!channel&gt; <http://logs/api/v1/correlations/c-1|story>
        ```T ERROR payments no ` ` ` &amp; so on```
        ✓ service=payments: 3 failed &lt;!channel&gt;
        ");
        let many = [&firing; 500];
        assert!(told(&many).ends_with("and 490 more"));
    }
}
