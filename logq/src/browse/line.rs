//! The query line: a text, a cursor in it, and what was asked before.

use unicode_segmentation::UnicodeSegmentation;

/// Queries that are remembered.
const HISTORY_MAX: usize = 200;
/// Longest text that is taken.
const BYTES_MAX: usize = 16 << 10;

#[derive(Debug, Default)]
pub(super) struct Line {
    text: String,
    /// In bytes, always between two characters as people see them.
    cursor: usize,
    history: Vec<String>,
    /// Where in the history it stands, and what was there before it went into it.
    at: Option<(usize, String)>,
}

impl Line {
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    pub(super) fn before(&self) -> &str {
        &self.text[..self.cursor]
    }

    pub(super) fn set(&mut self, text: &str) {
        self.text = text.to_owned();
        self.cursor = self.text.len();
        self.at = None;
    }

    pub(super) fn insert(&mut self, text: &str) {
        for character in text.chars().filter(|character| !character.is_control()) {
            if self.text.len() + character.len_utf8() > BYTES_MAX {
                return;
            }
            self.text.insert(self.cursor, character);
            self.cursor += character.len_utf8();
        }
        // What was put in may have joined what stood behind it.
        let next = self.text.grapheme_indices(true).map(|(at, _)| at).find(|at| *at >= self.cursor);
        self.cursor = next.unwrap_or(self.text.len());
    }

    /// Puts a text where now stands what is between `start` and the cursor.
    pub(super) fn complete(&mut self, start: usize, text: &str) {
        if self.text.is_char_boundary(start) && start <= self.cursor {
            self.text.drain(start..self.cursor);
            self.cursor = start;
            self.insert(text);
        }
    }

    pub(super) fn left(&mut self) {
        self.cursor -= self.before().graphemes(true).next_back().map_or(0, str::len);
    }

    pub(super) fn right(&mut self) {
        self.cursor += self.text[self.cursor..].graphemes(true).next().map_or(0, str::len);
    }

    pub(super) fn home(&mut self) {
        self.cursor = 0;
    }

    pub(super) fn end(&mut self) {
        self.cursor = self.text.len();
    }

    pub(super) fn erase(&mut self) {
        let end = self.cursor;
        self.left();
        self.text.drain(self.cursor..end);
    }

    pub(super) fn delete(&mut self) {
        let length = self.text[self.cursor..].graphemes(true).next().map_or(0, str::len);
        self.text.drain(self.cursor..self.cursor + length);
    }

    /// Takes away the word before the cursor.
    pub(super) fn erase_word(&mut self) {
        let kept = self.before().trim_end();
        let start = kept
            .rfind(char::is_whitespace)
            .map_or(0, |at| at + kept[at..].chars().next().map_or(0, char::len_utf8));
        self.text.drain(start..self.cursor);
        self.cursor = start;
    }

    pub(super) fn erase_to_start(&mut self) {
        self.text.drain(..self.cursor);
        self.cursor = 0;
    }

    pub(super) fn remember(&mut self, query: &str) {
        if self.history.last().is_none_or(|last| last != query) {
            self.history.push(query.to_owned());
        }
        if self.history.len() > HISTORY_MAX {
            self.history.remove(0);
        }
    }

    pub(super) fn earlier(&mut self) {
        let (at, draft) = self.at.take().unwrap_or((self.history.len(), self.text.clone()));
        let at = at.saturating_sub(1);
        if let Some(text) = self.history.get(at).cloned() {
            self.set(&text);
        }
        self.at = Some((at, draft));
    }

    pub(super) fn later(&mut self) {
        let Some((at, draft)) = self.at.take() else { return };
        match self.history.get(at + 1).cloned() {
            Some(text) => {
                self.set(&text);
                self.at = Some((at + 1, draft));
            }
            None => self.set(&draft),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cursor_moves_by_what_people_see() {
        let mut line = Line::default();
        line.insert("a日e\u{301}");
        line.left();
        assert_eq!(line.before(), "a日");
        line.erase();
        assert_eq!(line.text(), "ae\u{301}");
        line.delete();
        assert_eq!((line.text(), line.before()), ("a", "a"));
    }

    #[test]
    fn history_gives_back_what_was_being_written() {
        let mut line = Line::default();
        line.remember("one");
        line.remember("two");
        line.set("dra");
        line.earlier();
        line.earlier();
        line.earlier();
        assert_eq!(line.text(), "one");
        line.later();
        assert_eq!(line.text(), "two");
        line.later();
        assert_eq!(line.text(), "dra");
    }

    #[test]
    fn a_word_is_erased_with_the_blanks_behind_it() {
        let mut line = Line::default();
        line.set("level:error service:a ");
        line.erase_word();
        assert_eq!(line.text(), "level:error ");
    }
}
