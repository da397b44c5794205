//! Looks at a spool that nobody uses at the moment, and sets apart what a start would pass over.

use std::fmt;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use file_system::FileSystem;

use crate::error::{Result, SpoolError};
use crate::format::{FileInfo, Kind, file_name};
use crate::quarantine;
use crate::recover::{Recovered, recover};
use crate::scan::ScannedFile;

/// What is in a spool. Its `Display` is for a terminal.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// The folder.
    pub folder: PathBuf,
    /// The spool's id; `None` if there is no file to tell it.
    pub id: Option<u128>,
    /// The files that are needed, oldest first.
    pub files: Vec<FileReport>,
    /// Batches that are not acknowledged.
    pub unacknowledged: Option<RangeInclusive<u64>>,
    /// Bytes of their payloads.
    pub payload_bytes: u64,
    /// No checkpoint can be read.
    pub state_lost: bool,
    /// What came last may be gone.
    pub rewound: bool,
    /// Bytes at the end that were not confirmed when they were written; no problem.
    pub torn_bytes: u64,
    /// What is not as it was written.
    pub problems: Vec<Problem>,
    /// Whether the torn end was cut.
    pub cut: bool,
}

/// A file and its entries by kind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FileReport {
    /// The file.
    pub path: PathBuf,
    /// Its length.
    pub length: u64,
    /// Up to where it is trusted.
    pub end: u64,
    /// Checkpoints: one, unless it is damaged.
    pub checkpoints: u64,
    /// Batches, acknowledged or not.
    pub batches: u64,
    /// Notes without a batch.
    pub notes: u64,
    /// Acknowledgements.
    pub acknowledgements: u64,
}

/// Something that is not as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The file.
    pub file: PathBuf,
    /// Where it begins.
    pub from: u64,
    /// Where it ends.
    pub to: u64,
    /// In words.
    pub what: &'static str,
    /// Unacknowledged batches that are gone or harmed.
    pub batches: Option<RangeInclusive<u64>>,
    /// Where its bytes were put.
    pub quarantined: Option<PathBuf>,
}

/// Reads all entries with their payloads. Changes nothing; no process may be writing.
///
/// # Errors
/// As for [`Spool::open`](crate::Spool::open).
pub fn check(fs: &dyn FileSystem, folder: &Path) -> Result<Report> {
    examine(fs, folder).map(|(report, _)| report)
}

/// As [`check`], and then puts copies of damaged bytes into the quarantine and cuts the torn end, as a start
/// would. Nothing that can be read is changed; the damage itself leaves with its file.
///
/// # Errors
/// As for [`Spool::open`](crate::Spool::open).
pub fn repair(fs: &dyn FileSystem, folder: &Path) -> Result<Report> {
    let (mut report, recovered) = examine(fs, folder)?;
    for problem in &mut report.problems {
        problem.quarantined = quarantine::keep(fs, folder, &problem.file, problem.from, problem.to);
    }
    if let Some(newest) = recovered.files.last().filter(|_| report.torn_bytes > 0) {
        let path = folder.join(file_name(newest.number));
        let cut = fs.open_write(&path).and_then(|mut file| {
            file.set_length(newest.end)?;
            file.sync()
        });
        cut.map_err(SpoolError::io("cut", &path))?;
        report.cut = true;
    }
    Ok(report)
}

fn examine(fs: &dyn FileSystem, folder: &Path) -> Result<(Report, Recovered)> {
    let recovered = recover(fs, folder, &mut |_| {})?;
    let counters = recovered.counters;
    let mut report = Report {
        folder: folder.to_owned(),
        id: recovered.spool_id,
        unacknowledged: (counters.first < counters.next)
            .then(|| counters.first..=counters.next - 1),
        payload_bytes: counters.payload_bytes,
        state_lost: recovered.opening.state_lost,
        rewound: recovered.opening.rewound,
        torn_bytes: recovered.opening.torn_bytes,
        ..Report::default()
    };
    for damage in &recovered.opening.damaged {
        report.problems.push(Problem {
            file: damage.file.clone(),
            from: damage.from,
            to: damage.to,
            what: damage.what,
            batches: damage.lost.clone(),
            quarantined: None,
        });
    }
    for info in &recovered.files {
        examine_file(fs, folder, info, counters.first, &mut report)?;
    }
    Ok((report, recovered))
}

fn examine_file(
    fs: &dyn FileSystem,
    folder: &Path,
    info: &FileInfo,
    first: u64,
    report: &mut Report,
) -> Result<()> {
    let path = folder.join(file_name(info.number));
    let Some(mut file) = ScannedFile::open(fs, &path, info.number, info.id)? else {
        return Ok(());
    };
    let length = file.length()?;
    let mut found =
        FileReport { path: path.clone(), length, end: info.end, ..FileReport::default() };
    let limit = info.end.min(length);
    let mut position = crate::format::HEADER_BYTES;
    let mut bad = Vec::new();
    while position < limit {
        let Some(head) = file.head_at(position, limit)? else {
            let to = file.next_head(position + 1, limit)?;
            bad.push((position, to));
            position = to;
            continue;
        };
        if head.kind != Kind::Acknowledge {
            // Torn acknowledgements are carried by the entry behind them.
            bad.retain_mut(|(from, to)| {
                *to = head.synced_to.min(*to);
                from < to
            });
        }
        let to = position + head.total();
        *match head.kind {
            Kind::Checkpoint => &mut found.checkpoints,
            Kind::Batch => &mut found.batches,
            Kind::Note => &mut found.notes,
            Kind::Acknowledge => &mut found.acknowledgements,
        } += 1;
        let batch =
            (head.kind == Kind::Batch && head.number >= first).then_some(head.number..=head.number);
        if head.kind == Kind::Acknowledge && file.meta(position, &head)?.is_none() {
            bad.push((position, to));
        } else if file.meta(position, &head)?.is_none() {
            report.problem(&path, position, to, "an entry whose note is damaged", batch);
        } else if !file.payload_is_good(position, &head)? {
            report.problem(&path, position, to, "a payload", batch);
        }
        position = to;
    }
    for (from, to) in bad {
        report.problem(&path, from, to, "no entry", None);
    }
    report.files.push(found);
    Ok(())
}

impl Report {
    /// Whether everything is as it was written.
    pub fn is_sound(&self) -> bool {
        self.problems.is_empty() && !self.state_lost && !self.rewound
    }

    /// What recovery saw is not said again.
    fn problem(
        &mut self,
        file: &Path,
        from: u64,
        to: u64,
        what: &'static str,
        batches: Option<RangeInclusive<u64>>,
    ) {
        let seen = self
            .problems
            .iter_mut()
            .find(|seen| seen.file == file && seen.from <= from && to <= seen.to);
        match seen {
            Some(seen) if seen.batches.is_none() => seen.batches = batches,
            Some(_) => {}
            None => {
                let file = file.to_owned();
                self.problems.push(Problem { file, from, to, what, batches, quarantined: None });
            }
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.id {
            Some(id) => writeln!(f, "spool {id:032x} in {}", self.folder.display())?,
            None => writeln!(f, "no readable spool in {}", self.folder.display())?,
        }
        for file in &self.files {
            let name = file.path.file_name().unwrap_or_default().to_string_lossy();
            writeln!(
                f,
                "  {name}  {} of {} bytes used: {} checkpoints, {} batches, {} notes, {} acknowledgements",
                file.end,
                file.length,
                file.checkpoints,
                file.batches,
                file.notes,
                file.acknowledgements
            )?;
        }
        match &self.unacknowledged {
            Some(numbers) => writeln!(
                f,
                "{} batches not acknowledged ({} to {}), {} bytes",
                numbers.end() - numbers.start() + 1,
                numbers.start(),
                numbers.end(),
                self.payload_bytes
            )?,
            None => writeln!(f, "all batches are acknowledged")?,
        }
        if self.torn_bytes > 0 {
            let cut = if self.cut { "cut" } else { "will be cut" };
            writeln!(f, "{} bytes of an unconfirmed write at the end, {cut}", self.torn_bytes)?;
        }
        if self.state_lost {
            writeln!(f, "problem: no checkpoint can be read, the state is lost")?;
        }
        if self.rewound {
            writeln!(f, "problem: what came last may be gone, numbers may be given again")?;
        }
        for problem in &self.problems {
            let (from, to) = (problem.from, problem.to);
            write!(
                f,
                "problem: {} bytes {from} to {to}: {}",
                problem.file.display(),
                problem.what
            )?;
            if let Some(batches) = &problem.batches {
                write!(f, "; batches {} to {}", batches.start(), batches.end())?;
            }
            match &problem.quarantined {
                Some(kept) => writeln!(f, "; kept in {}", kept.display())?,
                None => writeln!(f)?,
            }
        }
        if self.is_sound() { writeln!(f, "sound") } else { Ok(()) }
    }
}
