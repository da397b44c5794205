//! JSON as a tree, for OTLP's mapping alone: there a value's key may come after the value.
//!
//! One record at a time is read into a tree, so that a large body does not become a larger one. Strings
//! without escapes stay in the body.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use crate::json_text::{push, push_f64, push_string};

/// One JSON value.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Tree<'b> {
    Null,
    Bool(bool),
    I64(i64),
    U64(u64),
    F64(f64),
    String(Cow<'b, str>),
    Array(Vec<Tree<'b>>),
    Object(Vec<(Cow<'b, str>, Tree<'b>)>),
}

impl<'b> Tree<'b> {
    /// The members of an object; of anything else none.
    pub(crate) fn members(self) -> Vec<(Cow<'b, str>, Tree<'b>)> {
        match self {
            Self::Object(members) => members,
            _ => Vec::new(),
        }
    }

    /// The elements of an array; of anything else, null above all, none.
    pub(crate) fn elements(self) -> Vec<Tree<'b>> {
        match self {
            Self::Array(elements) => elements,
            _ => Vec::new(),
        }
    }

    /// The last member of this name; OTLP's mapping knows lowerCamelCase only.
    pub(crate) fn take(self, name: &str) -> Tree<'b> {
        let found = self.members().into_iter().rev().find(|(key, _)| key == name);
        found.map_or(Tree::Null, |(_, value)| value)
    }

    /// How many arrays and objects lie in each other.
    pub(crate) fn depth(&self) -> usize {
        match self {
            Self::Array(elements) => 1 + elements.iter().map(Tree::depth).max().unwrap_or(0),
            Self::Object(members) => {
                1 + members.iter().map(|(_, value)| value.depth()).max().unwrap_or(0)
            }
            _ => 0,
        }
    }
}

/// The tree as compact JSON text. Its depth is bounded by the parser that made it.
pub(crate) fn push_tree(out: &mut String, tree: &Tree<'_>) {
    match tree {
        Tree::Null => out.push_str("null"),
        Tree::Bool(flag) => push(out, format_args!("{flag}")),
        Tree::I64(number) => push(out, format_args!("{number}")),
        Tree::U64(number) => push(out, format_args!("{number}")),
        Tree::F64(number) => push_f64(out, *number),
        Tree::String(text) => push_string(out, text),
        Tree::Array(elements) => {
            out.push('[');
            for (index, element) in elements.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                push_tree(out, element);
            }
            out.push(']');
        }
        Tree::Object(members) => {
            out.push('{');
            for (index, (key, value)) in members.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                push_string(out, key);
                out.push(':');
                push_tree(out, value);
            }
            out.push('}');
        }
    }
}

impl<'de: 'b, 'b> Deserialize<'de> for Tree<'b> {
    fn deserialize<D: Deserializer<'de>>(parser: D) -> Result<Self, D::Error> {
        parser.deserialize_any(TreeVisitor(PhantomData))
    }
}

struct TreeVisitor<'b>(PhantomData<Tree<'b>>);

impl<'de: 'b, 'b> Visitor<'de> for TreeVisitor<'b> {
    type Value = Tree<'b>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        Ok(Tree::Null)
    }

    fn visit_bool<E: Error>(self, flag: bool) -> Result<Self::Value, E> {
        Ok(Tree::Bool(flag))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Self::Value, E> {
        Ok(Tree::I64(number))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Self::Value, E> {
        Ok(i64::try_from(number).map_or(Tree::U64(number), Tree::I64))
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Self::Value, E> {
        Ok(Tree::F64(number))
    }

    fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Tree::String(Cow::Borrowed(text)))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Tree::String(Cow::Owned(text.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Self::Value, A::Error> {
        let mut array = Vec::new();
        while let Some(element) = elements.next_element()? {
            array.push(element);
        }
        Ok(Tree::Array(array))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut members = Vec::new();
        while let Some(key) = map.next_key::<Tree<'b>>()? {
            let Tree::String(key) = key else { return Err(A::Error::custom("a key is no string")) };
            members.push((key, map.next_value()?));
        }
        Ok(Tree::Object(members))
    }
}
