//! Sources that are read once: standard input, and the output of a program.
//!
//! What is read here cannot be read again, so it is safe only from the moment when its batch is in the spool; while
//! the spool takes nothing, the pipe fills and its writer waits. One thread reads bytes, another one makes lines of
//! them, so that a record which waits for more lines can be handed over though nothing comes.

use std::io::{self, Read};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::{Duration, Instant};

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
struct Chunks {
    receiver: Receiver<Vec<u8>>,
    chunk: Vec<u8>,
    at: usize,
}

impl Read for Chunks {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.at == self.chunk.len() {
            self.chunk = match self.receiver.recv_timeout(PATIENCE) {
                Ok(chunk) => chunk,
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

impl Pipe {
    /// Standard input, to its end or until told to stop.
    pub(super) fn run_stdin(mut self) {
        let (sender, receiver) = sync_channel(2);
        // A read of standard input cannot be called off: the thread ends with the process.
        let reader = std::thread::Builder::new()
            .name("agent-stdin-bytes".to_owned())
            .spawn(move || copy(io::stdin(), &sender));
        match reader {
            Ok(_) => {
                let _ = self.read(receiver, None);
            }
            Err(error) => self.fail(&format!("cannot start a thread: {error}")),
        }
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
        let reader = std::thread::spawn(move || copy(output, &sender));
        let read = self.read(receiver, Some(&mut child));
        let status = child.wait();
        let _ = reader.join();
        read?;
        Ok(match status {
            Ok(status) => format!("{program} ended with {status}"),
            Err(error) => format!("{program} is gone: {error}"),
        })
    }

    /// Lines to the end of the input. A program is told to end when the agent is.
    fn read(
        &mut self,
        receiver: Receiver<Vec<u8>>,
        mut child: Option<&mut Child>,
    ) -> Result<(), Stopped> {
        let mut told: Option<Instant> = None;
        let mut lines = LineReader::new(Chunks { receiver, chunk: Vec::new(), at: 0 });
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
                    // Standard input has nothing more that was written before.
                    if child.is_none() && self.stopping() {
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
                    Some(child) if over => drop(child.kill()),
                    Some(child) if since == now => terminate(child),
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

fn copy(mut from: impl Read, to: &SyncSender<Vec<u8>>) {
    let mut buffer = vec![0; CHUNK_BYTES];
    loop {
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

fn terminate(child: &Child) {
    let pid = i32::try_from(child.id()).ok().and_then(rustix::process::Pid::from_raw);
    if let Some(pid) = pid {
        let _ = rustix::process::kill_process_group(pid, rustix::process::Signal::TERM);
    }
}
