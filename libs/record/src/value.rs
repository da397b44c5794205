//! Attribute values: text, 64-bit integers, finite floats, booleans.

use std::borrow::Cow;
use std::fmt;

/// An attribute's value. Floats are finite: what is not keeps its text (see [`Value::from_f64`]).
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)]
pub enum Value {
    String(String),
    I64(i64),
    F64(f64),
    Bool(bool),
}

/// A borrowed [`Value`].
#[derive(Clone, Copy, Debug, PartialEq)]
#[allow(missing_docs)]
pub enum ValueRef<'a> {
    String(&'a str),
    I64(i64),
    F64(f64),
    Bool(bool),
}

impl Value {
    /// NaN and the infinities become their text, so that every value can be written as JSON and compared.
    pub fn from_f64(number: f64) -> Self {
        if number.is_finite() { Value::F64(number) } else { Value::String(number.to_string()) }
    }

    /// An integer beyond `i64` becomes its text.
    pub fn from_u64(number: u64) -> Self {
        i64::try_from(number).map_or_else(|_| Value::String(number.to_string()), Value::I64)
    }

    /// Borrows the value.
    pub fn as_ref(&self) -> ValueRef<'_> {
        match self {
            Value::String(text) => ValueRef::String(text),
            Value::I64(number) => ValueRef::I64(*number),
            Value::F64(number) => ValueRef::F64(*number),
            Value::Bool(flag) => ValueRef::Bool(*flag),
        }
    }
}

impl<'a> ValueRef<'a> {
    /// Copies the value out of its borrow.
    pub fn to_value(self) -> Value {
        match self {
            ValueRef::String(text) => Value::String(text.to_owned()),
            ValueRef::I64(number) => Value::I64(number),
            ValueRef::F64(number) => Value::F64(number),
            ValueRef::Bool(flag) => Value::Bool(flag),
        }
    }

    /// The value as text, as it is printed.
    pub fn to_text(self) -> Cow<'a, str> {
        match self {
            ValueRef::String(text) => Cow::Borrowed(text),
            other => Cow::Owned(other.to_string()),
        }
    }
}

impl fmt::Display for ValueRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ValueRef::String(text) => f.write_str(text),
            ValueRef::I64(number) => write!(f, "{number}"),
            ValueRef::F64(number) => write!(f, "{number}"),
            ValueRef::Bool(flag) => write!(f, "{flag}"),
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_ref().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fits_no_number_keeps_its_text() {
        assert_eq!(Value::from_f64(f64::NAN), Value::String("NaN".into()));
        assert_eq!(Value::from_f64(f64::NEG_INFINITY), Value::String("-inf".into()));
        assert_eq!(Value::from_u64(u64::MAX), Value::String("18446744073709551615".into()));
        assert_eq!(Value::from_u64(7), Value::I64(7));
    }
}
