//! `parse json`, `parse logfmt`: fields out of a text that holds many.
//!
//! Members of objects in objects get names with points; lists stay as their JSON. Values of the record win over nothing:
//! what is parsed stands before a field of the same name.

use ql::{Arguments, Diagnostic, Field, Read};
use record::ValueRef;
use serde_json::Value;

use super::{Flow, Needs, Stage, StageHelp};
use crate::batch::Batch;
use crate::cell::Cell;
use crate::error::QueryError;

pub(super) const HELP: StageHelp = StageHelp {
    name: "parse",
    usage: "parse json | logfmt [from FIELD] [prefix NAME]",
    summary: "makes fields of the JSON object or of the key=value pairs in the message or in FIELD, 256 at most; NAME stands before their names",
    example: "* | parse logfmt | fields time, user, took",
    parse,
};

/// Most fields that one batch gets.
const FIELDS_MAX: usize = 256;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Json,
    Logfmt,
}

#[derive(Clone, Debug)]
struct Parse {
    format: Format,
    from: Field,
    prefix: String,
}

fn parse(arguments: &mut Arguments<'_>) -> Read<Box<dyn Stage>> {
    let name = arguments.name().map_err(|_| arguments.unexpected("`json` or `logfmt`"))?;
    let format = match name.node.as_str() {
        "json" => Format::Json,
        "logfmt" => Format::Logfmt,
        other => {
            let wrong =
                format!("there is no format `{}`", other.chars().take(40).collect::<String>());
            return Err(Diagnostic::error("unknown_format", name.span, wrong)
                .expecting("`json` or `logfmt`")
                .did_you_mean(ql::nearest(other, ["json", "logfmt"]))
                .into());
        }
    };
    let from = match arguments.keyword("from") {
        Some(_) => arguments.field()?.node,
        None => Field::Message,
    };
    let prefix = match arguments.keyword("prefix") {
        Some(_) => arguments.name()?.node,
        None => String::new(),
    };
    Ok(Box::new(Parse { format, from, prefix }))
}

impl Parse {
    fn add(&self, batch: &mut Batch) {
        let mut parsed: Vec<(String, Vec<Cell>)> = Vec::new();
        let texts = batch.whole_column(&self.from);
        let rows = texts.len();
        for (row, text) in texts.into_iter().enumerate() {
            let Cell::Text(text) = text else { continue };
            let mut give = |name: String, cell: Cell| {
                let known = parsed.iter().position(|(other, _)| *other == name);
                let column = match known {
                    Some(known) => known,
                    None if parsed.len() == FIELDS_MAX => return,
                    None => {
                        parsed.push((name, vec![Cell::Null; rows]));
                        parsed.len() - 1
                    }
                };
                parsed[column].1[row] = cell;
            };
            match self.format {
                Format::Json => {
                    // What stands before the object is often a prefix of the writer.
                    let start = text.find('{').unwrap_or(text.len());
                    let mut values =
                        serde_json::Deserializer::from_str(&text[start..]).into_iter::<Value>();
                    if let Some(Ok(Value::Object(object))) = values.next() {
                        flatten(&self.prefix, object, &mut give);
                    }
                }
                Format::Logfmt => pairs(&text, &mut |name, value| {
                    give(format!("{}{name}", self.prefix), value);
                }),
            }
        }
        for (name, cells) in parsed {
            batch.make(&Field::resolve(&name), cells);
        }
    }
}

fn flatten(
    prefix: &str,
    object: serde_json::Map<String, Value>,
    give: &mut impl FnMut(String, Cell),
) {
    for (name, value) in object {
        let name = format!("{prefix}{name}");
        match value {
            Value::Null => {}
            Value::Object(inner) => flatten(&format!("{name}."), inner, give),
            Value::Bool(flag) => give(name, Cell::Bool(flag)),
            Value::Number(number) => {
                let float = || number.as_f64().map_or(Cell::Null, Cell::float);
                give(name, number.as_i64().map_or_else(float, Cell::I64));
            }
            Value::String(text) => give(name, Cell::text(&text)),
            list @ Value::Array(_) => give(name, Cell::text(&list.to_string())),
        }
    }
}

/// Every `key=value` and `key="value"` of a text; other words are left out.
fn pairs(text: &str, give: &mut impl FnMut(&str, Cell)) {
    let mut rest = text;
    while let Some(equals) = rest.find('=') {
        let before = &rest[..equals];
        let is_key = |c: char| c.is_alphanumeric() || "_.-@/:".contains(c);
        let key_start = before.char_indices().rev().take_while(|(_, c)| is_key(*c)).last();
        let after = &rest[equals + 1..];
        let Some((start, _)) = key_start else {
            rest = after;
            continue;
        };
        let key = &before[start..];
        if after.starts_with('"')
            && let Some(end) = closing_quote(after)
        {
            let quoted = &after[..=end];
            let inside = &quoted[1..quoted.len() - 1];
            let value = match inside.contains('\\') {
                true => serde_json::from_str(quoted).unwrap_or_else(|_| inside.to_owned()),
                false => inside.to_owned(),
            };
            give(key, Cell::text(&value));
            rest = &after[end + 1..];
        } else {
            let end = after.find(|c: char| c.is_whitespace() || c == ',').unwrap_or(after.len());
            give(key, Cell::guessed(&after[..end]));
            rest = &after[end..];
        }
    }
}

/// Where the quote that a text begins with is closed.
fn closing_quote(text: &str) -> Option<usize> {
    let mut escaped = false;
    text.bytes().enumerate().skip(1).find_map(|(at, byte)| {
        let closes = byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
        closes.then_some(at)
    })
}

impl Cell {
    /// The number or boolean that a text is written as, or the text.
    pub(super) fn guessed(text: &str) -> Self {
        match ValueRef::guessed(text) {
            ValueRef::I64(number) => Cell::I64(number),
            ValueRef::F64(number) => Cell::float(number),
            ValueRef::Bool(flag) => Cell::Bool(flag),
            ValueRef::String(text) => Cell::text(text),
        }
    }
}

impl Stage for Parse {
    fn needs(&self) -> Needs {
        Needs::of([&self.from], true)
    }

    fn push(&mut self, mut batch: Batch, out: &mut Vec<Batch>) -> Result<Flow, QueryError> {
        self.add(&mut batch);
        out.push(batch);
        Ok(Flow::More)
    }

    fn one_to_one(&self) -> bool {
        true
    }

    fn per_record(&self) -> bool {
        true
    }

    fn fork(&self) -> Option<Box<dyn Stage>> {
        Some(Box::new(self.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_found_among_words() {
        let mut found = Vec::new();
        pairs(
            r#"done user=jane n=5, path="/a b" say="x\"y" flag == odd= ü=1 a=b=c"#,
            &mut |name, value| found.push(format!("{name}:{value}")),
        );
        assert_eq!(found, ["user:jane", "n:5", "path:/a b", "say:x\"y", "odd:", "ü:1", "a:b=c"]);
    }
}
