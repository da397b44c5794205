//! What is sent to make a data folder that is kept, and what has to be there when it is opened again.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use serde_json::{Value, json};

use crate::records::{DAYS, ENCODINGS, FORMATS, Format, Record, encode};
use crate::server::{Answer, Home, Server, eventually};

pub(crate) const TENANTS: [&str; 2] = ["default", "shop"];
/// Cuts of a day until its segments are merged, and one more.
const ROUNDS: u64 = 5;
/// The first day gets records in every round, the others in the first ones only, so that they are not merged.
const ROUNDS_OF_OTHER_DAYS: u64 = 2;
/// Records of a batch for one day; segments of like size are merged.
const RECORDS: u64 = 3;
/// More than are kept in detail.
const EPOCHS: u64 = 66;
/// Of those of one agent.
const EPOCHS_KEPT: u64 = 64;
/// Journal and memory keep what they have: nothing is flushed but when it is said.
const CONFIG: &str = "[collector]\nflush_age = \"1d\"\n";

/// A batch, and how it travels.
#[derive(Clone, Debug)]
struct Batch {
    tenant: &'static str,
    /// Agent, epoch, number.
    name: Option<(String, String, u64)>,
    format: Format,
    encoding: &'static str,
    numbers: Range<u64>,
    days: u64,
}

impl Batch {
    fn records(&self) -> Vec<Record> {
        let record = |number| Record { number, day: number % self.days };
        self.numbers.clone().map(record).collect()
    }

    fn send(&self, server: &Server) -> Answer {
        let mut headers = vec![
            ("x-scope-orgid", self.tenant.to_owned()),
            ("content-type", self.format.content_type().to_owned()),
        ];
        if self.encoding != "identity" {
            headers.push(("content-encoding", self.encoding.to_owned()));
        }
        if let Some((agent, epoch, number)) = &self.name {
            headers.push(("logq-agent", agent.clone()));
            headers.push(("logq-epoch", epoch.clone()));
            headers.push(("logq-sequence", number.to_string()));
        }
        let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let mut body = self.format.body(&self.records());
        if self.name.is_none() {
            // Only a batch without a name is taken when a line of it cannot be read.
            body.extend(b"{\"level\":\n");
        }
        let body = encode(self.encoding, &body);
        server.ingest(self.format.path(), &headers, body)
    }
}

/// How a folder came to be as it is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Left {
    /// Its process was killed, with records in the journal.
    ByAKill,
    /// It was made of a backup, so that everything is in segments.
    ByABackup,
}

/// Everything that is sent, in its order.
#[derive(Debug)]
pub(crate) struct Folder {
    /// Each list is flushed before the next one comes.
    flushed: Vec<Vec<Batch>>,
    /// These are in the journal alone.
    journal: Vec<Batch>,
}

impl Folder {
    pub(crate) fn new() -> Self {
        let mut next = 0;
        let mut batch = |tenant, name, days, format, encoding, records| {
            let numbers = next..next + records;
            next = numbers.end;
            Batch { tenant, name, format, encoding, numbers, days }
        };
        let name =
            |agent: &str, epoch: &str, number| Some((agent.to_owned(), epoch.to_owned(), number));
        let mut flushed = Vec::new();
        for round in 0..ROUNDS {
            let days = if round < ROUNDS_OF_OTHER_DAYS { DAYS } else { 1 };
            let batches = TENANTS.map(|tenant| {
                batch(
                    tenant,
                    name("steady", "e1", round),
                    days,
                    Format::JsonLines,
                    "identity",
                    days * RECORDS,
                )
            });
            flushed.push(batches.to_vec());
        }
        // In the last cut that is flushed, so that what becomes of them is in the catalog.
        for epoch in 0..EPOCHS {
            let name = name("restless", &format!("e{epoch}"), 0);
            flushed[ROUNDS as usize - 1].push(batch(
                "default",
                name,
                1,
                Format::JsonLines,
                "zstd",
                1,
            ));
        }
        let mut journal =
            vec![batch("shop", None, DAYS, Format::JsonLines, "identity", DAYS * RECORDS)];
        for (number, format) in FORMATS.into_iter().enumerate() {
            for (place, encoding) in ENCODINGS.into_iter().enumerate() {
                let name = name("hasty", "e1", (number * ENCODINGS.len() + place) as u64);
                journal.push(batch("default", name, DAYS, format, encoding, DAYS * RECORDS));
            }
        }
        Self { flushed, journal }
    }

    fn batches(&self) -> impl Iterator<Item = &Batch> {
        self.flushed.iter().flatten().chain(&self.journal)
    }

    /// Makes it in the data folder of a home, and kills the server that did.
    pub(crate) fn make(&self, home: &Home) {
        home.write("logq.toml", CONFIG);
        let server = home.start();
        for (round, batches) in self.flushed.iter().enumerate() {
            for batch in batches {
                assert_eq!(batch.send(&server).status, 200, "{batch:?}");
            }
            assert_eq!(batches[0].send(&server).header("logq-duplicate"), Some("1"));
            assert_eq!(server.flush().status, 200);
            let segments = self.segments_after(round as u64 + 1);
            eventually("merges are done", || (indexed_segments(&server) == segments).then_some(()));
        }
        for batch in &self.journal {
            assert_eq!(batch.send(&server).status, 200, "{batch:?}");
        }
        server.kill();
    }

    /// One a day, tenant and round, but for the four of the first day that were merged.
    fn segments_after(&self, rounds: u64) -> u64 {
        let others = rounds.min(ROUNDS_OF_OTHER_DAYS) * (DAYS - 1);
        let first = if rounds < 4 { rounds } else { rounds - 3 };
        (first + others) * TENANTS.len() as u64
    }

    /// Opens it with the binary of today: everything is as it was left, and what was known is known; and it goes on.
    pub(crate) fn check(&self, home: &Home, left: Left) {
        home.write("logq.toml", CONFIG);
        let server = home.start();
        self.check_records(&server, "as it was left");
        let ledger = server.ledger();
        let records = |batches: &mut dyn Iterator<Item = &Batch>| -> u64 {
            batches.map(|batch| batch.numbers.end - batch.numbers.start).sum()
        };
        let mut in_parts = records(&mut self.journal.iter());
        let mut indexed = records(&mut self.flushed.iter().flatten());
        let mut segments = self.segments_after(ROUNDS);
        if left == Left::ByABackup {
            indexed += std::mem::take(&mut in_parts);
            segments += DAYS * TENANTS.len() as u64;
        }
        let duplicate = records(&mut self.flushed.iter().map(|batches| &batches[0]));
        let expected = json!({
            "accepted": in_parts + indexed, "in_parts": in_parts, "indexed": indexed, "expired": 0, "quarantined": 0,
            "duplicate": duplicate, "rejected": {"malformed": 1}, "lost_batches": 0,
            "timestamps_replaced": 0, "received": in_parts + indexed + duplicate + 1,
            // The steady one of each tenant, the hasty one, and the epochs of the restless one that are kept.
            "senders": TENANTS.len() as u64 + 1 + EPOCHS_KEPT, "senders_forgotten": EPOCHS - EPOCHS_KEPT,
        });
        for (count, expected) in expected.as_object().unwrap() {
            assert_eq!(ledger[count], *expected, "{count} of {ledger}");
        }
        assert_eq!(indexed_segments(&server), segments);
        self.check_duplicates(&server);

        // It is written to as well: what was in the journal becomes segments, and they are merged with the old ones.
        assert_eq!(server.jsonl("{\"msg\":\"new\",\"new\":1}\n").accepted(), 1);
        assert_eq!(server.flush().status, 200);
        self.check_records(&server, "flushed");
        server.stop();
        let server = home.start();
        self.check_records(&server, "after another start");
        let ledger = server.ledger();
        assert_eq!(
            (&ledger["accepted"], &ledger["in_parts"]),
            (&json!(in_parts + indexed + 1), &json!(0))
        );
        server.stop();
    }

    fn check_records(&self, server: &Server, when: &str) {
        for tenant in TENANTS {
            let mut expected: BTreeMap<u64, Value> = BTreeMap::new();
            for batch in self.batches().filter(|batch| batch.tenant == tenant) {
                expected
                    .extend(batch.records().iter().map(|record| (record.number, record.shown())));
            }
            let mut places = BTreeSet::new();
            for mut record in search(server, tenant, "-new:*") {
                let place = record.as_object_mut().unwrap().remove("record_seq");
                assert!(
                    places.insert(place.and_then(|place| place.as_u64())),
                    "{when}: a place twice, {record}"
                );
                let number =
                    record["attributes"]["number"].as_u64().unwrap_or_else(|| panic!("{record}"));
                let expected = expected
                    .remove(&number)
                    .unwrap_or_else(|| panic!("{when}: not of {tenant}: {record}"));
                assert_eq!(record, expected, "{when}");
            }
            assert!(expected.is_empty(), "{when}, {tenant}: {:?} are missing", expected.keys());
        }
    }

    fn check_duplicates(&self, server: &Server) {
        for batch in self.batches() {
            let Some((agent, epoch, _)) = &batch.name else { continue };
            let answer = batch.send(server);
            // The first epochs of the restless one went when there were too many.
            let retired = (0..EPOCHS - EPOCHS_KEPT).any(|first| *epoch == format!("e{first}"));
            match agent == "restless" && retired {
                true => assert_eq!(answer.status, 409, "{batch:?}: {}", answer.text()),
                false => assert_eq!(
                    (answer.status, answer.header("logq-duplicate")),
                    (200, Some("1")),
                    "{batch:?}"
                ),
            }
        }
    }
}

fn search(server: &Server, tenant: &str, query: &str) -> Vec<Value> {
    let output = server.logq(&[
        "search",
        "--tenant",
        tenant,
        "--since",
        "400y",
        "--until",
        "2262-01-01",
        "-n",
        "100000",
        "-o",
        "json",
        "--",
        query,
    ]);
    assert_eq!(output.code, 0, "{output:?}");
    output.json_lines()
}

fn indexed_segments(server: &Server) -> u64 {
    let metrics = server.http().get(&format!("{}/metrics", server.ingest)).text();
    let value = metrics.lines().find_map(|line| line.strip_prefix("logq_store_segments "));
    value.unwrap_or_else(|| panic!("{metrics}")).parse().unwrap()
}
