//! What is to be shipped, checked before anything is read.

use std::path::PathBuf;
use std::time::Duration;

use service::credentials::Credentials;

use super::ShipError;
use crate::format::Format;
use crate::reading::{Reading, ReadingOptions};
use crate::time_format::TimeOptions;

/// What `logq ship` is told. Only [`ShipOptions::addr`] and [`ShipOptions::files`] have no default.
#[derive(Clone, Debug)]
pub struct ShipOptions {
    /// The collector, such as `http://127.0.0.1:4318` or `https://…`; batches go to `/v1/logs` under it.
    pub addr: String,
    /// Who ships, and whose records these are.
    pub credentials: Credentials,
    /// Files, each shipped whole, in this order; `-` is standard input, once at most.
    pub files: Vec<PathBuf>,
    /// Wins over the lines' own service.
    pub service: Option<String>,
    /// Wins over the lines' own host.
    pub host: Option<String>,
    /// How lines are read; [`Format::Auto`] decides for each file by its first lines.
    pub format: Format,
    /// The pattern of [`Format::Regex`], a regular expression with named groups; for no other format.
    pub pattern: Option<String>,
    /// Zone and year of times, and the layout of those in named fields (json, logfmt, regex).
    pub time: TimeOptions,
    /// Finds a correlation id in the message of a line that has none: a regular expression whose group
    /// `correlation`, else its first group, else its whole match is the id.
    pub correlation: Option<String>,
    /// Bounds on batches.
    pub limits: BatchLimits,
    /// How long to go on when no batch is acknowledged. 60 s.
    pub give_up_after: Duration,
    /// How long one request may take, connecting included. 30 s, and never more than `give_up_after`.
    pub request_timeout: Duration,
}

/// Bounds on batches. Memory is about `decoded_bytes_max` for the batch that is being filled, and the
/// compressed size of `in_flight_max` + 2 batches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchLimits {
    /// Largest batch before compression. 8 MiB; a single record beyond it is a batch of its own.
    pub decoded_bytes_max: usize,
    /// Most records in a batch. 50,000.
    pub records_max: usize,
    /// How many batches may wait for their acknowledgement at the same time. 4.
    pub in_flight_max: usize,
}

impl Default for BatchLimits {
    fn default() -> Self {
        Self { decoded_bytes_max: 8 << 20, records_max: 50_000, in_flight_max: 4 }
    }
}

impl ShipOptions {
    /// Ships `files` to `addr`, everything else by default.
    pub fn new(addr: impl Into<String>, files: impl IntoIterator<Item = PathBuf>) -> Self {
        Self {
            addr: addr.into(),
            credentials: Credentials::default(),
            files: files.into_iter().collect(),
            service: None,
            host: None,
            format: Format::Auto,
            pattern: None,
            time: TimeOptions::default(),
            correlation: None,
            limits: BatchLimits::default(),
            give_up_after: Duration::from_secs(60),
            request_timeout: Duration::from_secs(30),
        }
    }

    /// Compiles and checks everything that does not touch a file.
    pub(super) fn check(&self, agent: &str) -> Result<Reading, ShipError> {
        let usage = |message: &str| Err(ShipError::Usage { message: message.to_owned() });
        if self.files.is_empty() {
            return usage("no file given: name at least one, or - for standard input");
        }
        let options = ReadingOptions {
            format: self.format,
            pattern: self.pattern.clone(),
            time: self.time.clone(),
            service: self.service.clone(),
            host: self.host.clone(),
            correlation: self.correlation.clone(),
        };
        Ok(options.check(agent)?)
    }
}
