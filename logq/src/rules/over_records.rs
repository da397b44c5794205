//! Runs queries of rules over the records of a test, in a store of its own that goes with it.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::mpsc;

use alerting::{Answer, QueryRunner, RunError};
use anyhow::{Context, bail};
use query::{Flow, Queries, QueryLimits, Request};
use record::Timestamp;
use serde_json::Value;
use store::{Append, BatchBuilder, Store, StoreOptions};
use tempfile::TempDir;
use wire::{Encoding, Format, Limits};

const TENANT: &str = "default";

pub(super) struct OverRecords {
    queries: Queries,
    /// Holds the store's files.
    _folder: TempDir,
}

impl OverRecords {
    /// A store of these lines of JSON.
    ///
    /// # Errors
    /// When a line is no record, or there is no room for the store.
    pub(super) fn new(lines: &[String]) -> anyhow::Result<Self> {
        let folder =
            tempfile::tempdir().context("cannot make a folder for the records of a test")?;
        let store = Arc::new(Store::open(folder.path(), StoreOptions::default())?);
        if !lines.is_empty() {
            append(&store, lines.join("\n"))?;
        }
        Ok(Self { queries: Queries::new(store, QueryLimits::default()), _folder: folder })
    }
}

fn append(store: &Store, body: String) -> anyhow::Result<()> {
    let received_at = Timestamp::now();
    let mut builder = BatchBuilder::new(received_at, 0);
    let decoded = wire::decode(
        Format::JsonLines,
        body.as_bytes(),
        received_at,
        &Limits::default(),
        &mut |record| builder.push(record),
    )?;
    if let Some(rejected) = decoded.rejected.first() {
        bail!("a record of the test is refused: {}", rejected.detail);
    }
    let (sender, answer) = mpsc::channel();
    let append = Append {
        tenant: TENANT.into(),
        signal: Format::JsonLines.signal().name(),
        name: None,
        received_at,
        format: Format::JsonLines,
        encoding: Encoding::Identity,
        payload: body.into_bytes().into(),
        rejected: store::rejected_by_reason(&decoded),
        timestamps_replaced: decoded.timestamps_replaced,
        decoded: builder.finish(),
    };
    store.append(append, Box::new(move |appended| drop(sender.send(appended))));
    answer.recv().context("the store ended")??;
    Ok(())
}

impl QueryRunner for OverRecords {
    fn run(&self, query: &str, from: i64, until: i64, limit: usize) -> Result<Answer, RunError> {
        let request = Request {
            query: query.to_owned(),
            tenant: TENANT.to_owned(),
            since: Some(Timestamp(from).to_string()),
            until: Some(Timestamp(until).to_string()),
            limit: (limit != usize::MAX).then_some(limit),
            ..Request::default()
        };
        let failed = |error: query::QueryError| RunError(error.to_string());
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
