//! Where all sources put their records: the batch that is being filled.
//!
//! Sources push under one lock; what they push, what they dropped and how far they are read belong together and
//! leave together as one [`Filled`]. A batch ends when one more record would not fit, when it is old enough, when
//! somebody waits for it, or at the end. While it is taken away the next one is filled; if that is full before the
//! spool is done with the first, who pushes waits. So memory is bounded by two batches, and a slow disk slows
//! the sources down and loses nothing.
//!
//! Spans travel in a request of their own, which is filled and leaves together with that of the log records. So where
//! there are both it is four requests that bound the memory, each as large as a batch may be. Spans are not sampled.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use record::{RecordRef, Signal, Timestamp};
use wire::OtlpEncoder;

use super::state::{Note, Position, Report};
use crate::process::{SampleCounts, Sampled, Sampler};
use crate::source::file::KnownFile;

/// Size of a note, about, beyond which a batch ends: what a hundred thousand files or held records change is not one
/// entry of the spool, which takes 4 MiB at least, batches of 2 MiB among them.
const NOTE_BYTES_MAX: usize = 1 << 20;
/// What the place of one file takes in a note.
const POSITION_BYTES: usize = 80;
/// What a file, a report or a held record takes beside its texts.
const FRAME_BYTES: usize = 400;

/// How often whoever waits for room looks whether the spool is blocked.
const LOOK_AGAIN: Duration = Duration::from_millis(50);
/// Why a record is dropped that there was no room for.
const SPOOL_FULL: &str = "spool_full";
/// Why a record is dropped whose correlation is not kept and met no error.
const SAMPLED: &str = "sampled";
/// ... that was dropped before its time, because too many waited.
const HELD_TOO_MUCH: &str = "sampled_early";
/// ... that waited and could not be read any more.
const HELD_UNREADABLE: &str = "sampled_unreadable";

/// Bounds on batches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BatchBounds {
    /// Largest batch before compression, in bytes; a single record beyond it is a batch of its own.
    pub(crate) bytes_max: usize,
    pub(crate) records_max: usize,
    /// How long a record waits for others.
    pub(crate) age_max: Duration,
}

/// What a record, or a line that made none, covers.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Covered<'a> {
    /// Nothing that can be read again.
    Nothing,
    /// Files up to these places.
    Files(&'a [(u64, Position)]),
    /// The journal up to this cursor.
    Cursor { source: &'a str, cursor: &'a str },
}

/// A batch, not yet compressed.
#[derive(Debug)]
pub(crate) struct Filled {
    pub(crate) number: u64,
    /// `ExportLogsServiceRequest`; empty if only the note matters.
    pub(crate) request: Vec<u8>,
    pub(crate) note: Note,
    /// `ExportTraceServiceRequest`, if there are spans.
    pub(crate) spans: Option<(Vec<u8>, Note)>,
}

impl Filled {
    /// Records in both of its requests.
    pub(crate) fn records(&self) -> u64 {
        self.note.records + self.spans.as_ref().map_or(0, |(_, note)| note.records)
    }
}

/// Why nothing was taken: the agent is stopping, or there was no room in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stopped;

/// What a source does while the spool takes nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum WhenFull {
    #[default]
    Wait,
    /// As `Wait`, but no longer than this; then nothing is taken.
    WaitUntil(Instant),
    Drop,
}

enum Room<'a> {
    Found(MutexGuard<'a, Open>),
    /// There is none, and the source does not wait.
    Refused(MutexGuard<'a, Open>),
}

#[derive(Debug)]
pub(crate) struct Intake {
    bounds: Mutex<BatchBounds>,
    open: Mutex<Open>,
    /// There is room again.
    emptied: Condvar,
    /// There is something to take.
    filled: Condvar,
    /// Batches that are durable.
    durable: Mutex<u64>,
    durable_changed: Condvar,
    /// The spool takes nothing at the moment.
    blocked: AtomicBool,
}

#[derive(Debug, Default)]
struct Open {
    number: u64,
    encoder: OtlpEncoder,
    note: Note,
    spans: Spans,
    /// How large it will be, about.
    note_bytes: usize,
    sampler: Option<Sampler>,
    /// What it had counted when the last batch was taken.
    sampled: SampleCounts,
    /// Since when there is something in it.
    since: Option<Instant>,
    /// When somebody wants it to be written.
    wanted_at: Option<Instant>,
    full: bool,
    /// Takes nothing more.
    stopped: bool,
    /// What is in it now is the last.
    ended: bool,
}

/// The spans of the open batch. What is covered and dropped stands in the note of the log records.
#[derive(Debug)]
struct Spans {
    encoder: OtlpEncoder,
    note: Note,
}

impl Default for Spans {
    fn default() -> Self {
        let note = Note { spans: true, ..Note::default() };
        Self { encoder: OtlpEncoder::of(Signal::Spans), note }
    }
}

impl Intake {
    pub(crate) fn new(bounds: BatchBounds, sampler: Option<Sampler>) -> Self {
        Self {
            bounds: Mutex::new(bounds),
            open: Mutex::new(Open {
                sampled: sampler.as_ref().map(Sampler::counts).unwrap_or_default(),
                sampler,
                ..Open::default()
            }),
            emptied: Condvar::new(),
            filled: Condvar::new(),
            durable: Mutex::new(0),
            durable_changed: Condvar::new(),
            blocked: AtomicBool::new(false),
        }
    }

    /// Takes a record and gives the number of its batch. Where there is no room it waits, or, if told so and the
    /// spool takes nothing, drops and counts it.
    ///
    /// # Errors
    /// The agent is stopping, or the source waits no longer; the record was not taken.
    pub(crate) fn push(
        &self,
        signal: Signal,
        record: &RecordRef<'_>,
        covered: Covered<'_>,
        when_full: WhenFull,
    ) -> Result<u64, Stopped> {
        let bytes = OtlpEncoder::bytes_max(record);
        let mut open = match self.find_room(signal, bytes, when_full)? {
            Room::Found(open) => open,
            Room::Refused(mut open) => {
                open.note.counts.read += 1;
                open.drop_for(SPOOL_FULL);
                open.cover(covered);
                return Ok(self.pushed(open));
            }
        };
        open.cover(covered);
        match signal {
            Signal::Logs => {
                open.note.counts.read += 1;
                open.sample(record);
            }
            Signal::Spans => open.encode_span(record),
        }
        Ok(self.pushed(open))
    }

    /// Takes a record of the agent's own, which says what the report of that number says; it is never sampled.
    pub(crate) fn report(&self, record: &RecordRef<'_>, said: Option<u64>) -> Result<u64, Stopped> {
        let mut open = self.wait_for_room(OtlpEncoder::bytes_max(record))?;
        open.note.counts.reported += 1;
        open.note.said.extend(said);
        open.encode(record);
        Ok(self.pushed(open))
    }

    /// Notes that what is covered made a record that is not shipped; without a reason it was filtered.
    pub(crate) fn drop_record(
        &self,
        reason: Option<&str>,
        covered: Covered<'_>,
    ) -> Result<(), Stopped> {
        let mut open = self.note_room()?;
        open.note.counts.read += 1;
        match reason {
            None => open.note.counts.filtered += 1,
            Some(reason) => open.drop_for(reason),
        }
        open.cover(covered);
        self.pushed(open);
        Ok(())
    }

    /// Notes who a file is.
    pub(crate) fn file_known(&self, id: u64, file: &KnownFile) -> Result<(), Stopped> {
        let mut open = self.note_room()?;
        let paths = file.origin.as_os_str().len() + file.path.as_os_str().len();
        open.note_bytes += FRAME_BYTES + 2 * paths;
        open.note.files.entry(id).or_default().then_known(file.clone());
        self.pushed(open);
        Ok(())
    }

    /// Notes that a file is read to its end and nothing more will come.
    pub(crate) fn file_finished(&self, id: u64) -> Result<(), Stopped> {
        let mut open = self.note_room()?;
        open.note_bytes += POSITION_BYTES;
        open.note.files.entry(id).or_default().finished = true;
        self.pushed(open);
        Ok(())
    }

    /// Notes that a file need not be remembered.
    pub(crate) fn file_forgotten(&self, id: u64) -> Result<(), Stopped> {
        let mut open = self.note_room()?;
        open.note_bytes += POSITION_BYTES;
        open.note.files.entry(id).or_default().forgotten = true;
        self.pushed(open);
        Ok(())
    }

    /// Notes where the journal is read from on, without a record.
    pub(crate) fn cursor_known(&self, source: &str, cursor: &str) {
        let mut open = self.open();
        open.cover(Covered::Cursor { source, cursor });
        self.pushed(open);
    }

    /// Notes that a source was started.
    pub(crate) fn source_started(&self, name: &str) {
        let mut open = self.open();
        open.note.started.insert(name.to_owned());
        self.pushed(open);
    }

    /// Notes what is to be said; it becomes a record once it is durable.
    ///
    /// # Errors
    /// The agent is stopping; it was not noted.
    pub(crate) fn say(&self, report: Report) -> Result<(), Stopped> {
        let mut open = self.note_room()?;
        open.note_bytes += FRAME_BYTES + 2 * report.message.len();
        open.note.say.push(report);
        self.pushed(open);
        Ok(())
    }

    /// Whether the spool takes nothing at the moment.
    pub(crate) fn is_blocked(&self) -> bool {
        self.blocked.load(Ordering::Relaxed)
    }

    /// Whether nothing is taken any more.
    pub(crate) fn is_stopped(&self) -> bool {
        self.open().stopped
    }

    pub(crate) fn set_blocked(&self, blocked: bool) {
        self.blocked.store(blocked, Ordering::Relaxed);
    }

    /// Asks for the open batch to be written now, and waits until batch `number` is durable.
    ///
    /// # Errors
    /// It did not become durable in time, or never will.
    pub(crate) fn wait_durable(&self, number: u64, deadline: Instant) -> Result<(), Stopped> {
        self.cut_within(number, Duration::ZERO);
        let mut durable = self.durable.lock().unwrap_or_else(PoisonError::into_inner);
        while *durable <= number {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(Stopped);
            }
            durable = self
                .durable_changed
                .wait_timeout(durable, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
        Ok(())
    }

    /// Asks for batch `number` to be written within `linger`, which gives others the time to join it.
    pub(crate) fn cut_within(&self, number: u64, linger: Duration) {
        let mut open = self.open();
        let at = Instant::now() + linger;
        if open.number == number && open.wanted_at.is_none_or(|wanted| at < wanted) {
            open.wanted_at = Some(at);
            self.filled.notify_all();
        }
    }

    /// Whether batch `number` is durable.
    pub(crate) fn is_durable(&self, number: u64) -> bool {
        *self.durable.lock().unwrap_or_else(PoisonError::into_inner) > number
    }

    /// Everything pushed so far is made durable; what is pushed meanwhile too, or not.
    pub(crate) fn sync(&self, deadline: Instant) -> Result<(), Stopped> {
        let number = {
            let open = self.open();
            if open.is_empty() { open.number.checked_sub(1) } else { Some(open.number) }
        };
        number.map_or(Ok(()), |number| self.wait_durable(number, deadline))
    }

    /// The next batch, when there is one; `None` at the end. For the one thread that writes the spool.
    pub(crate) fn next(&self) -> Option<Filled> {
        let mut open = self.open();
        loop {
            let age_max = self.bounds().age_max;
            if let Some(sampler) = &mut open.sampler {
                sampler.expire(Timestamp::now());
                if sampler.has_changes() && open.since.is_none() {
                    open.since = Some(Instant::now());
                }
            }
            let age = open.since.map(|since| since.elapsed());
            let wanted_in = open.wanted_at.map(|at| at.saturating_duration_since(Instant::now()));
            let wanted = wanted_in.is_some_and(|wait| wait.is_zero());
            let due = open.full || wanted || age.is_some_and(|age| age >= age_max);
            if !open.is_empty() && (due || open.ended) {
                let filled = open.take();
                drop(open);
                self.emptied.notify_all();
                return Some(filled);
            }
            if open.ended {
                return None;
            }
            let wait = age.map_or(age_max, |age| age_max.saturating_sub(age));
            let wait =
                wanted_in.filter(|wait| !wait.is_zero()).map_or(wait, |wanted| wait.min(wanted));
            // Held records expire while nothing is pushed.
            let wait = wait.max(Duration::from_millis(1)).min(Duration::from_secs(1));
            open = self.filled.wait_timeout(open, wait).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Batch `number` is in the spool.
    pub(crate) fn set_durable(&self, number: u64) {
        *self.durable.lock().unwrap_or_else(PoisonError::into_inner) = number + 1;
        self.durable_changed.notify_all();
    }

    /// Takes nothing more from now on.
    pub(crate) fn stop(&self) {
        self.open().stopped = true;
        self.emptied.notify_all();
    }

    /// What is there now is the last.
    pub(crate) fn end(&self) {
        let mut open = self.open();
        open.stopped = true;
        open.ended = true;
        drop(open);
        self.emptied.notify_all();
        self.filled.notify_all();
    }

    /// Changes bounds and sampling while running; held records of the old sampler go over to the new one.
    pub(crate) fn reconfigure(
        &self,
        bounds: BatchBounds,
        sampler: impl FnOnce(Option<Sampler>) -> Option<Sampler>,
    ) {
        *self.bounds.lock().unwrap_or_else(PoisonError::into_inner) = bounds;
        let mut open = self.open();
        // What the old one has done goes into the batch that is open, and the new one goes on from there.
        open.note_sampled();
        let old = open.sampler.take();
        open.sampler = sampler(old);
        open.sampled = open.sampler.as_ref().map(Sampler::counts).unwrap_or_default();
    }

    /// When the oldest record that is not yet in the spool was read.
    pub(crate) fn oldest(&self) -> Option<Timestamp> {
        let open = self.open();
        open.note.oldest().into_iter().chain(open.spans.note.oldest()).min()
    }

    fn bounds(&self) -> BatchBounds {
        *self.bounds.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait_for_room(&self, bytes: usize) -> Result<MutexGuard<'_, Open>, Stopped> {
        match self.find_room(Signal::Logs, bytes, WhenFull::Wait)? {
            Room::Found(open) | Room::Refused(open) => Ok(open),
        }
    }

    fn find_room(
        &self,
        signal: Signal,
        bytes: usize,
        when_full: WhenFull,
    ) -> Result<Room<'_>, Stopped> {
        let bounds = self.bounds();
        let mut open = self.open();
        loop {
            if open.stopped {
                return Err(Stopped);
            }
            if !open.full && open.has_room(signal, bytes, &bounds) {
                return Ok(Room::Found(open));
            }
            if when_full == WhenFull::Drop && self.is_blocked() {
                return Ok(Room::Refused(open));
            }
            if matches!(when_full, WhenFull::WaitUntil(deadline) if Instant::now() >= deadline) {
                return Err(Stopped);
            }
            open.full = true;
            self.filled.notify_all();
            // Looks again by itself too: whether the spool is blocked is told by no one.
            let waited = self.emptied.wait_timeout(open, LOOK_AGAIN);
            open = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Room for a change that takes no bytes of the batch, so that it need not wait for the spool.
    fn note_room(&self) -> Result<MutexGuard<'_, Open>, Stopped> {
        let open = self.open();
        if open.stopped {
            return Err(Stopped);
        }
        if open.note_bytes < NOTE_BYTES_MAX {
            Ok(open)
        } else {
            drop(open);
            self.wait_for_room(0)
        }
    }

    fn pushed(&self, mut open: MutexGuard<'_, Open>) -> u64 {
        if open.since.is_none() {
            open.since = Some(Instant::now());
            // Whoever waits for something to take learns how long that may take.
            self.filled.notify_all();
        }
        open.number
    }
}

impl Open {
    fn is_empty(&self) -> bool {
        let sampled = self.sampler.as_ref().is_some_and(Sampler::has_changes);
        let spans = self.spans.note.records > 0;
        self.encoder.is_empty() && self.note.is_empty() && !spans && !sampled
    }

    fn has_room(&self, signal: Signal, bytes: usize, bounds: &BatchBounds) -> bool {
        if self.note_bytes >= NOTE_BYTES_MAX {
            return false;
        }
        let encoder = match signal {
            Signal::Logs => &self.encoder,
            Signal::Spans => &self.spans.encoder,
        };
        encoder.is_empty()
            || (encoder.records() < bounds.records_max && encoder.len() + bytes <= bounds.bytes_max)
    }

    fn drop_for(&mut self, reason: &str) {
        match self.note.counts.dropped.get_mut(reason) {
            Some(count) => *count += 1,
            None => {
                self.note.counts.dropped.insert(reason.to_owned(), 1);
            }
        }
    }

    fn encode(&mut self, record: &RecordRef<'_>) {
        let oldest = self.note.oldest.get_or_insert(record.observed_timestamp.0);
        *oldest = record.observed_timestamp.0.min(*oldest);
        self.encoder.push(record);
        self.note.records += 1;
    }

    /// What is read and what is in the request are in one note, so that the account adds up with either alone.
    fn encode_span(&mut self, span: &RecordRef<'_>) {
        let Spans { encoder, note } = &mut self.spans;
        let oldest = note.oldest.get_or_insert(span.observed_timestamp.0);
        *oldest = span.observed_timestamp.0.min(*oldest);
        encoder.push(span);
        note.counts.read += 1;
        note.records += 1;
    }

    fn cover(&mut self, covered: Covered<'_>) {
        match covered {
            Covered::Nothing => {}
            Covered::Files(places) => {
                let before = self.note.files.len();
                for (id, position) in places {
                    self.note.files.entry(*id).or_default().position = Some(*position);
                }
                self.note_bytes += (self.note.files.len() - before) * POSITION_BYTES;
            }
            Covered::Cursor { source, cursor } => match self.note.cursors.get_mut(source) {
                Some(known) => cursor.clone_into(known),
                None => {
                    self.note.cursors.insert(source.to_owned(), cursor.to_owned());
                }
            },
        }
    }

    /// A record, and those that it sets free before it; or nothing, if it has to wait or is dropped.
    fn sample(&mut self, record: &RecordRef<'_>) {
        let Some(mut sampler) = self.sampler.take() else { return self.encode(record) };
        let sampled = sampler.push(record, Timestamp::now(), |record| self.encode(record));
        if let Sampled::Held(_) = sampled {
            // In base64.
            self.note_bytes += FRAME_BYTES + OtlpEncoder::bytes_max(record) / 3 * 4;
        }
        self.sampler = Some(sampler);
    }

    /// What the sampler has done since the last batch, into the note of this one.
    fn note_sampled(&mut self) {
        let Some(sampler) = &mut self.sampler else { return };
        let changes = sampler.take_changes();
        let now = sampler.counts();
        let before = std::mem::replace(&mut self.sampled, now);
        self.note.sample = Some(STANDARD.encode(changes.encode()));
        for (reason, count) in [
            (SAMPLED, now.window_passed - before.window_passed),
            (HELD_TOO_MUCH, now.held_too_much - before.held_too_much),
            (HELD_UNREADABLE, now.unreadable - before.unreadable),
        ] {
            if count > 0 {
                *self.note.counts.dropped.entry(reason.to_owned()).or_default() += count;
            }
        }
    }

    fn take(&mut self) -> Filled {
        self.note_sampled();
        let number = self.number;
        self.number += 1;
        self.since = None;
        self.wanted_at = None;
        self.full = false;
        self.note_bytes = 0;
        let Spans { encoder, note } = std::mem::take(&mut self.spans);
        Filled {
            spans: (note.records > 0).then(|| (encoder.finish(), note)),
            number,
            request: std::mem::take(&mut self.encoder).finish(),
            note: std::mem::take(&mut self.note),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use record::Record;

    use super::*;

    fn bounds(bytes_max: usize, age_max: Duration) -> BatchBounds {
        BatchBounds { bytes_max, records_max: 10, age_max }
    }

    fn push(intake: &Intake, file: u64, offset: u64, when_full: WhenFull) -> Result<u64, Stopped> {
        let record = Record { message: "a line".to_owned(), ..Record::default() };
        let place = [(file, Position { offset, parts: 0 })];
        record
            .with_ref(|record| intake.push(Signal::Logs, record, Covered::Files(&place), when_full))
    }

    #[test]
    fn records_of_many_sources_leave_once_with_their_positions_and_in_order() {
        let intake = Arc::new(Intake::new(bounds(4_096, Duration::from_secs(60)), None));
        let sources: Vec<_> = (1..=4)
            .map(|file| {
                let intake = Arc::clone(&intake);
                std::thread::spawn(move || {
                    for offset in 1..=500 {
                        push(&intake, file, offset, WhenFull::Wait).unwrap();
                    }
                })
            })
            .collect();
        let taker = std::thread::spawn({
            let intake = Arc::clone(&intake);
            move || {
                let (mut records, mut places) = (0, std::collections::BTreeMap::new());
                while let Some(filled) = intake.next() {
                    assert!(filled.note.records <= 10, "{}", filled.note.records);
                    assert_eq!(filled.note.counts.read, filled.note.records);
                    records += filled.note.records;
                    for (file, change) in filled.note.files {
                        let offset = change.position.unwrap().offset;
                        let before = places.insert(file, offset).unwrap_or(0);
                        assert!(before < offset, "{file}: {before} then {offset}");
                    }
                    intake.set_durable(filled.number);
                }
                (records, places)
            }
        });
        sources.into_iter().for_each(|source| source.join().unwrap());
        intake.end();
        let (records, places) = taker.join().unwrap();
        assert_eq!(records, 2_000);
        assert_eq!(places, (1..=4).map(|file| (file, 500)).collect());
    }

    #[test]
    fn a_batch_that_is_wanted_soon_takes_others_along_and_leaves_long_before_its_age() {
        let intake = Intake::new(bounds(1 << 20, Duration::from_secs(3_600)), None);
        let number = push(&intake, 1, 1, WhenFull::Wait).unwrap();
        let begun = Instant::now();
        intake.cut_within(number, Duration::from_millis(30));
        // Who comes later with more patience does not put it off.
        intake.cut_within(number, Duration::from_secs(3_000));
        assert_eq!(push(&intake, 1, 2, WhenFull::Wait), Ok(number));
        assert!(!intake.is_durable(number));
        let filled = intake.next().unwrap();
        assert!(begun.elapsed() >= Duration::from_millis(30));
        assert_eq!(filled.note.records, 2);
        intake.set_durable(number);
        assert!(intake.is_durable(number));
        // The next one is not wanted.
        let next = push(&intake, 1, 3, WhenFull::Wait).unwrap();
        intake.cut_within(number, Duration::ZERO);
        assert_eq!((next, intake.open().wanted_at), (number + 1, None));
    }

    #[test]
    fn a_source_waits_for_room_no_longer_than_it_wants() {
        let intake = Intake::new(bounds(1, Duration::from_secs(3_600)), None);
        let soon = || WhenFull::WaitUntil(Instant::now() + Duration::from_millis(1));
        assert_eq!(push(&intake, 1, 1, soon()), Ok(0));
        assert_eq!(push(&intake, 1, 2, soon()), Err(Stopped));
        let filled = intake.next().unwrap();
        assert_eq!(filled.note.records, 1);
        assert_eq!(push(&intake, 1, 2, soon()), Ok(1));
    }

    #[test]
    fn a_record_that_waits_alone_leaves_when_it_is_old_enough_or_wanted() {
        let intake = Arc::new(Intake::new(bounds(1 << 20, Duration::from_millis(20)), None));
        push(&intake, 1, 1, WhenFull::Wait).unwrap();
        assert_eq!(intake.next().unwrap().note.records, 1);

        let intake = Arc::new(Intake::new(bounds(1 << 20, Duration::from_secs(3_600)), None));
        let number = push(&intake, 1, 1, WhenFull::Wait).unwrap();
        let waiting = std::thread::spawn({
            let intake = Arc::clone(&intake);
            move || intake.wait_durable(number, Instant::now() + Duration::from_secs(60))
        });
        let filled = intake.next().unwrap();
        intake.set_durable(filled.number);
        assert_eq!(waiting.join().unwrap(), Ok(()));
    }

    #[test]
    fn without_room_a_source_waits_or_drops_and_counts_as_it_was_told() {
        let intake = Arc::new(Intake::new(bounds(1 << 20, Duration::from_secs(3_600)), None));
        for offset in 1..=10 {
            push(&intake, 1, offset, WhenFull::Wait).unwrap();
        }
        intake.set_blocked(true);
        push(&intake, 1, 11, WhenFull::Drop).unwrap();
        let waiting = std::thread::spawn({
            let intake = Arc::clone(&intake);
            move || push(&intake, 1, 12, WhenFull::Wait)
        });
        let filled = intake.next().unwrap();
        assert_eq!((filled.note.records, filled.note.counts.read), (10, 11));
        assert_eq!(filled.note.counts.dropped, [(SPOOL_FULL.to_owned(), 1)].into());
        assert_eq!(filled.note.files[&1].position.unwrap().offset, 11);
        assert_eq!(waiting.join().unwrap(), Ok(1));
    }

    #[test]
    fn after_the_end_nothing_is_taken_and_what_was_taken_leaves() {
        let intake = Intake::new(bounds(1 << 20, Duration::from_secs(3_600)), None);
        push(&intake, 1, 1, WhenFull::Wait).unwrap();
        intake.end();
        assert_eq!(push(&intake, 1, 2, WhenFull::Wait), Err(Stopped));
        assert_eq!(intake.next().unwrap().note.records, 1);
        assert!(intake.next().is_none());
    }

    #[test]
    fn a_full_batch_keeps_whoever_waits_at_the_end_from_waiting_for_ever() {
        let intake = Arc::new(Intake::new(bounds(1 << 20, Duration::from_secs(3_600)), None));
        for offset in 1..=10 {
            push(&intake, 1, offset, WhenFull::Wait).unwrap();
        }
        let waiting = std::thread::spawn({
            let intake = Arc::clone(&intake);
            move || push(&intake, 1, 11, WhenFull::Wait)
        });
        intake.stop();
        assert_eq!(waiting.join().unwrap(), Err(Stopped));
    }
}
