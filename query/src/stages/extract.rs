//! `extract "<user> from <ip>"`, `extract /(?P<user>\w+) from/`: fields out of the message or another field.
//!
//! In quotes, `<name>` takes as few characters as possible, the last one up to the next blank; blanks stand for any
//! blanks, `<_>` for what is not wanted. The first place where all of it fits counts. A value that is written as a number
//! is one.

use ql::{Arguments, Diagnostic, Field, Pattern, Read, Span};

use super::{Flow, Needs, Stage, StageHelp};
use crate::batch::Batch;
use crate::cell::Cell;
use crate::error::QueryError;

pub(super) const HELP: StageHelp = StageHelp {
    name: "extract",
    usage: "extract \"TEXT <name> TEXT\" | /REGEX with (?P<name>…)/ [from FIELD]",
    summary: "makes fields of what stands at the names, in the message or in FIELD; where it does not fit they are missing",
    example: "payment | extract \"payment <outcome> after <ms> ms\" | stats count(), avg(ms) by outcome",
    parse,
};

#[derive(Clone, Debug)]
struct Extract {
    pattern: Pattern,
    /// The fields, and the numbers of their groups.
    fields: Vec<(Field, usize)>,
    from: Field,
}

fn parse(arguments: &mut Arguments<'_>) -> Read<Box<dyn Stage>> {
    let (pattern, names, span) = match arguments.regex()? {
        Some(pattern) => {
            let names: Vec<(String, usize)> = pattern.node.group_names().collect();
            (pattern.node, names, pattern.span)
        }
        None => {
            let text = arguments.text()?;
            let (pattern, names) = pattern_of(&text.node, text.span)?;
            (pattern, names, text.span)
        }
    };
    if names.is_empty() {
        let wrong = Diagnostic::error("nothing_to_extract", span, "nothing is named here");
        let expected = "a name such as `<user>`, or `(?P<user>\\w+)` in a regular expression";
        return Err(wrong.expecting(expected).into());
    }
    let from = match arguments.keyword("from") {
        Some(_) => arguments.field()?.node,
        None => Field::Message,
    };
    let fields = names.into_iter().map(|(name, group)| (Field::resolve(&name), group)).collect();
    Ok(Box::new(Extract { pattern, fields, from }))
}

/// The regular expression that a text with `<names>` is, and the names with their groups.
fn pattern_of(text: &str, span: Span) -> Read<(Pattern, Vec<(String, usize)>)> {
    let mut regex = "(?s)".to_owned();
    let (mut names, mut rest) = (Vec::new(), text);
    let mut groups = 0;
    while let Some((before, name, after)) = next_name(rest) {
        add_literal(before, &mut regex);
        // The last one has nothing behind it that would end it.
        let last = after.trim().is_empty();
        let wanted = name != "_";
        regex.push_str(match (wanted, last) {
            (true, true) => r"(\S+)",
            (true, false) => "(.*?)",
            (false, true) => r"\S+",
            (false, false) => ".*?",
        });
        if wanted {
            groups += 1;
            names.push((name.to_owned(), groups));
        }
        rest = after;
    }
    add_literal(rest.trim_end(), &mut regex);
    let pattern = Pattern::new(&regex).map_err(|reason| {
        let message = format!("this pattern cannot be used: {reason}");
        Box::new(Diagnostic::error("bad_pattern", span, message))
    })?;
    Ok((pattern, names))
}

/// The first `<name>` with what stands before and after it.
fn next_name(text: &str) -> Option<(&str, &str, &str)> {
    let mut from = 0;
    loop {
        let start = from + text[from..].find('<')?;
        let end = start + text[start..].find('>')?;
        let name = &text[start + 1..end];
        let is_name = |c: char| c.is_alphanumeric() || "_.-@$".contains(c);
        if !name.is_empty() && name.chars().all(is_name) {
            return Some((&text[..start], name, &text[end + 1..]));
        }
        from = start + 1;
    }
}

fn add_literal(text: &str, regex: &mut String) {
    let mut blank = false;
    for character in text.chars() {
        if character.is_whitespace() {
            if !std::mem::replace(&mut blank, true) {
                regex.push_str(r"\s+");
            }
            continue;
        }
        blank = false;
        if r"\.+*?()|[]{}^$#&-~".contains(character) {
            regex.push('\\');
        }
        regex.push(character);
    }
}

impl Extract {
    /// The fields' values, a column each.
    fn columns(&self, texts: impl Iterator<Item = Cell>) -> Vec<Vec<Cell>> {
        let mut columns = vec![Vec::new(); self.fields.len()];
        for text in texts {
            let text = match text {
                Cell::Null => None,
                Cell::Text(text) => Some(text),
                other => Some(other.to_string().into()),
            };
            let found = text.as_ref().and_then(|text| self.pattern.captures(text));
            for ((_, group), column) in self.fields.iter().zip(&mut columns) {
                let part = found.as_ref().and_then(|found| found.get(*group));
                column.push(part.map_or(Cell::Null, |part| Cell::guessed(part.as_str())));
            }
        }
        columns
    }
}

impl Stage for Extract {
    fn needs(&self) -> Needs {
        Needs::of([&self.from], true)
    }

    fn push(&mut self, mut batch: Batch, out: &mut Vec<Batch>) -> Result<Flow, QueryError> {
        let columns = self.columns(batch.whole_column(&self.from).into_iter());
        for ((field, _), cells) in self.fields.iter().zip(columns) {
            batch.make(field, cells);
        }
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

    fn extracted(pattern: &str, text: &str) -> Vec<Option<String>> {
        let (pattern, names) = pattern_of(pattern, Span::new(0, 0)).unwrap();
        let found = pattern.captures(text);
        let value = |(_, group): &(String, usize)| {
            found.as_ref().and_then(|found| found.get(*group)).map(|part| part.as_str().to_owned())
        };
        names.iter().map(value).collect()
    }

    #[test]
    fn names_take_what_stands_between_the_texts_around_them() {
        for (pattern, text, found) in [
            (
                "<user> from <ip>",
                "root from 10.0.0.1 port 22",
                vec![Some("root"), Some("10.0.0.1")],
            ),
            ("login of <user> failed", "the login of Jane Doe failed.", vec![Some("Jane Doe")]),
            ("took <ms> ms", "it took   12  ms", vec![Some("12")]),
            ("(<a>) [<_>] <b>", "x (1) [2] 3 4", vec![Some("1"), Some("3")]),
            ("<a>=<b>;", "k=v;", vec![Some("k"), Some("v")]),
            ("<größe> Größe", "10 Größe", vec![Some("10")]),
            ("a < b <n>", "a < b 5", vec![Some("5")]),
            ("<a> from <b>", "nothing", vec![None, None]),
        ] {
            let found: Vec<_> = found.into_iter().map(|part| part.map(str::to_owned)).collect();
            assert_eq!(extracted(pattern, text), found, "{pattern}");
        }
    }
}
