//! What a Grafana dashboard asks its data sources: the expressions of panels and annotations, the queries of variables, and
//! what variables stand for.
//!
//! A variable stands for its `allValue` where all can be chosen (`.+` if it has none), else for what is chosen in the file,
//! else for the first value that its query gives. Intervals are 15 s and ranges a minute.

use std::collections::BTreeMap;

use serde_json::Value;

/// Everything that can be chosen, where a variable does not say how that is written.
const ALL: &str = ".+";
/// What Grafana puts in for its own variables.
const BUILT_IN: [(&str, &str); 9] = [
    ("__auto", "15s"),
    ("__interval", "15s"),
    ("__interval_ms", "15000"),
    ("__rate_interval", "15s"),
    ("__rate_interval_ms", "15000"),
    ("__range", "60s"),
    ("__range_s", "60"),
    ("__range_ms", "60000"),
    ("__dashboard", "a dashboard"),
];

/// Who is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    Prometheus,
    Loki,
}

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    /// An expression, at one moment or over a range.
    Expression { text: String, instant: bool },
    /// The values of a label, of what a selector selects or of all.
    LabelValues { label: String, of: Option<String> },
}

/// A question of a dashboard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Question {
    /// Where it stands.
    pub(crate) place: String,
    pub(crate) source: Source,
    pub(crate) asked: Asked,
}

/// What a variable stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Meaning {
    Text(String),
    /// The first answer.
    FirstOf(Question),
}

/// A dashboard as far as it asks.
#[derive(Debug)]
pub(crate) struct Dashboard {
    /// In the order in which they may use each other.
    pub(crate) variables: Vec<(String, Meaning)>,
    pub(crate) questions: Vec<Question>,
}

impl Dashboard {
    /// Reads one; `name` is told in places.
    pub(crate) fn read(name: &str, json: &Value) -> Self {
        let mut dashboard = Self { variables: Vec::new(), questions: Vec::new() };
        for variable in items(&json["templating"]["list"]) {
            let place = format!("{name}, variable {}", text(&variable["name"]));
            let question = question_of_variable(place, variable);
            let meaning = meaning(variable, question.as_ref());
            dashboard.variables.push((text(&variable["name"]).to_owned(), meaning));
            dashboard.questions.extend(question);
        }
        for annotation in items(&json["annotations"]["list"]) {
            let place = format!("{name}, annotation {}", text(&annotation["name"]));
            let target =
                if annotation["expr"].is_string() { annotation } else { &annotation["target"] };
            dashboard.questions.extend(question_of_target(place, target, annotation));
        }
        dashboard.read_panels(name, &json["panels"]);
        dashboard
    }

    fn read_panels(&mut self, name: &str, panels: &Value) {
        for panel in items(panels) {
            for target in items(&panel["targets"]) {
                let (title, letter) = (text(&panel["title"]), text(&target["refId"]));
                let place = format!("{name}, {title:?} {letter}");
                self.questions.extend(question_of_target(place, target, panel));
            }
            // Rows hold panels when they are closed.
            self.read_panels(name, &panel["panels"]);
        }
    }
}

impl Asked {
    /// With other words in the place of variables.
    pub(crate) fn with(&self, values: &BTreeMap<String, String>) -> Self {
        match self {
            Self::Expression { text, instant } => {
                Self::Expression { text: interpolated(text, values), instant: *instant }
            }
            Self::LabelValues { label, of } => Self::LabelValues {
                label: interpolated(label, values),
                of: of.as_ref().map(|of| interpolated(of, values)),
            },
        }
    }

    /// Whether a variable is in it.
    pub(crate) fn uses(&self, variable: &str) -> bool {
        let without = self.with(&BTreeMap::new());
        self.with(&BTreeMap::from([(variable.to_owned(), String::new())])) != without
    }
}

/// The type of a data source, which a target has itself or from what it is in.
fn source_of(target: &Value, around: &Value) -> Option<Source> {
    let own = &target["datasource"]["type"];
    let kind = if own.is_string() { own } else { &around["datasource"]["type"] };
    match text(kind) {
        "prometheus" => Some(Source::Prometheus),
        "loki" => Some(Source::Loki),
        _ => None,
    }
}

fn question_of_target(place: String, target: &Value, around: &Value) -> Option<Question> {
    let source = source_of(target, around)?;
    let expression = text(&target["expr"]).to_owned();
    let instant = target["instant"] == true || text(&target["queryType"]) == "instant";
    Some(Question { place, source, asked: Asked::Expression { text: expression, instant } })
}

fn question_of_variable(place: String, variable: &Value) -> Option<Question> {
    if text(&variable["type"]) != "query" {
        return None;
    }
    let source = source_of(variable, &Value::Null)?;
    let query = &variable["query"];
    let non_empty = |text: &str| (!text.trim().is_empty()).then(|| text.trim().to_owned());
    let asked = if query["label"].is_string() {
        // Loki's, as its editor keeps it.
        Asked::LabelValues {
            label: text(&query["label"]).to_owned(),
            of: non_empty(text(&query["stream"])),
        }
    } else {
        let query = if query.is_string() { text(query) } else { text(&query["query"]) };
        let within = |function: &str| query.trim().strip_prefix(function)?.strip_suffix(')');
        if let Some(arguments) = within("label_values(") {
            let (of, label) = arguments.rsplit_once(',').unwrap_or(("", arguments));
            Asked::LabelValues { label: label.trim().to_owned(), of: non_empty(of) }
        } else {
            let expression = within("query_result(").unwrap_or(query).to_owned();
            Asked::Expression { text: expression, instant: true }
        }
    };
    Some(Question { place, source, asked })
}

fn meaning(variable: &Value, question: Option<&Question>) -> Meaning {
    if variable["includeAll"] == true {
        let all = text(&variable["allValue"]);
        return Meaning::Text(if all.is_empty() { ALL } else { all }.to_owned());
    }
    let chosen = &variable["current"]["value"];
    let chosen = text(if chosen.is_array() { &chosen[0] } else { chosen });
    if !chosen.is_empty() && chosen != "$__all" {
        return Meaning::Text(chosen.to_owned());
    }
    match (question, text(&variable["type"])) {
        (Some(question), _) => Meaning::FirstOf(question.clone()),
        (None, "custom" | "interval") => {
            let first = text(&variable["query"]).split(',').next().unwrap_or_default();
            let value = first.split_once(" : ").map_or(first, |(_, value)| value);
            Meaning::Text(value.trim().to_owned())
        }
        (None, _) => Meaning::Text(text(&variable["query"]).to_owned()),
    }
}

/// A text with the values of `$name`, `${name}`, `${name:format}` and `[[name]]`. What is no variable stays, such as the
/// `$` of a regular expression.
pub(crate) fn interpolated(text: &str, values: &BTreeMap<String, String>) -> String {
    let value = |name: &str| {
        let built_in = BUILT_IN.iter().find(|(built_in, _)| *built_in == name);
        built_in.map(|(_, value)| *value).or_else(|| values.get(name).map(String::as_str))
    };
    let mut result = String::new();
    let mut rest = text;
    while let Some(at) = rest.find(['$', '[']) {
        result.push_str(&rest[..at]);
        rest = &rest[at..];
        let (name, length) = variable_at(rest);
        match value(name) {
            Some(value) => result.push_str(value),
            None => result.push_str(&rest[..length]),
        }
        rest = &rest[length..];
    }
    result + rest
}

/// The name of the variable that a text begins with, and how long that is; one byte without a name if there is none.
fn variable_at(text: &str) -> (&str, usize) {
    let enclosed = |open: &str, close: &str| {
        let inside = text.strip_prefix(open)?;
        let end = inside.find(close)?;
        let name = inside[..end].split([':', '.']).next().unwrap_or_default();
        Some((name, open.len() + end + close.len()))
    };
    if let Some(found) = enclosed("${", "}").or_else(|| enclosed("[[", "]]")) {
        return found;
    }
    let Some(name) = text.strip_prefix('$') else { return ("", 1) };
    let end = name.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(name.len());
    (&name[..end], 1 + end)
}

fn items(list: &Value) -> &[Value] {
    list.as_array().map_or(&[], Vec::as_slice)
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn dashboard() -> Dashboard {
        Dashboard::read(
            "d.json",
            &json!({
                "templating": {"list": [
                    {"name": "logs", "type": "datasource", "query": "loki", "current": {"value": "logq-logs"}},
                    {"name": "service", "type": "query", "datasource": {"type": "loki", "uid": "${logs}"},
                        "query": {"type": 1, "label": "service_name", "stream": ""},
                        "includeAll": true, "allValue": ".*", "current": {"value": ["$__all"]}},
                    {"name": "job", "type": "query", "datasource": {"type": "prometheus"}, "includeAll": true,
                        "query": {"query": "label_values(up{x=~\"a,b\"}, job)"}, "current": {"value": "$__all"}},
                    {"name": "one", "type": "query", "datasource": {"type": "loki"},
                        "query": {"type": 1, "label": "host", "stream": "{service_name=~\"$service\"}"}},
                    {"name": "slow", "type": "custom", "query": "short : 1s,long : 5s"},
                    {"name": "words", "type": "textbox", "query": ""},
                ]},
                "annotations": {"list": [
                    {"name": "Annotations & Alerts", "datasource": {"type": "grafana", "uid": "-- Grafana --"}},
                    {"name": "starts", "datasource": {"type": "prometheus"}, "expr": "changes(a[1m])"},
                ]},
                "panels": [
                    {"title": "A", "type": "timeseries", "datasource": {"type": "prometheus"},
                        "targets": [{"refId": "A", "expr": "up"}, {"refId": "B", "expr": "down", "instant": true}]},
                    {"type": "row", "collapsed": true, "panels": [
                        {"title": "B", "datasource": {"type": "datasource", "uid": "-- Mixed --"}, "targets": [
                            {"refId": "A", "datasource": {"type": "loki"}, "expr": "{a=\"b\"}", "queryType": "instant"},
                            {"refId": "B", "datasource": {"type": "__expr__"}, "expression": "$A"},
                            {"refId": "C", "datasource": {"type": "jaeger"}, "query": "x"},
                        ]},
                    ]},
                    {"title": "words", "type": "text"},
                ],
            }),
        )
    }

    #[test]
    fn questions_are_found_in_panels_in_rows_in_annotations_and_in_variables() {
        let told = |question: &Question| format!("{}: {:?}", question.place, question.asked);
        let questions: Vec<String> = dashboard().questions.iter().map(told).collect();
        let expected = [
            r#"d.json, variable service: LabelValues { label: "service_name", of: None }"#,
            r#"d.json, variable job: LabelValues { label: "job", of: Some("up{x=~\"a,b\"}") }"#,
            r#"d.json, variable one: LabelValues { label: "host", of: Some("{service_name=~\"$service\"}") }"#,
            r#"d.json, annotation starts: Expression { text: "changes(a[1m])", instant: false }"#,
            r#"d.json, "A" A: Expression { text: "up", instant: false }"#,
            r#"d.json, "A" B: Expression { text: "down", instant: true }"#,
            r#"d.json, "B" A: Expression { text: "{a=\"b\"}", instant: true }"#,
        ];
        assert_eq!(questions, expected);
        let of_loki = dashboard().questions.into_iter().filter(|it| it.source == Source::Loki);
        assert_eq!(of_loki.count(), 3);
    }

    #[test]
    fn a_variable_stands_for_all_or_for_what_is_chosen_or_for_the_first_answer() {
        let dashboard = dashboard();
        let meanings: BTreeMap<_, _> = dashboard.variables.into_iter().collect();
        for (name, value) in
            [("logs", "logq-logs"), ("service", ".*"), ("job", ".+"), ("slow", "1s"), ("words", "")]
        {
            assert_eq!(meanings[name], Meaning::Text(value.to_owned()), "{name}");
        }
        let Meaning::FirstOf(one) = &meanings["one"] else { panic!("{meanings:?}") };
        assert!(one.asked.uses("service") && !one.asked.uses("one"), "{one:?}");
    }

    #[test]
    fn variables_are_put_in_and_other_dollars_stay() {
        let values = BTreeMap::from([("job", ".+"), ("a_b", "x"), ("none", "")]);
        let values = values.into_iter().map(|(name, value)| (name.into(), value.into())).collect();
        for (text, expected) in [
            ("rate(a{job=~\"$job\"}[$__rate_interval])", "rate(a{job=~\".+\"}[15s])"),
            ("${job:regex}/${a_b}/$a_b/[[a_b]]", ".+/x/x/x"),
            ("|~ `(?i)${none:raw}`", "|~ `(?i)`"),
            ("$__range_s of [$__range]", "60 of [60s]"),
            (
                "|~ `^a$` | label_format b=`$1 ${2} $unknown ${open`",
                "|~ `^a$` | label_format b=`$1 ${2} $unknown ${open`",
            ),
            ("a[5m] [[", "a[5m] [["),
        ] {
            assert_eq!(interpolated(text, &values), expected);
        }
    }
}
