//! Opens the catalog; where it is gone or damaged, makes it again.
//!
//! `DATA/IDENTITY` keeps what no segment knows: `{"store_id","generation","crc"}`, crc32c over `store_id`, a zero byte,
//! the generation in decimal.

use std::path::Path;

use file_system::write_whole;
use serde::{Deserialize, Serialize};

use super::{FOLDER, rebuild};
use crate::catalog::{Catalog, CatalogState, SqliteCatalog};
use crate::error::{Result, StoreError};
use crate::files::StoreFiles;

const IDENTITY: &str = "IDENTITY";
const DATABASE: &str = "catalog.db";
/// The new catalog until it is whole.
const UNFINISHED: &str = "catalog.db.rebuild";
/// What SQLite keeps beside a database.
const BESIDE: [&str; 3] = ["", "-wal", "-shm"];

#[derive(Debug, Serialize, Deserialize)]
struct Identity {
    store_id: String,
    generation: u64,
    crc: u32,
}

/// The catalog with what it knows, and what is to be told if it had to be made again.
pub(crate) fn open_catalog(
    fs: &dyn StoreFiles,
    data: &Path,
) -> Result<(SqliteCatalog, CatalogState, Option<String>)> {
    let path = data.join(DATABASE);
    let there = fs.list(data).map_err(StoreError::io("list", data))?;
    // A store that was there before leaves one of these, whatever became of its catalog.
    let lived = read_identity(fs, data).is_some() || rebuild::has_segments(fs, data)?;
    let reason = if there.iter().any(|(name, _)| name == DATABASE) {
        match open(&path) {
            // An empty file is an empty database.
            Ok((catalog, _)) if catalog.is_new() && lived => {
                catalog.close()?;
                "it is empty".to_owned()
            }
            Ok((catalog, state)) => {
                write_identity(fs, data, &state)?;
                return Ok((catalog, state, None));
            }
            Err(StoreError::Corrupt { detail, .. }) => detail,
            Err(other) => return Err(other),
        }
    } else if lived {
        "it is gone".to_owned()
    } else {
        let (catalog, state) = open(&path)?;
        write_identity(fs, data, &state)?;
        return Ok((catalog, state, None));
    };
    tracing::error!(reason, "the catalog is damaged; making it again from segments and journal");
    set_aside(fs, data)?;
    let identity = read_identity(fs, data);
    let rebuilt = rebuild::state(fs, data)?;
    let told = format!(
        "it was damaged ({reason}) and was made again from {} segments and the journal; what expired or was deleted \
         before, and epochs retired before, are no longer counted",
        rebuilt.segments.len()
    );
    for beside in BESIDE {
        let path = data.join(format!("{UNFINISHED}{beside}"));
        fs.remove(&path).map_err(StoreError::io("remove", &path))?;
    }
    let unfinished = data.join(UNFINISHED);
    let mut catalog = SqliteCatalog::open(&unfinished)?;
    if let Some(identity) = identity {
        // Whoever was told that something is durable learns that this is not quite the store that said so.
        catalog.set_identity(&identity.store_id, identity.generation + 1)?;
    }
    catalog.apply(&rebuilt.into_change())?;
    catalog.close()?;
    fs.rename(&unfinished, &path)
        .and_then(|()| fs.sync_folder(data))
        .map_err(StoreError::io("rename", &unfinished))?;
    let (catalog, state) = open(&path)?;
    write_identity(fs, data, &state)?;
    Ok((catalog, state, Some(told)))
}

fn open(path: &Path) -> Result<(SqliteCatalog, CatalogState)> {
    let mut catalog = SqliteCatalog::open(path)?;
    catalog.check_integrity()?;
    let state = catalog.load()?;
    Ok((catalog, state))
}

/// Moves the database away under a name that is free.
fn set_aside(fs: &dyn StoreFiles, data: &Path) -> Result<()> {
    let folder = data.join(FOLDER);
    fs.create_folder(&folder).map_err(StoreError::io("create", &folder))?;
    let there = fs.list(data).map_err(StoreError::io("list", data))?;
    let taken = fs.list(&folder).map_err(StoreError::io("list", &folder))?;
    let free = (1..u32::MAX).find(|number| {
        let name = format!("{DATABASE}.{number}");
        !taken.iter().any(|(file, _)| file.starts_with(&name))
    });
    let name = format!("{DATABASE}.{}", free.unwrap_or_default());
    // The database last: while it is there, a start knows that this has to be done.
    for beside in BESIDE.iter().rev() {
        let from = data.join(format!("{DATABASE}{beside}"));
        if there.iter().any(|(file, _)| *file == format!("{DATABASE}{beside}")) {
            fs.rename(&from, &folder.join(format!("{name}{beside}")))
                .map_err(StoreError::io("move", &from))?;
        }
    }
    fs.sync_folder(&folder)
        .and_then(|()| fs.sync_folder(data))
        .map_err(StoreError::io("sync", data))
}

fn read_identity(fs: &dyn StoreFiles, data: &Path) -> Option<Identity> {
    let bytes = fs.read(&data.join(IDENTITY)).ok()?;
    let identity: Identity = serde_json::from_slice(&bytes).ok()?;
    (identity.crc == checksum(&identity.store_id, identity.generation)).then_some(identity)
}

fn write_identity(fs: &dyn StoreFiles, data: &Path, state: &CatalogState) -> Result<()> {
    let known = read_identity(fs, data);
    let same =
        |known: &Identity| known.store_id == state.store_id && known.generation == state.generation;
    if known.as_ref().is_some_and(same) {
        return Ok(());
    }
    let identity = Identity {
        store_id: state.store_id.clone(),
        generation: state.generation,
        crc: checksum(&state.store_id, state.generation),
    };
    let mut text = serde_json::to_vec(&identity).map_err(StoreError::catalog("describe"))?;
    text.push(b'\n');
    write_whole(fs, data, IDENTITY, &text)
        .and_then(|_| fs.sync_folder(data))
        .map_err(StoreError::io("write", &data.join(IDENTITY)))
}

fn checksum(store_id: &str, generation: u64) -> u32 {
    let crc = crc32c::crc32c(store_id.as_bytes());
    let crc = crc32c::crc32c_append(crc, &[0]);
    crc32c::crc32c_append(crc, generation.to_string().as_bytes())
}
