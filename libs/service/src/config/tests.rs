//! The configuration as a whole, on the tables of a made-up role.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use proptest::prelude::*;

use super::*;

pub(super) const TABLES: &[Table] = &[
    Table {
        name: "collector",
        doc: "Takes records in.",
        keys: &[
            Key {
                path: "http",
                kind: Kind::Address,
                fallback: Fallback::Value("127.0.0.1:4318"),
                doc: "Where to listen.",
            },
            Key {
                path: "data",
                kind: Kind::Path,
                fallback: Fallback::Absent,
                doc: "The data folder.\nMade if absent.",
            },
            Key {
                path: "flush.size",
                kind: Kind::ByteSize { min: ByteSize(1024), max: ByteSize::mebibytes(1024) },
                fallback: Fallback::Value("128 MiB"),
                doc: "Flush at this size.",
            },
            Key {
                path: "flush.interval",
                kind: Kind::Duration {
                    min: Duration::from_millis(10),
                    max: Duration::from_secs(3_600),
                },
                fallback: Fallback::Value("30s"),
                doc: "Flush at this age.",
            },
            Key {
                path: "workers",
                kind: Kind::Integer { min: 1, max: 64 },
                fallback: Fallback::Value("2"),
                doc: "Threads.",
            },
            Key {
                path: "sync",
                kind: Kind::Bool,
                fallback: Fallback::Value("true"),
                doc: "Whether to fsync.",
            },
            Key {
                path: "ratio",
                kind: Kind::Float { min: 0.0, max: 1.0 },
                fallback: Fallback::Value("0.5"),
                doc: "A ratio.",
            },
            Key {
                path: "mode",
                kind: Kind::Enum(&["fast", "safe"]),
                fallback: Fallback::Value("safe"),
                doc: "How.",
            },
            Key {
                path: "labels",
                kind: Kind::Map(&Kind::Text),
                fallback: Fallback::Absent,
                doc: "Labels.",
            },
        ],
    },
    Table {
        name: "agent",
        doc: "Ships records.",
        keys: &[
            Key {
                path: "collector",
                kind: Kind::List(&Kind::Text),
                fallback: Fallback::Value("http://127.0.0.1:4318"),
                doc: "Where to ship to.",
            },
            Key {
                path: "sources",
                kind: Kind::Tables(&[
                    Key {
                        path: "kind",
                        kind: Kind::Enum(&["file", "stdin"]),
                        fallback: Fallback::Required,
                        doc: "What.",
                    },
                    Key {
                        path: "include",
                        kind: Kind::List(&Kind::Path),
                        fallback: Fallback::Absent,
                        doc: "Files.",
                    },
                ]),
                fallback: Fallback::Absent,
                doc: "Where to read from.",
            },
        ],
    },
];

fn load_with(text: &str, environment: &[(&str, &str)]) -> Result<Config, Faults> {
    let environment =
        environment.iter().map(|(name, value)| (String::from(*name), String::from(*value)));
    load(Some(("logq.toml", text)), environment, TABLES, &["alerting"])
}

fn faults(text: &str, environment: &[(&str, &str)]) -> Vec<String> {
    let faults = load_with(text, environment).unwrap_err();
    assert_eq!(faults.to_string().lines().count(), faults.all().len());
    faults.to_string().lines().map(str::to_owned).collect()
}

#[test]
fn a_notation_of_a_roles_own_is_checked_and_named_at_its_place() {
    const RULES: &[Table] = &[Table {
        name: "rules",
        doc: "Rules.",
        keys: &[Key {
            path: "even",
            kind: Kind::Notation {
                what: "an even number as text",
                example: "42",
                check: |text| match text.parse::<u32>() {
                    Ok(number) if number % 2 == 0 => Ok(()),
                    _ => Err(format!("`{text}` is not even")),
                },
            },
            fallback: Fallback::Absent,
            doc: "A number.",
        }],
    }];
    let load = |text| load(Some(("a.toml", text)), [], RULES, &[]);
    let config = load("[rules]\neven = \"4\"\n").unwrap();
    assert_eq!(config.table("rules").get::<String>("even"), "4");
    let faults = load("[rules]\neven = \"5\"\n").unwrap_err();
    assert_eq!(faults.to_string(), "a.toml:2:8: rules.even: `5` is not even");
    let own = config.table("rules").fault("even", "is too small", None);
    assert_eq!(own.to_string(), "a.toml:2:8: rules.even: is too small");
    assert!(reference(RULES).contains("#even = \"42\""));
}

#[test]
fn without_anything_the_defaults_hold() {
    let config = load(None, [], TABLES, &[]).unwrap();
    let collector = config.table("collector");
    assert_eq!(collector.get::<String>("http"), "127.0.0.1:4318");
    assert_eq!(collector.get::<Option<PathBuf>>("data"), None);
    assert_eq!(collector.get::<ByteSize>("flush.size"), ByteSize::mebibytes(128));
    assert_eq!(collector.get::<Duration>("flush.interval"), Duration::from_secs(30));
    assert_eq!((collector.get::<usize>("workers"), collector.get::<u16>("workers")), (2, 2));
    assert!(collector.get::<bool>("sync") && !collector.is_set("sync"));
    assert_eq!(collector.get::<String>("mode"), "safe");
    assert_eq!(collector.get::<BTreeMap<String, String>>("labels"), BTreeMap::new());
    assert_eq!(config.table("agent").get::<Vec<String>>("collector"), ["http://127.0.0.1:4318"]);
    assert!(config.table("agent").tables("sources").is_empty());
}

#[test]
fn the_file_sets_and_the_environment_overrides() {
    let text = r#"
        [collector]
        http = "[::1]:0"
        flush = { size = 4096, interval = "1h" }
        ratio = 1
        labels = { team = "shop" }
        [[agent.sources]]
        kind = "file"
        include = "/var/log/a.log"
        [[agent.sources]]
        kind = "stdin"
        [alerting]
        anything = { goes = [1979-05-27] }
    "#;
    let environment = [
        ("LOGQ__COLLECTOR__HTTP", "localhost:80"),
        ("LOGQ__COLLECTOR__FLUSH__SIZE", "64KB"),
        ("LOGQ__COLLECTOR__WORKERS", "7"),
        ("LOGQ__COLLECTOR__SYNC", "false"),
        ("LOGQ__COLLECTOR__DATA", "5"),
        ("LOGQ__AGENT__COLLECTOR", r#"["http://a", "http://b"]"#),
        ("LOGQ__ALERTING__X", "1"),
        ("LOGQ_LOG", "debug"),
        ("HOME", "/root"),
    ];
    let config = load_with(text, &environment).unwrap();
    let collector = config.table("collector");
    assert_eq!(collector.get::<String>("http"), "localhost:80");
    assert_eq!(collector.get::<u64>("flush.size"), 64_000);
    assert_eq!(collector.get::<Duration>("flush.interval"), Duration::from_secs(3_600));
    assert_eq!(collector.get::<i64>("workers"), 7);
    assert!(!collector.get::<bool>("sync") && collector.is_set("sync"));
    assert_eq!(collector.get::<f64>("ratio"), 1.0);
    assert_eq!(collector.get::<Option<PathBuf>>("data"), Some("5".into()));
    assert_eq!(collector.get::<BTreeMap<String, String>>("labels")["team"], "shop");
    let agent = config.table("agent");
    assert_eq!(agent.get::<Vec<String>>("collector"), ["http://a", "http://b"]);
    let sources = agent.tables("sources");
    assert_eq!(sources[0].get::<Vec<PathBuf>>("include"), [PathBuf::from("/var/log/a.log")]);
    assert_eq!(sources[1].get::<String>("kind"), "stdin");
}

#[test]
fn all_faults_are_reported_together_with_their_places() {
    let text = r#"[collector]
htpt = "x"
http = "nowhere"
workers = 65
sync = "yes"
mode = "saef"
size = "1 MiB"
flush = { size = "12", interval = 30, intervall = "1s" }
[agent]
collector = ["http://a", 5]
[[agent.sources]]
include = [""]
[colector]
"#;
    assert_eq!(
        faults(
            text,
            &[
                ("LOGQ__COLLECTOR__WORKERSS", "1"),
                ("LOGQ__COLLECTOR__RATIO", "2"),
                ("LOGQ__X", "1")
            ]
        ),
        [
            "logq.toml:2:1: collector.htpt: unknown key; did you mean `http`?",
            "logq.toml:3:8: collector.http: takes an address, \"HOST:PORT\", not the text \"nowhere\"",
            "logq.toml:4:11: collector.workers: takes a whole number, 1 to 64, not the number 65",
            "logq.toml:5:8: collector.sync: takes true or false, not the text \"yes\"",
            "logq.toml:6:8: collector.mode: takes \"fast\" or \"safe\", not the text \"saef\"; did you mean \"safe\"?",
            "logq.toml:7:1: collector.size: unknown key; did you mean `flush.size`?",
            "logq.toml:8:18: collector.flush.size: 12 B is out of bounds, 1 KiB to 1 GiB",
            "logq.toml:8:35: collector.flush.interval: `30` has no unit; write it like \"30s\"",
            "logq.toml:8:39: collector.flush.intervall: unknown key; did you mean `interval`?",
            "logq.toml:10:26: agent.collector[1]: takes a text that is not empty, not the number 5",
            "logq.toml:11:1: agent.sources[0].kind: is missing; it takes \"file\" or \"stdin\"",
            "logq.toml:12:12: agent.sources[0].include[0]: takes a path, not the text \"\"",
            "logq.toml:13:2: colector: unknown table; did you mean `collector`?",
            "environment LOGQ__COLLECTOR__RATIO: collector.ratio: takes a number, 0 to 1, not the number 2",
            "environment LOGQ__COLLECTOR__WORKERSS: collector.workerss: unknown key; did you mean `workers`?",
            "environment LOGQ__X: x: names no key of a table; write it like LOGQ__COLLECTOR__HTTP",
        ]
    );
}

#[test]
fn every_syntax_error_is_reported_and_nothing_else() {
    let found = faults("[collector]\nhttp = \nöä = 1\nunknown = 2\nmode = 'x\n", &[]);
    assert!(found.len() >= 2, "{found:#?}");
    assert!(found[0].starts_with("logq.toml:2:"), "{found:#?}");
    assert!(found.iter().all(|fault| fault.contains("not valid TOML")), "{found:#?}");
}

#[test]
fn tables_where_values_belong_and_the_reverse_are_faults() {
    assert_eq!(
        faults("collector = 5\n", &[]),
        [
            "logq.toml:1:13: collector: must be a table, not the number 5; write [collector] and its keys below"
        ]
    );
    assert_eq!(
        faults("[collector]\nflush = 1\n[collector.http]\nx = 1\n[agent]\nsources = [1]", &[]),
        [
            "logq.toml:2:9: collector.flush: must be a table, not the number 1",
            "logq.toml:3:1: collector.http: takes an address, \"HOST:PORT\", not a table",
            "logq.toml:6:12: agent.sources[0]: must be a table, not the number 1",
        ]
    );
}

#[test]
fn the_reference_can_be_used_as_it_is_and_says_the_defaults() {
    let text = reference(TABLES);
    assert_eq!(load_with(&text, &[]).unwrap(), load(None, [], TABLES, &[]).unwrap());
    for lines in [
        "# Takes records in.\n[collector]\n# Where to listen.\n# An address, \"HOST:PORT\".\n#http = \"127.0.0.1:4318\"\n",
        "# The data folder.\n# Made if absent.\n# A path. No default.\n#data = \"/path\"\n",
        "# A size like \"128 MiB\", 1 KiB to 1 GiB.\n#flush.size = \"128 MiB\"\n",
        "#collector = \"http://127.0.0.1:4318\"\n",
        "#[[agent.sources]]\n# What.\n# \"file\" or \"stdin\". Required.\n#kind = \"file\"\n",
    ] {
        assert!(text.contains(lines), "{lines}\n{text}");
    }
    // With the comment signs of values taken away, it is a valid file, too.
    let set: String = text
        .lines()
        .map(|line| match line.strip_prefix('#') {
            Some(value) if !value.starts_with(' ') => format!("{value}\n"),
            _ => format!("{line}\n"),
        })
        .collect();
    let config = load_with(&set, &[]).unwrap();
    assert!(config.table("collector").is_set("flush.size"));
    assert_eq!(config.table("agent").tables("sources").len(), 1);
}

proptest! {
    #[test]
    fn no_text_panics(text in "\\PC{0,80}", value in "\\PC{0,20}") {
        let _ = load_with(&text, &[("LOGQ__COLLECTOR__HTTP", &value), ("LOGQ__COLLECTOR__LABELS", &value)]);
    }

    #[test]
    fn no_toml_like_text_panics(text in "(\\[{0,2}(collector|agent)?(\\.sources)?\\]{0,2}|http ?= ?[\"0-9a-z{}]{0,6}|\n|[é'\"{}=., #]){0,20}") {
        let _ = load_with(&text, &[]);
    }
}

/// To find the place of each error took as long as to read the file: 25 KB of quotes took seconds.
#[test]
fn of_many_syntax_errors_the_first_are_told_with_their_places() {
    let all = faults(&"\"\"\"\n=\n".repeat(10_000), &[]);
    assert!(all.len() <= 101, "{}", all.len());
    assert!(all[0].starts_with("logq.toml:"), "{}", all[0]);
    assert_eq!(all.len(), 101);
    assert!(all[100].ends_with("more errors follow"), "{}", all[100]);
}

/// A name may hold an end of line, in quotes or in the environment, which looked like one more fault.
#[test]
fn a_fault_is_one_line_whatever_the_names() {
    let all = faults("\"a\\nb: forged\" = 1\n", &[("LOGQ__AGENT__X\r\nY", "1")]);
    assert_eq!(all.len(), 2);
    assert!(all[0].contains("a\\nb: forged: unknown"), "{}", all[0]);
}
