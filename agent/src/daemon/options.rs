//! The `[agent]` table as the agent uses it: everything compiled and checked, every fault told with its place.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use record::Value;
use service::config::{self, Config, Fault, Faults, Values};
use service::credentials::Credentials;
use service::doors::exposure::{self, Exposed};
use service::doors::{self, DoorOptions};
use service::principal::TENANT_DEFAULT;
use service::tls::ClientTls;

use super::intake::{BatchBounds, WhenFull};
use super::journald::JournalOptions;
use super::keys::TABLE;
use super::otlp::OtlpOptions;
use super::shipper::Named;
use crate::assemble::{AssembleSettings, Container, Multiline, Traces};
use crate::delivery::Collector;
use crate::process::redact::{Action, Detector, HashKey, Pattern, Redaction};
use crate::process::{ProcessSettings, Processor, RateLimit, RatePolicy, SampleSettings, Sampler};
use crate::reading::{Reading, ReadingError, ReadingOptions};
use crate::source::file::{FileSettings, StartAt};
use crate::time_format::TimeOptions;

/// Batches of the largest size that the spool must have room for.
const SPOOL_BATCHES_MIN: u64 = 16;
/// How long a burst over the rate may last.
const RATE_BURST: Duration = Duration::from_secs(1);

/// Everything that the agent needs to know.
#[derive(Clone, Debug)]
pub struct AgentOptions {
    /// The folder of spool, positions and identity.
    pub state: PathBuf,
    /// Where batches go, the first that answers.
    pub collectors: Vec<String>,
    /// Where status, health and metrics are served.
    pub http: String,
    /// Listeners that others can reach need no tokens.
    pub insecure: bool,
    pub(super) doors: DoorOptions,
    pub(super) credentials: Credentials,
    pub(super) host: String,
    pub(super) batch: BatchBounds,
    pub(super) failover_after: Duration,
    pub(super) request_timeout: Duration,
    pub(super) heartbeat_interval: Duration,
    pub(super) drain: Duration,
    pub(super) spool_bytes_max: u64,
    pub(super) dead_letters_bytes_max: u64,
    pub(super) sample: Option<SampleSettings>,
    pub(super) sources: Vec<SourceOptions>,
}

#[derive(Clone, Debug)]
pub(super) struct SourceOptions {
    pub(super) name: String,
    pub(super) kind: SourceKind,
    pub(super) reading: Reading,
    pub(super) assemble: AssembleSettings,
    pub(super) process: ProcessSettings,
    pub(super) when_full: WhenFull,
}

#[derive(Clone, Debug)]
pub(super) enum SourceKind {
    File(FileSettings),
    Stdin,
    Exec { command: Vec<String>, restart_after: Duration },
    Journald(JournalOptions),
    Otlp(OtlpOptions),
}

impl SourceKind {
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::File(_) => "file",
            Self::Stdin => "stdin",
            Self::Exec { .. } => "exec",
            Self::Journald(_) => "journald",
            Self::Otlp(_) => "otlp",
        }
    }
}

impl AgentOptions {
    /// Reads the `[agent]` table of a file and the environment. Tables of other roles are not looked at.
    ///
    /// # Errors
    /// Every fault, each with its place and the way out.
    pub fn load(
        file: Option<(&str, &str)>,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, Faults> {
        const TABLES: &[config::Table] = &[TABLE, doors::TABLE];
        let config = config::load(file, environment, TABLES, &["collector", "query", "alerting"])?;
        Self::from_config(&config)
    }

    /// From a configuration that declares [`TABLE`] and that of the doors.
    ///
    /// # Errors
    /// Every fault that is not one of a single key.
    pub fn from_config(config: &Config) -> Result<Self, Faults> {
        let agent = config.table(TABLE.name);
        let mut faults = Vec::new();
        let mut redact = redaction(agent, &mut faults);
        // Once, not for every source that it would go into.
        let alone = ProcessSettings { redact: redact.clone(), ..ProcessSettings::default() };
        if let Err(error) = Processor::new(&alone) {
            faults.push(agent.fault("redact.rules", describe(&error), None));
            redact = Redaction::default();
        }
        let shared = Shared {
            keep: agent.get("keep"),
            drop: agent.get("drop"),
            add: agent.get("add"),
            redact,
        };
        let mut sources: Vec<SourceOptions> = Vec::new();
        for values in agent.tables("sources") {
            let Some(source) = source(values, &shared, &mut faults) else { continue };
            if sources.iter().any(|other| other.name == source.name) {
                let message = format!("there is another source named {:?}", source.name);
                let help = "give each a `name` of its own".to_owned();
                faults.push(values.fault("name", message, Some(help)));
            }
            sources.push(source);
        }
        if sources.iter().filter(|source| matches!(source.kind, SourceKind::Stdin)).count() > 1 {
            faults.push(agent.fault("sources", "standard input can be read only once", None));
        }
        let (batch, spool): (u64, u64) = (agent.get("batch_size"), agent.get("spool_max"));
        if batch > spool / SPOOL_BATCHES_MIN {
            let message = format!("the spool must have room for {SPOOL_BATCHES_MIN} batches");
            let help = "make `spool_max` larger or `batch_size` smaller".to_owned();
            faults.push(agent.fault("spool_max", message, Some(help)));
        }
        let credentials = credentials(agent, &mut faults);
        let doors = DoorOptions::from_config(config)
            .map_err(|found| faults.extend(found.all().iter().cloned()))
            .unwrap_or_default();
        let sample =
            agent.get::<Option<f64>>("sample.keep_ratio").map(|keep_ratio| SampleSettings {
                keep_ratio,
                window: agent.get("sample.window"),
                held_bytes_max: agent.get("sample.held_max"),
            });
        if let Some(faults) = Faults::found(faults) {
            return Err(faults);
        }
        Ok(Self {
            state: agent.get("state"),
            collectors: agent.get("collector"),
            http: agent.get("http"),
            insecure: false,
            doors,
            credentials,
            host: agent.get::<Option<String>>("host").unwrap_or_else(host_name),
            batch: BatchBounds {
                bytes_max: agent.get("batch_size"),
                records_max: agent.get("batch_records"),
                age_max: agent.get("batch_age"),
            },
            failover_after: agent.get("failover_after"),
            request_timeout: agent.get("request_timeout"),
            heartbeat_interval: agent.get("heartbeat_interval"),
            drain: agent.get("drain"),
            spool_bytes_max: agent.get("spool_max"),
            dead_letters_bytes_max: agent.get("dead_letters_max"),
            sample,
            sources,
        })
    }

    /// How many sources there are.
    pub fn sources(&self) -> usize {
        self.sources.len()
    }

    /// Where its own pages are, as the configuration says it.
    pub fn url(&self) -> String {
        format!("{}://{}", self.scheme(), self.http)
    }

    /// `https` where the listeners speak TLS.
    pub fn scheme(&self) -> &'static str {
        if self.doors.tls.is_some() { "https" } else { "http" }
    }

    /// Whose records everything here is, the listeners' too.
    pub(super) fn tenant(&self) -> &str {
        self.credentials.tenant.as_deref().unwrap_or(TENANT_DEFAULT)
    }

    /// Refuses listeners that others could reach where nobody needs a token.
    pub(super) fn check_exposure(&self) -> Result<(), Exposed> {
        if self.insecure || self.doors.tokens.is_some() {
            return Ok(());
        }
        exposure::check("agent.http", &self.http)?;
        for source in &self.sources {
            if let SourceKind::Otlp(otlp) = &source.kind {
                exposure::check(&format!("http of the source {}", source.name), &otlp.http)?;
                if let Some(grpc) = &otlp.grpc {
                    exposure::check(&format!("grpc of the source {}", source.name), grpc)?;
                }
            }
        }
        Ok(())
    }

    /// The collectors, ready to be sent to.
    pub(super) fn collectors(&self) -> Result<Vec<Named>, String> {
        let named = |addr: &String| {
            let collector = Collector::new(addr, &self.credentials, self.request_timeout);
            let collector = collector.map_err(|error| format!("cannot ship to {addr}: {error}"))?;
            Ok(Named { addr: addr.clone(), collector })
        };
        let collectors: Vec<Named> =
            self.collectors.iter().map(named).collect::<Result<_, String>>()?;
        if collectors.is_empty() { Err("no collector is named".to_owned()) } else { Ok(collectors) }
    }

    /// The sampler that goes on with what waits. Where sampling is off and something still waits, it is kept until
    /// its window has passed.
    pub(super) fn sampler(&self, checkpoint: Option<Vec<u8>>) -> Option<Sampler> {
        let settings = match (self.sample, &checkpoint) {
            (Some(settings), _) => settings,
            (None, Some(_)) => SampleSettings { keep_ratio: 1.0, ..SampleSettings::default() },
            (None, None) => return None,
        };
        let restored = checkpoint.map(|checkpoint| Sampler::restore(settings, &checkpoint));
        match restored {
            Some(Ok(sampler)) => Some(sampler),
            Some(Err(error)) => {
                tracing::error!(%error, "records that waited for an error of their correlation are lost");
                Sampler::new(settings).ok()
            }
            None => Sampler::new(settings).ok(),
        }
    }
}

/// How the agent shows who it is; whatever has to be read for it is read once, to tell what is wrong.
fn credentials(agent: &Values, faults: &mut Vec<Fault>) -> Credentials {
    let tls = ClientTls { ca: agent.get("ca"), cert: agent.get("cert"), key: agent.get("key") };
    let (tenant, token_file) = (agent.get("tenant"), agent.get("token_file"));
    let credentials = Credentials { tenant, token: None, token_file, tls };
    if let Err(error) = credentials.bearer() {
        faults.push(agent.fault("token_file", error, None));
    }
    if credentials.tls != ClientTls::default()
        && let Err(error) = credentials.tls.load()
    {
        let key = if credentials.tls.ca.is_some() { "ca" } else { "cert" };
        faults.push(agent.fault(key, error.to_string(), None));
    }
    credentials
}

/// What all sources have from the table itself.
struct Shared {
    keep: Option<String>,
    drop: Vec<String>,
    add: BTreeMap<String, String>,
    redact: Redaction,
}

fn redaction(agent: &Values, faults: &mut Vec<Fault>) -> Redaction {
    let action = |values: &Values, key: &str| {
        Action::from_name(&values.get::<String>(key)).unwrap_or_default()
    };
    let detectors: Vec<String> = agent.get("redact.detectors");
    let with = action(agent, "redact.action");
    let detectors =
        detectors.iter().filter_map(|name| Some((Detector::from_name(name)?, with))).collect();
    let patterns = agent.tables("redact.rules").iter().map(|rule| Pattern {
        name: rule.get("name"),
        pattern: rule.get("pattern"),
        fields: rule.get("fields"),
        action: action(rule, "action"),
    });
    let patterns = patterns.collect();
    let key_file: Option<PathBuf> = agent.get("redact.key_file");
    let hash_key = key_file.and_then(|path| {
        let read = std::fs::read_to_string(&path).map_err(|error| error.to_string());
        let key = read.and_then(|key| HashKey::new(key.trim()).map_err(|error| error.to_string()));
        key.map_err(|error| {
            let message = format!("cannot use {}: {error}", path.display());
            faults.push(agent.fault("redact.key_file", message, None));
        })
        .ok()
    });
    Redaction { detectors, patterns, hash_key }
}

fn source(values: &Values, shared: &Shared, faults: &mut Vec<Fault>) -> Option<SourceOptions> {
    let before = faults.len();
    let kind = kind(values, faults);
    let reading = ReadingOptions {
        format: values.get::<String>("format").parse().unwrap_or_default(),
        pattern: values.get("pattern"),
        time: TimeOptions {
            format: values.get("time_format"),
            timezone: values.get("timezone"),
            year: None,
        },
        service: values.get("service"),
        host: values.get("host"),
        correlation: values.get("correlation"),
    };
    let reading = reading.check("").map_err(|error| faults.push(reading_fault(values, &error)));
    let assemble = assemble(values);
    let process = process(values, shared);
    if let Err(error) = Processor::new(&process) {
        faults.push(values.fault("kind", describe(&error), None));
    }
    let name: Option<String> = values.get("name");
    let (kind, reading) = (kind?, reading.ok()?);
    let name = name.unwrap_or_else(|| default_name(&kind));
    let when_full = match values.get::<String>("when_full").as_str() {
        "drop" => WhenFull::Drop,
        _ => WhenFull::Wait,
    };
    (faults.len() == before).then_some(SourceOptions {
        name,
        kind,
        reading,
        assemble,
        process,
        when_full,
    })
}

fn kind(values: &Values, faults: &mut Vec<Fault>) -> Option<SourceKind> {
    let mut missing = |key: &str, help: &str| {
        let kind: String = values.get("kind");
        let message = format!("a source of kind {kind} needs `{key}`");
        faults.push(values.fault("kind", message, Some(help.to_owned())));
    };
    match values.get::<String>("kind").as_str() {
        "file" => {
            let include: Vec<String> = values.get("include");
            if include.is_empty() {
                missing("include", "write include = [\"/var/log/app/*.log\"]");
                return None;
            }
            let settings = FileSettings {
                include,
                exclude: values.get("exclude"),
                start_at: start_at(values),
                scan_interval: values.get("scan_interval"),
                files_max: values.get("files_max"),
                open_files_max: values.get("open_files_max"),
                ..FileSettings::default()
            };
            if let Err(error) = settings.check() {
                faults.push(values.fault("include", describe(&error), None));
                return None;
            }
            Some(SourceKind::File(settings))
        }
        "stdin" => Some(SourceKind::Stdin),
        "exec" => {
            let command: Vec<String> = values.get("command");
            if command.is_empty() {
                missing("command", "write command = [\"tail\", \"-F\", \"/var/log/app.log\"]");
                return None;
            }
            Some(SourceKind::Exec { command, restart_after: values.get("restart_after") })
        }
        "journald" => Some(SourceKind::Journald(JournalOptions {
            units: values.get("units"),
            journal: values.get("journal"),
            start_at: start_at(values),
            restart_after: values.get("restart_after"),
        })),
        "otlp" => {
            let http: Option<String> = values.get("http");
            let Some(http) = http else {
                missing("http", "write http = \"127.0.0.1:4319\"");
                return None;
            };
            Some(SourceKind::Otlp(OtlpOptions {
                http,
                grpc: values.get("grpc"),
                body_bytes_max: values.get("body_max"),
            }))
        }
        _ => None,
    }
}

fn start_at(values: &Values) -> StartAt {
    match values.get::<String>("start_at").as_str() {
        "beginning" => StartAt::Beginning,
        _ => StartAt::End,
    }
}

fn assemble(values: &Values) -> AssembleSettings {
    let container: Option<String> = values.get("container");
    let container = container.map(|name| match name.as_str() {
        "docker" => Container::Docker,
        "cri" => Container::Cri,
        _ => Container::Auto,
    });
    // Checked as text already; lines are bytes.
    let regex = |key: &str| {
        let text: Option<String> = values.get(key);
        text.and_then(|text| regex::bytes::Regex::new(&text).ok())
    };
    let preset: Option<String> = values.get("multiline.preset");
    let preset: Option<Traces> = preset.and_then(|name| name.parse().ok());
    let (start, continues) = (regex("multiline.start"), regex("multiline.continues"));
    let indented: bool = values.get("multiline.indented");
    let wanted = preset.is_some() || start.is_some() || continues.is_some() || indented;
    let multiline = wanted.then(|| {
        let base = preset.map_or_else(Multiline::default, Multiline::preset);
        Multiline {
            start,
            continues,
            indented: indented || base.indented,
            timeout: values.get("multiline.timeout"),
            lines_max: values.get("multiline.lines_max"),
            bytes_max: values.get("multiline.size_max"),
            ..base
        }
    });
    AssembleSettings { container, multiline }
}

fn process(values: &Values, shared: &Shared) -> ProcessSettings {
    let keep: Option<String> = values.get("keep");
    let keep = match (&shared.keep, keep) {
        (Some(all), Some(own)) => Some(format!("({all}) ({own})")),
        (all, own) => own.or_else(|| all.clone()),
    };
    let mut drop = shared.drop.clone();
    drop.extend(values.get::<Vec<String>>("drop"));
    let mut add = values.get::<BTreeMap<String, String>>("add");
    for (name, value) in &shared.add {
        add.entry(name.clone()).or_insert_with(|| value.clone());
    }
    let records_per_second: Option<f64> = values.get("rate.records_per_second");
    let bytes_per_second: Option<u64> = values.get("rate.bytes_per_second");
    let limited = records_per_second.is_some() || bytes_per_second.is_some();
    ProcessSettings {
        keep,
        drop,
        rate: limited.then(|| RateLimit {
            records_per_second,
            bytes_per_second: bytes_per_second.map(|bytes| bytes as f64),
            burst: RATE_BURST,
            policy: match values.get::<String>("rate.when_over").as_str() {
                "wait" => RatePolicy::Block,
                _ => RatePolicy::Drop,
            },
        }),
        redact: shared.redact.clone(),
        add: add.into_iter().map(|(name, value)| (name, Value::String(value))).collect(),
        set: Vec::new(),
    }
}

fn reading_fault(values: &Values, error: &ReadingError) -> Fault {
    let key = match error {
        ReadingError::Usage { option, .. } | ReadingError::Pattern { option, .. } => option,
        ReadingError::Time(_) => "time_format",
    };
    values.fault(key, describe(error), None)
}

fn default_name(kind: &SourceKind) -> String {
    match kind {
        SourceKind::File(settings) => format!("file:{}", settings.include.join(",")),
        SourceKind::Stdin => "stdin".to_owned(),
        SourceKind::Exec { command, .. } => format!("exec:{}", command.join(" ")),
        // Not by its units: with another name it would forget its position.
        SourceKind::Journald(JournalOptions { journal: Some(journal), .. }) => {
            format!("journald:{}", journal.display())
        }
        SourceKind::Journald(_) => "journald".to_owned(),
        SourceKind::Otlp(options) => format!("otlp:{}", options.http),
    }
}

fn host_name() -> String {
    let name = rustix::system::uname();
    name.nodename().to_string_lossy().into_owned()
}

/// The error with all that is behind it.
pub(crate) fn describe(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        text = format!("{text}: {inner}");
        source = inner.source();
    }
    text
}

/// Reads the configuration file at `path`, if there is one, and the environment of the process.
///
/// # Errors
/// The file cannot be read, or all faults of what it says, one a line.
pub fn load_file(path: Option<&Path>) -> Result<AgentOptions, String> {
    let text = match path {
        Some(path) => Some(
            std::fs::read_to_string(path)
                .map_err(|error| format!("cannot read {}: {error}", path.display()))?,
        ),
        None => None,
    };
    let name = path.map(|path| path.display().to_string()).unwrap_or_default();
    let environment = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    AgentOptions::load(text.as_deref().map(|text| (name.as_str(), text)), environment)
        .map_err(|faults| faults.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(text: &str) -> Result<AgentOptions, Faults> {
        AgentOptions::load(Some(("agent.toml", text)), [])
    }

    #[test]
    fn every_fault_is_told_at_its_place() {
        let text = r#"
[agent]
collector = "127.0.0.1:4318"
batch_size = "8 MiB"
spool_max = "32 MiB"
drop = ["level:degub"]
[[agent.sources]]
kind = "file"
[[agent.sources]]
kind = "file"
include = ["/var/log/[.log"]
format = "jsno"
correlation = "("
[[agent.sources]]
kind = "exec"
command = ["x"]
format = "regex"
[[agent.redact.rules]]
name = "a b"
pattern = "(?<secret>"
"#;
        insta::assert_snapshot!(load(text).unwrap_err().to_string());
        let later = text.lines().filter(|line| {
            !["collector", "drop", "format = \"jsno", "correlation", "pattern"]
                .iter()
                .any(|key| line.starts_with(key))
        });
        let later = later.collect::<Vec<_>>().join("\n").replace("a b\"", "a b\"\npattern = \"x\"");
        insta::assert_snapshot!(load(&later).unwrap_err().to_string());
    }

    #[test]
    fn the_reference_can_be_loaded_and_says_the_defaults() {
        let reference = crate::command::reference();
        let options = load(&reference).unwrap();
        assert_eq!(format!("{options:?}"), format!("{:?}", load("").unwrap()));
        assert_eq!(options.sources(), 0);
    }

    #[test]
    fn a_source_needs_few_words() {
        let options =
            load("[[agent.sources]]\nkind = \"file\"\ninclude = \"/var/log/*.log\"\n").unwrap();
        assert_eq!(options.sources[0].name, "file:/var/log/*.log");
        let twice = "[[agent.sources]]\nkind = \"stdin\"\n".repeat(2);
        let faults = load(&twice).unwrap_err().to_string();
        assert!(faults.contains("only once") && faults.contains("another source"), "{faults}");
    }
}
