//! The disk: what a data folder takes, and how quickly the disk makes a write durable.

use std::fs::{self, File};
use std::io::{Seek, SeekFrom, Write};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context;
use serde::Serialize;

use crate::samples::Samples;

/// Size of a block in `st_blocks`, whatever the file system's own is.
const BLOCK_BYTES: u64 = 512;
/// A batch as the journal writes it.
const PROBE_LARGE_BYTES: usize = 4 << 20;
/// A single small record.
const PROBE_SMALL_BYTES: usize = 4 << 10;
const PROBE_ROUNDS: usize = 30;

/// What a data folder takes on the disk, in bytes of allocated blocks, as `du` counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct DiskUsage {
    pub(crate) segments_bytes: u64,
    pub(crate) journal_bytes: u64,
    pub(crate) catalog_bytes: u64,
    pub(crate) other_bytes: u64,
    /// Files of rows in the segments folder.
    pub(crate) segments: u64,
}

impl DiskUsage {
    /// Walks a data folder. A file that goes while it is walked counts as gone.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub(crate) fn of(data: &Path) -> anyhow::Result<Self> {
        let mut usage = Self::default();
        usage.add_folder(data, data).with_context(|| format!("cannot walk {}", data.display()))?;
        Ok(usage)
    }

    pub(crate) fn total_bytes(&self) -> u64 {
        self.segments_bytes + self.journal_bytes + self.catalog_bytes + self.other_bytes
    }

    fn add_folder(&mut self, data: &Path, folder: &Path) -> std::io::Result<()> {
        for item in fs::read_dir(folder)? {
            let item = item?;
            let Ok(metadata) = item.metadata() else { continue };
            if metadata.is_dir() {
                self.add_folder(data, &item.path())?;
                continue;
            }
            let path = item.path();
            let below =
                path.strip_prefix(data).expect("the walk stays below the folder").to_string_lossy();
            let bytes = metadata.blocks() * BLOCK_BYTES;
            if below.starts_with("segments/") {
                self.segments_bytes += bytes;
                self.segments += u64::from(below.ends_with(".records.parquet"));
            } else if below.starts_with("journal/") {
                self.journal_bytes += bytes;
            } else if below.starts_with("catalog.db") {
                self.catalog_bytes += bytes;
            } else {
                self.other_bytes += bytes;
            }
        }
        Ok(())
    }
}

/// How long `fdatasync` takes after a write into a file that is already laid out: the floor under every
/// acknowledgement.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct SyncProbe {
    pub(crate) large_bytes: usize,
    pub(crate) large: Samples,
    pub(crate) small_bytes: usize,
    pub(crate) small: Samples,
}

impl SyncProbe {
    /// Writes and syncs in `folder`; the file is gone afterwards.
    ///
    /// # Errors
    /// When the folder cannot be written.
    pub(crate) fn run(folder: &Path) -> anyhow::Result<Self> {
        let mut file = tempfile::tempfile_in(folder).context("cannot write beside the data")?;
        let large = probe(&mut file, PROBE_LARGE_BYTES)?;
        let small = probe(&mut file, PROBE_SMALL_BYTES)?;
        Ok(Self { large_bytes: PROBE_LARGE_BYTES, large, small_bytes: PROBE_SMALL_BYTES, small })
    }
}

fn probe(file: &mut File, bytes: usize) -> anyhow::Result<Samples> {
    let block = vec![0x5a_u8; bytes];
    file.seek(SeekFrom::Start(0))?;
    for _ in 0..PROBE_ROUNDS {
        file.write_all(&block)?;
    }
    file.sync_all()?;
    file.seek(SeekFrom::Start(0))?;
    let rounds: Vec<Duration> = (0..PROBE_ROUNDS)
        .map(|_| {
            file.write_all(&block)?;
            let begun = Instant::now();
            file.sync_data()?;
            Ok(begun.elapsed())
        })
        .collect::<std::io::Result<_>>()?;
    Ok(Samples::new(rounds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_counted_by_their_place() {
        let data = tempfile::tempdir().unwrap();
        fs::create_dir_all(data.path().join("segments")).unwrap();
        fs::create_dir_all(data.path().join("journal")).unwrap();
        for name in [
            "segments/1.records.parquet",
            "segments/1.index.tantivy",
            "journal/1",
            "catalog.db-wal",
            "LOCK",
        ] {
            fs::write(data.path().join(name), vec![1; 5_000]).unwrap();
        }
        let usage = DiskUsage::of(data.path()).unwrap();
        assert_eq!(usage.segments, 1);
        assert!(
            usage.segments_bytes >= 10_000
                && usage.catalog_bytes >= 5_000
                && usage.other_bytes >= 5_000
        );
        assert!(usage.total_bytes() >= 25_000);
    }

    #[test]
    fn the_probe_measures_both_sizes() {
        let folder = tempfile::tempdir().unwrap();
        let probe = SyncProbe::run(folder.path()).unwrap();
        assert_eq!((probe.large.runs(), probe.small.runs()), (PROBE_ROUNDS, PROBE_ROUNDS));
    }
}
