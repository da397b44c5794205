//! OTLP over gRPC: what is taken, what is refused and with which status, and that a stop lets calls end.

use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use axum::http::Request;
use base64::Engine;
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use record::Signal;
use tokio::net::TcpStream;

use crate::client::{LOGS, Reply, SPANS, call, frame};
use crate::server::Server;

/// ResourceSpans { scope_spans { spans { name: "c" } } }
const SPAN: &[u8] = b"\x0a\x07\x12\x05\x12\x03\x2a\x01c";
/// ResourceLogs { scope_logs { log_records { body: "hi" } } }
const LOG: &[u8] = b"\x0a\x0a\x12\x08\x12\x06\x2a\x04\x0a\x02hi";

async fn send(server: &Server, path: &str, headers: &[(&str, &str)], body: Vec<u8>) -> Reply {
    call(server.grpc, path, headers, body).await.unwrap()
}

fn rows(server: &Server) -> [usize; 2] {
    Signal::ALL.map(|signal| {
        let (sources, _) =
            server.store.view().sources("default", signal.name(), i64::MIN..i64::MAX);
        sources.iter().map(|source| source.rows()).sum()
    })
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[tokio::test]
async fn logs_and_spans_are_taken_packed_or_not_and_are_durable() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path()).await;
    let zstd = zstd::encode_all(SPAN, 1).unwrap();
    for (path, encoding, body) in [
        (LOGS, None, frame(false, LOG)),
        (LOGS, Some("gzip"), frame(true, &gzip(LOG))),
        (SPANS, None, frame(false, SPAN)),
        (SPANS, Some("identity"), frame(false, SPAN)),
        (SPANS, Some("gzip"), frame(true, &gzip(SPAN))),
        (SPANS, Some("zstd"), frame(true, &zstd)),
        // It may be packed and is not.
        (SPANS, Some("gzip"), frame(false, SPAN)),
        (SPANS, None, frame(false, b"")),
    ] {
        let encoding: Vec<_> = encoding.map(|name| ("grpc-encoding", name)).into_iter().collect();
        let reply = send(&server, path, &encoding, body).await;
        assert_eq!((reply.http_status, reply.status), (200, Some(0)), "{reply:?}");
        assert_eq!(reply.body, frame(false, b""), "{reply:?}");
        assert_eq!(reply.header("content-type"), Some("application/grpc"));
        assert!(reply.header("logq-store-id").is_some());
    }
    assert_eq!(rows(&server), [2, 5]);
    server.crash().await;
    let server = Server::start(folder.path()).await;
    assert_eq!(rows(&server), [2, 5], "after a crash");
}

#[tokio::test]
async fn a_bad_span_is_told_in_a_partial_success() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path()).await;
    // The second span's kind is eight bytes that are not there.
    let two = b"\x0a\x0a\x12\x08\x12\x03\x2a\x01c\x12\x01\x31";
    let reply = send(&server, SPANS, &[], frame(false, two)).await;
    assert_eq!(reply.status, Some(0), "{reply:?}");
    let partial = b"\x0a\x21\x08\x01\x12\x1dthe record is not well-formed";
    assert_eq!(reply.body, frame(false, partial));
    assert_eq!(rows(&server), [0, 1]);
}

#[tokio::test]
async fn every_refusal_has_the_status_that_exporters_act_on() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path()).await;
    let large = vec![0; server.body_bytes_max + 1];
    for (path, headers, body, status) in [
        (SPANS, &[][..], frame(false, b"\x0a\x05abc"), 3),
        (SPANS, &[], b"\x00\x00\x00\x00\x09abc".to_vec(), 3),
        (SPANS, &[], frame(true, SPAN), 3),
        (SPANS, &[("grpc-encoding", "gzip")], frame(true, b"no gzip"), 3),
        (SPANS, &[("logq-agent", "a")], frame(false, SPAN), 3),
        (SPANS, &[("x-scope-orgid", "a/b")], frame(false, SPAN), 3),
        (SPANS, &[("grpc-encoding", "snappy")], frame(true, SPAN), 12),
        (SPANS, &[], frame(false, &large), 8),
        (
            "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
            &[],
            frame(false, b""),
            12,
        ),
        ("/", &[], vec![], 12),
    ] {
        let reply = send(&server, path, headers, body).await;
        assert_eq!((reply.http_status, reply.status), (200, Some(status)), "{reply:?}");
        assert!(!reply.message.is_empty(), "{reply:?}");
        assert_eq!(reply.header("grpc-status-details-bin"), None, "{reply:?}");
        let accepts = headers.contains(&("grpc-encoding", "snappy"));
        assert_eq!(reply.header("grpc-accept-encoding").is_some(), accepts, "{reply:?}");
    }
    let reply = send(&server, SPANS, &[("content-type", "application/json")], vec![]).await;
    assert_eq!((reply.http_status, reply.status), (415, None));
    assert_eq!(rows(&server), [0, 0]);
    // A message of the limit itself is taken; it is one span's name.
    let name = vec![b'x'; server.body_bytes_max - 20];
    let nested = |number: u8, bytes: &[u8]| {
        let mut out = vec![number << 3 | 2];
        let mut length = bytes.len();
        while length >= 0x80 {
            out.push(length as u8 | 0x80);
            length >>= 7;
        }
        out.push(length as u8);
        out.extend_from_slice(bytes);
        out
    };
    let span = nested(1, &nested(2, &nested(2, &nested(5, &name))));
    assert!(span.len() <= server.body_bytes_max);
    let reply = send(&server, SPANS, &[], frame(false, &span)).await;
    assert_eq!(reply.status, Some(0), "{reply:?}");
    assert_eq!(rows(&server), [0, 1]);
}

#[tokio::test]
async fn who_sends_too_fast_is_told_when_to_come_again() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start_with(folder.path(), |options| {
        options.bytes_per_second.insert("default".into(), 1);
    })
    .await;
    assert_eq!(send(&server, SPANS, &[], frame(false, SPAN)).await.status, Some(0));
    let reply = send(&server, SPANS, &[], frame(false, SPAN)).await;
    assert_eq!(reply.status, Some(14), "{reply:?}");
    let details = reply.header("grpc-status-details-bin").unwrap();
    let details = base64::engine::general_purpose::STANDARD_NO_PAD.decode(details).unwrap();
    let kind = b"google.rpc.RetryInfo";
    assert!(details.windows(kind.len()).any(|bytes| bytes == kind), "{reply:?}");
}

#[tokio::test]
async fn a_connection_that_says_nothing_or_no_http2_is_closed() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path()).await;
    for said in [&b""[..], b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"] {
        let mut stream = TcpStream::connect(server.grpc).await.unwrap();
        stream.write_all(said).await.unwrap();
        let mut answer = Vec::new();
        let closed = stream.read_to_end(&mut answer);
        let _ = tokio::time::timeout(Duration::from_secs(30), closed).await.expect("it is closed");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_takes_no_more_calls_and_lets_the_ones_under_way_end() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path()).await;
    let address = server.grpc;
    let stream = TcpStream::connect(address).await.unwrap();
    let (mut client, connection) = h2::client::handshake(stream).await.unwrap();
    tokio::spawn(connection);
    let request = Request::post(format!("http://{address}{SPANS}"))
        .header("content-type", "application/grpc")
        .body(())
        .unwrap();
    let (response, mut sending) = client.send_request(request, false).unwrap();
    let body = Bytes::from(frame(false, SPAN));
    sending.send_data(body.slice(..7), false).unwrap();
    // Its memory is set apart: the call is under way.
    while server.store.memory_bytes().1 == 0 {
        tokio::task::yield_now().await;
    }
    let store = Arc::clone(&server.store);
    let stopped = tokio::spawn(server.crash());
    while TcpStream::connect(address).await.is_ok() {
        tokio::task::yield_now().await;
    }
    sending.send_data(body.slice(7..), true).unwrap();
    let mut receiving = response.await.unwrap().into_body();
    assert_eq!(&receiving.data().await.unwrap().unwrap()[..], frame(false, b""));
    let trailers = receiving.trailers().await.unwrap().unwrap();
    assert_eq!(trailers["grpc-status"], "0");
    stopped.await.unwrap();
    let (sources, _) = store.view().sources("default", "spans", i64::MIN..i64::MAX);
    assert_eq!(sources.iter().map(|source| source.rows()).sum::<usize>(), 1);
}
