//! Batches: what their answers say, and that those without records are batches too.

use crate::server::Server;
use serde_json::json;

const PROTOBUF: (&str, &str) = ("content-type", "application/x-protobuf");
const JSON: (&str, &str) = ("content-type", "application/json");

/// The headers of a batch of agent `a`.
fn named(
    content_type: (&'static str, &str),
    sequence: u64,
    first: Option<u64>,
) -> Vec<(&'static str, String)> {
    let mut headers = vec![
        (content_type.0, content_type.1.to_owned()),
        ("logq-agent", "a".to_owned()),
        ("logq-epoch", "e".to_owned()),
        ("logq-sequence", sequence.to_string()),
    ];
    headers.extend(first.map(|first| ("logq-first-unacknowledged", first.to_string())));
    headers
}

fn otlp(message: &str) -> String {
    json!({"resourceLogs": [{"scopeLogs": [{"logRecords": [{"body": {"stringValue": message}}]}]}]})
        .to_string()
}

#[tokio::test]
async fn an_answer_tells_the_store_and_what_became_of_the_batch_in_every_format() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path()).await;
    let (store_id, generation) = server.store.identity();
    for (path, content_type, body, sequence) in [
        ("/v1/logs", JSON, otlp("one"), 0),
        ("/v1/logs", PROTOBUF, String::new(), 1),
        ("/ingest/jsonl", JSON, "{\"message\":\"two\"}\n".to_owned(), 2),
    ] {
        for duplicate in [None, Some("1")] {
            let headers = named(content_type, sequence, Some(0));
            let answer = server.post(path, &headers, body.clone()).await;
            assert_eq!(answer.status, 200, "{path}: {}", answer.body);
            assert_eq!(answer.header("logq-store-id"), Some(store_id), "{path}");
            assert_eq!(answer.header("logq-generation"), Some(&*generation.to_string()), "{path}");
            assert_eq!(answer.header("logq-duplicate"), duplicate, "{path}");
            assert_eq!(answer.header("logq-lost-batches"), None, "{path}");
        }
    }
}

#[tokio::test]
async fn batches_that_were_acknowledged_and_are_not_here_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path()).await;
    let send = async |path: &str, sequence, first| {
        let body = if path == "/v1/logs" { otlp("one") } else { "{\"message\":\"two\"}".into() };
        let answer = server.post(path, &named(JSON, sequence, first), body).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        answer.header("logq-lost-batches").map(str::to_owned)
    };
    // Nothing of this agent is known: an older copy of the store.
    assert_eq!(send("/v1/logs", 7, Some(7)).await.as_deref(), Some("7"));
    assert_eq!(send("/v1/logs", 7, Some(7)).await.as_deref(), Some("7"), "the answer got lost");
    assert_eq!(send("/v1/logs", 8, Some(8)).await, None);
    assert_eq!(send("/ingest/jsonl", 13, Some(11)).await.as_deref(), Some("2"));
    assert_eq!(send("/v1/logs", 12, Some(11)).await, None);
    let ledger = server.get("/api/v1/ledger").await.json();
    assert_eq!(ledger["ledger"]["lost_batches"], 9, "{ledger}");
}

#[tokio::test]
async fn a_batch_without_records_moves_the_mark_is_durable_and_costs_no_part() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path()).await;
    let send = async |server: &Server, content_type, sequence, body: &str| {
        let answer =
            server.post("/v1/logs", &named(content_type, sequence, None), body.to_owned()).await;
        (answer.status, answer.header("logq-duplicate").is_some())
    };
    assert_eq!(send(&server, JSON, 0, &otlp("one")).await, (200, false));
    // What was refused before goes to the dead letters, and its number comes without records.
    assert_eq!(send(&server, JSON, 1, "{").await.0, 400);
    assert_eq!(send(&server, PROTOBUF, 1, "").await, (200, false));
    assert_eq!(send(&server, JSON, 2, "{\"resourceLogs\":[]}").await, (200, false));
    assert_eq!(server.store.view().part_rows(), 1);
    server.crash().await;

    let server = Server::start(folder.path()).await;
    let account = server.store.agent_account("default", "a", "e").epoch;
    assert_eq!((account.records_accepted, account.batches_accepted), (1, 3));
    assert_eq!(account.lost_batches, 0);
    assert_eq!(send(&server, PROTOBUF, 1, "").await, (200, true));
    assert_eq!(send(&server, PROTOBUF, 2, "").await.0, 409, "other bytes");
    assert_eq!(server.post("/api/v1/flush", &[], "").await.status, 200);
    assert_eq!(server.store.view().segments().len(), 1);
    server.crash().await;
    let server = Server::start(folder.path()).await;
    assert_eq!(send(&server, PROTOBUF, 1, "").await, (200, true), "from the catalog");
    let ledger = server.get("/api/v1/ledger").await.json();
    assert_eq!((&ledger["adds_up"], &ledger["ledger"]["accepted"]), (&json!(true), &json!(1)));
}

#[tokio::test]
async fn every_json_answer_ends_with_a_newline_and_an_array_is_no_request() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path()).await;
    let json = [(JSON.0, JSON.1.to_owned())];
    for (answer, status) in [
        (server.get("/api/v1/ledger").await, 200),
        (server.get("/api/v1/agents").await, 200),
        (server.get("/health/live").await, 200),
        (server.get("/health/ready").await, 200),
        (server.post("/api/v1/flush", &[], "").await, 200),
        (server.post("/ingest/jsonl", &[], "{\"a\":1}").await, 200),
        (server.post("/ingest/jsonl", &[], "no JSON").await, 400),
        (server.post("/v1/logs", &json, otlp("one")).await, 200),
        (server.post("/v1/logs", &json, "[]").await, 400),
        (server.post("/api/v1/agents/heartbeat", &json, "[]").await, 400),
    ] {
        assert_eq!(answer.status, status, "{}", answer.body);
        assert_eq!(answer.header("content-type"), Some("application/json"), "{}", answer.body);
        assert!(answer.body.ends_with("}\n") && answer.json().is_object(), "{}", answer.body);
    }
    let refused = server.post("/v1/logs", &json, "[]").await.json();
    assert!(refused["message"].as_str().unwrap().contains("expected an object"), "{refused}");
}
