//! Expressions whose value is numbers: functions, aggregations, operators.

use super::{Comparison, LogQuery};
use crate::span::Spanned;

/// An expression whose value is numbers.
#[derive(Clone, Debug, PartialEq)]
pub enum Metric {
    /// `5`
    Literal(f64),
    /// `vector(5)`
    Vector(f64),
    /// `rate({app="a"}[5m])`
    Range(RangeAggregation),
    /// `sum by (app) (…)`
    Aggregate(VectorAggregation),
    /// `… + …`
    Binary(Binary),
    /// `label_replace(…, "to", "$1", "from", "(.*)")`
    LabelReplace(LabelReplace),
}

/// Lines of a time.
#[derive(Clone, Debug, PartialEq)]
pub struct LogRange {
    /// Which lines.
    pub query: Spanned<LogQuery>,
    /// How long before each step, nanoseconds; above 0.
    pub range_ns: i64,
    /// How much earlier than the step the time ends, nanoseconds.
    pub offset_ns: i64,
}

/// A number for the lines of each window.
#[derive(Clone, Debug, PartialEq)]
pub struct RangeAggregation {
    /// Which number.
    pub function: RangeFunction,
    /// The quantile.
    pub parameter: Option<f64>,
    /// Of which lines.
    pub range: LogRange,
    /// Which labels the series have; all if `None`.
    pub grouping: Option<Grouping>,
}

/// What is made of the lines, or unwrapped values, of a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum RangeFunction {
    Rate,
    RateCounter,
    Count,
    BytesRate,
    Bytes,
    Sum,
    Avg,
    Min,
    Max,
    Stddev,
    Stdvar,
    First,
    Last,
    Quantile,
    Absent,
}

/// `by (a, b)` or `without (a, b)`
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)]
pub struct Grouping {
    pub without: bool,
    pub labels: Vec<String>,
}

/// A number for each group of series.
#[derive(Clone, Debug, PartialEq)]
pub struct VectorAggregation {
    /// Which number.
    pub function: VectorFunction,
    /// How many `topk` and `bottomk` leave.
    pub parameter: Option<u64>,
    /// Of which series.
    pub of: Box<Spanned<Metric>>,
    /// Which series are together; all if `None`.
    pub grouping: Option<Grouping>,
}

/// What is made of the series of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum VectorFunction {
    Sum,
    Avg,
    Min,
    Max,
    Count,
    Stddev,
    Stdvar,
    TopK,
    BottomK,
    Sort,
    SortDescending,
}

/// Two values into one.
#[derive(Clone, Debug, PartialEq)]
pub struct Binary {
    /// How.
    pub operator: BinaryOperator,
    /// For comparisons: 0 or 1, where they else leave out what does not hold.
    pub returns_bool: bool,
    /// Which series belong together; those with the same labels if `None`.
    pub matching: Option<Matching>,
    /// The first value.
    pub left: Box<Spanned<Metric>>,
    /// The second value.
    pub right: Box<Spanned<Metric>>,
}

/// How two values become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum BinaryOperator {
    Or,
    And,
    Unless,
    Compare(Comparison),
    Add,
    Subtract,
    Multiply,
    Divide,
    Modulo,
    Power,
}

impl BinaryOperator {
    /// Whether it is about which series there are, and not about their values.
    pub fn is_set(self) -> bool {
        matches!(self, Self::Or | Self::And | Self::Unless)
    }

    /// The higher, the closer it binds.
    pub(crate) fn precedence(self) -> u8 {
        match self {
            Self::Or => 1,
            Self::And | Self::Unless => 2,
            Self::Compare(_) => 3,
            Self::Add | Self::Subtract => 4,
            Self::Multiply | Self::Divide | Self::Modulo => 5,
            Self::Power => 6,
        }
    }
}

/// `on (a) group_left (b)`
#[derive(Clone, Debug, PartialEq)]
pub struct Matching {
    /// Whether `labels` are all that counts (`on`), or all that does not (`ignoring`).
    pub on: bool,
    /// See `on`.
    pub labels: Vec<String>,
    /// Whether one side may have several series for one of the other.
    pub group: Option<Group>,
}

/// `group_left (a)`: the left side has many, and gets the labels of the one on the right side.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)]
pub struct Group {
    pub side: Side,
    pub include: Vec<String>,
}

/// The side that has many series for one of the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Side {
    Left,
    Right,
}

/// Sets `destination` to `replacement` where the whole of `source` matches.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)]
pub struct LabelReplace {
    pub of: Box<Spanned<Metric>>,
    pub destination: String,
    pub replacement: String,
    pub source: String,
    pub regex: String,
}
