//! One record in the making: decoders put fields in as they meet them, in any order, and [`Builder::emit`]
//! hands the finished record on.
//!
//! Texts stay where they lie in the body. What has no place there (unescaped strings, flattened names,
//! arrays as JSON text) is written to a scratch text that every record uses again, and is known by its
//! range until the record is finished, because the scratch may move while it grows. The front of the
//! scratch, up to a mark, can be kept over records: there lie the attributes of an OTLP resource and scope.
//!
//! What keys mean is not decided here; how values fit the fixed fields is, in [`crate::fit`].

use std::ops::Range;

use record::keys::{self, Role};
use record::{
    CORRELATION_ID_BYTES_MAX, RecordRef, Severity, SourceRef, SpanId, Timestamp, TraceId, ValueRef,
};

use crate::{Decoded, Limits, RejectReason, json_text, unique};

/// A rank that no key has, worse than all.
const NOBODY: u8 = u8::MAX;

/// A text in the body or in the scratch.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Text<'b> {
    Body(&'b str),
    Scratch { start: u32, end: u32 },
}

/// A value in the making.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Scalar<'b> {
    Text(Text<'b>),
    /// The JSON text of an array or object: a text, but never the name of a service or the like.
    Json(Text<'b>),
    I64(i64),
    F64(f64),
    Bool(bool),
}

/// An attribute in the making.
pub(crate) type Attribute<'b> = (Text<'b>, Scalar<'b>);

/// A value that holds, or would like to hold, a fixed field.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Candidate<'b> {
    pub(crate) rank: u8,
    pub(crate) name: Text<'b>,
    pub(crate) value: Scalar<'b>,
}

/// The fixed fields in the making, as [`crate::fit`] fills them.
#[derive(Debug, Default)]
pub(crate) struct Fields<'b> {
    pub(crate) timestamp: Option<Timestamp>,
    pub(crate) observed_timestamp: Option<Timestamp>,
    pub(crate) severity_of_text: Option<Severity>,
    pub(crate) severity_number: Option<Severity>,
    pub(crate) severity_text: Option<Text<'b>>,
    pub(crate) service: Option<Text<'b>>,
    pub(crate) host: Option<Text<'b>>,
    pub(crate) correlation_id: Option<Text<'b>>,
    pub(crate) trace_id: Option<TraceId>,
    pub(crate) span_id: Option<SpanId>,
    pub(crate) message: Option<Text<'b>>,
    pub(crate) event_name: Option<Text<'b>>,
    pub(crate) source_agent: Option<Text<'b>>,
    pub(crate) source_path: Option<Text<'b>>,
    pub(crate) source_offset: Option<u64>,
    /// The best time that could not be read.
    pub(crate) unread_time: Option<Candidate<'b>>,
    /// A baggage header, read for the correlation id when nothing else gave one.
    pub(crate) baggage: Option<Text<'b>>,
}

/// One record in the making.
#[derive(Debug)]
pub(crate) struct Builder<'b> {
    pub(crate) scratch: String,
    pub(crate) fields: Fields<'b>,
    pub(crate) attributes: Vec<Attribute<'b>>,
    /// The rank of the key that holds each role, [`NOBODY`] if none does.
    ranks: [u8; Role::COUNT],
    /// The attribute that it would be otherwise; says nothing where nobody holds the role.
    holders: [Attribute<'b>; Role::COUNT],
    /// Why the record must be rejected once it is read to its end.
    pub(crate) fault: Option<RejectReason>,
    /// Attributes of the resource, then of the scope; kept over records.
    pub(crate) shared: Vec<Attribute<'b>>,
    /// How many of `shared` are the resource's.
    pub(crate) resource_len: usize,
    /// Where the kept front of the scratch ends.
    pub(crate) kept: usize,
    /// A record's attributes on their way to the sink; only its memory is kept.
    resolved: Vec<(&'static str, ValueRef<'static>)>,
    pub(crate) depth_max: usize,
    scratch_bytes_max: usize,
}

impl<'b> Builder<'b> {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            scratch: String::new(),
            fields: Fields::default(),
            attributes: Vec::new(),
            ranks: [NOBODY; Role::COUNT],
            holders: [(Text::Body(""), Scalar::Bool(false)); Role::COUNT],
            fault: None,
            shared: Vec::new(),
            resource_len: 0,
            kept: 0,
            resolved: Vec::new(),
            depth_max: limits.depth(),
            // Ranges are of 32 bits.
            scratch_bytes_max: limits.flattened_bytes_max.min(1 << 30),
        }
    }

    /// The text itself.
    #[inline]
    pub(crate) fn text<'s>(&'s self, text: Text<'b>) -> &'s str {
        resolve(&self.scratch, text)
    }

    /// What was written to the scratch since `start`. Too much of it makes the record a rejected one.
    pub(crate) fn written(&mut self, start: usize) -> Text<'b> {
        if self.scratch.len() > self.scratch_bytes_max {
            self.fault = Some(RejectReason::TooLarge);
            self.scratch.truncate(start);
        }
        Text::Scratch { start: start as u32, end: self.scratch.len() as u32 }
    }

    /// Copies a text to the scratch.
    pub(crate) fn write(&mut self, text: &str) -> Text<'b> {
        let start = self.scratch.len();
        self.scratch.push_str(text);
        self.written(start)
    }

    /// Writes bytes as base64.
    pub(crate) fn write_base64(&mut self, bytes: &[u8]) -> Text<'b> {
        let start = self.scratch.len();
        json_text::push_base64(&mut self.scratch, bytes);
        self.written(start)
    }

    /// The value as text.
    pub(crate) fn text_of(&mut self, value: Scalar<'b>) -> Text<'b> {
        let start = self.scratch.len();
        match value {
            Scalar::Text(text) | Scalar::Json(text) => return text,
            Scalar::I64(number) => json_text::push(&mut self.scratch, format_args!("{number}")),
            Scalar::F64(number) => json_text::push(&mut self.scratch, format_args!("{number}")),
            Scalar::Bool(flag) => json_text::push(&mut self.scratch, format_args!("{flag}")),
        }
        self.written(start)
    }

    /// An integer beyond `i64` becomes its text.
    pub(crate) fn u64(&mut self, number: u64) -> Scalar<'b> {
        match i64::try_from(number) {
            Ok(number) => Scalar::I64(number),
            Err(_) => {
                let start = self.scratch.len();
                json_text::push(&mut self.scratch, format_args!("{number}"));
                Scalar::Text(self.written(start))
            }
        }
    }

    /// A float that is not finite becomes its text.
    pub(crate) fn f64(&mut self, number: f64) -> Scalar<'b> {
        if number.is_finite() {
            Scalar::F64(number)
        } else {
            Scalar::Text(self.text_of(Scalar::F64(number)))
        }
    }

    /// `parent.key`, or `key` at the top; an empty key is `_`.
    #[inline]
    pub(crate) fn name(&mut self, parent: Option<Text<'b>>, key: &'b str) -> Text<'b> {
        match parent {
            None if key.is_empty() => Text::Body("_"),
            None => Text::Body(key),
            Some(_) => self.name_of_transient(parent, key),
        }
    }

    /// As [`Builder::name`], for a key that does not lie in the body.
    pub(crate) fn name_of_transient(&mut self, parent: Option<Text<'b>>, key: &str) -> Text<'b> {
        let start = self.scratch.len();
        match parent {
            None => {}
            Some(Text::Body(parent)) => self.scratch.push_str(parent),
            Some(Text::Scratch { start, end }) => {
                self.scratch.extend_from_within(start as usize..end as usize);
            }
        }
        if parent.is_some() {
            self.scratch.push('.');
        }
        self.scratch.push_str(if key.is_empty() { "_" } else { key });
        self.written(start)
    }

    /// The text without its first bytes, which are ASCII.
    pub(crate) fn without_prefix(&self, text: Text<'b>, length: usize) -> Text<'b> {
        match text {
            Text::Body(text) => Text::Body(text.get(length..).unwrap_or(text)),
            Text::Scratch { start, end } => {
                Text::Scratch { start: (start + length as u32).min(end), end }
            }
        }
    }

    /// Adds an ordinary attribute.
    #[inline]
    pub(crate) fn attribute(&mut self, name: Text<'b>, value: Scalar<'b>) {
        self.attributes.push((name, value));
    }

    /// A value whose key means a fixed field: takes the field if the value fits and no better key holds it,
    /// else stays an attribute. Who is displaced becomes an attribute.
    #[inline]
    pub(crate) fn offer(&mut self, role: Role, candidate: Candidate<'b>) {
        let Candidate { rank, name, value } = candidate;
        let index = role as usize;
        let held = self.ranks[index];
        if held <= rank || !self.fit(role, rank, value) {
            let is_time = matches!(value, Scalar::Text(_) | Scalar::I64(_) | Scalar::F64(_));
            if role == Role::Timestamp && held == NOBODY && is_time {
                return self.keep_unread_time(candidate);
            }
            return self.attribute(name, value);
        }
        if held != NOBODY {
            let (name, value) = self.holders[index];
            self.attribute(name, value);
        }
        self.ranks[index] = rank;
        self.holders[index] = (name, value);
    }

    /// Notes a time that could not be read; the best of them is named if no other time turns up.
    pub(crate) fn keep_unread_time(&mut self, candidate: Candidate<'b>) {
        let worse = match self.fields.unread_time {
            Some(other) if other.rank <= candidate.rank => Some(candidate),
            other => {
                self.fields.unread_time = Some(candidate);
                other
            }
        };
        if let Some(worse) = worse {
            self.attribute(worse.name, worse.value);
        }
    }

    /// Forgets the record in the making; what is shared stays.
    pub(crate) fn reset(&mut self) {
        self.scratch.truncate(self.kept);
        self.attributes.clear();
        self.fields = Fields::default();
        self.ranks = [NOBODY; Role::COUNT];
        self.fault = None;
    }

    /// Finishes the record and hands it to the sink, or counts it as rejected; then begins the next.
    pub(crate) fn emit(&mut self, to: &mut Emit<'_, '_>, line: Option<u32>) {
        let observed = self.fields.observed_timestamp.unwrap_or(to.received_at);
        let replaced = self.settle_time();
        self.settle_correlation();
        if let Some(reason) = self.fault {
            to.decoded.reject(to.limits, line, reason, || describe(reason, to.limits));
            return self.reset();
        }

        // Declared first, so that the names outlive the attributes that borrow them.
        let renames;
        let mut resolved = recycle(std::mem::take(&mut self.resolved));
        let scratch = self.scratch.as_str();
        let resolved_one = |(name, value): &Attribute<'b>| {
            (resolve(scratch, *name), resolve_value(scratch, *value))
        };
        let (resource, scope) = self.shared.split_at(self.resource_len);
        resolved.extend(self.attributes.iter().map(resolved_one));
        resolved.extend(scope.iter().map(resolved_one));
        resolved.extend(resource.iter().map(resolved_one));
        if unique::has_duplicates(&resolved) {
            let scope: Range<usize> = self.attributes.len()..self.attributes.len() + scope.len();
            let resource = scope.end..resolved.len();
            renames = unique::renames(&resolved, scope, resource);
            for (index, name) in &renames {
                resolved[*index].0 = name;
            }
        }

        let fields = &self.fields;
        let text = |text: Option<Text<'b>>| text.map(|text| resolve(scratch, text));
        let severity = fields.severity_number.filter(|severity| severity.number() != 0);
        let record = RecordRef {
            timestamp: fields.timestamp.unwrap_or(observed),
            observed_timestamp: observed,
            severity: severity.or(fields.severity_of_text).unwrap_or_default(),
            severity_text: text(fields.severity_text),
            service: text(fields.service),
            host: text(fields.host),
            correlation_id: text(fields.correlation_id),
            trace_id: fields.trace_id,
            span_id: fields.span_id,
            message: text(fields.message).unwrap_or(""),
            event_name: text(fields.event_name),
            attributes: &resolved,
            source: SourceRef {
                agent: text(fields.source_agent),
                path: text(fields.source_path),
                offset: fields.source_offset,
            },
        };
        if to.record_bytes_max.is_some_and(|bytes_max| text_bytes(&record) > bytes_max) {
            let reason = RejectReason::TooLarge;
            to.decoded.reject(to.limits, line, reason, || describe(reason, to.limits));
        } else {
            (to.sink)(&record);
            to.decoded.accepted = to.decoded.accepted.saturating_add(1);
            to.decoded.timestamps_replaced += u64::from(replaced);
        }
        self.resolved = recycle(resolved);
        self.reset();
    }

    /// The attribute that keeps an unread time's text; true if the record has no other time.
    fn settle_time(&mut self) -> bool {
        let Some(Candidate { name, value, .. }) = self.fields.unread_time else { return false };
        if self.fields.timestamp.is_some() {
            self.attribute(name, value);
            return false;
        }
        let text = self.text_of(value);
        self.attribute(Text::Body(keys::TIMESTAMP_TEXT), Scalar::Text(text));
        true
    }

    /// The correlation id of the baggage, if nothing else gave one.
    fn settle_correlation(&mut self) {
        let (None, Some(baggage)) = (self.fields.correlation_id, self.fields.baggage) else {
            return;
        };
        let Some(id) = keys::correlation_in_baggage(self.text(baggage)) else { return };
        let id = percent_decoded(id);
        if !id.is_empty() && id.len() <= CORRELATION_ID_BYTES_MAX {
            self.fields.correlation_id = Some(self.write(&id));
        }
    }
}

/// Where finished records go.
pub(crate) struct Emit<'e, 's> {
    pub(crate) received_at: Timestamp,
    pub(crate) limits: &'e Limits,
    /// Checked for each record where the decoder cannot see how long it was.
    pub(crate) record_bytes_max: Option<usize>,
    pub(crate) decoded: Decoded,
    pub(crate) sink: &'e mut (dyn FnMut(&RecordRef<'_>) + 's),
}

/// The text itself, where only the scratch is at hand.
#[inline]
pub(crate) fn resolve<'s>(scratch: &'s str, text: Text<'s>) -> &'s str {
    match text {
        Text::Body(text) => text,
        Text::Scratch { start, end } => &scratch[start as usize..end as usize],
    }
}

#[inline]
fn resolve_value<'s>(scratch: &'s str, value: Scalar<'s>) -> ValueRef<'s> {
    match value {
        Scalar::Text(text) | Scalar::Json(text) => ValueRef::String(resolve(scratch, text)),
        Scalar::I64(number) => ValueRef::I64(number),
        Scalar::F64(number) => ValueRef::F64(number),
        Scalar::Bool(flag) => ValueRef::Bool(flag),
    }
}

/// The same memory for texts of another lifetime: the vector is empty, and collecting an iterator over a
/// vector into one of equal layout keeps its allocation.
fn recycle<'x, 'y>(mut used: Vec<(&'x str, ValueRef<'x>)>) -> Vec<(&'y str, ValueRef<'y>)> {
    used.clear();
    // Not `filter`: its items would have the old lifetime.
    #[allow(clippy::unnecessary_filter_map)]
    used.into_iter().filter_map(|_| None).collect()
}

fn text_bytes(record: &RecordRef<'_>) -> usize {
    let value_bytes = |value: &ValueRef<'_>| match value {
        ValueRef::String(text) => text.len(),
        _ => 8,
    };
    let attributes = record.attributes.iter();
    record.message.len()
        + attributes.map(|(name, value)| name.len() + value_bytes(value)).sum::<usize>()
}

fn describe(reason: RejectReason, limits: &Limits) -> String {
    match reason {
        RejectReason::Malformed => "the record is not well-formed".to_owned(),
        RejectReason::NotAnObject => "the value is no JSON object".to_owned(),
        RejectReason::TooDeep => format!("values are nested deeper than {}", limits.depth()),
        RejectReason::TooLarge => "the record is too large; cut it before sending".to_owned(),
    }
}

/// Undoes `%41`; what is no valid escape, or no UTF-8 in the end, is left as it is.
fn percent_decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        let escape = (byte == b'%').then(|| after.first_chunk::<2>()).flatten();
        let decoded = escape.and_then(|digits| {
            let digit = |digit: u8| char::from(digit).to_digit(16);
            Some(digit(digits[0])? << 4 | digit(digits[1])?)
        });
        match decoded {
            Some(decoded) => {
                bytes.push(decoded as u8);
                rest = &after[2..];
            }
            None => {
                bytes.push(byte);
                rest = after;
            }
        }
    }
    String::from_utf8(bytes).unwrap_or_else(|_| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percent_escapes_are_undone_where_they_are_valid() {
        assert_eq!(percent_decoded("a%20b%C3%A9"), "a bé");
        assert_eq!(percent_decoded("100%"), "100%");
        assert_eq!(percent_decoded("%zz%4"), "%zz%4");
        assert_eq!(percent_decoded("%FF"), "%FF");
    }

    #[test]
    fn the_vector_of_attributes_keeps_its_memory() {
        let used: Vec<(&str, ValueRef<'_>)> = Vec::with_capacity(100);
        let address = used.as_ptr() as usize;
        let again = recycle(used);
        assert_eq!((again.as_ptr() as usize, again.capacity()), (address, 100));
    }
}
