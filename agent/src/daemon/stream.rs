//! The lines of one log, over all its rotations, to records in the intake.
//!
//! line → logical line (containers, multiline) → record → filter, redaction, rate → intake, with what it covers.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use record::{RecordRef, Signal, Timestamp};
use serde::{Deserialize, Serialize};

use super::intake::{Covered, Intake, Stopped, WhenFull};
use super::state::Position;
use crate::assemble::{Assembler, Logical};
use crate::interpret::Interpreter;
use crate::lines::Line;
use crate::process::{Dropped, Outcome, Processor};

/// Longest sleep before a source that waits for its rate looks whether it is to stop.
const SLEEP_MAX: Duration = Duration::from_millis(100);

/// The number of what is no file and cannot be read again.
pub(crate) const NO_FILE: u64 = 0;

/// Set once, when sources are to stop.
pub(crate) type StopFlag = Arc<AtomicBool>;

/// What the status page shows of a source's lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceCounts {
    /// Lines read.
    pub lines: u64,
    /// Bytes read.
    pub bytes: u64,
    /// Records made of them.
    pub records: u64,
    /// Lines that were not of their format, and were shipped whole.
    pub unparsed: u64,
    /// Times that could not be read and were replaced.
    pub timestamps_replaced: u64,
    /// Records dropped by a filter.
    pub filtered: u64,
    /// Records dropped for another reason.
    pub dropped: u64,
}

/// What all streams of a source share.
#[derive(Debug)]
pub(crate) struct Pipeline {
    pub(crate) intake: Arc<Intake>,
    pub(crate) processor: Processor,
    pub(crate) when_full: WhenFull,
    pub(crate) host: Option<String>,
    pub(crate) counts: SourceCounts,
    /// The time of the last record.
    pub(crate) last_record: Option<Timestamp>,
    pub(crate) stop: StopFlag,
    /// A clock that is set back must not turn lines round that have no time of their own.
    now: Timestamp,
    places: Vec<(u64, Position)>,
}

impl Pipeline {
    pub(crate) fn new(
        intake: Arc<Intake>,
        processor: Processor,
        when_full: WhenFull,
        host: Option<String>,
        stop: StopFlag,
    ) -> Self {
        Self {
            intake,
            processor,
            when_full,
            host,
            counts: SourceCounts::default(),
            last_record: None,
            stop,
            now: Timestamp::now(),
            places: Vec::new(),
        }
    }

    /// A log record on its way to the intake. Gives the number of its batch, if it got into one.
    pub(crate) fn record(
        &mut self,
        record: &RecordRef<'_>,
        covered: Covered<'_>,
    ) -> Result<Option<u64>, Stopped> {
        self.record_of(Signal::Logs, record, covered)
    }

    /// As [`Pipeline::record`], of any signal.
    pub(crate) fn record_of(
        &mut self,
        signal: Signal,
        record: &RecordRef<'_>,
        covered: Covered<'_>,
    ) -> Result<Option<u64>, Stopped> {
        self.counts.records += 1;
        self.last_record = Some(record.timestamp);
        let record = &RecordRef { host: record.host.or(self.host.as_deref()), ..*record };
        loop {
            let (intake, when_full) = (&self.intake, self.when_full);
            let mut pushed = Err(Stopped);
            let outcome = self.processor.process(record, Instant::now(), |record| {
                pushed = intake.push(signal, record, covered, when_full);
            });
            match outcome {
                Outcome::Kept => return pushed.map(Some),
                Outcome::Dropped(reason) => {
                    return self.dropped(reason, covered).map(|()| None);
                }
                Outcome::Wait(pause) => self.sleep(pause)?,
            }
        }
    }

    fn dropped(&mut self, reason: Dropped, covered: Covered<'_>) -> Result<(), Stopped> {
        let reason = match reason {
            Dropped::NotKept | Dropped::Filtered { .. } => None,
            Dropped::Redacted { .. } => Some("redacted"),
            Dropped::RateLimited => Some("rate_limited"),
        };
        match reason {
            None => self.counts.filtered += 1,
            Some(_) => self.counts.dropped += 1,
        }
        self.intake.drop_record(reason, covered)
    }

    fn sleep(&self, pause: Duration) -> Result<(), Stopped> {
        if self.stop.load(Ordering::Relaxed) {
            return Err(Stopped);
        }
        std::thread::sleep(pause.min(SLEEP_MAX));
        Ok(())
    }
}

/// One log.
#[derive(Debug)]
pub(crate) struct Stream {
    assembler: Assembler,
    interpreter: Interpreter,
    /// Files whose end is to be noted once nothing of them waits for more lines.
    endings: Vec<Ending>,
    pub(crate) used: u64,
}

#[derive(Clone, Copy, Debug)]
enum Ending {
    Finished(u64),
    Forgotten(u64),
}

impl Stream {
    pub(crate) fn new(assembler: Assembler, interpreter: Interpreter) -> Self {
        Self { assembler, interpreter, endings: Vec::new(), used: 0 }
    }

    /// Takes in a line of `file` that ends at `end`.
    pub(crate) fn line(
        &mut self,
        pipeline: &mut Pipeline,
        file: u64,
        line: &Line<'_>,
        end: u64,
        now: Instant,
    ) -> Result<(), Stopped> {
        pipeline.counts.lines += u64::from(line.part.is_none_or(|part| part.last));
        pipeline.counts.bytes += end.saturating_sub(line.offset);
        let interpreter = &mut self.interpreter;
        let mut result = Ok(());
        self.assembler.push(file, line, end, now, &mut |logical| {
            if result.is_ok() {
                result = hand_over(interpreter, pipeline, logical);
            }
        });
        result?;
        self.note_endings(pipeline)
    }

    /// Hands over what has waited long enough for more lines.
    pub(crate) fn flush_due(
        &mut self,
        pipeline: &mut Pipeline,
        now: Instant,
    ) -> Result<(), Stopped> {
        let interpreter = &mut self.interpreter;
        let mut result = Ok(());
        self.assembler.flush_due(now, &mut |logical| {
            if result.is_ok() {
                result = hand_over(interpreter, pipeline, logical);
            }
        });
        result?;
        self.note_endings(pipeline)
    }

    /// Hands over everything that waits for more lines.
    pub(crate) fn flush(&mut self, pipeline: &mut Pipeline) -> Result<(), Stopped> {
        let interpreter = &mut self.interpreter;
        let mut result = Ok(());
        self.assembler.flush(&mut |logical| {
            if result.is_ok() {
                result = hand_over(interpreter, pipeline, logical);
            }
        });
        result?;
        self.note_endings(pipeline)
    }

    /// The file is read to its end and nothing more will come.
    pub(crate) fn finished(&mut self, pipeline: &mut Pipeline, file: u64) -> Result<(), Stopped> {
        self.endings.push(Ending::Finished(file));
        self.note_endings(pipeline)
    }

    /// The file need not be remembered.
    pub(crate) fn forgotten(&mut self, pipeline: &mut Pipeline, file: u64) -> Result<(), Stopped> {
        self.endings.push(Ending::Forgotten(file));
        self.note_endings(pipeline)
    }

    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.assembler.deadline()
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.assembler.pending_bytes() == 0 && self.endings.is_empty()
    }

    fn note_endings(&mut self, pipeline: &Pipeline) -> Result<(), Stopped> {
        if self.endings.is_empty() || self.assembler.pending_bytes() > 0 {
            return Ok(());
        }
        for ending in self.endings.drain(..) {
            match ending {
                Ending::Finished(file) => pipeline.intake.file_finished(file)?,
                Ending::Forgotten(file) => pipeline.intake.file_forgotten(file)?,
            }
        }
        Ok(())
    }
}

fn hand_over(
    interpreter: &mut Interpreter,
    pipeline: &mut Pipeline,
    logical: &Logical<'_>,
) -> Result<(), Stopped> {
    pipeline.now = pipeline.now.max(Timestamp::now());
    let mut places = std::mem::take(&mut pipeline.places);
    let parts = logical.line.part.filter(|part| !part.last).map_or(0, |part| part.number);
    places.clear();
    let files = logical.covers.iter().filter(|cover| cover.file != NO_FILE);
    places.extend(files.map(|cover| (cover.file, Position { offset: cover.end, parts })));
    let mut result = Ok(None);
    let now = pipeline.now;
    let done = interpreter.interpret_logical(logical, now, |record| {
        result = pipeline.record(record, Covered::Files(&places));
    });
    pipeline.counts.unparsed += u64::from(done.unparsed);
    pipeline.counts.timestamps_replaced += u64::from(done.timestamp_replaced);
    pipeline.places = places;
    result.map(|_| ())
}
