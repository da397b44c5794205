//! A span's record taken apart again, for the two encoders.
//!
//! An attribute of a name of [`record::span`] goes back into its field if it fits there, so that any other OTLP consumer
//! finds a span as it was. One that does not, of which no decoder makes any but events with odd contents, travels
//! as an attribute with an escaped name, see [`super::native`]. Events and links fit if their JSON text is,
//! byte for byte, what the decoders would write of them.

use std::borrow::Cow;

use record::{RecordRef, SpanId, TraceId, ValueRef, span};

use super::json_tree::{Tree, push_tree};
use super::native;
use super::reading_span::field_named;

/// Deepest JSON of events and links that is taken apart: far below what decoders take.
const DEPTH_MAX: usize = 32;

/// Names and values, which are JSON that OTLP has too.
pub(super) type Members<'r> = Vec<(Cow<'r, str>, Tree<'r>)>;

/// The fields of a span that a record has not.
#[derive(Debug, Default)]
pub(super) struct SpanParts<'r> {
    pub(super) end: Option<u64>,
    pub(super) parent: Option<SpanId>,
    /// OpenTelemetry's numbers.
    pub(super) kind: u8,
    pub(super) status: u8,
    pub(super) status_message: &'r str,
    pub(super) trace_state: &'r str,
    pub(super) events: Vec<Event<'r>>,
    pub(super) links: Vec<Link<'r>>,
    /// A bit for each of [`span::NAMES`] that went into a field.
    taken: u8,
}

#[derive(Debug)]
pub(super) struct Event<'r> {
    pub(super) time: u64,
    pub(super) name: Cow<'r, str>,
    pub(super) attributes: Members<'r>,
    pub(super) dropped: u32,
}

#[derive(Debug)]
pub(super) struct Link<'r> {
    pub(super) trace_id: Option<TraceId>,
    pub(super) span_id: Option<SpanId>,
    pub(super) trace_state: Cow<'r, str>,
    pub(super) attributes: Members<'r>,
    pub(super) dropped: u32,
}

impl<'r> SpanParts<'r> {
    pub(super) fn of(record: &RecordRef<'r>) -> Self {
        let mut parts = Self::default();
        for (name, value) in record.attributes {
            if let Some(index) = field_named(name)
                && parts.take(span::NAMES[index], *value, record).is_some()
            {
                parts.taken |= 1 << index;
            }
        }
        parts
    }

    /// Whether the attribute of this name went into a field.
    pub(super) fn took(&self, name: &str) -> bool {
        field_named(name).is_some_and(|index| self.taken & (1 << index) != 0)
    }

    fn take(&mut self, name: &str, value: ValueRef<'r>, record: &RecordRef<'_>) -> Option<()> {
        let text = match value {
            ValueRef::I64(duration) if name == span::DURATION => {
                let start = i64::try_from(native::unix_nano(record.timestamp)?).ok()?;
                let end = start.checked_add(duration).filter(|end| *end > 0)?;
                self.end = u64::try_from(end).ok();
                return self.end.map(|_| ());
            }
            ValueRef::String(text) if !text.is_empty() => text,
            _ => return None,
        };
        match name {
            span::PARENT_SPAN_ID => self.parent = Some(span_id(text)?),
            span::KIND => self.kind = place(&span::KINDS, text)? + 1,
            span::STATUS => self.status = place(&span::STATUSES, text)?,
            span::STATUS_MESSAGE => self.status_message = text,
            span::TRACE_STATE => self.trace_state = text,
            span::EVENTS => self.events = list(text, event)?,
            span::LINKS => self.links = list(text, link)?,
            _ => return None,
        }
        Some(())
    }
}

fn place(names: &[&str], name: &str) -> Option<u8> {
    names.iter().position(|known| *known == name).and_then(|index| u8::try_from(index).ok())
}

fn span_id(text: &str) -> Option<SpanId> {
    SpanId::from_hex(text).filter(|id| id.to_string() == text)
}

/// The elements of a JSON array as the decoders write it.
fn list<'r, T>(text: &'r str, element: fn(Tree<'r>) -> Option<T>) -> Option<Vec<T>> {
    let tree: Tree<'r> = serde_json::from_str(text).ok()?;
    if tree.depth() > DEPTH_MAX {
        return None;
    }
    let mut written = String::with_capacity(text.len());
    push_tree(&mut written, &tree);
    let elements = tree.elements();
    if written != text || elements.is_empty() {
        return None;
    }
    elements.into_iter().map(element).collect()
}

fn event(tree: Tree<'_>) -> Option<Event<'_>> {
    let mut members = tree.members().into_iter();
    let time = unsigned(&named(members.next(), "time")?)?;
    let name = text(named(members.next(), "name")?)?;
    let (attributes, dropped) = attributes(members)?;
    Some(Event { time, name, attributes, dropped })
}

fn link(tree: Tree<'_>) -> Option<Link<'_>> {
    let mut members = tree.members().into_iter();
    let (trace, span) = (named(members.next(), "trace_id")?, named(members.next(), "span_id")?);
    let (trace, span) = (text(trace)?, text(span)?);
    let trace_state = text(named(members.next(), "trace_state")?)?;
    let trace_id = TraceId::from_hex(&trace).filter(|id| id.to_string() == *trace);
    let span_id = span_id(&span);
    let (attributes, dropped) = attributes(members)?;
    let told = (trace_id.is_some() || trace.is_empty()) && (span_id.is_some() || span.is_empty());
    told.then_some(Link { trace_id, span_id, trace_state, attributes, dropped })
}

/// The end of an event or link.
fn attributes<'r>(
    mut members: impl Iterator<Item = (Cow<'r, str>, Tree<'r>)>,
) -> Option<(Members<'r>, u32)> {
    let Tree::Object(attributes) = named(members.next(), "attributes")? else { return None };
    let dropped = match members.next() {
        None => 0,
        member => {
            let count = unsigned(&named(member, "dropped_attributes_count")?)?;
            u32::try_from(count).ok().filter(|count| *count > 0)?
        }
    };
    let whole = members.next().is_none() && attributes.iter().all(|(_, value)| is_any(value));
    whole.then_some((attributes, dropped))
}

/// Whether OTLP has such a value: of numbers it has no larger ones than `i64`.
fn is_any(tree: &Tree<'_>) -> bool {
    match tree {
        Tree::U64(_) => false,
        Tree::Array(elements) => elements.iter().all(is_any),
        Tree::Object(members) => members.iter().all(|(_, value)| is_any(value)),
        _ => true,
    }
}

fn named<'r>(member: Option<(Cow<'r, str>, Tree<'r>)>, name: &str) -> Option<Tree<'r>> {
    member.filter(|(key, _)| key == name).map(|(_, value)| value)
}

fn text(tree: Tree<'_>) -> Option<Cow<'_, str>> {
    match tree {
        Tree::String(text) => Some(text),
        _ => None,
    }
}

fn unsigned(tree: &Tree<'_>) -> Option<u64> {
    match tree {
        Tree::I64(number) => u64::try_from(*number).ok(),
        Tree::U64(number) => Some(*number),
        _ => None,
    }
}
