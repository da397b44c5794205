//! Programs that log: each has a log file of its own and knows nothing of an agent.
//!
//! A [`Log`] is what a program has open. Lines are JSON with an id of their own; now and then one is 100 KB long, and
//! now and then a line is written in two halves, with some time in between. A half whose file was rotated meanwhile is
//! completed where it was begun, as by a program with several threads.

use std::collections::{BTreeMap, VecDeque};
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use jiff::Timestamp;

use super::timeline::{Random, Timeline};

const LONG_LINE_BYTES: usize = 100_000;
/// A file that left its name has to be quiet for 5 s before an agent takes it for complete; a half line waits less.
const HALF_WAITS_MS: u64 = 1_500;

/// What is known of a line that was written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Written {
    pub(crate) log: usize,
    pub(crate) at: Duration,
    /// While which copying and truncating of the log it was written, in part at least.
    pub(crate) window: Option<u64>,
}

/// A time in which a log is copied and truncated.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Window {
    pub(crate) from: Timestamp,
    /// Whether the agent knew the content for good, so that it can tell that it was truncated.
    pub(crate) is_known: bool,
}

/// One program's log.
#[derive(Debug)]
pub(crate) struct Log {
    pub(crate) number: usize,
    pub(crate) path: PathBuf,
    open: Mutex<Open>,
    /// Odd while it is being copied and truncated; then it is the window's number.
    window: AtomicU64,
    windows: Mutex<BTreeMap<u64, Window>>,
}

#[derive(Debug, Default)]
struct Open {
    file: Option<File>,
    half: Option<Half>,
    /// Lines that wait for an open file, or for the second half of the line before them.
    waiting: VecDeque<(u64, Vec<u8>)>,
    /// The first and the last line since the file began, as far as the writer can know.
    ids: Option<(u64, u64)>,
    written: Vec<(u64, Written)>,
}

#[derive(Debug)]
struct Half {
    id: u64,
    file: File,
    rest: Vec<u8>,
    due: Instant,
    window: u64,
    /// Whether lines that come after it go to the same file.
    current: bool,
}

impl Log {
    pub(crate) fn create(number: usize, path: PathBuf) -> Self {
        let open = Open { file: Some(appending(&path)), ..Open::default() };
        let (window, windows) = (AtomicU64::new(0), Mutex::default());
        Self { number, path, open: Mutex::new(open), window, windows }
    }

    pub(crate) fn actor(&self) -> String {
        format!("log {}", self.number)
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap()
    }

    fn write(&self, id: u64, line: Vec<u8>, half: Option<(usize, Duration)>, timeline: &Timeline) {
        let mut open = self.open();
        open.waiting.push_back((id, line));
        self.catch_up(&mut open, half, timeline);
    }

    /// Writes what waits, as far as it can be.
    fn catch_up(&self, open: &mut Open, half: Option<(usize, Duration)>, timeline: &Timeline) {
        while open.half.as_ref().is_none_or(|half| !half.current)
            && let Some(file) = &mut open.file
            && let Some((id, line)) = open.waiting.pop_front()
        {
            let first = open.ids.map_or(id, |(first, _)| first);
            open.ids = Some((first, id));
            let window = self.window.load(Ordering::SeqCst);
            if let (Some((bytes, pause)), None) =
                (half.filter(|_| open.waiting.is_empty()), &open.half)
            {
                let (begin, rest) = line.split_at(bytes.min(line.len() - 1));
                file.write_all(begin).unwrap();
                let (file, due) = (file.try_clone().unwrap(), Instant::now() + pause);
                open.half =
                    Some(Half { id, file, rest: rest.to_vec(), due, window, current: true });
                return;
            }
            file.write_all(&line).unwrap();
            self.note(open, id, window, timeline);
        }
    }

    fn note(&self, open: &mut Open, id: u64, window: u64, timeline: &Timeline) {
        let after = self.window.load(Ordering::SeqCst);
        let window =
            if window % 2 == 1 { Some(window) } else { (after != window).then_some(window + 1) };
        open.written.push((id, Written { log: self.number, at: timeline.now(), window }));
    }

    fn complete(&self, open: &mut Open, timeline: &Timeline) {
        let Some(mut half) = open.half.take() else { return };
        half.file.write_all(&half.rest).unwrap();
        self.note(open, half.id, half.window, timeline);
        self.catch_up(open, None, timeline);
    }

    fn complete_due(&self, timeline: &Timeline) {
        let mut open = self.open();
        if open.half.as_ref().is_some_and(|half| half.due <= Instant::now()) {
            self.complete(&mut open, timeline);
        }
    }

    /// A line that was begun is completed now.
    pub(crate) fn complete_line(&self, timeline: &Timeline) {
        self.complete(&mut self.open(), timeline);
    }

    /// Opens the file at its path, made if absent, and goes on there; answers with the first and the last id in the
    /// one before. A line that was begun is completed in the file before.
    pub(crate) fn reopen(&self, timeline: &Timeline) -> Option<(u64, u64)> {
        let mut open = self.open();
        open.file = Some(appending(&self.path));
        if let Some(half) = &mut open.half {
            half.current = false;
        }
        let ids = open.ids.take();
        self.catch_up(&mut open, None, timeline);
        ids
    }

    /// Completes the line that was begun and closes the file; lines wait from here on.
    pub(crate) fn close(&self, timeline: &Timeline) -> Option<(u64, u64)> {
        let mut open = self.open();
        self.complete(&mut open, timeline);
        open.file = None;
        open.ids
    }

    /// The first id in the file, and the last one so far.
    pub(crate) fn ids(&self) -> Option<(u64, u64)> {
        self.open().ids
    }

    /// From here on lines may be lost to a truncation.
    pub(crate) fn begin_window(&self, is_known: bool) {
        let number = self.window.fetch_add(1, Ordering::SeqCst) + 1;
        let window = Window { from: Timestamp::now(), is_known };
        self.windows.lock().unwrap().insert(number, window);
    }

    pub(crate) fn window(&self, number: u64) -> Window {
        self.windows.lock().unwrap()[&number]
    }

    /// The file was truncated.
    pub(crate) fn end_window(&self) {
        let mut open = self.open();
        self.window.fetch_add(1, Ordering::SeqCst);
        // Lines since the truncation are in the new content too; a later first one does no harm.
        open.ids = None;
    }

    /// What was written, by id.
    pub(crate) fn take_written(&self) -> Vec<(u64, Written)> {
        std::mem::take(&mut self.open().written)
    }
}

fn appending(path: &Path) -> File {
    OpenOptions::new().create(true).append(true).open(path).unwrap()
}

/// Writes `lines` lines within `span` to all logs; answers with how long it took.
pub(crate) fn write(
    logs: &[Log],
    lines: u64,
    span: Duration,
    mut random: Random,
    timeline: &Timeline,
) -> Duration {
    let started = Instant::now();
    let mut next = 0;
    while next < lines {
        let due = (lines as f64 * started.elapsed().as_secs_f64() / span.as_secs_f64()) as u64;
        while next < due.min(lines) {
            let log = &logs[which(logs.len(), &mut random)];
            let line = line(next, log.number, &mut random);
            let half = (random.below(200) == 0).then(|| {
                (random.below(line.len() as u64) as usize, random.between_ms(1, HALF_WAITS_MS))
            });
            log.write(next, line, half, timeline);
            next += 1;
        }
        logs.iter().for_each(|log| log.complete_due(timeline));
        std::thread::sleep(Duration::from_millis(2));
    }
    logs.iter().for_each(|log| log.complete_line(timeline));
    started.elapsed()
}

/// The last log is a quiet one, which has a line every few seconds.
fn which(logs: usize, random: &mut Random) -> usize {
    if random.below(1_000) == 0 { logs - 1 } else { random.below(logs as u64 - 1) as usize }
}

fn line(id: u64, log: usize, random: &mut Random) -> Vec<u8> {
    const WORDS: [&str; 8] =
        ["order", "accepted", "payment", "of", "customer", "declined", "\\\"quoted\\\"", "größer"];
    let now_ms = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis();
    let bytes = match random.below(1_000) {
        0 => LONG_LINE_BYTES,
        _ => 1 + random.below(300) as usize,
    };
    let mut text = String::new();
    while text.len() < bytes {
        text.push_str(random.pick(&WORDS));
        text.push_str(&format!(" {:x} ", random.below(1 << 20)));
    }
    format!("{{\"ts\":{now_ms},\"id\":{id},\"of_log\":{log},\"service\":\"day-{log}\",\"msg\":\"{text}\"}}\n")
        .into_bytes()
}
