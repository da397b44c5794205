//! From a filter to the rows that can match it, by the index and by what the footer knows.

use std::sync::Arc;

use ql::{Field, Filter, Leaf, Phrase, Test};
use record::{Severity, TraceId};

use super::index::exact_hash;
use super::{RowBitmap, RowSet, Segment};
use crate::allowance::{Allowance, Held};
use crate::error::Result;
use crate::schema::{self, AttributeType};

/// Rows that can match.
#[derive(Debug)]
pub(super) struct Narrowed {
    /// `None` is all.
    pub(super) rows: Option<RowBitmap>,
    /// Whether all of them do match.
    pub(super) exact: bool,
}

impl Narrowed {
    /// The index knows nothing: the columns have to be asked.
    pub(super) const UNKNOWN: Narrowed = Narrowed { rows: None, exact: false };

    fn exactly(rows: RowBitmap) -> Self {
        Self { rows: Some(rows), exact: true }
    }

    fn at_most(rows: RowBitmap) -> Self {
        let exact = rows.is_empty();
        Self { rows: Some(rows), exact }
    }
}

impl Segment {
    pub(super) fn narrow(
        &self,
        filter: &Filter,
        allowance: &Arc<dyn Allowance>,
    ) -> Result<Narrowed> {
        allowance.check()?;
        // What this level holds beside what its members give.
        let _bitmap = Held::take(allowance, self.meta.rows as usize / 8)?;
        match filter {
            Filter::All => Ok(Narrowed { rows: None, exact: true }),
            Filter::And(members) => {
                let mut all = Narrowed { rows: None, exact: true };
                for member in members {
                    let narrowed = self.narrow(member, allowance)?;
                    all.exact &= narrowed.exact;
                    match (&mut all.rows, narrowed.rows) {
                        (Some(rows), Some(others)) => rows.intersect(&others),
                        (none @ None, others) => *none = others,
                        (Some(_), None) => {}
                    }
                    if all.rows.as_ref().is_some_and(RowBitmap::is_empty) {
                        return Ok(Narrowed::exactly(self.no_rows()));
                    }
                }
                Ok(all)
            }
            Filter::Or(members) => {
                let mut rows = self.no_rows();
                let mut exact = true;
                for member in members {
                    let narrowed = self.narrow(member, allowance)?;
                    exact &= narrowed.exact;
                    match narrowed.rows {
                        Some(others) => rows.unite(&others),
                        None => return Ok(Narrowed { rows: None, exact: narrowed.exact }),
                    }
                }
                Ok(Narrowed { rows: Some(rows), exact })
            }
            Filter::Not(inner) => {
                let inner = self.narrow(inner, allowance)?;
                Ok(match inner {
                    Narrowed { exact: false, .. } => Narrowed::UNKNOWN,
                    Narrowed { rows: None, .. } => Narrowed::exactly(self.no_rows()),
                    Narrowed { rows: Some(mut rows), .. } => {
                        rows.invert();
                        Narrowed::exactly(rows)
                    }
                })
            }
            Filter::Test(leaf) => self.narrow_leaf(leaf, allowance),
        }
    }

    /// How many rows can match, at most, and whether all of them do.
    ///
    /// # Errors
    /// When the index is damaged or cannot be read, or the allowance ends.
    pub fn estimate(
        &self,
        filter: &Filter,
        allowance: &Arc<dyn Allowance>,
    ) -> Result<(usize, bool)> {
        let narrowed = self.narrow(filter, allowance)?;
        let rows = narrowed.rows.map_or(self.meta.rows as usize, |rows| rows.len());
        Ok((rows, narrowed.exact))
    }

    /// The number of matching rows, if the index holds it ready.
    pub(super) fn count_by_index(
        &self,
        filter: &Filter,
        allowance: &Arc<dyn Allowance>,
    ) -> Result<Option<usize>> {
        Ok(match filter {
            Filter::All => Some(self.meta.rows as usize),
            Filter::Test(Leaf::Field { field: Field::Message, test: Test::Words(phrase) }) => {
                match phrase.tokens() {
                    [token] => Some(self.index()?.token_count(token)? as usize),
                    _ => None,
                }
            }
            Filter::Test(Leaf::Word(word)) => match word.tokens() {
                [token] if self.id_rows(word.id(), word.trace_id(), allowance)?.is_empty() => {
                    Some(self.index()?.token_count(token)? as usize)
                }
                _ => None,
            },
            _ => None,
        })
    }

    fn no_rows(&self) -> RowBitmap {
        RowBitmap::empty(self.meta.rows)
    }

    fn narrow_leaf(&self, leaf: &Leaf, allowance: &Arc<dyn Allowance>) -> Result<Narrowed> {
        match leaf {
            Leaf::Word(word) => {
                let mut rows = self.id_rows(word.id(), word.trace_id(), allowance)?;
                let ids_exact = rows.is_empty();
                let narrowed = self.narrow_phrase(word.phrase(), allowance)?;
                let Some(tokens) = narrowed.rows else { return Ok(Narrowed::UNKNOWN) };
                if narrowed.exact && !ids_exact {
                    // A handful of hash hits: compare them now, so that the tokens' rows need no reading.
                    rows = self.verified(leaf, &rows, allowance)?;
                }
                rows.unite(&tokens);
                Ok(Narrowed { rows: Some(rows), exact: narrowed.exact })
            }
            Leaf::Field { field, test } => self.narrow_field(field, test, allowance),
            Leaf::Any(_) => Ok(Narrowed::UNKNOWN),
        }
    }

    fn narrow_field(
        &self,
        field: &Field,
        test: &Test,
        allowance: &Arc<dyn Allowance>,
    ) -> Result<Narrowed> {
        match (field, test) {
            (Field::Message, Test::Words(phrase)) => self.narrow_phrase(phrase, allowance),
            (Field::Message, Test::Token(wildcard)) => {
                let matches = |token: &str| wildcard.matches_folded(token);
                let rows =
                    self.index()?.matching_token_rows(wildcard.prefix(), &matches, &**allowance)?;
                Ok(Narrowed::exactly(rows))
            }
            (Field::CorrelationId, Test::Equals(literal)) => Ok(Narrowed::at_most(
                self.hash_rows(schema::CORRELATION_ID, literal.text().as_bytes(), allowance)?,
            )),
            (Field::TraceId, Test::TraceId(id)) => {
                Ok(Narrowed::at_most(self.hash_rows(schema::TRACE_ID, &id.0, allowance)?))
            }
            (Field::Service, test) => Ok(match &self.meta.services {
                Some(services)
                    if !services
                        .iter()
                        .any(|service| !service.is_empty() && test.matches_str(service)) =>
                {
                    Narrowed::exactly(self.no_rows())
                }
                _ => Narrowed::UNKNOWN,
            }),
            (Field::Severity, test) => {
                let matches = |number: u8| {
                    Severity::from_number(number.into())
                        .is_some_and(|severity| test.matches_severity(severity))
                };
                let (mut some, mut all) = (false, true);
                for number in (0..=24).filter(|number| self.meta.severities >> number & 1 == 1) {
                    some |= matches(number);
                    all &= matches(number);
                }
                Ok(match (some, all) {
                    (false, _) => Narrowed::exactly(self.no_rows()),
                    (true, true) => Narrowed { rows: None, exact: true },
                    (true, false) => Narrowed::UNKNOWN,
                })
            }
            (Field::Attribute(name), test) => self.narrow_attribute(name, test, allowance),
            _ => Ok(Narrowed::UNKNOWN),
        }
    }

    fn narrow_attribute(
        &self,
        name: &str,
        test: &Test,
        allowance: &Arc<dyn Allowance>,
    ) -> Result<Narrowed> {
        let has = |attribute_type: AttributeType| {
            let column = attribute_type.column(name);
            self.meta.columns.contains(&column)
        };
        let [text, numbers @ ..] = AttributeType::ALL.map(has);
        let overflow = self.meta.overflow_names.contains(name);
        if !overflow && !text && !numbers.contains(&true) {
            return Ok(Narrowed::exactly(self.no_rows()));
        }
        match test {
            Test::Equals(literal)
                if !overflow
                    && !numbers.contains(&true)
                    && self.meta.indexed_attributes.contains(name) =>
            {
                Ok(Narrowed::at_most(self.hash_rows(name, literal.text().as_bytes(), allowance)?))
            }
            _ => Ok(Narrowed::UNKNOWN),
        }
    }

    fn narrow_phrase(&self, phrase: &Phrase, allowance: &Arc<dyn Allowance>) -> Result<Narrowed> {
        let mut all: Option<RowBitmap> = None;
        for token in phrase.tokens() {
            let rows = self.index()?.token_rows(token, &**allowance)?;
            match &mut all {
                Some(all) => all.intersect(&rows),
                None => all = Some(rows),
            }
        }
        let exact = phrase.tokens().len() == 1 || all.as_ref().is_some_and(RowBitmap::is_empty);
        Ok(Narrowed { rows: all, exact })
    }

    /// Rows whose correlation or trace id may be this.
    fn id_rows(
        &self,
        id: &str,
        trace_id: Option<TraceId>,
        allowance: &Arc<dyn Allowance>,
    ) -> Result<RowBitmap> {
        let mut rows = self.hash_rows(schema::CORRELATION_ID, id.as_bytes(), allowance)?;
        if let Some(trace_id) = trace_id {
            rows.unite(&self.hash_rows(schema::TRACE_ID, &trace_id.0, allowance)?);
        }
        Ok(rows)
    }

    fn hash_rows(
        &self,
        name: &str,
        value: &[u8],
        allowance: &Arc<dyn Allowance>,
    ) -> Result<RowBitmap> {
        self.index()?.exact_rows(exact_hash(name, value, &mut Vec::new()), &**allowance)
    }

    /// Those of the rows that pass the test.
    fn verified(
        &self,
        leaf: &Leaf,
        rows: &RowBitmap,
        allowance: &Arc<dyn Allowance>,
    ) -> Result<RowBitmap> {
        let candidates = RowSet::List(rows.rows_in(0..self.meta.rows));
        let filter = Filter::Test(leaf.clone());
        let mut verified = self.no_rows();
        for row in self.matching(&filter, &candidates, allowance)? {
            verified.insert(row);
        }
        Ok(verified)
    }
}
