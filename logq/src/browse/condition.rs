//! Writes conditions into queries: `name:value`, in front of the stages, in quotes and parentheses where they are needed.

use ql::{Field, Filter};

const RESERVED: [&str; 6] = ["AND", "OR", "NOT", "TO", "from", "any"];

/// The part of a query in front of its first stage.
pub(super) fn filter_part(query: &str) -> &str {
    let Ok(parsed) = ql::parse(query) else { return query };
    let Some(first) = parsed.stages.first() else { return query };
    let before = &query[..first.name.span.start.min(query.len())];
    before.rfind('|').map_or(before, |bar| &before[..bar])
}

/// The query with one more condition.
pub(super) fn with(query: &str, condition: &str) -> String {
    let filter = filter_part(query);
    let stages = query[filter.len()..].trim();
    let written = filter.trim();
    let either = ql::parse(query).is_ok_and(|parsed| matches!(parsed.filter, Filter::Or(_)));
    let filter = match written {
        "" | "*" => condition.to_owned(),
        // What is already asked for is not asked for twice.
        _ if written.split_whitespace().any(|word| word == condition) => written.to_owned(),
        _ if either => format!("({written}) {condition}"),
        _ => format!("{written} {condition}"),
    };
    if stages.is_empty() { filter } else { format!("{filter} {stages}") }
}

/// The records of one interaction, as a story from its beginning on.
pub(super) fn story(field: &str, id: &str) -> String {
    format!("{field}:{} | sort timestamp", value(id))
}

/// An attribute's name as a query writes it, also where a fixed field has the same one.
pub(super) fn attribute(name: &str) -> String {
    Field::Attribute(name.to_owned()).to_string()
}

/// A value as a query writes it: bare if it is plainly a word, else in quotes.
pub(super) fn value(text: &str) -> String {
    let plain = |character: char| character.is_alphanumeric() || "_-.@".contains(character);
    let bare = !text.is_empty() && !text.starts_with('-') && text.chars().all(plain);
    if bare && !RESERVED.contains(&text) {
        return text.to_owned();
    }
    let mut quoted = String::from('"');
    for character in text.chars() {
        match character {
            '"' | '\\' => quoted.extend(['\\', character]),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            other => quoted.push(other),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_condition_goes_in_front_of_the_stages() {
        for (query, expected) in [
            ("", "level:error"),
            ("*", "level:error"),
            ("timeout", "timeout level:error"),
            ("a OR b", "(a OR b) level:error"),
            ("level:error", "level:error"),
            ("* | stats count() by service", "level:error | stats count() by service"),
            ("\"a | b\" | head 5", "\"a | b\" level:error | head 5"),
        ] {
            assert_eq!(with(query, "level:error"), expected);
        }
    }

    #[test]
    fn what_is_written_is_a_query_that_parses() {
        for text in
            ["a", "a b", "-x", "OR", "a\"b\\c", "línea\n2", "2026-01-01T00:00:00Z", "|", "(", ""]
        {
            for field in ["message", "order id", "level"] {
                let condition = format!("{}:{}", attribute(field), value(text));
                assert!(query::Plan::new(&condition).is_ok(), "{condition}");
            }
            let story = story("correlation", text);
            assert_eq!(filter_part(&story).trim(), story.trim_end_matches(" | sort timestamp"));
        }
    }
}
