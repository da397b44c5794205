//! The outgoing client: discovery, balancing, retries, the circuit breaker.

use std::sync::Arc;

use anyhow::{Context as _, ensure};
use axum::http::StatusCode;
use futures_util::future::join_all;
use serde_json::Value;
use service::health::Health;
use service::metrics::Metrics;
use service::semantics::circuit_breaker;
use service::shutdown::Shutdown;
use tracing::instrument::WithSubscriber;
use tracing::subscriber::NoSubscriber;

use super::stage::{Answered, Stage};
use crate::kit::client::{Balance, Call, Dependency, Policy};
use crate::kit::context::Context;
use crate::kit::ids::Ids;
use crate::switches::{FLAKY_CATALOG, SLOW_CATALOG};

const CATALOGS: [&str; 3] = ["catalog-1", "catalog-2", "catalog-3"];
/// One after the other, of which each of three instances has a third.
const READS: u64 = 300;
/// A read may have been tried again on a machine that is busy.
const MARGIN: u64 = 3;

/// A read of a product at the gateway, of which no answer is kept.
async fn read(stage: &Stage) -> anyhow::Result<Answered> {
    stage.get("gateway-1", &format!("/api/v1/products/cup?at={:016x}", fastrand::u64(..))).await
}

/// How many reads of a product each of the instances answered, with any status or with one.
async fn answered(stage: &Stage, status: Option<u16>) -> anyhow::Result<Vec<u64>> {
    let mut counts = Vec::new();
    for instance in CATALOGS {
        let metrics = match stage.shop.address(instance) {
            Some(_) => stage.metrics(instance).await?,
            None => String::new(),
        };
        let is_read = |line: &&str| {
            line.starts_with("http_server_request_duration_seconds_count{")
                && line.contains("http_route=\"/api/v1/products/{sku}\"")
                && status.is_none_or(|status| line.contains(&format!("_code=\"{status}\"")))
        };
        let count = |line: &str| line.rsplit(' ').next()?.parse::<u64>().ok();
        counts.push(metrics.lines().filter(is_read).filter_map(count).sum());
    }
    Ok(counts)
}

/// What `counts` have more than `before`.
fn since(before: &[u64], counts: &[u64]) -> Vec<u64> {
    counts.iter().zip(before).map(|(now, before)| now.saturating_sub(*before)).collect()
}

/// Runs two more catalogs, and waits until the gateway knows all three.
async fn three_catalogs(stage: &mut Stage) -> anyhow::Result<()> {
    for number in [2, 3] {
        stage.run("catalog", number).await?;
    }
    known_to_gateway(stage, 3).await
}

async fn known_to_gateway(stage: &Stage, count: u64) -> anyhow::Result<()> {
    let what = format!("the gateway knows {count} catalogs");
    stage
        .becomes(&what, async || {
            let health = stage.get("gateway-1", "/health").await?;
            Ok((health.body["services"]["catalog"]["instances"] == count).then_some(()))
        })
        .await
}

/// Catalog, called by the scenario itself.
fn catalog(stage: &Stage, policy: Policy) -> Dependency {
    let (_, stop) = Shutdown::new();
    let context = Context {
        service: "scenario",
        instance: "scenario-1".to_owned(),
        data: stage.settings.data.clone(),
        ids: Arc::new(Ids::new(fastrand::Rng::new())),
        step_timeout: stage.settings.step_timeout,
        directory: stage.shop.directory.clone(),
        metrics: Metrics::new(),
        health: Health::new(),
        stop,
    };
    Dependency::new(&context, "catalog", policy)
}

/// Reads a product so often, one after the other; gives how many were answered with 200.
async fn successes(catalog: &Dependency, reads: u64) -> u64 {
    let mut successes = 0;
    for _ in 0..reads {
        let sent = catalog.send(Call::get("/api/v1/products/cup"));
        // The scenario is no service, and has no log.
        let answer = sent.with_subscriber(NoSubscriber::new()).await;
        successes += u64::from(answer.is_ok_and(|answer| answer.status == StatusCode::OK));
    }
    successes
}

pub(super) async fn discovery(stage: &mut Stage) -> anyhow::Result<()> {
    three_catalogs(stage).await?;
    let before = answered(stage, None).await?;
    for _ in 0..READS {
        read(stage).await?.expect(200, "a read")?;
    }
    let counts = since(&before, &answered(stage, None).await?);
    let third = READS / 3;
    ensure!(counts.iter().all(|count| count.abs_diff(third) <= MARGIN), "not shared: {counts:?}");
    stage.saw(format!("{READS} reads, found by name; the instances had {counts:?}"));
    stage.kill("catalog-2");
    for _ in 0..third {
        read(stage).await?.expect(200, "a read with a dead instance")?;
    }
    stage.saw(format!("{third} more reads: none fails"));
    known_to_gateway(stage, 2).await?;
    stage.saw("the registry leaves it out");
    let read_once = read(stage).await?;
    read_once.expect(200, "a read without the dead instance")?;
    stage.leaves(&read_once, "completed", None, "a read without the dead instance");
    stage.run("catalog", 2).await?;
    known_to_gateway(stage, 3).await?;
    stage
        .becomes("the instance has a part of the reads again", async || {
            read(stage).await?.expect(200, "a read with a new instance")?;
            Ok((answered(stage, None).await?[1] > 0).then_some(()))
        })
        .await?;
    stage.saw("it runs again, and has its part of the reads");
    Ok(())
}

pub(super) async fn least_connections(stage: &mut Stage) -> anyhow::Result<()> {
    /// Callers at once, and reads of each.
    const CALLERS: u64 = 6;
    const EACH: u64 = 40;
    three_catalogs(stage).await?;
    let policy = Policy { balance: Balance::LeastConnections, ..Policy::READS };
    let catalog = catalog(stage, policy);
    let total = CALLERS * EACH;
    let share = async |stage: &Stage| {
        let before = answered(stage, None).await?;
        let callers = (0..CALLERS).map(|_| successes(&catalog, EACH));
        let successes: u64 = join_all(callers).await.into_iter().sum();
        ensure!(successes == total, "{successes} of {total} reads are answered");
        Ok(since(&before, &answered(stage, None).await?))
    };
    let even = share(stage).await?;
    ensure!(even.iter().all(|count| *count >= total / 10), "not shared: {even:?}");
    stage.saw(format!("{total} reads of {CALLERS} callers; the instances had {even:?}"));
    stage.turn(SLOW_CATALOG, true).await?;
    let slow = share(stage).await?;
    ensure!(slow[0] * 2 < slow[1].min(slow[2]), "the slow one has much: {slow:?}");
    stage.saw(format!("catalog-1 is slow: {slow:?}, and nobody has to know that it is"));
    let read_once = read(stage).await?;
    read_once.expect(200, "a read with a slow instance")?;
    stage.leaves(&read_once, "completed", None, "a read with a slow instance");
    stage.turn(SLOW_CATALOG, false).await?;
    let even = share(stage).await?;
    ensure!(even[0] >= total / 10, "it is well again, and had {even:?}");
    stage.saw(format!("it is quick again: {even:?}"));
    Ok(())
}

pub(super) async fn retry(stage: &mut Stage) -> anyhow::Result<()> {
    const TRIES: u64 = 40;
    // Half of all tries fail here, which would open a circuit.
    let mut policy = Policy::READS;
    policy.breaker.failure_ratio = 0.9;
    let (patient, hasty) =
        (catalog(stage, policy), catalog(stage, Policy { attempts_max: 1, ..policy }));
    let found = successes(&hasty, TRIES).await;
    ensure!(found == TRIES, "{found} of {TRIES} reads are answered, with nothing wrong");
    // So that the gateway has seen so much that went well that its circuit stays closed.
    for _ in 0..20 {
        read(stage).await?.expect(200, "a read")?;
    }
    stage.saw(format!("{TRIES} reads, nothing is wrong: all are answered"));
    stage.turn(FLAKY_CATALOG, true).await?;
    let found = successes(&hasty, TRIES).await;
    ensure!(found == TRIES / 2, "{found} of {TRIES} reads are answered that are tried once");
    stage.saw(format!("every second try fails; tried once: {found} of {TRIES} are answered"));
    let found = successes(&patient, TRIES).await;
    ensure!(found == TRIES, "{found} of {TRIES} reads are answered that are tried again");
    let failed = answered(stage, Some(503)).await?[0];
    ensure!(failed >= TRIES + TRIES / 2, "of {TRIES} tries only {failed} failed");
    stage.saw(format!("tried again: {found} of {TRIES}; catalog refused {failed} tries"));
    for number in 0..4 {
        let once = read(stage).await?;
        once.expect(200, "a read at the gateway that is tried again")?;
        if number == 0 {
            stage.leaves(
                &once,
                "completed",
                Some("products|tried again"),
                "a read that is tried again",
            );
        }
    }
    stage.turn(FLAKY_CATALOG, false).await?;
    let found = successes(&hasty, TRIES).await;
    ensure!(found == TRIES, "{found} of {TRIES} reads are answered when all is well again");
    stage.saw(format!("well again: {found} of {TRIES} at the first try"));
    Ok(())
}

pub(super) async fn circuit_breaker(stage: &mut Stage) -> anyhow::Result<()> {
    let well = read(stage).await?;
    well.expect(200, "a read")?;
    stage.leaves(&well, "completed", None, "a read");
    ensure!(breaker(stage).await? == circuit_breaker::STATE_CLOSED, "it is not closed");
    stage.saw("catalog is well: 200, the circuit is closed");
    stage.kill("catalog-1");
    stage
        .becomes("the circuit opens", async || {
            read(stage).await?;
            Ok((breaker(stage).await? == circuit_breaker::STATE_OPEN).then_some(()))
        })
        .await?;
    let rejected = read(stage).await?;
    rejected.expect(503, "a read with an open circuit")?;
    let wait = rejected.header("retry-after");
    ensure!(!wait.is_empty(), "503 without retry-after");
    stage.saw(format!("after some failures the circuit is open: 503, come again in {wait} s"));
    stage.leaves(&rejected, "failed", Some("request failed"), "a call that is not sent");
    stage.run("catalog", 1).await?;
    known_to_gateway(stage, 1).await?;
    stage
        .becomes("the circuit closes", async || {
            read(stage).await?;
            Ok((breaker(stage).await? == circuit_breaker::STATE_CLOSED).then_some(()))
        })
        .await?;
    read(stage).await?.expect(200, "a read when all is well again")?;
    let states = stage
        .becomes("the log has all changes", async || {
            let states = changes(stage)?;
            let is_closed = states.last().is_some_and(|last| last == circuit_breaker::STATE_CLOSED);
            Ok(is_closed.then_some(states))
        })
        .await?;
    let expected = [circuit_breaker::STATE_OPEN, circuit_breaker::STATE_HALF_OPEN];
    ensure!(states.starts_with(&expected.map(str::to_owned)), "the circuit went {states:?}");
    stage.saw(format!("catalog is back; the circuit went {}", states.join(", ")));
    Ok(())
}

/// The state of the gateway's circuit to catalog.
async fn breaker(stage: &Stage) -> anyhow::Result<String> {
    let health = stage.get("gateway-1", "/health").await?;
    let state = health.body["services"]["catalog"]["breaker"].as_str();
    Ok(state.context("the gateway does not tell of its circuit")?.to_owned())
}

/// The states that the gateway's circuit to catalog took, as its log tells.
fn changes(stage: &Stage) -> anyhow::Result<Vec<String>> {
    let log = std::fs::read_to_string(stage.settings.logs.join("gateway-1.log"))?;
    let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let changes = lines.filter(|line| line["event_name"] == circuit_breaker::CHANGED);
    let states = changes.filter_map(|line| Some(line[circuit_breaker::STATE].as_str()?.to_owned()));
    Ok(states.collect())
}
