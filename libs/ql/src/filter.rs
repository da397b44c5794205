//! The checked form of a query's filter: what the evaluators and the store's planner read.
//!
//! Kept flat and simple by its constructors: no `And` in an `And`, no `Or` in an `Or`, at least two members
//! in each, no double `Not`, [`Filter::All`] only alone or under a `Not` (which is then the filter that
//! matches nothing). It prints as a query that parses to the same filter.

use std::collections::BTreeMap;

use record::{Record, RecordRef, SourceRef, Value, ValueRef};

use crate::field::Field;
use crate::literal::Literal;
use crate::phrase::Word;
use crate::test::Test;

/// Which records are wanted.
// A query has few leaves, and whoever plans it matches on them; a box would only be in the way.
#[allow(clippy::large_enum_variant)]
#[derive(Clone, Debug, PartialEq)]
pub enum Filter {
    /// Every record.
    All,
    /// Records that match all members; two or more.
    And(Vec<Filter>),
    /// Records that match some member; two or more.
    Or(Vec<Filter>),
    /// Records that do not match, among them those that lack the field.
    Not(Box<Filter>),
    /// Records that pass one test.
    Test(Leaf),
}

/// One test of a record.
#[derive(Clone, Debug, PartialEq)]
pub enum Leaf {
    /// A bare word: in the message, or as a whole correlation id or trace id.
    Word(Word),
    /// A test of one field. Bare phrases and bare wildcards are tests of the message.
    Field {
        /// Where to look.
        field: Field,
        /// What for.
        test: Test,
    },
    /// `any:VALUE`: the message, the ids, the fixed fields that are texts, and every attribute.
    Any(AnyTest),
}

/// What `any:VALUE` looks for.
#[derive(Clone, Debug, PartialEq)]
pub struct AnyTest {
    /// In the message, by [`Test::matches_message`]; `None` when no message can have it.
    pub message: Option<Test>,
    /// In all else: `Equals`, `Fold`, `Wildcard`, `Regex` or `Cidr`.
    pub value: Test,
}

impl Filter {
    /// The filter that matches nothing.
    pub fn nothing() -> Self {
        Self::Not(Box::new(Self::All))
    }

    /// Whether this is [`Filter::nothing`].
    pub fn is_nothing(&self) -> bool {
        matches!(self, Self::Not(inner) if **inner == Self::All)
    }

    /// What matches records whose field is exactly this text.
    pub fn equals(field: &Field, text: &str) -> Self {
        let test = Test::Equals(Literal::new(text, field.name()));
        Self::Test(Leaf::Field { field: field.clone(), test })
    }

    /// What matches all of `members`, simplified.
    pub fn and(members: Vec<Filter>) -> Self {
        let mut flat = Vec::with_capacity(members.len());
        for member in members {
            match member {
                Self::All => {}
                Self::And(inner) => flat.extend(inner),
                other if other.is_nothing() => return other,
                other => flat.push(other),
            }
        }
        match flat.len() {
            0 => Self::All,
            1 => flat.remove(0),
            _ => Self::And(flat),
        }
    }

    /// What matches some of `members`, simplified; nothing if there are none.
    pub fn or(members: Vec<Filter>) -> Self {
        let mut flat = Vec::with_capacity(members.len());
        for member in members {
            match member {
                Self::All => return Self::All,
                Self::Or(inner) => flat.extend(inner),
                other if other.is_nothing() => {}
                other => flat.push(other),
            }
        }
        match flat.len() {
            0 => Self::nothing(),
            1 => flat.remove(0),
            _ => Self::Or(flat),
        }
    }

    /// What does not match `inner`, simplified.
    pub fn negated(inner: Filter) -> Self {
        match inner {
            Self::Not(inner) => *inner,
            other => Self::Not(Box::new(other)),
        }
    }

    /// A test of one field.
    pub fn field(field: Field, test: Test) -> Self {
        Self::Test(Leaf::Field { field, test })
    }

    /// Whether `record` is wanted; see [`matches`].
    pub fn matches(&self, record: &Record, record_seq: Option<u64>) -> bool {
        matches(self, record, record_seq)
    }

    /// Whether `record` is wanted; see [`matches_ref`].
    pub fn matches_ref(&self, record: &RecordRef<'_>, record_seq: Option<u64>) -> bool {
        matches_ref(self, record, record_seq)
    }

    /// Calls `visit` with every leaf.
    pub fn for_each_leaf<'a>(&'a self, visit: &mut impl FnMut(&'a Leaf)) {
        match self {
            Self::All => {}
            Self::And(members) | Self::Or(members) => {
                members.iter().for_each(|member| member.for_each_leaf(visit));
            }
            Self::Not(inner) => inner.for_each_leaf(visit),
            Self::Test(leaf) => visit(leaf),
        }
    }
}

/// Whether `record` matches `filter`; the definition that every other evaluator is held to.
///
/// `record_seq` is the place that the store gave it, `None` outside of the store.
pub fn matches(filter: &Filter, record: &Record, record_seq: Option<u64>) -> bool {
    let fixed = fixed_fields(record);
    Asked { fixed: &fixed, attributes: &record.attributes, record_seq }.matches(filter)
}

/// As [`matches`], for a borrowed record; nothing is copied, and attributes are looked for one after the other.
pub fn matches_ref(filter: &Filter, record: &RecordRef<'_>, record_seq: Option<u64>) -> bool {
    Asked { fixed: record, attributes: record.attributes, record_seq }.matches(filter)
}

/// The attributes of a record, owned or borrowed.
trait Attributes {
    fn value(&self, name: &str) -> Option<ValueRef<'_>>;
    fn any(&self, test: &Test) -> bool;
}

impl Attributes for BTreeMap<String, Value> {
    fn value(&self, name: &str) -> Option<ValueRef<'_>> {
        self.get(name).map(Value::as_ref)
    }

    fn any(&self, test: &Test) -> bool {
        self.values().any(|value| test.matches_value(value.as_ref()))
    }
}

impl Attributes for [(&str, ValueRef<'_>)] {
    fn value(&self, name: &str) -> Option<ValueRef<'_>> {
        self.iter().find(|(own, _)| *own == name).map(|(_, value)| *value)
    }

    fn any(&self, test: &Test) -> bool {
        self.iter().any(|(_, value)| test.matches_value(*value))
    }
}

/// A record under test: its fixed fields and its attributes, which are owned or borrowed.
struct Asked<'r, A: Attributes + ?Sized> {
    /// Its attributes are not looked at.
    fixed: &'r RecordRef<'r>,
    attributes: &'r A,
    record_seq: Option<u64>,
}

impl<A: Attributes + ?Sized> Asked<'_, A> {
    fn matches(&self, filter: &Filter) -> bool {
        match filter {
            Filter::All => true,
            Filter::And(members) => members.iter().all(|member| self.matches(member)),
            Filter::Or(members) => members.iter().any(|member| self.matches(member)),
            Filter::Not(inner) => !self.matches(inner),
            Filter::Test(Leaf::Word(word)) => {
                let RecordRef { message, correlation_id, trace_id, .. } = *self.fixed;
                word.matches(message, correlation_id, trace_id)
            }
            Filter::Test(Leaf::Field { field, test }) => self.matches_field(field, test),
            Filter::Test(Leaf::Any(any)) => self.matches_any(any),
        }
    }

    fn matches_field(&self, field: &Field, test: &Test) -> bool {
        let fixed = self.fixed;
        match field {
            Field::Timestamp => test.matches_timestamp(fixed.timestamp),
            Field::ObservedTimestamp => test.matches_timestamp(fixed.observed_timestamp),
            Field::Severity => test.matches_severity(fixed.severity),
            Field::Message => test.matches_message(fixed.message),
            Field::TraceId => fixed.trace_id.is_some_and(|id| test.matches_trace_id(id)),
            Field::SpanId => fixed.span_id.is_some_and(|id| test.matches_span_id(id)),
            Field::SourceOffset => fixed.source.offset.is_some_and(|at| test.matches_u64(at)),
            Field::RecordSeq => self.record_seq.is_some_and(|seq| test.matches_u64(seq)),
            Field::Attribute(name) => {
                self.attributes.value(name).is_some_and(|value| test.matches_value(value))
            }
            Field::SeverityText
            | Field::Service
            | Field::Host
            | Field::CorrelationId
            | Field::EventName
            | Field::SourceAgent
            | Field::SourcePath => field.text_of(fixed).is_some_and(|text| test.matches_str(text)),
        }
    }

    fn matches_any(&self, any: &AnyTest) -> bool {
        let fixed = self.fixed;
        any.message.as_ref().is_some_and(|test| test.matches_message(fixed.message))
            || Field::fixed()
                .filter_map(|field| field.text_of(fixed))
                .any(|text| any.value.matches_str(text))
            || fixed.trace_id.is_some_and(|id| any.value.matches_trace_id(id))
            || fixed.span_id.is_some_and(|id| any.value.matches_span_id(id))
            || self.attributes.any(&any.value)
    }
}

/// The fixed fields, borrowed; the attributes are left out, because gathering them would cost an allocation.
fn fixed_fields(record: &Record) -> RecordRef<'_> {
    RecordRef {
        timestamp: record.timestamp,
        observed_timestamp: record.observed_timestamp,
        severity: record.severity,
        severity_text: record.severity_text.as_deref(),
        service: record.service.as_deref(),
        host: record.host.as_deref(),
        correlation_id: record.correlation_id.as_deref(),
        trace_id: record.trace_id,
        span_id: record.span_id,
        message: &record.message,
        event_name: record.event_name.as_deref(),
        attributes: &[],
        source: SourceRef {
            agent: record.source.agent.as_deref(),
            path: record.source.path.as_deref(),
            offset: record.source.offset,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_are_shared_between_threads() {
        fn check<T: Send + Sync + Clone + std::fmt::Debug>() {}
        check::<Filter>();
        check::<crate::Query>();
        check::<crate::Diagnostics>();
    }
}
