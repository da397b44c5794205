//! From entries of the journal to records.
//!
//! The message is read by the source's format as a line would be. What it says of itself wins over the fields of the
//! entry, which stay attributes then; the user's pattern of correlation ids is asked last. A message that is longer
//! than a line is cut as a line would be: all parts have time, severity, service, host and ids, the first one also has
//! the other fields.

use bumpalo::Bump;
use record::keys::Role;
use record::{RecordRef, Severity, SourceRef, SpanId, Timestamp, TraceId, ValueRef};

use super::Place;
use crate::assemble::Logical;
use crate::daemon::intake::{Covered, Stopped};
use crate::daemon::stream::Pipeline;
use crate::draft::Attributes;
use crate::interpret::{CorrelationPattern, Interpreter, number_later_ones};
use crate::lines::{LINE_BYTES_MAX, Line, Part};
use crate::reading::Reading;
use crate::source::journald::Entry;

/// What became of an entry.
pub(super) struct Taken {
    pub(super) cursor: Option<String>,
    pub(super) trouble: Option<&'static str>,
}

/// Makes records of the entries of one source.
pub(super) struct Entries {
    source: String,
    path: String,
    interpreter: Interpreter,
    correlation: Option<CorrelationPattern>,
    arena: Bump,
}

impl Entries {
    pub(super) fn new(source: String, path: String, reading: Reading) -> Self {
        let mut settings = reading.settings;
        let correlation = settings.correlation.take().map(CorrelationPattern::new);
        let format = reading.format.reader(reading.pattern.as_ref());
        let interpreter = Interpreter::new(settings, path.clone(), format, reading.times);
        Self { source, path, interpreter, correlation, arena: Bump::new() }
    }

    /// Takes a line of journalctl's. The first one may be the entry that reading has stopped at.
    pub(super) fn take(
        &mut self,
        line: &[u8],
        stopped_at: Option<Place>,
        pipeline: &mut Pipeline,
    ) -> Result<Taken, Stopped> {
        self.arena.reset();
        let Self { source, path, interpreter, correlation, arena } = self;
        pipeline.counts.lines += 1;
        pipeline.counts.bytes += line.len() as u64 + 1;
        let read = Entry::read(line, arena);
        let trouble = match &read {
            None => Some("what journalctl printed is no entry; it is shipped as it stands"),
            Some(entry) if entry.cursor.is_none() => {
                Some("an entry has no cursor; it may come twice after a crash")
            }
            Some(_) => None,
        };
        pipeline.counts.unparsed += u64::from(read.is_none());
        let entry = read.unwrap_or_else(|| Entry::unread(line));
        let cursor = entry.cursor.map(str::to_owned);
        let same = stopped_at.filter(|place| entry.cursor == Some(place.cursor.as_str()));
        let taken = match same.map(|place| place.parts) {
            Some(None) => return Ok(Taken { cursor, trouble }),
            Some(Some(parts)) => parts,
            None => 0,
        };
        let mut making = Making { entry: &entry, arena, correlation, path, found: None };
        for piece in pieces(entry.message) {
            let number = piece.part.map_or(1, |part| part.number);
            if number > 1 && number <= taken {
                continue;
            }
            let covered = match (entry.cursor, piece.part) {
                (None, _) => None,
                (Some(cursor), Some(part)) if !part.last => Some(format!("{cursor} {number}")),
                (Some(cursor), _) => Some(cursor.to_owned()),
            };
            let covered = match &covered {
                Some(cursor) => Covered::Cursor { source, cursor },
                None => Covered::Nothing,
            };
            let logical = Logical {
                time: entry.time,
                lines: lines(piece.bytes),
                cut: entry.cut,
                ..Logical::plain(piece, &[])
            };
            let mut pushed = Ok(None);
            let done = interpreter.interpret_logical(&logical, Timestamp::now(), |record| {
                making.complete(record, number == 1, |record| {
                    // The first part is read again for what the later ones have from it.
                    if number > taken {
                        pushed = pipeline.record(record, covered);
                    }
                });
            });
            pipeline.counts.unparsed += u64::from(done.unparsed);
            pipeline.counts.timestamps_replaced += u64::from(done.timestamp_replaced);
            pushed?;
        }
        Ok(Taken { cursor, trouble })
    }
}

/// What the parts of one entry share.
struct Making<'m, 'a> {
    entry: &'m Entry<'a>,
    arena: &'a Bump,
    correlation: &'m mut Option<CorrelationPattern>,
    path: &'m str,
    /// The correlation id that the user's pattern has found in the first part.
    found: Option<&'a str>,
}

impl<'a> Making<'_, 'a> {
    /// Adds what the entry's fields say to what its message says.
    fn complete(
        &mut self,
        record: &RecordRef<'_>,
        is_first: bool,
        take: impl FnOnce(&RecordRef<'_>),
    ) {
        let Self { entry, arena, path, .. } = *self;
        let mut attributes: Attributes<'_> = record.attributes.to_vec();
        let correlation_id =
            entry.or_field(Role::CorrelationId, record.correlation_id, Some, &mut attributes);
        let trace_id =
            entry.or_field(Role::TraceId, record.trace_id, TraceId::from_hex, &mut attributes);
        let span_id =
            entry.or_field(Role::SpanId, record.span_id, SpanId::from_hex, &mut attributes);
        let event_name = entry.or_field(Role::EventName, record.event_name, Some, &mut attributes);
        if is_first
            && correlation_id.is_none()
            && let Some(pattern) = self.correlation
        {
            self.found = pattern.find(record.message).map(|id| &*arena.alloc_str(id));
        }
        if is_first {
            if record.host.is_some() && entry.host.is_some() && record.host != entry.host {
                attributes.extend(entry.host.map(|host| ("host.name", ValueRef::String(host))));
            }
            attributes.extend_from_slice(&entry.attributes);
            number_later_ones(&mut attributes, arena);
        } else {
            attributes.truncate(record.attributes.len());
        }
        let by_priority = entry.severity.filter(|_| record.severity == Severity::UNSPECIFIED);
        take(&RecordRef {
            severity: by_priority.map_or(record.severity, |(severity, _)| severity),
            severity_text: record.severity_text.or(by_priority.map(|(_, word)| word)),
            service: record.service.or(entry.service),
            host: record.host.or(entry.host),
            correlation_id: correlation_id.or(self.found),
            trace_id,
            span_id,
            event_name,
            attributes: &attributes,
            source: SourceRef { path: Some(path), offset: None, ..record.source },
            ..*record
        });
    }
}

impl<'a> Entry<'a> {
    /// What the message says, else the entry's field; a field that says something else is an attribute.
    fn or_field<'r, T: PartialEq>(
        &self,
        role: Role,
        own: Option<T>,
        read: impl FnOnce(&'r str) -> Option<T>,
        attributes: &mut Attributes<'r>,
    ) -> Option<T>
    where
        'a: 'r,
    {
        let Some((name, text)) = self.id(role) else { return own };
        let field = read(text);
        if own.is_some() && own != field {
            attributes.push((name, ValueRef::String(text)));
        }
        own.or(field)
    }
}

fn lines(text: &[u8]) -> u32 {
    let ends = memchr::memchr_iter(b'\n', text).count();
    u32::try_from(ends).unwrap_or(u32::MAX).saturating_add(1)
}

/// A message as lines of bounded length, cut between characters where it is UTF-8.
fn pieces(message: &[u8]) -> Vec<Line<'_>> {
    let line = |bytes, part| Line { bytes, offset: 0, number: 1, part };
    if message.len() <= LINE_BYTES_MAX {
        return vec![line(message, None)];
    }
    let mut pieces = Vec::new();
    let mut rest = message;
    for number in 1.. {
        let last = rest.len() <= LINE_BYTES_MAX;
        let continues = |at: &usize| rest[*at] & 0b1100_0000 == 0b1000_0000;
        let end = match last {
            true => rest.len(),
            false => (LINE_BYTES_MAX - 3..=LINE_BYTES_MAX)
                .rev()
                .find(|at| !continues(at))
                .unwrap_or(LINE_BYTES_MAX),
        };
        pieces.push(line(&rest[..end], Some(Part { number, last })));
        rest = &rest[end..];
        if last {
            break;
        }
    }
    pieces
}
