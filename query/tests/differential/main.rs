//! One meaning, two evaluators: every golden query answers the same from parts, from segments, from merged
//! segments and after a restart as the naive evaluator does over the JSON.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod loki;
mod records;
mod stages;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use record::{Record, Timestamp};
use serde_json::Value;
use store::{DeleteRequest, Store};

use records::*;

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
fn an_answer_goes_on_where_another_one_ended() {
    let folder = tempfile::tempdir().unwrap();
    // Many of one moment.
    let lines: Vec<String> = lines()
        .iter()
        .enumerate()
        .map(|(number, line)| {
            let mut record: Value = serde_json::from_str(line).unwrap();
            record["time"] = (FIRST_TIME + (number / 300) as i64).into();
            record.to_string()
        })
        .collect();
    in_every_place(folder.path(), &lines, |store, place| {
        for query in ["*", "level:error", "c-17", "* | eval x = n * 2", "nowhere"] {
            let all = seqs(&run(store, query, 1_000_000));
            for limit in [7, 299, 300, 301, 2_999, 3_000, 3_001] {
                if limit == 7 && all.len() > 500 {
                    continue;
                }
                let (mut found, mut below) = (Vec::new(), None);
                loop {
                    let (lines, summary) = answer(store, query, limit, below);
                    found.extend(seqs(&lines));
                    match summary.next {
                        Some(next) => below = Some(next.parse().unwrap()),
                        None => break,
                    }
                }
                assert!(found == all, "{query} in pages of {limit} from {place}");
            }
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
