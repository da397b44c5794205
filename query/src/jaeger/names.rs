//! Names of services and of their operations, as far as spans are stored, at any time.

use std::collections::BTreeSet;
use std::sync::Arc;

use ql::{Field, Filter};
use record::span;
use serde::Serialize;

use super::NAMES_MAX;
use super::search::{of_service, plan};
use crate::UNKNOWN_SERVICE;
use crate::cell::Cell;
use crate::error::QueryError;
use crate::memory::Account;
use crate::queries::{Prepared, Queries};
use crate::stages::Flow;

/// An operation of a service.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Operation {
    name: String,
    /// Empty where the sender told none.
    span_kind: String,
}

impl Queries {
    /// The services that have spans.
    ///
    /// # Errors
    /// As a query.
    pub(super) fn services(
        &self,
        tenant: &str,
        account: &Arc<Account>,
    ) -> Result<Vec<String>, QueryError> {
        let mut names = BTreeSet::new();
        self.groups(tenant, account, Filter::All, &[Field::Service], &mut |[service]| {
            names.insert(if service.is_empty() { UNKNOWN_SERVICE.to_owned() } else { service });
        })?;
        Ok(names.into_iter().collect())
    }

    /// The names of a service's operations.
    ///
    /// # Errors
    /// As a query.
    pub(super) fn operation_names(
        &self,
        tenant: &str,
        service: &str,
        account: &Arc<Account>,
    ) -> Result<Vec<String>, QueryError> {
        let mut names = BTreeSet::new();
        self.groups(tenant, account, of_service(service), &[Field::Message], &mut |[name]| {
            names.insert(name);
        })?;
        names.remove("");
        Ok(names.into_iter().collect())
    }

    /// A service's operations, of one kind if only that is wanted.
    ///
    /// # Errors
    /// As a query.
    pub(super) fn operations(
        &self,
        tenant: &str,
        service: &str,
        kind: Option<&str>,
        account: &Arc<Account>,
    ) -> Result<Vec<Operation>, QueryError> {
        let of_kind = Field::Attribute(span::KIND.to_owned());
        let wanted = kind.map(|kind| Filter::equals(&of_kind, kind)).into_iter();
        let filter = Filter::and(wanted.chain([of_service(service)]).collect());
        let mut operations = BTreeSet::new();
        self.groups(tenant, account, filter, &[Field::Message, of_kind], &mut |[
            name,
            span_kind,
        ]| {
            if !name.is_empty() {
                operations.insert(Operation { name, span_kind });
            }
        })?;
        Ok(operations.into_iter().collect())
    }

    /// Gives `take` the different values of some fields among the spans that match, the commonest if there are too
    /// many; nothing is the empty text.
    fn groups<const N: usize>(
        &self,
        tenant: &str,
        account: &Arc<Account>,
        filter: Filter,
        fields: &[Field; N],
        take: &mut dyn FnMut([String; N]),
    ) -> Result<(), QueryError> {
        let names: Vec<&str> = fields.iter().map(Field::name).collect();
        let by = names.join(", ");
        let stages = format!("stats count() by {by} | sort -count | head {NAMES_MAX}");
        let prepared = Prepared::of_all_times(plan(filter, &stages)?, tenant, NAMES_MAX);
        self.run_on(Arc::clone(account), prepared, &mut |batch| {
            let columns = fields.each_ref().map(|field| batch.column(field));
            for row in 0..batch.len() {
                take(columns.each_ref().map(|column| match column.get(row) {
                    Some(Cell::Text(text)) => text.to_string(),
                    Some(other) => other.to_string(),
                    None => String::new(),
                }));
            }
            Flow::More
        })?;
        Ok(())
    }
}
