//! A file for each delete that is not done, so that its records stay hidden should the catalog have to be made again
//! from segments and journal, which know nothing of deletes.
//!
//! ```text
//! DATA/deletes/0000000000000001.json   {"delete": {…}, "crc": crc32c of the delete's JSON}
//! ```
//!
//! It is written before the row of the catalog and removed after the row says that the delete is done; its counts are
//! those of the beginning. What a start finds there and not in the catalog is taken into the catalog. After a crash
//! between the two that is a delete which was never answered: it may have happened as well as not.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use file_system::{FileSystem, write_whole};
use serde::{Deserialize, Serialize};

use super::Delete;
use crate::catalog::{Catalog, CatalogChange, CatalogState};
use crate::error::{Result, StoreError};

const FOLDER: &str = "deletes";
const SUFFIX: &str = ".json";

#[derive(Debug, Serialize, Deserialize)]
struct Kept {
    delete: Delete,
    crc: u32,
}

pub(super) fn keep(fs: &dyn FileSystem, data: &Path, delete: &Delete) -> Result<()> {
    let folder = data.join(FOLDER);
    let kept = Kept { delete: delete.clone(), crc: checksum(delete)? };
    let text = serde_json::to_vec(&kept).map_err(StoreError::catalog("describe"))?;
    fs.create_folder(&folder)
        .and_then(|()| write_whole(fs, &folder, &file_name(delete.id), &text))
        .and_then(|_| fs.sync_folder(&folder))
        .and_then(|()| fs.sync_folder(data))
        .map_err(StoreError::io("write", &folder))
}

/// Removes the file; the next start does it if this cannot.
pub(super) fn let_go(fs: &dyn FileSystem, data: &Path, id: u64) {
    let path = data.join(FOLDER).join(file_name(id));
    if let Err(error) = fs.remove(&path) {
        tracing::warn!(path = %path.display(), %error, "cannot remove the file of a delete");
    }
}

/// Takes deletes that have a file and no row into the catalog, and removes the files of those that are done. Gives
/// the files that cannot be read.
///
/// # Errors
/// When the catalog cannot be written.
pub(crate) fn adopt(
    fs: &dyn FileSystem,
    data: &Path,
    catalog: &mut dyn Catalog,
    state: &mut CatalogState,
) -> Result<Vec<PathBuf>> {
    let folder = data.join(FOLDER);
    let known: BTreeMap<u64, bool> =
        state.deletes.iter().map(|delete| (delete.id, delete.done_at.is_some())).collect();
    let (mut adopted, mut unreadable) = (BTreeMap::new(), Vec::new());
    // No folder is an empty one: the first delete makes it.
    for (name, _) in fs.list(&folder).unwrap_or_default() {
        let path = folder.join(&name);
        let Some(id) = name.strip_suffix(SUFFIX).and_then(|id| id.parse().ok()) else {
            if name.ends_with(".tmp") {
                fs.remove(&path).map_err(StoreError::io("remove", &path))?;
            }
            continue;
        };
        match known.get(&id) {
            Some(true) => let_go(fs, data, id),
            Some(false) => {}
            None => match read(fs, &path) {
                Some(delete) if delete.id == id => {
                    tracing::warn!(id, "the catalog did not know of a delete; it hides again");
                    adopted.insert(id, Some(delete));
                }
                _ => unreadable.push(path),
            },
        }
    }
    if !adopted.is_empty() {
        let marks = state.marks.clone();
        let change = CatalogChange { marks, deletes: adopted, ..CatalogChange::default() };
        catalog.apply(&change)?;
        state.deletes.extend(change.deletes.into_values().flatten());
    }
    Ok(unreadable)
}

fn read(fs: &dyn FileSystem, path: &Path) -> Option<Delete> {
    let kept: Kept = serde_json::from_slice(&fs.read(path).ok()?).ok()?;
    (checksum(&kept.delete).ok()? == kept.crc).then_some(kept.delete)
}

fn checksum(delete: &Delete) -> Result<u32> {
    let text = serde_json::to_vec(delete).map_err(StoreError::catalog("describe"))?;
    Ok(crc32c::crc32c(&text))
}

fn file_name(id: u64) -> String {
    format!("{id:016}{SUFFIX}")
}
