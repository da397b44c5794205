//! Runs queries of rules in this process.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use alerting::{Answer, QueryRunner, RunError};
use query::{Flow, Queries, QueryError, Request};
use record::Timestamp;
use serde_json::Value;

/// Over the records of one tenant.
pub(crate) struct OverQueries {
    queries: Queries,
    tenant: String,
}

impl OverQueries {
    pub(crate) fn new(queries: Queries, tenant: &str) -> Self {
        Self { queries, tenant: tenant.to_owned() }
    }
}

impl QueryRunner for OverQueries {
    fn run(&self, query: &str, from: i64, until: i64, limit: usize) -> Result<Answer, RunError> {
        let request = Request {
            query: query.to_owned(),
            tenant: self.tenant.clone(),
            since: Some(Timestamp(from).to_string()),
            until: Some(Timestamp(until).to_string()),
            limit: (limit != usize::MAX).then_some(limit),
            ..Request::default()
        };
        let failed = |error: QueryError| RunError(error.to_string());
        let prepared = self.queries.prepare(&request).map_err(failed)?;
        let (mut rows, mut lines) = (Vec::new(), Vec::new());
        let summary = self
            .queries
            .run(prepared, &Arc::new(AtomicBool::new(false)), &mut |batch| {
                lines.clear();
                query::write_lines(&batch, &mut lines);
                rows.extend(lines.split(|byte| *byte == b'\n').filter_map(|line| {
                    match serde_json::from_slice(line) {
                        Ok(Value::Object(row)) => Some(row),
                        _ => None,
                    }
                }));
                Flow::More
            })
            .map_err(failed)?;
        Ok(Answer { rows, partial: summary.reason })
    }
}
