//! Fields of YAML mappings, with the faults of all of them.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::time::Duration;

use crate::template;
use saphyr::{MarkedYaml, Scalar, YamlData};

use super::place::place;
use super::{Fault, Faults, QueryFault, Texts};

/// The members of a mapping: key and value.
pub(super) type Fields<'y> = BTreeMap<String, (&'y MarkedYaml<'y>, &'y MarkedYaml<'y>)>;

pub(super) struct Reader<'a> {
    text: &'a str,
    check: &'a dyn Fn(&str) -> Vec<QueryFault>,
    faults: Vec<Fault>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(text: &'a str, check: &'a dyn Fn(&str) -> Vec<QueryFault>) -> Self {
        Self { text, check, faults: Vec::new() }
    }

    pub(super) fn finish(mut self, most: usize) -> Faults {
        self.faults.sort_by_key(|fault| (fault.line, fault.column));
        self.faults.truncate(most);
        Faults(self.faults)
    }

    pub(super) fn fault_at(&mut self, line: usize, column: usize, message: String) {
        let text = self.text.lines().nth(line.saturating_sub(1)).unwrap_or_default();
        let text = text.chars().take(200).collect();
        self.faults.push(Fault { line, column, message, text });
    }

    pub(super) fn fault(&mut self, node: &MarkedYaml<'_>, message: String) {
        self.fault_at(node.span.start.line(), node.span.start.col() + 1, message);
    }

    /// The members of a mapping.
    pub(super) fn fields<'y>(
        &mut self,
        node: &'y MarkedYaml<'y>,
        what: &str,
    ) -> Option<Fields<'y>> {
        let YamlData::Mapping(mapping) = &node.data else {
            self.fault(node, format!("{what} is a mapping of keys to values"));
            return None;
        };
        let mut fields = Fields::new();
        for (key, value) in mapping {
            match text_of(key) {
                Some(name) => {
                    fields.insert(name, (key, value));
                }
                None => self.fault(key, "a key is a text".to_owned()),
            }
        }
        Some(fields)
    }

    /// What is left is not known.
    pub(super) fn unknown(&mut self, fields: Fields<'_>, known: &[&str]) {
        for (name, (key, _)) in fields {
            let meant = ql::nearest(&name, known.iter().copied()).map_or_else(
                || format!("known are {}", known.join(", ")),
                |near| format!("did you mean `{near}`?"),
            );
            self.fault(key, format!("there is no key `{name}` here; {meant}"));
        }
    }

    pub(super) fn list<'y>(
        &mut self,
        fields: &mut Fields<'y>,
        name: &str,
    ) -> Vec<&'y MarkedYaml<'y>> {
        match fields.remove(name) {
            Some((_, node)) => match &node.data {
                YamlData::Sequence(list) => list.iter().collect(),
                YamlData::Value(Scalar::Null) => Vec::new(),
                _ => {
                    self.fault(node, format!("`{name}` is a list"));
                    Vec::new()
                }
            },
            None => Vec::new(),
        }
    }

    /// A name that has to be there.
    pub(super) fn name(&mut self, fields: &mut Fields<'_>, name: &str) -> Option<String> {
        let Some((_, node)) = fields.remove(name) else {
            // Where the mapping is: at any of its keys.
            if let Some((key, _)) = fields.values().next() {
                self.fault(key, format!("`{name}` is missing"));
            }
            return None;
        };
        match text_of(node).filter(|text| !text.trim().is_empty()) {
            Some(text) => Some(text),
            None => {
                self.fault(node, format!("`{name}` is a text that is not empty"));
                None
            }
        }
    }

    /// A query that has to be there; `stages` says whether it may have stages.
    pub(super) fn query(
        &mut self,
        fields: &mut Fields<'_>,
        name: &str,
        stages: bool,
    ) -> Option<String> {
        let node = fields.get(name).map(|(_, node)| *node);
        let text = self.name(fields, name)?;
        let node = node?;
        let start = (node.span.start.line(), node.span.start.col() + 1);
        let faults = (self.check)(&text);
        for (span, message) in &faults {
            let (line, column) = place(self.text, start, &text, span.start);
            self.fault_at(line, column, message.clone());
        }
        if !faults.is_empty() {
            return None;
        }
        if let Some(stage) =
            ql::parse(&text).ok().and_then(|parsed| parsed.stages.into_iter().next())
            && !stages
        {
            let (line, column) = place(self.text, start, &text, stage.name.span.start);
            self.fault_at(line, column, format!("`{name}` is a filter, without stages"));
            return None;
        }
        Some(text)
    }

    pub(super) fn duration(
        &mut self,
        fields: &mut Fields<'_>,
        name: &str,
        default: Duration,
        range: RangeInclusive<Duration>,
    ) -> Duration {
        let Some((_, node)) = fields.remove(name) else { return default };
        let text = text_of(node).unwrap_or_default();
        let parsed = duration_of(&text);
        match parsed.filter(|duration| range.contains(duration)) {
            Some(duration) => duration,
            None => {
                let message = match parsed {
                    None => format!("`{name}` is a length of time, such as 30s, 5m or 1h30m"),
                    Some(_) => {
                        format!("`{name}` lies between {:?} and {:?}", range.start(), range.end())
                    }
                };
                self.fault(node, message);
                default
            }
        }
    }

    /// A list of fields, or one.
    pub(super) fn names(&mut self, fields: &mut Fields<'_>, name: &str) -> Vec<String> {
        let Some((_, node)) = fields.remove(name) else { return Vec::new() };
        let list: Vec<&MarkedYaml<'_>> = match &node.data {
            YamlData::Sequence(list) => list.iter().collect(),
            _ => vec![node],
        };
        let mut names = Vec::new();
        for one in list {
            // It becomes a part of a query, and has to be one field there.
            let is_field = |text: &String| {
                let query = format!("* | stats count() by {text}");
                crate::find::keys_of(&query).is_some_and(|keys| keys.len() == 1)
                    && (self.check)(&query).is_empty()
            };
            match text_of(one).filter(is_field) {
                Some(text) => names.push(text),
                None => {
                    let message =
                        format!("`{name}` is a list of fields; an odd name stands in quotes");
                    self.fault(one, message);
                }
            }
        }
        names
    }

    /// `5%` or `0.05`.
    pub(super) fn share(&mut self, fields: &mut Fields<'_>, name: &str) -> Option<f64> {
        let node = fields.get(name).map(|(_, node)| *node);
        let text = self.name(fields, name)?;
        let share = match text.trim().strip_suffix('%') {
            Some(percent) => percent.trim().parse::<f64>().ok().map(|percent| percent / 100.0),
            None => text.trim().parse::<f64>().ok(),
        };
        let share = share.filter(|share| (0.0..=1.0).contains(share));
        if let (None, Some(node)) = (share, node) {
            self.fault(node, format!("`{name}` is a share such as 5% or 0.05"));
        }
        share
    }

    pub(super) fn count(&mut self, fields: &mut Fields<'_>, name: &str, default: u64) -> u64 {
        let Some((_, node)) = fields.remove(name) else { return default };
        match text_of(node).and_then(|text| text.parse().ok()) {
            Some(count) => count,
            None => {
                self.fault(node, format!("`{name}` is a number of records"));
                default
            }
        }
    }

    /// Texts by their names; as labels, names are those that Prometheus takes.
    pub(super) fn texts(&mut self, fields: &mut Fields<'_>, name: &str, labels: bool) -> Texts {
        let Some((_, node)) = fields.remove(name) else { return Texts::new() };
        let Some(members) = self.fields(node, &format!("`{name}`")) else { return Texts::new() };
        let mut texts = Texts::new();
        for (key, (key_node, value)) in members {
            if labels && !is_label(&key) {
                self.fault(
                    key_node,
                    format!("`{key}` is no name of a label: letters, digits and _, no digit first"),
                );
            }
            match text_of(value) {
                Some(text) => {
                    if let Some(wrong) = template::fault(&text).filter(|_| !labels) {
                        self.fault(value, format!("the template of `{key}`: {wrong}"));
                    }
                    texts.insert(key, text);
                }
                None => self.fault(value, format!("`{key}` is a text")),
            }
        }
        texts
    }
}

fn is_label(name: &str) -> bool {
    name.chars()
        .enumerate()
        .all(|(index, c)| c == '_' || c.is_ascii_alphabetic() || (index > 0 && c.is_ascii_digit()))
        && !name.is_empty()
}

/// Scalars as they would be written.
fn text_of(node: &MarkedYaml<'_>) -> Option<String> {
    match &node.data {
        YamlData::Value(Scalar::String(text)) => Some(text.to_string()),
        YamlData::Value(Scalar::Integer(number)) => Some(number.to_string()),
        YamlData::Value(Scalar::FloatingPoint(number)) => Some(number.to_string()),
        YamlData::Value(Scalar::Boolean(flag)) => Some(flag.to_string()),
        YamlData::Representation(text, ..) => Some(text.to_string()),
        _ => None,
    }
}

/// `30s`, `1h30m`, `0`; as the language writes lengths of time.
pub(crate) fn duration_of(text: &str) -> Option<Duration> {
    match text {
        "0" => Some(Duration::ZERO),
        text => Some(Duration::from_nanos(ql::duration_nanos(text)?.try_into().ok()?)),
    }
}
