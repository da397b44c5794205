//! A service's log: one JSON object a line, appended to `SERVICE.log` with one write a line.
//!
//! * The order of the lines is the order of their times.
//! * The file is renamed to `SERVICE.log.1` before a line would take it over 8 MiB; that one is replaced the next time,
//!   so a service never holds more than 16 MiB.
//! * Once a second the path is compared with the open file, so that what someone else renamed or cut is let go of.
//! * A line that cannot be written is counted and gone: the shop goes on selling on a full disk. The first one is told
//!   on standard error. What it left of itself in the file is ended, so that the next line stands alone.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;
use service::metrics::Counter;

use crate::context::Context;

const BYTES_MAX: u64 = 8 << 20;
const CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// The log of one service.
#[derive(Debug)]
pub(crate) struct LogFile {
    service: &'static str,
    /// Lines that could not be written.
    lost: Counter,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    path: PathBuf,
    open: Option<Open>,
    checked_at: Instant,
    told: bool,
    bytes_max: u64,
    check_interval: Duration,
}

#[derive(Debug)]
struct Open {
    file: File,
    /// Device and inode.
    identity: (u64, u64),
    bytes: u64,
    /// It ends within a line.
    torn: bool,
}

#[derive(Serialize)]
struct Line<'a> {
    timestamp: String,
    level: &'static str,
    service: &'static str,
    message: &'static str,
    correlation_id: &'a str,
    trace_id: String,
    span_id: String,
    #[serde(flatten)]
    fields: Value,
}

impl LogFile {
    /// Opens `FOLDER/SERVICE.log`.
    ///
    /// # Errors
    /// If that cannot be done now; later on it is tried again for each line.
    pub(crate) fn open(folder: &Path, service: &'static str, lost: Counter) -> io::Result<Self> {
        let path = folder.join(format!("{service}.log"));
        let state = State {
            open: Some(Open::at(&path)?),
            path,
            checked_at: Instant::now(),
            told: false,
            bytes_max: BYTES_MAX,
            check_interval: CHECK_INTERVAL,
        };
        Ok(Self { service, lost, state: Mutex::new(state) })
    }

    pub(crate) fn info(&self, context: &Context, message: &'static str, fields: Value) {
        self.append("info", context, message, fields);
    }

    pub(crate) fn warn(&self, context: &Context, message: &'static str, fields: Value) {
        self.append("warn", context, message, fields);
    }

    pub(crate) fn error(&self, context: &Context, message: &'static str, fields: Value) {
        self.append("error", context, message, fields);
    }

    /// `fields` is an object. Short enough a write to be done on an async thread.
    fn append(&self, level: &'static str, context: &Context, message: &'static str, fields: Value) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let line = Line {
            timestamp: format!("{:.6}", Timestamp::now()),
            level,
            service: self.service,
            message,
            correlation_id: &context.correlation_id,
            trace_id: format!("{:032x}", context.trace_id),
            span_id: format!("{:016x}", context.span_id),
            fields,
        };
        let text = serde_json::to_string(&line).expect("texts, numbers and an object");
        if let Err(error) = state.write(&text) {
            self.lost.inc();
            if !state.told {
                state.told = true;
                tracing::error!(path = %state.path.display(), %error, "cannot write the log, counting lost lines");
            }
        }
    }
}

impl State {
    fn write(&mut self, line: &str) -> io::Result<()> {
        if self.checked_at.elapsed() >= self.check_interval {
            self.checked_at = Instant::now();
            let path = &self.path;
            self.open = self.open.take().filter(|open| open.is_at(path));
        }
        let mut open = self.open.take().map_or_else(|| Open::at(&self.path), Ok)?;
        if open.bytes > 0 && open.bytes + line.len() as u64 + 1 > self.bytes_max {
            if open.is_at(&self.path) {
                fs::rename(&self.path, self.path.with_extension("log.1"))?;
            }
            open = Open::at(&self.path)?;
        }
        // Only what took the line whole is kept open; after an error the next line looks anew.
        open.append(
            if open.torn { format!("\n{line}\n") } else { format!("{line}\n") }.as_bytes(),
        )?;
        self.open = Some(open);
        Ok(())
    }
}

impl Open {
    fn at(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().read(true).append(true).create(true).open(path)?;
        let found = file.metadata()?;
        let (identity, bytes) = ((found.dev(), found.ino()), found.len());
        let mut last = [b'\n'];
        if bytes > 0 {
            file.read_exact_at(&mut last, bytes - 1)?;
        }
        Ok(Self { file, identity, bytes, torn: last != *b"\n" })
    }

    /// Whether the path still leads here, and to nothing but what was written here.
    fn is_at(&self, path: &Path) -> bool {
        fs::metadata(path).is_ok_and(|found| {
            (found.dev(), found.ino()) == self.identity && found.len() == self.bytes
        })
    }

    fn append(&mut self, text: &[u8]) -> io::Result<()> {
        let written = loop {
            match self.file.write(text) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                other => break other?,
            }
        };
        if written < text.len() {
            return Err(io::Error::new(
                io::ErrorKind::StorageFull,
                "only a part of a line was written",
            ));
        }
        self.bytes += written as u64;
        self.torn = false;
        Ok(())
    }
}

/// The time since `began`, in milliseconds with three decimals.
pub(crate) fn elapsed_ms(began: Instant) -> f64 {
    began.elapsed().as_micros() as f64 / 1_000.0
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use fastrand::Rng;
    use serde_json::json;
    use service::metrics::Metrics;

    use super::*;
    use crate::context::Ids;

    /// A log that looks at its path before each line, and the count of what it lost.
    fn open(folder: &Path, bytes_max: u64) -> (LogFile, Counter) {
        let lost = Metrics::new().counter("lost_total", "Lost lines.");
        let log = LogFile::open(folder, "orders", lost.clone()).unwrap();
        let mut state = log.state.lock().unwrap();
        (state.bytes_max, state.check_interval) = (bytes_max, Duration::ZERO);
        drop(state);
        (log, lost)
    }

    fn write(log: &LogFile, number: u64) {
        let context = Context::of_request(&Default::default(), &Ids::new(Rng::with_seed(1)));
        log.info(&context, "order received", json!({"number": number}));
    }

    /// The numbers of the lines; -1 for what is no JSON.
    fn numbers(path: &Path) -> Vec<i64> {
        let text = fs::read_to_string(path).unwrap();
        assert!(text.is_empty() || text.ends_with('\n'), "{text}");
        let number = |line| serde_json::from_str::<Value>(line).ok()?["number"].as_i64();
        text.lines().map(|line| number(line).unwrap_or(-1)).collect()
    }

    #[test]
    fn a_full_file_is_renamed_and_one_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let (log, lost) = open(folder.path(), 1_000);
        (0..40).for_each(|number| write(&log, number));
        let (current, kept) =
            (folder.path().join("orders.log"), folder.path().join("orders.log.1"));
        let both = [numbers(&kept), numbers(&current)].concat();
        assert_eq!(both, (40 - both.len() as i64..40).collect::<Vec<_>>());
        assert!(both.len() < 20 && fs::metadata(kept).unwrap().len() <= 1_000);
        assert_eq!((fs::read_dir(folder.path()).unwrap().count(), lost.get()), (2, 0));
    }

    #[test]
    fn a_full_file_that_cannot_be_renamed_does_not_grow() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("orders.log.1/in-the-way")).unwrap();
        let (log, lost) = open(folder.path(), 1_000);
        (0..40).for_each(|number| write(&log, number));
        let written = numbers(&folder.path().join("orders.log")).len() as u64;
        assert!((1..10).contains(&written) && written + lost.get() == 40, "{written}");
    }

    #[test]
    fn what_others_rename_or_cut_is_let_go_of() {
        let folder = tempfile::tempdir().unwrap();
        let (current, moved) = (folder.path().join("orders.log"), folder.path().join("orders.old"));
        let (log, lost) = open(folder.path(), BYTES_MAX);
        write(&log, 1);
        fs::rename(&current, &moved).unwrap();
        write(&log, 2);
        assert_eq!((numbers(&moved), numbers(&current)), (vec![1], vec![2]));
        File::options().write(true).open(&current).unwrap().set_len(0).unwrap();
        write(&log, 3);
        assert_eq!((numbers(&current), lost.get()), (vec![3], 0));
    }

    #[test]
    fn a_full_disk_costs_lines_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let current = folder.path().join("orders.log");
        symlink("/dev/full", &current).unwrap();
        let (log, lost) = open(folder.path(), BYTES_MAX);
        (0..3).for_each(|number| write(&log, number));
        assert_eq!(lost.get(), 3);
        fs::remove_file(&current).unwrap();
        write(&log, 4);
        assert_eq!((numbers(&current), lost.get()), (vec![4], 3));
    }

    #[test]
    fn a_torn_line_is_ended_before_the_next() {
        let folder = tempfile::tempdir().unwrap();
        let current = folder.path().join("orders.log");
        fs::write(&current, "{\"timest").unwrap();
        let (log, _) = open(folder.path(), BYTES_MAX);
        (1..3).for_each(|number| write(&log, number));
        assert_eq!(numbers(&current), [-1, 1, 2]);
    }
}
