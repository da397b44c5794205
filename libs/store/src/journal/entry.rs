//! One journal entry: a batch as it was received.
//!
//! ```text
//! entry   = magic "LQE1" (4) · length u32 · crc32c u32 · content (length bytes)
//! crc     over file id u64 · position of the entry u64 · content
//! content = received_at i64 · first_record_seq u64 · records u32 · synced_to u64
//!         · decoder_version u16 · format u8 · encoding u8
//!         · tenant (u8 length, bytes)
//!         · named u8; if 1: agent, epoch (u8 length, bytes each) · sequence u64 · first_unacknowledged u64 (MAX = none)
//!         · rejected u32
//!         · payload (the rest, as received)
//! ```
//!
//! All numbers are little-endian. `synced_to` is the position up to which the file was known durable when
//! the entry was written: a good entry that vouches for a bad one before it proves damage; otherwise the
//! bad one is the torn end of a group that was never acknowledged.

use record::Timestamp;
use wire::{BatchName, Encoding, Format};

pub(crate) const MAGIC: [u8; 4] = *b"LQE1";
/// Magic, length and checksum.
pub(crate) const HEADER_BYTES: usize = 12;

/// A batch as the journal keeps it; `payload` is borrowed from the file or the request.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Entry<'a> {
    pub(crate) received_at: Timestamp,
    pub(crate) first_record_seq: u64,
    /// Records accepted; rejected ones take no sequence number.
    pub(crate) records: u32,
    pub(crate) synced_to: u64,
    pub(crate) decoder_version: u16,
    pub(crate) format: Format,
    pub(crate) encoding: Encoding,
    pub(crate) tenant: &'a str,
    pub(crate) name: Option<BatchName>,
    /// Records of the payload that were refused; the decoder of this version refuses the same ones again.
    pub(crate) rejected: u32,
    pub(crate) payload: &'a [u8],
}

/// Appends the entry's bytes to `out`, for its place in its file.
pub(crate) fn encode(entry: &Entry<'_>, file_id: u64, position: u64, out: &mut Vec<u8>) {
    let start = out.len();
    out.extend_from_slice(&MAGIC);
    out.extend_from_slice(&[0; 8]);
    out.extend_from_slice(&entry.received_at.0.to_le_bytes());
    out.extend_from_slice(&entry.first_record_seq.to_le_bytes());
    out.extend_from_slice(&entry.records.to_le_bytes());
    out.extend_from_slice(&entry.synced_to.to_le_bytes());
    out.extend_from_slice(&entry.decoder_version.to_le_bytes());
    out.push(entry.format as u8);
    out.push(entry.encoding as u8);
    put_text(out, entry.tenant);
    match &entry.name {
        None => out.push(0),
        Some(name) => {
            out.push(1);
            put_text(out, &name.agent);
            put_text(out, &name.epoch);
            out.extend_from_slice(&name.sequence.to_le_bytes());
            out.extend_from_slice(&name.first_unacknowledged.unwrap_or(u64::MAX).to_le_bytes());
        }
    }
    out.extend_from_slice(&entry.rejected.to_le_bytes());
    out.extend_from_slice(entry.payload);
    let length = (out.len() - start - HEADER_BYTES) as u32;
    let crc = checksum(file_id, position, &out[start + HEADER_BYTES..]);
    out[start + 4..start + 8].copy_from_slice(&length.to_le_bytes());
    out[start + 8..start + 12].copy_from_slice(&crc.to_le_bytes());
}

/// Upper bound of the encoded length, for deciding whether an entry still fits its file.
pub(crate) fn encoded_bytes_max(entry: &Entry<'_>) -> u64 {
    let names = entry.name.as_ref().map_or(0, |name| name.agent.len() + name.epoch.len() + 18);
    (HEADER_BYTES + 40 + entry.tenant.len() + names + 4 + entry.payload.len()) as u64
}

/// Reads the entry at `position`; `None` if there is no whole, unharmed entry. Also gives its end.
pub(crate) fn decode(file: &[u8], file_id: u64, position: usize) -> Option<(Entry<'_>, usize)> {
    let header = file.get(position..position + HEADER_BYTES)?;
    if header[..4] != MAGIC {
        return None;
    }
    let length = u32::from_le_bytes(header[4..8].try_into().ok()?) as usize;
    let crc = u32::from_le_bytes(header[8..12].try_into().ok()?);
    let start = position + HEADER_BYTES;
    let content = file.get(start..start.checked_add(length)?)?;
    if checksum(file_id, position as u64, content) != crc {
        return None;
    }
    let mut input = Input(content);
    let entry = Entry {
        received_at: Timestamp(i64::from_le_bytes(input.array()?)),
        first_record_seq: u64::from_le_bytes(input.array()?),
        records: u32::from_le_bytes(input.array()?),
        synced_to: u64::from_le_bytes(input.array()?),
        decoder_version: u16::from_le_bytes(input.array()?),
        format: Format::try_from(input.byte()?).ok()?,
        encoding: Encoding::try_from(input.byte()?).ok()?,
        tenant: input.text()?,
        name: match input.byte()? {
            0 => None,
            _ => Some(BatchName {
                agent: input.text()?.to_owned(),
                epoch: input.text()?.to_owned(),
                sequence: u64::from_le_bytes(input.array()?),
                first_unacknowledged: Some(u64::from_le_bytes(input.array()?))
                    .filter(|first| *first != u64::MAX),
            }),
        },
        rejected: u32::from_le_bytes(input.array()?),
        payload: input.0,
    };
    Some((entry, start + length))
}

pub(super) fn checksum(file_id: u64, position: u64, content: &[u8]) -> u32 {
    crc32c::crc32c_append(place_checksum(file_id, position), content)
}

/// What every checksum begins with: where the entry stands.
pub(super) fn place_checksum(file_id: u64, position: u64) -> u32 {
    let crc = crc32c::crc32c(&file_id.to_le_bytes());
    crc32c::crc32c_append(crc, &position.to_le_bytes())
}

fn put_text(out: &mut Vec<u8>, text: &str) {
    // Tenants, agents and epochs are checked to be at most 255 bytes where they enter.
    let text = &text.as_bytes()[..text.len().min(255)];
    out.push(text.len() as u8);
    out.extend_from_slice(text);
}

struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, tail) = self.0.split_first_chunk::<N>()?;
        self.0 = tail;
        Some(*head)
    }

    fn byte(&mut self) -> Option<u8> {
        self.array::<1>().map(|[byte]| byte)
    }

    fn text(&mut self) -> Option<&'a str> {
        let length = usize::from(self.byte()?);
        let (text, tail) = self.0.split_at_checked(length)?;
        self.0 = tail;
        std::str::from_utf8(text).ok()
    }
}
