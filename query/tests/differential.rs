//! One meaning, two evaluators: every golden query answers the same from parts, from segments, from merged
//! segments and after a restart as the naive evaluator does over the JSON.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, mpsc};

use query::{Flow, Queries, QueryLimits, Request};
use record::{Record, Timestamp};
use serde_json::Value;
use store::{Append, BatchBuilder, DeleteRequest, Store, StoreOptions};
use wire::{Encoding, Format, Limits};

const RECORDS: usize = 3_000;
const BATCH: usize = 250;
const FIRST_TIME: i64 = 1_700_000_000_000_000_000;

/// Every filter form, with mixed types, missing fields, Unicode, phrases and many names.
const FILTERS: &str = r#"
*
correlation:c-17
correlation_id:c-17 OR correlation_id:c-18
correlation:none
c-17
correlation:c-1*
correlation:/^c-1[0-9]$/
4bf92f3577b34da6a3ce929d0e0e0011
trace:4bf92f3577b34da6a3ce929d0e0e0011
trace:4BF92F3577B34DA6A3CE929D0E0E0011
trace:*
-trace:*
span:00f067aa0ba90007
level:error
level:>=warn
level:>warn
level:<info
level:[debug TO warn]
-level:error
level:*
-level:*
severity_text:NOTICE
severity_text:~notice
service:orders
service:(orders OR payments)
service:(orders payments)
service:ord*
service:/^o/
-service:orders
service:*
-service:*
service:nobody
host:web-1 service:orders
host:~WEB-1
payment
Payment
PAYMENT declined
"card declined"
"declined card"
"the card was declined"
card -declined
declined OR refused
(declined OR refused) level:error
-(declined OR refused)
NOT payment NOT card
pay*
*ment
p?yment
größe
GRÖSSE
Größe
"größe der tür"
日本
東京都
msg:/declined \d+/
msg:/(?i)CARD/
msg:*
-msg:*
msg:"card declined"
msg:=payment
nova-compute
user@example
n:5
n:>2990
n:>=2990
n:<10
n:<=10
n:[100 TO 110]
n:{100 TO 110}
n:[2990 TO *]
n:1*
mixed:5
mixed:"5"
mixed:true
mixed:false
mixed:text5
mixed:*
-mixed:*
mixed:>5
mixed:<5
mixed:1.5
mixed:/^t/
mixed:~TEXT5
rare:*
-rare:*
rare:yes level:error
duration_ms:>200ms
duration_ms:>0.2s
duration_ms:<=1
duration_ms:[100 TO 200]
size:>1MiB
size:<=10kB
http.status:500
http.status:>=500
http.status:[500 TO 599] service:payments
http.status:5*
url.path:/api/*
url.path:/api/v1/orders
url.path:*orders
-url.path:/api/*
client.ip:10.0.0.0/8
client.ip:10.1.2.3
-client.ip:10.0.0.0/8
user:/^u-[0-9]+$/
user:u-42
user:u-4?
user:"u 42"
name17:17
name2999:*
name17:* OR name18:*
odd\ name:x
"odd name":x
"odd name":*
any:u-42
any:orders
any:payment
any:500
any:nowhere
any:/^v17$/
big:9007199254740993
big:>9007199254740992
big:<9007199254740993
time:>=2023-11-14T22:20:00Z
time:<2023-11-14T22:20:00Z
time:[2023-11-14T22:20:00Z TO 2023-11-14T22:25:00Z}
event:order.created
source.path:*
service:orders payment -level:error n:<1500
(service:orders level:error) OR (service:payments level:warn) OR c-3
-(service:orders OR service:payments OR service:users)
payment card declined
level:error OR n:<3 OR rare:yes
NOT (NOT payment)
"#;

/// A small generator; its sequence is the same for ever.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }

    fn one_of<'a>(&mut self, choices: &[&'a str]) -> &'a str {
        choices[self.below(choices.len() as u64) as usize]
    }
}

fn lines() -> Vec<String> {
    let mut random = Random(7);
    (0..RECORDS).map(|n| line(n, &mut random)).collect()
}

fn line(n: usize, random: &mut Random) -> String {
    let mut object = serde_json::Map::new();
    // Nearly in order, with equal times among them, over two days.
    let time =
        FIRST_TIME + (n as i64 / 3) * 10_000_000_000 - random.below(20) as i64 * 1_000_000_000;
    object.insert("time".into(), Timestamp(time).to_string().into());
    let mut put = |name: &str, value: Value| {
        object.insert(name.into(), value);
    };
    put("n", n.into());
    if random.below(10) > 0 {
        put(
            "level",
            random
                .one_of(&[
                    "trace", "debug", "info", "info", "info", "WARN", "error", "fatal", "NOTICE",
                    "odd",
                ])
                .into(),
        );
    }
    if random.below(8) > 0 {
        put("service", random.one_of(&["orders", "payments", "users", "Orders"]).into());
    }
    if random.below(3) > 0 {
        put("host", random.one_of(&["web-1", "web-2", "WEB-1"]).into());
    }
    if random.below(4) > 0 {
        put("correlation_id", format!("c-{}", n / 9).into());
    }
    if random.below(3) == 0 {
        put("trace_id", format!("4bf92f3577b34da6a3ce929d0e0e{:04x}", n / 12).into());
        put("span_id", format!("00f067aa0ba9{:04x}", n % 100).into());
    }
    let message = match random.below(12) {
        0 => "payment".to_owned(),
        1 => format!("Payment of card declined {n}"),
        2 => "the card was declined".to_owned(),
        3 => format!("declined card, payment refused after {n} ms"),
        4 => "Die GRÖSSE und Größe der Tür".to_owned(),
        5 => "日本 東京都 に接続".to_owned(),
        6 => "nova-compute: started user@example.com".to_owned(),
        7 => String::new(),
        8 => "x".repeat(300) + " tail",
        9 => format!("c-{} mentioned in the text", n / 7),
        10 => "line one\nline two \"quoted\" \\ back".to_owned(),
        _ => format!("request {n} completed in {} ms", n % 1_000),
    };
    put("msg", message.into());
    match random.below(7) {
        0 => put("mixed", (n % 10).into()),
        1 => put("mixed", format!("text{}", n % 10).into()),
        2 => put("mixed", ((n % 10) as f64 + 0.5).into()),
        3 => put("mixed", (n.is_multiple_of(2)).into()),
        4 => put("mixed", format!("{}", n % 10).into()),
        _ => {}
    }
    if random.below(500) == 0 {
        put("rare", "yes".into());
    }
    put("duration_ms", (random.below(100_000) as f64 / 100.0).into());
    put("size", (random.below(3_000_000)).into());
    let status = [200, 200, 404, 500, 503][random.below(5) as usize];
    put("http", serde_json::json!({ "status": status }));
    put(
        "url.path",
        random.one_of(&["/api/v1/orders", "/api/v1/users", "/health", "/api/", "orders"]).into(),
    );
    put(
        "client.ip",
        random.one_of(&["10.1.2.3", "10.200.0.1", "192.168.0.1", "no address", "::1"]).into(),
    );
    put("user", random.one_of(&["u-42", "u-43", "u-7", "u 42", "admin", "U-42"]).into());
    put(&format!("name{}", n), (n % 50).into());
    if n.is_multiple_of(40) {
        put("odd name", "x".into());
        put("event_name", "order.created".into());
        put("big", (9_007_199_254_740_992_u64 + (n as u64 / 40) % 3).into());
    }
    if n.is_multiple_of(17) {
        put("tag", format!("v{}", n / 17).into());
    }
    Value::Object(object).to_string()
}

fn append(store: &Store, lines: &[String]) {
    let body = lines.join("\n");
    let received_at = Timestamp(FIRST_TIME);
    let mut builder = BatchBuilder::new(received_at, lines.len());
    let decoded = wire::decode(
        Format::JsonLines,
        body.as_bytes(),
        received_at,
        &Limits::default(),
        &mut |record| builder.push(record),
    )
    .unwrap();
    let (done, wait) = mpsc::channel();
    store.append(
        Append {
            tenant: "default".into(),
            signal: "logs",
            name: None,
            received_at,
            format: Format::JsonLines,
            encoding: Encoding::Identity,
            payload: body.into(),
            rejected: store::rejected_by_reason(&decoded),
            timestamps_replaced: decoded.timestamps_replaced,
            decoded: builder.finish(),
        },
        Box::new(move |result| done.send(result).unwrap()),
    );
    wait.recv().unwrap().unwrap();
}

/// What the naive evaluator works on: the records of the same JSON, decoded line by line.
fn naive_records(lines: &[String]) -> Vec<Record> {
    let mut records = Vec::new();
    for line in lines {
        wire::decode(
            Format::JsonLines,
            line.as_bytes(),
            Timestamp(FIRST_TIME),
            &Limits::default(),
            &mut |record| {
                records.push(record.to_record());
            },
        )
        .unwrap();
    }
    records
}

fn options() -> StoreOptions {
    StoreOptions {
        segment_rows: 400,
        compacted_rows: 100_000,
        compaction_width: 1_000,
        ..StoreOptions::default()
    }
}

/// The answer's lines.
fn run(store: &Arc<Store>, query: &str, limit: usize) -> Vec<Value> {
    let queries = Queries::new(Arc::clone(store), QueryLimits::default());
    let request = Request {
        query: query.to_owned(),
        tenant: "default".into(),
        since: Some("100y".into()),
        until: None,
        limit: Some(limit),
    };
    let mut out = Vec::new();
    let prepared = queries.prepare(&request).unwrap_or_else(|error| panic!("{query}: {error}"));
    let summary = queries
        .run(prepared, &Arc::new(AtomicBool::new(false)), &mut |batch| {
            query::write_lines(&batch, &mut out);
            Flow::More
        })
        .unwrap_or_else(|error| panic!("{query}: {error}"));
    assert!(summary.complete, "{query}");
    let lines: Vec<Value> = out
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
        .map(|line| serde_json::from_slice(line).unwrap())
        .collect();
    assert_eq!(summary.rows, lines.len() as u64, "{query}");
    lines
}

fn seqs(lines: &[Value]) -> Vec<u64> {
    lines.iter().map(|line| line["record_seq"].as_u64().unwrap()).collect()
}

/// Runs `check` on the same records in every place where they can be.
fn in_every_place(folder: &Path, lines: &[String], check: impl Fn(&Arc<Store>, &str)) {
    let store = Arc::new(Store::open(folder, options()).unwrap());
    lines.chunks(BATCH).for_each(|batch| append(&store, batch));
    check(&store, "parts");
    store.flush().unwrap();
    check(&store, "segments");
    store.compact_all().unwrap();
    check(&store, "merged segments");
    drop(store);
    let store = Arc::new(Store::open(folder, options()).unwrap());
    check(&store, "merged segments after a restart");
    assert!(store.ledger().adds_up());
}

#[test]
fn every_filter_finds_what_the_naive_evaluator_finds() {
    let folder = tempfile::tempdir().unwrap();
    let lines = lines();
    let records = naive_records(&lines);
    let filters: Vec<&str> = FILTERS.lines().filter(|line| !line.is_empty()).collect();
    assert!(filters.len() >= 100);
    let mut expected: BTreeMap<&str, Vec<u64>> = BTreeMap::new();
    let mut unused = Vec::new();
    for query in &filters {
        let filter = ql::parse(query).unwrap_or_else(|error| panic!("{query}: {error}")).filter;
        let mut found: Vec<(i64, u64)> = Vec::new();
        for (seq, record) in records.iter().enumerate() {
            if ql::matches(&filter, record, Some(seq as u64)) {
                found.push((record.timestamp.0, seq as u64));
            }
        }
        found.sort_by(|a, b| b.cmp(a));
        if found.is_empty() {
            unused.push(*query);
        }
        expected.insert(query, found.into_iter().map(|(_, seq)| seq).collect());
    }
    // A golden query that finds nothing proves little; these few are meant to.
    assert!(unused.len() <= 16, "find nothing: {unused:?}");
    in_every_place(folder.path(), &lines, |store, place| {
        for query in &filters {
            let all = seqs(&run(store, query, 1_000_000));
            assert_eq!(all, expected[query], "{query} from {place}");
            let newest = seqs(&run(store, query, 7));
            assert_eq!(
                newest,
                expected[query][..expected[query].len().min(7)],
                "newest of {query} from {place}"
            );
            let count = run(store, &format!("{query} | stats count() as n"), 10);
            assert_eq!(count[0]["n"], expected[query].len(), "count of {query} from {place}");
        }
    });
}

#[test]
fn what_is_deleted_is_found_by_no_filter_hidden_rewritten_or_after_a_restart() {
    // An exact one by the index, one that roll-ups can answer, and one that reads messages.
    let deletes = [
        "c-17 OR user:u-7 OR rare:yes",
        "level:error service:(orders OR users)",
        "\"card declined\" -n:<1500",
    ];
    let folder = tempfile::tempdir().unwrap();
    let lines = lines();
    let records = naive_records(&lines);
    let parse = |query: &str| ql::parse(query).unwrap().filter;
    let gone = deletes.map(parse);
    let left: Vec<bool> = records
        .iter()
        .map(|record| !gone.iter().any(|gone| ql::matches(gone, record, None)))
        .collect();
    let check = |store: &Arc<Store>, place: &str| {
        for query in FILTERS.lines().filter(|line| !line.is_empty()) {
            let filter = parse(query);
            let mut expected: Vec<(i64, u64)> = Vec::new();
            for (seq, record) in records.iter().enumerate().filter(|(seq, _)| left[*seq]) {
                if ql::matches(&filter, record, Some(seq as u64)) {
                    expected.push((record.timestamp.0, seq as u64));
                }
            }
            expected.sort_by(|a, b| b.cmp(a));
            let expected: Vec<u64> = expected.into_iter().map(|(_, seq)| seq).collect();
            assert_eq!(seqs(&run(store, query, 1_000_000)), expected, "{query}, {place}");
            let newest = &expected[..expected.len().min(7)];
            assert_eq!(seqs(&run(store, query, 7)), newest, "newest of {query}, {place}");
            let by_service = run(store, &format!("{query} | stats count() as n by service"), 10);
            let counted = by_service.iter().map(|row| row["n"].as_u64().unwrap()).sum::<u64>();
            assert_eq!(counted, expected.len() as u64, "count of {query}, {place}");
        }
    };
    let store = Arc::new(Store::open(folder.path(), options()).unwrap());
    lines[..2_000].chunks(BATCH).for_each(|batch| append(&store, batch));
    store.flush().unwrap();
    lines[2_000..].chunks(BATCH).for_each(|batch| append(&store, batch));
    for query in deletes {
        let request = DeleteRequest::new("default".into(), query, i64::MIN..i64::MAX).unwrap();
        assert!(store.delete(request).unwrap().delete.rows_hidden > Some(0));
    }
    check(&store, "hidden");
    let started = std::time::Instant::now();
    while store.active_deletes() > 0 {
        assert!(started.elapsed().as_secs() < 60, "{:?}", store.deletes("default", 3));
        std::thread::yield_now();
    }
    check(&store, "rewritten");
    let removed: u64 =
        store.deletes("default", 3).iter().map(|status| status.delete.rows_removed).sum();
    assert_eq!(removed, left.iter().filter(|left| !**left).count() as u64);
    store.compact_all().unwrap();
    drop(store);
    let store = Arc::new(Store::open(folder.path(), options()).unwrap());
    check(&store, "merged and restarted");
    assert!(store.ledger().adds_up());
}

#[test]
fn a_sort_by_time_is_the_order_of_records_forwards_and_backwards() {
    let folder = tempfile::tempdir().unwrap();
    // Many of one moment, in batches of their own.
    let lines: Vec<String> = lines()
        .iter()
        .enumerate()
        .map(|(number, line)| {
            let mut record: Value = serde_json::from_str(line).unwrap();
            record["time"] = (FIRST_TIME + (number / 20 % 7) as i64).into();
            record.to_string()
        })
        .collect();
    let records = naive_records(&lines);
    let times = records.iter().enumerate();
    let mut expected: Vec<_> = times.map(|(seq, record)| (record.timestamp.0, seq)).collect();
    expected.sort_unstable();
    assert!(expected.windows(2).filter(|pair| pair[0].0 == pair[1].0).count() > RECORDS / 2);
    let expected: Vec<u64> = expected.into_iter().map(|(_, seq)| seq as u64).collect();
    in_every_place(folder.path(), &lines, |store, place| {
        assert_eq!(seqs(&run(store, "* | sort timestamp", 1_000_000)), expected, "{place}");
        assert_eq!(seqs(&run(store, "* | sort time", 50)), expected[..50], "{place}");
        let backwards: Vec<u64> = expected.iter().rev().copied().collect();
        assert_eq!(seqs(&run(store, "* | sort -timestamp", 1_000_000)), backwards, "{place}");
    });
}

#[test]
fn a_record_comes_back_as_it_was_sent() {
    let folder = tempfile::tempdir().unwrap();
    let lines = lines();
    let records = naive_records(&lines);
    in_every_place(folder.path(), &lines, |store, place| {
        for line in run(store, "*", 1_000_000) {
            let record = &records[line["record_seq"].as_u64().unwrap() as usize];
            assert_eq!(line["timestamp"], record.timestamp.to_string(), "{place}");
            assert_eq!(line["message"], record.message, "{place}");
            let severity = line["severity_number"].as_u64().unwrap_or(0);
            assert_eq!(severity, u64::from(record.severity.number()), "{place}");
            assert_eq!(
                line["correlation_id"].as_str(),
                record.correlation_id.as_deref(),
                "{place}"
            );
            assert_eq!(line["service"].as_str(), record.service.as_deref(), "{place}");
            assert_eq!(
                line["trace_id"].as_str().map(str::to_owned),
                record.trace_id.map(|id| id.to_string()),
                "{place}"
            );
            let attributes = line["attributes"].as_object().unwrap();
            let names: BTreeSet<&String> = attributes.keys().collect();
            assert_eq!(names, record.attributes.keys().collect(), "{place}");
            for (name, value) in &record.attributes {
                let expected = match value {
                    record::Value::String(text) => Value::from(text.as_str()),
                    record::Value::I64(number) => Value::from(*number),
                    record::Value::F64(number) => Value::from(*number),
                    record::Value::Bool(flag) => Value::from(*flag),
                };
                assert_eq!(attributes[name], expected, "{name} from {place}");
            }
        }
    });
}

#[test]
fn stages_compute_what_plain_code_computes() {
    let folder = tempfile::tempdir().unwrap();
    let lines = lines();
    let records = naive_records(&lines);
    let number = |record: &Record, name: &str| match record.attributes.get(name) {
        Some(record::Value::F64(number)) => Some(*number),
        Some(record::Value::I64(number)) => Some(*number as f64),
        _ => None,
    };
    let mut by_service: BTreeMap<Option<&str>, Vec<&Record>> = BTreeMap::new();
    let mut by_level_and_minute: BTreeMap<(i64, &str), u64> = BTreeMap::new();
    for record in &records {
        by_service.entry(record.service.as_deref()).or_default().push(record);
        let bin = record.timestamp.0.div_euclid(300_000_000_000) * 300_000_000_000;
        *by_level_and_minute.entry((bin, record.severity.name())).or_default() += 1;
    }
    in_every_place(folder.path(), &lines, |store, place| {
        let rows = run(
            store,
            "* | stats count() as n, sum(n) as sum, avg(duration_ms) as mean, p95(duration_ms) as p95, min(size) as low, \
             max(size) as high, count_distinct(user) as users, count(rare) as rare by service",
            1_000,
        );
        assert_eq!(rows.len(), by_service.len(), "{place}");
        for (row, (service, records)) in rows.iter().zip(&by_service) {
            assert_eq!(row["service"].as_str(), *service, "{place}");
            assert_eq!(row["n"], records.len(), "{place}");
            let sum: f64 = records.iter().filter_map(|record| number(record, "n")).sum();
            assert_eq!(row["sum"].as_i64().unwrap(), sum as i64, "{place}");
            let mut durations: Vec<f64> =
                records.iter().filter_map(|record| number(record, "duration_ms")).collect();
            durations.sort_by(f64::total_cmp);
            let mean = durations.iter().sum::<f64>() / durations.len() as f64;
            assert!((row["mean"].as_f64().unwrap() - mean).abs() < 1e-6, "{place}");
            let position = 0.95 * (durations.len() - 1) as f64;
            let (low, high) =
                (durations[position.floor() as usize], durations[position.ceil() as usize]);
            let p95 = low + (high - low) * position.fract();
            assert!((row["p95"].as_f64().unwrap() - p95).abs() < 1e-9, "{place}");
            let sizes = records.iter().filter_map(|record| number(record, "size"));
            assert_eq!(row["low"].as_f64(), sizes.clone().reduce(f64::min), "{place}");
            assert_eq!(row["high"].as_f64(), sizes.reduce(f64::max), "{place}");
            let users: BTreeSet<String> = records
                .iter()
                .filter_map(|record| Some(record.attributes.get("user")?.to_string()))
                .collect();
            assert_eq!(row["users"], users.len(), "{place}");
            let rare =
                records.iter().filter(|record| record.attributes.contains_key("rare")).count();
            assert_eq!(row["rare"], rare, "{place}");
        }
        let rows = run(store, "* | stats count() as n by bin(5m) as bin, level", 100_000);
        let mut found: BTreeMap<(String, String), u64> = BTreeMap::new();
        for row in &rows {
            let level = row["severity"].as_str().or(row["level"].as_str()).unwrap_or_default();
            found.insert(
                (row["bin"].as_str().unwrap().to_owned(), level.to_owned()),
                row["n"].as_u64().unwrap(),
            );
        }
        let expected: BTreeMap<(String, String), u64> = by_level_and_minute
            .iter()
            .map(|((bin, level), n)| ((Timestamp(*bin).to_string(), (*level).to_owned()), *n))
            .collect();
        assert_eq!(found, expected, "{place}");

        // Answered from roll-ups where there are segments.
        for filter in [
            "level:error",
            "-level:info service:*",
            "service:(orders OR users) level:>=warn",
            "-service:*",
        ] {
            let parsed = ql::parse(filter).unwrap().filter;
            let mut expected: BTreeMap<String, u64> = BTreeMap::new();
            for record in records.iter().filter(|record| ql::matches(&parsed, record, None)) {
                *expected.entry(record.service.clone().unwrap_or_default()).or_default() += 1;
            }
            let rows = run(store, &format!("{filter} | stats count() as n by service"), 100);
            let found = rows.iter().map(|row| {
                (row["service"].as_str().unwrap_or_default().to_owned(), row["n"].as_u64().unwrap())
            });
            assert_eq!(
                found.collect::<BTreeMap<_, _>>(),
                expected,
                "{filter} by service from {place}"
            );
        }

        let rows = run(store, "* | sort -n | head 3 | fields n, service", 100);
        assert_eq!(
            rows.iter().map(|row| row["n"].as_u64().unwrap()).collect::<Vec<_>>(),
            [2_999, 2_998, 2_997],
            "{place}"
        );
        let rows =
            run(store, "level:error | stats count() as n by service | sort -n | head 1", 100);
        assert_eq!(rows.len(), 1, "{place}");
        let rows = run(store, "* | stats first(n) as first, last(n) as last", 100);
        let ends = records.iter().enumerate().map(|(seq, record)| (record.timestamp.0, seq));
        assert_eq!(rows[0]["first"], ends.clone().min().unwrap().1, "{place}");
        assert_eq!(rows[0]["last"], ends.max().unwrap().1, "{place}");
    });
}
