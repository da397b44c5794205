//! OTLP over HTTP: what is acknowledged is durable, what is not whole is not taken, and a full spool says so.

use std::collections::BTreeSet;
use std::io::Write;

use crate::process::{Agent, Home, NOWHERE, eventually, http, messages, records, reports, spans};
use crate::server::{Action, Server};
use opentelemetry_proto::tonic::collector::logs::v1::{
    ExportLogsServiceRequest, ExportLogsServiceResponse,
};
use prost::Message;
use record::{Record, Source, Timestamp, Value};
use reqwest::Response;
use wire::{Encoding, Format};

const PROTOBUF: &str = "application/x-protobuf";
const JSON: &str = "application/json";

fn source(keys: &str) -> String {
    format!("[[agent.sources]]\nkind = \"otlp\"\nhttp = \"127.0.0.1:0\"\n{keys}")
}

/// Where the agent takes OTLP.
async fn receiver(agent: &Agent) -> String {
    let find = |status: &serde_json::Value| {
        Some(format!("http://{}", status["sources"][0]["http"].as_str()?))
    };
    agent.shows("where it listens", find).await
}

fn request(messages: &[String]) -> Vec<u8> {
    let records: Vec<_> = messages
        .iter()
        .map(|message| Record {
            timestamp: Timestamp(1_760_000_000_000_000_000),
            observed_timestamp: Timestamp(1_760_000_000_000_000_000),
            service: Some("orders".to_owned()),
            host: Some("elsewhere".to_owned()),
            message: message.clone(),
            source: Source { agent: Some("theirs".to_owned()), ..Source::default() },
            ..Record::default()
        })
        .collect();
    let mut encoder = wire::OtlpEncoder::default();
    for record in &records {
        record.with_ref(|record| encoder.push(record));
    }
    encoder.finish()
}

async fn send(to: &str, headers: &[(&str, &str)], body: Vec<u8>) -> Response {
    let mut request = http().post(to).body(body);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.send().await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn both_encodings_and_all_compressions_arrive_on_both_paths() {
    let (home, server) = (Home::new(), Server::start([]).await);
    home.configure(&server.addr, "", &source("service = \"shop\"\nadd = { region = \"eu\" }"));
    let agent = home.start();
    let to = receiver(&agent).await;
    let mut expected = BTreeSet::new();
    for (path, encoding) in [
        ("/v1/logs", Encoding::Identity),
        ("/otlp/v1/logs", Encoding::Gzip),
        ("/v1/logs", Encoding::Zstd),
        ("/v1/logs", Encoding::Deflate),
    ] {
        for format in [Format::OtlpProtobuf, Format::OtlpJson] {
            let message = format!("{path} {encoding} {}", format.content_type());
            let body = match format {
                Format::OtlpProtobuf => request(std::slice::from_ref(&message)),
                _ => format!(
                    r#"{{"resourceLogs":[{{"scopeLogs":[{{"logRecords":[{{"body":{{"stringValue":"{message}"}}}}]}}]}}]}}"#
                )
                .into_bytes(),
            };
            let headers =
                [("content-type", format.content_type()), ("content-encoding", encoding.name())];
            let answer =
                send(&format!("{to}{path}"), &headers, wire::compress(encoding, &body)).await;
            assert_eq!(answer.status(), 200, "{message}");
            assert_eq!(answer.headers()["content-type"], format.content_type());
            expected.insert(message);
        }
    }
    eventually("all arrive", || (messages(&server).len() == expected.len()).then_some(()));
    let (id, status) = (agent.status().await["agent"].clone(), agent.status().await);
    agent.stop();
    assert_eq!(messages(&server).into_keys().collect::<BTreeSet<_>>(), expected);
    assert_eq!(status["sources"][0]["records"], 8);
    for record in records(&server) {
        assert_eq!(record.source.agent.as_deref(), id.as_str(), "{record:?}");
        assert_eq!(record.service.as_deref(), Some("shop"));
        assert_eq!(record.attributes["region"], Value::String("eu".to_owned()));
        if record.host.as_deref() == Some("elsewhere") {
            let own = Value::String("orders".to_owned());
            assert_eq!(record.attributes.get("service.name"), Some(&own), "{record:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_acknowledged_survives_a_kill_and_requests_share_an_fsync() {
    const REQUESTS: usize = 60;
    let home = Home::new();
    home.configure(NOWHERE, "", &source(""));
    let agent = home.start();
    let to = format!("{}/v1/logs", receiver(&agent).await);
    let requests = (0..REQUESTS).map(|number| {
        let (to, body) = (to.clone(), request(&[format!("{number} a"), format!("{number} b")]));
        tokio::spawn(async move { send(&to, &[("content-type", PROTOBUF)], body).await.status() })
    });
    for request in requests.collect::<Vec<_>>() {
        assert_eq!(request.await.unwrap(), 200);
    }
    let status = agent.status().await;
    agent.kill();
    assert_eq!(status["ledger"]["read"], 2 * REQUESTS, "{status:#}");
    assert!(status["spool_batches"].as_u64().unwrap() < REQUESTS as u64, "{status:#}");

    let server = Server::start([]).await;
    home.configure(&server.addr, "", &source(""));
    let agent = home.start();
    eventually("all arrive", || (messages(&server).len() == 2 * REQUESTS).then_some(()));
    agent.stop();
    assert!(messages(&server).values().all(|count| *count == 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_whole_is_refused_and_nothing_of_it_is_taken() {
    let (home, server) = (Home::new(), Server::start([]).await);
    home.configure(&server.addr, "", &source("body_max = \"64 KiB\""));
    let agent = home.start();
    let to = format!("{}/v1/logs", receiver(&agent).await);
    let good = request(&["a".to_owned(), "b".to_owned()]);
    let cut = good[..good.len() - 1].to_vec();
    let large = request(&["x".repeat(70_000)]);
    let packed = wire::compress(Encoding::Zstd, &large);
    for (headers, body, status) in [
        (vec![], good.clone(), 415),
        (vec![("content-type", "text/plain")], good.clone(), 415),
        (vec![("content-type", PROTOBUF)], cut, 400),
        (vec![("content-type", JSON)], b"{\"resourceLogs\":".to_vec(), 400),
        (vec![("content-type", PROTOBUF)], large, 413),
        (vec![("content-type", PROTOBUF), ("content-encoding", "zstd")], packed, 413),
        (vec![("content-type", PROTOBUF), ("content-encoding", "gzip")], good.clone(), 400),
        (vec![("content-type", PROTOBUF), ("content-encoding", "br")], good, 415),
    ] {
        let answer = send(&to, &headers, body).await;
        assert_eq!(answer.status(), status, "{headers:?}");
    }
    assert_eq!(agent.status().await["ledger"]["read"], 0);

    // One record among good ones that is too deep.
    let mut request =
        ExportLogsServiceRequest::decode(&*request(&["good".to_owned(), "deep".to_owned()]))
            .unwrap();
    let record = &mut request.resource_logs[0].scope_logs[0].log_records[1];
    for _ in 0..80 {
        use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue, any_value};
        let values = record.body.take().into_iter().collect();
        let array = any_value::Value::ArrayValue(ArrayValue { values });
        record.body = Some(AnyValue { value: Some(array) });
    }
    let answer = send(&to, &[("content-type", PROTOBUF)], request.encode_to_vec()).await;
    assert_eq!(answer.status(), 200);
    let answer = ExportLogsServiceResponse::decode(answer.bytes().await.unwrap()).unwrap();
    assert_eq!(answer.partial_success.unwrap().rejected_log_records, 1);
    eventually("the good one arrives", || messages(&server).contains_key("good").then_some(()));
    let status = agent.status().await;
    agent.stop();
    assert_eq!(messages(&server).len(), 1);
    assert_eq!(status["ledger"]["dropped"]["rejected"], 1, "{status:#}");
}

/// Fills the spool of an agent that reaches no collector, and gives what the requests were answered with.
async fn fill(when_full: &str) -> (Vec<Response>, serde_json::Value) {
    let home = Home::new();
    let keys = "spool_max = \"32 MiB\"\nbatch_size = \"1 MiB\"";
    home.configure(NOWHERE, keys, &source(&format!("when_full = \"{when_full}\"")));
    let agent = home.start();
    let to = format!("{}/v1/logs", receiver(&agent).await);
    let mut answers = Vec::new();
    let mut number = 0_u64;
    for _ in 0..40 {
        // Nothing that can be compressed.
        let mut noise = || {
            number += 1;
            let state = std::hash::BuildHasher::hash_one(&std::hash::RandomState::new(), number);
            format!("{state:016x}")
        };
        let message = (0..1 << 17).map(|_| noise()).collect();
        let answer = send(&to, &[("content-type", PROTOBUF)], request(&[message])).await;
        let refused = answer.status() != 200;
        answers.push(answer);
        if refused {
            break;
        }
    }
    let status = agent.status().await;
    (answers, status)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_spool_refuses_with_the_time_to_come_again_or_drops_and_counts() {
    let (answers, status) = fill("wait").await;
    let last = answers.last().unwrap();
    assert_eq!(last.status(), 503, "{status:#}");
    assert_eq!(last.headers()["retry-after"], "1");
    assert!(answers.len() > 16, "only {} requests fit", answers.len());
    assert_eq!(status["ledger"]["dropped"], serde_json::json!({}));

    let (answers, status) = fill("drop").await;
    assert!(answers.iter().all(|answer| answer.status() == 200));
    assert_eq!(status["sources"][0]["records"], 40, "{status:#}");
    assert!(status["trouble"].to_string().contains("spool"), "{status:#}");
    // The spool did not grow for it.
    assert!(status["spool_bytes"].as_u64().unwrap() < 32 << 20, "{status:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sender_that_finds_no_place_is_told_to_come_again() {
    let home = Home::new();
    home.configure(NOWHERE, "", &source(""));
    let agent = home.start();
    let to = receiver(&agent).await;
    // They say that they send something, and take their time.
    let addr = to.strip_prefix("http://").unwrap();
    let mut slow = Vec::new();
    let answer = loop {
        let mut stream = std::net::TcpStream::connect(addr).unwrap();
        let head = format!(
            "POST /v1/logs HTTP/1.1\r\nhost: {addr}\r\ncontent-type: {PROTOBUF}\r\ncontent-length: 9\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).unwrap();
        slow.push(stream);
        let body = request(&["one more".to_owned()]);
        let answer = send(&format!("{to}/v1/logs"), &[("content-type", PROTOBUF)], body).await;
        if answer.status() != 200 {
            break answer;
        }
        assert!(slow.len() < 20, "there is always a place");
    };
    assert_eq!(answer.status(), 429);
    assert_eq!(answer.headers()["retry-after"], "1");
    drop(slow);
    let answer = send(&format!("{to}/v1/logs"), &[("content-type", PROTOBUF)], request(&[])).await;
    assert_eq!(answer.status(), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_configuration_keeps_the_port_or_the_old_sources() {
    let (home, server) = (Home::new(), Server::start([]).await);
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let own = source("name = \"own\"").replace("127.0.0.1:0", &free.to_string());
    home.configure(&server.addr, "", &own);
    let agent = home.start();
    let to = format!("{}/v1/logs", receiver(&agent).await);
    let say = async |message: &str| {
        let body = request(&[message.to_owned()]);
        send(&to, &[("content-type", PROTOBUF)], body).await.status()
    };
    assert_eq!(say("before").await, 200);

    home.configure(&server.addr, "", &format!("{own}\nservice = \"new\""));
    agent.reload();
    // While the sources change nobody listens for a moment.
    let in_force = || records(&server).iter().any(|one| one.service.as_deref() == Some("new"));
    while !in_force() {
        let body = request(&["asked again".to_owned()]);
        let sent = http().post(&to).header("content-type", PROTOBUF).body(body).send().await;
        assert!(sent.is_err() || sent.unwrap().status() == 200);
    }

    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let other =
        source("name = \"other\"").replace("127.0.0.1:0", &taken.local_addr().unwrap().to_string());
    home.configure(&server.addr, "", &format!("{own}\n{other}"));
    agent.reload();
    agent
        .shows("it is refused", |status| {
            let trouble = status["trouble"].to_string();
            trouble.contains("source other: cannot listen on").then_some(())
        })
        .await;
    assert_eq!(say("after").await, 200);
    eventually("it arrives", || messages(&server).contains_key("after").then_some(()));
    agent.stop();
    let records = records(&server);
    let after = records.iter().find(|record| record.message == "after").unwrap();
    assert_eq!(after.service.as_deref(), Some("new"));
}

/// A request of spans, as a foreign sender writes it.
fn spans_request(names: &[String]) -> Vec<u8> {
    let spans: Vec<_> = names
        .iter()
        .map(|name| {
            serde_json::json!({
                "name": name, "traceId": "4bf92f3577b34da6a3ce929d0e0e4736", "spanId": "00f067aa0ba902b7",
                "kind": 3, "startTimeUnixNano": "1760000000000000000", "endTimeUnixNano": "1760000000250000000",
                "status": {"code": 2, "message": "sent to bob@example.com"},
                "events": [{"timeUnixNano": "7", "name": "token", "attributes": [
                    {"key": "to", "value": {"stringValue": "bob@example.com"}}]}],
            })
        })
        .collect();
    let service = serde_json::json!({"key": "service.name", "value": {"stringValue": "orders"}});
    serde_json::json!({"resourceSpans": [
        {"resource": {"attributes": [service]}, "scopeSpans": [{"spans": spans}]}]})
    .to_string()
    .into_bytes()
}

#[tokio::test(flavor = "multi_thread")]
async fn spans_arrive_as_spans_redacted_and_beside_log_records() {
    let (home, server) = (Home::new(), Server::start([]).await);
    let keys = "add = { region = \"eu\" }\ndrop = [\"msg:unwanted\"]";
    home.configure(&server.addr, "redact.detectors = [\"email\"]", &source(keys));
    let agent = home.start();
    let to = receiver(&agent).await;
    let names = ["one".to_owned(), "unwanted".to_owned()];
    for path in ["/v1/traces", "/otlp/v1/traces"] {
        let answer =
            send(&format!("{to}{path}"), &[("content-type", JSON)], spans_request(&names)).await;
        assert_eq!(answer.status(), 200, "{path}");
        assert_eq!(answer.text().await.unwrap(), "{}\n");
    }
    let log = request(&["a log record".to_owned()]);
    assert_eq!(
        send(&format!("{to}/v1/logs"), &[("content-type", PROTOBUF)], log).await.status(),
        200
    );
    let bad = spans_request(&names)[..40].to_vec();
    assert_eq!(
        send(&format!("{to}/v1/traces"), &[("content-type", JSON)], bad).await.status(),
        400
    );
    eventually("all arrive", || {
        (spans(&server).len() == 2 && messages(&server).len() == 1).then_some(())
    });
    let status = agent.status().await;
    agent.stop();
    let ledger = &status["ledger"];
    assert_eq!((&ledger["read"], &ledger["filtered"]), (&5.into(), &2.into()), "{status:#}");
    for span in spans(&server) {
        let text = |name: &str| match &span.attributes[name] {
            Value::String(text) => text.clone(),
            other => panic!("{name}: {other:?}"),
        };
        assert_eq!((&*span.message, span.service.as_deref()), ("one", Some("orders")));
        assert!(span.source.agent.is_some());
        assert_eq!(span.attributes["duration"], Value::I64(250_000_000));
        assert_eq!((&*text("kind"), &*text("status"), &*text("region")), ("client", "error", "eu"));
        for name in ["status_message", "events"] {
            assert!(!text(name).contains("bob@"), "{span:?}");
        }
        let events: serde_json::Value = serde_json::from_str(&text("events")).unwrap();
        assert_eq!((&events[0]["time"], &events[0]["name"]), (&7.into(), &"token".into()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn spans_that_are_acknowledged_survive_a_kill() {
    const REQUESTS: usize = 20;
    let home = Home::new();
    home.configure(NOWHERE, "", &source(""));
    let agent = home.start();
    let to = receiver(&agent).await;
    for number in 0..REQUESTS {
        let body = spans_request(&[format!("{number} a"), format!("{number} b")]);
        let answer = send(&format!("{to}/v1/traces"), &[("content-type", JSON)], body).await;
        assert_eq!(answer.status(), 200);
        let body = request(&[format!("{number} log")]);
        let answer = send(&format!("{to}/v1/logs"), &[("content-type", PROTOBUF)], body).await;
        assert_eq!(answer.status(), 200);
    }
    agent.kill();

    // The first answer gets lost, and the batch comes again under its name.
    let server = Server::start([Action::LoseAnswer]).await;
    home.configure(&server.addr, "", &source(""));
    let agent = home.start();
    eventually("all arrive", || {
        (spans(&server).len() == 2 * REQUESTS && messages(&server).len() == REQUESTS).then_some(())
    });
    let settled = |status: &serde_json::Value| {
        let ledger = &status["ledger"];
        let count = |name: &str| ledger[name].as_u64().unwrap();
        (count("spooled") == 0 && count("acknowledged") == count("read") + count("reported"))
            .then_some(())
    };
    agent.shows("the account adds up", settled).await;
    agent.stop();
    let names: BTreeSet<_> = spans(&server).into_iter().map(|span| span.message).collect();
    assert_eq!(names.len(), 2 * REQUESTS);
    assert!(messages(&server).values().all(|count| *count == 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn spans_that_are_refused_become_dead_letters_and_go_out_again_as_spans() {
    let (home, server) = (Home::new(), Server::start([]).await);
    home.configure(&server.addr, "", &source(""));
    let agent = home.start();
    let to = receiver(&agent).await;
    eventually("it says that it began", || {
        (reports(&server, "logq.agent.epoch_began") == 1).then_some(())
    });
    let settled = |status: &serde_json::Value| (status["spool_batches"] == 0).then_some(());
    agent.shows("that is settled", settled).await;
    server.next([Action::Refuse(400)]);
    let body = spans_request(&["refused".to_owned()]);
    let answer = send(&format!("{to}/v1/traces"), &[("content-type", JSON)], body).await;
    assert_eq!(answer.status(), 200);
    let run = |arguments: &[&str]| {
        let output = home.command().args(arguments).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let list = eventually("it is a dead letter", || {
        Some(run(&["dead-letters", "list"])).filter(|list| !list.is_empty())
    });
    assert!(list.contains("1 spans"), "{list}");
    let id = list.split_whitespace().next().unwrap();
    assert!(run(&["dead-letters", "show", id]).contains("orders refused"));
    assert_eq!(spans(&server).len(), 1, "the refused request alone: {:?}", spans(&server));
    run(&["dead-letters", "retry", id]);
    eventually("it arrives", || (spans(&server).len() == 2).then_some(()));
    agent.stop();
}

#[test]
fn a_port_that_is_taken_names_the_source_and_the_key() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let home = Home::new();
    let source = source("name = \"shop\"");
    home.configure(
        NOWHERE,
        "",
        &source.replace("127.0.0.1:0", &taken.local_addr().unwrap().to_string()),
    );
    let output = home.command().output().unwrap();
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success());
    assert!(told.contains("source shop: cannot listen on 127.0.0.1:"), "{told}");
    assert!(told.contains("set `http` of this source to another address"), "{told}");
}
