//! Runs queries of rules over the records of a test, in a store of its own that goes with it.

use std::sync::Arc;
use std::sync::mpsc;

use alerting::{Answer, QueryRunner, RunError};
use anyhow::{Context, bail};
use query::{Queries, QueryLimits};
use record::Timestamp;
use store::{Append, BatchBuilder, Store, StoreOptions};
use tempfile::TempDir;
use wire::{Encoding, Format, Limits};

use super::over_queries::OverQueries;

const TENANT: &str = "default";

pub(super) struct OverRecords {
    queries: OverQueries,
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
        let queries = Queries::new(store, QueryLimits::default());
        Ok(Self { queries: OverQueries::new(queries, TENANT), _folder: folder })
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
        self.queries.run(query, from, until, limit)
    }
}
