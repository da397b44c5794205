//! The bounds within which a stranger's bytes are read.

/// Bounds on one body. The defaults are what the collector uses unless it is configured otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Largest body after decompression, in bytes; beyond it the whole body is refused (413). 64 MiB.
    pub decoded_bytes_max: usize,
    /// Longest JSON line (or single object), in bytes; beyond it the whole body is refused (413), naming
    /// the line. An element of an array that makes a record beyond it is rejected alone. 1 MiB.
    pub record_bytes_max: usize,
    /// What one record may take after its names are flattened, in bytes; beyond it the record is rejected.
    /// Guards against a long key with many children. 16 MiB.
    pub flattened_bytes_max: usize,
    /// Deepest nesting of values in one record; deeper records are rejected. 64, and never taken as more
    /// than 100, which keeps the stack safe.
    pub depth_max: usize,
    /// How many rejections are described one by one; all are counted. 100.
    pub rejected_listed_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            decoded_bytes_max: 64 << 20,
            record_bytes_max: 1 << 20,
            flattened_bytes_max: 16 << 20,
            depth_max: 64,
            rejected_listed_max: 100,
        }
    }
}

impl Limits {
    /// The depth in force: serde_json stops at 128 by itself, and the levels of OTLP's envelope count there.
    pub(crate) fn depth(&self) -> usize {
        self.depth_max.min(100)
    }
}
