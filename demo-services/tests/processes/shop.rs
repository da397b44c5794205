//! A shop of processes on free ports, with folders of its own, so that several run on one machine.
//!
//! The registry and the gateway keep their ports when they are started again, since others were told of them; all other
//! services come back at another port and have to be found anew. A process that is dropped is killed.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant};

use demo_services::CARD_GOOD;
use reqwest::Client;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use super::asking::{new_key, order_of};

/// How long anything may take to become so.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
const POLL_INTERVAL: Duration = Duration::from_millis(20);
/// Where ports that are kept come from: below those that the system gives to whoever asks for any, so that nobody is
/// given one while its owner is dead.
const PORTS: std::ops::Range<u16> = 20_000..30_000;

/// All that an order needs; users is missing, since guests order too.
pub(crate) const EVERYBODY: [&str; 9] = [
    "registry-1",
    "broker-1",
    "catalog-1",
    "inventory-1",
    "payments-1",
    "shipping-1",
    "notifications-1",
    "orders-1",
    "gateway-1",
];

pub(crate) struct Shop {
    pub(crate) folder: TempDir,
    pub(crate) registry: SocketAddr,
    pub(crate) gateway: SocketAddr,
    running: BTreeMap<String, Running>,
    pub(crate) client: Client,
}

struct Running {
    at: SocketAddr,
    process: Child,
}

pub(crate) fn client() -> Client {
    Client::builder()
        .no_proxy()
        .tls_backend_preconfigured(service::tls::no_trust())
        .build()
        .unwrap()
}

/// A port that nobody has.
pub(crate) fn free_port() -> SocketAddr {
    loop {
        let at = SocketAddr::from((Ipv4Addr::LOCALHOST, fastrand::u16(PORTS)));
        if TcpListener::bind(at).is_ok() {
            return at;
        }
    }
}

/// The program, as a process that ends with whoever holds it.
pub(crate) fn program(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_logq-demo"));
    command.args(arguments).stdin(Stdio::null()).kill_on_drop(true);
    command.env("RUST_BACKTRACE", "0");
    for variable in ["LOGQ_INGEST_ADDR", "LOGQ_DEMO_REGISTRY", "LOGQ_DEMO_ABORT_AT", "LOGQ_LOG"] {
        command.env_remove(variable);
    }
    command
}

/// Waits until `look` gives something.
pub(crate) async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(began.elapsed() < PATIENCE, "not within {} s: {what}", PATIENCE.as_secs());
        tokio::time::sleep(POLL_INTERVAL).await;
    }
}

impl Drop for Shop {
    fn drop(&mut self) {
        // For whoever has to find out why; `LOGQ_SHOP_KEEP=1` keeps those of tests that pass, too.
        if std::thread::panicking() || std::env::var_os("LOGQ_SHOP_KEEP").is_some() {
            let folder = std::env::temp_dir().join("shop-that-was-wrong");
            let _ = fs::remove_dir_all(&folder);
            let _ = fs::create_dir_all(&folder);
            for file in fs::read_dir(self.logs()).into_iter().flatten().flatten() {
                let _ = fs::copy(file.path(), folder.join(file.file_name()));
            }
            eprintln!("logs of the shop are in {}", folder.display());
        }
    }
}

impl Shop {
    /// Runs these, `SERVICE-NUMBER`, the registry first, and waits until they have found each other.
    pub(crate) async fn open(instances: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (registry, gateway) = (free_port(), free_port());
        let (running, client) = (BTreeMap::new(), client());
        let mut shop = Self { folder, registry, gateway, running, client };
        let begun: Vec<_> = instances.iter().map(|id| (*id, shop.begin(id, &[]))).collect();
        for (id, process) in begun {
            shop.ready(id, process).await;
        }
        shop.found().await;
        if EVERYBODY.iter().all(|id| shop.running.contains_key(*id)) {
            // The registry knows all of them; now each knows whom it needs.
            until("an order goes through", async || {
                let end = shop.ended(&new_key(), &order_of("cup", CARD_GOOD)).await;
                (end.state == "confirmed").then_some(())
            })
            .await;
        }
        shop
    }

    pub(crate) fn logs(&self) -> PathBuf {
        self.folder.path().join("logs")
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    pub(crate) fn at(&self, id: &str) -> SocketAddr {
        self.running[id].at
    }

    pub(crate) fn is_running(&self, id: &str) -> bool {
        self.running.contains_key(id)
    }

    /// Starts an instance, again or for the first time, and waits until it is ready; the variables are for it alone.
    pub(crate) async fn start(&mut self, id: &str, variables: &[(&str, &str)]) {
        let process = self.begin(id, variables);
        self.ready(id, process).await;
    }

    /// A process that is not ready yet.
    pub(crate) fn begin(&self, id: &str, variables: &[(&str, &str)]) -> Child {
        let (service, number) = id.rsplit_once('-').unwrap();
        let registry = format!("http://{}", self.registry);
        let (data, logs) = (self.data(), self.logs());
        let mut command = program(&["run", service, "--number", number, "--registry", &registry]);
        command.arg("--data").arg(data).arg("--logs").arg(logs);
        command.envs(variables.iter().copied());
        let kept = match service {
            "registry" => Some(self.registry),
            "gateway" => Some(self.gateway),
            _ => None,
        };
        if let Some(at) = kept {
            command.args(["--http", &at.to_string()]);
        }
        let said = self.folder.path().join(format!("{id}.stderr"));
        let said = OpenOptions::new().append(true).create(true).open(said).unwrap();
        command.stdout(Stdio::piped()).stderr(said).spawn().unwrap()
    }

    /// Reads what a process says when it is ready: a line, and one for each instance with its address.
    pub(crate) async fn ready(&mut self, id: &str, mut process: Child) {
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let read = async {
            while let Some(line) = lines.next_line().await.unwrap() {
                if let [found, at] = *line.split_whitespace().collect::<Vec<_>>()
                    && found == id
                {
                    return at.strip_prefix("http://").unwrap().parse().ok();
                }
            }
            None
        };
        let at = tokio::time::timeout(PATIENCE, read).await.ok().flatten();
        let at = at.unwrap_or_else(|| panic!("{id} does not start: {}", self.said(id)));
        self.running.insert(id.to_owned(), Running { at, process });
    }

    /// What an instance said on standard error.
    fn said(&self, id: &str) -> String {
        let said = fs::read_to_string(self.folder.path().join(format!("{id}.stderr")));
        said.unwrap_or_default()
    }

    /// Waits until the registry knows everybody at the place where he is now.
    pub(crate) async fn found(&self) {
        until("the registry knows everybody", async || {
            let url = format!("http://{}/api/v1/services", self.registry);
            let known = self.client.get(url).send().await.ok()?.text().await.ok()?;
            let is_known = |(id, running): (&String, &Running)| {
                id.starts_with("registry") || known.contains(&format!("\"{}\"", running.at))
            };
            self.running.iter().all(is_known).then_some(())
        })
        .await;
    }

    /// kill -9
    pub(crate) async fn kill(&mut self, id: &str) {
        let mut running = self.running.remove(id).unwrap();
        running.process.kill().await.unwrap();
    }

    /// Waits until a process dies by itself.
    pub(crate) async fn dies(&mut self, id: &str) -> ExitStatus {
        let mut running = self.running.remove(id).unwrap();
        let ended = tokio::time::timeout(PATIENCE, running.process.wait()).await;
        ended.unwrap_or_else(|_| panic!("{id} does not die")).unwrap()
    }

    /// Whether the process has ended by itself.
    pub(crate) fn is_dead(&mut self, id: &str) -> bool {
        let running = self.running.get_mut(id).unwrap();
        running.process.try_wait().unwrap().is_some()
    }

    /// Turns a failure switch.
    pub(crate) async fn turn(&self, switch: &str, on: bool) {
        let command = if on { "break" } else { "heal" };
        let registry = format!("http://{}", self.registry);
        let output = program(&[command, switch, "--registry", &registry]).output().await.unwrap();
        assert!(output.status.success(), "{switch} does not turn: {output:?}");
    }
}
