//! The manifest: what a snapshot is, which files it has, and their checksums. See docs/formats/backup.md.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::BackupError;
use crate::error::StoreError;
use crate::ledger::Ledger;
use crate::segment;

/// Version of the manifest and of the layout around it; a newer one is refused.
pub const MANIFEST_VERSION: u32 = 1;
/// The catalog's place in a data folder.
pub(crate) const CATALOG: &str = "catalog.db";
/// The segments' folder in a data folder and in a backup.
pub(crate) const SEGMENTS: &str = "segments";

/// One snapshot, whole.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// [`MANIFEST_VERSION`] of the writer.
    pub format_version: u32,
    /// Version of the data folder that the files are of.
    pub folder_version: u32,
    /// The program that made it.
    pub logq: String,
    /// When, RFC 3339.
    pub created_at: String,
    /// The id made with the data folder.
    pub store_id: String,
    /// The store's generation then.
    pub generation: u64,
    /// The account at that moment; nothing is in parts.
    pub ledger: Ledger,
    /// How many segments.
    pub segments: u64,
    /// The catalog first, then two files a segment.
    pub files: Vec<BackupFile>,
}

/// Stands before the checksum at the end of a manifest that is kept; the checksum is of all bytes before it. Of bytes,
/// not of members: a manifest stays whole for programs that know of more of them.
const CHECKSUM: &str = "\"crc32c\":";

/// A file of a snapshot.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct BackupFile {
    /// Its place in a data folder: `catalog.db`, or a name in `segments/`.
    pub name: String,
    /// Bytes; at least one.
    pub length: u64,
    /// Of all of them.
    pub crc32c: u32,
}

/// What every version begins with.
#[derive(Deserialize)]
struct Version {
    format_version: u32,
}

impl Manifest {
    /// Bytes of all files.
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.length).sum()
    }

    /// Reads a manifest that is kept at `path`.
    ///
    /// # Errors
    /// [`StoreError::NewerVersion`]; [`StoreError::Corrupt`] for anything that this program would not have written.
    pub fn parse(bytes: &[u8], path: &Path) -> Result<Self, BackupError> {
        let damaged = |error: serde_json::Error| BackupError::damaged(path, error.to_string());
        let Version { format_version: found } = serde_json::from_slice(bytes).map_err(damaged)?;
        if found > MANIFEST_VERSION {
            let (path, supported) = (path.to_owned(), MANIFEST_VERSION);
            return Err(StoreError::NewerVersion { path, found, supported }.into());
        }
        let text = std::str::from_utf8(bytes).unwrap_or_default();
        let sealed = text.rfind(CHECKSUM).is_some_and(|end| {
            let crc = text[end + CHECKSUM.len()..].trim().trim_end_matches('}').trim_end().parse();
            crc == Ok(crc32c::crc32c(&bytes[..end]))
        });
        if !sealed {
            return Err(BackupError::damaged(path, "its checksum does not fit"));
        }
        Self::parse_unsealed(bytes, path)
    }

    /// Reads a manifest that came over the network, without a checksum.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`], as [`Self::parse`].
    pub fn parse_unsealed(bytes: &[u8], path: &Path) -> Result<Self, BackupError> {
        let damaged = |error: serde_json::Error| BackupError::damaged(path, error.to_string());
        let manifest: Self = serde_json::from_slice(bytes).map_err(damaged)?;
        let ours = |file: &BackupFile| file.length > 0 && is_name(&file.name);
        if let Some(file) = manifest.files.iter().find(|file| !ours(file)) {
            return Err(BackupError::damaged(path, format!("it names a file {:?}", file.name)));
        }
        if manifest.files.iter().filter(|file| file.name == CATALOG).count() != 1 {
            return Err(BackupError::damaged(path, "it does not name one catalog"));
        }
        Ok(manifest)
    }

    /// As it is kept, its checksum at the end.
    pub fn to_json(&self) -> Vec<u8> {
        let text = serde_json::to_string_pretty(self).expect("a struct of texts and numbers");
        let members = text.trim_end_matches('}').trim_end();
        let text = format!("{members},\n  ");
        let crc32c = crc32c::crc32c(text.as_bytes());
        format!("{text}{CHECKSUM} {crc32c}\n}}\n").into_bytes()
    }

    pub(crate) fn file(&self, name: &str) -> Option<&BackupFile> {
        self.files.iter().find(|file| file.name == name)
    }
}

impl BackupFile {
    /// Its place in a backup: of files with the same name and other content both can be there.
    pub fn stored_name(&self) -> String {
        let (folder, name) = match self.name.split_once('/') {
            Some((folder, name)) => (format!("{folder}/"), name),
            None => (String::new(), self.name.as_str()),
        };
        let (stem, suffix) = name.split_once('.').unwrap_or((name, ""));
        format!("{folder}{stem}-{:08x}.{suffix}", self.crc32c)
    }
}

/// Whether it is a place in a data folder that a backup may have.
fn is_name(name: &str) -> bool {
    name == CATALOG
        || name.strip_prefix("segments/").is_some_and(|name| {
            [segment::RECORDS_SUFFIX, segment::INDEX_SUFFIX].iter().any(|suffix| {
                segment::segment_of_file(name)
                    .is_some_and(|id| name == segment::file_name(id, suffix))
            })
        })
}

/// Whether a file of a backup's folder has a name that a backup gave it, whole or in the making.
pub(crate) fn is_stored_name(name: &str) -> bool {
    let name = name.strip_suffix(".tmp").unwrap_or(name);
    let Some((stem, suffix)) = name.split_once('.') else { return false };
    let Some((stem, crc)) = stem.rsplit_once('-') else { return false };
    let hex = |text: &str| text.len() == 8 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let plain = format!("{stem}.{suffix}");
    hex(crc) && (plain == CATALOG || is_name(&format!("{SEGMENTS}/{plain}")))
}
