//! The checked form of a query's filter: what the evaluators and the store's planner read.
//!
//! Kept flat and simple by its constructors: no `And` in an `And`, no `Or` in an `Or`, at least two members
//! in each, no double `Not`, [`Filter::All`] only alone or under a `Not` (which is then the filter that
//! matches nothing). It prints as a query that parses to the same filter.

use record::Record;

use crate::field::Field;
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
    match filter {
        Filter::All => true,
        Filter::And(members) => members.iter().all(|member| matches(member, record, record_seq)),
        Filter::Or(members) => members.iter().any(|member| matches(member, record, record_seq)),
        Filter::Not(inner) => !matches(inner, record, record_seq),
        Filter::Test(Leaf::Word(word)) => {
            word.matches(&record.message, record.correlation_id.as_deref(), record.trace_id)
        }
        Filter::Test(Leaf::Field { field, test }) => matches_field(field, test, record, record_seq),
        Filter::Test(Leaf::Any(any)) => matches_any(any, record),
    }
}

fn matches_field(field: &Field, test: &Test, record: &Record, record_seq: Option<u64>) -> bool {
    match field {
        Field::Timestamp => test.matches_timestamp(record.timestamp),
        Field::ObservedTimestamp => test.matches_timestamp(record.observed_timestamp),
        Field::Severity => test.matches_severity(record.severity),
        Field::Message => test.matches_message(&record.message),
        Field::TraceId => record.trace_id.is_some_and(|id| test.matches_trace_id(id)),
        Field::SpanId => record.span_id.is_some_and(|id| test.matches_span_id(id)),
        Field::SourceOffset => record.source.offset.is_some_and(|at| test.matches_u64(at)),
        Field::RecordSeq => record_seq.is_some_and(|seq| test.matches_u64(seq)),
        Field::Attribute(name) => {
            record.attributes.get(name).is_some_and(|value| test.matches_value(value.as_ref()))
        }
        Field::SeverityText
        | Field::Service
        | Field::Host
        | Field::CorrelationId
        | Field::EventName
        | Field::SourceAgent
        | Field::SourcePath => field.text_of(record).is_some_and(|text| test.matches_str(text)),
    }
}

fn matches_any(any: &AnyTest, record: &Record) -> bool {
    any.message.as_ref().is_some_and(|test| test.matches_message(&record.message))
        || Field::fixed()
            .filter_map(|field| field.text_of(record))
            .any(|text| any.value.matches_str(text))
        || record.trace_id.is_some_and(|id| any.value.matches_trace_id(id))
        || record.span_id.is_some_and(|id| any.value.matches_span_id(id))
        || record.attributes.values().any(|value| any.value.matches_value(value.as_ref()))
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
