//! The journal of systemd, read through journalctl.
//!
//! The position is the cursor of the last entry; it rides in the batch that the entry is in, so a crash neither loses
//! nor doubles one. Behind the cursor stands how many parts of a long message were taken, if not all: `CURSOR 2`.
//!
//! journalctl is always told to begin *at* the cursor, never after it, and the entry itself is left out here. For
//! `--after-cursor` skips one entry, whichever it finds: where the cursor's own entry is gone, or of a unit or boot
//! that is not asked for, it would skip one that was never read. `--follow` shows only what the last boot wrote, unless
//! journals are merged; so the machine's own journal is first read to its end without it, and a folder of journals,
//! which may be of many machines, is merged.

mod journalctl;
mod records;

use std::io;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use journalctl::{Complaints, Output, PROGRAM, cannot_start};
use records::Entries;

use super::intake::{Covered, Stopped};
use super::reports;
use super::status::SourceView;
use super::stream::Pipeline;
use crate::lines::{Line, LineReader};
use crate::reading::Reading;
use crate::source::file::StartAt;
use crate::source::journald::find_cursor;

/// Longest entry as JSON, in bytes. A longer one is left out and told. Its message may be longer than a line: it is
/// cut as lines are.
const ENTRY_BYTES_MAX: usize = 8 << 20;
/// How long nothing may come before the source looks whether it is to stop.
const PATIENCE: Duration = Duration::from_millis(200);

/// What the user says about a journal.
#[derive(Clone, Debug)]
pub(super) struct JournalOptions {
    /// Only these; all if there are none.
    pub(super) units: Vec<String>,
    /// A folder of journal files, or one file; the machine's own journal if not said.
    pub(super) journal: Option<PathBuf>,
    pub(super) start_at: StartAt,
    pub(super) restart_after: Duration,
}

/// Everything that the thread of a journal owns.
pub(super) struct Journal {
    name: String,
    options: JournalOptions,
    place: Option<Place>,
    /// It never ran before.
    first: bool,
    entries: Entries,
    pipeline: Pipeline,
    view: Arc<SourceView>,
}

/// An entry, and what of it was taken.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Place {
    cursor: String,
    /// Parts of its message; none if all of it was.
    parts: Option<u32>,
}

impl Place {
    fn after(cursor: String) -> Self {
        Self { cursor, parts: None }
    }

    fn before(cursor: String) -> Self {
        Self { cursor, parts: Some(0) }
    }

    fn read(text: &str) -> Self {
        let cut = text.rsplit_once(' ');
        match cut.and_then(|(cursor, parts)| Some((cursor, parts.parse().ok()?))) {
            Some((cursor, parts)) => Self { cursor: cursor.to_owned(), parts: Some(parts) },
            None => Self::after(text.to_owned()),
        }
    }
}

impl Journal {
    /// `known` is the durable position, `first` whether the source never ran before.
    pub(super) fn new(
        name: String,
        options: JournalOptions,
        reading: Reading,
        pipeline: Pipeline,
        view: Arc<SourceView>,
        known: Option<&str>,
        first: bool,
    ) -> Self {
        let path = match &options.journal {
            Some(journal) => format!("journald:{}", journal.display()),
            None => "journald".to_owned(),
        };
        Self {
            entries: Entries::new(name.clone(), path, reading),
            name,
            options,
            place: known.map(Place::read),
            first,
            pipeline,
            view,
        }
    }

    /// Reads until it is told to stop.
    pub(super) fn run(mut self) {
        while !self.stopping() {
            match self.follow() {
                Ok(ended) => self.fail(&ended),
                Err(Stopped) => break,
            }
            let again = Instant::now() + self.options.restart_after;
            while Instant::now() < again && !self.stopping() {
                std::thread::sleep(PATIENCE.min(again.saturating_duration_since(Instant::now())));
            }
        }
        self.show();
    }

    /// Reads what there is and what comes; gives why it ended.
    fn follow(&mut self) -> Result<String, Stopped> {
        if let Err(trouble) = self.find_place() {
            return Ok(trouble);
        }
        if self.options.journal.is_none() {
            let ended = self.read(&[])?;
            if let Err(trouble) = ended {
                return Ok(trouble);
            }
        }
        let ended = self.read(&["--follow", "--no-tail"])?;
        Ok(ended.err().unwrap_or_else(|| format!("{PROGRAM} ended")))
    }

    /// Finds where to begin, or whether what was read last is still there.
    fn find_place(&mut self) -> Result<(), String> {
        let intake = &self.pipeline.intake;
        match &self.place {
            None if self.first && self.options.start_at == StartAt::End => {
                self.place = self.options.last_cursor()?.map(Place::after);
                if let Some(place) = &self.place {
                    intake.cursor_known(&self.name, &place.cursor);
                }
            }
            None => {}
            Some(place) => {
                let found = self.options.first_cursor(&place.cursor)?;
                if found.as_ref() != Some(&place.cursor) {
                    tracing::warn!(source = self.name, "the journal has lost its place");
                    // Where the agent is stopping nothing is read either, and the next start finds the same.
                    let _ = intake.say(reports::journal_position_lost(&self.name));
                    self.place = match found {
                        Some(next) => Some(Place::before(next)),
                        None => self.options.last_cursor()?.map(Place::after),
                    };
                }
            }
        }
        if self.first {
            intake.source_started(&self.name);
            self.first = false;
        }
        Ok(())
    }

    /// Reads all that journalctl prints; the error inside says why that was not all.
    fn read(&mut self, arguments: &[&str]) -> Result<Result<(), String>, Stopped> {
        let mut command = self.options.command();
        command.args(arguments);
        if let Some(place) = &self.place {
            command.arg(format!("--cursor={}", place.cursor));
        }
        command.args(self.options.units.iter().map(|unit| format!("--unit={unit}")));
        let mut child = match command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn() {
            Ok(child) => child,
            Err(error) => return Ok(Err(cannot_start(&error))),
        };
        let complaints = child.stderr.take().map(|errors| Complaints::of(errors, &self.name));
        let read = match child.stdout.take() {
            Some(output) => self.read_lines(Output(output)),
            None => Ok(()),
        };
        if read.is_err() {
            // What it has not handed over yet is read again.
            let _ = child.kill();
        }
        let status = child.wait();
        let complaint = complaints.map(Complaints::last).unwrap_or_default();
        read?;
        Ok(match status {
            Ok(status) if status.success() => Ok(()),
            Ok(status) => Err(format!("{PROGRAM} ended with {status}: {complaint}")),
            Err(error) => Err(format!("{PROGRAM} is gone: {error}")),
        })
    }

    fn read_lines(&mut self, output: Output) -> Result<(), Stopped> {
        let mut lines = LineReader::with_line_bytes_max(output, ENTRY_BYTES_MAX);
        let mut shown = Instant::now();
        let mut begun = self.place.clone();
        let mut too_long = TooLong::default();
        loop {
            let line = match lines.next_line() {
                Ok(None) => break,
                Ok(Some(line)) => Some(line),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => None,
                Err(error) => {
                    self.fail(&error.to_string());
                    break;
                }
            };
            if self.stopping() {
                return Err(Stopped);
            }
            match line {
                Some(Line { part: Some(part), bytes, .. }) => {
                    too_long.add(bytes);
                    if part.last {
                        self.leave_out(&mut too_long, begun.take())?;
                    }
                }
                Some(line) => {
                    let done = self.entries.take(line.bytes, begun.take(), &mut self.pipeline)?;
                    if let Some(cursor) = done.cursor {
                        self.place = Some(Place::after(cursor));
                    }
                    if let Some(trouble) = done.trouble {
                        self.fail(trouble);
                    }
                }
                None => {}
            }
            if line.is_none() || shown.elapsed() >= PATIENCE {
                self.show();
                shown = Instant::now();
            }
        }
        self.show();
        Ok(())
    }

    /// An entry that is too long, seen to its end.
    fn leave_out(
        &mut self,
        too_long: &mut TooLong,
        stopped_at: Option<Place>,
    ) -> Result<(), Stopped> {
        let TooLong { bytes, cursor, told } = std::mem::take(too_long);
        too_long.told = true;
        if stopped_at.is_some_and(|place| Some(place.cursor) == cursor) {
            return Ok(());
        }
        let pipeline = &mut self.pipeline;
        pipeline.counts.lines += 1;
        pipeline.counts.bytes += bytes;
        pipeline.counts.dropped += 1;
        // Where the cursor is not found, that of the next entry covers this one too.
        let covered = match &cursor {
            Some(cursor) => Covered::Cursor { source: &self.name, cursor },
            None => Covered::Nothing,
        };
        pipeline.intake.drop_record(Some("entry_too_long"), covered)?;
        if !told {
            let report = reports::journal_entry_too_long(&self.name, cursor.as_deref(), bytes);
            pipeline.intake.say(report)?;
        }
        if let Some(cursor) = cursor {
            self.place = Some(Place::after(cursor));
        }
        self.fail(&format!("an entry of {bytes} bytes is too long and was left out"));
        Ok(())
    }

    fn stopping(&self) -> bool {
        self.pipeline.stop.load(Ordering::Relaxed)
    }

    fn show(&self) {
        self.view.show(|shown| {
            shown.counts = self.pipeline.counts;
            shown.last_record_ns = self.pipeline.last_record.map_or(0, |time| time.0);
        });
    }

    fn fail(&self, what: &str) {
        let mut told = false;
        self.view.show(|shown| {
            told = shown.last_error.as_deref() == Some(what);
            shown.last_error = Some(what.to_owned());
        });
        // What fails again every second is told once.
        if !told {
            tracing::warn!(source = self.name, "{what}");
        }
    }
}

/// An entry that is too long, as far as it was seen.
#[derive(Debug, Default)]
struct TooLong {
    bytes: u64,
    cursor: Option<String>,
    /// One report is enough; what follows is counted.
    told: bool,
}

impl TooLong {
    fn add(&mut self, bytes: &[u8]) {
        self.bytes += bytes.len() as u64;
        if let Some(cursor) = find_cursor(bytes) {
            self.cursor = Some(cursor.to_owned());
        }
    }
}
