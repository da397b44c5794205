//! The memory of queries: one bound for each, one for all together.
//!
//! ```text
//! query A ─ Account ─┐                 an account that would pass its own bound is refused
//! query B ─ Account ─┼─▶ Pool          if the pool is full, the account that holds the most is ended, so
//! query C ─ Account ─┘                 that a small query is not refused for the sake of a large one
//! ```
//!
//! What an ended query still holds no longer counts against the pool; it gives that up within a block.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use store::{Allowance, BLOCK_ROWS, Stopped};

/// Memory of a block of rows: this share of a query's memory, within these bounds.
const BLOCK_SHARE: usize = 16;
const BLOCK_BYTES_MIN: usize = 64 << 10;
const BLOCK_BYTES_MAX: usize = 4 << 20;

/// The memory of all queries.
#[derive(Debug)]
pub(crate) struct Pool {
    limit_bytes: usize,
    used: AtomicUsize,
    accounts: Mutex<Vec<Weak<Account>>>,
    sources_scanned: AtomicU64,
    rows_scanned: AtomicU64,
}

/// What one running query may use: its memory, and its time.
#[derive(Debug)]
pub(crate) struct Account {
    pool: Arc<Pool>,
    limit_bytes: usize,
    used: AtomicUsize,
    /// Ended, to make room for others.
    ended: AtomicBool,
    cancelled: Arc<AtomicBool>,
    started: Instant,
    deadline: Duration,
    rows_total: AtomicU64,
    rows_scanned: AtomicU64,
}

impl Pool {
    pub(crate) fn new(limit_bytes: usize) -> Arc<Self> {
        Arc::new(Self {
            limit_bytes,
            used: AtomicUsize::new(0),
            accounts: Mutex::default(),
            sources_scanned: AtomicU64::new(0),
            rows_scanned: AtomicU64::new(0),
        })
    }

    /// Memory that queries hold now.
    pub(crate) fn used_bytes(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    /// Sources that queries looked into since the start, and the rows of those.
    pub(crate) fn scanned(&self) -> (u64, u64) {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        (read(&self.sources_scanned), read(&self.rows_scanned))
    }

    /// An account for a query that begins now.
    pub(crate) fn account(
        self: &Arc<Self>,
        limit_bytes: usize,
        deadline: Duration,
        cancelled: &Arc<AtomicBool>,
    ) -> Arc<Account> {
        let account = Arc::new(Account {
            pool: Arc::clone(self),
            limit_bytes: limit_bytes.min(self.limit_bytes),
            used: AtomicUsize::new(0),
            ended: AtomicBool::new(false),
            cancelled: Arc::clone(cancelled),
            started: Instant::now(),
            deadline,
            rows_total: AtomicU64::new(0),
            rows_scanned: AtomicU64::new(0),
        });
        let mut accounts = self.accounts.lock().unwrap_or_else(PoisonError::into_inner);
        accounts.retain(|known| known.strong_count() > 0);
        accounts.push(Arc::downgrade(&account));
        account
    }

    /// Ends the accounts that hold the most until `used` fits; `false` if `asking` would be one of them.
    fn make_room(&self, asking: &Account, used: usize) -> bool {
        let accounts = self.accounts.lock().unwrap_or_else(PoisonError::into_inner);
        let mut live: Vec<_> = accounts.iter().filter_map(Weak::upgrade).collect();
        drop(accounts);
        live.sort_by_key(|account| account.used_bytes());
        let is_ended = |account: &Arc<Account>| account.ended.load(Ordering::Relaxed);
        let going = live.iter().filter(|account| is_ended(account));
        let mut counted =
            used.saturating_sub(going.map(|account| account.used_bytes()).sum::<usize>());
        live.retain(|account| !is_ended(account));
        while counted > self.limit_bytes {
            match live.pop() {
                Some(largest) if !std::ptr::eq(&*largest, asking) => {
                    largest.ended.store(true, Ordering::Relaxed);
                    counted = counted.saturating_sub(largest.used_bytes());
                }
                _ => return false,
            }
        }
        true
    }
}

impl Account {
    /// Says how many rows there are to look at.
    pub(crate) fn begins(&self, rows_total: usize) {
        self.rows_total.store(rows_total as u64, Ordering::Relaxed);
    }

    /// Says how many more of them are being looked at: those of one more source.
    pub(crate) fn scanned(&self, rows: usize) {
        self.rows_scanned.fetch_add(rows as u64, Ordering::Relaxed);
        self.pool.rows_scanned.fetch_add(rows as u64, Ordering::Relaxed);
        self.pool.sources_scanned.fetch_add(1, Ordering::Relaxed);
    }

    /// Rows looked at, and rows that there are to look at, as far as that is known.
    pub(crate) fn progress(&self) -> (u64, u64) {
        (self.rows_scanned.load(Ordering::Relaxed), self.rows_total.load(Ordering::Relaxed))
    }

    pub(crate) fn started(&self) -> Instant {
        self.started
    }

    /// When it has to have ended.
    pub(crate) fn ends_at(&self) -> Instant {
        self.started + self.deadline
    }

    fn used_bytes(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    fn total_reached(&self) -> Stopped {
        Stopped::MemoryTotal { limit_bytes: self.pool.limit_bytes }
    }
}

impl Allowance for Account {
    fn check(&self) -> Result<(), Stopped> {
        if self.cancelled.load(Ordering::Relaxed) {
            return Err(Stopped::Cancelled);
        }
        if self.ended.load(Ordering::Relaxed) {
            return Err(self.total_reached());
        }
        if self.started.elapsed() > self.deadline {
            return Err(Stopped::Deadline { after: self.deadline });
        }
        Ok(())
    }

    fn take(&self, bytes: usize) -> Result<(), Stopped> {
        let own = self.used.fetch_add(bytes, Ordering::Relaxed).saturating_add(bytes);
        let all = self.pool.used.fetch_add(bytes, Ordering::Relaxed).saturating_add(bytes);
        let refused = if own > self.limit_bytes {
            Stopped::Memory { limit_bytes: self.limit_bytes }
        } else if all > self.pool.limit_bytes && !self.pool.make_room(self, all) {
            self.total_reached()
        } else {
            return Ok(());
        };
        self.give_back(bytes);
        Err(refused)
    }

    fn give_back(&self, bytes: usize) {
        self.used.fetch_sub(bytes, Ordering::Relaxed);
        self.pool.used.fetch_sub(bytes, Ordering::Relaxed);
    }

    fn block(&self) -> (usize, usize) {
        (BLOCK_ROWS, (self.limit_bytes / BLOCK_SHARE).clamp(BLOCK_BYTES_MIN, BLOCK_BYTES_MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(3_600);

    #[test]
    fn a_query_is_refused_at_its_own_bound_and_holds_what_it_held() {
        let pool = Pool::new(1_000);
        let account = pool.account(100, LONG, &Arc::default());
        account.take(80).unwrap();
        assert_eq!(account.take(21), Err(Stopped::Memory { limit_bytes: 100 }));
        account.take(20).unwrap();
        assert_eq!(pool.used_bytes(), 100);
        account.give_back(100);
        assert_eq!(pool.used_bytes(), 0);
    }

    #[test]
    fn if_all_memory_is_taken_the_largest_query_ends_and_not_the_small_one() {
        let pool = Pool::new(1_000);
        let [large, middle, small] = [0; 3].map(|_| pool.account(800, LONG, &Arc::default()));
        large.take(600).unwrap();
        middle.take(400).unwrap();
        small.take(50).unwrap();
        let total = Stopped::MemoryTotal { limit_bytes: 1_000 };
        assert_eq!(large.check(), Err(total));
        // What the large one still holds does not count: nobody else has to end.
        middle.take(100).unwrap();
        assert_eq!((middle.check(), small.check()), (Ok(()), Ok(())));
        large.give_back(600);
        assert_eq!(pool.used_bytes(), 550);
        // Who asks and holds the most is refused itself.
        small.take(200).unwrap();
        assert_eq!(middle.take(280), Err(total));
    }

    #[test]
    fn cancelled_and_late_queries_are_stopped() {
        let pool = Pool::new(1_000);
        let cancelled = Arc::new(AtomicBool::new(false));
        let account = pool.account(800, LONG, &cancelled);
        assert_eq!(account.check(), Ok(()));
        cancelled.store(true, Ordering::Relaxed);
        assert_eq!(account.check(), Err(Stopped::Cancelled));
        let after = Duration::ZERO;
        let late = pool.account(800, after, &Arc::default());
        assert_eq!(late.check(), Err(Stopped::Deadline { after }));
    }
}
