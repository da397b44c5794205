//! A query keeps to its bounds from inside: it ends soon after it is cancelled or late, wherever it is at that moment,
//! and it ends instead of holding more memory than it may.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

use std::fmt::Write;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, mpsc};
use std::time::{Duration, Instant};

use query::{Flow, Queries, QueryError, QueryLimits, Request, Summary};
use record::Timestamp;
use store::{Append, BatchBuilder, Store, StoreOptions};
use wire::{Encoding, Format, Limits};

const RECORDS: usize = 120_000;
const BATCH: usize = 20_000;
const FIRST_TIME: i64 = 1_700_000_000_000_000_000;
/// What is promised of a query that is cancelled or late.
const STOPS_WITHIN: Duration = Duration::from_millis(100);
/// Other processes may hold a machine up for longer than that: each moment has so many tries.
const TRIES: usize = 8;

/// Queries that take long, each in another place.
const LONG: [&str; 8] = [
    "any:/[0-9]{4}x[a-f]+zz/ | stats count()",
    "*9f*7* *a0*1* *77*3* | stats count()",
    "msg:/f+0+[a-f]*9{3}q/ OR \"never there\"",
    "* | stats count() by message",
    "* | stats count_distinct(message), values(message), max(message)",
    "* | stats p95(n), last(message) by bin(n, 3)",
    "* | sort -message",
    "* | stats count() as c by message | sort -c, message | fields message",
];

/// One test at a time: they measure.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Long messages, each of its own, in a few segments and a part.
fn store() -> Arc<Store> {
    static STORE: OnceLock<(tempfile::TempDir, Arc<Store>)> = OnceLock::new();
    let (_, store) = STORE.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        let options = StoreOptions { compaction_width: 1_000, ..StoreOptions::default() };
        let store = Arc::new(Store::open(folder.path(), options).unwrap());
        for first in (0..RECORDS).step_by(BATCH) {
            append(&store, first..first + BATCH);
            if first + 2 * BATCH == RECORDS {
                store.flush().unwrap();
            }
        }
        (folder, store)
    });
    Arc::clone(store)
}

fn append(store: &Store, numbers: std::ops::Range<usize>) {
    let mut body = String::new();
    for n in numbers {
        let time = Timestamp(FIRST_TIME + n as i64 * 1_000_000);
        let hash = (n as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let message =
            format!("{hash:016x} {:016x} {n} of {}", hash.rotate_left(21), "pad ".repeat(12));
        writeln!(body, "{{\"time\":\"{time}\",\"message\":\"{message}\",\"n\":{n}}}").unwrap();
    }
    let received_at = Timestamp(FIRST_TIME);
    let mut builder = BatchBuilder::new(received_at, BATCH);
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

fn limits() -> QueryLimits {
    let huge = 8 << 30;
    QueryLimits {
        deadline: Duration::from_secs(3_600),
        memory_bytes_max: huge,
        memory_total_bytes_max: huge,
        ..QueryLimits::default()
    }
}

fn run(
    limits: QueryLimits,
    query: &str,
    cancelled: &Arc<AtomicBool>,
) -> Result<Summary, QueryError> {
    let queries = Queries::new(store(), limits);
    let request = Request {
        query: query.to_owned(),
        tenant: "default".into(),
        since: Some("100y".into()),
        until: None,
        limit: Some(1_000_000),
        ..Request::default()
    };
    let prepared = queries.prepare(&request).unwrap_or_else(|error| panic!("{query}: {error}"));
    queries.run(prepared, cancelled, &mut |batch| {
        let mut lines = Vec::new();
        query::write_lines(&batch, &mut lines);
        Flow::More
    })
}

/// How long a query goes on after it was cancelled; nothing if it had ended before.
fn goes_on_after_cancel(query: &str, after: Duration) -> Option<Duration> {
    let cancelled = Arc::new(AtomicBool::new(false));
    let (ended, has_ended) = mpsc::channel::<()>();
    let flag = Arc::clone(&cancelled);
    let canceller = std::thread::spawn(move || {
        has_ended
            .recv_timeout(after)
            .err()
            .filter(|error| *error == mpsc::RecvTimeoutError::Timeout)?;
        let at = Instant::now();
        flag.store(true, Ordering::Relaxed);
        Some(at)
    });
    let result = run(limits(), query, &cancelled);
    let returned = Instant::now();
    drop(ended);
    let at = canceller.join().unwrap()?;
    match result {
        Err(QueryError::Cancelled) => Some(returned - at),
        // Cancelled in the moment in which it ended.
        Ok(_) => None,
        Err(other) => panic!("{query}: {other}"),
    }
}

/// The shortest of some tries; a bound that one of them keeps is kept by the program, and not by the machine.
fn best(mut once: impl FnMut() -> Option<Duration>) -> Option<Duration> {
    let mut best: Option<Duration> = None;
    for _ in 0..TRIES {
        let time = once()?;
        best = Some(best.map_or(time, |best| best.min(time)));
        if time <= STOPS_WITHIN {
            break;
        }
    }
    best
}

fn tell(line: &str) {
    use std::io::Write as _;
    let _ = writeln!(std::io::stderr(), "{line}");
}

#[test]
fn a_cancelled_query_returns_within_100_ms_wherever_it_is() {
    let _alone = alone();
    store();
    let (mut worst, mut measured) = (Duration::ZERO, 0);
    for query in LONG {
        for after in [3, 40, 150, 400, 900, 2_000].map(Duration::from_millis) {
            let Some(time) = best(|| goes_on_after_cancel(query, after)) else { break };
            assert!(time <= STOPS_WITHIN, "{query}: {time:?}, cancelled after {after:?}");
            (worst, measured) = (worst.max(time), measured + 1);
        }
    }
    tell(&format!("cancelled {measured} times; the slowest returned after {worst:?}"));
    assert!(measured >= LONG.len(), "only {measured} queries were long enough to be cancelled");
}

#[test]
fn a_late_query_returns_within_100_ms_of_its_deadline() {
    let _alone = alone();
    store();
    let mut worst = Duration::ZERO;
    for query in LONG {
        for deadline in [20, 120].map(Duration::from_millis) {
            let late = best(|| {
                let started = Instant::now();
                let result = run(QueryLimits { deadline, ..limits() }, query, &Arc::default());
                match result {
                    Err(QueryError::Deadline { after }) => assert_eq!(after, deadline),
                    Ok(_) => return None,
                    Err(other) => panic!("{query}: {other}"),
                }
                Some(started.elapsed().saturating_sub(deadline))
            });
            let late = late.unwrap_or_default();
            assert!(late <= STOPS_WITHIN, "{query}: {late:?} after its deadline");
            worst = worst.max(late);
        }
    }
    tell(&format!("the slowest returned {worst:?} after its deadline"));
}

#[test]
fn a_query_that_would_hold_too_much_ends_with_the_bound_and_the_way_out() {
    let _alone = alone();
    let bound = 4 << 20;
    for query in [
        "* | sort -message",
        "* | stats count() by message",
        "* | stats count_distinct(message)",
        "* | stats values(message) by n",
        "* | stats p95(n) by message",
    ] {
        let limits = QueryLimits { memory_bytes_max: bound, ..limits() };
        let error = run(limits, query, &Arc::default()).unwrap_err();
        assert!(
            matches!(error, QueryError::Memory { limit_bytes } if limit_bytes == bound),
            "{query}"
        );
        let text = error.to_string();
        assert!(text.contains("query.memory_max") && text.contains("narrow"), "{text}");
    }
    // These need little, however many records there are.
    for query in [
        "* | stats count() by bin(n, 10000)",
        "* | stats values(message), min(message), max(message)",
        "* | sort -message | head 10",
        "\"pad pad\" | stats count()",
    ] {
        let limits = QueryLimits { memory_bytes_max: 24 << 20, ..limits() };
        run(limits, query, &Arc::default()).unwrap_or_else(|error| panic!("{query}: {error}"));
    }
}

#[test]
fn if_all_queries_hold_too_much_the_one_that_holds_the_most_ends_and_another_goes_on() {
    let _alone = alone();
    let bound = 20 << 20;
    let limits = QueryLimits { memory_bytes_max: bound, memory_total_bytes_max: bound, ..limits() };
    let queries = Queries::new(store(), limits);
    let prepare = |query: &str| {
        let request = Request {
            query: query.to_owned(),
            tenant: "default".into(),
            since: Some("100y".into()),
            until: None,
            limit: Some(1_000_000),
            ..Request::default()
        };
        queries.prepare(&request).unwrap()
    };
    let (holds, is_held) = mpsc::channel();
    let (go_on, may_go_on) = mpsc::channel::<()>();
    std::thread::scope(|scope| {
        let (large, queries) = (prepare("n:<60000 | sort n"), &queries);
        let large = scope.spawn(move || {
            queries.run(large, &Arc::default(), &mut |_| {
                holds.send(()).unwrap();
                may_go_on.recv().unwrap();
                Flow::More
            })
        });
        is_held.recv().unwrap();
        // Each needs more than the one before. None of them is refused: at the first that finds no room it is the large
        // one that ends.
        for groups in [10_000, 15_000, 20_000, 25_000, 30_000] {
            let smaller = prepare(&format!("n:<{groups} | stats count() by message"));
            let mut rows = 0;
            let result = queries.run(smaller, &Arc::default(), &mut |batch| {
                rows += batch.len();
                Flow::More
            });
            let summary = result.unwrap_or_else(|error| panic!("{groups}: {error}"));
            assert_eq!((rows, summary.complete), (groups, true));
        }
        go_on.send(()).unwrap();
        let error = large.join().unwrap().unwrap_err();
        assert!(
            matches!(error, QueryError::MemoryTotal { limit_bytes } if limit_bytes == bound),
            "{error}"
        );
        assert!(error.to_string().contains("query.memory_total"), "{error}");
    });
}

#[test]
fn a_limit_cuts_rows_of_an_aggregate_only_if_it_was_asked_for_and_says_so() {
    let _alone = alone();
    let queries = Queries::new(store(), limits());
    let ask = |query: &str, limit| {
        let request = Request {
            query: query.to_owned(),
            tenant: "default".into(),
            since: Some("100y".into()),
            until: None,
            limit,
            ..Request::default()
        };
        let prepared = queries.prepare(&request).unwrap();
        queries.run(prepared, &Arc::default(), &mut |_| Flow::More).unwrap()
    };
    let by_n = "n:<500 | stats count() by n";
    let all = ask(by_n, None);
    assert_eq!((all.rows, all.rows_left_out, all.complete), (500, 0, true));
    let cut = ask(by_n, Some(40));
    assert_eq!((cut.rows, cut.rows_left_out, cut.complete), (40, 460, true));
    assert!(cut.warnings[0].contains("460 more rows"), "{:?}", cut.warnings);
    let sorted = ask("n:<500 | stats count() by n | sort -n | fields n", Some(499));
    assert_eq!((sorted.rows, sorted.rows_left_out), (499, 1));
    let head = ask("n:<500 | stats count() by n | head 5", None);
    assert_eq!((head.rows, head.rows_left_out), (5, 0));
    let records = ask("n:<500", None);
    assert_eq!((records.rows, records.rows_left_out, records.complete), (100, 0, true));
}
