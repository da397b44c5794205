//! The envelope of OTLP's JSON: resources, scopes in them, records in those, each record still raw text, because
//! `resource` may follow `scopeLogs`.
//!
//! Logs and spans differ in three names. A member that belongs to the other signal is an unknown one, and ignored.

use std::fmt;
use std::marker::PhantomData;

use record::Signal;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::json_tree::Tree;

/// The records of a resource, by scope.
pub(super) struct Group<'b> {
    pub(super) resource: Tree<'b>,
    pub(super) scopes: Vec<(Tree<'b>, Vec<&'b RawValue>)>,
}

/// Cuts a request into its groups.
pub(super) fn read(signal: Signal, text: &str) -> Result<Vec<Group<'_>>, serde_json::Error> {
    match signal {
        Signal::Logs => serde_json::from_str(text).map(|Object(request)| logs::groups(request)),
        Signal::Spans => serde_json::from_str(text).map(|Object(request)| spans::groups(request)),
    }
}

/// The types of a request by the names of its lists.
macro_rules! envelope {
    ($signal:ident, $resources:literal, $scopes:literal, $records:literal) => {
        mod $signal {
            use super::{Group, Object, RawValue, Tree};

            #[derive(serde::Deserialize)]
            pub(super) struct Request<'b> {
                #[serde(borrow, default, rename = $resources)]
                resources: Option<Vec<Object<Resource<'b>>>>,
            }

            #[derive(serde::Deserialize)]
            struct Resource<'b> {
                #[serde(borrow, default)]
                resource: Option<Tree<'b>>,
                #[serde(borrow, default, rename = $scopes)]
                scopes: Option<Vec<Object<Scope<'b>>>>,
            }

            #[derive(serde::Deserialize)]
            struct Scope<'b> {
                #[serde(borrow, default)]
                scope: Option<Tree<'b>>,
                #[serde(borrow, default, rename = $records)]
                records: Option<Vec<&'b RawValue>>,
            }

            pub(super) fn groups<'b>(request: Request<'b>) -> Vec<Group<'b>> {
                let scope = |Object(scope): Object<Scope<'b>>| {
                    (scope.scope.unwrap_or(Tree::Null), scope.records.unwrap_or_default())
                };
                let group = |Object(resource): Object<Resource<'b>>| Group {
                    resource: resource.resource.unwrap_or(Tree::Null),
                    scopes: resource.scopes.unwrap_or_default().into_iter().map(scope).collect(),
                };
                request.resources.unwrap_or_default().into_iter().map(group).collect()
            }
        }
    };
}

envelope!(logs, "resourceLogs", "scopeLogs", "logRecords");
envelope!(spans, "resourceSpans", "scopeSpans", "spans");

/// An object and nothing else: a derived `Deserialize` would take an array for its members in their order.
struct Object<T>(T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(parser: D) -> Result<Self, D::Error> {
        parser.deserialize_map(ObjectVisitor(PhantomData))
    }
}

struct ObjectVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for ObjectVisitor<T> {
    type Value = Object<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<Self::Value, A::Error> {
        T::deserialize(MapAccessDeserializer::new(members)).map(Object)
    }
}
