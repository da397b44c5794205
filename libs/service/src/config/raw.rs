//! TOML text and environment to one tree of values that know where they come from.

use std::collections::BTreeMap;
use std::sync::Arc;

use toml::Spanned;
use toml::de::{DeArray, DeTable, DeValue};

use super::{ENVIRONMENT_PREFIX, Fault, Origin};

/// The members of a table, each with the place of its key.
pub(super) type Members = BTreeMap<String, (Origin, Raw)>;

/// A value and where it comes from.
#[derive(Clone, Debug)]
pub(super) struct Raw {
    pub(super) origin: Origin,
    pub(super) value: RawValue,
    /// How it was written, for a value of the environment: a key that wants text takes `5` as text.
    pub(super) written: Option<String>,
}

#[derive(Clone, Debug)]
pub(super) enum RawValue {
    Text(String),
    Integer(i64),
    Float(f64),
    Bool(bool),
    /// A date or time, or an integer that does not fit; no key takes it.
    Other(&'static str),
    List(Vec<Raw>),
    Table(Members),
}

impl RawValue {
    /// What it is, for messages.
    pub(super) fn describe(&self) -> String {
        match self {
            Self::Text(text) => format!("the text {text:?}"),
            Self::Integer(number) => format!("the number {number}"),
            Self::Float(number) => format!("the number {number:?}"),
            Self::Bool(flag) => flag.to_string(),
            Self::Other(what) => (*what).to_owned(),
            Self::List(_) => "a list".to_owned(),
            Self::Table(_) => "a table".to_owned(),
        }
    }
}

/// Syntax errors of one file that are told one by one: behind the first few most follow from them.
const SYNTAX_FAULTS_MAX: usize = 100;

/// Reads a file. Syntax errors are faults, and then nothing of it is used.
pub(super) fn parse_file(name: &str, text: &str, faults: &mut Vec<Fault>) -> Members {
    let places = Places::new(name, text);
    let (table, errors) = DeTable::parse_recoverable(text);
    let untold = errors.len().saturating_sub(SYNTAX_FAULTS_MAX);
    for error in errors.into_iter().take(SYNTAX_FAULTS_MAX) {
        let span = error.span().unwrap_or(0..0);
        let message = format!("not valid TOML: {}", error.message().replace('\n', ", "));
        let origin = Some(places.origin(span.start));
        faults.push(Fault { origin, key: String::new(), message, help: None });
    }
    if untold > 0 {
        let message = format!("not valid TOML: {untold} more errors follow");
        faults.push(Fault { origin: None, key: String::new(), message, help: None });
    }
    if !faults.is_empty() {
        return Members::new();
    }
    members(table.get_ref(), &|offset| places.origin(offset))
}

/// Puts the overrides of the environment into the tree.
pub(super) fn apply_environment(
    root: &mut Members,
    environment: impl IntoIterator<Item = (String, String)>,
    faults: &mut Vec<Fault>,
) {
    // In the order of their names, so that the outcome does not depend on the system's.
    let mut overrides: Vec<_> = environment
        .into_iter()
        .filter(|(variable, _)| variable.starts_with(ENVIRONMENT_PREFIX))
        .collect();
    overrides.sort();
    for (variable, text) in overrides {
        let origin = Origin::Environment { variable: variable.as_str().into() };
        let path = variable[ENVIRONMENT_PREFIX.len()..].to_ascii_lowercase();
        let path: Vec<&str> = path.split("__").collect();
        if path.len() < 2 || path.iter().any(|level| level.is_empty()) {
            let message = "names no key of a table".to_owned();
            let help = Some("write it like LOGQ__COLLECTOR__HTTP".to_owned());
            faults.push(Fault { origin: Some(origin), key: path.join("."), message, help });
            continue;
        }
        insert(root, &path, parse_value(&text, &origin), &origin);
    }
}

/// Reads a value as it is written in an environment variable or as a key's fallback.
pub(super) fn parse_value(text: &str, origin: &Origin) -> Raw {
    let document = format!("value = {text}");
    let parsed = DeTable::parse(&document).ok().and_then(|table| {
        let only = table.get_ref().len() == 1;
        let value = table.get_ref().get("value").filter(|_| only)?;
        Some(raw(value, &|_| origin.clone()).value)
    });
    Raw {
        origin: origin.clone(),
        value: parsed.unwrap_or_else(|| RawValue::Text(text.to_owned())),
        written: Some(text.to_owned()),
    }
}

fn insert(members: &mut Members, path: &[&str], raw: Raw, origin: &Origin) {
    let (first, rest) = path.split_first().expect("a path has a level");
    if rest.is_empty() {
        members.insert((*first).to_owned(), (origin.clone(), raw));
        return;
    }
    let empty =
        || Raw { origin: origin.clone(), value: RawValue::Table(Members::new()), written: None };
    let (_, inner) =
        members.entry((*first).to_owned()).or_insert_with(|| (origin.clone(), empty()));
    // What is no table cannot hold the key: the later word counts.
    if !matches!(inner.value, RawValue::Table(_)) {
        *inner = empty();
    }
    if let RawValue::Table(members) = &mut inner.value {
        insert(members, rest, raw, origin);
    }
}

fn members(table: &DeTable<'_>, origin: &dyn Fn(usize) -> Origin) -> Members {
    table
        .iter()
        .map(|(key, value)| {
            (key.get_ref().to_string(), (origin(key.span().start), raw(value, origin)))
        })
        .collect()
}

fn list(array: &DeArray<'_>, origin: &dyn Fn(usize) -> Origin) -> Vec<Raw> {
    array.iter().map(|value| raw(value, origin)).collect()
}

fn raw(value: &Spanned<DeValue<'_>>, origin: &dyn Fn(usize) -> Origin) -> Raw {
    let converted = match value.get_ref() {
        DeValue::String(text) => RawValue::Text(text.to_string()),
        DeValue::Integer(number) => match i64::from_str_radix(number.as_str(), number.radix()) {
            Ok(number) => RawValue::Integer(number),
            Err(_) => RawValue::Other("a number beyond 64 bits"),
        },
        DeValue::Float(number) => match number.as_str().parse() {
            Ok(number) => RawValue::Float(number),
            Err(_) => RawValue::Other("a number that cannot be read"),
        },
        DeValue::Boolean(flag) => RawValue::Bool(*flag),
        DeValue::Datetime(_) => RawValue::Other("a date or time"),
        DeValue::Array(array) => RawValue::List(list(array, origin)),
        DeValue::Table(table) => RawValue::Table(members(table, origin)),
    };
    Raw { origin: origin(value.span().start), value: converted, written: None }
}

/// Byte offsets to lines and columns.
struct Places<'t> {
    name: Arc<str>,
    text: &'t str,
    /// Offsets. Every key has a place, so to find one must not take as long as to read the file.
    line_starts: Vec<usize>,
}

impl<'t> Places<'t> {
    fn new(name: &str, text: &'t str) -> Self {
        let ends = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n');
        let line_starts = std::iter::once(0).chain(ends.map(|(at, _)| at + 1)).collect();
        Self { name: name.into(), text, line_starts }
    }

    fn origin(&self, offset: usize) -> Origin {
        let offset = self.text.floor_char_boundary(offset);
        let line = self.line_starts.partition_point(|start| *start <= offset);
        let characters = self.text[self.line_starts[line - 1]..offset].chars().count();
        Origin::File { name: self.name.clone(), line, column: characters + 1 }
    }
}
