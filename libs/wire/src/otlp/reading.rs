//! The common part of the two OTLP decoders: resource, scope and record attributes come together here.
//!
//! A decoder calls, for each resource, `begin_resource`, attributes, `end_resource`; for each scope in it
//! `begin_scope`, name, version, attributes, `end_scope`; for each record in that the fields, attributes and
//! `end_record`. Spans are read like log records; what they alone have is in [`super::reading_span`]. Names arrive flattened. Resource and scope come first, wherever they stand in the message.

use record::keys::Role;
use record::{Severity, Signal, SpanId, Timestamp, TraceId};

use super::reading_span::SpanFields;
use super::{foreign, native};
use crate::builder::{Builder, Candidate, Emit, Scalar, Text};
use crate::{DecodeError, Limits, RejectReason};

/// Whose attributes are being read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Owner {
    Resource,
    Scope,
    Record,
}

/// One request on its way to records.
pub(crate) struct Reading<'b> {
    pub(crate) builder: Builder<'b>,
    signal: Signal,
    /// Of signal spans alone.
    pub(super) span: SpanFields<'b>,
    owner: Owner,
    /// What of the resource means a fixed field.
    service: Option<Text<'b>>,
    host: Option<Text<'b>>,
    correlation: Option<Candidate<'b>>,
    /// Where the resource's part of the scratch ends.
    resource_end: usize,
    scope_name: Option<Text<'b>>,
    scope_version: Option<Text<'b>>,
    /// Whether our own encoder wrote the records of this scope.
    native: bool,
}

impl<'b> Reading<'b> {
    pub(crate) fn new(signal: Signal, limits: &Limits) -> Self {
        Self {
            builder: Builder::new(limits),
            signal,
            span: SpanFields::default(),
            owner: Owner::Resource,
            service: None,
            host: None,
            correlation: None,
            resource_end: 0,
            scope_name: None,
            scope_version: None,
            native: false,
        }
    }

    pub(crate) fn begin_resource(&mut self) {
        self.owner = Owner::Resource;
        (self.service, self.host, self.correlation) = (None, None, None);
        self.builder.shared.clear();
        self.builder.resource_len = 0;
        self.builder.kept = 0;
        self.builder.reset();
    }

    pub(crate) fn end_resource(&mut self) -> Result<(), DecodeError> {
        self.builder.resource_len = self.builder.shared.len();
        self.resource_end = self.builder.scratch.len();
        self.check_shared("resource")
    }

    pub(crate) fn begin_scope(&mut self) {
        self.owner = Owner::Scope;
        (self.scope_name, self.scope_version) = (None, None);
        self.builder.shared.truncate(self.builder.resource_len);
        self.builder.kept = self.resource_end;
        self.builder.reset();
    }

    pub(super) fn scope_name(&mut self, name: Text<'b>) {
        self.scope_name = Some(name);
    }

    pub(super) fn scope_version(&mut self, version: Text<'b>) {
        self.scope_version = Some(version);
    }

    pub(crate) fn end_scope(&mut self) -> Result<(), DecodeError> {
        let text = |text: Option<Text<'b>>| text.map_or("", |text| self.builder.text(text));
        self.native = text(self.scope_name) == native::SCOPE_NAME
            && text(self.scope_version) == native::SCOPE_VERSION;
        if !self.native {
            let facts = [("scope.name", self.scope_name), ("scope.version", self.scope_version)];
            for (name, fact) in facts {
                if let Some(fact) = fact.filter(|fact| !self.builder.text(*fact).is_empty()) {
                    self.builder.shared.push((Text::Body(name), Scalar::Text(fact)));
                }
            }
        }
        self.builder.kept = self.builder.scratch.len();
        self.owner = Owner::Record;
        self.check_shared("scope")
    }

    /// An attribute of whatever is open.
    pub(crate) fn attribute(&mut self, name: Text<'b>, value: Scalar<'b>) {
        let spans = self.signal == Signal::Spans;
        let name = if spans { self.own_name(name) } else { name };
        match self.owner {
            Owner::Record if self.native => self.native_attribute(name, value),
            // A span has a name; what is called an event's name is not it.
            Owner::Record if spans && self.builder.text(name) == "event.name" => {
                self.builder.attribute(name, value);
            }
            Owner::Record => foreign::attribute(&mut self.builder, name, value),
            Owner::Scope => self.builder.shared.push((name, value)),
            Owner::Resource => self.resource_attribute(name, value),
        }
    }

    /// The record's time; 0 is none.
    pub(crate) fn time(&mut self, nanos: u64) {
        match i64::try_from(nanos) {
            Ok(0) => {}
            Ok(nanos) => self.builder.fields.timestamp = Some(Timestamp(nanos)),
            Err(_) => {
                let value = self.builder.u64(nanos);
                self.unread_time(value);
            }
        }
    }

    /// A time that is none.
    pub(crate) fn unread_time(&mut self, value: Scalar<'b>) {
        let name = Text::Body("time_unix_nano");
        self.builder.keep_unread_time(Candidate { rank: 0, name, value });
    }

    pub(super) fn observed_time(&mut self, nanos: u64) {
        match i64::try_from(nanos) {
            Ok(0) => {}
            Ok(nanos) => self.builder.fields.observed_timestamp = Some(Timestamp(nanos)),
            Err(_) => {
                let value = self.builder.u64(nanos);
                self.unread_observed_time(value);
            }
        }
    }

    pub(super) fn unread_observed_time(&mut self, value: Scalar<'b>) {
        self.builder.attribute(Text::Body("observed_time_unix_nano"), value);
    }

    pub(super) fn severity_number(&mut self, number: i64) {
        match Severity::from_number(number) {
            Some(severity) => self.builder.fields.severity_number = Some(severity),
            None => self.builder.attribute(Text::Body("severity_number"), Scalar::I64(number)),
        }
    }

    pub(super) fn severity_text(&mut self, text: Text<'b>) {
        let word = self.builder.text(text);
        if word.is_empty() {
            return;
        }
        if !self.native {
            self.builder.fields.severity_of_text = Severity::from_text(word);
        }
        self.builder.fields.severity_text = Some(text);
    }

    pub(crate) fn body(&mut self, value: Scalar<'b>) {
        self.builder.fields.message = Some(self.builder.text_of(value));
    }

    pub(super) fn event_name(&mut self, name: Text<'b>) {
        if !self.builder.text(name).is_empty() {
            let value = Scalar::Text(name);
            let name = Text::Body("event_name");
            self.builder.offer(Role::EventName, Candidate { rank: 0, name, value });
        }
    }

    /// Zeros and nothing are no id; what has another length stays an attribute, as hex.
    pub(crate) fn trace_id(&mut self, bytes: &[u8]) {
        match bytes.try_into() {
            Ok(bytes) => self.builder.fields.trace_id = TraceId::from_bytes(bytes),
            Err(_) => self.odd_id("trace_id", bytes),
        }
    }

    /// As [`Reading::trace_id`].
    pub(crate) fn span_id(&mut self, bytes: &[u8]) {
        match bytes.try_into() {
            Ok(bytes) => self.builder.fields.span_id = SpanId::from_bytes(bytes),
            Err(_) => self.odd_id("span_id", bytes),
        }
    }

    /// How many attributes the sender dropped, under the name that OpenTelemetry has for it elsewhere.
    pub(super) fn dropped_attributes(&mut self, count: u64) {
        if count > 0 {
            let count = self.builder.u64(count);
            self.builder.attribute(Text::Body("otel.dropped_attributes_count"), count);
        }
    }

    pub(crate) fn end_record(&mut self, to: &mut Emit<'_, '_>) {
        if self.signal == Signal::Spans {
            self.end_span();
        }
        let builder = &mut self.builder;
        for (field, shared, loser) in [
            (&mut builder.fields.service, self.service, "resource.service.name"),
            (&mut builder.fields.host, self.host, "resource.host.name"),
        ] {
            match (field.is_some(), shared) {
                (false, _) => *field = shared,
                (true, Some(shared)) => {
                    builder.attributes.push((Text::Body(loser), Scalar::Text(shared)));
                }
                (true, None) => {}
            }
        }
        if let Some(Candidate { name, value, .. }) = self.correlation {
            if self.native {
                builder.attribute(name, value);
            } else if builder.fields.correlation_id.is_some() {
                let start = builder.scratch.len();
                builder.scratch.push_str("resource.");
                let key = builder.text(name).to_owned();
                builder.scratch.push_str(&key);
                let name = builder.written(start);
                builder.attribute(name, value);
            } else {
                builder.fields.correlation_id = builder.correlation_id(value);
            }
        }
        builder.emit(to, None);
    }

    fn resource_attribute(&mut self, name: Text<'b>, value: Scalar<'b>) {
        let key = self.builder.text(name);
        match key {
            native::SERVICE if self.service.is_none() => self.service = self.builder.word(value),
            native::HOST if self.host.is_none() => self.host = self.builder.word(value),
            _ => {
                let Some(rank) = foreign::correlation_rank(key) else {
                    return self.builder.shared.push((name, value));
                };
                if self.builder.correlation_id(value).is_none() {
                    return self.builder.shared.push((name, value));
                }
                let worse = match self.correlation {
                    Some(held) if held.rank <= rank => Some((name, value)),
                    held => {
                        self.correlation = Some(Candidate { rank, name, value });
                        held.map(|held| (held.name, held.value))
                    }
                };
                return self.builder.shared.extend(worse);
            }
        }
        let taken =
            if self.builder.text(name) == native::SERVICE { self.service } else { self.host };
        if taken.is_none() {
            self.builder.shared.push((name, value));
        }
    }

    /// An attribute as our encoder wrote it, see [`native`].
    fn native_attribute(&mut self, name: Text<'b>, value: Scalar<'b>) {
        let builder = &mut self.builder;
        let key = builder.text(name);
        if !native::is_reserved(key) {
            return builder.attribute(name, value);
        }
        let taken = match (key, value) {
            (native::CORRELATION_ID, _) => {
                builder.fields.correlation_id = builder.correlation_id(value);
                builder.fields.correlation_id.is_some()
            }
            (native::TIMESTAMP, Scalar::I64(nanos)) => {
                builder.fields.timestamp = Some(Timestamp(nanos));
                true
            }
            (native::OBSERVED_TIMESTAMP, Scalar::I64(nanos)) => {
                builder.fields.observed_timestamp = Some(Timestamp(nanos));
                true
            }
            _ => builder.source_field(name, value),
        };
        if !taken {
            self.note_escaped(name);
            let builder = &mut self.builder;
            let escaped = builder.text(name).starts_with(native::ESCAPE);
            let name = builder.without_prefix(name, if escaped { native::ESCAPE.len() } else { 0 });
            builder.attribute(name, value);
        }
    }

    pub(super) fn odd_id(&mut self, name: &'static str, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        let start = self.builder.scratch.len();
        for byte in bytes {
            crate::json_text::push(&mut self.builder.scratch, format_args!("{byte:02x}"));
        }
        let text = self.builder.written(start);
        self.builder.attribute(Text::Body(name), Scalar::Text(text));
    }

    /// What is wrong with attributes that all records share is wrong with the body.
    fn check_shared(&self, whose: &str) -> Result<(), DecodeError> {
        let what = match self.builder.fault {
            None => return Ok(()),
            Some(RejectReason::TooDeep) => "nested too deep",
            Some(_) => "too large",
        };
        let detail = format!("the attributes of a {whose} are {what}");
        Err(DecodeError::Malformed { what: "OTLP", detail })
    }
}
