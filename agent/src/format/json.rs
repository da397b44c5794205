//! One JSON object a line.
//!
//! Maps flatten with dots, arrays stay as compact JSON text, null is nothing, an empty key is `_`. Integers
//! beyond 64 bits keep their digits. Keys mean what [`record::keys`] says, flattened ones too
//! (`{"log":{"level":"warn"}}`); a map under `message` or `msg` is the message, as JSON text.

use std::borrow::Cow;
use std::fmt;

use record::ValueRef;
use record::keys::{self, Role};
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::LineFormat;
use crate::draft::Draft;
use crate::roles::Roles;

/// Deepest nesting of maps that is flattened; what lies deeper stays JSON text.
const DEPTH_MAX: usize = 64;
/// What the flattened names of one line may take together; beyond it the line is shipped whole as its message.
/// A long key with many small children would multiply otherwise.
const NAME_BYTES_MAX: usize = 2 << 20;

#[derive(Debug)]
pub(super) struct Json;

impl LineFormat for Json {
    fn parse<'a>(&mut self, line: &'a str, draft: &mut Draft<'a>) -> bool {
        let text = line.trim_matches([' ', '\t', '\r']);
        if !text.starts_with('{') {
            return false;
        }
        let mut flattening =
            Flattening { draft, roles: Roles::default(), name_bytes_left: NAME_BYTES_MAX };
        if flattening.object(text, "", 0).is_none() {
            return false;
        }
        let Flattening { draft, roles, .. } = flattening;
        roles.settle(draft);
        true
    }
}

struct Flattening<'d, 'a> {
    draft: &'d mut Draft<'a>,
    roles: Roles<'a>,
    name_bytes_left: usize,
}

impl<'a> Flattening<'_, 'a> {
    fn object(&mut self, text: &'a str, prefix: &'a str, depth: usize) -> Option<()> {
        let mut deserializer = serde_json::Deserializer::from_str(text);
        let walk = Walk { flattening: self, prefix, depth };
        deserializer.deserialize_map(walk).ok()?;
        deserializer.end().ok()
    }

    fn member(
        &mut self,
        key: Cow<'a, str>,
        raw: &'a str,
        prefix: &'a str,
        depth: usize,
    ) -> Option<()> {
        let value = match raw.as_bytes().first()? {
            b'n' => return Some(()),
            b't' => ValueRef::Bool(true),
            b'f' => ValueRef::Bool(false),
            b'"' => ValueRef::String(self.string(raw)?),
            b'{' if depth < DEPTH_MAX && !(prefix.is_empty() && is_message(&key)) => {
                let name = self.name(key, prefix)?;
                return self.object(raw, name, depth + 1);
            }
            b'{' | b'[' => {
                let name = self.name(key, prefix)?;
                let text = self.compact(raw);
                self.roles.take_json(self.draft, name, text);
                return Some(());
            }
            _ => number(raw),
        };
        let name = self.name(key, prefix)?;
        self.roles.take(self.draft, name, value);
        Some(())
    }

    /// JSON text without the blanks between its tokens.
    fn compact(&self, raw: &'a str) -> &'a str {
        if !raw.contains([' ', '\t', '\r']) {
            return raw;
        }
        let mut text = String::with_capacity(raw.len());
        let (mut in_string, mut escaped) = (false, false);
        text.extend(raw.chars().filter(|c| {
            let keep = in_string || !matches!(c, ' ' | '\t' | '\r');
            in_string ^= *c == '"' && !escaped;
            escaped = in_string && *c == '\\' && !escaped;
            keep
        }));
        self.draft.arena.alloc_str(&text)
    }

    /// The value of a JSON string, borrowed from the line if nothing in it is escaped.
    fn string(&self, raw: &'a str) -> Option<&'a str> {
        let inside = raw.get(1..raw.len() - 1)?;
        if memchr::memchr(b'\\', inside.as_bytes()).is_none() {
            return Some(inside);
        }
        let text: String = serde_json::from_str(raw).ok()?;
        Some(self.draft.arena.alloc_str(&text))
    }

    fn name(&mut self, key: Cow<'a, str>, prefix: &'a str) -> Option<&'a str> {
        let arena = self.draft.arena;
        let key = if key.is_empty() { Cow::Borrowed("_") } else { key };
        if prefix.is_empty() {
            return Some(match key {
                Cow::Borrowed(key) => key,
                Cow::Owned(key) => arena.alloc_str(&key),
            });
        }
        let bytes = prefix.len() + 1 + key.len();
        self.name_bytes_left = self.name_bytes_left.checked_sub(bytes)?;
        let mut name = String::with_capacity(bytes);
        name.push_str(prefix);
        name.push('.');
        name.push_str(&key);
        Some(arena.alloc_str(&name))
    }
}

/// Whether a map under this key is the message.
fn is_message(key: &str) -> bool {
    matches!(keys::role(key), Some((Role::Message, 0 | 1)))
}

struct Walk<'w, 'd, 'a> {
    flattening: &'w mut Flattening<'d, 'a>,
    prefix: &'a str,
    depth: usize,
}

impl<'a> Visitor<'a> for Walk<'_, '_, 'a> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<M: MapAccess<'a>>(self, mut map: M) -> Result<(), M::Error> {
        while let Some(Key(key)) = map.next_key()? {
            let raw: &'a RawValue = map.next_value()?;
            self.flattening
                .member(key, raw.get(), self.prefix, self.depth)
                .ok_or_else(|| serde::de::Error::custom("cannot be flattened"))?;
        }
        Ok(())
    }
}

/// A key, borrowed where nothing in it is escaped: a plain `Cow` would always be copied.
struct Key<'a>(Cow<'a, str>);

impl<'a> serde::Deserialize<'a> for Key<'a> {
    fn deserialize<D: Deserializer<'a>>(deserializer: D) -> Result<Self, D::Error> {
        struct KeyVisitor;
        impl<'a> Visitor<'a> for KeyVisitor {
            type Value = Key<'a>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a key")
            }
            fn visit_borrowed_str<E>(self, key: &'a str) -> Result<Key<'a>, E> {
                Ok(Key(Cow::Borrowed(key)))
            }
            fn visit_str<E>(self, key: &str) -> Result<Key<'a>, E> {
                Ok(Key(Cow::Owned(key.to_owned())))
            }
        }
        deserializer.deserialize_str(KeyVisitor)
    }
}

/// An integer where it is one of 64 bits, a float where it is written as one and finite, else its text.
fn number(raw: &str) -> ValueRef<'_> {
    if let Ok(integer) = raw.parse() {
        return ValueRef::I64(integer);
    }
    let is_float = raw.contains(['.', 'e', 'E']);
    let float = raw.parse().ok().filter(|float: &f64| is_float && float.is_finite());
    float.map_or(ValueRef::String(raw), ValueRef::F64)
}
