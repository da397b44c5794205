//! `docs/metrics.md`: written from what running processes tell, so that it cannot say anything else.
//!
//! Which role a family is of comes from roles that are made one at a time, each with a registry of its own; so do the
//! values of labels that are there before anything happens.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::Path;
use std::sync::Arc;

use alerting::{AlertingOptions, Engine, Parts, QueryRunner, Rules, RunError};
use collector::{Collector, CollectorOptions};
use query::{Queries, QueryApi, QueryLimits, QueueLimits};
use service::config;
use service::health::Health;
use service::metrics::Metrics;
use store::{Store, StoreOptions};

use crate::exposition::{self, Families, Family};
use crate::processes::CONFIG;

/// Labels whose values are few, and the same in every process.
const LISTED: [&str; 5] = ["kind", "outcome", "protocol", "reason", "result"];

const HEAD: &str = "\
# Metrics

What `/metrics` of each process tells, in Prometheus' text format. This page is written from running processes; a test
fails when it is not what they tell. [operations.md](operations.md#metrics) says what to watch.

| job | port | has |
|---|---|---|
| `logq-collector` | 4318 | every process, collector; in `logq up` also query and alerting |
| `logq-query` | 3100 | every process, query; in `logq up` also collector and alerting |
| `logq-alerting` | 3101 | every process, alerting; in `logq up` also collector and query |
| `logq-agent` | 3102 | every process, agent |
| `shop` | 8080 | its process, shop; with `--demo`, or from `logq-demo` |

The jobs are those of [prometheus.yml](../dashboards/prometheus/prometheus.yml). The roles of `logq up` share one process and
its registry, so each of their three ports tells the same: ask the job whose role a family is of, or it counts three times.
gRPC's port tells nothing. Where there are tokens, `/metrics` needs one of tenant `*` with the right admin.

Counters begin at 0 with the process, but for those \"since the data folder was made\" or \"since the agent's identity was
made\". Values are listed where they are few and there from the start.
";

/// What the processes tell.
pub(crate) struct Told {
    /// Of a port of `logq up`.
    pub(crate) up: Families,
    pub(crate) agent: Families,
    pub(crate) shop: Families,
}

/// Has no records.
struct Nothing;

impl QueryRunner for Nothing {
    fn run(&self, _: &str, _: i64, _: i64, _: usize) -> Result<alerting::Answer, RunError> {
        Ok(alerting::Answer::default())
    }
}

/// The families that each role adds to those of a process.
fn roles() -> [(&'static str, Families); 3] {
    let folder = tempfile::tempdir().unwrap();
    let store = Arc::new(Store::open(folder.path(), StoreOptions::default()).unwrap());
    let of_role = |make: &dyn Fn(&Metrics)| {
        let metrics = Metrics::new();
        let before = exposition::read(&metrics.render());
        make(&metrics);
        let mut families = exposition::read(&metrics.render());
        families.retain(|name, _| !before.contains_key(name));
        families
    };
    let collector = of_role(&|metrics| {
        Collector::new(Arc::clone(&store), CollectorOptions::default(), metrics);
    });
    let query = of_role(&|metrics| {
        let queries = Queries::new(Arc::clone(&store), QueryLimits::default());
        QueryApi::new(queries, QueueLimits::default(), metrics);
    });
    let alerting = of_role(&|metrics| alerting(folder.path(), metrics));
    [("Collector", collector), ("Query", query), ("Alerting", alerting)]
}

fn alerting(folder: &Path, metrics: &Metrics) {
    let tables = &CONFIG[CONFIG.find("[alerting]").unwrap()..];
    let config = config::load(Some(("logq.toml", tables)), [], &[alerting::TABLE], &[]).unwrap();
    let parts = Parts {
        runner: Box::new(Nothing),
        watermark: Box::new(|now| now),
        read_rules: Box::new(|| Ok(Rules::default())),
        link: String::new(),
    };
    let options = AlertingOptions::from_config(&config).unwrap();
    let state = folder.join("alerting.db");
    // Deliveries are tasks of one.
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let _entered = runtime.enter();
    Engine::start(options, &state, parts, metrics, &Health::new()).unwrap().stop();
}

/// The page.
pub(crate) fn page(told: &Told) -> String {
    let Told { up, agent, shop } = told;
    let everywhere: BTreeSet<&String> =
        up.keys().filter(|name| agent.contains_key(*name)).collect();
    let without = |families: &Families| -> Families {
        let own = families.iter().filter(|(name, _)| !everywhere.contains(name));
        own.map(|(name, family)| (name.clone(), family.clone())).collect()
    };
    let common = agent.iter().filter(|(name, _)| everywhere.contains(name));
    let common = common.map(|(name, family)| (name.clone(), family.clone())).collect();
    let mut page = HEAD.to_owned();
    section(&mut page, "Every process", "", &common);
    let mut left = without(up);
    for (role, fresh) in roles() {
        let mut families = left.clone();
        families.retain(|name, _| fresh.contains_key(name));
        left.retain(|name, _| !fresh.contains_key(name));
        for (name, family) in &mut families {
            let names = |family: &Family| family.labels.keys().cloned().collect::<BTreeSet<_>>();
            assert_eq!(names(&fresh[name]), names(family), "{name} in a process and alone");
            family.labels = fresh[name].labels.clone();
        }
        let missing: Vec<_> = fresh.keys().filter(|name| !families.contains_key(*name)).collect();
        assert_eq!(missing, Vec::<&String>::new(), "`logq up` does not tell these of {role}");
        section(&mut page, role, "", &families);
    }
    assert_eq!(left.keys().collect::<Vec<_>>(), Vec::<&String>::new(), "of which role are these?");
    let of_agent = "The agent of `logq up --demo`, and `logq-agent` or `logq run agent`.";
    section(&mut page, "Agent", of_agent, &without(agent));
    let of_shop = "The gateway of the demo, beside `http_server_request_duration_seconds` and the figures of its process. The other services have theirs at `/metrics` of their ports: those of a client like the gateway's, and a few of what they do.";
    section(&mut page, "Shop", of_shop, &without(shop));
    page
}

fn section(page: &mut String, title: &str, about: &str, families: &Families) {
    writeln!(page, "\n## {title}\n").unwrap();
    if !about.is_empty() {
        writeln!(page, "{about}\n").unwrap();
    }
    page.push_str("| name | type | labels | what it is |\n|---|---|---|---|\n");
    for (name, Family { kind, help, labels }) in families {
        let labels = labels.iter().map(|(label, values)| {
            let values: Vec<&str> = values.iter().map(String::as_str).collect();
            match LISTED.contains(&label.as_str()) {
                true => format!("`{label}`: {}", values.join(", ")),
                false => format!("`{label}`"),
            }
        });
        let labels: Vec<String> = labels.collect();
        let labels = labels.join("; ");
        writeln!(page, "| `{name}` | {kind} | {labels} | {help} |").unwrap();
    }
}
