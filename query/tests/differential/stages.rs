//! Every stage answers the same wherever the records lie, and what it answers to a few records is kept as a golden file.

use std::sync::Arc;

use serde_json::{Value, json};
use store::Store;

use crate::records::*;

/// At least one of each stage; what it gives must not depend on where the records lie.
const STAGES: &str = r#"
* | stats count(), count(n), count_distinct(service), sum(n), avg(n), min(n), max(n), stddev(n), p50(n), p95(n), quantile(n, 0.9), first(n), last(n) by service
* | stats values(level) as levels by host, bin(6h)
* | stats count() by bin(duration_ms, 100)
service:* | top 3 service
* | top 5 service, level
* | rare 2 url.path
level:error | sort n | head 5
level:error | sort -n | tail 5
* | tail 3
* | fields n, msg, http.status | head 20
duration_ms:* | where duration_ms > 500ms and level >= "warn" | stats count() by level
* | where http.status in (500, 503) and not (service == "orders") | head 9
* | where contains(msg, "declined") or url.path =~ "^/api" | stats count()
* | where mixed > 5
* | where mixed == "5" | head 7
* | where time >= "2023-11-15" | stats count() by service
* | eval slow = duration_ms > 900ms, kind = case(http.status >= 500, "bad", http.status == 404, "odd", "good") | stats count() by slow, kind
* | eval n = n * 2, half = n / 4, day = bin(time, 1d), mixed = null | fields n, half, day, mixed | head 11
* | stats sum(size) as s, count() as c by service | eval mean = round(s / c) | where c > 10 | sort -mean
* | rename service as svc, n as number | fields number, svc, service | head 6
* | stats count() by service | rename count as c, service as who | sort who
* | dedup service, level | fields n, service, level
service:orders | dedup user | head 3
declined OR refused | extract "after <ms> ms" | stats count(), avg(ms)
* | extract /(?P<what>card|payment) (?P<was>was|declined)/ | where what != null | stats count() by what, was
url.path:* | extract "/api/<version>/<rest>" from url.path | stats count() by version, rest
* | eval text = concat("a=", n, " b=\"x y\" c=", duration_ms) | parse logfmt from text prefix p. | where p.a < 5 | fields p.a, p.b, p.c
* | eval text = concat("{\"a\":", n, ",\"in\":{\"b\":[1,2],\"c\":null}}") | parse json from text | head 4 | fields a, in.b, in.c
* | timechart 6h count() as n, avg(duration_ms) by service
level:error | timechart 1h count()
rare:yes | timechart 12h count() by level
rare:yes | context 2 by correlation | fields n, context.hit
level:fatal n:<200 | context by host
n:1500 | context 40 by host | stats count() by context.hit
* | patterns
* | patterns from user as kind | stats count() by kind
"#;

fn run_all(store: &Arc<Store>) -> Vec<(String, Vec<Value>)> {
    let queries = STAGES.lines().filter(|line| !line.is_empty());
    queries.map(|query| (query.to_owned(), rounded(run(store, query, 1_000_000)))).collect()
}

/// Sums of floats depend on their order in the last digits.
fn rounded(mut rows: Vec<Value>) -> Vec<Value> {
    fn round(value: &mut Value) {
        match value {
            Value::Number(number) if number.is_f64() => {
                let number = number.as_f64().unwrap();
                *value = json!(format!("{number:.6}"));
            }
            Value::Array(members) => members.iter_mut().for_each(round),
            Value::Object(members) => members.values_mut().for_each(round),
            _ => {}
        }
    }
    rows.iter_mut().for_each(round);
    rows
}

#[test]
fn every_stage_answers_the_same_wherever_the_records_lie() {
    for help in query::STAGES {
        let used = STAGES.split_whitespace().any(|word| word == help.name);
        assert!(used, "no query of this test has the stage {}", help.name);
    }
    let folder = tempfile::tempdir().unwrap();
    let mut first: Option<Vec<(String, Vec<Value>)>> = None;
    let first = &std::cell::RefCell::new(&mut first);
    in_every_place(folder.path(), &lines(), |store, place| {
        let found = run_all(store);
        let mut first = first.borrow_mut();
        let Some(expected) = &**first else {
            for (query, rows) in &found {
                assert!(!rows.is_empty(), "{query} finds nothing, and proves nothing");
            }
            **first = Some(found);
            return;
        };
        for ((query, found), (_, expected)) in found.iter().zip(expected) {
            assert_eq!(found, expected, "{query} from {place}");
        }
    });
}

/// What stages compute, computed once more over the JSON that came in.
#[test]
fn stages_count_what_the_records_say() {
    let folder = tempfile::tempdir().unwrap();
    let lines = lines();
    let records: Vec<Value> =
        lines.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    let count = |keep: &dyn Fn(&Value) -> bool| records.iter().filter(|one| keep(one)).count();
    let number = |record: &Value, name: &str| record[name].as_f64().unwrap_or(f64::NAN);
    let cases: Vec<(&str, usize)> = vec![
        (
            "* | where duration_ms > 500ms | stats count() as n",
            count(&|r| number(r, "duration_ms") > 500.0),
        ),
        (
            "* | where size >= 1MiB and n < 100 | stats count() as n",
            count(&|r| number(r, "size") >= 1_048_576.0 && number(r, "n") < 100.0),
        ),
        (
            "* | where service != \"orders\" | stats count() as n",
            count(&|r| r["service"] != "orders"),
        ),
        ("* | where host == null | stats count() as n", count(&|r| r["host"].is_null())),
        (
            "* | where length(user) == 4 | stats count() as n",
            count(&|r| r["user"].as_str().unwrap().len() == 4),
        ),
        (
            "* | where n % 7 == 3 | stats count() as n",
            count(&|r| r["n"].as_u64().unwrap() % 7 == 3),
        ),
        (
            "* | eval twice = n * 2 | where twice < 500 | stats count() as n",
            count(&|r| number(r, "n") * 2.0 < 500.0),
        ),
        (
            "* | where http.status >= 500 or level == \"fatal\" | stats count() as n",
            count(&|r| r["http"]["status"].as_u64().unwrap() >= 500 || r["level"] == "fatal"),
        ),
        (
            "* | where mixed == 5 | stats count() as n",
            count(&|r| r["mixed"] == 5 || r["mixed"] == 5.0 || r["mixed"] == "5"),
        ),
        (
            "* | where in_network(client.ip, \"10.0.0.0/8\") | stats count() as n",
            count(&|r| r["client.ip"].as_str().unwrap().starts_with("10.")),
        ),
        ("* | dedup user | stats count() as n", 6),
        (
            "* | extract \"Payment of card declined <k>\" | where k == n | stats count() as n",
            count(&|r| r["msg"].as_str().unwrap().starts_with("Payment of card")),
        ),
    ];
    in_every_place(folder.path(), &lines, |store, place| {
        for (query, expected) in &cases {
            assert_eq!(run(store, query, 10)[0]["n"], *expected, "{query} from {place}");
        }
    });
}

#[test]
fn what_stands_around_a_match_has_the_same_host_and_the_nearest_times() {
    let folder = tempfile::tempdir().unwrap();
    let lines = lines();
    let records = naive_records(&lines);
    let mut by_host: Vec<(i64, u64, Option<String>)> = records
        .iter()
        .enumerate()
        .map(|(seq, record)| (record.timestamp.0, seq as u64, record.host.clone()))
        .collect();
    by_host.sort();
    let filter = ql::parse("rare:yes").unwrap().filter;
    in_every_place(folder.path(), &lines, |store, place| {
        for wanted in [1, 7, 200] {
            let mut expected = std::collections::BTreeSet::new();
            for (seq, record) in records.iter().enumerate() {
                if !ql::matches(&filter, record, None) {
                    continue;
                }
                expected.insert(seq as u64);
                let Some(host) = &record.host else { continue };
                let same: Vec<u64> = by_host
                    .iter()
                    .filter(|(_, _, other)| other.as_ref() == Some(host))
                    .map(|(_, seq, _)| *seq)
                    .collect();
                let at = same.iter().position(|other| *other == seq as u64).unwrap();
                let around = at.saturating_sub(wanted)..(at + wanted + 1).min(same.len());
                expected.extend(&same[around]);
            }
            let found = run(store, &format!("rare:yes | context {wanted} by host"), 1_000_000);
            let hits = found.iter().filter(|record| record["context.hit"] == true).count();
            let all: std::collections::BTreeSet<u64> = seqs(&found).into_iter().collect();
            assert_eq!((all.len(), &all), (found.len(), &expected), "{wanted} from {place}");
            assert_eq!(hits, run(store, "rare:yes", 1_000_000).len());
        }
    });
}

/// A few records that a person can count.
fn few() -> Vec<String> {
    let record = |second: u32, level: &str, service: &str, message: &str, ms: Value| {
        json!({
            "time": format!("2026-01-01T10:00:{second:02}Z"),
            "level": level,
            "service": service,
            "msg": message,
            "duration_ms": ms,
        })
        .to_string()
    };
    vec![
        record(0, "info", "orders", "order 1 placed by jane in 120 ms", json!(120)),
        record(5, "info", "orders", "order 2 placed by joe in 80 ms", json!(80)),
        record(10, "warn", "payments", "card of jane declined", json!(950.5)),
        record(
            15,
            "error",
            "payments",
            "payment of order 1 failed user=jane code=51",
            json!(1_200),
        ),
        record(20, "info", "orders", "order 3 placed by jane in 95 ms", json!(95)),
        record(70, "error", "orders", "order 1 cancelled {\"reason\":{\"code\":51}}", Value::Null),
    ]
    .into_iter()
    .map(|line| line.replace("10:00:70", "10:01:10"))
    .collect()
}

const GOLDEN: &[&str] = &[
    "* | dedup service | fields time, service, msg",
    "* | eval seconds = duration_ms / 1000, slow = seconds > 0.9 | fields seconds, slow",
    "level:error | eval service = upper(service), note = \"x\"",
    "* | extract \"order <id> placed by <who> in <ms> ms\" | fields id, who, ms",
    "* | fields service, level | head 2",
    "* | head 1",
    "cancelled | parse json | fields reason.code",
    "failed | parse logfmt prefix kv. | fields kv.user, kv.code",
    "* | patterns",
    "service:orders | patterns as kind | fields kind",
    "* | rare 1 service",
    "level:warn | rename duration_ms as took, service as origin",
    "* | sort -duration_ms | fields duration_ms",
    "* | stats count(), avg(duration_ms) as mean, values(level) by service",
    "* | sort time | tail 2 | fields msg",
    "* | timechart 30s count() as n by service",
    "* | top service, level",
    "* | where level >= \"warn\" and duration_ms > 1s | fields msg",
];

#[test]
fn the_answer_of_each_stage_to_a_few_records() {
    let folder = tempfile::tempdir().unwrap();
    let store = Arc::new(Store::open(folder.path(), options()).unwrap());
    append(&store, &few());
    let mut text = String::new();
    for query in GOLDEN {
        text += &format!("{query}\n");
        for mut row in run(&store, query, 1_000) {
            if let Value::Object(members) = &mut row {
                members.remove("observed_timestamp");
            }
            text += &format!("    {row}\n");
        }
    }
    insta::assert_snapshot!(text);
}
