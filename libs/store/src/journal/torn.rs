//! Tells the torn end of a group that was never acknowledged from damage to one that was.
//!
//! A journal file is preallocated with zeros and each of its bytes is written once, so a write that did not end
//! leaves sectors that are still zeros behind the last good entry. Bytes that were all written and are no entry were
//! changed afterwards: that is damage, although no later entry vouches for them. What cannot be told apart counts as
//! torn: an acknowledged last group of which whole sectors were zeroed later. (An entry whose payload has a whole
//! sector of zeros is such a case too.)

use super::entry::{self, HEADER_BYTES};

/// What a disk writes whole.
const SECTOR_BYTES: usize = 512;
/// Zeros at most at the end of a payload, when its length is not to be trusted.
const TRAILING_ZEROS_MAX: usize = 64;

/// Whether every sector of `start..end` was written, as far as it lies in the range.
pub(super) fn was_written(bytes: &[u8], start: usize, end: usize) -> bool {
    let mut at = start;
    while at < end {
        let next = ((at / SECTOR_BYTES + 1) * SECTOR_BYTES).min(end);
        if bytes[at..next].iter().all(|byte| *byte == 0) {
            return false;
        }
        at = next;
    }
    start < end
}

/// Where an entry ends that was written whole at `position`, behind which nothing good follows, and was changed
/// afterwards; `None` for a torn or an empty end.
pub(super) fn damaged_end(bytes: &[u8], file_id: u64, position: usize) -> Option<usize> {
    let rest = bytes.get(position..)?;
    let written = rest.iter().rposition(|byte| *byte != 0).map(|last| position + last + 1)?;
    let magic = rest.get(..entry::MAGIC.len())? == entry::MAGIC;
    if entry::MAGIC.starts_with(&bytes[position..written]) {
        // A process that was killed in a write leaves any prefix of it.
        return None;
    }
    if !magic {
        // The first sector of an entry holds its magic: torn, it would be zeros.
        let first = ((position / SECTOR_BYTES + 1) * SECTOR_BYTES).min(bytes.len());
        return was_written(bytes, position, first).then_some(written);
    }
    let length = u32::from_le_bytes(rest.get(4..8)?.try_into().ok()?) as usize;
    let start = position + HEADER_BYTES;
    let end = start.saturating_add(length);
    if end <= written {
        return was_written(bytes, position, end).then_some(written);
    }
    // A length that was changed: with another one the checksum fits.
    let crc = u32::from_le_bytes(rest.get(8..12)?.try_into().ok()?);
    let ends = written..=(written + TRAILING_ZEROS_MAX).min(bytes.len());
    ends.filter(|end| *end >= start)
        .find(|end| entry::checksum(file_id, position as u64, &bytes[start..*end]) == crc)
}

/// The first number and the count that a damaged entry at `position` claims for its records.
pub(super) fn claimed_records(bytes: &[u8], position: usize) -> Option<(u64, u32)> {
    let content = bytes.get(position + HEADER_BYTES..)?;
    let first = u64::from_le_bytes(content.get(8..16)?.try_into().ok()?);
    let records = u32::from_le_bytes(content.get(16..20)?.try_into().ok()?);
    Some((first, records))
}
