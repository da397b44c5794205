//! What can go wrong with a backup, by what has to be done about it.

use std::path::{Path, PathBuf};

use crate::error::StoreError;

/// An error of a backup or a restore.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// A file, the catalog, or the flush before it.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// As many snapshots are held as may be.
    #[error("{max} snapshots are held already; try again when a backup has ended")]
    TooManySnapshots {
        /// The bound.
        max: usize,
    },
    /// It ended, by its client or because nobody asked for anything of it for the time of its lease.
    #[error("there is no snapshot {id}, or its lease has ended; begin the backup again")]
    NoSuchSnapshot {
        /// What was asked for.
        id: String,
    },
    /// The manifest of the snapshot does not name it.
    #[error("the snapshot has no file {name}")]
    NoSuchFile {
        /// What was asked for.
        name: String,
    },
    /// The path that was named cannot be used for this.
    #[error("{path} {detail}")]
    Unusable {
        /// The path.
        path: PathBuf,
        /// Why not, and what to do.
        detail: String,
    },
}

impl BackupError {
    /// Whether another path or another program helps, rather than another try.
    pub fn is_usage(&self) -> bool {
        use StoreError::{Locked, NewerVersion};
        matches!(self, Self::Unusable { .. } | Self::Store(Locked { .. } | NewerVersion { .. }))
    }

    pub(crate) fn unusable(path: &Path, detail: impl Into<String>) -> Self {
        Self::Unusable { path: path.to_owned(), detail: detail.into() }
    }

    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let of_store = StoreError::io(action, path);
        move |error| of_store(error).into()
    }

    pub(crate) fn damaged(path: &Path, detail: impl Into<String>) -> Self {
        StoreError::corrupt(path, detail).into()
    }
}
