//! What is remembered of a file over restarts.
//!
//! Paths are kept as text: what is not UTF-8 is written as `\xHH`, and a backslash as `\\`, so that every name
//! that a file can have comes back as it was.

use std::path::Path;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::identity::{Head, Place};
use crate::lines::Line;

/// One incarnation of a followed file. The caller makes it durable together with the lines that it covers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KnownFile {
    /// The path under which it was first found. Rotation does not change it, so all incarnations of one log
    /// share it.
    #[serde(with = "path_text")]
    pub origin: Arc<Path>,
    /// Where it is now, links resolved.
    #[serde(with = "path_text")]
    pub path: Arc<Path>,
    /// The file system that it is on.
    pub device: u64,
    /// Its inode there.
    pub inode: u64,
    /// When that was made, in ns since 1970; 0 where the file system does not say.
    #[serde(default)]
    pub born: u64,
    /// How its (decompressed) content begins.
    pub head: Head,
    /// Up to here it was handed out, in bytes of the decompressed content.
    pub offset: u64,
    /// The number of the line at `offset`, from 1, counted from where reading began.
    pub line_number: u64,
    /// How many parts of the line at `offset` were handed out.
    pub parts: u32,
    /// Whether `path` holds it compressed.
    pub compressed: bool,
    /// Whether it is no longer found under `origin`.
    pub rotated: bool,
    /// Whether nothing more is expected. Set by the caller, once all lines before
    /// [`Finished`](super::FileEvent::Finished) are durable.
    pub finished: bool,
}

impl KnownFile {
    /// Takes in that `line`, which ends at `end`, was consumed.
    pub fn advance(&mut self, line: &Line<'_>, end: u64) {
        self.offset = end;
        match line.part {
            Some(part) if !part.last => {
                self.line_number = line.number;
                self.parts = part.number;
            }
            _ => {
                self.line_number = line.number.saturating_add(1);
                self.parts = 0;
            }
        }
    }

    pub(super) fn place(&self) -> Place {
        Place { device: self.device, inode: self.inode, born: self.born }
    }
}

mod path_text {
    use std::ffi::OsString;
    use std::fmt::Write;
    use std::os::unix::ffi::{OsStrExt, OsStringExt};
    use std::path::{Path, PathBuf};
    use std::sync::Arc;

    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
        let bytes = path.as_os_str().as_bytes();
        let mut text = String::with_capacity(bytes.len());
        for chunk in bytes.utf8_chunks() {
            text.push_str(&chunk.valid().replace('\\', "\\\\"));
            for byte in chunk.invalid() {
                let _ = write!(text, "\\x{byte:02x}");
            }
        }
        serializer.serialize_str(&text)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Arc<Path>, D::Error> {
        let text = String::deserialize(from)?;
        let bytes = bytes_of(&text).ok_or_else(|| D::Error::custom("path with a bad escape"))?;
        Ok(PathBuf::from(OsString::from_vec(bytes)).into())
    }

    fn bytes_of(text: &str) -> Option<Vec<u8>> {
        let mut bytes = Vec::with_capacity(text.len());
        let mut pieces = text.split('\\');
        bytes.extend_from_slice(pieces.next()?.as_bytes());
        while let Some(piece) = pieces.next() {
            if let Some(rest) = piece.strip_prefix('x') {
                bytes.push(u8::from_str_radix(rest.get(..2)?, 16).ok()?);
                bytes.extend_from_slice(&rest.as_bytes()[2..]);
            } else if piece.is_empty() {
                bytes.push(b'\\');
                bytes.extend_from_slice(pieces.next()?.as_bytes());
            } else {
                return None;
            }
        }
        Some(bytes)
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;

    use proptest::prelude::*;

    use super::*;

    fn known(path: &[u8]) -> KnownFile {
        let path: Arc<Path> = Path::new(OsStr::from_bytes(path)).into();
        KnownFile {
            origin: path.clone(),
            path,
            device: 1,
            inode: 2,
            born: 0,
            head: Head::of(b"how it begins"),
            offset: 3,
            line_number: 4,
            parts: 0,
            compressed: false,
            rotated: true,
            finished: false,
        }
    }

    proptest! {
        #[test]
        fn any_name_survives_being_written(
            name in proptest::collection::vec(
                prop_oneof![Just(b'\\'), Just(b'x'), Just(b'0'), any::<u8>()], 0..20),
        ) {
            let file = known(&name);
            let text = serde_json::to_string(&file).unwrap();
            prop_assert_eq!(serde_json::from_str::<KnownFile>(&text).unwrap(), file);
        }

        #[test]
        fn any_text_is_a_path_or_an_error(text in r"[\\x0a/]{0,12}") {
            let value = serde_json::to_value(known(b"a")).unwrap();
            let mut object = value.as_object().unwrap().clone();
            object.insert("path".to_owned(), text.into());
            let _ = serde_json::from_value::<KnownFile>(object.into());
        }
    }
}
