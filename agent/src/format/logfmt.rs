//! logfmt: `key=value key="value with spaces" flag`.
//!
//! A line is logfmt if it begins with a pair and everything after it is pairs or lone keys, which are flags.
//! Values in quotes are text, with the escapes of JSON. Others are numbers and booleans where they are written
//! as one (`007`, `+1` and `1e3` are not); a field with a meaning takes its text as it stands.

use record::{ValueRef, keys};

use super::LineFormat;
use crate::draft::Draft;
use crate::roles::Roles;

#[derive(Debug)]
pub(super) struct Logfmt;

impl LineFormat for Logfmt {
    fn parse<'a>(&mut self, line: &'a str, draft: &mut Draft<'a>) -> bool {
        let mut roles = Roles::default();
        let mut rest = line.trim_matches([' ', '\t']);
        let mut first = true;
        while !rest.is_empty() {
            let Some((key, value, tail)) = field(rest, draft) else { return false };
            if first && value.is_none() {
                return false;
            }
            first = false;
            roles.take(draft, key, value.unwrap_or(ValueRef::Bool(true)));
            rest = tail.trim_start_matches([' ', '\t']);
        }
        roles.settle(draft);
        !first
    }
}

pub(super) type Field<'a> = (&'a str, Option<ValueRef<'a>>, &'a str);

/// The first field of a text and what follows it; `None` if it does not begin with one.
pub(super) fn field<'a>(text: &'a str, draft: &Draft<'a>) -> Option<Field<'a>> {
    let is_key = |c: char| !c.is_whitespace() && !c.is_control() && !matches!(c, '=' | '"');
    let key_end = text.find(|c| !is_key(c)).unwrap_or(text.len());
    let (key, rest) = text.split_at(key_end);
    if key.is_empty() {
        return None;
    }
    let Some(rest) = rest.strip_prefix('=') else {
        let ends = rest.is_empty() || rest.starts_with([' ', '\t']);
        return ends.then_some((key, None, rest));
    };
    if rest.starts_with('"') {
        let (text, tail) = quoted(rest, draft)?;
        let ends = tail.is_empty() || tail.starts_with([' ', '\t']);
        return ends.then_some((key, Some(ValueRef::String(text)), tail));
    }
    let end = rest.find([' ', '\t']).unwrap_or(rest.len());
    let (value, tail) = rest.split_at(end);
    let has_role = keys::role(key).is_some();
    let value = if has_role { ValueRef::String(value) } else { ValueRef::guessed(value) };
    Some((key, Some(value), tail))
}

/// The text in quotes that `text` begins with, and what follows it.
pub(super) fn quoted<'a>(text: &'a str, draft: &Draft<'a>) -> Option<(&'a str, &'a str)> {
    if !text.starts_with('"') {
        return None;
    }
    let (quoted, tail) = text.split_at(closing_quote(text)? + 1);
    Some((unquoted(quoted, draft)?, tail))
}

/// Where the quote that `text` begins with is closed.
fn closing_quote(text: &str) -> Option<usize> {
    let mut escaped = false;
    text.bytes().enumerate().skip(1).find_map(|(at, byte)| {
        let closes = byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
        closes.then_some(at)
    })
}

fn unquoted<'a>(quoted: &'a str, draft: &Draft<'a>) -> Option<&'a str> {
    let inside = &quoted[1..quoted.len() - 1];
    if !inside.contains('\\') {
        return Some(inside);
    }
    match serde_json::from_str::<String>(quoted) {
        Ok(text) => Some(draft.arena.alloc_str(&text)),
        // Escapes of another language are no reason to lose the line.
        Err(_) => Some(inside),
    }
}
