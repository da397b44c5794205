//! A bound on the calls of one dependency, so that a slow one does not take everything: so many at once, so many waiting,
//! and no longer than they may.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

#[derive(Debug)]
pub(super) struct Bulkhead {
    calls: Arc<Semaphore>,
    waiting: Semaphore,
}

impl Bulkhead {
    pub(super) fn new(concurrency_max: usize, waiting_max: usize) -> Self {
        let bounded = |count: usize| count.min(Semaphore::MAX_PERMITS);
        Self {
            calls: Arc::new(Semaphore::new(bounded(concurrency_max.max(1)))),
            waiting: Semaphore::new(bounded(waiting_max)),
        }
    }

    /// A place for a call, until it is dropped; none if too many wait for one, or it takes longer than `within`.
    pub(super) async fn enter(&self, within: Duration) -> Option<OwnedSemaphorePermit> {
        if let Ok(place) = Arc::clone(&self.calls).try_acquire_owned() {
            return Some(place);
        }
        let _waiting = self.waiting.try_acquire().ok()?;
        timeout(within, Arc::clone(&self.calls).acquire_owned()).await.ok()?.ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_finds_it_full_waits_and_no_more_than_may_wait() {
        let bulkhead = Arc::new(Bulkhead::new(1, 1));
        let long = Duration::from_secs(60);
        let place = bulkhead.enter(long).await.unwrap();
        let waiting = tokio::spawn({
            let bulkhead = Arc::clone(&bulkhead);
            async move { bulkhead.enter(long).await.is_some() }
        });
        let is_waiting = async {
            while bulkhead.waiting.available_permits() > 0 {
                tokio::task::yield_now().await;
            }
        };
        timeout(long, is_waiting).await.unwrap();
        assert!(bulkhead.enter(long).await.is_none());
        drop(place);
        assert!(waiting.await.unwrap());
    }

    #[tokio::test]
    async fn who_waits_too_long_is_refused() {
        let bulkhead = Bulkhead::new(1, 1);
        let _place = bulkhead.enter(Duration::ZERO).await.unwrap();
        assert!(bulkhead.enter(Duration::from_millis(1)).await.is_none());
        assert_eq!(bulkhead.waiting.available_permits(), 1);
    }
}
