//! What can stand where the cursor is: fields, values of a field, stages.

use query::STAGES;

/// What is being written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// The name of a field; `filter` says that a value follows it.
    Field {
        filter: bool,
    },
    /// A value of this field, as the query names it.
    Value(String),
    Stage,
}

/// Candidates for what stands between `start` and the cursor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Offer {
    pub(super) start: usize,
    pub(super) candidates: Vec<String>,
    /// The one that was put in.
    pub(super) chosen: Option<usize>,
}

/// What is being written at the end of `text`, and where it begins; nothing within quotes.
pub(crate) fn wanted(text: &str) -> Option<(usize, Wanted)> {
    let (mut quoted, mut escaped, mut bar, mut start) = (false, false, None, 0);
    for (at, character) in text.char_indices() {
        match character {
            _ if escaped => escaped = false,
            '\\' => escaped = quoted,
            '"' => quoted = !quoted,
            _ if quoted => {}
            '|' => (bar, start) = (Some(at + 1), at + 1),
            '(' | ')' | ',' => start = at + 1,
            _ if character.is_whitespace() => start = at + character.len_utf8(),
            _ => {}
        }
    }
    if quoted {
        return None;
    }
    if bar.is_some_and(|bar| text[bar..start].trim().is_empty()) {
        return Some((start, Wanted::Stage));
    }
    let word = &text[start..];
    let signs = word.len() - word.trim_start_matches('-').len();
    let (start, word) = (start + signs, &word[signs..]);
    match word.split_once(':') {
        Some((name, _)) if bar.is_none() && !name.is_empty() => {
            Some((start + name.len() + 1, Wanted::Value(name.to_owned())))
        }
        _ => Some((start, Wanted::Field { filter: bar.is_none() })),
    }
}

pub(super) fn stages() -> Vec<String> {
    STAGES.iter().map(|help| format!("{} ", help.name)).collect()
}

/// Those of the candidates that begin as it is written already.
pub(super) fn offer(start: usize, written: &str, candidates: &[String]) -> Offer {
    let written = written.to_lowercase();
    let fits = |candidate: &&String| candidate.to_lowercase().starts_with(&written);
    let candidates = candidates.iter().filter(fits).cloned().collect();
    Offer { start, candidates, chosen: None }
}

/// How all of them begin.
pub(super) fn beginning(candidates: &[String]) -> &str {
    let Some(first) = candidates.first() else { return "" };
    let common = |end: &usize| {
        first.is_char_boundary(*end)
            && candidates.iter().all(|other| other.starts_with(&first[..*end]))
    };
    &first[..(0..=first.len()).rev().find(common).unwrap_or(0)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wanted_shows_from_what_stands_before_the_cursor() {
        let field = |filter| Wanted::Field { filter };
        let value = |name: &str| Wanted::Value(name.to_owned());
        for (text, expected) in [
            ("", Some((0, field(true)))),
            ("serv", Some((0, field(true)))),
            ("-serv", Some((1, field(true)))),
            ("a (lev", Some((3, field(true)))),
            ("service:or", Some((8, value("service")))),
            ("a -service:", Some((11, value("service")))),
            ("* |", Some((3, Wanted::Stage))),
            ("* | st", Some((4, Wanted::Stage))),
            ("* | stats count() by ser", Some((21, field(false)))),
            ("* | fields time,ser", Some((16, field(false)))),
            ("\"a | b", None),
            ("\"a | b\" x", Some((8, field(true)))),
        ] {
            assert_eq!(wanted(text), expected, "{text}");
        }
    }

    #[test]
    fn candidates_begin_as_it_is_written_and_share_a_beginning() {
        let names = ["service:", "severity:", "host:"].map(str::to_owned);
        let offer = offer(0, "SE", &names);
        assert_eq!(offer.candidates, ["service:", "severity:"]);
        assert_eq!(beginning(&offer.candidates), "se");
        assert_eq!(beginning(&[]), "");
        assert!(stages().contains(&"stats ".to_owned()));
    }
}
