//! Logs and spans of one tenant are two tables: neither sees the other, whatever becomes of the process.

use arrow::array::AsArray;
use record::Signal;

use super::*;

/// A body of spans, one a name.
fn spans(names: &[&str]) -> String {
    let spans: Vec<_> = names
        .iter()
        .map(|name| {
            format!(
                "{{\"traceId\":\"4bf92f3577b34da6\",\"id\":\"b7\",\"name\":\"{name}\",\
                 \"timestamp\":1700000000000000,\"duration\":250,\"tags\":{{\"correlation_id\":\"c-1\"}}}}"
            )
        })
        .collect();
    format!("[{}]", spans.join(","))
}

fn log(message: &str) -> String {
    format!(
        "{{\"time\":\"2023-11-14T22:13:20Z\",\"msg\":\"{message}\",\"correlation_id\":\"c-1\"}}\n"
    )
}

fn append_as(store: &Store, format: Format, body: &str) {
    let received_at = Timestamp::now();
    let mut builder = BatchBuilder::new(received_at, 16);
    let limits = Limits::default();
    let decoded = wire::decode(format, body.as_bytes(), received_at, &limits, &mut |record| {
        builder.push(record);
    })
    .unwrap();
    let (done, wait) = mpsc::channel();
    let append = Append {
        tenant: "default".into(),
        signal: format.signal().name(),
        name: None,
        received_at,
        format,
        encoding: Encoding::Identity,
        payload: Bytes::copy_from_slice(body.as_bytes()),
        rejected: rejected_by_reason(&decoded),
        timestamps_replaced: decoded.timestamps_replaced,
        decoded: builder.finish(),
    };
    store.append(append, Box::new(move |result| done.send(result).unwrap()));
    wait.recv().unwrap().unwrap();
}

/// The messages of one table that match, sorted.
fn messages(store: &Store, signal: Signal, query: &str) -> Vec<String> {
    let (filter, all) = (parse(query), i64::MIN..i64::MAX);
    let (sources, _) = store.view().sources("default", signal.name(), all.clone());
    let mut messages = Vec::new();
    for source in sources {
        let rows = source.select(&filter, all.clone(), None, &unbounded()).unwrap();
        let columns = Columns::Fields([Field::Message].into());
        let batch = source.read(&rows, &columns, &unbounded()).unwrap();
        let column = arrow::compute::cast(batch.column(0), &arrow::datatypes::DataType::Utf8);
        let column = column.unwrap();
        messages.extend(column.as_string::<i32>().iter().flatten().map(str::to_owned));
    }
    messages.sort_unstable();
    messages
}

fn check(store: &Store, what: &str) {
    for query in ["*", "correlation:c-1"] {
        assert_eq!(messages(store, Signal::Logs, query), ["log 1", "log 2"], "{what}: {query}");
        assert_eq!(
            messages(store, Signal::Spans, query),
            ["span 1", "span 2", "span 3"],
            "{what}: {query}"
        );
    }
    assert_eq!(
        messages(store, Signal::Spans, "duration:250000 -1"),
        ["span 2", "span 3"],
        "{what}"
    );
    assert!(messages(store, Signal::Logs, "status:unset").is_empty(), "{what}");
    assert!(store.ledger().adds_up(), "{what}: {:?}", store.ledger());
}

#[test]
fn logs_and_spans_do_not_see_each_other_in_parts_after_replay_in_segments_and_merged() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path(), options()).unwrap();
    append_as(&store, Format::JsonLines, &log("log 1"));
    append_as(&store, Format::ZipkinJson, &spans(&["span 1", "span 2"]));
    append_as(&store, Format::JsonLines, &log("log 2"));
    let record = wire_spans(&spans(&["span 3"]));
    append_as(&store, Format::OtlpTracesJson, &record);
    check(&store, "parts");
    assert_eq!(store.view().segments().len(), 0);

    // What a kill leaves is the journal alone: a copy of it is opened.
    let copy = tempfile::tempdir().unwrap();
    std::fs::create_dir(copy.path().join("journal")).unwrap();
    for file in std::fs::read_dir(folder.path().join("journal")).unwrap() {
        let file = file.unwrap();
        std::fs::copy(file.path(), copy.path().join("journal").join(file.file_name())).unwrap();
    }
    for file in ["VERSION", "IDENTITY", "catalog.db"] {
        let _ = std::fs::copy(folder.path().join(file), copy.path().join(file));
    }
    let replayed = Store::open(copy.path(), options()).unwrap();
    check(&replayed, "from the journal alone");
    drop(replayed);

    store.flush().unwrap();
    assert_eq!(store.view().segments().len(), 2);
    check(&store, "segments");
    drop(store);
    let store = Store::open(folder.path(), options()).unwrap();
    check(&store, "segments after a restart");
    append_as(&store, Format::JsonLines, &log("log 3"));
    append_as(&store, Format::ZipkinJson, &spans(&["span 4"]));
    store.flush().unwrap();
    store.compact_all().unwrap();
    assert_eq!(store.view().segments().len(), 2, "each table has a segment of its own");
    assert_eq!(messages(&store, Signal::Logs, "*").len(), 3);
    assert_eq!(messages(&store, Signal::Spans, "*").len(), 4);
}

/// The spans as OTLP's JSON.
fn wire_spans(zipkin: &str) -> String {
    let mut encoder = wire::OtlpJsonEncoder::of(Signal::Spans);
    let now = Timestamp::now();
    let limits = Limits::default();
    wire::decode(Format::ZipkinJson, zipkin.as_bytes(), now, &limits, &mut |record| {
        encoder.push(record);
    })
    .unwrap();
    encoder.finish()
}
