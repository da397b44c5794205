//! Whether a value fits a fixed field, and what it is there.

use record::keys::Role;
use record::{CORRELATION_ID_BYTES_MAX, Severity, Timestamp};

use crate::builder::{Builder, Scalar, Text};
use crate::hex;

/// Fewest digits of a time that is a number in quotes: fewer would be a date like `20240131`.
const EPOCH_TEXT_DIGITS_MIN: usize = 9;

impl<'b> Builder<'b> {
    /// Puts the value into the field if it fits.
    pub(crate) fn fit(&mut self, role: Role, rank: u8, value: Scalar<'b>) -> bool {
        match role {
            Role::Timestamp => match self.time(value) {
                Some(time) => self.fields.timestamp = Some(time),
                None => return false,
            },
            Role::ObservedTimestamp => match self.time(value) {
                Some(time) => self.fields.observed_timestamp = Some(time),
                None => return false,
            },
            Role::Message => return self.fit_message(rank, value),
            Role::Severity => return self.fit_severity(value),
            Role::SeverityNumber => match self.severity_number(value) {
                Some(severity) => self.fields.severity_number = Some(severity),
                None => return false,
            },
            Role::Service => return fit_text(self.word(value), &mut self.fields.service),
            Role::Host => return fit_text(self.word(value), &mut self.fields.host),
            Role::EventName => return fit_text(self.word(value), &mut self.fields.event_name),
            Role::CorrelationId => match self.correlation_id(value) {
                Some(id) => self.fields.correlation_id = Some(id),
                None => return false,
            },
            Role::TraceId => {
                match self.word(value).and_then(|text| hex::trace_id(self.text(text))) {
                    Some(id) => self.fields.trace_id = Some(id),
                    None => return false,
                }
            }
            Role::SpanId => match self.word(value).and_then(|text| hex::span_id(self.text(text))) {
                Some(id) => self.fields.span_id = Some(id),
                None => return false,
            },
        }
        true
    }

    /// A correlation id: a text of 1 to 256 bytes, or a number as its text.
    pub(crate) fn correlation_id(&mut self, value: Scalar<'b>) -> Option<Text<'b>> {
        let text = match value {
            Scalar::Json(_) | Scalar::Bool(_) => return None,
            _ => self.text_of(value),
        };
        (1..=CORRELATION_ID_BYTES_MAX).contains(&self.text(text).len()).then_some(text)
    }

    /// A text that is not empty and no array.
    pub(crate) fn word(&self, value: Scalar<'b>) -> Option<Text<'b>> {
        match value {
            Scalar::Text(text) if !self.text(text).is_empty() => Some(text),
            _ => None,
        }
    }

    /// A time as text or number.
    fn time(&self, value: Scalar<'b>) -> Option<Timestamp> {
        match value {
            Scalar::Text(text) => {
                let text = self.text(text).trim();
                Timestamp::parse_rfc3339(text).or_else(|| epoch_text(text))
            }
            Scalar::I64(number) => Timestamp::from_epoch(number),
            Scalar::F64(number) => Timestamp::from_epoch_f64(number),
            Scalar::Json(_) | Scalar::Bool(_) => None,
        }
    }

    /// `message` and `msg` are the message whatever they hold; `log` and `body` are other things too.
    fn fit_message(&mut self, rank: u8, value: Scalar<'b>) -> bool {
        if rank > 1 && !matches!(value, Scalar::Text(_)) {
            return false;
        }
        self.fields.message = Some(self.text_of(value));
        true
    }

    fn fit_severity(&mut self, value: Scalar<'b>) -> bool {
        let (severity, text) = match value {
            Scalar::I64(number) => match pino_severity(number) {
                Some(severity) => (Some(severity), None),
                None => return false,
            },
            _ => match self.word(value) {
                Some(text) => (Severity::from_text(self.text(text)), Some(text)),
                None => return false,
            },
        };
        self.fields.severity_of_text = severity;
        self.fields.severity_text = text;
        true
    }

    fn severity_number(&self, value: Scalar<'b>) -> Option<Severity> {
        match value {
            Scalar::I64(number) => Severity::from_number(number),
            Scalar::Text(text) => Severity::from_number(self.text(text).parse().ok()?),
            _ => None,
        }
    }
}

fn fit_text<'b>(text: Option<Text<'b>>, field: &mut Option<Text<'b>>) -> bool {
    if text.is_some() {
        *field = text;
    }
    text.is_some()
}

/// The scale of pino and bunyan.
fn pino_severity(number: i64) -> Option<Severity> {
    let number = match number {
        10 => 1,
        20 => 5,
        30 => 9,
        40 => 13,
        50 => 17,
        60 => 21,
        _ => return None,
    };
    Severity::from_number(number)
}

/// An epoch number as text, `1700000000` or `1700000000.123456789`, without a detour over floats.
fn epoch_text(text: &str) -> Option<Timestamp> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = whole.strip_prefix('-').unwrap_or(whole);
    let all_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if digits.len() < EPOCH_TEXT_DIGITS_MIN || !all_digits(digits) || !all_digits(fraction) {
        return None;
    }
    let whole: i64 = whole.parse().ok()?;
    let nanos = Timestamp::from_epoch(whole)?.0;
    let unit = if whole == 0 { record::NANOS_PER_SECOND } else { nanos / whole };
    // `unit` is at most 10^9 and so are nine digits: the product fits.
    let fraction = &fraction[..fraction.len().min(9)];
    let part = match fraction.parse::<i64>() {
        Ok(number) => number * unit / 10_i64.pow(fraction.len() as u32),
        Err(_) => 0,
    };
    let part = if text.starts_with('-') { -part } else { part };
    nanos.checked_add(part).map(Timestamp)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn epoch_numbers_in_quotes_are_exact() {
        for (text, nanos) in [
            ("1700000000", Some(1_700_000_000_000_000_000)),
            ("1700000000.123456789", Some(1_700_000_000_123_456_789)),
            ("1700000000.1234567891", Some(1_700_000_000_123_456_789)),
            ("1700000000123.5", Some(1_700_000_000_123_500_000)),
            ("1700000000123456789.9", Some(1_700_000_000_123_456_789)),
            ("-1700000000.5", Some(-1_700_000_000_500_000_000)),
            ("1700000000.", Some(1_700_000_000_000_000_000)),
            ("20240131", None),
            ("1.7e9", None),
            ("17000000000000000000", None),
            ("", None),
        ] {
            assert_eq!(epoch_text(text).map(|time| time.0), nanos, "{text}");
        }
    }

    #[test]
    fn numeric_levels_are_pinos() {
        assert_eq!(pino_severity(30).unwrap().name(), "info");
        assert_eq!(pino_severity(60).unwrap().name(), "fatal");
        assert_eq!(pino_severity(7), None);
    }
}
