//! What a file source is told to do.

use std::time::Duration;

use rustix::process::{Resource, getrlimit};

use super::FileSourceError;
use super::patterns::Patterns;

/// Where reading begins in files that exist when an agent runs for the first time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum StartAt {
    /// Behind their last line.
    #[default]
    End,
    /// At their first line.
    Beginning,
}

/// Which files are followed, and how.
#[derive(Clone, Debug)]
pub struct FileSettings {
    /// Globs; `**` is any number of folders. Relative ones begin at the current folder.
    pub include: Vec<String>,
    /// Globs of files that are left out; without a slash, by name in any folder.
    pub exclude: Vec<String>,
    /// For files that exist at the very first start; later ones are read from their beginning.
    pub start_at: StartAt,
    /// How often all globs are looked through, whatever was told in between.
    pub scan_interval: Duration,
    /// More files are not followed; it is told.
    pub files_max: usize,
    /// How many files are held open, at most half of what the process may.
    pub open_files_max: usize,
    /// A file that was not written to for so long is closed.
    pub close_idle: Duration,
    /// A file that left its path and was not written to for so long is finished; a compressed one that did not
    /// change for so long is read.
    pub finish_after: Duration,
    /// Whether to ask the system to tell of changes; otherwise files are looked at each second.
    pub watch: bool,
}

impl Default for FileSettings {
    fn default() -> Self {
        Self {
            include: Vec::new(),
            exclude: Vec::new(),
            start_at: StartAt::default(),
            scan_interval: Duration::from_secs(10),
            files_max: 200_000,
            open_files_max: 1_024,
            close_idle: Duration::from_secs(60),
            finish_after: Duration::from_secs(5),
            watch: true,
        }
    }
}

impl FileSettings {
    /// Reads the globs.
    ///
    /// # Errors
    /// Which one is none, and why.
    pub(crate) fn check(&self) -> Result<Patterns, FileSourceError> {
        Patterns::new(&self.include, &self.exclude)
    }

    pub(super) fn open_files(&self) -> usize {
        let allowed = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX) / 2;
        self.open_files_max.min(usize::try_from(allowed).unwrap_or(usize::MAX)).max(1)
    }
}
