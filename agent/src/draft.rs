//! What a format has found in one line, borrowed from the line and from an arena that is emptied with it.
//!
//! Nothing is allocated for a line whose texts stand in it as they are: the list of attributes is handed from
//! line to line, and only unescaped texts and joined names go to the arena.

use bumpalo::Bump;
use record::{CORRELATION_ID_BYTES_MAX, Severity, SpanId, Timestamp, TraceId, ValueRef};

use crate::time_format::{CivilTime, TimeReader};

/// The list of attributes, names not yet unique.
pub(crate) type Attributes<'a> = Vec<(&'a str, ValueRef<'a>)>;

/// What a line says about its time.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum When<'a> {
    /// Nothing.
    #[default]
    Unsaid,
    /// It happened then.
    At(Timestamp),
    /// Something that is no time, or none that fits 64-bit nanoseconds.
    Unreadable(&'a str),
}

/// A fixed field of text, with the key that it came under, for when something else wins the field.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Keyed<'a> {
    pub(crate) key: &'a str,
    pub(crate) text: &'a str,
}

/// One line, taken apart.
#[derive(Debug)]
pub struct Draft<'a> {
    pub(crate) arena: &'a Bump,
    pub(crate) times: &'a TimeReader,
    pub(crate) now: Timestamp,
    pub(crate) when: When<'a>,
    pub(crate) observed: Option<Timestamp>,
    pub(crate) severity: Severity,
    pub(crate) severity_text: Option<&'a str>,
    pub(crate) service: Option<Keyed<'a>>,
    pub(crate) host: Option<Keyed<'a>>,
    pub(crate) correlation_id: Option<&'a str>,
    pub(crate) trace_id: Option<TraceId>,
    pub(crate) span_id: Option<SpanId>,
    pub(crate) event_name: Option<&'a str>,
    pub(crate) message: &'a str,
    pub(crate) attributes: Attributes<'a>,
}

impl<'a> Draft<'a> {
    /// An empty draft; `now` is when the line was read.
    pub fn new(arena: &'a Bump, times: &'a TimeReader, now: Timestamp) -> Self {
        Self::with_attributes(arena, times, now, Vec::new())
    }

    /// An empty draft that uses the room of an earlier one's attributes.
    pub(crate) fn with_attributes(
        arena: &'a Bump,
        times: &'a TimeReader,
        now: Timestamp,
        mut attributes: Attributes<'a>,
    ) -> Self {
        attributes.clear();
        Self {
            arena,
            times,
            now,
            when: When::Unsaid,
            observed: None,
            severity: Severity::UNSPECIFIED,
            severity_text: None,
            service: None,
            host: None,
            correlation_id: None,
            trace_id: None,
            span_id: None,
            event_name: None,
            message: "",
            attributes,
        }
    }

    /// Forgets what a format found before it gave up.
    pub(crate) fn clear(&mut self) {
        let attributes = std::mem::take(&mut self.attributes);
        *self = Self::with_attributes(self.arena, self.times, self.now, attributes);
    }

    /// Sets the time from a layout's reading; a date that does not exist keeps its text.
    pub(crate) fn set_time(&mut self, text: &'a str, civil: &CivilTime) {
        self.when = match self.times.resolve(civil, self.now) {
            Some(time) => When::At(time),
            None => When::Unreadable(text),
        };
    }

    /// Sets the severity from its word; a word that means none is kept as text.
    pub(crate) fn set_level(&mut self, word: &'a str) {
        self.severity = Severity::from_text(word).unwrap_or_default();
        self.severity_text = Some(word);
    }

    /// Sets the correlation id if it is one: not empty, and not longer than a record takes.
    pub(crate) fn set_correlation(&mut self, id: &'a str) -> bool {
        let fits = !id.is_empty() && id.len() <= CORRELATION_ID_BYTES_MAX;
        if fits {
            self.correlation_id = Some(id);
        }
        fits
    }

    /// Adds an attribute.
    pub(crate) fn add(&mut self, name: &'a str, value: ValueRef<'a>) {
        self.attributes.push((name, value));
    }

    /// Adds an attribute of text.
    pub(crate) fn add_text(&mut self, name: &'a str, text: &'a str) {
        self.add(name, ValueRef::String(text));
    }

    /// Adds an attribute that is a number where the text is one.
    pub(crate) fn add_number(&mut self, name: &'a str, text: &'a str) {
        self.add(name, text.parse().map_or(ValueRef::String(text), ValueRef::I64));
    }
}
