//! Scenarios: each runs one pattern alone, in a shop of its own on free ports, and sees whether it behaves as it should:
//! when all is well, and when its failure switch is on. Each is a row of the README.

mod client;
mod gateway;
mod messages;
mod orders;
mod ship;
mod stage;

use std::fmt;
use std::pin::Pin;
use std::time::Duration;

use anyhow::Context as _;

use self::stage::Stage;

/// None takes longer.
const TIMEOUT: Duration = Duration::from_secs(55);

/// A pattern, and what shows it.
pub struct Scenario {
    /// As it is asked for: `compensation`.
    pub name: &'static str,
    /// What it shows, in a line.
    pub shows: &'static str,
    run: for<'a> fn(&'a mut Stage) -> Playing<'a>,
}

type Playing<'a> = Pin<Box<dyn Future<Output = anyhow::Result<()>> + 'a>>;

/// All of them.
pub static SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "discovery",
        shows: "three instances are found by name and share the calls; one that dies is left out",
        run: |stage| Box::pin(client::discovery(stage)),
    },
    Scenario {
        name: "least-connections",
        shows: "the instance that is slow gets few of the calls",
        run: |stage| Box::pin(client::least_connections(stage)),
    },
    Scenario {
        name: "retry",
        shows: "what fails every second time is tried again, and nobody notices",
        run: |stage| Box::pin(client::retry(stage)),
    },
    Scenario {
        name: "circuit-breaker",
        shows: "a service that is down is not called for a while, then tried, then called again",
        run: |stage| Box::pin(client::circuit_breaker(stage)),
    },
    Scenario {
        name: "gateway",
        shows: "one door: routes, tokens, roles, limits, a cache that mixes up nobody's answers",
        run: |stage| Box::pin(gateway::doors(stage)),
    },
    Scenario {
        name: "backend-for-frontend",
        shows: "one answer out of several services, with a gap where one of them is down",
        run: |stage| Box::pin(gateway::home(stage)),
    },
    Scenario {
        name: "private-database",
        shows: "no other process can read a service's database while the service runs",
        run: |stage| Box::pin(orders::private_database(stage)),
    },
    Scenario {
        name: "idempotency",
        shows: "the same order sent twice is placed once; another order under its key is refused",
        run: |stage| Box::pin(orders::idempotency(stage)),
    },
    Scenario {
        name: "outbox",
        shows: "orders are placed while the broker is down, and told of once when it is back",
        run: |stage| Box::pin(messages::outbox(stage)),
    },
    Scenario {
        name: "broker",
        shows: "messages wait for a dead consumer, and each is consumed once when it is back",
        run: |stage| Box::pin(messages::broker(stage)),
    },
    Scenario {
        name: "saga",
        shows: "an order over four databases, step by step",
        run: |stage| Box::pin(orders::saga(stage)),
    },
    Scenario {
        name: "compensation",
        shows: "a step fails, and the steps before it are undone in reverse",
        run: |stage| Box::pin(orders::compensation(stage)),
    },
    Scenario {
        name: "killed-orchestrator",
        shows: "the orchestrator dies in the middle of orders and finishes them later",
        run: |stage| Box::pin(orders::killed_orchestrator(stage)),
    },
    Scenario {
        name: "late-commit",
        shows: "payments does what it is asked and answers too late; nobody is charged twice",
        run: |stage| Box::pin(orders::late_commit(stage)),
    },
    Scenario {
        name: "manual-intervention",
        shows: "what cannot be undone is put before a person",
        run: |stage| Box::pin(orders::manual_intervention(stage)),
    },
];

/// An interaction that a scenario left behind, and how its story has to end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Left {
    /// Its correlation id.
    pub correlation_id: String,
    /// As `logq story` says it: `completed`, `compensated`, `failed`.
    pub outcome: &'static str,
    /// A word of the first error, or one of several, `a|b`: a span and a line may tell of it. None where nothing went wrong.
    pub first_error: Option<&'static str>,
    /// What it is, in a few words.
    pub title: String,
}

/// What a scenario saw.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Line by line, for people.
    pub saw: Vec<String>,
    /// What can be looked at.
    pub left: Vec<Left>,
    /// Records that were shipped; none if there is nowhere to ship to.
    pub shipped: Option<u64>,
}

/// The scenario of this name.
///
/// # Errors
/// There is none; the message has the names.
pub fn named(name: &str) -> anyhow::Result<&'static Scenario> {
    SCENARIOS.iter().find(|scenario| scenario.name == name).with_context(|| {
        let names: Vec<_> = SCENARIOS.iter().map(|scenario| scenario.name).collect();
        format!("there is no scenario {name:?}; there are {}", names.join(", "))
    })
}

impl Scenario {
    /// Plays it; logs and spans go to `ingest`, the ingest address of a logq, if there is one.
    ///
    /// # Errors
    /// The pattern did not behave as it should; the message says where.
    pub async fn play(&self, ingest: Option<&str>) -> anyhow::Result<Report> {
        let mut stage = Stage::open(ingest).await?;
        let played = tokio::time::timeout(TIMEOUT, (self.run)(&mut stage)).await;
        let played = played.context("it took longer than it may").and_then(|played| played);
        // What it wrote is worth most when something went wrong.
        let report = stage.close(ingest).await;
        played.with_context(|| format!("{} did not behave as it should", self.name))?;
        report
    }
}

impl fmt::Debug for Scenario {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Scenario").field("name", &self.name).finish_non_exhaustive()
    }
}
