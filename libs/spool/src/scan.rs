//! Reads a file's entries through a window of bounded size, and finds the next good one behind bad bytes.
//!
//! No length is believed before the checksum of its head was right and the entry lies within the file.

use std::io;
use std::path::{Path, PathBuf};

use file_system::{FileReader, FileSystem};

use crate::error::{Result, SpoolError};
use crate::format::{ENTRY_MAGIC, FileHeader, HEAD_BYTES, HEADER_BYTES, HEADER_COPY_BYTES, Head};

const WINDOW_BYTES: usize = 64 << 10;

/// A file of the spool, open for reading.
#[derive(Debug)]
pub(crate) struct ScannedFile {
    pub(crate) path: PathBuf,
    pub(crate) number: u64,
    id: u64,
    reader: Box<dyn FileReader>,
    /// Of which the first `filled` bytes are the file's, from `window_start` on.
    window: Vec<u8>,
    filled: usize,
    window_start: u64,
}

/// A file's header, and the bytes of a copy of it that is bad.
#[derive(Debug)]
pub(crate) struct HeaderFound {
    pub(crate) header: Option<FileHeader>,
    pub(crate) bad: Option<(u64, u64)>,
}

impl ScannedFile {
    /// `None` if the file is gone.
    pub(crate) fn open(
        fs: &dyn FileSystem,
        path: &Path,
        number: u64,
        id: u64,
    ) -> Result<Option<Self>> {
        match fs.open_read(path) {
            Ok(reader) => Ok(Some(Self {
                path: path.to_owned(),
                number,
                id,
                reader,
                window: Vec::new(),
                filled: 0,
                window_start: 0,
            })),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(SpoolError::io("open", path)(error)),
        }
    }

    /// What was read may have been written since.
    pub(crate) fn forget(&mut self) {
        self.filled = 0;
    }

    pub(crate) fn length(&self) -> Result<u64> {
        self.reader.length().map_err(SpoolError::io("read", &self.path))
    }

    /// At least `count` bytes from `position` on, or what there is of them, or more.
    fn bytes(&mut self, position: u64, count: usize) -> Result<&[u8]> {
        let end = self.window_start + self.filled as u64;
        if position < self.window_start || position + count as u64 > end {
            if self.window.len() < WINDOW_BYTES.max(count) {
                self.window = vec![0; WINDOW_BYTES.max(count)];
            }
            (self.filled, self.window_start) = (0, position);
            let filled = self.reader.read_at(&mut self.window, position);
            self.filled = filled.map_err(SpoolError::io("read", &self.path))?;
        }
        Ok(&self.window[(position - self.window_start) as usize..self.filled])
    }

    /// The header, from whichever copy is good.
    pub(crate) fn header(&mut self) -> Result<HeaderFound> {
        let number = self.number;
        let bytes = self.bytes(0, HEADER_BYTES as usize)?;
        let decode = |bytes: Option<&[u8]>| {
            bytes.and_then(FileHeader::decode).filter(|header| header.number == number)
        };
        let first = decode(bytes.get(..HEADER_COPY_BYTES));
        let second = decode(bytes.get(HEADER_COPY_BYTES..2 * HEADER_COPY_BYTES));
        let middle = HEADER_COPY_BYTES as u64;
        let bad = match (first, second) {
            (Some(_), None) => Some((middle, HEADER_BYTES)),
            (None, Some(_)) => Some((0, middle)),
            _ => None,
        };
        Ok(HeaderFound { header: first.or(second), bad })
    }

    /// From now on entries of the file with this id are good.
    pub(crate) fn set_id(&mut self, id: u64) {
        self.id = id;
    }

    /// The head of the entry at `position`, if there is a good one whose entry ends at `limit` at the latest.
    pub(crate) fn head_at(&mut self, position: u64, limit: u64) -> Result<Option<Head>> {
        let id = self.id;
        if position + HEAD_BYTES as u64 > limit {
            return Ok(None);
        }
        let head = Head::decode(self.bytes(position, HEAD_BYTES)?, id, position);
        Ok(head.filter(|head| position + head.total() <= limit))
    }

    /// Position of the next good head at or behind `from`; `limit` if there is none.
    pub(crate) fn next_head(&mut self, mut from: u64, limit: u64) -> Result<u64> {
        while from + (HEAD_BYTES as u64) <= limit {
            let bytes = self.bytes(from, HEAD_BYTES)?;
            match memchr::memmem::find(bytes, &ENTRY_MAGIC) {
                Some(at) => {
                    from += at as u64;
                    if self.head_at(from, limit)?.is_some() {
                        return Ok(from);
                    }
                    from += 1;
                }
                None if bytes.len() < HEAD_BYTES => break,
                // The magic may begin in the last three bytes.
                None => from += bytes.len() as u64 - 3,
            }
        }
        Ok(limit)
    }

    /// The meta of the entry at `position`; `None` if it is not what was written.
    pub(crate) fn meta(&mut self, position: u64, head: &Head) -> Result<Option<Vec<u8>>> {
        let start = position + HEAD_BYTES as u64;
        let meta_bytes = head.meta_bytes as usize;
        let meta = if meta_bytes <= WINDOW_BYTES {
            self.bytes(start, meta_bytes)?.get(..meta_bytes).map(<[u8]>::to_vec)
        } else {
            self.piece(start, meta_bytes)?
        };
        Ok(meta.filter(|meta| crc32c::crc32c(meta) == head.meta_crc))
    }

    /// The payload of the entry at `position`; `None` if it is not what was written.
    pub(crate) fn payload(&self, position: u64, head: &Head) -> Result<Option<Vec<u8>>> {
        let start = position + HEAD_BYTES as u64 + u64::from(head.meta_bytes);
        let payload = self.piece(start, head.payload_bytes as usize)?;
        Ok(payload.filter(|payload| crc32c::crc32c(payload) == head.payload_crc))
    }

    /// Whether the payload is what was written, without holding it.
    pub(crate) fn payload_is_good(&mut self, position: u64, head: &Head) -> Result<bool> {
        let mut position = position + HEAD_BYTES as u64 + u64::from(head.meta_bytes);
        let mut left = head.payload_bytes as usize;
        let mut crc = crc32c::crc32c(&[]);
        while left > 0 {
            let bytes = self.bytes(position, 1)?;
            let count = bytes.len().min(left);
            if count == 0 {
                return Ok(false);
            }
            crc = crc32c::crc32c_append(crc, &bytes[..count]);
            position += count as u64;
            left -= count;
        }
        Ok(crc == head.payload_crc)
    }

    /// Some bytes; `None` if the file ends before them.
    pub(crate) fn piece(&self, start: u64, count: usize) -> Result<Option<Vec<u8>>> {
        let mut bytes = vec![0; count];
        let filled =
            self.reader.read_at(&mut bytes, start).map_err(SpoolError::io("read", &self.path))?;
        Ok((filled == count).then_some(bytes))
    }

    /// Where the last byte from `from` on that is not zero ends; `from` if there is none.
    pub(crate) fn written_end(&mut self, from: u64, limit: u64) -> Result<u64> {
        let (mut position, mut end) = (from, from);
        while position < limit {
            let bytes = self.bytes(position, 1)?;
            let bytes = &bytes[..bytes.len().min((limit - position) as usize)];
            if bytes.is_empty() {
                break;
            }
            if let Some(last) = bytes.iter().rposition(|byte| *byte != 0) {
                end = position + last as u64 + 1;
            }
            position += bytes.len() as u64;
        }
        Ok(end)
    }
}
