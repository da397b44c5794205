//! Waiting until the server has done with what it took: the ledger, publication, compaction.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use serde::{Deserialize, Serialize};

use crate::disk::DiskUsage;
use crate::server::Server;

const PUBLISH_TIMEOUT: Duration = Duration::from_secs(300);
const PUBLISH_POLL: Duration = Duration::from_millis(10);
const COMPACTION_TIMEOUT: Duration = Duration::from_secs(600);
const COMPACTION_POLL: Duration = Duration::from_millis(250);
/// Compaction is done when the number of segments has stood still for this long …
const QUIET: Duration = Duration::from_secs(3);
/// … and the server used less than this share of one core: merging does not change the number until it ends.
const QUIET_CPU_SHARE: f64 = 0.1;

/// The server's account of every record, as far as the benchmark judges it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub(crate) struct Ledger {
    pub(crate) received: u64,
    pub(crate) accepted: u64,
    pub(crate) in_parts: u64,
    pub(crate) indexed: u64,
}

/// The ledger with the server's own judgement of it.
#[derive(Clone, Copy, Debug, Deserialize)]
struct Account {
    ledger: Ledger,
    adds_up: bool,
}

/// Asks for the ledger and insists that it adds up.
///
/// # Errors
/// When the server does not answer, or its account does not add up.
pub(crate) async fn ledger(client: &reqwest::Client, ingest: &str) -> anyhow::Result<Ledger> {
    let response =
        client.get(format!("{ingest}/api/v1/ledger")).send().await?.error_for_status()?;
    let text = response.text().await?;
    let account: Account = serde_json::from_str(&text).context("the ledger has an unknown form")?;
    if !account.adds_up {
        bail!("the server's ledger does not add up: {text}");
    }
    Ok(account.ledger)
}

/// Has everything published, and waits until all `records` are in segments and none in parts.
///
/// # Errors
/// When that does not happen in five minutes, or the ledger holds another number.
pub(crate) async fn until_published(
    client: &reqwest::Client,
    ingest: &str,
    records: u64,
) -> anyhow::Result<Ledger> {
    let deadline = Instant::now() + PUBLISH_TIMEOUT;
    client
        .post(format!("{ingest}/api/v1/flush"))
        .send()
        .await?
        .error_for_status()
        .context("no flush was begun")?;
    loop {
        let ledger = ledger(client, ingest).await?;
        if ledger.accepted != records {
            bail!(
                "{records} records were acknowledged, and the server's ledger has {}",
                ledger.accepted
            );
        }
        if ledger.in_parts == 0 && ledger.indexed == records {
            return Ok(ledger);
        }
        if Instant::now() > deadline {
            bail!("not everything is published after {} s: {ledger:?}", PUBLISH_TIMEOUT.as_secs());
        }
        tokio::time::sleep(PUBLISH_POLL).await;
    }
}

/// Waits until compaction has nothing more to do; gives the time until it was done, without the quiet time after it.
///
/// # Errors
/// When it goes on for ten minutes.
pub(crate) async fn until_compacted(server: &Server, data: &Path) -> anyhow::Result<Duration> {
    let begun = Instant::now();
    let mut segments = DiskUsage::of(data)?.segments;
    let mut quiet_since = Instant::now();
    let mut quiet_cpu = server.usage()?.cpu;
    loop {
        tokio::time::sleep(COMPACTION_POLL).await;
        let now_segments = DiskUsage::of(data)?.segments;
        let cpu = server.usage()?.cpu;
        let quiet = quiet_since.elapsed();
        let allowed_cpu = quiet.mul_f64(QUIET_CPU_SHARE) + Duration::from_millis(20);
        if now_segments != segments || cpu.saturating_sub(quiet_cpu) > allowed_cpu {
            (segments, quiet_since, quiet_cpu) = (now_segments, Instant::now(), cpu);
        } else if quiet >= QUIET {
            return Ok(quiet_since.duration_since(begun));
        }
        if begun.elapsed() > COMPACTION_TIMEOUT {
            bail!("the server was not quiet within {} s", COMPACTION_TIMEOUT.as_secs());
        }
    }
}
