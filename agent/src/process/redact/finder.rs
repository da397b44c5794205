//! Rules, ready to be used: what each looks for and in which fields.

use std::ops::Range;

use ql::Field;
use record::ValueRef;
use regex::{CaptureLocations, Regex};

use super::assignment::{self, Keys};
use super::{Action, Detector, Pattern, RULE_NAME_BYTES_MAX, bearer, card, email, url};
use crate::process::ProcessError;

/// The group of a pattern that is replaced alone.
const GROUP: &str = "secret";

/// Shortest text in which a detector can find something: `pwd=x`.
const SECRET_TEXT_BYTES_MIN: usize = 5;

/// A rule, ready to be used.
#[derive(Debug)]
pub(super) struct Rule {
    pub(super) name: String,
    pub(super) action: Action,
    pub(super) finder: Finder,
    /// `None`: all texts.
    pub(super) fields: Option<Vec<FieldName>>,
}

/// What a rule looks for.
#[derive(Debug)]
pub(super) enum Finder {
    Detector(Detector),
    Regex(Box<Searched>),
}

/// A pattern with room for its groups.
#[derive(Debug)]
pub(super) struct Searched {
    regex: Regex,
    locations: CaptureLocations,
    group: Option<usize>,
}

/// A field of a record that holds a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place<'a> {
    Message,
    EventName,
    SeverityText,
    CorrelationId,
    SourcePath,
    Attribute(&'a str),
}

/// A field that a rule names.
#[derive(Debug)]
pub(super) enum FieldName {
    Message,
    EventName,
    SeverityText,
    CorrelationId,
    SourcePath,
    Attribute(String),
    AttributesFrom(String),
}

impl Rule {
    pub(super) fn of_detector(detector: Detector, action: Action) -> Self {
        let name = detector.name().to_owned();
        Self { name, action, finder: Finder::Detector(detector), fields: None }
    }

    pub(super) fn of_pattern(pattern: &Pattern) -> Result<Self, ProcessError> {
        let rule = &pattern.name;
        let wrong = |reason: String| ProcessError::Rule { rule: rule.clone(), reason };
        let named_well = (1..=RULE_NAME_BYTES_MAX).contains(&rule.len())
            && rule.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'));
        if !named_well {
            let wanted = format!(
                "a name has 1 to {RULE_NAME_BYTES_MAX} letters, digits, dashes and underscores"
            );
            return Err(wrong(wanted));
        }
        let regex = Regex::new(&pattern.pattern).map_err(|source| ProcessError::Pattern {
            rule: rule.clone(),
            source: Box::new(source),
        })?;
        let fields = pattern.fields.iter().map(|name| FieldName::resolve(name).map_err(wrong));
        let fields: Vec<_> = fields.collect::<Result<_, _>>()?;
        Ok(Self {
            name: rule.clone(),
            action: pattern.action,
            finder: Finder::Regex(Box::new(Searched {
                locations: regex.capture_locations(),
                group: regex.capture_names().position(|name| name == Some(GROUP)),
                regex,
            })),
            fields: (!fields.is_empty()).then_some(fields),
        })
    }

    /// Whether it looks through this field.
    pub(super) fn looks_at(&self, place: Place<'_>) -> bool {
        match &self.fields {
            Some(fields) => fields.iter().any(|field| field.is(place)),
            None => !matches!(place, Place::CorrelationId | Place::SourcePath),
        }
    }

    /// Whether the whole value is a secret for the attribute's name.
    pub(super) fn wants_whole(&self, name: &str) -> bool {
        match self.finder {
            Finder::Detector(Detector::Password) => assignment::is_secret_name(name, Keys::All),
            Finder::Detector(Detector::Bearer) => {
                assignment::is_secret_name(name, Keys::Authorization)
            }
            _ => false,
        }
    }

    /// Whether a value that is no text is to be looked at as it is printed.
    pub(super) fn looks_at_printed(&self, name: &str, value: ValueRef<'_>) -> bool {
        match self.finder {
            Finder::Detector(Detector::Card) => card::is_card(value),
            Finder::Detector(_) => false,
            Finder::Regex(_) => self.fields.is_some() && self.looks_at(Place::Attribute(name)),
        }
    }

    /// Calls `found` with the place of everything it finds in `text`.
    pub(super) fn find(&mut self, text: &str, found: &mut dyn FnMut(Range<usize>)) {
        match &mut self.finder {
            Finder::Detector(_) if text.len() < SECRET_TEXT_BYTES_MIN => {}
            Finder::Detector(Detector::Bearer) => {
                bearer::find(text, found);
                assignment::find(text, Keys::Authorization, found);
            }
            Finder::Detector(Detector::Password) => {
                assignment::find(text, Keys::All, found);
                url::find(text, found);
            }
            Finder::Detector(Detector::Card) => card::find(text, found),
            Finder::Detector(Detector::Email) => email::find(text, found),
            Finder::Regex(searched) => searched.find(text, found),
        }
    }
}

impl Searched {
    /// Matches of no length hide nothing and are passed over.
    fn find(&mut self, text: &str, found: &mut dyn FnMut(Range<usize>)) {
        let Some(group) = self.group else {
            let matches = self.regex.find_iter(text).map(|one| one.range());
            return matches.filter(|range| !range.is_empty()).for_each(found);
        };
        let mut from = 0;
        while from <= text.len()
            && let Some(whole) = self.regex.captures_read_at(&mut self.locations, text, from)
        {
            let secret = self.locations.get(group).map_or(whole.range(), |(start, end)| start..end);
            if !secret.is_empty() {
                found(secret);
            }
            from = match whole.is_empty() {
                true => text.ceil_char_boundary(whole.end() + 1).max(whole.end() + 1),
                false => whole.end(),
            };
        }
    }
}

impl FieldName {
    fn resolve(name: &str) -> Result<Self, String> {
        if let Some(beginning) = name.strip_suffix('*') {
            return Ok(Self::AttributesFrom(beginning.to_owned()));
        }
        Ok(match Field::resolve(name) {
            Field::Message => Self::Message,
            Field::EventName => Self::EventName,
            Field::SeverityText => Self::SeverityText,
            Field::CorrelationId => Self::CorrelationId,
            Field::SourcePath => Self::SourcePath,
            Field::Attribute(name) => Self::Attribute(name),
            other => {
                let name = other.name();
                return Err(format!("the field {name:?} is not redacted; name another one"));
            }
        })
    }

    fn is(&self, place: Place<'_>) -> bool {
        match (self, place) {
            (Self::Message, Place::Message)
            | (Self::EventName, Place::EventName)
            | (Self::SeverityText, Place::SeverityText)
            | (Self::CorrelationId, Place::CorrelationId)
            | (Self::SourcePath, Place::SourcePath) => true,
            (Self::Attribute(name), Place::Attribute(own)) => {
                // The second attribute of a name is called `NAME#2`.
                own.strip_prefix(name.as_str()).is_some_and(is_number_or_nothing)
            }
            (Self::AttributesFrom(beginning), Place::Attribute(own)) => {
                own.starts_with(beginning.as_str())
            }
            _ => false,
        }
    }
}

fn is_number_or_nothing(rest: &str) -> bool {
    rest.is_empty()
        || rest.strip_prefix('#').is_some_and(|digits| {
            !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
        })
}
