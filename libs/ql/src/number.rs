//! Numbers of a query and their exact comparison with the numbers of records.
//!
//! An `i64` beyond 2^53 has no exact `f64`, so the two are never compared by converting one into the other
//! with loss: whole numbers stay whole ([`Number::Integer`]) and meet floats part by part.

use std::cmp::Ordering;
use std::fmt;

use nom::bytes::complete::tag;
use nom::character::complete::{digit1, one_of};
use nom::combinator::{all_consuming, opt};
use nom::{IResult, Parser};

/// A number as a query means it; a float is finite and not whole, unless it is beyond `i128`.
#[derive(Clone, Copy, Debug, PartialEq)]
#[allow(missing_docs)]
pub enum Number {
    Integer(i128),
    Float(f64),
}

impl Number {
    /// Reads `-12`, `1.5`, `2e3`; `None` for all else, also for what is infinite as an `f64`.
    pub fn parse(text: &str) -> Option<Self> {
        let (_, (_, _, fraction, exponent)) = all_consuming(shape).parse(text).ok()?;
        if fraction.is_none()
            && exponent.is_none()
            && let Ok(integer) = text.parse()
        {
            return Some(Self::Integer(integer));
        }
        text.parse().ok().and_then(Self::from_f64)
    }

    /// `None` unless finite; a whole number becomes an integer.
    pub fn from_f64(number: f64) -> Option<Self> {
        if !number.is_finite() {
            return None;
        }
        let whole = number.fract() == 0.0 && number.abs() < I128_RANGE;
        Some(if whole { Self::Integer(number as i128) } else { Self::Float(number) })
    }

    /// `numerator / denominator`, whole if it is.
    pub(crate) fn ratio(numerator: i128, denominator: i128) -> Self {
        if numerator % denominator == 0 {
            Self::Integer(numerator / denominator)
        } else {
            Self::Float(numerator as f64 / denominator as f64)
        }
    }

    /// How `value` stands to this number.
    pub fn order_of_integer(&self, value: i128) -> Option<Ordering> {
        match self {
            Self::Integer(number) => Some(value.cmp(number)),
            Self::Float(number) => integer_to_float(value, *number),
        }
    }

    /// How `value` stands to this number; `None` for NaN.
    pub fn order_of_float(&self, value: f64) -> Option<Ordering> {
        match self {
            Self::Integer(number) => integer_to_float(*number, value).map(Ordering::reverse),
            Self::Float(number) => value.partial_cmp(number),
        }
    }

    /// How two numbers of a query stand to each other.
    pub(crate) fn order(&self, other: &Number) -> Option<Ordering> {
        match self {
            Self::Integer(number) => other.order_of_integer(*number),
            Self::Float(number) => other.order_of_float(*number),
        }
    }
}

impl fmt::Display for Number {
    /// So that [`Number::parse`] reads back the same number.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Integer(number) => write!(f, "{number}"),
            Self::Float(number) => write!(f, "{number:?}"),
        }
    }
}

/// 2^127, the first float that is no `i128`.
const I128_RANGE: f64 = 170_141_183_460_469_231_731_687_303_715_884_105_728.0;

type Shape<'a> =
    (Option<&'a str>, &'a str, Option<(&'a str, &'a str)>, Option<(char, Option<char>, &'a str)>);

fn shape(text: &str) -> IResult<&str, Shape<'_>> {
    let sign = opt(tag("-"));
    let fraction = opt((tag("."), digit1));
    let exponent = opt((one_of("eE"), opt(one_of("+-")), digit1));
    (sign, digit1, fraction, exponent).parse(text)
}

fn integer_to_float(integer: i128, float: f64) -> Option<Ordering> {
    if float.is_nan() {
        return None;
    }
    if float >= I128_RANGE {
        return Some(Ordering::Less);
    }
    if float < -I128_RANGE {
        return Some(Ordering::Greater);
    }
    let whole = float.trunc();
    Some(integer.cmp(&(whole as i128)).then_with(|| {
        0.0_f64.partial_cmp(&(float - whole)).expect("the fraction of a finite float is finite")
    }))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn whole_numbers_stay_whole_and_words_are_no_numbers() {
        assert_eq!(Number::parse("500.0"), Some(Number::Integer(500)));
        assert_eq!(Number::parse("-2e3"), Some(Number::Integer(-2_000)));
        assert_eq!(Number::parse("0.25"), Some(Number::Float(0.25)));
        assert_eq!(
            Number::parse("9223372036854775808"),
            Some(Number::Integer(9_223_372_036_854_775_808))
        );
        for text in ["", "-", "1.", ".5", "+1", "1e", "inf", "NaN", "0x10", "1_000", "1e999", "5 "]
        {
            assert_eq!(Number::parse(text), None, "{text}");
        }
    }

    #[test]
    fn integers_beyond_the_floats_are_compared_exactly() {
        let odd = Number::Integer(9_007_199_254_740_993);
        assert_eq!(odd.order_of_float(9_007_199_254_740_992.0), Some(Ordering::Less));
        assert_eq!(odd.order_of_integer(9_007_199_254_740_993), Some(Ordering::Equal));
        assert_eq!(Number::Float(0.5).order_of_integer(0), Some(Ordering::Less));
        assert_eq!(Number::Float(-0.5).order_of_integer(0), Some(Ordering::Greater));
        assert_eq!(Number::Float(1e300).order_of_integer(i128::MAX), Some(Ordering::Less));
    }

    proptest! {
        #[test]
        fn every_number_is_read_back_as_printed(float in any::<f64>(), integer in any::<i64>()) {
            if let Some(number) = Number::from_f64(float) {
                prop_assert_eq!(Number::parse(&number.to_string()), Some(number));
                prop_assert_eq!(number.order_of_float(float), Some(Ordering::Equal));
            }
            let number = Number::Integer(integer.into());
            prop_assert_eq!(Number::parse(&number.to_string()), Some(number));
        }
    }
}
