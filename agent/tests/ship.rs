//! Shipping against a collector that fails in every way: nothing is lost, nothing doubled, and it is said why.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod server;

use std::collections::BTreeSet;
use std::io::Write;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use agent::format::Format;
use agent::{BatchLimits, Progress, ShipError, ShipOptions, ShipReport};
use server::Action::*;
use server::{Server, decoded};
use tempfile::{NamedTempFile, TempDir};

fn file_of(text: impl AsRef<[u8]>) -> NamedTempFile {
    let mut file = NamedTempFile::new().unwrap();
    file.write_all(text.as_ref()).unwrap();
    file
}

/// Lines that are all different.
fn lines(from: usize, to: usize) -> String {
    (from..to).map(|number| format!("line {number}\n")).collect()
}

/// Batches of ten records.
fn options(server: &Server, files: &[&NamedTempFile]) -> ShipOptions {
    let paths = files.iter().map(|file| file.path().to_owned());
    ShipOptions {
        format: Format::Raw,
        limits: BatchLimits { records_max: 10, ..BatchLimits::default() },
        give_up_after: Duration::from_secs(20),
        ..ShipOptions::new(&server.addr, paths)
    }
}

async fn ship(options: ShipOptions) -> Result<ShipReport, ShipError> {
    agent::ship(options, |_| {}).await
}

/// Every line is stored once, and every name came with one body.
fn assert_whole(server: &Server, expected: &str) {
    let stored = server.messages();
    let once: BTreeSet<_> = stored.iter().map(String::as_str).collect();
    assert_eq!(once, expected.lines().collect::<BTreeSet<_>>());
    assert_eq!(stored.len(), once.len(), "something is stored twice");
    let bodies = server.bodies_by_name();
    assert!(bodies.values().all(|bodies| bodies.len() == 1), "other bytes under the same name");
    assert!(bodies.keys().copied().eq(0..bodies.len() as u64), "a gap in the sequence");
}

#[tokio::test]
async fn everything_is_stored_once_through_every_failure() {
    let text = lines(0, 305);
    let file = file_of(text.trim_end());
    let failures = [
        LoseAnswer,
        Refuse(503),
        Drop,
        Accept,
        CutAnswer,
        Refuse(507),
        Refuse(408),
        Busy(0),
        Refuse(500),
    ];
    let server = Server::start(failures).await;
    let report = ship(options(&server, &[&file])).await.unwrap();
    assert_whole(&server, &text);
    let total = report.total();
    assert_eq!((total.lines, total.records_accepted, report.batches), (305, 305, 31));
    assert_eq!(report.retries, 8);
    assert_eq!(report.duplicates, 2);
    let store = report.store.unwrap();
    assert_eq!(
        (store.id.as_str(), store.generation, report.store_changes),
        ("store-1", Some(7), 0)
    );
}

#[tokio::test]
async fn random_failures_lose_and_double_nothing() {
    let kinds = [Accept, LoseAnswer, CutAnswer, Drop, Refuse(503), Busy(0)];
    for seed in [1_u64, 2, 3] {
        let mut state = seed;
        let mut random = || {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            kinds[(state >> 33) as usize % kinds.len()]
        };
        let actions: Vec<_> = (0..25).map(|_| random()).collect();
        eprintln!("seed {seed}: {actions:?}");
        let server = Server::start(actions).await;
        let (first, second) = (lines(0, 123), lines(123, 200));
        let files = [file_of(&first), file_of(""), file_of(&second)];
        let report = ship(options(&server, &files.each_ref())).await.unwrap();
        assert_whole(&server, &(first + &second));
        let accepted: Vec<_> =
            report.files.iter().map(|file| file.counts.records_accepted).collect();
        assert_eq!(accepted, [123, 0, 77]);
    }
}

#[tokio::test]
async fn batches_are_named_and_say_what_is_still_open() {
    let file = file_of(lines(0, 100));
    let server = Server::start([]).await;
    let report = ship(options(&server, &[&file])).await.unwrap();
    assert!(report.agent.starts_with("ship-") && report.agent.len() == 21, "{}", report.agent);
    let requests = server.requests();
    for request in &requests {
        assert_eq!(request.name.agent, report.agent);
        assert_eq!(request.name.epoch, requests[0].name.epoch);
        assert_eq!(request.headers["content-type"], "application/x-protobuf");
        assert_eq!(request.headers["content-encoding"], "zstd");
        let open = request.name.first_unacknowledged.unwrap();
        assert!(open <= request.name.sequence && request.name.sequence - open < 10);
    }
    assert!(requests.iter().any(|request| request.name.first_unacknowledged > Some(0)));
}

#[tokio::test]
async fn a_refusal_is_final_and_names_the_lines() {
    for status in [400, 409, 413, 404, 401] {
        let file = file_of(lines(0, 25));
        let server = Server::start([Accept, Refuse(status)]).await;
        let mut options = options(&server, &[&file]);
        options.limits.in_flight_max = 1;
        let error = ship(options).await.unwrap_err();
        let ShipError::Refused { status: said, lines, message, .. } = &error else {
            panic!("{error}");
        };
        assert_eq!((*said, message.as_str()), (status, "no such thing (do other)"));
        assert_eq!(*lines, format!("{} lines 11 to 20", file.path().display()));
        assert_eq!(error.report().unwrap().total().records_accepted, 10);
        // Without a token, or with a wrong one, the command has to say something else.
        assert_eq!((error.is_unreachable(), error.is_usage()), (false, status == 401));
        let text = error.to_string();
        for part in [&server.addr, "refused batch ship-", "10 records are acknowledged", "twice"] {
            assert!(text.contains(part), "{text}");
        }
        assert_eq!(server.requests().len(), 2);
    }
}

#[tokio::test]
async fn a_collector_that_is_not_there_is_given_up() {
    let file = file_of(lines(0, 25));
    // A port that was free a moment ago.
    let addr = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut options = ShipOptions::new(format!("http://{addr}"), [file.path().to_owned()]);
    options.give_up_after = Duration::from_millis(400);
    let mut stalled = false;
    let error =
        agent::ship(options, |progress| stalled |= progress.stalled.is_some()).await.unwrap_err();
    assert!(error.is_unreachable() && stalled);
    let text = error.to_string();
    for part in
        [addr.to_string().as_str(), "refused", "nothing is lost", "run the same command again"]
    {
        assert!(text.contains(part), "{text}");
    }
}

#[tokio::test]
async fn a_collector_that_hangs_or_stays_full_is_given_up() {
    for action in [Hang, Refuse(507), Busy(3_600)] {
        let file = file_of(lines(0, 25));
        let server = Server::start([action; 1_000]).await;
        let mut options = options(&server, &[&file]);
        options.give_up_after = Duration::from_millis(300);
        let error = ship(options).await.unwrap_err();
        assert!(error.is_unreachable(), "{error}");
        let ShipError::Unreachable { first_unacknowledged, .. } = &error else { unreachable!() };
        assert_eq!(*first_unacknowledged, format!("{}:1", file.path().display()));
    }
}

#[tokio::test]
async fn the_wish_to_wait_is_honoured() {
    let file = file_of("one");
    let server = Server::start([Busy(1)]).await;
    let begin = Instant::now();
    ship(options(&server, &[&file])).await.unwrap();
    assert!(begin.elapsed() >= Duration::from_secs(1));
    assert_eq!(server.messages(), ["one"]);
}

#[tokio::test]
async fn all_files_are_looked_at_before_anything_is_sent() {
    let good = file_of(lines(0, 25));
    let folder = TempDir::new().unwrap();
    let server = Server::start([]).await;
    for bad in [folder.path().to_owned(), folder.path().join("missing"), PathBuf::from("")] {
        let mut options = options(&server, &[&good]);
        options.files.push(bad);
        let error = ship(options).await.unwrap_err();
        assert!(error.is_usage() && matches!(error, ShipError::Open { .. }), "{error}");
    }
    assert!(server.requests().is_empty());
}

#[tokio::test]
async fn options_that_make_no_sense_are_refused_before_anything_is_read() {
    let good = file_of("x");
    let server = Server::start([]).await;
    type Change = fn(&mut ShipOptions);
    let cases: [(Change, &str); 13] = [
        (|options| options.files.clear(), "at least one"),
        (|options| options.files = vec!["-".into(), "-".into()], "once"),
        (|options| options.format = Format::Regex, "--pattern"),
        (|options| options.pattern = Some("(?<a>.)".into()), "only used by"),
        (
            |options| {
                options.format = Format::Regex;
                options.pattern = Some(".*".into());
            },
            "named group",
        ),
        (|options| options.correlation = Some("(".into()), "correlation"),
        (|options| options.time.timezone = Some("Nowhere".into()), "IANA"),
        (|options| options.time.format = Some("%Y".into()), "json, logfmt and regex"),
        (|options| options.addr = "127.0.0.1:4318".into(), "http://HOST:PORT"),
        (|options| options.addr = "ftp://127.0.0.1".into(), "https://HOST:PORT"),
        (
            |options| {
                options.addr = "https://127.0.0.1".into();
                options.credentials.tls.ca = Some("/nowhere/ca.pem".into());
            },
            "/nowhere/ca.pem",
        ),
        (|options| options.credentials.token = Some("two words".into()), "no token"),
        (|options| options.credentials.tenant = Some("a/b".into()), "tenant"),
    ];
    for (change, expected) in cases {
        let mut options = options(&server, &[&good]);
        change(&mut options);
        let error = ship(options).await.unwrap_err();
        assert!(error.is_usage() && error.to_string().contains(expected), "{error}");
    }
    assert!(server.requests().is_empty());
}

#[tokio::test]
async fn a_line_of_ten_megabytes_arrives_in_parts_and_batches_stay_in_their_bound() {
    let text = format!("{}\nshort\n", "0123456789".repeat(1 << 20));
    let file = file_of(&text);
    let server = Server::start([]).await;
    let mut options = options(&server, &[&file]);
    options.limits = BatchLimits::default();
    let report = ship(options).await.unwrap();
    let total = report.total();
    assert_eq!((total.lines, total.records_accepted, total.parts), (2, 11, 10));
    let mut messages = server.messages();
    assert_eq!(messages.pop().unwrap(), "short");
    assert!(messages.concat() == text.lines().next().unwrap());
    for request in server.requests() {
        assert!(decoded(&request.body).len() <= BatchLimits::default().decoded_bytes_max);
    }
}

#[tokio::test]
async fn a_batch_is_cut_before_it_is_too_large() {
    let record = format!("{{\"msg\":\"{}\",\"service\":\"s\"}}\n", "é\\n".repeat(200));
    let text: String = (0..300).map(|n| record.replace("s\"", &format!("s{}\"", n % 7))).collect();
    let file = file_of(text);
    let server = Server::start([]).await;
    let mut options = options(&server, &[&file]);
    options.format = Format::Json;
    options.limits = BatchLimits { decoded_bytes_max: 20_000, ..BatchLimits::default() };
    let report = ship(options).await.unwrap();
    assert_eq!((report.total().records_accepted, report.total().lines_unparsed), (300, 0));
    let sizes: Vec<_> =
        server.requests().iter().map(|request| decoded(&request.body).len()).collect();
    assert!(sizes.iter().all(|size| *size <= 20_000), "{sizes:?}");
    assert!(sizes.len() < 20, "batches are not filled: {sizes:?}");
}

#[tokio::test]
async fn compressed_files_are_read_and_a_cut_one_says_how_far() {
    let text = lines(0, 30_000);
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(text.as_bytes()).unwrap();
    let whole = gzip.finish().unwrap();
    let server = Server::start([]).await;
    let mut options = options(&server, &[&file_of(&whole)]);
    options.limits = BatchLimits::default();
    let report = ship(ShipOptions { files: vec![], ..options.clone() }).await;
    assert!(report.unwrap_err().is_usage());

    let (file, cut) = (file_of(&whole), file_of(&whole[..whole.len() / 2]));
    options.files = vec![file.path().to_owned()];
    assert_eq!(ship(options.clone()).await.unwrap().total().records_accepted, 30_000);
    assert_whole(&server, &text);

    let server = Server::start([]).await;
    options.addr = server.addr.clone();
    options.files = vec![cut.path().to_owned()];
    let error = ship(options).await.unwrap_err();
    let ShipError::Read { line, report, .. } = &error else { panic!("{error}") };
    assert!(*line > 1_000 && report.total().records_accepted == *line);
    assert_eq!(server.messages().len() as u64, *line);
}

#[tokio::test]
async fn lines_that_do_not_parse_and_times_that_cannot_be_read_are_counted() {
    let text = "{\"msg\":\"a\",\"time\":\"3000-01-01T00:00:00Z\"}\nnot json\n{\"msg\":\"b\"}\n";
    let file = file_of(text);
    let server = Server::start([]).await;
    let mut options = options(&server, &[&file]);
    options.format = Format::Auto;
    let report = ship(options).await.unwrap();
    assert_eq!(report.files[0].format, Some(Format::Json));
    let counts = report.files[0].counts;
    assert_eq!((counts.lines, counts.lines_unparsed, counts.timestamps_replaced), (3, 1, 1));
    assert_eq!(server.messages(), ["a", "not json", "b"]);
}

#[tokio::test]
async fn records_that_are_not_taken_are_told() {
    let file = file_of(lines(0, 25));
    let server = Server::start([Partly(3)]).await;
    let report = ship(options(&server, &[&file])).await.unwrap();
    assert!(!report.is_complete());
    assert_eq!((report.records_rejected, report.total().records_accepted), (3, 22));
    assert_eq!(report.rejection.as_deref(), Some("too deep"));
}

#[tokio::test]
async fn progress_ends_with_everything() {
    let text = lines(0, 100);
    let file = file_of(&text);
    let server = Server::start([Refuse(503)]).await;
    let mut last = Progress::default();
    agent::ship(options(&server, &[&file]), |progress| last = progress.clone()).await.unwrap();
    let expected = Progress {
        bytes_read: text.len() as u64,
        bytes_total: Some(text.len() as u64),
        lines_read: 100,
        records_accepted: 100,
        retries: 1,
        stalled: None,
    };
    assert_eq!(last, expected);
}

#[tokio::test]
async fn a_file_without_lines_is_shipped_by_sending_nothing() {
    let file = file_of("");
    let server = Server::start([]).await;
    let report = ship(options(&server, &[&file])).await.unwrap();
    assert_eq!((report.total().lines, report.batches), (0, 0));
    assert!(server.requests().is_empty() && report.is_complete());
}
