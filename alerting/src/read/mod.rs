//! Reads rules from YAML. All faults of a file are reported at once, each where it is.

mod fields;
mod place;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ops::Range;
use std::time::Duration;

use saphyr::{LoadableYamlNode, MarkedYaml};

pub(crate) use self::fields::duration_of;
use self::fields::{Fields, Reader};
use crate::rules::{Group, Kind, Rule, Rules};

/// Largest file that is read.
const BYTES_MAX: usize = 1 << 20;
/// Faults that are reported.
const FAULTS_MAX: usize = 50;
const INTERVAL_DEFAULT: Duration = Duration::from_secs(60);
const WINDOW_DEFAULT: Duration = Duration::from_secs(5 * 60);
const FORGET_DEFAULT: Duration = Duration::from_secs(24 * 3_600);
const INTERVAL_MIN: Duration = Duration::from_secs(1);
const WINDOW_MAX: Duration = Duration::from_secs(31 * 86_400);

/// Something wrong with a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// From 1.
    pub line: usize,
    /// From 1, in characters.
    pub column: usize,
    /// What is wrong and what would be right.
    pub message: String,
    /// The line of the file.
    pub text: String,
}

/// All that is wrong with a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Faults(pub Vec<Fault>);

impl fmt::Display for Faults {
    /// Each with its line and a caret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, fault) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("\n\n")?;
            }
            let number = fault.line.to_string();
            let margin = " ".repeat(number.len());
            let caret = " ".repeat(fault.column.saturating_sub(1));
            write!(
                f,
                "line {}, column {}: {}\n{number} | {}\n{margin} | {caret}^",
                fault.line, fault.column, fault.message, fault.text
            )?;
        }
        Ok(())
    }
}

impl std::error::Error for Faults {}

/// What is wrong with a query, and where in its text.
pub type QueryFault = (Range<usize>, String);

/// Reads the rules of all files that `patterns` name, with `*`, in the order of their names; `check` as in [`read`].
///
/// # Errors
/// All faults of all files, each with its file; a pattern that names no file.
pub fn read_files(
    patterns: &[String],
    check: &dyn Fn(&str) -> Vec<QueryFault>,
) -> Result<Rules, String> {
    let (mut rules, mut faults) = (Rules::default(), Vec::new());
    for pattern in patterns {
        let mut paths = match glob::glob(pattern) {
            Ok(paths) => paths.filter_map(Result::ok).collect::<Vec<_>>(),
            Err(error) => {
                faults.push(format!("{pattern}: {error}"));
                continue;
            }
        };
        paths.retain(|path| path.is_file());
        if paths.is_empty() {
            faults.push(format!("{pattern}: there is no such file of rules"));
        }
        for path in paths {
            match std::fs::read_to_string(&path) {
                Ok(text) => match read(&text, check) {
                    Ok(more) => rules.groups.extend(more.groups),
                    Err(wrong) => faults.push(format!("{}:\n{wrong}", path.display())),
                },
                Err(error) => faults.push(format!("{}: {error}", path.display())),
            }
        }
    }
    if faults.is_empty() { Ok(rules) } else { Err(faults.join("\n\n")) }
}

/// Reads the rules of a file; `check` says what is wrong with a query.
///
/// # Errors
/// All faults, in the order of the file.
pub fn read(text: &str, check: &dyn Fn(&str) -> Vec<QueryFault>) -> Result<Rules, Faults> {
    let mut reader = Reader::new(text, check);
    if text.len() > BYTES_MAX {
        reader.fault_at(1, 1, format!("the file has more than {BYTES_MAX} bytes"));
        return Err(reader.finish(FAULTS_MAX));
    }
    let documents = match MarkedYaml::load_from_str(text) {
        Ok(documents) => documents,
        Err(error) => {
            let marker = *error.marker();
            let message = format!("this is no YAML: {}", error.info());
            reader.fault_at(marker.line(), marker.col() + 1, message);
            return Err(reader.finish(FAULTS_MAX));
        }
    };
    let mut rules = Rules::default();
    for document in &documents {
        let Some(mut fields) = reader.fields(document, "a file of rules") else { continue };
        let groups = reader.list(&mut fields, "groups");
        let mut names = BTreeSet::new();
        for group in groups {
            rules.groups.extend(read_group(&mut reader, group, &mut names));
        }
        reader.unknown(fields, &["groups"]);
    }
    if documents.is_empty() {
        reader.fault_at(
            1,
            1,
            "there are no groups; write `groups:` and a list below it".to_owned(),
        );
    }
    let faults = reader.finish(FAULTS_MAX);
    if faults.0.is_empty() { Ok(rules) } else { Err(faults) }
}

fn read_group<'y>(
    reader: &mut Reader<'_>,
    node: &'y MarkedYaml<'y>,
    names: &mut BTreeSet<String>,
) -> Option<Group> {
    let mut fields = reader.fields(node, "a group")?;
    let name = reader.name(&mut fields, "name").unwrap_or_default();
    if !name.is_empty() && !names.insert(name.clone()) {
        reader.fault(node, format!("there is a group `{name}` already"));
    }
    let interval =
        reader.duration(&mut fields, "interval", INTERVAL_DEFAULT, INTERVAL_MIN..=WINDOW_MAX);
    let rules =
        reader.list(&mut fields, "rules").into_iter().filter_map(|rule| read_rule(reader, rule));
    let rules: Vec<Rule> = rules.collect();
    reader.unknown(fields, &["name", "interval", "rules"]);
    Some(Group { name, interval, rules })
}

const RULE: [&str; 10] = [
    "alert",
    "query",
    "absent",
    "ratio",
    "expect",
    "window",
    "for",
    "keep_firing_for",
    "labels",
    "annotations",
];

fn read_rule<'y>(reader: &mut Reader<'_>, node: &'y MarkedYaml<'y>) -> Option<Rule> {
    let mut fields = reader.fields(node, "a rule")?;
    let alert = reader.name(&mut fields, "alert").unwrap_or_default();
    let any = Duration::ZERO..=WINDOW_MAX;
    let window = reader.duration(&mut fields, "window", WINDOW_DEFAULT, INTERVAL_MIN..=WINDOW_MAX);
    let hold = reader.duration(&mut fields, "for", Duration::ZERO, any.clone());
    let keep_firing_for = reader.duration(&mut fields, "keep_firing_for", Duration::ZERO, any);
    let labels = reader.texts(&mut fields, "labels", true);
    let annotations = reader.texts(&mut fields, "annotations", false);
    let kind = read_kind(reader, node, &mut fields);
    reader.unknown(fields, &RULE);
    Some(Rule { alert, kind: kind?, window, hold, keep_firing_for, labels, annotations })
}

/// Exactly one of the kinds.
fn read_kind<'y>(
    reader: &mut Reader<'_>,
    node: &'y MarkedYaml<'y>,
    fields: &mut Fields<'y>,
) -> Option<Kind> {
    let given: Vec<&str> = ["query", "absent", "ratio", "expect"]
        .into_iter()
        .filter(|name| fields.contains_key(*name))
        .collect();
    if given.len() != 1 {
        let message = match given.len() {
            0 => "a rule needs one of `query`, `absent`, `ratio`, `expect`".to_owned(),
            _ => format!(
                "a rule has one of `query`, `absent`, `ratio`, `expect`, and this has {}",
                given.join(" and ")
            ),
        };
        reader.fault(node, message);
        given.iter().for_each(|name| {
            fields.remove(*name);
        });
        return None;
    }
    if given[0] == "query" {
        return reader.query(fields, "query", true).map(Kind::Query);
    }
    let (_, inner) = fields.remove(given[0])?;
    let mut inner_fields = reader.fields(inner, given[0])?;
    let inner = &mut inner_fields;
    let day = INTERVAL_MIN..=WINDOW_MAX;
    let (kind, known): (Option<Kind>, &[&str]) = match given[0] {
        "absent" => {
            let query = reader.query(inner, "query", false);
            let by = reader.names(inner, "by");
            let forget_after = reader.duration(inner, "forget_after", FORGET_DEFAULT, day);
            let by = if by.is_empty() { vec!["service".to_owned()] } else { by };
            (
                query.map(|query| Kind::Absent { query, by, forget_after }),
                &["query", "by", "forget_after"],
            )
        }
        "ratio" => {
            let (bad, total) =
                (reader.query(inner, "bad", false), reader.query(inner, "total", false));
            let by = reader.names(inner, "by");
            let above = reader.share(inner, "above");
            let at_least = reader.count(inner, "at_least", 1);
            let kind = bad.zip(total).zip(above).map(|((bad, total), above)| Kind::Ratio {
                bad,
                total,
                by,
                above,
                at_least,
            });
            (kind, &["bad", "total", "by", "above", "at_least"])
        }
        _ => {
            let (after, then) =
                (reader.query(inner, "after", false), reader.query(inner, "then", false));
            let within = reader.duration(inner, "within", Duration::from_secs(60), day);
            (
                after.zip(then).map(|(after, then)| Kind::Expect { after, then, within }),
                &["after", "then", "within"],
            )
        }
    };
    reader.unknown(inner_fields, known);
    kind
}

/// Labels and annotations by their names.
type Texts = BTreeMap<String, String>;
