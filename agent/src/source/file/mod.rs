//! Follows files as they grow and are rotated; loses and doubles nothing that can be known.
//!
//! [`FileSource::turn`] reads what is there and hands out events; its caller stores lines together with the
//! [`KnownFile`]s they came from, and gives those back at the next start. The source itself writes nothing. It
//! runs on its caller's thread, takes the time from its caller, and sleeps in [`FileSource::wait`] only.
//!
//! An *incarnation* is one content of a log: rotation gives the log a new one. Which content a file holds is told
//! by its device, its inode and how it begins ([`identity`]), so it is followed under whatever name it gets; a
//! copy of it, compressed or not, is known by how it begins. What always holds:
//!
//! * the lines of one incarnation come in order and once, and before those of the next incarnation of its
//!   `origin`, save those that a writer still puts into a file after it left;
//! * a line without an end waits until nothing more will come: until its file has left and was quiet;
//! * what cannot be known to be whole is told: see [`Notice`].
//!
//! ```text
//! scan      which files there are: known ones, those that left, new ones     patterns, scan, classify
//! rotation  a file began anew, moved, or lies in a copy                      rotation
//! read      lines of a plain file; of a compressed one                       read, compressed
//! table     what is known of each file, which are open                       table
//! watch     being woken instead of looking                                   watch
//! ```
//!
//! Bounds: `files_max` files of a few hundred bytes each, `open_files_max` descriptors, one buffer of a little more
//! than [`LINE_BYTES_MAX`](crate::lines::LINE_BYTES_MAX) for all plain files and one for the compressed file that
//! is being read. What is known of finished files that are no longer found is kept for an hour, of at most 10,000.

mod classify;
mod compressed;
mod event;
mod identity;
mod known;
mod patterns;
mod read;
mod rotation;
mod scan;
mod settings;
mod table;
mod watch;

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::io;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

use self::classify::Candidate;
use self::compressed::Unpacking;
use self::identity::Place;
use self::patterns::Patterns;
use self::table::Table;
use self::watch::Watch;

pub use self::event::{FileEvent, FileStatus, Notice, Turn};
pub use self::identity::Head;
pub use self::known::KnownFile;
pub use self::settings::{FileSettings, StartAt};
pub use self::watch::Waker;

/// Takes what a source hands out; `Break` ends the turn.
type Sink<'a> = &'a mut dyn FnMut(FileEvent<'_>) -> ControlFlow<()>;

/// How often files that left, or that cannot be watched, are looked at.
const POLL_EVERY: Duration = Duration::from_secs(1);

/// How many files that cannot be watched are looked at each time.
const POLL_FILES: usize = 10_000;

/// At most so many states are told.
const STATUS_MAX: usize = 1_000;

/// Why a source cannot begin.
#[derive(Debug, thiserror::Error)]
pub enum FileSourceError {
    /// There is nothing to look for.
    #[error("no file is included, name at least one path or glob")]
    NothingIncluded,
    /// A glob that cannot be understood.
    #[error("the glob `{pattern}` cannot be used: {reason}")]
    Pattern {
        /// As it was given.
        pattern: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The system refused what is needed to begin.
    #[error("files cannot be followed, the system refuses to begin")]
    Start(#[source] io::Error),
}

/// Follows the files of one source.
#[derive(Debug)]
pub struct FileSource {
    settings: FileSettings,
    patterns: Patterns,
    table: Table,
    watch: Watch,
    /// Unread, as far as is known.
    ready: VecDeque<u64>,
    /// Unread, but something else has to come first.
    blocked: BTreeSet<u64>,
    /// Left their origin and are not finished.
    leaving: BTreeSet<u64>,
    /// Files that are held back.
    candidates: HashMap<Place, Candidate>,
    /// Paths that cannot be read, and the last scan that found them so.
    told: HashMap<PathBuf, u32>,
    too_many_told: bool,
    unpacking: Option<Unpacking>,
    buffer: Vec<u8>,
    /// Records from an earlier run, until the first turn.
    restored: Vec<(u64, KnownFile)>,
    first_start: bool,
    scans: u32,
    scan_wanted: bool,
    scanned_at: Option<Instant>,
    scan_took: Duration,
    poll_at: Option<Instant>,
    polled: u64,
}

impl FileSource {
    /// A source that goes on from `known`, the records that were durable, with the offsets that were. Records
    /// whose origin `settings` do not include are left alone. `first_start`: nothing was ever read, so that
    /// `start_at` counts for what exists now.
    ///
    /// # Errors
    /// If a glob is bad, or the system has no descriptors left.
    pub fn new(
        settings: FileSettings,
        known: Vec<(u64, KnownFile)>,
        first_start: bool,
    ) -> Result<Self, FileSourceError> {
        let patterns = Patterns::new(&settings.include, &settings.exclude)?;
        let watch = Watch::new(settings.watch).map_err(FileSourceError::Start)?;
        let mut table = Table::new(settings.open_files());
        known.iter().for_each(|(id, _)| table.reserve(*id));
        let mut restored = known;
        restored.retain(|(_, record)| patterns.matches(&record.origin));
        restored.sort_unstable_by_key(|(id, _)| *id);
        Ok(Self {
            settings,
            patterns,
            table,
            watch,
            ready: VecDeque::new(),
            blocked: BTreeSet::new(),
            leaving: BTreeSet::new(),
            candidates: HashMap::new(),
            told: HashMap::new(),
            too_many_told: false,
            unpacking: None,
            buffer: Vec::new(),
            restored,
            first_start,
            scans: 0,
            scan_wanted: true,
            scanned_at: None,
            scan_took: Duration::ZERO,
            poll_at: None,
            polled: 0,
        })
    }

    /// Takes the numbers of new files from `next`, which other sources take theirs from too.
    pub fn number_from(&mut self, next: Arc<AtomicU64>) {
        self.table.number_from(next);
    }

    /// Reads what is there, about `budget` bytes at most, each file in its turn. `sink` may block. If it answers
    /// `Break`, the turn ends, and the source is good for nothing but being dropped: a new one goes on from what
    /// was stored, and that may include the event which was answered so.
    pub fn turn(
        &mut self,
        now: Instant,
        budget: usize,
        sink: &mut dyn FnMut(FileEvent<'_>) -> ControlFlow<()>,
    ) -> Turn {
        let broken = self.run(now, budget, sink).is_break();
        let more = broken || !self.ready.is_empty();
        Turn { more, wake_at: if more { now } else { self.wake_at(now) } }
    }

    /// Sleeps until a file changed, a [`Waker`] is used, or it is `until` (the `wake_at` of the last turn).
    pub fn wait(&mut self, until: Instant) {
        self.watch.wait(until);
    }

    /// Wakes [`wait`](Self::wait) from another thread.
    pub fn waker(&self) -> Waker {
        self.watch.waker()
    }

    /// How far the files are read: those in trouble and those most behind, at most 1,000.
    pub fn status(&self) -> Vec<FileStatus> {
        let unfinished = self.table.iter().filter(|(_, one)| !one.record.finished);
        let mut states: Vec<_> = unfinished.map(|(id, one)| FileStatus::of(id, one)).collect();
        let rank = |state: &FileStatus| (state.error.is_none(), u64::MAX - state.lag_bytes);
        if states.len() > STATUS_MAX {
            states.select_nth_unstable_by_key(STATUS_MAX, rank);
            states.truncate(STATUS_MAX);
        }
        states.sort_by_key(|state| (rank(state), state.file));
        states
    }

    fn run(&mut self, now: Instant, budget: usize, sink: Sink<'_>) -> ControlFlow<()> {
        for (id, record) in std::mem::take(&mut self.restored) {
            self.table.restore(id, record, now);
        }
        let changes = self.watch.changes();
        self.scan_wanted |= changes.names || changes.missed;
        for path in &changes.files {
            if let Some(id) = self.table.at_path(path) {
                self.queue(id);
            }
        }
        if self.scan_at().is_none_or(|at| at <= now) {
            self.scan(now, sink)?;
        }
        if let Some(error) = self.watch.fault.take() {
            sink(FileEvent::Notice(Notice::Polled { error }))?;
        }
        self.poll(now);
        for id in std::mem::take(&mut self.blocked) {
            self.queue(id);
        }
        let mut bytes = 0;
        while let Some(id) = self.ready.pop_front() {
            if let Some(followed) = self.table.get_mut(id) {
                followed.queued = false;
            }
            bytes += self.visit(id, now, sink)?;
            if bytes >= budget {
                break;
            }
        }
        ControlFlow::Continue(())
    }

    /// Lets a file be visited.
    fn queue(&mut self, id: u64) {
        let Some(followed) = self.table.get_mut(id) else { return };
        if !std::mem::replace(&mut followed.queued, true) {
            self.ready.push_back(id);
        }
    }

    fn known(&self, id: u64, sink: Sink<'_>) -> ControlFlow<()> {
        match self.table.get(id) {
            Some(followed) => sink(FileEvent::Known { file: id, record: &followed.record }),
            None => ControlFlow::Continue(()),
        }
    }

    /// When the next scan is due; `None` before the first one. One that is asked for comes soon, but scanning
    /// takes at most a fiftieth of the time.
    fn scan_at(&self) -> Option<Instant> {
        let pause = if self.scan_wanted {
            (self.scan_took * 50).max(Duration::from_millis(100)).min(self.settings.scan_interval)
        } else {
            self.settings.scan_interval
        };
        Some(self.scanned_at? + pause)
    }

    fn wake_at(&self, now: Instant) -> Instant {
        let mut at = self.scan_at().unwrap_or(now);
        if !self.blocked.is_empty() || !self.leaving.is_empty() || self.watch.polling() {
            at = at.min(self.poll_at.unwrap_or(now));
        }
        for id in &self.leaving {
            if let Some(followed) = self.table.get(*id).filter(|one| one.finish_at > now) {
                at = at.min(followed.finish_at);
            }
        }
        at.max(now)
    }

    /// Looks at files of which nobody tells when they change.
    fn poll(&mut self, now: Instant) {
        let due = self.poll_at.is_none_or(|at| at <= now);
        let mut changed = Vec::new();
        for id in &self.leaving {
            let Some(followed) = self.table.get(*id) else { continue };
            if followed.finish_at <= now || due && followed.has_changed() {
                changed.push(*id);
            }
        }
        if due {
            self.poll_at = Some(now + POLL_EVERY);
            if self.watch.polling() {
                let some: Vec<_> = self.table.after(self.polled).take(POLL_FILES).collect();
                self.polled = if some.len() < POLL_FILES { 0 } else { some[some.len() - 1].0 };
                let unfinished = some.into_iter().filter(|(_, one)| !one.record.finished);
                changed.extend(unfinished.filter(|(_, one)| one.has_changed()).map(|(id, _)| id));
            }
        }
        changed.into_iter().for_each(|id| self.queue(id));
    }
}
