//! Bytes of headers and entries; the drawing is at the head of the crate.

/// Length of both copies of a file's header.
pub(crate) const HEADER_BYTES: u64 = 1024;
/// Length of one copy: a sector, so that no single one holds both.
pub(crate) const HEADER_COPY_BYTES: usize = 512;
/// Length of an entry without meta and payload.
pub(crate) const HEAD_BYTES: usize = 48;
pub(crate) const ENTRY_MAGIC: [u8; 4] = *b"LQSE";
pub(crate) const FILE_VERSION: u32 = 1;
pub(crate) const SUFFIX: &str = ".spool";
pub(crate) const NEW_SUFFIX: &str = ".spool.new";
const FILE_MAGIC: [u8; 4] = *b"LQSP";

/// A place in the spool.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    pub(crate) file: u64,
    pub(crate) position: u64,
}

/// What a file's header tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FileHeader {
    pub(crate) version: u32,
    pub(crate) spool_id: u128,
    pub(crate) number: u64,
    pub(crate) id: u64,
    /// Number, id and trusted end of the file before; zeros for the first.
    pub(crate) predecessor: (u64, u64, u64),
}

impl FileHeader {
    /// Both copies.
    pub(crate) fn encode(&self) -> [u8; HEADER_BYTES as usize] {
        let mut copy = Vec::with_capacity(HEADER_COPY_BYTES);
        copy.extend_from_slice(&FILE_MAGIC);
        copy.extend_from_slice(&self.version.to_le_bytes());
        copy.extend_from_slice(&self.spool_id.to_le_bytes());
        let (number, id, end) = self.predecessor;
        for value in [self.number, self.id, number, id, end] {
            copy.extend_from_slice(&value.to_le_bytes());
        }
        copy.resize(HEADER_COPY_BYTES - 4, 0);
        copy.extend_from_slice(&crc32c::crc32c(&copy).to_le_bytes());
        let mut both = [0; HEADER_BYTES as usize];
        both[..HEADER_COPY_BYTES].copy_from_slice(&copy);
        both[HEADER_COPY_BYTES..].copy_from_slice(&copy);
        both
    }

    /// One copy; `None` if it is not what was written.
    pub(crate) fn decode(copy: &[u8]) -> Option<Self> {
        let (body, crc) = copy.get(..HEADER_COPY_BYTES)?.split_last_chunk::<4>()?;
        if crc32c::crc32c(body) != u32::from_le_bytes(*crc) {
            return None;
        }
        let mut input = Input(body);
        if input.array()? != FILE_MAGIC {
            return None;
        }
        Some(Self {
            version: input.u32()?,
            spool_id: u128::from_le_bytes(input.array()?),
            number: input.u64()?,
            id: input.u64()?,
            predecessor: (input.u64()?, input.u64()?, input.u64()?),
        })
    }
}

/// What an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Kind {
    Checkpoint = 1,
    Batch = 2,
    Note = 3,
    Acknowledge = 4,
}

/// The fixed part of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) kind: Kind,
    pub(crate) meta_bytes: u32,
    pub(crate) payload_bytes: u32,
    pub(crate) number: u64,
    pub(crate) synced_to: u64,
    pub(crate) meta_crc: u32,
    pub(crate) payload_crc: u32,
}

impl Head {
    /// Lengths are bounded by the caller far below 4 GiB.
    pub(crate) fn new(
        kind: Kind,
        number: u64,
        synced_to: u64,
        meta: &[u8],
        payload: &[u8],
    ) -> Self {
        Self {
            kind,
            meta_bytes: meta.len() as u32,
            payload_bytes: payload.len() as u32,
            number,
            synced_to,
            meta_crc: crc32c::crc32c(meta),
            payload_crc: crc32c::crc32c(payload),
        }
    }

    pub(crate) fn encode(&self, file_id: u64, position: u64) -> [u8; HEAD_BYTES] {
        let mut bytes = [0; HEAD_BYTES];
        bytes[..4].copy_from_slice(&ENTRY_MAGIC);
        bytes[4] = self.kind as u8;
        bytes[8..12].copy_from_slice(&self.meta_bytes.to_le_bytes());
        bytes[12..16].copy_from_slice(&self.payload_bytes.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.number.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.synced_to.to_le_bytes());
        bytes[32..36].copy_from_slice(&self.meta_crc.to_le_bytes());
        bytes[36..40].copy_from_slice(&self.payload_crc.to_le_bytes());
        let crc = head_crc(file_id, position, &bytes[..44]);
        bytes[44..].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// `None` if this is not the head of an entry of this file at this position.
    pub(crate) fn decode(bytes: &[u8], file_id: u64, position: u64) -> Option<Self> {
        let (body, crc) = bytes.get(..HEAD_BYTES)?.split_last_chunk::<4>()?;
        if body[..4] != ENTRY_MAGIC || head_crc(file_id, position, body) != u32::from_le_bytes(*crc)
        {
            return None;
        }
        let mut input = Input(&body[4..]);
        let [kind, ..] = input.array::<4>()?;
        Some(Self {
            kind: match kind {
                1 => Kind::Checkpoint,
                2 => Kind::Batch,
                3 => Kind::Note,
                4 => Kind::Acknowledge,
                _ => return None,
            },
            meta_bytes: input.u32()?,
            payload_bytes: input.u32()?,
            number: input.u64()?,
            synced_to: input.u64()?,
            meta_crc: input.u32()?,
            payload_crc: input.u32()?,
        })
    }

    /// Length of the whole entry.
    pub(crate) fn total(&self) -> u64 {
        HEAD_BYTES as u64 + u64::from(self.meta_bytes) + u64::from(self.payload_bytes)
    }
}

fn head_crc(file_id: u64, position: u64, body: &[u8]) -> u32 {
    let crc = crc32c::crc32c(&file_id.to_le_bytes());
    let crc = crc32c::crc32c_append(crc, &position.to_le_bytes());
    crc32c::crc32c_append(crc, body)
}

/// Numbers that every checkpoint repeats.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counters {
    pub(crate) next: u64,
    /// First unacknowledged number.
    pub(crate) first: u64,
    /// At or before the first unacknowledged batch, behind all others.
    pub(crate) cursor: Place,
    pub(crate) payload_bytes: u64,
}

/// What is known of a file that is not written any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FileInfo {
    pub(crate) number: u64,
    pub(crate) id: u64,
    /// Up to here it is to be trusted.
    pub(crate) end: u64,
    /// Its first batch, and the number after its last one.
    pub(crate) batches: (u64, u64),
}

pub(crate) fn encode_checkpoint(counters: &Counters, files: &[FileInfo]) -> Vec<u8> {
    let Counters { next, first, cursor, payload_bytes } = *counters;
    let mut meta = Vec::with_capacity(44 + 40 * files.len());
    put(&mut meta, &[next, first, cursor.file, cursor.position, payload_bytes]);
    meta.extend_from_slice(&(files.len() as u32).to_le_bytes());
    for file in files {
        put(&mut meta, &[file.number, file.id, file.end, file.batches.0, file.batches.1]);
    }
    meta
}

pub(crate) fn decode_checkpoint(meta: &[u8]) -> Option<(Counters, Vec<FileInfo>)> {
    let mut input = Input(meta);
    let counters = Counters {
        next: input.u64()?,
        first: input.u64()?,
        cursor: Place { file: input.u64()?, position: input.u64()? },
        payload_bytes: input.u64()?,
    };
    let count = input.u32()? as usize;
    // Exact, so that a length that lies reserves nothing.
    if input.0.len() != count.checked_mul(40)? {
        return None;
    }
    let mut files = Vec::with_capacity(count);
    for _ in 0..count {
        files.push(FileInfo {
            number: input.u64()?,
            id: input.u64()?,
            end: input.u64()?,
            batches: (input.u64()?, input.u64()?),
        });
    }
    Some((counters, files))
}

/// One acknowledgement, as an entry has it and as a later one carries it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Acknowledgement<'a> {
    pub(crate) cursor: Place,
    pub(crate) payload_bytes: u64,
    pub(crate) note: &'a [u8],
}

impl<'a> Acknowledgement<'a> {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(24 + self.note.len());
        put(&mut bytes, &[self.cursor.file, self.cursor.position, self.payload_bytes]);
        bytes.extend_from_slice(self.note);
        bytes
    }

    pub(crate) fn decode(bytes: &'a [u8]) -> Option<Self> {
        let mut input = Input(bytes);
        Some(Self {
            cursor: Place { file: input.u64()?, position: input.u64()? },
            payload_bytes: input.u64()?,
            note: input.0,
        })
    }
}

/// Acknowledgements that the next synced entry repeats, already encoded.
#[derive(Debug, Default)]
pub(crate) struct Carried {
    pub(crate) count: u32,
    bytes: Vec<u8>,
}

impl Carried {
    pub(crate) fn push(&mut self, number: u64, acknowledgement: &[u8]) {
        self.count += 1;
        put(&mut self.bytes, &[number]);
        self.bytes.extend_from_slice(&(acknowledgement.len() as u32).to_le_bytes());
        self.bytes.extend_from_slice(acknowledgement);
    }

    /// How much an entry grows by them.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes.len()
    }

    pub(crate) fn clear(&mut self) {
        self.count = 0;
        self.bytes.clear();
    }

    /// The meta of a batch or a note.
    pub(crate) fn meta(&self, note: &[u8]) -> Vec<u8> {
        let mut meta = Vec::with_capacity(4 + self.bytes.len() + note.len());
        meta.extend_from_slice(&self.count.to_le_bytes());
        meta.extend_from_slice(&self.bytes);
        meta.extend_from_slice(note);
        meta
    }
}

/// A carried acknowledgement with its number.
pub(crate) type CarriedAcknowledgement<'a> = (u64, Acknowledgement<'a>);

/// The meta of a batch or a note: what it carries, and its own note.
pub(crate) fn decode_meta(meta: &[u8]) -> Option<(Vec<CarriedAcknowledgement<'_>>, &[u8])> {
    let mut input = Input(meta);
    let mut carried = Vec::new();
    for _ in 0..input.u32()? {
        let number = input.u64()?;
        let length = input.u32()? as usize;
        let (bytes, rest) = input.0.split_at_checked(length)?;
        input.0 = rest;
        carried.push((number, Acknowledgement::decode(bytes)?));
    }
    Some((carried, input.0))
}

pub(crate) fn file_name(number: u64) -> String {
    format!("{number:016}{SUFFIX}")
}

/// The number in a file's name; `None` for files that are not ours.
pub(crate) fn file_number(name: &str, suffix: &str) -> Option<u64> {
    let digits = name.strip_suffix(suffix)?;
    let ours = digits.len() >= 16 && digits.bytes().all(|byte| byte.is_ascii_digit());
    // There is always a next one, whatever a stray file is called.
    digits.parse().ok().filter(|number| ours && (1..1 << 63).contains(number))
}

fn put(bytes: &mut Vec<u8>, values: &[u64]) {
    values.iter().for_each(|value| bytes.extend_from_slice(&value.to_le_bytes()));
}

struct Input<'a>(&'a [u8]);

impl Input<'_> {
    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, tail) = self.0.split_first_chunk::<N>()?;
        self.0 = tail;
        Some(*head)
    }

    fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn arbitrary_bytes_are_read_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = FileHeader::decode(&bytes);
            let _ = Head::decode(&bytes, 1, 2);
            let _ = decode_checkpoint(&bytes);
            let _ = decode_meta(&bytes);
            let _ = Acknowledgement::decode(&bytes);
        }

        #[test]
        fn a_head_is_good_only_in_its_file_and_at_its_position(file in 0u64..4, position in 0u64..4) {
            let head = Head::new(Kind::Batch, 7, 9, b"meta", b"payload");
            let decoded = Head::decode(&head.encode(1, 2), file, position);
            prop_assert_eq!(decoded, (file == 1 && position == 2).then_some(head));
        }
    }

    #[test]
    fn what_is_carried_comes_back_in_order() {
        let mut carried = Carried::default();
        let acknowledgement = Acknowledgement {
            cursor: Place { file: 1, position: 2 },
            payload_bytes: 3,
            note: b"acknowledged",
        };
        carried.push(5, &acknowledgement.encode());
        carried.push(6, &acknowledgement.encode());
        let meta = carried.meta(b"own");
        let (found, note) = decode_meta(&meta).unwrap();
        assert_eq!(found, [(5, acknowledgement), (6, acknowledgement)]);
        assert_eq!(note, b"own");
    }

    #[test]
    fn only_names_of_ours_are_numbers() {
        assert_eq!(file_number("0000000000000007.spool", SUFFIX), Some(7));
        assert_eq!(file_number("0000000000000007.spool.new", NEW_SUFFIX), Some(7));
        for name in ["7.spool", "0000000000000000.spool", "000000000000000x.spool", "x"] {
            assert_eq!(file_number(name, SUFFIX), None, "{name}");
        }
    }
}
