//! Who is where, and which failure switches are on: what an instance knows of the registry.
//!
//! Answers come from memory, so that a call waits for nobody and goes on while the registry is away. A watch keeps the
//! memory up to date: a question that the registry holds back until there is something new. What it answers is the whole
//! state, so that a missed answer costs nothing; it is taken whenever its revision is another one than the known.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use reqwest::{Client, Url};
use serde::{Deserialize, Serialize};
use service::shutdown::Shutdown;
use tokio::sync::watch;
use tokio::time::sleep;
use utoipa::ToSchema;

use super::client::{CallError, error_of, http_client, whole};

/// How long the registry may hold an answer back.
const WAIT: Duration = Duration::from_secs(20);
/// What an answer may take beyond that.
const MARGIN: Duration = Duration::from_secs(5);
/// Between two questions to a registry that is away, or that answers without anything new.
const PAUSE_MIN: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(1);
/// Of an answer: as many instances as the registry takes, each with all its tags.
const STATE_BYTES_MAX: usize = 4 << 20;

/// One running copy of a service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct Instance {
    pub(crate) service: String,
    /// Unique in the shop: `orders-1`.
    pub(crate) id: String,
    #[schema(value_type = String, example = "127.0.0.1:8087")]
    pub(crate) address: SocketAddr,
    #[serde(default)]
    pub(crate) tags: BTreeMap<String, String>,
}

/// Cheap to clone; all clones know the same.
#[derive(Clone, Debug, Default)]
pub(crate) struct Directory {
    registry: Option<Url>,
    known: watch::Sender<Known>,
}

/// The state of the registry, as it answers a watch.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
struct Known {
    revision: u64,
    /// Those that can be called, by id.
    instances: Vec<Instance>,
    /// Those that are on.
    switches: BTreeSet<String>,
}

impl Directory {
    /// Follows the registry at `registry`, like `http://127.0.0.1:8081`. Knows nothing until it is watched.
    pub(crate) fn of(registry: Url) -> Self {
        Self { registry: Some(registry), known: watch::Sender::default() }
    }

    /// These instances and no registry.
    #[cfg(test)]
    pub(crate) fn fixed(instances: Vec<Instance>) -> Self {
        let known = Known { instances, ..Known::default() };
        Self { registry: None, known: watch::Sender::new(known) }
    }

    /// Instances of a service that can be called now.
    pub(crate) fn instances(&self, service: &str) -> Vec<Instance> {
        let known = self.known.borrow();
        known.instances.iter().filter(|instance| instance.service == service).cloned().collect()
    }

    /// All instances that can be called now.
    pub(crate) fn all(&self) -> Vec<Instance> {
        self.known.borrow().instances.clone()
    }

    /// Whether a failure switch is on.
    pub(crate) fn is_on(&self, switch: &str) -> bool {
        self.known.borrow().switches.contains(switch)
    }

    /// Returns as soon as a failure switch is on, or off.
    pub(crate) async fn switched(&self, switch: &str, on: bool) {
        let mut known = self.known.subscribe();
        // Fails only if the sender is gone, and that is here.
        let _ = known.wait_for(|known| known.switches.contains(switch) == on).await;
    }

    /// Turns a failure switch here, as the registry would.
    #[cfg(test)]
    pub(crate) fn turn(&self, switch: &str, on: bool) {
        self.known.send_modify(|known| {
            match on {
                true => known.switches.insert(switch.to_owned()),
                false => known.switches.remove(switch),
            };
        });
    }

    /// Keeps what is known up to date until `stop`. While the registry is away, the last known stays.
    pub(crate) async fn watch(self, stop: Shutdown) {
        let Some(registry) = self.registry.clone() else { return stop.requested().await };
        tokio::select! {
            () = stop.requested() => {}
            () = self.follow(&registry) => {}
        }
    }

    async fn follow(&self, registry: &Url) {
        let client = http_client();
        let (mut pause, mut away) = (PAUSE_MIN, false);
        loop {
            let began = Instant::now();
            let revision = self.known.borrow().revision;
            match next(&client, registry, revision).await {
                Ok(state) => {
                    if std::mem::take(&mut away) {
                        tracing::info!(%registry, "the registry is back");
                    }
                    let is_news = state.revision != revision;
                    if is_news {
                        self.known.send_replace(state);
                    }
                    if is_news || began.elapsed() >= WAIT / 2 {
                        pause = PAUSE_MIN;
                        continue;
                    }
                }
                Err(error) => {
                    if !std::mem::replace(&mut away, true) {
                        tracing::warn!(%registry, %error, "the registry is away, going on with what is known");
                    }
                }
            }
            sleep(pause).await;
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }
}

/// The registry's state, once it is another than that of `revision`, or after the wait.
async fn next(client: &Client, registry: &Url, revision: u64) -> Result<Known, CallError> {
    let mut url = registry.clone();
    url.set_path("/api/v1/watch");
    url.set_query(Some(&format!("revision={revision}&wait_ms={}", WAIT.as_millis())));
    let answer = client.get(url).timeout(WAIT + MARGIN).send().await.map_err(error_of)?;
    let answer = answer.error_for_status().map_err(error_of)?;
    whole(answer, STATE_BYTES_MAX).await?.json()
}
