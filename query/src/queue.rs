//! Who may run now: at most so many queries at a time, the others wait in a fair queue.
//!
//! A place that becomes free goes to the tenant that runs the fewest, and among those to the one that was served the
//! longest ago; within a tenant to who came first. So a tenant that floods keeps another one's single query waiting for
//! no longer than what runs now. The queue is bounded, in all and for each tenant; if it is full, the newest query of the
//! tenant that has the most in it makes room for a tenant that has fewer. Nobody waits for longer than the bound.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;

use crate::error::QueryError;

/// How many queries run, and how many wait for how long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueueLimits {
    /// Queries at a time.
    pub concurrency: usize,
    /// Queries that wait at most, of all tenants.
    pub waiting_max: usize,
    /// ... and of one tenant.
    pub waiting_tenant_max: usize,
    /// How long one waits at most.
    pub wait_max: Duration,
}

impl Default for QueueLimits {
    fn default() -> Self {
        Self {
            concurrency: 16,
            waiting_max: 64,
            waiting_tenant_max: 32,
            wait_max: Duration::from_secs(10),
        }
    }
}

/// The queue; see the head of this file.
#[derive(Debug)]
pub(crate) struct Queue {
    limits: QueueLimits,
    state: Mutex<State>,
}

/// A place among those that run; free again when it is dropped.
#[derive(Debug)]
pub(crate) struct Permit {
    queue: Arc<Queue>,
    tenant: Arc<str>,
}

#[derive(Debug, Default)]
struct State {
    running: usize,
    waiting: usize,
    /// Tenants that run or wait; nobody else is remembered.
    tenants: BTreeMap<Arc<str>, Tenant>,
    /// Counts places given out, and names those who wait.
    turn: u64,
}

#[derive(Debug, Default)]
struct Tenant {
    running: usize,
    /// The turn in which it was served last.
    served: u64,
    waiting: VecDeque<(u64, oneshot::Sender<Permit>)>,
}

/// Leaves the queue when it is dropped, also by a caller that is dropped while it waits.
struct Waiting {
    queue: Arc<Queue>,
    tenant: Arc<str>,
    ticket: u64,
    admitted: oneshot::Receiver<Permit>,
}

impl Queue {
    pub(crate) fn new(limits: QueueLimits) -> Arc<Self> {
        Arc::new(Self { limits, state: Mutex::default() })
    }

    /// How many run and how many wait.
    pub(crate) fn figures(&self) -> (usize, usize) {
        let state = self.lock();
        (state.running, state.waiting)
    }

    /// Waits for a place.
    ///
    /// # Errors
    /// [`QueryError::Busy`] if the queue is full or the wait too long.
    pub(crate) async fn enter(self: &Arc<Self>, tenant: &Arc<str>) -> Result<Permit, QueryError> {
        let Some(mut waiting) = self.join(tenant)? else {
            return Ok(Permit { queue: Arc::clone(self), tenant: Arc::clone(tenant) });
        };
        match tokio::time::timeout(self.limits.wait_max, &mut waiting.admitted).await {
            Ok(Ok(permit)) => Ok(permit),
            // Too late, or pushed out; a place that came in this moment goes back as it is dropped.
            _ => Err(QueryError::Busy),
        }
    }

    /// Takes a place if there is one, or a place in the queue.
    fn join(self: &Arc<Self>, tenant: &Arc<str>) -> Result<Option<Waiting>, QueryError> {
        let mut state = self.lock();
        if state.running < self.limits.concurrency && state.waiting == 0 {
            state.run(tenant);
            return Ok(None);
        }
        let own = state.tenants.get(tenant).map_or(0, |tenant| tenant.waiting.len());
        if own >= self.limits.waiting_tenant_max {
            return Err(QueryError::Busy);
        }
        if state.waiting >= self.limits.waiting_max && !state.push_out(own) {
            return Err(QueryError::Busy);
        }
        let (sender, admitted) = oneshot::channel();
        let ticket = state.next_turn();
        state.tenants.entry(Arc::clone(tenant)).or_default().waiting.push_back((ticket, sender));
        state.waiting += 1;
        drop(state);
        Ok(Some(Waiting { queue: Arc::clone(self), tenant: Arc::clone(tenant), ticket, admitted }))
    }

    /// Gives free places to those who wait.
    fn admit(self: &Arc<Self>) {
        // Permits that nobody took are dropped without the lock, for that asks for it again.
        let mut refused = Vec::new();
        let mut state = self.lock();
        while state.running < self.limits.concurrency {
            let Some((tenant, sender)) = state.next() else { break };
            state.run(&tenant);
            let permit = Permit { queue: Arc::clone(self), tenant };
            refused.extend(sender.send(permit).err());
        }
        drop(state);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn next_turn(&mut self) -> u64 {
        self.turn += 1;
        self.turn
    }

    fn run(&mut self, tenant: &Arc<str>) {
        self.running += 1;
        let turn = self.next_turn();
        let tenant = self.tenants.entry(Arc::clone(tenant)).or_default();
        tenant.running += 1;
        tenant.served = turn;
    }

    /// Takes out who is next.
    fn next(&mut self) -> Option<(Arc<str>, oneshot::Sender<Permit>)> {
        let waiting = self.tenants.iter_mut().filter(|(_, tenant)| !tenant.waiting.is_empty());
        let (name, tenant) = waiting.min_by_key(|(_, tenant)| (tenant.running, tenant.served))?;
        let (_, sender) = tenant.waiting.pop_front()?;
        self.waiting -= 1;
        Some((Arc::clone(name), sender))
    }

    /// Pushes the newest query of the tenant that has the most out, if that is more than `own` and the one that comes.
    fn push_out(&mut self, own: usize) -> bool {
        let longest = self.tenants.values_mut().max_by_key(|tenant| tenant.waiting.len());
        let Some(longest) = longest.filter(|longest| longest.waiting.len() > own + 1) else {
            return false;
        };
        // Its receiver sees that the sender is gone.
        longest.waiting.pop_back();
        self.waiting -= 1;
        true
    }

    fn forget_idle(&mut self, tenant: &str) {
        if self.tenants.get(tenant).is_some_and(|it| it.running == 0 && it.waiting.is_empty()) {
            self.tenants.remove(tenant);
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut state = self.queue.lock();
        state.running -= 1;
        if let Some(tenant) = state.tenants.get_mut(&self.tenant) {
            tenant.running -= 1;
        }
        state.forget_idle(&self.tenant);
        drop(state);
        self.queue.admit();
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let mut state = self.queue.lock();
        if let Some(tenant) = state.tenants.get_mut(&self.tenant) {
            let before = tenant.waiting.len();
            tenant.waiting.retain(|(ticket, _)| *ticket != self.ticket);
            let left = before - tenant.waiting.len();
            state.waiting -= left;
        }
        state.forget_idle(&self.tenant);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queue(concurrency: usize, waiting_max: usize, waiting_tenant_max: usize) -> Arc<Queue> {
        let wait_max = Duration::from_secs(3_600);
        Queue::new(QueueLimits { concurrency, waiting_max, waiting_tenant_max, wait_max })
    }

    fn waits(queue: &Arc<Queue>, tenant: &str) -> Waiting {
        queue.join(&tenant.into()).unwrap().expect("all places are taken")
    }

    fn runs(queue: &Arc<Queue>, tenant: &str) -> Permit {
        assert!(queue.join(&tenant.into()).unwrap().is_none(), "a place is free");
        Permit { queue: Arc::clone(queue), tenant: tenant.into() }
    }

    fn admitted(waiting: &mut Waiting) -> bool {
        match waiting.admitted.try_recv() {
            // Stays admitted: its place is kept.
            Ok(permit) => {
                std::mem::forget(permit);
                true
            }
            Err(_) => false,
        }
    }

    #[test]
    fn a_tenant_that_floods_is_served_after_anothers_single_query() {
        let queue = queue(2, 64, 32);
        let running = [runs(&queue, "flood"), runs(&queue, "flood")];
        let mut flood: Vec<_> = (0..20).map(|_| waits(&queue, "flood")).collect();
        let mut single = waits(&queue, "single");
        let [first, _second] = running;
        drop(first);
        assert!(admitted(&mut single));
        assert!(!flood.iter_mut().any(admitted));
        assert_eq!(queue.figures(), (2, 20));
    }

    #[test]
    fn tenants_take_turns_and_within_one_who_came_first_is_first() {
        let queue = queue(1, 64, 32);
        let mut running = Some(runs(&queue, "x"));
        let mut waiting: Vec<_> =
            ["a", "a", "a", "b", "b", "c"].map(|tenant| (tenant, waits(&queue, tenant))).into();
        let mut order = Vec::new();
        while !waiting.is_empty() {
            drop(running.take());
            let place = waiting
                .iter_mut()
                .position(|(_, waiting)| match waiting.admitted.try_recv() {
                    Ok(permit) => running.replace(permit).is_none(),
                    Err(_) => false,
                })
                .expect("somebody is next");
            order.push((waiting.remove(place).0, place));
        }
        let tenants: Vec<_> = order.iter().map(|(tenant, _)| *tenant).collect();
        assert_eq!(tenants, ["a", "b", "c", "a", "b", "a"]);
        drop(running);
        assert_eq!(queue.figures(), (0, 0));
        assert!(queue.lock().tenants.is_empty(), "nobody is remembered");
    }

    #[test]
    fn the_queue_is_bounded_for_each_tenant_and_in_all() {
        let queue = queue(1, 3, 2);
        let _running = runs(&queue, "a");
        let _waiting = [waits(&queue, "a"), waits(&queue, "a")];
        assert!(matches!(queue.join(&"a".into()), Err(QueryError::Busy)));
        let _b = waits(&queue, "b");
        // It is full: the newest of the longest makes room, but not for one that has as many.
        let [_first, mut newest] = _waiting;
        let _c = waits(&queue, "c");
        assert!(matches!(newest.admitted.try_recv(), Err(oneshot::error::TryRecvError::Closed)));
        assert!(matches!(queue.join(&"d".into()), Err(QueryError::Busy)));
        assert_eq!(queue.figures(), (1, 3));
    }

    #[test]
    fn who_goes_away_leaves_the_queue_and_a_place_given_to_nobody_goes_on() {
        let queue = queue(1, 64, 32);
        let running = runs(&queue, "a");
        let gone = waits(&queue, "a");
        let deaf = waits(&queue, "b");
        let mut last = waits(&queue, "c");
        drop(gone);
        assert_eq!(queue.figures(), (1, 2));
        drop(running);
        // `b` was admitted but has gone without having looked.
        drop(deaf);
        assert!(admitted(&mut last));
        assert_eq!(queue.figures(), (1, 0));
    }

    #[tokio::test]
    async fn nobody_waits_for_longer_than_the_bound() {
        let limits = QueueLimits { concurrency: 1, wait_max: Duration::ZERO, ..Default::default() };
        let queue = Queue::new(limits);
        let running = queue.enter(&"a".into()).await.unwrap();
        assert!(matches!(queue.enter(&"a".into()).await, Err(QueryError::Busy)));
        assert_eq!(queue.figures(), (1, 0));
        drop(running);
        queue.enter(&"a".into()).await.unwrap();
    }
}
