//! From the text of a query and its parameters to something that can run.

use std::collections::BTreeSet;
use std::ops::Range;

use ql::{Diagnostic, Diagnostics, Field, Filter, Signal};
use store::Columns;

use crate::error::QueryError;
use crate::stages::{self, Around, Stage};

/// A query that is checked and can run.
#[derive(Debug)]
pub struct Plan {
    /// Which of the two tables.
    pub signal: Signal,
    /// Which records.
    pub filter: Filter,
    /// What else is wanted around each of them.
    pub(crate) around: Option<Around>,
    /// What is done with them.
    pub stages: Vec<Box<dyn Stage>>,
    /// What is probably not meant as it is written.
    pub warnings: Vec<Diagnostic>,
}

impl Plan {
    /// Parses and checks a query.
    ///
    /// # Errors
    /// [`QueryError::Query`] with all faults of the filter, or all of the stages.
    pub fn new(query: &str) -> Result<Self, QueryError> {
        let parsed = ql::parse(query).map_err(|faults| with_those_of_stages(faults, query))?;
        let mut stages =
            stages::plan(&parsed.stages).map_err(|faults| QueryError::of_query(faults, query))?;
        let around = stages.first().and_then(|stage| stage.around()).cloned();
        if around.is_some() {
            stages.remove(0);
        }
        for index in 1..stages.len() {
            if let Some(limit) = stages[index].limit() {
                stages[index - 1].limit_hint(limit);
            }
        }
        let ql::Query { signal, filter, warnings, .. } = parsed;
        Ok(Self { signal, filter, around, stages, warnings })
    }

    /// A filter alone.
    pub(crate) fn of_filter(filter: Filter, signal: &str) -> Self {
        let signal = if signal == Signal::Spans.name() { Signal::Spans } else { Signal::Logs };
        Self { signal, filter, around: None, stages: Vec::new(), warnings: Vec::new() }
    }

    /// The columns that have to be read of matching records.
    pub(crate) fn columns(&self) -> Columns {
        let mut fields: BTreeSet<Field> = BTreeSet::new();
        for stage in &self.stages {
            let needs = stage.needs();
            fields.extend(needs.fields);
            if !needs.passes_records {
                return Columns::Fields(fields);
            }
        }
        Columns::All
    }

    /// How many of the newest records are enough, if that is known.
    pub(crate) fn newest(&self, limit: usize) -> usize {
        for stage in &self.stages {
            match stage.limit() {
                Some(count) => return count,
                None if stage.one_to_one() => {}
                None => return usize::MAX,
            }
        }
        limit
    }

    /// Whether what comes out are the records that match, one by one, so that an answer can go on where one ended.
    pub(crate) fn pages(&self) -> bool {
        self.around.is_none() && self.stages.iter().all(|stage| stage.one_to_one())
    }

    /// Whether what comes out are rows over many records, which a limit must not cut silently.
    pub(crate) fn aggregates(&self) -> bool {
        self.stages.iter().any(|stage| stage.aggregates())
    }

    /// Whether records have to come newest first.
    pub(crate) fn ordered(&self) -> bool {
        if self.around.is_some() {
            return true;
        }
        let mut stages = self.stages.iter().skip_while(|stage| stage.per_record());
        stages.next().is_none_or(|stage| stage.ordered())
    }
}

/// Faults of the filter, and those of the stages behind it.
fn with_those_of_stages(mut faults: Diagnostics, query: &str) -> QueryError {
    if let Err(more) = stages::plan(&ql::stages_behind_faults(query)) {
        faults.0.extend(more.0);
        faults.0.truncate(2 * ql::DIAGNOSTICS_MAX);
    }
    QueryError::of_query(faults, query)
}

/// The time range of a query, ns: from inclusive, until exclusive.
pub(crate) type TimeRange = Range<i64>;
