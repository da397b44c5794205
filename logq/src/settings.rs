//! `logq.toml`: the tables of this binary, and what they mean for each role.

use std::path::{Path, PathBuf};
use std::time::Duration;

use agent::daemon::AgentOptions;
use alerting::AlertingOptions;
use anyhow::{Context, Result};
use collector::CollectorOptions;
use query::{QueryLimits, QueueLimits};
use service::config::{self, ByteSize, Config, Fallback, Key, Kind, Table};
use service::doors::{self, DoorOptions};
use store::{Retention, StoreOptions};

use crate::rules;

/// Tables of other roles, which may be in the same file.
const FOREIGN: [&str; 1] = ["agent"];

const fn size(bytes: u64) -> ByteSize {
    ByteSize(bytes)
}

const COLLECTOR: Table = Table {
    name: "collector",
    doc: "Takes records in and keeps them.",
    keys: &[
        Key {
            path: "http",
            kind: Kind::Address,
            fallback: Fallback::Value("127.0.0.1:4318"),
            doc: "Where OTLP, Zipkin's spans and JSON lines come in over HTTP; port 0 takes any free one.",
        },
        Key {
            path: "grpc",
            kind: Kind::Address,
            fallback: Fallback::Value("127.0.0.1:4317"),
            doc: "Where OTLP comes in over gRPC; port 0 takes any free one.",
        },
        Key {
            path: "data",
            kind: Kind::Path,
            fallback: Fallback::Value("logq-data"),
            doc: "The data folder, made if absent. One process owns it.",
        },
        Key {
            path: "body_max",
            kind: Kind::ByteSize { min: size(1 << 10), max: size(1 << 30) },
            fallback: Fallback::Value("64 MiB"),
            doc: "Longest request body or gRPC message as it is sent; a longer one is answered with 413 or RESOURCE_EXHAUSTED.",
        },
        Key {
            path: "memory_max",
            kind: Kind::ByteSize { min: size(16 << 20), max: size(1 << 40) },
            fallback: Fallback::Value("192 MiB"),
            doc: "Memory for requests in flight and records not yet in segments; beyond it requests wait a little, then are answered with 429.",
        },
        Key {
            path: "flush_size",
            kind: Kind::ByteSize { min: size(64 << 10), max: size(4 << 30) },
            fallback: Fallback::Value("64 MiB"),
            doc: "Records in memory are written as segments when they take this much.",
        },
        Key {
            path: "flush_age",
            kind: Kind::Duration {
                min: Duration::from_millis(100),
                max: Duration::from_secs(86_400),
            },
            fallback: Fallback::Value("30s"),
            doc: "... or when the oldest of them is this old.",
        },
        Key {
            path: "retention_age",
            kind: Kind::Duration {
                min: Duration::from_secs(60),
                max: Duration::from_secs(100 * 365 * 86_400),
            },
            fallback: Fallback::Absent,
            doc: "Segments whose newest record is older go; absent keeps them for ever.",
        },
        Key {
            path: "retention_size",
            kind: Kind::ByteSize { min: size(1 << 20), max: size(1 << 50) },
            fallback: Fallback::Absent,
            doc: "The oldest segments go while all together are larger; absent keeps them.",
        },
    ],
};

const QUERY: Table = Table {
    name: "query",
    doc: "Answers queries.",
    keys: &[
        Key {
            path: "http",
            kind: Kind::Address,
            fallback: Fallback::Value("127.0.0.1:3100"),
            doc: "Where the query API listens; port 0 takes any free one.",
        },
        Key {
            path: "deadline",
            kind: Kind::Duration {
                min: Duration::from_millis(10),
                max: Duration::from_secs(3_600),
            },
            fallback: Fallback::Value("30s"),
            doc: "A query that takes longer is ended.",
        },
        Key {
            path: "memory_max",
            kind: Kind::ByteSize { min: size(1 << 20), max: size(1 << 40) },
            fallback: Fallback::Value("256 MiB"),
            doc: "Memory that one query may hold: rows found, columns read, stages, lines on their way; beyond it the query ends.",
        },
        Key {
            path: "memory_total",
            kind: Kind::ByteSize { min: size(1 << 20), max: size(1 << 40) },
            fallback: Fallback::Value("512 MiB"),
            doc: "Memory that all queries together may hold; beyond it the one that holds the most ends.",
        },
        Key {
            path: "rows_max",
            kind: Kind::Integer { min: 1, max: 100_000_000 },
            fallback: Fallback::Value("1000000"),
            doc: "Rows that one query gives out or sorts.",
        },
        Key {
            path: "concurrency",
            kind: Kind::Integer { min: 1, max: 1_024 },
            fallback: Fallback::Value("16"),
            doc: "Queries at the same time; further ones wait, and tenants take turns.",
        },
        Key {
            path: "queue_max",
            kind: Kind::Integer { min: 0, max: 100_000 },
            fallback: Fallback::Value("64"),
            doc: "Queries that wait at most; further ones are answered with 429.",
        },
        Key {
            path: "queue_tenant_max",
            kind: Kind::Integer { min: 0, max: 100_000 },
            fallback: Fallback::Value("32"),
            doc: "... of one tenant.",
        },
        Key {
            path: "queue_wait",
            kind: Kind::Duration { min: Duration::ZERO, max: Duration::from_secs(3_600) },
            fallback: Fallback::Value("10s"),
            doc: "A query that waits for longer is answered with 429.",
        },
    ],
};

/// What this process reads when it runs.
const TABLES: &[Table] = &[COLLECTOR, QUERY, alerting::TABLE, doors::TABLE];
/// What one file may say to all roles.
const CHECKED: &[Table] = &[COLLECTOR, QUERY, alerting::TABLE, doors::TABLE, agent::daemon::TABLE];

/// Everything that `logq up` needs to know.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Settings {
    pub(crate) ingest_http: String,
    pub(crate) ingest_grpc: String,
    pub(crate) data: PathBuf,
    pub(crate) collector: CollectorOptions,
    pub(crate) store: StoreOptions,
    pub(crate) query_http: String,
    pub(crate) query: QueryLimits,
    pub(crate) query_queue: QueueLimits,
    pub(crate) alerting: AlertingOptions,
    pub(crate) doors: DoorOptions,
}

impl Settings {
    /// Reads the file, if one is named, and the environment.
    ///
    /// # Errors
    /// All faults together, one a line, each with its place and the way out.
    pub(crate) fn load(file: Option<&Path>) -> Result<Self> {
        let config = read(file, TABLES, &FOREIGN)?;
        Self::from_config(&config)
    }

    fn from_config(config: &Config) -> Result<Self> {
        let doors = DoorOptions::from_config(config)?;
        let (collector, query) = (config.table("collector"), config.table("query"));
        Ok(Self {
            ingest_http: collector.get("http"),
            ingest_grpc: collector.get("grpc"),
            data: collector.get("data"),
            collector: CollectorOptions {
                body_bytes_max: collector.get("body_max"),
                bytes_per_second: doors.by_tenant(|tenant| tenant.ingest_bytes_per_second),
                ..CollectorOptions::default()
            },
            store: StoreOptions {
                memory_bytes_max: collector.get("memory_max"),
                flush_bytes: collector.get("flush_size"),
                journal_file_bytes: journal_file_bytes(collector.get("flush_size")),
                flush_age: collector.get("flush_age"),
                retention_age: collector.get("retention_age"),
                retention_bytes: collector.get("retention_size"),
                retention_by_tenant: doors.by_tenant(|tenant| {
                    let (age, bytes) = (tenant.retention_age, tenant.retention_bytes);
                    (age.is_some() || bytes.is_some()).then_some(Retention { age, bytes })
                }),
                ..StoreOptions::default()
            },
            query_http: query.get("http"),
            query: QueryLimits {
                deadline: query.get("deadline"),
                memory_bytes_max: query.get("memory_max"),
                memory_total_bytes_max: query.get("memory_total"),
                rows_max: query.get("rows_max"),
                queries_by_tenant: doors.by_tenant(|tenant| tenant.queries),
                ..QueryLimits::default()
            },
            query_queue: QueueLimits {
                concurrency: query.get("concurrency"),
                waiting_max: query.get("queue_max"),
                waiting_tenant_max: query.get("queue_tenant_max"),
                wait_max: query.get("queue_wait"),
            },
            alerting: AlertingOptions::from_config(config).map_err(anyhow::Error::msg)?,
            doors,
        })
    }
}

/// A file of the journal holds what one cut has, so small cuts need no large files; the disk space is reserved.
fn journal_file_bytes(flush_bytes: usize) -> u64 {
    (2 * flush_bytes as u64).clamp(1 << 20, StoreOptions::default().journal_file_bytes)
}

/// Checks what a file and the environment say to every role that this binary has, the agent included.
///
/// # Errors
/// All faults of single keys; if there are none, all faults of the agent's table as a whole.
pub(crate) fn check(file: &Path) -> Result<()> {
    let config = read(Some(file), CHECKED, &[])?;
    AgentOptions::from_config(&config)?;
    DoorOptions::from_config(&config)?;
    let alerting = AlertingOptions::from_config(&config).map_err(anyhow::Error::msg)?;
    alerting::read_files(&alerting.rules, &rules::faults_of).map_err(anyhow::Error::msg)?;
    Ok(())
}

fn read(file: Option<&Path>, tables: &'static [Table], foreign: &[&str]) -> Result<Config> {
    let text = match file {
        Some(path) => Some(
            std::fs::read_to_string(path)
                .with_context(|| format!("cannot read {}", path.display()))?,
        ),
        None => None,
    };
    let name = file.map(|path| path.display().to_string()).unwrap_or_default();
    let environment = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    let file = text.as_deref().map(|text| (name.as_str(), text));
    Ok(config::load(file, environment, tables, foreign)?)
}

/// Every key of every role with its default, as a file that can be used.
pub(crate) fn reference() -> String {
    config::reference(CHECKED)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_those_of_the_roles() {
        let settings = Settings::from_config(&config::load(None, [], TABLES, &FOREIGN).unwrap());
        let settings = settings.unwrap();
        assert_eq!(settings.store, StoreOptions::default());
        assert_eq!(settings.query, QueryLimits::default());
        assert_eq!(settings.query_queue, QueueLimits::default());
        assert_eq!(settings.collector, CollectorOptions::default());
        assert_eq!(settings.data, PathBuf::from("logq-data"));
    }

    #[test]
    fn the_reference_is_a_file_that_can_be_loaded() {
        let text = reference();
        for (tables, foreign) in [(TABLES, &FOREIGN[..]), (CHECKED, &[][..])] {
            config::load(Some(("reference", &text)), [], tables, foreign).unwrap();
        }
        assert!(text.contains("[agent]"));
    }

    #[test]
    fn an_unknown_key_is_refused_with_the_nearest_name() {
        let faults = config::load(
            Some(("logq.toml", "[collector]\nflush_sise = \"1 MiB\"\n")),
            [],
            TABLES,
            &FOREIGN,
        )
        .unwrap_err();
        let text = faults.to_string();
        assert!(text.contains("logq.toml:2") && text.contains("flush_size"), "{text}");
    }

    #[test]
    fn a_check_tells_the_faults_of_all_tables() {
        let check = |text: &str| {
            let folder = tempfile::tempdir().unwrap();
            let file = folder.path().join("logq.toml");
            std::fs::write(&file, text).unwrap();
            check(&file).map_err(|error| error.to_string())
        };
        check("[collector]\n[[agent.sources]]\nkind = \"stdin\"\n").unwrap();
        let faults =
            check("[collector]\ndatta = \"x\"\n[agent]\nbatch_age = 7\n[[agent.sources]]\n")
                .unwrap_err();
        assert!(["`data`", "batch_age", "kind"].iter().all(|key| faults.contains(key)), "{faults}");
        let faults =
            check("[[agent.sources]]\nkind = \"file\"\n[[agent.sources]]\nkind = \"exec\"\n")
                .unwrap_err();
        assert!(faults.contains("`include`") && faults.contains("`command`"), "{faults}");
    }
}
