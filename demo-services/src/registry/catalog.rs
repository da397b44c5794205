//! What the registry knows: instances with their leases and their health, failure switches, and the revision of all that.
//!
//! The revision grows with every change that a watcher is to see. It begins with the time of the start in milliseconds, so
//! that a registry's revisions are none of its predecessor's.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use serde::Serialize;
use service::metrics::{Gauge, Metrics};
use service::semantics::{http, registry};
use tokio::sync::watch;
use tracing::{info, warn};
use utoipa::ToSchema;

use super::Settings;
use crate::kit::clock::now_ms;
use crate::kit::directory::Instance;

const INSTANCES_MAX: usize = 1_024;
const SWITCHES_MAX: usize = 64;

#[derive(Debug)]
pub(super) struct Catalog {
    pub(super) settings: Settings,
    pub(super) began: Instant,
    /// The first revision of this registry.
    pub(super) first: u64,
    /// Grows while `known` is locked.
    revision: watch::Sender<u64>,
    known: Mutex<Known>,
    count: Gauge,
}

#[derive(Debug, Default)]
struct Known {
    instances: BTreeMap<String, Entry>,
    switches: BTreeSet<String>,
}

#[derive(Clone, Debug)]
struct Entry {
    instance: Instance,
    expires: Instant,
    /// In a row.
    failures: u32,
    healthy: bool,
}

/// The whole state, as a watcher is answered.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Snapshot {
    pub(super) revision: u64,
    /// Healthy ones, by id.
    pub(super) instances: Vec<Instance>,
    pub(super) switches: BTreeSet<String>,
}

/// An instance as it is listed.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Listed {
    #[serde(flatten)]
    pub(super) instance: Instance,
    pub(super) healthy: bool,
}

/// The registry has as many as it takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TooMany {
    pub(super) max: usize,
}

/// What happens to an instance.
#[derive(Clone, Copy, Debug)]
enum What {
    Registered,
    Deregistered,
    Expired,
    Unhealthy,
    Healthy,
}

impl Catalog {
    /// Empty.
    pub(super) fn new(settings: Settings, metrics: &Metrics) -> Self {
        let first = u64::try_from(now_ms()).unwrap_or(1).max(1);
        let help = "Instances that are registered, healthy or not.";
        Self {
            settings,
            began: Instant::now(),
            first,
            revision: watch::Sender::new(first),
            known: Mutex::default(),
            count: metrics.gauge("shop_registry_instances", help),
        }
    }

    /// Takes an instance in, or another one of the same id in its place; it has a lease from now on.
    pub(super) fn register(&self, instance: Instance, now: Instant) -> Result<(), TooMany> {
        let mut known = self.lock();
        let expires = now + self.settings.lease;
        if let Some(entry) = known.instances.get_mut(&instance.id) {
            if entry.instance == instance {
                entry.expires = expires;
                return Ok(());
            }
        } else if known.instances.len() >= INSTANCES_MAX {
            return Err(TooMany { max: INSTANCES_MAX });
        }
        let entry = Entry { instance: instance.clone(), expires, failures: 0, healthy: true };
        known.instances.insert(instance.id.clone(), entry);
        self.changed(&known, What::Registered, &instance);
        Ok(())
    }

    /// Whether the instance is known; its lease begins anew then.
    pub(super) fn heartbeat(&self, id: &str, now: Instant) -> bool {
        let mut known = self.lock();
        let entry = known.instances.get_mut(id);
        entry.map(|entry| entry.expires = now + self.settings.lease).is_some()
    }

    /// Whether the instance was known.
    pub(super) fn deregister(&self, id: &str) -> bool {
        let mut known = self.lock();
        let Some(entry) = known.instances.remove(id) else { return false };
        self.changed(&known, What::Deregistered, &entry.instance);
        true
    }

    /// Takes out what was silent for too long.
    pub(super) fn expire(&self, now: Instant) {
        let is_over = |_: &String, entry: &mut Entry| entry.expires <= now;
        let mut known = self.lock();
        let expired: Vec<_> = known.instances.extract_if(.., is_over).collect();
        for (_, entry) in expired {
            self.changed(&known, What::Expired, &entry.instance);
        }
    }

    /// What is to be asked whether it is ready.
    pub(super) fn to_check(&self) -> Vec<(String, SocketAddr)> {
        let known = self.lock();
        let place = |entry: &Entry| (entry.instance.id.clone(), entry.instance.address);
        known.instances.values().map(place).collect()
    }

    /// An instance said that it is ready, or did not. It may be another one by now.
    pub(super) fn checked(&self, id: &str, address: SocketAddr, is_ready: bool) {
        let mut known = self.lock();
        let entry = known.instances.get_mut(id);
        let Some(entry) = entry.filter(|entry| entry.instance.address == address) else { return };
        entry.failures = if is_ready { 0 } else { entry.failures.saturating_add(1) };
        let what = match entry.healthy {
            true if entry.failures >= self.settings.failures_max => What::Unhealthy,
            false if is_ready => What::Healthy,
            _ => return,
        };
        entry.healthy = is_ready;
        let instance = entry.instance.clone();
        self.changed(&known, what, &instance);
    }

    /// Turns a failure switch.
    pub(super) fn turn(&self, switch: &str, on: bool) -> Result<(), TooMany> {
        let mut known = self.lock();
        if known.switches.contains(switch) == on {
            return Ok(());
        }
        if on && known.switches.len() >= SWITCHES_MAX {
            return Err(TooMany { max: SWITCHES_MAX });
        }
        match on {
            true => known.switches.insert(switch.to_owned()),
            false => known.switches.remove(switch),
        };
        self.next_revision();
        drop(known);
        info!(switch, on, "failure switch turned");
        Ok(())
    }

    pub(super) fn snapshot(&self) -> Snapshot {
        let known = self.lock();
        let healthy = known.instances.values().filter(|entry| entry.healthy);
        Snapshot {
            revision: *self.revision.borrow(),
            instances: healthy.map(|entry| entry.instance.clone()).collect(),
            switches: known.switches.clone(),
        }
    }

    /// All instances, healthy or not.
    pub(super) fn list(&self) -> Vec<Listed> {
        let listed =
            |entry: &Entry| Listed { instance: entry.instance.clone(), healthy: entry.healthy };
        self.lock().instances.values().map(listed).collect()
    }

    /// Says when there is a newer revision.
    pub(super) fn revisions(&self) -> watch::Receiver<u64> {
        self.revision.subscribe()
    }

    /// Has watchers see what changed, and tells of it: while it is locked, so that changes are told in their order.
    fn changed(&self, known: &Known, what: What, instance: &Instance) {
        self.next_revision();
        self.count.set(i64::try_from(known.instances.len()).unwrap_or(i64::MAX));
        let is_one = |entry: &&Entry| entry.healthy && entry.instance.service == instance.service;
        let count = known.instances.values().filter(is_one).count();
        what.tell(instance, count);
    }

    fn next_revision(&self) {
        self.revision.send_modify(|revision| *revision += 1);
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl What {
    /// `count` is how many instances of the service can be called after it.
    fn tell(self, instance: &Instance, count: usize) {
        let Instance { service, id, address, .. } = instance;
        macro_rules! told {
            ($level:ident, $event:expr, $message:literal) => {
                $level!(
                    event_name = $event,
                    { registry::SERVICE_NAME } = service,
                    { registry::INSTANCE_ID } = id,
                    { http::SERVER_ADDRESS } = %address.ip(),
                    { http::SERVER_PORT } = address.port(),
                    { registry::INSTANCE_COUNT } = count,
                    $message
                )
            };
        }
        match self {
            Self::Registered => told!(info, registry::REGISTERED, "instance registered"),
            Self::Deregistered => told!(info, registry::DEREGISTERED, "instance deregistered"),
            Self::Expired => told!(warn, registry::EXPIRED, "instance expired"),
            // No event of semantics: it is registered as before.
            Self::Unhealthy => told!(warn, None::<&str>, "instance unhealthy, not to be called"),
            Self::Healthy => told!(info, None::<&str>, "instance healthy again"),
        }
    }
}
