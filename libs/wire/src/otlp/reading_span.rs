//! What of a span has no field in a record: gathered while the span is read, attributes of the names in
//! [`record::span`] when it ends.
//!
//! A sender's own attribute of such a name is kept as `attribute.NAME`, whether it is the span's, the scope's or the
//! resource's, so that the names mean one thing only. What does not fit there is kept the same way: a kind or status
//! that has no name, a parent that is no id.

use record::{SpanId, span};

use super::native;
use super::reading::Reading;
use crate::builder::{Scalar, Text};

/// What stands before the name of a sender's attribute that would be taken for ours.
const OWN: &str = "attribute";
/// Keeps an end without a start, or one that is no time.
const END: &str = "end_time_unix_nano";

/// The span in the making, beside its record.
#[derive(Debug, Default)]
pub(crate) struct SpanFields<'b> {
    end: Option<i64>,
    duration: Option<i64>,
    parent: Option<SpanId>,
    kind: Option<&'static str>,
    status: Option<&'static str>,
    status_message: Option<Text<'b>>,
    trace_state: Option<Text<'b>>,
    events: Option<Text<'b>>,
    links: Option<Text<'b>>,
    /// A bit for each of [`span::NAMES`] that our own encoder wrote as an attribute, because it is no such field.
    escaped: u8,
}

impl<'b> Reading<'b> {
    /// 0 is none.
    pub(crate) fn end_time(&mut self, nanos: u64) {
        match i64::try_from(nanos) {
            Ok(0) => self.span.end = None,
            Ok(nanos) => self.span.end = Some(nanos),
            Err(_) => {
                let value = self.builder.u64(nanos);
                self.unread_end_time(value);
            }
        }
    }

    /// An end that is none.
    pub(crate) fn unread_end_time(&mut self, value: Scalar<'b>) {
        self.builder.attribute(Text::Body(END), value);
    }

    /// For senders that tell no end.
    pub(crate) fn duration(&mut self, nanos: i64) {
        self.span.duration = Some(nanos);
    }

    /// Zeros and nothing are no parent; what has another length is kept, as hex.
    pub(crate) fn parent_span_id(&mut self, bytes: &[u8]) {
        match bytes.try_into() {
            Ok(bytes) => self.span.parent = SpanId::from_bytes(bytes),
            Err(_) => self.odd_id("attribute.parent_span_id", bytes),
        }
    }

    /// OpenTelemetry's number; 0 is unspecified.
    pub(crate) fn kind(&mut self, number: i64) {
        match usize::try_from(number) {
            Ok(0) => self.span.kind = None,
            Ok(number) if number <= span::KINDS.len() => {
                self.span.kind = Some(span::KINDS[number - 1]);
            }
            _ => self.not_a_field(span::KIND, Scalar::I64(number)),
        }
    }

    /// OpenTelemetry's number.
    pub(crate) fn status(&mut self, number: i64) {
        let status = usize::try_from(number).ok().and_then(|number| span::STATUSES.get(number));
        match status {
            Some(status) => self.span.status = Some(status),
            None => self.not_a_field(span::STATUS, Scalar::I64(number)),
        }
    }

    pub(crate) fn status_message(&mut self, text: Text<'b>) {
        self.span.status_message = self.builder.word(Scalar::Text(text));
    }

    pub(crate) fn trace_state(&mut self, text: Text<'b>) {
        self.span.trace_state = self.builder.word(Scalar::Text(text));
    }

    /// A JSON array that is not empty.
    pub(crate) fn events(&mut self, json: Text<'b>) {
        self.span.events = Some(json);
    }

    /// As [`Reading::events`].
    pub(crate) fn links(&mut self, json: Text<'b>) {
        self.span.links = Some(json);
    }

    /// How many events or links the sender dropped, under the name that OpenTelemetry has for it elsewhere.
    pub(crate) fn dropped(&mut self, name: &'static str, count: u64) {
        if count > 0 {
            let count = self.builder.u64(count);
            self.builder.attribute(Text::Body(name), count);
        }
    }

    /// A value under the name of a field that it does not fit.
    pub(crate) fn not_a_field(&mut self, name: &'static str, value: Scalar<'b>) {
        let name = self.builder.name_of_transient(Some(Text::Body(OWN)), name);
        self.builder.attribute(name, value);
    }

    /// The name that a sender's own attribute gets.
    pub(super) fn own_name(&mut self, name: Text<'b>) -> Text<'b> {
        match field_named(self.builder.text(name)) {
            Some(index) => {
                self.builder.name_of_transient(Some(Text::Body(OWN)), span::NAMES[index])
            }
            None => name,
        }
    }

    /// Notes that our own encoder wrote one of the fields as an attribute.
    pub(super) fn note_escaped(&mut self, name: Text<'b>) {
        let name = self.builder.text(name).strip_prefix(native::ESCAPE);
        if let Some(index) = name.and_then(field_named) {
            self.span.escaped |= 1 << index;
        }
    }

    /// Makes attributes of what was gathered.
    pub(super) fn end_span(&mut self) {
        let span = std::mem::take(&mut self.span);
        let mut duration = span.duration;
        if let Some(end) = span.end {
            let start = self.builder.fields.timestamp;
            match start.and_then(|start| end.checked_sub(start.0)) {
                Some(nanos) => duration = Some(nanos),
                None => self.builder.attribute(Text::Body(END), Scalar::I64(end)),
            }
        }
        let parent = span.parent.map(|id| {
            let start = self.builder.scratch.len();
            crate::json_text::push(&mut self.builder.scratch, format_args!("{id}"));
            self.builder.written(start)
        });
        let name = |name: &'static str| Scalar::Text(Text::Body(name));
        // In the order of `span::NAMES`.
        let fields = [
            parent.map(Scalar::Text),
            duration.map(Scalar::I64),
            span.kind.map(name),
            Some(name(span.status.unwrap_or(span::STATUSES[0]))),
            span.status_message.map(Scalar::Text),
            span.trace_state.map(Scalar::Text),
            span.events.map(Scalar::Json),
            span.links.map(Scalar::Json),
        ];
        for (index, (name, value)) in span::NAMES.into_iter().zip(fields).enumerate() {
            if let Some(value) = value.filter(|_| span.escaped & (1 << index) == 0) {
                self.builder.attribute(Text::Body(name), value);
            }
        }
    }
}

/// The place of a name among [`span::NAMES`].
pub(super) fn field_named(name: &str) -> Option<usize> {
    span::NAMES.iter().position(|field| *field == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_a_bit_for_each_field() {
        assert!(span::NAMES.len() <= u8::BITS as usize);
        assert_eq!(field_named("links"), Some(span::NAMES.len() - 1));
        assert_eq!(field_named("Links"), None);
    }
}
