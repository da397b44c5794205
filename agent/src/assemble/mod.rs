//! From raw lines to logical ones: what container runtimes wrap is unwrapped, what they split is joined, and the
//! lines of one record, a stack trace most often, become one.
//!
//! One [`Assembler`] stands behind the lines of one log over all its rotations:
//!
//! ```text
//! raw line ─→ unwrap (container) ─→ join parts ─→ join lines (multiline) ─→ logical line
//!                                   └────────── for stdout and stderr apart ─────────┘
//! ```
//!
//! What always holds:
//!
//! * Every raw line is in exactly one logical line, and those of one stream come out in their order.
//! * A [`Cover`] never passes a raw line that is still held. So whoever keeps logical lines with their covers can
//!   read on from the covers after a crash and misses nothing; with one stream nothing comes twice either. With
//!   two, lines of the one that overtook held lines of the other come again.
//! * What is held is bounded, for each stream: [`Multiline::lines_max`] and [`Multiline::bytes_max`], and
//!   [`PARTIAL_BYTES_MAX`]. At a bound it is handed out, marked as cut, and what follows begins anew.
//! * A rotation ends nothing: only a line that begins another record does, the bound, time, or [`Assembler::flush`].
//! * Without settings, lines pass through uncopied.

mod container;
mod held;
mod kubernetes;
mod multiline;
mod traces;

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use record::Timestamp;

use crate::lines::Line;

pub use container::Container;
pub use kubernetes::{CONTAINER, KubernetesNames, NAMESPACE, POD, kubernetes_attributes};
pub use multiline::{Multiline, Traces, UnknownTraces};

use container::Unwrapped;
use held::{Begin, Held, Lane, Waiting};
use multiline::Verdict;

/// Most bytes of a program's line that a container runtime has split.
pub const PARTIAL_BYTES_MAX: usize = 1 << 20;

/// How long a split line waits for its next part: runtimes write the parts at once.
const PARTIAL_TIMEOUT: Duration = Duration::from_secs(5);

/// What is to be joined. By default nothing.
#[derive(Clone, Debug, Default)]
pub struct AssembleSettings {
    /// What a container runtime wraps around lines.
    pub container: Option<Container>,
    /// Which lines make one record.
    pub multiline: Option<Multiline>,
}

/// Up to where a file is done once a logical line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cover {
    /// The number of the file, as it was given with its lines.
    pub file: u64,
    /// Its position behind the last raw line that is handed out, none before it being held.
    pub end: u64,
}

/// One record's text.
#[derive(Clone, Copy, Debug)]
pub struct Logical<'a> {
    /// The text; place and number are those of its first raw line.
    pub line: Line<'a>,
    /// When the container runtime took the first raw line.
    pub time: Option<Timestamp>,
    /// `stdout` or `stderr`, where the container runtime says it.
    pub stream: Option<&'a str>,
    /// For each file that is not done, the one that was read last among them.
    pub covers: &'a [Cover],
    /// How many raw lines it is made of.
    pub lines: u32,
    /// What follows may belong to it: a bound was met, or a split line ended without its last part.
    pub cut: bool,
}

impl<'a> Logical<'a> {
    /// A raw line that stands for itself.
    pub fn plain(line: Line<'a>, covers: &'a [Cover]) -> Self {
        Self { line, time: None, stream: None, covers, lines: 1, cut: false }
    }
}

/// Who takes logical lines.
pub type Sink<'s> = dyn FnMut(&Logical<'_>) + 's;

/// Makes the logical lines of one log.
pub struct Assembler {
    settings: Arc<AssembleSettings>,
    /// One for each stream that was seen.
    lanes: Vec<Lane>,
    /// Files that are not done, and how far each was pushed.
    files: Vec<Cover>,
    /// The file of the last line.
    latest: u64,
    /// The raw line that is being taken, as long as it is nowhere else.
    arriving: Option<Begin>,
    /// The raw lines of the text that is on its way to [`Assembler::take`].
    taking: Vec<Begin>,
    covers: Vec<Cover>,
}

/// A line of the program.
struct Text<'a> {
    bytes: &'a [u8],
    number: u64,
    time: Option<Timestamp>,
    lines: u32,
    cut: bool,
}

impl Assembler {
    /// Settings may be shared among the assemblers of many logs.
    pub fn new(settings: impl Into<Arc<AssembleSettings>>) -> Self {
        Self {
            settings: settings.into(),
            lanes: Vec::new(),
            files: Vec::new(),
            latest: 0,
            arriving: None,
            taking: Vec::new(),
            covers: Vec::new(),
        }
    }

    /// Takes the next raw line; `end` is the position in `file` behind it, its end of line included, and `now`
    /// the moment. Lines of one file come in their order.
    pub fn push(
        &mut self,
        file: u64,
        line: &Line<'_>,
        end: u64,
        now: Instant,
        sink: &mut Sink<'_>,
    ) {
        if self.settings.container.is_none() && self.settings.multiline.is_none() {
            return sink(&Logical::plain(*line, &[Cover { file, end }]));
        }
        let begin = Begin { file, offset: line.offset };
        self.arriving = Some(begin);
        self.note(file, end);
        if line.part.is_some() {
            // Of a part it is not known what it is a part of.
            self.flush(sink);
            self.arriving = None;
            return self.emit(&Logical::plain(*line, &[]), sink);
        }
        let unwrapped = match self.settings.container {
            Some(container) => container::unwrap(container, line.bytes),
            None => Unwrapped::plain(line.bytes),
        };
        let at = self.lane(unwrapped.stream, now);
        self.join_parts(at, begin, line.number, &unwrapped, sink);
    }

    /// Hands out what has waited long enough.
    pub fn flush_due(&mut self, now: Instant, sink: &mut Sink<'_>) {
        for at in 0..self.lanes.len() {
            if self.due(&self.lanes[at]).is_some_and(|due| due <= now) {
                self.finish(at, sink);
            }
        }
    }

    /// Hands out all that is held: nothing more will come.
    pub fn flush(&mut self, sink: &mut Sink<'_>) {
        for at in 0..self.lanes.len() {
            self.finish(at, sink);
        }
    }

    /// When [`Assembler::flush_due`] will have something to do.
    pub fn deadline(&self) -> Option<Instant> {
        self.lanes.iter().filter_map(|lane| self.due(lane)).min()
    }

    /// How many bytes of text are held.
    pub fn pending_bytes(&self) -> usize {
        self.lanes.iter().map(Lane::bytes).sum()
    }

    fn due(&self, lane: &Lane) -> Option<Instant> {
        let timeout = self.settings.multiline.as_ref().map_or(Duration::ZERO, |rule| rule.timeout);
        if !lane.partial.is_empty() {
            return lane.touched.checked_add(timeout.max(PARTIAL_TIMEOUT));
        }
        if lane.record.is_empty() { None } else { lane.touched.checked_add(timeout) }
    }

    fn note(&mut self, file: u64, end: u64) {
        self.latest = file;
        match self.files.iter_mut().find(|known| known.file == file) {
            Some(known) => known.end = end,
            None => self.files.push(Cover { file, end }),
        }
    }

    /// The lane of a stream that has a line now.
    fn lane(&mut self, stream: Option<&'static str>, now: Instant) -> usize {
        if let Some(at) = self.lanes.iter().position(|lane| lane.stream == stream) {
            self.lanes[at].touched = now;
            return at;
        }
        self.lanes.push(Lane::new(stream, now));
        self.lanes.len() - 1
    }

    /// Puts the parts of a line together that a container runtime has split.
    fn join_parts(
        &mut self,
        at: usize,
        begin: Begin,
        number: u64,
        unwrapped: &Unwrapped<'_>,
        sink: &mut Sink<'_>,
    ) {
        let partial = &self.lanes[at].partial;
        if !partial.is_empty() && partial.bytes.len() + unwrapped.text.len() > PARTIAL_BYTES_MAX {
            self.take_partial(at, true, sink);
        }
        let partial = &mut self.lanes[at].partial;
        if unwrapped.ends && partial.is_empty() {
            self.arriving = None;
            self.taking.push(begin);
            let (bytes, time) = (&*unwrapped.text, unwrapped.time);
            let text = Text { bytes, number, time, lines: 1, cut: false };
            return self.take(at, &text, sink);
        }
        if partial.is_empty() {
            (partial.number, partial.time) = (number, unwrapped.time);
        }
        partial.bytes.extend_from_slice(&unwrapped.text);
        partial.lines = partial.lines.saturating_add(1);
        partial.begins_with(&[begin]);
        self.arriving = None;
        if unwrapped.ends {
            self.take_partial(at, false, sink);
        }
    }

    fn take_partial(&mut self, at: usize, cut: bool, sink: &mut Sink<'_>) {
        let mut partial = std::mem::take(&mut self.lanes[at].partial);
        self.taking.append(&mut partial.begins);
        let Held { number, time, lines, .. } = partial;
        self.take(at, &Text { bytes: &partial.bytes, number, time, lines, cut }, sink);
        self.lanes[at].partial = partial.emptied();
    }

    /// Takes a line of the program, whose raw lines are in `taking`: hands it out, or holds it.
    fn take(&mut self, at: usize, text: &Text<'_>, sink: &mut Sink<'_>) {
        let settings = Arc::clone(&self.settings);
        let Some(rule) = &settings.multiline else { return self.pass(at, text, sink) };
        let lane = &mut self.lanes[at];
        let verdict = match rule.verdict(&mut lane.inside, lane.record.open(), text.bytes) {
            // An empty line that is no plain one does not wait: only places of plain ones are kept.
            Verdict::Waits if text.lines > 1 || text.cut => Verdict::Begins,
            verdict => verdict,
        };
        let fits = lane.fits(rule, text.bytes.len());
        let held = !lane.record.is_empty();
        match verdict {
            Verdict::Waits if held && fits => {
                let (number, time) = (text.number, text.time);
                let places = self.taking.drain(..);
                lane.waiting.extend(places.map(|place| Waiting { place, number, time }));
                return;
            }
            Verdict::Continues if held && fits => lane.commit_waiting(),
            Verdict::Begins => self.release(at, false, sink),
            Verdict::Waits | Verdict::Continues => self.release(at, held, sink),
        }
        if text.bytes.is_empty() && self.lanes[at].record.is_empty() {
            return self.pass(at, text, sink);
        }
        let lane = &mut self.lanes[at];
        lane.record.append(text.bytes, text.number, text.time, text.lines);
        lane.record.begins_with(&self.taking);
        self.taking.clear();
        if text.cut {
            self.release(at, true, sink);
        }
    }

    /// Hands a line of the program out as it is.
    fn pass(&mut self, at: usize, text: &Text<'_>, sink: &mut Sink<'_>) {
        let offset = self.taking.first().map_or(0, |begin| begin.offset);
        self.taking.clear();
        let logical = Logical {
            line: Line { bytes: text.bytes, offset, number: text.number, part: None },
            time: text.time,
            stream: self.lanes[at].stream,
            covers: &[],
            lines: text.lines,
            cut: text.cut,
        };
        self.emit(&logical, sink);
    }

    /// Hands out the record of a lane, and the empty lines that turn out to stand behind it.
    fn release(&mut self, at: usize, cut: bool, sink: &mut Sink<'_>) {
        let record = std::mem::take(&mut self.lanes[at].record);
        if record.is_empty() {
            return;
        }
        let stream = self.lanes[at].stream;
        let logical = Logical {
            line: record.line(),
            time: record.time,
            stream,
            covers: &[],
            lines: record.lines,
            cut,
        };
        self.emit(&logical, sink);
        self.lanes[at].record = record.emptied();
        while let Some(Waiting { place, number, time }) = self.lanes[at].waiting.pop_front() {
            let line = Line { bytes: b"", offset: place.offset, number, part: None };
            self.emit(&Logical { time, stream, ..Logical::plain(line, &[]) }, sink);
        }
    }

    fn finish(&mut self, at: usize, sink: &mut Sink<'_>) {
        if !self.lanes[at].partial.is_empty() {
            self.take_partial(at, true, sink);
        }
        self.release(at, false, sink);
    }

    /// Hands out a line that is held no more, with the covers of this moment.
    fn emit(&mut self, logical: &Logical<'_>, sink: &mut Sink<'_>) {
        let mut covers = std::mem::take(&mut self.covers);
        covers.clear();
        covers.extend(self.files.iter().map(|pushed| self.cover(pushed)));
        sink(&Logical { covers: &covers, ..*logical });
        let mut ends = covers.iter().map(|cover| cover.end);
        let latest = self.latest;
        self.files.retain(|pushed| {
            let done = ends.next().is_some_and(|end| end >= pushed.end);
            !done || pushed.file == latest
        });
        drop(ends);
        self.covers = covers;
    }

    /// How far a file is done: up to its first raw line that is held.
    fn cover(&self, pushed: &Cover) -> Cover {
        let lanes = self.lanes.iter().flat_map(Lane::begins);
        let held = lanes.chain(&self.taking).chain(&self.arriving);
        let first = held.filter(|begin| begin.file == pushed.file).map(|begin| begin.offset);
        Cover { file: pushed.file, end: first.fold(pushed.end, u64::min) }
    }
}

impl fmt::Debug for Assembler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Assembler").field("pending_bytes", &self.pending_bytes()).finish()
    }
}
