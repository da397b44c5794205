//! Every query of every dashboard is taken by the parsers of its language.

use std::process::Command;

use serde_json::{Value, json};

use super::model::{dashboards, list, text};
use super::{installed, not_checked, queries, repository, server};

/// Queries that Loki's language has and the parser in Grafana's editor has not, by their heading.
const NOT_OF_THE_EDITOR: &str = "Loki's alone";

#[test]
fn our_parser_takes_every_query_of_logs() {
    let mut count = 0;
    for dashboard in dashboards() {
        for query in dashboard.expressions("loki") {
            logql::parse(&query)
                .unwrap_or_else(|fault| panic!("{}: {query}\n{fault}", dashboard.file));
            count += 1;
        }
    }
    assert!(count > 20, "only {count}");
}

/// Of these queries those that the parser in Grafana's editor does not take, with the place; `None` if it is missing.
fn faults_of_the_editor(queries: &[String]) -> Option<Vec<Value>> {
    let modules = installed("LOGQ_NODE_MODULES", "npm/node_modules");
    let node = Command::new("node").arg("--version").output();
    let there = node.is_ok_and(|node| node.status.success());
    let (true, Some(modules)) = (there, modules) else {
        not_checked("node, or @grafana/lezer-logql in LOGQ_NODE_MODULES, is missing");
        return None;
    };
    let mut command = Command::new("node");
    command.arg(repository().join("tests/dashboards/lezer.cjs")).env("NODE_PATH", modules);
    let output = server::run(&mut command, json!(queries).to_string().as_bytes());
    assert_eq!(output.code, 0, "{output:?}");
    Some(serde_json::from_str(&output.stdout).unwrap())
}

#[test]
fn grafanas_parser_takes_every_query_of_logs_and_all_that_grafana_sends() {
    let mut asked: Vec<String> =
        dashboards().iter().flat_map(|dashboard| dashboard.expressions("loki")).collect();
    let sent = queries::of_grafana().into_iter();
    asked.extend(
        sent.filter(|query| !query.heading.starts_with(NOT_OF_THE_EDITOR)).map(|query| query.text),
    );
    if let Some(faults) = faults_of_the_editor(&asked) {
        assert!(faults.is_empty(), "{faults:#?}");
    }
    let faulty =
        ["{a=", "sum(rate({a=\"b\"}[$__auto]))", "rate({a=\"b\"} | json)"].map(str::to_owned);
    if let Some(faults) = faults_of_the_editor(&faulty) {
        assert_eq!(faults.len(), faulty.len(), "{faults:?}");
    }
}

#[test]
fn promtool_takes_every_query_of_metrics() {
    let mut rules = Vec::new();
    for dashboard in dashboards() {
        for query in dashboard.expressions("prometheus") {
            rules.push(json!({"record": format!("query{}", rules.len()), "expr": query}));
        }
        for variable in list(&dashboard.json["templating"], "list") {
            // label_values(SELECTOR, label)
            let selector = variable["query"]["query"]
                .as_str()
                .and_then(|query| query.strip_prefix("label_values("));
            if let Some((selector, _)) = selector.and_then(|rest| rest.rsplit_once(", ")) {
                rules.push(json!({"record": format!("query{}", rules.len()), "expr": selector}));
            }
        }
    }
    assert!(rules.len() > 50, "only {}", rules.len());
    // JSON is YAML.
    let file = json!({"groups": [{"name": "dashboards", "rules": rules}]}).to_string();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rules.yaml");
    std::fs::write(&path, file).unwrap();
    let Ok(output) = Command::new("promtool").args(["check", "rules"]).arg(path).output() else {
        return not_checked("promtool is not installed");
    };
    let said = String::from_utf8_lossy(&output.stderr).into_owned()
        + &String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}");
}

#[test]
fn every_query_of_metrics_asks_certain_jobs() {
    // `logq up` tells all its families at each of its ports.
    for dashboard in dashboards() {
        for target in dashboard.targets() {
            if target.json["datasource"]["type"] == "prometheus" {
                let query = text(target.json, "expr");
                for selector in query.split('{').skip(1).map(|rest| rest.split('}').next().unwrap())
                {
                    let asks = selector.contains("job=") || selector.contains("alertname=");
                    assert!(asks, "{}: {query}", dashboard.file);
                }
                for (at, _) in query.match_indices("logq_") {
                    let end =
                        query[at..].find(|sign: char| !sign.is_ascii_alphanumeric() && sign != '_');
                    assert_eq!(query[at..].chars().nth(end.unwrap()), Some('{'), "{query}");
                }
            }
        }
    }
}
