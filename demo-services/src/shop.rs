//! The shop: which services there are, and how some or all of them are run in one process.
//!
//! Each instance has its port, its log, its health, its metrics, its folder for files; they share a process and nothing
//! else. The registry comes first, at an address that everybody is told; all others are found through it.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use fastrand::Rng;
use reqwest::Url;
use service::shutdown::{Shutdown, Trigger};
use tokio::task::JoinSet;

use crate::kit::context::{Context, Service};
use crate::kit::directory::{Directory, Instance};
use crate::kit::ids::Ids;
use crate::kit::registration::keep_registered;
use crate::kit::site::{Open, Site};
use crate::{
    broker, catalog, gateway, inventory, notifications, orders, payments, registry, shipping, users,
};

/// How long services may take to find each other.
const FOUND_WITHIN: Duration = Duration::from_secs(20);
const POLL_INTERVAL: Duration = Duration::from_millis(10);

type Opening<'a> = Pin<Box<dyn Future<Output = anyhow::Result<Service>> + Send + 'a>>;

/// A kind of service.
pub(crate) struct Kind {
    pub(crate) name: &'static str,
    /// In a few words.
    pub(crate) does: &'static str,
    open: for<'a> fn(&'a Context) -> Opening<'a>,
    /// There can be several instances: what one is asked another one answers as well.
    pub(crate) is_many: bool,
    /// Whom it calls.
    pub(crate) calls: &'static [&'static str],
    /// The exchanges that it publishes to, and the queues that it takes from.
    pub(crate) publishes: &'static [&'static str],
    pub(crate) hears: &'static [&'static str],
}

/// All services, each behind those that it calls.
pub(crate) static KINDS: &[Kind] = &[
    Kind {
        name: "registry",
        does: "knows who is where, and which failure switches are on",
        open: |context| Box::pin(registry::open(context)),
        is_many: false,
        calls: &[],
        publishes: &[],
        hears: &[],
    },
    Kind {
        name: "broker",
        does: "keeps messages until they are consumed",
        open: |context| Box::pin(async { broker::open(context, &[notifications::queue()]).await }),
        is_many: false,
        calls: &[],
        publishes: &[],
        hears: &[],
    },
    Kind {
        name: "users",
        does: "accounts, passwords, tokens",
        open: |context| Box::pin(users::open(context)),
        is_many: false,
        calls: &[],
        publishes: &[],
        hears: &[],
    },
    Kind {
        name: "catalog",
        does: "products, search, carts",
        open: |context| Box::pin(catalog::open(context)),
        is_many: true,
        calls: &[],
        publishes: &[],
        hears: &[],
    },
    Kind {
        name: "inventory",
        does: "stock and reservations",
        open: |context| Box::pin(inventory::open(context)),
        is_many: false,
        calls: &[],
        publishes: &[],
        hears: &[],
    },
    Kind {
        name: "payments",
        does: "authorisations, captures, refunds",
        open: |context| Box::pin(payments::open(context)),
        is_many: false,
        calls: &[],
        publishes: &[],
        hears: &[],
    },
    Kind {
        name: "shipping",
        does: "parcels",
        open: |context| Box::pin(shipping::open(context)),
        is_many: false,
        calls: &[],
        publishes: &[],
        hears: &[],
    },
    Kind {
        name: "notifications",
        does: "letters to customers",
        open: |context| Box::pin(notifications::open(context)),
        is_many: false,
        calls: &[],
        publishes: &[],
        hears: &["notifications"],
    },
    Kind {
        name: "orders",
        does: "places orders by a saga",
        open: |context| Box::pin(orders::open(context)),
        is_many: false,
        calls: &["catalog", "inventory", "payments", "shipping"],
        publishes: &["orders"],
        hears: &[],
    },
    Kind {
        name: "gateway",
        does: "the one door: who, how often, where to",
        open: |context| Box::pin(gateway::open(context)),
        is_many: true,
        calls: &gateway::CALLS,
        publishes: &[],
        hears: &[],
    },
];

/// An instance that is to be run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) kind: &'static str,
    /// From 1.
    pub(crate) number: u32,
    pub(crate) addr: SocketAddr,
}

/// How some services of the shop are run in this process.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// Each instance has a folder in it for files of its own.
    pub(crate) data: PathBuf,
    /// The folder of `INSTANCE.log`.
    pub(crate) logs: PathBuf,
    /// Where spans are sent, an OTLP receiver over HTTP.
    pub(crate) collector: Option<String>,
    /// How long a step of a saga may take.
    pub(crate) step_timeout: Duration,
    /// What ids and small delays are drawn from.
    pub(crate) seed: u64,
}

/// Services that run in this process.
pub(crate) struct Running {
    instances: Vec<(Instance, Open)>,
    /// What each of them knows of the others, by its id.
    known: BTreeMap<String, Directory>,
    registry: Url,
    /// What this process knows of the others.
    pub(crate) directory: Directory,
    watching: Trigger,
}

impl Kind {
    pub(crate) fn named(name: &str) -> anyhow::Result<&'static Self> {
        KINDS.iter().find(|kind| kind.name == name).with_context(|| {
            let names: Vec<_> = KINDS.iter().map(|kind| kind.name).collect();
            format!("there is no service {name:?}; there are {}", names.join(", "))
        })
    }
}

impl Wanted {
    /// The first instance, at a free port of this machine.
    pub(crate) fn one(kind: &'static str) -> Self {
        Self { kind, number: 1, addr: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)) }
    }

    fn id(&self) -> String {
        format!("{}-{}", self.kind, self.number)
    }
}

impl Running {
    /// Runs these; the registry too, if it is among them, and else the one at `registry`.
    ///
    /// # Errors
    /// A port, a log or a database cannot be opened.
    pub(crate) async fn start(
        settings: &Settings,
        registry: Option<Url>,
        wanted: &[Wanted],
    ) -> anyhow::Result<Self> {
        for folder in [&settings.data, &settings.logs] {
            std::fs::create_dir_all(folder)
                .with_context(|| format!("cannot make the folder {}", folder.display()))?;
        }
        let mut rng = Rng::with_seed(settings.seed);
        let mut sites = Vec::new();
        for wanted in wanted {
            let (id, ids) = (wanted.id(), Arc::new(Ids::new(rng.fork())));
            let Settings { logs, collector, .. } = settings;
            let taken = Site::take(wanted.kind, &id, wanted.addr, logs, collector.clone(), ids);
            sites.push((wanted, taken.await?));
        }
        let own = sites.iter().find(|(wanted, _)| wanted.kind == "registry");
        let own = own.map(|(_, site)| base(reachable(site.addr)));
        let registry = own.or(registry).context("no registry: run one, or say where it is")?;
        let (watching, stopping) = Shutdown::new();
        let directory = Directory::of(registry.clone());
        tokio::spawn(directory.clone().watch(stopping));
        let mut running =
            Self { instances: Vec::new(), known: BTreeMap::new(), registry, directory, watching };
        for (wanted, site) in sites {
            running.add(settings, wanted, site).await?;
        }
        Ok(running)
    }

    async fn add(
        &mut self,
        settings: &Settings,
        wanted: &Wanted,
        site: Site,
    ) -> anyhow::Result<()> {
        let (kind, id) = (Kind::named(wanted.kind)?, wanted.id());
        let data = settings.data.join(&id);
        std::fs::create_dir_all(&data)
            .with_context(|| format!("cannot make the folder {}", data.display()))?;
        let directory = Directory::of(self.registry.clone());
        let context =
            Context { step_timeout: settings.step_timeout, ..site.context(&data, &directory) };
        let instance = Instance {
            service: wanted.kind.to_owned(),
            id,
            address: reachable(site.addr),
            tags: [("version".to_owned(), env!("CARGO_PKG_VERSION").to_owned())].into(),
        };
        let opened = (kind.open)(&context).await;
        let mut service = opened.with_context(|| format!("cannot open {}", instance.id))?;
        service.work.push(Box::pin(directory.clone().watch(context.stop.clone())));
        if wanted.kind != "registry" {
            let kept = keep_registered(self.registry.clone(), instance.clone(), context.stop);
            service.work.push(Box::pin(kept));
        }
        self.known.insert(instance.id.clone(), directory);
        self.instances.push((instance, site.serve(service)));
        Ok(())
    }

    /// All instances and where they listen.
    pub(crate) fn addresses(&self) -> Vec<(String, SocketAddr)> {
        let address = |(instance, _): &(Instance, Open)| (instance.id.clone(), instance.address);
        let mut addresses: Vec<_> = self.instances.iter().map(address).collect();
        addresses.sort();
        addresses
    }

    /// Where an instance listens.
    pub(crate) fn address(&self, id: &str) -> Option<SocketAddr> {
        let found = self.instances.iter().find(|(instance, _)| instance.id == id);
        found.map(|(instance, _)| instance.address)
    }

    /// Runs one more instance.
    pub(crate) async fn run(&mut self, settings: &Settings, wanted: &Wanted) -> anyhow::Result<()> {
        let ids = Arc::new(Ids::new(Rng::new()));
        let (id, collector) = (wanted.id(), settings.collector.clone());
        let site =
            Site::take(wanted.kind, &id, wanted.addr, &settings.logs, collector, ids).await?;
        self.add(settings, wanted, site).await
    }

    /// Returns when all instances know that a failure switch is on, or off.
    pub(crate) async fn all_know(&self, switch: &str, on: bool) {
        let known = self.known.values().map(|directory| directory.switched(switch, on));
        futures_util::future::join_all(known).await;
    }

    /// Waits until the registry knows all instances that run here.
    ///
    /// # Errors
    /// One is not found in time.
    pub(crate) async fn found(&self) -> anyhow::Result<()> {
        let began = Instant::now();
        let is_known = |instance: &Instance| {
            instance.service == "registry"
                || self.directory.instances(&instance.service).iter().any(|known| known == instance)
        };
        loop {
            let missing = self.instances.iter().find(|(instance, _)| !is_known(instance));
            let Some((missing, _)) = missing else { return Ok(()) };
            anyhow::ensure!(
                began.elapsed() < FOUND_WITHIN,
                "the registry at {} does not know {} after {} s",
                self.registry,
                missing.id,
                FOUND_WITHIN.as_secs()
            );
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    }

    /// Ends an instance as if it had never been told to: no deregistration, nothing finished.
    pub(crate) fn kill(&mut self, id: &str) -> bool {
        let Some(at) = self.instances.iter().position(|(instance, _)| instance.id == id) else {
            return false;
        };
        self.known.remove(id);
        self.instances.remove(at).1.kill();
        true
    }

    /// Callers end before those whom they call, so that what is under way is finished.
    pub(crate) async fn close(mut self) -> anyhow::Result<()> {
        let rank = |instance: &Instance| {
            KINDS.iter().position(|kind| kind.name == instance.service).unwrap_or(0)
        };
        self.instances.sort_by_key(|(instance, _)| std::cmp::Reverse(rank(instance)));
        // First, for whom it watches is about to end.
        self.watching.set_off();
        let mut exports = JoinSet::new();
        for (_, open) in self.instances {
            exports.spawn(open.close().await?);
        }
        exports.join_all().await;
        Ok(())
    }
}

/// The address at which this machine reaches a listener that may be on all of its addresses.
fn reachable(addr: SocketAddr) -> SocketAddr {
    match addr.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => (Ipv4Addr::LOCALHOST, addr.port()).into(),
        IpAddr::V6(ip) if ip.is_unspecified() => {
            (std::net::Ipv6Addr::LOCALHOST, addr.port()).into()
        }
        _ => addr,
    }
}

pub(crate) fn base(addr: SocketAddr) -> Url {
    format!("http://{addr}").parse().expect("an address makes a URL")
}
