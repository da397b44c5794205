//! Heartbeats: taken, bounded, listed beside what the store has, and shown as metrics.

use crate::server::{Answer, Server};
use record::Timestamp;
use serde_json::{Value, json};

const HEARTBEAT: &str = "/api/v1/agents/heartbeat";

fn heartbeat(agent: &str, acknowledged: u64, spooled: u64, oldest: Option<Timestamp>) -> Value {
    json!({
        "agent": agent, "epoch": "e", "host": "web1", "version": "0.1.0",
        "started": "2026-01-02T03:00:00Z", "sent_at": Timestamp::now().to_string(),
        "oldest_unshipped": oldest.map(|oldest| oldest.to_string()),
        "ledger": {
            "read": acknowledged + spooled, "filtered": 0, "dropped": {}, "dead_lettered": 0,
            "spooled": spooled, "acknowledged": acknowledged, "held": 0, "reported": 0,
        },
        "acknowledged_in_epoch": {"records": acknowledged, "batches": acknowledged},
        "spool_bytes": 0, "sources": 1, "trouble": [],
    })
}

async fn beat(server: &Server, heartbeat: &Value) {
    let answer = server.post(HEARTBEAT, &[], heartbeat.to_string()).await;
    assert_eq!((answer.status, answer.body.as_str()), (204, ""));
}

/// Sends one record of an agent.
async fn send(server: &Server, agent: &str, sequence: u64) -> Answer {
    let headers = [
        ("logq-agent", agent.to_owned()),
        ("logq-epoch", "e".to_owned()),
        ("logq-sequence", sequence.to_string()),
    ];
    server.post("/ingest/jsonl", &headers, format!("{{\"message\":\"{sequence}\"}}")).await
}

#[tokio::test]
async fn agents_are_listed_with_what_they_say_and_what_the_store_has() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path()).await;
    for sequence in 0..3 {
        assert_eq!(send(&server, "b", sequence).await.status, 200);
    }
    let oldest = Timestamp(Timestamp::now().0 - 5 * record::NANOS_PER_SECOND);
    beat(&server, &heartbeat("b", 2, 1, Some(oldest))).await;
    assert_eq!(send(&server, "b", 3).await.status, 200);
    let tenant = [("x-scope-orgid", "team".to_owned())];
    let answer = server.post(HEARTBEAT, &tenant, heartbeat("a", 9, 0, None).to_string()).await;
    assert_eq!(answer.status, 204);

    let list = server.get("/api/v1/agents").await.json();
    let [b, a] = list["agents"].as_array().unwrap().as_slice() else { panic!("{list}") };
    assert_eq!(
        (&b["tenant"], &b["agent"], &b["host"]),
        (&json!("default"), &json!("b"), &json!("web1"))
    );
    assert_eq!(b["ledger"]["spooled"], 1);
    let account = |records: u64| json!({"records_accepted": records, "batches_accepted": records, "lost_batches": 0});
    assert_eq!((&b["store_at_heartbeat"], &b["store"]), (&account(3), &account(4)));
    assert_eq!((&b["silent"], &b["faults"]), (&json!(false), &json!([])));
    assert!(b["heard_ago_ms"].as_u64().unwrap() < 30_000, "{b}");
    assert_eq!((&a["tenant"], &a["store"]), (&json!("team"), &account(0)));
    let fault = a["faults"][0].as_str().unwrap();
    assert!(fault.contains("9 records are LOST"), "{fault}");

    // The heartbeat was on the way for less than a second.
    let watermark = Timestamp::parse_rfc3339(list["watermark"].as_str().unwrap()).unwrap();
    let behind = watermark.0 - oldest.0;
    assert!((0..record::NANOS_PER_SECOND).contains(&behind), "{behind} ns");
    assert_eq!(server.collector.watermark(Timestamp::now()), watermark);
    let metrics = server.get("/metrics").await.body;
    assert!(metrics.contains("\nlogq_agents 2\n"), "{metrics}");
    let oldest = metrics
        .lines()
        .find_map(|line| line.strip_prefix("logq_agents_oldest_unshipped_seconds "))
        .unwrap();
    assert!((4.0..60.0).contains(&oldest.parse::<f64>().unwrap()), "{oldest}");
}

#[tokio::test]
async fn a_heartbeat_that_cannot_be_read_says_what_is_wrong_and_where() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path()).await;
    let mut wrong = heartbeat("a", 1, 0, None);
    wrong["ledger"]["spooled"] = json!("1");
    let answer = server.post(HEARTBEAT, &[], wrong.to_string()).await;
    let error = &answer.json()["error"];
    assert_eq!((answer.status, &error["code"]), (400, &json!("bad_heartbeat")));
    let message = error["message"].as_str().unwrap();
    assert!(message.contains("ledger.spooled: invalid type: string"), "{message}");
    let tenant = [("x-scope-orgid", "a|b".to_owned())];
    let answer = server.post(HEARTBEAT, &tenant, heartbeat("a", 1, 0, None).to_string()).await;
    assert_eq!((answer.status, &answer.json()["error"]["code"]), (400, &json!("bad_header")));
    assert_eq!(server.get("/api/v1/agents").await.json()["agents"], json!([]));
}

#[tokio::test]
async fn a_heartbeat_over_64_kib_is_413_whether_it_says_its_length_or_not() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path()).await;
    let padded = |bytes: usize| {
        let mut body = heartbeat("a", 0, 0, None).to_string();
        body.push_str(&" ".repeat(bytes - body.len()));
        body
    };
    assert_eq!(server.post(HEARTBEAT, &[], padded(64 << 10)).await.status, 204);
    let headers = [("content-length", ((64 << 10) + 1).to_string())];
    let answer = server.post(HEARTBEAT, &headers, padded((64 << 10) + 1)).await;
    assert_eq!((answer.status, &answer.json()["error"]["code"]), (413, &json!("body_too_large")));
    // In chunks, so that nobody knows before how much comes.
    let chunks = vec![Ok::<_, std::convert::Infallible>(padded(1 << 10)); 65];
    let body = reqwest::Body::wrap_stream(futures_util::stream::iter(chunks));
    assert_eq!(server.post(HEARTBEAT, &[], body).await.status, 413);
}
