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
/// Why records are dropped whose batch fits no spool.
const TOO_LARGE: &str = "batch_too_large";
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

    /// The number of the batch at the front, or of the next one.
    pub(crate) fn front_number(&self) -> u64 {
        let usage = self.inner().spool.usage();
        usage.oldest.unwrap_or(usage.next)
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
        if lost > 0 {
            // What comes later has positions behind what is lost.
            lost += filled.records();
            continue;
        }
        match write(filled, intake, durable, health, stop) {
            Ok(()) => intake.set_durable(number),
            Err(records) => lost += records,
        }
    }
    lost
}

/// Each request of a batch is an entry of its own. The positions are with the log records, which come first: spans
/// cover nothing that could be read again.
fn write(
    filled: Filled,
    intake: &Intake,
    durable: &Durable,
    health: &Health,
    stop: &StopTime,
) -> Result<(), u64> {
    let mut lost = 0;
    let Filled { request, note, spans, .. } = filled;
    let logs = (!note.is_empty()).then_some((request, note));
    for (request, note) in logs.into_iter().chain(spans) {
        lost += write_entry(request, note, intake, durable, health, stop).err().unwrap_or(0);
    }
    if lost == 0 { Ok(()) } else { Err(lost) }
}

fn write_entry(
    request: Vec<u8>,
    mut note: Note,
    intake: &Intake,
    durable: &Durable,
    health: &Health,
    stop: &StopTime,
) -> Result<(), u64> {
    let mut payload = (note.records > 0).then(|| wire::compress(Encoding::Zstd, &request));
    drop(request);
    let mut pause = PAUSE_MIN;
    loop {
        let error = match durable.append(&note, payload.as_deref()) {
            Ok(()) => break,
            // Options see to it that this cannot be; if it is nevertheless, waiting would be for ever.
            Err(error @ SpoolError::TooLarge { .. }) if payload.is_some() => {
                tracing::error!(%error, records = note.records, "a batch is dropped");
                *note.counts.dropped.entry(TOO_LARGE.to_owned()).or_default() += note.records;
                (note.records, payload) = (0, None);
                continue;
            }
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

#[cfg(test)]
mod tests {
    use file_system::{Fault, ModelFileSystem};
    use proptest::prelude::*;

    use super::super::state::{Counts, FileChange, Position, Settled};
    use super::*;
    use crate::source::file::KnownFile;

    #[derive(Clone, Debug)]
    enum Step {
        Batch { records: u64, filtered: u64, file: u64 },
        Note { filtered: u64 },
        Settle { dead: bool },
        Sync,
        Fault { after: u64, crash: bool },
        Restart,
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            6 => (1_u64..50, 0_u64..5, 1_u64..4)
                .prop_map(|(records, filtered, file)| Step::Batch { records, filtered, file }),
            1 => (1_u64..5).prop_map(|filtered| Step::Note { filtered }),
            4 => any::<bool>().prop_map(|dead| Step::Settle { dead }),
            1 => Just(Step::Sync),
            1 => (1_u64..20, any::<bool>()).prop_map(|(after, crash)| Step::Fault { after, crash }),
            1 => Just(Step::Restart),
        ];
        proptest::collection::vec(step, 1..60)
    }

    fn open(fs: &ModelFileSystem) -> Result<Durable, SpoolError> {
        let options = SpoolOptions { file_bytes: 4_096, bytes_max: 1 << 20 };
        Durable::open(Arc::new(fs.clone()), Path::new("spool"), options).map(|(durable, _)| durable)
    }

    fn known(file: u64) -> KnownFile {
        let json = format!(
            r#"{{"origin":"/a/{file}","path":"/a/{file}","device":1,"inode":{file},"head":{{"length":0,"hash":0,
            "steps":[0,0,0,0,0,0,0]}},"offset":0,"line_number":1,"parts":0,"compressed":false,"rotated":false,
            "finished":false}}"#
        );
        serde_json::from_str(&json).unwrap()
    }

    fn batch(records: u64, filtered: u64, file: u64, offset: u64) -> Note {
        let counts = Counts { read: records + filtered, filtered, ..Counts::default() };
        let change = FileChange {
            known: Some(known(file)),
            position: Some(Position { offset, parts: 0 }),
            ..FileChange::default()
        };
        Note { records, counts, files: [(file, change)].into(), ..Note::default() }
    }

    fn settled(records: u64, dead: bool) -> Note {
        let settled = match dead {
            true => Settled::DeadLettered,
            false => Settled::Acknowledged { rejected: 0 },
        };
        Note { records, settled: Some(settled), ..Note::default() }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 100, ..ProptestConfig::default() })]
        #[test]
        fn the_account_adds_up_and_no_position_moves_without_its_batch_through_every_crash(
            seed: u64,
            steps in steps(),
        ) {
            let fs = ModelFileSystem::new(seed);
            let mut durable = open(&fs).unwrap();
            // What a restart may find, the likeliest last; and what writes that failed may have left, until one succeeds.
            let mut allowed = vec![durable.with_state(State::clone)];
            let mut failed: Vec<State> = Vec::new();
            let mut offset = 0;
            for step in steps {
                let before = allowed.last().unwrap().clone();
                let write = match step {
                    Step::Batch { records, filtered, file } => {
                        offset += 10;
                        Some((batch(records, filtered, file, offset), true))
                    }
                    Step::Note { filtered } => {
                        let counts = Counts { read: filtered, filtered, ..Counts::default() };
                        Some((Note { counts, ..Note::default() }, false))
                    }
                    _ => None,
                };
                if let Some((note, payload)) = write {
                    let mut after = before.clone();
                    after.apply(&note, payload);
                    let bytes = [7_u8; 100];
                    match durable.append(&note, payload.then_some(&bytes)) {
                        // Settlings before it are durable with it.
                        Ok(()) => (allowed, failed) = (vec![after], Vec::new()),
                        Err(_) => failed.push(after),
                    }
                }
                match step {
                    Step::Settle { dead } => {
                        let Ok(Some(Front::Batch { number, note, .. })) = durable.front() else { continue };
                        let note: Note = serde_json::from_slice(&note).unwrap();
                        let note = settled(note.records, dead);
                        let mut after = before;
                        after.apply(&note, false);
                        match durable.settle(number, &note) {
                            Ok(()) => allowed.push(after),
                            Err(_) => failed.push(after),
                        }
                    }
                    Step::Sync => {
                        if durable.sync().is_ok() {
                            allowed = vec![allowed.pop().unwrap()];
                        }
                    }
                    Step::Fault { after, crash: true } => fs.plan(after, Fault::Crash),
                    Step::Fault { after, crash: false } => {
                        fs.plan(after, Fault::Fail(std::io::ErrorKind::StorageFull));
                    }
                    Step::Batch { .. } | Step::Note { .. } | Step::Restart => {}
                }
                if fs.is_dead() || matches!(step, Step::Restart) {
                    if fs.is_dead() { fs.restart() } else { fs.crash() }
                    durable = open(&fs).unwrap();
                    let found = durable.with_state(State::clone);
                    let may_be = allowed.iter().chain(&failed).any(|state| *state == found);
                    prop_assert!(may_be, "{found:?} is none of {allowed:?} {failed:?}");
                    (allowed, failed) = (vec![found], Vec::new());
                }
                let state = durable.with_state(State::clone);
                prop_assert_eq!(state.ledger.missing(), 0, "{:?}", state.ledger);
                prop_assert_eq!(&state, allowed.last().unwrap());
            }
        }
    }
}
