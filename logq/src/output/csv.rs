//! Comma-separated values, by RFC 4180.
//!
//! The columns of records are the fixed fields and the attributes of the first [`ROWS_LOOKED_AT`]; what later records
//! have beside those stands as JSON in a last column, `attributes`.

use std::io::{self, Write};

use serde_json::{Map, Value};

use super::row::{FIXED, Row};

/// The last column of records.
const REST: &str = "attributes";
const ROWS_LOOKED_AT: usize = 1_000;

#[derive(Debug, Default)]
pub(super) struct Csv {
    waiting: Vec<Row>,
    names: Option<Vec<String>>,
    records: bool,
}

impl Csv {
    pub(super) fn row(&mut self, row: Row, out: &mut impl Write) -> io::Result<()> {
        if self.names.is_some() {
            return self.print(&row, out);
        }
        self.waiting.push(row);
        if self.waiting.len() >= ROWS_LOOKED_AT { self.begin(out) } else { Ok(()) }
    }

    pub(super) fn finish(&mut self, out: &mut impl Write) -> io::Result<()> {
        if self.names.is_none() { self.begin(out) } else { Ok(()) }
    }

    fn begin(&mut self, out: &mut impl Write) -> io::Result<()> {
        let waiting = std::mem::take(&mut self.waiting);
        let Some(first) = waiting.first() else { return Ok(()) };
        self.records = first.is_record();
        let mut names: Vec<String> = Vec::new();
        if self.records {
            names.extend(FIXED.map(str::to_owned));
            for row in &waiting {
                let attributes = row.attributes().map(|(name, _)| name);
                for name in row.made().map(|(name, _)| name).chain(attributes) {
                    if name != REST && !names.contains(name) {
                        names.push(name.clone());
                    }
                }
            }
            names.push(REST.to_owned());
        } else {
            for (name, _) in waiting.iter().flat_map(|row| &row.0) {
                if !names.contains(name) {
                    names.push(name.clone());
                }
            }
        }
        write_line(names.iter().map(String::as_str), out)?;
        self.names = Some(names);
        waiting.iter().try_for_each(|row| self.print(row, out))
    }

    fn print(&self, row: &Row, out: &mut impl Write) -> io::Result<()> {
        let names = self.names.as_deref().unwrap_or_default();
        let cells = names.iter().map(|name| {
            if self.records && name == REST {
                let made = row.made().map(|(name, value)| (name, value));
                let others = made
                    .chain(row.attributes())
                    .filter(|(name, _)| *name == REST || !names.contains(*name));
                let others: Map<String, Value> =
                    others.map(|(name, value)| (name.clone(), value.clone())).collect();
                return if others.is_empty() {
                    String::new()
                } else {
                    Value::from(others).to_string()
                };
            }
            let attribute =
                || row.attributes().find(|(other, _)| *other == name).map(|(_, value)| value);
            row.get(name).or_else(attribute).map_or_else(String::new, text_of)
        });
        let cells: Vec<String> = cells.collect();
        write_line(cells.iter().map(String::as_str), out)
    }
}

fn text_of(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Array(values) => values.iter().map(text_of).collect::<Vec<_>>().join("; "),
        other => other.to_string(),
    }
}

fn write_line<'a>(cells: impl Iterator<Item = &'a str>, out: &mut impl Write) -> io::Result<()> {
    for (index, cell) in cells.enumerate() {
        if index > 0 {
            out.write_all(b",")?;
        }
        if cell.contains([',', '"', '\n', '\r']) {
            write!(out, "\"{}\"", cell.replace('"', "\"\""))?;
        } else {
            out.write_all(cell.as_bytes())?;
        }
    }
    out.write_all(b"\r\n")
}
