//! Which line belongs to the record before it.
//!
//! A line that matches [`Multiline::continues`] continues. Else, if there is [`Multiline::start`], a line that does
//! not match it continues. Else what the presets know of stack traces counts, and then indentation. Nothing is known
//! of the lines that will follow, so an empty line waits until the next one tells whether it stands inside.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use regex::bytes::Regex;
use thiserror::Error;

use super::traces::{self, Inside};

/// When lines are joined, and how far. [`Multiline::default`] joins nothing.
#[derive(Clone, Debug)]
pub struct Multiline {
    /// A line that matches begins a record, and all others continue one.
    pub start: Option<Regex>,
    /// A line that begins with white space continues, and so does an empty one that has such a line behind it.
    pub indented: bool,
    /// A line that matches continues.
    pub continues: Option<Regex>,
    /// Stack traces of this language continue.
    pub traces: Option<Traces>,
    /// How long a record waits for its next line. 1 s.
    pub timeout: Duration,
    /// Most lines of a record. 1,000.
    pub lines_max: u32,
    /// Most bytes of a record, unless its first line is longer. 1 MiB.
    pub bytes_max: usize,
}

impl Default for Multiline {
    fn default() -> Self {
        Self {
            start: None,
            indented: false,
            continues: None,
            traces: None,
            timeout: Duration::from_secs(1),
            lines_max: 1_000,
            bytes_max: 1 << 20,
        }
    }
}

impl Multiline {
    /// Joins the stack traces of a language to what logged them.
    pub fn preset(traces: Traces) -> Self {
        Self { traces: Some(traces), indented: traces == Traces::Java, ..Self::default() }
    }

    /// `open` is the record that is being gathered; without one the line begins one whatever the answer is.
    pub(super) fn verdict(
        &self,
        inside: &mut Inside,
        open: Option<Open<'_>>,
        line: &[u8],
    ) -> Verdict {
        let matches = |regex: &Option<Regex>| regex.as_ref().map(|regex| regex.is_match(line));
        if matches(&self.continues) == Some(true) {
            return Verdict::Continues;
        }
        if let Some(starts) = matches(&self.start) {
            return if starts { Verdict::Begins } else { Verdict::Continues };
        }
        let traced = self.traces.map(|traces| traces::verdict(traces, inside, open, line));
        if let Some(verdict) = traced.filter(|verdict| *verdict != Verdict::Begins) {
            return verdict;
        }
        match line.first() {
            Some(b' ' | b'\t') if self.indented => Verdict::Continues,
            None if self.indented => Verdict::Waits,
            _ => Verdict::Begins,
        }
    }
}

/// What a line is to the record before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The record is whole, and the line begins another.
    Begins,
    /// It is part of the record.
    Continues,
    /// It is part of the record if what follows is.
    Waits,
}

/// The record that is being gathered.
#[derive(Clone, Copy, Debug)]
pub(super) struct Open<'a> {
    pub(super) lines: u32,
    pub(super) last_line: &'a [u8],
}

/// A language whose stack traces are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Traces {
    /// Lines that are indented, `Caused by:`, and the name of the exception below the line that logged it.
    Java,
    /// `Traceback (most recent call last):` to the exception, with all that it was raised from.
    Python,
    /// `panic:`, `fatal error:` and the goroutines below.
    Go,
}

impl Traces {
    /// All of them.
    pub const ALL: [Traces; 3] = [Traces::Java, Traces::Python, Traces::Go];

    /// The name in configuration.
    pub fn name(self) -> &'static str {
        match self {
            Traces::Java => "java",
            Traces::Python => "python",
            Traces::Go => "go",
        }
    }
}

impl fmt::Display for Traces {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// No preset has this name.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("unknown multiline preset {0:?}: use java, python or go")]
pub struct UnknownTraces(pub String);

impl FromStr for Traces {
    type Err = UnknownTraces;

    fn from_str(name: &str) -> Result<Self, UnknownTraces> {
        let known = Traces::ALL.into_iter().find(|traces| traces.name() == name);
        known.ok_or_else(|| UnknownTraces(name.to_owned()))
    }
}
