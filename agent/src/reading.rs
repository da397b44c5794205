//! How the lines of a source are read, checked as a whole before the first line.

use regex::Regex;
use thiserror::Error;

use crate::format::Format;
use crate::interpret::SourceSettings;
use crate::time_format::{TimeOptions, TimeOptionsError, TimeReader};

/// What the user says.
#[derive(Clone, Debug, Default)]
pub(crate) struct ReadingOptions {
    pub(crate) format: Format,
    pub(crate) pattern: Option<String>,
    pub(crate) time: TimeOptions,
    pub(crate) service: Option<String>,
    pub(crate) host: Option<String>,
    pub(crate) correlation: Option<String>,
}

/// Checked and compiled.
#[derive(Clone, Debug)]
pub(crate) struct Reading {
    pub(crate) format: Format,
    pub(crate) pattern: Option<Regex>,
    pub(crate) times: TimeReader,
    pub(crate) settings: SourceSettings,
}

/// Why lines cannot be read so.
#[derive(Debug, Error)]
pub(crate) enum ReadingError {
    /// Two options do not go together.
    #[error("{message}")]
    Usage { option: &'static str, message: &'static str },
    #[error("the {option} is no regular expression")]
    Pattern { option: &'static str, source: Box<regex::Error> },
    #[error(transparent)]
    Time(#[from] TimeOptionsError),
}

impl ReadingOptions {
    /// Compiles and checks everything; `agent` is noted in every record.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub(crate) fn check(&self, agent: &str) -> Result<Reading, ReadingError> {
        let usage = |option, message| Err(ReadingError::Usage { option, message });
        match (self.format, &self.pattern) {
            (Format::Regex, None) => {
                return usage("pattern", "the format regex needs a pattern with named groups");
            }
            (Format::Regex, Some(_)) | (_, None) => {}
            (_, Some(_)) => return usage("pattern", "a pattern is only used by the format regex"),
        }
        let named = [Format::Auto, Format::Json, Format::Logfmt, Format::Regex];
        if self.time.format.is_some() && !named.contains(&self.format) {
            return usage(
                "time_format",
                "a time format is only used by the formats json, logfmt and regex",
            );
        }
        let pattern = compile("pattern", &self.pattern)?;
        if pattern.as_ref().is_some_and(|regex| regex.capture_names().flatten().next().is_none()) {
            return usage("pattern", "the pattern has no named group, such as (?<message>.*)");
        }
        Ok(Reading {
            format: self.format,
            pattern,
            times: TimeReader::new(&self.time)?,
            settings: SourceSettings {
                agent: agent.to_owned(),
                service: not_empty(&self.service),
                host: not_empty(&self.host),
                correlation: compile("correlation", &self.correlation)?,
                ..SourceSettings::default()
            },
        })
    }
}

fn compile(option: &'static str, pattern: &Option<String>) -> Result<Option<Regex>, ReadingError> {
    let compile = |text: &String| {
        Regex::new(text)
            .map_err(|source| ReadingError::Pattern { option, source: Box::new(source) })
    };
    pattern.as_ref().map(compile).transpose()
}

fn not_empty(text: &Option<String>) -> Option<String> {
    text.clone().filter(|text| !text.is_empty())
}
