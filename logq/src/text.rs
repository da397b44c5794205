//! Records as text, one line each, and rows as a table.

use std::borrow::Cow;
use std::fmt;
use std::io::{self, IsTerminal, Write};

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::{Map, Value};

const RESET: &str = "\x1b[0m";
const DIM: &str = "\x1b[2m";
const BOLD: &str = "\x1b[1m";
const CYAN: &str = "\x1b[36m";
const MAGENTA: &str = "\x1b[35m";
/// Rows that are measured before the first is printed; later ones keep those widths.
const TABLE_ROWS_MEASURED: usize = 1_000;
/// Widest column of a table that is padded.
const COLUMN_WIDTH_MAX: usize = 60;

/// Whether standard output is a terminal that wants colours (<https://no-color.org>).
pub(crate) fn colours_wanted() -> bool {
    let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    !no_color && io::stdout().is_terminal()
}

/// Dimmed on a terminal.
pub(crate) fn dimmed(text: &str) -> Cow<'_, str> {
    if colours_wanted() { Cow::Owned(format!("{DIM}{text}{RESET}")) } else { Cow::Borrowed(text) }
}

/// Prints lines of JSON as text.
pub(crate) struct TextPrinter<W> {
    out: W,
    colours: bool,
    table: Table,
}

/// One row: names and values in the order in which they came, which [`Map`] does not keep.
struct Row(Vec<(String, Value)>);

/// Rows that wait until the widths of their columns are known.
#[derive(Default)]
struct Table {
    names: Vec<String>,
    rows: Vec<Vec<String>>,
    numbers: Vec<bool>,
    widths: Option<Vec<usize>>,
}

impl<W: Write> TextPrinter<W> {
    pub(crate) fn new(out: W, colours: bool) -> Self {
        Self { out, colours, table: Table::default() }
    }

    /// Prints a record at once; keeps a row until the table can be laid out.
    pub(crate) fn line(&mut self, line: &[u8]) -> io::Result<()> {
        match serde_json::from_slice::<Map<String, Value>>(line) {
            // Whole records have their place in the journal; rows of stages do not.
            Ok(object)
                if object.contains_key("record_seq")
                    && object.contains_key("observed_timestamp") =>
            {
                let text = record_line(&object, self.colours);
                writeln!(self.out, "{text}")
            }
            Ok(_) => {
                self.table.push(&serde_json::from_slice(line)?);
                if self.table.rows.len() >= TABLE_ROWS_MEASURED {
                    self.table.print(&mut self.out, self.colours)
                } else {
                    Ok(())
                }
            }
            // Never hide what the server says.
            Err(_) => {
                self.out.write_all(line)?;
                self.out.write_all(b"\n")
            }
        }
    }

    pub(crate) fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }

    pub(crate) fn finish(&mut self) -> io::Result<()> {
        self.table.print(&mut self.out, self.colours)?;
        self.out.flush()
    }
}

/// `TIME LEVEL SERVICE [CORRELATION] MESSAGE name=value …`
fn record_line(record: &Map<String, Value>, colours: bool) -> String {
    let text = |name: &str| record.get(name).and_then(Value::as_str).unwrap_or_default();
    let paint = |code: &str, text: &str| match colours && !text.is_empty() {
        true => format!("{code}{text}{RESET}"),
        false => text.to_owned(),
    };
    let level = text("severity");
    let mut line = paint(DIM, text("timestamp"));
    line.push(' ');
    line.push_str(&paint(level_colour(level), &format!("{:<5}", level.to_uppercase())));
    for (name, colour) in [("service", CYAN), ("correlation_id", MAGENTA)] {
        let value = text(name);
        if !value.is_empty() {
            line.push(' ');
            line.push_str(&paint(colour, &printable(value)));
        }
    }
    line.push(' ');
    line.push_str(&printable(text("message")));
    if let Some(attributes) = record.get("attributes").and_then(Value::as_object) {
        for (name, value) in attributes {
            line.push_str(&paint(DIM, &format!(" {}={}", printable(name), attribute_text(value))));
        }
    }
    line
}

fn level_colour(level: &str) -> &'static str {
    match level {
        "fatal" => "\x1b[1;31m",
        "error" => "\x1b[31m",
        "warn" => "\x1b[33m",
        "info" => "\x1b[32m",
        _ => "\x1b[34m",
    }
}

/// Control characters as escapes, so that a record stays one line and cannot move the cursor.
fn printable(text: &str) -> Cow<'_, str> {
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

fn attribute_text(value: &Value) -> String {
    match value {
        Value::String(text) if text.is_empty() || text.contains([' ', '"', '=']) => {
            Value::String(text.clone()).to_string()
        }
        Value::String(text) => printable(text).into_owned(),
        other => other.to_string(),
    }
}

fn cell_text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => printable(text).into_owned(),
        Value::Array(values) => values.iter().map(cell_text).collect::<Vec<_>>().join(", "),
        Value::Number(number) if number.is_f64() => {
            let number = number.as_f64().unwrap_or_default();
            // Six digits behind the point are enough to read; JSON output has them all.
            let text = format!("{number:.6}");
            text.trim_end_matches('0').trim_end_matches('.').to_owned()
        }
        other => other.to_string(),
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

impl Table {
    fn push(&mut self, Row(cells): &Row) {
        if self.names.is_empty() {
            self.names = cells.iter().map(|(name, _)| name.clone()).collect();
            self.numbers = vec![true; self.names.len()];
        }
        let mut row = Vec::with_capacity(self.names.len());
        for (index, name) in self.names.iter().enumerate() {
            let value = cells
                .iter()
                .find(|(other, _)| other == name)
                .map_or(&Value::Null, |(_, value)| value);
            self.numbers[index] &= value.is_number() || value.is_null();
            row.push(cell_text(value));
        }
        self.rows.push(row);
    }

    fn print(&mut self, out: &mut impl Write, colours: bool) -> io::Result<()> {
        if self.rows.is_empty() {
            return Ok(());
        }
        if self.widths.is_none() {
            let width = |text: &str| text.chars().count();
            let widths = self.names.iter().enumerate().map(|(index, name)| {
                let widest = self.rows.iter().map(|row| width(&row[index])).max().unwrap_or(0);
                widest.max(width(name)).min(COLUMN_WIDTH_MAX)
            });
            self.widths = Some(widths.collect());
            let names = self.names.clone();
            self.print_row(out, &names, if colours { BOLD } else { "" })?;
        }
        for row in std::mem::take(&mut self.rows) {
            self.print_row(out, &row, "")?;
        }
        Ok(())
    }

    fn print_row(&self, out: &mut impl Write, cells: &[String], style: &str) -> io::Result<()> {
        let widths = self.widths.as_deref().unwrap_or_default();
        let mut line = String::new();
        for (index, cell) in cells.iter().enumerate() {
            if index > 0 {
                line.push_str("  ");
            }
            let padding = " ".repeat(widths[index].saturating_sub(cell.chars().count()));
            // Numbers to the right, text to the left.
            if self.numbers[index] {
                line.push_str(&padding);
                line.push_str(cell);
            } else {
                line.push_str(cell);
                line.push_str(&padding);
            }
        }
        let line = line.trim_end();
        if style.is_empty() {
            writeln!(out, "{line}")
        } else {
            writeln!(out, "{style}{line}{RESET}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn printed(lines: &[&str], colours: bool) -> String {
        let mut printer = TextPrinter::new(Vec::new(), colours);
        for line in lines {
            printer.line(line.as_bytes()).unwrap();
        }
        printer.finish().unwrap();
        String::from_utf8(printer.out).unwrap()
    }

    const RECORD: &str = r#"{"timestamp":"2026-01-02T03:04:05.678Z","record_seq":1,"observed_timestamp":"2026-01-02T03:04:05Z","severity":"error","service":"orders","correlation_id":"c1","message":"two\nlines","attributes":{"n":5,"path":"/a b"}}"#;

    #[test]
    fn a_record_is_one_line() {
        insta::assert_snapshot!(printed(&[RECORD], false), @r#"2026-01-02T03:04:05.678Z ERROR orders c1 two\nlines n=5 path="/a b""#);
    }

    #[test]
    fn levels_and_ids_have_their_colours() {
        assert!(printed(&[RECORD], true).contains("\x1b[31mERROR\x1b[0m"));
    }

    #[test]
    fn rows_are_a_table_with_numbers_to_the_right() {
        let rows = [
            r#"{"service":"a","count":5,"p95":1.25}"#,
            r#"{"service":null,"count":12345,"p95":null}"#,
        ];
        insta::assert_snapshot!(printed(&rows, false), @r"
        service  count   p95
        a            5  1.25
                 12345
        ");
    }
}
