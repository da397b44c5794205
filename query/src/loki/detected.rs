//! What lines have beside their streams: labels of streams with how many values they have, and the fields of a sample of
//! lines, as Logs Drilldown and the completion of Grafana's editor ask for them.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::ops::Range;
use std::sync::Arc;

use logql::ast::{Expr, LogQuery, Matcher, Stage};
use logql::pipeline::{
    ERROR_DETAILS_LABEL, ERROR_LABEL, Entry, LineError, Origin, Outcome, Pipeline, sanitized,
};
use logql::{Span, Spanned, parse_bytes, parse_duration_ns};
use ql::Filter;
use serde::Serialize;
use serde_json::Value;

use super::answers::Refusal;
use super::lines::{Asked, Direction, Line};
use super::record::STREAM_LABELS;
use crate::error::QueryError;
use crate::memory::Account;
use crate::queries::Queries;

/// Different values of a field that are counted.
const VALUES_MAX: usize = 1_000;

/// A label with how many values it has.
#[derive(Debug, Serialize)]
pub(super) struct DetectedLabel {
    label: &'static str,
    cardinality: usize,
}

/// A field of lines.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct DetectedField {
    label: String,
    #[serde(rename = "type")]
    kind: &'static str,
    cardinality: usize,
    /// Those that find it; none if it comes with the line.
    parsers: Option<BTreeSet<&'static str>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    json_path: Vec<String>,
}

/// What is known of a field of the sample.
#[derive(Debug, Default)]
struct Seen {
    values: BTreeSet<String>,
    parsers: BTreeSet<&'static str>,
    /// What its values are, as long as they are all alike.
    kind: Option<&'static str>,
    /// Where it stood in the JSON of a line.
    path: Option<Vec<String>>,
}

/// Which lines are looked at.
#[derive(Debug)]
pub(super) struct Sample<'a> {
    pub(super) tenant: &'a str,
    pub(super) query: &'a str,
    pub(super) time: Range<i64>,
    pub(super) lines: usize,
    /// The most fields, or values of one.
    pub(super) limit: usize,
}

impl Queries {
    /// The labels of streams, with how many values they have.
    pub(super) fn loki_detected_labels(
        &self,
        tenant: &str,
        matchers: &[Matcher],
        time: &Range<i64>,
        account: &Arc<Account>,
    ) -> Result<Vec<DetectedLabel>, QueryError> {
        let mut detected = Vec::new();
        for (label, _) in STREAM_LABELS {
            let values = self.loki_values(tenant, label, matchers, time.clone(), account)?;
            if !values.is_empty() {
                detected.push(DetectedLabel { label, cardinality: values.len() });
            }
        }
        Ok(detected)
    }

    /// The fields of a sample of lines, in the order of their names.
    pub(super) fn loki_detected_fields(
        &self,
        sample: &Sample<'_>,
        account: &Arc<Account>,
    ) -> Result<Vec<DetectedField>, Refusal> {
        let seen = self.fields_of(sample, account)?;
        let mut fields: Vec<DetectedField> = seen
            .into_iter()
            .map(|(label, seen)| DetectedField {
                kind: seen.kind.unwrap_or("string"),
                cardinality: seen.values.len(),
                json_path: seen.path.unwrap_or_default(),
                parsers: (!seen.parsers.is_empty()).then_some(seen.parsers),
                label,
            })
            .collect();
        fields.truncate(sample.limit);
        Ok(fields)
    }

    /// The values that a field has in a sample of lines.
    pub(super) fn loki_detected_values(
        &self,
        sample: &Sample<'_>,
        field: &str,
        account: &Arc<Account>,
    ) -> Result<Vec<String>, Refusal> {
        let mut seen = self.fields_of(sample, account)?;
        let values = seen.remove(field).map(|seen| seen.values).unwrap_or_default();
        Ok(values.into_iter().take(sample.limit).collect())
    }

    fn fields_of(
        &self,
        sample: &Sample<'_>,
        account: &Arc<Account>,
    ) -> Result<BTreeMap<String, Seen>, Refusal> {
        let query = match logql::parse(sample.query)? {
            Expr::Log(query) => query.node,
            Expr::Metric(_) => {
                return Err(Refusal::bad_request("only log selector is supported"));
            }
        };
        let asked = Asked {
            tenant: sample.tenant,
            query: &query,
            time: sample.time.clone(),
            limit: sample.lines,
            direction: Direction::Backward,
            also: Filter::All,
        };
        let found = self.loki_lines(&asked, account)?;
        let own = parsers_of(&query);
        let parsers =
            [("json", Stage::Json(Vec::new())), ("logfmt", Stage::Logfmt(Default::default()))];
        let parsers = parsers.map(|(name, stage)| (name, alone(stage)));
        let mut seen: BTreeMap<String, Seen> = BTreeMap::new();
        for line in &found.lines {
            for (name, value) in line.metadata.iter() {
                see(&mut seen, name, value, None);
            }
            for (name, value) in line.parsed.iter() {
                for parser in &own {
                    see(&mut seen, name, value, Some(parser));
                }
                if own.is_empty() {
                    see(&mut seen, name, value, None);
                }
            }
            if own.is_empty() {
                detect(line, &parsers, &mut seen);
            }
        }
        Ok(seen)
    }
}

/// A pipeline of one stage.
fn alone(stage: Stage) -> Pipeline {
    let stages = vec![Spanned::new(stage, Span::new(0, 0))];
    Pipeline::compile(&LogQuery { matchers: Vec::new(), stages }).expect("a parser has no fault")
}

/// What the first parser finds that understands the line, under the names that it would have in a query.
fn detect(line: &Line, parsers: &[(&'static str, Pipeline)], seen: &mut BTreeMap<String, Seen>) {
    let Line { timestamp_ns, text, stream, metadata, .. } = line;
    let entry = Entry { timestamp_ns: *timestamp_ns, line: text, stream, metadata };
    for (name, pipeline) in parsers {
        let Outcome::Kept(kept) = pipeline.apply(&entry) else { continue };
        let understood = match *name {
            "json" => kept.labels.error() != Some(LineError::Json.name()),
            // Prose is full of words; a pair has a sign between.
            _ => kept.labels.error().is_none() && text.contains('='),
        };
        if understood {
            let object: Value = serde_json::from_str(text).unwrap_or_default();
            for (label, value) in kept.labels.of(Origin::Parsed).iter() {
                see(seen, label, value, Some(name));
                if let Some(field) = seen.get_mut(label)
                    && field.path.is_none()
                {
                    field.path =
                        path_of(&object, label.strip_suffix("_extracted").unwrap_or(label));
                }
            }
            return;
        }
    }
}

/// The keys that lead to what has a label; those of objects within objects are joined by `_`.
fn path_of(value: &Value, label: &str) -> Option<Vec<String>> {
    value.as_object()?.iter().find_map(|(key, inner)| {
        let rest = label.strip_prefix(&sanitized(key)?)?;
        let mut path = vec![key.clone()];
        if !rest.is_empty() {
            path.extend(path_of(inner, rest.strip_prefix('_')?)?);
        }
        Some(path)
    })
}

fn see(seen: &mut BTreeMap<String, Seen>, name: &str, value: &str, parser: Option<&'static str>) {
    if name == ERROR_LABEL || name == ERROR_DETAILS_LABEL {
        return;
    }
    let field = seen.entry(name.to_owned()).or_default();
    let kind = kind_of(value);
    field.kind = Some(match field.kind {
        None => kind,
        Some(known) if known == kind => kind,
        Some("int" | "float") if kind == "int" || kind == "float" => "float",
        Some(_) => "string",
    });
    field.parsers.extend(parser);
    if field.values.len() < VALUES_MAX {
        field.values.insert(value.to_owned());
    }
}

fn kind_of(value: &str) -> &'static str {
    let begins_as_number = value.starts_with(|first: char| first.is_ascii_digit() || first == '-');
    match value {
        "true" | "false" => "boolean",
        _ if value.parse::<i64>().is_ok() => "int",
        _ if begins_as_number && value.parse::<f64>().is_ok() => "float",
        _ if parse_duration_ns(value).is_some() => "duration",
        _ if begins_as_number && parse_bytes(value).is_some() => "bytes",
        _ => "string",
    }
}

/// The parsers that a query has itself.
fn parsers_of(query: &LogQuery) -> Vec<&'static str> {
    let parsers: HashSet<&'static str> = query
        .stages
        .iter()
        .filter_map(|stage| match stage.node {
            Stage::Json(_) | Stage::Unpack => Some("json"),
            Stage::Logfmt(_) => Some("logfmt"),
            Stage::Pattern(_) => Some("pattern"),
            Stage::Regexp(_) => Some("regexp"),
            _ => None,
        })
        .collect();
    let mut parsers: Vec<&'static str> = parsers.into_iter().collect();
    parsers.sort_unstable();
    parsers
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_found_whatever_signs_are_in_its_keys() {
        let object = serde_json::json!({"user_id": 1, "user": {"id-x": {"a.b": 2}}, "q": 5});
        for (label, expected) in [
            ("user_id", Some(vec!["user_id"])),
            ("user_id_x_a_b", Some(vec!["user", "id-x", "a.b"])),
            ("q", Some(vec!["q"])),
            ("q_r", None),
        ] {
            let path = path_of(&object, label);
            assert_eq!(path, expected.map(|path| path.into_iter().map(str::to_owned).collect()));
        }
    }

    #[test]
    fn kinds_of_values_are_told_apart() {
        for (value, expected) in [
            ("5", "int"),
            ("-5", "int"),
            ("5.5", "float"),
            ("1e3", "float"),
            ("true", "boolean"),
            ("10ms", "duration"),
            ("1h30m", "duration"),
            ("10KB", "bytes"),
            ("nan", "string"),
            ("b", "string"),
            ("", "string"),
            ("ord-5", "string"),
        ] {
            assert_eq!(kind_of(value), expected, "{value}");
        }
    }
}
