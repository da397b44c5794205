//! Each dashboard is one that Grafana takes from a file, and one that a person can read.

use std::collections::{BTreeSet, HashSet};
use std::process::Command;

use serde_json::Value;

use super::model::{Dashboard, dashboards, list, next_variable, text, texts, variables_in};
use super::{installed, not_checked, read, repository, server};

/// Kinds of panels that show numbers.
const NUMBERS: [&str; 6] = ["timeseries", "stat", "bargauge", "table", "heatmap", "state-timeline"];
/// What Grafana knows without a definition.
const BUILT_IN: [&str; 12] = [
    "__all",
    "__auto",
    "__data",
    "__field",
    "__from",
    "__interval",
    "__range",
    "__rate_interval",
    "__to",
    "__url_time_range",
    "__value",
    "__series",
];

#[test]
fn each_dashboard_can_be_provisioned_from_its_file() {
    let mut uids = HashSet::new();
    let mut titles = HashSet::new();
    for dashboard in dashboards() {
        let (json, file) = (&dashboard.json, &dashboard.file);
        assert!(json.get("id").is_none_or(Value::is_null), "{file}: ids are Grafana's");
        assert_eq!(format!("{}.json", dashboard.uid().trim_start_matches("logq-")), *file);
        let is_sign = |sign: char| sign.is_ascii_alphanumeric() || "-_".contains(sign);
        assert!(dashboard.uid().len() <= 40 && dashboard.uid().chars().all(is_sign), "{file}");
        assert!(uids.insert(dashboard.uid().to_owned()), "{file}: its uid is taken");
        assert!(titles.insert(text(json, "title").to_owned()), "{file}: its title is taken");
        assert!(!text(json, "description").is_empty(), "{file}");
        assert!((39..=42).contains(&json["schemaVersion"].as_u64().unwrap()), "{file}");
        for key in ["from", "to"] {
            text(&json["time"], key);
        }
        // Only the import in the browser fills these in.
        assert!(!dashboard.text.contains("${DS_") && json.get("__inputs").is_none(), "{file}");
        assert!(dashboard.text.ends_with("}\n") && !dashboard.text.contains('\t'), "{file}");
        let by_tag = list(json, "links").iter().find(|link| link["type"] == "dashboards");
        let tags = list(json, "tags");
        assert!(by_tag.is_some_and(|link| list(link, "tags") == tags), "{file}: no way to others");
    }
}

#[test]
fn panels_have_names_words_and_places_of_their_own() {
    for dashboard in dashboards() {
        let mut ids = HashSet::new();
        let mut titles = HashSet::new();
        for panel in dashboard.panels() {
            let at = format!("{}: {}", dashboard.file, panel["title"]);
            assert!(ids.insert(panel["id"].as_u64().unwrap()), "{at}: its id is taken");
            assert!(titles.insert(text(panel, "title")), "{at}: its title is taken");
            assert!(!text(panel, "title").is_empty(), "{at}");
            if panel["type"] != "row" {
                let said = text(panel, "description");
                assert!(said.len() > 10 && said.ends_with('.'), "{at}: {said}");
            }
            let mut refs = HashSet::new();
            for target in list(panel, "targets") {
                assert!(refs.insert(text(target, "refId")), "{at}: refIds");
            }
        }
        places_are_free(&dashboard);
    }
}

/// No panel lies on another, or beside the grid of 24 columns.
fn places_are_free(dashboard: &Dashboard) {
    let mut taken: HashSet<(u64, u64)> = HashSet::new();
    for panel in dashboard.panels() {
        let at = format!("{}: {}", dashboard.file, panel["title"]);
        let [x, y, w, h] = ["x", "y", "w", "h"]
            .map(|key| panel["gridPos"][key].as_u64().unwrap_or_else(|| panic!("{at}: {key}")));
        assert!(w > 0 && h > 0 && x + w <= 24, "{at}: {x}+{w}");
        for cell in (x..x + w).flat_map(|x| (y..y + h).map(move |y| (x, y))) {
            assert!(taken.insert(cell), "{at}: it lies on another panel at {cell:?}");
        }
    }
}

#[test]
fn numbers_have_units_words_for_nothing_and_bounds_where_they_are_shares() {
    for dashboard in dashboards() {
        for panel in dashboard.panels() {
            let kind = text(panel, "type");
            if !NUMBERS.contains(&kind) {
                continue;
            }
            let at = format!("{}: {}", dashboard.file, panel["title"]);
            let defaults = &panel["fieldConfig"]["defaults"];
            assert!(!text(defaults, "unit").is_empty(), "{at}");
            assert!(!text(defaults, "noValue").is_empty(), "{at}");
            if kind != "heatmap" {
                assert!(!list(&defaults["thresholds"], "steps").is_empty(), "{at}: no thresholds");
            }
            if defaults["unit"] == "percentunit" {
                assert_eq!((&defaults["min"], &defaults["max"]), (&0.into(), &1.into()), "{at}");
            }
            if kind == "timeseries" {
                assert_eq!(panel["options"]["legend"]["showLegend"], true, "{at}");
                for target in list(panel, "targets") {
                    let legend = text(target, "legendFormat");
                    assert!(
                        !legend.is_empty() && legend != "__auto",
                        "{at}: no words in the legend"
                    );
                }
            }
        }
    }
}

#[test]
fn data_sources_are_variables_that_begin_with_the_provisioned_ones() {
    let provisioned = read("dashboards/provisioning/datasources/logq.yaml");
    for dashboard in dashboards() {
        let variables = dashboard.variables();
        let check = |at: &str, source: &Value| {
            let uid = text(source, "uid");
            if uid == "-- Grafana --" {
                return;
            }
            let name = uid.strip_prefix("${").and_then(|uid| uid.strip_suffix('}'));
            let variable = name.and_then(|name| variables.get(name));
            let variable = variable.unwrap_or_else(|| panic!("{at}: no variable for {uid}"));
            assert_eq!(variable["type"], "datasource", "{at}");
            assert_eq!(variable["query"], source["type"], "{at}");
            let first = text(&variable["current"], "value");
            assert!(
                provisioned.contains(&format!("uid: {first}\n    type: {}", text(source, "type"))),
                "{at}"
            );
        };
        for target in dashboard.targets() {
            let at = format!("{}: {}", dashboard.file, target.panel["title"]);
            check(&at, &target.json["datasource"]);
            assert_eq!(target.panel["datasource"], target.json["datasource"], "{at}");
        }
        for variable in variables.values().filter(|variable| variable["type"] == "query") {
            check(&dashboard.file, &variable["datasource"]);
        }
        for annotation in list(&dashboard.json["annotations"], "list") {
            check(&dashboard.file, &annotation["datasource"]);
        }
    }
}

#[test]
fn every_variable_that_is_used_is_defined_and_every_one_that_is_defined_is_used() {
    for dashboard in dashboards() {
        let defined: BTreeSet<&str> = dashboard.variables().into_keys().collect();
        assert_eq!(defined.len(), list(&dashboard.json["templating"], "list").len());
        let mut used = BTreeSet::new();
        for name in texts(&dashboard.json).into_iter().flat_map(variables_in) {
            if !name.starts_with("__") {
                used.insert(name);
            } else {
                assert!(BUILT_IN.contains(&name), "{}: ${name}", dashboard.file);
            }
        }
        assert_eq!(used, defined, "{}", dashboard.file);
        for (name, variable) in dashboard.variables() {
            for key in ["label", "description"] {
                assert!(!text(variable, key).is_empty(), "{}: ${name} {key}", dashboard.file);
            }
        }
    }
}

#[test]
fn links_lead_to_dashboards_that_are_there_and_to_queries_that_parse() {
    let all = dashboards();
    let mut explored = 0;
    for dashboard in &all {
        for url in texts(&dashboard.json) {
            if let Some(rest) = url.strip_prefix("/d/") {
                let (uid, query) = rest.split_once('?').unwrap_or((rest, ""));
                let target = all.iter().find(|other| other.uid() == uid);
                let target = target.unwrap_or_else(|| panic!("{}: {url}", dashboard.file));
                let names = query.split('&').filter_map(|one| one.strip_prefix("var-"));
                for name in names.map(|one| one.split_once('=').unwrap().0) {
                    assert!(target.variables().contains_key(name), "{}: {url}", dashboard.file);
                }
            }
            if let Some(panes) = url.strip_prefix("/explore?schemaVersion=1&panes=") {
                let panes: Value = serde_json::from_str(&decoded(panes)).unwrap();
                let query = &panes["a"]["queries"][0];
                assert_eq!(panes["a"]["datasource"], query["datasource"]["uid"]);
                if let Some(expr) = query["expr"].as_str() {
                    logql::parse(expr).unwrap_or_else(|fault| panic!("{expr}\n{fault}"));
                    explored += 1;
                }
            }
        }
    }
    assert!(explored > 10, "only {explored} links to Explore");
}

/// The percent signs of a URL, decoded; variables are left as they are.
fn decoded(url: &str) -> String {
    let plain = |text: &str| {
        let mut bytes = Vec::new();
        let mut rest = text.as_bytes();
        while let Some((first, after)) = rest.split_first() {
            let code = (*first == b'%')
                .then(|| u8::from_str_radix(&String::from_utf8_lossy(&after[..2]), 16).unwrap());
            bytes.push(code.unwrap_or(*first));
            rest = if code.is_some() { &after[2..] } else { after };
        }
        String::from_utf8(bytes).unwrap()
    };
    let mut found = String::new();
    let mut rest = url;
    while let Some((before, _, after)) = next_variable(rest) {
        found += &plain(before);
        found += &rest[before.len()..rest.len() - after.len()];
        rest = after;
    }
    found + &plain(rest)
}

#[test]
fn the_models_of_grafana_lose_nothing_of_a_dashboard() {
    let python = installed("LOGQ_PYTHON", "venv/bin/python").unwrap_or_else(|| "python3".into());
    let there = Command::new(&python).args(["-c", "import grafana_foundation_sdk"]).output();
    if !there.is_ok_and(|there| there.status.success()) {
        return not_checked(&format!("{} has no grafana-foundation-sdk", python.display()));
    }
    let mut command = Command::new(python);
    command.arg(repository().join("tests/dashboards/round_trip.py"));
    let files =
        dashboards().into_iter().map(|it| repository().join("dashboards/grafana").join(it.file));
    let output = server::run(command.args(files), b"");
    assert_eq!((output.code, output.stdout.as_str()), (0, ""), "{}", output.stderr);
    // A key that nobody knows is a typo, and has to show.
    let mut typo = dashboards().swap_remove(0);
    typo.json["panels"][0]["fieldConfg"] = Value::Null;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("typo.json");
    std::fs::write(&file, typo.json.to_string()).unwrap();
    let mut command = Command::new(
        installed("LOGQ_PYTHON", "venv/bin/python").unwrap_or_else(|| "python3".into()),
    );
    command.arg(repository().join("tests/dashboards/round_trip.py")).arg(file);
    let output = server::run(&mut command, b"");
    assert!(
        output.code == 1 && output.stdout.contains("/panels/0/fieldConfg is lost"),
        "{output:?}"
    );
}
