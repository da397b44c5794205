//! A pattern of the user: a regular expression whose named groups are the fields.
//!
//! A group whose name is in the table of keys sets that field (`(?<time>…)`, `(?<level>…)`, `(?<message>…)`),
//! any other becomes an attribute. A pattern without a group for the message leaves the whole line as message.

use record::ValueRef;
use record::keys::{self, Role};
use regex::{CaptureLocations, Regex};

use super::LineFormat;
use crate::draft::Draft;
use crate::roles::Roles;

#[derive(Debug)]
pub(super) struct Pattern {
    regex: Regex,
    locations: CaptureLocations,
    has_message: bool,
}

impl Pattern {
    pub(super) fn new(regex: Regex) -> Self {
        let is_message = |name| matches!(keys::role(name), Some((Role::Message, _)));
        let has_message = regex.capture_names().flatten().any(is_message);
        Self { locations: regex.capture_locations(), regex, has_message }
    }
}

impl LineFormat for Pattern {
    fn parse<'a>(&mut self, line: &'a str, draft: &mut Draft<'a>) -> bool {
        if self.regex.captures_read(&mut self.locations, line).is_none() {
            return false;
        }
        let mut roles = Roles::default();
        for (index, name) in self.regex.capture_names().enumerate() {
            let (Some(name), Some((start, end))) = (name, self.locations.get(index)) else {
                continue;
            };
            let text = &line[start..end];
            let value = if keys::role(name).is_some() {
                ValueRef::String(text)
            } else {
                ValueRef::guessed(text)
            };
            roles.take(draft, draft.arena.alloc_str(name), value);
        }
        roles.settle(draft);
        if !self.has_message {
            draft.message = line;
        }
        true
    }
}
