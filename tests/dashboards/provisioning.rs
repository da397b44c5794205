//! What Grafana is told at its start: data sources and where the dashboards are.

use std::collections::BTreeMap;

use saphyr::{LoadableYamlNode, YamlOwned};

use super::read;

const SOURCES: &str = "dashboards/provisioning/datasources/logq.yaml";

fn parsed(path: &str) -> YamlOwned {
    YamlOwned::load_from_str(&read(path))
        .unwrap_or_else(|fault| panic!("{path}: {fault}"))
        .swap_remove(0)
}

/// What is at a place like `jsonData/derivedFields/0/url`.
fn find<'a>(node: &'a YamlOwned, place: &str) -> Option<&'a YamlOwned> {
    place.split('/').try_fold(node, |node, step| match step.parse() {
        Ok(index) => node.as_sequence_get(index),
        Err(_) => node.as_mapping_get(step),
    })
}

fn text<'a>(node: &'a YamlOwned, place: &str) -> &'a str {
    let found = find(node, place).and_then(YamlOwned::as_str);
    found.unwrap_or_else(|| panic!("no text at {place}"))
}

fn list<'a>(node: &'a YamlOwned, place: &str) -> &'a [YamlOwned] {
    find(node, place).and_then(YamlOwned::as_vec).unwrap_or_else(|| panic!("no list at {place}"))
}

/// The data sources by their uids.
fn sources() -> BTreeMap<String, YamlOwned> {
    let file = parsed(SOURCES);
    assert_eq!(find(&file, "apiVersion").and_then(YamlOwned::as_integer), Some(1));
    let all = list(&file, "datasources").iter();
    all.map(|source| (text(source, "uid").to_owned(), source.clone())).collect()
}

#[test]
fn the_data_sources_have_fixed_uids_and_lead_to_each_other() {
    let sources = sources();
    let kinds: Vec<(&str, &str)> =
        sources.iter().map(|(uid, source)| (uid.as_str(), text(source, "type"))).collect();
    assert_eq!(
        kinds,
        [("logq-logs", "loki"), ("logq-metrics", "prometheus"), ("logq-traces", "jaeger")]
    );
    for source in sources.values() {
        assert_eq!(text(source, "access"), "proxy");
        // The plugins read it even if there is nothing to say.
        assert!(find(source, "jsonData").is_some());
    }
    let (logs, traces) = (&sources["logq-logs"], &sources["logq-traces"]);
    assert_eq!(text(logs, "url"), text(traces, "url"), "both are the query port");
    assert!(text(logs, "url").ends_with(&format!(":{}", query_port())));
    assert_eq!(find(logs, "jsonData/manageAlerts").and_then(YamlOwned::as_bool), Some(false));
    assert_eq!(text(logs, "jsonData/derivedFields/0/datasourceUid"), "logq-traces");
    assert_eq!(text(logs, "jsonData/derivedFields/0/url"), "$${__value.raw}");
    for field in list(logs, "jsonData/derivedFields") {
        assert_eq!(text(field, "matcherType"), "label");
    }
    assert_eq!(text(traces, "jsonData/tracesToLogsV2/datasourceUid"), "logq-logs");
    assert_eq!(text(traces, "jsonData/tracesToMetrics/datasourceUid"), "logq-metrics");
    let query = text(traces, "jsonData/tracesToLogsV2/query").replace("$${__trace.traceId}", "abc");
    logql::parse(&query).unwrap_or_else(|fault| panic!("{query}\n{fault}"));
}

/// The default in the reference of the configuration.
fn query_port() -> u16 {
    let reference = read("docs/operations.md");
    let query = reference.split_once("\n[query]\n").unwrap().1;
    let address = query.split_once("#http = \"").unwrap().1.split_once('"').unwrap().0;
    address.rsplit_once(':').unwrap().1.parse().unwrap()
}

#[test]
fn every_dollar_that_is_meant_is_written_twice() {
    // Grafana puts variables of the environment in for others, most often nothing.
    for file in
        [SOURCES, "dashboards/provisioning/dashboards/logq.yaml", "deploy/compose/datasources.yaml"]
    {
        for line in read(file).lines().filter(|line| !line.trim_start().starts_with('#')) {
            assert!(!line.replace("$$", "").contains('$'), "{file}: {line}");
        }
    }
}

#[test]
fn the_composed_data_sources_differ_by_their_addresses_alone() {
    let body = |path: &str| {
        let text = read(path);
        text[text.find("\napiVersion:").unwrap()..].to_owned()
    };
    let here = body(SOURCES)
        .replace("127.0.0.1:9090", "prometheus:9090")
        .replace("127.0.0.1:3100", "logq:3100");
    assert_eq!(here, body("deploy/compose/datasources.yaml"));
}

#[test]
fn the_dashboards_are_provisioned_from_files_into_a_folder() {
    let file = parsed("dashboards/provisioning/dashboards/logq.yaml");
    let provider = find(&file, "providers/0").unwrap();
    assert_eq!(text(provider, "type"), "file");
    assert_eq!(text(provider, "folderUid"), "logq");
    assert!(text(provider, "options/path").starts_with('/'));
}
