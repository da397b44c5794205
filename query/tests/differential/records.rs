//! The records of the differential tests, and the places where they are looked for.

use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, mpsc};

use query::{Cursor, Flow, Queries, QueryLimits, Request, Summary};
use record::{Record, Timestamp};
use serde_json::Value;
use store::{Append, BatchBuilder, Store, StoreOptions};
use wire::{Encoding, Format, Limits};

pub(crate) const RECORDS: usize = 3_000;
pub(crate) const BATCH: usize = 250;
pub(crate) const FIRST_TIME: i64 = 1_700_000_000_000_000_000;

/// A small generator; its sequence is the same for ever.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }

    pub(crate) fn one_of<'a>(&mut self, choices: &[&'a str]) -> &'a str {
        choices[self.below(choices.len() as u64) as usize]
    }
}

pub(crate) fn lines() -> Vec<String> {
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

pub(crate) fn append(store: &Store, lines: &[String]) {
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
pub(crate) fn naive_records(lines: &[String]) -> Vec<Record> {
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

pub(crate) fn options() -> StoreOptions {
    StoreOptions {
        segment_rows: 400,
        compacted_rows: 100_000,
        compaction_width: 1_000,
        ..StoreOptions::default()
    }
}

/// The answer's lines.
pub(crate) fn run(store: &Arc<Store>, query: &str, limit: usize) -> Vec<Value> {
    let (lines, summary) = answer(store, query, limit, None);
    assert!(summary.complete, "{query}: {summary:?}");
    lines
}

/// The answer's lines below a place, and the summary.
pub(crate) fn answer(
    store: &Arc<Store>,
    query: &str,
    limit: usize,
    below: Option<Cursor>,
) -> (Vec<Value>, Summary) {
    let queries = Queries::new(Arc::clone(store), QueryLimits::default());
    let request = Request {
        query: query.to_owned(),
        tenant: "default".into(),
        since: Some("100y".into()),
        limit: Some(limit),
        below,
        ..Request::default()
    };
    let mut out = Vec::new();
    let prepared = queries.prepare(&request).unwrap_or_else(|error| panic!("{query}: {error}"));
    let summary = queries
        .run(prepared, &Arc::new(AtomicBool::new(false)), &mut |batch| {
            query::write_lines(&batch, &mut out);
            Flow::More
        })
        .unwrap_or_else(|error| panic!("{query}: {error}"));
    let lines: Vec<Value> = out
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
        .map(|line| serde_json::from_slice(line).unwrap())
        .collect();
    assert_eq!(summary.rows, lines.len() as u64, "{query}");
    (lines, summary)
}

pub(crate) fn seqs(lines: &[Value]) -> Vec<u64> {
    lines.iter().map(|line| line["record_seq"].as_u64().unwrap()).collect()
}

/// Runs `check` on the same records in every place where they can be.
pub(crate) fn in_every_place(folder: &Path, lines: &[String], check: impl Fn(&Arc<Store>, &str)) {
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
