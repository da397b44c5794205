//! The reference text: every key with its doc, unit, bounds and default, as a TOML file that can be used as
//! it is, because what has a default stands in a comment.

use super::key::{Fallback, Key, Kind, Table};

/// The reference of these tables.
pub fn reference(tables: &[Table]) -> String {
    let mut text = String::new();
    for table in tables {
        if !text.is_empty() {
            text.push('\n');
        }
        comment(&mut text, table.doc);
        text.push_str(&format!("[{}]\n", table.name));
        let (lists, plain): (Vec<&Key>, Vec<&Key>) =
            table.keys.iter().partition(|key| matches!(key.kind, Kind::Tables(_)));
        for key in plain {
            write_key(&mut text, key, "");
        }
        // Lists of tables come last: what follows their heading belongs to them.
        for key in lists {
            write_tables(&mut text, key, &format!("{}.{}", table.name, key.path));
        }
    }
    text
}

fn write_tables(text: &mut String, key: &Key, path: &str) {
    let Kind::Tables(keys) = key.kind else { return };
    text.push('\n');
    comment(text, key.doc);
    text.push_str(&format!("# Each is:\n#[[{path}]]\n"));
    for key in keys {
        match key.kind {
            Kind::Tables(_) => write_tables(text, key, &format!("{path}.{}", key.path)),
            _ => write_key(text, key, "#"),
        }
    }
}

fn write_key(text: &mut String, key: &Key, before: &str) {
    comment(text, key.doc);
    let takes = capitalised(&key.kind.describe());
    let (note, line) = match key.fallback {
        Fallback::Required => {
            ("Required.", format!("{before}{} = {}", key.path, example(&key.kind)))
        }
        Fallback::Absent => ("No default.", format!("#{} = {}", key.path, example(&key.kind))),
        Fallback::Value(value) => ("", format!("#{} = {}", key.path, written(&key.kind, value))),
    };
    comment(text, format!("{takes}. {note}").trim_end());
    text.push_str(&line);
    text.push('\n');
}

/// A fallback as TOML.
fn written(kind: &Kind, value: &str) -> String {
    let is_bare_list_item =
        matches!(kind, Kind::List(of) if of.is_textual()) && !value.starts_with('[');
    if kind.is_textual() || is_bare_list_item { format!("{value:?}") } else { value.to_owned() }
}

fn example(kind: &Kind) -> String {
    match kind {
        Kind::Address => "\"127.0.0.1:0\"".to_owned(),
        Kind::ByteSize { min, .. } => format!("\"{min}\""),
        Kind::Duration { min, .. } => format!("\"{}\"", super::format_duration(*min)),
        Kind::Integer { min, .. } => min.to_string(),
        Kind::Float { min, .. } => format!("{min:?}"),
        Kind::Bool => "false".to_owned(),
        Kind::Path => "\"/path\"".to_owned(),
        Kind::Text => "\"text\"".to_owned(),
        Kind::Notation { example, .. } => format!("{example:?}"),
        Kind::Enum(words) => format!("{:?}", words.first().unwrap_or(&"")),
        Kind::List(of) => format!("[{}]", example(of)),
        Kind::Tables(_) => "[]".to_owned(),
        Kind::Map(of) => format!("{{ name = {} }}", example(of)),
    }
}

fn comment(text: &mut String, lines: &str) {
    for line in lines.lines() {
        text.push_str(format!("# {line}").trim_end());
        text.push('\n');
    }
}

fn capitalised(text: &str) -> String {
    let mut characters = text.chars();
    match characters.next() {
        Some(first) => first.to_uppercase().chain(characters).collect(),
        None => String::new(),
    }
}
