//! Which records are wanted at all, said in the query language.
//!
//! A record is dropped if it misses `keep`, or if it matches one of `drop`; they are asked in this order.

use ql::Filter;
use record::RecordRef;

use super::{Dropped, ProcessError};

/// The filters of one source.
#[derive(Debug)]
pub(super) struct Filters {
    keep: Option<Filter>,
    drop: Vec<Filter>,
}

impl Filters {
    pub(super) fn new(keep: Option<&str>, drop: &[String]) -> Result<Self, ProcessError> {
        let keep = keep.map(|text| parse("keep".to_owned(), text)).transpose()?;
        let numbered = drop.iter().enumerate();
        let drop = numbered
            .map(|(index, text)| parse(format!("drop[{index}]"), text))
            .collect::<Result<_, _>>()?;
        Ok(Self { keep, drop })
    }

    /// Why the record is not wanted, if so.
    pub(super) fn verdict(&self, record: &RecordRef<'_>) -> Option<Dropped> {
        if let Some(keep) = &self.keep
            && !keep.matches_ref(record, None)
        {
            return Some(Dropped::NotKept);
        }
        let rule = self.drop.iter().position(|filter| filter.matches_ref(record, None))?;
        Some(Dropped::Filtered { rule })
    }
}

fn parse(key: String, text: &str) -> Result<Filter, ProcessError> {
    ql::parse_filter(text).map_err(|source| ProcessError::Filter {
        key,
        filter: text.to_owned(),
        source,
    })
}
