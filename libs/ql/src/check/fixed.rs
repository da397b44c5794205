//! Checks of the fixed fields that are no texts: severity, times, ids, integers.

use std::cmp::Ordering;
use std::ops::Bound;

use record::{Level, SpanId, Timestamp, TraceId};

use crate::check::{Check, Checked, limits, operand, reversed, unsuitable, wildcard};
use crate::diagnostic::Diagnostic;
use crate::field::Field;
use crate::grammar::clip;
use crate::lexer::Comparison;
use crate::literal::{Literal, Operand, Range};
use crate::moment::{self, TimeRange};
use crate::nearest::nearest;
use crate::number::Number;
use crate::severity_range::{self, SeverityRange};
use crate::span::Span;
use crate::syntax::{Value, literal};
use crate::test::Test;

/// The text of a value that is one text, however it is written.
fn plain(value: &Value) -> Option<&str> {
    match value {
        Value::Bare(pieces) | Value::Fold(pieces) => literal(pieces),
        Value::Quoted(text) => Some(text),
        // Every other comparison was read as limits before.
        Value::Compare(_, operand) => Some(&operand.node.text),
        Value::Regex(_) | Value::Range(..) => None,
    }
}

impl Check {
    pub(super) fn severity(&mut self, value: &Value, span: Span) -> Checked<Test> {
        let read =
            |text: &str, span| severity_range::parse(text).ok_or_else(|| unknown_level(text, span));
        if let Some((lower, upper)) = limits(value, |one| read(&one.node.text, one.span))? {
            if operand(&lower)
                .zip(operand(&upper))
                .is_some_and(|(low, high)| low.first > high.first)
            {
                return Err(reversed(span));
            }
            let named_zero = SeverityRange { first: 0, last: 0 };
            // Unspecified is below nothing but in a range that begins with 0.
            let first = match lower {
                Bound::Unbounded => 1,
                Bound::Included(range) => range.first,
                Bound::Excluded(range) => range.last + 1,
            };
            let last = match upper {
                Bound::Unbounded => SeverityRange::MAX,
                Bound::Included(range) => range.last,
                Bound::Excluded(range) => range.first.saturating_sub(1),
            };
            let below_zero = upper == Bound::Excluded(named_zero);
            let range =
                if below_zero { SeverityRange::EMPTY } else { SeverityRange::new(first, last) };
            if range.is_empty() {
                self.warn_of_nothing(span);
            }
            return Ok(Test::Severity(range));
        }
        let Some(text) = plain(value) else {
            let expected = "a level, a number from 0 to 24, a comparison or a range";
            let wrong = unsuitable("severity", "patterns", expected, span);
            return Err(wrong.with_help("`severity_text` is the severity as it came").into());
        };
        read(text, span).map(Test::Severity)
    }

    pub(super) fn time(&mut self, field: &Field, value: &Value, span: Span) -> Checked<Test> {
        let read = |text: &str, span| moment::parse(text).ok_or_else(|| bad_time(text, span));
        if let Some((lower, upper)) = limits(value, |one| read(&one.node.text, one.span))? {
            if operand(&lower)
                .zip(operand(&upper))
                .is_some_and(|(low, high)| low.first > high.first)
            {
                return Err(reversed(span));
            }
            let (first, from_after_the_end) = match lower {
                Bound::Unbounded => (i64::MIN, false),
                Bound::Included(period) => (period.first.0, false),
                Bound::Excluded(period) => after(period.last),
            };
            let (last, to_before_the_start) = match upper {
                Bound::Unbounded => (i64::MAX, false),
                Bound::Included(period) => (period.last.0, false),
                Bound::Excluded(period) => before(period.first),
            };
            let none = from_after_the_end || to_before_the_start;
            let range = match none {
                true => TimeRange::EMPTY,
                false => TimeRange::new(Timestamp(first), Timestamp(last)),
            };
            if range.is_empty() {
                self.warn_of_nothing(span);
            }
            return Ok(Test::Time(range));
        }
        match plain(value) {
            Some(text) => read(text, span).map(Test::Time),
            None => Err(unsuitable(
                field.name(),
                "patterns",
                "a time; `2026-01-01` is the whole day, `2026-01-01T10` the whole hour",
                span,
            )),
        }
    }

    pub(super) fn id(&mut self, field: &Field, value: &Value, span: Span) -> Checked<Test> {
        let is_trace = *field == Field::TraceId;
        match value {
            Value::Bare(pieces) | Value::Fold(pieces) if literal(pieces).is_none() => {
                return Ok(Test::Wildcard(wildcard(pieces, true, span)?));
            }
            Value::Regex(pattern) => return Ok(Test::Regex(self.regex(pattern, span)?)),
            Value::Compare(operator, _) if *operator != Comparison::Equal => {
                return Err(unsuitable(field.name(), "comparison", "an id in hex", span));
            }
            _ => {}
        }
        let Some(text) = plain(value) else {
            return Err(unsuitable(field.name(), "comparison", "an id in hex", span));
        };
        let test = match is_trace {
            true => TraceId::from_hex(text).map(Test::TraceId),
            false => SpanId::from_hex(text).map(Test::SpanId),
        };
        test.ok_or_else(|| {
            let digits = if is_trace { 32 } else { 16 };
            let what = if is_trace { "trace id" } else { "span id" };
            let message = format!("`{}` is no {what}", clip(text));
            Diagnostic::error("bad_id", span, message)
                .expecting(format!("{digits} hex digits that are not all 0"))
                .with_help(format!(
                    "`*` stands for the digits left out; write `\"{}\":…` for an attribute of that name",
                    field.name()
                ))
                .into()
        })
    }
}

/// The source's offset and record_seq.
pub(super) fn integer(field: &Field, value: &Value, span: Span) -> Checked<Test> {
    let expected = "a whole number, a comparison or a range";
    let read = |text: &str, span| match Number::parse(text) {
        Some(number @ Number::Integer(_)) => Ok(Operand::Number(number)),
        _ => {
            let message = format!("`{}` is no whole number", clip(text));
            Err(Diagnostic::error("bad_number", span, message).expecting(expected).into())
        }
    };
    if let Some((lower, upper)) = limits(value, |one| read(&one.node.text, one.span))? {
        if let Some((low, high)) = operand(&lower).zip(operand(&upper))
            && low.order(high).is_some_and(Ordering::is_gt)
        {
            return Err(reversed(span));
        }
        let open = operand(&lower).is_none() && operand(&upper).is_none();
        return Ok(if open { Test::Exists } else { Test::Range(Range { lower, upper }) });
    }
    match plain(value) {
        Some(text) => {
            read(text, span)?;
            Ok(Test::Equals(Literal::new(text, field.name())))
        }
        None => Err(unsuitable(field.name(), "patterns", expected, span)),
    }
}

fn unknown_level(text: &str, span: Span) -> Box<Diagnostic> {
    let names = Level::ALL.map(Level::name);
    let lower = text.to_lowercase();
    Diagnostic::error("unknown_level", span, format!("`{}` is no level", clip(text)))
        .expecting(format!("{}, or a number from 0 to 24", names.join(", ")))
        .did_you_mean(nearest(&lower, names))
        .into()
}

fn bad_time(text: &str, span: Span) -> Box<Diagnostic> {
    let wrong = Diagnostic::error("bad_time", span, format!("`{}` is no time", clip(text)))
        .expecting("a time like `2026-01-01T10:00:00Z`, its beginning like `2026-01-01`, or an epoch number");
    if text.starts_with("now") {
        return wrong
            .with_help("times that count from now are given by `--since` and `--until`")
            .into();
    }
    wrong.into()
}

/// The first nanosecond after `time`, and whether there is none.
fn after(time: Timestamp) -> (i64, bool) {
    time.0.checked_add(1).map_or((i64::MAX, true), |first| (first, false))
}

/// The last nanosecond before `time`, and whether there is none.
fn before(time: Timestamp) -> (i64, bool) {
    time.0.checked_sub(1).map_or((i64::MIN, true), |last| (last, false))
}
