//! The spool together with the state that rides in it, and the thread that writes batches to it.
//!
//! Everything durable goes through [`Durable`]: an entry is written and synced first, then the state takes its note
//! in. So the state in memory is never ahead of the disk, and a checkpoint is always what a replay would give.

use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use file_system::FileSystem;
use service::health::{Check, Health};
use spool::{Front, Opening, Replay, Spool, SpoolError, SpoolOptions};
use tokio::sync::Notify;
use wire::Encoding;

use super::intake::{Filled, Intake};
use super::state::{Note, Report, State};
use crate::process::{SampleSettings, Sampler};

/// Pauses between tries to write to a disk that is full or broken.
const PAUSE_MIN: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_secs(5);
/// The health check that tells of it.
const CHECK: &str = "spool";

/// The spool and the state.
#[derive(Debug)]
pub(crate) struct Durable {
    inner: Mutex<Inner>,
    /// A batch came into the spool.
    pub(crate) arrived: Notify,
    /// There is something to report.
    unsaid: Condvar,
}

#[derive(Debug)]
struct Inner {
    spool: Spool,
    books: Books,
}

/// The state, and the sampler as far as it is durable.
#[derive(Debug, Default)]
struct Books {
    state: State,
    sampler: Option<Sampler>,
}

impl Books {
    fn restore(checkpoint: &[u8]) -> Result<Self, ()> {
        if checkpoint.is_empty() {
            return Ok(Self::default());
        }
        let mut state: State = serde_json::from_slice(checkpoint).map_err(|_| ())?;
        let sample = state.sample.take();
        let mut books = Self { state, sampler: None };
        sample.map_or(Ok(()), |sample| books.replay(&sample))?;
        Ok(books)
    }

    fn apply(&mut self, note: &Note, payload: bool) -> Result<(), ()> {
        self.state.apply(note, payload);
        let replayed = note.sample.as_ref().map_or(Ok(()), |sample| self.replay(sample));
        self.state.ledger.held = self.sampler.as_ref().map_or(0, |sampler| sampler.held() as u64);
        replayed
    }

    fn replay(&mut self, sample: &str) -> Result<(), ()> {
        let bytes = STANDARD.decode(sample).map_err(|_| ())?;
        // Only told what to do; its own settings never matter.
        let sampler = match &mut self.sampler {
            Some(sampler) => sampler,
            none => none.insert(Sampler::new(SampleSettings::default()).map_err(|_| ())?),
        };
        let replayed = sampler.replay(&bytes);
        if replayed.is_err() {
            self.sampler = None;
        }
        replayed.map_err(|_| ())
    }

    fn checkpoint(&mut self) -> Vec<u8> {
        self.state.sample = self.sampler.as_ref().map(|it| STANDARD.encode(it.checkpoint()));
        let bytes = serde_json::to_vec(&self.state);
        self.state.sample = None;
        bytes.expect("a state has only text keys and finite numbers")
    }
}

impl Durable {
    /// Opens the spool in `folder` and replays what is in it.
    ///
    /// # Errors
    /// The folder cannot be read or written.
    pub(crate) fn open(
        fs: Arc<dyn FileSystem>,
        folder: &Path,
        options: SpoolOptions,
    ) -> Result<(Self, Opening), SpoolError> {
        let mut books = Books::default();
        let mut unreadable = 0_u64;
        let (spool, opening) = Spool::open(fs, folder, options, &mut |replay| {
            let (note, payload) = match replay {
                Replay::Checkpoint(bytes) => {
                    match Books::restore(bytes) {
                        Ok(restored) => books = restored,
                        Err(()) => unreadable += 1,
                    }
                    return;
                }
                Replay::Batch { note, .. } => (note, true),
                Replay::Note(note) | Replay::Acknowledged { note, .. } => (note, false),
            };
            let applied = serde_json::from_slice::<Note>(note)
                .map_err(|_| ())
                .and_then(|note| books.apply(&note, payload));
            unreadable += u64::from(applied.is_err() && !note.is_empty());
        })?;
        if unreadable > 0 {
            tracing::error!(
                entries = unreadable,
                "entries of the spool are sound and say what this agent does not understand; was it written by a newer one?"
            );
        }
        Ok((
            Self {
                inner: Mutex::new(Inner { spool, books }),
                arrived: Notify::new(),
                unsaid: Condvar::new(),
            },
            opening,
        ))
    }

    /// Writes a batch, or only its note; durable when it returns.
    ///
    /// # Errors
    /// Nothing was written; the same can be tried again.
    pub(crate) fn append(&self, note: &Note, payload: Option<&[u8]>) -> Result<(), SpoolError> {
        let mut inner = self.inner();
        let Inner { spool, books } = &mut *inner;
        let bytes = note.encode();
        let mut checkpoint = || books.checkpoint();
        match payload {
            Some(payload) => {
                spool.append(&bytes, payload, &mut checkpoint)?;
            }
            None => spool.note(&bytes, &mut checkpoint)?,
        }
        let _ = books.apply(note, payload.is_some());
        drop(inner);
        self.arrived.notify_one();
        self.changed(note);
        Ok(())
    }

    /// The batch at the front; `None` if the spool is empty.
    ///
    /// # Errors
    /// The disk cannot be read, or the batch is damaged; a damaged one is told once and is then gone.
    pub(crate) fn front(&self) -> Result<Option<Front>, SpoolError> {
        self.inner().spool.front()
    }

    /// The batch at the front is settled.
    ///
    /// # Errors
    /// It could not be noted; the same can be tried again.
    pub(crate) fn settle(&self, number: u64, note: &Note) -> Result<(), SpoolError> {
        let mut inner = self.inner();
        let Inner { spool, books } = &mut *inner;
        spool.acknowledge(number, &note.encode(), &mut || books.checkpoint())?;
        let _ = books.apply(note, false);
        drop(inner);
        self.changed(note);
        Ok(())
    }

    fn changed(&self, note: &Note) {
        if !note.say.is_empty() {
            self.unsaid.notify_all();
        }
    }

    /// The first report from number `from` on that is in no batch yet; waits for one.
    pub(crate) fn wait_unsaid(&self, from: u64) -> Option<(u64, Report)> {
        let mut inner = self.inner();
        loop {
            if let Some((number, report)) = inner.books.state.unsaid.range(from..).next() {
                return Some((*number, report.clone()));
            }
            inner = self.unsaid.wait(inner).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Makes acknowledgements durable.
    ///
    /// # Errors
    /// The disk refuses.
    pub(crate) fn sync(&self) -> Result<(), SpoolError> {
        let mut inner = self.inner();
        let Inner { spool, books } = &mut *inner;
        spool.sync(&mut || books.checkpoint())
    }

    /// The checkpoint of the records that wait, for the sampler that goes on with them.
    pub(crate) fn sampler_checkpoint(&self) -> Option<Vec<u8>> {
        self.inner().books.sampler.as_ref().map(Sampler::checkpoint)
    }

    /// The spool's id, hex.
    pub(crate) fn spool_id(&self) -> String {
        format!("{:032x}", self.inner().spool.id())
    }

    /// The number of the next batch.
    pub(crate) fn next_number(&self) -> u64 {
        self.inner().spool.usage().next
    }

    /// Reads the state.
    pub(crate) fn with_state<T>(&self, read: impl FnOnce(&State) -> T) -> T {
        read(&self.inner().books.state)
    }

    /// How full the spool is.
    pub(crate) fn usage(&self) -> spool::Usage {
        self.inner().spool.usage()
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Writes what the intake fills until it ends: compresses, appends, tries again for ever where the disk is full.
///
/// Returns how many records could not be written when `give_up` passed after the end was called for.
pub(crate) fn write_spool(
    intake: &Intake,
    durable: &Durable,
    health: &Health,
    stop: &StopTime,
) -> u64 {
    let mut lost = 0;
    while let Some(filled) = intake.next() {
        let number = filled.number;
        match write(filled, intake, durable, health, stop) {
            Ok(()) => intake.set_durable(number),
            Err(records) => lost += records,
        }
    }
    lost
}

fn write(
    filled: Filled,
    intake: &Intake,
    durable: &Durable,
    health: &Health,
    stop: &StopTime,
) -> Result<(), u64> {
    let Filled { request, note, .. } = filled;
    let payload = (note.records > 0).then(|| wire::compress(Encoding::Zstd, &request));
    drop(request);
    let mut pause = PAUSE_MIN;
    loop {
        let error = match durable.append(&note, payload.as_deref()) {
            Ok(()) => break,
            Err(error) => error,
        };
        intake.set_blocked(true);
        let full = matches!(error, SpoolError::Full { .. });
        health.set(CHECK, Check::Degraded(error.to_string()));
        if stop.is_past() {
            return Err(note.records);
        }
        // A full spool empties as fast as the collector takes it.
        std::thread::sleep(if full { PAUSE_MIN } else { pause });
        pause = (pause * 2).min(PAUSE_MAX);
    }
    intake.set_blocked(false);
    health.set(CHECK, Check::Ok);
    Ok(())
}

/// When to stop trying, once the agent is to end.
#[derive(Clone, Debug, Default)]
pub(crate) struct StopTime(Arc<Mutex<Option<Instant>>>);

impl StopTime {
    pub(crate) fn set(&self, at: Instant) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(at);
    }

    fn is_past(&self) -> bool {
        let at = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        at.is_some_and(|at| Instant::now() >= at)
    }
}
