//! Which instance of a service a try goes to.
//!
//! One that could not be connected to is put aside for a while, and so is for one call what has failed it already: as long
//! as there are others. What is put aside is never more than there are instances.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::policy::Balance;
use crate::kit::directory::Instance;
use crate::kit::ids::Ids;

/// How long an instance is left alone that could not be connected to. The registry needs about as long to find out.
const ASIDE: Duration = Duration::from_secs(5);

#[derive(Debug)]
pub(super) struct Balancer {
    balance: Balance,
    ids: Arc<Ids>,
    seen: Mutex<Seen>,
}

/// What calls have found out about instances.
#[derive(Debug, Default)]
struct Seen {
    /// Whose turn it is.
    turn: usize,
    /// Calls of ours that are under way.
    busy: HashMap<SocketAddr, usize>,
    /// Until when an instance is put aside.
    aside: HashMap<SocketAddr, Instant>,
}

/// An instance that has one more call under way, until this is dropped.
#[derive(Debug)]
pub(super) struct Chosen {
    pub(super) instance: Instance,
    /// There are others that could have been chosen.
    pub(super) has_others: bool,
    balancer: Arc<Balancer>,
}

impl Balancer {
    pub(super) fn new(balance: Balance, ids: Arc<Ids>) -> Self {
        Self { balance, ids, seen: Mutex::default() }
    }

    /// One of `instances`, if there are any; one of `tried` only if nothing else is left.
    pub(super) fn choose(
        self: &Arc<Self>,
        mut instances: Vec<Instance>,
        tried: &[SocketAddr],
        now: Instant,
    ) -> Option<Chosen> {
        let mut seen = self.lock();
        seen.aside.retain(|_, until| now < *until);
        // The best that there are: neither put aside nor tried, or at least not tried.
        let reluctance = |instance: &Instance| {
            let is_aside = seen.aside.contains_key(&instance.address);
            (tried.contains(&instance.address), is_aside)
        };
        let least = instances.iter().map(reluctance).min()?;
        instances.retain(|instance| reluctance(instance) == least);
        let has_others = instances.len() > 1;
        let place = self.place(&mut seen, &instances);
        let instance = instances.swap_remove(place);
        *seen.busy.entry(instance.address).or_default() += 1;
        drop(seen);
        Some(Chosen { instance, has_others, balancer: Arc::clone(self) })
    }

    /// There is at least one.
    fn place(&self, seen: &mut Seen, instances: &[Instance]) -> usize {
        let count = instances.len();
        let first = seen.turn % count;
        seen.turn = seen.turn.wrapping_add(1);
        match self.balance {
            Balance::RoundRobin => first,
            Balance::Random => self.ids.below(count),
            Balance::LeastConnections => {
                let busy = |place: &usize| seen.busy.get(&instances[*place].address).copied();
                (first..count).chain(0..first).min_by_key(busy).unwrap_or(first)
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Chosen {
    /// It could not be connected to.
    pub(super) fn put_aside(&self, now: Instant) {
        self.balancer.lock().aside.insert(self.instance.address, now + ASIDE);
    }
}

impl Drop for Chosen {
    fn drop(&mut self) {
        let mut seen = self.balancer.lock();
        if let Some(busy) = seen.busy.get_mut(&self.instance.address) {
            *busy -= 1;
            if *busy == 0 {
                seen.busy.remove(&self.instance.address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn instances(count: u16) -> Vec<Instance> {
        let instance = |number| Instance {
            service: "stock".into(),
            id: format!("stock-{number}"),
            address: SocketAddr::from(([127, 0, 0, 1], number)),
            tags: BTreeMap::new(),
        };
        (1..=count).map(instance).collect()
    }

    fn balancer(balance: Balance) -> Arc<Balancer> {
        let ids = Arc::new(Ids::new(fastrand::Rng::with_seed(7)));
        Arc::new(Balancer::new(balance, ids))
    }

    fn choose(balancer: &Arc<Balancer>, count: u16, tried: &[SocketAddr], now: Instant) -> Chosen {
        balancer.choose(instances(count), tried, now).unwrap()
    }

    #[test]
    fn each_way_shares_calls_among_all() {
        for (balance, least, most) in [
            (Balance::RoundRobin, 100, 100),
            (Balance::Random, 70, 130),
            (Balance::LeastConnections, 100, 100),
        ] {
            let (balancer, now) = (balancer(balance), Instant::now());
            let mut calls = [0; 3];
            for _ in 0..300 {
                let port = choose(&balancer, 3, &[], now).instance.address.port();
                calls[usize::from(port) - 1] += 1;
            }
            assert!(calls.iter().all(|count| (least..=most).contains(count)), "{calls:?}");
        }
    }

    #[test]
    fn the_fewest_connections_are_looked_for_and_given_back() {
        let (balancer, now) = (balancer(Balance::LeastConnections), Instant::now());
        let busy = choose(&balancer, 2, &[], now);
        for _ in 0..10 {
            assert_ne!(choose(&balancer, 2, &[], now).instance, busy.instance);
        }
        drop(busy);
        assert!(balancer.lock().busy.is_empty());
    }

    #[test]
    fn an_instance_is_put_aside_for_a_while_and_as_long_as_there_are_others() {
        let (balancer, now) = (balancer(Balance::RoundRobin), Instant::now());
        let away = choose(&balancer, 2, &[], now);
        away.put_aside(now);
        let of_ten = |count, now| {
            let is_away = |_: &u32| choose(&balancer, count, &[], now).instance == away.instance;
            (0..10).filter(is_away).count()
        };
        assert_eq!(of_ten(2, now), 0);
        assert_eq!(of_ten(1, now), 10);
        assert_eq!(of_ten(2, now + ASIDE), 5);
    }

    #[test]
    fn what_has_failed_the_call_is_the_last_to_be_tried_again() {
        let (balancer, now) = (balancer(Balance::RoundRobin), Instant::now());
        let aside = choose(&balancer, 2, &[], now);
        aside.put_aside(now);
        let other = choose(&balancer, 2, &[], now);
        // Rather one that is put aside than one that was tried.
        let chosen = choose(&balancer, 2, &[other.instance.address], now);
        assert_eq!(chosen.instance, aside.instance);
        let both = [other.instance.address, aside.instance.address];
        assert_eq!(choose(&balancer, 2, &both, now).instance, other.instance);
        assert!(balancer.choose(Vec::new(), &[], now).is_none());
    }
}
