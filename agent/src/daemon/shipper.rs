//! The front of the spool to a collector, one batch after the other, in order.
//!
//! | answer | then |
//! |---|---|
//! | 200 | the batch leaves the spool |
//! | 400, 413 | it becomes a dead letter, and its sequence is sent empty |
//! | 409 | it becomes a dead letter, and a new epoch begins behind it |
//! | anything else, or none | the same bytes again, for ever, after a pause; after `failover_after` the next collector is tried, under a new epoch |
//!
//! A batch whose request may have arrived at one collector before the next one is tried may be in both; that is
//! reported, because nothing here can know it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use record::{Signal, Timestamp};
use service::health::{Check, Health};
use service::metrics::Histogram;
use spool::Front;
use tokio::sync::watch;
use wire::{BatchName, Encoding, OtlpEncoder};

use super::dead_letters::{DeadLetter, DeadLetters, letter_id};
use super::durable::Durable;
use super::reports;
use super::state::{Epoch, Note, Settled};
use crate::delivery::{Acknowledgement, Attempt, Backoff, Collector};

const CHECK: &str = "collector";
/// How long to wait before the disk is tried again.
const DISK_PAUSE: Duration = Duration::from_secs(1);

/// A collector by its address.
#[derive(Clone, Debug)]
pub(crate) struct Named {
    pub(crate) addr: String,
    pub(crate) collector: Collector,
}

/// What the status page shows of shipping.
#[derive(Debug, Default)]
pub(crate) struct Figures {
    pub(crate) attempts: AtomicU64,
    pub(crate) retries: AtomicU64,
    pub(crate) bytes: AtomicU64,
    pub(crate) duplicates: AtomicU64,
    /// Which collector is sent to, and the last error there if it is not mended.
    pub(crate) now: Mutex<(String, Option<String>)>,
    /// When a batch was acknowledged last, ns since 1970; 0 before the first.
    pub(crate) acknowledged_at: AtomicU64,
    /// When the front of the spool was read, ns; 0 if it is empty.
    pub(crate) front_oldest: AtomicU64,
}

impl Figures {
    pub(crate) fn addr_and_error(&self) -> (String, Option<String>) {
        self.now.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, addr: &str, error: Option<&str>) {
        *self.now.lock().unwrap_or_else(PoisonError::into_inner) =
            (addr.to_owned(), error.map(str::to_owned));
    }
}

/// Until when to ship.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Until {
    /// For ever.
    Told,
    /// Until the spool is empty.
    Empty,
}

/// Ships; one a process.
#[derive(Debug)]
pub(crate) struct Shipper {
    pub(crate) agent: String,
    /// The spool's id.
    pub(crate) spool: String,
    pub(crate) durable: Arc<Durable>,
    pub(crate) dead_letters: DeadLetters,
    pub(crate) collectors: watch::Receiver<Vec<Named>>,
    pub(crate) failover_after: Duration,
    pub(crate) figures: Arc<Figures>,
    /// How long requests with a batch take.
    pub(crate) request_seconds: Histogram,
    pub(crate) health: Health,
    /// Which of the collectors is sent to.
    pub(crate) at: Arc<AtomicUsize>,
}

/// What is to be sent.
struct Outgoing {
    number: u64,
    signal: Signal,
    records: u64,
    body: Bytes,
    /// The original, while an empty body is sent in its stead.
    dead: bool,
}

impl Shipper {
    /// Ships until it is told that nothing more comes, and the spool is empty.
    pub(crate) async fn run(mut self, mut until: watch::Receiver<Until>) {
        loop {
            // Looked at before the spool is: a batch may come between a look at the spool and the word that it was
            // the last one.
            let is_end = *until.borrow() == Until::Empty || until.has_changed().is_err();
            let durable = Arc::clone(&self.durable);
            let front = tokio::task::spawn_blocking(move || durable.front()).await;
            match front.unwrap_or(Ok(None)) {
                Ok(Some(Front::Batch { number, note, payload })) => {
                    let note = serde_json::from_slice(&note).unwrap_or_default();
                    self.deliver(number, &note, payload.into()).await;
                }
                Ok(Some(damaged @ Front::Damaged { .. })) => self.damaged(&damaged).await,
                Ok(None) => {
                    self.figures.front_oldest.store(0, Ordering::Relaxed);
                    self.idle(is_end, &mut until).await;
                    if is_end {
                        return;
                    }
                }
                Err(error) => {
                    self.health.set(CHECK, Check::Degraded(error.to_string()));
                    tokio::time::sleep(DISK_PAUSE).await;
                }
            }
        }
    }

    /// Makes durable what is settled, and waits for a batch if there may be one.
    async fn idle(&self, is_end: bool, until: &mut watch::Receiver<Until>) {
        if let Err(error) = self.durable.sync() {
            tracing::warn!(%error, "cannot make acknowledgements durable; they will be sent again");
        }
        if !is_end {
            tokio::select! {
                () = self.durable.arrived.notified() => {}
                _ = until.changed() => {}
            }
        }
    }

    /// Accounts for batches that the disk did not keep.
    async fn damaged(&self, front: &Front) {
        let Front::Damaged { numbers, note, damage, .. } = front else { return };
        let known: Option<Note> = note.as_ref().and_then(|note| serde_json::from_slice(note).ok());
        let records = known.map(|note| note.records);
        let what = damage.as_ref().map(reports::damage_text);
        let note = Note {
            records: records.unwrap_or(0),
            settled: Some(Settled::Damaged),
            say: vec![reports::batches_damaged(numbers, records, what.as_deref())],
            ..Note::default()
        };
        self.settle(front.last(), &note).await;
    }

    /// Sends a batch until it is settled.
    async fn deliver(&mut self, number: u64, note: &Note, payload: Bytes) {
        self.figures
            .front_oldest
            .store(note.oldest.map_or(0, |oldest| oldest.max(1) as u64), Ordering::Relaxed);
        let mut outgoing = Outgoing {
            number,
            signal: note.signal(),
            records: note.records,
            body: payload.clone(),
            dead: false,
        };
        // To report that a report was refused would make the next one, for ever.
        let told = !note.has_only_reports();
        // It may have become a dead letter just before a crash; then the empty one may have arrived already.
        if self.dead_letters.has(&letter_id(&self.spool, number)) {
            outgoing.bury();
        }
        let mut backoff = Backoff::default();
        let mut failing_since: Option<Instant> = None;
        let mut maybe_sent = false;
        loop {
            let to = self.collector();
            let epoch = self.durable.with_state(|state| state.epoch.clone());
            let name = BatchName {
                agent: self.agent.clone(),
                epoch: epoch.id,
                sequence: number.saturating_sub(epoch.first_number),
                first_unacknowledged: Some(number.saturating_sub(epoch.first_number)),
            };
            self.figures.attempts.fetch_add(1, Ordering::Relaxed);
            let began = Instant::now();
            let sent = to.collector.send(outgoing.signal, &name, outgoing.body.clone()).await;
            self.request_seconds.observe(began.elapsed().as_secs_f64());
            let (reason, not_before) = match sent {
                Attempt::Acknowledged(acknowledgement) => {
                    self.figures.set(&to.addr, None);
                    self.health.set(CHECK, Check::Ok);
                    return self.acknowledged(&outgoing, acknowledgement).await;
                }
                Attempt::Refused { status: status @ (400 | 413), message } if !outgoing.dead => {
                    let letter = self.letter(&outgoing, &name, status, message);
                    self.bury(&letter, &payload, told).await;
                    outgoing.bury();
                    continue;
                }
                Attempt::Refused { status: status @ (400 | 409 | 413), message } => {
                    let letter = self.letter(&outgoing, &name, status, message);
                    if !outgoing.dead {
                        self.bury(&letter, &payload, told).await;
                    }
                    return self.begin_epoch_behind(&outgoing, &letter).await;
                }
                Attempt::Refused { status, message } => {
                    (format!("{status}: {message}"), Duration::ZERO)
                }
                Attempt::Again { reason, not_before, sent } => {
                    maybe_sent |= sent;
                    (reason, not_before)
                }
            };
            self.figures.set(&to.addr, Some(&reason));
            self.figures.retries.fetch_add(1, Ordering::Relaxed);
            self.health.set(CHECK, Check::Degraded(format!("{}: {reason}", to.addr)));
            let since = *failing_since.get_or_insert_with(Instant::now);
            if since.elapsed() >= self.failover_after && self.collectors.borrow().len() > 1 {
                self.fail_over(&outgoing, &to, maybe_sent, &reason).await;
                (failing_since, maybe_sent, backoff) = (None, false, Backoff::default());
                continue;
            }
            tokio::select! {
                () = tokio::time::sleep(backoff.next(not_before)) => {}
                // Another address may be a better one.
                _ = self.collectors.changed() => backoff = Backoff::default(),
            }
        }
    }

    async fn acknowledged(&self, outgoing: &Outgoing, acknowledgement: Acknowledgement) {
        let Acknowledgement { store, duplicate, lost_batches, partial } = acknowledgement;
        self.figures.duplicates.fetch_add(u64::from(duplicate), Ordering::Relaxed);
        self.figures.acknowledged_at.store(Timestamp::now().0.unsigned_abs(), Ordering::Relaxed);
        self.figures.bytes.fetch_add(outgoing.body.len() as u64, Ordering::Relaxed);
        let before = self.durable.with_state(|state| state.store.clone());
        let changed = store.is_some() && store != before;
        let mut say = Vec::new();
        if let (true, Some(before), Some(now)) = (changed, &before, &store) {
            say.push(reports::store_changed(before, now));
        }
        let other = changed && before.as_ref().map(|it| &it.id) != store.as_ref().map(|it| &it.id);
        if lost_batches > 0 && !other {
            say.push(reports::batches_lost(lost_batches, outgoing.number));
        }
        if partial.rejected > 0 {
            say.push(reports::records_rejected(partial.rejected, &partial.message));
        }
        let settled = match outgoing.dead {
            true => Settled::DeadLettered,
            false => Settled::Acknowledged { rejected: partial.rejected },
        };
        let mut note = Note {
            records: outgoing.records,
            settled: Some(settled),
            // What another store acknowledged is not in this one, so the account begins anew.
            epoch: (other && before.is_some()).then(|| Epoch {
                id: super::identity::random_id(),
                first_number: outgoing.number + 1,
                ..Epoch::default()
            }),
            store: store.filter(|_| changed),
            say,
            ..Note::default()
        };
        let epoch_begins = note.epoch.is_some();
        if partial.rejected > 0 {
            note.counts.dropped.insert("rejected_by_collector".to_owned(), partial.rejected);
        }
        self.settle(outgoing.number, &note).await;
        if epoch_begins {
            self.sync().await;
        }
    }

    async fn sync(&self) {
        while let Err(error) = self.durable.sync() {
            self.health.set(CHECK, Check::Degraded(error.to_string()));
            tokio::time::sleep(DISK_PAUSE).await;
        }
    }

    /// The name is taken by another batch, or too old: whatever follows must not be named after it.
    async fn begin_epoch_behind(&self, outgoing: &Outgoing, letter: &DeadLetter) {
        let epoch = Epoch {
            id: super::identity::random_id(),
            first_number: outgoing.number + 1,
            ..Epoch::default()
        };
        let note = Note {
            records: outgoing.records,
            settled: Some(Settled::DeadLettered),
            say: vec![reports::epoch_began(&epoch.id, reports::EpochReason::NameConflict(letter))],
            epoch: Some(epoch),
            ..Note::default()
        };
        self.settle(outgoing.number, &note).await;
        self.sync().await;
    }

    async fn fail_over(
        &mut self,
        outgoing: &Outgoing,
        from: &Named,
        maybe_sent: bool,
        reason: &str,
    ) {
        self.at.fetch_add(1, Ordering::Relaxed);
        let to = self.collector();
        let epoch = Epoch {
            id: super::identity::random_id(),
            first_number: outgoing.number,
            ..Epoch::default()
        };
        let doubled = if maybe_sent { outgoing.records } else { 0 };
        let note = Note {
            say: vec![reports::failed_over(&from.addr, &to.addr, reason, doubled)],
            epoch: Some(epoch),
            ..Note::default()
        };
        while let Err(error) = self.durable.append(&note, None) {
            self.health.set(CHECK, Check::Degraded(error.to_string()));
            tokio::time::sleep(DISK_PAUSE).await;
        }
    }

    fn collector(&self) -> Named {
        let collectors = self.collectors.borrow();
        collectors[self.at.load(Ordering::Relaxed) % collectors.len().max(1)].clone()
    }

    fn letter(
        &self,
        outgoing: &Outgoing,
        name: &BatchName,
        status: u16,
        message: String,
    ) -> DeadLetter {
        DeadLetter {
            id: letter_id(&self.spool, outgoing.number),
            agent: name.agent.clone(),
            epoch: name.epoch.clone(),
            sequence: name.sequence,
            records: outgoing.records,
            spans: outgoing.signal == Signal::Spans,
            status,
            message,
            at: Timestamp::now().to_string(),
        }
    }

    async fn bury(&self, letter: &DeadLetter, payload: &[u8], told: bool) {
        while let Err(error) = self.dead_letters.keep(letter, payload) {
            self.health
                .set(CHECK, Check::Degraded(format!("cannot keep a refused batch: {error}")));
            tokio::time::sleep(DISK_PAUSE).await;
        }
        tracing::warn!(id = letter.id, status = letter.status, "batch refused for good");
        if !told {
            return;
        }
        let note = Note { say: vec![reports::dead_lettered(letter)], ..Note::default() };
        if let Err(error) = self.durable.append(&note, None) {
            tracing::warn!(%error, "cannot report the refused batch");
        }
    }

    async fn settle(&self, number: u64, note: &Note) {
        while let Err(error) = self.durable.settle(number, note) {
            self.health.set(CHECK, Check::Degraded(error.to_string()));
            tokio::time::sleep(DISK_PAUSE).await;
        }
    }
}

impl Outgoing {
    /// Sends nothing under the batch's name from here on.
    fn bury(&mut self) {
        self.dead = true;
        self.body = wire::compress(Encoding::Zstd, &OtlpEncoder::of(self.signal).finish()).into();
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use file_system::ModelFileSystem;
    use service::credentials::Credentials;
    use service::metrics::{Metrics, SECONDS_BUCKETS};
    use spool::SpoolOptions;

    use super::*;

    /// Whose collector is not there.
    fn shipper(durable: &Arc<Durable>, fs: &ModelFileSystem) -> Shipper {
        let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let addr = format!("http://{closed}");
        let collector = Collector::new(&addr, &Credentials::default(), DISK_PAUSE).unwrap();
        let fs = Arc::new(fs.clone());
        Shipper {
            agent: "a".to_owned(),
            spool: durable.spool_id(),
            durable: Arc::clone(durable),
            dead_letters: DeadLetters::open(fs, Path::new("state"), 1 << 20).unwrap(),
            collectors: watch::channel(vec![Named { addr, collector }]).1,
            failover_after: DISK_PAUSE,
            figures: Arc::default(),
            request_seconds: Metrics::new().histogram("seconds", "Time.", SECONDS_BUCKETS),
            health: Health::default(),
            at: Arc::default(),
        }
    }

    #[test]
    fn a_batch_that_comes_between_a_look_at_the_spool_and_the_word_of_the_end_is_shipped() {
        let fs = ModelFileSystem::new(1);
        let options = SpoolOptions { file_bytes: 4_096, bytes_max: 1 << 20 };
        let (durable, _) =
            Durable::open(Arc::new(fs.clone()), Path::new("spool"), options).unwrap();
        let durable = Arc::new(durable);
        let shipper = shipper(&durable, &fs);
        let figures = Arc::clone(&shipper.figures);
        let (end, until) = watch::channel(Until::Told);
        // One thread for everything that blocks, so that one thing comes after the other.
        let runtime = tokio::runtime::Builder::new_current_thread()
            .max_blocking_threads(1)
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let shipping = tokio::spawn(shipper.run(until));
            tokio::task::yield_now().await;
            // The look at the spool stands in the queue before this, and the shipper does not go on before the append
            // below, which waits for nothing.
            let (looked, is_looked) = std::sync::mpsc::channel();
            tokio::task::spawn_blocking(move || looked.send(()));
            is_looked.recv().unwrap();
            durable.append(&Note { records: 1, ..Note::default() }, Some(&[7; 100])).unwrap();
            end.send(Until::Empty).unwrap();
            while figures.attempts.load(Ordering::Relaxed) == 0 {
                assert!(!shipping.is_finished(), "it ended without a try");
                tokio::task::yield_now().await;
            }
            shipping.abort();
        });
    }
}
