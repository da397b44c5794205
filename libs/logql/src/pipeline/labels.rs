//! The labels of a line on its way through a pipeline, with where each comes from, and its error.
//!
//! What is parsed never hides what came with the line: a name that is taken gets `_extracted` behind it.

use std::borrow::Cow;

use crate::labels::Labels;

/// The label that says what went wrong with a line.
pub const ERROR_LABEL: &str = "__error__";
/// The label that says more about it.
pub const ERROR_DETAILS_LABEL: &str = "__error_details__";
/// Most labels of a line; what is parsed beyond is left out.
pub const LINE_LABELS_MAX: usize = 512;

/// Where a label comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// It is one of the stream's.
    Stream,
    /// It came with the line.
    Metadata,
    /// A stage made it.
    Parsed,
}

/// What went wrong with a line, as `__error__` says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum LineError {
    Json,
    Logfmt,
    LabelFilter,
    SampleExtraction,
    TemplateFormat,
}

impl LineError {
    /// The value of `__error__`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Json => "JSONParserErr",
            Self::Logfmt => "LogfmtParserErr",
            Self::LabelFilter => "LabelFilterErr",
            Self::SampleExtraction => "SampleExtractionErr",
            Self::TemplateFormat => "TemplateFormatErr",
        }
    }
}

/// The labels of one line, in the order of their names.
#[derive(Clone, Debug)]
pub struct LineLabels<'a> {
    stream: &'a Labels,
    metadata: &'a Labels,
    labels: Vec<Label<'a>>,
}

#[derive(Clone, Debug)]
struct Label<'a> {
    name: Cow<'a, str>,
    value: Cow<'a, str>,
    origin: Origin,
}

impl<'a> LineLabels<'a> {
    pub(super) fn new(stream: &'a Labels, metadata: &'a Labels) -> Self {
        let mut labels = Self { stream, metadata, labels: Vec::new() };
        let all = [(stream, Origin::Stream), (metadata, Origin::Metadata)];
        for (name, value, origin) in all
            .iter()
            .flat_map(|(of, origin)| of.iter().map(|(name, value)| (name, value, *origin)))
        {
            // A label of the stream counts more than one that came with the line.
            if let Err(at) = labels.place(name) {
                let label = Label { name: name.into(), value: value.into(), origin };
                labels.labels.insert(at, label);
            }
        }
        labels
    }

    /// The value of a label.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.place(name).ok().map(|at| &*self.labels[at].value)
    }

    /// What went wrong with the line, if something did and no stage has dropped it.
    pub fn error(&self) -> Option<&str> {
        self.get(ERROR_LABEL).filter(|error| !error.is_empty())
    }

    /// Names, values and origins.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str, Origin)> {
        self.labels.iter().map(|label| (&*label.name, &*label.value, label.origin))
    }

    /// All of them, whatever their origin.
    pub fn all(&self) -> Labels {
        self.iter().map(|(name, value, _)| (name, value)).collect()
    }

    /// Those of an origin.
    pub fn of(&self, wanted: Origin) -> Labels {
        let pairs = self.iter().filter(|(_, _, origin)| *origin == wanted);
        pairs.map(|(name, value, _)| (name, value)).collect()
    }

    /// Sets what a stage made, in place of whatever had the name.
    pub(super) fn set(&mut self, name: &str, value: String) {
        match self.place(name) {
            Ok(at) => {
                self.labels[at].value = value.into();
                self.labels[at].origin = Origin::Parsed;
            }
            Err(at) if self.labels.len() < LINE_LABELS_MAX || name.starts_with("__error") => {
                let name = name.to_owned().into();
                self.labels.insert(at, Label { name, value: value.into(), origin: Origin::Parsed });
            }
            Err(_) => {}
        }
    }

    /// The name under which what is parsed as `name` is set; `None` if there is none left of it.
    pub(super) fn name_for(&self, name: &str) -> Option<String> {
        let mut name = sanitized(name)?;
        if self.stream.get(&name).is_some() || self.metadata.get(&name).is_some() {
            name += "_extracted";
        }
        Some(name)
    }

    pub(super) fn remove(&mut self, name: &str) {
        if let Ok(at) = self.place(name) {
            self.labels.remove(at);
        }
    }

    pub(super) fn retain(&mut self, mut keep: impl FnMut(&str, &str) -> bool) {
        self.labels.retain(|label| keep(&label.name, &label.value));
    }

    pub(super) fn set_error(&mut self, error: LineError, details: String) {
        self.set(ERROR_LABEL, error.name().to_owned());
        self.set(ERROR_DETAILS_LABEL, details);
    }

    fn place(&self, name: &str) -> Result<usize, usize> {
        self.labels.binary_search_by(|label| (*label.name).cmp(name))
    }
}

/// What one parser found in a line: of a name that comes twice, the first counts.
pub(super) struct Extracted<'l, 'a> {
    labels: &'l mut LineLabels<'a>,
    seen: Vec<String>,
}

impl<'l, 'a> Extracted<'l, 'a> {
    pub(super) fn into(labels: &'l mut LineLabels<'a>) -> Self {
        Self { labels, seen: Vec::new() }
    }

    pub(super) fn add(&mut self, name: &str, value: String) {
        let Some(name) = self.labels.name_for(name) else { return };
        if let Err(at) = self.seen.binary_search(&name)
            && self.seen.len() < LINE_LABELS_MAX
        {
            self.labels.set(&name, value);
            self.seen.insert(at, name);
        }
    }
}

/// What becomes of a name that is to be a label: only letters, digits and `_` are left, no digit first. `None` if it is
/// empty.
pub fn sanitized(name: &str) -> Option<String> {
    let name = name.trim();
    let first = name.chars().next()?;
    let mut valid = String::with_capacity(name.len() + 1);
    if first.is_ascii_digit() {
        valid.push('_');
    }
    valid.extend(name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }));
    Some(valid)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_made_valid() {
        for (name, expected) in [
            ("a.b-c", Some("a_b_c")),
            ("1x", Some("_1x")),
            (" a ", Some("a")),
            ("größe", Some("gr__e")),
            ("", None),
            (" ", None),
        ] {
            assert_eq!(sanitized(name).as_deref(), expected, "{name}");
        }
    }

    #[test]
    fn what_is_parsed_never_hides_what_came_with_the_line() {
        let stream: Labels = [("app", "a")].into_iter().collect();
        let metadata: Labels = [("trace_id", "t"), ("app", "hidden")].into_iter().collect();
        let mut labels = LineLabels::new(&stream, &metadata);
        let mut extracted = Extracted::into(&mut labels);
        for (name, value) in [("app", "b"), ("trace_id", "u"), ("x", "1"), ("x", "2")] {
            extracted.add(name, value.to_owned());
        }
        assert_eq!(labels.of(Origin::Stream).to_string(), r#"{app="a"}"#);
        assert_eq!(labels.of(Origin::Metadata).to_string(), r#"{trace_id="t"}"#);
        assert_eq!(
            labels.of(Origin::Parsed).to_string(),
            r#"{app_extracted="b", trace_id_extracted="u", x="1"}"#
        );
    }
}
