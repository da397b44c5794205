//! Values to be equal to, and operands to be compared with.
//!
//! A value has no type of its own: the record's value says how it is read. So a literal keeps its text and
//! all that the text can mean, worked out once.

use std::cmp::Ordering;
use std::ops::Bound;

use record::tokenizer;

use crate::number::Number;
use crate::quantity;

/// A value that a field is to be equal to.
#[derive(Clone, Debug)]
pub struct Literal {
    text: String,
    folded: String,
    number: Option<Number>,
    boolean: Option<bool>,
}

impl Literal {
    /// Works out what `text` means as the value of a field called `name`: the name's last part tells the unit
    /// of a duration (`duration_ms:2s` is equal to 2000).
    pub fn new(text: &str, name: &str) -> Self {
        let boolean = match text {
            "true" => Some(true),
            "false" => Some(false),
            _ => None,
        };
        let duration = || {
            let nanos = quantity::duration_nanos(text)?;
            Some(Number::ratio(nanos, quantity::unit_nanos_of(name)))
        };
        let size = || quantity::size_bytes(text).map(Number::Integer);
        let number = Number::parse(text).or_else(duration).or_else(size);
        Self { text: text.to_owned(), folded: tokenizer::fold(text), number, boolean }
    }

    /// As written, escapes resolved.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The text in lower case.
    pub fn folded(&self) -> &str {
        &self.folded
    }

    /// The number it is to integers and floats; a duration is in the unit of the field, a size in bytes.
    pub fn number(&self) -> Option<Number> {
        self.number
    }

    /// The boolean it is.
    pub fn boolean(&self) -> Option<bool> {
        self.boolean
    }

    /// Whether `text` folds to the same.
    pub(crate) fn equals_folded(&self, text: &str) -> bool {
        if text.is_ascii() && self.folded.is_ascii() {
            return text.eq_ignore_ascii_case(&self.folded);
        }
        text.chars().flat_map(char::to_lowercase).eq(self.folded.chars())
    }
}

impl PartialEq for Literal {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text && self.number == other.number
    }
}

/// One side of a comparison.
#[derive(Clone, Debug, PartialEq)]
pub enum Operand {
    /// Compared with numbers; against text and booleans false.
    Number(Number),
    /// Compared with numbers in the unit of the field, and with texts that are durations.
    Duration {
        /// The duration itself.
        nanos: i128,
        /// The same in the unit that the field's name tells.
        number: Number,
    },
    /// Compared with numbers as bytes, and with texts that are sizes.
    Size {
        /// The size itself.
        bytes: i128,
    },
    /// Compared with texts, byte by byte; against numbers and booleans false.
    Text(String),
}

impl Operand {
    /// Works out what `text` means beside the values of a field called `name`.
    pub(crate) fn new(text: &str, name: &str) -> Self {
        if let Some(number) = Number::parse(text) {
            return Self::Number(number);
        }
        if let Some(nanos) = quantity::duration_nanos(text) {
            let number = Number::ratio(nanos, quantity::unit_nanos_of(name));
            return Self::Duration { nanos, number };
        }
        match quantity::size_bytes(text) {
            Some(bytes) => Self::Size { bytes },
            None => Self::Text(text.to_owned()),
        }
    }

    /// The number that numbers are compared with.
    pub fn number(&self) -> Option<Number> {
        match self {
            Self::Number(number) | Self::Duration { number, .. } => Some(*number),
            Self::Size { bytes } => Some(Number::Integer(*bytes)),
            Self::Text(_) => None,
        }
    }

    /// How two operands stand to each other; `None` when one is a text and the other is not.
    pub(crate) fn order(&self, other: &Operand) -> Option<Ordering> {
        match (self, other) {
            (Self::Text(one), Self::Text(other)) => Some(one.cmp(other)),
            _ => self.number()?.order(&other.number()?),
        }
    }

    fn order_of_text(&self, text: &str) -> Option<Ordering> {
        match self {
            Self::Number(_) => None,
            Self::Duration { nanos, .. } => Some(quantity::duration_nanos(text)?.cmp(nanos)),
            Self::Size { bytes } => Some(quantity::size_bytes(text)?.cmp(bytes)),
            Self::Text(operand) => Some(text.cmp(operand)),
        }
    }
}

/// Values between two limits; a comparison (`:>5`) has only one. Never unbounded on both sides.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)]
pub struct Range {
    pub lower: Bound<Operand>,
    pub upper: Bound<Operand>,
}

impl Range {
    pub(crate) fn contains_text(&self, text: &str) -> bool {
        self.contains(|operand| operand.order_of_text(text))
    }

    pub(crate) fn contains_integer(&self, value: i128) -> bool {
        self.contains(|operand| operand.number()?.order_of_integer(value))
    }

    pub(crate) fn contains_float(&self, value: f64) -> bool {
        self.contains(|operand| operand.number()?.order_of_float(value))
    }

    /// `order` says how the value stands to an operand; a value that cannot be compared is outside.
    fn contains(&self, order: impl Fn(&Operand) -> Option<Ordering>) -> bool {
        let above = match &self.lower {
            Bound::Unbounded => true,
            Bound::Included(operand) => order(operand).is_some_and(Ordering::is_ge),
            Bound::Excluded(operand) => order(operand).is_some_and(Ordering::is_gt),
        };
        above
            && match &self.upper {
                Bound::Unbounded => true,
                Bound::Included(operand) => order(operand).is_some_and(Ordering::is_le),
                Bound::Excluded(operand) => order(operand).is_some_and(Ordering::is_lt),
            }
    }
}
