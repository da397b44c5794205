//! One line of an answer: a record, or a row that stages made. Members keep the order in which they came.

use std::fmt;

use query::Cursor;
use record::Timestamp;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::Value;

use super::condition;

/// Fixed fields in the order in which the detail shows them; attributes come behind them.
const FIRST: [&str; 8] = [
    "timestamp",
    "severity",
    "service",
    "host",
    "correlation_id",
    "trace_id",
    "span_id",
    "message",
];

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Row(Vec<(String, Value)>);

/// A field as the detail shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Shown {
    pub(super) name: String,
    pub(super) value: String,
    /// The name as a query writes it.
    pub(super) written: String,
}

impl Row {
    pub(super) fn read(line: &[u8]) -> Option<Self> {
        serde_json::from_slice(line).ok()
    }

    pub(super) fn get(&self, name: &str) -> Option<&Value> {
        self.0.iter().find(|(other, _)| other == name).map(|(_, value)| value)
    }

    /// A member that is a text, or nothing.
    pub(super) fn text(&self, name: &str) -> &str {
        self.get(name).and_then(Value::as_str).unwrap_or_default()
    }

    /// Whether it looks like a record; rows of stages such as `stats` do not.
    pub(super) fn is_record(&self) -> bool {
        self.get("timestamp").is_some() && self.get("record_seq").is_some()
    }

    pub(super) fn time(&self) -> Option<i64> {
        Timestamp::parse_rfc3339(self.text("timestamp")).map(|time| time.0)
    }

    /// Its place in the order of records.
    pub(super) fn cursor(&self) -> Option<Cursor> {
        let seq = self.get("record_seq")?.as_u64()?;
        Some(Cursor { time: self.time()?, seq })
    }

    pub(super) fn members(&self) -> &[(String, Value)] {
        &self.0
    }

    /// All of its fields, those first that people look at first.
    pub(super) fn shown(&self) -> Vec<Shown> {
        let first = FIRST.iter().filter_map(|name| Some((*name, self.get(name)?)));
        let rest = self.0.iter().filter(|(name, _)| !FIRST.contains(&name.as_str()));
        let rest = rest.filter(|(name, _)| name != "attributes");
        let rest = rest.map(|(name, value)| (name.as_str(), value));
        let attributes = self.get("attributes").and_then(Value::as_object).into_iter().flatten();
        let fixed = |(name, value): (&str, &Value)| Shown {
            name: name.to_owned(),
            value: plain(value),
            written: ql::Field::resolve(name).to_string(),
        };
        let attribute = |(name, value): (&String, &Value)| Shown {
            name: name.clone(),
            value: plain(value),
            written: condition::attribute(name),
        };
        let (first, rest): (Vec<_>, Vec<_>) =
            (first.map(fixed).collect(), rest.map(fixed).collect());
        first.into_iter().chain(attributes.map(attribute)).chain(rest).collect()
    }
}

/// A value as a person reads it.
pub(super) fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

impl<'de> Deserialize<'de> for Row {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;

        impl<'de> Visitor<'de> for Members {
            type Value = Row;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Row, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = object.next_entry()? {
                    members.push(member);
                }
                Ok(Row(members))
            }
        }

        deserializer.deserialize_map(Members)
    }
}
