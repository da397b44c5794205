//! Reads everything in a data folder that no process uses, and tells what is damaged. Changes nothing.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use file_system::{FileSystem, RealFileSystem};

use super::FOLDER;
use crate::catalog::{Catalog, CatalogState, SqliteCatalog};
use crate::error::{Result, StoreError};
use crate::files::StoreFiles;
use crate::journal;
use crate::lock::lock_folder;
use crate::segment::{self, Segment, SegmentFolder, SegmentId, SegmentMeta};

/// What was looked at and what is wrong.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CheckReport {
    /// Segments whose checksums were computed.
    pub segments: u64,
    /// Their bytes.
    pub segment_bytes: u64,
    /// Rows in segments.
    pub rows: u64,
    /// Journal files that were read.
    pub journal_files: u64,
    /// Good entries in them.
    pub journal_entries: u64,
    /// Records in those that are in no segment.
    pub journal_records: u64,
    /// Files of flushes and merges that did not end; the next start removes them.
    pub unpublished_files: u64,
    /// Files set apart earlier.
    pub quarantined_files: u64,
    /// What is damaged.
    pub faults: Vec<CheckFault>,
}

/// Something damaged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckFault {
    /// The file, in the data folder.
    pub path: PathBuf,
    /// What is wrong with it, and what the next start will do.
    pub detail: String,
}

/// Checks a data folder.
///
/// # Errors
/// [`StoreError::Locked`] while a process uses it; [`StoreError::NewerVersion`]; when the folder cannot be read.
pub fn check(data: &Path) -> Result<CheckReport> {
    if !data.join("VERSION").is_file() {
        let detail = "it has no VERSION file, so it is no data folder of logq";
        return Err(StoreError::corrupt(data, detail));
    }
    let _lock = lock_folder(data)?;
    let fs = RealFileSystem;
    let mut report = CheckReport::default();
    let state = catalog(data, &mut report);
    segments(&fs, data, state.as_ref(), &mut report)?;
    entries(&fs, data, state.as_ref(), &mut report)?;
    let quarantined = std::fs::read_dir(data.join(FOLDER)).map_or(0, Iterator::count);
    report.quarantined_files = quarantined as u64;
    Ok(report)
}

impl CheckReport {
    fn fault(&mut self, path: impl Into<PathBuf>, detail: impl Into<String>) {
        self.faults.push(CheckFault { path: path.into(), detail: detail.into() });
    }
}

fn catalog(data: &Path, report: &mut CheckReport) -> Option<CatalogState> {
    let path = data.join("catalog.db");
    if !path.is_file() {
        report.fault("catalog.db", "is gone; the next start makes it again from the segments");
        return None;
    }
    let opened = SqliteCatalog::open(&path).and_then(|mut catalog| {
        catalog.check_integrity()?;
        catalog.load()
    });
    match opened {
        Ok(state) => Some(state),
        Err(StoreError::Corrupt { detail, .. }) => {
            let then = "the next start makes it again from segments and journal";
            report.fault("catalog.db", format!("{detail}; {then}"));
            None
        }
        Err(error) => {
            report.fault("catalog.db", error.to_string());
            None
        }
    }
}

fn segments(
    fs: &RealFileSystem,
    data: &Path,
    state: Option<&CatalogState>,
    report: &mut CheckReport,
) -> Result<()> {
    let folder = data.join("segments");
    if !folder.is_dir() {
        if state.is_some_and(|state| !state.segments.is_empty()) {
            report.fault("segments", "the folder is gone, and every segment with it");
        }
        return Ok(());
    }
    let files = fs.list(&folder).map_err(StoreError::io("list", &folder))?;
    let there: BTreeSet<SegmentId> =
        files.iter().filter_map(|(name, _)| segment::segment_of_file(name)).collect();
    let Some(state) = state else {
        // Without a catalog the footers are all there is.
        for id in there {
            match segment::read_footer(fs, &folder, id) {
                Ok((meta, _)) => check_segment(&folder, meta, report),
                Err(error) => report.fault(segment_path(id), error.to_string()),
            }
        }
        return Ok(());
    };
    let known: BTreeSet<SegmentId> = state.segments.iter().map(|meta| meta.id).collect();
    let apart: BTreeSet<SegmentId> = state.quarantined.iter().map(|apart| apart.meta.id).collect();
    for (name, _) in &files {
        let id = segment::segment_of_file(name.strip_suffix(".tmp").unwrap_or(name));
        let ours = id.is_some_and(|id| known.contains(&id) || apart.contains(&id));
        report.unpublished_files += u64::from(id.is_some() && (!ours || name.ends_with(".tmp")));
    }
    for meta in &state.segments {
        check_segment(&folder, meta.clone(), report);
    }
    for apart in &state.quarantined {
        let rows = apart.meta.rows;
        report.fault(
            segment_path(apart.meta.id),
            format!("was set apart: {}; its {rows} rows cannot be read", apart.reason),
        );
    }
    Ok(())
}

fn check_segment(folder: &Path, meta: SegmentMeta, report: &mut CheckReport) {
    report.segments += 1;
    report.segment_bytes += meta.bytes();
    report.rows += u64::from(meta.rows);
    let (id, rows) = (meta.id, meta.rows);
    let folder = SegmentFolder::new(Arc::new(RealFileSystem), folder.into(), 0, 0);
    let segment = Segment::new(meta, folder);
    segment.verify();
    if let Some(damage) = segment.damage() {
        let then = match segment.damaged_records() {
            Some(_) => format!("it will be set apart, and its {rows} rows cannot be read"),
            None => "it will be built again from the columns; no row is lost".to_owned(),
        };
        report.fault(segment_path(id), format!("{damage}; {then}"));
    }
}

fn segment_path(id: SegmentId) -> PathBuf {
    Path::new("segments").join(segment::file_name(id, segment::RECORDS_SUFFIX))
}

fn entries(
    fs: &RealFileSystem,
    data: &Path,
    state: Option<&CatalogState>,
    report: &mut CheckReport,
) -> Result<()> {
    let folder = data.join("journal");
    if !folder.is_dir() {
        // A folder that was restored has none before its first start.
        return Ok(());
    }
    let fs: &dyn StoreFiles = fs;
    let floor = state.map_or(0, |state| state.marks.journal_floor);
    let next_record_seq = state.map_or(0, |state| state.marks.next_record_seq);
    let mut files = journal::list_files(fs, &folder)?;
    files.retain(|(id, _)| *id >= floor);
    let mut last = floor.saturating_sub(1);
    for (index, (file_id, path)) in files.iter().enumerate() {
        let next = match files.get(index + 1) {
            Some((next_id, next_path)) => journal::read_file(fs, *next_id, next_path, None)?,
            None => None,
        };
        let trusted_to = next
            .filter(|next| next.header.previous_file_id == *file_id)
            .map(|next| next.header.previous_end);
        let Some(file) = journal::read_file(fs, *file_id, path, trusted_to)? else { continue };
        report.journal_files += 1;
        let name = Path::new("journal").join(path.file_name().unwrap_or_default());
        let previous = file.header.previous_file_id;
        if state.is_some() && previous > last && previous >= floor {
            report.fault(&name, format!("the file before it, {previous:016}.journal, is gone"));
        }
        last = *file_id;
        for damage in &file.damage {
            let then = "they will be set apart, the entries around them are kept";
            report.fault(
                &name,
                format!("bytes {} to {} are damaged; {then}", damage.start, damage.end),
            );
        }
        for entry in file.entries() {
            report.journal_entries += 1;
            if entry.first_record_seq >= next_record_seq {
                report.journal_records += u64::from(entry.records);
            }
        }
    }
    Ok(())
}
