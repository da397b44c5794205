//! journalctl as a child: how it is called, what it prints, and what it complains about.

use std::io::{self, BufRead, BufReader, Read};
use std::os::unix::process::CommandExt;
use std::process::{ChildStderr, ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use bumpalo::Bump;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::{JournalOptions, PATIENCE};
use crate::source::journald::Entry;

pub(super) const PROGRAM: &str = "journalctl";
/// What is kept of one line of what it complains about.
const COMPLAINT_BYTES_MAX: u64 = 1 << 10;

impl JournalOptions {
    pub(super) fn command(&self) -> Command {
        let mut command = Command::new(PROGRAM);
        // Without `--all` what is longer than 4 KiB is left out.
        command.args(["--output=json", "--all", "--no-pager"]);
        if let Some(journal) = &self.journal {
            let kind = if journal.is_file() { "--file" } else { "--directory" };
            command.arg("--merge").arg(kind).arg(journal);
        }
        // A group of its own, so that a signal to the agent's group leaves it to the agent.
        command.stdin(Stdio::null()).process_group(0);
        command
    }

    /// The cursor of the last entry of all, whatever its unit.
    pub(super) fn last_cursor(&self) -> Result<Option<String>, String> {
        cursor_of_first(&mut self.command())
    }

    /// The cursor of the entry at `cursor`, or of the next one if it is gone.
    pub(super) fn first_cursor(&self, cursor: &str) -> Result<Option<String>, String> {
        cursor_of_first(self.command().arg(format!("--cursor={cursor}")))
    }
}

fn cursor_of_first(command: &mut Command) -> Result<Option<String>, String> {
    // Other fields may be of any length.
    let output = command.args(["--lines=1", "--output-fields=_BOOT_ID"]).output();
    let output = output.map_err(|error| cannot_start(&error))?;
    if !output.status.success() {
        let complaint = String::from_utf8_lossy(&output.stderr);
        let complaint = complaint.lines().last().unwrap_or_default();
        return Err(format!("{PROGRAM} ended with {}: {complaint}", output.status));
    }
    let line = output.stdout.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let arena = Bump::new();
    Ok(Entry::read(line, &arena).and_then(|entry| entry.cursor.map(str::to_owned)))
}

/// What journalctl prints, or after some time the news that nothing came.
pub(super) struct Output(pub(super) ChildStdout);

impl Read for Output {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let patience = Timespec { tv_sec: 0, tv_nsec: i64::from(PATIENCE.subsec_nanos()) };
        match poll(&mut [PollFd::new(&self.0, PollFlags::IN)], Some(&patience)) {
            Ok(0) => Err(io::ErrorKind::WouldBlock.into()),
            Ok(_) => self.0.read(into),
            Err(error) => Err(error.into()),
        }
    }
}

/// What journalctl complains about: each line goes to the agent's log, and the last one explains its end.
pub(super) struct Complaints {
    last: Arc<Mutex<String>>,
    thread: JoinHandle<()>,
}

impl Complaints {
    pub(super) fn of(errors: ChildStderr, source: &str) -> Self {
        let last = Arc::new(Mutex::new(String::new()));
        let (kept, source) = (Arc::clone(&last), source.to_owned());
        let thread = std::thread::spawn(move || {
            let mut errors = BufReader::new(errors);
            let mut line = Vec::new();
            loop {
                line.clear();
                match (&mut errors).take(COMPLAINT_BYTES_MAX).read_until(b'\n', &mut line) {
                    Ok(0) | Err(_) => return,
                    Ok(_) => {}
                }
                let text = String::from_utf8_lossy(&line).trim_end().to_owned();
                tracing::warn!(source, "journalctl: {text}");
                *kept.lock().unwrap_or_else(PoisonError::into_inner) = text;
            }
        });
        Self { last, thread }
    }

    pub(super) fn last(self) -> String {
        let _ = self.thread.join();
        std::mem::take(&mut self.last.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

pub(super) fn cannot_start(error: &io::Error) -> String {
    format!("cannot start {PROGRAM}, which reads the journal: {error}")
}
