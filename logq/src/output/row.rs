//! One line of an answer: names and values in the order in which they came, which a map does not keep.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::Value;

/// Members of a record that are no attributes, in the order in which they are shown.
pub(super) const FIXED: [&str; 16] = [
    "timestamp",
    "severity",
    "service",
    "correlation_id",
    "message",
    "host",
    "trace_id",
    "span_id",
    "event_name",
    "severity_text",
    "severity_number",
    "observed_timestamp",
    "source.agent",
    "source.path",
    "source.offset",
    "record_seq",
];
/// Those of them that a table of records shows.
const SHOWN_IN_TABLES: usize = 5;

/// A record, or a row that stages made.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Row(pub(super) Vec<(String, Value)>);

impl Row {
    /// Whether it is a whole record: those have their place in the journal, rows of stages do not.
    pub(super) fn is_record(&self) -> bool {
        self.get("record_seq").is_some() && self.get("observed_timestamp").is_some()
    }

    pub(super) fn get(&self, name: &str) -> Option<&Value> {
        self.0.iter().find(|(other, _)| other == name).map(|(_, value)| value)
    }

    pub(super) fn text(&self, name: &str) -> &str {
        self.get(name).and_then(Value::as_str).unwrap_or_default()
    }

    /// What stages made of a record: members that are neither fixed nor attributes.
    pub(super) fn made(&self) -> impl Iterator<Item = &(String, Value)> {
        let fixed = |name: &str| name == "attributes" || FIXED.contains(&name);
        self.0.iter().filter(move |(name, _)| !fixed(name))
    }

    /// Its attributes.
    pub(super) fn attributes(&self) -> impl Iterator<Item = (&String, &Value)> {
        self.get("attributes").and_then(Value::as_object).into_iter().flatten()
    }

    /// A record as a row of a table, with the fields that people look at first; other rows as they are.
    pub(super) fn flat(self) -> Self {
        if !self.is_record() {
            return self;
        }
        let shown = FIXED[..SHOWN_IN_TABLES]
            .iter()
            .map(|name| ((*name).to_owned(), self.get(name).cloned().unwrap_or_default()));
        Self(shown.chain(self.made().cloned()).collect())
    }
}

impl<'de> Deserialize<'de> for Row {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct RowVisitor;

        impl<'de> Visitor<'de> for RowVisitor {
            type Value = Row;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Row, A::Error> {
                let mut cells = Vec::new();
                while let Some(cell) = object.next_entry()? {
                    cells.push(cell);
                }
                Ok(Row(cells))
            }
        }

        deserializer.deserialize_map(RowVisitor)
    }
}

/// Control characters as escapes, so that a text stays one line and cannot move the cursor.
pub(super) fn printable(text: &str) -> Cow<'_, str> {
    if !text.chars().any(char::is_control) {
        return Cow::Borrowed(text);
    }
    let escaped = text.chars().map(|character| match character {
        '\n' => "\\n".to_owned(),
        '\t' => "\\t".to_owned(),
        '\r' => "\\r".to_owned(),
        control if control.is_control() => format!("\\u{{{:x}}}", u32::from(control)),
        other => other.to_string(),
    });
    Cow::Owned(escaped.collect())
}

/// A value as a cell of a table.
pub(super) fn cell_text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => printable(text).into_owned(),
        Value::Array(values) if values.len() > 1 && values.iter().all(Value::is_u64) => {
            sparkline(values)
        }
        Value::Array(values) => values.iter().map(cell_text).collect::<Vec<_>>().join(", "),
        Value::Number(number) if number.is_f64() => {
            let float = number.as_f64().unwrap_or_default();
            if float != 0.0 && !(1e-4..1e15).contains(&float.abs()) {
                return number.to_string();
            }
            // Six digits behind the point are enough to read; JSON output has them all.
            let text = format!("{float:.6}");
            text.trim_end_matches('0').trim_end_matches('.').to_owned()
        }
        other => printable(&other.to_string()).into_owned(),
    }
}

/// Counts over a time as a line of small bars.
fn sparkline(counts: &[Value]) -> String {
    let counts: Vec<f64> = counts.iter().filter_map(Value::as_f64).collect();
    let most = counts.iter().copied().fold(0.0, f64::max);
    let bars = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let bar = |count: &f64| match *count {
        0.0 => ' ',
        count => bars[((count / most * 8.0).ceil() as usize).clamp(1, 8) - 1],
    };
    counts.iter().map(bar).collect()
}
