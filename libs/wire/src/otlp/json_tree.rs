//! JSON as a tree, for OTLP's mapping alone: there a value's key may come after the value.
//!
//! One record at a time is read into a tree, so that a large body does not become a larger one. Strings
//! without escapes stay in the body.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};

/// One JSON value.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Tree<'b> {
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
    pub(super) fn members(self) -> Vec<(Cow<'b, str>, Tree<'b>)> {
        match self {
            Self::Object(members) => members,
            _ => Vec::new(),
        }
    }

    /// The elements of an array; of anything else, null above all, none.
    pub(super) fn elements(self) -> Vec<Tree<'b>> {
        match self {
            Self::Array(elements) => elements,
            _ => Vec::new(),
        }
    }

    /// The last member of this name; OTLP's mapping knows lowerCamelCase only.
    pub(super) fn take(self, name: &str) -> Tree<'b> {
        let found = self.members().into_iter().rev().find(|(key, _)| key == name);
        found.map_or(Tree::Null, |(_, value)| value)
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
