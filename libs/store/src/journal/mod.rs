//! The journal: the write-ahead log of the collector. A batch is acknowledged when its entry is durable.
//!
//! ```text
//! DATA/journal/0000000000000007.journal        one file per flush cut, or when full; preallocated
//! file   = header (64 bytes) · entries without gaps · zeros
//! header = magic "LQJ1" · version u32 · file id u64 · previous file id u64 · previous file's end u64
//!        · first record_seq u64 · zeros · crc32c u32 of the 60 bytes before
//! ```
//!
//! What always holds:
//! * Entries are written in groups, one `fdatasync` a group; a group is acknowledged after it.
//! * After a failed write or sync a file is never written again. Its successor's header says up to where
//!   it is to be trusted (the last successful sync); what lay behind was not acknowledged from it.
//! * So only the last file may have a torn end, which is cut. A bad entry for which a later one vouches, or of which
//!   every sector was written (`torn.rs`), is damage: its bytes go to `DATA/quarantine/`, it is reported, and all
//!   good entries around it are kept.

mod candidates;
mod entry;
mod reader;
mod torn;
mod writer;

pub(crate) use entry::Entry;
pub(crate) use reader::{JournalDamage, ReplayedFile, list_files, read_file};
pub(crate) use writer::JournalWriter;

/// Length of the file header.
pub(crate) const FILE_HEADER_BYTES: u64 = 64;
const FILE_MAGIC: [u8; 4] = *b"LQJ1";
const FILE_VERSION: u32 = 1;

/// What a file's header tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FileHeader {
    pub(crate) file_id: u64,
    /// The file before and how much of it is to be trusted; 0 and 0 for the first.
    pub(crate) previous_file_id: u64,
    pub(crate) previous_end: u64,
    pub(crate) first_record_seq: u64,
}

impl FileHeader {
    fn to_bytes(self) -> [u8; FILE_HEADER_BYTES as usize] {
        let mut bytes = [0; FILE_HEADER_BYTES as usize];
        bytes[..4].copy_from_slice(&FILE_MAGIC);
        bytes[4..8].copy_from_slice(&FILE_VERSION.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.file_id.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.previous_file_id.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.previous_end.to_le_bytes());
        bytes[32..40].copy_from_slice(&self.first_record_seq.to_le_bytes());
        let crc = crc32c::crc32c(&bytes[..60]);
        bytes[60..].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let bytes = bytes.get(..FILE_HEADER_BYTES as usize)?;
        let number =
            |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"));
        let crc = u32::from_le_bytes(bytes[60..].try_into().expect("four bytes"));
        let good = bytes[..4] == FILE_MAGIC
            && bytes[4..8] == FILE_VERSION.to_le_bytes()
            && crc32c::crc32c(&bytes[..60]) == crc;
        good.then(|| Self {
            file_id: number(8),
            previous_file_id: number(16),
            previous_end: number(24),
            first_record_seq: number(32),
        })
    }
}

fn file_name(file_id: u64) -> String {
    format!("{file_id:016}.journal")
}

#[cfg(test)]
mod mutated;
#[cfg(test)]
mod tests;
