//! What a query looks at of a line, so that a source reads nothing else.

use std::collections::BTreeSet;

use super::template::Template;
use crate::ast::{LabelChoice, LabelFilter, LabelSource, LogQuery, QuantityFilter, Stage};

/// What is looked at of each line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Needs {
    /// Whether its text is.
    pub line: bool,
    /// Whether its time is, beyond which windows it is in.
    pub time: bool,
    /// Whether all labels of its stream are.
    pub stream: bool,
    /// Further labels, of its stream or its own; `None` if all are.
    pub labels: Option<BTreeSet<String>>,
}

impl Needs {
    /// These labels alone, wherever they come from.
    pub(crate) fn of_labels<'a>(names: impl IntoIterator<Item = &'a String>) -> Self {
        let mut needs =
            Self { line: false, time: false, stream: false, labels: Some(BTreeSet::new()) };
        names.into_iter().for_each(|name| needs.label(name));
        needs
    }

    /// Whether a label of the stream is looked at.
    pub fn of_stream(&self, name: &str) -> bool {
        self.stream || self.of_line(name)
    }

    /// Whether a label that comes with the line is looked at.
    pub fn of_line(&self, name: &str) -> bool {
        self.labels.as_ref().is_none_or(|labels| labels.contains(name))
    }
}

/// What stages look at, beside what is wanted behind them.
pub(crate) fn needs(query: &LogQuery, wanted: Needs) -> Needs {
    let mut needs = wanted;
    for stage in &query.stages {
        needs.add(&stage.node);
        let parses = matches!(
            stage.node,
            Stage::Json(_)
                | Stage::Logfmt(_)
                | Stage::Pattern(_)
                | Stage::Regexp(_)
                | Stage::Unpack
        );
        if parses && needs.stream {
            // All that is parsed is wanted, and how it is called hangs on what the line came with.
            needs.labels = None;
        }
    }
    needs
}

impl Needs {
    fn add(&mut self, stage: &Stage) {
        match stage {
            Stage::Line(_)
            | Stage::Json(_)
            | Stage::Logfmt(_)
            | Stage::Pattern(_)
            | Stage::Regexp(_)
            | Stage::Unpack
            | Stage::Decolorize => self.line = true,
            Stage::Filter(filter) => self.filter(filter),
            Stage::LineFormat(template) => self.template(template),
            Stage::LabelFormat(formats) => {
                for format in formats {
                    match &format.to {
                        LabelSource::Label(label) => self.label(label),
                        LabelSource::Template(template) => self.template(template),
                    }
                }
            }
            // Whether a label goes hangs on nothing but that label.
            Stage::Drop(choices) | Stage::Keep(choices) => {
                for choice in choices {
                    if let LabelChoice::Matching(matcher) = choice {
                        self.label(&matcher.name);
                    }
                }
            }
            Stage::Unwrap(unwrap) => self.label(&unwrap.label),
        }
    }

    fn filter(&mut self, filter: &LabelFilter) {
        match filter {
            LabelFilter::Text(matcher) => self.label(&matcher.name),
            LabelFilter::Quantity(QuantityFilter { name, .. }) => self.label(name),
            LabelFilter::All(all) | LabelFilter::Any(all) => {
                all.iter().for_each(|one| self.filter(one));
            }
        }
    }

    fn label(&mut self, name: &str) {
        if let Some(labels) = &mut self.labels {
            labels.insert(name.to_owned());
            // Whether what is parsed has this name hangs on whether the line came with a label of the name before it.
            labels.extend(name.strip_suffix("_extracted").map(str::to_owned));
        }
    }

    fn template(&mut self, template: &str) {
        match Template::compile(template) {
            Ok(template) => template.looks_at(self),
            Err(_) => *self = Self { line: true, time: true, stream: true, labels: None },
        }
    }
}

impl super::template::Looks for Needs {
    fn at_label(&mut self, name: &str) {
        self.label(name);
    }

    fn at_line(&mut self) {
        self.line = true;
    }

    fn at_time(&mut self) {
        self.time = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ast::Expr;

    fn of(query: &str, wanted: &[&str]) -> String {
        let Ok(Expr::Log(query)) = crate::parse(query) else { panic!("{query}") };
        let wanted: Vec<String> = wanted.iter().map(|name| (*name).to_owned()).collect();
        let Needs { line, time, labels, .. } = needs(&query.node, Needs::of_labels(&wanted));
        let labels: Vec<String> = labels.into_iter().flatten().collect();
        let looks = [(line, "line "), (time, "time ")];
        let looks = looks.map(|(looks, name)| if looks { name } else { "" });
        format!("{}{}", looks.concat(), labels.join(" "))
    }

    #[test]
    fn all_labels_are_looked_at_where_all_that_is_parsed_is_wanted() {
        for (query, all) in [("{a=\"b\"} | c=\"d\"", false), ("{a=\"b\"} | json", true)] {
            let Ok(Expr::Log(query)) = crate::parse(query) else { panic!("{query}") };
            let wanted = Needs { stream: true, ..Needs::of_labels([]) };
            assert_eq!(needs(&query.node, wanted).labels.is_none(), all);
        }
    }

    #[test]
    fn what_stages_look_at_is_read() {
        for (query, expected) in [
            ("{a=\"b\"}", "w"),
            ("{a=\"b\"} | drop __error__", "w"),
            ("{a=\"b\"} | drop c=\"1\", d", "c w"),
            ("{a=\"b\"} |= `x`", "line w"),
            ("{a=\"b\"} | c=\"1\" or d > 5", "c d w"),
            ("{a=\"b\"} | json | c_extracted=\"1\"", "line c c_extracted w"),
            ("{a=\"b\"} | label_format x=`{{__timestamp__ | unixEpoch}}`", "time w"),
            ("{a=\"b\"} | label_format x=y, z=`{{.q | lower}}`", "q w y"),
            (
                "{a=\"b\"} | label_format z=`{{if .q}}{{__line__}}{{else}}{{.r}}{{end}}`",
                "line q r w",
            ),
        ] {
            assert_eq!(of(query, &["w"]), expected, "{query}");
        }
    }
}
