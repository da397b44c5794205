//! Spans over HTTP: OTLP's two encodings and Zipkin's, and that they are durable as spans when they are acknowledged.

use record::Signal;
use serde_json::{Value, json};

use crate::server::Server;

const JSON: (&str, &str) = ("content-type", "application/json");
const PROTOBUF: (&str, &str) = ("content-type", "application/x-protobuf");

fn headers(all: &[(&'static str, &str)]) -> Vec<(&'static str, String)> {
    all.iter().map(|(name, value)| (*name, (*value).to_owned())).collect()
}

fn otlp(spans: Value) -> String {
    json!({"resourceSpans": [{"scopeSpans": [{"spans": spans}]}]}).to_string()
}

/// How many records each table has.
fn rows(server: &Server) -> [usize; 2] {
    Signal::ALL.map(|signal| {
        let (sources, _) =
            server.store.view().sources("default", signal.name(), i64::MIN..i64::MAX);
        sources.iter().map(|source| source.rows()).sum()
    })
}

#[tokio::test]
async fn spans_of_every_format_are_acknowledged_durable_and_no_log_records() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path()).await;
    for path in ["/v1/traces", "/otlp/v1/traces"] {
        let answer =
            server.post(path, &headers(&[JSON]), otlp(json!([{"name": "a"}, {"name": "b"}]))).await;
        assert_eq!((answer.status, &*answer.body), (200, "{}\n"), "{path}");
        assert_eq!(answer.header("content-type"), Some("application/json"));
        assert!(answer.header("logq-store-id").is_some());
    }
    // ResourceSpans { scope_spans { spans { name: "c" } } }
    let protobuf = b"\x0a\x07\x12\x05\x12\x03\x2a\x01c".to_vec();
    let answer = server.post("/v1/traces", &headers(&[PROTOBUF]), protobuf).await;
    assert_eq!((answer.status, &*answer.body), (200, ""));
    assert_eq!(answer.header("content-type"), Some("application/x-protobuf"));
    for headers in [headers(&[JSON]), vec![]] {
        let answer = server.post("/api/v2/spans", &headers, r#"[{"name":"d"}]"#).await;
        assert_eq!((answer.status, &*answer.body), (202, ""));
        assert!(answer.header("logq-store-id").is_some());
    }
    assert_eq!(rows(&server), [0, 7]);
    let answer = server.post("/ingest/jsonl", &[], r#"{"msg":"a log record"}"#).await;
    assert_eq!(answer.status, 200);
    server.crash().await;

    let server = Server::start(folder.path()).await;
    assert_eq!(rows(&server), [1, 7], "after a crash");
    let ledger = server.get("/api/v1/ledger").await.json();
    assert_eq!((&ledger["adds_up"], &ledger["ledger"]["accepted"]), (&json!(true), &json!(8)));
}

#[tokio::test]
async fn a_bad_span_is_counted_and_its_neighbours_are_stored() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path()).await;
    let spans = otlp(json!([{"name": "a"}, 7, {"name": "b"}]));
    let answer = server.post("/v1/traces", &headers(&[JSON]), spans.clone()).await;
    assert_eq!(answer.status, 200);
    assert_eq!(
        answer.json(),
        json!({"partialSuccess": {"rejectedSpans": "1", "errorMessage": "the value is no JSON object"}})
    );
    let answer = server.post("/api/v2/spans", &headers(&[JSON]), r#"[7,{"name":"c"}]"#).await;
    assert_eq!(answer.status, 202);
    let error = json!({"span": 0, "error": "the value is no JSON object"});
    assert_eq!(answer.json(), json!({"accepted": 1, "rejected": 1, "errors": [error]}));
    assert_eq!(server.post("/api/v2/spans", &headers(&[JSON]), "[7]").await.status, 400);
    assert_eq!(rows(&server), [0, 3]);
    // A named batch is taken whole or not at all.
    let named = headers(&[JSON, ("logq-agent", "a"), ("logq-epoch", "e"), ("logq-sequence", "0")]);
    assert_eq!(server.post("/v1/traces", &named, spans).await.status, 400);
    let whole = otlp(json!([{"name": "d"}]));
    for duplicate in [None, Some("1")] {
        let answer = server.post("/v1/traces", &named, whole.clone()).await;
        assert_eq!((answer.status, answer.header("logq-duplicate")), (200, duplicate));
    }
    assert_eq!(rows(&server), [0, 4]);
    let metrics = server.get("/metrics").await.body;
    for line in [
        "logq_ingest_records_total{protocol=\"otlp_traces_json\",result=\"accepted\"} 3",
        "logq_ingest_records_total{protocol=\"otlp_traces_json\",result=\"rejected\"} 1",
        "logq_ingest_records_total{protocol=\"otlp_traces_json\",result=\"duplicate\"} 1",
        "logq_ingest_records_total{protocol=\"zipkin_json\",result=\"accepted\"} 1",
        "logq_ingest_records_total{protocol=\"zipkin_json\",result=\"rejected\"} 2",
        "logq_ingest_refused_requests_total{protocol=\"otlp_traces_json\",reason=\"batch_not_whole\"} 1",
    ] {
        assert!(metrics.contains(line), "{line}\n{metrics}");
    }
}

#[tokio::test]
async fn what_is_no_request_of_spans_is_refused_in_the_routes_own_form() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path()).await;
    let thrift = ("content-type", "application/x-thrift");
    for (path, content_type, body, status) in [
        ("/v1/traces", JSON, "[]", 400),
        ("/v1/traces", JSON, "{\"resourceSpans\":7}", 400),
        ("/v1/traces", PROTOBUF, "{}", 400),
        ("/v1/traces", thrift, "", 415),
        ("/v1/traces", JSON, "{}", 200),
        ("/v1/traces", PROTOBUF, "", 200),
        ("/api/v2/spans", JSON, "{}", 400),
        ("/api/v2/spans", thrift, "", 415),
        ("/api/v2/spans", JSON, "[]", 202),
    ] {
        let answer = server.post(path, &headers(&[content_type]), body).await;
        assert_eq!(answer.status, status, "{path} {body}: {}", answer.body);
        if status >= 400 && content_type != PROTOBUF {
            let told = answer.json();
            let message =
                if path == "/v1/traces" { &told["message"] } else { &told["error"]["message"] };
            assert!(message.is_string(), "{told}");
        }
    }
    assert_eq!(rows(&server), [0, 0]);
}
