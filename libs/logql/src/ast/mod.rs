//! What a query says, as it was written, with the places of its parts.
//!
//! Two expressions are equal if they say the same, wherever their parts stand; parentheses leave no trace but the shape.

mod metric;

pub use metric::{
    Binary, BinaryOperator, Group, Grouping, LabelReplace, LogRange, Matching, Metric,
    RangeAggregation, RangeFunction, Side, VectorAggregation, VectorFunction,
};

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
