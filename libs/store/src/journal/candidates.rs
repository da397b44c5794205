//! Which of the places behind damage begin a good entry, found in time that grows with the file and no faster.
//!
//! Every place with an entry's magic may be one, and its checksum covers as many bytes as its length says. Whoever sends
//! batches can fill one with magics and lengths; to compute each checksum afresh would then take hours. So checksums of
//! the file's beginnings are computed once, [`STEP_BYTES`] apart, and that of a range follows from those of its two ends:
//!
//! ```text
//! crc(ab) = shift(crc(a), length of b) xor crc(b)        linear, so a table per power of two of the length
//! ```

use std::cell::OnceCell;

use super::entry::{HEADER_BYTES, MAGIC, place_checksum};

/// What is computed afresh at most at each end of a range.
const STEP_BYTES: usize = 256;

/// The places of a file that may begin entries.
pub(super) struct Candidates<'a> {
    bytes: &'a [u8],
    file_id: u64,
    /// Made when the first damage is met.
    tables: OnceCell<Tables>,
}

/// A linear map of checksums: what becomes of each bit.
type Columns = [u32; 32];

struct Tables {
    /// Of the first `index * STEP_BYTES` bytes.
    beginnings: Vec<u32>,
    /// What follows when so many zeros as a power of two come behind.
    shifts: Vec<Columns>,
}

impl<'a> Candidates<'a> {
    pub(super) fn new(bytes: &'a [u8], file_id: u64) -> Self {
        Self { bytes, file_id, tables: OnceCell::new() }
    }

    /// Places from `position` on, in order, whose checksum is that of their content.
    pub(super) fn from(&self, position: usize) -> impl Iterator<Item = usize> {
        let rest = self.bytes.get(position..).unwrap_or_default();
        memchr::memmem::find_iter(rest, &MAGIC)
            .map(move |at| position + at)
            .filter(|at| self.is_whole(*at).unwrap_or(false))
    }

    fn is_whole(&self, at: usize) -> Option<bool> {
        let header = self.bytes.get(at..at + HEADER_BYTES)?;
        let length = u32::from_le_bytes(header[4..8].try_into().ok()?);
        let crc = u32::from_le_bytes(header[8..12].try_into().ok()?);
        let start = at + HEADER_BYTES;
        let end = start.checked_add(length as usize).filter(|end| *end <= self.bytes.len())?;
        let tables = self.tables.get_or_init(|| Tables::new(self.bytes));
        let before = tables.beginning(self.bytes, start) ^ place_checksum(self.file_id, at as u64);
        Some(tables.beginning(self.bytes, end) ^ tables.shift(before, length) == crc)
    }
}

impl Tables {
    fn new(bytes: &[u8]) -> Self {
        let mut beginnings = vec![0];
        let mut crc = 0;
        for step in bytes.chunks_exact(STEP_BYTES) {
            crc = crc32c::crc32c_append(crc, step);
            beginnings.push(crc);
        }
        // One zero more: checksums with the same bytes behind them differ by what the shift makes of their difference.
        let zero = |crc| crc32c::crc32c_append(crc, &[0]);
        let mut columns: Columns = std::array::from_fn(|bit| zero(1 << bit) ^ zero(0));
        let mut shifts = vec![columns];
        // Lengths that do not fit the file are none.
        for _ in 1..usize::BITS - bytes.len().leading_zeros() {
            columns = columns.map(|column| product(&columns, column));
            shifts.push(columns);
        }
        Self { beginnings, shifts }
    }

    /// The checksum of the first `length` bytes.
    fn beginning(&self, bytes: &[u8], length: usize) -> u32 {
        let step = length / STEP_BYTES;
        crc32c::crc32c_append(self.beginnings[step], &bytes[step * STEP_BYTES..length])
    }

    fn shift(&self, mut crc: u32, length: u32) -> u32 {
        for (power, columns) in self.shifts.iter().enumerate() {
            if length >> power & 1 == 1 {
                crc = product(columns, crc);
            }
        }
        crc
    }
}

fn product(columns: &Columns, crc: u32) -> u32 {
    let bits = columns.iter().enumerate().filter(|(bit, _)| crc >> bit & 1 == 1);
    bits.fold(0, |sum, (_, column)| sum ^ column)
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use proptest::prelude::*;

    use super::super::entry::checksum;
    use super::*;

    proptest! {
        #[test]
        fn a_place_is_whole_exactly_if_its_checksum_is_that_of_its_content(
            before in prop::collection::vec(any::<u8>(), 0..600),
            content in prop::collection::vec(any::<u8>(), 0..2_000),
            after in prop::collection::vec(any::<u8>(), 0..600),
            file_id in any::<u64>(),
            flip in any::<prop::sample::Index>(),
        ) {
            let at = before.len();
            let crc = checksum(file_id, at as u64, &content);
            let head = [&MAGIC[..], &(content.len() as u32).to_le_bytes(), &crc.to_le_bytes()];
            let mut bytes = [&before[..], &head.concat(), &content, &after].concat();
            let whole = |bytes: &[u8]| Candidates::new(bytes, file_id).is_whole(at);
            prop_assert_eq!(whole(&bytes), Some(true));
            let place = at + 8 + flip.index(content.len() + 4);
            bytes[place] ^= 1;
            prop_assert_eq!(whole(&bytes), Some(false));
        }
    }

    #[test]
    fn a_file_full_of_magics_with_long_lengths_is_read_in_seconds() {
        // A sender chose them; with each checksum computed afresh this takes hours.
        let place = [&MAGIC[..], &(8_u32 << 20).to_le_bytes(), b"crc?"].concat();
        let bytes = place.repeat((16 << 20) / place.len());
        let began = Instant::now();
        assert_eq!(Candidates::new(&bytes, 1).from(0).count(), 0);
        assert!(began.elapsed() < Duration::from_secs(30), "{:?}", began.elapsed());
    }
}
