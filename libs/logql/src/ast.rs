//! What a query says, as it was written, with the places of its parts.
//!
//! Two expressions are equal if they say the same, wherever their parts stand; parentheses leave no trace but the shape.

use crate::span::{Span, Spanned};

/// A query.
#[derive(Clone, Debug, PartialEq)]
pub enum Expr {
    /// Lines.
    Log(Spanned<LogQuery>),
    /// Numbers.
    Metric(Spanned<Metric>),
}

impl Expr {
    /// Where it stands, without parentheses around it.
    pub fn span(&self) -> Span {
        match self {
            Self::Log(query) => query.span,
            Self::Metric(metric) => metric.span,
        }
    }
}

/// `{app="a"} |= "x" | json`: which streams, and what becomes of each of their lines.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LogQuery {
    /// All of them have to match.
    pub matchers: Vec<Spanned<Matcher>>,
    /// In the order in which lines pass them.
    pub stages: Vec<Spanned<Stage>>,
}

impl LogQuery {
    /// The label that is unwrapped, if one is.
    pub fn unwrapped(&self) -> Option<&Unwrap> {
        self.stages.iter().find_map(|stage| match &stage.node {
            Stage::Unwrap(unwrap) => Some(unwrap),
            _ => None,
        })
    }
}

/// `app="a"`, in a selector, a label filter, `drop` or `keep`.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)]
pub struct Matcher {
    pub name: String,
    pub operator: MatchOperator,
    pub value: String,
}

/// How a text is compared. Regular expressions have to match the whole of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum MatchOperator {
    Equal,
    NotEqual,
    Matches,
    MatchesNot,
}

/// A step of a pipeline.
#[derive(Clone, Debug, PartialEq)]
pub enum Stage {
    /// `|= "a" or "b"`
    Line(LineFilter),
    /// `| json`, `| json a="b.c[0]"`: everything, or only these.
    Json(Vec<Extraction>),
    /// `| logfmt --strict a="b"`
    Logfmt(Logfmt),
    /// `| pattern "<a> <_>"`
    Pattern(String),
    /// `| regexp "(?P<a>.*)"`
    Regexp(String),
    /// `| unpack`
    Unpack,
    /// `| a="b" or c>5`
    Filter(LabelFilter),
    /// `| line_format "{{.a}}"`
    LineFormat(String),
    /// `| label_format a=b, c="{{.d}}"`
    LabelFormat(Vec<LabelFormat>),
    /// `| drop a, b="c"`
    Drop(Vec<LabelChoice>),
    /// `| keep a, b="c"`
    Keep(Vec<LabelChoice>),
    /// `| decolorize`
    Decolorize,
    /// `| unwrap duration(a)`
    Unwrap(Unwrap),
}

/// Lines that have one of the texts, or none of them if the operator says not.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)]
pub struct LineFilter {
    pub operator: LineOperator,
    pub texts: Vec<String>,
}

/// How a line is looked at. Regular expressions may match anywhere in it, patterns match the whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum LineOperator {
    Contains,
    ContainsNot,
    Matches,
    MatchesNot,
    Pattern,
    PatternNot,
}

/// A label and where in the line its value is.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)]
pub struct Extraction {
    pub label: String,
    pub source: String,
}

/// What `logfmt` shall do.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Logfmt {
    /// Stops at the first fault, and says so.
    pub strict: bool,
    /// Keeps labels without a value.
    pub keep_empty: bool,
    /// Only these, if there are any.
    pub extractions: Vec<Extraction>,
}

/// A condition on labels.
#[derive(Clone, Debug, PartialEq)]
pub enum LabelFilter {
    /// Compares texts.
    Text(Matcher),
    /// Compares quantities.
    Quantity(QuantityFilter),
    /// All have to hold; two at least.
    All(Vec<LabelFilter>),
    /// One has to hold; two at least.
    Any(Vec<LabelFilter>),
}

/// `status >= 400`
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)]
pub struct QuantityFilter {
    pub name: String,
    pub comparison: Comparison,
    pub quantity: Quantity,
}

/// What a label is compared with.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Quantity {
    /// `5`
    Number(f64),
    /// `10ms`, in nanoseconds.
    Duration(i64),
    /// `1KB`
    Bytes(u64),
}

/// Which of two numbers is larger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Comparison {
    Equal,
    NotEqual,
    Greater,
    GreaterOrEqual,
    Less,
    LessOrEqual,
}

impl Comparison {
    /// Whether it holds for two numbers.
    pub fn holds(self, left: f64, right: f64) -> bool {
        match self {
            Self::Equal => left == right,
            Self::NotEqual => left != right,
            Self::Greater => left > right,
            Self::GreaterOrEqual => left >= right,
            Self::Less => left < right,
            Self::LessOrEqual => left <= right,
        }
    }
}

/// A label that `label_format` sets.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)]
pub struct LabelFormat {
    pub label: String,
    pub to: LabelSource,
}

/// What a label is set to.
#[derive(Clone, Debug, PartialEq)]
pub enum LabelSource {
    /// The value of another label, which is gone then.
    Label(String),
    /// What a template makes.
    Template(String),
}

/// What `drop` and `keep` are about.
#[derive(Clone, Debug, PartialEq)]
pub enum LabelChoice {
    /// A label.
    Name(String),
    /// A label, if its value matches.
    Matching(Matcher),
}

impl LabelChoice {
    /// The label's name.
    pub fn name(&self) -> &str {
        match self {
            Self::Name(name) => name,
            Self::Matching(matcher) => &matcher.name,
        }
    }
}

/// `unwrap duration(a)`
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)]
pub struct Unwrap {
    pub label: String,
    pub conversion: Option<Conversion>,
}

/// How a label's value becomes a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Conversion {
    /// A duration, to seconds.
    Duration,
    /// The same under its other name.
    DurationSeconds,
    /// A size, to bytes.
    Bytes,
}

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
