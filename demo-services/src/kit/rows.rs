//! What is told of rows that were written and committed, in the words of `docs/formats/semantics.md`.

use service::semantics::{database, message};
use tracing::info;

/// A row that changed.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Row<'a> {
    /// The service whose database it is in.
    pub(crate) database: &'a str,
    pub(crate) table: &'a str,
    /// [`database::INSERT`], [`database::UPDATE`] or [`database::DELETE`].
    pub(crate) operation: &'a str,
    pub(crate) key: &'a str,
    /// The row's version after it, where rows have one.
    pub(crate) version: Option<i64>,
    /// The row's state after it, where rows have one.
    pub(crate) state: Option<&'a str>,
    /// The message that it is the outbox's or inbox's row of.
    pub(crate) message: Option<&'a str>,
}

/// Tells of a row, after the commit.
pub(crate) fn changed(row: Row<'_>) {
    info!(
        event_name = database::ROW_CHANGED,
        { database::SYSTEM_NAME } = "sqlite",
        { database::NAMESPACE } = row.database,
        { database::COLLECTION_NAME } = row.table,
        { database::OPERATION_NAME } = row.operation,
        { database::ROW_KEY } = row.key,
        { database::ROW_VERSION } = row.version,
        { database::ROW_STATE } = row.state,
        { message::MESSAGE_ID } = row.message,
        "row written"
    );
}
