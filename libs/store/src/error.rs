//! What can go wrong in the store, by what the caller has to do about it.

use std::io;
use std::path::{Path, PathBuf};

/// An error of the store.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A file operation failed; the batch or query it belonged to did not happen.
    #[error("cannot {action} {path}: {source}")]
    Io {
        /// What was tried, as a verb.
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// The operating system's answer.
        source: io::Error,
    },
    /// No room to write: nothing was acknowledged, and it is worth trying again once there is space.
    #[error("no space left in {path}; free some and send again, nothing acknowledged is lost")]
    Full {
        /// The folder or file that could not grow.
        path: PathBuf,
    },
    /// Memory for records not yet in segments is used up; try again after the flush that is running.
    #[error("the memory bound of {limit_bytes} bytes is reached; try again in a moment")]
    Overloaded {
        /// The configured bound.
        limit_bytes: usize,
    },
    /// Another process owns the data folder.
    #[error("{path} is in use by {owner}; stop that process or choose another data folder")]
    Locked {
        /// The data folder.
        path: PathBuf,
        /// The owner as it wrote itself into the lock file.
        owner: String,
    },
    /// The folder was written by a newer logq.
    #[error(
        "{path} has format version {found}, this logq reads up to {supported}; use a newer logq"
    )]
    NewerVersion {
        /// The file that tells the version.
        path: PathBuf,
        /// The version found.
        found: u32,
        /// The newest version known.
        supported: u32,
    },
    /// The bytes of a file are not what was written.
    #[error("{path} is damaged: {detail}")]
    Corrupt {
        /// The damaged file.
        path: PathBuf,
        /// What is wrong with it.
        detail: String,
    },
    /// A batch of this name was accepted before with other content, or is too old to check.
    #[error("batch {sequence} of agent {agent} conflicts: {detail}")]
    Conflict {
        /// The agent that named the batch.
        agent: String,
        /// Its sequence number.
        sequence: u64,
        /// In what way.
        detail: &'static str,
    },
    /// Too many batches of one agent are waiting for an earlier one.
    #[error(
        "batch {sequence} of agent {agent} is too far ahead of the first missing one; send that first"
    )]
    TooFarAhead {
        /// The agent that named the batch.
        agent: String,
        /// Its sequence number.
        sequence: u64,
    },
    /// A library that writes or reads segments failed.
    #[error("cannot {action} a segment: {source}")]
    Segment {
        /// What was tried, as a verb.
        action: &'static str,
        /// The library's answer.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The catalog's database failed.
    #[error("cannot {action} the catalog: {source}")]
    Catalog {
        /// What was tried, as a verb.
        action: &'static str,
        /// The database's answer.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The journal could not be synced; everything not acknowledged must be sent again.
    #[error("the journal cannot be written: {detail}")]
    Journal {
        /// The first failure of the group that this batch was in.
        detail: String,
    },
    /// Too many deletes are not done yet.
    #[error("{limit} deletes are not done yet; try again when one of them is")]
    TooManyDeletes {
        /// The bound.
        limit: usize,
    },
    /// Whoever reads may not go on; see [`crate::Allowance`].
    #[error(transparent)]
    Stopped(#[from] crate::Stopped),
    /// The store is shutting down.
    #[error("the store is shutting down; send again to its successor")]
    Closed,
}

/// The store's result.
pub type Result<T, E = StoreError> = std::result::Result<T, E>;

impl StoreError {
    /// Turns an I/O error into [`StoreError::Full`] or [`StoreError::Io`].
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> StoreError {
        move |source| match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                StoreError::Full { path: path.to_owned() }
            }
            _ => StoreError::Io { action, path: path.to_owned(), source },
        }
    }

    pub(crate) fn segment<E>(action: &'static str) -> impl FnOnce(E) -> StoreError
    where
        E: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        move |source| StoreError::Segment { action, source: source.into() }
    }

    pub(crate) fn catalog<E>(action: &'static str) -> impl FnOnce(E) -> StoreError
    where
        E: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        move |source| StoreError::Catalog { action, source: source.into() }
    }

    pub(crate) fn corrupt(path: &Path, detail: impl Into<String>) -> StoreError {
        StoreError::Corrupt { path: path.to_owned(), detail: detail.into() }
    }
}
