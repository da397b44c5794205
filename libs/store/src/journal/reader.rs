//! Reads journal files back after a start: cuts a torn end, sets damage apart, gives every good entry.

use std::path::{Path, PathBuf};

use file_system::FileSystem;
use tantivy::directory::OwnedBytes;

use super::candidates::Candidates;
use super::entry::{self, Entry};
use super::{FILE_HEADER_BYTES, FileHeader, torn};
use crate::error::{Result, StoreError};
use crate::files::StoreFiles;

/// Bytes of a file that should have been entries and are not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct JournalDamage {
    pub(crate) path: PathBuf,
    pub(crate) start: u64,
    pub(crate) end: u64,
    /// The first record_seq and the number of records that the bytes claim to be, where nothing good follows that
    /// would tell.
    pub(crate) claimed: Option<(u64, u32)>,
}

/// A journal file, mapped, with the places of its entries.
#[derive(Debug)]
pub(crate) struct ReplayedFile {
    pub(crate) header: FileHeader,
    /// Where its good bytes end.
    pub(crate) end: u64,
    pub(crate) damage: Vec<JournalDamage>,
    bytes: OwnedBytes,
    entries: Vec<usize>,
}

impl ReplayedFile {
    /// The good entries, in order.
    pub(crate) fn entries(&self) -> impl Iterator<Item = Entry<'_>> {
        self.entries.iter().filter_map(|position| {
            entry::decode(&self.bytes, self.header.file_id, *position).map(|(entry, _)| entry)
        })
    }

    /// The group that was written last, and where; what lies before it was durable when it was written.
    pub(crate) fn last_group(&self) -> Option<(u64, &[u8])> {
        let start = self.entries().last()?.synced_to;
        let bytes = self.bytes.get(start as usize..self.end as usize)?;
        Some((start, bytes))
    }

    /// The damaged bytes of a range.
    pub(crate) fn bytes(&self, damage: &JournalDamage) -> &[u8] {
        &self.bytes[damage.start as usize..damage.end as usize]
    }
}

/// Journal files by id.
pub(crate) fn list_files(fs: &dyn FileSystem, folder: &Path) -> Result<Vec<(u64, PathBuf)>> {
    let files = fs.list(folder).map_err(StoreError::io("list", folder))?;
    let mut found: Vec<_> = files
        .into_iter()
        .filter_map(|(name, _)| {
            let id = name.strip_suffix(".journal")?.parse().ok()?;
            Some((id, folder.join(name)))
        })
        .collect();
    found.sort();
    Ok(found)
}

/// Reads one file. `trusted_to` is what the next file's header says of this one; `None` for the last.
///
/// Gives `None` for a file without a readable header when nothing good is in it: it was being created.
pub(crate) fn read_file(
    fs: &dyn StoreFiles,
    file_id: u64,
    path: &Path,
    trusted_to: Option<u64>,
) -> Result<Option<ReplayedFile>> {
    let bytes = match fs.map(path) {
        Ok(bytes) => bytes,
        // An empty file cannot be mapped everywhere; it was being created.
        Err(_) if fs.read(path).is_ok_and(|content| content.is_empty()) => return Ok(None),
        Err(error) => return Err(StoreError::io("read", path)(error)),
    };
    let header = FileHeader::from_bytes(&bytes).filter(|header| header.file_id == file_id);
    let mut damage = Vec::new();
    let start = FILE_HEADER_BYTES as usize;
    let limit = trusted_to.map_or(bytes.len(), |end| (end as usize).min(bytes.len()));
    let (entries, end) =
        scan(&bytes[..limit], file_id, start, trusted_to.is_some(), |start, end| {
            damage.push(JournalDamage {
                path: path.to_owned(),
                start: start as u64,
                end: end as u64,
                claimed: None,
            });
        });
    if trusted_to.is_none()
        && let Some(damaged_end) = torn::damaged_end(&bytes, file_id, end)
    {
        damage.push(JournalDamage {
            path: path.to_owned(),
            start: end as u64,
            end: damaged_end as u64,
            claimed: torn::claimed_records(&bytes, end),
        });
    }
    let header = match header {
        Some(header) => header,
        None if entries.is_empty() && damage.is_empty() => return Ok(None),
        None => {
            damage.push(JournalDamage {
                path: path.to_owned(),
                start: 0,
                end: FILE_HEADER_BYTES,
                claimed: None,
            });
            FileHeader { file_id, previous_file_id: 0, previous_end: 0, first_record_seq: 0 }
        }
    };
    Ok(Some(ReplayedFile { header, end: end as u64, damage, bytes, entries }))
}

/// Finds the good entries from `start` on. `whole` says that everything up to the end is known durable.
fn scan(
    bytes: &[u8],
    file_id: u64,
    start: usize,
    whole: bool,
    mut damaged: impl FnMut(usize, usize),
) -> (Vec<usize>, usize) {
    let candidates = Candidates::new(bytes, file_id);
    let mut entries = Vec::new();
    let mut position = start;
    loop {
        while let Some((_, end)) = entry::decode(bytes, file_id, position) {
            entries.push(position);
            position = end;
        }
        let rest = bytes.get(position..).unwrap_or_default();
        // Look for the next good entry behind what cannot be read.
        let next = candidates.from(position).find_map(|at| {
            entry::decode(bytes, file_id, at).map(|(entry, _)| (at, entry.synced_to))
        });
        match next {
            Some((at, synced_to)) => {
                if whole || synced_to > position as u64 || torn::was_written(bytes, position, at) {
                    damaged(position, at);
                }
                position = at;
            }
            None => {
                if whole && !rest.is_empty() {
                    damaged(position, bytes.len());
                }
                return (entries, position);
            }
        }
    }
}
