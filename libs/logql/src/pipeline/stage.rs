//! A stage, ready to be used, and what it does to a line.

use std::borrow::Cow;

use regex::Regex;

use super::decolorize::decolorized;
use super::filters::CompiledLineFilter;
use super::json::{self, JsonPath};
use super::label_filter::{CompiledChoice, CompiledLabelFilter, parse_number};
use super::labels::{ERROR_DETAILS_LABEL, ERROR_LABEL, Extracted, LineError, LineLabels};
use super::logfmt;
use super::pattern::Pattern;
use super::template::{self, Subject, Template};
use super::{Entry, Kept, is_label_name};
use crate::ast::{
    Conversion, LabelChoice, LabelFilter, LabelFormat, LabelSource, LineOperator, Logfmt,
    MatchOperator, Stage, Unwrap,
};
use crate::quantity::{parse_bytes, parse_duration_ns};

/// A line on its way.
pub(super) struct Step<'a> {
    timestamp_ns: i64,
    line: Cow<'a, str>,
    labels: LineLabels<'a>,
    value: Option<f64>,
}

impl<'a> Step<'a> {
    pub(super) fn new(entry: &Entry<'a>) -> Self {
        Self {
            timestamp_ns: entry.timestamp_ns,
            line: Cow::Borrowed(entry.line),
            labels: LineLabels::new(entry.stream, entry.metadata),
            value: None,
        }
    }

    pub(super) fn kept(self) -> Kept<'a> {
        Kept { line: self.line, labels: self.labels, value: self.value }
    }

    fn subject(&self) -> Subject<'_> {
        Subject { line: &self.line, timestamp_ns: self.timestamp_ns, labels: &self.labels }
    }
}

#[derive(Debug)]
pub(super) enum CompiledStage {
    Line(CompiledLineFilter),
    Json(Vec<JsonPath>),
    Logfmt(Logfmt),
    Pattern(Pattern),
    Regexp(Regex),
    Unpack,
    Filter(CompiledLabelFilter),
    LineFormat(Template),
    LabelFormat(Vec<(String, CompiledSource)>),
    Drop(Vec<CompiledChoice>),
    Keep(Vec<CompiledChoice>),
    Decolorize,
    Unwrap(Unwrap),
}

#[derive(Debug)]
pub(super) enum CompiledSource {
    Label(String),
    Template(Template),
}

/// How many regular expressions a stage compiles.
pub(super) fn count_regexes(stage: &Stage) -> usize {
    let is_regex = |operator: MatchOperator| {
        matches!(operator, MatchOperator::Matches | MatchOperator::MatchesNot)
    };
    let of_choices = |choices: &[LabelChoice]| {
        let regex = |one: &&LabelChoice| matches!(one, LabelChoice::Matching(one) if is_regex(one.operator));
        choices.iter().filter(regex).count()
    };
    fn of_filter(filter: &LabelFilter, is_regex: &impl Fn(MatchOperator) -> bool) -> usize {
        match filter {
            LabelFilter::Text(matcher) => usize::from(is_regex(matcher.operator)),
            LabelFilter::Quantity(_) => 0,
            LabelFilter::All(all) | LabelFilter::Any(all) => {
                all.iter().map(|one| of_filter(one, is_regex)).sum()
            }
        }
    }
    match stage {
        Stage::Line(filter) => match filter.operator {
            LineOperator::Matches | LineOperator::MatchesNot => filter.texts.len(),
            _ => 0,
        },
        Stage::Regexp(_) => 1,
        Stage::LineFormat(template) => template::count_regexes(template),
        Stage::LabelFormat(formats) => {
            let of_format = |format: &LabelFormat| match &format.to {
                LabelSource::Template(template) => template::count_regexes(template),
                LabelSource::Label(_) => 0,
            };
            formats.iter().map(of_format).sum()
        }
        Stage::Filter(filter) => of_filter(filter, &is_regex),
        Stage::Drop(choices) | Stage::Keep(choices) => of_choices(choices),
        _ => 0,
    }
}

impl CompiledStage {
    /// # Errors
    /// What is wrong with the stage.
    pub(super) fn compile(stage: &Stage) -> Result<Self, String> {
        let choices = |all: &[LabelChoice]| {
            all.iter().map(CompiledChoice::compile).collect::<Result<Vec<_>, _>>()
        };
        Ok(match stage {
            Stage::Line(filter) => Self::Line(CompiledLineFilter::compile(filter)?),
            Stage::Json(paths) => {
                Self::Json(paths.iter().map(JsonPath::compile).collect::<Result<_, _>>()?)
            }
            Stage::Logfmt(logfmt) => Self::Logfmt(logfmt.clone()),
            Stage::Pattern(pattern) => Self::Pattern(Pattern::for_labels(pattern)?),
            Stage::Regexp(pattern) => Self::Regexp(named_captures(pattern)?),
            Stage::Unpack => Self::Unpack,
            Stage::Filter(filter) => Self::Filter(CompiledLabelFilter::compile(filter)?),
            Stage::LineFormat(template) => Self::LineFormat(Template::compile(template)?),
            Stage::LabelFormat(formats) => Self::LabelFormat(label_formats(formats)?),
            Stage::Drop(all) => Self::Drop(choices(all)?),
            Stage::Keep(all) => Self::Keep(choices(all)?),
            Stage::Decolorize => Self::Decolorize,
            Stage::Unwrap(unwrap) => Self::Unwrap(unwrap.clone()),
        })
    }

    /// Whether a line goes on, if the stage looks at nothing else.
    pub(super) fn keeps_line(&self, line: &str) -> Option<bool> {
        match self {
            Self::Line(filter) => Some(filter.keeps(line)),
            _ => None,
        }
    }

    /// Whether the line goes on.
    pub(super) fn apply(&self, step: &mut Step<'_>) -> bool {
        match self {
            Self::Line(filter) => return filter.keeps(&step.line),
            Self::Filter(filter) => return filter.keeps(&mut step.labels),
            Self::Unwrap(unwrap) => return unwrapped(unwrap, step),
            Self::Json(_) | Self::Logfmt(_) | Self::Pattern(_) | Self::Regexp(_) | Self::Unpack => {
                self.parse(step);
            }
            Self::LineFormat(template) => match template.render(&step.subject()) {
                Ok(line) => step.line = Cow::Owned(line),
                Err(fault) => step.labels.set_error(LineError::TemplateFormat, fault),
            },
            Self::LabelFormat(formats) => format_labels(formats, step),
            Self::Drop(choices) => step
                .labels
                .retain(|name, value| !choices.iter().any(|choice| choice.is_about(name, value))),
            Self::Keep(choices) => step.labels.retain(|name, value| {
                let tells_error = name == ERROR_LABEL || name == ERROR_DETAILS_LABEL;
                tells_error || choices.iter().any(|choice| choice.is_about(name, value))
            }),
            Self::Decolorize => {
                if let Cow::Owned(line) = decolorized(&step.line) {
                    step.line = Cow::Owned(line);
                }
            }
        }
        true
    }

    fn parse(&self, step: &mut Step<'_>) {
        let mut extracted = Extracted::into(&mut step.labels);
        let line = &*step.line;
        let mut packed = None;
        let done = match self {
            Self::Json(paths) if paths.is_empty() => json::extract_all(line, &mut extracted),
            Self::Json(paths) => json::extract_paths(line, paths, &mut extracted),
            Self::Logfmt(logfmt) => logfmt::extract(line, logfmt, &mut extracted),
            Self::Pattern(pattern) => {
                pattern.extract(line, |name, value| extracted.add(name, value.to_owned()));
                Ok(())
            }
            Self::Regexp(regex) => {
                if let Some(captures) = regex.captures(line) {
                    for name in regex.capture_names().flatten() {
                        let value = captures.name(name).map_or("", |found| found.as_str());
                        extracted.add(name, value.to_owned());
                    }
                }
                Ok(())
            }
            _ => json::unpack(line, &mut extracted).map(|found| packed = found),
        };
        if let Some(packed) = packed {
            step.line = Cow::Owned(packed);
        }
        if let Err(fault) = done {
            let error = match self {
                Self::Logfmt(_) => LineError::Logfmt,
                _ => LineError::Json,
            };
            step.labels.set_error(error, fault);
        }
    }
}

fn named_captures(pattern: &str) -> Result<Regex, String> {
    let regex = super::regex::compile(pattern)?;
    let names: Vec<&str> = regex.capture_names().flatten().collect();
    match names.iter().find(|name| !is_label_name(name)) {
        Some(name) => Err(format!("invalid extracted label name '{name}'")),
        None if names.is_empty() => Err("at least one named capture must be supplied".to_owned()),
        None => Ok(regex),
    }
}

fn label_formats(formats: &[LabelFormat]) -> Result<Vec<(String, CompiledSource)>, String> {
    let mut compiled: Vec<(String, CompiledSource)> = Vec::new();
    for format in formats {
        let label = &format.label;
        if compiled.iter().any(|(known, _)| known == label) {
            return Err(format!(
                "multiple label name '{label}' not allowed in a single format operation"
            ));
        }
        if label == ERROR_LABEL {
            return Err(format!("{label} cannot be formatted"));
        }
        let source = match &format.to {
            LabelSource::Label(label) => CompiledSource::Label(label.clone()),
            LabelSource::Template(template) => {
                CompiledSource::Template(Template::compile(template)?)
            }
        };
        compiled.push((label.clone(), source));
    }
    Ok(compiled)
}

fn format_labels(formats: &[(String, CompiledSource)], step: &mut Step<'_>) {
    for (label, source) in formats {
        match source {
            CompiledSource::Label(from) => {
                if let Some(value) = step.labels.get(from).map(str::to_owned) {
                    step.labels.remove(from);
                    step.labels.set(label, value);
                }
            }
            CompiledSource::Template(template) => match template.render(&step.subject()) {
                Ok(value) => step.labels.set(label, value),
                Err(fault) => step.labels.set_error(LineError::TemplateFormat, fault),
            },
        }
    }
}

/// Whether there was something to unwrap. What is no number is an error of the line, whose value is 0 then.
fn unwrapped(unwrap: &Unwrap, step: &mut Step<'_>) -> bool {
    let Some(text) = step.labels.get(&unwrap.label) else { return false };
    let value = match unwrap.conversion {
        None => parse_number(text),
        Some(Conversion::Duration | Conversion::DurationSeconds) => {
            parse_duration_ns(text).map(|duration_ns| duration_ns as f64 / 1e9)
        }
        Some(Conversion::Bytes) => parse_bytes(text).map(|bytes| bytes as f64),
    };
    if value.is_none() {
        let details = format!("\"{text}\" of {} cannot be unwrapped", unwrap.label);
        step.labels.set_error(LineError::SampleExtraction, details);
    }
    step.value = Some(value.unwrap_or(0.0));
    true
}
