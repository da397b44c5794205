//! A caller of the source as the agent is one: it keeps lines and records together, and a crash takes it back to
//! what was durable. Time is what the test says.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::ops::ControlFlow::{self, Continue};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use agent::source::file::{FileEvent, FileSettings, FileSource, KnownFile, Notice, StartAt};
use tempfile::TempDir;

/// What a crash leaves.
#[derive(Clone, Default)]
pub(crate) struct Durable {
    pub(crate) records: BTreeMap<u64, KnownFile>,
    /// Origin (its file name) and text.
    pub(crate) lines: Vec<(String, String)>,
}

impl Durable {
    /// Takes an event in as the documentation of `FileEvent` says.
    pub(crate) fn take(&mut self, event: &FileEvent<'_>) {
        match event {
            FileEvent::Known { file, record } => {
                let mut record = (*record).clone();
                if let Some(before) = self.records.get(file)
                    && before.offset <= record.offset
                {
                    record.offset = before.offset;
                    record.line_number = before.line_number;
                    record.parts = before.parts;
                }
                self.records.insert(*file, record);
            }
            FileEvent::Line { file, line, end } => {
                let record = self.records.get_mut(file).unwrap();
                assert_eq!(line.offset, record.offset, "lines follow each other");
                assert_eq!(line.number, record.line_number);
                record.advance(line, *end);
                let origin = record.origin.file_name().unwrap().to_str().unwrap().to_owned();
                self.lines.push((origin, String::from_utf8_lossy(line.bytes).into_owned()));
            }
            FileEvent::Finished { file } => self.records.get_mut(file).unwrap().finished = true,
            FileEvent::Forgotten { file } => assert!(self.records.remove(file).is_some()),
            FileEvent::Notice(_) => {}
        }
    }
}

pub(crate) struct Agent {
    pub(crate) folder: TempDir,
    pub(crate) settings: FileSettings,
    pub(crate) now: Instant,
    pub(crate) source: FileSource,
    pub(crate) state: Durable,
    pub(crate) durable: Durable,
    pub(crate) notices: Vec<String>,
    read_to: usize,
}

impl Agent {
    /// Follows what `globs` (in a new folder) lead to, from the beginning.
    pub(crate) fn new(globs: &[&str]) -> Self {
        Self::with(globs, |_| {}, |_| {})
    }

    pub(crate) fn with(
        globs: &[&str],
        prepare: impl FnOnce(&Path),
        set: impl FnOnce(&mut FileSettings),
    ) -> Self {
        let folder = tempfile::tempdir().unwrap();
        prepare(folder.path());
        let whole = |glob: &&str| folder.path().join(glob).to_str().unwrap().to_owned();
        let mut settings = FileSettings {
            include: globs.iter().map(whole).collect(),
            start_at: StartAt::Beginning,
            ..FileSettings::default()
        };
        set(&mut settings);
        let source = FileSource::new(settings.clone(), Vec::new(), true).unwrap();
        let (state, durable) = Default::default();
        let now = Instant::now();
        Self { folder, settings, now, source, state, durable, notices: Vec::new(), read_to: 0 }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn append(&self, name: &str, text: &str) {
        open(&self.path(name)).write_all(text.as_bytes()).unwrap();
    }

    pub(crate) fn rename(&self, from: &str, to: &str) {
        fs::rename(self.path(from), self.path(to)).unwrap();
    }

    pub(crate) fn copy(&self, from: &str, to: &str) {
        fs::copy(self.path(from), self.path(to)).unwrap();
    }

    pub(crate) fn truncate(&self, name: &str) {
        open(&self.path(name)).set_len(0).unwrap();
    }

    pub(crate) fn remove(&self, name: &str) {
        fs::remove_file(self.path(name)).unwrap();
    }

    pub(crate) fn gzip(&self, from: &str, to: &str) {
        compress(&self.path(from), &self.path(to));
    }

    pub(crate) fn pass(&mut self, seconds: u64) {
        self.now += Duration::from_secs(seconds);
    }

    /// Reads until there is nothing more at this time.
    pub(crate) fn turn(&mut self) {
        self.turn_until(usize::MAX);
    }

    /// As [`turn`](Self::turn); what came with the first `events` of it is durable.
    pub(crate) fn turn_until(&mut self, events: usize) {
        let mut count = 0;
        for _ in 0..10_000 {
            let Self { source, state, durable, notices, .. } = self;
            let turn = source.turn(self.now, 4 << 20, &mut |event| -> ControlFlow<()> {
                if let FileEvent::Notice(notice) = &event {
                    notices.push(name(notice));
                }
                state.take(&event);
                count += 1;
                if count == events {
                    *durable = state.clone();
                }
                Continue(())
            });
            if !turn.more {
                return;
            }
        }
        panic!("it never comes to an end");
    }

    /// Reads what there is, after time enough for a scan, and for quiet files to be finished.
    pub(crate) fn settle(&mut self) {
        for _ in 0..4 {
            self.pass(11);
            self.turn();
        }
    }

    /// The lines since the last call, after a turn.
    pub(crate) fn read(&mut self) -> Vec<String> {
        self.pass(1);
        self.turn();
        self.lines()
    }

    pub(crate) fn settled(&mut self) -> Vec<String> {
        self.settle();
        self.lines()
    }

    pub(crate) fn lines(&mut self) -> Vec<String> {
        let lines = self.state.lines[self.read_to..].iter().map(|(_, line)| line.clone());
        let lines = lines.collect();
        self.read_to = self.state.lines.len();
        lines
    }

    pub(crate) fn commit(&mut self) {
        self.durable = self.state.clone();
    }

    /// Begins again from what was durable, which is written and read once.
    pub(crate) fn restart(&mut self) {
        self.state = self.durable.clone();
        self.read_to = self.read_to.min(self.state.lines.len());
        let known = self.state.records.iter();
        let text = serde_json::to_string(&known.collect::<Vec<_>>()).unwrap();
        let known: Vec<(u64, KnownFile)> = serde_json::from_str(&text).unwrap();
        let first = known.is_empty();
        self.source = FileSource::new(self.settings.clone(), known, first).unwrap();
    }

    /// The notices since the last call, sorted.
    pub(crate) fn notices(&mut self) -> Vec<String> {
        let mut notices = std::mem::take(&mut self.notices);
        notices.sort();
        notices
    }
}

fn name(notice: &Notice) -> String {
    let file = |path: &Path| path.file_name().unwrap().to_str().unwrap().to_owned();
    match notice {
        Notice::Truncated { path, at, copy_found, bytes_unread_at_least } => {
            let copy = if *copy_found { "copy" } else { "no copy" };
            format!("truncated {} at {at}, {copy}, unread {bytes_unread_at_least}", file(path))
        }
        Notice::Vanished { path, read_to } => format!("vanished {} at {read_to}", file(path)),
        Notice::Unreadable { path, error } => {
            format!("unreadable {} {:?}", file(path), error.kind())
        }
        Notice::NotAFile { path, what } => format!("not a file {} {what}", file(path)),
        Notice::TooManyFiles { files_max } => format!("too many {files_max}"),
        Notice::CompressedDamaged { path, at, .. } => format!("damaged {} at {at}", file(path)),
        Notice::Polled { .. } => "polled".to_owned(),
    }
}

pub(crate) fn open(path: &Path) -> File {
    OpenOptions::new().create(true).append(true).open(path).unwrap()
}

pub(crate) fn compress(from: &Path, to: &Path) {
    let text = fs::read(from).unwrap();
    if to.extension().is_some_and(|end| end == "zst") {
        fs::write(to, zstd::bulk::compress(&text, 1).unwrap()).unwrap();
        return;
    }
    let fast = flate2::Compression::fast();
    let mut encoder = flate2::write::GzEncoder::new(File::create(to).unwrap(), fast);
    encoder.write_all(&text).unwrap();
    encoder.finish().unwrap();
}
