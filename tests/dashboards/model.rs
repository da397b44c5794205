//! Dashboards as they are in the files, and the parts of them that tests ask for.

use std::collections::BTreeMap;

use serde_json::Value;

use super::repository;

/// A file of `dashboards/grafana`.
#[derive(Debug)]
pub(crate) struct Dashboard {
    /// `pipeline.json`
    pub(crate) file: String,
    pub(crate) text: String,
    pub(crate) json: Value,
}

/// A query of a panel.
#[derive(Debug)]
pub(crate) struct Target<'a> {
    pub(crate) panel: &'a Value,
    pub(crate) json: &'a Value,
}

/// All of them, by their names.
pub(crate) fn dashboards() -> Vec<Dashboard> {
    let folder = repository().join("dashboards/grafana");
    let mut all: Vec<Dashboard> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| {
            let path = entry.unwrap().path();
            let text = std::fs::read_to_string(&path).unwrap();
            let file = path.file_name().unwrap().to_str().unwrap().to_owned();
            let json =
                serde_json::from_str(&text).unwrap_or_else(|error| panic!("{file}: {error}"));
            Dashboard { file, text, json }
        })
        .collect();
    all.sort_by(|one, other| one.file.cmp(&other.file));
    assert!(all.len() >= 5, "{all:?}");
    all
}

impl Dashboard {
    pub(crate) fn uid(&self) -> &str {
        text(&self.json, "uid")
    }

    /// Also those within rows that are collapsed.
    pub(crate) fn panels(&self) -> Vec<&Value> {
        let top = list(&self.json, "panels").iter();
        top.flat_map(|panel| std::iter::once(panel).chain(list(panel, "panels"))).collect()
    }

    pub(crate) fn targets(&self) -> Vec<Target<'_>> {
        let of = |panel| list(panel, "targets").iter().map(move |json| Target { panel, json });
        self.panels().into_iter().flat_map(of).collect()
    }

    /// Queries of a kind of data source, with a value for every variable.
    pub(crate) fn expressions(&self, kind: &str) -> Vec<String> {
        let of_kind = |target: &Target<'_>| target.json["datasource"]["type"] == kind;
        let of = |target: Target<'_>| self.filled_in(text(target.json, "expr"));
        self.targets().into_iter().filter(of_kind).map(of).collect()
    }

    pub(crate) fn variables(&self) -> BTreeMap<&str, &Value> {
        let all = list(&self.json["templating"], "list").iter();
        all.map(|variable| (text(variable, "name"), variable)).collect()
    }

    /// A query as Grafana sends it, with "all" for variables of which several may be chosen.
    pub(crate) fn filled_in(&self, query: &str) -> String {
        let mut filled = String::new();
        let mut rest = query;
        while let Some((before, name, after)) = next_variable(rest) {
            filled += before;
            filled += &match name {
                "__rate_interval" | "__interval" | "__auto" => "1m".to_owned(),
                "__range" => "1h".to_owned(),
                _ => self.value_of(name),
            };
            rest = after;
        }
        filled + rest
    }

    fn value_of(&self, name: &str) -> String {
        let variables = self.variables();
        let variable = variables.get(name).unwrap_or_else(|| panic!("{}: no ${name}", self.file));
        match variable["allValue"].as_str() {
            Some(all) => all.to_owned(),
            None => variable["current"]["value"].as_str().unwrap_or(".+").to_owned(),
        }
    }
}

/// The text before the first `$name`, `${name}` or `${name:format}`, the name, and the text after it. `$1` and a dollar
/// alone are none.
pub(crate) fn next_variable(text: &str) -> Option<(&str, &str, &str)> {
    for (at, _) in text.match_indices('$') {
        let rest = &text[at + 1..];
        let is_name = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
        let inner = rest.strip_prefix('{').unwrap_or(rest);
        let end = inner.find(|letter| !is_name(letter)).unwrap_or(inner.len());
        let name = &inner[..end];
        if name.is_empty() || name.starts_with(|first: char| first.is_ascii_digit()) {
            continue;
        }
        let after = match rest.starts_with('{') {
            true => inner.split_once('}')?.1,
            false => &inner[end..],
        };
        return Some((&text[..at], name, after));
    }
    None
}

/// The names of variables in a text, those of Grafana (`__…`) too.
pub(crate) fn variables_in(mut text: &str) -> Vec<&str> {
    let mut names = Vec::new();
    while let Some((_, name, after)) = next_variable(text) {
        names.push(name);
        text = after;
    }
    names
}

/// All texts below a value.
pub(crate) fn texts(value: &Value) -> Vec<&str> {
    match value {
        Value::String(text) => vec![text],
        Value::Array(all) => all.iter().flat_map(texts).collect(),
        Value::Object(all) => all.values().flat_map(texts).collect(),
        _ => Vec::new(),
    }
}

pub(crate) fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_else(|| panic!("no text {key} in {value}"))
}

/// Empty where there is none.
pub(crate) fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value[key].as_array().map(Vec::as_slice).unwrap_or_default()
}

#[test]
fn variables_are_found_in_all_their_forms() {
    let text = "a{b=~\"$one\"}[$__range] ${two:regex} ${three.x} $1 $ ${__data.fields[0]}$four";
    assert_eq!(variables_in(text), ["one", "__range", "two", "three", "__data", "four"]);
}
