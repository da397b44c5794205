//! One compiled test of one field, with a match function for each type that a field can have.
//!
//! These functions are the only place where a value meets a test: [`crate::matches`] and the store's column
//! evaluator both call them, so that the two cannot differ. None of them allocates, but for what is said at
//! [`Test::matches_f64`] and [`crate::Wildcard::matches`].

use std::cmp::Ordering;
use std::fmt::{self, Write};

use record::{Severity, SpanId, Timestamp, TraceId, ValueRef, tokenizer};

use crate::cidr::Network;
use crate::literal::{Literal, Range};
use crate::moment::TimeRange;
use crate::pattern::Pattern;
use crate::phrase::Phrase;
use crate::severity_range::SeverityRange;
use crate::wildcard::Wildcard;

/// What a field is asked. Which tests a field can have is checked when the query is parsed:
///
/// | field | tests |
/// |---|---|
/// | attributes | `Exists`, `Equals`, `Fold`, `Wildcard`, `Regex`, `Range`, `Cidr` |
/// | service, host, correlation id, severity text, event name, source agent and path | the same; a `Range` only of texts |
/// | message | `Exists`, `Words`, `Token`, `Regex`, `Equals`, `Fold`; `Wildcard` only in folded form |
/// | severity | `Exists`, `Severity` |
/// | timestamp, observed timestamp | `Exists`, `Time` |
/// | trace id, span id | `Exists`, `TraceId` or `SpanId`, `Wildcard`, `Regex` on the lower-case hex |
/// | source offset, record_seq | `Exists`, `Equals`, `Range` |
#[derive(Clone, Debug, PartialEq)]
pub enum Test {
    /// `f:*`: there is a value (the message: one that is not empty; the severity: one that is specified).
    Exists,
    /// `f:value`, `f:=value`: equal, by the type of the record's value.
    Equals(Literal),
    /// `f:~value`: as `Equals`, but texts are folded to lower case.
    Fold(Literal),
    /// `f:/api/*`: `*` and `?` over the whole text.
    Wildcard(Wildcard),
    /// `f:/re/`: found anywhere in the text.
    Regex(Pattern),
    /// `f:>5`, `f:[1 TO 5}`.
    Range(Range),
    /// `f:10.0.0.0/8`: the text is an address in the network.
    Cidr(Network),
    /// `msg:word`, `msg:"two words"`: tokens next to each other.
    Words(Phrase),
    /// `fail*`, `msg:fail*`: a token that matches; the pattern is folded.
    Token(Wildcard),
    /// `level:>=warn`.
    Severity(SeverityRange),
    /// `time:>=2026-01-01`.
    Time(TimeRange),
    /// `trace:4bf9…`.
    TraceId(TraceId),
    /// `span:00f0…`.
    SpanId(SpanId),
}

impl Test {
    /// For texts: attributes of text, service, host, correlation id and their like.
    pub fn matches_str(&self, text: &str) -> bool {
        match self {
            Self::Exists => true,
            Self::Equals(literal) => literal.text() == text,
            Self::Fold(literal) => literal.equals_folded(text),
            Self::Wildcard(wildcard) => wildcard.matches(text),
            Self::Regex(pattern) => pattern.is_match(text),
            Self::Range(range) => range.contains_text(text),
            Self::Cidr(network) => network.matches(text),
            Self::Words(_)
            | Self::Token(_)
            | Self::Severity(_)
            | Self::Time(_)
            | Self::TraceId(_)
            | Self::SpanId(_) => false,
        }
    }

    /// For the message.
    pub fn matches_message(&self, message: &str) -> bool {
        match self {
            Self::Exists => !message.is_empty(),
            Self::Words(phrase) => phrase.matches(message),
            Self::Token(wildcard) => {
                let mut found = false;
                tokenizer::for_each_token(message, |token| {
                    found = wildcard.matches_folded(token);
                    !found
                });
                found
            }
            other => other.matches_str(message),
        }
    }

    /// For integer attributes.
    pub fn matches_i64(&self, number: i64) -> bool {
        self.matches_integer(number.into())
    }

    /// For the source's offset and record_seq.
    pub fn matches_u64(&self, number: u64) -> bool {
        self.matches_integer(number.into())
    }

    /// For float attributes. A wildcard or a regex sees the number as it is printed, which allocates when
    /// that is longer than 40 characters.
    pub fn matches_f64(&self, number: f64) -> bool {
        match self {
            Self::Exists => true,
            Self::Equals(literal) | Self::Fold(literal) => literal
                .number()
                .is_some_and(|wanted| wanted.order_of_float(number) == Some(Ordering::Equal)),
            Self::Range(range) => range.contains_float(number),
            Self::Wildcard(_) | Self::Regex(_) => self.matches_printed(&number),
            _ => false,
        }
    }

    /// For boolean attributes; comparisons are false.
    pub fn matches_bool(&self, flag: bool) -> bool {
        match self {
            Self::Equals(literal) => literal.boolean() == Some(flag),
            Self::Exists | Self::Fold(_) | Self::Wildcard(_) | Self::Regex(_) => {
                self.matches_str(if flag { "true" } else { "false" })
            }
            _ => false,
        }
    }

    /// For an attribute of any type.
    pub fn matches_value(&self, value: ValueRef<'_>) -> bool {
        match value {
            ValueRef::String(text) => self.matches_str(text),
            ValueRef::I64(number) => self.matches_i64(number),
            ValueRef::F64(number) => self.matches_f64(number),
            ValueRef::Bool(flag) => self.matches_bool(flag),
        }
    }

    /// For the timestamp and the observed timestamp, which always exist.
    pub fn matches_timestamp(&self, time: Timestamp) -> bool {
        match self {
            Self::Exists => true,
            Self::Time(range) => range.contains(time),
            _ => false,
        }
    }

    /// For the severity number; 0 does not exist.
    pub fn matches_severity(&self, severity: Severity) -> bool {
        match self {
            Self::Exists => severity != Severity::UNSPECIFIED,
            Self::Severity(range) => range.contains(severity),
            _ => false,
        }
    }

    /// For a trace id.
    pub fn matches_trace_id(&self, id: TraceId) -> bool {
        match self {
            Self::TraceId(wanted) => *wanted == id,
            Self::Equals(literal) | Self::Fold(literal) => {
                TraceId::from_hex(literal.text()) == Some(id)
            }
            Self::Exists => true,
            Self::Wildcard(_) | Self::Regex(_) => self.matches_printed(&id),
            _ => false,
        }
    }

    /// For a span id.
    pub fn matches_span_id(&self, id: SpanId) -> bool {
        match self {
            Self::SpanId(wanted) => *wanted == id,
            Self::Equals(literal) | Self::Fold(literal) => {
                SpanId::from_hex(literal.text()) == Some(id)
            }
            Self::Exists => true,
            Self::Wildcard(_) | Self::Regex(_) => self.matches_printed(&id),
            _ => false,
        }
    }

    fn matches_integer(&self, number: i128) -> bool {
        match self {
            Self::Exists => true,
            Self::Equals(literal) | Self::Fold(literal) => literal
                .number()
                .is_some_and(|wanted| wanted.order_of_integer(number) == Some(Ordering::Equal)),
            Self::Range(range) => range.contains_integer(number),
            Self::Wildcard(_) | Self::Regex(_) => self.matches_printed(&number),
            _ => false,
        }
    }

    fn matches_printed(&self, value: &dyn fmt::Display) -> bool {
        let mut short = ShortText::default();
        match write!(short, "{value}") {
            Ok(()) => self.matches_str(short.as_str()),
            Err(_) => self.matches_str(&value.to_string()),
        }
    }
}

/// A text on the stack; writing fails when it is full.
struct ShortText {
    bytes: [u8; 40],
    length: usize,
}

impl Default for ShortText {
    fn default() -> Self {
        Self { bytes: [0; 40], length: 0 }
    }
}

impl ShortText {
    fn as_str(&self) -> &str {
        std::str::from_utf8(&self.bytes[..self.length]).expect("only whole texts are written")
    }
}

impl Write for ShortText {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let end = self.length + text.len();
        self.bytes.get_mut(self.length..end).ok_or(fmt::Error)?.copy_from_slice(text.as_bytes());
        self.length = end;
        Ok(())
    }
}
