//! Why shipping ended before everything was acknowledged.

use std::io;
use std::time::Duration;

use thiserror::Error;

use super::ShipReport;
use crate::reading::ReadingError;
use crate::time_format::TimeOptionsError;

/// Why shipping ended before everything was acknowledged. Files are only read, so nothing is lost at the source.
#[derive(Debug, Error)]
#[allow(missing_docs)]
pub enum ShipError {
    /// The options cannot be used; nothing was read.
    #[error("{message}")]
    Usage { message: String },
    /// A regular expression does not compile; nothing was read.
    #[error("the {flag} is no regular expression")]
    Pattern { flag: &'static str, source: Box<regex::Error> },
    /// A time option cannot be used; nothing was read.
    #[error(transparent)]
    Time(#[from] TimeOptionsError),
    /// The address cannot be used; nothing was read.
    #[error("cannot ship to {addr:?}: {reason}")]
    Addr { addr: String, reason: String },
    /// A file is missing, is a folder, or may not be read; nothing was sent.
    #[error("cannot read {path}, so nothing was sent")]
    Open { path: String, source: io::Error },
    /// Reading a file failed in its middle; everything before that line is acknowledged.
    #[error("cannot read {path} beyond line {line}; everything before it is acknowledged")]
    Read { path: String, line: u64, source: io::Error, report: Box<ShipReport> },
    /// The collector acknowledged nothing for too long.
    #[error(
        "no acknowledgement from {addr} for {} s ({last}); {}",
        stalled.as_secs(), what_is_where(report, first_unacknowledged)
    )]
    Unreachable {
        addr: String,
        stalled: Duration,
        /// What the last attempt met.
        last: String,
        /// `path:line` of the first line that is not acknowledged.
        first_unacknowledged: String,
        report: Box<ShipReport>,
    },
    /// The collector refused a batch for good.
    #[error(
        "{addr} refused batch {batch} ({lines}) with {status}: {message}; {}",
        what_is_where(report, lines)
    )]
    Refused {
        addr: String,
        status: u16,
        /// Agent, epoch and sequence.
        batch: String,
        /// Which lines of which files the batch holds.
        lines: String,
        /// What the collector says.
        message: String,
        report: Box<ShipReport>,
    },
    /// The machine gives no thread, or no random numbers.
    #[error("cannot start shipping")]
    Start { source: io::Error },
}

impl From<ReadingError> for ShipError {
    fn from(error: ReadingError) -> Self {
        match error {
            ReadingError::Usage { option, message } => {
                Self::Usage { message: format!("{message} (--{})", option.replace('_', "-")) }
            }
            ReadingError::Pattern { option, source } => Self::Pattern { flag: option, source },
            ReadingError::Time(error) => Self::Time(error),
        }
    }
}

impl ShipError {
    /// What was acknowledged by then; `None` if nothing was sent.
    pub fn report(&self) -> Option<&ShipReport> {
        match self {
            Self::Read { report, .. }
            | Self::Unreachable { report, .. }
            | Self::Refused { report, .. } => Some(report),
            _ => None,
        }
    }

    /// Whether the collector could not be reached (exit code 3 of `logq`).
    pub fn is_unreachable(&self) -> bool {
        matches!(self, Self::Unreachable { .. })
    }

    /// Whether the user has to say something else (exit code 2 of `logq`).
    pub fn is_usage(&self) -> bool {
        matches!(
            self,
            Self::Usage { .. }
                | Self::Pattern { .. }
                | Self::Time(_)
                | Self::Addr { .. }
                | Self::Open { .. }
                // The collector does not let us in: a token is missing or not the right one.
                | Self::Refused { status: 401 | 403, .. }
        )
    }
}

/// A second run is a new shipment: what is acknowledged already would be stored twice.
fn what_is_where(report: &ShipReport, first_unacknowledged: &str) -> String {
    let accepted = report.total().records_accepted;
    if accepted == 0 {
        return "nothing is stored and nothing is lost: run the same command again".to_owned();
    }
    format!(
        "{accepted} records are acknowledged, nothing is lost at the source; not acknowledged from \
         {first_unacknowledged} on, and running the same command again stores the others twice"
    )
}
