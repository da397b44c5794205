//! Real logs of eight systems, read by preset and by `auto`, against a script that shares no code with the parsers.
//!
//! The corpus stands beside the repository (`../shared/corpus`, or `LOGQ_CORPUS`). A user's own run may be without
//! it, or without Python, and says so; in CI (`CI=true`) that is a failure.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod read;

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use agent::format::{Format, detect};
use agent::time_format::TimeOptions;
use read::Reading;
use record::{Record, Timestamp};
use serde_json::Value;

/// The corpus; `None`, loudly, where it cannot be used.
fn corpus() -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/corpus");
    let corpus = std::env::var_os("LOGQ_CORPUS").map_or(beside, PathBuf::from);
    let python = Command::new("python3").arg("--version").output();
    if corpus.is_dir() && python.is_ok_and(|python| python.status.success()) {
        return Some(corpus);
    }
    let missing = format!("the corpus at {} or python3 is missing", corpus.display());
    // Around the test runner, which shows nothing of a test that passes.
    let _ = writeln!(std::io::stderr(), "SKIPPED: {missing}");
    assert!(std::env::var("CI").as_deref() != Ok("true"), "{missing}, and CI may skip nothing");
    None
}

/// What the script counts, by log.
fn counts(corpus: &Path) -> BTreeMap<String, Value> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/corpus_counts.py");
    let output = Command::new("python3").arg(script).arg(corpus).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn records(log: &[u8], format: Format, year: Option<i16>) -> Vec<Record> {
    let times = TimeOptions { year, ..TimeOptions::default() };
    let records = Reading { format, times, ..Reading::default() }.read(log);
    let bad: Vec<_> =
        records.iter().filter(|(_, done)| done.unparsed || done.timestamp_replaced).collect();
    assert!(bad.is_empty(), "{format}: {:?}", bad.first());
    records.into_iter().map(|(record, _)| record).collect()
}

#[test]
fn every_log_is_counted_as_the_script_counts_it() {
    let Some(corpus) = corpus() else { return };
    let counts = counts(&corpus);
    assert_eq!(counts.len(), 8);
    for (path, expected) in counts {
        let log = std::fs::read(corpus.join(&path)).unwrap();
        let preset: Format = expected["preset"].as_str().unwrap().parse().unwrap();
        assert_eq!(detect(&log), preset, "{path}");
        let year = expected["year"].as_i64().map(|year| i16::try_from(year).unwrap());
        for format in [preset, Format::Auto] {
            let records = records(&log, format, year);
            assert_eq!(records.len() as u64, expected["lines"], "{path} as {format}");
            let mut severities = BTreeMap::<&str, u64>::new();
            for record in &records {
                *severities.entry(record.severity.name()).or_default() += 1;
            }
            assert_eq!(serde_json::to_value(severities).unwrap(), expected["severities"], "{path}");
            let times = || records.iter().map(|record| record.timestamp);
            let read = |name: &str| Timestamp::parse_rfc3339(expected[name].as_str().unwrap());
            assert_eq!(times().min(), read("first"), "{path} as {format}");
            assert_eq!(times().max(), read("last"), "{path} as {format}");
        }
    }
}

#[test]
fn interactions_of_openstack_and_hdfs_are_found_by_their_ids() {
    let Some(corpus) = corpus() else { return };
    let log = std::fs::read(corpus.join("OpenStack/OpenStack_2k.log")).unwrap();
    let records_of_openstack = records(&log, Format::Openstack, None);
    let of = |id: &str| {
        records_of_openstack
            .iter()
            .filter(|record| record.correlation_id.as_deref() == Some(id))
            .count()
    };
    assert_eq!(of("req-addc1839-2ed5-4778-b57e-5854eb7b8b09"), 398);
    assert_eq!(of("req-3ea4052c-895d-4b64-9e2d-04d64c4d94ab"), 130);
    let log = std::fs::read(corpus.join("HDFS/HDFS_2k.log")).unwrap();
    let records_of_hdfs = records(&log, Format::Hdfs, None);
    let named = records_of_hdfs.iter().filter(|record| record.correlation_id.is_some()).count();
    let with_block =
        log.split(|byte| *byte == b'\n').filter(|line| line.windows(4).any(|part| part == b"blk_"));
    assert_eq!(named, with_block.count());
}

#[test]
fn messages_are_the_text_behind_the_header() {
    let Some(corpus) = corpus() else { return };
    let counts = counts(&corpus);
    for (path, expected) in counts {
        let log = std::fs::read(corpus.join(&path)).unwrap();
        let preset: Format = expected["preset"].as_str().unwrap().parse().unwrap();
        let lines = log.split(|byte| *byte == b'\n');
        for (record, line) in records(&log, preset, Some(2005)).iter().zip(lines) {
            let line = String::from_utf8_lossy(line);
            let line = line.trim_end_matches('\r');
            assert!(
                line.ends_with(&record.message) && !record.message.is_empty(),
                "{path}: {line}"
            );
        }
    }
}
