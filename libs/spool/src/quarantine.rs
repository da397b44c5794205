//! Keeps damaged bytes for a person to look at, up to a bound.

use std::io;
use std::path::{Path, PathBuf};

use file_system::{FileSystem, write_whole};

/// Bytes that the quarantine may hold; beyond it damage is reported and its bytes are not kept.
const QUARANTINE_BYTES_MAX: u64 = 64 << 20;

fn folder_of(folder: &Path) -> PathBuf {
    folder.join("quarantine")
}

/// Copies bytes `from` to `to` of a file; gives where they are now. That it cannot be done must keep nobody
/// from going on, so there is no error; the same bytes are copied once.
pub(crate) fn keep(
    fs: &dyn FileSystem,
    folder: &Path,
    path: &Path,
    from: u64,
    to: u64,
) -> Option<PathBuf> {
    match try_keep(fs, folder, path, from, to) {
        Ok(kept) => kept,
        Err(error) => {
            tracing::error!(
                file = %path.display(), from, to, %error, "spool is damaged; its bytes cannot be set apart"
            );
            None
        }
    }
}

fn try_keep(
    fs: &dyn FileSystem,
    folder: &Path,
    path: &Path,
    from: u64,
    to: u64,
) -> io::Result<Option<PathBuf>> {
    let Some(name) = path.file_name().filter(|_| from < to) else { return Ok(None) };
    let name = format!("{}.{from}-{to}", name.to_string_lossy());
    let quarantine = folder_of(folder);
    fs.create_folder(&quarantine)?;
    let there = fs.list(&quarantine)?;
    if there.iter().any(|(other, _)| *other == name) {
        return Ok(Some(quarantine.join(name)));
    }
    let used: u64 = there.iter().map(|(_, length)| length).sum();
    if used.saturating_add(to - from) > QUARANTINE_BYTES_MAX {
        tracing::error!(file = %path.display(), from, to, "spool is damaged; the quarantine is full");
        return Ok(None);
    }
    let mut bytes = vec![0; (to - from) as usize];
    let filled = fs.open_read(path)?.read_at(&mut bytes, from)?;
    let kept = write_whole(fs, &quarantine, &name, &bytes[..filled])?;
    tracing::error!(file = %path.display(), from, to, "spool is damaged; bytes set apart");
    Ok(Some(kept))
}

/// Moves a whole file away.
pub(crate) fn move_away(fs: &dyn FileSystem, folder: &Path, path: &Path) -> io::Result<()> {
    let quarantine = folder_of(folder);
    fs.create_folder(&quarantine)?;
    let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
    fs.rename(path, &quarantine.join(name))
}
