//! Cuts the first line of a message into spaces, separators and words, and tells which words are values by their looks
//! alone: numbers, ids, addresses, paths. One pass, no allocation.
//!
//! A word is a run of letters, digits and the marks that stand within names, numbers and paths. Scripts without spaces
//! between words are cut where the script changes; ideographs are words one by one.

use std::ops::Range;

/// Bytes of a line that are looked at.
pub(crate) const LINE_BYTES_MAX: usize = 4096;
/// Shortest run of hexadecimal digits, at least one of them a decimal one, that is an id and no word.
const HEX_BYTES_MIN: usize = 5;
/// The same without a decimal digit in it.
const HEX_LETTERS_MIN: usize = 8;
/// Most digits in a word that is a name with numbers in it (`ssh2`, `node-17`); with more it is an id.
const NAME_DIGITS_MAX: usize = 3;

/// What a piece of the line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Piece {
    /// White space, however long.
    Space,
    /// One character that is no part of a word.
    Separator,
    /// A word without digits.
    Plain,
    /// A name with a few digits.
    Numbered,
    /// A number, an id, an address, a path, a URL.
    Value,
}

/// The script of a character, where scripts change within a run of letters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Script {
    Hiragana,
    Katakana,
    Ideographs,
    /// Hangul and what else is written in wide characters.
    Other,
}

/// `None` for all scripts that put spaces between words.
pub(crate) fn script(character: char) -> Option<Script> {
    match u32::from(character) {
        ..0x2e80 => None,
        0x3040..=0x309f => Some(Script::Hiragana),
        0x30a0..=0x30ff | 0xff66..=0xff9f => Some(Script::Katakana),
        0x3005 | 0x3400..=0x9fff | 0xf900..=0xfaff | 0x20000..=0x32fff => Some(Script::Ideographs),
        _ => character.is_alphanumeric().then_some(Script::Other),
    }
}

/// What bytes are to a word, as bits, so that those of a word can be put together.
mod class {
    pub(super) const SPACE: u8 = 1;
    pub(super) const SEPARATOR: u8 = 2;
    /// Of a character outside of ASCII.
    pub(super) const WIDE: u8 = 4;
    pub(super) const DIGIT: u8 = 8;
    /// A letter that is no hexadecimal digit.
    pub(super) const LETTER: u8 = 16;
    /// What stands within names, numbers and paths.
    pub(super) const MARK: u8 = 32;
    pub(super) const AT_SIGN: u8 = 64;
    /// `a` to `f`.
    pub(super) const HEX: u8 = 128;
    /// Stands within ids as well.
    pub(super) const HYPHEN: u8 = 0;
}

const CLASSES: [u8; 256] = classes();

const fn classes() -> [u8; 256] {
    let mut classes = [class::SEPARATOR; 256];
    let mut index = 0;
    while index < 256 {
        let byte = index as u8;
        classes[index] = match byte {
            b' ' | b'\t' | 0x0b | 0x0c | b'\r' | b'\n' => class::SPACE,
            b'0'..=b'9' => class::DIGIT,
            b'a'..=b'f' | b'A'..=b'F' => class::HEX,
            b'g'..=b'z' | b'G'..=b'Z' => class::LETTER,
            b'-' => class::HYPHEN,
            b'@' => class::AT_SIGN,
            b'/' | b'\\' | b'_' | b'.' | b'+' | b'#' | b'~' | b'$' | b'%' | b'&' | b'*' | b'!'
            | b'?' | b'^' => class::MARK,
            0x80.. => class::WIDE,
            _ => class::SEPARATOR,
        };
        index += 1;
    }
    classes
}

fn class(byte: u8) -> u8 {
    CLASSES[usize::from(byte)]
}

/// Whether a word of a shape's key ends before this byte.
pub(crate) fn ends_word(byte: u8) -> bool {
    class(byte) & (class::SPACE | class::SEPARATOR) != 0 || byte >= 0xf8
}

/// The pieces of a line.
pub(crate) struct Scanner<'a> {
    line: &'a str,
    at: usize,
    /// Up to here are marks that end a sentence, not a word.
    sentence_end: usize,
}

impl<'a> Scanner<'a> {
    /// Of the first line of `message` that has anything but white space, as far as it is looked at.
    pub(crate) fn new(message: &'a str) -> Self {
        let message = message.trim_start();
        let mut end = message.len().min(LINE_BYTES_MAX);
        end = message.floor_char_boundary(end);
        let line = &message[..end];
        let line = line.find(['\n', '\r']).map_or(line, |end| &line[..end]);
        Self { line: line.trim_end(), at: 0, sentence_end: 0 }
    }

    /// The line, cut.
    pub(crate) fn line(&self) -> &'a str {
        self.line
    }

    /// The next piece and where it is.
    pub(crate) fn next_piece(&mut self) -> Option<(Piece, Range<usize>)> {
        let start = self.at;
        let byte = *self.line.as_bytes().get(start)?;
        if start < self.sentence_end {
            self.at += 1;
            return Some((Piece::Separator, start..self.at));
        }
        let piece = match class(byte) {
            class::SPACE => self.space(),
            class::SEPARATOR => {
                self.at += 1;
                Piece::Separator
            }
            class::WIDE => self.wide(),
            class::HEX | class::DIGIT if self.colons(start) => Piece::Value,
            _ => self.word(),
        };
        Some((piece, start..self.at))
    }

    fn byte(&self, at: usize) -> Option<u8> {
        self.line.as_bytes().get(at).copied()
    }

    fn character(&self, at: usize) -> Option<char> {
        self.line.get(at..)?.chars().next()
    }

    fn space(&mut self) -> Piece {
        let bytes = self.line.as_bytes();
        if let [b' ', next, ..] = &bytes[self.at..]
            && class(*next) & (class::SPACE | class::WIDE) == 0
        {
            self.at += 1;
            return Piece::Space;
        }
        while let Some(character) = self.character(self.at).filter(|it| it.is_whitespace()) {
            self.at += character.len_utf8();
        }
        Piece::Space
    }

    fn wide(&mut self) -> Piece {
        let Some(first) = self.character(self.at) else {
            self.at = self.line.len();
            return Piece::Separator;
        };
        if first.is_whitespace() {
            return self.space();
        }
        match script(first) {
            None if first.is_alphanumeric() => self.word(),
            None => {
                self.at += first.len_utf8();
                Piece::Separator
            }
            Some(Script::Ideographs) => {
                self.at += first.len_utf8();
                Piece::Plain
            }
            same => {
                while let Some(next) = self.character(self.at).filter(|it| script(*it) == same) {
                    self.at += next.len_utf8();
                }
                Piece::Plain
            }
        }
    }

    /// Takes a time, a MAC address or an IPv6 address: short groups of hexadecimal digits between colons.
    fn colons(&mut self, start: usize) -> bool {
        let bytes = self.line.as_bytes();
        let (mut at, mut group, mut colons, mut digits) = (start, 0, 0, 0);
        while let Some(&byte) = bytes.get(at) {
            match (class(byte), byte) {
                (class::DIGIT, _) => (group, digits) = (group + 1, digits + 1),
                (class::HEX, _) => group += 1,
                (_, b':') => (group, colons) = (0, colons + 1),
                (class::SPACE | class::SEPARATOR, _) | (_, b'.') => break,
                _ => return false,
            }
            if group > 4 {
                return false;
            }
            at += 1;
        }
        while at > start && bytes[at - 1] == b':' {
            (at, colons) = (at - 1, colons - 1);
        }
        let taken = colons >= 2 && (digits > 0 || colons >= 5);
        if taken {
            self.at = at;
        }
        taken
    }

    fn word(&mut self) -> Piece {
        let start = self.at;
        self.at = self.word_end(start);
        let is_path = self.is_path(start);
        let is_url = self.line.as_bytes()[self.at..].starts_with(b"://");
        if is_path || is_url {
            self.rest_of_path();
        }
        self.cut_sentence_end(start);
        if is_path || is_url { Piece::Value } else { self.kind(start) }
    }

    fn word_end(&self, mut at: usize) -> usize {
        while let Some(byte) = self.byte(at) {
            match class(byte) {
                class::SPACE | class::SEPARATOR => break,
                class::WIDE => {
                    let Some(character) = self.character(at) else { break };
                    if !character.is_alphanumeric() || script(character).is_some() {
                        break;
                    }
                    at += character.len_utf8();
                }
                _ => at += 1,
            }
        }
        at
    }

    fn kind(&self, start: usize) -> Piece {
        let word = &self.line.as_bytes()[start..self.at];
        let (mut seen, mut digits) = (0, 0);
        for &byte in word {
            let class = class(byte);
            seen |= class;
            digits += usize::from(class == class::DIGIT);
        }
        let hex_min = if digits == 0 { HEX_LETTERS_MIN } else { HEX_BYTES_MIN };
        let is_hex = seen & !(class::HEX | class::DIGIT) == 0 && word.first() != Some(&b'-');
        if is_hex && word.len() >= hex_min {
            return Piece::Value;
        }
        // At one of its ends an at sign joins nothing.
        let joins =
            seen & class::AT_SIGN != 0 && word.first() != Some(&b'@') && word.last() != Some(&b'@');
        if joins {
            return Piece::Value;
        }
        if digits == 0 {
            return Piece::Plain;
        }
        let named = self.character(start).is_some_and(char::is_alphabetic);
        if named && digits <= NAME_DIGITS_MAX { Piece::Numbered } else { Piece::Value }
    }

    fn is_path(&self, start: usize) -> bool {
        let name = |at| {
            self.byte(at).is_some_and(|byte| {
                class(byte) & (class::HEX | class::LETTER | class::DIGIT | class::WIDE) != 0
                    || matches!(byte, b'.' | b'_' | b'$' | b'\\' | b'-')
            })
        };
        match self.byte(start) {
            Some(b'/' | b'\\') => self.at > start + 1 && name(start + 1),
            Some(b'~') => self.byte(start + 1) == Some(b'/'),
            _ => false,
        }
    }

    /// Queries and ports belong to a path as well.
    fn rest_of_path(&mut self) {
        while let Some(character) = self.character(self.at) {
            let ends = match character {
                '(' | ')' | '[' | ']' | '{' | '}' | '<' | '>' | '"' | '\'' | '`' | ',' | ';'
                | '|' => true,
                _ if character.is_ascii() => {
                    character.is_ascii_whitespace() || character.is_ascii_control()
                }
                _ => !character.is_alphanumeric() || script(character).is_some(),
            };
            if ends {
                break;
            }
            self.at += character.len_utf8();
        }
    }

    fn cut_sentence_end(&mut self, start: usize) {
        let end = self.at;
        while self.at > start + 1
            && matches!(self.byte(self.at - 1), Some(b'.' | b'!' | b'?' | b':'))
        {
            self.at -= 1;
        }
        self.sentence_end = end;
    }
}
