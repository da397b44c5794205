//! Bodies and headers of requests, and what is to be there after them.

use std::collections::BTreeSet;
use std::io::Write;
use std::ops::Range;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};

use super::{Answer, Server};

pub(crate) const PROTOBUF: (&str, &str) = ("content-type", "application/x-protobuf");

pub(crate) const JSON: (&str, &str) = ("content-type", "application/json");

pub(crate) const GZIP: (&str, &str) = ("content-encoding", "gzip");

pub(crate) fn gzip(body: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(body).unwrap();
    encoder.finish().unwrap()
}

/// JSON lines with ids of their own.
pub(crate) fn lines(ids: Range<u64>) -> String {
    ids.map(|id| format!("{{\"message\":\"record {id}\",\"id\":{id}}}\n")).collect()
}

/// The ids of all records, each of which has to be there once.
pub(crate) fn ids(server: &Server) -> BTreeSet<u64> {
    let mut ids = BTreeSet::new();
    for record in server.search("*") {
        let id = record["attributes"]["id"].as_u64().unwrap_or_else(|| panic!("{record}"));
        assert!(ids.insert(id), "record {id} is there twice");
    }
    ids
}

/// Nothing was stored: neither does the ledger know of a record nor is one found.
pub(crate) fn assert_nothing_is_stored(server: &Server) {
    let ledger = server.ledger();
    assert_eq!((&ledger["accepted"], &ledger["senders"]), (&json!(0), &json!(0)), "{ledger}");
    assert_eq!(server.search("*"), Vec::<Value>::new());
}

/// The bodies of a request in OTLP JSON, one record each.
pub(crate) fn otlp(message: &str) -> Vec<u8> {
    json!({"resourceLogs": [{"scopeLogs": [{"logRecords": [{"body": {"stringValue": message}}]}]}]})
        .to_string()
        .into_bytes()
}

pub(crate) fn named(epoch: &str, sequence: u64) -> Vec<(&'static str, String)> {
    vec![
        ("content-type", "application/json".to_owned()),
        ("logq-agent", "agent-1".to_owned()),
        ("logq-epoch", epoch.to_owned()),
        ("logq-sequence", sequence.to_string()),
    ]
}

pub(crate) fn send_named(server: &Server, epoch: &str, sequence: u64, message: &str) -> Answer {
    let headers = named(epoch, sequence);
    let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
    server.ingest("/v1/logs", &headers, otlp(message))
}
