//! After the last acknowledgement: is everything there, once, and do the server's own accounts say so?

use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use serde_json::Value;

use super::progress::Progress;
use super::querier;
use super::stream::Stream;
use crate::queries::QueryClient;
use crate::server::{Installation, Server};
use crate::settle;

/// Correlation ids that are looked up.
const SAMPLE: usize = 2_000;
const AUDIT_TIMEOUT: Duration = Duration::from_secs(60);
const PUBLISH_TIMEOUT: Duration = Duration::from_secs(360);
const SAMPLE_TIMEOUT: Duration = Duration::from_secs(600);

/// One thing that was looked at: what it says, or what is wrong.
pub(crate) type Check = (&'static str, Result<String, String>);

/// Looks at everything, whatever fails. Also gives the latencies of the sample, without any other load.
pub(crate) async fn check(
    installation: &Installation,
    server: &Server,
    seed: u64,
    stream: &Stream,
    progress: &Progress,
) -> (Vec<Check>, Vec<Duration>) {
    let records = progress.acknowledged_records();
    let mut at_rest = Vec::new();
    let audit = within(AUDIT_TIMEOUT, audit(installation, server, records)).await;
    let published = within(PUBLISH_TIMEOUT, async {
        let ledger =
            settle::until_published(&crate::http::client(), &server.ingest, records).await?;
        Ok(format!("{} records in segments, none beside", ledger.indexed))
    });
    let published = published.await;
    let count = within(AUDIT_TIMEOUT, count(server, records)).await;
    let sample = within(SAMPLE_TIMEOUT, sample(server, seed, stream, progress, &mut at_rest)).await;
    let checks = vec![
        ("`logq audit` adds up, accepted = sent", audit),
        ("published", published),
        ("count by query = acknowledged", count),
        ("a sample of correlations is complete", sample),
    ];
    (checks, at_rest)
}

async fn within(
    time: Duration,
    check: impl Future<Output = anyhow::Result<String>>,
) -> Result<String, String> {
    match tokio::time::timeout(time, check).await {
        Ok(Ok(result)) => Ok(result),
        Ok(Err(error)) => Err(format!("{error:#}")),
        Err(_) => Err(format!("not done after {} s", time.as_secs())),
    }
}

/// Runs the real `logq audit`.
async fn audit(
    installation: &Installation,
    server: &Server,
    records: u64,
) -> anyhow::Result<String> {
    let output = tokio::process::Command::new(installation.binary())
        .args(["audit", "-o", "json", "--addr", &server.ingest])
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .context("cannot run the audit")?;
    let text = String::from_utf8_lossy(&output.stdout);
    let account: Value =
        serde_json::from_str(&text).with_context(|| format!("no account, but {text:?}"))?;
    let (faults, ledger) = (&account["faults"], &account["ledger"]);
    ensure!(
        output.status.success() && account["adds_up"] == Value::Bool(true),
        "it ended with {}, faults {faults}: {ledger}",
        output.status
    );
    let accepted = ledger["accepted"].as_u64().context("it says nothing of accepted records")?;
    ensure!(accepted == records, "{accepted} accepted, {records} sent and acknowledged");
    for lost in ["lost_batches", "quarantined", "expired", "deleted", "rejected"] {
        let count = ledger[lost].as_u64().unwrap_or(0);
        ensure!(count == 0, "{lost}: {count}");
    }
    Ok(format!("{accepted} records accepted, {} duplicate", ledger["duplicate"]))
}

async fn count(server: &Server, records: u64) -> anyhow::Result<String> {
    let answer = QueryClient::new(&server.query)?.ask(&querier::count()).await?;
    let count = querier::count_of(&answer.rows)?;
    ensure!(count == records, "{count} are found, {records} were acknowledged");
    Ok(format!("{count} records"))
}

async fn sample(
    server: &Server,
    seed: u64,
    stream: &Stream,
    progress: &Progress,
    at_rest: &mut Vec<Duration>,
) -> anyhow::Result<String> {
    let client = QueryClient::new(&server.query)?;
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let acknowledged = progress.acknowledged();
    let mut records_total = 0;
    let begun = Instant::now();
    while at_rest.len() < SAMPLE {
        // Only a run of less than a round has interactions that did not end.
        let Some(newest) = stream.any_newest(&acknowledged, &mut random) else {
            ensure!(begun.elapsed() < SAMPLE_TIMEOUT, "nothing was acknowledged");
            tokio::task::yield_now().await;
            continue;
        };
        let (id, records) = stream.truth(stream.any_round(newest, &mut random));
        let answer = client.ask(&querier::correlation(&id)).await?;
        if let Err(error) = querier::check_correlation(&answer.rows, &id, records as u64) {
            bail!("{id}: {error:#}");
        }
        records_total += records;
        at_rest.push(answer.elapsed);
    }
    Ok(format!("{SAMPLE} ids, {records_total} records"))
}
