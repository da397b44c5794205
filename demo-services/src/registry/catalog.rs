//! What the registry knows: instances with their leases and their health, failure switches, and the revision of all that.
//!
//! The revision grows with every change that a watcher is to see. It begins with the time of the start in milliseconds, so
//! that a registry's revisions are none of its predecessor's. Lines about changes are written by a task of their own: they
//! belong to no request, and to no correlation.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use serde::Serialize;
use service::metrics::{Gauge, Metrics};
use service::semantics::{http, registry};
use service::shutdown::Shutdown;
use tokio::sync::{mpsc, watch};
use tracing::{info, warn};

use super::Settings;
use crate::kit::context::Work;
use crate::kit::directory::Instance;

const INSTANCES_MAX: usize = 1_024;
const SWITCHES_MAX: usize = 64;
/// Changes that wait for their lines; what comes then is told by whoever made it.
const CHANGES_MAX: usize = 1_024;

#[derive(Debug)]
pub(super) struct Catalog {
    pub(super) settings: Settings,
    pub(super) began: Instant,
    /// The first revision of this registry.
    pub(super) first: u64,
    revision: watch::Sender<u64>,
    known: Mutex<Known>,
    changes: mpsc::Sender<Change>,
    count: Gauge,
}

#[derive(Debug, Default)]
struct Known {
    revision: u64,
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
#[derive(Debug, Serialize)]
pub(super) struct Snapshot {
    pub(super) revision: u64,
    /// Healthy ones, by id.
    pub(super) instances: Vec<Instance>,
    pub(super) switches: BTreeSet<String>,
}

/// An instance as it is listed.
#[derive(Debug, Serialize)]
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

/// Something that is told.
#[derive(Debug)]
pub(super) struct Change {
    what: What,
    instance: Instance,
    /// Instances of the service that can be called after it.
    count: usize,
}

#[derive(Clone, Copy, Debug)]
enum What {
    Registered,
    Deregistered,
    Expired,
    Unhealthy,
    Healthy,
}

impl Catalog {
    /// Empty, and what is to be told of it.
    pub(super) fn new(settings: Settings, metrics: &Metrics) -> (Self, mpsc::Receiver<Change>) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let first = u64::try_from(now.as_millis()).unwrap_or(1).max(1);
        let (changes, told) = mpsc::channel(CHANGES_MAX);
        let help = "Instances that are registered, healthy or not.";
        let catalog = Self {
            settings,
            began: Instant::now(),
            first,
            revision: watch::Sender::new(first),
            known: Mutex::new(Known { revision: first, ..Known::default() }),
            changes,
            count: metrics.gauge("shop_registry_instances", help),
        };
        (catalog, told)
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
        self.changed(&mut known, What::Registered, instance);
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
        self.changed(&mut known, What::Deregistered, entry.instance);
        true
    }

    /// Takes out what was silent for too long.
    pub(super) fn expire(&self, now: Instant) {
        let mut known = self.lock();
        let is_over = |_: &String, entry: &mut Entry| entry.expires <= now;
        let expired: Vec<_> = known.instances.extract_if(.., is_over).collect();
        for (_, entry) in expired {
            self.changed(&mut known, What::Expired, entry.instance);
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
        self.changed(&mut known, what, instance);
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
        self.next_revision(&mut known);
        drop(known);
        info!(switch, on, "failure switch turned");
        Ok(())
    }

    pub(super) fn snapshot(&self) -> Snapshot {
        let known = self.lock();
        let healthy = known.instances.values().filter(|entry| entry.healthy);
        Snapshot {
            revision: known.revision,
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

    fn changed(&self, known: &mut Known, what: What, instance: Instance) {
        self.next_revision(known);
        self.count.set(i64::try_from(known.instances.len()).unwrap_or(i64::MAX));
        let is_one = |entry: &&Entry| entry.healthy && entry.instance.service == instance.service;
        let count = known.instances.values().filter(is_one).count();
        let change = Change { what, instance, count };
        if let Err(error) = self.changes.try_send(change) {
            error.into_inner().tell();
        }
    }

    fn next_revision(&self, known: &mut Known) {
        known.revision += 1;
        self.revision.send_replace(known.revision);
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Writes lines about changes, until `stop` and for what has happened by then.
pub(super) fn tell(mut changes: mpsc::Receiver<Change>, stop: Shutdown) -> Work {
    Box::pin(async move {
        loop {
            tokio::select! {
                change = changes.recv() => match change {
                    Some(change) => change.tell(),
                    None => break,
                },
                () = stop.requested() => break,
            }
        }
        changes.close();
        while let Ok(change) = changes.try_recv() {
            change.tell();
        }
    })
}

impl Change {
    fn tell(self) {
        let Self { what, instance: Instance { service, id, address, .. }, count } = self;
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
        match what {
            What::Registered => told!(info, registry::REGISTERED, "instance registered"),
            What::Deregistered => told!(info, registry::DEREGISTERED, "instance deregistered"),
            What::Expired => told!(warn, registry::EXPIRED, "instance expired"),
            // No event of semantics: it is registered as before.
            What::Unhealthy => told!(warn, None::<&str>, "instance unhealthy, not to be called"),
            What::Healthy => told!(info, None::<&str>, "instance healthy again"),
        }
    }
}
