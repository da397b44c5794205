//! What can be chosen of a spool, and what it tells of itself.

/// Bounds of a spool.
#[derive(Clone, Copy, Debug)]
pub struct SpoolOptions {
    /// Length of a file; 16 MiB by default. A file is longer if its checkpoint or first entry asks for it: at
    /// least four times the checkpoint, so that checkpoints stay a small part of what is written.
    pub file_bytes: u64,
    /// Bytes of all files together; 1 GiB by default. An append that would need a file beyond it is refused;
    /// room for two files is kept, so that acknowledgements and notes, which free it again, always find theirs.
    /// It may be passed by a few files after a crash, if the disk refused to give unused space back before it.
    pub bytes_max: u64,
}

impl Default for SpoolOptions {
    fn default() -> Self {
        Self { file_bytes: 16 << 20, bytes_max: 1 << 30 }
    }
}

impl SpoolOptions {
    /// Files are at most an eighth of the whole, so that there are some to let go of.
    pub(crate) fn file_bytes(&self) -> u64 {
        self.file_bytes.min(self.bytes_max / 8).max(4096)
    }

    /// Longest note and payload together.
    pub(crate) fn entry_bytes_max(&self) -> u64 {
        self.bytes_max / 8
    }
}

/// How much a spool holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Batches not acknowledged, damaged ones included.
    pub batches: u64,
    /// Their payloads; those of damaged ones are taken off only when the queue is empty.
    pub payload_bytes: u64,
    /// Bytes of all files, reserved ones included; without the quarantine.
    pub disk_bytes: u64,
    /// Number of the oldest batch that is not acknowledged.
    pub oldest: Option<u64>,
    /// Number of the next batch.
    pub next: u64,
}
