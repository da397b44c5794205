//! Files, one after the other, into batches. Runs on a thread of its own.
//!
//! A plain thread and not one of the runtime's: a program that gives up must not wait for a read of standard
//! input that never returns.

use std::fs::File;
use std::io::{self, Cursor, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use record::Timestamp;
use tokio::sync::mpsc::Sender;

use super::ShipError;
use super::batch::{Batch, Filling};
use super::options::BatchLimits;
use crate::format::{Format, SAMPLE_BYTES_MAX, detect};
use crate::interpret::Interpreter;
use crate::lines::{LineReader, decompressed};
use crate::reading::Reading;

const STDIN: &str = "-";

/// What the reading thread tells.
#[derive(Debug)]
pub(super) enum Told {
    /// A file is going to be read by this format.
    Opened { file: usize, format: Format },
    /// A batch is full.
    Batch(Batch),
    /// Every file was read to its end.
    Finished,
    /// Reading ended here; what was read before has been handed over.
    Failed { file: usize, line: u64, source: io::Error },
}

/// The files of a shipment, all of them looked at.
#[derive(Clone, Debug)]
pub(super) struct Sources {
    paths: Vec<PathBuf>,
    /// As the user named them.
    pub(super) names: Vec<String>,
    /// Of all files together, if each has a size.
    pub(super) bytes_total: Option<u64>,
    /// Counts while reading.
    pub(super) bytes_read: Arc<AtomicU64>,
}

impl Sources {
    /// Looks at every file before the first is read.
    pub(super) fn check(paths: &[PathBuf]) -> Result<Self, ShipError> {
        if paths.iter().filter(|path| path.as_os_str() == STDIN).count() > 1 {
            let message = "standard input can be shipped only once".to_owned();
            return Err(ShipError::Usage { message });
        }
        let mut bytes_total = Some(0);
        for path in paths {
            let size =
                size_of(path).map_err(|source| ShipError::Open { path: name(path), source })?;
            bytes_total = bytes_total.zip(size).map(|(total, size)| total + size);
        }
        let names = paths.iter().map(|path| name(path)).collect();
        Ok(Self { paths: paths.to_vec(), names, bytes_total, bytes_read: Arc::default() })
    }

    /// Reads everything; ends early when nobody listens any more.
    pub(super) fn read(&self, reading: &Reading, limits: BatchLimits, listener: &Sender<Told>) {
        let mut filling = Filling::new(limits);
        for (file, path) in self.paths.iter().enumerate() {
            let mut line = 0;
            match self.read_file(file, path, reading, &mut filling, listener, &mut line) {
                Ok(Listening::Yes) => {}
                Ok(Listening::No) => return,
                Err(source) => {
                    let rest = filling.cut().map(Told::Batch);
                    let failed = Some(Told::Failed { file, line, source });
                    let _ = [rest, failed]
                        .into_iter()
                        .flatten()
                        .try_for_each(|told| listener.blocking_send(told));
                    return;
                }
            }
        }
        let rest = filling.cut().map(Told::Batch);
        // If nobody listens, shipping has failed elsewhere and says so.
        let _ = [rest, Some(Told::Finished)]
            .into_iter()
            .flatten()
            .try_for_each(|told| listener.blocking_send(told));
    }

    fn read_file(
        &self,
        file: usize,
        path: &Path,
        reading: &Reading,
        filling: &mut Filling,
        listener: &Sender<Told>,
        last_line: &mut u64,
    ) -> io::Result<Listening> {
        let mut input = self.open(path)?;
        let mut sample = Vec::new();
        if reading.format == Format::Auto {
            (&mut input).take(SAMPLE_BYTES_MAX as u64).read_to_end(&mut sample)?;
        }
        let format = if reading.format == Format::Auto { detect(&sample) } else { reading.format };
        if listener.blocking_send(Told::Opened { file, format }).is_err() {
            return Ok(Listening::No);
        }
        let mut interpreter = Interpreter::new(
            reading.settings.clone(),
            source_path(path),
            format.reader(reading.pattern.as_ref()),
            reading.times.clone(),
        );
        let mut lines = LineReader::new(Cursor::new(sample).chain(input));
        let mut now = Timestamp::now();
        while let Some(line) = lines.next_line()? {
            // A clock that is set back must not turn lines round that have no time of their own.
            now = now.max(Timestamp::now());
            let mut full = None;
            let done = interpreter.interpret(&line, now, |record| full = filling.push(record));
            filling.note(file, &line, done);
            *last_line = line.number;
            if let Some(batch) = full
                && listener.blocking_send(Told::Batch(batch)).is_err()
            {
                return Ok(Listening::No);
            }
        }
        Ok(Listening::Yes)
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn Read + Send>> {
        let bytes_read = self.bytes_read.clone();
        if path.as_os_str() == STDIN {
            return decompressed(Counting { input: io::stdin(), bytes_read });
        }
        decompressed(Counting { input: File::open(path)?, bytes_read })
    }
}

/// Whether anybody still wants batches.
enum Listening {
    Yes,
    No,
}

struct Counting<R> {
    input: R,
    bytes_read: Arc<AtomicU64>,
}

impl<R: Read> Read for Counting<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.input.read(into)?;
        self.bytes_read.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }
}

/// The size of a file that has one, and an error for what cannot be read. A pipe is not opened, because
/// closing it again would end its writer.
fn size_of(path: &Path) -> io::Result<Option<u64>> {
    if path.as_os_str() == STDIN {
        return Ok(None);
    }
    let metadata = std::fs::metadata(path)?;
    if metadata.is_dir() {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    if !metadata.is_file() {
        return Ok(None);
    }
    File::open(path)?;
    Ok(Some(metadata.len()))
}

fn name(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

/// Absolute, so that records of one file are known from everywhere; links are left as they are.
fn source_path(path: &Path) -> String {
    if path.as_os_str() == STDIN {
        return STDIN.to_owned();
    }
    std::path::absolute(path).map_or_else(|_| name(path), |path| name(&path))
}
