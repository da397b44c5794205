//! One JSON text to the fields of a record, pushed as they are read: no tree is built.
//!
//! Written against serde's `Deserializer`, which keeps it free of the parser behind it. That is serde_json:
//! sonic-rs 0.5.10 in its place made the whole decode 1 to 3% faster as we build, and 5 to 8% with
//! `target-cpu=native`, on the corpus of `examples/decode_speed.rs`; a second parser is worth more than
//! that. Nesting is counted, not recursed without end: what lies too deep is skipped and marks the record.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::fields::is_message_whatever_it_holds;
use crate::RejectReason;
use crate::builder::{Builder, Emit, Scalar, Text};
use crate::json_text::{push, push_f64, push_string};

/// Why a text is not JSON.
#[derive(Debug)]
pub(super) struct ParseError {
    /// In the text, from 1.
    pub(super) line: u32,
    /// Whether the text ended too early.
    pub(super) cut_off: bool,
    /// What is wrong and in which column; nothing of the text itself.
    pub(super) detail: String,
}

impl From<serde_json::Error> for ParseError {
    fn from(error: serde_json::Error) -> Self {
        let whole = error.to_string();
        let what = whole.split(" at line ").next().unwrap_or("not valid JSON");
        Self {
            line: u32::try_from(error.line()).unwrap_or(u32::MAX),
            cut_off: error.is_eof(),
            detail: format!("{what} at column {}", error.column()),
        }
    }
}

/// Reads one object into the builder. Any other value marks the record as no object.
pub(super) fn parse_object<'b>(text: &'b str, builder: &mut Builder<'b>) -> Result<(), ParseError> {
    let mut parser = serde_json::Deserializer::from_str(text);
    RecordSeed { builder }.deserialize(&mut parser)?;
    Ok(parser.end()?)
}

/// Reads an array of objects and emits a record for each.
pub(super) fn parse_array<'b>(
    text: &'b str,
    builder: &mut Builder<'b>,
    to: &mut Emit<'_, '_>,
    line: Option<u32>,
) -> Result<(), ParseError> {
    let mut parser = serde_json::Deserializer::from_str(text);
    parser.deserialize_seq(ArrayVisitor { builder, to, line })?;
    Ok(parser.end()?)
}

/// Whether the text is one complete JSON value.
pub(super) fn is_complete(text: &str) -> bool {
    serde_json::from_str::<IgnoredAny>(text).is_ok()
}

struct ArrayVisitor<'a, 'b, 'e, 's> {
    builder: &'a mut Builder<'b>,
    to: &'a mut Emit<'e, 's>,
    line: Option<u32>,
}

impl<'b> Visitor<'b> for ArrayVisitor<'_, 'b, '_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of objects")
    }

    fn visit_seq<A: SeqAccess<'b>>(self, mut elements: A) -> Result<(), A::Error> {
        while elements.next_element_seed(RecordSeed { builder: self.builder })?.is_some() {
            self.builder.emit(self.to, self.line);
        }
        Ok(())
    }
}

struct RecordSeed<'a, 'b> {
    builder: &'a mut Builder<'b>,
}

impl<'b> DeserializeSeed<'b> for RecordSeed<'_, 'b> {
    type Value = ();

    #[inline]
    fn deserialize<D: Deserializer<'b>>(self, parser: D) -> Result<(), D::Error> {
        parser.deserialize_any(self)
    }
}

impl<'b> Visitor<'b> for RecordSeed<'_, 'b> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    #[inline]
    fn visit_map<A: MapAccess<'b>>(self, map: A) -> Result<(), A::Error> {
        visit_fields(self.builder, None, 1, map)
    }

    fn visit_seq<A: SeqAccess<'b>>(self, mut elements: A) -> Result<(), A::Error> {
        while elements.next_element::<IgnoredAny>()?.is_some() {}
        self.visit_unit()
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        self.builder.fault = Some(RejectReason::NotAnObject);
        Ok(())
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<(), E> {
        self.visit_unit()
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<(), E> {
        self.visit_unit()
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<(), E> {
        self.visit_unit()
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<(), E> {
        self.visit_unit()
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<(), E> {
        self.visit_unit()
    }
}

/// The members of an object, flattened under `parent`.
#[inline]
fn visit_fields<'b, A: MapAccess<'b>>(
    builder: &mut Builder<'b>,
    parent: Option<Text<'b>>,
    depth: usize,
    mut map: A,
) -> Result<(), A::Error> {
    if depth > builder.depth_max {
        builder.fault = Some(RejectReason::TooDeep);
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        return Ok(());
    }
    while let Some(name) = map.next_key_seed(KeySeed { builder, parent })? {
        map.next_value_seed(ValueSeed { builder, name, depth })?;
    }
    Ok(())
}

struct KeySeed<'a, 'b> {
    builder: &'a mut Builder<'b>,
    parent: Option<Text<'b>>,
}

impl<'b> DeserializeSeed<'b> for KeySeed<'_, 'b> {
    type Value = Text<'b>;

    #[inline]
    fn deserialize<D: Deserializer<'b>>(self, parser: D) -> Result<Text<'b>, D::Error> {
        parser.deserialize_str(self)
    }
}

impl<'b> Visitor<'b> for KeySeed<'_, 'b> {
    type Value = Text<'b>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    #[inline]
    fn visit_borrowed_str<E: Error>(self, key: &'b str) -> Result<Text<'b>, E> {
        Ok(self.builder.name(self.parent, key))
    }

    fn visit_str<E: Error>(self, key: &str) -> Result<Text<'b>, E> {
        Ok(self.builder.name_of_transient(self.parent, key))
    }
}

struct ValueSeed<'a, 'b> {
    builder: &'a mut Builder<'b>,
    name: Text<'b>,
    /// How deep the object lies that has this value.
    depth: usize,
}

impl<'b> DeserializeSeed<'b> for ValueSeed<'_, 'b> {
    type Value = ();

    #[inline]
    fn deserialize<D: Deserializer<'b>>(self, parser: D) -> Result<(), D::Error> {
        parser.deserialize_any(self)
    }
}

impl<'b> Visitor<'b> for ValueSeed<'_, 'b> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    /// Null is as good as absent.
    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }

    #[inline]
    fn visit_bool<E: Error>(self, flag: bool) -> Result<(), E> {
        self.builder.field(self.name, Scalar::Bool(flag));
        Ok(())
    }

    #[inline]
    fn visit_i64<E: Error>(self, number: i64) -> Result<(), E> {
        self.builder.field(self.name, Scalar::I64(number));
        Ok(())
    }

    #[inline]
    fn visit_u64<E: Error>(self, number: u64) -> Result<(), E> {
        let value = self.builder.u64(number);
        self.builder.field(self.name, value);
        Ok(())
    }

    #[inline]
    fn visit_f64<E: Error>(self, number: f64) -> Result<(), E> {
        let value = self.builder.f64(number);
        self.builder.field(self.name, value);
        Ok(())
    }

    #[inline]
    fn visit_borrowed_str<E: Error>(self, text: &'b str) -> Result<(), E> {
        self.builder.field(self.name, Scalar::Text(Text::Body(text)));
        Ok(())
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<(), E> {
        let text = self.builder.write(text);
        self.builder.field(self.name, Scalar::Text(text));
        Ok(())
    }

    fn visit_map<A: MapAccess<'b>>(self, map: A) -> Result<(), A::Error> {
        let top = self.depth == 1;
        if !(top && is_message_whatever_it_holds(self.builder.text(self.name))) {
            return visit_fields(self.builder, Some(self.name), self.depth + 1, map);
        }
        let start = self.builder.scratch.len();
        JsonTextSeed { builder: self.builder, depth: self.depth + 1 }.visit_map(map)?;
        let text = self.builder.written(start);
        self.builder.field(self.name, Scalar::Json(text));
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'b>>(self, elements: A) -> Result<(), A::Error> {
        let start = self.builder.scratch.len();
        JsonTextSeed { builder: self.builder, depth: self.depth + 1 }.visit_seq(elements)?;
        let text = self.builder.written(start);
        self.builder.field(self.name, Scalar::Json(text));
        Ok(())
    }
}

/// Writes a value to the scratch as compact JSON text.
struct JsonTextSeed<'a, 'b> {
    builder: &'a mut Builder<'b>,
    depth: usize,
}

impl<'b> DeserializeSeed<'b> for JsonTextSeed<'_, 'b> {
    type Value = ();

    fn deserialize<D: Deserializer<'b>>(self, parser: D) -> Result<(), D::Error> {
        parser.deserialize_any(self)
    }
}

impl<'b> Visitor<'b> for JsonTextSeed<'_, 'b> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        self.builder.scratch.push_str("null");
        Ok(())
    }

    fn visit_bool<E: Error>(self, flag: bool) -> Result<(), E> {
        push(&mut self.builder.scratch, format_args!("{flag}"));
        Ok(())
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<(), E> {
        push(&mut self.builder.scratch, format_args!("{number}"));
        Ok(())
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<(), E> {
        push(&mut self.builder.scratch, format_args!("{number}"));
        Ok(())
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<(), E> {
        push_f64(&mut self.builder.scratch, number);
        Ok(())
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<(), E> {
        push_string(&mut self.builder.scratch, text);
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'b>>(self, mut elements: A) -> Result<(), A::Error> {
        let Self { builder, depth } = self;
        if depth > builder.depth_max {
            builder.fault = Some(RejectReason::TooDeep);
            while elements.next_element::<IgnoredAny>()?.is_some() {}
            return Ok(());
        }
        builder.scratch.push('[');
        let first = builder.scratch.len();
        while elements.next_element_seed(JsonTextSeed { builder, depth: depth + 1 })?.is_some() {
            builder.scratch.push(',');
        }
        close(builder, first, ']');
        Ok(())
    }

    fn visit_map<A: MapAccess<'b>>(self, mut map: A) -> Result<(), A::Error> {
        let Self { builder, depth } = self;
        if depth > builder.depth_max {
            builder.fault = Some(RejectReason::TooDeep);
            while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
            return Ok(());
        }
        builder.scratch.push('{');
        let first = builder.scratch.len();
        while map.next_key_seed(JsonTextSeed { builder, depth })?.is_some() {
            builder.scratch.push(':');
            map.next_value_seed(JsonTextSeed { builder, depth: depth + 1 })?;
            builder.scratch.push(',');
        }
        close(builder, first, '}');
        Ok(())
    }
}

/// Replaces the last comma, if there is one, by the bracket.
fn close(builder: &mut Builder<'_>, first: usize, bracket: char) {
    if builder.scratch.len() > first {
        builder.scratch.pop();
    }
    builder.scratch.push(bracket);
}
