//! Sources that are read once: standard input, and the output of a program.
//!
//! What is read here cannot be read again, so it is safe only from the moment when its batch is in the spool; while
//! the spool takes nothing, the pipe fills and its writer waits. One thread reads bytes, another one makes lines of
//! them, so that a record which waits for more lines can be handed over though nothing comes.

use std::io::{self, Read};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};

use super::intake::Stopped;
use super::status::SourceView;
use super::stream::{NO_FILE, Pipeline, Stream};
use crate::assemble::{AssembleSettings, Assembler};
use crate::format::{Format, SAMPLE_BYTES_MAX, detect};
use crate::interpret::Interpreter;
use crate::lines::LineReader;
use crate::reading::Reading;

const CHUNK_BYTES: usize = 64 << 10;
/// How long nothing may come before the source looks at its own affairs.
const PATIENCE: Duration = Duration::from_millis(200);
/// How long a program may take to end by itself.
const TERM_PATIENCE: Duration = Duration::from_secs(5);

/// What the thread of a pipe owns.
pub(super) struct Pipe {
    pub(super) path: String,
    pub(super) reading: Reading,
    pub(super) assemble: AssembleSettings,
    pub(super) pipeline: Pipeline,
    pub(super) view: Arc<SourceView>,
}

/// Bytes of a pipe, or the news that none came.
#[derive(Debug)]
struct Chunks {
    receiver: Receiver<Vec<u8>>,
    chunk: Vec<u8>,
    at: usize,
    /// What has not come by now does not count.
    end: Arc<AtomicBool>,
}

/// The standard input of the process. One thread reads it from the first source that wants it on, because a read
/// cannot be called off; a source that a new configuration begins goes on where the one before it ended, in the
/// middle of a line too.
#[derive(Debug, Default)]
pub(super) struct StandardInput {
    lines: Mutex<Option<LineReader<Chunks>>>,
    end: Arc<AtomicBool>,
}

impl Read for Chunks {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.at == self.chunk.len() {
            self.chunk = match self.receiver.recv_timeout(PATIENCE) {
                Ok(chunk) => chunk,
                Err(RecvTimeoutError::Timeout) if self.end.load(Ordering::Relaxed) => return Ok(0),
                Err(RecvTimeoutError::Timeout) => return Err(io::ErrorKind::WouldBlock.into()),
                Err(RecvTimeoutError::Disconnected) => return Ok(0),
            };
            self.at = 0;
        }
        let size = into.len().min(self.chunk.len() - self.at);
        into[..size].copy_from_slice(&self.chunk[self.at..self.at + size]);
        self.at += size;
        Ok(size)
    }
}

impl StandardInput {
    /// The agent is to end: nothing more is read, and whoever reads lines gets what was read so far, a last line
    /// without an end too.
    pub(super) fn end(&self) {
        self.end.store(true, Ordering::Relaxed);
    }

    fn begin(&self) -> io::Result<LineReader<Chunks>> {
        let (sender, receiver) = sync_channel(2);
        let end = Arc::clone(&self.end);
        std::thread::Builder::new()
            .name("agent-stdin-bytes".to_owned())
            .spawn(move || copy(io::stdin(), &sender, &end))?;
        Ok(LineReader::new(Chunks::new(receiver, Arc::clone(&self.end))))
    }
}

impl Chunks {
    fn new(receiver: Receiver<Vec<u8>>, end: Arc<AtomicBool>) -> Self {
        Self { receiver, chunk: Vec::new(), at: 0, end }
    }
}

impl Pipe {
    /// Standard input, to its end or until told to stop.
    pub(super) fn run_stdin(mut self, input: &StandardInput) {
        let mut taken = input.lines.lock().unwrap_or_else(PoisonError::into_inner);
        let mut lines = match taken.take().map_or_else(|| input.begin(), Ok) {
            Ok(lines) => lines,
            Err(error) => return self.fail(&format!("cannot start a thread: {error}")),
        };
        let _ = self.read(&mut lines, None);
        *taken = Some(lines);
    }

    /// A program, again and again until told to stop.
    pub(super) fn run_command(mut self, command: &[String], restart_after: Duration) {
        while !self.stopping() {
            match self.run_once(command) {
                Ok(ended) => self.fail(&ended),
                Err(Stopped) => return,
            }
            let again = Instant::now() + restart_after;
            while Instant::now() < again && !self.stopping() {
                std::thread::sleep(PATIENCE.min(again.saturating_duration_since(Instant::now())));
            }
        }
    }

    fn run_once(&mut self, command: &[String]) -> Result<String, Stopped> {
        let Some((program, arguments)) = command.split_first() else {
            return Ok("no command is given".to_owned());
        };
        // A group of its own, so that a signal to the agent's group leaves its last lines to the agent.
        let child = Command::new(program)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .process_group(0)
            .spawn();
        let mut child = match child {
            Ok(child) => child,
            Err(error) => return Ok(format!("cannot start {program}: {error}")),
        };
        let Some(output) = child.stdout.take() else {
            return Ok(format!("{program} has no output"));
        };
        let (sender, receiver) = sync_channel(2);
        let end = Arc::new(AtomicBool::new(false));
        let mut lines = LineReader::new(Chunks::new(receiver, Arc::clone(&end)));
        // Not waited for: something that the program left behind may hold its output open for ever.
        std::thread::spawn(move || copy(output, &sender, &end));
        let read = self.read(&mut lines, Some(&mut child));
        let status = child.wait();
        read?;
        Ok(match status {
            Ok(status) => format!("{program} ended with {status}"),
            Err(error) => format!("{program} is gone: {error}"),
        })
    }

    /// Lines to the end of the input. A program is told to end when the agent is.
    fn read(
        &mut self,
        lines: &mut LineReader<Chunks>,
        mut child: Option<&mut Child>,
    ) -> Result<(), Stopped> {
        let mut told: Option<Instant> = None;
        let mut killed = false;
        let mut stream: Option<Stream> = None;
        let mut shown = Instant::now();
        loop {
            match lines.next_line() {
                Ok(None) => break,
                Ok(Some(line)) => {
                    let end = line.offset + line.bytes.len() as u64 + 1;
                    let stream = stream.get_or_insert_with(|| self.begin(line.bytes));
                    stream.line(&mut self.pipeline, NO_FILE, &line, end, Instant::now())?;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    // Nothing more comes that was written before.
                    if self.stopping() && (child.is_none() || killed) {
                        break;
                    }
                }
                Err(error) => {
                    self.fail(&error.to_string());
                    break;
                }
            }
            let now = Instant::now();
            if self.stopping() {
                let since = *told.get_or_insert(now);
                let over = now.duration_since(since) > TERM_PATIENCE;
                match &mut child {
                    None if over => break,
                    None => {}
                    Some(child) if over && !killed => {
                        signal_group(child, Signal::KILL);
                        killed = true;
                    }
                    Some(child) if since == now => signal_group(child, Signal::TERM),
                    Some(_) => {}
                }
            }
            if let Some(stream) = &mut stream {
                stream.flush_due(&mut self.pipeline, now)?;
            }
            if now.duration_since(shown) >= PATIENCE {
                self.show();
                shown = now;
            }
        }
        if let Some(mut stream) = stream {
            stream.flush(&mut self.pipeline)?;
        }
        self.show();
        Ok(())
    }

    fn begin(&self, line: &[u8]) -> Stream {
        let format = match self.reading.format {
            Format::Auto => detect(&line[..line.len().min(SAMPLE_BYTES_MAX)]),
            format => format,
        };
        let interpreter = Interpreter::new(
            self.reading.settings.clone(),
            self.path.clone(),
            format.reader(self.reading.pattern.as_ref()),
            self.reading.times.clone(),
        );
        Stream::new(Assembler::new(self.assemble.clone()), interpreter)
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
        tracing::warn!(source = self.view.name, "{what}");
        self.view.show(|shown| shown.last_error = Some(what.to_owned()));
    }
}

fn copy(mut from: impl Read, to: &SyncSender<Vec<u8>>, end: &AtomicBool) {
    let mut buffer = vec![0; CHUNK_BYTES];
    while !end.load(Ordering::Relaxed) {
        match from.read(&mut buffer) {
            Ok(0) => return,
            Ok(size) => {
                if to.send(buffer[..size].to_vec()).is_err() {
                    return;
                }
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return,
        }
    }
}

/// The program and whatever it started.
fn signal_group(child: &Child, signal: Signal) {
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    if let Some(pid) = pid {
        let _ = kill_process_group(pid, signal);
    }
}
