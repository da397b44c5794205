//! Patterns of `*` (any run of characters, also none) and `?` (exactly one character) over a whole text.
//!
//! Matching is by segments between the `*`s, each at its leftmost place, so it never backtracks over more
//! than one segment; patterns are bounded by [`WILDCARD_BYTES_MAX`].

use std::borrow::Cow;

use record::tokenizer;

/// Longest pattern in bytes.
pub const WILDCARD_BYTES_MAX: usize = 1_024;

/// A part of a pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// These characters.
    Text(String),
    /// `*`: any characters, or none.
    AnyRun,
    /// `?`: one character.
    AnyOne,
}

/// A compiled pattern.
#[derive(Clone, Debug)]
pub struct Wildcard {
    pieces: Vec<Piece>,
    folded: bool,
    segments: Vec<Segment>,
}

/// What stands between two `*`.
#[derive(Clone, Debug)]
struct Segment {
    /// `None` is any one character.
    characters: Vec<Option<char>>,
    /// The same as text, if there is no `?` in it.
    text: Option<String>,
}

impl Wildcard {
    /// Compiles a pattern that is equal to the case.
    pub fn new(pieces: Vec<Piece>) -> Self {
        Self::compile(pieces, false)
    }

    /// Compiles a pattern that folds both sides to lower case.
    pub fn folded(pieces: Vec<Piece>) -> Self {
        Self::compile(pieces, true)
    }

    /// The pattern as written.
    pub fn pieces(&self) -> &[Piece] {
        &self.pieces
    }

    /// Whether both sides are folded to lower case.
    pub fn is_folded(&self) -> bool {
        self.folded
    }

    /// What every match begins with (in lower case if folded); may be empty.
    pub fn prefix(&self) -> &str {
        self.segments[0].text.as_deref().unwrap_or("")
    }

    /// Whether the pattern is a text and then one `*`, so that [`Wildcard::prefix`] says all of it.
    pub fn is_prefix(&self) -> bool {
        matches!(&*self.pieces, [Piece::Text(_), Piece::AnyRun])
    }

    /// Whether the whole of `text` is matched.
    pub fn matches(&self, text: &str) -> bool {
        if !self.folded {
            return self.matches_folded(text);
        }
        let plain = text.bytes().all(|byte| byte.is_ascii() && !byte.is_ascii_uppercase());
        let text = if plain { Cow::Borrowed(text) } else { Cow::Owned(tokenizer::fold(text)) };
        self.matches_folded(&text)
    }

    /// As [`Wildcard::matches`], for a text that is known to be folded already, as tokens are.
    pub fn matches_folded(&self, text: &str) -> bool {
        let (first, rest) = self.segments.split_first().expect("a pattern has a segment");
        let Some(after) = first.strip(text) else { return false };
        let Some((last, middle)) = rest.split_last() else { return after.is_empty() };
        let mut text = after;
        for segment in middle {
            match segment.find(text) {
                Some(after) => text = after,
                None => return false,
            }
        }
        last.ends(text)
    }

    fn compile(pieces: Vec<Piece>, folded: bool) -> Self {
        let mut segments = vec![Vec::new()];
        for piece in &pieces {
            let segment = segments.last_mut().expect("begun with one");
            match piece {
                Piece::AnyRun => segments.push(Vec::new()),
                Piece::AnyOne => segment.push(None),
                Piece::Text(text) if folded => {
                    segment.extend(text.chars().flat_map(char::to_lowercase).map(Some));
                }
                Piece::Text(text) => segment.extend(text.chars().map(Some)),
            }
        }
        let segments = segments
            .into_iter()
            .map(|characters| Segment { text: characters.iter().copied().collect(), characters })
            .collect();
        Self { pieces, folded, segments }
    }
}

impl PartialEq for Wildcard {
    fn eq(&self, other: &Self) -> bool {
        self.pieces == other.pieces && self.folded == other.folded
    }
}

impl Segment {
    /// What follows the segment at the start of `text`.
    fn strip<'a>(&self, text: &'a str) -> Option<&'a str> {
        if let Some(segment) = &self.text {
            return text.strip_prefix(segment.as_str());
        }
        let mut characters = text.chars();
        for wanted in &self.characters {
            let character = characters.next()?;
            if wanted.is_some_and(|wanted| wanted != character) {
                return None;
            }
        }
        Some(characters.as_str())
    }

    /// What follows the leftmost place of the segment in `text`.
    fn find<'a>(&self, text: &'a str) -> Option<&'a str> {
        if let Some(segment) = &self.text {
            return text.find(segment.as_str()).map(|at| &text[at + segment.len()..]);
        }
        text.char_indices().find_map(|(at, _)| self.strip(&text[at..]))
    }

    fn ends(&self, text: &str) -> bool {
        if let Some(segment) = &self.text {
            return text.ends_with(segment.as_str());
        }
        let mut starts = text.char_indices().rev();
        let start = starts.nth(self.characters.len() - 1);
        start.is_some_and(|(at, _)| self.strip(&text[at..]).is_some())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pieces(pattern: &str) -> Vec<Piece> {
        pattern
            .chars()
            .map(|character| match character {
                '*' => Piece::AnyRun,
                '?' => Piece::AnyOne,
                other => Piece::Text(other.into()),
            })
            .collect()
    }

    #[test]
    fn the_whole_text_must_match() {
        for (pattern, text, expected) in [
            ("fail*", "failed", true),
            ("fail*", "a fail", false),
            ("*out", "timeout", true),
            ("*out", "outer", false),
            ("f?o", "föo", true),
            ("f?o", "fo", false),
            ("/api/*/x", "/api/a/b/x", true),
            ("ab*ab", "ab", false),
            ("*a?c*", "zzabcz", true),
            ("*?", "", false),
            ("a*?c", "abc", true),
            ("", "", true),
            ("Ä*", "ä", false),
        ] {
            assert_eq!(Wildcard::new(pieces(pattern)).matches(text), expected, "{pattern} {text}");
        }
        assert!(Wildcard::folded(pieces("Ä*")).matches("ÄB"));
    }

    /// The textbook definition.
    fn slow(pattern: &[char], text: &[char]) -> bool {
        match (pattern, text) {
            ([], _) => text.is_empty(),
            (['*', rest @ ..], _) => (0..=text.len()).any(|at| slow(rest, &text[at..])),
            (['?', rest @ ..], [_, tail @ ..]) => slow(rest, tail),
            ([wanted, rest @ ..], [first, tail @ ..]) => wanted == first && slow(rest, tail),
            _ => false,
        }
    }

    proptest! {
        #[test]
        fn agrees_with_the_definition(pattern in "[ab*?]{0,7}", text in "[abé]{0,9}") {
            let characters = |text: &str| text.chars().collect::<Vec<_>>();
            prop_assert_eq!(
                Wildcard::new(pieces(&pattern)).matches(&text),
                slow(&characters(&pattern), &characters(&text))
            );
        }
    }
}
