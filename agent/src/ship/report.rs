//! What was read, sent and acknowledged.

use crate::delivery::StoreIdentity;
use crate::format::Format;
use crate::interpret::Interpreted;
use crate::lines::Line;

/// The account of one shipment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ShipReport {
    /// The id under which everything was shipped.
    pub agent: String,
    /// One for each file, in the order in which they were named.
    pub files: Vec<FileReport>,
    /// Batches acknowledged.
    pub batches: u64,
    /// Requests beyond the first for each batch.
    pub retries: u64,
    /// Batches that the collector had already when it acknowledged them: an acknowledgement was lost on the way.
    pub duplicates: u64,
    /// Records that the collector took no part of, though it acknowledged their batch.
    pub records_rejected: u64,
    /// What the collector says about those.
    pub rejection: Option<String>,
    /// Who acknowledged last, if it says so.
    pub store: Option<StoreIdentity>,
    /// How often that changed on the way: what an earlier store acknowledged may not be in the later one.
    pub store_changes: u64,
}

/// The account of one file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FileReport {
    /// As it was named.
    pub path: String,
    /// By which format it was read; `None` if reading did not come so far.
    pub format: Option<Format>,
    /// Its counts.
    pub counts: ReportTotal,
}

/// Counts of one file, or of all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReportTotal {
    /// Lines read.
    pub lines: u64,
    /// Records acknowledged; one a line, but several for a line that was cut.
    pub records_accepted: u64,
    /// Lines that did not parse, shipped whole.
    pub lines_unparsed: u64,
    /// Records whose time could not be read and was replaced.
    pub timestamps_replaced: u64,
    /// Records that are parts of a line that was cut.
    pub parts: u64,
}

/// How far shipping is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Bytes read, compressed ones where a file is compressed.
    pub bytes_read: u64,
    /// Size of all files; `None` if one has none, such as standard input.
    pub bytes_total: Option<u64>,
    /// Lines of batches that were handed over for sending.
    pub lines_read: u64,
    /// Records acknowledged.
    pub records_accepted: u64,
    /// Requests beyond the first for each batch.
    pub retries: u64,
    /// What the last attempt met, while nothing is acknowledged since.
    pub stalled: Option<String>,
}

impl ShipReport {
    /// The counts of all files together.
    pub fn total(&self) -> ReportTotal {
        self.files.iter().fold(ReportTotal::default(), |mut total, file| {
            total.add(&file.counts);
            total
        })
    }

    /// Whether the collector took every record of what it acknowledged.
    pub fn is_complete(&self) -> bool {
        self.records_rejected == 0
    }
}

impl ReportTotal {
    pub(super) fn add(&mut self, other: &Self) {
        self.lines += other.lines;
        self.records_accepted += other.records_accepted;
        self.lines_unparsed += other.lines_unparsed;
        self.timestamps_replaced += other.timestamps_replaced;
        self.parts += other.parts;
    }

    /// Counts what was read; nothing is accepted yet.
    pub(super) fn read(&mut self, line: &Line<'_>, done: Interpreted) {
        self.lines += u64::from(line.part.is_none_or(|part| part.number == 1));
        self.parts += u64::from(line.part.is_some());
        self.lines_unparsed += u64::from(done.unparsed);
        self.timestamps_replaced += u64::from(done.timestamp_replaced);
    }
}
