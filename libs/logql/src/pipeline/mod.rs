//! One line through the stages of a log query: whether it is kept, its text, its labels, its value.
//!
//! Nothing that goes wrong with a line drops it: it gets the label `__error__`, which later stages can filter by.

mod decolorize;
mod filters;
mod json;
mod label_filter;
mod labels;
mod logfmt;
mod needs;
mod pattern;
mod regex;
mod stage;
mod template;

pub use label_filter::TextTest;
pub use labels::{
    ERROR_DETAILS_LABEL, ERROR_LABEL, LINE_LABELS_MAX, LineError, LineLabels, Origin, sanitized,
};
pub use needs::Needs;
pub(crate) use needs::needs;
pub use regex::{anywhere_in_rust, whole_in_rust};
pub use template::TEMPLATE_OUTPUT_BYTES_MAX;

use std::borrow::Cow;

use stage::{CompiledStage, Step};

use crate::ast::{LabelReplace, LogQuery};
use crate::fault::Fault;
use crate::labels::Labels;
use crate::span::Span;

/// Most regular expressions of a log query.
pub const REGEXES_MAX: usize = 50;

/// What a line comes with.
#[derive(Clone, Copy, Debug)]
pub struct Entry<'a> {
    /// Nanoseconds since the epoch.
    pub timestamp_ns: i64,
    /// Its text.
    pub line: &'a str,
    /// The labels of its stream.
    pub stream: &'a Labels,
    /// The labels that came with the line.
    pub metadata: &'a Labels,
}

/// What became of a line.
#[derive(Clone, Debug)]
pub enum Outcome<'a> {
    /// A filter did not let it through, or it has nothing to unwrap.
    Dropped,
    /// It went through.
    Kept(Kept<'a>),
}

/// A line that went through.
#[derive(Clone, Debug)]
pub struct Kept<'a> {
    /// Its text, as the stages left it.
    pub line: Cow<'a, str>,
    /// Its labels, `__error__` among them.
    pub labels: LineLabels<'a>,
    /// What was unwrapped; `None` if the query unwraps nothing.
    pub value: Option<f64>,
}

/// The stages of a log query, ready to be used on any number of lines.
#[derive(Debug)]
pub struct Pipeline {
    stages: Vec<CompiledStage>,
}

impl Pipeline {
    /// Prepares the stages of a query.
    ///
    /// # Errors
    /// A wrong regular expression, template, pattern or path; too many regular expressions.
    pub fn compile(query: &LogQuery) -> Result<Self, Fault> {
        Self::compile_stages(query).map_err(|(message, _)| Fault::whole(message))
    }

    /// As [`Pipeline::compile`], with the place of the fault.
    pub(crate) fn compile_stages(query: &LogQuery) -> Result<Self, (String, Span)> {
        let mut regexes = 0;
        let mut stages = Vec::with_capacity(query.stages.len());
        for stage in &query.stages {
            regexes += stage::count_regexes(&stage.node);
            if regexes > REGEXES_MAX {
                return Err((format!("more than {REGEXES_MAX} regular expressions"), stage.span));
            }
            stages.push(CompiledStage::compile(&stage.node).map_err(|fault| (fault, stage.span))?);
        }
        Ok(Self { stages })
    }

    /// Sends a line through.
    pub fn apply<'a>(&self, entry: &Entry<'a>) -> Outcome<'a> {
        // Most lines end at the filters in front, which need no labels.
        let mut passed = 0;
        for keeps in self.stages.iter().map_while(|stage| stage.keeps_line(entry.line)) {
            if !keeps {
                return Outcome::Dropped;
            }
            passed += 1;
        }
        let mut step = Step::new(entry);
        match self.stages[passed..].iter().all(|stage| stage.apply(&mut step)) {
            true => Outcome::Kept(step.kept()),
            false => Outcome::Dropped,
        }
    }
}

/// Finds what is wrong with the matchers of a selector.
pub(crate) fn check_matchers(query: &LogQuery) -> Result<(), (String, Option<Span>)> {
    let mut narrows = false;
    if query.matchers.len() > REGEXES_MAX {
        return Err((format!("more than {REGEXES_MAX} matchers in a selector"), None));
    }
    for matcher in &query.matchers {
        let test = TextTest::compile(&matcher.node).map_err(|fault| (fault, Some(matcher.span)))?;
        narrows |= !test.matches("");
    }
    if narrows {
        return Ok(());
    }
    let message = "queries require at least one regexp or equality matcher that does not have an \
        empty-compatible value. For instance, app=~\".*\" does not meet this requirement, but \
        app=~\".+\" will";
    Err((message.to_owned(), None))
}

/// Finds what is wrong with the regular expression and the label of a `label_replace`.
pub(crate) fn check_replace(replace: &LabelReplace) -> Result<(), Fault> {
    regex::compile_anchored(&replace.regex).map_err(Fault::whole)?;
    match is_label_name(&replace.destination) {
        true => Ok(()),
        false => Err(Fault::whole(format!(
            "invalid label name in label_replace: {}",
            replace.destination
        ))),
    }
}

/// Compiles an expression that has to match the whole of a text.
pub(crate) fn anchored_regex(pattern: &str) -> Result<::regex::Regex, String> {
    regex::compile_anchored(pattern)
}

fn is_label_name(name: &str) -> bool {
    let starts = name.starts_with(|first: char| first == '_' || first.is_ascii_alphabetic());
    starts && name.bytes().all(|byte| byte == b'_' || byte.is_ascii_alphanumeric())
}

#[cfg(test)]
mod tests;
