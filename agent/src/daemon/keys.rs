//! The `[agent]` table of the configuration, key by key.

use std::time::Duration;

use service::config::{ByteSize, Fallback, Key, Kind, Table};

use crate::delivery::base_of;
use crate::format::Format;
use crate::time_format::{TimeOptions, TimeReader};

const HOUR: Duration = Duration::from_secs(3_600);

const QUERY: Kind = Kind::Notation {
    what: "a filter of the query language",
    example: "level:debug service:noisy",
    check: |text| ql::parse_filter(text).map(|_| ()).map_err(|wrong| wrong.first().message.clone()),
};

const REGEX: Kind = Kind::Notation {
    what: "a regular expression",
    example: "^ERROR (?<message>.*)",
    check: |text| {
        regex::Regex::new(text).map(|_| ()).map_err(|error| last_line(&error.to_string()))
    },
};

const COLLECTOR: Kind = Kind::Notation {
    what: "an address, http://HOST:PORT or https://HOST:PORT",
    example: "http://127.0.0.1:4318",
    check: |text| base_of(text).map(|_| ()),
};

const TENANT: Kind = Kind::Notation {
    what: "a tenant's name, letters, digits and !-_.*'(), 150 at most",
    example: "team-a",
    check: |text| service::principal::check_tenant(text).map_err(str::to_owned),
};

const FORMAT: Kind = Kind::Notation {
    what: "a line format",
    example: "json",
    check: |text| {
        let format: Result<Format, crate::format::UnknownFormat> = text.parse();
        format.map(|_| ()).map_err(|error| error.to_string())
    },
};

const TIME_FORMAT: Kind = Kind::Notation {
    what: "a layout of times",
    example: "%d/%b/%Y:%H:%M:%S %z",
    check: |text| times(TimeOptions { format: Some(text.to_owned()), ..TimeOptions::default() }),
};

const TIMEZONE: Kind = Kind::Notation {
    what: "an IANA time zone or an offset",
    example: "Europe/Berlin",
    check: |text| times(TimeOptions { timezone: Some(text.to_owned()), ..TimeOptions::default() }),
};

const UNIT: Kind = Kind::Notation {
    what: "the name of a unit",
    example: "nginx.service",
    // journalctl compares a pattern once, with the units that are in the journal when it is started.
    check: |text| match text.contains(['*', '?', '[']) || text.is_empty() {
        true => Err("must be a whole name: a pattern would miss units that come later".to_owned()),
        false => Ok(()),
    },
};

const ACTIONS: &[&str] = &["mask", "hash", "drop", "drop_record"];
/// The built-in detectors.
pub(super) const DETECTORS: &[&str] = &["bearer", "password", "card", "email"];
pub(super) const KINDS: &[&str] = &["file", "stdin", "exec", "journald", "otlp"];
pub(super) const PRESETS: &[&str] = &["java", "python", "go"];

/// The table of this role.
pub const TABLE: Table = Table {
    name: "agent",
    doc: "Ships what services write, from beside them.",
    keys: &[
        key(
            "state",
            Kind::Path,
            Fallback::Value("/var/lib/logq-agent"),
            "The folder of spool, positions and identity, made if absent. One process owns it.",
        ),
        key(
            "collector",
            Kind::List(&COLLECTOR),
            Fallback::Value("http://127.0.0.1:4318"),
            "Where batches go: the first that answers, in this order.",
        ),
        key(
            "failover_after",
            duration(1, 24 * 3_600),
            Fallback::Value("30s"),
            "How long a collector may fail before the next one is tried.",
        ),
        key(
            "request_timeout",
            duration(1, 3_600),
            Fallback::Value("30s"),
            "How long one request with a batch may take.",
        ),
        key(
            "tenant",
            TENANT,
            Fallback::Absent,
            "Whose records these are; the token's tenant, or the collector's default, where it is not said.",
        ),
        key(
            "token_file",
            Kind::Path,
            Fallback::Absent,
            "File with the token that the collector asks for; read again when it changes.",
        ),
        key(
            "ca",
            Kind::Path,
            Fallback::Absent,
            "CAs to trust for https, PEM; those of the machine where it is not said.",
        ),
        key("cert", Kind::Path, Fallback::Absent, "Certificate to show to the collector, PEM."),
        key("key", Kind::Path, Fallback::Absent, "Its key, PEM."),
        key(
            "http",
            Kind::Address,
            Fallback::Value("127.0.0.1:3102"),
            "Where status, health and metrics are served; port 0 takes any free one.",
        ),
        key(
            "host",
            Kind::Text,
            Fallback::Absent,
            "The host that records name which name none; that of the machine where it is not said.",
        ),
        key(
            "batch_size",
            size(64 << 10, 8 << 20),
            Fallback::Value("4 MiB"),
            "A batch ends at this size before compression.",
        ),
        key(
            "batch_records",
            Kind::Integer { min: 1, max: 1_000_000 },
            Fallback::Value("20000"),
            "... or with this many records.",
        ),
        key(
            "batch_age",
            Kind::Duration { min: Duration::from_millis(10), max: HOUR },
            Fallback::Value("1s"),
            "... or when its first record is this old.",
        ),
        key(
            "spool_max",
            size(32 << 20, 1 << 50),
            Fallback::Value("1 GiB"),
            "What the spool may take of the disk; what happens then is said for each source by `when_full`.",
        ),
        key(
            "dead_letters_max",
            size(1 << 20, 1 << 50),
            Fallback::Value("256 MiB"),
            "What dead letters may take of the disk; beyond it shipping waits for a person.",
        ),
        key(
            "heartbeat_interval",
            duration(1, 3_600),
            Fallback::Value("5s"),
            "How often the collector is told how the agent is.",
        ),
        key(
            "drain",
            duration(0, 3_600),
            Fallback::Value("5s"),
            "How long to go on shipping when told to stop; what is left stays in the spool.",
        ),
        key("keep", QUERY, Fallback::Absent, "Records that do not match are dropped and counted."),
        key(
            "drop",
            Kind::List(&QUERY),
            Fallback::Absent,
            "Records that match one of these are dropped and counted.",
        ),
        key(
            "add",
            Kind::Map(&Kind::Text),
            Fallback::Absent,
            "Attributes for records that have none of that name.",
        ),
        key(
            "redact.detectors",
            Kind::List(&Kind::Enum(DETECTORS)),
            Fallback::Absent,
            "Secrets to look for in messages and attributes.",
        ),
        key(
            "redact.action",
            Kind::Enum(ACTIONS),
            Fallback::Value("mask"),
            "What becomes of what they find: a mark, a keyed hash (equal values stay equal), the field or the record dropped.",
        ),
        key(
            "redact.key_file",
            Kind::Path,
            Fallback::Absent,
            "File with the key of hashes, 16 bytes or more; the same on all hosts whose values are to be joined.",
        ),
        key(
            "sample.keep_ratio",
            Kind::Float { min: 0.0, max: 1.0 },
            Fallback::Absent,
            "Share of correlations to keep whole; the same ones on every host. Those with an error are kept in any case.",
        ),
        key(
            "sample.window",
            duration(1, 600),
            Fallback::Value("10s"),
            "How long records of other correlations wait for an error of theirs before they are dropped.",
        ),
        key(
            "sample.held_max",
            size(64 << 10, 1 << 30),
            Fallback::Value("8 MiB"),
            "Memory for those that wait; beyond it the oldest are dropped early.",
        ),
        key(
            "redact.rules",
            Kind::Tables(REDACT_RULE),
            Fallback::Absent,
            "Patterns of your own to redact.",
        ),
        key("sources", Kind::Tables(SOURCE), Fallback::Absent, "What is read."),
    ],
};

const REDACT_RULE: &[Key] = &[
    key("name", Kind::Text, Fallback::Required, "Stands in the mark and in the counts."),
    key(
        "pattern",
        REGEX,
        Fallback::Required,
        "What to find; only the group `secret`, if there is one.",
    ),
    key(
        "fields",
        Kind::List(&Kind::Text),
        Fallback::Absent,
        "Where to look: `message`, attributes by name; the message and all attributes of text where it is not said.",
    ),
    key("action", Kind::Enum(ACTIONS), Fallback::Value("mask"), "What becomes of it."),
];

const SOURCE: &[Key] = &[
    key("kind", Kind::Enum(KINDS), Fallback::Required, "What it is."),
    key(
        "name",
        Kind::Text,
        Fallback::Absent,
        "Its name in status and metrics; made of kind and place where it is not said.",
    ),
    // files
    key(
        "include",
        Kind::List(&Kind::Text),
        Fallback::Absent,
        "file: paths to follow, with `*`, `?`, `[...]`, `{a,b}` and `**`.",
    ),
    key("exclude", Kind::List(&Kind::Text), Fallback::Absent, "file: paths to leave out."),
    key(
        "start_at",
        Kind::Enum(&["end", "beginning"]),
        Fallback::Value("end"),
        "file, journald: where to begin with what is there when the source starts for the first time; later files are read whole.",
    ),
    key(
        "scan_interval",
        duration(1, 3_600),
        Fallback::Value("10s"),
        "file: how often the paths are looked for anew.",
    ),
    key(
        "files_max",
        Kind::Integer { min: 1, max: 1_000_000 },
        Fallback::Value("200000"),
        "file: more files than this are left out, and that is said.",
    ),
    key(
        "open_files_max",
        Kind::Integer { min: 1, max: 100_000 },
        Fallback::Value("1024"),
        "file: descriptors that are kept open.",
    ),
    key(
        "container",
        Kind::Enum(&["docker", "cri", "auto"]),
        Fallback::Absent,
        "file: lines are wrapped by Docker or by a Kubernetes runtime; they are unwrapped first.",
    ),
    // exec
    key(
        "command",
        Kind::List(&Kind::Text),
        Fallback::Absent,
        "exec: the program and its arguments; its standard output is read line by line.",
    ),
    key(
        "restart_after",
        Kind::Duration { min: Duration::from_millis(10), max: HOUR },
        Fallback::Value("1s"),
        "exec, journald: how long to wait before a program that has ended is started again.",
    ),
    // journald
    key("units", Kind::List(&UNIT), Fallback::Absent, "journald: only these units."),
    key(
        "journal",
        Kind::Path,
        Fallback::Absent,
        "journald: a folder of journal files, or one of them, instead of the machine's own journal.",
    ),
    // otlp
    key("http", Kind::Address, Fallback::Absent, "otlp: where to listen for OTLP over HTTP."),
    key(
        "grpc",
        Kind::Address,
        Fallback::Absent,
        "otlp: where to listen for OTLP over gRPC as well.",
    ),
    key(
        "body_max",
        size(1 << 10, 64 << 20),
        Fallback::Value("16 MiB"),
        "otlp: longest request body, as sent and unpacked.",
    ),
    // what lines say
    key("format", FORMAT, Fallback::Value("auto"), "How lines are read."),
    key(
        "pattern",
        REGEX,
        Fallback::Absent,
        "For the format regex: an expression with named groups.",
    ),
    key("time_format", TIME_FORMAT, Fallback::Absent, "Layout of times in named fields."),
    key(
        "timezone",
        TIMEZONE,
        Fallback::Absent,
        "Zone of times that have none; UTC where it is not said.",
    ),
    key(
        "service",
        Kind::Text,
        Fallback::Absent,
        "The service that wrote it; wins over what a line says.",
    ),
    key(
        "host",
        Kind::Text,
        Fallback::Absent,
        "The host that it was written on; wins over what a line says.",
    ),
    key(
        "correlation",
        REGEX,
        Fallback::Absent,
        "Finds the correlation id in the message of a line that has none: group `correlation`, else the first, else the match.",
    ),
    key(
        "multiline.preset",
        Kind::Enum(PRESETS),
        Fallback::Absent,
        "Lines of a stack trace are one record.",
    ),
    key(
        "multiline.start",
        REGEX,
        Fallback::Absent,
        "A line that matches begins a record; others continue it.",
    ),
    key(
        "multiline.continues",
        REGEX,
        Fallback::Absent,
        "A line that matches continues the record before it.",
    ),
    key(
        "multiline.indented",
        Kind::Bool,
        Fallback::Value("false"),
        "A line that begins with white space continues the record before it.",
    ),
    key(
        "multiline.timeout",
        Kind::Duration { min: Duration::from_millis(10), max: HOUR },
        Fallback::Value("1s"),
        "How long a record waits for more lines.",
    ),
    key(
        "multiline.lines_max",
        Kind::Integer { min: 2, max: 100_000 },
        Fallback::Value("1000"),
        "Longest record in lines; what follows is the next one.",
    ),
    key(
        "multiline.size_max",
        size(1 << 10, 1 << 20),
        Fallback::Value("1 MiB"),
        "Longest record in bytes.",
    ),
    // what becomes of records
    key("keep", QUERY, Fallback::Absent, "Records that do not match are dropped and counted."),
    key(
        "drop",
        Kind::List(&QUERY),
        Fallback::Absent,
        "Records that match one of these are dropped and counted.",
    ),
    key(
        "add",
        Kind::Map(&Kind::Text),
        Fallback::Absent,
        "Attributes for records that have none of that name.",
    ),
    key(
        "rate.records_per_second",
        Kind::Float { min: 0.001, max: 1e9 },
        Fallback::Absent,
        "Records a second, on average.",
    ),
    key(
        "rate.bytes_per_second",
        size(1, 1 << 40),
        Fallback::Absent,
        "Bytes of text a second, on average.",
    ),
    key(
        "rate.when_over",
        Kind::Enum(&["drop", "wait"]),
        Fallback::Value("drop"),
        "What is over the rate is dropped and counted, or the source waits.",
    ),
    key(
        "when_full",
        Kind::Enum(&["wait", "drop"]),
        Fallback::Value("wait"),
        "While the spool takes nothing, the source waits, or its records are dropped and counted.",
    ),
];

const fn key(path: &'static str, kind: Kind, fallback: Fallback, doc: &'static str) -> Key {
    Key { path, kind, fallback, doc }
}

const fn size(min: u64, max: u64) -> Kind {
    Kind::ByteSize { min: ByteSize(min), max: ByteSize(max) }
}

const fn duration(min_seconds: u64, max_seconds: u64) -> Kind {
    Kind::Duration { min: Duration::from_secs(min_seconds), max: Duration::from_secs(max_seconds) }
}

fn times(options: TimeOptions) -> Result<(), String> {
    TimeReader::new(&options).map(|_| ()).map_err(|error| error.to_string())
}

/// What is wrong, without the drawing above it.
fn last_line(text: &str) -> String {
    text.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned()
}
