//! The `[agent]` table of the configuration, key by key.

use std::time::Duration;

use service::config::{ByteSize, Fallback, Key, Kind, Table};
use service::doors::TENANT;

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
        Key::new(
            "state",
            Kind::Path,
            Fallback::Value("/var/lib/logq-agent"),
            "The folder of spool, positions and identity, made if absent. One process owns it.",
        ),
        Key::new(
            "collector",
            Kind::List(&COLLECTOR),
            Fallback::Value("http://127.0.0.1:4318"),
            "Where batches go: the first that answers, in this order.",
        ),
        Key::new(
            "failover_after",
            duration(1, 24 * 3_600),
            Fallback::Value("30s"),
            "How long a collector may fail before the next one is tried.",
        ),
        Key::new(
            "request_timeout",
            duration(1, 3_600),
            Fallback::Value("30s"),
            "How long one request with a batch may take.",
        ),
        Key::new(
            "tenant",
            TENANT,
            Fallback::Absent,
            "Whose records these are; the token's tenant, or the collector's default, where it is not said.",
        ),
        Key::new(
            "token_file",
            Kind::Path,
            Fallback::Absent,
            "File with the token that the collector asks for; read again when it changes.",
        ),
        Key::new(
            "ca",
            Kind::Path,
            Fallback::Absent,
            "CAs to trust for https, PEM; those of the machine where it is not said.",
        ),
        Key::new(
            "cert",
            Kind::Path,
            Fallback::Absent,
            "Certificate to show to the collector, PEM.",
        ),
        Key::new("key", Kind::Path, Fallback::Absent, "Its key, PEM."),
        Key::new(
            "http",
            Kind::Address,
            Fallback::Value("127.0.0.1:3102"),
            "Where status, health and metrics are served; port 0 takes any free one.",
        ),
        Key::new(
            "host",
            Kind::Text,
            Fallback::Absent,
            "The host that records name which name none; that of the machine where it is not said.",
        ),
        Key::new(
            "batch_size",
            size(64 << 10, 8 << 20),
            Fallback::Value("4 MiB"),
            "A batch ends at this size before compression.",
        ),
        Key::new(
            "batch_records",
            Kind::Integer { min: 1, max: 1_000_000 },
            Fallback::Value("20000"),
            "... or with this many records.",
        ),
        Key::new(
            "batch_age",
            Kind::Duration { min: Duration::from_millis(10), max: HOUR },
            Fallback::Value("1s"),
            "... or when its first record is this old.",
        ),
        Key::new(
            "spool_max",
            size(32 << 20, 1 << 50),
            Fallback::Value("1 GiB"),
            "What the spool may take of the disk; what happens then is said for each source by `when_full`.",
        ),
        Key::new(
            "dead_letters_max",
            size(1 << 20, 1 << 50),
            Fallback::Value("256 MiB"),
            "What dead letters may take of the disk; beyond it shipping waits for a person.",
        ),
        Key::new(
            "heartbeat_interval",
            duration(1, 3_600),
            Fallback::Value("5s"),
            "How often the collector is told how the agent is.",
        ),
        Key::new(
            "drain",
            duration(0, 3_600),
            Fallback::Value("5s"),
            "How long to go on shipping when told to stop; what is left stays in the spool.",
        ),
        Key::new(
            "keep",
            QUERY,
            Fallback::Absent,
            "Records that do not match are dropped and counted.",
        ),
        Key::new(
            "drop",
            Kind::List(&QUERY),
            Fallback::Absent,
            "Records that match one of these are dropped and counted.",
        ),
        Key::new(
            "add",
            Kind::Map(&Kind::Text),
            Fallback::Absent,
            "Attributes for records that have none of that name.",
        ),
        Key::new(
            "redact.detectors",
            Kind::List(&Kind::Enum(DETECTORS)),
            Fallback::Absent,
            "Secrets to look for in messages and attributes.",
        ),
        Key::new(
            "redact.action",
            Kind::Enum(ACTIONS),
            Fallback::Value("mask"),
            "What becomes of what they find: a mark, a keyed hash (equal values stay equal), the field or the record dropped.",
        ),
        Key::new(
            "redact.key_file",
            Kind::Path,
            Fallback::Absent,
            "File with the key of hashes, 16 bytes or more; the same on all hosts whose values are to be joined.",
        ),
        Key::new(
            "sample.keep_ratio",
            Kind::Float { min: 0.0, max: 1.0 },
            Fallback::Absent,
            "Share of correlations to keep whole; the same ones on every host. Those with an error are kept in any case.",
        ),
        Key::new(
            "sample.window",
            duration(1, 600),
            Fallback::Value("10s"),
            "How long records of other correlations wait for an error of theirs before they are dropped.",
        ),
        Key::new(
            "sample.held_max",
            size(64 << 10, 1 << 30),
            Fallback::Value("8 MiB"),
            "Memory for those that wait; beyond it the oldest are dropped early.",
        ),
        Key::new(
            "redact.rules",
            Kind::Tables(REDACT_RULE),
            Fallback::Absent,
            "Patterns of your own to redact.",
        ),
        Key::new("sources", Kind::Tables(SOURCE), Fallback::Absent, "What is read."),
    ],
};

const REDACT_RULE: &[Key] = &[
    Key::new("name", Kind::Text, Fallback::Required, "Stands in the mark and in the counts."),
    Key::new(
        "pattern",
        REGEX,
        Fallback::Required,
        "What to find; only the group `secret`, if there is one.",
    ),
    Key::new(
        "fields",
        Kind::List(&Kind::Text),
        Fallback::Absent,
        "Where to look: `message`, attributes by name; the message and all attributes of text where it is not said.",
    ),
    Key::new("action", Kind::Enum(ACTIONS), Fallback::Value("mask"), "What becomes of it."),
];

const SOURCE: &[Key] = &[
    Key::new("kind", Kind::Enum(KINDS), Fallback::Required, "What it is."),
    Key::new(
        "name",
        Kind::Text,
        Fallback::Absent,
        "Its name in status and metrics; made of kind and place where it is not said.",
    ),
    // files
    Key::new(
        "include",
        Kind::List(&Kind::Text),
        Fallback::Absent,
        "file: paths to follow, with `*`, `?`, `[...]`, `{a,b}` and `**`.",
    ),
    Key::new("exclude", Kind::List(&Kind::Text), Fallback::Absent, "file: paths to leave out."),
    Key::new(
        "start_at",
        Kind::Enum(&["end", "beginning"]),
        Fallback::Value("end"),
        "file, journald: where to begin with what is there when the source starts for the first time; later files are read whole.",
    ),
    Key::new(
        "scan_interval",
        duration(1, 3_600),
        Fallback::Value("10s"),
        "file: how often the paths are looked for anew.",
    ),
    Key::new(
        "files_max",
        Kind::Integer { min: 1, max: 1_000_000 },
        Fallback::Value("200000"),
        "file: more files than this are left out, and that is said.",
    ),
    Key::new(
        "open_files_max",
        Kind::Integer { min: 1, max: 100_000 },
        Fallback::Value("1024"),
        "file: descriptors that are kept open.",
    ),
    Key::new(
        "container",
        Kind::Enum(&["docker", "cri", "auto"]),
        Fallback::Absent,
        "file: lines are wrapped by Docker or by a Kubernetes runtime; they are unwrapped first.",
    ),
    // exec
    Key::new(
        "command",
        Kind::List(&Kind::Text),
        Fallback::Absent,
        "exec: the program and its arguments; its standard output is read line by line.",
    ),
    Key::new(
        "restart_after",
        Kind::Duration { min: Duration::from_millis(10), max: HOUR },
        Fallback::Value("1s"),
        "exec, journald: how long to wait before a program that has ended is started again.",
    ),
    // journald
    Key::new("units", Kind::List(&UNIT), Fallback::Absent, "journald: only these units."),
    Key::new(
        "journal",
        Kind::Path,
        Fallback::Absent,
        "journald: a folder of journal files, or one of them, instead of the machine's own journal.",
    ),
    // otlp
    Key::new("http", Kind::Address, Fallback::Absent, "otlp: where to listen for OTLP over HTTP."),
    Key::new(
        "grpc",
        Kind::Address,
        Fallback::Absent,
        "otlp: where to listen for OTLP over gRPC as well.",
    ),
    Key::new(
        "body_max",
        size(1 << 10, 64 << 20),
        Fallback::Value("16 MiB"),
        "otlp: longest request body, as sent and unpacked.",
    ),
    // what lines say
    Key::new("format", FORMAT, Fallback::Value("auto"), "How lines are read."),
    Key::new(
        "pattern",
        REGEX,
        Fallback::Absent,
        "For the format regex: an expression with named groups.",
    ),
    Key::new("time_format", TIME_FORMAT, Fallback::Absent, "Layout of times in named fields."),
    Key::new(
        "timezone",
        TIMEZONE,
        Fallback::Absent,
        "Zone of times that have none; UTC where it is not said.",
    ),
    Key::new(
        "service",
        Kind::Text,
        Fallback::Absent,
        "The service that wrote it; wins over what a line says.",
    ),
    Key::new(
        "host",
        Kind::Text,
        Fallback::Absent,
        "The host that it was written on; wins over what a line says.",
    ),
    Key::new(
        "correlation",
        REGEX,
        Fallback::Absent,
        "Finds the correlation id in the message of a line that has none: group `correlation`, else the first, else the match.",
    ),
    Key::new(
        "multiline.preset",
        Kind::Enum(PRESETS),
        Fallback::Absent,
        "Lines of a stack trace are one record.",
    ),
    Key::new(
        "multiline.start",
        REGEX,
        Fallback::Absent,
        "A line that matches begins a record; others continue it.",
    ),
    Key::new(
        "multiline.continues",
        REGEX,
        Fallback::Absent,
        "A line that matches continues the record before it.",
    ),
    Key::new(
        "multiline.indented",
        Kind::Bool,
        Fallback::Value("false"),
        "A line that begins with white space continues the record before it.",
    ),
    Key::new(
        "multiline.timeout",
        Kind::Duration { min: Duration::from_millis(10), max: HOUR },
        Fallback::Value("1s"),
        "How long a record waits for more lines.",
    ),
    Key::new(
        "multiline.lines_max",
        Kind::Integer { min: 2, max: 100_000 },
        Fallback::Value("1000"),
        "Longest record in lines; what follows is the next one.",
    ),
    Key::new(
        "multiline.size_max",
        size(1 << 10, 1 << 20),
        Fallback::Value("1 MiB"),
        "Longest record in bytes.",
    ),
    // what becomes of records
    Key::new("keep", QUERY, Fallback::Absent, "Records that do not match are dropped and counted."),
    Key::new(
        "drop",
        Kind::List(&QUERY),
        Fallback::Absent,
        "Records that match one of these are dropped and counted.",
    ),
    Key::new(
        "add",
        Kind::Map(&Kind::Text),
        Fallback::Absent,
        "Attributes for records that have none of that name.",
    ),
    Key::new(
        "rate.records_per_second",
        Kind::Float { min: 0.001, max: 1e9 },
        Fallback::Absent,
        "Records a second, on average.",
    ),
    Key::new(
        "rate.bytes_per_second",
        size(1, 1 << 40),
        Fallback::Absent,
        "Bytes of text a second, on average.",
    ),
    Key::new(
        "rate.when_over",
        Kind::Enum(&["drop", "wait"]),
        Fallback::Value("drop"),
        "What is over the rate is dropped and counted, or the source waits.",
    ),
    Key::new(
        "when_full",
        Kind::Enum(&["wait", "drop"]),
        Fallback::Value("wait"),
        "While the spool takes nothing, the source waits, or its records are dropped and counted.",
    ),
];

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
