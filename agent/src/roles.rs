//! From keys to fixed fields, by the one table in [`record::keys`].
//!
//! Used by every format whose lines name their fields. Each role takes the value of the key with the lowest
//! rank, wherever it stands in the line, the first of equals; the others stay attributes, and so does what does
//! not fit its role. The rules are those by which the collector reads JSON lines, so that a line means the same
//! on either way.

use record::keys::{self, Role};
use record::{CORRELATION_ID_BYTES_MAX, Severity, SpanId, Timestamp, TraceId, ValueRef};

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
    /// The best time that could not be read.
    unread_time: Option<Claim<'a>>,
    time: Option<Timestamp>,
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
        let Some((role, rank)) = keys::role(key).filter(|(role, rank)| fits(*role, *rank, value))
        else {
            draft.add(key, value);
            return;
        };
        let claim = Claim { rank, key, value };
        match role {
            Role::Timestamp => self.take_time(draft, claim),
            Role::ObservedTimestamp => match read_time(draft, value) {
                Some(time) if self.hold(draft, role, claim) => draft.observed = Some(time),
                Some(_) => {}
                None => draft.add(key, value),
            },
            _ => _ = self.hold(draft, role, claim),
        }
    }

    /// Takes a field that holds JSON text: it can be a message, but never the name of a service or the like.
    pub(crate) fn take_json(&mut self, draft: &mut Draft<'a>, key: &'a str, text: &'a str) {
        match keys::role(key) {
            Some((Role::Message, 0 | 1)) => self.take(draft, key, ValueRef::String(text)),
            _ => draft.add_text(key, text),
        }
    }

    /// Gives the role to the claim if it is better than who holds it; true if it is.
    fn hold(&mut self, draft: &mut Draft<'a>, role: Role, claim: Claim<'a>) -> bool {
        let holder = &mut self.claims[role as usize];
        if holder.is_some_and(|holder| holder.rank <= claim.rank) {
            draft.add(claim.key, claim.value);
            return false;
        }
        if let Some(loser) = holder.replace(claim) {
            draft.add(loser.key, loser.value);
        }
        true
    }

    /// A time that can be read wins over one that cannot, whatever their ranks.
    fn take_time(&mut self, draft: &mut Draft<'a>, claim: Claim<'a>) {
        if let Some(time) = read_time(draft, claim.value) {
            if self.hold(draft, Role::Timestamp, claim) {
                self.time = Some(time);
            }
            return;
        }
        match self.unread_time {
            Some(better) if better.rank <= claim.rank => draft.add(claim.key, claim.value),
            worse => {
                self.unread_time = Some(claim);
                if let Some(worse) = worse {
                    draft.add(worse.key, worse.value);
                }
            }
        }
    }

    /// Sets the draft's fixed fields from the winners.
    pub(crate) fn settle(mut self, draft: &mut Draft<'a>) {
        match (self.time, self.unread_time) {
            (Some(time), unread) => {
                draft.when = When::At(time);
                if let Some(unread) = unread {
                    draft.add(unread.key, unread.value);
                }
            }
            (None, Some(unread)) => draft.when = When::Unreadable(as_text(draft, unread.value)),
            (None, None) => {}
        }
        self.settle_severity(draft);
        let text = |claim: Option<Claim<'a>>| claim.map(|claim| as_text(draft, claim.value));
        let message = text(self.won(Role::Message));
        let event_name = text(self.won(Role::EventName));
        draft.message = message.unwrap_or_default();
        draft.event_name = event_name;
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
            Some(ValueRef::I64(number)) => draft.severity = of_pino(number).unwrap_or_default(),
            _ => {}
        }
        let number = self.won(Role::SeverityNumber).and_then(|claim| severity_number(claim.value));
        if let Some(severity) = number.filter(|severity| *severity != Severity::UNSPECIFIED) {
            draft.severity = severity;
        }
    }

    fn won(&mut self, role: Role) -> Option<Claim<'a>> {
        self.claims[role as usize].take()
    }

    fn keyed(&mut self, draft: &Draft<'a>, role: Role) -> Option<Keyed<'a>> {
        let claim = self.won(role)?;
        Some(Keyed { key: claim.key, text: as_text(draft, claim.value) })
    }

    fn hex(&mut self, role: Role) -> Option<&'a str> {
        match self.won(role)?.value {
            ValueRef::String(text) => Some(text),
            _ => None,
        }
    }
}

/// Whether a value can be what its role says; a time need not be readable.
fn fits(role: Role, rank: u8, value: ValueRef<'_>) -> bool {
    match (role, value) {
        // `log` and `body` are other things too.
        (Role::Message, value) => rank <= 1 || matches!(value, ValueRef::String(_)),
        (Role::Timestamp | Role::ObservedTimestamp, value) => !matches!(value, ValueRef::Bool(_)),
        (_, ValueRef::String("")) => false,
        (Role::Severity, ValueRef::I64(number)) => of_pino(number).is_some(),
        (Role::SeverityNumber, value) => severity_number(value).is_some(),
        (Role::TraceId, ValueRef::String(text)) => TraceId::from_hex(text).is_some(),
        (Role::SpanId, ValueRef::String(text)) => SpanId::from_hex(text).is_some(),
        (Role::TraceId | Role::SpanId, _) => false,
        (Role::CorrelationId, ValueRef::String(text)) => text.len() <= CORRELATION_ID_BYTES_MAX,
        (Role::CorrelationId, value) => !matches!(value, ValueRef::Bool(_)),
        (Role::Severity | Role::Service | Role::Host | Role::EventName, value) => {
            matches!(value, ValueRef::String(_))
        }
    }
}

fn read_time<'a>(draft: &Draft<'a>, value: ValueRef<'a>) -> Option<Timestamp> {
    match value {
        ValueRef::String(text) => draft.times.read(text, draft.now),
        ValueRef::I64(number) => draft.times.read_integer(number, draft.now),
        ValueRef::F64(number) => draft.times.read_float(number, draft.now),
        ValueRef::Bool(_) => None,
    }
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
    Severity::from_number(number)
}

fn as_text<'a>(draft: &Draft<'a>, value: ValueRef<'a>) -> &'a str {
    match value {
        ValueRef::String(text) => text,
        other => draft.arena.alloc_str(&other.to_string()),
    }
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
