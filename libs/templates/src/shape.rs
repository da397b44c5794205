//! The shape of a message: its first line with the obvious values taken out, as bytes that are compared and hashed.
//!
//! ```text
//! VALUE            a value, or a list of values; UNIT, EMPTY, likewise one byte for one word
//! WORD bytes       a word; within it NUMBER stands for a run of digits
//! byte             a separator of ASCII; white space of any length is one space
//! OTHER bytes      any other separator, and what ends a sentence
//! ```
//! The bytes that stand for something do not occur in UTF-8.

use std::ops::Range;

use crate::scan::{Piece, Scanner, ends_word};
use crate::slots::Slot;

/// A word that is a value by its looks.
pub(crate) const VALUE: u8 = 0xff;
/// A run of digits within a name.
pub(crate) const NUMBER: u8 = 0xfe;
/// The unit of the number before it.
pub(crate) const UNIT: u8 = 0xfd;
/// The word that is missing between brackets or quotes with nothing between them, or after an equals sign.
pub(crate) const EMPTY: u8 = 0xfc;
const OTHER: u8 = 0xfa;
const WORD: u8 = 0xf9;

/// Spaces, separators and words of a shape; what comes after them is left out and shown as one value.
pub(crate) const TOKENS_MAX: usize = 512;

/// Parts of a date that are words.
const CALENDAR: [&[u8]; 19] = [
    b"Mon", b"Tue", b"Wed", b"Thu", b"Fri", b"Sat", b"Sun", b"Jan", b"Feb", b"Mar", b"Apr", b"May",
    b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec",
];

/// Units of sizes and durations, between which programs change by the number's size.
const UNITS: [&str; 38] = [
    "B", "b", "KB", "kB", "MB", "GB", "TB", "PB", "KiB", "MiB", "GiB", "TiB", "byte", "bytes",
    "ns", "us", "µs", "ms", "s", "sec", "secs", "second", "seconds", "m", "min", "mins", "minute",
    "minutes", "h", "hour", "hours", "d", "day", "days", "week", "weeks", "month", "months",
];

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Space,
    /// The byte, zero for one outside of ASCII.
    Separator(u8),
    Value,
    Unit,
    Empty,
    Numbered,
    Calendar,
    Plain,
}

impl Kind {
    fn is_word(self) -> bool {
        !matches!(self, Self::Space | Self::Separator(_))
    }

    fn is(self, separator: u8) -> bool {
        self == Self::Separator(separator)
    }
}

/// One token, and where it begins in the line, the key and the slots.
struct Item {
    kind: Kind,
    line: u32,
    key: u32,
    slots: u32,
}

/// What stands in a place of the shape that varies.
#[derive(Clone)]
pub(crate) struct Span {
    range: Range<usize>,
    of_name: bool,
    /// There are several, which differ.
    varies: bool,
}

/// Makes shapes, and keeps what it needs for that from one message to the next.
#[derive(Default)]
pub(crate) struct Shaper {
    key: Vec<u8>,
    items: Vec<Item>,
    spans: Vec<Span>,
    /// The end of the line that was read.
    line_end: usize,
}

impl Shaper {
    /// Reads a message; [`Shaper::key`] and [`Shaper::spans`] are of the line that it gives back.
    pub(crate) fn read<'a>(&mut self, message: &'a str) -> &'a str {
        self.key.clear();
        self.items.clear();
        self.spans.clear();
        let mut scanner = Scanner::new(message);
        let line = scanner.line();
        while let Some((piece, range)) = scanner.next_piece() {
            if self.items.len() >= TOKENS_MAX {
                self.line_end = line.len();
                self.value(range.start);
                return line;
            }
            self.line_end = range.end;
            match piece {
                Piece::Space => self.separator(Kind::Space, b" ", range.start),
                Piece::Separator => {
                    let bytes = &line.as_bytes()[range.clone()];
                    let byte = if let [byte] = bytes { *byte } else { 0 };
                    self.separator(Kind::Separator(byte), bytes, range.start);
                }
                Piece::Value => self.value(range.start),
                Piece::Numbered => self.numbered(line, range),
                Piece::Plain => self.plain(line, range),
            }
        }
        if self.last(0).is(b'=') {
            self.push(Kind::Empty, line.len(), &[EMPTY]);
        }
        line
    }

    /// The shape: messages of the same one have the same bytes here.
    pub(crate) fn key(&self) -> &[u8] {
        &self.key
    }

    /// How many words and separators the shape has.
    pub(crate) fn tokens(&self) -> usize {
        self.items.len()
    }

    /// What stood in the places that vary.
    pub(crate) fn slots(&self, line: &str) -> Vec<Slot> {
        let slot = |span: &Span| match &line[span.range.clone()] {
            _ if span.varies => Slot::Nothing,
            text if span.of_name => Slot::of_name(text),
            text => Slot::of_value(text),
        };
        self.spans.iter().map(slot).collect()
    }

    /// Tells the slots of another message of this shape; whether anything can still come of them.
    pub(crate) fn join(&self, line: &str, slots: &mut [Slot]) -> bool {
        let mut open = false;
        for (slot, span) in slots.iter_mut().zip(&self.spans) {
            match (&line[span.range.clone()], &slot) {
                (_, Slot::Nothing) => continue,
                _ if span.varies => *slot = Slot::Nothing,
                (text, _) if span.of_name => slot.join_name(text),
                (text, _) => slot.join_value(text),
            }
            open |= *slot != Slot::Nothing;
        }
        open
    }

    /// The kind of the token `back` before the last one; of a separator that is none if there is not.
    fn last(&self, back: usize) -> Kind {
        self.items.iter().rev().nth(back).map_or(Kind::Separator(0), |item| item.kind)
    }

    fn push(&mut self, kind: Kind, line: usize, key: &[u8]) {
        self.items.push(Item {
            kind,
            line: line as u32,
            key: self.key.len() as u32,
            slots: self.spans.len() as u32,
        });
        self.key.extend_from_slice(key);
    }

    /// Takes the last tokens away; where the first of them began in the line.
    fn pop(&mut self, count: usize) -> Option<usize> {
        let first = self.items.len().checked_sub(count)?;
        let item = self.items.get(first)?;
        let line = item.line as usize;
        self.key.truncate(item.key as usize);
        self.spans.truncate(item.slots as usize);
        self.items.truncate(first);
        Some(line)
    }

    fn separator(&mut self, kind: Kind, bytes: &[u8], at: usize) {
        let (before, opened) = (self.last(1), self.last(0));
        let closes = match kind {
            Kind::Separator(b')') => opened.is(b'('),
            Kind::Separator(b']') => opened.is(b'['),
            Kind::Separator(b'}') => opened.is(b'{'),
            Kind::Separator(b'>') => opened.is(b'<'),
            Kind::Separator(b'"') => opened.is(b'"'),
            Kind::Separator(b'\'') => opened.is(b'\''),
            _ => false,
        };
        let ends = kind == Kind::Space
            || matches!(kind, Kind::Separator(b',' | b';' | b')' | b']' | b'}'));
        if (closes && !before.is_word()) || (ends && opened.is(b'=')) {
            self.push(Kind::Empty, at, &[EMPTY]);
        }
        self.push(kind, at, &[]);
        match bytes {
            [byte] if ends_word(*byte) => self.key.push(*byte),
            _ => {
                self.key.push(OTHER);
                self.key.extend_from_slice(bytes);
            }
        }
    }

    fn value(&mut self, at: usize) {
        let mut start = at;
        if self.last(0).is(b':') && self.last(1) == Kind::Numbered {
            // A host and a port.
            start = self.pop(2).unwrap_or(start);
        }
        while self.last(0) == Kind::Space && self.last(1) == Kind::Calendar {
            start = self.pop(2).unwrap_or(start);
        }
        // Values in a row are a list, or the parts of one value.
        loop {
            let between = match (self.last(0), self.last(1), self.last(2)) {
                (Kind::Value, ..) => 1,
                (Kind::Space | Kind::Separator(b':' | b','), Kind::Value, _) => 2,
                (Kind::Space, Kind::Separator(b','), Kind::Value) => 3,
                _ => break,
            };
            start = self.pop(between).unwrap_or(start);
        }
        self.push(Kind::Value, start, &[VALUE]);
        self.spans.push(Span { range: start..self.line_end, of_name: false, varies: false });
    }

    fn plain(&mut self, line: &str, range: Range<usize>) {
        let text = &line[range.clone()];
        let after_value = self.last(0) == Kind::Space && self.last(1) == Kind::Value;
        let calendar = text.len() == 3 && CALENDAR.contains(&text.as_bytes());
        if calendar && after_value {
            return self.value(range.start);
        }
        if after_value && UNITS.contains(&text) {
            self.push(Kind::Unit, range.start, &[UNIT]);
            return self.spans.push(Span { range, of_name: true, varies: false });
        }
        self.push(if calendar { Kind::Calendar } else { Kind::Plain }, range.start, &[WORD]);
        self.key.extend_from_slice(text.as_bytes());
    }

    fn numbered(&mut self, line: &str, range: Range<usize>) {
        let (key, spans) = (self.key.len(), self.spans.len());
        self.push(Kind::Numbered, range.start, &[WORD]);
        let bytes = line.as_bytes();
        let mut at = range.start;
        while at < range.end {
            let digit = |at: usize| at < range.end && bytes[at].is_ascii_digit();
            if !digit(at) {
                self.key.push(bytes[at]);
                at += 1;
                continue;
            }
            let start = at;
            while digit(at) || (bytes[at.min(range.end - 1)] == b'.' && digit(at + 1)) {
                at += 1;
            }
            self.key.push(NUMBER);
            self.spans.push(Span { range: start..at, of_name: true, varies: false });
        }
        self.list_of_names(key, spans);
    }

    /// Names in a row that differ only in their numbers are a list, shown as one of them.
    fn list_of_names(&mut self, key: usize, spans: usize) {
        let back = match (self.last(1), self.last(2)) {
            (Kind::Space, Kind::Separator(b',')) => 3,
            (Kind::Space | Kind::Separator(b','), _) => 2,
            _ => return,
        };
        let Some(index) = self.items.len().checked_sub(back + 1) else { return };
        let (first, next) = (&self.items[index], &self.items[index + 1]);
        if first.kind != Kind::Numbered
            || self.key[first.key as usize..next.key as usize] != self.key[key..]
        {
            return;
        }
        let first_spans = first.slots as usize..next.slots as usize;
        self.pop(back);
        debug_assert!(self.spans.len() <= spans);
        for span in &mut self.spans[first_spans] {
            span.varies = true;
        }
    }
}

/// One token of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Token<'a> {
    /// A word, with [`NUMBER`] in the place of digits.
    Word(&'a [u8]),
    /// [`VALUE`], [`UNIT`] or [`EMPTY`].
    Special(u8),
    /// One character that is no part of a word.
    Separator(&'a str),
}

/// Takes a key apart.
pub(crate) fn tokens(mut key: &[u8]) -> Vec<Token<'_>> {
    let mut tokens = Vec::new();
    while let Some((&first, rest)) = key.split_first() {
        let (token, length) = match first {
            VALUE | UNIT | EMPTY => (Token::Special(first), 1),
            WORD => {
                let ends = |byte: &u8| *byte != NUMBER && ends_word(*byte);
                let length = rest.iter().position(ends).unwrap_or(rest.len());
                (Token::Word(&rest[..length]), 1 + length)
            }
            OTHER => {
                let length = rest.first().map_or(0, |byte| match byte {
                    ..0xc0 => 1,
                    0xc0..0xe0 => 2,
                    0xe0..0xf0 => 3,
                    0xf0.. => 4,
                });
                let length = length.min(rest.len());
                (Token::Separator(std::str::from_utf8(&rest[..length]).unwrap_or("")), 1 + length)
            }
            _ => (Token::Separator(std::str::from_utf8(&key[..1]).unwrap_or("")), 1),
        };
        tokens.push(token);
        key = &key[length..];
    }
    tokens
}
