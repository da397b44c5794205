//! From keys to fixed fields, by the one table in [`record::keys`].
//!
//! Used by every format whose lines name their fields. Each role takes the value of the key with the lowest
//! rank, wherever it stands in the line; the others stay attributes, and so does what does not fit its role.
//! Of two values under one key the later wins.

use record::keys::{self, Role};
use record::{Severity, SpanId, TraceId, ValueRef};

use crate::draft::{Draft, Keyed, When};

#[derive(Clone, Copy, Debug)]
struct Claim<'a> {
    rank: u8,
    key: &'a str,
    value: ValueRef<'a>,
}

/// The fields of one line that claim a role.
#[derive(Debug, Default)]
pub(crate) struct Roles<'a> {
    claims: [Option<Claim<'a>>; Role::COUNT],
    baggage: Option<&'a str>,
}

impl<'a> Roles<'a> {
    /// Takes one field; what claims no role goes to the draft's attributes at once.
    pub(crate) fn take(&mut self, draft: &mut Draft<'a>, key: &'a str, value: ValueRef<'a>) {
        if key == keys::BAGGAGE
            && let ValueRef::String(text) = value
        {
            self.baggage = Some(text);
        }
        let Some((role, rank)) = keys::role(key).filter(|(role, _)| fits(*role, value)) else {
            draft.add(key, value);
            return;
        };
        let claim = Claim { rank, key, value };
        match &mut self.claims[role as usize] {
            Some(held) if held.rank < rank => draft.add(key, value),
            Some(held) => {
                let loser = std::mem::replace(held, claim);
                if loser.rank > rank {
                    draft.add(loser.key, loser.value);
                }
            }
            empty => *empty = Some(claim),
        }
    }

    /// Sets the draft's fixed fields from the winners.
    pub(crate) fn settle(mut self, draft: &mut Draft<'a>) {
        if let Some(claim) = self.won(Role::Timestamp) {
            draft.when = read_time(draft, claim.value);
        }
        if let Some(claim) = self.won(Role::ObservedTimestamp) {
            match read_time(draft, claim.value) {
                When::At(time) => draft.observed = Some(time),
                _ => draft.add(claim.key, claim.value),
            }
        }
        self.settle_severity(draft);
        let message = self.won(Role::Message);
        draft.message = message.and_then(|claim| as_text(draft, claim.value)).unwrap_or_default();
        let event_name = self.won(Role::EventName);
        draft.event_name = event_name.and_then(|claim| as_text(draft, claim.value));
        draft.service = self.keyed(draft, Role::Service);
        draft.host = self.keyed(draft, Role::Host);
        if let Some(Keyed { text, .. }) = self.keyed(draft, Role::CorrelationId) {
            draft.set_correlation(text);
        } else if let Some(id) = self.baggage.and_then(keys::correlation_in_baggage) {
            let id = percent_decoded(draft, id);
            draft.set_correlation(id);
        }
        // What claims these two roles is known to be hex of the right length.
        draft.trace_id = self.hex(Role::TraceId).and_then(TraceId::from_hex);
        draft.span_id = self.hex(Role::SpanId).and_then(SpanId::from_hex);
    }

    /// The number wins over the word, which then is the text; a word that means nothing is only that.
    fn settle_severity(&mut self, draft: &mut Draft<'a>) {
        match self.won(Role::Severity).map(|claim| claim.value) {
            Some(ValueRef::String(word)) => draft.set_level(word),
            Some(value @ ValueRef::I64(number)) => {
                draft.severity = of_pino(number).unwrap_or_default();
                draft.severity_text = as_text(draft, value);
            }
            _ => {}
        }
        let number = self.won(Role::SeverityNumber).and_then(|claim| severity_number(claim.value));
        if let Some(severity) = number {
            draft.severity = severity;
        }
    }

    fn won(&mut self, role: Role) -> Option<Claim<'a>> {
        self.claims[role as usize].take()
    }

    fn keyed(&mut self, draft: &Draft<'a>, role: Role) -> Option<Keyed<'a>> {
        let claim = self.won(role)?;
        Some(Keyed { key: claim.key, text: as_text(draft, claim.value)? })
    }

    fn hex(&mut self, role: Role) -> Option<&'a str> {
        match self.won(role)?.value {
            ValueRef::String(text) => Some(text),
            _ => None,
        }
    }
}

/// Whether a value can be what its role says.
fn fits(role: Role, value: ValueRef<'_>) -> bool {
    match (role, value) {
        (Role::Message, _) => true,
        (_, ValueRef::String("")) => false,
        (Role::Timestamp | Role::ObservedTimestamp, value) => !matches!(value, ValueRef::Bool(_)),
        (Role::Severity, ValueRef::I64(number)) => of_pino(number).is_some(),
        (Role::Severity, value) => matches!(value, ValueRef::String(_)),
        (Role::SeverityNumber, value) => severity_number(value).is_some(),
        (Role::TraceId, ValueRef::String(text)) => TraceId::from_hex(text).is_some(),
        (Role::SpanId, ValueRef::String(text)) => SpanId::from_hex(text).is_some(),
        (Role::TraceId | Role::SpanId, _) => false,
        (Role::CorrelationId, ValueRef::String(text)) => {
            text.len() <= record::CORRELATION_ID_BYTES_MAX
        }
        (Role::CorrelationId, value) => matches!(value, ValueRef::I64(_)),
        (Role::Service | Role::Host | Role::EventName, value) => {
            matches!(value, ValueRef::String(_))
        }
    }
}

fn read_time<'a>(draft: &Draft<'a>, value: ValueRef<'a>) -> When<'a> {
    let text = match value {
        ValueRef::String(text) => text,
        other => draft.arena.alloc_str(&other.to_string()),
    };
    draft.times.read(text, draft.now).map_or(When::Unreadable(text), When::At)
}

/// pino's and bunyan's scale: 10 is trace, 60 fatal.
fn of_pino(number: i64) -> Option<Severity> {
    const LEVELS: [record::Level; 6] = record::Level::ALL;
    let index = usize::try_from(number / 10).ok()?.checked_sub(1)?;
    (number % 10 == 0).then(|| LEVELS.get(index).map(|level| Severity::from(*level)))?
}

fn severity_number(value: ValueRef<'_>) -> Option<Severity> {
    let number = match value {
        ValueRef::I64(number) => number,
        ValueRef::String(text) => text.parse().ok()?,
        _ => return None,
    };
    Severity::from_number(number).filter(|severity| *severity != Severity::UNSPECIFIED)
}

fn as_text<'a>(draft: &Draft<'a>, value: ValueRef<'a>) -> Option<&'a str> {
    Some(match value {
        ValueRef::String(text) => text,
        other => draft.arena.alloc_str(&other.to_string()),
    })
}

fn percent_decoded<'a>(draft: &Draft<'a>, text: &'a str) -> &'a str {
    if !text.contains('%') {
        return text;
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let hex = tail.get(..2).filter(|_| *first == b'%');
        let hex = hex.filter(|digits| digits.iter().all(u8::is_ascii_hexdigit));
        let byte = hex
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        bytes.push(byte.unwrap_or(*first));
        rest = if byte.is_some() { &tail[2..] } else { tail };
    }
    match std::str::from_utf8(&bytes) {
        Ok(decoded) => draft.arena.alloc_str(decoded),
        Err(_) => text,
    }
}
