//! Line filters: whether a line has a text, matches an expression or a pattern.

use regex::Regex;

use super::pattern::Pattern;
use super::regex::compile;
use crate::ast::{LineFilter, LineOperator};

/// A line filter, ready to be used.
#[derive(Debug)]
pub(super) struct CompiledLineFilter {
    negated: bool,
    tests: Vec<LineTest>,
}

#[derive(Debug)]
enum LineTest {
    Contains(String),
    Matches(Regex),
    Pattern(Pattern),
}

impl CompiledLineFilter {
    /// # Errors
    /// What is wrong with an expression or a pattern.
    pub(super) fn compile(filter: &LineFilter) -> Result<Self, String> {
        use LineOperator::{
            Contains, ContainsNot, Matches, MatchesNot, Pattern as Like, PatternNot,
        };
        let test = |text: &String| match filter.operator {
            Contains | ContainsNot => Ok(LineTest::Contains(text.clone())),
            Matches | MatchesNot => compile(text).map(LineTest::Matches),
            Like | PatternNot => Pattern::for_lines(text).map(LineTest::Pattern),
        };
        let negated = matches!(filter.operator, ContainsNot | MatchesNot | PatternNot);
        Ok(Self { negated, tests: filter.texts.iter().map(test).collect::<Result<_, _>>()? })
    }

    pub(super) fn keeps(&self, line: &str) -> bool {
        let found = self.tests.iter().any(|test| match test {
            LineTest::Contains(text) => line.contains(text.as_str()),
            LineTest::Matches(regex) => regex.is_match(line),
            LineTest::Pattern(pattern) => pattern.matches(line),
        });
        found != self.negated
    }
}
