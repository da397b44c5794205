//! A file source at work: its thread, and a stream for each log that it finds.

use std::collections::HashMap;
use std::fs::File;
use std::io::Read;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::intake::Stopped;
use super::reports;
use super::status::{FILES_SHOWN_MAX, FileStatus, SourceView};
use super::stream::{NO_FILE, Pipeline, SourceCounts, Stream};
use crate::assemble::{AssembleSettings, Assembler, Logical, kubernetes_attributes};
use crate::format::{Format, SAMPLE_BYTES_MAX, detect};
use crate::interpret::{Interpreter, SourceSettings};
use crate::lines::{LineReader, decompressed};
use crate::reading::Reading;
use crate::source;
use crate::source::file::{FileEvent, FileSource, Notice};

/// How much is read before the source looks at anything else.
const BUDGET_BYTES: usize = 4 << 20;
/// Logs whose formats and unfinished records are kept in memory; beyond it those that are idle go first.
const STREAMS_MAX: usize = 4_096;
/// How often what is shown is brought up to date.
const SHOW_INTERVAL: Duration = Duration::from_millis(200);

/// Everything that the thread of a file source owns.
pub(super) struct Files {
    pub(super) source: FileSource,
    pub(super) streams: Streams,
    pub(super) view: Arc<SourceView>,
}

/// The logs of a source, by where they were first found.
pub(super) struct Streams {
    pub(super) name: String,
    pub(super) reading: Reading,
    pub(super) assemble: AssembleSettings,
    pub(super) pipeline: Pipeline,
    origins: HashMap<u64, Arc<Path>>,
    /// Those that are not `current`.
    logs: HashMap<Arc<Path>, Stream>,
    /// Where the last line went: most lines go where the one before went.
    current: Option<Current>,
    uses: u64,
    last_error: Option<String>,
}

struct Current {
    file: u64,
    origin: Arc<Path>,
    stream: Stream,
}

impl Files {
    /// Reads until it is told to stop.
    pub(super) fn run(mut self) {
        let mut shown: Option<Instant> = None;
        let mut shown_counts = SourceCounts::default();
        while !self.streams.pipeline.stop.load(Ordering::Relaxed) {
            let now = Instant::now();
            let streams = &mut self.streams;
            let turn =
                self.source.turn(now, BUDGET_BYTES, &mut |event| match streams.event(event, now) {
                    Ok(()) => ControlFlow::Continue(()),
                    Err(Stopped) => ControlFlow::Break(()),
                });
            if self.streams.flush_due(now).is_err() {
                break;
            }
            let due = shown.map(|shown| shown + SHOW_INTERVAL);
            if due.is_none_or(|due| due <= now) {
                self.show();
                (shown, shown_counts) = (Some(now), self.streams.pipeline.counts);
            }
            if !turn.more {
                // What is shown must not stay behind what was done, however long nothing happens.
                let stale = shown_counts != self.streams.pipeline.counts;
                let show = due.filter(|_| stale);
                let until = [self.streams.deadline(), Some(turn.wake_at), show];
                self.source.wait(until.into_iter().flatten().min().unwrap_or(turn.wake_at));
            }
        }
        self.show();
    }

    fn show(&self) {
        let mut files = self.source.status();
        let lag_bytes = behind_bytes(&files);
        let files_known = self.streams.origins.len();
        files.sort_by_key(|file| std::cmp::Reverse(file.lag_bytes));
        files.truncate(FILES_SHOWN_MAX);
        let files = files.into_iter().map(|file| FileStatus {
            path: file.path.display().to_string(),
            offset: file.offset,
            size: file.size,
            incomplete_line_bytes: file.incomplete_line_bytes,
            error: file.error,
        });
        let files = files.collect();
        let pipeline = &self.streams.pipeline;
        self.view.show(|shown| {
            shown.counts = pipeline.counts;
            shown.last_record_ns = pipeline.last_record.map_or(0, |time| time.0);
            shown.last_error.clone_from(&self.streams.last_error);
            shown.files_known = files_known;
            shown.lag_bytes = lag_bytes;
            shown.files = files;
        });
    }
}

impl Streams {
    pub(super) fn new(
        name: String,
        reading: Reading,
        assemble: AssembleSettings,
        pipeline: Pipeline,
        origins: HashMap<u64, Arc<Path>>,
    ) -> Self {
        Self {
            name,
            reading,
            assemble,
            pipeline,
            origins,
            logs: HashMap::new(),
            current: None,
            uses: 0,
            last_error: None,
        }
    }

    fn event(&mut self, event: FileEvent<'_>, now: Instant) -> Result<(), Stopped> {
        match event {
            FileEvent::Known { file, record } => {
                self.origins.insert(file, Arc::clone(&record.origin));
                self.pipeline.intake.file_known(file, record)
            }
            FileEvent::Line { file, line, end } => {
                let mut current = match self.current.take() {
                    Some(current) if current.file == file => current,
                    other => self.change_to(file, other, line.bytes),
                };
                let result = current.stream.line(&mut self.pipeline, file, line, end, now);
                self.current = Some(current);
                result
            }
            FileEvent::Finished { file } => {
                self.put_back();
                match self.origins.get(&file).and_then(|origin| self.logs.get_mut(origin)) {
                    Some(stream) => stream.finished(&mut self.pipeline, file),
                    None => self.pipeline.intake.file_finished(file),
                }
            }
            FileEvent::Forgotten { file } => {
                self.put_back();
                let origin = self.origins.remove(&file);
                match origin.and_then(|origin| self.logs.get_mut(&origin)) {
                    Some(stream) => stream.forgotten(&mut self.pipeline, file),
                    None => self.pipeline.intake.file_forgotten(file),
                }
            }
            FileEvent::Notice(notice) => self.notice(&notice),
        }
    }

    fn put_back(&mut self) {
        if let Some(Current { origin, stream, .. }) = self.current.take() {
            self.logs.insert(origin, stream);
        }
    }

    /// The stream that lines of `file` go to; the one before is put back.
    fn change_to(&mut self, file: u64, before: Option<Current>, line: &[u8]) -> Current {
        self.current = before;
        self.put_back();
        let unknown = || Arc::from(Path::new("?"));
        let origin = self.origins.get(&file).cloned().unwrap_or_else(unknown);
        let mut stream = match self.logs.remove(&origin) {
            Some(stream) => stream,
            None => self.begin(&origin, line),
        };
        self.uses += 1;
        stream.used = self.uses;
        Current { file, origin, stream }
    }

    fn begin(&mut self, origin: &Path, line: &[u8]) -> Stream {
        if self.logs.len() >= STREAMS_MAX {
            let old = self.uses.saturating_sub(STREAMS_MAX as u64 / 2);
            self.logs.retain(|_, stream| stream.used > old || !stream.is_idle());
        }
        let format = match self.reading.format {
            Format::Auto => {
                let sample = sample(origin).unwrap_or_else(|| line.to_vec());
                detect(&unwrapped(&self.assemble, sample))
            }
            format => format,
        };
        let interpreter = Interpreter::new(
            self.settings_of(origin),
            origin.to_string_lossy().into_owned(),
            format.reader(self.reading.pattern.as_ref()),
            self.reading.times.clone(),
        );
        Stream::new(Assembler::new(self.assemble.clone()), interpreter)
    }

    /// What the user says about the source, and what the path says about a container's log.
    fn settings_of(&self, origin: &Path) -> SourceSettings {
        let mut settings = self.reading.settings.clone();
        if self.assemble.container.is_some()
            && let Some(names) = kubernetes_attributes(origin)
        {
            settings.default_service = Some(names.default_service().to_owned());
            let own = names.attributes().map(|(name, value)| (name.to_owned(), value.to_owned()));
            settings.attributes.extend(own);
        }
        settings
    }

    fn flush_due(&mut self, now: Instant) -> Result<(), Stopped> {
        self.put_back();
        for stream in self.logs.values_mut() {
            if stream.deadline().is_some_and(|deadline| deadline <= now) {
                stream.flush_due(&mut self.pipeline, now)?;
            }
        }
        Ok(())
    }

    fn deadline(&self) -> Option<Instant> {
        self.logs.values().filter_map(Stream::deadline).min()
    }

    /// Some are for the log of the agent alone; those about records that may be lost become records.
    fn notice(&mut self, notice: &Notice) -> Result<(), Stopped> {
        let text = notice.to_string();
        tracing::warn!(source = self.name, "{text}");
        self.last_error = Some(text);
        match reports::of_notice(&self.name, notice) {
            Some(report) => self.pipeline.intake.say(report),
            None => Ok(()),
        }
    }
}

/// What is there and could be shipped. An unfinished line is no record yet, and may never become one: the copy of a
/// log that ends in half a line must not hold the watermark for ever.
fn behind_bytes(files: &[source::file::FileStatus]) -> u64 {
    files.iter().map(|file| file.lag_bytes - file.incomplete_line_bytes).sum()
}

/// How a file begins, for finding out its format. A compressed one is undone.
fn sample(path: &Path) -> Option<Vec<u8>> {
    let file = File::open(path).ok().filter(|file| file.metadata().is_ok_and(|m| m.is_file()))?;
    let mut sample = Vec::new();
    decompressed(file).ok()?.take(SAMPLE_BYTES_MAX as u64).read_to_end(&mut sample).ok()?;
    Some(sample).filter(|sample| !sample.is_empty())
}

/// What programs wrote, of a sample that a container runtime has wrapped.
fn unwrapped(settings: &AssembleSettings, sample: Vec<u8>) -> Vec<u8> {
    if settings.container.is_none() {
        return sample;
    }
    let settings = AssembleSettings { container: settings.container, multiline: None };
    let (mut assembler, mut lines) = (Assembler::new(settings), LineReader::new(&*sample));
    let mut texts = Vec::with_capacity(sample.len());
    let mut take = |logical: &Logical<'_>| {
        texts.extend_from_slice(logical.line.bytes);
        texts.push(b'\n');
    };
    while let Ok(Some((line, end))) = lines.next_line_and_end() {
        assembler.push(NO_FILE, &line, end, Instant::now(), &mut take);
    }
    assembler.flush(&mut take);
    texts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unfinished_line_is_not_behind() {
        let check = |size: u64, incomplete_line_bytes: u64, behind: u64| {
            let file = source::file::FileStatus {
                file: 1,
                path: "app.log".into(),
                offset: 100,
                size,
                lag_bytes: size - 100,
                incomplete_line_bytes,
                error: None,
            };
            assert_eq!(behind_bytes(&[file.clone(), file]), 2 * behind, "{size}");
        };
        check(100, 0, 0);
        check(150, 50, 0);
        check(150, 20, 30);
    }
}
