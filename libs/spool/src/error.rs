//! What can go wrong in the spool, by what the caller has to do about it.

use std::io;
use std::path::{Path, PathBuf};

/// An error of the spool; whatever was asked did not happen in this process and may be asked again.
#[derive(Debug, thiserror::Error)]
pub enum SpoolError {
    /// A file operation failed.
    #[error("cannot {action} {path}: {source}")]
    Io {
        /// What was tried, as a verb.
        action: &'static str,
        /// On which file or folder.
        path: PathBuf,
        /// The operating system's answer.
        source: io::Error,
    },
    /// The configured bound is reached: wait until batches are acknowledged.
    #[error(
        "the spool holds {disk_bytes} bytes and another file would pass its bound of {bytes_max}; \
         wait until batches are acknowledged or raise the bound"
    )]
    Full {
        /// Bytes of all files now.
        disk_bytes: u64,
        /// The bound.
        bytes_max: u64,
    },
    /// An entry that no spool of this size can take, now or later.
    #[error("an entry of {bytes} bytes is over the bound of {bytes_max}; make smaller batches")]
    TooLarge {
        /// Of note and payload together.
        bytes: u64,
        /// The bound.
        bytes_max: u64,
    },
    /// Only the front of the queue can be acknowledged.
    #[error("batch {number} is not the front of the queue, which is {front:?}")]
    NotTheFront {
        /// What was to be acknowledged.
        number: u64,
        /// The number that can be, if there is one.
        front: Option<u64>,
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
}

pub(crate) type Result<T> = std::result::Result<T, SpoolError>;

impl SpoolError {
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { action, path: path.to_owned(), source }
    }

    /// Whether there is no room, on the disk or within the bound.
    pub fn is_full(&self) -> bool {
        match self {
            Self::Io { source, .. } => {
                matches!(source.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
            }
            Self::Full { .. } => true,
            _ => false,
        }
    }
}
