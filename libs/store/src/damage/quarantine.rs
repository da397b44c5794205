//! `DATA/quarantine/`: damaged files and pieces of files, kept for a person to look at, never read again.

use std::path::Path;

use file_system::{FileSystem, write_whole};
use serde::{Deserialize, Serialize};

use super::FOLDER;
use crate::catalog::CatalogChange;
use crate::error::{Result, StoreError};
use crate::segment::{INDEX_SUFFIX, RECORDS_SUFFIX, SegmentId, SegmentMeta, file_name};
use crate::store::{Shared, locked};

/// File names that the report of a full quarantine lists.
const NAMES_LISTED: usize = 5;

/// A segment whose rows cannot be read: a row of the catalog, as long as its files are in the quarantine.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Quarantined {
    /// What was known of it.
    pub(crate) meta: SegmentMeta,
    /// What is wrong with it.
    pub(crate) reason: String,
    /// When that was found, ns.
    pub(crate) found_at: i64,
}

/// Keeps a piece of a file.
pub(crate) fn keep_bytes(
    fs: &dyn FileSystem,
    data: &Path,
    source: &Path,
    range: (u64, u64),
    bytes: &[u8],
) -> Result<String> {
    let folder = data.join(FOLDER);
    let source = source.file_name().map_or_else(|| "file".into(), |name| name.to_string_lossy());
    let name = format!("{source}.{}-{}", range.0, range.1);
    fs.create_folder(&folder)
        .and_then(|()| write_whole(fs, &folder, &name, bytes))
        .map_err(StoreError::io("write", &folder))?;
    Ok(name)
}

/// Moves both files of a segment to the quarantine, as far as they are there.
pub(crate) fn move_files(fs: &dyn FileSystem, data: &Path, id: SegmentId) -> Result<()> {
    let (from, to) = (data.join("segments"), data.join(FOLDER));
    fs.create_folder(&to).map_err(StoreError::io("create", &to))?;
    let there = fs.list(&from).map_err(StoreError::io("list", &from))?;
    for suffix in [RECORDS_SUFFIX, INDEX_SUFFIX] {
        let name = file_name(id, suffix);
        if there.iter().any(|(file, _)| *file == name) {
            fs.rename(&from.join(&name), &to.join(&name))
                .map_err(StoreError::io("move", &from.join(&name)))?;
        }
    }
    fs.sync_folder(&to).and_then(|()| fs.sync_folder(&from)).map_err(StoreError::io("sync", &to))
}

/// What lies in the quarantine, for the health page; `None` if nothing does.
pub(crate) fn left_to_look_at(fs: &dyn FileSystem, data: &Path) -> Option<String> {
    let files = fs.list(&data.join(FOLDER)).unwrap_or_default();
    let mut names: Vec<&str> = files.iter().map(|(name, _)| name.as_str()).collect();
    let more = names.len().saturating_sub(NAMES_LISTED);
    names.truncate(NAMES_LISTED);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    (!names.is_empty()).then(|| {
        format!(
            "{}{more} in {FOLDER}/ could not be read; look at them, then remove them and start again",
            names.join(", ")
        )
    })
}

/// Lets go of quarantined segments whose files somebody has removed: they are seen and done with. Their rows stay
/// counted as quarantined, but answers over their time are whole again.
pub(crate) fn release_gone(shared: &Shared) -> Result<()> {
    let there = shared.fs.list(&shared.folder.join(FOLDER)).unwrap_or_default();
    let gone = |id: SegmentId| {
        let names = [RECORDS_SUFFIX, INDEX_SUFFIX].map(|suffix| file_name(id, suffix));
        !there.iter().any(|(file, _)| names.contains(file))
    };
    let released: Vec<SegmentId> = {
        let pieces = locked(&shared.pieces);
        let ids = pieces.quarantined.iter().map(|segment| segment.meta.id);
        ids.filter(|id| gone(*id)).collect()
    };
    if released.is_empty() {
        return Ok(());
    }
    let marks = locked(&shared.marks);
    shared.apply(&CatalogChange {
        marks: marks.clone(),
        quarantined: released.iter().map(|id| (*id, None)).collect(),
        ..CatalogChange::default()
    })?;
    drop(marks);
    shared.change_view(|pieces| {
        pieces.quarantined.retain(|segment| !released.contains(&segment.meta.id));
    });
    Ok(())
}
