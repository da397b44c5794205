//! From a line to its record: the rules that hold whatever the format is.
//!
//! * A line that does not parse is shipped whole as the message and marked; its time is that of the record before
//!   it in the same file (the trace behind an error belongs to the error), or else when it was read.
//! * An empty line is a line: it is shipped as a record without a message.
//! * A time that cannot be read is replaced by the time of reading; its text is kept.
//! * The later parts of a long line take time, severity, service, host and ids of their first part, so that they
//!   are found together; only the first one is parsed.
//! * Bytes that are no UTF-8 are replaced in the text and kept beside it.
//! * The user's service and host win; what the line says is kept under its own key. A default yields to both.
//! * Of a record of several lines the first is read by the format, and the others follow its message as they stand;
//!   only if that fails, all of it together.
//! * Where a line says no time, or none that can be read, that of the container runtime counts.
//! * The user's correlation pattern is asked where the line has no correlation id of its own.

use std::collections::{HashMap, HashSet};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bumpalo::Bump;
use record::{CORRELATION_ID_BYTES_MAX, Record, RecordRef, SourceRef, Timestamp, ValueRef, keys};
use regex::{CaptureLocations, Regex};

use crate::assemble::Logical;
use crate::draft::{Attributes, Draft, Keyed, When};
use crate::format::LineFormat;
use crate::lines::Line;
use crate::time_format::TimeReader;

/// Above this many attributes their names are compared by hash.
const COMPARED_PAIRWISE_MAX: usize = 24;

/// What the user says about a source.
#[derive(Clone, Debug, Default)]
pub struct SourceSettings {
    /// The agent's id, noted in every record.
    pub agent: String,
    /// Wins over the line's own service.
    pub service: Option<String>,
    /// Wins over the line's own host.
    pub host: Option<String>,
    /// Finds the correlation id in the message: the group named `correlation`, else the first, else the match.
    pub correlation: Option<Regex>,
    /// The service where neither [`SourceSettings::service`] nor the line says one.
    pub default_service: Option<String>,
    /// Attributes of every record, such as the names of the pod that the source is of.
    pub attributes: Vec<(String, String)>,
}

/// What became of a line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Interpreted {
    /// It was not of the format, and is shipped whole. Of a long line only the first part says so.
    pub unparsed: bool,
    /// It had a time that could not be read.
    pub timestamp_replaced: bool,
}

/// Makes the records of one source, line after line.
#[derive(Debug)]
pub struct Interpreter {
    settings: SourceSettings,
    path: String,
    format: Box<dyn LineFormat>,
    times: TimeReader,
    correlation: Option<CorrelationPattern>,
    arena: Bump,
    attributes: Attributes<'static>,
    /// The time of the last record of this source that had one.
    previous: Option<Timestamp>,
    /// The first part of the long line that is being read.
    head: Option<Record>,
}

impl Interpreter {
    /// For the lines of the source at `path`.
    pub fn new(
        settings: SourceSettings,
        path: String,
        format: Box<dyn LineFormat>,
        times: TimeReader,
    ) -> Self {
        let correlation = settings.correlation.clone().map(CorrelationPattern::new);
        Self {
            settings,
            path,
            format,
            times,
            correlation,
            arena: Bump::new(),
            attributes: Vec::new(),
            previous: None,
            head: None,
        }
    }

    /// Makes the record of a line and hands it to `sink`; `now` is when the line was read.
    pub fn interpret(
        &mut self,
        line: &Line<'_>,
        now: Timestamp,
        sink: impl FnOnce(&RecordRef<'_>),
    ) -> Interpreted {
        self.interpret_logical(&Logical::plain(*line, &[]), now, sink)
    }

    /// Makes the record of a logical line, with what the container runtime said about it.
    pub fn interpret_logical(
        &mut self,
        logical: &Logical<'_>,
        now: Timestamp,
        sink: impl FnOnce(&RecordRef<'_>),
    ) -> Interpreted {
        let line = &logical.line;
        self.arena.reset();
        let (text, original) = readable(line.bytes, &self.arena);
        let later_part = line.part.is_some_and(|part| part.number > 1);
        let room = std::mem::take(&mut self.attributes);
        let mut draft = Draft::with_attributes(&self.arena, &self.times, now, room);
        let mut done = Interpreted::default();

        if later_part && let Some(head) = &self.head {
            continue_from(head, text, &mut draft);
        } else if !parse(&mut *self.format, text, logical.lines > 1, &mut draft) {
            draft.message = text;
            draft.when = logical.time.or(self.previous).map_or(When::Unsaid, When::At);
            draft.add(keys::UNPARSED, ValueRef::Bool(true));
            done.unparsed = true;
        } else if let When::At(time) = draft.when {
            self.previous = Some(time);
        }
        if draft.correlation_id.is_none()
            && let Some(pattern) = &mut self.correlation
        {
            draft.correlation_id = pattern.find(draft.message);
        }
        apply(&self.settings, later_part, &mut draft);
        if let When::Unreadable(text) = draft.when {
            draft.add_text(keys::TIMESTAMP_TEXT, text);
            done.timestamp_replaced = true;
        }
        if let Some(base64) = original {
            draft.add_text(keys::ORIGINAL_BYTES, base64);
        }
        if let Some(part) = line.part {
            draft.add_text(keys::LINE_PART, self.arena.alloc_str(&part.to_string()));
        }
        if let Some(stream) = logical.stream {
            draft.add_text(keys::IO_STREAM, stream);
        }
        if logical.cut {
            draft.add(keys::RECORD_CUT, ValueRef::Bool(true));
        }
        number_later_ones(&mut draft.attributes, &self.arena);

        let source = SourceRef {
            agent: Some(&self.settings.agent),
            path: Some(&self.path),
            offset: Some(line.offset),
        };
        let record = record_of(&draft, logical.time, source);
        let begins = line.part.is_some_and(|part| part.number == 1);
        let head = begins.then(|| RecordRef { message: "", attributes: &[], ..record }.to_record());
        sink(&record);
        self.attributes = emptied(draft.attributes);
        if begins {
            self.head = head;
        }
        done
    }
}

/// The line as text, and its bytes as base64 if they are no UTF-8.
fn readable<'a>(bytes: &'a [u8], arena: &'a Bump) -> (&'a str, Option<&'a str>) {
    match std::str::from_utf8(bytes) {
        Ok(text) => (text, None),
        Err(_) => {
            let text = arena.alloc_str(&String::from_utf8_lossy(bytes));
            (text, Some(arena.alloc_str(&STANDARD.encode(bytes))))
        }
    }
}

/// Has the format read a text; a draft that nothing was read into is empty. The first of several lines is tried
/// alone, for a layout that ends at an end of line would lose the others.
fn parse<'a>(
    format: &mut dyn LineFormat,
    text: &'a str,
    several: bool,
    draft: &mut Draft<'a>,
) -> bool {
    if several && let Some(end) = text.find('\n') {
        if format.parse(&text[..end], draft) {
            let lines = [draft.message, &text[end..]].concat();
            draft.message = draft.arena.alloc_str(&lines);
            return true;
        }
        draft.clear();
    }
    let parsed = format.parse(text, draft);
    if !parsed {
        draft.clear();
    }
    parsed
}

fn record_of<'a>(
    draft: &'a Draft<'a>,
    taken: Option<Timestamp>,
    source: SourceRef<'a>,
) -> RecordRef<'a> {
    let observed_timestamp = draft.observed.unwrap_or(draft.now);
    let timestamp = match draft.when {
        When::At(time) => time,
        When::Unsaid | When::Unreadable(_) => taken.unwrap_or(observed_timestamp),
    };
    RecordRef {
        timestamp,
        observed_timestamp,
        severity: draft.severity,
        severity_text: draft.severity_text.filter(|text| !text.is_empty()),
        service: draft.service.map(|service| service.text).filter(|text| !text.is_empty()),
        host: draft.host.map(|host| host.text).filter(|text| !text.is_empty()),
        correlation_id: draft.correlation_id,
        trace_id: draft.trace_id,
        span_id: draft.span_id,
        message: draft.message,
        event_name: draft.event_name.filter(|text| !text.is_empty()),
        attributes: &draft.attributes,
        source,
    }
}

fn continue_from<'a>(head: &'a Record, text: &'a str, draft: &mut Draft<'a>) {
    draft.message = text;
    draft.when = When::At(head.timestamp);
    draft.severity = head.severity;
    draft.severity_text = head.severity_text.as_deref();
    let keyed = |key, text: &'a Option<String>| text.as_deref().map(|text| Keyed { key, text });
    draft.service = keyed("service", &head.service);
    draft.host = keyed("host", &head.host);
    draft.correlation_id = head.correlation_id.as_deref();
    draft.trace_id = head.trace_id;
    draft.span_id = head.span_id;
}

/// Adds what the user says about the source. The later parts of a line have service and host already.
fn apply<'a>(settings: &'a SourceSettings, later_part: bool, draft: &mut Draft<'a>) {
    if !later_part {
        prefer(&settings.service, "service", &mut draft.service, &mut draft.attributes);
        prefer(&settings.host, "host", &mut draft.host, &mut draft.attributes);
    }
    if draft.service.is_none_or(|service| service.text.is_empty())
        && let Some(text) = &settings.default_service
    {
        draft.service = Some(Keyed { key: "service", text });
    }
    for (name, value) in &settings.attributes {
        draft.add_text(name, value);
    }
}

/// Puts the user's word into a field; a line's own word that differs becomes an attribute.
fn prefer<'a>(
    wanted: &'a Option<String>,
    key: &'a str,
    field: &mut Option<Keyed<'a>>,
    attributes: &mut Attributes<'a>,
) {
    let Some(wanted) = wanted else { return };
    if let Some(own) = field.replace(Keyed { key, text: wanted })
        && own.text != wanted
    {
        attributes.push((own.key, ValueRef::String(own.text)));
    }
}

/// Attribute names are unique in a record: the first of a name keeps it, a later one becomes `NAME#2`, `NAME#3` …
pub(crate) fn number_later_ones<'a>(attributes: &mut Attributes<'a>, arena: &'a Bump) {
    let pairwise = attributes.len() <= COMPARED_PAIRWISE_MAX;
    let names = |attributes: &Attributes<'a>| attributes.iter().map(|(name, _)| *name).collect();
    let unique = if pairwise {
        let named =
            |at: usize| attributes[..at].iter().any(|(other, _)| *other == attributes[at].0);
        !(1..attributes.len()).any(named)
    } else {
        let names: HashSet<&str> = names(attributes);
        names.len() == attributes.len()
    };
    if unique {
        return;
    }
    let mut taken: HashSet<&str> = names(attributes);
    // The next number to try for a name, so that a line of one name alone costs no more than any other.
    let mut seen: HashMap<&str, u64> = HashMap::with_capacity(attributes.len());
    for (name, _) in attributes.iter_mut() {
        let next = seen.entry(name).or_insert(1);
        if *next == 1 {
            *next = 2;
            continue;
        }
        *name = loop {
            let numbered: &str = arena.alloc_str(&format!("{name}#{next}"));
            *next += 1;
            if taken.insert(numbered) {
                break numbered;
            }
        };
    }
}

/// The same room for the next line: the standard library collects in place where the layout is the same.
fn emptied(mut attributes: Attributes<'_>) -> Attributes<'static> {
    attributes.clear();
    attributes.into_iter().map(|_| ("", ValueRef::Bool(false))).collect()
}

/// The user's pattern of correlation ids.
#[derive(Debug)]
pub(crate) struct CorrelationPattern {
    regex: Regex,
    group: usize,
    locations: CaptureLocations,
}

impl CorrelationPattern {
    pub(crate) fn new(regex: Regex) -> Self {
        let named = regex.capture_names().position(|name| name == Some("correlation"));
        let group = named.unwrap_or(usize::from(regex.captures_len() > 1));
        Self { locations: regex.capture_locations(), group, regex }
    }

    pub(crate) fn find<'a>(&mut self, message: &'a str) -> Option<&'a str> {
        self.regex.captures_read(&mut self.locations, message)?;
        let (start, end) = self.locations.get(self.group)?;
        Some(&message[start..end]).filter(|id| (1..=CORRELATION_ID_BYTES_MAX).contains(&id.len()))
    }
}
