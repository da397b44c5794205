//! How functions and operators are written: one table for the parser and for printing.

use std::fmt;

use crate::ast::{
    BinaryOperator, Comparison, Conversion, LineOperator, MatchOperator, RangeFunction,
    VectorFunction,
};

const MATCH_OPERATORS: [(&str, MatchOperator); 4] = [
    ("=", MatchOperator::Equal),
    ("!=", MatchOperator::NotEqual),
    ("=~", MatchOperator::Matches),
    ("!~", MatchOperator::MatchesNot),
];

const LINE_OPERATORS: [(&str, LineOperator); 6] = [
    ("|=", LineOperator::Contains),
    ("!=", LineOperator::ContainsNot),
    ("|~", LineOperator::Matches),
    ("!~", LineOperator::MatchesNot),
    ("|>", LineOperator::Pattern),
    ("!>", LineOperator::PatternNot),
];

const COMPARISONS: [(&str, Comparison); 6] = [
    ("==", Comparison::Equal),
    ("!=", Comparison::NotEqual),
    (">", Comparison::Greater),
    (">=", Comparison::GreaterOrEqual),
    ("<", Comparison::Less),
    ("<=", Comparison::LessOrEqual),
];

const CONVERSIONS: [(&str, Conversion); 3] = [
    ("duration", Conversion::Duration),
    ("duration_seconds", Conversion::DurationSeconds),
    ("bytes", Conversion::Bytes),
];

const RANGE_FUNCTIONS: [(&str, RangeFunction); 15] = [
    ("rate", RangeFunction::Rate),
    ("rate_counter", RangeFunction::RateCounter),
    ("count_over_time", RangeFunction::Count),
    ("bytes_rate", RangeFunction::BytesRate),
    ("bytes_over_time", RangeFunction::Bytes),
    ("sum_over_time", RangeFunction::Sum),
    ("avg_over_time", RangeFunction::Avg),
    ("min_over_time", RangeFunction::Min),
    ("max_over_time", RangeFunction::Max),
    ("stddev_over_time", RangeFunction::Stddev),
    ("stdvar_over_time", RangeFunction::Stdvar),
    ("first_over_time", RangeFunction::First),
    ("last_over_time", RangeFunction::Last),
    ("quantile_over_time", RangeFunction::Quantile),
    ("absent_over_time", RangeFunction::Absent),
];

const VECTOR_FUNCTIONS: [(&str, VectorFunction); 11] = [
    ("sum", VectorFunction::Sum),
    ("avg", VectorFunction::Avg),
    ("min", VectorFunction::Min),
    ("max", VectorFunction::Max),
    ("count", VectorFunction::Count),
    ("stddev", VectorFunction::Stddev),
    ("stdvar", VectorFunction::Stdvar),
    ("topk", VectorFunction::TopK),
    ("bottomk", VectorFunction::BottomK),
    ("sort", VectorFunction::Sort),
    ("sort_desc", VectorFunction::SortDescending),
];

const BINARY_OPERATORS: [(&str, BinaryOperator); 9] = [
    ("or", BinaryOperator::Or),
    ("and", BinaryOperator::And),
    ("unless", BinaryOperator::Unless),
    ("+", BinaryOperator::Add),
    ("-", BinaryOperator::Subtract),
    ("*", BinaryOperator::Multiply),
    ("/", BinaryOperator::Divide),
    ("%", BinaryOperator::Modulo),
    ("^", BinaryOperator::Power),
];

/// Has a name in queries.
pub(crate) trait Named: Copy + PartialEq + 'static {
    /// All of its kind.
    const NAMES: &'static [(&'static str, Self)];

    /// The one of that name, in any case of letters.
    fn named(name: &str) -> Option<Self> {
        Self::NAMES.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, one)| *one)
    }

    /// Its name.
    fn name(self) -> &'static str {
        Self::NAMES.iter().find(|(_, one)| *one == self).map_or("", |(name, _)| name)
    }
}

macro_rules! named {
    ($($kind:ty: $names:ident),+) => {$(
        impl Named for $kind {
            const NAMES: &'static [(&'static str, Self)] = &$names;
        }

        impl fmt::Display for $kind {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.name())
            }
        }
    )+};
}

named!(
    MatchOperator: MATCH_OPERATORS,
    LineOperator: LINE_OPERATORS,
    Comparison: COMPARISONS,
    Conversion: CONVERSIONS,
    RangeFunction: RANGE_FUNCTIONS,
    VectorFunction: VECTOR_FUNCTIONS
);

impl BinaryOperator {
    /// The one that is written so.
    pub(crate) fn named(name: &str) -> Option<Self> {
        let known = BINARY_OPERATORS.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        known.map(|(_, one)| *one).or_else(|| Comparison::named(name).map(Self::Compare))
    }
}

impl fmt::Display for BinaryOperator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Self::Compare(comparison) = self {
            return comparison.fmt(f);
        }
        let name =
            BINARY_OPERATORS.iter().find(|(_, one)| one == self).map_or("", |(name, _)| name);
        f.write_str(name)
    }
}
