//! What is held of a stream until its end is known, and where the raw lines of it begin.

use std::collections::VecDeque;
use std::time::Instant;

use record::Timestamp;

use super::multiline::{Multiline, Open};
use super::traces::Inside;
use crate::lines::Line;

/// Room that an empty text keeps; thousands of logs may be quiet at the same time.
const KEPT_BYTES: usize = 4 << 10;

/// Where a raw line begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Begin {
    pub(super) file: u64,
    pub(super) offset: u64,
}

/// A text that may go on.
#[derive(Debug, Default)]
pub(super) struct Held {
    pub(super) bytes: Vec<u8>,
    /// The first raw line in each file that it is from, in the order of reading.
    pub(super) begins: Vec<Begin>,
    pub(super) number: u64,
    pub(super) time: Option<Timestamp>,
    /// How many raw lines.
    pub(super) lines: u32,
    /// How many lines of the program.
    texts: u32,
    last_line_at: usize,
}

impl Held {
    pub(super) fn is_empty(&self) -> bool {
        self.lines == 0
    }

    pub(super) fn begins_with(&mut self, begins: &[Begin]) {
        for begin in begins {
            if self.begins.iter().all(|known| known.file != begin.file) {
                self.begins.push(*begin);
            }
        }
    }

    /// Adds a line of the program, which is made of `lines` raw ones.
    pub(super) fn append(
        &mut self,
        bytes: &[u8],
        number: u64,
        time: Option<Timestamp>,
        lines: u32,
    ) {
        if self.is_empty() {
            (self.number, self.time) = (number, time);
        } else {
            self.bytes.push(b'\n');
        }
        self.last_line_at = self.bytes.len();
        self.bytes.extend_from_slice(bytes);
        self.lines = self.lines.saturating_add(lines);
        self.texts = self.texts.saturating_add(1);
    }

    pub(super) fn line(&self) -> Line<'_> {
        let offset = self.begins.first().map_or(0, |begin| begin.offset);
        Line { bytes: &self.bytes, offset, number: self.number, part: None }
    }

    /// The record as rules see it, if there is one.
    pub(super) fn open(&self) -> Option<Open<'_>> {
        let last_line = &self.bytes[self.last_line_at..];
        (!self.is_empty()).then_some(Open { lines: self.texts, last_line })
    }

    /// The same room for the next text.
    pub(super) fn emptied(mut self) -> Self {
        self.bytes.clear();
        self.bytes.shrink_to(KEPT_BYTES);
        self.begins.clear();
        let Held { bytes, begins, .. } = self;
        Self { bytes, begins, ..Self::default() }
    }
}

/// An empty line that belongs to the record if what follows does.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) place: Begin,
    pub(super) number: u64,
    pub(super) time: Option<Timestamp>,
}

/// What is held of one stream.
#[derive(Debug)]
pub(super) struct Lane {
    pub(super) stream: Option<&'static str>,
    /// When its last raw line came.
    pub(super) touched: Instant,
    pub(super) inside: Inside,
    pub(super) record: Held,
    pub(super) waiting: VecDeque<Waiting>,
    /// A line of the program whose end is still missing.
    pub(super) partial: Held,
}

impl Lane {
    pub(super) fn new(stream: Option<&'static str>, now: Instant) -> Self {
        Self {
            stream,
            touched: now,
            inside: Inside::No,
            record: Held::default(),
            waiting: VecDeque::new(),
            partial: Held::default(),
        }
    }

    /// Whether a line of so many bytes can be added to the record.
    pub(super) fn fits(&self, rule: &Multiline, bytes: usize) -> bool {
        let waiting = self.waiting.len();
        let texts = self.record.texts as usize + waiting;
        let total = self.record.bytes.len() + waiting + 1 + bytes;
        texts < rule.lines_max as usize && total <= rule.bytes_max
    }

    /// The empty lines stand inside of the record.
    pub(super) fn commit_waiting(&mut self) {
        for Waiting { place, number, time } in self.waiting.drain(..) {
            self.record.append(b"", number, time, 1);
            self.record.begins_with(&[place]);
        }
    }

    pub(super) fn bytes(&self) -> usize {
        self.record.bytes.len() + self.waiting.len() + self.partial.bytes.len()
    }

    /// The raw lines that are held, the first in each file among them.
    pub(super) fn begins(&self) -> impl Iterator<Item = &Begin> {
        let waiting = self.waiting.iter().map(|waiting| &waiting.place);
        self.record.begins.iter().chain(waiting).chain(&self.partial.begins)
    }
}
