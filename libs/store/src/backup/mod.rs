//! Backup: a consistent copy of a running store in a folder, and a data folder made of it again.
//!
//! ```text
//! server   begin_snapshot: flush · under the lock of the marks: copy of the catalog, hold of its segments ─▶ Manifest
//!          open_snapshot_file: bytes of the copy and of the segments, until the lease ends (snapshot.rs)
//! client   BackupFolder: what DIR lacks is written beside what it has; the manifest last; then what is left over goes
//!          (folder.rs)
//! restore  check all · build DATA under another name · generation · rename (restore.rs)
//! ```
//!
//! ```text
//! DIR/manifest.json                                     see [`Manifest`]; what it does not name does not count
//! DIR/catalog-1a2b3c4d.db                               catalog.db, by its crc32c
//! DIR/segments/0000000000000042-1a2b3c4d.records.parquet
//! DIR/LOCK                                              flock of who writes or reads it
//! ```
//!
//! A snapshot is one transaction of the catalog and the files that it names, so its account adds up by itself:
//! accepted = indexed + expired + quarantined, with nothing in parts. The catalog goes as SQLite's own copy, with every
//! table that it has: a backup is read by whoever reads the data folder of its version.

mod contents;
mod error;
mod folder;
mod manifest;
mod restore;
mod snapshot;

pub use error::BackupError;
pub use folder::{BackupFolder, BackupWriter, Kept};
pub use manifest::{BackupFile, MANIFEST_VERSION, Manifest};
pub use restore::{Checked, Progress, Restored, check_backup, restore};
pub use snapshot::{LEASE, SNAPSHOTS_MAX, SnapshotFile, SnapshotStatus};
pub(crate) use snapshot::{Snapshots, remove_copies};

#[cfg(test)]
mod tests;
