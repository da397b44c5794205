//! The rules of Prometheus: promtool takes them, its tests of them hold, and each says where to read on.

use std::process::Command;

use saphyr::{LoadableYamlNode, YamlOwned};

use super::model::dashboards;
use super::{not_checked, read, repository};

const RULES: &str = "dashboards/prometheus/rules.yaml";
const TESTS: &str = "dashboards/prometheus/rules-tests.yaml";

/// Runs `promtool`; nothing if it is missing.
fn promtool(arguments: &[&str]) {
    let Ok(output) = Command::new("promtool").args(arguments).current_dir(repository()).output()
    else {
        return not_checked("promtool is not installed");
    };
    let said = String::from_utf8_lossy(&output.stdout).into_owned()
        + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "promtool {arguments:?}: {said}");
}

#[test]
fn promtool_takes_the_rules() {
    promtool(&["check", "rules", RULES]);
}

#[test]
fn the_rules_do_what_their_tests_say() {
    promtool(&["test", "rules", TESTS]);
}

/// Every rule that has an `alert`.
fn alerts() -> Vec<YamlOwned> {
    let file = YamlOwned::load_from_str(&read(RULES)).unwrap().swap_remove(0);
    let groups = file.as_mapping_get("groups").and_then(YamlOwned::as_vec).unwrap().clone();
    let rules =
        groups.iter().flat_map(|group| group.as_mapping_get("rules").unwrap().as_vec().unwrap());
    rules.filter(|rule| rule.as_mapping_get("alert").is_some()).cloned().collect()
}

fn text<'a>(node: &'a YamlOwned, key: &str) -> &'a str {
    node.as_mapping_get(key)
        .and_then(YamlOwned::as_str)
        .unwrap_or_else(|| panic!("no {key}: {node:?}"))
}

#[test]
fn every_alert_is_tested_has_a_severity_and_says_where_to_read_on() {
    let tests = read(TESTS);
    let alerts = alerts();
    assert!(alerts.len() > 15, "only {}", alerts.len());
    for alert in alerts {
        let name = text(&alert, "alert");
        assert!(tests.contains(&format!("alertname=\"{name}\"")), "{name} is not tested");
        let labels = alert.as_mapping_get("labels").unwrap();
        assert!(["page", "warn"].contains(&text(labels, "severity")), "{name}");
        let annotations = alert.as_mapping_get("annotations").unwrap();
        assert!(!text(annotations, "summary").ends_with('.'), "{name}: a summary is a line");
        assert!(text(annotations, "description").ends_with('.'), "{name}");
        let (page, place) = text(annotations, "runbook").split_once('#').unwrap();
        let headings: Vec<String> =
            read(page).lines().filter_map(|line| line.strip_prefix("## ")).map(anchor).collect();
        assert!(
            headings.iter().any(|heading| heading == place),
            "{name}: no {place} among {headings:?}"
        );
    }
}

#[test]
fn what_a_rule_asks_for_is_shown_on_a_dashboard() {
    let shown: Vec<String> =
        dashboards().iter().flat_map(|dashboard| dashboard.expressions("prometheus")).collect();
    let rules = read(RULES);
    let mut asked = 0;
    for (at, _) in rules.match_indices("logq_") {
        let end = rules[at..].find(|sign: char| !sign.is_ascii_alphanumeric() && sign != '_');
        let (name, after) = rules[at..].split_at(end.unwrap());
        // Elsewhere it is a word of a text, or of a recorded name.
        if after.starts_with('{') {
            assert!(shown.iter().any(|query| query.contains(&format!("{name}{{"))), "{name}");
            asked += 1;
        }
    }
    assert!(asked > 20, "only {asked}");
}

/// How a heading is named in a link.
fn anchor(heading: &str) -> String {
    let kept = heading.chars().filter(|sign| sign.is_alphanumeric() || " -".contains(*sign));
    kept.collect::<String>().to_lowercase().replace(' ', "-")
}
