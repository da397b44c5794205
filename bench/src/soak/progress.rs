//! What the parts of a soak tell each other: what is acknowledged, whether the server is up, what went wrong.

use std::io::Write;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokio::sync::watch;

use super::stream::LANES;

/// Faults that are kept; further ones are only counted.
const FAULTS_MAX: usize = 50;

/// Shared by all parts.
#[derive(Debug)]
pub(crate) struct Progress {
    /// When the first batch was due.
    pub(crate) begun: Instant,
    /// Batches of each lane.
    acknowledged: [AtomicU64; LANES],
    acknowledged_records: AtomicU64,
    acknowledged_bytes: AtomicU64,
    /// Records of batches that were sent at least once.
    sent_records: AtomicU64,
    /// 0 while the server is down.
    life: AtomicU64,
    pid: AtomicU32,
    faults: Mutex<(Vec<String>, u64)>,
    over: watch::Sender<bool>,
}

impl Progress {
    pub(crate) fn new() -> Self {
        Self {
            begun: Instant::now(),
            acknowledged: Default::default(),
            acknowledged_records: AtomicU64::new(0),
            acknowledged_bytes: AtomicU64::new(0),
            sent_records: AtomicU64::new(0),
            life: AtomicU64::new(0),
            pid: AtomicU32::new(0),
            faults: Mutex::new((Vec::new(), 0)),
            over: watch::Sender::new(false),
        }
    }

    /// A batch goes out for the first time.
    pub(crate) fn sending(&self, records: u64) {
        self.sent_records.fetch_add(records, Ordering::SeqCst);
    }

    pub(crate) fn acknowledge(&self, lane: usize, records: u64, bytes: u64) {
        self.acknowledged_records.fetch_add(records, Ordering::SeqCst);
        self.acknowledged_bytes.fetch_add(bytes, Ordering::SeqCst);
        self.acknowledged[lane].fetch_add(1, Ordering::SeqCst);
    }

    pub(crate) fn acknowledged(&self) -> [u64; LANES] {
        std::array::from_fn(|lane| self.acknowledged[lane].load(Ordering::SeqCst))
    }

    pub(crate) fn acknowledged_records(&self) -> u64 {
        self.acknowledged_records.load(Ordering::SeqCst)
    }

    pub(crate) fn acknowledged_bytes(&self) -> u64 {
        self.acknowledged_bytes.load(Ordering::SeqCst)
    }

    pub(crate) fn sent_records(&self) -> u64 {
        self.sent_records.load(Ordering::SeqCst)
    }

    /// The server is ready in its life of this number, from 1.
    pub(crate) fn up(&self, life: u64, pid: u32) {
        self.pid.store(pid, Ordering::SeqCst);
        self.life.store(life, Ordering::SeqCst);
    }

    /// The server is about to be killed.
    pub(crate) fn down(&self) {
        self.life.store(0, Ordering::SeqCst);
    }

    /// Which life of the server is running, if it is up.
    pub(crate) fn life(&self) -> Option<u64> {
        Some(self.life.load(Ordering::SeqCst)).filter(|life| *life > 0)
    }

    pub(crate) fn pid(&self) -> u32 {
        self.pid.load(Ordering::SeqCst)
    }

    /// Something does not hold; the run goes on.
    pub(crate) fn fault(&self, fault: String) {
        // Told at once, because a run is long; a closed stderr is no reason to end.
        let at = self.begun.elapsed().as_secs_f64();
        let _ = writeln!(std::io::stderr(), "{at:8.1} s  FAULT  {fault}");
        let mut faults = self.faults_locked();
        if faults.0.len() < FAULTS_MAX {
            faults.0.push(format!("after {at:.1} s: {fault}"));
        } else {
            faults.1 += 1;
        }
    }

    /// Something does not hold, and to go on is of no use.
    pub(crate) fn abort(&self, fault: String) {
        self.fault(fault);
        self.end();
    }

    /// The faults so far, and how many there were beyond those.
    pub(crate) fn faults(&self) -> (Vec<String>, u64) {
        self.faults_locked().clone()
    }

    /// All parts stop.
    pub(crate) fn end(&self) {
        self.over.send_replace(true);
    }

    pub(crate) fn is_over(&self) -> bool {
        *self.over.borrow()
    }

    /// Returns when all parts are to stop.
    pub(crate) async fn until_over(&self) {
        // It fails only without a sender, which is here.
        let _ = self.over.subscribe().wait_for(|over| *over).await;
    }

    fn faults_locked(&self) -> MutexGuard<'_, (Vec<String>, u64)> {
        self.faults.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_beyond_the_bound_are_counted() {
        let progress = Progress::new();
        (0..FAULTS_MAX + 3).for_each(|number| progress.fault(number.to_string()));
        let (faults, more) = progress.faults();
        assert_eq!((faults.len(), more), (FAULTS_MAX, 3));
        assert!(!progress.is_over());
        progress.abort("the end".to_owned());
        assert!(progress.is_over());
    }
}
