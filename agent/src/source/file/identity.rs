//! Which file is which: by device, inode and how the content begins, never by name alone.
//!
//! Inodes are used again, often at once. Most file systems say when an inode was made, which tells a new file from
//! an old one; where it is not said, the head has to.
//!
//! The head is the xxh3 hash of the first 1,024 bytes, or of all there are; it grows with a shorter file. Hashes at
//! 8, 16, … 512 bytes are kept beside it, because a copy can be shorter than what was read of its original:
//! lines that came between copying and truncating are in the original only.
//!
//! Names only narrow down where a copy is looked for: see [`originals`].

use std::ffi::{OsStr, OsString};
use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Read};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::time::UNIX_EPOCH;

use serde::{Deserialize, Serialize};
use twox_hash::XxHash3_64;

use crate::lines::decompressed;

/// How much of a file's beginning tells it from others.
pub(super) const HEAD_BYTES: usize = 1024;

/// Hashes of the first 8, 16, … 512 bytes.
const STEPS: usize = 7;

/// How a file begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// How many bytes were hashed, at most 1,024.
    pub length: u32,
    /// xxh3 (64 bits, seed 0) of them.
    pub hash: u64,
    /// The same of the first 8, 16, … 512 bytes; 0 where the file is shorter.
    pub steps: [u64; STEPS],
}

impl Default for Head {
    /// Of nothing: everything begins so.
    fn default() -> Self {
        Self::of(b"")
    }
}

impl Head {
    /// Of content that begins with `bytes`; what is beyond 1,024 does not count.
    pub(super) fn of(bytes: &[u8]) -> Self {
        let bytes = &bytes[..bytes.len().min(HEAD_BYTES)];
        let mut steps = [0; STEPS];
        for (at, step) in steps.iter_mut().enumerate() {
            if let Some(begin) = bytes.get(..step_bytes(at)) {
                *step = XxHash3_64::oneshot(begin);
            }
        }
        Self { length: bytes.len() as u32, hash: XxHash3_64::oneshot(bytes), steps }
    }

    /// Whether content that begins with `bytes` begins as this did.
    pub(super) fn begins(&self, bytes: &[u8]) -> bool {
        let begin = bytes.get(..self.length as usize);
        self.length == 0 || begin.is_some_and(|begin| XxHash3_64::oneshot(begin) == self.hash)
    }

    /// As [`begins`](Self::begins), also for content that is shorter than what this was made of, as far as
    /// there is evidence.
    pub(super) fn begins_or_cut(&self, bytes: &[u8]) -> bool {
        if bytes.len() >= self.length as usize {
            return self.begins(bytes);
        }
        let step = (0..STEPS).rev().find(|at| step_bytes(*at) <= bytes.len());
        step.is_some_and(|at| XxHash3_64::oneshot(&bytes[..step_bytes(at)]) == self.steps[at])
    }
}

fn step_bytes(at: usize) -> usize {
    8 << at
}

/// Where the content of a file lies, whatever it is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Place {
    pub(super) device: u64,
    pub(super) inode: u64,
    /// When the inode was made, in ns; 0 where the file system does not say.
    pub(super) born: u64,
}

impl Place {
    pub(super) fn of(metadata: &Metadata) -> Self {
        let born = metadata.created().ok().and_then(|at| at.duration_since(UNIX_EPOCH).ok());
        let born = born.map_or(0, |since| u64::try_from(since.as_nanos()).unwrap_or(0));
        Self { device: metadata.dev(), inode: metadata.ino(), born }
    }

    /// Whether both may be one file: an inode that was made anew is another one, where that is known.
    pub(super) fn is(self, other: Self) -> bool {
        let known = self.born != 0 && other.born != 0;
        self.device == other.device
            && self.inode == other.inode
            && (!known || self.born == other.born)
    }
}

/// Changes when a file was written to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Stamp {
    pub(super) size: u64,
    modified: (i64, i64),
}

impl Stamp {
    /// Differs from that of every file.
    pub(super) const NEVER: Self = Self { size: 0, modified: (i64::MIN, -1) };

    pub(super) fn of(metadata: &Metadata) -> Self {
        Self { size: metadata.len(), modified: (metadata.mtime(), metadata.mtime_nsec()) }
    }

    /// By time, then by size.
    pub(super) fn age(&self) -> (i64, i64) {
        self.modified
    }
}

/// The place that a path leads to, if it leads to a regular file.
pub(super) fn place_at(path: &Path) -> io::Result<Option<(Place, Stamp)>> {
    match std::fs::metadata(path) {
        Ok(metadata) if metadata.is_file() => {
            Ok(Some((Place::of(&metadata), Stamp::of(&metadata))))
        }
        Ok(_) => Ok(None),
        Err(error) if is_absent(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Whether the error says that nothing is there.
pub(super) fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

/// Opens a regular file and nothing else. The caller has seen already that it is one, because opening a pipe is
/// noticed by its writer; should it have become one since, opening does not block.
pub(super) fn open_regular(path: &Path) -> io::Result<(File, Metadata)> {
    let flags = rustix::fs::OFlags::NONBLOCK | rustix::fs::OFlags::NOCTTY;
    let file = OpenOptions::new().read(true).custom_flags(flags.bits() as i32).open(path)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(io::Error::new(io::ErrorKind::NotFound, "no longer a regular file"));
    }
    Ok((file, metadata))
}

/// The first bytes of a file, at most 1,024.
pub(super) fn read_head(file: &File) -> io::Result<Vec<u8>> {
    let mut head = vec![0; HEAD_BYTES];
    let length = read_at(file, &mut head, 0)?;
    head.truncate(length);
    Ok(head)
}

/// Fills `into` from `offset` on, as far as the file goes.
pub(super) fn read_at(file: &File, into: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut length = 0;
    while length < into.len() {
        match file.read_at(&mut into[length..], offset + length as u64) {
            Ok(0) => break,
            Ok(read) => length += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(length)
}

/// The first bytes of what a compressed file holds, at most 1,024; fewer where it is damaged.
pub(super) fn read_decompressed_head(file: File) -> io::Result<Vec<u8>> {
    let mut input = decompressed(file)?;
    let mut head = vec![0; HEAD_BYTES];
    let mut length = 0;
    while length < HEAD_BYTES {
        match input.read(&mut head[length..]) {
            Ok(0) => break,
            Ok(read) => length += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            // What is wrong with it is told when it is read.
            Err(_) => break,
        }
    }
    head.truncate(length);
    Ok(head)
}

/// Whether the file is named as a compressed one.
pub(super) fn is_compressed_name(path: &Path) -> bool {
    let extension = path.extension().and_then(OsStr::to_str);
    matches!(extension, Some("gz" | "zst" | "zstd"))
}

/// The names that a file may have been copied from, as it is called `name`: those that it begins with, cut before
/// anything but a letter (`app.log` for `app.log.1`), and the one without the numbers (`app.log` for
/// `app-20260101.log`).
pub(super) fn originals(name: &OsStr) -> Vec<OsString> {
    let bytes = name.as_bytes();
    let cut = (1..bytes.len()).filter(|at| !bytes[*at].is_ascii_alphabetic());
    let mut found: Vec<OsString> = cut.map(|at| OsString::from_vec(bytes[..at].to_vec())).collect();
    let family = family(name);
    if family != name && !found.contains(&family) {
        found.push(family);
    }
    found
}

/// The name without what rotation adds: the ending of a compressed file, and numbers and dates behind `.`, `-`
/// and `_`. All of `app.log`, `app.log.2.gz` and `app-2026-01-01.log` are of the family `app.log`.
pub(super) fn family(name: &OsStr) -> OsString {
    let bytes = name.as_bytes();
    let plain = [&b".gz"[..], b".zst", b".zstd"].iter().find_map(|end| bytes.strip_suffix(*end));
    let bytes = plain.unwrap_or(bytes);
    let mut rest = Vec::with_capacity(bytes.len());
    let mut number = false;
    for (at, byte) in bytes.iter().enumerate() {
        let next = bytes.get(at + 1).is_some_and(u8::is_ascii_digit);
        number = at > 0
            && (next && matches!(byte, b'.' | b'-' | b'_') || number && byte.is_ascii_digit());
        if !number {
            rest.push(*byte);
        }
    }
    OsString::from_vec(rest)
}

/// Whether a file called `name` may hold what one called `original` held.
pub(super) fn is_related(original: &OsStr, name: &OsStr) -> bool {
    original != name
        && (originals(name).iter().any(|from| from == original) || family(original) == family(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_that_of_longer_content_and_not_of_other_content() {
        let text: Vec<u8> = (0..3000_u32).map(|at| (at * 7 % 251) as u8).collect();
        for length in [0, 1, 7, 8, 9, 500, 1023, 1024, 2000] {
            let head = Head::of(&text[..length]);
            assert_eq!(head.length as usize, length.min(HEAD_BYTES));
            assert!(head.begins(&text[..length]) && head.begins(&text));
            let mut other = text.clone();
            if length > 0 {
                other[length.min(HEAD_BYTES) - 1] ^= 1;
                assert!(!head.begins(&other), "{length}");
                assert!(!head.begins(&text[..length.min(HEAD_BYTES) - 1]), "{length}");
            }
        }
    }

    #[test]
    fn a_shorter_copy_is_known_by_its_last_step() {
        let text = b"0123456789abcdef and more";
        let head = Head::of(text);
        assert!(head.begins_or_cut(&text[..20]) && head.begins_or_cut(&text[..8]));
        assert!(!head.begins_or_cut(&text[..7]), "too little to tell");
        assert!(!head.begins_or_cut(b"0123456789abcdeX and"));
    }

    #[test]
    fn the_hash_is_the_same_for_ever() {
        assert_eq!(Head::of(b"").hash, 0x2d06_8005_38d3_94c2);
        assert_eq!(Head::of(b"how it begins").hash, XxHash3_64::oneshot(b"how it begins"));
    }

    #[test]
    fn copies_are_told_by_name() {
        let check = |original: &str, name: &str, related: bool| {
            assert_eq!(is_related(original.as_ref(), name.as_ref()), related, "{original} {name}");
        };
        for name in [
            "app.log.1",
            "app.log.1.gz",
            "app.log-20260101",
            "app.log-20260101.gz",
            "app-20260101.log",
            "app-20260101.log.gz",
            "app.1.log",
            "app_2026-01-01.log.zst",
            "app.log1",
            "app.log.old",
            "app.log~",
        ] {
            check("app.log", name, true);
        }
        check("app.log.1", "app.log.2.gz", true);
        check("0.log", "0.log.20260101-120000.gz", true);
        for name in ["app.log", "app2.log", "other.log", "app.logs", "app-web.log", "ap.log.1", "a"]
        {
            check("app.log", name, false);
        }
    }
}
