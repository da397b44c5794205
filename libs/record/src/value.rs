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
    /// What an unquoted text is: a decimal number or a boolean where it is written as one, else text.
    pub fn guessed(text: &'a str) -> Self {
        match text {
            "true" => return ValueRef::Bool(true),
            "false" => return ValueRef::Bool(false),
            _ => {}
        }
        let digits = text.strip_prefix('-').unwrap_or(text);
        let (whole, fraction) = match digits.split_once('.') {
            Some((whole, fraction)) => (whole, Some(fraction)),
            None => (digits, None),
        };
        let all_digits =
            |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        let plain = all_digits(whole) && (whole == "0" || !whole.starts_with('0'));
        if !plain || text == "-0" {
            return ValueRef::String(text);
        }
        match fraction {
            None => text.parse().map_or(ValueRef::String(text), ValueRef::I64),
            Some(fraction) if all_digits(fraction) => {
                let number = text.parse().ok().filter(|number: &f64| number.is_finite());
                number.map_or(ValueRef::String(text), ValueRef::F64)
            }
            Some(_) => ValueRef::String(text),
        }
    }

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

    #[test]
    fn a_value_is_a_number_only_where_it_is_written_as_one() {
        for (text, value) in [
            ("0", ValueRef::I64(0)),
            ("-12", ValueRef::I64(-12)),
            ("0.25", ValueRef::F64(0.25)),
            ("-1.5", ValueRef::F64(-1.5)),
            ("true", ValueRef::Bool(true)),
        ] {
            assert_eq!(ValueRef::guessed(text), value);
        }
        for text in ["", "-", "-0", "007", "+1", "1e3", ".5", "5.", "1.2.3", "inf", "NaN", "True"] {
            assert_eq!(ValueRef::guessed(text), ValueRef::String(text));
        }
        assert_eq!(
            ValueRef::guessed("99999999999999999999"),
            ValueRef::String("99999999999999999999")
        );
    }
}
