//! Conditions on labels, and which labels `drop` and `keep` are about.
//!
//! A label that is missing is an empty text and no quantity. A value that is no quantity is an error of the line, which
//! stays; a line that has an error already passes every comparison of quantities.

use regex::Regex;

use super::labels::{LineError, LineLabels};
use super::regex::compile_anchored;
use crate::ast::{LabelChoice, LabelFilter, MatchOperator, Matcher, Quantity, QuantityFilter};
use crate::quantity::{parse_bytes, parse_duration_ns};

/// A matcher of a selector, ready to be used.
#[derive(Clone, Debug)]
pub struct TextTest {
    name: String,
    negated: bool,
    test: Test,
}

#[derive(Clone, Debug)]
enum Test {
    Equal(String),
    Matches(Regex),
}

impl TextTest {
    /// Compiles a matcher.
    ///
    /// # Errors
    /// What is wrong with its regular expression.
    pub fn compile(matcher: &Matcher) -> Result<Self, String> {
        let test = match matcher.operator {
            MatchOperator::Equal | MatchOperator::NotEqual => Test::Equal(matcher.value.clone()),
            MatchOperator::Matches | MatchOperator::MatchesNot => {
                Test::Matches(compile_anchored(&matcher.value)?)
            }
        };
        let negated =
            matches!(matcher.operator, MatchOperator::NotEqual | MatchOperator::MatchesNot);
        Ok(Self { name: matcher.name.clone(), negated, test })
    }

    /// The label that it is about.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether a value matches; that of a label which is missing is empty.
    pub fn matches(&self, value: &str) -> bool {
        let found = match &self.test {
            Test::Equal(text) => value == text,
            Test::Matches(regex) => regex.is_match(value),
        };
        found != self.negated
    }
}

/// A label filter, ready to be used.
#[derive(Debug)]
pub(super) enum CompiledLabelFilter {
    Text(TextTest),
    Quantity(QuantityFilter),
    All(Vec<CompiledLabelFilter>),
    Any(Vec<CompiledLabelFilter>),
}

impl CompiledLabelFilter {
    /// # Errors
    /// What is wrong with a regular expression.
    pub(super) fn compile(filter: &LabelFilter) -> Result<Self, String> {
        let each =
            |all: &[LabelFilter]| all.iter().map(Self::compile).collect::<Result<Vec<_>, _>>();
        match filter {
            LabelFilter::Text(matcher) => TextTest::compile(matcher).map(Self::Text),
            LabelFilter::Quantity(quantity) => Ok(Self::Quantity(quantity.clone())),
            LabelFilter::All(all) => each(all).map(Self::All),
            LabelFilter::Any(all) => each(all).map(Self::Any),
        }
    }

    pub(super) fn keeps(&self, labels: &mut LineLabels<'_>) -> bool {
        match self {
            Self::Text(test) => test.matches(labels.get(&test.name).unwrap_or_default()),
            Self::Quantity(filter) => keeps(filter, labels),
            Self::All(all) => all.iter().all(|one| one.keeps(labels)),
            Self::Any(all) => all.iter().any(|one| one.keeps(labels)),
        }
    }
}

fn keeps(filter: &QuantityFilter, labels: &mut LineLabels<'_>) -> bool {
    if labels.error().is_some() {
        return true;
    }
    let Some(text) = labels.get(&filter.name) else { return false };
    let pair = match filter.quantity {
        Quantity::Number(number) => parse_number(text).map(|value| (value, number)),
        Quantity::Duration(duration_ns) => {
            parse_duration_ns(text).map(|value| (value as f64, duration_ns as f64))
        }
        Quantity::Bytes(bytes) => parse_bytes(text).map(|value| (value as f64, bytes as f64)),
    };
    match pair {
        Some((value, limit)) => filter.comparison.holds(value, limit),
        None => {
            let details = format!(
                "\"{text}\" of {} cannot be compared with {}",
                filter.name, filter.quantity
            );
            labels.set_error(LineError::LabelFilter, details);
            true
        }
    }
}

/// A number as Go reads it.
pub(super) fn parse_number(text: &str) -> Option<f64> {
    text.parse().ok()
}

/// A choice of `drop` and `keep`, ready to be used.
#[derive(Debug)]
pub(super) enum CompiledChoice {
    Name(String),
    Matching(TextTest),
}

impl CompiledChoice {
    /// # Errors
    /// What is wrong with a regular expression.
    pub(super) fn compile(choice: &LabelChoice) -> Result<Self, String> {
        match choice {
            LabelChoice::Name(name) => Ok(Self::Name(name.clone())),
            LabelChoice::Matching(matcher) => TextTest::compile(matcher).map(Self::Matching),
        }
    }

    /// Whether it is about a label of that name and value.
    pub(super) fn is_about(&self, name: &str, value: &str) -> bool {
        match self {
            Self::Name(wanted) => wanted == name,
            Self::Matching(test) => test.name == name && test.matches(value),
        }
    }
}
